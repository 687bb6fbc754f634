"""Other ways to fine-tune than all weights on cross-entropy, in the form that ``runs.trained`` asks
for."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pandas as pd

from wiseft_lite.book.experiments.common import percent
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.finetuning import flyp, lora
from wiseft_lite.models import ImageClassifier, freeze
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.zeroshot import zero_shot_classifier


def frozen_head(classifier: ImageClassifier) -> ImageClassifier:
    """PAINT's start: a copy whose head, which the class names wrote, does not train."""
    return freeze(classifier, lambda name: not name.startswith("head."))


def low_rank(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    progress: bool = False,
    folder: Path | None = None,
    rank: int,
    code: ModuleType,
) -> ImageClassifier:
    """Fine-tune low-rank updates of the blocks and add them in; ``code`` is the module ``lora``."""
    tuned = finetune(
        code.with_lora(classifier, rank), task, recipe, progress=progress, folder=folder
    )
    return classifier.with_weights(code.merge_lora(tuned))


def both_towers(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    progress: bool = False,
    folder: Path | None = None,
    loss: flyp.Loss,
    code: ModuleType,
) -> ImageClassifier:
    """Fine-tune both encoders contrastively and let the tuned text encoder write the head; ``code``
    is ``flyp``.

    Both come from the encoder's name, as a classifier has no text encoder. A run that is cut short
    begins anew.
    """
    tuned = code.flyp(
        load_clip(classifier.encoder_name), task, recipe, loss=loss, progress=progress
    )
    return zero_shot_classifier(tuned, task)


# The code is an argument so that it belongs to the name of a run in the cache: change it, and the
# run is made again.
LOW_RANK = partial(low_rank, rank=4, code=lora)
PUBLISHED = partial(both_towers, loss=flyp.published_loss, code=flyp)
MULTIPLE_POSITIVES = partial(both_towers, loss=flyp.class_contrastive_loss, code=flyp)


@dataclass(frozen=True)
class Relative:
    """A way to fine-tune that needs runs and a learning rate of its own.

    Args:
        start: makes what training starts from of the zero-shot classifier.
        train: as ``runs.trained`` asks for it.
        rates: candidates for the learning rate, of which ``val`` chooses.
        recipe: how to train, but for the learning rate and the seed.
    """

    start: Callable[[ImageClassifier], ImageClassifier]
    train: Callable[..., ImageClassifier]
    rates: tuple[float, ...]
    recipe: Recipe = Recipe()

    def tuned(
        self, zero_shot: ImageClassifier, task: Task, rate: float, seed: int
    ) -> ImageClassifier:
        """One run, from the cache if it was done before."""
        return trained(
            self.start(zero_shot), task, replace(self.recipe, lr=rate, seed=seed), self.train
        )


RELATIVES = {
    "PAINT": Relative(frozen_head, finetune, (3e-4, 6e-4, 1.2e-3)),
    "LoRA": Relative(copy.deepcopy, LOW_RANK, (3e-3, 6e-3, 1.2e-2)),
    "FLYP": Relative(
        copy.deepcopy, PUBLISHED, (1.5e-4, 3e-4, 6e-4), Recipe(clip_norm=flyp.UNCLIPPED)
    ),
    "FLYP, multiple positives": Relative(copy.deepcopy, MULTIPLE_POSITIVES, (1.5e-4, 3e-4, 6e-4)),
}


def search(zero_shot: ImageClassifier, task: Task, seed: int = 0) -> pd.DataFrame:
    """Accuracy on ``val`` in percent, a row for each relative (``kind``) and rate (``lr``), one run
    each."""
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "lr": rate,
                "seed": seed,
                "val": percent(relative.tuned(zero_shot, task, rate, seed), task.val),
            }
            for kind, relative in RELATIVES.items()
            for rate in relative.rates
        ]
    )


def spread_of_a_run(rates: pd.DataFrame) -> float:
    """Standard deviation between seeds of the accuracy of one run, pooled over rates; columns
    ``lr`` and ``val``."""
    return float(rates.groupby("lr")["val"].var().mean() ** 0.5)


def cost(relative: Relative, zero_shot: ImageClassifier, task: Task, images: int = 128) -> float:
    """Seconds on one core for an epoch of some images: two epochs minus one, so that no preparation
    is counted."""
    few, start = (
        replace(task, train=task.train.select(list(range(images)))),
        relative.start(zero_shot),
    )

    def seconds(epochs: int) -> float:
        began = time.process_time()
        relative.train(start, few, replace(relative.recipe, epochs=epochs))
        return time.process_time() - began

    return seconds(2) - seconds(1)
