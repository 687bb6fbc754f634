"""Compare values of any type with the expected ones, and print them small."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

FLOOR = 1e-5  # absolute difference that rounding in float32 leaves in numbers up to about 100
FEW = 20  # numbers of a tensor that are printed; of a larger one only the shape
LEAVES = 3  # values of a dictionary that are printed beside the expected ones
NAMES = 6  # names that are listed
LONG = 160  # characters of a list of tensors, of which only the first two are printed then


class WrongForm(Exception):
    """A value of another type or shape than expected; the text says what came and what should."""


def same(value: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Return whether a value equals the expected one, up to rounding.

    The type of the expected value decides how the two are compared. Tensors, arrays, tables, lists
    and numbers are converted to float64, whatever their precision, and booleans to 0 and 1.

    Args:
        value: any value.
        expected: a number, text, tensor, array, table, or a list, tuple, set or dict of these.
        tolerance: allowed difference, as a fraction of the largest expected number.

    Raises:
        WrongForm: the value cannot be compared, such as a text with a number, or two shapes.

    Example:
        >>> same(torch.tensor([0.5, 1.0], dtype=torch.float16), [0.5, 1]), same(0.5, 0.6)
        (True, False)
        >>> same([1, 2], torch.zeros(3))
        Traceback (most recent call last):
        wiseft_lite.book.checks.values.WrongForm: a list of 2 items instead of a tensor [3]
    """
    if isinstance(expected, str):
        return _same_text(value, expected)
    if isinstance(expected, Mapping):
        return _same_mapping(value, expected, tolerance)
    if isinstance(expected, (set, frozenset)):
        return _same_set(value, expected)
    if isinstance(expected, (list, tuple)):
        return _same_sequence(value, expected, tolerance)
    return _same_numbers(value, expected, tolerance)


