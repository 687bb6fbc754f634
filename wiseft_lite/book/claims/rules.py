"""How a claim is judged: one procedure for both directions.

Each piece of evidence gets two one-sided tests at level ``LEVEL``: that the quantity lies where the
claim says, and that it lies on the other side of a bound. A claim *holds* if all of its pieces do,
so its p-value is the largest among theirs (an intersection-union test, which needs no correction).
It *does not hold here* if any one piece speaks against it, so the smallest of these p-values is
multiplied by their number (Bonferroni). Over all claims of the list each direction is then
corrected by Holm's steps, at ``LEVEL`` for each direction.
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
POWER = 0.8  # with which the smallest effect that could have been seen would have been seen
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
    """Return the interval for the mean of runs like these, ``mean +- t s / sqrt(k)``, with k - 1
    degrees of freedom.

    It answers for chance in training: other seeds, the same test images. A single value gives
    itself. At 90 %, the default, each of its ends is the limit of a one-sided test at 5 %.

    Raises:
        UserError: no values.

    Example:
        >>> [round(x, 2) for x in interval([1.0, 2.0, 3.0])]
        [0.31, 3.69]
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


def p_value(values: Sequence[float], bound: float = 0.0) -> float:
    """Return how often chance alone would speak so clearly for ``mean > bound``: a one-sided t
    test.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0]), 3)
        0.037
    """
    from scipy.stats import t

    distance = statistics.fmean(values) - bound
    error = statistics.stdev(values) / math.sqrt(len(values))
    return float(t.sf(distance / error, len(values) - 1)) if error else float(distance <= 0)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Return which of many tests stay significant when all are judged together, by Holm's steps.

    The smallest of m p-values must lie at or below ``level / m``, the next at or below ``level / (m
    - 1)``, and so on; at the first that fails, all that are left fail. The chance of even one false
    finding then stays below ``level``.

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
        """The estimate, twice; or the smallest and the largest, where several ways of estimating
        are open."""

    def interval(self, level: float = 1 - 2 * LEVEL) -> tuple[float, float]: ...

    def p_above(self, bound: float) -> float:
        """The p-value for lying above ``bound``; that for lying below is ``p_below``."""

    def p_below(self, bound: float) -> float: ...


@dataclass(frozen=True)
class Values:
    """A quantity measured once for each seed, in ``unit``, on ``n`` images each time."""

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
    """A quantity whose uncertainty comes from more than seeds: its interval is a function of the
    level.

    Args:
        estimate: its value.
        bounds: level to interval; the p-value is found from the level at which the interval touches
            a bound.
        unit: of both.
        n: images that it was measured on.
        seeds: runs that it rests on.
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
        """Half of one minus the level at which this end of the interval lies at ``bound``."""
        from scipy.optimize import brentq

        def distance(log_tail: float) -> float:
            return self.bounds(1 - 2 * math.exp(log_tail))[end] - bound

        least, most = math.log(1e-12), math.log(0.5 - 1e-9)
        if distance(least) * distance(most) > 0:
            return 1e-12 if abs(distance(most)) > abs(distance(least)) else 0.5
        return math.exp(brentq(distance, least, most, xtol=1e-4))


@dataclass(frozen=True)
class EveryFit:
    """A quantity that can be estimated in several ways, none of them the right one: it counts what
    holds in all.

    Its interval reaches from the lowest to the highest of theirs, and each p-value is the largest
    of theirs.
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


def could_see(found: Measured, above: bool) -> float:
    """Return how far from its bound a quantity must truly lie to be seen in ``POWER`` of all
    experiments.

    The distance from the estimate to the end of the interval that a test at ``LEVEL`` uses, plus
    that to the end with a tail of ``1 - POWER``: for a mean of many runs ``(1.64 + 0.84) s /
    sqrt(k)``. For one test, not for the list.
    """
    if isinstance(found, EveryFit):
        return max(could_see(fit, above) for fit in found.fits.values())
    ends = [found.interval(1 - 2 * tail)[0 if above else 1] for tail in (LEVEL, 1 - POWER)]
    return sum(abs(found.estimates[0] - end) for end in ends)


@dataclass(frozen=True)
class Derived:
    """A quantity that no chapter records: worked out when it is called.

    Args:
        function: that works it out.
        args: of the function.
        experiments: whose recorded numbers and tables it reads, such as ``("ch07",)``.
    """

    function: Callable[..., Measured]
    args: tuple = ()
    experiments: tuple[str, ...] = ()

    def __call__(self) -> Measured:
        return self.function(*self.args)


Source = str | Derived  # a ledger key, or what is worked out from tables


