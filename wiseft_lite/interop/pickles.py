"""Tensors out of other people's pickles. A pickle is a program: here it is read, never run.

Each instruction is looked at in turn. Where a pickle would import and call something, only the name
and the arguments are noted down; the few names by which torch stores tensors are understood here
and rebuilt. No foreign class is imported, nothing is called, and no archive is unpacked to the
disk.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Iterator
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
_LITERAL = (
    "INT",
    "BININT",
    "LONG",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BIN",
    "BINBYTES",
    "UNICODE",
    "BINUNICODE",
    "BYTEARRAY",
)
_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_MARK = object()
_LEGACY = 0x1950A86A20F9469CFC6C  # what torch wrote first before its files were archives


class Name(str):
    """A class or a function that a pickle names; it is never looked up."""


@dataclass(eq=False)
class Thing:
    """What a pickle would have made by calling ``name``; nothing was called."""

    name: str
    state: Any = None


def read(path: str | Path) -> tuple[dict[str, Tensor], set[str]]:
    """Return all tensors of a pickled file by their dotted names, and every name that the pickle
    asks for.

    Args:
        path: a file of ``torch.save`` (a state dict, a dict that holds one, or a whole module; old
            and new format), of ``pickle.dump``, or of TorchScript.

    Raises:
        UserError: it is none of these, or it is damaged.
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
    """The tensors of a state dict, or of a module's parameters and buffers, as its ``state_dict``
    names them."""
    if isinstance(value, Tensor):
        yield name, value
        return
    inside = value.state if isinstance(value, Thing) else value
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


class _Reader:
    """One file: what it holds may not need more memory than the file has bytes."""

    def __init__(self, size: int):
        self.size = size
        self.names: set[str] = set()

    def archive(self, path: Path) -> Any:
        """What ``torch.save`` and TorchScript write today: a zip with one pickle and a member for
        each storage."""
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
                    storages[key] = self._storage(
                        kind, numel, file.read(member)
                    )  # compares the checksum
                return storages[key]

            return self._read(io.BytesIO(file.read(pickles[0])), storage)

    def stream(self, file: BinaryIO) -> Any:
        """A plain pickle, or torch's old format: pickles in a row, then the bytes of every
        storage."""
        root, storages = self._read(file), {}
        if root != _LEGACY:
            return root
        self._read(file), self._read(file)  # the version and the machine's byte order

        def storage(kind: str, key: str, numel: int) -> Tensor:
            return storages.setdefault(key, self._storage(kind, numel))

        root = self._read(file, storage)
        for key in self._read(file):
            tensor = storages[key]
            if int.from_bytes(file.read(8), "little") != len(tensor):
                raise ValueError("a storage has another length than its tensors say")
            tensor.copy_(self._storage(tensor.dtype, len(tensor), file.read(tensor.nbytes)))
        return root

    def _storage(self, kind: str | torch.dtype, numel: int, data: bytes | None = None) -> Tensor:
        """A flat tensor, from its bytes if they are at hand."""
        dtype = kind if isinstance(kind, torch.dtype) else _TYPES[kind.rpartition(".")[2]]
        wanted = numel * torch.empty(0, dtype=dtype).element_size()
        if wanted > self.size or data is not None and len(data) != wanted:
            raise ValueError(
                f"a storage of {wanted} bytes, but {self.size if data is None else len(data)} are there"
            )
        if not data:
            return torch.zeros(numel, dtype=dtype)
        return torch.frombuffer(bytearray(data), dtype=dtype)

    def _make(self, name: Any, args: tuple) -> Any:
        """What a call stands for: a tensor where torch stores one so, else the bare name."""
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
        if name in ("collections.OrderedDict", "builtins.set", "__builtin__.set"):
            return dict(*args) if name == "collections.OrderedDict" else list(*args)
        return Thing(str(name))

    def _read(
        self, file: BinaryIO, storage: Callable[[str, str, int], Tensor] | None = None
    ) -> Any:
        """Follow one pickle to its end and return what it describes."""
        stack: list[Any] = []
        memo: dict[int, Any] = {}

        def since_mark() -> list:
            at = max(i for i, item in enumerate(stack) if item is _MARK)
            items = stack[at + 1 :]
            del stack[at:]
            return items

        for op, arg, _ in pickletools.genops(file):
            kind = op.name
            if kind in _CONSTANT:
                stack.append(_CONSTANT[kind]())
            elif kind == "MARK":
                stack.append(_MARK)
            elif kind in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if kind == "MEMOIZE" else arg] = stack[-1]
            elif kind in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[arg])
            elif kind in ("GLOBAL", "STACK_GLOBAL"):
                parts = arg.split(" ") if kind == "GLOBAL" else [stack.pop(), stack.pop()][::-1]
                stack.append(Name(".".join(parts)))
                self.names.add(str(stack[-1]))
            elif kind in ("REDUCE", "NEWOBJ"):
                args, name = stack.pop(), stack.pop()
                stack.append(self._make(name, args))
            elif kind == "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Thing):
                    stack[-1].state = state
            elif kind in ("TUPLE", "LIST", "DICT", "FROZENSET"):
                items = since_mark()
                stack.append(
                    tuple(items)
                    if kind in ("TUPLE", "FROZENSET")
                    else items
                    if kind == "LIST"
                    else dict(zip(items[::2], items[1::2], strict=True))
                )
            elif kind in ("TUPLE1", "TUPLE2", "TUPLE3"):
                n = int(kind[-1])
                stack[-n:] = [tuple(stack[-n:])]
            elif kind in ("APPEND", "APPENDS", "ADDITEMS"):
                items = [stack.pop()] if kind == "APPEND" else since_mark()
                if isinstance(stack[-1], list):
                    stack[-1].extend(items)
            elif kind in ("SETITEM", "SETITEMS"):
                items = [stack.pop(), stack.pop()][::-1] if kind == "SETITEM" else since_mark()
                if isinstance(stack[-1], dict):
                    stack[-1].update(zip(items[::2], items[1::2], strict=True))
            elif kind == "BINPERSID":
                what, name, key, *rest = (
                    stack.pop()
                )  # torch's old format wraps classes too, with their source
                stack.append(storage(name, key, rest[1]) if what == "storage" else name)
            elif kind == "STOP":
                return stack.pop()
            elif kind.startswith(_LITERAL):
                stack.append(arg)
            elif kind not in ("PROTO", "FRAME"):
                raise ValueError(f"instruction {kind}, which no checkpoint needs")
