"""open_clip's architectures and their sizes, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from wiseft_lite import encoders
from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class VisionShape:
    """The size of a vision transformer.

    Args:
        layers: transformer blocks.
        width: of the blocks.
        patch: side of a patch, in pixels.
        image_size: side of the image, in pixels.
        embedding: dimensions of the embedding.
    """

    layers: int
    width: int
    patch: int
    image_size: int
    embedding: int

    @property
    def tokens(self) -> int:
        """Number of patches, plus the class token."""
        return (self.image_size // self.patch) ** 2 + 1


def vision_shape(arch: str) -> VisionShape:
    """Return the size of an architecture's image encoder, from open_clip's configuration alone.

    Raises:
        UserError: an unknown name, or an image encoder that is not a plain vision transformer.

    Example:
        >>> vision_shape("ViT-B-32").tokens
        50
    """
    config = encoders.library().get_model_config(arch)
    if config is None:
        raise UserError(f"unknown architecture {arch!r}; give one of open_clip's, such as ViT-B-32")
    vision = config["vision_cfg"]
    if not isinstance(vision.get("layers"), int) or not vision.get("patch_size"):
        raise UserError(
            f"the image encoder of {arch} is not a plain vision transformer, so its memory cannot be "
            "estimated; give one such as ViT-B-32"
        )
    return VisionShape(
        vision["layers"],
        vision["width"],
        vision["patch_size"],
        vision["image_size"],
        config["embed_dim"],
    )


@dataclass(frozen=True)
class Architecture:
    """What is known of one of open_clip's architectures without weights.

    Args:
        name: in open_clip.
        family: of image encoder and text encoder; members of a family work the same way.
        image_encoder: its kind and size, or its name in timm.
        text_encoder: its kind and size, or its name on Hugging Face.
        image_size: side of the image, in pixels.
        image_parameters: number of parameters of the image encoder.
        text_parameters: number of parameters of the text encoder; 0 if it is Hugging Face's.
        pretrained: number of pretrained weights that open_clip lists.
        needs: an additional package that must be installed, or "".
        refused: why it cannot be used, or "".
    """

    name: str
    family: str
    image_encoder: str
    text_encoder: str
    image_size: int
    image_parameters: int
    text_parameters: int
    pretrained: int
    needs: str
    refused: str


def architecture(name: str) -> Architecture:
    """Build an architecture on the meta device, run one image and one text, and describe it.

    It takes about a second and no memory, however large the architecture is. Text encoders of
    Hugging Face are not built.

    Raises:
        UserError: an unknown name.

    Example:
        >>> architecture("RN50").family
        "CLIP's ResNet"
    """
    config = encoders.library().get_model_config(name)
    if config is None:
        raise UserError(f"unknown architecture {name!r}; give one of open_clip's, such as ViT-B-32")
    text_cfg, refused, text_parameters = config["text_cfg"], "", 0
    of_hf = "hf_model_name" in text_cfg
    with torch.device("meta"), torch.no_grad():
        model: Any = None if of_hf else encoders.blank(name, "meta").eval()
        image: Any = encoders.image_encoder(config).eval() if of_hf else model.visual
        size = image.image_size if isinstance(image.image_size, int) else image.image_size[0]
        pixels = torch.empty(2, 3, size, size)
        features = [image(pixels) if of_hf else model.encode_image(pixels)]
        if not of_hf:
            tokens = torch.zeros(2, text_cfg.get("context_length", 77), dtype=torch.int64)
            features.append(model.encode_text(tokens))
            text_parameters = sum(
                p.numel()
                for key, p in model.named_parameters()
                if not key.startswith(("visual.", "text_decoder.", "logit_"))
            )
    if any(feature.shape != (2, config["embed_dim"]) for feature in features):
        refused = f"its encoders return {[tuple(f.shape) for f in features]}, not {config['embed_dim']} features each"
    return Architecture(
        name,
        _family(config),
        _image_encoder(config),
        _text_encoder(config),
        size,
        sum(p.numel() for p in image.parameters()),
        text_parameters,
        sum(arch == name for arch, _ in encoders.library().list_pretrained()),
        "transformers" if of_hf or "hf_tokenizer_name" in text_cfg else "",
        refused,
    )


_TIMM = {
    "convnext": "ConvNeXt",
    "eva": "EVA",
    "fastvit": "FastViT",
    "swin": "Swin",
    "vitamin": "ViTamin",
    "vit_base_mci": "MobileCLIP ViT",
    "vit_pe_core": "Perception Encoder",
    "vit_relpos": "ViT with relative positions",
    "vit": "ViT",
}  # by the beginning of timm's names, longer ones first


def _family(config: Mapping) -> str:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision:
        timm_name = vision["timm_model_name"]
        kind = (
            f"timm's {next(kind for start, kind in _TIMM.items() if timm_name.startswith(start))}"
        )
    else:
        kind = "CLIP's ViT" if isinstance(vision["layers"], int) else "CLIP's ResNet"
    kind += ", CoCa" if "multimodal_cfg" in config else ""
    if "hf_model_name" in text:
        return f"{kind}, text encoder of Hugging Face"
    return f"{kind}, tokenizer of Hugging Face" if "hf_tokenizer_name" in text else kind


def _image_encoder(config: Mapping) -> str:
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        return vision["timm_model_name"]
    if isinstance(vision["layers"], int):
        return f"ViT, {vision['layers']} blocks of {vision['width']}, patch {vision['patch_size']}"
    return f"ResNet, {'-'.join(map(str, vision['layers']))} blocks, width {vision['width']}"


def _text_encoder(config: Mapping) -> str:
    text = config["text_cfg"]
    if "hf_model_name" in text:
        return text["hf_model_name"]
    tokenizer = f", tokenizer {text['hf_tokenizer_name']}" if "hf_tokenizer_name" in text else ""
    return f"{text['layers']} blocks of {text['width']}{tokenizer}"
