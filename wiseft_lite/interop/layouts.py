"""Divide a foreign checkpoint's tensors into image encoder, text encoder and head.

Wrappers (``torch.compile``, ``DataParallel``, a trainer's own dictionary) add prefixes or insert
parts into the keys. So keys are recognised by what they contain, ``visual.`` and
``classification_head.``, whatever wraps them. A prefix is no evidence of the model's activation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from wiseft_lite.errors import UserError

# parts of a key that torch.compile and other wrappers insert at any depth
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_IMAGE, _HEAD = "visual", "classification_head"
_TEXT = (
    "transformer",
    "token_embedding",
    "positional_embedding",
    "text_projection",
    "ln_final",
    "logit_scale",
    "logit_bias",
    "text",
    "text_decoder",
)
# stored among the weights in OpenAI's own files
_NUMBERS = ("input_resolution", "context_length", "vocab_size")
_OTHERS = {
    "vision_model": "Hugging Face transformers; load it there and save it in open_clip's layout",
    "blocks": "timm, and such a file has neither a text encoder nor a head on normalised features",
}


@dataclass(frozen=True)
class Parts:
    """The parts of a checkpoint.

    Args:
        image: the image encoder, keys ``"visual."...``.
        text: the text encoder, or what is left of it, under open_clip's names.
        head: ``weight`` and possibly ``bias`` of a classification head; empty without one.
        clues: evidence of the activation: a description, and whether it implies QuickGELU.
    """

    image: dict[str, Tensor]
    text: dict[str, Tensor]
    head: dict[str, Tensor]
    clues: dict[str, bool]

    @property
    def has_text_encoder(self) -> bool:
        """Whether the text encoder is complete; wise-ft and model-soups delete its blocks only."""
        return "logit_scale" in self.text and _has_blocks(self.text)


def partition(
    weights: Mapping[str, Tensor], names: set[str], path: Path, prefix: str = ""
) -> Parts:
    """Divide the tensors of a checkpoint into its parts.

    Args:
        weights: all tensors of the file, by their dotted names.
        names: of the classes that its pickle refers to.
        path: of the file, for messages.
        prefix: selects one of several models: only keys that begin with it are used.

    Raises:
        UserError: the file has no image encoder of CLIP, or several.
    """
    weights = {key: tensor for key, tensor in _unwrapped(weights).items() if key.startswith(prefix)}
    starts = {before for before in map(_before_image, weights) if before is not None}
    heads = {key[: key.rindex(f"{_HEAD}.")] for key in weights if f".{_HEAD}.weight" in f".{key}"}
    if not starts:
        raise UserError(
            f"{path} has no image encoder of CLIP{_guess(weights)}; give a checkpoint of wise-ft, "
            "model-soups, OpenAI or open_clip"
        )
    start, head_start = _only(starts, path), _only(heads, path) if heads else None
    model = {
        key.removeprefix(start): tensor for key, tensor in weights.items() if key.startswith(start)
    }
    image = {key: tensor for key, tensor in model.items() if key.startswith(f"{_IMAGE}.")}
    text = {key: tensor for key, tensor in model.items() if key.partition(".")[0] in _TEXT}
    head = {}
    if head_start is not None:
        keys = {kind: f"{head_start}{_HEAD}.{kind}" for kind in ("weight", "bias")}
        head = {kind: weights[key] for kind, key in keys.items() if key in weights}
    _warn_of_rest(weights, start, head_start, path)
    clues = {}
    kinds = {"QuickGELU", "GELU"} & {name.rpartition(".")[2] for name in names}
    if len(kinds) == 1:
        clues["the classes in its pickle"] = kinds == {"QuickGELU"}
    if all(number in model for number in _NUMBERS):
        clues["it is one of OpenAI's own files"] = True
    if head_start is not None and not kinds and _is_authors_layout(start, head_start, text):
        clues["the layout of wise-ft or model-soups, which fine-tune OpenAI's CLIP"] = True
    text = {key: tensor for key, tensor in text.items() if not key.endswith("attn_mask")}
    return Parts(image, text, head, clues)


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the optimizer's, and without the parts that wrappers insert into keys."""
    return {
        ".".join(part for part in key.split(".") if part not in _WRAPPERS): tensor
        for key, tensor in weights.items()
        if not key.startswith("optim")
    }


def _before_image(key: str) -> str | None:
    """The prefix of ``visual.`` in a key; None if it does not belong to an image encoder."""
    before, found, _ = f".{key}".partition(f".{_IMAGE}.")
    return f"{before}."[1:] if found else None


def _only(starts: set[str], path: Path) -> str:
    """The prefix of the outermost model; an error if there are several models side by side."""
    outermost = min(starts, key=len)
    if all(start.startswith(outermost) for start in starts):
        return outermost
    parts = [start.split(".") for start in sorted(starts)]
    differ = next(i for i, names in enumerate(zip(*parts, strict=False)) if len(set(names)) > 1)
    prefixes = [repr(".".join(names[: differ + 1]) + ".") for names in parts]
    raise UserError(
        f"{path} has several models, whose keys begin with {' and '.join(prefixes)}; select one with "
        "prefix (--prefix)"
    )


def _is_authors_layout(start: str, head_start: str, text: Mapping[str, Tensor]) -> bool:
    """Whether module names are those of wise-ft or model-soups, and the text encoder has no blocks."""
    inside = ".".join(
        part for part in start.removeprefix(head_start).split(".") if part != "module"
    )
    return (
        start.startswith(head_start)
        and inside in ("image_encoder.model.", "model.")
        and "token_embedding.weight" in text
        and not _has_blocks(text)
    )


def _has_blocks(text: Mapping[str, Tensor]) -> bool:
    return any(".resblocks.0." in f".{key}" or key.startswith("text.transformer.") for key in text)


def _guess(weights: Mapping[str, Tensor]) -> str:
    """Which library the file may be from, or how its keys begin."""
    parts = {part for key in weights for part in key.split(".")}
    if "encoder" in parts and "head.weight" in weights:
        return " (its keys are those of a classifier of this library; write it with save)"
    for part, whose in _OTHERS.items():
        if part in parts:
            return f" (its keys are those of {whose})"
    return f" (its keys begin with {', '.join(list(weights)[:3])})" if weights else ""


def _warn_of_rest(
    weights: Mapping[str, Tensor], start: str, head_start: str | None, path: Path
) -> None:
    """Warn of weights that are ignored: with an adapter among them the model would be another."""
    known = (_IMAGE, _HEAD, *_TEXT, *_NUMBERS, "attn_mask")
    roots = [start] if head_start is None else [start, head_start]
    left = [
        key
        for key, tensor in weights.items()
        if tensor.is_floating_point()
        and not any(
            key.startswith(root) and key.removeprefix(root).partition(".")[0] in known
            for root in roots
        )
    ]
    if left:
        warnings.warn(
            f"{path}: {len(left)} tensors belong neither to CLIP nor to a head and are ignored, such as "
            f"{', '.join(left[:3])}",
            stacklevel=4,
        )
