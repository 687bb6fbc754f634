"""How a claim is judged: intervals over seeds against what the claim says must lie above or below."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wiseft_lite import ledger
from wiseft_lite.errors import UserError

HOLDS, FAILS, UNDECIDED, SCALE = "holds", "does not hold here", "undecided here", "needs real scale"
VERDICTS = (HOLDS, FAILS, UNDECIDED, SCALE)


@dataclass(frozen=True)
class Values:
    """A measured quantity: one value for each seed, their unit, and the images that each was measured on."""

    values: tuple[float, ...]
    unit: str
    n: int | None


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval for the mean of runs like these, ``mean +- t s / sqrt(k)``, with k - 1 degrees of freedom.

    It answers for chance in training: other seeds, the same test images. A single value gives itself.

    Raises:
        UserError: no values.

    Example:
        >>> [round(x, 2) for x in interval([1.0, 2.0, 3.0])]
        [-0.48, 4.48]
    """
    from scipy.stats import t

    if not len(values):
        raise UserError("no values, so no interval; give at least one")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, mean
    quantile = float(t.ppf(0.5 + level / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def p_value(values: Sequence[float], above: float = -math.inf, below: float = math.inf) -> float:
    """Return how often chance alone would speak so clearly for ``above < mean < below``: a one-sided t test.

    With both bounds it is the larger of the two tests, as both must hold.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0], above=0), 3)
        0.037
    """
    from scipy.stats import t

    mean, free = statistics.fmean(values), len(values) - 1
    error = statistics.stdev(values) / math.sqrt(len(values))
    distances = [d for d in (mean - above, below - mean) if math.isfinite(d)]
    return max(float(t.sf(d / error, free)) if error else float(d <= 0) for d in distances)


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Return which of many tests stay significant when all are judged together, by Holm's steps.

    The smallest of m p-values must lie at or below ``level / m``, the next at or below ``level / (m - 1)``, and so on;
    at the first that fails, all that are left fail. The chance of even one false finding then stays below ``level``.

    Source: Holm 1979.

    Example:
        >>> holm([0.001, 0.04, 0.02])
        [True, True, True]
        >>> holm([0.03, 0.04, 0.02])
        [False, False, False]
    """
    kept = [False] * len(p_values)
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > level / (len(p_values) - step):
            break
        kept[place] = True
    return kept


@dataclass(frozen=True)
class Evidence:
    """One number that a claim stands or falls with, and the region where it must lie.

    Args:
        what: the quantity in words, as the table shows it.
        of: a ledger key, or a function that computes ``Values`` from recorded tables.
        minus: a second ledger key, subtracted seed by seed; one that was measured once is subtracted from all.
        above: the claim says that the mean is larger than this.
        below: the claim says that the mean is smaller than this.
        exact: an identity or a count that no seed changes, judged by its single value.
    """

    what: str
    of: str | Callable[[], Values]
    minus: str | None = None
    above: float = -math.inf
    below: float = math.inf
    exact: bool = False

    def measured(self) -> Values:
        """What the ledger says.

        Raises:
            UserError: it has no such entry, or the two do not have the same seeds.
        """
        if callable(self.of):
            return self.of()
        first = _entry(self.of)
        if self.minus is None:
            return Values(tuple(first["values"]), first["unit"], first["n"])
        second = _entry(self.minus)
        if len(second["values"]) not in (1, len(first["values"])):
            raise UserError(f"{self.of} and {self.minus} have not the same seeds; measure both on the same")
        others = second["values"] * (len(first["values"]) if len(second["values"]) == 1 else 1)
        unit = "points" if first["unit"] == "percent" else first["unit"]
        return Values(tuple(a - b for a, b in zip(first["values"], others)), unit, first["n"])

    def verdict(self) -> str:
        """``holds`` if the 95 % interval lies inside the region, ``does not hold here`` if outside, else undecided."""
        low, high = interval(self.measured().values)
        if self.above < low and high < self.below:
            return HOLDS
        return FAILS if high < self.above or low > self.below else UNDECIDED

    def p_value(self) -> float | None:
        """Of the claim's side; None for what is exact."""
        return None if self.exact else p_value(self.measured().values, self.above, self.below)


def _entry(key: str) -> dict:
    entries = ledger.read()
    if key not in entries:
        raise UserError(f"the ledger has no entry {key!r}; 'wiseft-lite ledger {key.partition('.')[0]} --run' makes it")
    return entries[key]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Args:
        number: in the book's list.
        says: the claim in a sentence.
        place: where the paper makes it.
        paper: the paper's numbers.
        evidence: all of it must hold for the claim to hold; one piece that fails makes it fail.
        chapter: the notebook that shows it, without its ending.
        needs: what is missing here, if there is no evidence.
    """

    number: int
    says: str
    place: str
    paper: str
    evidence: tuple[Evidence, ...] = ()
    chapter: str = ""
    needs: str = ""

    def verdict(self) -> str:
        """One of ``VERDICTS``, computed."""
        if not self.evidence:
            return SCALE
        verdicts = [piece.verdict() for piece in self.evidence]
        return next((v for v in (FAILS, UNDECIDED) if v in verdicts), HOLDS)

    def p_value(self) -> float | None:
        """The largest among its evidence, as all must hold; None if there is nothing to test."""
        found = [p for piece in self.evidence if (p := piece.p_value()) is not None]
        return max(found) if found else None
