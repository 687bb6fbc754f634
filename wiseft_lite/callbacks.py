"""What may happen beside the training loop: a progress bar, saved states, a measurement per epoch."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest
from wiseft_lite._runtime.resume import States
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Recipe

SAVE_INTERVAL = 60.0  # seconds of training between two states
WRITE_FRACTION = 1 / 20  # states that are slow to write are written less often
LOSSES_KEPT = 8  # steps of a GPU between two looks at the loss, each of which waits for the GPU


class Callback:
    """Called by ``fit`` during training; override the methods that you need.

    A callback that keeps something from step to step, as ``MovingAverages`` does, has
    ``state_dict`` and ``load_state_dict`` with flat dicts of tensors, so that ``Checkpoints`` can
    save it too. One that keeps nothing sets ``stateless``.

    Example:
        >>> class CountSteps(Callback):
        ...     steps = 0
        ...     def after_step(self, run):
        ...         self.steps += 1
    """

    stateless = False

    def before_training(self, run: Run) -> None:
        """Called before the first step."""

    def before_step(self, run: Run) -> None:
        """Called before each step; ``run.step`` of them are done."""

    def after_step(self, run: Run) -> None:
        """Called after each step; ``run.model`` has its new weights."""

    def after_epoch(self, run: Run) -> None:
        """Called after each epoch; ``run.epoch`` of them are done."""


class Run:
    """A training run: what ``fit`` trains and how far it is.

    Args:
        model: in training mode during a step.
        optimizer: AdamW on the parameters that train.
        scaler: scales a float16 loss.
        recipe: how to train.
        steps_per_epoch: batches.
        callbacks: of ``fit``.
        identity: all that the result depends on besides the model at its start.

    Attributes:
        step: steps that are done.
        loss: of a recent batch; NaN before the first.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        recipe: Recipe,
        steps_per_epoch: int,
        callbacks: Sequence[Callback],
        identity: Sequence[Any],
    ):
        self.model, self.optimizer, self.scaler, self.recipe = model, optimizer, scaler, recipe
        self.steps_per_epoch, self.steps = steps_per_epoch, recipe.epochs * steps_per_epoch
        self.callbacks, self.identity = list(callbacks), identity
        self.step, self.loss = 0, math.nan
        self._losses: list[Tensor] = []  # of the last steps, not looked at yet

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.step // self.steps_per_epoch

    @property
    def stateful(self) -> list[Any]:
        """The callbacks that keep something from step to step."""
        return [callback for callback in self.callbacks if hasattr(callback, "state_dict")]

    @property
    def losses_are_finite(self) -> bool:
        """Whether the losses of all steps were looked at, and were finite."""
        return not self._losses

    def begin(self) -> None:
        """Let the callbacks begin; one of them may restore a state, which sets ``step``."""
        for callback in self.callbacks:
            callback.before_training(self)
        self.model.train()

    def before_step(self) -> None:
        """Let the callbacks do what comes before a step."""
        for callback in self.callbacks:
            callback.before_step(self)

    def step_done(self, loss: Tensor) -> None:
        """Count a step, and call the callbacks.

        Args:
            loss: of this process's part of the batch, on its device. It is looked at after at most
                ``LOSSES_KEPT`` steps, since each look makes the processor wait for the GPU.

        Raises:
            UserError: a loss is not finite.
        """
        self.step += 1
        self._losses.append(loss)
        on_gpu = loss.device.type != "cpu"
        if not on_gpu or len(self._losses) == LOSSES_KEPT or self.step == self.steps:
            self._check_losses()
        for callback in self.callbacks:
            callback.after_step(self)
        if self.step % self.steps_per_epoch == 0:
            for callback in self.callbacks:
                callback.after_epoch(self)
            self.model.train()

    def _check_losses(self) -> None:
        """Look at the losses since the last look, averaged over the processes."""
        losses = torch.stack(self._losses)
        distributed.all_reduce([losses])
        losses /= distributed.world_size()
        first = self.step - len(self._losses) + 1
        self._losses = []
        for step, loss in enumerate(losses.tolist(), first):
            if not math.isfinite(loss):
                raise UserError(
                    f"the loss is {loss} at step {step} of {self.steps}; "
                    f"lower the learning rate (it is {self.recipe.lr:g})"
                )
            self.loss = loss

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, AdamW's moments, the loss scale and the callbacks' states, flat."""
        state = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        state |= {f"scaler.{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}
        for number, callback in enumerate(self.stateful):
            own = callback.state_dict()
            state |= {f"callback.{number}.{name}": tensor for name, tensor in own.items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` returned."""
        self.model.load_state_dict(_under("model", state))
        numbers = {int(name.partition(".")[0]) for name in _under("optimizer", state)}
        moments = {number: _under(f"optimizer.{number}", state) for number in numbers}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        if self.scaler.is_enabled():
            scale = {name: value.item() for name, value in _under("scaler", state).items()}
            self.scaler.load_state_dict(scale)
        device = next(self.model.parameters()).device
        for number, callback in enumerate(self.stateful):
            own = _under(f"callback.{number}", state)
            callback.load_state_dict({name: tensor.to(device) for name, tensor in own.items()})


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names start with a prefix and a dot, without them."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in state.items() if name.startswith(start)}


