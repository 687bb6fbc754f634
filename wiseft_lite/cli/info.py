"""``wiseft-lite tasks``, ``doctor`` and ``ledger``: what is available, missing, measured."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

from wiseft_lite.cli.options import add_command, add_data
from wiseft_lite.errors import UserError


def add_commands(commands: argparse._SubParsersAction) -> None:
    add_command(
        commands, "tasks", list_tasks, "list the tasks that ship with the package, and others"
    )
    parser = add_command(
        commands,
        "doctor",
        diagnose,
        "report what is installed, where a model would run, and what is missing; "
        "with --task, check the names and every image of a task",
    )
    parser.add_argument(
        "--task",
        help="check this data: a name listed by 'wiseft-lite tasks', or a folder or .csv file of "
        "your own images",
    )
    add_data(parser)
    parser = add_command(
        commands, "ledger", ledger, "print the book's numbers, or measure them again"
    )
    parser.add_argument(
        "keys",
        nargs="+",
        metavar="KEY",
        help="an experiment such as ch06, one of its numbers, or all: with --run, every experiment "
        "that the present code has not measured yet",
    )
    parser.add_argument(
        "--run", dest="run_again", action="store_true", help="measure again and write the ledger"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help="number of training seeds, or of repeats for bench and command (default: as in the book)",
    )


def list_tasks(args: argparse.Namespace) -> None:
    """List the tasks."""
    from wiseft_lite.cli import doctor

    _print(doctor.tasks())


def diagnose(args: argparse.Namespace) -> None:
    """Report on this machine, or check the data of a task."""
    from wiseft_lite.cli import doctor
    from wiseft_lite.tasks import inspection

    if args.task is None:
        _print(doctor.report(args.data))
    else:
        _print(inspection.inspect(args.task, args.data))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def ledger(args: argparse.Namespace) -> None:
    """Print entries of the ledger, after measuring them again if asked to."""
    from wiseft_lite.book import ledger as book

    if args.run_again:
        _measure_all(args.keys, args.seeds)
    entries = book.read()
    for key in (
        sorted({key.partition(".")[0] for key in entries}) if "all" in args.keys else args.keys
    ):
        found = {k: v for k, v in entries.items() if k == key or k.startswith(f"{key}.")}
        if not found:
            raise UserError(
                f"the ledger has no entry {key!r}; 'wiseft-lite ledger {key} --run' may make it"
            )
        for name, known in found.items():
            spread = "" if known["spread"] is None else f" +- {known['spread']:.2f}"
            print(
                f"{name:32} {known['value']:8.2f}{spread} {known['unit']}, n={known['n']}, "
                f"{len(known['seeds'])} seeds, {known['code']}, {known['made_by']}"
            )


def _measure_all(keys: list[str], seeds: int | None) -> None:
    """Run the experiments of some keys, each written when it is done, and say what is left."""
    from wiseft_lite.book import experiments
    from wiseft_lite.book import ledger as book

    before, code = book.read(), book.code_version()
    if "all" in keys:
        names = [n for n in experiments.SEEDS if not experiments.is_current(n, before, code)]
    else:
        names = list(dict.fromkeys(experiments.experiment(key) for key in keys))
    for k, name in enumerate(names):
        last = [before.get(f"{n}.minutes") for n in names[k:]]
        known = sum(entry["value"] for entry in last if entry is not None)
        others = sum(entry is None for entry in last)
        print(
            f"{name} ({k + 1} of {len(names)}); by the last run about {known:.0f} minutes left"
            + (f" and {others} experiments whose time is unknown" if others else ""),
            flush=True,
        )
        _measure(name, seeds or experiments.SEEDS[name])


def _measure(name: str, seeds: int) -> None:
    """Run an experiment and write its numbers, with the rules that were in force before the run."""
    from wiseft_lite.book import experiments
    from wiseft_lite.book import ledger as book
    from wiseft_lite.book.claims import CLAIMS, PUBLIC, history

    rules, started = history.in_force((*CLAIMS, *PUBLIC), name), time.monotonic()
    record = experiments.run(name, range(seeds))
    record.number(f"{name}.minutes", (time.monotonic() - started) / 60, "minutes", None)
    book.write(record)
    history.stamp(name, rules)
    print(f"{name}: {len(record.numbers)} numbers measured and written to {book.LEDGER}")
