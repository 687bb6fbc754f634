"""What open_clip knows beside weights: the sizes of its image towers, and ImageNet's names and prompts."""

from __future__ import annotations

from dataclasses import dataclass

from wiseft_lite import encoders
from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class VisionShape:
    """The size of a vision transformer: blocks, width, patch and picture in pixels, and its embedding."""

    layers: int
    width: int
    patch: int
    picture: int
    embedding: int

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.picture // self.patch) ** 2 + 1


def vision_shape(arch: str) -> VisionShape:
    """The size of an architecture's image tower, from open_clip's configuration; no weights are made.

    Raises:
        UserError: an unknown name, or an image tower that is no plain vision transformer.

    Example:
        >>> vision_shape("ViT-B-32").tokens
        50
    """
    config = encoders.library().get_model_config(arch)
    if config is None:
        raise UserError(f"unknown architecture {arch!r}; give one of open_clip's, such as ViT-B-32")
    vision = config["vision_cfg"]
    if not isinstance(vision.get("layers"), int) or not vision.get("patch_size"):
        raise UserError(f"the image tower of {arch} is no plain vision transformer; its memory is not known here")
    return VisionShape(vision["layers"], vision["width"], vision["patch_size"], vision["image_size"],
                       config["embed_dim"])


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """ImageNet's 1000 WordNet ids in class order, OpenAI's names for them, and the 80 prompts with ``{}``.

    Two pairs of classes share a name, missile and sunglasses.

    Source: timm for the ids; open_clip for names and prompts, which are Radford et al. 2021's.

    Example:
        >>> ids, names, templates = imagenet_classes()
        >>> ids[0], names[0], templates[0]
        ('n01440764', 'tench', 'a bad photo of a {}.')
    """
    from timm.data import ImageNetInfo

    clip = encoders.library()
    return (tuple(ImageNetInfo("imagenet-1k").label_names()), tuple(clip.IMAGENET_CLASSNAMES),
            tuple(template("{}") for template in clip.OPENAI_IMAGENET_TEMPLATES))
