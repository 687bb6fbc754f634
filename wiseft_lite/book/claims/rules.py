"""How a claim is judged: one procedure for both directions.

Each piece of evidence gets two one-sided tests at level ``LEVEL``: that the quantity is where the
claim puts it, and that it is on the other side of a bound. A claim *holds* if all of its pieces do,
so its p-value is the largest of theirs (an intersection-union test, which needs no correction). It
*does not hold here* if any one piece is significantly against it, so the smallest of these p-values
is multiplied by their number (Bonferroni). Over all claims, each direction is then corrected by
Holm's method at ``LEVEL``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from wiseft_lite.book import ledger
from wiseft_lite.errors import UserError

LEVEL = 0.05  # of a one-sided test, and of the whole list in each direction
POWER = 0.8  # of a test for an effect of the detectable size
HOLDS, FAILS, UNDECIDED = "holds", "does not hold here", "undecided here"
CANNOT, SCALE = "cannot be tested here", "needs real scale"
VERDICTS = (HOLDS, FAILS, UNDECIDED, CANNOT, SCALE)
PROCEDURE = {
    "tests": "two, one-sided",
    "level": LEVEL,
    "power": POWER,
    "pieces": "all must hold; Bonferroni for a failure",
    "claims": "Holm, each direction by itself",
}


def interval(values: Sequence[float], level: float = 1 - 2 * LEVEL) -> tuple[float, float]:
    """Return the interval for a mean, ``mean +- t s / sqrt(k)``, with k - 1 degrees of freedom.

    It covers the randomness of training: other seeds, the same test images. The interval of a
    single value is that value. At 90 %, the default, each end is the limit of a one-sided test at
    5 %.

    Raises:
        UserError: no values.

    Example:
        >>> [round(x, 2) for x in interval([1.0, 2.0, 3.0])]
        [0.31, 3.69]
    """
    from scipy.stats import t

    if not len(values):
        raise UserError("an interval needs values; give at least one")
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, mean
    quantile = float(t.ppf(0.5 + level / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def p_value(values: Sequence[float], bound: float = 0.0) -> float:
    """Return the p-value of a one-sided t test for ``mean > bound``.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0]), 3)
        0.037
    """
    from scipy.stats import t

    distance = statistics.fmean(values) - bound
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(t.sf(distance / error, len(values) - 1)) if error else float(distance <= 0)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Return which of many tests are significant together, by Holm's method.

    The smallest of m p-values must be at most ``level / m``, the next at most ``level / (m - 1)``,
    and so on; after the first that is larger, all others fail. The probability of one or more false
    positives is then at most ``level``.

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


class Measured(Protocol):
    """A measured quantity with its interval and its tests."""

    unit: str
    n: int | None

    @property
    def seeds(self) -> int: ...

    @property
    def estimates(self) -> tuple[float, float]:
        """The estimate, twice; or the smallest and the largest of several estimates."""

    def interval(self, level: float = 1 - 2 * LEVEL) -> tuple[float, float]: ...

    def p_above(self, bound: float) -> float:
        """Return the p-value for lying above ``bound``; ``p_below`` is that for lying below."""

    def p_below(self, bound: float) -> float: ...


@dataclass(frozen=True)
class Values:
    """A quantity measured once per seed, in ``unit``, on ``n`` images each time."""

    values: tuple[float, ...]
    unit: str
    n: int | None

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def estimates(self) -> tuple[float, float]:
        mean = statistics.fmean(self.values)
        return mean, mean

    def interval(self, level: float = 1 - 2 * LEVEL) -> tuple[float, float]:
        return interval(self.values, level)

    def p_above(self, bound: float) -> float:
        return p_value(self.values, bound)

    def p_below(self, bound: float) -> float:
        return p_value([-v for v in self.values], -bound)


@dataclass(frozen=True)
class IntervalEstimate:
    """A quantity with an interval for every level, for uncertainty beyond that of the seeds.

    Args:
        estimate: its value.
        bounds: level to interval; the level at which the interval touches a bound gives the
            p-value.
        unit: of both.
        n: images that it was measured on.
        seeds: number of runs.
    """

    estimate: float
    bounds: Callable[[float], tuple[float, float]]
    unit: str
    n: int | None
    seeds: int

    @property
    def estimates(self) -> tuple[float, float]:
        return self.estimate, self.estimate

    def interval(self, level: float = 1 - 2 * LEVEL) -> tuple[float, float]:
        return self.bounds(level)

    def p_above(self, bound: float) -> float:
        return self._tail(0, bound) if bound < self.estimate else 1 - self._tail(1, bound)

    def p_below(self, bound: float) -> float:
        return self._tail(1, bound) if bound > self.estimate else 1 - self._tail(0, bound)

    def _tail(self, end: int, bound: float) -> float:
        """Return half of one minus the level at which this end of the interval is ``bound``."""
        from scipy.optimize import brentq

        def distance(log_tail: float) -> float:
            return self.bounds(1 - 2 * math.exp(log_tail))[end] - bound

        least, most = math.log(1e-12), math.log(0.5 - 1e-9)
        if distance(least) * distance(most) > 0:
            return 1e-12 if abs(distance(most)) > abs(distance(least)) else 0.5
        return math.exp(brentq(distance, least, most, xtol=1e-4))


@dataclass(frozen=True)
class EveryFit:
    """A quantity with several estimates, none of which is preferred: only what holds for all counts.

    Its interval spans all of their intervals, and each p-value is the largest of theirs.
    """

    fits: Mapping[str, IntervalEstimate]

    @property
    def unit(self) -> str:
        return next(iter(self.fits.values())).unit

    @property
    def n(self) -> int | None:
        return next(iter(self.fits.values())).n

    @property
    def seeds(self) -> int:
        return next(iter(self.fits.values())).seeds

    @property
    def estimates(self) -> tuple[float, float]:
        found = [fit.estimate for fit in self.fits.values()]
        return min(found), max(found)

    def interval(self, level: float = 1 - 2 * LEVEL) -> tuple[float, float]:
        lows, highs = zip(*(fit.interval(level) for fit in self.fits.values()), strict=True)
        return min(lows), max(highs)

    def p_above(self, bound: float) -> float:
        return max(fit.p_above(bound) for fit in self.fits.values())

    def p_below(self, bound: float) -> float:
        return max(fit.p_below(bound) for fit in self.fits.values())


def detectable_effect(found: Measured, above: bool) -> float:
    """Return the true distance from a bound that one test at ``LEVEL`` detects with ``POWER``.

    The distance from the estimate to the end of the interval that the test uses, plus that to the
    end with a tail of ``1 - POWER``: for a mean of many runs ``(1.64 + 0.84) s / sqrt(k)``. There
    is no correction for the number of tests.
    """
    if isinstance(found, EveryFit):
        return max(detectable_effect(fit, above) for fit in found.fits.values())
    ends = [found.interval(1 - 2 * tail)[0 if above else 1] for tail in (LEVEL, 1 - POWER)]
    return sum(abs(found.estimates[0] - end) for end in ends)


@dataclass(frozen=True)
class Derived:
    """A quantity that is not in the ledger, but computed from recorded tables when called.

    Args:
        function: that computes it.
        args: of the function.
        experiments: whose recorded numbers and tables it reads, such as ``("ch07",)``.
    """

    function: Callable[..., Measured]
    args: tuple = ()
    experiments: tuple[str, ...] = ()

    def __call__(self) -> Measured:
        return self.function(*self.args)


Source = str | Derived  # a ledger key, or a quantity computed from tables


@dataclass(frozen=True)
class Evidence:
    """A number that a claim depends on, and the region where it must be.

    Args:
        what: the quantity in words, as the table shows it.
        of: a ledger key, or a quantity computed from recorded tables.
        minus: a second ledger key, subtracted seed by seed; a single value is subtracted from all.
        above: the claim is that the mean is larger than this.
        below: the claim is that the mean is smaller than this.
        gain: the bounds are fractions of this quantity, measured on the same seeds; without it they
            are in the quantity's unit.
        exact: an identity or a count that no seed changes, judged by its single value.
    """

    what: str
    of: Source
    minus: str | None = None
    above: float = -math.inf
    below: float = math.inf
    gain: Source | None = None
    exact: bool = False

    def measured(self) -> Measured:
        """Return the quantity from the ledger.

        Raises:
            UserError: the ledger has no such entry, or the two entries have other seeds.
        """
        first = _measured(self.of)
        if self.minus is None:
            return first
        return _minus(first, _measured(self.minus), f"{self.of} and {self.minus}")

    def judged(self) -> Piece:
        """Return the quantity with its tests."""
        found = self.measured()
        gain = None if self.gain is None else _measured(self.gain)
        sides = [
            Side(found, bound, above, gain)
            for bound, above in ((self.above, True), (self.below, False))
            if math.isfinite(bound)
        ]
        return Piece(self, found, tuple(sides))

    def verdict(self) -> str:
        """Return the verdict on this piece alone, before any correction."""
        return self.judged().verdict


def _measured(source: Source) -> Measured:
    if isinstance(source, Derived):
        return source()
    entries = ledger.read()
    if source not in entries:
        raise UserError(
            f"the ledger has no entry {source!r}; 'wiseft-lite ledger {source.partition('.')[0]} --run' makes it"
        )
    entry = entries[source]
    return Values(tuple(entry["values"]), entry["unit"], entry["n"])


def _minus(first: Values, second: Values, names: str) -> Values:
    if second.seeds not in (1, first.seeds):
        raise UserError(f"{names} have different seeds; measure both on the same seeds")
    others = second.values * (first.seeds if second.seeds == 1 else 1)
    unit = "points" if first.unit == "percent" else first.unit
    return Values(tuple(a - b for a, b in zip(first.values, others, strict=True)), unit, first.n)


@dataclass(frozen=True)
class Side:
    """A test of one bound of a piece of evidence: the quantity is above it, or below it.

    Where the bound is a fraction of a gain, ``quantity - bound * gain`` is tested against 0, seed
    by seed, so that the spread of the gain is included.
    """

    found: Measured
    bound: float
    above: bool
    gain: Measured | None = None

    @cached_property
    def _tested(self) -> tuple[Measured, float]:
        if self.gain is None:
            return self.found, self.bound
        scaled = Values(
            tuple(self.bound * g for g in self.gain.values), self.gain.unit, self.gain.n
        )
        return _minus(self.found, scaled, "a quantity and its gain"), 0.0

    @cached_property
    def p_holds(self) -> float:
        quantity, bound = self._tested
        return quantity.p_above(bound) if self.above else quantity.p_below(bound)

    @cached_property
    def p_fails(self) -> float:
        quantity, bound = self._tested
        return quantity.p_below(bound) if self.above else quantity.p_above(bound)

    @property
    def limit(self) -> float:
        """The bound in the quantity's unit."""
        return self.bound * (1.0 if self.gain is None else self.gain.estimates[0])

    @property
    def detectable(self) -> float:
        """The true distance from the bound that would be detected."""
        return detectable_effect(self._tested[0], self.above)

    @property
    def underpowered(self) -> bool:
        """Whether the bound allows a difference that is smaller than the detectable one.

        Then even a true difference of zero would not be shown to be within the bound.
        """
        margin = -self.limit if self.above else self.limit
        return 0 < margin < self.detectable


