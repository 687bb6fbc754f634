"""Chapter 7: the alpha that 0.5, validation and an oracle choose, and how random the choice is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from wiseft_lite.book.experiments.ch06 import wide
from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import pixels
from wiseft_lite.models import ImageClassifier
from wiseft_lite.results import best_alpha
from wiseft_lite.sweeps import logits_along, sweep
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import PROBE, Recipe, linear_probe
from wiseft_lite.zeroshot import zero_shot_classifier

ALPHAS = tuple(k / 10 for k in range(-5, 16))
INSIDE = ALPHAS[5:16]  # 0 to 1
RESAMPLES = 1000
SIZES = (20, 50, 100)  # of the smaller validation sets, besides one of full size


def curves(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    task: Task,
    alphas: Sequence[float] = ALPHAS,
    progress: bool = False,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Sweep every split of a task once, and keep which images of ``val`` each alpha gets right.

    Returns:
        The sweep, ``val`` first, and ``right``, bool ``[alphas, images of val]``.
    """
    rows, right = [], []
    for alpha, logits in zip(
        alphas,
        logits_along(zero_shot, fine_tuned, pixels(zero_shot, task.val), alphas),
        strict=True,
    ):
        predicted = task.val.predicted(logits)
        rows.append(
            {
                "alpha": alpha,
                "split": "val",
                **dataclasses.asdict(task.val.score(predicted)),
                "classes": task.val.count_classes(logits.shape[1]),
            }
        )
        right.append((predicted == task.val.labels).numpy())
    others = sweep(zero_shot, fine_tuned, task.evaluation, alphas, progress=progress)
    return pd.concat([pd.DataFrame(rows), others], ignore_index=True), np.stack(right)


