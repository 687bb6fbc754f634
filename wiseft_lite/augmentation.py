"""Random changes of a training image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wiseft_lite.errors import unknown
from wiseft_lite.recipes import AUGMENTS


def augmentation(kind: str, size: int) -> Callable[[Tensor], Tensor] | None:
    """Return the random transform of one preprocessed image ``[3, size, size]``; None for
    ``"none"``.

    Raises:
        UserError: an unknown kind.

    Source: the paper, appendix D.1 for ``"crop"`` and C.4 for the stronger kind, which there was
    timm's.
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
    turn = v2.RandomAffine(
        degrees=12,
        translate=(0.05, 0.05),
        shear=6,
        fill=1.0,
        interpolation=InterpolationMode.BILINEAR,
    )
    return v2.Compose([turn, crop, v2.RandomErasing(p=0.25, scale=(0.02, 0.15))])


def skip(transform: Callable[[Tensor], Tensor], picture: Tensor) -> None:
    """Throw the dice that ``transform`` would throw for a picture of this shape, and draw nothing.

    Args:
        transform: of ``augmentation``.
        picture: ``[3, size, size]``; its values do not matter.
    """
    for step in getattr(transform, "transforms", [transform]):
        if hasattr(step, "p") and torch.rand(1) >= step.p:
            continue
        draw = (
            getattr(step, "make_params", None) or step._get_params
        )  # its name before torchvision 0.21
        draw([picture])


def transformed(
    transform: Callable[[Tensor], Tensor], batch: Tensor, part: slice, n: int
) -> Tensor:
    """Transform the part of a batch of ``n`` pictures that is here as it would be with the others
    before and after it.

    Args:
        transform: of one picture; of ``augmentation`` if the part is not the whole.
        batch: the part's pictures.
        part: their places in the batch.
        n: pictures in the batch.
    """
    for _ in range(part.start):
        skip(transform, batch[0])
    done = torch.stack([transform(picture) for picture in batch])
    for _ in range(n - part.stop):
        skip(transform, batch[0])
    return done
