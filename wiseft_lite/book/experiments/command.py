"""Time the whole command at the authors' settings: 11 alphas, four splits, image files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pandas as pd

from wiseft_lite.book.experiments.clocks import Seconds, add, children, in_turns, ratio
from wiseft_lite.book.experiments.rivals import as_files
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.checkpoints import save
from wiseft_lite.encoders import load_clip
from wiseft_lite.results import read_results
from wiseft_lite.sweeps import ALPHAS
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.zeroshot import zero_shot_classifier

SHIFTS = 3  # beside the reference: four splits
LIBRARIES = "import torch, open_clip, pandas"  # what each of them must import


def write_task(task: Task, folder: Path) -> tuple[Path, list[str]]:
    """Write test images as PNG files with a table; return the table's path and the splits."""
    splits = {"test": task.test, **dict(list(task.shifts.items())[:SHIFTS])}
    parts = {"train": task.few_shot(1).train, "val": task.val, **splits}
    rows = []
    for name, split in parts.items():
        files = as_files(split, folder / name).images.paths
        rows += [
            (path, task.class_names[label], name)
            for path, label in zip(files, split.labels.tolist(), strict=True)
        ]
    pd.DataFrame(rows, columns=["path", "class", "split"]).to_csv(folder / "task.csv", index=False)
    return folder / "task.csv", list(splits)


def started(*words: object) -> None:
    """Run Python in a new process on one thread, so that its seconds are those of one core."""
    subprocess.run(
        [sys.executable, *map(str, words)],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def measure(folder: Path, repeats: int) -> tuple[Seconds, int]:
    """Time each command in processor seconds, check equal accuracies, and count the images."""
    table, splits = write_task(load_task("iconshift"), folder)
    task = load_task(str(table))
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    ends = [
        save(zero_shot, folder / "zero-shot"),
        save(trained(zero_shot, task), folder / "fine-tuned"),
    ]
    rival = (
        "-m",
        "wiseft_lite.book.experiments.rivals",
        *ends,
        table,
        ",".join(splits),
        folder / "models",
    )
    ours = (
        "-m",
        "wiseft_lite",
        "sweep",
        *ends,
        "--task",
        table,
        "--splits",
        ",".join(splits),
        "--overwrite",
        "--out",
    )
    seconds = in_turns(
        {
            "per_alpha": partial(started, *rival),
            "exact": partial(started, *ours, folder / "exact.jsonl"),
            "five": partial(started, *ours, folder / "five.jsonl", "--passes", 5),
            "start": partial(started, "-c", LIBRARIES),
        },
        repeats,
        clock=children,
    )
    exact = read_results(folder / "exact.jsonl").set_index(["alpha", "split"])["accuracy"]
    theirs = json.loads((folder / "models" / "accuracies.json").read_text())
    assert theirs == [exact[alpha, split] for alpha in ALPHAS for split in splits]
    return seconds, sum(len(task.split(name)) for name in splits)


def run(record: Record, seeds: list[int]) -> None:
    """Measure, with one repeat for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, n = measure(Path(folder), len(seeds))
    for name, values in seconds.items():
        add(record, f"seconds.{name}", values, "processor seconds", n, "command")
    for name in ("exact", "five"):
        add(
            record,
            f"per_alpha_over_{name}",
            ratio(seconds["per_alpha"], seconds[name]),
            "times",
            n,
            "command",
        )
    for name, value, unit in (("images", n, "images"), ("repeats", len(seeds), "repeats")):
        record.number(f"command.{name}", value, unit, None)
