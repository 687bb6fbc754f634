"""Metric learning with ArcFace: images of one class get nearby embeddings, for unseen classes too."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.errors import UserError
from wiseft_lite.losses import Objective


class Embedder(nn.Module):
    """An image encoder with a linear map: ``e(x) = W dropout(g(x) / |g(x)|)``, L2-normalised.

    ``fit`` trains it together with class centres: ``fit(nn.Sequential(embedder, SubCentres(...)),
    ...)``. WiSE-FT and soups apply to its ``encoder``, or to all of its weights.

    Args:
        encoder: image encoder ``g``, ``[b, 3, h, w] -> [b, d]``.
        weight: initial ``W [dimensions, d]``, such as ``text_projection(...).weight``.
        dropout: fraction of features dropped in training.
    """

    def __init__(self, encoder: nn.Module, weight: Tensor, dropout: float = 0.0):
        super().__init__()
        self.encoder, self.dropout = encoder, nn.Dropout(dropout)
        self.weight = nn.Parameter(weight.detach().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Compute L2-normalised embeddings ``[b, dimensions]`` of images ``[b, 3, h, w]``."""
        features = self.dropout(F.normalize(self.encoder(images), dim=-1))
        return F.normalize(F.linear(features, self.weight), dim=-1)


class SubCentres(nn.Module):
    """Cosine to the nearest of ``K`` centres of each class: ``cos_c = max_k <e, w_ck>``.

    With several centres a class can have several clusters, one of them for mislabelled images.

    Args:
        n_classes: ``C``.
        dimensions: of the embeddings.
        centres: ``K``; 1 is plain ArcFace.
        seed: of the random initial centres.

    Source: Deng et al. 2020, "Sub-center ArcFace", section 3.2.
    """

    def __init__(self, n_classes: int, dimensions: int, centres: int = 3, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(n_classes, centres, dimensions, generator=generator))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute cosines ``[b, C]`` of L2-normalised embeddings ``[b, dimensions]``."""
        return torch.einsum("bd,ckd->bck", embeddings, F.normalize(self.weight, dim=-1)).amax(-1)


def adaptive_margins(counts: Tensor, low: float = 0.05, high: float = 0.5) -> Tensor:
    """Return a margin per class, in radians: the rarer the class, the larger its margin.

    ``m_c = low + (high - low) r_c`` with ``r_c`` the ``n_c^(-1/4)`` rescaled to 0..1 over all
    classes. Classes of equal size all get ``high``.

    Args:
        counts: training images per class, ``[C]``.
        low: margin of the largest class.
        high: margin of the smallest class.

    Raises:
        UserError: a class has no images.

    Source: Ha et al. 2020, "Google Landmark Recognition 2020 competition third place solution"; the
    defaults are those of the 4th place of Google Universal Image Embedding 2022.

    Example:
        >>> adaptive_margins(torch.tensor([1, 16, 10_000]))
        tensor([0.5000, 0.2500, 0.0500])
    """
    if not (counts > 0).all():
        raise UserError(
            f"class {int((counts > 0).int().argmin())} has no training images; remove it"
        )
    rare = counts.double() ** -0.25
    span = rare.max() - rare.min()
    rarity = (rare - rare.min()) / span if span > 0 else torch.ones_like(rare)
    return (low + (high - low) * rarity).float()


def arcface(margins: Tensor, scale: float = 30.0) -> Objective:
    """Return the ArcFace objective: cross-entropy with an additive angular margin.

    ``L = CE(s cos(theta_c + m_y [c = y]), y)`` with ``theta_c`` the angle to class ``c``. Where
    ``theta + m`` exceeds pi, it is ``cos theta - m sin m`` instead, so that the loss always falls
    with the angle.

    Args:
        margins: ``[C]`` in radians, 0 to below pi; see ``adaptive_margins``, or ``torch.full((C,),
            0.5)``.
        scale: ``s``, the inverse temperature.

    Returns:
        An objective for a model that outputs cosines ``[b, C]``, such as one ending in
        ``SubCentres``.

    Raises:
        UserError: a margin outside 0..pi.

    Source: Deng et al. 2019, "ArcFace", equation 3.

    Example:
        >>> cosines = torch.tensor([[1.0, 0.0]])
        >>> loss = arcface(torch.tensor([math.pi / 2, 0.0]), scale=1.0)
        >>> round(loss(nn.Identity(), cosines, torch.tensor([0])).exp().item(), 4)  # cos 90 degrees: equal logits
        2.0
    """
    if not ((margins >= 0) & (margins < math.pi)).all():
        raise UserError("margins must be angles from 0 to below pi; 0.5 is usual")

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        cosines = model(inputs)
        m = margins.to(cosines)[labels]
        own = cosines.gather(1, labels[:, None]).flatten()
        # above 0, where the gradient of the root would be infinite
        sine = (1 - own.square()).clamp(min=1e-12).sqrt()
        with_margin = torch.where(own > -m.cos(), own * m.cos() - sine * m.sin(), own - m * m.sin())
        logits = scale * cosines.scatter(1, labels[:, None], with_margin[:, None])
        return F.cross_entropy(logits, labels)

    return objective
