"""Exponential moving averages of a model's weights over one training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from wiseft_lite.callbacks import Callback, Run
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.weights import interpolate


class MovingAverages(Callback):
    """Exponential moving averages of a model's weights, for several decays in one run.

    ``mu_t = beta mu_{t-1} + (1 - beta) theta_t`` after step ``t``, with ``mu_0 = 0``, for each
    decay ``beta``: ``finetune(..., callbacks=[averages])``. Averages are in float32 or wider; integer buffers are those of the last step.

    Args:
        decays: each ``beta``, from 0 (the last step alone) to below 1; averages over about
            ``1 / (1 - beta)`` steps.

    Raises:
        UserError: no decays, or one outside 0 to below 1.

    Source: the paper, appendix C.3.2.

    Example:
        >>> averages, model = MovingAverages([0.5]), nn.Linear(1, 1, bias=False)
        >>> for weight in (4.0, 1.0):
        ...     _ = model.weight.data.fill_(weight)
        ...     averages.update(model)
        >>> averages.debiased(0.5)
        {'weight': tensor([[2.]])}
    """

    def __init__(self, decays: Sequence[float]):
        if not decays:
            raise UserError("no decays; give at least one, such as 0.99")
        for decay in decays:
            if not 0 <= decay < 1:
                raise UserError(f"decay is {decay}; give a number from 0 to below 1")
        self.steps = 0
        self._means: dict[float, dict[str, Tensor]] = {decay: {} for decay in decays}
        self._types: dict[str, torch.dtype] = {}

    @property
    def decays(self) -> tuple[float, ...]:
        """The decays."""
        return tuple(self._means)

    def after_step(self, run: Run) -> None:
        self.update(run.model)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the averages with the weights that ``model`` has after a step."""
        self.steps += 1
        for name, theta in model.state_dict().items():
            self._types[name] = theta.dtype
            for decay, mean in self._means.items():
                if not theta.is_floating_point():
                    mean[name] = theta.clone()
                    continue
                if name not in mean:
                    mean[name] = torch.zeros_like(
                        theta, dtype=torch.promote_types(theta.dtype, torch.float32)
                    )
                mean[name].lerp_(theta.to(mean[name].dtype), 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averages and their settings as a flat dict of tensors, for resuming."""
        state = {
            "steps": torch.tensor(self.steps),
            "decays": torch.tensor(self.decays, dtype=torch.float64),
        }
        for number, mean in enumerate(self._means.values()):
            state |= {f"{number}.{name}": tensor for name, tensor in mean.items()}
        return state | {
            f"type.{name}": torch.empty(0, dtype=dtype) for name, dtype in self._types.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore a ``state_dict`` of averages with the same decays.

        Raises:
            UserError: the decays differ.
        """
        if state["decays"].tolist() != list(self.decays):
            raise UserError(
                f"the state holds averages for the decays {state['decays'].tolist()}, not for "
                f"{list(self.decays)}; use the same decays or another folder"
            )
        self.steps = int(state["steps"])
        self._types = {
            name.removeprefix("type."): tensor.dtype
            for name, tensor in state.items()
            if name.startswith("type.")
        }
        self._means = {
            decay: {name: state[f"{number}.{name}"].clone() for name in self._types}
            for number, decay in enumerate(self.decays)
        }

    def debiased(self, decay: float) -> dict[str, Tensor]:
        """Return ``mu_T / (1 - beta^T)``, a weighted mean of the steps alone, as a new state dict.

        Raises:
            UserError: no step was taken, or the decay is not one of ``decays``.
        """
        if decay not in self._means:
            raise unknown("decay", decay, self.decays)
        if not self.steps:
            raise UserError("no steps to average yet; pass them to finetune: callbacks=[averages]")
        total = 1 - decay**self.steps
        return {
            name: (mean / total).to(self._types[name]) if mean.is_floating_point() else mean.clone()
            for name, mean in self._means[decay].items()
        }

    def started_at(self, theta_0: Mapping[str, Tensor], decay: float) -> dict[str, Tensor]:
        """Return the average that starts at ``mu_0 = theta_0`` instead of 0, as a new state dict.

        It is ``beta^T theta_0 + mu_T = interpolate(theta_0, debiased, 1 - beta^T)``.

        Args:
            theta_0: weights before the first step, usually the zero-shot model's.
            decay: one of ``decays``.

        Raises:
            UserError: as ``debiased``, or the keys or shapes of ``theta_0`` differ.
        """
        return interpolate(theta_0, self.debiased(decay), 1 - decay**self.steps)
