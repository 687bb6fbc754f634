"""Checkpoints: ``model.safetensors`` beside ``card.json``; no pickle is ever loaded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wiseft_lite import __version__
from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite._runtime.outputs import new_file, new_folder
from wiseft_lite.encoders import Origin, build_encoder, open_clip_config
from wiseft_lite.errors import UserError
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.weights import check_finite

SCHEMA = 2  # schema 1 held only the encoder's name, which may be the path of a folder


def portable(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as safetensors needs them: on the CPU, contiguous, without aliases."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def save(
    classifier: ImageClassifier,
    folder: str | Path,
    *,
    recipe: Any = None,
    metrics: dict | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a classifier into a new folder, completely or not at all, and return the folder.

    The card describes the image encoder by content, so ``load`` needs nothing but the folder.

    Args:
        classifier: what to save.
        folder: the new folder; it must not exist unless ``overwrite``.
        recipe: a dataclass with the settings of the training, for the card.
        metrics: results, for the card.
        overwrite: replace a checkpoint that exists.

    Raises:
        UserError: the folder exists or cannot be written, or a weight is not finite, which ``load``
            would refuse.
    """
    from safetensors.torch import save_file

    check_finite(classifier.state_dict(), f"the model for {folder}")
    origin = getattr(classifier.encoder, "origin", None)  # only open_clip's encoders have one
    with new_folder(folder, overwrite) as part:
        save_file(portable(classifier.state_dict()), part / "model.safetensors")
        card = {
            "schema": SCHEMA,
            "library": __version__,
            "encoder": origin.name if origin else classifier.encoder_name,
            "config": origin and origin.config,
            "text_encoder": origin and origin.text_encoder,
            "class_names": list(classifier.class_names),
            "sha256": file_sha256(part / "model.safetensors"),
            "recipe": dataclasses.asdict(recipe) if recipe is not None else None,
            "metrics": metrics or {},
        }
        (part / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    return Path(folder)


def add_metrics(folder: str | Path, metrics: Mapping[str, float]) -> None:
    """Add results to the card of a saved checkpoint.

    Raises:
        UserError: the folder is not a checkpoint, or its card cannot be written.
    """
    card = read_card(folder)
    with new_file(Path(folder) / "card.json", overwrite=True) as part:
        part.write_text(
            json.dumps({**card, "metrics": {**card.get("metrics", {}), **metrics}}, indent=1) + "\n"
        )


def read_card(folder: str | Path) -> dict:
    """Return the card of a checkpoint.

    Raises:
        UserError: the folder is not a checkpoint, or one of a later version.
    """
    path = Path(folder) / "card.json"
    try:
        card = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no checkpoint (it has no card.json); give a folder made by save"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); save the checkpoint again") from error
    kinds: dict[str, Any] = {"schema": int, "encoder": str, "class_names": list, "sha256": str}
    if isinstance(card, dict) and card.get("schema") == 2:
        kinds |= {"config": dict | None, "text_encoder": str | None}
    missing = [
        key
        for key, kind in kinds.items()
        if not (isinstance(card, dict) and key in card and isinstance(card[key], kind))
    ]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; save the checkpoint again")
    if card["schema"] > SCHEMA:
        raise UserError(
            f"{path} has schema {card['schema']}, this version reads up to {SCHEMA}; "
            "upgrade wiseft_lite"
        )
    if card["schema"] < 1 or card["schema"] > 1 and not _describes(card["config"]):
        raise UserError(
            f"{path} is damaged (schema {card['schema']}, or a config without an architecture); save the "
            "checkpoint again"
        )
    return card


def _describes(config: dict | None) -> bool:
    """Whether a card's configuration has the parts of open_clip's; building checks the rest."""
    if config is None:
        return True
    model = config.get("model_cfg")
    return (
        isinstance(config.get("preprocess_cfg"), dict)
        and isinstance(model, dict)
        and "embed_dim" in model
        and isinstance(model.get("vision_cfg"), dict)
    )


def read_origin(folder: str | Path) -> Origin | None:
    """Return the description of a checkpoint's image encoder; None if it is not open_clip's.

    Raises:
        UserError: the folder is not a checkpoint, or one of an older version whose model folder is
            gone.
    """
    return _origin(folder, read_card(folder))


