"""How fast the logits move when the weights set out from the zero-shot model to the fine-tuned
one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from wiseft_lite.weights import difference


@contextmanager
def plain_attention() -> Iterator[None]:
    """Inside, attention is computed step by step: its fused kernels know no forward derivative."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".*torch.jit.script", FutureWarning
            )  # torch's own, at first use
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def slope_at_zero_shot(
    first: nn.Module, last: nn.Module, inputs: Tensor, batch_size: int = 256
) -> Tensor:
    """Return how fast each logit ``[n, C]`` grows with alpha where the line leaves ``theta_0``.

    ``d/d alpha f(x, theta_0 + alpha (theta_1 - theta_0))`` at ``alpha = 0``, one forward-mode
    product a batch.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: preprocessed images, or features for heads.
        batch_size: inputs a pass.

    Source: the paper, appendix F, where the network is linear in its weights.

    Example:
        >>> zero, one = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> for head, weight in ((zero, 1.0), (one, 4.0)):
        ...     _ = nn.init.constant_(head.weight, weight)
        >>> slope_at_zero_shot(zero, one, torch.tensor([[2.0]]))
        tensor([[6.]])
    """
    theta_0 = {name: tensor.detach() for name, tensor in first.state_dict().items()}
    direction = difference(last.state_dict(), theta_0)  # of the floating-point tensors
    start = {name: theta_0[name] for name in direction}
    with plain_attention():
        return torch.cat(
            [
                jvp(
                    lambda theta: functional_call(first, {**theta_0, **theta}, (batch,)),
                    (start,),
                    (direction,),
                )[1].detach()
                for batch in inputs.split(batch_size)
            ]
        )
