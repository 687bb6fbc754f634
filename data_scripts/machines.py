"""Run notebooks and numerical tests under conditions that imitate other machines.

``make test-machines`` runs a few combinations, in which every condition occurs once; ``FULL=1``
runs all. An assert that passes here but fails on another processor is too strict. What is varied:

- kernels: torch's own (``ATEN_CPU_CAPABILITY``) and oneDNN's (``ONEDNN_MAX_CPU_ISA``) round in a
  different order on each generation of processors, and training amplifies last bits. MKL's oldest
  kernels (``MKL_CBWR``) more than double the time, so only ``FULL=1`` uses them;
- threads: a sum in two parts is rounded differently than in one;
- seed: notebooks train with other seeds (``WISEFT_SEED_OFFSET``, see
  ``other_seed/sitecustomize.py``); tests keep their seeds, which their tiny models depend on;
- cache: empty, or with the models of another machine;
- load: processes that keep every core busy.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import build_book

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
OLD_MKL = {"MKL_CBWR": "COMPATIBLE"}
OTHER_SEED = {"WISEFT_SEED_OFFSET": "1000"}
TESTS = ("tests/unit", "tests/book")


@dataclass(frozen=True)
class Condition:
    """The settings that imitate one machine.

    Args:
        name: in the table.
        cache: name of its folder of trained models; conditions with the same name use the same.
        settings: environment variables.
        notebooks: glob pattern of the notebooks to run.
        tests: pytest's arguments; empty to run no tests.
        busy: keep every core busy with other work.
    """

    name: str
    cache: str
    settings: Mapping[str, str] = field(default_factory=dict)
    notebooks: str = "*.ipynb"
    tests: Sequence[str] = TESTS
    busy: bool = False

    @property
    def at_once(self) -> int:
        """Notebooks or tests that run at the same time: two threads in all, or they would wait for
        each other, several times as long as they compute."""
        return 2 // int(self.settings["OMP_NUM_THREADS"])


QUICK = (
    Condition("oldest kernels, 1 thread, empty cache", "old", {**OLD, "OMP_NUM_THREADS": "1"}),
    Condition(
        "AVX2 kernels, 2 threads, another seed, empty cache",
        "seed",
        {**AVX2, **OTHER_SEED, "OMP_NUM_THREADS": "2"},
        tests=(),  # they keep their seeds, see above
    ),
    Condition(
        "own kernels, 2 threads, warm cache of the oldest, busy cores",
        "old",
        {"OMP_NUM_THREADS": "2"},
        notebooks="0[046]*.ipynb",
        tests=(
            "tests/unit/test_coursework.py",
            "tests/unit/test_faults.py",
            "tests/unit/test_fast.py",
            "tests/unit/test_distributed.py",
        ),
        busy=True,
    ),
)


def full() -> Iterator[Condition]:
    """Yield all combinations of kernels, threads and seed, then warm caches and busy cores."""
    kernels = {"oldest": OLD, "AVX2": AVX2, "own": {}}
    for (name, settings), threads, seed in product(kernels.items(), (1, 2), ({}, OTHER_SEED)):
        words = f"{name} kernels, {threads} thread{'s' * (threads > 1)}{', another seed' * bool(seed)}, empty cache"
        yield Condition(words, words, {**settings, **seed, "OMP_NUM_THREADS": str(threads)})
    for one, settings in kernels.items():
        first = Condition(
            "", "oldest kernels, 1 thread, empty cache", {**settings, "OMP_NUM_THREADS": "1"}
        )
        yield replace(first, name=f"{one} kernels, 1 thread, warm cache of the oldest", tests=())
    yield Condition(
        "MKL's oldest kernels too, 1 thread, empty cache",
        "mkl",
        {**OLD, **OLD_MKL, "OMP_NUM_THREADS": "1"},
    )
    yield Condition(
        "own kernels, 2 threads, empty cache, busy cores",
        "busy",
        {"OMP_NUM_THREADS": "2"},
        busy=True,
    )


def known(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that apply to this processor: the kernels are those of x86."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        return dict(settings)
    return {name: value for name, value in settings.items() if name not in {**OLD, **OLD_MKL}}


@contextmanager
def busy(yes: bool) -> Iterator[None]:
    """Keep every core busy in the meantime."""
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(os.cpu_count() or 2)] if yes else []
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def environment(condition: Condition, cache: Path) -> dict[str, str]:
    """Return the environment of a condition, with its settings and the folder that shifts seeds."""
    path = os.pathsep.join(
        filter(None, (str(HERE / "other_seed"), str(ROOT), os.environ.get("PYTHONPATH")))
    )
    return {
        **os.environ,
        **known(condition.settings),
        "WISEFT_CACHE": str(cache),
        "PYTHONPATH": path,
        "OMP_WAIT_POLICY": "PASSIVE",  # a thread that waits leaves its core to others
    }


def run_tests(condition: Condition, report: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Run a condition's tests with their own seeds; return the failures by name."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        str(condition.at_once),
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        *condition.tests,
    ]
    done = subprocess.run(command, cwd=ROOT, env={**settings, "WISEFT_SEED_OFFSET": "0"})
    if done.returncode not in (0, build_book.TESTS_FAILED):
        raise subprocess.CalledProcessError(done.returncode, command)
    return build_book.failures(report)


def attempt(condition: Condition, folder: Path) -> Iterator[tuple[str, list[str], float]]:
    """Run a condition; yield what ran, the names that failed, and the minutes."""
    place = Path(tempfile.mkdtemp(dir=folder))
    settings = environment(condition, folder / "caches" / condition.cache)
    with busy(condition.busy):
        began = time.time()
        shutil.copytree(
            ROOT / "book",
            place / "book",
            ignore=shutil.ignore_patterns("a[0-9].ipynb", "__pycache__"),
        )
        notebooks = sorted((place / "book").glob(condition.notebooks))
        failed = build_book.run_notebooks(
            notebooks, place / "notebooks.xml", condition.at_once, settings
        )
        yield f"{len(notebooks)} notebooks", sorted(failed), (time.time() - began) / 60
        if condition.tests:
            began = time.time()
            failed = run_tests(condition, place / "tests.xml", settings)
            yield "tests", sorted(failed), (time.time() - began) / 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="run every combination (hours)")
    parser.add_argument("--only", default="", help="run conditions with these words in their name")
    options = parser.parse_args()
    conditions = [c for c in (full() if options.full else QUICK) if options.only in c.name]
    rows, all_failed = [], []
    with tempfile.TemporaryDirectory(prefix="machines-") as folder:
        for condition in conditions:
            left_out = sorted(condition.settings.keys() - known(condition.settings).keys())
            if left_out:
                print(
                    f"{platform.machine()} has no {', '.join(left_out)}: left out of '{condition.name}'"
                )
            for what, failed, minutes in attempt(condition, Path(folder)):
                result = f"{len(failed)} FAILED" if failed else "passed"
                rows.append(f"| {condition.name} | {what} | {result} | {minutes:.1f} |")
                all_failed += [f"{name} ({condition.name})" for name in failed]
                print(rows[-1], flush=True)
    print(
        "",
        "| condition | what | result | minutes |",
        "|---|---|---|--:|",
        *rows,
        "",
        *all_failed,
        sep="\n",
    )
    return 1 if all_failed else 0


if __name__ == "__main__":
    sys.exit(main())
