"""Effective robustness: accuracy under shift beyond a baseline's prediction from reference accuracy.

The result can depend on the models that the baseline is fitted to, because families of models lie
on lines with different slopes. Fit each family by itself, report the range, and state how far each
line was extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wiseft_lite.errors import UserError
from wiseft_lite.metrics import Estimate


def logit(p: float) -> float:
    """Return ``log(p / (1 - p))``, the scale on which robustness lines are straight.

    Raises:
        UserError: ``p`` is not strictly between 0 and 1.

    Example:
        >>> logit(0.5)
        0.0
    """
    if not 0 < p < 1:
        raise UserError(f"accuracy {p} has no finite logit; give one strictly between 0 and 1")
    return math.log(p / (1 - p))


def _sigmoid(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(x / 2)  # without overflow


@dataclass(frozen=True)
class Scatter:
    """How the models of a baseline scatter around its line, in logit space.

    Args:
        n: number of models.
        centre: mean of their reference logits.
        spread: sum of squared distances of the reference logits from the centre.
        noise: standard deviation of the models around the line, with ``n - 2`` degrees of freedom.
    """

    n: int
    centre: float
    spread: float
    noise: float


@dataclass(frozen=True)
class Baseline:
    """Predicts accuracy under shift from reference accuracy, for models trained on the reference only.

    ``beta(x) = sigmoid(slope * logit(x) + intercept)``

    Args:
        slope: in logit space.
        intercept: in logit space.
        scatter: of the models that it was fitted to; None if it was fitted to two, or not fitted.
    """

    slope: float
    intercept: float
    scatter: Scatter | None = None

    def __call__(self, reference: float) -> float:
        return _sigmoid(self.slope * logit(reference) + self.intercept)


def fit_baseline(reference: Sequence[float], shift: Sequence[float]) -> Baseline:
    """Fit the baseline by least squares in logit space.

    Args:
        reference: accuracies of at least two models on the reference, fractions.
        shift: accuracies of the same models under the shift.

    Raises:
        UserError: fewer than two models, unequal numbers, or all reference accuracies are equal.

    Source: Taori et al. 2020, section 3; Miller et al. 2021; the WiSE-FT paper, section 3.

    Example:
        >>> line = fit_baseline([0.5, 0.8], [0.3, 0.6])
        >>> round(line(0.5), 3)
        0.3
    """
    from scipy.stats import linregress

    if len(reference) != len(shift):
        raise UserError(
            f"{len(reference)} reference accuracies but {len(shift)} under shift; give one pair per model"
        )
    if len(set(reference)) < 2:
        raise UserError("a line needs at least two models with different reference accuracies")
    x, y = [logit(v) for v in reference], [logit(v) for v in shift]
    line, n = linregress(x, y), len(x)
    if n == 2:
        return Baseline(float(line.slope), float(line.intercept))
    centre = math.fsum(x) / n
    errors = [b - line.slope * a - line.intercept for a, b in zip(x, y, strict=True)]
    noise = math.sqrt(math.fsum(error**2 for error in errors) / (n - 2))
    scatter = Scatter(n, centre, math.fsum((a - centre) ** 2 for a in x), noise)
    return Baseline(float(line.slope), float(line.intercept), scatter)


def _scatter(baseline: Baseline) -> Scatter:
    if baseline.scatter is None:
        raise UserError(
            "this baseline has no interval; fit it with fit_baseline to at least three models"
        )
    return baseline.scatter


def baseline_interval(
    reference: float, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the confidence interval of the baseline's prediction at a reference accuracy.

    In logit space, with ``x = logit(reference)``: ``slope x + intercept -+ t noise sqrt(1/n + (x -
    centre)^2 / spread)``, ``t`` the quantile of Student's distribution with ``n - 2`` degrees of
    freedom; both bounds are turned back into accuracies. It is the interval of the *line*, not one
    in which a further model would lie.

    Args:
        reference: an accuracy, a fraction, taken as known.
        baseline: fitted to at least three models.
        level: of the interval.

    Raises:
        UserError: the baseline has no scatter, or the reference is not strictly between 0 and 1.

    Source: the confidence band of simple linear regression, in any textbook.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in baseline_interval(0.5, line)]
        [0.19, 0.37]
    """
    from scipy.stats import t

    scatter = _scatter(baseline)
    x = logit(reference)
    error = scatter.noise * math.sqrt(1 / scatter.n + (x - scatter.centre) ** 2 / scatter.spread)
    middle = baseline.slope * x + baseline.intercept
    half = float(t.ppf((1 + level) / 2, scatter.n - 2)) * error
    return _sigmoid(middle - half), _sigmoid(middle + half)


