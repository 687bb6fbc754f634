"""Random changes of a training image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wiseft_lite.errors import unknown
from wiseft_lite.recipes import AUGMENTS


def augmentation(kind: str, size: int) -> Callable[[Tensor], Tensor] | None:
    """Return the random transform of a preprocessed image ``[3, size, size]``, None for "none".

    Raises:
        UserError: an unknown kind.

    Source: the paper, appendix D.1 for ``"crop"``, and C.4 for ``"strong"``, where the paper
    uses timm's.
    """
    from torchvision.transforms import InterpolationMode, v2

    if kind not in AUGMENTS:
        raise unknown("augmentation", kind, AUGMENTS)
    if kind == "none":
        return None
    crop = v2.RandomResizedCrop(
        size,
        scale=(0.9 if kind == "crop" else 0.5, 1.0),
        ratio=(1.0, 1.0),
        interpolation=InterpolationMode.BICUBIC,
    )
    if kind == "crop":
        return crop
    affine = v2.RandomAffine(
        degrees=12,
        translate=(0.05, 0.05),
        shear=6,
        fill=1.0,
        interpolation=InterpolationMode.BILINEAR,
    )
    return v2.Compose([affine, crop, v2.RandomErasing(p=0.25, scale=(0.02, 0.15))])


def skip_draws(transform: Callable[[Tensor], Tensor], image: Tensor) -> None:
    """Advance the random state as ``transform(image)`` would, without computing the image.

    Args:
        transform: of ``augmentation``.
        image: ``[3, size, size]``; only its shape matters.
    """
    for step in getattr(transform, "transforms", [transform]):
        if hasattr(step, "p") and torch.rand(1) >= step.p:
            continue
        draw = getattr(step, "make_params", None) or step._get_params  # before torchvision 0.21
        draw([image])


def transform_shard(
    transform: Callable[[Tensor], Tensor], shard: Tensor, rows: slice, batch_size: int
) -> Tensor:
    """Transform a shard of a batch with the random numbers that the whole batch would give it.

    Args:
        transform: of one image; of ``augmentation`` if the shard is not the whole batch.
        shard: images ``[b, 3, size, size]``.
        rows: where they are in the batch.
        batch_size: images in the batch.
    """
    for _ in range(rows.start):
        skip_draws(transform, shard[0])
    transformed = torch.stack([transform(image) for image in shard])
    for _ in range(batch_size - rows.stop):
        skip_draws(transform, shard[0])
    return transformed
