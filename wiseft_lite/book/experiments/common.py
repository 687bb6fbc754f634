"""What several experiments measure."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from wiseft_lite.features import predict
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split, Task


def percent(classifier: ImageClassifier, split: Split) -> float:
    """What a split reports for a classifier, as a rule accuracy, in percent."""
    return 100 * split.score(split.predicted(predict(classifier, split))).accuracy


def percents(classifier: ImageClassifier, splits: Mapping[str, Split]) -> pd.Series:
    """Accuracy on each split, in percent."""
    return pd.Series({name: percent(classifier, split) for name, split in splits.items()})


def mean_of_shifts(scores: pd.Series, task: Task) -> float:
    """Plain mean over the task's shifts."""
    return float(scores[list(task.shifts)].mean())


def n_shifts(task: Task) -> int:
    """Images in all shifts together."""
    return sum(len(split) for split in task.shifts.values())
