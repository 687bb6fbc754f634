"""Embedders on disk: weights and a card that names their encoder."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from wiseft_lite.arcface import Embedder
from wiseft_lite.checkpoints import new_folder, portable
from wiseft_lite.encoders import Clip, load_clip
from wiseft_lite.errors import UserError


def save_embedder(embedder: Embedder, clip: Clip, folder: str | Path, card: dict, overwrite: bool = False) -> None:
    """Write ``model.safetensors`` and ``card.json``; the folder appears whole or not at all.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    with new_folder(folder, overwrite) as part:
        save_file(portable(embedder.state_dict()), part / "model.safetensors")
        (part / "card.json").write_text(json.dumps({"encoder": clip.name, **card}, indent=1) + "\n")


def load_embedder(folder: str | Path) -> Embedder:
    """Read back what ``save_embedder`` wrote, in eval mode.

    Raises:
        UserError: the folder holds no embedder, or its encoder cannot be loaded.
    """
    try:
        name = json.loads((Path(folder) / "card.json").read_text())["encoder"]
        weights = load_file(Path(folder) / "model.safetensors")
        embedder = Embedder(load_clip(name).image_encoder(), weights["weight"])
        embedder.load_state_dict(weights)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{folder} holds no embedder ({error}); make one with 'wiseft-lite embed'") from error
    return embedder.eval()