def agree(value: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Return whether a value equals the expected one; one of another type or shape does not."""
    try:
        return same(value, expected, tolerance)
    except WrongForm:
        return False


def _wrong(value: Any, expected: Any) -> WrongForm:
    return WrongForm(f"{describe(value)} instead of {describe(expected)}")


def _same_text(value: Any, expected: str) -> bool:
    if not isinstance(value, str):
        raise _wrong(value, expected)
    return value.strip() == expected


def _same_mapping(value: Any, expected: Mapping, tolerance: float) -> bool:
    if not isinstance(value, (Mapping, pd.Series)):
        raise _wrong(value, expected)
    value = dict(value.items())
    if value.keys() != expected.keys():
        missing = [_key(key) for key in expected if key not in value]
        surplus = [_key(key) for key in value if key not in expected]
        parts = [("missing", missing), ("surplus", surplus)]
        raise WrongForm(
            "a dictionary with other keys than expected; "
            + "; ".join(f"{word}: {listed(keys)}" for word, keys in parts if keys)
        )
    return all(
        _same_part(value[key], expected[key], tolerance, f"a dictionary whose {_key(key)}")
        for key in expected
    )


def _same_part(value: Any, expected: Any, tolerance: float, place: str) -> bool:
    """Whether a part equals the expected one; if it cannot be compared, say which part it is."""
    try:
        return same(value, expected, tolerance)
    except WrongForm as form:
        raise WrongForm(f"{place} is {form}") from None


def _same_set(value: Any, expected: Iterable) -> bool:
    items = _items(value)
    if items is None:
        raise _wrong(value, expected)
    try:
        return set(items) == set(expected)
    except TypeError:  # lists in a list
        raise _wrong(value, expected) from None


def _same_sequence(value: Any, expected: list | tuple, tolerance: float) -> bool:
    unordered = isinstance(value, (Mapping, set, frozenset, str))
    items = None if unordered else _items(value)
    if items is None or len(items) != len(expected):
        raise _wrong(value, expected)
    ours, theirs = numbers(expected), numbers(items)
    if ours is not None and theirs is not None:
        if ours.shape != theirs.shape:
            each = f"{describe(value)}, each of them {describe(items[0])},"
            raise WrongForm(f"{each} instead of {describe(expected)}")
        return _same_numbers(items, expected, max(tolerance, 4 * _precision(value)))
    kind = describe(value).partition(" of ")[0]
    return all(
        _same_part(a, b, tolerance, f"{kind} whose item {k}")
        for k, (a, b) in enumerate(zip(items, expected, strict=True))
    )


def _same_numbers(value: Any, expected: Any, tolerance: float) -> bool:
    ours, theirs = numbers(expected), numbers(value)
    if ours is None:
        return _same_object(value, expected)
    if theirs is None or (theirs.shape != ours.shape and (theirs.size, ours.ndim) != (1, 0)):
        raise _wrong(value, expected)
    finite = np.abs(ours[np.isfinite(ours)])
    scale = max(finite.max(), 0) if finite.size else 0
    coarse = 4 * max(_precision(value), _precision(expected))
    allowed = max(tolerance, coarse) * scale + FLOOR
    return np.allclose(theirs.reshape(ours.shape), ours, rtol=0, atol=allowed, equal_nan=True)


def _same_object(value: Any, expected: Any) -> bool:
    """Whether a value without numbers alone, such as a table of names, is the expected one."""
    if isinstance(expected, (pd.DataFrame, pd.Series)):
        return isinstance(value, type(expected)) and value.equals(expected)
    return type(value) is type(expected) and np.array_equal(value, expected)


def _precision(value: Any) -> float:
    """The relative precision of half floats; 0 for others, which the tolerance covers."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = torch.as_tensor(np.asarray(value)) if value.dtype == np.float16 else None
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return torch.finfo(value.dtype).eps if half else 0


def _items(value: Any) -> list | None:
    """The items of a list, tuple, set, tensor, array or column, as plain Python values."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().tolist()
    elif isinstance(value, (np.ndarray, pd.Series, pd.Index)):
        value = value.tolist()
    elif not isinstance(value, (list, tuple, set, frozenset, range, *_VIEWS)):
        return None
    if not isinstance(value, Iterable):  # a tensor without dimensions
        return None
    return [x.item() if isinstance(x, np.generic) or _is_scalar(x) else x for x in value]


_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 0


def converted(value: Any, like: Any) -> Any:
    """Return a value in the type of another that :func:`same` compares it with.

    Example:
        >>> converted(torch.tensor(0.5), 1.0), converted((3, 4), [0]), converted([1, 2], torch.zeros(2))
        (0.5, [3, 4], tensor([1., 2.]))
    """
    if isinstance(value, type(like)) or (isinstance(like, (int, float)) and _is_plain(value)):
        return value
    if isinstance(like, Mapping):
        first = next(iter(like.values()), None)
        return {key: converted(part, first) for key, part in dict(value).items()}
    if isinstance(like, (list, tuple, set, frozenset)):
        items = _items(value)
        return value if items is None else type(like)(items)
    found = numbers(value)
    if found is None:
        return value
    if isinstance(like, torch.Tensor):
        return torch.as_tensor(found).to(like.dtype)
    return found.item() if found.size == 1 else found


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def numbers(value: Any) -> np.ndarray | None:
    """Return a value as float64 array; None if it holds anything but numbers."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy() if not value.is_complex() else None
    if isinstance(value, (list, tuple)):
        parts = [part for part in map(numbers, value) if part is not None]
        alike = len(parts) == len(value) and len({part.shape for part in parts}) <= 1
        return np.array(parts, dtype=np.float64) if alike else None
    if isinstance(value, (bool, int, float, np.generic, np.ndarray, pd.Series, pd.DataFrame)):
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            return None
    return None


def describe(value: Any) -> str:
    """Return what a value is, such as ``a tensor [3, 4]``.

    Example:
        >>> describe(torch.zeros(3, 4)), describe([1, 2]), describe("a"), describe(None)
        ('a tensor [3, 4]', 'a list of 2 items', "the text 'a'", 'None')
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        return f"{kind} {list(value.shape)}" if value.ndim else f"{kind} of one number"
    if isinstance(value, pd.DataFrame):
        return f"a table of {len(value)} rows and {value.shape[1]} columns"
    if isinstance(value, (list, tuple, set, frozenset, pd.Series)):
        kind = "column" if isinstance(value, pd.Series) else type(value).__name__
        return f"a {kind} of {len(value)} item{'s' if len(value) != 1 else ''}"
    if isinstance(value, Mapping):
        return f"a dictionary of {len(value)} item{'s' if len(value) != 1 else ''}"
    return _describe_scalar(value)


def _describe_scalar(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the text {textwrap.shorten(value, 30)!r}"
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    if isinstance(value, (int, float, np.number)):
        return "a number"
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.nn.Module):
        return f"a model ({type(value).__name__})"
    if callable(value):
        return "a function"
    return f"a value of type {type(value).__name__}"


@dataclass(frozen=True)
class Shortened:
    """What is printed in place of a large value."""

    text: str


def listed(texts: Sequence[str], n: str | None = None) -> str:
    """Return texts in one line, and how many there are if some are left out, or ``n`` in any case.

    Example:
        >>> listed(["a", "b"]), listed("abcdefgh"), listed("ab", "2 of 3")
        ('a, b', 'a, b, c, d, e, f, … (8 in all)', 'a, b (2 of 3)')
    """
    left_out = len(texts) > NAMES
    n = n or (f"{len(texts)} in all" if left_out else None)
    return ", ".join(texts[:NAMES]) + ", …" * left_out + (f" ({n})" if n else "")


def cut(value: Any, expected: Any, tolerance: float) -> tuple[Any, Any, list[str], int]:
    """Cut two values of the same form to what differs in them.

    Returns:
        both, with at most three of the values of a dictionary, and of a large tensor the place that
        differs most; the names of all values in a dictionary that differ, if some are left out; the
        number of its values.

    Example:
        >>> cut({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}}, 1e-4)
        ({'b': {'d': 3}}, {'b': {'d': 4}}, ["'b' 'd'"], 3)
    """
    theirs, ours = dict(_leaves(value)), dict(_leaves(expected))
    if theirs.keys() != ours.keys() or () in ours:
        return *_cut_numbers(value, expected, FEW), [], 1
    differ = [path for path in ours if not agree(theirs[path], ours[path], tolerance)]
    few = FEW if len(differ) == 1 else FEW // LEAVES
    shown = {path: _cut_numbers(theirs[path], ours[path], few) for path in differ[:LEAVES]}
    names = [" ".join(map(_key, path)) for path in differ]
    return (
        _nested({path: pair[0] for path, pair in shown.items()}),
        _nested({path: pair[1] for path, pair in shown.items()}),
        [] if len(shown) == len(ours) else names,
        len(ours),
    )


def _leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """The values in nested dictionaries, each with its keys."""
    if not isinstance(value, (Mapping, pd.Series)):
        yield path, value
        return
    for key, part in value.items():
        yield from _leaves(part, (*path, key))


def _nested(leaves: Mapping[tuple, Any]) -> dict:
    """The nested dictionaries that values with their keys come from."""
    found: dict = {}
    for path, value in leaves.items():
        inside = found
        for key in path[:-1]:
            inside = inside.setdefault(key, {})
        inside[path[-1]] = value
    return found


def _cut_numbers(value: Any, expected: Any, few: int) -> tuple[Any, Any]:
    """Two values as they are; of more than a few numbers only the place that differs most."""
    theirs, ours = numbers(value), numbers(expected)
    tables = isinstance(value, pd.DataFrame) or isinstance(expected, pd.DataFrame)
    if tables or theirs is None or ours is None or theirs.shape != ours.shape or ours.size <= few:
        return value, expected
    gaps = np.nan_to_num(np.abs(theirs - ours), nan=np.inf)
    place = np.unravel_index(int(gaps.argmax()), ours.shape)
    at = ", ".join(map(str, map(int, place)))
    return (
        Shortened(f"{describe(value)} with {show(float(theirs[place]))} at [{at}]"),
        Shortened(f"{describe(expected)} with {show(float(ours[place]))} at [{at}]"),
    )


def show(value: Any) -> str:
    """Return a value in few characters: small ones in full, large ones by their shape.

    Example:
        >>> print(show({"w": torch.tensor([0.5, 1 / 3]), "n": torch.zeros(99, 3)}))
        {'w': tensor([0.5, 0.3333]), 'n': a tensor [99, 3]}
    """
    if isinstance(value, Shortened):
        return value.text
    if isinstance(value, (torch.Tensor, np.ndarray)):
        found = numbers(value)
        if found is None or not 0 < found.size <= FEW:
            return describe(value)
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        return f"{kind}({show(value.tolist())})"
    if isinstance(value, pd.DataFrame):
        return show_table(value)
    if isinstance(value, (Mapping, pd.Series)):
        return "{" + ", ".join(f"{_key(k)}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return _show_items(value)
    return _show_scalar(value)


def _key(key: Any) -> str:
    return repr(key) if isinstance(key, str) else show(key)


def _show_items(value: Any) -> str:
    ordered = isinstance(value, (list, tuple))
    items = list(value) if ordered else sorted(value, key=str)
    shown = [show(item) for item in items[: 3 * FEW]]
    if len(items) > 3 * FEW:
        shown.append("...")
    inside = ", ".join(shown)
    if ordered and len(items) > LEAVES and len(inside) > LONG and not all(map(_is_small, items)):
        inside = f"{', '.join(shown[:2])}, … ({len(items)} in all)"
    if not ordered:
        return f"{{{inside}}}"
    return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"


def _is_small(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, np.generic)) or value is None


def _show_scalar(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.4g}" if abs(value) < 1000 else f"{float(value):,.1f}"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, str):
        return repr(textwrap.shorten(value, 60))
    return describe(value)


def show_table(table: pd.DataFrame) -> str:
    """Return a small table as text, below the line that it belongs to; a large one by its shape."""
    if len(table) > FEW or table.shape[1] > 6:
        return describe(table)
    text = table.to_string(float_format=lambda x: f"{x:.4g}")
    return "\n" + textwrap.indent(text, "    ")
