"""Random changes of a training image."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from wiseft_lite.errors import unknown

AUGMENTS = ("none", "crop", "strong")


def augmentation(kind: str, size: int) -> Callable[[Tensor], Tensor] | None:
    """Return the random transform of one preprocessed image ``[3, size, size]``; None for ``"none"``.

    Raises:
        UserError: an unknown kind.

    Source: the paper, appendix D.1 for ``"crop"`` and C.4 for the stronger kind, which there was timm's.
    """
    from torchvision.transforms import InterpolationMode, v2

    if kind not in AUGMENTS:
        raise unknown("augmentation", kind, AUGMENTS)
    if kind == "none":
        return None
    crop = v2.RandomResizedCrop(size, scale=(0.9 if kind == "crop" else 0.5, 1.0), ratio=(1.0, 1.0),
                                interpolation=InterpolationMode.BICUBIC)
    if kind == "crop":
        return crop
    turn = v2.RandomAffine(degrees=12, translate=(0.05, 0.05), shear=6, fill=1.0,
                           interpolation=InterpolationMode.BILINEAR)
    return v2.Compose([turn, crop, v2.RandomErasing(p=0.25, scale=(0.02, 0.15))])
