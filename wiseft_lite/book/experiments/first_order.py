"""Differentiate the logits with respect to alpha at the zero-shot model."""

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
    """Compute attention step by step: fused kernels have no forward-mode derivative."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            # PyTorch's own warning, at first use
            warnings.filterwarnings("ignore", ".*torch.jit.script", FutureWarning)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def slope_at_zero_shot(
    first: nn.Module, last: nn.Module, inputs: Tensor, batch_size: int = 256
) -> Tensor:
    """Return the derivative of each logit ``[n, C]`` with respect to alpha at ``theta_0``.

    ``d/d alpha f(x, theta_0 + alpha (theta_1 - theta_0))`` at ``alpha = 0``, one forward-mode
    product per batch.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: preprocessed images, or features for heads.
        batch_size: inputs per pass.

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

    def slope(batch: Tensor) -> Tensor:
        logits = lambda theta: functional_call(first, {**theta_0, **theta}, (batch,))
        return jvp(logits, (start,), (direction,))[1].detach()

    with plain_attention():
        return torch.cat([slope(batch) for batch in inputs.split(batch_size)])
