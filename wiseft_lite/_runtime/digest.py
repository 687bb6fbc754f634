"""Hashes that name what a computation depends on: settings, tensors, models, files and the code
itself."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, read piece by piece."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def digest(*parts: Any) -> str:
    """Return one hash, 16 hexadecimal digits, of all parts in turn; equal content gives equal
    digits.

    Args:
        parts: plain values, tensors and arrays (type, shape and every bit), models (structure,
            weights and what trains), functions (statements and what they closed over; comments and
            docstrings do not count), modules of Python, containers and objects of these.

    Example:
        >>> digest(1, torch.zeros(2)) == digest(1, torch.zeros(2)) != digest(1, torch.zeros(3))
        True
    """
    total = hashlib.sha256()
    for part in parts:
        _feed(total, part, ())
    return total.hexdigest()[:16]


def _feed(total, part: Any, inside: tuple[int, ...]) -> None:
    """Add one part; ``inside`` are those that hold it, so that a function that refers to itself
    ends."""
    if id(part) in inside:
        return
    inside = (*inside, id(part))
    if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
        part = torch.from_numpy(np.array(part))
    if isinstance(part, Tensor):
        total.update(f"{part.dtype} {tuple(part.shape)}".encode())
        total.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return
    if isinstance(part, nn.Module):
        trains = [name for name, parameter in part.named_parameters() if parameter.requires_grad]
        pieces = (repr(part), trains, part.state_dict())
    elif isinstance(part, Mapping):
        pieces = sorted(part.items(), key=lambda item: str(item[0]))
    elif isinstance(part, (list, tuple)):
        pieces = part
    elif isinstance(part, partial):
        pieces = (part.func, part.args, part.keywords)
    elif isinstance(part, MethodType):
        pieces = (part.__func__, part.__self__)
    elif isinstance(part, (FunctionType, ModuleType)):
        cells = getattr(part, "__closure__", None) or ()
        pieces = (
            _statements(part),
            getattr(part, "__defaults__", None),
            [cell.cell_contents for cell in cells],
        )
    elif isinstance(part, CodeType):
        pieces = (part.co_code.hex(), part.co_names, part.co_consts)
    elif hasattr(part, "__dict__") and not isinstance(part, type):
        pieces = (type(part).__qualname__, vars(part))
    else:
        total.update(f"{part!r};".encode())
        return
    total.update(f"{type(part).__name__}(".encode())
    for piece in pieces:
        _feed(total, piece, inside)
    total.update(b")")


def _statements(code: FunctionType | ModuleType) -> str | CodeType:
    """The source without comments and docstrings: what it does, not what it says; bytecode if there
    is none."""
    if code.__name__ == "<lambda>":  # its source is the whole line, which may hold another one
        return code.__code__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except OSError:  # typed at a prompt
        return code.__code__
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
