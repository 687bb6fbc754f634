"""The command line put together: all commands, their errors in one line, their exit codes."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from wiseft_lite import __version__
from wiseft_lite._runtime.console import failsafe_output
from wiseft_lite.cli import combine, convert, embed, evaluate, info, place, run, train
from wiseft_lite.errors import UserError

FAMILIES = (run, train, evaluate, place, combine, convert, embed, info)


class _Parser(argparse.ArgumentParser):
    """Raises a mistake on the command line as a ``UserError``."""

    def error(self, message: str):
        raise UserError(f"{message}; see '{self.prog} --help'")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    main = _Parser(
        prog="wiseft-lite",
        description="Robust fine-tuning by interpolating weights.",
        epilog="Several GPUs: accelerate launch -m wiseft_lite COMMAND ...",
    )
    main.add_argument("--version", action="version", version=__version__)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in FAMILIES:
        family.add_commands(commands)
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 for a mistake that the user can fix."""
    with failsafe_output() as out:
        code = _exit_code(arguments)
        out.flush()
        if out.error and not code:
            print(
                "wiseft-lite: not everything could be printed "
                f"({out.error.strerror or out.error}); a result with an --out is complete",
                file=sys.stderr,
            )
            code = 2
    return code


def _exit_code(arguments: list[str] | None) -> int:
    """Run a command; an error that the user can fix is printed in one line."""
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MPLBACKEND", "agg")
    rank = int(os.environ.get("RANK", 0))  # set by a launcher
    name = f"wiseft-lite, process {rank}" if rank else "wiseft-lite"
    try:
        with _one_process_prints(rank):
            _run(parser().parse_args(arguments), rank)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, without importing torch
            raise
        print(
            f"{name}: the memory of the GPU is full; process fewer images at a time with "
            "--micro-batch-size 16, store less of each with --gradient-checkpointing, or use a smaller model",
            file=sys.stderr,
        )
        return 2
    return 0


@contextmanager
def _one_process_prints(rank: int) -> Iterator[None]:
    """Let the main process print, and warn in one line; silence the others."""

    def show(message, *_, **__) -> None:
        print(f"wiseft-lite: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        if rank == 0:
            yield
            return
        warnings.simplefilter("ignore")
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
            yield


def _run(args: argparse.Namespace, rank: int) -> None:
    """Check ``--out`` before any work, then run a command in all processes or in the main one."""
    if args.distributed:
        from wiseft_lite._runtime import distributed

        distributed.start(args.device)
        distributed.main_only(lambda: _check_out(args))
        args.run(args)
        gc.collect()  # a wrapped model in a cycle would outlive its group, and abort the process at its end
        distributed.stop()
    elif rank == 0:
        _check_out(args)
        args.run(args)


def _check_out(args: argparse.Namespace) -> None:
    if "out" in args:
        args.check(args.out, args.overwrite)
