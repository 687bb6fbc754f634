"""Call a student's function on copies of the inputs, and note everything that goes wrong."""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import io
import linecache
import sys
import textwrap
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd
import torch

FEW_CALLS = 3  # to find out which functions another one calls; watching slows it down


@dataclass(frozen=True)
class Outcome:
    """What one call led to.

    Args:
        value: what is compared with the solution; None after an error.
        returned: what the function itself returned, at each call.
        error: the exception of the student's code, with the line; None if there was none.
        unusable: the exception that the returned value caused later; None if there was none.
        kind: either exception in one line, without the line in the code.
        changed: names of the arguments that the function changed.
        borrowed: whether the function called one of the ``forbidden`` functions.
    """

    value: Any = None
    returned: Sequence[Any] = ()
    error: str | None = None
    unusable: str | None = None
    kind: str | None = None
    changed: tuple[str, ...] = ()
    borrowed: str | None = None


class Nothing(Exception):
    """The function returned None."""


class _Watched:
    """A function that remembers its exception, its values, and which forbidden code it ran."""

    def __init__(self, function: Callable, forbidden: Mapping[CodeType, str]):
        self.function, self.forbidden = function, forbidden
        self.error: Exception | None = None
        self.returned: list[Any] = []
        self.borrowed: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = sys.getprofile()
        watching = self.forbidden and len(self.returned) < FEW_CALLS
        try:
            sys.setprofile(self._notice if watching else before)
            value = self.function(*args, **kwargs)
        except Exception as error:
            self.error = error
            raise
        finally:
            sys.setprofile(before)
        self._notice_elsewhere()
        if value is None:
            self.error = Nothing()
            raise self.error
        self.returned.append(value)
        return value

    def _notice(self, frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in self.forbidden:
            self.borrowed = self.forbidden[frame.f_code]

    def _notice_elsewhere(self) -> None:
        """Read what the function itself reports to have run, if it runs in another process."""
        ran = getattr(self.function, "ran", ())
        for code, name in self.forbidden.items():
            if place(code) in ran:
                self.borrowed = name


def place(code: CodeType) -> tuple[str, int]:
    """Return where code is written: two processes have the same places, though other objects."""
    return code.co_filename, code.co_firstlineno


def codes(functions: Collection[Callable]) -> dict[CodeType, str]:
    """Return the code of each function below its decorators, with its name."""
    found = {}
    for function in functions:
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None:
            found[code] = function.__name__
    return found


def run(
    function: Callable,
    inputs: Mapping[str, Any],
    call: Callable,
    may_change: Collection[str] = (),
    forbidden: Mapping[CodeType, str] | None = None,
    quiet: bool = True,
) -> Outcome:
    """Call ``call(function, *inputs)`` on copies of the inputs.

    Args:
        function: a student's, or our own.
        inputs: by the name of the argument.
        call: how the function is called, and what of its values is compared.
        may_change: arguments that the function is allowed to change.
        forbidden: code that the function should not run, with its name; see :func:`codes`.
        quiet: whether what the function prints is left out.
    """
    watched = _Watched(function, forbidden or {})
    copies = {name: _copied(value) for name, value in inputs.items()}
    sink = contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext()
    value, error = None, None
    try:
        with sink:
            value = call(watched, *copies.values())
    except Exception as raised:
        error = raised
    changed = tuple(
        name
        for name, value in inputs.items()
        if name not in may_change and not _untouched(copies[name], value)
    )
    kind = _kind(error)
    report = _report(error, function) if error is not None and error is watched.error else None
    return Outcome(
        value,
        watched.returned,
        report,
        None if report else kind,
        kind,
        changed,
        watched.borrowed,
    )


def _copied(value: Any) -> Any:
    return value if isinstance(value, Iterator) else copy.deepcopy(value)


def _untouched(value: Any, before: Any) -> bool:
    """Whether a value still equals what it was; of objects without values nothing is known."""
    if type(value) is not type(before):
        return False
    if isinstance(value, torch.Tensor):
        equal = value.shape == before.shape and value.dtype == before.dtype
        return equal and torch.equal(value.nan_to_num(), before.nan_to_num())
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return value.equals(before)
    if isinstance(value, np.ndarray):
        return np.array_equal(value, before, equal_nan=value.dtype.kind == "f")
    if isinstance(value, Mapping):
        return value.keys() == before.keys() and all(_untouched(value[k], before[k]) for k in value)
    if isinstance(value, (list, tuple)):
        same_length = len(value) == len(before)
        return same_length and all(_untouched(a, b) for a, b in zip(value, before, strict=True))
    if isinstance(value, (str, int, float, bool, set, frozenset)):
        return value == before
    return True


def _kind(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}".strip().rstrip(":")


def _report(error: Exception, function: Callable) -> str:
    """Say which exception the student's code raised, and in which line."""
    if isinstance(error, Nothing):
        return "your function returns None: is a return missing, or one in a branch?"
    line = _line(error, function)
    return f"your function raised {_kind(error)}" + (f"\n    {line}" if line else ".")


def _line(error: Exception, function: Callable) -> str | None:
    """The last line of the student's own code that an exception passed through."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == code.co_filename]
    if not own:
        return None
    number = own[-1].lineno or 0
    text = linecache.getline(code.co_filename, number).strip()
    return f"line {number}" + (f": {text}" if text else "")


def unchanged(function: Callable, starter: Callable) -> bool:
    """Return whether a function has the source of another, apart from its name, its layout, comments
    and docstring; False if there is no source, as for functions of C.

    Example:
        >>> unchanged(run, run), unchanged(run, codes), unchanged(len, run)
        (True, False, False)
    """
    source = _source(function)
    return source is not None and source == _source(starter)


def _source(function: Callable) -> str | None:
    """A function's parameters and statements, in the words of Python's own grammar."""
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return "\n".join(map(ast.dump, [node.args, *statements]))


def _body_of_dots(*_): ...


def _body_of_pass(*_):
    pass


def _documented(*_):
    """A body of a docstring only."""


def blank(function: Any) -> bool:
    """Return whether a function's whole body is ``...`` or ``pass``, with or without a docstring.

    Example:
        >>> def todo(x): ...
        >>> blank(todo), blank(lambda x: x)
        (True, False)
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_names:
        return False
    constants = [c for c in code.co_consts if c != getattr(function, "__doc__", None)]
    bodies = (_body_of_dots, _body_of_pass, _documented)
    return code.co_code in {body.__code__.co_code for body in bodies} and all(
        c is None or c is ... for c in constants
    )
