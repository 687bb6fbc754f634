"""Chapter 15: the line and its descendants, all from the same start and with the same runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from wiseft_lite.book import ledger
from wiseft_lite.book.experiments.ch05 import one_standard_error
from wiseft_lite.book.experiments.ch06 import wide
from wiseft_lite.book.experiments.ch10 import gaps
from wiseft_lite.book.experiments.ch13 import COLUMNS, Evaluator
from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.experiments.family import HALF, LINE, TWO, Sheet, by_outputs, by_weights
from wiseft_lite.book.experiments.relatives import (
    RELATIVES,
    Relative,
    cost,
    search,
    spread_of_a_run,
)
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.weights import interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

# Of the second run, where two are merged: chapter 5 has it for all seeds, alike on val.
SECOND = Recipe(lr=5e-4)


@dataclass(frozen=True)
class Method:
    """Describe a row of the table.

    Args:
        name: as the chapter calls it.
        runs: fine-tuning runs that it needs.
        passes: forward passes per image in use.
        chooses: what was chosen for it, and on what, except the learning rate of its runs.
        sees: other data that it uses.
    """

    name: str
    runs: int
    passes: int
    chooses: str = "1 of 5 on val"
    sees: str = ""


METHODS = (
    Method(HALF, 1, 1, "nothing"),
    Method(LINE, 1, 1),
    Method("LiNeS", 1, 1),
    Method("layer-wise", 1, 1, "82 weights learned on val"),
    Method("Fisher", 1, 1, sees="256 images of val, no labels"),
    Method("DARE", 1, 1),
    Method("PAINT", 1, 1, "1 of 5, learning rate 1 of 3, on val"),
    Method("LoRA", 1, 1, "1 of 5, learning rate 1 of 3, on val"),
    Method("FLYP", 1, 1, "1 of 5, learning rate 1 of 3, on val"),
    Method("FLYP, multiple positives", 1, 1, "1 of 5, learning rate 1 of 3, on val"),
    Method(TWO, 2, 1),
    Method("TIES", 2, 1),
    Method("Model Stock", 2, 1, "nothing"),
    Method("outputs", 1, 2),
    Method("calibrated outputs", 1, 2, "2 temperatures on val"),
    Method("DaWin, outputs", 1, 2, "2 temperatures on val", "the image itself"),
    Method("DaWin, weights", 1, 3, "2 temperatures on val", "the image itself"),
    Method("VRF", 1, 2, "1 of 5 and 2 temperatures on val", "training images, labels"),
)


def family(
    evaluator: Evaluator, zero_shot: ImageClassifier, task: Task, seed: int, other: int
) -> Sheet:
    """Measure all methods that use one plain run, or two, the second of another seed."""
    first = trained(zero_shot, task, Recipe(seed=seed))
    second = trained(zero_shot, task, replace(SECOND, seed=other))
    sheet = Sheet(evaluator)
    by_weights(sheet, zero_shot, first, second)
    by_outputs(sheet, zero_shot, first)
    return sheet


def relatives(
    evaluator: Evaluator,
    zero_shot: ImageClassifier,
    task: Task,
    learning_rates: Mapping[str, float],
    seed: int,
) -> Sheet:
    """Measure the methods that need runs of their own: the end of the run, and its line."""
    sheet, theta_0 = Sheet(evaluator), zero_shot.state_dict()
    for kind, lr in learning_rates.items():
        theta_1 = RELATIVES[kind].tuned(zero_shot, task, lr, seed).state_dict()
        sheet.merge(kind, lambda a, theta_1=theta_1: interpolate(theta_0, theta_1, a))
        sheet.merge(f"{kind}, fine-tuned", lambda _, theta_1=theta_1: theta_1, [1.0])
    return sheet


def label(name: str) -> str:
    """Return a method's name as part of a ledger key."""
    return name.replace(",", "").replace(" ", "_")


def key(method: str) -> str:
    """Return the ledger key of a method."""
    return f"ch15.{label(method)}"


def images(task: Task) -> dict[str, int]:
    """Return the number of images of each column."""
    return {
        "val": len(task.val),
        "test": len(task.test),
        "shifts": n_shifts(task),
        "emoji": len(task.shifts["emoji"]),
    }


def with_gaps(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Add each method's gap to chapter 6's lines, in points, as in chapter 10."""
    curves = ledger.table("ch06_curves").query("kind == 'end-to-end'")
    line = {seed: wide(curves[curves["seed"] == seed], task) for seed in table["seed"].unique()}
    table = table.copy()
    for _, part in table.groupby("method"):
        table.loc[part.index, "gap"] = gaps(part, line)
    return table


def numbers(record: Record, table: pd.DataFrame, task: Task) -> None:
    """Record each method's numbers and its differences to others, seed by seed."""
    n = images(task)
    by_method = {name: part.set_index("seed") for name, part in table.groupby("method", sort=False)}
    for name, part in by_method.items():
        ran = part.index.tolist()
        for column, count in n.items():
            record.number(f"{key(name)}.{column}", part[column].tolist(), "percent", count, ran)
            for other, against in ((LINE, "line"), (HALF, "half"), (TWO, "two_runs")):
                over = part[column] - by_method[other].loc[ran, column]
                record.number(
                    f"{key(name)}.{column}.over_{against}", over.tolist(), "points", count, ran
                )
        record.number(f"{key(name)}.gap", part["gap"].tolist(), "points", n["shifts"], ran)
        record.number(
            f"{key(name)}.seconds", part["seconds"].tolist(), "seconds on one core", None, ran
        )


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    evaluator = Evaluator(zero_shot, task)
    n, rows, choices = images(task), [], []

    def add(sheet: Sheet, seed: int) -> None:
        rows.append(pd.DataFrame(sheet.rows).assign(seed=seed))
        choices.append(pd.DataFrame(sheet.choices).assign(seed=seed))
        print(rows[-1][["method", "setting", "seconds", *COLUMNS]].round(1).to_string(), flush=True)

    for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
        add(family(evaluator, zero_shot, task, seed, other), seed)
    found = record.tables["ch15_rates"] = search(zero_shot, task)
    error = spread_of_a_run(ledger.table("ch05_search"))
    learning_rates = {
        kind: one_standard_error(part, error) for kind, part in found.groupby("kind", sort=False)
    }
    for seed in seeds:
        add(relatives(evaluator, zero_shot, task, learning_rates, seed), seed)
    table = with_gaps(pd.concat(rows, ignore_index=True), task)
    record.tables |= {"ch15_family": table, "ch15_choices": pd.concat(choices, ignore_index=True)}
    numbers(record, table, task)
    record.number("ch15.spread_of_a_run", error, "points", n["val"])
    for kind, lr in learning_rates.items():
        record.number(f"ch15.rate.{label(kind)}", lr, "learning rate", n["val"])
    for row in found.itertuples():
        record.number(
            f"ch15.search.{label(row.kind)}.{row.lr:g}",
            row.val,
            "percent",
            n["val"],
            recipe=replace(RELATIVES[row.kind].recipe, lr=row.lr),
        )
    plain = [cost(Relative(lambda start: start, finetune, ()), zero_shot, task) for _ in seeds]
    for kind, relative in RELATIVES.items():
        times = [cost(relative, zero_shot, task) / seconds for seconds in plain]
        record.number(f"ch15.cost.{label(kind)}", times, "times a plain run", None, seeds)
