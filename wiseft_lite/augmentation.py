"""Random changes of a training image."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image
from torch import Tensor

from wiseft_lite.encoders import Preprocess, training_crop
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.recipes import AUGMENTS


def training_transform(
    preprocess: Callable[[Image.Image], Tensor], augment: str
) -> Callable[[Image.Image], Tensor]:
    """Return the random transform of a training image, PIL image to tensor ``[3, h, w]``.

    - ``"none"``: ``preprocess``, as in evaluation.
    - ``"crop"``: a random crop of the original image, 90 to 100 % of its area with an aspect ratio
      of 3/4 to 4/3, resized to the encoder's input: the transform of the authors' code.
    - ``"square-crop"``: the same area, but a square of the image after it was resized and
      centre-cropped as in evaluation: the transform that the paper's text describes.
    - ``"strong"``: small rotations, shifts and shears, crops of 50 to 100 % of the area, and
      erased patches; what an image no longer covers has the mean colour.

    Args:
        preprocess: the classifier's.
        augment: one of ``recipes.AUGMENTS``.

    Raises:
        UserError: an unknown augmentation, or a ``preprocess`` that is a function of your own,
            whose crop is unknown.

    Source: the paper, appendix D.1 (crop) and C.4 (stronger, where the paper uses timm's);
        ``open_clip.image_transform`` with ``AugmentationCfg(scale=(0.9, 1.0))``, as in the authors'
        code.
    """
    if augment not in AUGMENTS:
        raise unknown("augmentation", augment, AUGMENTS)
    if augment == "none":
        return preprocess
    if not isinstance(preprocess, Preprocess):
        raise UserError(
            f"the augmentation {augment!r} needs to know how the model preprocesses images, and "
            f"{preprocess!r} does not tell; train with augment='none', or take the preprocess of "
            "load_clip"
        )
    if augment == "crop":
        return training_crop(preprocess)
    return _square_crop(preprocess) if augment == "square-crop" else _strong(preprocess)


def _square_crop(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    from torchvision.transforms import Compose, InterpolationMode, RandomResizedCrop

    *resize_and_crop, to_rgb, to_tensor, normalize = preprocess.transforms
    crop = RandomResizedCrop(
        preprocess.size,
        scale=(0.9, 1.0),
        ratio=(1.0, 1.0),
        interpolation=InterpolationMode.BICUBIC,
    )
    return Compose([*resize_and_crop, crop, to_rgb, to_tensor, normalize])


def _strong(preprocess: Preprocess) -> Callable[[Image.Image], Tensor]:
    from torchvision.transforms import (
        Compose,
        InterpolationMode,
        RandomAffine,
        RandomErasing,
        RandomResizedCrop,
    )

    affine = RandomAffine(
        degrees=12,
        translate=(0.05, 0.05),
        shear=6,
        fill=[round(255 * value) for value in preprocess.mean],
        interpolation=InterpolationMode.BILINEAR,
    )
    crop = RandomResizedCrop(
        preprocess.size, scale=(0.5, 1.0), interpolation=InterpolationMode.BICUBIC
    )
    erase = RandomErasing(p=0.25, scale=(0.02, 0.15), value=0)  # the mean, once normalised
    return Compose([affine, crop, *preprocess.transforms[-3:], erase])
