"""Measures of a classifier's predictions. They know nothing of models or data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class Accuracy:
    """An accuracy with its 95 % interval, all as shares in 0..1, over ``n`` images."""

    accuracy: float
    n: int
    low: float
    high: float


def clopper_pearson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial interval for ``correct`` successes in ``n`` trials.

    Raises:
        UserError: ``n`` is not positive or ``correct`` does not lie in 0..n.

    Source: Clopper and Pearson 1934; used for the error bars of the WiSE-FT paper, appendix D.

    Example:
        >>> [round(x, 3) for x in clopper_pearson(8, 10)]
        [0.444, 0.975]
    """
    from scipy.stats import binomtest

    if n <= 0 or not 0 <= correct <= n:
        raise UserError(f"{correct} correct of {n} images is impossible; the split may be empty")
    interval = binomtest(correct, n).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)


def predictions(logits: Tensor, classes: Sequence[int] | None = None) -> Tensor:
    """Return the predicted class ``[n]`` of logits ``[n, C]``, among ``classes`` if given.

    A shift that lacks some classes is scored on its own classes only, as ImageNet-R is.

    Example:
        >>> predictions(torch.tensor([[3.0, 2.0, 1.0]]), classes=(1, 2))
        tensor([1])
    """
    if classes is None:
        return logits.argmax(-1)
    index = torch.as_tensor(classes, device=logits.device)
    return index[logits[:, index].argmax(-1)]


def accuracy(logits: Tensor, labels: Tensor, classes: Sequence[int] | None = None) -> Accuracy:
    """Return top-1 accuracy with its 95 % Clopper-Pearson interval.

    Args:
        logits: ``[n, C]``.
        labels: ``[n]``, indices of classes.
        classes: the classes that count; all if not given.

    Raises:
        UserError: no images, or unequal numbers of logits and labels.

    Example:
        >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])).accuracy
        0.75
    """
    if len(logits) != len(labels):
        raise UserError(f"{len(logits)} rows of logits but {len(labels)} labels; they must be one each")
    correct = int((predictions(logits, classes) == labels.to(logits.device)).sum())
    low, high = clopper_pearson(correct, len(labels))
    return Accuracy(correct / len(labels), len(labels), low, high)


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