def effective_robustness(reference: float, shift: float, baseline: Baseline) -> float:
    """Return ``rho = shift - beta(reference)``, the accuracy beyond the baseline's prediction.

    Source: Taori et al. 2020, equation 1; the WiSE-FT paper, section 3.

    Example:
        >>> round(effective_robustness(0.8, 0.7, fit_baseline([0.5, 0.8], [0.3, 0.6])), 3)
        0.1
    """
    return shift - baseline(reference)


def robustness_interval(
    reference: float, shift: Estimate, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the confidence interval of effective robustness.

    With the shift accuracy ``s`` in ``[s-, s+]`` and the baseline's prediction ``b`` in ``[b-, b+]``: ``rho -
    sqrt((s - s-)^2 + (b+ - b)^2)`` to ``rho + sqrt((s+ - s)^2 + (b - b-)^2)``. The two errors are
    taken as independent, and the reference accuracy as known.

    Args:
        reference: an accuracy, a fraction.
        shift: the accuracy under shift, with its interval at the same level, such as Clopper-Pearson's from
            ``metrics.accuracy``.
        baseline: fitted to at least three models.
        level: of the interval of the baseline's prediction.

    Raises:
        UserError: as ``baseline_interval``.

    Source: Newcombe 1998, method 10; Zou and Donner 2008, for any two intervals.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in robustness_interval(0.5, Estimate(0.6, 100, 0.5, 0.7), line)]
        [0.19, 0.46]
    """
    bounds = baseline_interval(reference, baseline, level)
    return difference_interval(shift, baseline(reference), bounds)


def difference_interval(
    shift: Estimate, predicted: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return the confidence interval of ``shift - predicted`` from the intervals of both.

    Args:
        shift: an accuracy with its interval.
        predicted: another, such as a baseline's prediction.
        bounds: of ``predicted``, at the same level.

    Source: Newcombe 1998, method 10; Zou and Donner 2008, for any two intervals.

    Example:
        >>> low, high = difference_interval(Estimate(0.7, 100, 0.6, 0.8), 0.5, (0.5, 0.5))
        >>> round(low, 3), round(high, 3)
        (0.1, 0.3)
    """
    rho, (low, high) = shift.accuracy - predicted, bounds
    return (
        rho - math.hypot(shift.accuracy - shift.low, high - predicted),
        rho + math.hypot(shift.high - shift.accuracy, predicted - low),
    )


def rise_interval(
    first: float, second: float, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the confidence interval of the rise of the baseline, ``beta(second) - beta(first)``.

    By the delta method: the line is given by its height at the centre and its slope, whose errors
    are independent.

    Args:
        first: a reference accuracy, a fraction.
        second: another reference accuracy.
        baseline: fitted to at least three models.
        level: of the interval.

    Raises:
        UserError: as ``baseline_interval``.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in rise_interval(0.5, 0.6, line)]
        [0.03, 0.11]
    """
    from scipy.stats import t

    scatter = _scatter(baseline)
    # derivatives of beta by the height of the line at the centre, and by its slope
    by_height = [baseline(x) * (1 - baseline(x)) for x in (first, second)]
    by_slope = [
        h * (logit(x) - scatter.centre) for h, x in zip(by_height, (first, second), strict=True)
    ]
    height, slope = by_height[1] - by_height[0], by_slope[1] - by_slope[0]
    error = scatter.noise * math.sqrt(height**2 / scatter.n + slope**2 / scatter.spread)
    rise = baseline(second) - baseline(first)
    half = float(t.ppf((1 + level) / 2, scatter.n - 2)) * error
    return rise - half, rise + half


def mean_accuracy(parts: Sequence[Estimate]) -> Estimate:
    """Return the mean of independent accuracies, with its confidence interval from theirs.

    With ``k`` accuracies ``p_i`` in ``[p_i-, p_i+]``: ``mean - sqrt(sum (p_i - p_i-)^2) / k`` to
    ``mean + sqrt(sum (p_i+ - p_i)^2) / k``.

    Source: Zou and Donner 2008.

    Example:
        >>> both = mean_accuracy([Estimate(0.4, 100, 0.3, 0.5), Estimate(0.6, 50, 0.4, 0.8)])
        >>> both.n, round(both.accuracy, 2), round(both.low, 2), round(both.high, 2)
        (150, 0.5, 0.39, 0.61)
    """
    mean = math.fsum(p.accuracy for p in parts) / len(parts)
    below = math.hypot(*(p.accuracy - p.low for p in parts)) / len(parts)
    above = math.hypot(*(p.high - p.accuracy for p in parts)) / len(parts)
    return Estimate(mean, sum(p.n for p in parts), mean - below, mean + above)
