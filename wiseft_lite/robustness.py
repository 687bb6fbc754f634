"""Effective robustness: accuracy under shift beyond what reference accuracy promises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wiseft_lite.errors import UserError


def logit(share: float) -> float:
    """Return ``log(p / (1 - p))``, the scale on which robustness lines are straight.

    Raises:
        UserError: the share does not lie strictly between 0 and 1.

    Example:
        >>> logit(0.5)
        0.0
    """
    if not 0 < share < 1:
        raise UserError(f"logit of {share} is infinite; an accuracy must lie strictly between 0 and 1")
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class Baseline:
    """The accuracy under shift that a reference accuracy promises, for models trained on the reference only.

    ``beta(x) = sigmoid(slope * logit(x) + intercept)``
    """

    slope: float
    intercept: float

    def __call__(self, reference: float) -> float:
        return 1 / (1 + math.exp(-(self.slope * logit(reference) + self.intercept)))


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
        raise UserError(f"{len(reference)} reference accuracies but {len(shift)} under shift; give one pair a model")
    if len(set(reference)) < 2:
        raise UserError("a line needs at least two models with different reference accuracies")
    line = linregress([logit(x) for x in reference], [logit(y) for y in shift])
    return Baseline(float(line.slope), float(line.intercept))


def effective_robustness(reference: float, shift: float, baseline: Baseline) -> float:
    """Return ``rho = shift - beta(reference)``, the accuracy beyond what the baseline promises.

    Source: Taori et al. 2020, equation 1; the WiSE-FT paper, section 3.

    Example:
        >>> round(effective_robustness(0.8, 0.7, fit_baseline([0.5, 0.8], [0.3, 0.6])), 3)
        0.1
    """
    return shift - baseline(reference)
