"""How to train a universal embedding: the recipes to start from. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from wiseft_lite.recipes import Recipe

EMBED = Recipe(epochs=5, lr=3e-3)  # lr is that of the class centres
ENCODER_LR_MULTIPLIER = 0.1  # the image encoder learns more slowly than the centres, which are new


def default_recipe(model: str) -> tuple[Recipe, float]:
    """Return the recipe to start from, and the image encoder's learning rate as a multiple of its.

    Source: the 4th place of Google Universal Image Embedding 2022, for every CLIP but IconCLIP: 3e-4
    for the head and 1e-5 for the last blocks of a ViT-H or ViT-L.
    """
    if model == "iconclip":
        return EMBED, ENCODER_LR_MULTIPLIER
    return replace(EMBED, lr=3e-4, batch_size=32), 1 / 30
