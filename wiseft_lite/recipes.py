"""How to train and compute: the settings of a run.

Imports no torch, so that the command line can list every setting at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wiseft_lite.errors import UserError, unknown

AUGMENTS = ("none", "crop", "square-crop", "strong")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """Settings of training: AdamW, warm-up, cosine decay to 0, gradient clipping.

    The defaults are for IconCLIP on IconShift. Their learning rate is larger than its ``val`` split
    would choose, so that the cost of fine-tuning is visible (chapter 5).

    Args:
        epochs: passes over the training split.
        lr: peak learning rate.
        weight_decay: AdamW's, on every weight.
        batch_size: images per step.
        warmup: steps if an int, a fraction of all steps if a float.
        clip_norm: largest global gradient norm.
        betas: AdamW's decay rates of the two moments of the gradient.
        augment: ``"none"``; ``"crop"``, random crops of 90 to 100 % of the original image, as in
            the authors' code; ``"square-crop"``, the same of the resized image, as in the paper's
            text; or ``"strong"``, crops of 50 to 100 %, small rotations and shears, and erased
            patches.
        seed: of all random numbers: the order of the images, their crops, and dropout.

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


@dataclass(frozen=True)
class Compute:
    """How a run is computed: its speed and its memory. Results change by rounding alone.

    Args:
        precision: number format of forward and backward passes: ``"auto"``, the fastest of the
            device, which is bfloat16 on GPUs of compute capability 8.0 and above, float16 on 7.x,
            and float32 on a CPU; ``"float32"``; ``"bfloat16"``; or ``"float16"``. Weights and
            AdamW's moments are always float32.
        workers: processes that decode images ahead; None for as many as suit the device.
        micro_batch_size: images of a batch whose activations are held at a time in training: the
            same gradient in less memory. None for the whole batch.
        gradient_checkpointing: whether fine-tuning recomputes activations instead of holding them:
            the same gradient, less memory, more time.

    Raises:
        UserError: a value out of range.
    """

    precision: str = "auto"
    workers: int | None = None
    micro_batch_size: int | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self):
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.workers is not None and self.workers < 0:
            raise UserError(f"workers is {self.workers}; give 0 or more processes")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise UserError(f"the micro-batch size is {self.micro_batch_size}; give at least 1")
