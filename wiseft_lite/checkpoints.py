"""Checkpoints: ``model.safetensors`` beside ``card.json``. Nothing here ever runs a pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wiseft_lite import __version__
from wiseft_lite.digest import file_sha256
from wiseft_lite.encoders import load_clip
from wiseft_lite.errors import UserError
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.outputs import new_file, new_folder

SCHEMA = 1


def portable(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as safetensors wants them: on the CPU, contiguous, none shared."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def save(classifier: ImageClassifier, folder: str | Path, *, recipe: Any = None,
         metrics: dict | None = None, overwrite: bool = False) -> Path:
    """Write a classifier into a new folder and return it; the folder appears whole or not at all.

    Args:
        classifier: what to save.
        folder: where to; it must not exist unless ``overwrite``.
        recipe: a dataclass that says how it was trained, kept in the card.
        metrics: results to keep in the card.
        overwrite: replace a checkpoint that is there.

    Raises:
        UserError: the folder exists, or it cannot be written.
    """
    from safetensors.torch import save_file

    with new_folder(folder, overwrite) as part:
        save_file(portable(classifier.state_dict()), part / "model.safetensors")
        card = {
            "schema": SCHEMA, "library": __version__, "encoder": classifier.encoder_name,
            "class_names": list(classifier.class_names), "sha256": file_sha256(part / "model.safetensors"),
            "recipe": dataclasses.asdict(recipe) if recipe is not None else None, "metrics": metrics or {},
        }
        (part / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    return Path(folder)


def add_metrics(folder: str | Path, metrics: Mapping[str, float]) -> None:
    """Put results into the card of a checkpoint that was saved before it was measured.

    Raises:
        UserError: the folder is no checkpoint, or its card cannot be written.
    """
    card = read_card(folder)
    with new_file(Path(folder) / "card.json", overwrite=True) as part:
        part.write_text(json.dumps({**card, "metrics": {**card.get("metrics", {}), **metrics}}, indent=1) + "\n")


def read_card(folder: str | Path) -> dict:
    """Return the card of a checkpoint.

    Raises:
        UserError: the folder is no checkpoint, or one of a later version.
    """
    path = Path(folder) / "card.json"
    try:
        card = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{folder} is no checkpoint (it has no card.json); give a folder made by save") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); save the checkpoint again") from error
    kinds = {"schema": int, "encoder": str, "class_names": list, "sha256": str}
    missing = [key for key, kind in kinds.items() if not (isinstance(card, dict) and isinstance(card.get(key), kind))]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; save the checkpoint again")
    if card["schema"] > SCHEMA:
        raise UserError(f"{path} has schema {card['schema']}, this version reads up to {SCHEMA}; "
                        "upgrade wiseft_lite")
    return card


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint after comparing its hash with the card's.

    Raises:
        UserError: it is no checkpoint, or it is damaged or half-written.
    """
    from safetensors.torch import load_file

    card, path = read_card(folder), Path(folder) / "model.safetensors"
    if not path.exists() or file_sha256(path) != card["sha256"]:
        raise UserError(f"{path} is missing or damaged (its hash is not the card's); "
                        "copy or train the checkpoint again")
    return load_file(path)


def load(folder: str | Path, device: str | torch.device = "cpu",
         class_names: Sequence[str] | None = None) -> ImageClassifier:
    """Read a checkpoint back into a classifier in eval mode.

    Args:
        folder: of the checkpoint.
        device: where its weights go.
        class_names: those it must have been made for, in their order; any if not given.

    Raises:
        UserError: it is no checkpoint, it is damaged or half-written, its encoder cannot be loaded, or it has other
            classes.
    """
    card, weights = read_card(folder), read_weights(folder)
    if class_names is not None and list(class_names) != card["class_names"]:
        raise UserError(f"{folder} was made for other classes, or for these in another order; give the task that it was "
                        "trained on")
    clip = load_clip(card["encoder"])
    head = Head(torch.zeros_like(weights["head.weight"]))
    classifier = ImageClassifier(clip.model.visual.requires_grad_(True), head, clip.preprocess,
                                 card["class_names"], card["encoder"])
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{folder} does not fit the encoder {card['encoder']!r}: "
                        f"{str(error).splitlines()[-1].strip()}") from error
    return classifier.to(device).eval()
