"""Chapter 4: what fine-tuning all weights gains, what it loses, and what it forgets."""

from __future__ import annotations

import pandas as pd

from wiseft_lite.book.experiments.common import mean_of_shifts, n_shifts, percent, percents
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.callbacks import AfterEpoch
from wiseft_lite.encoders import Clip, load_clip
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import load_task, task_names
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.weights import distance
from wiseft_lite.zeroshot import zero_shot_classifier

OTHERS = tuple(name for name in task_names() if name != "iconshift")


def forgetting(
    clip: Clip, fine_tuned: ImageClassifier, names: tuple[str, ...] = OTHERS
) -> pd.DataFrame:
    """Measure zero-shot accuracy in percent on other tasks before and after fine-tuning.

    The heads come from the text encoder, which fine-tuning does not change.
    """
    rows = []
    for name in names:
        task = load_task(name)
        old = zero_shot_classifier(clip, task)
        new = ImageClassifier(
            fine_tuned.encoder, old.head, clip.preprocess, task.class_names, clip.name
        )
        rows.append(
            {
                "task": name,
                "n": len(task.test),
                "before": percent(old, task.test),
                "after": percent(new, task.test),
            }
        )
    return pd.DataFrame(rows)


def learning_curve(zero_shot: ImageClassifier, task, recipe: Recipe) -> pd.DataFrame:
    """Fine-tune once and measure after each epoch: a row for each, accuracy in percent by split."""
    splits = {"val": task.val, **task.evaluation}
    rows = [{"epoch": 0, "distance": 0.0, **percents(zero_shot, splits)}]

    def measure(epoch: int, model: ImageClassifier) -> None:
        rows.append(
            {
                "epoch": epoch,
                "distance": distance(zero_shot.state_dict(), model.state_dict()),
                **percents(model, splits),
            }
        )

    finetune(zero_shot, task, recipe, callbacks=[AfterEpoch(measure)])
    table = pd.DataFrame(rows)
    return table.assign(shifts=table[list(task.shifts)].mean(axis=1))


def run(record: Record, seeds: list[int]) -> None:
    task, clip = load_task("iconshift"), load_clip("iconclip")
    zero_shot = zero_shot_classifier(clip, task)
    before = percents(zero_shot, task.evaluation)
    n = {name: len(split) for name, split in task.evaluation.items()}
    changes, lost, lengths = [], [], []
    for seed in seeds:
        fine_tuned = trained(zero_shot, task, Recipe(seed=seed))
        change = percents(fine_tuned, task.evaluation) - before
        change["shifts"] = mean_of_shifts(change, task)
        changes.append(change)
        lost.append(forgetting(clip, fine_tuned).set_index("task"))
        lengths.append(distance(zero_shot.state_dict(), fine_tuned.state_dict()))
    for split in [*task.evaluation, "shifts"]:
        images = n_shifts(task) if split == "shifts" else n[split]
        record.number(
            f"ch04.change.{split}", [c[split] for c in changes], "points", images, seeds, Recipe()
        )
    for name in OTHERS:
        images = int(lost[0].loc[name, "n"])
        record.number(f"ch04.{name}.before", lost[0].loc[name, "before"], "percent", images)
        record.number(
            f"ch04.{name}.after",
            [t.loc[name, "after"] for t in lost],
            "percent",
            images,
            seeds,
            Recipe(),
        )
    record.number(
        "ch04.distance", lengths, "Euclidean distance of the weights", None, seeds, Recipe()
    )
    curves = [
        learning_curve(zero_shot, task, Recipe(seed=seed)).assign(seed=seed) for seed in seeds
    ]
    record.tables["ch04_curve"] = pd.concat(curves)
