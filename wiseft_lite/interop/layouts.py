"""Which tensor of another library's checkpoint is what: wrappers taken off, image encoder, text
encoder, head.

Training code wraps a model again and again (``torch.compile``, ``DataParallel``, a trainer's own
dictionary), and each wrapper puts something before the keys or into them. Here the keys are read
from the inside, from ``visual.`` and ``classification_head.``, so that it does not matter how many
wrappers there are, nor which. And because a wrapper says nothing about the model in it, a prefix
alone is never taken as a clue to the activation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from wiseft_lite.errors import UserError

_INSIDE = {
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
}  # torch.compile and others, at any depth
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
_NUMBERS = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # OpenAI's own files keep these among the weights
_OTHERS = {
    "vision_model": "Hugging Face transformers; load it there and save it in open_clip's layout",
    "blocks": "timm, and such a file has neither a text encoder nor a head on normalised features",
}


@dataclass(frozen=True)
class Parts:
    """What a file holds.

    Args:
        image: the image encoder, keys ``"visual."...``.
        text: what there is of a text encoder, under open_clip's names.
        head: ``weight`` and perhaps ``bias`` of a classifier; empty if there is none.
        clues: to the activation, what was seen and whether it means QuickGELU.
    """

    image: dict[str, Tensor]
    text: dict[str, Tensor]
    head: dict[str, Tensor]
    clues: dict[str, bool]

    @property
    def has_text_encoder(self) -> bool:
        """Whether the text encoder is whole; wise-ft and model-soups delete its blocks and leave
        the rest."""
        return "logit_scale" in self.text and _has_blocks(self.text)


def sort(weights: Mapping[str, Tensor], names: set[str], path: Path, prefix: str = "") -> Parts:
    """Tell the parts of a checkpoint apart.

    Args:
        weights: all tensors of the file, by their dotted names.
        names: of the classes that its pickle asks for.
        path: for messages.
        prefix: only keys that begin with it count, where a file holds several models.

    Raises:
        UserError: there is no image encoder of CLIP, or there are several.
    """
    weights = {key: tensor for key, tensor in _unwrapped(weights).items() if key.startswith(prefix)}
    starts = {before for before in map(_before_image, weights) if before is not None}
    heads = {key[: key.rindex(f"{_HEAD}.")] for key in weights if f".{_HEAD}.weight" in f".{key}"}
    if not starts:
        raise UserError(
            f"{path} holds no image encoder of CLIP{_guess(weights)}; give a checkpoint of wise-ft, "
            "model-soups, OpenAI or open_clip"
        )
    start, head_start = _only(starts, path), _only(heads, path) if heads else None
    mine = {
        key.removeprefix(start): tensor for key, tensor in weights.items() if key.startswith(start)
    }
    image = {key: tensor for key, tensor in mine.items() if key.startswith(f"{_IMAGE}.")}
    text = {key: tensor for key, tensor in mine.items() if key.partition(".")[0] in _TEXT}
    head = (
        {}
        if head_start is None
        else {
            kind: weights[f"{head_start}{_HEAD}.{kind}"]
            for kind in ("weight", "bias")
            if f"{head_start}{_HEAD}.{kind}" in weights
        }
    )
    _warn_of_rest(weights, start, head_start, path)
    clues = {}
    kinds = {"QuickGELU", "GELU"} & {name.rpartition(".")[2] for name in names}
    if len(kinds) == 1:
        clues["the classes that its pickle names"] = kinds == {"QuickGELU"}
    if all(number in mine for number in _NUMBERS):
        clues["it is one of OpenAI's own files"] = True
    if head and not kinds and _is_authors_layout(start, head_start, text):
        clues["its layout is that of wise-ft or model-soups, which fine-tune OpenAI's CLIP"] = True
    return Parts(
        image,
        {key: tensor for key, tensor in text.items() if not key.endswith("attn_mask")},
        head,
        clues,
    )


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without an optimizer's, and without what wrappers put into the keys."""
    return {
        ".".join(part for part in key.split(".") if part not in _INSIDE): tensor
        for key, tensor in weights.items()
        if not key.startswith("optim")
    }


def _before_image(key: str) -> str | None:
    """What comes before ``visual.`` in a key; None if it does not belong to an image encoder."""
    before, found, _ = f".{key}".partition(f".{_IMAGE}.")
    return f"{before}."[1:] if found else None


def _only(starts: set[str], path: Path) -> str:
    """The one place where a model begins; of several the outermost, and an error if none holds the
    others."""
    outermost = min(starts, key=len)
    if all(start.startswith(outermost) for start in starts):
        return outermost
    parts = [start.split(".") for start in sorted(starts)]
    same = next(i for i, names in enumerate(zip(*parts, strict=True)) if len(set(names)) > 1)
    beginnings = [repr(".".join(names[: same + 1]) + ".") for names in parts]
    raise UserError(
        f"{path} holds several models, whose keys begin with {' and '.join(beginnings)}; name one with "
        "prefix (--prefix)"
    )


def _is_authors_layout(start: str, head_start: str, text: Mapping[str, Tensor]) -> bool:
    """The module names of the authors' code, and a text encoder without its blocks, which both of
    them delete."""
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
    """Whose file it may be, or how its keys begin."""
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
    """Name the weights that are left out: with an adapter among them the model would be another
    one."""
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
            f"{path}: {len(left)} tensors belong neither to CLIP nor to a head and are left out, such as "
            f"{', '.join(left[:3])}",
            stacklevel=4,
        )
