"""The learning rate at each step of a run."""

from __future__ import annotations

import math

from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Recipe


def learning_rate(step: int, total: int, recipe: Recipe) -> float:
    """Return the learning rate of step ``step`` of ``total``: linear warm-up, cosine decay to 0.

    Raises:
        UserError: the warm-up is as long as the run.

    Example:
        >>> [round(learning_rate(s, 10, Recipe(lr=1.0, warmup=2)), 2) for s in (0, 1, 2, 6)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warmup = round(recipe.warmup * total) if isinstance(recipe.warmup, float) else recipe.warmup
    if warmup >= total:
        raise UserError(
            f"recipe: {warmup} warm-up steps, but the run has only {total}; "
            "give a fraction such as warmup=0.1"
        )
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
