"""Chapter 2: accuracy under shift, and the baseline of models that saw the reference only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from wiseft_lite.analysis.baselines import KINDS, SCRATCH, nearest_neighbour, scratch_classifier
from wiseft_lite.analysis.robustness import Baseline, effective_robustness, fit_baseline
from wiseft_lite.book.experiments.common import mean_of_shifts, n_shifts, percents
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import pixels
from wiseft_lite.metrics import accuracy
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import Recipe
from wiseft_lite.zeroshot import zero_shot_classifier

SHOTS = (4, 8, 1000)  # images per class; the last is all there are


def recipe_for(shots: int, seed: int) -> Recipe:
    """Return a recipe with more epochs for fewer images."""
    return replace(SCRATCH, epochs={4: 50, 8: 40}.get(shots, SCRATCH.epochs), seed=seed)


def neighbours(task: Task, zero_shot: ImageClassifier) -> pd.Series:
    """Return the accuracy of the nearest training image's class on each split, in percent."""
    train = pixels(zero_shot, task.train)
    scores = {}
    for name, split in task.evaluation.items():
        logits = nearest_neighbour(
            train, task.train.labels, pixels(zero_shot, split), len(task.class_names)
        )
        scores[name] = 100 * accuracy(logits, split.labels, split.classes).accuracy
    return pd.Series(scores)


def baselines(
    task: Task, zero_shot: ImageClassifier, seed: int, shots: tuple[int, ...] = SHOTS
) -> pd.DataFrame:
    """Train models on the reference only: a row each, with accuracy in percent by split."""
    rows = []
    for k in shots:
        few = task.few_shot(k, seed)
        rows.append({"kind": "neighbour", "shots": k, "seed": seed, **neighbours(few, zero_shot)})
        for kind in KINDS:
            start = scratch_classifier(kind, task, zero_shot.preprocess, seed)
            model = trained(start, few, recipe_for(k, seed))
            rows.append(
                {"kind": kind, "shots": k, "seed": seed, **percents(model, task.evaluation)}
            )
    return pd.DataFrame(rows)


# Which models define the baseline is a choice: each fit keeps the rows with these values.
FITS: dict[str, dict[str, list]] = {
    "all": {},
    "networks": {"kind": [*KINDS]},
    "neighbours": {"kind": ["neighbour"]},
    "all_images": {"shots": [SHOTS[-1]]},
}


def members(table: pd.DataFrame, fit: str = "all") -> pd.DataFrame:
    """Return the models of one of the ``FITS``, each once: some do not depend on the seed."""
    for column, values in FITS[fit].items():
        table = table[table[column].isin(values)]
    return table.drop_duplicates(subset=[column for column in table if column != "seed"])


def line(table: pd.DataFrame, column: str, fit: str = "all") -> Baseline:
    """Fit the baseline through the models of one of the ``FITS``, for a shift or their mean.

    Args:
        table: rows of ``baselines``, with a column ``shifts`` for the mean.
        column: a shift, or ``"shifts"``.
        fit: a key of ``FITS``.
    """
    chosen = members(table, fit)
    return fit_baseline((chosen["test"] / 100).tolist(), (chosen[column] / 100).tolist())


def robustness_numbers(
    record: Record, table: pd.DataFrame, scores: pd.Series, n: Mapping[str, int], seeds: list[int]
) -> None:
    """Record the effective robustness of zero-shot under each fit.

    The fit through all models keeps the short names, ``ch02.emoji.rho``; the others have the fit's
    name in them, ``ch02.emoji.networks.rho``.
    """
    for fit in FITS:
        part = "" if fit == "all" else f"{fit}."
        reach = [members(table[table["seed"] == seed], fit)["test"].max() for seed in seeds]
        record.number(f"ch02.reach.{fit}", reach, "percent", n["test"], seeds, SCRATCH)
        for column in n:
            if column == "test":
                continue
            lines = [line(table[table["seed"] == seed], column, fit) for seed in seeds]
            predicted = [100 * baseline(scores["test"] / 100) for baseline in lines]
            rho = [
                100 * effective_robustness(scores["test"] / 100, scores[column] / 100, b)
                for b in lines
            ]
            key = f"ch02.{column}.{part}"
            record.number(f"{key}promised", predicted, "percent", n[column], seeds, SCRATCH)
            record.number(f"{key}rho", rho, "points", n[column], seeds, SCRATCH)
            record.number(
                f"{key}slope",
                [b.slope for b in lines],
                "slope in logit space",
                None,
                seeds,
                SCRATCH,
            )


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
            record.number(
                f"{name}.{column}",
                rows[column].tolist(),
                "percent",
                n[column],
                seeds,
                recipe_for(shots, 0),
            )
    scores = percents(zero_shot, task.evaluation)
    scores["shifts"] = mean_of_shifts(scores, task)
    robustness_numbers(record, table, scores, n, seeds)
