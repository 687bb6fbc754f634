"""Low-rank fine-tuning: few weights train, and the line to zero-shot is one number in front of
them.

Of a low-rank model ``W_0 + B A`` the point at ``alpha`` is ``W_0 + alpha B A``: WiSE-FT of merged
weights and scaling an adapter are one thing. So ``merge_lora`` and ``interpolate`` are all that is
needed. It is not so for methods in which the update does not enter by addition alone, such as DoRA.
(The library peft does much more, and brings transformers with it; here two matrices are enough.)
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier

_BLOCK = re.compile(r"\.resblocks\.\d+\.(attn|mlp)\.")


class LowRank(nn.Module):
    """``W -> W + B A``, with ``A [rank, in]`` random, ``B [out, rank]`` zero at first, so that
    nothing changes yet."""

    def __init__(self, weight: Tensor, rank: int, dice: torch.Generator):
        super().__init__()
        a = torch.randn(rank, weight.shape[1], generator=dice) / weight.shape[1] ** 0.5
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(weight.new_zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def in_blocks(name: str) -> bool:
    """Whether a weight belongs to the attention or the perceptron of a transformer block."""
    return _BLOCK.search(name) is not None


def with_lora(
    classifier: ImageClassifier,
    rank: int = 4,
    adapts: Callable[[str], bool] = in_blocks,
    seed: int = 0,
) -> ImageClassifier:
    """Return a copy that answers the same, in which only low-rank updates of some weights train.

    ``W = W_0 + B A`` with ``A [rank, in]`` and ``B [out, rank]``. Give it to ``finetune``, with a
    rate chosen for it (as a rule a higher one than for all weights), and the result to
    ``merge_lora``.

    Args:
        classifier: it is left alone.
        rank: of the updates.
        adapts: given the name of a matrix such as ``"head.weight"``, whether it gets an update.
        seed: of ``A``.

    Raises:
        UserError: a rank below 1, or no matrix to adapt.

    Source: Hu et al. 2022, "LoRA: low-rank adaptation of large language models", section 4.1.
    """
    if rank < 1:
        raise UserError(f"a rank of {rank} adapts nothing; give 1 or more")
    other, dice = (
        copy.deepcopy(classifier).requires_grad_(False),
        torch.Generator().manual_seed(seed),
    )
    names = [name for name, p in other.named_parameters() if p.dim() == 2 and adapts(name)]
    if not names:
        raise UserError(
            "no matrix is adapted; give names that the classifier has, such as head.weight"
        )
    for name in names:
        path, _, tensor = name.rpartition(".")
        module = other.get_submodule(path)
        parametrize.register_parametrization(
            module, tensor, LowRank(getattr(module, tensor), rank, dice)
        )
    return other


def merge_lora(classifier: ImageClassifier) -> dict[str, Tensor]:
    """Return the weights of a model with low-rank updates, with the updates added in: a plain state
    dict.

    ``interpolate(theta_0, merge_lora(tuned), alpha)`` has the updates scaled by ``alpha``.
    """
    weights = {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if "parametrizations." not in name
    }
    for path, module in classifier.named_modules():
        for tensor in getattr(module, "parametrizations", ()):
            weights[f"{path}.{tensor}"] = getattr(module, tensor)  # asking for it adds the update
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
