"""Time each procedure against the one that it replaces and against its lower bound."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite._runtime.cache import cache_folder
from wiseft_lite.book.experiments.clocks import (
    Seconds,
    add,
    as_table,
    imports,
    in_turns,
    peak_bytes,
    ratio,
)
from wiseft_lite.book.experiments.rivals import (
    as_files,
    bare_loop,
    lbfgs_probe,
    per_alpha,
    recomputed,
)
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import encode, pixels
from wiseft_lite.losses import cross_entropy
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.probes import fit_lbfgs
from wiseft_lite.sweeps import sweep
from wiseft_lite.tasks import Split, load_task
from wiseft_lite.training import (
    PROBE,
    Compute,
    Recipe,
    finetune,
    fit,
    linear_probe,
    training_images,
)
from wiseft_lite.zeroshot import zero_shot_classifier

GRID = tuple(k / 20 for k in range(21))
BATCH = 256
MICRO_BATCH = 16
WORKERS = (0, 2)  # processes that decode for the per-alpha procedure; it gets the faster
# Of the probes by L-BFGS. With a penalty the loss has a minimum; of the powers of ten, this one is
# the best on ``val``.
PENALTY, TOLERANCE = 1e-5, 1e-5


@torch.inference_mode()
def one_pass(classifier: ImageClassifier, images: Mapping[str, Tensor]) -> None:
    """Run one forward pass over preprocessed images."""
    for inputs in images.values():
        for batch in inputs.split(BATCH):
            classifier(batch)


def curves(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    probe: ImageClassifier,
    splits: Mapping[str, Split],
    alphas: Sequence[float],
    repeats: int,
    folder: Path,
) -> tuple[Seconds, dict[str, pd.DataFrame]]:
    """Time each procedure on whole curves from image files, and the two parts of the lower bound.

    Returns:
        Seconds by procedure, and the curves.
    """
    images = {name: pixels(zero_shot, split) for name, split in splits.items()}
    one_pass(zero_shot, images)  # warms up
    rival = partial(per_alpha, zero_shot, fine_tuned, splits, folder=folder)
    tried = in_turns(
        {str(workers): partial(rival, alphas=[0.5], workers=workers) for workers in WORKERS}, 1
    )
    workers = int(min(tried, key=tried.get))
    sweep(zero_shot, probe, splits, alphas)  # encodes once
    tables: dict[str, pd.DataFrame] = {}

    def ours(name: str, model: ImageClassifier, passes: int | str | None = None) -> None:
        tables[name] = sweep(zero_shot, model, splits, alphas, batch_size=BATCH, passes=passes)

    return in_turns(
        {
            "per_alpha": partial(rival, alphas=alphas, workers=workers),
            "exact": partial(ours, "exact", fine_tuned),
            "five": partial(ours, "five", fine_tuned, 5),
            "adaptive": partial(ours, "adaptive", fine_tuned, "adaptive"),
            "frozen": partial(ours, "frozen", probe),
            "decode": lambda: [pixels(zero_shot, split) for split in splits.values()],
            "pass": partial(one_pass, zero_shot, images),
        },
        repeats,
    ), tables


def error(exact: pd.DataFrame, few: pd.DataFrame) -> tuple[float, float]:
    """Return the largest accuracy error of a sweep with fewer passes, in points and in images."""
    wrong = (few["accuracy"] - exact["accuracy"]).abs()
    return 100 * wrong.max(), round((wrong * exact["n"]).max())


def mean_passes(adaptive: pd.DataFrame) -> float:
    """Return the mean number of passes per image over all splits of an adaptive sweep."""
    splits = adaptive.groupby("split")[["passes", "n"]].first()
    return float((splits["passes"] * splits["n"]).sum() / splits["n"].sum())


def features(zero_shot: ImageClassifier, splits: Mapping[str, Split], repeats: int) -> Seconds:
    """Time encoding all splits from image files, with an empty cache and again from the cache."""

    def encode_all() -> None:
        for split in splits.values():
            encode(zero_shot, split)

    def fresh() -> None:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        encode_all()

    fresh()
    return in_turns({"fresh": fresh, "cached": encode_all}, repeats)


def loops(zero_shot: ImageClassifier, task, repeats: int) -> Seconds:
    """Time an epoch of ``finetune`` and of the bare loop, decoding included in both."""
    recipe = Recipe(epochs=1)

    def bare() -> None:
        images = training_images(zero_shot, task.train, recipe)
        bare_loop(zero_shot, images, task.train.labels, recipe)

    bare()  # warms up
    return in_turns({"finetune": partial(finetune, zero_shot, task, recipe), "bare": bare}, repeats)


def ways_to_train(zero_shot: ImageClassifier, task, repeats: int) -> Seconds:
    """Time an epoch of ``finetune`` in micro-batches, with workers, in 16 bits and in parallel."""
    recipe = Recipe(epochs=1)
    epoch = partial(finetune, zero_shot, task, recipe)
    jobs = {
        "whole": epoch,
        "accumulated": partial(epoch, compute=Compute(micro_batch_size=MICRO_BATCH)),
        "recomputed": partial(epoch, objective=recomputed(cross_entropy, MICRO_BATCH)),
        "bfloat16": partial(epoch, compute=Compute(precision="bfloat16")),
    }
    jobs |= {
        f"workers_{workers}": partial(epoch, compute=Compute(workers=workers)) for workers in (1, 2)
    }
    epoch()  # warms up
    seconds = in_turns(jobs, repeats)
    for processes in (1, 2):
        seconds[f"processes_{processes}"] = [launched(processes) for _ in range(repeats)]
    return seconds


def launched(processes: int) -> float:
    """Return the seconds of an epoch that processes with one thread each divide among them."""
    module = "wiseft_lite.book.experiments.one_epoch"
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, "-m", *launcher, "-m", module]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def probes(zero_shot: ImageClassifier, task, repeats: int) -> Seconds:
    """Time our probe, and scikit-learn's solver until its training loss is at most ours."""
    inputs, labels = (x.clone() for x in encode(zero_shot, task.train))
    ours = lambda: fit(copy.deepcopy(zero_shot.head), inputs, labels, PROBE)  # noqa: E731

    def loss(head: Head) -> float:
        with torch.no_grad():
            return cross_entropy(head, inputs, labels).item()

    goal, iterations = loss(ours()), 1
    while loss(lbfgs_probe(zero_shot.head, inputs, labels, iterations)) > goal:
        iterations += 1 + iterations // 4
    return in_turns(
        {"ours": ours, "scikit": partial(lbfgs_probe, zero_shot.head, inputs, labels, iterations)},
        repeats,
    )


