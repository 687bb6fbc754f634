"""The only module that knows open_clip: model names, preprocessing, tokenizer."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.errors import UserError

ICONCLIP = Path(__file__).resolve().parent / "iconclip"


@dataclass(frozen=True)
class Clip:
    """A contrastively pre-trained image tower and text tower with what belongs to them.

    Args:
        name: the name it was loaded by.
        model: open_clip's model, in float32 and eval mode.
        preprocess: evaluation transform, PIL image to tensor ``[3, h, w]``.
        tokenizer: list of strings to int64 ``[n, context]``.
    """

    name: str
    model: torch.nn.Module
    preprocess: Callable
    tokenizer: Callable

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """L2-normalised text embeddings ``[n, d]``."""
        device = next(self.model.parameters()).device
        return F.normalize(self.model.encode_text(self.tokenizer(list(texts)).to(device)), dim=-1)

    @property
    def logit_scale(self) -> float:
        """CLIP's inverse temperature, the factor before its softmax."""
        return float(self.model.logit_scale.detach().exp())


def load_clip(name: str = "iconclip") -> Clip:
    """Load a CLIP model.

    Args:
        name: ``"iconclip"`` (ships with the package), ``"ARCH/pretrained"`` as open_clip names them, such
            as ``"ViT-B-32/openai"`` (``"ARCH/none"``: random weights), or ``"local-dir:PATH"``, a folder
            in open_clip's layout.

    Raises:
        UserError: an unknown name, with the nearest known ones, or files that cannot be read.

    Example:
        >>> load_clip("iconclip").encode_text(["an icon of a cat."]).shape
        torch.Size([1, 128])
    """
    open_clip = _open_clip()
    if name == "iconclip" or name.startswith("local-dir:"):
        folder = ICONCLIP if name == "iconclip" else Path(name.removeprefix("local-dir:"))
        if not (folder / "open_clip_config.json").exists():
            raise UserError(f"{folder} holds no open_clip_config.json; give a folder in open_clip's layout")
        source, pretrained = f"local-dir:{folder}", None
    else:
        source, pretrained = _checked(name)
    quick = {"force_quick_gelu": True} if pretrained == "openai" else {}
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            source, pretrained=pretrained, precision="fp32", **quick)
        tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"model {name!r} cannot be loaded: {reason}; check the files or the network") from error
    return Clip(name, model.eval().requires_grad_(False), preprocess, tokenizer)


def _open_clip():
    """open_clip, imported without the complaint that a notebook lacks widgets for progress bars."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import open_clip
    return open_clip


def _checked(name: str) -> tuple[str, str | None]:
    """Split ``ARCH/pretrained`` after checking both halves against open_clip's lists."""
    open_clip = _open_clip()
    arch, slash, tag = name.partition("/")
    known = {f"{a}/{t}" for a, t in open_clip.list_pretrained()}
    if slash and tag == "none" and arch in open_clip.list_models():
        return arch, None
    if name not in known:
        near = difflib.get_close_matches(name, ["iconclip", *known], n=3, cutoff=0.3)
        raise UserError(f"unknown model {name!r}; did you mean {', '.join(near) or 'iconclip'}?")
    return arch, tag
