"""Measure seconds and bytes for the benchmarks and record them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch

from wiseft_lite.book.ledger import Record

Seconds = dict[str, list[float]]


def in_turns(
    jobs: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Seconds:
    """Time each job in each repeat, in turns (A B C, B C A, ...) against drift of the machine."""
    seconds: Seconds = {name: [] for name in jobs}
    names = list(jobs)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = clock()
            jobs[name]()
            seconds[name].append(clock() - started)
    return seconds


def children() -> float:
    """Return processor seconds of this process's finished child processes.

    Other load on the machine hardly affects them.
    """
    import resource  # not on Windows

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ratio(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return one ratio for each repeat."""
    return [a / b for a, b in zip(over, under, strict=True)]


def peak_bytes(job: Callable[[], object]) -> int:
    """Return the peak memory of a job's tensors, beyond what was allocated before it."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        job()
    events = [
        event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def imports(repeats: int) -> Seconds:
    """Time the import of the library, and of torch, in a new process."""
    seconds: Seconds = {"wiseft_lite": [], "torch": []}
    for _ in range(repeats):
        for name in seconds:
            code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
            seconds[name].append(
                float(
                    subprocess.run(
                        [sys.executable, "-c", code], capture_output=True, text=True, check=True
                    ).stdout
                )
            )
    return seconds


def add(
    record: Record,
    key: str,
    values: Sequence[float],
    unit: str,
    n: int | None = None,
    experiment: str = "bench",
) -> None:
    """Record median, minimum (``.min``) and maximum (``.max``) over repeats."""
    for end, value in (
        ("", statistics.median(values)),
        (".min", min(values)),
        (".max", max(values)),
    ):
        record.number(f"{experiment}.{key}{end}", value, unit, n)


def as_table(record: Record) -> pd.DataFrame:
    """Return one row for each thing measured: ``what, unit, min, median, max``."""
    numbers = {key.removeprefix("bench."): entry for key, entry in record.numbers.items()}
    return pd.DataFrame(
        [
            {
                "what": key,
                "unit": entry["unit"],
                "min": numbers.get(f"{key}.min", entry)["value"],
                "median": entry["value"],
                "max": numbers.get(f"{key}.max", entry)["value"],
            }
            for key, entry in numbers.items()
            if not key.endswith((".min", ".max"))
        ]
    )
