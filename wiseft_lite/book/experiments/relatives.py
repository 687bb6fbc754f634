"""Fine-tune in other ways than all weights on cross-entropy, in the form ``runs.trained`` needs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

import pandas as pd

from wiseft_lite.book.experiments.common import percent
from wiseft_lite.book.runs import trained
from wiseft_lite.callbacks import Callback
from wiseft_lite.encoders import load_clip
from wiseft_lite.finetuning import flyp, lora
from wiseft_lite.models import ImageClassifier, freeze
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.zeroshot import zero_shot_classifier


def frozen_head(classifier: ImageClassifier) -> ImageClassifier:
    """Return PAINT's initial model: a copy whose head does not train."""
    return freeze(classifier, lambda name: not name.startswith("head."))


def low_rank(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    callbacks: Sequence[Callback] = (),
    rank: int,
    code: ModuleType,
) -> ImageClassifier:
    """Fine-tune low-rank updates of the blocks and merge them; ``code`` is the module ``lora``."""
    tuned = finetune(code.with_lora(classifier, rank), task, recipe, callbacks=callbacks)
    return classifier.with_weights(code.merge_lora(tuned))


def both_encoders(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    callbacks: Sequence[Callback] = (),
    loss: flyp.Loss,
    code: ModuleType,
) -> ImageClassifier:
    """Fine-tune both encoders contrastively and rebuild the head; ``code`` is ``flyp``.

    Both come from the encoder's name, as a classifier has no text encoder.
    """
    tuned = code.flyp(
        load_clip(classifier.encoder_name), task, recipe, loss=loss, callbacks=callbacks
    )
    return zero_shot_classifier(tuned, task)


# The code is an argument because it is part of a run's key in the cache: changed code runs again.
LOW_RANK = partial(low_rank, rank=4, code=lora)
PUBLISHED = partial(both_encoders, loss=flyp.published_loss, code=flyp)
MULTIPLE_POSITIVES = partial(both_encoders, loss=flyp.class_contrastive_loss, code=flyp)


@dataclass(frozen=True)
class Relative:
    """Describe a way to fine-tune that needs runs and a learning rate of its own.

    Args:
        start: makes the initial model from the zero-shot classifier.
        train: as ``runs.trained`` needs it.
        learning_rates: candidates, of which ``val`` chooses.
        recipe: how to train, except the learning rate and the seed.
    """

    start: Callable[[ImageClassifier], ImageClassifier]
    train: Callable[..., ImageClassifier]
    learning_rates: tuple[float, ...]
    recipe: Recipe = Recipe()

    def tuned(
        self, zero_shot: ImageClassifier, task: Task, lr: float, seed: int
    ) -> ImageClassifier:
        """Return one run, from the cache if it exists."""
        return trained(
            self.start(zero_shot), task, replace(self.recipe, lr=lr, seed=seed), self.train
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
    """Return accuracy on ``val`` in percent for each ``kind`` and ``lr``, from one run each."""
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "lr": lr,
                "seed": seed,
                "val": percent(relative.tuned(zero_shot, task, lr, seed), task.val),
            }
            for kind, relative in RELATIVES.items()
            for lr in relative.learning_rates
        ]
    )


def spread_of_a_run(table: pd.DataFrame) -> float:
    """Return the standard deviation between seeds of one run's accuracy, pooled over ``lr``."""
    return float(table.groupby("lr")["val"].var().mean() ** 0.5)


def cost(relative: Relative, zero_shot: ImageClassifier, task: Task, images: int = 128) -> float:
    """Return seconds on one core for an epoch: two epochs minus one, without preparation."""
    few = replace(task, train=task.train.select(list(range(images))))
    start = relative.start(zero_shot)

    def seconds(epochs: int) -> float:
        began = time.process_time()
        relative.train(start, few, replace(relative.recipe, epochs=epochs))
        return time.process_time() - began

    return seconds(2) - seconds(1)
