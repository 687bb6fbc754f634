"""Exercises of chapter 12, What holds."""

from __future__ import annotations

import math
import statistics

from wiseft_lite.book.claims.rules import FAILS, HOLDS, UNDECIDED, interval
from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-3) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _judge(low, high):
    if low > 0:
        return HOLDS
    return FAILS if high < 0 else UNDECIDED


judge = Exercise(
    "12.1",
    claims=[
        (
            "an interval that lies wholly below 0 is clear evidence against the claim; a claim has a direction.",
            lambda f: f(-3.0, -1.0) != HOLDS,
        ),
        (
            "the middle of the interval lies above 0, but so small a gain may be chance: 0 is inside.",
            lambda f: f(-0.5, 2.5) != HOLDS,
        ),
        (
            "an interval with 0 inside does not refute a claim; it decides nothing.",
            lambda f: f(-0.5, 2.5) != FAILS and f(-2.5, 0.5) != FAILS,
        ),
        (
            "above 0 the claim 'holds', below 0 it 'does not hold here', otherwise it is 'undecided here'.",
            lambda f: [f(1.0, 3.0), f(-3.0, -1.0), f(-1.0, 1.0)] == [HOLDS, FAILS, UNDECIDED],
        ),
    ],
    solution=_judge,
    wrong=[
        (lambda low, high: HOLDS if low > 0 or high < 0 else UNDECIDED, "a claim has a direction"),
        (lambda low, high: HOLDS if low + high > 0 else FAILS, "may be chance"),
        (lambda low, high: HOLDS if low > 0 else FAILS, "does not refute"),
        (lambda low, high: "yes" if low > 0 else "no", "otherwise it is 'undecided here'"),
    ],
)

_FIVE = [2.0, 3.0, 4.0, 3.5, 2.5]


def _spread(values, factor, ddof=1, root=True):
    sd = statistics.stdev(values) if ddof else statistics.pstdev(values)
    half = factor * sd / (math.sqrt(len(values)) if root else 1)
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def _is(f, other):
    return all(_near(a, b) for a, b in zip(f(_FIVE), other, strict=True))


seeds = Exercise(
    "12.2",
    claims=[
        (
            "that is where single runs fall; the interval for their mean is narrower by the root of their number.",
            lambda f: (
                not _is(f, _spread(_FIVE, 1.645, root=False))
                and not _is(f, _spread(_FIVE, 2.132, root=False))
            ),
        ),
        (
            "1.645 is for many runs; with five the spread itself is only estimated: use t with 4 degrees of freedom.",
            lambda f: not _is(f, _spread(_FIVE, 1.645)),
        ),
        (
            "the mean was fitted to the same five values: divide the squares by 4, as statistics.stdev does.",
            lambda f: not _is(f, _spread(_FIVE, 2.132, ddof=0)),
        ),
        (
            "mean plus and minus 2.132 * stdev / sqrt(5): for this example from 2.25 to 3.75.",
            lambda f: _is(f, interval(_FIVE)),
        ),
    ],
    solution=interval,
    wrong=[
        (lambda v: _spread(v, 1.645, root=False), "where single runs fall"),
        (lambda v: _spread(v, 1.645), "1.645 is for many runs"),
        (lambda v: _spread(v, 2.132, ddof=0), "divide the squares by 4"),
        (lambda v: (min(v), max(v)), "2.132 * stdev / sqrt(5)"),
    ],
)

# Of 400 images 60 are won by the second model and 40 lost: a gain of 5 points.
_WON, _LOST, _N = 60, 40, 400


def _paired(won, lost, n):
    apart, gain = (won + lost) / n, (won - lost) / n
    return 100 * 1.96 * math.sqrt((apart - gain**2) / n)


images = Exercise(
    "12.3",
    claims=[
        (
            "that is the variance; the interval needs its root.",
            lambda f: not _near(f(_WON, _LOST, _N), 100 * 1.96 * (0.25 - 0.05**2) / _N, 0.02),
        ),
        (
            "that treats the two models as if they were tested on different images; an image that both get right "
            "does not change their difference.",
            lambda f: not 6.0 < f(_WON, _LOST, _N) < 7.5,
        ),
        (
            "the interval is for points: multiply the fraction by 100.",
            lambda f: f(_WON, _LOST, _N) > 0.1,
        ),
        (
            "that is one standard error; the interval reaches 1.96 of them to either side.",
            lambda f: not _near(f(_WON, _LOST, _N), _paired(_WON, _LOST, _N) / 1.96, 0.02),
        ),
        (
            "100 of 400 images differ: 196 * sqrt((0.25 - 0.05**2) / 400) is 4.9 points.",
            lambda f: _near(f(_WON, _LOST, _N), _paired(_WON, _LOST, _N), 0.03),
        ),
    ],
    solution=_paired,
    wrong=[
        (
            lambda won, lost, n: 100 * 1.96 * ((won + lost) / n - ((won - lost) / n) ** 2) / n,
            "variance",
        ),
        (lambda won, lost, n: 100 * 1.96 * math.sqrt(2 * 0.25 / n), "tested on different images"),
        (lambda won, lost, n: _paired(won, lost, n) / 100, "multiply the fraction by 100"),
        (lambda won, lost, n: _paired(won, lost, n) / 1.96, "one standard error"),
        (lambda won, lost, n: 196 * math.sqrt(won / n / n), "100 of 400 images differ"),
    ],
)

chance = Exercise(
    "12.4",
    claims=[
        (
            "an interval of 90 % misses the truth in 10 % of cases, but only half of the misses lie on the claim's side.",
            lambda n: n != 4,
        ),
        (
            "that many intervals will contain 0, as they should; the question is about those that lie above it.",
            lambda n: n not in (36, 38),
        ),
        (
            "five in a hundred is rare, but forty tries are many: some succeed by chance.",
            lambda n: n != 0,
        ),
        ("5 % of 40.", lambda n: n == 2),
    ],
    solution=2,
    wrong=[
        (4, "only half of the misses"),
        (36, "as they should"),
        (0, "succeed by chance"),
        (20, "5 % of 40"),
    ],
)

no_effect = choice(
    "12.5",
    "D",
    {
        "A": "0 inside the interval does not make 0 the answer: the data fit +2.9 just as well as they fit 0.",
        "B": "the interval leans to one side, but it is no proof as long as it contains 0.",
        "C": "the 95 % belong to the method, over many repetitions; they are not a chance that the gain is above 0.",
    },
)

ALL = [judge, seeds, images, chance, no_effect]