@dataclass(frozen=True)
class Evidence:
    """One number that a claim stands or falls with, and the region where it must lie.

    Args:
        what: the quantity in words, as the table shows it.
        of: a ledger key, or a quantity worked out from recorded tables.
        minus: a second ledger key, subtracted seed by seed; one that was measured once is
            subtracted from all.
        above: the claim says that the mean is larger than this.
        below: the claim says that the mean is smaller than this.
        gain: what the bounds are fractions of, measured on the same seeds; without it they are in
            the quantity's unit.
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
        """What the ledger says.

        Raises:
            UserError: it has no such entry, or the two do not have the same seeds.
        """
        first = _measured(self.of)
        return (
            first
            if self.minus is None
            else _minus(first, _measured(self.minus), f"{self.of} and {self.minus}")
        )

    def judged(self) -> Piece:
        """Its tests."""
        found = self.measured()
        gain = None if self.gain is None else _measured(self.gain)
        sides = [
            Side(found, bound, above, gain)
            for bound, above in ((self.above, True), (self.below, False))
            if math.isfinite(bound)
        ]
        return Piece(self, found, tuple(sides))

    def verdict(self) -> str:
        """Of this piece alone, before any correction over pieces and claims."""
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
        raise UserError(f"{names} have not the same seeds; measure both on the same")
    others = second.values * (first.seeds if second.seeds == 1 else 1)
    unit = "points" if first.unit == "percent" else first.unit
    return Values(tuple(a - b for a, b in zip(first.values, others, strict=True)), unit, first.n)


@dataclass(frozen=True)
class Side:
    """One bound of a piece of evidence: that the quantity lies above it, or below it.

    Where the bound is a fraction of a gain, ``quantity - bound * gain`` is tested against 0, seed
    by seed, so that the gain's own spread counts.
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
    def sees(self) -> float:
        """How far from the bound the truth must lie to be seen."""
        return could_see(self._tested[0], self.above)

    @property
    def blind(self) -> bool:
        """Whether it allows a difference, and even no difference at all would not be seen to lie
        within it."""
        margin = -self.limit if self.above else self.limit
        return 0 < margin < self.sees


@dataclass(frozen=True)
class Piece:
    """A piece of evidence with what was measured and its tests, one for each bound."""

    evidence: Evidence
    measured: Measured
    sides: tuple[Side, ...]

    @cached_property
    def p_holds(self) -> float | None:
        """The larger of the tests for its bounds, as both must be kept; None for what is exact."""
        return None if self.evidence.exact else max(side.p_holds for side in self.sides)

    @cached_property
    def p_fails(self) -> float | None:
        """The smallest test against a bound, times the number of bounds."""
        return (
            None
            if self.evidence.exact
            else min(1.0, len(self.sides) * min(side.p_fails for side in self.sides))
        )

    @property
    def verdict(self) -> str:
        """Of this piece alone, before any correction over pieces and claims."""
        if self.evidence.exact:
            return (
                HOLDS
                if self.evidence.above < self.measured.estimates[0] < self.evidence.below
                else FAILS
            )
        return _verdict(self.p_holds <= LEVEL, self.p_fails <= LEVEL)

    @property
    def sees(self) -> float | None:
        """The smallest distance from its bound that could have been seen."""
        return None if self.evidence.exact else max(side.sees for side in self.sides)


def _verdict(holds: bool, fails: bool) -> str:
    return HOLDS if holds else FAILS if fails else UNDECIDED


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


@dataclass(frozen=True)
class Judgement:
    """What came out for one claim.

    Args:
        claim: the claim.
        pieces: its evidence, tested.
        p_holds: for the claim; None where there is nothing to test.
        p_fails: against it, corrected over its pieces.
        before: the verdict if it were the only claim.
        verdict: one of ``VERDICTS``, after the correction over all claims.
    """

    claim: Claim
    pieces: tuple[Piece, ...]
    p_holds: float | None
    p_fails: float | None
    before: str
    verdict: str

    @property
    def sees(self) -> float | None:
        """The smallest distance from the bound that could have been seen in every piece: the
        largest of theirs."""
        return max((piece.sees for piece in self.pieces if piece.sees is not None), default=None)


def judge(claims: Sequence[Claim]) -> tuple[Judgement, ...]:
    """Return what came out for each claim, all judged together.

    A claim that stays open cannot be tested here if it allows a difference so small that the seeds
    could not have shown it, were it zero.
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
            elif before == UNDECIDED and any(side.blind for p in pieces[k] for side in p.sides):
                before = verdict = CANNOT
        result.append(Judgement(claim, pieces[k], p_holds.get(k), p_fails.get(k), before, verdict))
    return tuple(result)
