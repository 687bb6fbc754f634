"""Effective robustness: accuracy under shift beyond what a baseline predicts from the accuracy on
the reference.

Which models carry the baseline is a choice, and the answer can hang on it: families of models lie
on lines with different slopes. Fit each family by itself, report the range, and say how far each
line had to be extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wiseft_lite.errors import UserError
from wiseft_lite.metrics import Estimate


def logit(share: float) -> float:
    """Return ``log(p / (1 - p))``, the scale on which robustness lines are straight.

    Raises:
        UserError: the share does not lie strictly between 0 and 1.

    Example:
        >>> logit(0.5)
        0.0
    """
    if not 0 < share < 1:
        raise UserError(
            f"logit of {share} is infinite; an accuracy must lie strictly between 0 and 1"
        )
    return math.log(share / (1 - share))


def _share(value: float) -> float:
    return 0.5 + 0.5 * math.tanh(
        value / 2
    )  # the inverse of logit, written so that nothing overflows


@dataclass(frozen=True)
class Scatter:
    """How the models of a baseline lie around their line, in logit space: what its uncertainty
    needs.

    Args:
        n: models.
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
    """The accuracy under shift that a reference accuracy promises, for models trained on the
    reference only.

    ``beta(x) = sigmoid(slope * logit(x) + intercept)``

    Args:
        slope: in logit space.
        intercept: in logit space.
        scatter: of the models that it was fitted to; None for a line that was not fitted, or to two
            models.
    """

    slope: float
    intercept: float
    scatter: Scatter | None = None

    def __call__(self, reference: float) -> float:
        return _share(self.slope * logit(reference) + self.intercept)


def fit_baseline(reference: Sequence[float], shift: Sequence[float]) -> Baseline:
    """Fit the baseline by least squares in logit space.

    Args:
        reference: accuracies of at least two models on the reference, as shares.
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
            f"{len(reference)} reference accuracies but {len(shift)} under shift; give one pair a model"
        )
    if len(set(reference)) < 2:
        raise UserError("a line needs at least two models with different reference accuracies")
    x, y = [logit(v) for v in reference], [logit(v) for v in shift]
    line, n = linregress(x, y), len(x)
    if n == 2:
        return Baseline(float(line.slope), float(line.intercept))
    centre = math.fsum(x) / n
    left = math.fsum((b - line.slope * a - line.intercept) ** 2 for a, b in zip(x, y, strict=True))
    scatter = Scatter(n, centre, math.fsum((a - centre) ** 2 for a in x), math.sqrt(left / (n - 2)))
    return Baseline(float(line.slope), float(line.intercept), scatter)


def _scatter(baseline: Baseline) -> Scatter:
    if baseline.scatter is None:
        raise UserError(
            "this baseline has no interval; fit it with fit_baseline to at least three models"
        )
    return baseline.scatter


def promise_interval(
    reference: float, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of what the baseline promises at a reference accuracy, as shares.

    In logit space, with ``x = logit(reference)``: ``slope x + intercept -+ t noise sqrt(1/n + (x -
    centre)^2 / spread)``, ``t`` the quantile of Student's distribution with ``n - 2`` degrees of
    freedom; both ends are turned back into accuracies. It says how well the *line* is known, not
    where one more baseline model would lie.

    Args:
        reference: an accuracy as a share, taken as known.
        baseline: fitted to at least three models.
        level: of the interval.

    Raises:
        UserError: the baseline has no scatter, or the reference is not strictly between 0 and 1.

    Source: the confidence band of simple linear regression, in any textbook.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in promise_interval(0.5, line)]
        [0.19, 0.37]
    """
    from scipy.stats import t

    scatter = _scatter(baseline)
    x = logit(reference)
    error = scatter.noise * math.sqrt(1 / scatter.n + (x - scatter.centre) ** 2 / scatter.spread)
    middle, half = (
        baseline.slope * x + baseline.intercept,
        float(t.ppf((1 + level) / 2, scatter.n - 2)) * error,
    )
    return _share(middle - half), _share(middle + half)


def effective_robustness(reference: float, shift: float, baseline: Baseline) -> float:
    """Return ``rho = shift - beta(reference)``, the accuracy beyond what the baseline promises.

    Source: Taori et al. 2020, equation 1; the WiSE-FT paper, section 3.

    Example:
        >>> round(effective_robustness(0.8, 0.7, fit_baseline([0.5, 0.8], [0.3, 0.6])), 3)
        0.1
    """
    return shift - baseline(reference)


def robustness_interval(
    reference: float, shift: Estimate, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of effective robustness, from those of the shift accuracy and of the
    promise.

    With the shift accuracy ``s`` in ``[s-, s+]`` and the promise ``b`` in ``[b-, b+]``: ``rho -
    sqrt((s - s-)^2 + (b+ - b)^2)`` to ``rho + sqrt((s+ - s)^2 + (b - b-)^2)``. The two errors are
    taken as independent, and the reference accuracy as known.

    Args:
        reference: an accuracy as a fraction.
        shift: with its interval at the same level, such as Clopper-Pearson's from
            ``metrics.accuracy``.
        baseline: fitted to at least three models.
        level: of the interval of the promise.

    Raises:
        UserError: as ``promise_interval``.

    Source: Newcombe 1998, method 10; Zou and Donner 2008, for any two intervals.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in robustness_interval(0.5, Estimate(0.6, 100, 0.5, 0.7), line)]
        [0.19, 0.46]
    """
    promised, (low, high) = baseline(reference), promise_interval(reference, baseline, level)
    rho = effective_robustness(reference, shift.accuracy, baseline)
    return (
        rho - math.hypot(shift.accuracy - shift.low, high - promised),
        rho + math.hypot(shift.high - shift.accuracy, promised - low),
    )


def rise_interval(
    first: float, second: float, baseline: Baseline, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of how much more the baseline promises at one reference accuracy than at
    another.

    Of ``beta(second) - beta(first)``, by the delta method: the line is known by its height at the
    centre and by its slope, whose errors are independent.

    Args:
        first: reference accuracy of the model to start from, as a fraction.
        second: reference accuracy of the model to compare with it.
        baseline: fitted to at least three models.
        level: of the interval.

    Raises:
        UserError: as ``promise_interval``.

    Example:
        >>> line = fit_baseline([0.2, 0.4, 0.6, 0.8], [0.1, 0.2, 0.4, 0.5])
        >>> [round(x, 2) for x in rise_interval(0.5, 0.6, line)]
        [0.03, 0.11]
    """
    from scipy.stats import t

    scatter = _scatter(baseline)
    steep = [
        baseline(x) * (1 - baseline(x)) for x in (first, second)
    ]  # derivative of the promise by the line's height
    by_height = steep[1] - steep[0]
    by_slope = steep[1] * (logit(second) - scatter.centre) - steep[0] * (
        logit(first) - scatter.centre
    )
    error = scatter.noise * math.sqrt(by_height**2 / scatter.n + by_slope**2 / scatter.spread)
    rise, half = (
        baseline(second) - baseline(first),
        float(t.ppf((1 + level) / 2, scatter.n - 2)) * error,
    )
    return rise - half, rise + half


def mean_accuracy(parts: Sequence[Estimate]) -> Estimate:
    """Return the plain mean of independent accuracies, with the interval that theirs make together.

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
