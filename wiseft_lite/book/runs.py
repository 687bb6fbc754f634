"""A cache of trained models by the content of their run: each run is trained once per machine."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from wiseft_lite import augmentation, losses, models, training
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.cache import entry
from wiseft_lite._runtime.digest import digest
from wiseft_lite.callbacks import Checkpoints, Progress
from wiseft_lite.checkpoints import read_weights, save
from wiseft_lite.data import held_in_memory
from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, finetune


def fingerprint(classifier: ImageClassifier, task: Task, recipe: Recipe, train: Callable) -> str:
    """Return a hash of a run: its initial model, images, labels, recipe and training code."""
    return digest(
        recipe,
        train,
        classifier,
        classifier.preprocess,
        held_in_memory(task.split("train")),
        augmentation,
        losses,
        models,
        training.code(),
    )


def trained(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe = Recipe(),
    train: Callable[..., ImageClassifier] = finetune,
    progress: bool = True,
) -> ImageClassifier:
    """Return ``train(classifier, task, recipe)``, from the cache if the same run is there.

    If two processes request one run at the same time, the second waits for the first. An
    interrupted run resumes from its last state when it is requested again.

    Args:
        classifier: the initial model; it is not changed.
        task: its training split is used.
        recipe: how to train.
        train: ``finetune``, ``linear_probe``, a function like them, with ``callbacks``, or a
            ``functools.partial`` of one, whose keywords count as part of the run.
        progress: report on the error stream, and show a progress bar.

    Raises:
        UserError: as ``train``, or the cache folder cannot be written.
    """
    label, progress = getattr(train, "func", train).__name__, progress and distributed.is_main()
    name = distributed.broadcast_object(
        lambda: f"{task.name}-{label}-{fingerprint(classifier, task, recipe, train)}"
    )
    with entry(name) as folder:
        known = _known(folder)
        if distributed.all_true(known is not None) and known is not None:
            return classifier.with_weights(known).eval()
        if progress:
            print(
                f"Training ({label}, {recipe.epochs} epochs, lr {recipe.lr:g}); "
                "the next call reads it from the cache.",
                file=sys.stderr,
                flush=True,
            )
        started = time.time()
        states = Path(f"{folder}.states")
        callbacks = [Checkpoints(states), *([Progress()] if progress else [])]
        model = train(classifier, task, recipe, callbacks=callbacks)
        if distributed.is_main():
            save(model, folder, recipe=recipe, overwrite=True)
            shutil.rmtree(states, ignore_errors=True)
        if progress:
            print(f"done in {time.time() - started:.0f} s", file=sys.stderr)
    return model


def _known(folder: Path) -> dict[str, Tensor] | None:
    try:
        return read_weights(folder) if folder.exists() else None
    except UserError:
        return None  # an unreadable or outdated checkpoint: train again and replace it