@dataclass(frozen=True)
class Piece:
    """A piece of evidence with its measured value and its tests, one per bound."""

    evidence: Evidence
    measured: Measured
    sides: tuple[Side, ...]

    @cached_property
    def p_holds(self) -> float | None:
        """The larger p-value of its bounds, as both must hold; None if the evidence is exact."""
        return None if self.evidence.exact else max(side.p_holds for side in self.sides)

    @cached_property
    def p_fails(self) -> float | None:
        """The smallest p-value against a bound, times the number of bounds."""
        if self.evidence.exact:
            return None
        return min(1.0, len(self.sides) * min(side.p_fails for side in self.sides))

    @property
    def verdict(self) -> str:
        """The verdict on this piece alone, before any correction over pieces and claims."""
        if self.p_holds is None or self.p_fails is None:  # exact
            value = self.measured.estimates[0]
            return HOLDS if self.evidence.above < value < self.evidence.below else FAILS
        return _verdict(self.p_holds <= LEVEL, self.p_fails <= LEVEL)

    @property
    def detectable(self) -> float | None:
        """The true distance from its bounds that would be detected; None if exact."""
        return None if self.evidence.exact else max(side.detectable for side in self.sides)


def _verdict(holds: bool, fails: bool) -> str:
    if holds:
        return HOLDS
    return FAILS if fails else UNDECIDED


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Args:
        number: in the book's list.
        statement: the claim in a sentence.
        place: in the paper.
        paper: the paper's numbers.
        evidence: for the claim to hold, all of it must hold; if one piece fails, it fails.
        chapter: the notebook that shows it, without its suffix.
        needs: what is missing here, if there is no evidence.
    """

    number: int
    statement: str
    place: str
    paper: str
    evidence: tuple[Evidence, ...] = ()
    chapter: str = ""
    needs: str = ""


class Ruled(Protocol):
    """What can be judged: a claim of the paper, or a rule of the second witness."""

    @property
    def number(self) -> int: ...

    @property
    def evidence(self) -> tuple[Evidence, ...]: ...


@dataclass(frozen=True)
class Judgement:
    """The result for one claim.

    Args:
        claim: the claim, or the rule for public measurements.
        pieces: its evidence, tested.
        p_holds: for the claim; None if there is nothing to test.
        p_fails: against it, corrected over its pieces.
        before: the verdict if it were the only claim.
        verdict: one of ``VERDICTS``, after the correction over all claims.
    """

    claim: Ruled
    pieces: tuple[Piece, ...]
    p_holds: float | None
    p_fails: float | None
    before: str
    verdict: str

    @property
    def detectable(self) -> float | None:
        """The true distance from the bound that would be detected in every piece."""
        distances = [piece.detectable for piece in self.pieces if piece.detectable is not None]
        return max(distances, default=None)


def judge(claims: Sequence[Ruled]) -> tuple[Judgement, ...]:
    """Judge all claims together, and return a result for each.

    An undecided claim cannot be tested here if it allows only a difference that is too small to
    detect with these seeds.
    """
    pieces = [tuple(evidence.judged() for evidence in claim.evidence) for claim in claims]
    holds = [[p.p_holds for p in of if p.p_holds is not None] for of in pieces]
    fails = [
        [side.p_fails for p in of if not p.evidence.exact for side in p.sides] for of in pieces
    ]
    tested = [k for k, p_values in enumerate(holds) if p_values]
    p_holds = {k: max(holds[k]) for k in tested}
    p_fails = {k: min(1.0, len(fails[k]) * min(fails[k])) for k in tested}
    sure = dict(zip(tested, holm(list(p_holds.values())), strict=True))
    refuted = dict(zip(tested, holm(list(p_fails.values())), strict=True))
    result = []
    for k, claim in enumerate(claims):
        if not pieces[k]:
            before = verdict = SCALE
        elif k not in p_holds:
            before = verdict = FAILS if FAILS in [p.verdict for p in pieces[k]] else HOLDS
        else:
            before = _verdict(p_holds[k] <= LEVEL, p_fails[k] <= LEVEL)
            verdict = _verdict(sure[k], refuted[k])
            if FAILS in [p.verdict for p in pieces[k] if p.evidence.exact]:
                before = verdict = FAILS
            elif before == UNDECIDED and any(
                side.underpowered for p in pieces[k] for side in p.sides
            ):
                before = verdict = CANNOT
        result.append(Judgement(claim, pieces[k], p_holds.get(k), p_fails.get(k), before, verdict))
    return tuple(result)
