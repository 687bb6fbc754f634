"""Hashes of what a computation depends on: settings, tensors, models, files and the code itself."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from functools import partial, singledispatch
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, read in chunks."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def digest(*parts: Any) -> str:
    """Return a hash of the content of all parts, in order, as 16 hexadecimal digits.

    Args:
        parts: plain values, tensors and arrays (type, shape and every bit), models (structure,
            weights and which of them train), functions (statements, defaults and closures; neither
            comments nor docstrings), Python modules, containers and objects of these.

    Example:
        >>> digest(1, torch.zeros(2)) == digest(1, torch.zeros(2)) != digest(1, torch.zeros(3))
        True
    """
    total = hashlib.sha256()
    for part in parts:
        _feed(total, part, ())
    return total.hexdigest()[:16]


def _feed(total: hashlib._Hash, part: Any, parents: tuple[int, ...]) -> None:
    """Add a part to the hash; one of its own ``parents``, as in a recursive function, is skipped."""
    if id(part) in parents:
        return
    parents = (*parents, id(part))
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        part = torch.from_numpy(np.array(part))
    if isinstance(part, Tensor):
        total.update(f"{part.dtype} {tuple(part.shape)}".encode())
        bits = part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        total.update(bits.data)
        return
    children = _children(part)
    if children is None:
        total.update(f"{part!r};".encode())
        return
    total.update(f"{type(part).__name__}(".encode())
    for child in children:
        _feed(total, child, parents)
    total.update(b")")


@singledispatch
def _children(part: Any) -> Iterable[Any] | None:
    """The parts that an object consists of; None for a plain value, which its ``repr`` describes."""
    if hasattr(part, "__dict__") and not isinstance(part, type):
        return type(part).__qualname__, vars(part)
    return None


@_children.register
def _(part: nn.Module) -> Iterable[Any]:
    trains = [name for name, parameter in part.named_parameters() if parameter.requires_grad]
    return repr(part), trains, part.state_dict()


@_children.register
def _(part: Mapping) -> Iterable[Any]:
    return sorted(part.items(), key=lambda item: str(item[0]))


@_children.register(list)
@_children.register(tuple)
def _(part: list | tuple) -> Iterable[Any]:
    return part


@_children.register
def _(part: partial) -> Iterable[Any]:
    return part.func, part.args, part.keywords


@_children.register
def _(part: MethodType) -> Iterable[Any]:
    return part.__func__, part.__self__


@_children.register(FunctionType)
@_children.register(ModuleType)
def _(part: FunctionType | ModuleType) -> Iterable[Any]:
    defaults = getattr(part, "__defaults__", None)
    closure = getattr(part, "__closure__", None) or ()
    return _statements(part), defaults, [cell.cell_contents for cell in closure]


@_children.register
def _(part: CodeType) -> Iterable[Any]:
    return part.co_code.hex(), part.co_names, part.co_consts


def _statements(code: FunctionType | ModuleType) -> str | CodeType:
    """The source without comments and docstrings; the bytecode where there is no source."""
    if code.__name__ == "<lambda>":  # its source is the whole line, which may hold another lambda
        return code.__code__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except OSError:  # typed at an interactive prompt
        return code.__code__
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
