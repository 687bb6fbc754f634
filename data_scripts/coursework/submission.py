"""A submission as tests use it: values and functions by name, from a process that is restarted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from coursework.process import PATIENCE, Gone, Limits, Process
from coursework.wire import encode


class Failed(Exception):
    """A function of the submission raised an error, or cannot be called any more."""


@dataclass
class Submission:
    """The cells of a notebook in a process of their own, without cells that hang or kill it.

    Tests use it as their environment: ``submission["name"]`` is a value or a function of the
    notebook. A function gets copies of its arguments; its changes to them are copied back.

    Args:
        cells: sources of the code cells, in order.
        limits: its resources.
        private: folders that it must not read, nor any folder that contains them.
        status: ``"graded"``, unless a limit is exceeded or the process dies.
        errors: of cells, by index.
    """

    cells: Sequence[str]
    limits: Limits = Limits()
    private: Sequence[Path] = ()
    status: str = "graded"
    errors: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self._until = time.monotonic() + PATIENCE * self.limits.total
        self._cpu = self.limits.total
        self._starts = 0
        self._process: Process | None = None
        self._lost: dict[str, str] = {}
        self._left_out: set[int] = set()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _start(self) -> None:
        if self._starts > self.limits.restarts:
            raise Gone("it was stopped too often", self.status)
        self._starts += 1
        setup = {
            "private": [str(p) for p in self.private],
            "clip": any("wiseft_lite" in cell for cell in self.cells),
        }
        try:
            self._process = Process(self.limits, self._cpu, self._until, setup)
        except Gone as gone:
            self._note(gone.status)
            raise

    def _ask(self, message: dict, seconds: float) -> dict:
        try:
            return self._process.ask(message, seconds)
        except Gone as gone:
            self._cpu -= self._process.spent
            self._process = None
            self._note(gone.status)
            raise

    def _note(self, status: str) -> None:
        if self.status == "graded":  # the first event counts
            self.status = status

    def run(self) -> None:
        """Run every cell; if one hangs or kills the process, run the others again without it.

        Raises:
            Gone: it was stopped too often, or its time is used up.
        """
        while self._process is None:
            self._start()
            for k, cell in enumerate(self.cells):
                if k in self._left_out:
                    continue
                try:
                    answer = self._ask({"run": cell}, self.limits.cell)
                except Gone as gone:
                    self._left_out.add(k)
                    self.errors[k] = f"{gone}; this cell was left out"
                    break
                if answer.get("error"):
                    self.errors[k] = str(answer["error"])
                if answer.get("memory"):
                    self._note("crashed")

    def __getitem__(self, name: str) -> Any:
        self.run()
        answer = self._ask({"name": name}, self.limits.call)
        if answer.get("known") is not True:
            raise KeyError(name)
        if not answer.get("function"):
            return answer.get("value")
        return Function(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value or function of that name, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def call(self, name: str, args: tuple, kwargs: dict) -> tuple[Any, set[tuple[str, int]]]:
        """Return the value of a function, and where the code of the book lies that it ran.

        Raises:
            Failed: it raised an error; the exception has the name of that error.
            Gone: it took too long, or ended the process.
        """
        if name in self._lost:
            raise Failed(f"{name} was given up: {self._lost[name]}")
        self.run()
        try:
            answer = self._ask(
                {"name": name, "args": list(args), "kwargs": kwargs}, self.limits.call
            )
        except Gone as gone:
            self._lost[name] = str(gone)
            raise
        if answer.get("error"):
            kind, _, text = str(answer["error"]).partition(": ")
            raise type(kind, (Failed,), {})(f"{text} (in {name})")
        after = answer.get("args")
        for mine, theirs in zip(
            args, after if isinstance(after, (list, tuple)) else (), strict=False
        ):
            _write_back(mine, theirs)
        ran = answer.get("ran")
        return answer.get("value"), {tuple(p) for p in ran} if isinstance(ran, list) else set()


class Function:
    """A function of a submission.

    Args:
        submission: whose process it runs in.
        name: in the notebook.
        ran: where the code of the book lies that the last call ran, as file and line.
    """

    def __init__(self, submission: Submission, name: str):
        self.submission, self.name = submission, name
        self.ran: set[tuple[str, int]] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        value, self.ran = self.submission.call(self.name, args, kwargs)
        return value


def _write_back(mine: Any, theirs: Any) -> None:
    """Make an argument of ours what a function in the other process made of its copy."""
    if encode(mine) == encode(theirs):
        return
    if isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor):
        mine.data = theirs.to(mine.dtype)  # of any shape
    elif isinstance(mine, pd.DataFrame) and isinstance(theirs, pd.DataFrame):
        pd.DataFrame.__init__(mine, theirs)  # it stays the same object, with other rows
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        for key in mine.keys() & theirs.keys():
            _write_back(mine[key], theirs[key])
        for key in mine.keys() - theirs.keys():
            del mine[key]
        mine |= {key: value for key, value in theirs.items() if key not in mine}
    elif isinstance(mine, list) and isinstance(theirs, list):
        mine[:] = theirs
