"""Moving averages of the weights that a model passes through in one training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from wiseft_lite.errors import UserError, unknown
from wiseft_lite.weights import interpolate


class MovingAverages:
    """Exponential moving averages of a model's weights, for several decays in one run.

    ``mu_t = beta mu_{t-1} + (1 - beta) theta_t`` after step ``t``, with ``mu_0 = 0``, for each
    decay ``beta``. It is called with the model after each step: ``finetune(...,
    after_step=averages)``. Sums are kept in float32 or wider; integer buffers are those of the last
    step.

    Args:
        decays: each ``beta``, from 0 (the last step alone) to below 1; about ``1 / (1 - beta)``
            steps count.

    Raises:
        UserError: no decays, or one that does not lie in 0..1.

    Source: the paper, appendix C.3.2.

    Example:
        >>> averages, model = MovingAverages([0.5]), nn.Linear(1, 1, bias=False)
        >>> for weight in (4.0, 1.0):
        ...     _ = model.weight.data.fill_(weight)
        ...     averages(model)
        >>> averages.debiased(0.5)
        {'weight': tensor([[2.]])}
    """

    def __init__(self, decays: Sequence[float]):
        wrong = [decay for decay in decays if not 0 <= decay < 1]
        if wrong or not decays:
            raise UserError(
                f"decay {wrong[0]} makes no average; give numbers from 0 to below 1"
                if wrong
                else "no decays; give at least one, such as 0.99"
            )
        self.steps = 0
        self._means: dict[float, dict[str, Tensor]] = {decay: {} for decay in decays}
        self._types: dict[str, torch.dtype] = {}

    @property
    def decays(self) -> tuple[float, ...]:
        """The decays that are kept."""
        return tuple(self._means)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Take the weights that ``model`` has now as those of the next step."""
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
        """Everything that is kept, as a flat dict of tensors; see ``resume``."""
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
        """Go on from a ``state_dict`` of averages with the same decays.

        Raises:
            UserError: the decays differ.
        """
        if state["decays"].tolist() != list(self.decays):
            raise UserError(
                f"the state holds averages for the decays {state['decays'].tolist()}, not for "
                f"{list(self.decays)}; take the same decays or another folder"
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
            UserError: no step was taken, or the decay is not kept.
        """
        if decay not in self._means:
            raise unknown("decay", decay, self.decays)
        if not self.steps:
            raise UserError("no step to average yet; give the averages to finetune as after_step")
        share = 1 - decay**self.steps
        return {
            name: (mean / share).to(self._types[name]) if mean.is_floating_point() else mean.clone()
            for name, mean in self._means[decay].items()
        }

    def started_at(self, theta_0: Mapping[str, Tensor], decay: float) -> dict[str, Tensor]:
        """Return the average that starts at ``mu_0 = theta_0`` in place of 0, as a new state dict.

        Nothing more had to be kept for it: unrolled, it is ``beta^T theta_0 + mu_T``, and that is
        ``interpolate(theta_0, debiased, 1 - beta^T)``.

        Args:
            theta_0: weights before the first step, as a rule the zero-shot model's.
            decay: one of those that are kept.

        Raises:
            UserError: as ``debiased`` does, or ``theta_0`` belongs to another model.
        """
        return interpolate(theta_0, self.debiased(decay), 1 - decay**self.steps)
