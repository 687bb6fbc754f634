"""Training losses beside plain cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError


def contrastive_loss(images: Tensor, texts: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's loss: each picture must find its caption, and each caption its picture.

    ``L = (CE(s I T^t, diag) + CE(s T I^t, diag)) / 2``, where pair ``i`` is row ``i`` of both.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: not one text for each image.

    Source: Radford et al. 2021, figure 3.

    Example:
        >>> contrastive_loss(torch.eye(4), torch.eye(4), 100.0).item() < 1e-6
        True
    """
    if images.shape != texts.shape:
        raise UserError(f"embeddings {tuple(images.shape)} of images and {tuple(texts.shape)} of texts; "
                        "give one text for each image")
    logits = scale * images @ texts.T
    target = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
