"""Save and resume a soup: the scores of its models and means, and the weights made so far."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite.errors import UserError


class Progress:
    """Scores of sums of models, and the weights of one sum, in a folder.

    A sum is named by the hashes of its models in the order of adding, so what is known of a model
    stays known when others join or leave. ``RUN.json`` holds the scores, a digest of each model's
    weights, and the name of ``RUN-COUNT-HASH.safetensors``, the weights made of ``COUNT`` models.
    Both are written at once and atomically, the weights first, so that they fit together. The main
    process reads and writes; all processes get the same.

    Args:
        folder: created when it is needed; None saves nothing, at no cost.
        parts: returns what the results depend on besides the models; ``RUN`` is the ``digest`` of
            all. The main process calls it.
        models: returns a hash of each model. The main process calls it.
        resume: False deletes what was saved.
    """

    def __init__(
        self,
        folder: str | Path | None,
        parts: Callable[[], Sequence[Any]],
        models: Callable[[], Sequence[str]],
        resume: bool = True,
    ):
        self.folder = None if folder is None else Path(folder)
        if folder is not None:
            self._run = distributed.broadcast_object(lambda: digest(*parts()))
            self._models = distributed.broadcast_object(lambda: _distinct(models()))
            self._saved = distributed.broadcast_object(lambda: self._read(Path(folder), resume))

    def score(self, members: Sequence[int]) -> float | None:
        """Return the score of the models at these indices together; None if it is not known."""
        if self.folder is None:
            return None
        return self._saved["scores"].get(",".join(self._hashes(members)))

    def weights(self, members: Sequence[int]) -> tuple[int, dict[str, Tensor]]:
        """Return how many of the first of these models are in the weights that were saved, and
        these weights; 0 and none if others are in them."""
        if self.folder is None:
            return 0, {}
        hashes = self._hashes(members)

        def count() -> int:
            known = self._saved["members"]
            return len(known) if known == hashes[: len(known)] else 0

        done, path = distributed.broadcast_object(count), self.folder / str(self._saved["file"])
        return done, distributed.broadcast_tensors(lambda: load_file(path)) if done else {}

    def check_unchanged(self, model: int, theta: Mapping[str, Tensor]) -> None:
        """Raise if a model that is read again does not have the weights that it had.

        Raises:
            UserError: it has others.
        """
        if self.folder is not None:
            found = digest(theta)
            if self._saved["digests"].setdefault(self._models[model], found) != found:
                raise UserError(
                    f"model {model}, counted from 0, has other weights than when it was scored; "
                    "start again with resume=False (--no-resume)"
                )

    def add(
        self,
        members: Sequence[int],
        score: float | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Save the score of models together, or the weights made of them, or both.

        A failure to write only warns.
        """
        if self.folder is None:
            return
        hashes, before = self._hashes(members), self._saved["file"]
        if score is not None:
            self._saved["scores"][",".join(hashes)] = score
        if not distributed.is_main():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if weights is not None:
                file = self._write_weights(self.folder, len(hashes), weights)
                self._saved |= {"members": hashes, "file": file}
            self._write(self.folder)
            if before not in (None, self._saved["file"]):
                (self.folder / before).unlink(missing_ok=True)
        except Exception as error:  # a full disk: OSError, or SafetensorError of safetensors
            warnings.warn(
                f"progress could not be written to {self.folder} ({error}); the soup goes on, and "
                "would resume from what was written before",
                stacklevel=3,
            )

    def _hashes(self, members: Sequence[int]) -> list[str]:
        return [self._models[i] for i in members]

    def _write_weights(self, folder: Path, count: int, weights: Mapping[str, Tensor]) -> str:
        """Write weights to a file that is named by its hash, and return the name."""
        part = folder / f"{self._run}-{os.getpid()}.part"
        try:
            save_file({key: tensor.contiguous() for key, tensor in weights.items()}, part)
            name = f"{self._run}-{count:09d}-{file_sha256(part)[:16]}.safetensors"
            _replace(part, folder / name)
        finally:
            part.unlink(missing_ok=True)
        return name

    def _write(self, folder: Path) -> None:
        part = folder / f"{self._run}-{os.getpid()}.part"
        try:
            part.write_text(json.dumps({"digest": digest(self._saved), **self._saved}, indent=1))
            _replace(part, folder / f"{self._run}.json")
        finally:
            part.unlink(missing_ok=True)

    def _read(self, folder: Path, resume: bool) -> dict[str, Any]:
        """Return what was saved, as far as it is whole; delete what is not wanted."""
        path = folder / f"{self._run}.json"
        if not resume:
            path.unlink(missing_ok=True)
        saved = self._parsed(path)
        for other in folder.glob(f"{self._run}-*"):  # also what an interrupted write left
            if other.name != saved["file"]:
                with suppress(OSError):
                    other.unlink()
        return saved

    def _parsed(self, path: Path) -> dict[str, Any]:
        """Return what a file of ``_write`` holds; nothing, and a line on it, if it is damaged."""
        nothing: dict[str, Any] = {"scores": {}, "digests": {}, "members": [], "file": None}
        folder = path.parent
        if not path.exists():
            if any(folder.glob("*.json")):
                print(
                    f"{folder} holds progress of other soups (other data or code); it is kept, and "
                    "this soup starts from the beginning.",
                    flush=True,
                )
            return nothing
        try:
            saved = json.loads(path.read_text())
            if saved.pop("digest") != digest(saved):
                raise ValueError("another digest")
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            warnings.warn(f"{path} was damaged; the soup starts from the beginning", stacklevel=7)
            return nothing
        if saved["file"] is not None and not _is_whole(folder / saved["file"]):
            warnings.warn(f"{folder / saved['file']} was damaged and is made again", stacklevel=7)
            saved |= {"members": [], "file": None}
        self._report(path, saved)
        return saved

    def _report(self, path: Path, saved: Mapping[str, Any]) -> None:
        """Print what a resumed soup need not do again."""
        models = set(self._models)
        known = [key for key in saved["scores"] if models.issuperset(key.split(","))]
        summed = len(saved["members"]) if models.issuperset(saved["members"]) else 0
        print(
            f"The soup resumes with {len(known)} scores and the weights of {summed} models, "
            f"from {path}",
            flush=True,
        )


def _distinct(hashes: Sequence[str]) -> list[str]:
    """The hashes; of equal models each gets another one."""
    return [digest(each, hashes[:i].count(each)) for i, each in enumerate(hashes)]


def _is_whole(path: Path) -> bool:
    """Whether weights that were saved have the hash in the name of their file."""
    return path.exists() and file_sha256(path)[:16] == path.stem.split("-")[2]


def _replace(part: Path, path: Path) -> None:
    """Move a file into place once its bytes are on the disk."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
