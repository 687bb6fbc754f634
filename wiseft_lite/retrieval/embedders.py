"""Save and load embedders: their weights, and a card with the configuration of their image encoder."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from wiseft_lite._runtime.outputs import new_folder
from wiseft_lite.checkpoints import portable
from wiseft_lite.encoders import Clip, Origin, build_encoder, open_clip_config
from wiseft_lite.errors import UserError
from wiseft_lite.retrieval.arcface import Embedder
from wiseft_lite.weights import check_finite


def save_embedder(
    embedder: Embedder, clip: Clip, folder: str | Path, card: dict, overwrite: bool = False
) -> None:
    """Write ``model.safetensors`` and ``card.json`` into a new folder, atomically.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    with new_folder(folder, overwrite) as part:
        save_file(portable(embedder.state_dict()), part / "model.safetensors")
        origin = {"encoder": clip.origin.name, "config": clip.origin.config}
        (part / "card.json").write_text(json.dumps({**origin, **card}, indent=1) + "\n")


def load_embedder(folder: str | Path) -> Embedder:
    """Load what ``save_embedder`` wrote, in eval mode.

    Raises:
        UserError: the folder is not an embedder, or its encoder cannot be loaded.
    """
    try:
        card = json.loads((Path(folder) / "card.json").read_text())
        weights = load_file(Path(folder) / "model.safetensors")
        check_finite(weights, f"{folder}")
        config = card.get("config") or open_clip_config(card["encoder"])  # old cards have no config
        embedder = Embedder(build_encoder(Origin(card["encoder"], config))[0], weights["weight"])
        embedder.load_state_dict(weights)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{folder} is not an embedder ({error}); create one with 'wiseft-lite embed'"
        ) from error
    return embedder.eval()
