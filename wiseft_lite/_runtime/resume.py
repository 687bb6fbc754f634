"""The saved states of a training run: files that are written atomically and verified."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.errors import UserError


class States:
    """The last two states of a training run in a folder, each written atomically.

    A state is a file ``RUN-STEP-HASH.safetensors``. Its header records, as JSON, the versions and
    the numbers of threads and processes. A run reads its own states alone. The main process writes;
    all processes read.

    Args:
        folder: created when it is needed.
        run: digest of what the run's result depends on.
    """

    def __init__(self, folder: Path, run: str):
        self.folder, self.run = folder, run

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.run}-*.safetensors"), reverse=True)

    def restore(self, resume: bool = True) -> tuple[int, dict[str, Tensor]] | None:
        """Read the newest complete state and print from where training resumes.

        Args:
            resume: False deletes the run's states instead.

        Returns:
            The number of steps done and the tensors; None without a state.
        """
        name = distributed.broadcast_object(lambda: self._newest(resume))
        if name is None:
            return None
        path, step = self.folder / name, int(name.split("-")[1])
        if not path.exists():
            raise UserError(
                f"process {distributed.rank()} cannot read {path}, which the main process can; use a folder "
                "that all machines share"
            )
        tensors, made = _read(path)
        if distributed.is_main():
            print(f"Training resumes after step {step}, from {path}", flush=True)
            if made != _environment():
                print(
                    f"It started with {made} and resumes with {_environment()}: the last bits may "
                    "differ.",
                    flush=True,
                )
        return step, tensors

    def _newest(self, resume: bool) -> str | None:
        """Return the file name of the newest complete state; delete damaged and unwanted ones."""
        for path in [*self.folder.glob(f"{self.run}-*.part"), *(() if resume else self._files())]:
            path.unlink(missing_ok=True)
        for path in self._files():
            if file_sha256(path)[:16] == path.stem.split("-")[2]:
                return path.name
            warnings.warn(
                f"{path} was damaged and is deleted; the state before it is used", stacklevel=7
            )
            path.unlink()
        if any(self.folder.glob("*.safetensors")):
            print(
                f"{self.folder} holds states of other runs (another recipe, start, data or code); they are "
                "kept, and this run starts from the beginning.",
                flush=True,
            )
        return None

    def write(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Write the state after ``step`` steps; then delete all but the one before it.

        Raises:
            OSError: the disk is full, or what was written reads back otherwise.
        """
        from safetensors import safe_open
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{self.run}-{os.getpid()}.part"
        tensors = {k: t.detach().to("cpu", copy=True).contiguous() for k, t in state.items()}
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


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(
            file.metadata()["state"]
        )


def _environment() -> dict:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
    }


def _bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
