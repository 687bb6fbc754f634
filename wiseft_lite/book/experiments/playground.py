"""The playground page: its quantised weights beside the full models."""

from __future__ import annotations

import pandas as pd

from wiseft_lite.book import playground
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import Recipe
from wiseft_lite.weights import Weights, interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

ALPHAS = (0.0, 0.5, 1.0)


def compare(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    shipped: tuple[Weights, Weights],
    task: Task,
) -> pd.DataFrame:
    """Return accuracies of the full and of the shipped models, and how often they agree, in percent.

    Returns:
        A row per split and alpha: split, alpha, n, full, shipped, agreement.
    """
    full = (zero_shot.state_dict(), fine_tuned.state_dict())
    rows = []
    for name, split in task.evaluation.items():
        images = pixels(zero_shot, split)
        for alpha in ALPHAS:
            predicted = [
                split.predicted(
                    run_in_batches(zero_shot.with_weights(interpolate(*ends, alpha)), images)
                )
                for ends in (full, shipped)
            ]
            right = [100 * split.score(classes).accuracy for classes in predicted]
            equal = 100 * float((predicted[0] == predicted[1]).float().mean())
            rows.append((name, alpha, len(split), *right, equal))
    columns = ["split", "alpha", "n", "full", "shipped", "agreement"]
    return pd.DataFrame(rows, columns=columns)


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    recipe = Recipe(seed=0)  # the page ships this run alone
    table = compare(zero_shot, trained(zero_shot, task, recipe), playground.shipped(), task)
    for split, alpha, n, full, shipped, agreement in table.itertuples(index=False):
        key = f"playground.{split}.alpha_{alpha:g}"
        record.number(key, shipped, "percent", n, recipe=recipe)
        record.number(f"{key}.change", shipped - full, "points", n, recipe=recipe)
        record.number(f"{key}.agreement", agreement, "percent", n, recipe=recipe)
    images, apart = int(table.groupby("split")["n"].first().sum()), table["shipped"] - table["full"]
    record.number("playground.largest_change", apart.abs().max(), "points", images, recipe=recipe)
    least = table["agreement"].min()
    record.number("playground.least_agreement", least, "percent", images, recipe=recipe)
    print(table.round(2).to_string(index=False))
