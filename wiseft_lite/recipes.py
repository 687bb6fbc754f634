"""How to train: the settings of a run, and the learning rate at each of its steps.

Imports no torch, so that the command line can list every setting at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wiseft_lite.errors import UserError, unknown

AUGMENTS = ("none", "crop", "strong")


@dataclass(frozen=True)
class Recipe:
    """Settings of training: AdamW, warm-up, cosine decay to 0, gradient clipping.

    The defaults are for IconCLIP on IconShift, chosen on its ``val`` split: the largest learning
    rate within one standard error of the best, so that the cost of fine-tuning is visible
    (chapter 5).

    Args:
        epochs: passes over the training split.
        lr: peak learning rate.
        weight_decay: AdamW's, on every weight.
        batch_size: images per step.
        warmup: steps if an int, a fraction of all steps if a float.
        clip_norm: largest global gradient norm.
        betas: AdamW's decay rates of the two moments of the gradient.
        augment: ``"none"``; ``"crop"``, random square crops of 90 to 100 % of the area, the paper's
            minimal augmentation; or ``"strong"``, crops of 50 to 100 %, small rotations and shears,
            and erased patches.
        seed: of the order of the images and of the crops.

    Raises:
        UserError: a value out of range.

    Source: the paper, appendix D.1 to D.3.
    """

    epochs: int = 10
    lr: float = 6e-4
    weight_decay: float = 0.1
    batch_size: int = 64
    warmup: int | float = 0.1
    clip_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    augment: str = "crop"
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "lr", "batch_size", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"recipe: {name} is {getattr(self, name)}; give a number above 0")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"recipe: seed is {self.seed}; give a number from 0 to 2**63 - 1")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"recipe: betas is {self.betas}; give two numbers from 0 to below 1, such as 0.9 and 0.999"
            )
        if self.augment not in AUGMENTS:
            raise unknown("augmentation", self.augment, AUGMENTS)
        for name in ("weight_decay", "warmup"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"recipe: {name} is {getattr(self, name)}; give a number from 0 up")
        if isinstance(self.warmup, float) and self.warmup >= 1:
            raise UserError(
                f"recipe: warmup {self.warmup} is a fraction of the run and must be below 1; "
                f"for steps give the integer {int(self.warmup)}"
            )


PAPER = Recipe(lr=3e-5, batch_size=512, warmup=500)  # ViT-B/16 on ImageNet
PROBE = Recipe(epochs=30, lr=3e-3, weight_decay=0.0, batch_size=128, augment="none")
ONE_GPU = Recipe(
    lr=3e-5, batch_size=128
)  # the paper's learning rate; a short run has no 500 warm-up steps


def recipes_for(model: str) -> dict[str, Recipe]:
    """Return the recipe to start from for each kind of training: IconCLIP's own, or another CLIP's.

    Fine-tuning starts from the paper's learning rate for every CLIP but IconCLIP.

    Source: the paper, appendix D.1 to D.3.
    """
    return {"probe": PROBE, "end-to-end": Recipe() if model == "iconclip" else ONE_GPU}


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
