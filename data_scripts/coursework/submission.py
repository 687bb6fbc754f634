"""A submission as the grader sees it: names that can be asked for, in a process that may hang, die or lie."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from coursework.wire import LARGEST, decode, encode

HERE = Path(__file__).resolve().parent
PATIENCE = 8


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Seconds are of CPU time, so that a busy machine does not change a mark; a process that only waits gets ``PATIENCE``
    times as many by the clock.

    Args:
        cell: seconds for one cell.
        call: seconds for one call of one of its functions.
        total: seconds for all of it, starts included.
        memory: bytes.
        restarts: how often it is started again without the cell that hung or died.
    """

    cell: float = 60
    call: float = 30
    total: float = 300
    memory: int = 3_000_000_000
    restarts: int = 3


class Gone(Exception):
    """The process is no more: it ran out of time or memory, or ended itself."""

    def __init__(self, message: str, status: str):
        super().__init__(message)
        self.status = status


class Failed(Exception):
    """A function of the submission raised, or cannot be asked any more."""


@dataclass
class Submission:
    """The cells of a notebook, run in a process of their own; a cell that hangs or kills it is left out.

    Used as the environment of a test: ``submission["name"]`` is a value or a function of the notebook. A function
    gets copies of its arguments; what it changes in them is changed in the caller's too.

    Args:
        cells: sources of the code cells, in order.
        limits: what it may use.
        private: folders that it must not read, with all that holds them.
    """

    cells: Sequence[str]
    limits: Limits = Limits()
    private: Sequence[Path] = ()
    status: str = "graded"
    errors: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self._earlier, self._until = 0.0, time.monotonic() + PATIENCE * self.limits.total
        self._starts = 0
        self._process: subprocess.Popen | None = None
        self._folder = ""
        self._lost: dict[str, str] = {}
        self._left_out: set[int] = set()

    # The process

    def _start(self) -> None:
        if self._starts > self.limits.restarts:
            raise Gone("it was stopped too often", self.status)
        self._starts += 1
        self._folder = tempfile.mkdtemp(prefix="submission-")
        import wiseft_lite

        paths = [str(HERE.parent), str(Path(wiseft_lite.__file__).parent.parent)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": self._folder, "TMPDIR": self._folder,
            "IPYTHONDIR": self._folder, "MPLCONFIGDIR": self._folder, "WISEFT_CACHE": self._folder, "MPLBACKEND": "Agg",
            "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "coursework.sandbox"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd=self._folder, env=environment, start_new_session=True)
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self._ask({"seconds": int(self.limits.total) + 60, "memory": self.limits.memory,
                   "private": [str(p) for p in self.private]}, 120)

    def close(self) -> None:
        """End the process and throw its folder away."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
            self._process.wait()
            self._process.stdin = self._process.stdout = None
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _gone(self, message: str, status: str) -> Gone:
        self._earlier += self._used()[0]
        self.close()
        self.status = status if self.status == "graded" else self.status
        return Gone(message, status)

    def _wait(self, pipe, event: int, budget: tuple[float, float]) -> None:
        """Until the pipe is ready; meanwhile watch the clocks and the memory."""
        cpu, until = budget
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            while not selector.select(0.1):
                spent, memory = self._used()
                if spent > cpu or time.monotonic() > until:
                    raise self._gone("it took too long", "timed out")
                if memory > self.limits.memory:
                    raise self._gone("it used too much memory", "crashed")

    def _used(self) -> tuple[float, int]:
        """Seconds of CPU time and bytes of memory of the process."""
        try:
            process = psutil.Process(self._process.pid)
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss
        except psutil.Error:
            return 0.0, 0

    def _ask(self, message: dict, seconds: float) -> dict:
        before, now = self._used()[0], time.monotonic()
        budget = (min(before + seconds, self.limits.total - self._earlier), min(now + PATIENCE * seconds, self._until))
        data = encode(message)
        data = memoryview(struct.pack(">Q", len(data)) + data)
        try:
            while data:
                self._wait(self._process.stdin, selectors.EVENT_WRITE, budget)
                data = data[os.write(self._process.stdin.fileno(), data):]
            size = struct.unpack(">Q", self._read(8, budget))[0]
            if size > LARGEST:
                raise self._gone("its answer is too large", "crashed")
            answer = decode(self._read(size, budget))
        except (OSError, ValueError) as error:
            raise self._gone("its process ended", "crashed") from error
        return answer if isinstance(answer, dict) else {}

    def _read(self, size: int, budget: tuple[float, float]) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self._process.stdout, selectors.EVENT_READ, budget)
            part = os.read(self._process.stdout.fileno(), min(size - len(parts), 1 << 20))
            if not part:
                raise OSError("closed")
            parts += part
        return bytes(parts)

    # The notebook

    def run(self) -> None:
        """Run every cell; one that hangs or kills the process is left out, and the rest is run again without it."""
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
                if answer.get("memory") and self.status == "graded":
                    self.status = "crashed"

    def __getitem__(self, name: str) -> Any:
        self.run()
        answer = self._ask({"name": name}, self.limits.call)
        if answer.get("known") is not True:
            raise KeyError(name)
        return (lambda *args, **kwargs: self._call(name, args, kwargs)) if answer.get("function") else answer.get("value")

    def get(self, name: str, default: Any = None) -> Any:
        """The value or function of that name, or ``default``."""
        try:
            return self[name]
        except KeyError:
            return default

    def _call(self, name: str, args: tuple, kwargs: dict) -> Any:
        if name in self._lost:
            raise Failed(f"{name} was given up: {self._lost[name]}")
        self.run()
        try:
            answer = self._ask({"name": name, "args": list(args), "kwargs": kwargs}, self.limits.call)
        except Gone as gone:
            self._lost[name] = str(gone)
            raise
        if answer.get("error"):
            raise Failed(f"{name} raised {answer['error']}")
        after = answer.get("args")
        for mine, theirs in zip(args, after if isinstance(after, (list, tuple)) else ()):
            _write_back(mine, theirs)
        return answer.get("value")


def _write_back(mine: Any, theirs: Any) -> None:
    """What a function did to its arguments in the other process is done to ours."""
    if isinstance(mine, torch.Tensor) and isinstance(theirs, torch.Tensor) and mine.shape == theirs.shape:
        mine.copy_(theirs)
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        for key in mine.keys() & theirs.keys():
            _write_back(mine[key], theirs[key])
    elif isinstance(mine, list) and isinstance(theirs, list) :
        if len(mine) != len(theirs) or any(isinstance(x, (int, float, str)) for x in mine):
            mine[:] = theirs
        for a, b in zip(mine, theirs):
            _write_back(a, b)
