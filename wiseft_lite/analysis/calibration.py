"""One temperature, so that a classifier is as sure as it is right."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier

_WIDEST = 7.0  # of log T: a factor of 1000 either way


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature ``T > 0`` that minimises the cross-entropy of ``softmax(logits / T)``.

    Args:
        logits: ``[n, C]``, of pictures that the classifier was not trained on.
        labels: int64 ``[n]``.

    Returns:
        ``T``; above 1 the classifier was too sure, below 1 not sure enough.

    Raises:
        UserError: not one label for each row, or no temperature is best, as when every answer is
            right.

    Source: Guo et al. 2017, section 4.2; the paper calibrates ALIGN's zero-shot head so before it
    interpolates.

    Example:
        >>> import torch
        >>> twice_as_sure = 2 * torch.tensor([[1.0, 0.0]]).log1p().repeat(3, 1)  # of odds 2 : 1 it makes 4 : 1
        >>> round(fit_temperature(twice_as_sure, torch.tensor([0, 0, 1])), 3)
        2.0
    """
    from scipy.optimize import minimize_scalar

    if len(logits) != len(labels):
        raise UserError(
            f"{len(logits)} rows of logits but {len(labels)} labels; they must be one each"
        )
    logits = logits.detach().double()
    best = minimize_scalar(
        lambda log_t: F.cross_entropy(logits / math.exp(log_t), labels).item(),
        bounds=(-_WIDEST, _WIDEST),
        method="bounded",
    )
    if best.fun < 1e-9 or abs(best.x) > _WIDEST - 0.01:
        raise UserError(
            "no temperature is best for these logits: the answers are all right, or no better than "
            "guesses; fit on more pictures"
        )
    return math.exp(best.x)


def calibrated(classifier: ImageClassifier, temperature: float) -> ImageClassifier:
    """Return a new classifier with logits divided by ``temperature``, folded into weight and bias
    of its head.

    Its answers stay the same. What changes is how much its head weighs when it is interpolated.

    Raises:
        UserError: the temperature is not positive.
    """
    if not temperature > 0:
        raise UserError(f"a temperature of {temperature} makes no sense; give a number above 0")
    theta = classifier.state_dict()
    return classifier.with_weights(
        {
            name: tensor / temperature if name.startswith("head.") else tensor
            for name, tensor in theta.items()
        }
    )
