"""Chapter 5: settings that are equal on the reference and differ on the shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from wiseft_lite.book import ledger
from wiseft_lite.book.experiments.common import n_shifts, percent, percents
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.tasks import load_task
from wiseft_lite.training import Recipe
from wiseft_lite.zeroshot import zero_shot_classifier

LEARNING_RATES = (5e-5, 2e-4, 4e-4, 6e-4, 2e-3, 4e-3)  # 6e-4 is the recipe's own
SEARCH = (2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 7e-4)  # from which it was chosen on val
GRID = {
    **{f"lr {lr:g}": Recipe(lr=lr) for lr in LEARNING_RATES},
    **{f"{epochs} epochs": Recipe(epochs=epochs) for epochs in (2, 5)},
    "no crops": Recipe(augment="none"),
}


def row(zero_shot, task, recipe: Recipe) -> dict[str, float]:
    """Fine-tune (or load the run from the cache) and score it in percent on every split."""
    scores = percents(trained(zero_shot, task, recipe), {"val": task.val, **task.evaluation})
    return {**scores, "shifts": scores[list(task.shifts)].mean()}


def one_standard_error(table: pd.DataFrame, error: float | None = None) -> float:
    """Return the largest learning rate within one standard error of the best mean on ``val``.

    Source: Breiman, Friedman, Olshen, Stone 1984, section 3.4.3, who take the simplest tree within
    it.

    Args:
        table: a row for each run, with the columns ``lr`` and ``val``.
        error: of the best mean (default: estimated from its runs, of which it needs two).
    """
    runs = table.groupby("lr")["val"]
    means = runs.mean()
    best = means.idxmax()
    return float(
        means.index[means >= means[best] - (runs.sem()[best] if error is None else error)].max()
    )


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    n = {
        "val": len(task.val),
        "test": len(task.test),
        "shifts": n_shifts(task),
        "emoji": len(task.shifts["emoji"]),
    }
    rows = [
        {
            "setting": name,
            "lr": recipe.lr,
            "epochs": recipe.epochs,
            "augment": recipe.augment,
            "seed": seed,
            **row(zero_shot, task, replace(recipe, seed=seed)),
        }
        for seed in seeds
        for name, recipe in GRID.items()
    ]
    table = record.tables["ch05_grid"] = pd.DataFrame(rows)
    for name, part in table.groupby("setting", sort=False):
        for column, images in n.items():
            record.number(
                f"ch05.{name.replace(' ', '_')}.{column}",
                part[column].tolist(),
                "percent",
                images,
                seeds,
                GRID[name],
            )
    search = record.tables["ch05_search"] = pd.DataFrame(
        [
            {
                "lr": lr,
                "seed": seed,
                "val": percent(trained(zero_shot, task, Recipe(lr=lr, seed=seed)), task.val),
            }
            for lr in SEARCH
            for seed in seeds
        ]
    )
    for lr, part in search.groupby("lr"):
        record.number(
            f"ch05.search.lr_{lr:g}",
            part["val"].tolist(),
            "percent",
            n["val"],
            seeds,
            Recipe(lr=lr),
        )
    record.number("ch05.search.chosen", one_standard_error(search), "learning rate", n["val"])

    varied = table[table["setting"].str.startswith("lr")]
    for column in ("test", "shifts", "emoji"):
        values = [
            np.corrcoef(np.log10(part["lr"]), part[column])[0, 1]
            for _, part in varied.groupby("seed")
        ]
        record.number(
            f"ch05.correlation.{column}",
            values,
            "correlation with log10 of the rate",
            n[column],
            seeds,
        )

    # Early stopping: the epoch that is best on val against the last, from chapter 4's curves.
    curves = ledger.table("ch04_curve")
    for column in ("test", "shifts"):
        gains = []
        for _, curve in curves.groupby("seed"):
            trained_epochs = curve[curve["epoch"] > 0]
            chosen = trained_epochs.loc[trained_epochs["val"].idxmax(), column]
            gains.append(chosen - curve.loc[curve["epoch"].idxmax(), column])
        record.number(
            f"ch05.early_stop.{column}",
            gains,
            "points",
            n[column],
            list(curves["seed"].unique()),
            Recipe(),
        )
