"""A training run that is cut short goes on from its last state and ends with the same bits."""

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

SECONDS = 60.0  # of training that a kill may cost
SHARE = 20  # a state that takes long to write is written rarely: at most a twentieth of the time goes there


class States:
    """The states of one run in a folder: the newest and the one before it, each whole or not there
    at all.

    A state is one file, ``RUN-STEP-HASH.safetensors``. It holds the weights, AdamW's moments, the
    order of the epoch's inputs, the random states, the averages and the loss's scale; its header
    says in JSON what wrote it. A run finds its own states by its name and never looks at another's.
    The bits of the end are the same on a CPU with the same number of threads and processes and the
    same torch. Of several processes the main one writes and all read.

    Args:
        folder: where to; it is made when it is needed. None keeps nothing, at no cost.
        parts: what the end depends on beside the model and the kind of averages; their ``digest``
            is ``RUN``.
        model: what is trained, as it is at the start.
        optimizer: what trains it.
        scaler: of the loss, for float16; one that is not enabled has no state.
        averages: is called after each step; it has ``state_dict`` and ``load_state_dict`` with flat
            dicts of tensors, like ``MovingAverages``.

    Raises:
        UserError: the averages have no state that can be kept.
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
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        if averages is not None and not hasattr(averages, "load_state_dict"):
            raise UserError(
                f"{getattr(averages, '__qualname__', type(averages).__qualname__)} cannot be resumed: "
                "give it state_dict and load_state_dict, or train without a folder"
            )
        self.run = digest(*parts, model, type(averages))
        self.model, self.optimizer, self.scaler, self.averages = model, optimizer, scaler, averages
        self._due = time.monotonic() + SECONDS

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.run}-*.safetensors"), reverse=True)

    def restore(self, resume: bool = True) -> tuple[int, Tensor | None]:
        """Put everything as it was in the newest whole state, and say so.

        Args:
            resume: False throws the run's states away.

        Returns:
            The number of steps done and the order of the epoch's inputs; 0 and None if there is no
            state.
        """
        if self.folder is None:
            return 0, None
        name = distributed.broadcast_object(lambda: self._newest(resume))
        if name is None:
            return 0, None
        path, step = self.folder / name, int(name.split("-")[1])
        if not path.exists():
            raise UserError(
                f"process {distributed.rank()} cannot see {path}, which the main process can; let all machines "
                "share that folder"
            )
        order, made = self._load(path)
        if distributed.is_main():
            print(f"The training goes on after step {step}, from {path}", flush=True)
            if made != _made():
                print(
                    f"It began under {made} and goes on under {_made()}: the last bits may differ.",
                    flush=True,
                )
        return step, order

    def _newest(self, resume: bool) -> str | None:
        """The name of the newest whole state; what is damaged, half written or no longer wanted is
        thrown away."""
        for path in [*self.folder.glob(f"{self.run}-*.part"), *(() if resume else self._files())]:
            path.unlink(missing_ok=True)
        for path in self._files():
            if file_sha256(path)[:16] == path.stem.split("-")[2]:
                return path.name
            warnings.warn(
                f"{path} is damaged and was thrown away; the state before it is taken", stacklevel=6
            )
            path.unlink()
        if any(self.folder.glob("*.safetensors")):
            print(
                f"{self.folder} holds states of other runs (another recipe, start, data or code); they are left "
                "alone and this run begins anew.",
                flush=True,
            )
        return None

    def maybe_save(self, step: int, order: Tensor) -> None:
        """Write the state before step ``step`` if it is time; the training goes on when that
        fails."""
        if self.folder is None or time.monotonic() < self._due or not distributed.is_main():
            return
        started = time.monotonic()
        try:
            self._write(step, order)
        except (
            Exception
        ) as error:  # a full disk: OSError from here, SafetensorError from safetensors
            warnings.warn(
                f"no state could be written to {self.folder} at step {step} ({error}); the training goes "
                "on, and a kill costs what was done since the state before",
                stacklevel=3,
            )
        self._due = time.monotonic() + max(
            SECONDS, SHARE * (time.monotonic() - started) if SECONDS else 0
        )

    def _write(self, step: int, order: Tensor) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        part, tensors = self.folder / f"{self.run}-{os.getpid()}.part", self._tensors(order)
        try:
            save_file(tensors, part, metadata={"state": json.dumps(_made())})
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            with safe_open(part, framework="pt") as written:
                if not all(
                    torch.equal(_bits(written.get_tensor(name)), _bits(t))
                    for name, t in tensors.items()
                ):
                    raise OSError("the disk gave back other bytes than were written")
            path = self.folder / f"{self.run}-{step:09d}-{file_sha256(part)[:16]}.safetensors"
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        for old in [p for p in self._files() if p != path][
            1:
        ]:  # only now: the new one was read back
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
            number = int(name.removeprefix("cuda."))
            if number < torch.cuda.device_count():  # it may go on where there are fewer
                torch.cuda.set_rng_state(state, number)
        return groups["order"][""], made


def _made() -> dict:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
    }


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