class Progress(Callback):
    """Shows a bar of the steps with the loss, in the main process."""

    stateless = True

    def before_training(self, run: Run) -> None:
        from tqdm import tqdm

        hidden = not distributed.is_main()
        self.bar = tqdm(total=run.steps, desc="training", unit="step", disable=hidden)
        self._show(run)

    def after_step(self, run: Run) -> None:
        self._show(run)

    def _show(self, run: Run) -> None:
        self.bar.set_postfix(loss=f"{run.loss:.3f}", refresh=False)
        self.bar.update(run.step - self.bar.n)
        if run.step == run.steps:
            self.bar.close()


class AfterEpoch(Callback):
    """Calls a function after each epoch, to measure the model.

    Args:
        function: gets the number of epochs that are done, and the model. What it draws at random
            does not change the training.
    """

    stateless = True

    def __init__(self, function: Callable[[int, nn.Module], None]):
        self.function = function

    def after_epoch(self, run: Run) -> None:
        self.function(run.epoch, run.model)


class Checkpoints(Callback):
    """Saves the state of a run every minute and restores it: an interrupted run ends the same.

    The final weights have the same bits, on a CPU with the same torch and the same numbers of
    threads and processes.

    Args:
        folder: of the states; created when it is needed. The last two states are kept, and other
            runs may use the same folder.
        resume: False deletes the run's saved states and starts again.

    Raises:
        UserError: before the first step, if another callback can be neither saved nor restored.
    """

    stateless = True

    def __init__(self, folder: str | Path, resume: bool = True):
        self.folder, self.resume = Path(folder), resume

    def before_training(self, run: Run) -> None:
        for callback in run.callbacks:
            if not callback.stateless and not hasattr(callback, "load_state_dict"):
                raise UserError(
                    f"{type(callback).__qualname__} cannot be resumed: give it state_dict and "
                    "load_state_dict, or stateless = True, or train without Checkpoints"
                )
        others = [type(callback) for callback in run.stateful]
        self.states = States(self.folder, digest(*run.identity, run.model, others))
        found = self.states.restore(self.resume)
        if found is not None:
            run.step, tensors = found
            run.load_state_dict(tensors)
        self._due = time.monotonic() + SAVE_INTERVAL

    def before_step(self, run: Run) -> None:
        due = time.monotonic() >= self._due and run.losses_are_finite
        if not due or not distributed.is_main():
            return
        started = time.monotonic()
        try:
            self.states.write(run.step, run.state_dict())
        except Exception as error:  # a full disk: OSError, or SafetensorError of safetensors
            warnings.warn(
                f"no state could be written to {self.folder} at step {run.step} ({error}); training "
                "goes on, and would resume from the last state that was written",
                stacklevel=4,
            )
        done = time.monotonic()
        wait = max(SAVE_INTERVAL, (done - started) / WRITE_FRACTION) if SAVE_INTERVAL else 0
        self._due = done + wait
