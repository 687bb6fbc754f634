"""Trained models kept by content: the same run is done once on a machine, whoever asks first."""

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
from wiseft_lite.checkpoints import read_weights, save
from wiseft_lite.errors import UserError
from wiseft_lite.features import pixels
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, finetune


def fingerprint(classifier: ImageClassifier, task: Task, recipe: Recipe, train: Callable) -> str:
    """Return the name of a run: a hash of its start, its pictures, its recipe and the code that
    trains."""
    return digest(
        recipe,
        train,
        classifier,
        pixels(classifier, task.train),
        task.train.labels,
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
    """Return ``train(classifier, task, recipe)``, from the cache if this very run was done before.

    Two processes that ask for one run at the same time train it once: the second waits. A run that
    is cut short goes on from its last state when it is asked for again.

    Args:
        classifier: where to start; it is left alone.
        task: gives the training split.
        recipe: how to train.
        train: ``finetune``, ``linear_probe``, a function like them, with ``progress`` and the
            ``folder`` for its states, or a ``functools.partial`` of one; its keywords belong to the
            run's name.
        progress: say on the error stream what happens, and show a bar.

    Raises:
        UserError: as ``train`` does, or the cache folder cannot be written.
    """
    label, progress = getattr(train, "func", train).__name__, progress and distributed.is_main()
    name = distributed.broadcast_object(
        lambda: f"{task.name}-{label}-{fingerprint(classifier, task, recipe, train)}"
    )
    with entry(name) as folder:
        known = _known(folder)
        if distributed.all_true(known is not None):
            return classifier.with_weights(known).eval()
        if progress:
            print(
                f"Training ({label}, {recipe.epochs} epochs, lr {recipe.lr:g}); "
                "the next run finds it in the cache.",
                file=sys.stderr,
                flush=True,
            )
        started = time.time()
        states = Path(f"{folder}.states")
        model = train(classifier, task, recipe, progress=progress, folder=states)
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
        return None  # half a disk or an old version: train again and replace it
