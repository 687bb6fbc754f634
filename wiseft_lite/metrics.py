"""Measures of a classifier's predictions. They know nothing of models or data sets."""

from __future__ import annotations

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