def percents_of(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return a sweep in percent, with ``shifts`` and ``both``, the mean of test and shifts."""
    result = wide(table, task)
    return result.assign(both=result[["test", "shifts"]].mean(axis=1))


def inside(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with alpha between 0 and 1, the range of the paper."""
    return table[(table.index >= 0) & (table.index <= 1)]


def optima(table: pd.DataFrame, columns: Sequence[str]) -> tuple[float, float]:
    """Compute both meanings of "the mean at the optimal alpha", of the paper's tables 13 and 1.

    Returns:
        The mean of the columns' best values, each at an alpha of its own, and the best value of
        their mean.
    """
    columns = table[list(columns)]
    return float(columns.max().mean()), float(columns.mean(axis=1).max())


def leave_one_out(table: pd.DataFrame, shifts: Sequence[str]) -> pd.Series:
    """Return accuracy on each shift at the best alpha for the mean of the *other* shifts."""
    return pd.Series(
        {
            shift: table[shift][best_alpha(table[[s for s in shifts if s != shift]].mean(axis=1))]
            for shift in shifts
        }
    )


def rules(table: pd.DataFrame) -> pd.DataFrame:
    """Return alpha by each rule and its accuracy in percent: ``test``, ``shifts``, ``both``.

    ``half`` is 0.5, ``val`` the best on val, ``one oracle`` the best on ``both``. ``own oracle``
    takes the best alpha of each column. Both oracles use the test images.
    """
    columns = ["test", "shifts", "both"]
    taken = {"half": 0.5, "val": best_alpha(table["val"]), "one oracle": best_alpha(table["both"])}
    rows = {rule: {"alpha": alpha, **table.loc[alpha, columns]} for rule, alpha in taken.items()}
    rows["own oracle"] = {"alpha": np.nan, **table[columns].max()}
    return pd.DataFrame(rows).T


def choices(
    right: np.ndarray,
    alphas: Sequence[float],
    size: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Choose alpha on many bootstrap samples of the validation set.

    Args:
        right: bool ``[alphas, images]``.
        alphas: one for each row, in rising order.
        size: images drawn with replacement (default: all). All alphas are evaluated on the same
            draw.
        resamples: how many sets are drawn.
        seed: of the random generator.

    Returns:
        ``[resamples]``; of equally good alphas the smallest, as in ``best_alpha``.
    """
    drawn = np.random.default_rng(seed).integers(
        right.shape[1], size=(resamples, size or right.shape[1])
    )
    scores = right[:, drawn].sum(-1)
    return np.asarray(alphas)[scores.argmax(0)]


def undecided(curve: pd.Series, n: int) -> tuple[float, float]:
    """Return the smallest and largest alpha within one standard error of the best accuracy.

    Accuracies are in percent on ``n`` images.
    """
    top = curve.max()
    near = curve[curve >= top - (top * (100 - top) / n) ** 0.5]
    return float(near.index.min()), float(near.index.max())


def record_kind(
    record: Record,
    prefix: str,
    tables: list[pd.DataFrame],
    rights: list[np.ndarray],
    task: Task,
    seeds: list[int],
    recipe: Recipe,
) -> pd.DataFrame:
    """Record all numbers of one kind of fine-tuning; return how often val chooses each alpha."""
    shifts, n_val = list(task.shifts), len(task.val)
    n = {**{name: len(split) for name, split in task.evaluation.items()}, "shifts": n_shifts(task)}
    n["both"] = n["test"] + n["shifts"]
    inner = [inside(table) for table in tables]

    def add(key: str, values: list[float], unit: str, images: int | None) -> None:
        record.number(f"{prefix}.{key}", values, unit, images, seeds, recipe)

    taken = [rules(table) for table in inner]
    anywhere = [best_alpha(table["val"]) for table in tables]
    for column in ("test", "shifts", "both"):
        for rule in taken[0].index:
            add(
                f"{rule.replace(' ', '_')}.{column}",
                [t.loc[rule, column] for t in taken],
                "percent",
                n[column],
            )
        over = [t.loc["val", column] - t.loc["half", column] for t in taken]
        add(f"val_over_half.{column}", over, "points", n[column])
        add(
            f"val_anywhere.{column}",
            [t.loc[a, column] for t, a in zip(tables, anywhere, strict=True)],
            "percent",
            n[column],
        )
    for rule in ("val", "one_oracle"):
        add(
            f"{rule}.alpha", [t.loc[rule.replace("_", " "), "alpha"] for t in taken], "alpha", n_val
        )
    add("val_anywhere.alpha", anywhere, "alpha", n_val)
    near = [undecided(table["val"], n_val) for table in inner]
    add("undecided.low", [low for low, _ in near], "alpha", n_val)
    add("undecided.high", [high for _, high in near], "alpha", n_val)

    for column in n:
        add(
            f"gap.{column}",
            [t[column].max() - t.loc[0.5, column] for t in inner],
            "points",
            n[column],
        )
        add(f"best.{column}.alpha", [best_alpha(t[column]) for t in inner], "alpha", n[column])
        add(f"outside.{column}.alpha", [best_alpha(t[column]) for t in tables], "alpha", n[column])
        add(
            f"outside.{column}.gain",
            [t[column].max() - i[column].max() for t, i in zip(tables, inner, strict=True)],
            "points",
            n[column],
        )
        for alpha in (ALPHAS[0], 0.0, 1.0, ALPHAS[-1]):
            add(
                f"{column}.alpha_{alpha:g}",
                [t.loc[alpha, column] for t in tables],
                "percent",
                n[column],
            )

    means = [optima(table, shifts) for table in inner]
    add("mean_of_optima", [mean for mean, _ in means], "percent", n["shifts"])
    add("optimum_of_mean", [mean for _, mean in means], "percent", n["shifts"])
    add("conventions.shifts", [a - b for a, b in means], "points", n["shifts"])
    add(
        "conventions.both",
        [
            (t["test"].max() + a) / 2 - t["both"].max()
            for t, (a, _) in zip(inner, means, strict=True)
        ],
        "points",
        n["both"],
    )
    unseen = [leave_one_out(table, shifts).mean() for table in inner]
    add("lend.shifts", unseen, "percent", n["shifts"])
    add(
        "lend_over_half",
        [a - t.loc[0.5, "shifts"] for a, t in zip(unseen, inner, strict=True)],
        "points",
        n["shifts"],
    )

    rows, first = [], ALPHAS.index(INSIDE[0])
    for size in (*SIZES, n_val):
        drawn = [choices(right[first : first + len(INSIDE)], INSIDE, size) for right in rights]
        add(f"drawn.{size}.spread", [d.std() for d in drawn], "alpha", size)
        add(
            f"drawn.{size}.above_half",
            [100 * (d > 0.5).mean() for d in drawn],
            "percent of the draws",
            size,
        )
        for column in ("test", "shifts", "both"):
            costs = [
                (t.loc[d, column] - t.loc[0.5, column]).mean()
                for t, d in zip(inner, drawn, strict=True)
            ]
            add(f"drawn.{size}.{column}", costs, "points", n[column])
        rows += [
            {"seed": seed, "size": size, "alpha": alpha, "percent": 100 * (d == alpha).mean()}
            for seed, d in zip(seeds, drawn, strict=True)
            for alpha in INSIDE
        ]
    return pd.DataFrame(rows)


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    theta_0 = zero_shot_classifier(load_clip("iconclip"), task)
    kinds = {
        "end-to-end": ("ch07", Recipe(), lambda recipe: trained(theta_0, task, recipe)),
        "probe": ("ch07.probe", PROBE, lambda recipe: linear_probe(theta_0, task, recipe)),
    }
    sweeps, chosen = [], []
    for kind, (prefix, base, train) in kinds.items():
        runs = [
            curves(theta_0, train(dataclasses.replace(base, seed=seed)), task, progress=True)
            for seed in seeds
        ]
        sweeps += [
            table.assign(kind=kind, seed=seed) for seed, (table, _) in zip(seeds, runs, strict=True)
        ]
        tables = [percents_of(table, task) for table, _ in runs]
        chosen.append(
            record_kind(record, prefix, tables, [r for _, r in runs], task, seeds, base).assign(
                kind=kind
            )
        )
        for table, (_, right) in zip(tables, runs, strict=True):
            print(rules(inside(table)).round(1).to_string(), right.sum(1).tolist(), sep="\n")
    record.tables["ch07_curves"] = pd.concat(sweeps)
    record.tables["ch07_choices"] = pd.concat(chosen)
