"""Run the experiments behind the book's numbers: ``wiseft-lite ledger ch06 --run``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from wiseft_lite.book.ledger import Record
from wiseft_lite.errors import unknown

NAMES = (
    "data",
    "ch01",
    "ch02",
    "ch03",
    "ch04",
    "ch05",
    "ch06",
    "ch07",
    "ch08",
    "ch09",
    "ch10",
    "ch11",
    "ch13",
    "ch14",
    "ch15",
    "atlas",
    "bench",
)


def run(key: str, seeds: Sequence[int]) -> Record:
    """Run the experiment that a ledger key belongs to and return what it measured.

    Args:
        key: an experiment such as ``"ch06"``, or one of its keys such as ``"ch06.emoji.change"``.
        seeds: of the training runs; experiments that train nothing ignore them.

    Raises:
        UserError: no such experiment.
    """
    name = key.partition(".")[0]
    if name not in NAMES:
        raise unknown("experiment", name, NAMES)
    record = Record(f"wiseft-lite ledger {name} --run --seeds {len(seeds)}")
    import_module(f"{__name__}.{name}").run(record, list(seeds))
    return record
