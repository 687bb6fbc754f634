"""Metric learning: an embedding in which pictures of one class lie together, classes never seen
included."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.errors import UserError
from wiseft_lite.losses import Objective


class Embedder(nn.Module):
    """``e(x) = W dropout(g(x) / |g(x)|)``, normalised: an encoder with a linear map to a few
    dimensions.

    ``fit`` trains it together with centres: ``fit(nn.Sequential(embedder, SubCentres(...)), ...)``.
    WiSE-FT and soups act on its ``encoder``, or on all of it.

    Args:
        encoder: image tower, ``[b, 3, h, w] -> [b, d]``.
        weight: ``[dimensions, d]``, the linear map that training starts from, such as
            ``text_projection``'s.
        dropout: share of features dropped in training.
    """

    def __init__(self, encoder: nn.Module, weight: Tensor, dropout: float = 0.0):
        super().__init__()
        self.encoder, self.dropout = encoder, nn.Dropout(dropout)
        self.weight = nn.Parameter(weight.detach().clone())

    def forward(self, images: Tensor) -> Tensor:
        """L2-normalised embeddings ``[b, dimensions]`` of images ``[b, 3, h, w]``."""
        features = self.dropout(F.normalize(self.encoder(images), dim=-1))
        return F.normalize(F.linear(features, self.weight), dim=-1)


class SubCentres(nn.Module):
    """``cos_c = max_k <e, w_ck>``: how near an embedding is to the nearest of the ``K`` centres of
    each class.

    Several centres let a class have several looks, and leave mislabelled pictures a corner of their
    own.

    Args:
        n_classes: ``C``.
        dimensions: of the embeddings.
        centres: ``K``; 1 is plain ArcFace.
        seed: of the random centres to start from.

    Source: Deng et al. 2020, "Sub-center ArcFace", section 3.2.
    """

    def __init__(self, n_classes: int, dimensions: int, centres: int = 3, seed: int = 0):
        super().__init__()
        dice = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(n_classes, centres, dimensions, generator=dice))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Cosines ``[b, C]`` of L2-normalised embeddings ``[b, dimensions]``."""
        return torch.einsum("bd,ckd->bck", embeddings, F.normalize(self.weight, dim=-1)).amax(-1)


def adaptive_margins(counts: Tensor, low: float = 0.05, high: float = 0.5) -> Tensor:
    """Return a margin for each class, in radians: the rarer the class, the wider.

    ``m_c = low + (high - low) r_c`` with ``r_c`` the ``n_c^(-1/4)`` of all classes stretched to
    0..1. Classes of equal size all get ``high``.

    Args:
        counts: training pictures of each class, ``[C]``.
        low: margin of the largest class.
        high: margin of the smallest class.

    Raises:
        UserError: a class without pictures.

    Source: Ha et al. 2020, "Google Landmark Recognition 2020 competition third place solution"; the
    numbers are those of the 4th place of Google Universal Image Embedding 2022.

    Example:
        >>> adaptive_margins(torch.tensor([1, 16, 10_000]))
        tensor([0.5000, 0.2500, 0.0500])
    """
    if not (counts > 0).all():
        raise UserError(
            f"class {int((counts > 0).int().argmin())} has no training pictures; leave it out"
        )
    rare = counts.double() ** -0.25
    span = rare.max() - rare.min()
    share = (rare - rare.min()) / span if span > 0 else torch.ones_like(rare)
    return (low + (high - low) * share).float()


def arcface(margins: Tensor, scale: float = 30.0) -> Objective:
    """Return ArcFace: cross-entropy in which the right class must win by an angle.

    ``L = CE(s cos(theta_c + m_y [c = y]), y)`` with ``theta_c`` the angle to class ``c``. Where
    ``theta + m`` would pass 180 degrees, ``cos theta - m sin m`` takes over, so that nearer is
    always better.

    Args:
        margins: ``[C]`` in radians, 0 to below pi; see ``adaptive_margins``, or ``torch.full((C,),
            0.5)``.
        scale: ``s``, the inverse temperature.

    Returns:
        An objective for a model that gives cosines ``[b, C]``, such as one that ends in
        ``SubCentres``.

    Raises:
        UserError: a margin outside 0..pi.

    Source: Deng et al. 2019, "ArcFace", equation 3.

    Example:
        >>> cosines = torch.tensor([[1.0, 0.0]])
        >>> loss = arcface(torch.tensor([math.pi / 2, 0.0]), scale=1.0)
        >>> round(loss(nn.Identity(), cosines, torch.tensor([0])).exp().item(), 4)  # cos 90 degrees: no lead left
        2.0
    """
    if not ((margins >= 0) & (margins < math.pi)).all():
        raise UserError("a margin is an angle from 0 to below pi; 0.5 is usual")

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        cosines = model(inputs)
        m = margins.to(cosines)[labels]
        own = cosines.gather(1, labels[:, None]).flatten()
        sine = (
            (1 - own.square()).clamp(min=1e-12).sqrt()
        )  # above 0: the slope of the root at 0 is infinite
        moved = torch.where(own > -m.cos(), own * m.cos() - sine * m.sin(), own - m * m.sin())
        return F.cross_entropy(scale * cosines.scatter(1, labels[:, None], moved[:, None]), labels)

    return objective
