"""Read the tensors of other people's pickles without unpickling.

A pickle is a program. ``pickle.Unpickler`` with a ``find_class`` that returns stubs would not be
enough: it decides what is looked up, but not what is done with it. REDUCE and NEWOBJ still call
what ``find_class`` returned, BUILD calls its ``__setstate__`` or fills its ``__dict__``, APPEND and
SETITEM call its methods; and among the names that checkpoints need is
``torch.storage._load_from_bytes``, which unpickles a stream within the stream. It also allocates
what the stream declares: a pickle of 9 bytes with the memo index 20 million takes 300 MiB.

Here ``pickletools.genops`` only decodes the opcodes, and a table of those that checkpoints need
interprets them on plain lists, dicts and tuples. A name stays a string, a call becomes a ``Stub``,
except for the few calls by which torch stores tensors, which are rebuilt here. Any other opcode is
an error. Storages are limited by the size of the file, and no archive is unpacked to disk.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from wiseft_lite.errors import UserError

_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MARK = object()
_LEGACY = 0x1950A86A20F9469CFC6C  # the magic number of torch files before they were archives


class Name(str):
    """The dotted name of a class or function in a pickle; it is never imported."""


@dataclass(eq=False)
class Stub:
    """Represents the object that a pickle would create by calling ``name``; nothing is called."""

    name: str
    state: Any = None


def read(path: str | Path) -> tuple[dict[str, Tensor], set[str]]:
    """Return the tensors of a pickled file by their dotted names, and the names that it refers to.

    Args:
        path: a file of ``torch.save`` (a state dict, a dict that contains one, or a whole module;
            old and new format), of ``pickle.dump``, or of TorchScript.

    Raises:
        UserError: the file is none of these, or damaged.
    """
    path, reader = Path(path), _Reader(Path(path).stat().st_size)
    try:
        if zipfile.is_zipfile(path):
            root = reader.archive(path)
        else:
            with open(path, "rb") as file:
                root = reader.stream(file)
        return dict(_named(root, "", set())), reader.names
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {error}); copy or download "
            "it again, or save its state dict as safetensors"
        ) from error


def _named(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict, or of a module under the names of its ``state_dict``."""
    if isinstance(value, Tensor):
        yield name, value
        return
    inside = value.state if isinstance(value, Stub) else value
    if not isinstance(inside, dict) or id(inside) in seen:
        return
    seen.add(id(inside))
    if "_modules" in inside:
        transient = inside.get("_non_persistent_buffers_set") or ()
        inside = {
            **(inside["_parameters"] or {}),
            **(inside["_buffers"] or {}),
            **(inside["_modules"] or {}),
        }
        inside = {key: child for key, child in inside.items() if key not in transient}
    for key, child in inside.items():
        yield from _named(child, f"{name}.{key}" if name else str(key), seen)


_Storage = Callable[[str, str, int], Tensor]  # of a type's name, a key and a number of elements


