"""A learning rate for each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def layerwise_rates(
    theta_0: Mapping[str, Tensor], share: Callable[[str], float]
) -> Callable[[nn.Module], None]:
    """Return what to give ``fit`` as ``after_step``, so that each parameter trains at its share of
    the rate.

    ``theta_t <- theta_{t-1} + share (theta_t - theta_{t-1})`` after each step. A step of AdamW,
    weight decay included, is proportional to its rate: to shorten the step *is* to lower the rate.
    Set the recipe's rate to that of the fastest layer, as a rule the head, and the shares of the
    others below 1.

    Args:
        theta_0: the weights that training starts from; they are copied.
        share: given a parameter's name such as ``"head.weight"``, its share of the recipe's rate; 0
            holds it. Buffers, such as batch norm's running statistics, are no parameters:
            ``models.freeze`` holds them too.

    Source: layer-wise rates as in the winning solutions of Google Universal Image Embedding 2022,
    whose 4th place went from 1.25e-6 in the first blocks to 3e-4 in the head.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> start = {"weight": torch.zeros(1, 1), "bias": torch.zeros(1)}
        >>> hook = layerwise_rates(start, {"weight": 0.1, "bias": 1.0}.get)
        >>> for parameter in model.parameters():  # a step of length 1
        ...     _ = nn.init.ones_(parameter)
        >>> hook(model)
        >>> [parameter.item() for parameter in model.parameters()]
        [0.10000000149011612, 1.0]
    """
    before = {name: tensor.detach().clone() for name, tensor in theta_0.items()}

    @torch.no_grad()
    def after_step(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            before[name] = before[name].to(parameter.device).lerp(parameter, share(name))
            parameter.copy_(before[name])

    return after_step
