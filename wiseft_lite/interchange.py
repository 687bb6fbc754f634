"""Checkpoints of others in, open_clip's format out. No file is ever unpickled; see ``inert``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wiseft_lite import inert
from wiseft_lite.checkpoints import portable
from wiseft_lite.digest import file_sha256
from wiseft_lite.encoders import Clip, architectures_of, load_clip, open_clip_config
from wiseft_lite.errors import UserError
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.outputs import new_folder

CONFIG = "open_clip_config.json"
_HEAD = "classification_head."
_NUMBERS = ("input_resolution", "context_length", "vocab_size")  # OpenAI's own files keep these among the weights


@dataclass(frozen=True)
class _Parts:
    """What a file holds: towers under open_clip's names, a head, and whether it says which activation it has."""

    path: Path
    towers: dict[str, Tensor]
    head: dict[str, Tensor]
    quick_gelu: bool | None

    @property
    def image(self) -> dict[str, Tensor]:
        return {key: tensor for key, tensor in self.towers.items() if key.startswith("visual.")}


def import_checkpoint(path: str | Path, class_names: Sequence[str], *, architecture: str | None = None,
                      sha256: str | None = None) -> ImageClassifier:
    """Read a classifier that another library fine-tuned.

    Known are the files of ``mlfoundations/wise-ft`` (whole pickled modules, and state dicts with
    ``image_encoder.model.*`` and ``classification_head.*``) and of ``mlfoundations/model-soups`` (``model.*`` and
    ``classification_head.*``), with or without ``module.`` before, and the same as safetensors. Both fine-tune
    OpenAI's CLIP and so have its QuickGELU, unless the pickle names another activation.

    Args:
        path: the file.
        class_names: one for each row of the head, in its order; the files do not hold them.
        architecture: open_clip's name for it, such as ``"ViT-B-32-quickgelu"``; found from the shapes if not given.
        sha256: what the file must hash to, as published beside a download.

    Raises:
        UserError: it cannot be read, is damaged, has no head, or several architectures fit.

    Source: src/models/modeling.py of wise-ft; utils.py of model-soups.
    """
    parts = _read(path, sha256)
    if "weight" not in parts.head:
        raise UserError(f"{path} has no classification head; read the whole CLIP with import_clip, and write a head "
                        "with zero_shot_classifier")
    name = f"{_architecture(parts, parts.image, architecture)}/none"
    clip = load_clip(name)
    encoder = clip.model.visual.requires_grad_(True)
    encoder.load_state_dict({key.removeprefix("visual."): tensor for key, tensor in parts.image.items()})
    weight, bias = parts.head["weight"], parts.head.get("bias")
    if weight.shape[1:] != (encoder.output_dim,) or bias is not None and bias.shape != weight.shape[:1]:
        raise UserError(f"{path}: a head of shape {tuple(weight.shape)} does not fit the image tower's "
                        f"{encoder.output_dim} features or its own bias; it is damaged")
    if len(weight) != len(class_names):
        raise UserError(f"{path}: the head has {len(weight)} rows but there are {len(class_names)} class names; "
                        "give one for each row, in its order")
    return ImageClassifier(encoder, Head(weight, bias), clip.preprocess, class_names, name).eval()


def import_clip(path: str | Path, folder: str | Path, *, architecture: str | None = None,
                sha256: str | None = None, overwrite: bool = False) -> Clip:
    """Rewrite a file with a whole CLIP as a folder in open_clip's layout, and load it from there.

    Known are OpenAI's files (TorchScript archives, of which only the weights are read) and state dicts, open_clip's
    state dicts and training checkpoints, and the same as safetensors. The folder is a model like any other
    afterwards: ``load_clip("local-dir:FOLDER")``.

    Args:
        path: the file.
        folder: a new folder.
        architecture, sha256: see ``import_checkpoint``. A state dict does not say whether it needs QuickGELU:
            OpenAI's weights do.
        overwrite: replace a model that is there.

    Raises:
        UserError: it cannot be read, is damaged, lacks a text tower, or several architectures fit.
    """
    parts = _read(path, sha256)
    if "logit_scale" not in parts.towers or not any("resblocks.0" in key for key in parts.towers.keys() - parts.image):
        raise UserError(f"{path} has no text tower; read its image tower and head with import_checkpoint")
    name = f"{_architecture(parts, parts.towers, architecture)}/none"
    _write(folder, open_clip_config(name), parts.towers, overwrite=overwrite)
    return load_clip(f"local-dir:{folder}")