class _Reader:
    """Reads one file; no storage may be larger than the file."""

    def __init__(self, size: int):
        self.size = size
        self.names: set[str] = set()

    def archive(self, path: Path) -> Any:
        """Read the format of today's ``torch.save`` and TorchScript: a zip with one pickle and a
        member per storage."""
        storages: dict[str, Tensor] = {}
        with zipfile.ZipFile(path) as file:
            pickles = [name for name in file.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise ValueError(f"{len(pickles)} members named data.pkl in the archive")
            folder = pickles[0].removesuffix("data.pkl")

            def storage(kind: str, key: str, numel: int) -> Tensor:
                if key not in storages:
                    member = file.getinfo(f"{folder}data/{key}")
                    if member.compress_type != zipfile.ZIP_STORED:
                        raise ValueError(f"{member.filename} is compressed, which torch never does")
                    data = file.read(member)  # compares the checksum
                    storages[key] = self._storage(kind, numel, data)
                return storages[key]

            return self._read(io.BytesIO(file.read(pickles[0])), storage)

    def stream(self, file: BinaryIO) -> Any:
        """Read a plain pickle, or torch's old format: several pickles, then the bytes of every
        storage."""
        root = self._read(file)
        if root != _LEGACY:
            return root
        self._read(file), self._read(file)  # the version and the machine's byte order
        storages: dict[str, Tensor] = {}

        def storage(kind: str, key: str, numel: int) -> Tensor:
            return storages.setdefault(key, self._storage(kind, numel))

        root = self._read(file, storage)
        for key in self._read(file):
            tensor = storages[key]
            if int.from_bytes(file.read(8), "little") != len(tensor):
                raise ValueError("the length of a storage differs from that of its tensors")
            tensor.copy_(self._storage(tensor.dtype, len(tensor), file.read(tensor.nbytes)))
        return root

    def _storage(self, kind: str | torch.dtype, numel: int, data: bytes | None = None) -> Tensor:
        """Return a flat tensor, from its bytes if they are given."""
        dtype = kind if isinstance(kind, torch.dtype) else _TYPES[kind.rpartition(".")[2]]
        wanted = numel * torch.empty(0, dtype=dtype).element_size()
        available = self.size if data is None else len(data)
        if wanted > self.size or data is not None and available != wanted:
            raise ValueError(f"a storage of {wanted} bytes, but the file has {available} for it")
        if not data:
            return torch.zeros(numel, dtype=dtype)
        return torch.frombuffer(bytearray(data), dtype=dtype)

    def call(self, name: Any, args: tuple) -> Any:
        """Return the result of a call: a tensor or container for torch's own, otherwise a stub."""
        if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            flat, offset, size, stride = args[:4]
            if math.prod(size) > len(flat):
                raise ValueError(
                    f"a tensor of {math.prod(size)} numbers in a storage of {len(flat)}"
                )
            return torch.as_strided(flat, size, stride, offset)
        if name in (
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
        ):
            return args[0]
        if name == "torch.storage._load_from_bytes":
            return self.stream(io.BytesIO(args[0]))
        if name == "_codecs.encode":  # how protocol 2 writes bytes
            return args[0].encode("latin1")
        if name == "collections.OrderedDict":
            return dict(*args)
        if name in ("builtins.set", "__builtin__.set"):
            return list(*args)
        return Stub(str(name))

    def _read(self, file: BinaryIO, storage: _Storage | None = None) -> Any:
        """Interpret one pickle to its STOP and return the object that it describes."""
        machine = _Machine(self, storage)
        for opcode, arg, _ in pickletools.genops(file):
            if opcode.name not in _OPCODES:
                raise ValueError(f"opcode {opcode.name}, which no checkpoint needs")
            _OPCODES[opcode.name](machine, arg)
        return machine.stack.pop()


class _Machine:
    """The stack machine that runs one pickle; ``storage`` gives torch's storages, if it has any."""

    def __init__(self, reader: _Reader, storage: _Storage | None):
        self.reader, self.storage = reader, storage
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop_mark(self) -> list:
        """Remove the topmost mark and what lies above it, and return the latter."""
        at = max(i for i, item in enumerate(self.stack) if item is _MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def ignore(self, _: Any) -> None:
        pass

    def push(self, arg: Any) -> None:
        self.stack.append(arg)

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self.put(len(self.memo))

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def name(self, parts: Sequence[str]) -> None:
        self.push(Name(".".join(parts)))
        self.reader.names.add(str(self.stack[-1]))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name((module, name))

    def call(self, _: Any) -> None:
        args, name = self.stack.pop(), self.stack.pop()
        self.push(self.reader.call(name, args))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Stub):
            self.stack[-1].state = state

    def make_dict(self, _: Any) -> None:
        items = self.pop_mark()
        self.push(dict(zip(items[::2], items[1::2], strict=True)))

    def short_tuple(self, n: int) -> None:
        self.stack[-n:] = [tuple(self.stack[-n:])]

    def extend(self, items: Sequence[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def update(self, items: Sequence[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.update((key, value))

    def persistent(self, _: Any) -> None:
        kind, name, *rest = self.stack.pop()  # torch's old format wraps classes too, with source
        if kind != "storage":
            self.push(name)
            return
        if self.storage is None:
            raise ValueError("a storage in a pickle that torch did not write")
        self.push(self.storage(name, rest[0], rest[2]))


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.ignore),
    **dict.fromkeys(
        (
            *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
            *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
            *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
        ),
        _Machine.push,
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "MARK": lambda machine, _: machine.push(_MARK),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": lambda machine, arg: machine.name(arg.split(" ")),
    "STACK_GLOBAL": _Machine.stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "BUILD": _Machine.build,
    **dict.fromkeys(
        ("TUPLE", "FROZENSET"), lambda machine, _: machine.push(tuple(machine.pop_mark()))
    ),
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": _Machine.make_dict,
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_mark())),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.update(machine.pop_mark()),
    "BINPERSID": _Machine.persistent,
}
