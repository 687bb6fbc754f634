"""Run the experiments behind the book's numbers: ``wiseft-lite ledger ch06 --run``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

from wiseft_lite.book.ledger import Record
from wiseft_lite.errors import unknown

# How many seeds, in an order in which each experiment comes after those whose tables it reads. What
# chapters 6 to 10 and 15 compare, they compare seed by seed, with runs of chapters 4 and 5 too.
SEEDS = {
    "data": 1,
    "ch01": 5,
    "ch02": 5,
    "ch03": 5,
    "ch04": 10,
    "ch05": 10,
    "ch06": 10,
    "ch07": 10,
    "ch08": 10,
    "ch09": 10,
    "ch10": 10,
    "ch11": 5,
    "ch13": 5,
    "ch14": 5,
    "ch15": 10,
    "atlas": 1,
    "playground": 1,
    "bench": 3,  # repeats
    "command": 3,
}


def run(key: str, seeds: Sequence[int]) -> Record:
    """Run the experiment that a ledger key belongs to and return what it measured.

    Args:
        key: an experiment such as ``"ch06"``, or one of its keys such as ``"ch06.emoji.change"``.
        seeds: of the training runs; experiments that train nothing ignore them.

    Raises:
        UserError: no such experiment.
    """
    name = experiment(key)
    record = Record(made_by(name, len(seeds)))
    import_module(f"{__name__}.{name}").run(record, list(seeds))
    return record


def experiment(key: str) -> str:
    """Return the name of the experiment that a ledger key belongs to.

    Raises:
        UserError: no such experiment.
    """
    name = key.partition(".")[0]
    if name not in SEEDS:
        raise unknown("experiment", name, SEEDS)
    return name


def made_by(name: str, seeds: int) -> str:
    """Return the command that runs an experiment."""
    return f"wiseft-lite ledger {name} --run --seeds {seeds}"


def is_current(name: str, entries: Mapping[str, dict], code: str) -> bool:
    """Whether the ledger's entries of an experiment are of this code version and all its seeds."""
    own = [entry for key, entry in entries.items() if key.partition(".")[0] == name]
    return bool(own) and all(
        entry["code"] == code and entry["made_by"] == made_by(name, SEEDS[name]) for entry in own
    )
