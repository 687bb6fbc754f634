"""Measure what several experiments need."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from wiseft_lite.features import predict
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split, Task


def percent(classifier: ImageClassifier, split: Split) -> float:
    """Return a classifier's score on a split, usually accuracy, in percent."""
    return 100 * split.score(split.predicted(predict(classifier, split))).accuracy


def percents(classifier: ImageClassifier, splits: Mapping[str, Split]) -> pd.Series:
    """Return the score on each split, in percent."""
    return pd.Series({name: percent(classifier, split) for name, split in splits.items()})


def mean_of_shifts(scores: pd.Series, task: Task) -> float:
    """Return the unweighted mean over the task's shifts."""
    return float(scores[list(task.shifts)].mean())


def n_shifts(task: Task) -> int:
    """Return the number of images in all shifts."""
    return sum(len(split) for split in task.shifts.values())
