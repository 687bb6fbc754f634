"""The process of a submission: runs its cells, returns values and calls functions, without tests."""

from __future__ import annotations

import argparse
import contextlib
import os
import struct
import sys
import types
from pathlib import Path


class _Silent:
    """A replacement for otter in graded notebooks, where students' own checks do nothing."""

    def __init__(self, *_, **__):
        pass

    def check(self, *_, **__):
        return None

    check_all = export = to_pdf = check


def _channel():
    """Use stdin and stdout for messages; what a notebook prints is discarded."""
    ask, answer = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return os.fdopen(ask, "rb"), os.fdopen(answer, "wb")


@contextlib.contextmanager
def _watched():
    """Collect where the code of the book lies that runs, as file and line."""
    import wiseft_lite

    book, ran = str(Path(wiseft_lite.__file__).parent), set()

    def notice(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(book):
            ran.add((code.co_filename, code.co_firstlineno))

    sys.setprofile(notice)
    try:
        yield ran
    finally:
        sys.setprofile(None)


def _reply(shell, names: dict, message: dict) -> dict:
    if "run" in message:
        done = shell.run_cell(message["run"], store_history=False)
        error = done.error_before_exec or done.error_in_exec
        return {
            "error": f"{type(error).__name__}: {error}"[:500] if error else None,
            "memory": isinstance(error, MemoryError) or "can't allocate memory" in str(error),
        }
    value = names.get(message["name"])
    if "args" not in message:
        return {
            "known": message["name"] in names,
            "function": callable(value),
            "value": None if callable(value) else value,
        }
    try:
        args = message["args"]
        with _watched() as ran:
            value = value(*args, **message["kwargs"])
        return {"value": value, "args": args, "error": None, "ran": [list(p) for p in sorted(ran)]}
    except BaseException as error:  # sys.exit in a student's function must not end the process
        return {"value": None, "args": [], "error": f"{type(error).__name__}: {error}"[:500]}


def main() -> None:
    from coursework import guard
    from coursework.wire import decode, encode

    source, sink = _channel()

    def receive():
        size = source.read(8)
        if len(size) < 8:
            os._exit(0)
        return decode(source.read(struct.unpack(">Q", size)[0]))

    def send(value):
        data = encode(value)
        sink.write(struct.pack(">Q", len(data)) + data)
        sink.flush()

    setup = receive()
    import torch
    from IPython.core.history import HistoryManager
    from IPython.core.interactiveshell import InteractiveShell

    import wiseft_lite

    if setup["clip"]:  # packages that load C libraries come before the guard
        import wiseft_lite.training  # noqa: F401
        from wiseft_lite.encoders import load_clip

        load_clip("iconclip")
    torch.set_num_threads(1)
    otter = types.ModuleType("otter")
    otter.Notebook, otter.__version__ = _Silent, "7.0.0"
    sys.modules["otter"] = otter
    HistoryManager.enabled = False
    shell = InteractiveShell.instance(colors="nocolor")
    shell.showtraceback = lambda *_, **__: None
    folder = os.getcwd()
    guard.limit(setup["seconds"], setup["memory"])
    guard.close(folder, Path(wiseft_lite.__file__).parent, [Path(p) for p in setup["private"]])
    send({"ready": True})
    while True:
        message = receive()
        try:
            send(_reply(shell, shell.user_ns, message))
        except (RecursionError, MemoryError) as error:
            send(
                {
                    "error": f"{type(error).__name__} while the answer was packed",
                    "value": None,
                    "args": [],
                    "memory": isinstance(error, MemoryError),
                    "known": False,
                    "function": False,
                }
            )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