def _origin(folder: str | Path, card: dict) -> Origin | None:
    name = card["encoder"]
    if card["schema"] > 1:
        return card["config"] and Origin(name, card["config"], card["text_encoder"])
    try:
        return Origin(name, open_clip_config(name))
    except UserError as error:
        raise UserError(
            f"{folder} is of an older version, which kept only the name of its encoder, {name!r}: "
            f"{error}; restore that model, or run the command in its folder, and save the "
            "checkpoint again"
        ) from error


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint after comparing its hash with the card's.

    Raises:
        UserError: the folder is not a checkpoint, its file is missing or damaged, or a weight is
            not finite.
    """
    return _weights(folder, read_card(folder))


def _weights(folder: str | Path, card: dict) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / "model.safetensors"
    if not path.exists() or file_sha256(path) != card["sha256"]:
        raise UserError(
            f"{path} is missing or damaged (its hash is not the card's); "
            "copy or train the checkpoint again"
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:  # the card holds the hash of another kind of file
        raise UserError(
            f"{path} is not a safetensors file ({error}); save the checkpoint again"
        ) from error
    check_finite(weights, str(path))
    return weights


def load(
    folder: str | Path, device: str | torch.device = "cpu", class_names: Sequence[str] | None = None
) -> ImageClassifier:
    """Read a checkpoint back into a classifier in eval mode.

    The image encoder is built from the card, so nothing is downloaded.

    Args:
        folder: of the checkpoint.
        device: device of the weights.
        class_names: the class names it must have, in their order; any if not given.

    Raises:
        UserError: the folder is not a checkpoint, it is damaged, its encoder cannot be built, or it
            has other classes.
    """
    card = read_card(folder)
    weights = _weights(folder, card)
    if class_names is not None and list(class_names) != card["class_names"]:
        raise UserError(
            f"{folder} was made for other classes, or for these in another order; "
            "give the task that it was trained on"
        )
    origin = _origin(folder, card)
    if "head.weight" not in weights:
        raise UserError(
            f"{folder} has no head.weight, so it is not a classifier; save the checkpoint again"
        )
    if origin is None:
        raise UserError(
            f"{folder} has an encoder, {card['encoder']!r}, that open_clip cannot build; build the "
            "model yourself and load the weights with read_weights"
        )
    encoder, preprocess = build_encoder(origin)
    head = Head(torch.zeros(weights["head.weight"].shape))  # float32, whatever the file holds
    classifier = ImageClassifier(encoder, head, preprocess, card["class_names"], card["encoder"])
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{folder} does not fit the encoder {card['encoder']!r}: "
            f"{str(error).splitlines()[-1].strip()}"
        ) from error
    return classifier.to(device).eval()


@dataclass(frozen=True)
class Description:
    """What models that are averaged must have in common, without their weights; see ``describe``.

    Args:
        origin: of the image encoder; None if it is not open_clip's.
        class_names: in the order of the head's rows.
        shapes: of all weights.
    """

    origin: Origin | None
    class_names: tuple[str, ...]
    shapes: dict[str, list[int]]

    def with_weights(self, theta: Mapping[str, Tensor]) -> ImageClassifier:
        """Return the classifier with a state dict, whose float32 tensors become its weights.

        Raises:
            UserError: open_clip cannot build its encoder.
        """
        if self.origin is None:
            raise UserError("the encoder is not open_clip's; load the weights into it yourself")
        inside = {
            key.removeprefix("encoder."): tensor
            for key, tensor in theta.items()
            if key.startswith("encoder.")
        }
        encoder, preprocess = build_encoder(self.origin, inside)
        head = Head(theta["head.weight"].float(), theta["head.bias"].float())
        return ImageClassifier(encoder, head, preprocess, self.class_names, self.origin.name).eval()


def check_same_start(models: Mapping[str, ImageClassifier | Description | str | Path]) -> None:
    """Raise unless models share their architecture, preprocessing and class names.

    The content of the encoders is compared, not their names or paths. Whether they come from one
    pre-training is not checked; ``connectivity.midpoint_barrier`` measures it.

    Args:
        models: classifiers, their descriptions, or folders of checkpoints, by the names used in
            the message. Of a folder only the card and the headers of the weights are read.

    Raises:
        UserError: a folder is not a checkpoint, or a model differs from the first.
    """
    (first, start), *others = [(name, describe(model)) for name, model in models.items()]
    for name, other in others:
        differences = []
        if start.origin and other.origin:
            differences = start.origin.differences(other.origin)
        differences += ["class names"] if start.class_names != other.class_names else []
        keys = {**start.shapes, **other.shapes}
        odd = [key for key in keys if start.shapes.get(key) != other.shapes.get(key)]
        differences += [f"tensors ({', '.join(odd[:3])})"] if odd and not differences else []
        if differences:
            raise UserError(
                f"{first} and {name} differ in their {' and '.join(differences)}; "
                "give a zero-shot model and models fine-tuned from it"
            )


def describe(model: ImageClassifier | Description | str | Path) -> Description:
    """Return the description of a classifier, or of a checkpoint, of which no weight is read.

    Raises:
        UserError: the folder is not a checkpoint.
    """
    if isinstance(model, Description):
        return model
    if isinstance(model, ImageClassifier):
        shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
        return Description(getattr(model.encoder, "origin", None), model.class_names, shapes)
    card = read_card(model)
    return Description(_origin(model, card), tuple(card["class_names"]), _shapes(model))


def _shapes(folder: str | Path) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / "model.safetensors"
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}); copy or train the checkpoint again"
        ) from error
