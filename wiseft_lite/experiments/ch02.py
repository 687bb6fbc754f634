"""Chapter 2: accuracy under shift, and the baseline of models that saw the reference only."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from wiseft_lite.baselines import KINDS, SCRATCH, nearest_neighbour, scratch_classifier
from wiseft_lite.encoders import load_clip
from wiseft_lite.experiments.common import mean_of_shifts, n_shifts, percents
from wiseft_lite.features import pixels
from wiseft_lite.ledger import Record
from wiseft_lite.metrics import accuracy
from wiseft_lite.models import ImageClassifier
from wiseft_lite.robustness import effective_robustness, fit_baseline
from wiseft_lite.runs import trained
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import Recipe
from wiseft_lite.zeroshot import zero_shot_classifier

SHOTS = (4, 8, 1000)  # pictures a class; the last is all there are


def recipe_for(shots: int, seed: int) -> Recipe:
    """Longer runs for fewer pictures, so that each model takes about as many steps as it needs."""
    return replace(SCRATCH, epochs={4: 50, 8: 40}.get(shots, SCRATCH.epochs), seed=seed)


def neighbours(task: Task, zero_shot: ImageClassifier) -> pd.Series:
    """Accuracy in percent of the nearest training picture's class, on each split."""
    train = pixels(zero_shot, task.train)
    scores = {}
    for name, split in task.evaluation.items():
        logits = nearest_neighbour(train, task.train.labels, pixels(zero_shot, split), len(task.class_names))
        scores[name] = 100 * accuracy(logits, split.labels, split.classes).accuracy
    return pd.Series(scores)


def baselines(task: Task, zero_shot: ImageClassifier, seed: int, shots: tuple[int, ...] = SHOTS) -> pd.DataFrame:
    """One row for each model trained on the reference only: kind, shots, seed, accuracy in percent by split."""
    rows = []
    for k in shots:
        few = task.few_shot(k, seed)
        rows.append({"kind": "neighbour", "shots": k, "seed": seed, **neighbours(few, zero_shot)})
        for kind in KINDS:
            start = scratch_classifier(kind, task, zero_shot.preprocess, seed)
            model = trained(start, few, recipe_for(k, seed))
            rows.append({"kind": kind, "shots": k, "seed": seed, **percents(model, task.evaluation)})
    return pd.DataFrame(rows)


def line(table: pd.DataFrame, column: str):
    """The baseline through all models of a table, for one shift or the mean of them."""
    return fit_baseline((table["test"] / 100).tolist(), (table[column] / 100).tolist())


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    table = pd.concat([baselines(task, zero_shot, seed) for seed in seeds], ignore_index=True)
    table["shifts"] = table[list(task.shifts)].mean(axis=1)
    record.tables["ch02_baselines"] = table
    n = {**{name: len(split) for name, split in task.evaluation.items()}, "shifts": n_shifts(task)}
    for (kind, shots), rows in table.groupby(["kind", "shots"]):
        name = f"ch02.{kind}.{'all' if shots == SHOTS[-1] else shots}"
        for column in ("test", "shifts"):
            record.number(f"{name}.{column}", rows[column].tolist(), "percent", n[column], seeds, recipe_for(shots, 0))

    scores = percents(zero_shot, task.evaluation)
    scores["shifts"] = mean_of_shifts(scores, task)
    for column in [*task.shifts, "shifts"]:
        fits = [line(table[table["seed"] == seed], column) for seed in seeds]
        rho = [100 * effective_robustness(scores["test"] / 100, scores[column] / 100, fit) for fit in fits]
        promised = [100 * fit(scores["test"] / 100) for fit in fits]
        record.number(f"ch02.{column}.promised", promised, "percent", n[column], seeds, SCRATCH)
        record.number(f"ch02.{column}.rho", rho, "points", n[column], seeds, SCRATCH)
        record.number(f"ch02.{column}.slope", [fit.slope for fit in fits], "slope in logit space", None, seeds, SCRATCH)
