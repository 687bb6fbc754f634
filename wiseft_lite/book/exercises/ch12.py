"""Exercises of chapter 12, What holds."""

from __future__ import annotations

import math
import statistics
from functools import partial

import numpy as np
import torch
from scipy.stats import t as student

from wiseft_lite.book.checks import Code, Number
from wiseft_lite.book.claims.rules import CANNOT, FAILS, HOLDS, UNDECIDED, interval
from wiseft_lite.book.claims.rules import holm as library_holm


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


def _runs(n, generator):
    return (
        (generator.normal(size=n) * generator.uniform(0.5, 3) + generator.uniform(-4, 4)).tolist(),
    )


def _one_sided(n):
    return student.ppf(0.95, n - 1)


def _interval(factor, sd, root=True):
    def seeds(values):
        half = factor(len(values)) * sd(values) / (math.sqrt(len(values)) if root else 1)
        return statistics.fmean(values) - half, statistics.fmean(values) + half

    return seeds


def _starter(values):
    t = student.ppf(0.95, len(values) - 1)
    half = t * statistics.pstdev(values)
    return statistics.mean(values) - half, statistics.mean(values) + half


seeds = Code(
    "12.2",
    interval,
    [partial(_runs, 5), partial(_runs, 10)],
    [
        (
            _starter,
            "both faults are still there: the spread is that of these values alone, and single runs scatter more than "
            "their mean.",
        ),
        (
            _interval(_one_sided, statistics.stdev, root=False),
            "that is where single runs fall; the interval for their mean is narrower by the root of their number.",
        ),
        (
            _interval(lambda n: 1.645, statistics.stdev),
            "1.645 is for many runs; with few the spread itself is only estimated: use t with n - 1 degrees of freedom.",
        ),
        (
            _interval(lambda n: 2.132, statistics.stdev),
            "2.132 is for five runs; t depends on their number.",
        ),
        (
            _interval(_one_sided, statistics.pstdev),
            "the mean was fitted to the same values: divide the squares by n - 1, as statistics.stdev does.",
        ),
        (
            _interval(lambda n: student.ppf(0.975, n - 1), statistics.stdev),
            "that quantile is for an interval of 95 %; for 90 % it is that at 0.95.",
        ),
        (
            _interval(lambda n: student.ppf(0.95, n), statistics.stdev),
            "n runs leave n - 1 degrees of freedom.",
        ),
        (
            _interval(_one_sided, lambda values: statistics.stdev(values) / math.sqrt(len(values))),
            "you divide by the root of n twice, or by n; the mean of n runs scatters less by the root of n.",
        ),
        (
            lambda values: (min(values), max(values)),
            "those are the smallest and the largest run; the interval is for their mean.",
        ),
        (
            lambda values: _one_sided(len(values)) * statistics.stdev(values) / len(values) ** 0.5,
            "that is the half width; return both ends, mean minus and mean plus it.",
        ),
    ],
    starter=_starter,
    tolerance=1e-3,
)


def _right_or_wrong(generator):
    """Which images two models get right, run by run; and images and runs that are drawn again."""
    seeds, n = int(generator.integers(4, 7)), int(generator.integers(30, 45))
    difficulty = generator.normal(size=(1, n)) + 0.6 * generator.normal(size=(seeds, 1))
    first, second = (
        torch.as_tensor(difficulty + 0.7 * generator.normal(size=(seeds, n)) < level)
        for level in (0.1, generator.uniform(0.4, 0.9))
    )
    images = torch.as_tensor(generator.integers(n, size=(60, n)))
    runs = torch.as_tensor(generator.integers(seeds, size=(60, seeds)))
    return first, second, images, runs


def _ends(values, level=0.95):
    return tuple(np.quantile(np.asarray(values), [0.5 - level / 2, 0.5 + level / 2]).tolist())


def _around_the_mean(values):
    values = np.asarray(values)
    return values.mean() - 1.96 * values.std(ddof=1), values.mean() + 1.96 * values.std(ddof=1)


def _accuracies(right, images, runs):
    """Accuracy in each draw: of drawn images, of drawn runs, and of both."""
    right = right.double()
    both = torch.stack([right[r][:, i].mean() for r, i in zip(runs, images, strict=True)])
    return {
        "images": right.mean(0)[images].mean(1),
        "seeds": right.mean(1)[runs].mean(1),
        "both": both,
    }


def _redrawn(
    first,
    second,
    images,
    runs,
    scale=100,
    ends=_ends,
    other_images=lambda images: images,
    other_runs=lambda runs: runs,
    change=lambda draws: draws,
):
    before = _accuracies(first, other_images(images), other_runs(runs))
    after = _accuracies(second, images, runs)
    draws = change({name: scale * (after[name] - before[name]) for name in after})
    return {name: ends(values) for name, values in draws.items()}