def export_open_clip(classifier: ImageClassifier, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a classifier as a folder that open_clip alone can use.

    ``open_clip.create_model_and_transforms("local-dir:FOLDER")`` has the fine-tuned image tower and the text tower
    that the classifier's encoder came with. An imported classifier has none: then the image tower stands alone in
    ``image_tower.safetensors``, for ``create_model(ARCH, pretrained_image_path=...)``. The head, ``weight`` and
    ``bias``, is in ``head.safetensors``, its classes in ``class_names.json``:
    ``logits = encode_image(x, normalize=True) @ weight.T + bias``.

    Args:
        classifier: what to write.
        folder: a new folder.
        overwrite: replace an export that is there.

    Raises:
        UserError: the encoder is none of open_clip's, or the folder exists or cannot be written.
    """
    towers = {f"visual.{key}": tensor for key, tensor in classifier.encoder.state_dict().items()}
    if not classifier.encoder_name.endswith("/none"):
        towers = {**load_clip(classifier.encoder_name).model.state_dict(), **towers}
    return _write(folder, open_clip_config(classifier.encoder_name), towers, classifier, overwrite)


def _write(folder: str | Path, config: dict, towers: dict[str, Tensor], classifier: ImageClassifier | None = None,
           overwrite: bool = False) -> Path:
    from safetensors.torch import save_file

    with new_folder(folder, overwrite) as part:
        (part / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        if "logit_scale" in towers:
            save_file(portable(towers), part / "open_clip_model.safetensors", metadata={"format": "pt"})
        else:
            image = {key.removeprefix("visual."): tensor for key, tensor in towers.items()}
            save_file(portable(image), part / "image_tower.safetensors", metadata={"format": "pt"})
        if classifier is not None:
            save_file(portable(classifier.head.state_dict()), part / "head.safetensors", metadata={"format": "pt"})
            (part / "class_names.json").write_text(json.dumps(classifier.class_names, indent=1) + "\n")
    return Path(folder)


def _read(path: str | Path, sha256: str | None) -> _Parts:
    """Sort a file's tensors into towers and head."""
    from safetensors.torch import load_file

    path, names = Path(path), set()
    if not path.is_file():
        raise UserError(f"{path} is no file; a folder made by save is read with load")
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise UserError(f"{path} has another hash than {sha256}; download it again, and use it only if they agree")
    if path.suffix == ".safetensors":
        try:
            weights = load_file(path)
        except Exception as error:
            raise UserError(f"{path} is damaged ({error}); copy or download it again") from error
    else:
        weights, names = inert.read(path)
    if weights and all(key.startswith("module.") for key in weights):  # DataParallel
        weights = {key.removeprefix("module."): tensor for key, tensor in weights.items()}
    anchor = next((key for key in weights if ".visual." in f".{key}"), None)
    if anchor is None:
        raise UserError(f"{path} holds no image tower of CLIP (its keys begin with {', '.join(list(weights)[:3])}); "
                        "give a checkpoint of wise-ft, model-soups, OpenAI or open_clip")
    weights = {key: tensor for key, tensor in weights.items() if not key.endswith("attn_mask")}  # a constant
    bad = [key for key, tensor in weights.items() if not torch.isfinite(tensor.float()).all()]
    if bad:
        raise UserError(f"{path}: weights are not finite in {', '.join(bad[:3])}; it is damaged or its training failed")
    prefix = anchor[:f".{anchor}".index(".visual.")]
    weights = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in weights.items()}
    head = {key.removeprefix(_HEAD): tensor for key, tensor in weights.items() if key.startswith(_HEAD)}
    towers = {key.removeprefix(prefix): tensor for key, tensor in weights.items()
              if key.startswith(prefix) and not key.startswith(_HEAD)}
    quick = True if prefix or all(number in towers for number in _NUMBERS) else None
    quick = next((kind == "QuickGELU" for kind in ("QuickGELU", "GELU")
                  if any(name.rpartition(".")[2] == kind for name in names)), quick)
    return _Parts(path, {key: t for key, t in towers.items() if key not in _NUMBERS}, head, quick)


def _architecture(parts: _Parts, weights: dict[str, Tensor], wanted: str | None) -> str:
    """The one architecture that fits the shapes and the activation; an error that asks if there are several."""
    fits = architectures_of({key: tensor.shape for key, tensor in weights.items()})
    if wanted is not None:
        if wanted not in fits:
            raise UserError(f"{parts.path} does not have the shapes of {wanted!r}; "
                            + (f"they are those of {', '.join(fits)}" if fits else "no architecture of open_clip fits"))
        return wanted
    if not fits:
        raise UserError(f"{parts.path} fits no architecture of open_clip; its image tower is another model, or damaged")
    likely = {name: config for name, config in fits.items()
              if parts.quick_gelu is None or bool(config.get("quick_gelu")) == parts.quick_gelu}
    kinds = {json.dumps([config["vision_cfg"], bool(config.get("quick_gelu"))]) for config in likely.values()}
    if len(kinds) != 1:
        raise UserError(f"{parts.path} may be {' or '.join(likely or fits)}; say which with architecture (the weights "
                        "of OpenAI, and what was fine-tuned from them, need QuickGELU)")
    return min(likely, key=len)
