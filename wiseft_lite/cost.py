"""What a run costs, computed from the sizes of the model and of the data: operations, and hours on a GPU.

These are estimates. A GPU reaches a share of the rate on its data sheet; that share is the assumption, and it is an
argument. Decoding of pictures, which runs on the CPU meanwhile, is not in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from wiseft_lite.architectures import VisionShape, vision_shape
from wiseft_lite.errors import UserError

SHARE = 0.4  # of the data sheet's rate; no measurement of ours


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet.

    Args:
        name: what people call it.
        float32: operations a second in plain float32, in which this library measures.
        training: those in the 16-bit type in which it trains.
        memory: in GiB.
    """

    name: str
    float32: float
    training: float
    memory: int


# NVIDIA's data sheets, without sparsity: float16 on a T4, bfloat16 on an A100.
T4 = Gpu("T4", 8.1e12, 65e12, 16)
A100 = Gpu("A100", 19.5e12, 312e12, 40)


def forward(arch: str) -> float:
    """Return the floating point operations of one picture's way through an image tower; an addition counts as one.

    ``2 (patches 3 p^2 w + layers (12 w^2 tokens + 2 tokens^2 w) + w embedding)``: the matrix products alone.

    Raises:
        UserError: an unknown name, or an image tower that is no plain vision transformer.

    Example:
        >>> round(forward("ViT-B-32") / 1e9, 2)
        8.82
    """
    return operations(vision_shape(arch))


def operations(shape: VisionShape) -> float:
    """As ``forward``, for the size of an image tower."""
    w, tokens = shape.width, shape.tokens
    blocks = shape.layers * (12 * w * w * tokens + 2 * tokens * tokens * w)
    return 2.0 * ((tokens - 1) * 3 * shape.patch**2 * w + blocks + w * shape.embedding)


@dataclass(frozen=True)
class Hours:
    """Hours of one GPU for the two parts of ``wiseft-lite run``."""

    training: float
    sweep: float

    @property
    def total(self) -> float:
        return self.training + self.sweep


def hours(arch: str, gpu: Gpu, *, train: int, epochs: int, measured: int, alphas: int = 11,
          share: float = SHARE) -> Hours:
    """Return what fine-tuning end to end and the sweep along alpha take, in hours of one GPU.

    A picture of a batch costs three times its forward pass, one for it and two for the gradients. The sweep costs a
    forward pass for each alpha.

    Args:
        arch: open_clip's name.
        gpu: where.
        train: training pictures, those of ``val`` left out.
        epochs: passes over them.
        measured: pictures of ``val``, ``test`` and all shifts together.
        alphas: how many.
        share: of the data sheet's rate that is reached, in 0..1.

    Raises:
        UserError: a share outside 0..1, or as ``forward``.

    Example:
        >>> one = hours("ViT-B-32", T4, train=45_000, epochs=1, measured=0)
        >>> round(60 * one.training, 1), one.sweep
        (0.8, 0.0)
    """
    if not 0 < share <= 1:
        raise UserError(f"a share of {share} of a GPU's rate cannot be reached; give one in 0..1, such as {SHARE}")
    one = forward(arch) / 3600 / share
    return Hours(3 * one * train * epochs / gpu.training, one * measured * alphas / gpu.float32)