def _of_one_run(first, second, images, runs):
    alone = _redrawn(first[:1], second[:1], images, torch.zeros_like(runs[:, :1]))
    return {**_redrawn(first, second, images, runs), "images": alone["images"]}


redrawn = Code(
    "12.3",
    _redrawn,
    [_right_or_wrong],
    [
        (
            partial(_redrawn, other_images=lambda images: images.roll(1, 0)),
            "the two models see different images. Draw images once, and evaluate both models on them.",
        ),
        (
            partial(_redrawn, other_runs=lambda runs: runs.roll(1, 0)),
            "the two models have different runs. A run of the one belongs to the run of the other with the same seed.",
        ),
        (
            lambda first, second, images, runs: _redrawn(second, first, images, runs),
            "the sign is reversed: the gain is the second model's accuracy minus the first's.",
        ),
        (
            partial(_redrawn, ends=partial(_ends, level=0.9)),
            "that is an interval of 90 %; cut off 2.5 % of the draws at either side.",
        ),
        (
            partial(_redrawn, ends=partial(_ends, level=1)),
            "those are the smallest and the largest draw; cut off 2.5 % at either side.",
        ),
        (
            partial(_redrawn, ends=_around_the_mean),
            "you take the standard deviation of the draws and 1.96; take the quantiles of the draws themselves.",
        ),
        (
            partial(_redrawn, scale=1),
            "the gain is stated in points: multiply the fraction by 100.",
        ),
        (
            _of_one_run,
            "for 'images' you use one run; all runs stay in, only images are drawn again.",
        ),
        (
            partial(
                _redrawn,
                change=lambda draws: {
                    **draws,
                    "both": torch.cat([draws["images"], draws["seeds"]]),
                },
            ),
            "for 'both' you pool the two kinds of draws; draw images and runs in the same draw, so that both scatter at once.",
        ),
    ],
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


def _scattered(generator):
    n = int(generator.integers(5, 9))
    return ((generator.random(n) ** 3).round(4).tolist(),)


def _close_together(generator):
    """P-values of which the next, times fewer, is smaller than the one before; and a large one."""
    n = int(generator.integers(4, 7))
    low = generator.uniform(0.005, 0.03) * (1 + 0.02 * generator.permutation(n))
    return (generator.permutation([*low, generator.uniform(0.6, 0.9), 0.95]).round(5).tolist(),)


def _stepwise(p_values, factor, running=True, cap=True, upwards=False):
    """Adjusted p-values: each times a factor of its place, in order of size."""
    n = len(p_values)
    order = sorted(range(n), key=p_values.__getitem__, reverse=upwards)
    adjusted, extreme = [0.0] * n, math.inf if upwards else 0.0
    for step, place in enumerate(order):
        rank = n - step if upwards else step + 1
        value = factor(n, rank) * p_values[place]
        extreme = min(extreme, value) if upwards else max(extreme, value)
        value = extreme if running else value
        adjusted[place] = min(value, 1.0) if cap else value
    return adjusted


def _left(n, rank):
    return n - rank + 1


def _holm(p_values):
    return _stepwise(p_values, _left)


adjusted = Code(
    "12.5",
    _holm,
    [_scattered, _close_together],
    [
        (
            lambda p_values: _stepwise(p_values, lambda n, rank: n, running=False),
            "that is Bonferroni: every p-value is multiplied by the number of all tests. Holm multiplies by the number of "
            "those that are left.",
        ),
        (
            lambda p_values: _stepwise(p_values, _left, running=False),
            "a larger p-value got a smaller adjusted one. A test cannot pass where an earlier one has stopped: keep the "
            "largest so far.",
        ),
        (
            lambda p_values: _stepwise(p_values, _left, cap=False),
            "no p-value is above 1.",
        ),
        (
            lambda p_values: sorted(_holm(p_values)),
            "they are in order of size; each belongs at the place of its own p-value.",
        ),
        (
            lambda p_values: _stepwise(p_values, lambda n, rank: n - rank),
            "you are one step ahead: the smallest p-value is multiplied by the number of all tests.",
        ),
        (
            lambda p_values: _stepwise(p_values, lambda n, rank: rank),
            "the factors run the other way: the smallest p-value has the largest.",
        ),
        (
            lambda p_values: _stepwise(p_values, lambda n, rank: n / rank, upwards=True),
            "that is the method of Benjamini and Hochberg, which keeps the fraction of false discoveries small, not the "
            "chance of even one.",
        ),
        (
            lambda p_values: _stepwise(p_values, _left, upwards=True),
            "that is Hochberg's method, from the largest down with the smallest so far. Holm begins with the smallest.",
        ),
    ],
    library=[library_holm],
    draws=4,
)


def _with(generator, mean, margin):
    """Five or so values with a given mean and the margin, both in units of their standard error."""
    n = int(generator.integers(4, 8))
    z = generator.normal(size=n)
    spread = float(generator.uniform(0.5, 3))
    error = spread / n**0.5
    values = spread * (z - z.mean()) / z.std(ddof=1) + mean(n) * error * generator.choice([-1, 1])
    return values.tolist(), float(margin(n) * error)


def _t(level, n):
    return float(student.ppf(level, n - 1))


def _power(n):
    return _t(0.95, n) + _t(0.8, n)


def _well_inside(generator):
    return _with(generator, lambda n: 0.3, lambda n: _power(n) + 0.8)


def _barely_inside(generator):
    between = lambda n: 0.5 * (_t(0.95, n) + _t(0.975, n))
    return _with(generator, lambda n: 0.3, lambda n: 0.3 + between(n))


def _well_outside(generator):
    return _with(generator, lambda n: _power(n) + 2 + _t(0.975, n), lambda n: _power(n) + 0.5)


def _at_the_bound(generator):
    return _with(generator, lambda n: _power(n) + 0.5, lambda n: _power(n) + 0.3)


def _barely_outside(generator):
    between = lambda n: 0.5 * (_t(0.95, n) + _t(0.975, n))
    return _with(generator, lambda n: _power(n) + 0.3 + between(n), lambda n: _power(n) + 0.3)


def _too_coarse(generator):
    return _with(generator, lambda n: 0.4, lambda n: 0.8 * _t(0.95, n))


def _small_margin(generator):
    """The margin is above the half width, and below what can be detected."""
    return _with(generator, lambda n: 0.6, lambda n: _t(0.95, n) + 0.3)


def _detectable(spread, n, quantile=_t, power=0.8):
    return (quantile(0.95, n) + (quantile(power, n) if power else 0)) * spread / n**0.5


def _shown(
    values,
    margin,
    quantile=_t,
    power=0.8,
    outside=0.975,
    inside=0.95,
    absolute=abs,
    coarse=CANNOT,
    same_quantiles=False,
    sd=statistics.stdev,
):
    n, mean, spread = len(values), absolute(statistics.fmean(values)), sd(values)
    error = spread / n**0.5
    detectable = _detectable(spread, n, quantile, power)
    seeds = 2
    fixed = (lambda level, _: quantile(level, n)) if same_quantiles else quantile
    while _detectable(spread, seeds, fixed, power) >= margin:
        seeds += 1
    if mean + quantile(inside, n) * error < margin:
        verdict = HOLDS
    elif mean - quantile(outside, n) * error > margin:
        verdict = FAILS
    else:
        verdict = UNDECIDED if detectable <= margin else coarse
    return {"verdict": verdict, "detectable": detectable, "seeds": seeds}


def _by_the_mean(values, margin):
    small = abs(statistics.fmean(values)) < margin
    return {**_shown(values, margin), "verdict": HOLDS if small else FAILS}


shown = Code(
    "12.6",
    _shown,
    [
        _well_inside,
        _barely_inside,
        _well_outside,
        _at_the_bound,
        _barely_outside,
        _too_coarse,
        _small_margin,
    ],
    [
        (
            _by_the_mean,
            "you compare the mean with the margin; the whole interval must lie inside, or outside.",
        ),
        (
            partial(_shown, coarse=UNDECIDED),
            "where the seeds could not have shown even a difference of zero to lie inside, the verdict is CANNOT.",
        ),
        (
            partial(_shown, absolute=lambda mean: mean),
            "a difference below minus the margin is too large as well: the margin has two sides.",
        ),
        (
            partial(_shown, outside=0.95),
            "the margin has two bounds, so there are two chances to fail by accident: use the 95 % interval for FAILS.",
        ),
        (
            partial(_shown, inside=0.975),
            "each bound is a one-sided test at 5 %, so HOLDS uses the 90 % interval.",
        ),
        (
            partial(_shown, quantile=lambda level, n: statistics.NormalDist().inv_cdf(level)),
            "those are quantiles for many runs; with few seeds take Student's t.",
        ),
        (
            partial(_shown, power=None),
            "the detectable effect has two parts, t at 0.95 and t at 0.8; with the first alone the test would miss it half of "
            "the time.",
        ),
        (
            partial(_shown, same_quantiles=True),
            "more seeds have more degrees of freedom: Student's t changes with their number.",
        ),
        (
            partial(_shown, sd=statistics.pstdev),
            "the mean was fitted to the same values: divide the squares by one less than their number.",
        ),
    ],
    library=[interval],
    tolerance=1e-3,
    draws=3,
)

ALL = [judge, seeds, redrawn, chance, adjusted, shown]
