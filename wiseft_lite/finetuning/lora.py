"""LoRA: low-rank fine-tuning, in which WiSE-FT scales the update.

Interpolating merged weights ``W_0 + B A`` with ``W_0`` gives ``W_0 + alpha B A``: WiSE-FT is the
same as scaling the adapter, so ``merge_lora`` and ``interpolate`` are all that is needed. This does
not hold where the update is not purely additive, as in DoRA. (The library peft does much more, and
depends on transformers; two matrices are enough here.)
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
    """The parametrisation ``W -> W + B A``; ``A [rank, in]`` starts random, ``B [out, rank]`` at 0."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator):
        super().__init__()
        a = torch.randn(rank, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(weight.new_zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def in_blocks(name: str) -> bool:
    """Return whether a weight belongs to the attention or the MLP of a transformer block."""
    return _BLOCK.search(name) is not None


def with_lora(
    classifier: ImageClassifier,
    rank: int = 4,
    adapts: Callable[[str], bool] = in_blocks,
    seed: int = 0,
) -> ImageClassifier:
    """Return a copy with LoRA adapters: only low-rank updates of some weights train.

    ``W = W_0 + B A`` with ``A [rank, in]`` and ``B [out, rank]``; ``B`` is 0 at first, so the
    predictions are unchanged. Train it with ``finetune``, usually at a higher learning rate than
    for full fine-tuning, and pass the result to ``merge_lora``.

    Args:
        classifier: not modified.
        rank: of the updates.
        adapts: given the name of a matrix such as ``"head.weight"``, whether it gets an update.
        seed: of the random ``A``.

    Raises:
        UserError: a rank below 1, or no matrix to adapt.

    Source: Hu et al. 2022, "LoRA: low-rank adaptation of large language models", section 4.1.
    """
    if rank < 1:
        raise UserError(f"rank is {rank}; give 1 or more")
    adapted = copy.deepcopy(classifier).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    names = [name for name, p in adapted.named_parameters() if p.dim() == 2 and adapts(name)]
    if not names:
        raise UserError(
            "adapts selects no matrix of the classifier; select at least one, such as head.weight"
        )
    for name in names:
        path, _, tensor = name.rpartition(".")
        module = adapted.get_submodule(path)
        parametrize.register_parametrization(
            module, tensor, LowRank(getattr(module, tensor), rank, generator)
        )
    return adapted


def merge_lora(classifier: ImageClassifier) -> dict[str, Tensor]:
    """Return the state dict of a model with LoRA adapters, the updates added to the weights.

    ``interpolate(theta_0, merge_lora(tuned), alpha)`` has the updates scaled by ``alpha``.
    """
    weights = {
        name: tensor
        for name, tensor in classifier.state_dict().items()
        if "parametrizations." not in name
    }
    for path, module in classifier.named_modules():
        for tensor in getattr(module, "parametrizations", ()):
            weights[f"{path}.{tensor}"] = getattr(module, tensor)  # reading it adds the update
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
