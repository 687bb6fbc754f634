"""Save and resume training: an interrupted run continues and ends with the same bits."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite.errors import UserError

SAVE_INTERVAL = 60.0  # seconds of training between two states
WRITE_FRACTION = 1 / 20  # states that are slow to write are written less often


class States:
    """The last two states of a training run in a folder, each written atomically.

    A state is a file ``RUN-STEP-HASH.safetensors`` with the weights, AdamW's moments, the order of
    the epoch's inputs, the random states, the averages and the loss scale. Its header records, as
    JSON, the versions and the numbers of threads and processes. A run reads its own states alone.
    The final weights are the same, bit for bit, on a CPU with the same torch and the same numbers
    of threads and processes. The main process writes; all processes read.

    Args:
        folder: created when it is needed; None saves nothing, at no cost.
        parts: what the result depends on, besides the model and the class of the averages; ``RUN``
            is the ``digest`` of all.
        model: the model to train, as it is at the start.
        optimizer: its optimizer.
        scaler: of the loss, for float16; has no state unless it is enabled.
        averages: called after each step; it has ``state_dict`` and ``load_state_dict`` with flat
            dicts of tensors, as ``MovingAverages`` does.

    Raises:
        UserError: the averages have no ``load_state_dict``.
    """

    def __init__(
        self,
        folder: str | Path | None,
        parts: Sequence[Any],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        averages: Any = None,
    ):
        self.enabled, self.folder = folder is not None, Path(folder or ".")
        if not self.enabled:
            return
        if averages is not None and not hasattr(averages, "load_state_dict"):
            raise UserError(
                f"{getattr(averages, '__qualname__', type(averages).__qualname__)} cannot be resumed: "
                "give it state_dict and load_state_dict, or train without a folder"
            )
        self.run = digest(*parts, model, type(averages))
        self.model, self.optimizer, self.scaler, self.averages = model, optimizer, scaler, averages
        self._due = time.monotonic() + SAVE_INTERVAL

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.run}-*.safetensors"), reverse=True)

    def restore(self, resume: bool = True) -> tuple[int, Tensor | None]:
        """Load the newest complete state and print from where training resumes.

        Args:
            resume: False deletes the run's states instead.

        Returns:
            The number of steps done and the order of the epoch's inputs; 0 and None without a
            state.
        """
        if not self.enabled:
            return 0, None
        name = distributed.broadcast_object(lambda: self._newest(resume))
        if name is None:
            return 0, None
        path, step = self.folder / name, int(name.split("-")[1])
        if not path.exists():
            raise UserError(
                f"process {distributed.rank()} cannot read {path}, which the main process can; use a folder "
                "that all machines share"
            )
        order, made = self._load(path)
        if distributed.is_main():
            print(f"Training resumes after step {step}, from {path}", flush=True)
            if made != _environment():
                print(
                    f"It started with {made} and resumes with {_environment()}: the last bits may "
                    "differ.",
                    flush=True,
                )
        return step, order

    def _newest(self, resume: bool) -> str | None:
        """Return the file name of the newest complete state; delete damaged and unwanted ones."""
        for path in [*self.folder.glob(f"{self.run}-*.part"), *(() if resume else self._files())]:
            path.unlink(missing_ok=True)
        for path in self._files():
            if file_sha256(path)[:16] == path.stem.split("-")[2]:
                return path.name
            warnings.warn(
                f"{path} was damaged and is deleted; the state before it is used", stacklevel=6
            )
            path.unlink()
        if any(self.folder.glob("*.safetensors")):
            print(
                f"{self.folder} holds states of other runs (another recipe, start, data or code); they are "
                "kept, and this run starts from the beginning.",
                flush=True,
            )
        return None

    def maybe_save(self, step: int, order: Tensor) -> None:
        """Write the state before step ``step`` if one is due; a failure to write only warns."""
        if not self.enabled or time.monotonic() < self._due or not distributed.is_main():
            return
        started = time.monotonic()
        try:
            self._write(step, order)
        except Exception as error:  # a full disk: OSError, or SafetensorError of safetensors
            warnings.warn(
                f"no state could be written to {self.folder} at step {step} ({error}); training goes "
                "on, and would resume from the last state that was written",
                stacklevel=3,
            )
        done = time.monotonic()
        wait = max(SAVE_INTERVAL, (done - started) / WRITE_FRACTION) if SAVE_INTERVAL else 0
        self._due = done + wait

    def _write(self, step: int, order: Tensor) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        part, tensors = self.folder / f"{self.run}-{os.getpid()}.part", self._tensors(order)
        try:
            save_file(tensors, part, metadata={"state": json.dumps(_environment())})
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            with safe_open(part, framework="pt") as written:
                if not all(
                    torch.equal(_bits(written.get_tensor(name)), _bits(t))
                    for name, t in tensors.items()
                ):
                    raise OSError("the file read back differs from what was written")
            path = self.folder / f"{self.run}-{step:09d}-{file_sha256(part)[:16]}.safetensors"
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        others = [other for other in self._files() if other != path]
        for old in others[1:]:  # only now that the new state was verified
            old.unlink(missing_ok=True)

    def _tensors(self, order: Tensor) -> dict[str, Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
        if self.averages is not None:
            tensors |= {
                f"averages.{name}": tensor for name, tensor in self.averages.state_dict().items()
            }
        tensors |= {
            f"scaler.{name}": torch.tensor(value)
            for name, value in self.scaler.state_dict().items()
        }
        tensors |= {"order": order, "random.cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors |= {
                f"random.cuda.{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())
            }
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        }

    def _load(self, path: Path) -> tuple[Tensor, dict]:
        from safetensors import safe_open

        groups: dict[str, dict[str, Tensor]] = defaultdict(dict)
        with safe_open(path, framework="pt") as file:
            made = json.loads(file.metadata()["state"])
            for key in file.keys():
                group, _, name = key.partition(".")
                groups[group][name] = file.get_tensor(key)
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in groups["optimizer"].items():
            number, _, name = key.partition(".")
            moments[int(number)][name] = tensor
        if self.averages is not None:
            device = next(self.model.parameters()).device
            self.averages.load_state_dict(
                {name: tensor.to(device) for name, tensor in groups["averages"].items()}
            )
        self.model.load_state_dict(groups["model"])
        settings = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": dict(moments), "param_groups": settings})
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(
                {name: value.item() for name, value in groups["scaler"].items()}
            )
        torch.set_rng_state(groups["random"].pop("cpu"))
        for name, state in groups["random"].items():
            gpu = int(name.removeprefix("cuda."))
            if gpu < torch.cuda.device_count():  # this machine may have fewer
                torch.cuda.set_rng_state(state, gpu)
        return groups["order"][""], made


def _environment() -> dict:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
    }


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
