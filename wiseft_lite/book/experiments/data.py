"""Record sizes of the tasks, and zero-shot accuracy on every split of every task."""

from __future__ import annotations

from wiseft_lite.book.experiments.common import mean_of_shifts, n_shifts, percents
from wiseft_lite.book.ledger import Record
from wiseft_lite.encoders import load_clip
from wiseft_lite.tasks import load_task, task_names
from wiseft_lite.zeroshot import zero_shot_classifier


def run(record: Record, seeds: list[int]) -> None:
    clip = load_clip("iconclip")
    for name in task_names():
        task = load_task(name)
        splits = {"train": task.train, "val": task.val, **task.evaluation}
        record.number(f"data.{name}.classes", len(task.class_names), "classes", None)
        for split, images in splits.items():
            record.number(f"data.{name}.{split}", len(images), "images", None)
        scores = percents(zero_shot_classifier(clip, task), {"val": task.val, **task.evaluation})
        for split, score in scores.items():
            record.number(f"data.{name}.{split}.zero_shot", score, "percent", len(splits[split]))
        if task.shifts:
            record.number(f"data.{name}.shifts", n_shifts(task), "images", None)
            record.number(
                f"data.{name}.shifts.zero_shot",
                mean_of_shifts(scores, task),
                "percent",
                n_shifts(task),
            )
    for part, parameters in (
        ("image", clip.model.visual.parameters()),
        ("whole", clip.model.parameters()),
    ):
        millions = sum(p.numel() for p in parameters) / 1e6
        record.number(f"data.iconclip.{part}", millions, "million weights", None)
