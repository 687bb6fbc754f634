"""The process of a submission, from outside: it may hang, die, use up memory or answer nonsense."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from coursework.wire import LARGEST, decode, encode

HERE = Path(__file__).resolve().parent
PATIENCE = 8


@dataclass(frozen=True)
class Limits:
    """The resources of a submission.

    Seconds are CPU time, so that a busy machine does not change a mark; a process that waits gets
    ``PATIENCE`` times as many of wall-clock time.

    Args:
        cell: seconds for one cell.
        call: seconds for one call of one of its functions.
        total: seconds for the submission, starts included.
        memory: bytes.
        restarts: how often it is started again, without the cell that hung or died.
    """

    cell: float = 60
    call: float = 30
    total: float = 300
    memory: int = 3_000_000_000
    restarts: int = 3


class Gone(Exception):
    """The process has ended: it ran out of time or memory, or exited.

    Args:
        message: what happened.
        status: ``"timed out"`` or ``"crashed"``.
    """

    def __init__(self, message: str, status: str):
        super().__init__(message)
        self.status = status


def _environment(folder: str) -> dict[str, str]:
    """Return an environment with nothing of the grader's own but its PATH."""
    import wiseft_lite

    paths = [str(HERE.parent), str(Path(wiseft_lite.__file__).parent.parent)]
    own = dict.fromkeys(("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR", "WISEFT_CACHE"), folder)
    return {
        **own,
        "PATH": os.environ.get("PATH", os.defpath),
        "MPLBACKEND": "Agg",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(paths),
    }


class Process:
    """A running ``sandbox`` in a folder of its own.

    Args:
        limits: its resources.
        cpu: seconds of CPU time left for it.
        until: its deadline, by the monotonic clock.
        setup: the settings of the sandbox.

    Raises:
        Gone: it does not start.
    """

    def __init__(self, limits: Limits, cpu: float, until: float, setup: dict):
        self.limits, self.cpu, self.until, self.spent = limits, cpu, until, 0.0
        self.folder = tempfile.mkdtemp(prefix="submission-")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "coursework.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=_environment(self.folder),
            start_new_session=True,
        )
        for pipe in (self.popen.stdin, self.popen.stdout):
            os.set_blocking(pipe.fileno(), False)
        self.ask({**setup, "seconds": int(limits.total) + 60, "memory": limits.memory}, 120)

    def close(self) -> None:
        """End the process and remove its folder."""
        self._used()
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, message: dict, seconds: float) -> dict:
        """Send a message and wait for its answer.

        Raises:
            Gone: there is none; the process is closed.
        """
        self._used()
        budget = (
            min(self.spent + seconds, self.cpu),
            min(time.monotonic() + PATIENCE * seconds, self.until),
        )
        data = encode(message)
        data = memoryview(struct.pack(">Q", len(data)) + data)
        try:
            while data:
                self._wait(self.popen.stdin, selectors.EVENT_WRITE, budget)
                data = data[os.write(self.popen.stdin.fileno(), data) :]
            size = struct.unpack(">Q", self._read(8, budget))[0]
            if size > LARGEST:
                raise Gone("its answer is too large", "crashed")
            answer = decode(self._read(size, budget))
        except Gone:
            self.close()
            raise
        except (OSError, ValueError) as error:
            self.close()
            raise Gone("its process ended", "crashed") from error
        return answer if isinstance(answer, dict) else {}

    def _read(self, size: int, budget: tuple[float, float]) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self.popen.stdout, selectors.EVENT_READ, budget)
            part = os.read(self.popen.stdout.fileno(), min(size - len(parts), 1 << 20))
            if not part:
                raise OSError("closed")
            parts += part
        return bytes(parts)

    def _wait(self, pipe, event: int, budget: tuple[float, float]) -> None:
        """Wait until the pipe is ready, and check time and memory meanwhile."""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            while not selector.select(0.1):
                memory = self._used()
                if self.spent > budget[0] or time.monotonic() > budget[1]:
                    raise Gone("it took too long", "timed out")
                if memory > self.limits.memory:
                    raise Gone("it used too much memory", "crashed")

    def _used(self) -> int:
        """Update the CPU time, and return the bytes of memory."""
        try:
            process = psutil.Process(self.popen.pid)
            times = process.cpu_times()
            self.spent = times.user + times.system
            return process.memory_info().rss
        except psutil.Error:
            return 0
