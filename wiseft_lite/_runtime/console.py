"""Printing that costs nothing when it fails: a closed pipe, a full disk or a terminal without the
letters of a name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class Forgiving:
    """A text stream that goes on when its own stream fails.

    A letter that the stream's encoding lacks is written as its escape, such as ``\\u03b1``. After
    the first failure of another kind nothing more is written; ``error`` says what it was.

    Example:
        >>> import io
        >>> stream = Forgiving(io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
        >>> _ = stream.write("α = 1")
        >>> stream.stream.buffer.getvalue()
        b'\\\\u03b1 = 1'
    """

    def __init__(self, stream: TextIO):
        self.stream, self.error = stream, None

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
        with suppress(
            OSError, ValueError
        ):  # what is still in the buffer must not fail again when Python ends
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.stream.fileno())
            os.close(nothing)


@contextmanager
def forgiving() -> Iterator[Forgiving]:
    """Let all that is printed go through ``Forgiving``; gives the one of the standard output."""
    kept = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = Forgiving(kept[0]), Forgiving(kept[1])
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = kept
