"""Exercises that are answered by a number or by a letter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wiseft_lite.book.checks.exercise import Exercise
from wiseft_lite.book.checks.values import converted, describe, numbers, show

# What a check reports about a number. The built pages judge numbers too, and fill in the same texts.
KNOWN = "Yours is {shown}: {reason}"
UNKNOWN = "{shown} is not right."
MALFORMED = "The answer is {what}; yours is {given}."
COMMA = "Write a decimal point, as in 0.75. A comma separates thousands, as in 1,067."

THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?")
WITH_COMMA = re.compile(r"[+-]?[0-9.]*,[0-9.,]*")


class Number(Exercise):
    """An exercise that is answered by a number, or by several in brackets.

    Args:
        name: on the page.
        solution: the number, or a tuple.
        wrong: wrong numbers, each with the sentence that names its misconception.
        tolerance: how far a right answer may be from the solution (default: a hundredth of it).

    Example:
        >>> speed = Number("0.1", 20.0, [(72, "that is in km/h.")])
        >>> speed.verdict("20.1") is None, speed.verdict(72.0)
        (True, 'Yours is 72: that is in km/h.')
        >>> speed.verdict("20,1")
        'Write a decimal point, as in 0.75. A comma separates thousands, as in 1,067.'
    """

    def __init__(
        self,
        name: str,
        solution: float | tuple[float, ...],
        wrong: Sequence[tuple[Any, str]] = (),
        tolerance: float | None = None,
    ):
        self.name, self.solution, self.wrong = name, solution, wrong
        self.tolerance = tolerance
        self.noun = "numbers" if np.ndim(solution) else "number"

    def untouched(self, answer: Any) -> str | None:
        """Return "still blank" for None and dots; see :class:`Exercise`."""
        return "still blank" if answer is None or answer is ... else None

    def usable(self, answer: Any) -> Any:
        """Return a right number as one of Python."""
        given = _parsed(answer)
        return converted(answer if given is None else given, self.solution)

    def verdict(self, answer: Any, seed: int | None = None) -> str | None:
        """Return None for a right number, else a message; see :class:`Exercise`."""
        given, wanted = _parsed(answer), np.asarray(self.solution, dtype=np.float64)
        if given is None or (given.size != wanted.size):
            if isinstance(answer, str) and WITH_COMMA.fullmatch(_typed(answer)):
                return COMMA
            what = f"{wanted.size} numbers in brackets" if wanted.size > 1 else "a number"
            return MALFORMED.format(what=what, given=describe(answer))
        given = given.reshape(wanted.shape)
        if _near(given, wanted, self.tolerance):
            return None
        shown = show(given.tolist() if given.ndim else float(given))
        known = [(np.asarray(value, dtype=np.float64), text) for value, text in self.wrong]
        reasons = [
            (float(np.abs(given - value).max()), text)
            for value, text in known
            if self.means(given, value)
        ]
        if reasons:
            return KNOWN.format(shown=shown, reason=min(reasons)[1])
        return UNKNOWN.format(shown=shown)

    def margins(self, value: Any) -> list[float]:
        """Return how far an answer may be from a wrong number, in each part, to be taken for it.

        It is a hundredth, or half of the way to the solution if that is less: an answer between the
        two is neither.
        """
        parts = zip(np.ravel(value).tolist(), np.ravel(self.solution).tolist(), strict=True)
        return [
            min(allowed_error(part), abs(part - right) / 2 if part != right else math.inf)
            for part, right in parts
        ]

    def means(self, given: np.ndarray, value: np.ndarray) -> bool:
        """Return whether an answer is so near to a wrong number that its misconception is named."""
        return bool((np.abs(given - value).ravel() <= self.margins(value)).all())


def allowed_error(value: float, tolerance: float | None = None) -> float:
    """Return how far an answer may be from a number (default: a hundredth of it)."""
    return 0.01 * abs(value) + 1e-9 if tolerance is None else tolerance


def _near(given: np.ndarray, value: np.ndarray, tolerance: float | None = None) -> bool:
    allowed = [allowed_error(part, tolerance) for part in value.flat]
    return bool((np.abs(given - value).ravel() <= allowed).all())


def _typed(answer: str) -> str:
    """A number in quotes without its percent sign, and with the minus sign of a keyboard."""
    return answer.replace("\N{MINUS SIGN}", "-").rstrip("% ").strip()


def _parsed(answer: Any) -> np.ndarray | None:
    """A number, also in a tensor or in quotes, with or without a percent sign."""
    if isinstance(answer, str):
        text = _typed(answer)
        if THOUSANDS.fullmatch(text):
            text = text.replace(",", "")
        try:
            return np.asarray(float(text))
        except ValueError:
            return None
    return None if isinstance(answer, bool) else numbers(answer)


class Choice(Exercise):
    """A multiple-choice exercise; every wrong letter has its own explanation.

    Args:
        name: on the page.
        solution: the right letter.
        wrong: each other letter, with its explanation.

    Example:
        >>> Choice("0.1", "A", {"B": "that is the speed.", "C": "that is the mass."}).verdict("b")
        'B: that is the speed.'
    """

    noun = "letter"

    def __init__(self, name: str, solution: str, wrong: Mapping[str, str]):
        self.name, self.solution, self.wrong = name, solution, wrong

    def untouched(self, answer: Any) -> str | None:
        """Return "still blank" for None and dots; see :class:`Exercise`."""
        return "still blank" if answer is None or answer is ... else None

    def verdict(self, answer: Any, seed: int | None = None) -> str | None:
        """Return None for the right letter, else a message; see :class:`Exercise`."""
        letter = re.sub(r"[^A-Z]", "", answer.upper()) if isinstance(answer, str) else ""
        if letter == self.solution:
            return None
        if letter in self.wrong:
            return f"{letter}: {self.wrong[letter]}"
        letters = ", ".join(sorted([self.solution, *self.wrong]))
        return f"Answer with one of the letters {letters}, in quotes; yours is {describe(answer)}."
