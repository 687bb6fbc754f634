"""What open_clip knows beside weights: its architectures and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from wiseft_lite import encoders
from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class VisionShape:
    """The size of a vision transformer: blocks, width, patch and picture in pixels, and its
    embedding."""

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
    """The size of an architecture's image encoder, from open_clip's configuration; no weights are
    made.

    Raises:
        UserError: an unknown name, or an image encoder that is no plain vision transformer.

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
            f"the image encoder of {arch} is no plain vision transformer; its memory is not known here"
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
    """One of open_clip's architectures, as far as it is known without weights.

    Args:
        name: open_clip's.
        family: of image encoder and text encoder; what works for one architecture works for its
            family.
        image_encoder: its kind and size, or timm's name of it.
        text_encoder: its kind and size, or Hugging Face's name of it.
        image_size: pixels on a side.
        image_parameters, text_parameters: how many. Those of a text encoder of Hugging Face are not
            known here: 0.
        pretrained: how many sets of weights open_clip lists for it.
        needs: a package that must be installed beside this one, or "".
        refused: why it works nowhere, or "".
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
    """Build an architecture on no device, send one image and one text through it, and say what it
    is.

    That costs time, about a second, and no memory, however large the architecture is. Only a text
    encoder of Hugging Face is not built.

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
        model = None if of_hf else encoders.blank(name, "meta").eval()
        image = encoders.image_encoder(config).eval() if of_hf else model.visual
        size = image.image_size if isinstance(image.image_size, int) else image.image_size[0]
        pixels = torch.empty(2, 3, size, size)
        features = [image(pixels) if of_hf else model.encode_image(pixels)]
        if not of_hf:
            features.append(
                model.encode_text(
                    torch.zeros(2, text_cfg.get("context_length", 77), dtype=torch.int64)
                )
            )
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
}  # by how timm's names begin, the longer ones first


def _family(config: Mapping) -> str:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision:
        kind = f"timm's {next(kind for start, kind in _TIMM.items() if vision['timm_model_name'].startswith(start))}"
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
