"""Estimated run times: the operations that a run needs over the operations per second of a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from wiseft_lite.book.memory import MODELS, need
from wiseft_lite.errors import UserError
from wiseft_lite.interop.architectures import VisionShape, vision_shape

IMAGENET = 1_281_167  # training images


def flops(shape: VisionShape) -> int:
    """Count the floating point operations of a vision transformer's forward pass for one image.

    ``2 p (3 patch^2) w + T L (24 w^2 + 4 T w) + 2 w e`` for ``p`` patches, ``T`` tokens, ``L``
    blocks, width ``w`` and embedding ``e``: matrix products only, two operations per multiply-add;
    all else is small. The backward pass needs twice as many.

    Example:
        >>> round(flops(vision_shape("ViT-B-32")) / 1e9, 1)
        8.8
    """
    w, tokens = shape.width, shape.tokens
    blocks = tokens * shape.layers * (24 * w * w + 4 * tokens * w)
    return 2 * (tokens - 1) * 3 * shape.patch**2 * w + blocks + 2 * w * shape.embedding


def training_speed(shape: VisionShape, flops_per_second: float, recompute: bool = False) -> float:
    """Return the images per second of fine-tuning, if decoding and network are not the bottleneck.

    Args:
        shape: of the image encoder.
        flops_per_second: achieved by all GPUs together.
        recompute: count a second forward pass, as with ``Compute(gradient_checkpointing=True)``.
    """
    return flops_per_second / ((4 if recompute else 3) * flops(shape))


def hours_table(
    archs: Sequence[str] = MODELS,
    *,
    gpus: int = 1,
    peak: float = 312e12,
    utilisation: float = 0.3,
    images: int = IMAGENET,
    epochs: int = 10,
    evaluated: int = 50_000,
    alphas: int = 11,
    delivered: float = float("inf"),
) -> pd.DataFrame:
    """Estimate hours, one row per architecture. Nothing in the table is measured.

    Args:
        archs: names in open_clip.
        gpus: number of GPUs.
        peak: 16-bit operations per second of one GPU, from its data sheet.
        utilisation: **an assumption**: the fraction of the peak that is achieved. Measure yours.
        images: of the training split.
        epochs: of fine-tuning.
        evaluated: images of all splits together in a sweep.
        alphas: number of alphas in the sweep.
        delivered: images per second that disks and decoders deliver.

    Returns:
        ``model, GFLOP an image, images a second, hours to fine-tune, hours to sweep, GiB of state,
        MiB an image, MiB checkpointed``; images a second are those of ``training_speed``, memory is
        that of one GPU.

    Raises:
        UserError: an unknown architecture, a utilisation outside 0..1, or no GPU.
    """
    if gpus < 1:
        raise UserError(f"gpus is {gpus}; give at least one GPU")
    if not 0 < utilisation <= 1:
        raise UserError(f"utilisation is {utilisation}; give a fraction above 0 and up to 1")
    rows = []
    for arch in archs:
        shape, memory = vision_shape(arch), need(arch)
        takes = training_speed(shape, gpus * peak * utilisation)
        sweeps = alphas * evaluated * flops(shape) / (gpus * peak * utilisation)
        sweeps = max(sweeps, evaluated / delivered)  # images are decoded once for all alphas
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
