"""Dynamic mixing coefficients: an alpha for each image, to pass to ``ensembles``."""

from __future__ import annotations

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def entropy_weights(logits_0: Tensor, logits_1: Tensor) -> Tensor:
    """Return DaWin's alpha for each image: the more confident model gets the larger weight.

    ``alpha(x) = e^(-H_1) / (e^(-H_0) + e^(-H_1))`` with ``H`` the entropy of a model's softmax, in
    nats. DaWin interpolates weights with it; to ensemble the outputs needs no forward pass where the
    logits are cached.

    Args:
        logits_0: ``[n, C]`` of the zero-shot model; calibrate both if their confidences differ much.
        logits_1: ``[n, C]`` of the fine-tuned model.

    Returns:
        ``[n, 1]``, in 0..1.

    Raises:
        UserError: unequal shapes.

    Source: Oh et al. 2025, "DaWin: training-free dynamic weight interpolation for robust
    adaptation".

    Example:
        >>> confident, uniform = torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 0.0]])  # entropy 0, log 2
        >>> entropy_weights(uniform, confident)
        tensor([[0.6667]])
    """
    if logits_0.shape != logits_1.shape:
        raise UserError(
            f"logits {tuple(logits_0.shape)} and {tuple(logits_1.shape)}; "
            "evaluate both models on the same images and classes"
        )
    return (_entropy(logits_0) - _entropy(logits_1)).sigmoid()


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1, keepdim=True)


def failure_weights(
    features: Tensor, failures: Tensor, k: int = 1, centre: float = 1.5, width: float = 0.6
) -> Tensor:
    """Return VRF's alpha for each image: larger near training images that zero-shot got wrong.

    ``alpha(x) = sigmoid(-(d(x) - centre) / width)`` with ``d`` the distance from ``x`` to its
    ``k``-th nearest failure. A failure is a training image that the zero-shot model gets wrong and
    the fine-tuned one right.

    Args:
        features: ``[n, d]`` of the fine-tuned encoder, L2-normalised: distances lie in 0..2.
        failures: ``[m, d]``, the features of the failures.
        k: which nearest neighbour.
        centre: distance at which alpha is 0.5. Choose it, and ``width``, on held-out data.
        width: of the transition; the smaller, the steeper.

    Returns:
        ``[n, 1]``, in 0..1, for the ``softmax_ensemble`` of two calibrated models.

    Raises:
        UserError: fewer than ``k`` failures, or a width that is not positive.

    Source: Zhu et al. 2024, "Robust fine-tuning of zero-shot models via variance reduction",
    section 4; the defaults of centre and width are theirs.

    Example:
        >>> failures = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> failure_weights(torch.tensor([[1.0, 0.0]]), failures, centre=0.0)
        tensor([[0.5000]])
    """
    if not 1 <= k <= len(failures):
        raise UserError(
            f"k is {k} but there are {len(failures)} failures; give a k from 1 to their number"
        )
    if not width > 0:
        raise UserError(f"the width is {width}; give a number above 0")
    distance = torch.cdist(features, failures).kthvalue(k, dim=1, keepdim=True).values
    return ((centre - distance) / width).sigmoid()
