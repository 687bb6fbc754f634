"""An alpha for each image: how much to trust the fine-tuned model *here*. Give it to
``ensembles``."""

from __future__ import annotations

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def entropy_weights(logits_0: Tensor, logits_1: Tensor) -> Tensor:
    """Return DaWin's alpha: of two models, the one that is surer about an image counts more.

    ``alpha(x) = e^(-H_1) / (e^(-H_0) + e^(-H_1))`` with ``H`` the entropy of a model's softmax, in
    nats. DaWin interpolates weights with it; on cached logits it costs nothing to ensemble outputs
    with it.

    Args:
        logits_0: ``[n, C]`` of the zero-shot model, calibrated if one is much surer than the other.
        logits_1: ``[n, C]`` of the fine-tuned model.

    Returns:
        ``[n, 1]``, shares in 0..1.

    Raises:
        UserError: unequal shapes.

    Source: Oh et al. 2025, "DaWin: training-free dynamic weight interpolation for robust
    adaptation".

    Example:
        >>> sure, unsure = torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 0.0]])  # entropy 0 and log 2
        >>> entropy_weights(unsure, sure)
        tensor([[0.6667]])
    """
    if logits_0.shape != logits_1.shape:
        raise UserError(
            f"logits {tuple(logits_0.shape)} and {tuple(logits_1.shape)}; "
            "both models must answer for the same images and classes"
        )
    return (_entropy(logits_0) - _entropy(logits_1)).sigmoid()


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1, keepdim=True)


def failure_weights(
    features: Tensor, failures: Tensor, k: int = 1, centre: float = 1.5, width: float = 0.6
) -> Tensor:
    """Return VRF's alpha: near to where the zero-shot model failed in training, trust the
    fine-tuned one.

    ``alpha(x) = sigmoid(-(d(x) - centre) / width)`` with ``d`` the distance from ``x`` to its
    ``k``-th nearest failure. A failure is a training image that the zero-shot model gets wrong and
    the fine-tuned one right.

    Args:
        features: ``[n, d]`` of the fine-tuned encoder, L2-normalised, so that distances lie in
            0..2.
        failures: ``[m, d]``, the features of the failures.
        k: which neighbour.
        centre: distance at which both models count the same. Choose it, and ``width``, on held-out
            data.
        width: over which distance the trust goes over.

    Returns:
        ``[n, 1]``, shares in 0..1, for the ``softmax_ensemble`` of two calibrated models.

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
            f"neighbour {k} of {len(failures)} failures does not exist; give a k from 1 to their number"
        )
    if not width > 0:
        raise UserError(f"a width of {width} makes no sense; give a number above 0")
    distance = torch.cdist(features, failures).kthvalue(k, dim=1, keepdim=True).values
    return ((centre - distance) / width).sigmoid()
