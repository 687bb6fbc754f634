"""What a model needs of a GPU's memory, computed from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wiseft_lite.errors import UserError
from wiseft_lite.interop.architectures import VisionShape, vision_shape

MODELS = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
PER_TOKEN = 21  # numbers of the width that autograd keeps for a token and block; tests/unit/test_memory.py counts them


@dataclass(frozen=True)
class Need:
    """Memory of an image tower, in bytes.

    Args:
        parameters: of the image tower; the text tower is not trained and can stay on the CPU.
        weights: in float32.
        state: weights, gradients and AdamW's two averages, all in float32.
        image: what autograd keeps for one image of a batch, in float32.
        checkpointed: the same with ``checkpointed``: the input of every block, and one block while
            it is computed again.
    """

    parameters: int
    weights: int
    state: int
    image: int
    checkpointed: int

    def training(self, batch_size: int) -> int:
        """Fine-tuning with a batch, without what CUDA itself and the allocator's gaps take."""
        return self.state + batch_size * self.image

    def largest_batch(self, memory: int) -> int:
        """The largest batch that fits into so many bytes; 0 if not even the state does."""
        return max((memory - self.state) // self.image, 0)


def parameters(shape: VisionShape) -> int:
    """Weights of a vision transformer: patches, places, blocks of ``12 w^2 + 13 w``, norms and
    projection.

    Example:
        >>> parameters(vision_shape("ViT-B-32"))
        87849216
    """
    w = shape.width
    return (
        3 * shape.patch**2 * w
        + w
        + shape.tokens * w
        + shape.layers * (12 * w * w + 13 * w)
        + 4 * w
        + w * shape.embedding
    )


def need(arch: str) -> Need:
    """Return the memory need of the image tower of an open_clip architecture.

    What autograd keeps is ``tokens * layers * 21 w`` numbers for an image: inputs and outputs of
    norms, attention and MLP, with fused attention, so that nothing grows with the square of the
    tokens.

    Raises:
        UserError: an unknown name, or an image tower that is no plain vision transformer.

    Example:
        >>> need("ViT-B-32").largest_batch(15 * 2**30) > 128
        True
    """
    shape = vision_shape(arch)
    count = parameters(shape)
    numbers = 4 * shape.tokens * shape.width
    return Need(
        count,
        4 * count,
        16 * count,
        numbers * shape.layers * PER_TOKEN,
        numbers * (shape.layers + PER_TOKEN),
    )


def memory_table(archs: Sequence[str] = MODELS, memory: float = 16) -> pd.DataFrame:
    """Return one row for each architecture: millions of weights, GiB to train, MiB an image,
    largest batch.

    Args:
        archs: names of open_clip.
        memory: of the GPU, in GiB; a tenth of it is left to CUDA and to gaps.

    Raises:
        UserError: as ``need``, or no memory.
    """
    if memory <= 0:
        raise UserError(f"a GPU with {memory} GiB does not exist; give its memory in GiB")
    rows = []
    for arch in archs:
        one = need(arch)
        rows.append(
            {
                "model": arch,
                "million weights": one.parameters / 1e6,
                "GiB of state": one.state / 2**30,
                "MiB an image": one.image / 2**20,
                "largest batch": one.largest_batch(int(0.9 * memory * 2**30)),
            }
        )
    return pd.DataFrame(rows)
