"""Exercises of chapter 12, What holds."""

from __future__ import annotations

import math
import statistics

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.claims.rules import FAILS, HOLDS, UNDECIDED, interval


def _around(generator, centre):
    half = float(generator.uniform(0.5, 3))
    return centre * half - half, centre * half + half


def _above(generator):
    return _around(generator, float(generator.uniform(1.1, 3)))


def _below(generator):
    return _around(generator, float(generator.uniform(-3, -1.1)))


def _across(generator):
    return _around(generator, float(generator.uniform(0.1, 0.9)) * float(generator.choice([-1, 1])))


def _judge(low, high):
    if low > 0:
        return HOLDS
    return FAILS if high < 0 else UNDECIDED


judge = Code(
    "12.1",
    _judge,
    [_above, _below, _across],
    [
        (
            lambda low, high: HOLDS if low > 0 or high < 0 else UNDECIDED,
            "an interval that lies wholly below 0 is clear evidence against the claim; a claim has a direction.",
        ),
        (
            lambda low, high: HOLDS if low + high > 0 else FAILS,
            "you judge by the middle of the interval; so small a gain may be chance when 0 is inside.",
        ),
        (
            lambda low, high: HOLDS if low > 0 else FAILS,
            "an interval with 0 inside does not refute a claim; it decides nothing.",
        ),
        (
            lambda low, high: HOLDS if low > 0 else UNDECIDED,
            "an interval wholly below 0 is evidence against the claim: it does not hold here.",
        ),
        (
            lambda low, high: HOLDS if high > 0 else FAILS,
            "you ask whether any part of the interval is above 0; all of it must be.",
        ),
        (
            lambda low, high: {HOLDS: FAILS, FAILS: HOLDS}.get(_judge(low, high), UNDECIDED),
            "the two names are swapped: above 0 the claim holds.",
        ),
    ],
)


def _five(generator):
    return (
        (generator.normal(size=5) * generator.uniform(0.5, 3) + generator.uniform(-4, 4)).tolist(),
    )


def _interval(factor, sd, root=True):
    def seeds(values):
        half = factor * sd(values) / (math.sqrt(len(values)) if root else 1)
        return statistics.fmean(values) - half, statistics.fmean(values) + half

    return seeds


def _starter(values):
    half = 2.132 * statistics.pstdev(values)
    return statistics.mean(values) - half, statistics.mean(values) + half


seeds = Code(
    "12.2",
    interval,
    [_five],
    [
        (
            _starter,
            "both faults are still there: the spread is that of five whole values, and single runs scatter more than "
            "their mean.",
        ),
        (
            _interval(2.132, statistics.stdev, root=False),
            "that is where single runs fall; the interval for their mean is narrower by the root of their number.",
        ),
        (
            _interval(1.645, statistics.stdev),
            "1.645 is for many runs; with five the spread itself is only estimated: use t with 4 degrees of freedom.",
        ),
        (
            _interval(2.132, statistics.pstdev),
            "the mean was fitted to the same five values: divide the squares by 4, as statistics.stdev does.",
        ),
        (
            _interval(2.776, statistics.stdev),
            "2.776 is for an interval of 95 %; for 90 % it is 2.132.",
        ),
        (
            _interval(2.132, lambda values: statistics.stdev(values) / math.sqrt(5)),
            "you divide by the root of 5 twice, or by 5; the mean of five scatters less by the root of 5.",
        ),
        (
            lambda values: (min(values), max(values)),
            "those are the smallest and the largest run; the interval is for their mean.",
        ),
        (
            lambda values: 2.132 * statistics.stdev(values) / math.sqrt(5),
            "that is the half width; return both ends, mean minus and mean plus it.",
        ),
    ],
    starter=_starter,
    tolerance=1e-3,
)


def _changes(generator):
    n = int(generator.integers(300, 900))
    won, lost = generator.choice([20, 35, 60, 90], size=2, replace=False).tolist()
    return won, lost, n


def _paired(won, lost, n):
    apart, gain = (won + lost) / n, (won - lost) / n
    return 100 * 1.96 * math.sqrt((apart - gain**2) / n)


images = Code(
    "12.3",
    _paired,
    [_changes],
    [
        (
            lambda won, lost, n: 100 * 1.96 * ((won + lost) / n - ((won - lost) / n) ** 2) / n,
            "that is the variance; the interval needs its root.",
        ),
        (
            lambda won, lost, n: 100 * 1.96 * math.sqrt(2 * 0.25 / n),
            "that treats the two models as if they were tested on different images; an image that both get right "
            "does not change their difference.",
        ),
        (
            lambda won, lost, n: _paired(won, lost, n) / 100,
            "the interval is for points: multiply the fraction by 100.",
        ),
        (
            lambda won, lost, n: _paired(won, lost, n) / 1.96,
            "that is one standard error; the interval reaches 1.96 of them to either side.",
        ),
        (
            lambda won, lost, n: 2 * _paired(won, lost, n),
            "that is the whole width; the half width reaches to one side.",
        ),
        (
            lambda won, lost, n: 196 * math.sqrt((won + lost) / n - ((won - lost) / n) ** 2),
            "you do not divide by n: more images make a narrower interval.",
        ),
        (
            lambda won, lost, n: 196 * math.sqrt(abs(won - lost) / n / n),
            "d is the fraction on which exactly one is right, won plus lost; what both win and lose counts twice.",
        ),
        (
            lambda won, lost, n: 100 * (won - lost) / n,
            "that is the gain itself; the half width says how uncertain it is.",
        ),
    ],
    tolerance=1e-3,
)

chance = Number(
    "12.4",
    2,
    [
        (
            4,
            "an interval of 90 % misses the truth in 10 % of cases, but only half of the misses lie on the claim's side.",
        ),
        (
            36,
            "that many intervals will contain 0, as they should; the question is about those that lie above it.",
        ),
        (
            38,
            "that many will not lie above 0, as they should; the question is about those that do.",
        ),
        (0, "five in a hundred is rare, but forty tries are many: some succeed by chance."),
        (0.05, "that is the chance of one of them; there are forty."),
    ],
)

no_effect = Choice(
    "12.5",
    "D",
    {
        "A": "0 inside the interval does not make 0 the answer: the data fit +2.9 just as well as they fit 0.",
        "B": "the interval leans to one side, but it is no proof as long as it contains 0.",
        "C": "the 95 % belong to the method, over many repetitions; they are not a chance that the gain is above 0.",
    },
)

ALL = [judge, seeds, images, chance, no_effect]
