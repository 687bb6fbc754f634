"""How long a run takes on paper: its arithmetic, counted, over what a GPU does in a second,
assumed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from wiseft_lite.book.memory import MODELS, need
from wiseft_lite.errors import UserError
from wiseft_lite.interop.architectures import VisionShape, vision_shape

IMAGENET = 1_281_167  # training images


def flops(shape: VisionShape) -> int:
    """Floating point operations of one image's way forward through a vision transformer, two for
    each multiply-add.

    ``2 p (3 patch^2) w + T L (24 w^2 + 4 T w) + 2 w e`` for ``p`` patches, ``T`` tokens, ``L``
    blocks, width ``w`` and embedding ``e``: the products of matrices, beside which all else is
    small. Going back costs twice as much.

    Example:
        >>> round(flops(vision_shape("ViT-B-32")) / 1e9, 1)
        8.8
    """
    w, tokens = shape.width, shape.tokens
    blocks = tokens * shape.layers * (24 * w * w + 4 * tokens * w)
    return 2 * (tokens - 1) * 3 * shape.patch**2 * w + blocks + 2 * w * shape.embedding


def training_rate(shape: VisionShape, rate: float, again: bool = False) -> float:
    """Images a second that fine-tuning takes in, where images and network keep up.

    Args:
        shape: of the image tower.
        rate: floating point operations a second, of all GPUs together, as they are really done.
        again: count a second way forward, as with ``memory.micro_batched`` or
            ``memory.checkpointed``.
    """
    return rate / ((4 if again else 3) * flops(shape))


def hours_table(
    archs: Sequence[str] = MODELS,
    *,
    gpus: int = 1,
    peak: float = 312e12,
    peak32: float = 19.5e12,
    share: float = 0.3,
    images: int = IMAGENET,
    epochs: int = 10,
    evaluated: int = 50_000,
    alphas: int = 11,
    delivered: float = float("inf"),
) -> pd.DataFrame:
    """Return hours on paper, one row for each architecture. Nothing in it was measured.

    Args:
        archs: names of open_clip.
        gpus: how many share the work.
        peak: what the maker states for one GPU in the 16-bit type of ``losses.half``, operations a
            second.
        peak32: the same in float32, which sweeps are computed in.
        share: **an assumption**, the share of either peak that is reached; measure yours and give
            it.
        images: of the training split.
        epochs: of fine-tuning.
        evaluated: images of all splits together that a sweep measures.
        alphas: of the sweep.
        delivered: images a second that disks and decoders hand over.

    Returns:
        ``model, GFLOP an image, images a second, hours to fine-tune, hours to sweep, GiB of state,
        MiB an image, MiB checkpointed``; images a second are those that fine-tuning could take in,
        memory is that of one GPU.

    Raises:
        UserError: an unknown architecture, a share outside 0..1, or no GPU.
    """
    if not 0 < share <= 1 or gpus < 1:
        raise UserError(
            f"{gpus} GPUs at a share of {share} of their peak do nothing or too much; give at least one GPU "
            "and a share from above 0 to 1"
        )
    rows = []
    for arch in archs:
        shape, memory = vision_shape(arch), need(arch)
        takes = training_rate(shape, gpus * peak * share)
        sweeps = alphas * evaluated * flops(shape) / (gpus * peak32 * share)
        sweeps = max(sweeps, evaluated / delivered)  # an image is decoded once for all alphas
        rows.append(
            {
                "model": arch,
                "GFLOP an image": flops(shape) / 1e9,
                "images a second": takes,
                "hours to fine-tune": epochs * images / min(takes, delivered) / 3600,
                "hours to sweep": sweeps / 3600,
                "GiB of state": memory.state / 2**30,
                "MiB an image": memory.image / 2**20,
                "MiB checkpointed": memory.checkpointed / 2**20,
            }
        )
    return pd.DataFrame(rows)
