"""Printing that never stops a run: on a closed pipe, a full disk or a limited encoding."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast


class FailSafeStream:
    """A text stream whose ``write`` and ``flush`` never raise.

    A character that the encoding lacks is written as its escape, such as ``\\u03b1``. After the
    first failure of another kind nothing more is written, and ``error`` holds the exception.

    Example:
        >>> import io
        >>> stream = FailSafeStream(io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
        >>> _ = stream.write("α = 1")
        >>> stream.stream.buffer.getvalue()
        b'\\\\u03b1 = 1'
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        if self.error is None:
            try:
                self._write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        if self.error is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._give_up(error)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError as error:
            self.stream.write(
                text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            )

    def _give_up(self, error: OSError) -> None:
        self.error = error
        # what is still in the buffer must not fail again when Python exits
        with suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self.stream.fileno())
            os.close(devnull)


@contextmanager
def failsafe_output() -> Iterator[FailSafeStream]:
    """Wrap standard output and standard error in ``FailSafeStream``; yields standard output's."""
    before = sys.stdout, sys.stderr
    out, err = FailSafeStream(before[0]), FailSafeStream(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