def with_penalty(head: Head, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return scikit-learn's objective, ``CE + PENALTY * |W|^2``, which leaves the bias free."""
    return cross_entropy(head, inputs, labels) + PENALTY * head.weight.square().sum()


def minima(zero_shot: ImageClassifier, task, repeats: int) -> tuple[Seconds, dict[str, float]]:
    """Time our L-BFGS and scikit-learn's from one start to the same gradient of the same loss.

    Returns:
        Seconds, and the loss that each reaches.
    """
    inputs, labels = (x.clone() for x in encode(zero_shot, task.train))
    start = zero_shot.head

    def ours() -> Head:
        head = copy.deepcopy(start)
        return fit_lbfgs(head, inputs, labels, objective=with_penalty, tolerance=TOLERANCE)

    def scikit() -> Head:
        return lbfgs_probe(start, inputs, labels, 1000, tolerance=TOLERANCE, penalty=PENALTY)

    jobs = {"ours": ours, "scikit": scikit}
    losses = {  # in float64, as scikit-learn computes in the features' float32; warms up
        name: with_penalty(job().double(), inputs.double(), labels).item()
        for name, job in jobs.items()
    }
    return in_turns(jobs, repeats), losses


def memory(
    zero_shot: ImageClassifier, fine_tuned: ImageClassifier, split: Split, folder: Path
) -> dict[str, float]:
    """Return the peak memory of each procedure on 16 images, both ends included, in model sizes."""
    few = {"few": split.select(range(16))}
    model = sum(tensor.nbytes for tensor in zero_shot.state_dict().values())
    jobs = {
        "per_alpha": partial(per_alpha, zero_shot, fine_tuned, few, GRID[::10], folder),
        "exact": partial(sweep, zero_shot, fine_tuned, few, GRID),
        "five": partial(sweep, zero_shot, fine_tuned, few, GRID, passes=5),
        "adaptive": partial(sweep, zero_shot, fine_tuned, few, GRID, passes="adaptive"),
    }
    return {name: 2 + peak_bytes(job) / model for name, job in jobs.items()}


def scaling(zero_shot: ImageClassifier, fine_tuned: ImageClassifier, split: Split) -> pd.DataFrame:
    """Time an exact sweep of one split as the number of images, alphas or models grows."""
    rows = []
    for axis, sizes in (
        ("images", (len(split) // 4, len(split) // 2, len(split))),
        ("alphas", (3, 6, 11, 21)),
        ("models", (1, 2, 4)),
    ):
        for size in sizes:
            images = split.select(range(size)) if axis == "images" else split
            alphas = [k / (size - 1) for k in range(size)] if axis == "alphas" else [0.0, 0.5, 1.0]
            models = {str(k): fine_tuned for k in range(size if axis == "models" else 1)}
            started = time.perf_counter()
            sweep(zero_shot, models, {"split": images}, alphas)
            rows.append({"axis": axis, "size": size, "seconds": time.perf_counter() - started})
    return pd.DataFrame(rows)


def run(record: Record, seeds: list[int]) -> None:
    """Measure everything, once for each seed; training three times as often."""
    task, repeats = load_task("iconshift"), len(seeds)
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    fine_tuned, probe = trained(zero_shot, task), linear_probe(zero_shot, task)
    n = sum(len(split) for split in task.evaluation.values())
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, WISEFT_CACHE=f"{folder}/cache"),
    ):
        folder = Path(folder)
        splits = {
            name: as_files(split, folder / "images" / name)
            for name, split in task.evaluation.items()
        }
        wide, tables = curves(
            zero_shot, fine_tuned, probe, splits, GRID, repeats, folder / "models"
        )
        errors = {name: error(tables["exact"], tables[name]) for name in ("five", "adaptive")}
        passes = {"exact": len(GRID), "five": 5, "adaptive": mean_passes(tables["adaptive"])}
        kept = features(zero_shot, splits, repeats)
        held = memory(zero_shot, fine_tuned, splits["test"], folder / "models")
        grows = record.tables["bench_scaling"] = scaling(zero_shot, fine_tuned, splits["test"])
        training = loops(
            zero_shot, replace(task, train=as_files(task.train, folder / "train")), 3 * repeats
        )
        ways = ways_to_train(zero_shot, task, repeats)
        heads = probes(zero_shot, task, repeats)
        lowest, losses = minima(zero_shot, task, 5 * repeats)
    starts = imports(repeats)
    floor = {
        name: [d + k * p for d, p in zip(wide["decode"], wide["pass"], strict=True)]
        for name, k in passes.items()
    }
    floor["per_alpha"] = [
        len(GRID) * (d + p) for d, p in zip(wide["decode"], wide["pass"], strict=True)
    ]
    for name, values in {**wide, **{f"floor.{k}": v for k, v in floor.items()}}.items():
        add(record, f"seconds.{name}", values, "seconds", n)
    for group, measured in (
        ("features", kept),
        ("training", training),
        ("ways", ways),
        ("probe", heads),
        ("lbfgs", lowest),
        ("import", starts),
    ):
        for name, values in measured.items():
            add(record, f"seconds.{group}.{name}", values, "seconds")
    for name, over, under in (
        ("per_alpha_over_five", wide["per_alpha"], wide["five"]),
        ("per_alpha_over_adaptive", wide["per_alpha"], wide["adaptive"]),
        ("per_alpha_over_exact", wide["per_alpha"], wide["exact"]),
        ("exact_over_five", wide["exact"], wide["five"]),
        ("exact_over_adaptive", wide["exact"], wide["adaptive"]),
        ("exact_over_frozen", wide["exact"], wide["frozen"]),
        ("fresh_over_cached", kept["fresh"], kept["cached"]),
        ("bare_over_finetune", training["bare"], training["finetune"]),
        ("recomputed_over_accumulated", ways["recomputed"], ways["accumulated"]),
        ("whole_over_bfloat16", ways["whole"], ways["bfloat16"]),
        *((f"whole_over_workers_{k}", ways["whole"], ways[f"workers_{k}"]) for k in (1, 2)),
        ("one_process_over_two", ways["processes_1"], ways["processes_2"]),
        ("scikit_over_ours", heads["scikit"], heads["ours"]),
        ("scikit_over_lbfgs", lowest["scikit"], lowest["ours"]),
        *((f"{name}_over_floor", wide[name], floor[name]) for name in floor),
    ):
        add(record, name, ratio(over, under), "times", n if over in wide.values() else None)
    for name, value in held.items():
        record.number(f"bench.memory.{name}", value, "models", None)
    for name, value in losses.items():
        record.number(f"bench.loss.lbfgs.{name}", value, "nats", None)
    for row in grows.itertuples():
        record.number(f"bench.scaling.{row.axis}.{row.size}", row.seconds, "seconds", None)
    for name, value, unit in (
        ("error.points", errors["five"][0], "points"),
        ("error.images", errors["five"][1], "images"),
        ("error.adaptive.points", errors["adaptive"][0], "points"),
        ("error.adaptive.images", errors["adaptive"][1], "images"),
        ("passes.adaptive", passes["adaptive"], "passes"),
        ("images", n, "images"),
        ("repeats", repeats, "repeats"),
        ("threads", torch.get_num_threads(), "threads"),
    ):
        record.number(f"bench.{name}", value, unit, None)
    table = record.tables["bench"] = as_table(record)
    print(table.to_string(index=False, float_format="%.3f"))
