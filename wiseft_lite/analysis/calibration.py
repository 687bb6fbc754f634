"""Temperature scaling: make a classifier's confidence match its accuracy."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier

_MAX_LOG = 7.0  # bound of |log T|: T between 1/1000 and 1000, roughly


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature ``T > 0`` that minimises the cross-entropy of ``softmax(logits / T)``.

    Args:
        logits: ``[n, C]``, of images that the classifier was not trained on.
        labels: int64 ``[n]``.

    Returns:
        ``T``; above 1 the classifier was overconfident, below 1 underconfident.

    Raises:
        UserError: there is not one label per row, or no minimum, as when all predictions are right.

    Source: Guo et al. 2017, section 4.2; the paper calibrates ALIGN's zero-shot head this way
    before interpolating.

    Example:
        >>> import torch
        >>> overconfident = 2 * torch.tensor([[1.0, 0.0]]).log1p().repeat(3, 1)  # odds 4 : 1, not 2 : 1
        >>> round(fit_temperature(overconfident, torch.tensor([0, 0, 1])), 3)
        2.0
    """
    from scipy.optimize import minimize_scalar

    if len(logits) != len(labels):
        raise UserError(
            f"{len(logits)} rows of logits but {len(labels)} labels; give one label per row"
        )
    logits = logits.detach().double()
    best = minimize_scalar(
        lambda log_t: F.cross_entropy(logits / math.exp(log_t), labels).item(),
        bounds=(-_MAX_LOG, _MAX_LOG),
        method="bounded",
    )
    if best.fun < 1e-9 or abs(best.x) > _MAX_LOG - 0.01:
        raise UserError(
            "no temperature minimises the cross-entropy of these logits: the predictions are all right, "
            "or no better than chance; fit on more images"
        )
    return math.exp(best.x)


def calibrated(classifier: ImageClassifier, temperature: float) -> ImageClassifier:
    """Return a classifier whose head, weight and bias, is divided by ``temperature``.

    Its predictions stay the same. What changes is the scale of its logits, and with it the weight
    of its head when it is interpolated.

    Raises:
        UserError: the temperature is not positive.
    """
    if not temperature > 0:
        raise UserError(f"the temperature is {temperature}; give a number above 0")
    theta = classifier.state_dict()
    return classifier.with_weights(
        {
            name: tensor / temperature if name.startswith("head.") else tensor
            for name, tensor in theta.items()
        }
    )
