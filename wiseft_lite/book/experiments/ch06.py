"""Chapter 6: the line between the zero-shot and the fine-tuned model, over seeds."""

from __future__ import annotations

import pandas as pd

from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.sweeps import ALPHAS, sweep
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import PROBE, Recipe, linear_probe
from wiseft_lite.weights import distance
from wiseft_lite.zeroshot import zero_shot_classifier


def wide(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return accuracy in percent by alpha (rows) and split (columns), with mean of the shifts."""
    result = 100 * table.pivot(index="alpha", columns="split", values="accuracy")
    return result.assign(shifts=result[list(task.shifts)].mean(axis=1))


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    theta_0 = zero_shot_classifier(load_clip("iconclip"), task)
    splits = {"val": task.val, **task.evaluation}
    n = {**{name: len(split) for name, split in splits.items()}, "shifts": n_shifts(task)}
    curves, runs, lengths = [], [], []
    for seed in seeds:
        theta_1 = trained(theta_0, task, Recipe(seed=seed))
        table = sweep(theta_0, theta_1, splits, progress=True)
        curves.append(table.assign(kind="end-to-end", seed=seed))
        runs.append(wide(table, task))
        lengths.append(distance(theta_0.state_dict(), theta_1.state_dict()))
    probe = sweep(theta_0, linear_probe(theta_0, task), splits)
    curves.append(probe.assign(kind="probe", seed=PROBE.seed))
    record.tables["ch06_curves"] = pd.concat(curves)

    def add(key: str, values: list[float], unit: str, images: int) -> None:
        record.number(f"ch06.{key}", values, unit, images, seeds, Recipe())

    for split, images in n.items():
        for alpha in ALPHAS:
            add(f"{split}.alpha_{alpha:g}", [r.loc[alpha, split] for r in runs], "percent", images)
        add(
            f"{split}.change",
            [r.loc[1.0, split] - r.loc[0.0, split] for r in runs],
            "points",
            images,
        )
        for alpha in (0.0, 0.5, 1.0):
            record.number(
                f"ch06.probe.{split}.alpha_{alpha:g}",
                wide(probe, task).loc[alpha, split],
                "percent",
                images,
                recipe=PROBE,
            )
    half = [r.loc[0.5] - r.loc[0.0] for r in runs], [r.loc[0.5] - r.loc[1.0] for r in runs]
    add("half_over_zero_shot", [h["shifts"] for h in half[0]], "points", n["shifts"])
    add("half_over_fine_tuned", [h["shifts"] for h in half[1]], "points", n["shifts"])
    add("half_on_reference", [h["test"] for h in half[1]], "points", n["test"])
    record.number(
        "ch06.distance", lengths, "Euclidean distance of the weights", None, seeds, Recipe()
    )

    mean = sum(runs) / len(runs)
    ends = mean.loc[[0.0, 1.0]].max()
    both = [a for a in ALPHAS if (mean.loc[a, ["test", "shifts"]] > ends[["test", "shifts"]]).all()]
    record.number(
        "ch06.alphas_above_both_ends", len(both), "of the 11 alphas", n["shifts"] + n["test"]
    )
    print(mean.round(1).to_string())
    print("alphas that beat both ends on the reference and on the mean of the shifts:", both)
