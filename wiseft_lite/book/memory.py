"""The GPU memory that training a model needs, computed from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wiseft_lite.errors import UserError
from wiseft_lite.interop.architectures import VisionShape, vision_shape

MODELS = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
PER_TOKEN = 21  # vectors that autograd keeps per token and block; tests/unit/test_memory.py counts


@dataclass(frozen=True)
class Need:
    """Memory of an image encoder, in bytes.

    Args:
        parameters: number of weights; the text encoder is not trained and can stay on the CPU.
        weights: in float32.
        state: weights, gradients and AdamW's two averages, all in float32.
        image: activations that autograd keeps for one image of a batch, in float32.
        checkpointed: the same with gradient checkpointing: the input of every block, and one block
            while it is recomputed.
    """

    parameters: int
    weights: int
    state: int
    image: int
    checkpointed: int

    def training(self, batch_size: int) -> int:
        """Return the bytes to fine-tune with a batch, without CUDA's own and the allocator's gaps."""
        return self.state + batch_size * self.image

    def largest_batch(self, memory: int) -> int:
        """Return the largest batch that fits into that many bytes; 0 if the state does not."""
        return max((memory - self.state) // self.image, 0)


def parameters(shape: VisionShape) -> int:
    """Count the weights of a vision transformer.

    Patch and position embeddings, blocks of ``12 w^2 + 13 w``, norms and projection.

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
    """Return the memory need of the image encoder of an open_clip architecture.

    Autograd keeps ``tokens * layers * 21 w`` numbers per image: inputs and outputs of norms,
    attention and MLP. With fused attention nothing grows with the square of the tokens.

    Raises:
        UserError: an unknown name, or an image encoder that is not a plain vision transformer.

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
    """Return a row per architecture: millions of weights, GiB of state, MiB per image, largest batch.

    Args:
        archs: names in open_clip.
        memory: of the GPU, in GiB; a tenth of it is left for CUDA and gaps.

    Raises:
        UserError: as ``need``, or a memory that is not positive.
    """
    if memory <= 0:
        raise UserError(f"memory is {memory} GiB; give the memory of a GPU, above 0")
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
