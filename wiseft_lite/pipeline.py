"""The whole method: a zero-shot classifier, its probe, its fine-tuned model, and the lines to both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from wiseft_lite.callbacks import Callback, Checkpoints, Progress
from wiseft_lite.errors import UserError
from wiseft_lite.figures import Figure, alpha_curves, frontier
from wiseft_lite.models import ImageClassifier
from wiseft_lite.results import best_alpha
from wiseft_lite.sweeps import ALPHAS, sweep
from wiseft_lite.tasks import Split, Task
from wiseft_lite.training import Compute, Recipe, finetune, linear_probe

Trainer = Callable[..., ImageClassifier]
TRAINERS: dict[str, Trainer] = {"probe": linear_probe, "end-to-end": finetune}


def train(
    zero_shot: ImageClassifier,
    task: Task,
    recipes: Mapping[str, Recipe],
    *,
    compute: Compute = Compute(),
    progress: bool = False,
    folder: str | Path | None = None,
    resume: bool = True,
) -> dict[str, ImageClassifier]:
    """Train one model of each kind from the zero-shot classifier.

    Args:
        zero_shot: ``theta_0``.
        task: what to train on.
        recipes: how to train, by kind: ``"probe"``, ``"end-to-end"`` or both.
        compute: how to compute it.
        progress: whether to show bars.
        folder: where the states of runs are saved, so that an interrupted one resumes; see
            ``callbacks.Checkpoints``.
        resume: False discards saved states.

    Returns:
        The models by kind.

    Raises:
        UserError: an unknown kind, or as training does.

    Source: the paper, section 2.
    """
    check_kinds(recipes)
    models = {}
    for kind, recipe in recipes.items():
        callbacks: list[Callback] = [Progress()] if progress else []
        if folder is not None:
            callbacks.append(Checkpoints(Path(folder) / kind, resume))
        models[kind] = TRAINERS[kind](zero_shot, task, recipe, compute=compute, callbacks=callbacks)
    return models


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise a ``UserError`` for an unknown kind of training, or none at all."""
    kinds = list(kinds)
    strange = [kind for kind in kinds if kind not in TRAINERS]
    if strange or not kinds:
        raise UserError(
            f"no kind of training {strange}; choose one or more of: {', '.join(TRAINERS)}"
        )


def measure(
    zero_shot: ImageClassifier,
    models: Mapping[str, ImageClassifier],
    task: Task,
    progress: bool = False,
    compute: Compute = Compute(),
    *,
    splits: Mapping[str, Split] | None = None,
    alphas: Sequence[float] = ALPHAS,
    passes: int | Literal["adaptive"] | None = None,
) -> pd.DataFrame:
    """Measure the lines from the zero-shot classifier to each model on ``val``, ``test`` and every
    shift.

    Each image is decoded once, and the zero-shot classifier runs once, for all kinds.

    Args:
        zero_shot, models, task: as ``train`` has them.
        progress: whether to show a bar.
        compute: how to compute it.
        splits: what to measure, ``val`` and ``test`` among it (default: these and every shift).
        alphas, passes: as of ``sweep``; 0, 0.5 and 1 are always measured.

    Returns:
        One row for each kind, alpha and split: ``kind``, then the columns of ``sweep``.

    Raises:
        UserError: as ``sweep``.
    """
    table = sweep(
        zero_shot,
        models,
        {"val": task.split("val"), **task.evaluation} if splits is None else splits,
        sorted({*alphas, 0.0, 0.5, 1.0}),
        progress=progress,
        passes=passes,
        compute=compute,
    )
    table = table.rename(columns={"model": "kind"})
    return pd.concat([table[table["kind"] == kind] for kind in models], ignore_index=True)


def run_wise_ft(
    zero_shot: ImageClassifier,
    task: Task,
    recipes: Mapping[str, Recipe],
    *,
    compute: Compute = Compute(),
    progress: bool = False,
    folder: str | Path | None = None,
    resume: bool = True,
) -> tuple[dict[str, ImageClassifier], pd.DataFrame]:
    """Train one model of each kind and measure the line to it: ``train``, whose arguments these
    are, then ``measure``.

    Returns:
        The models by kind, and the table of ``measure``.

    Raises:
        UserError: as ``train`` and ``measure``.
    """
    models = train(
        zero_shot,
        task,
        recipes,
        compute=compute,
        progress=progress,
        folder=folder,
        resume=resume,
    )
    return models, measure(zero_shot, models, task, progress, compute)


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Return the alphas that two rules choose without test images, one row for each kind and rule.

    ``half`` is alpha 0.5, the paper's advice where nothing is known about the shift. ``val`` is
    ``best_alpha`` of the accuracies on ``val``: of several that are equally good the smallest.

    Args:
        table: of ``run_wise_ft``; alpha 0.5 is among its alphas.

    Returns:
        ``kind, rule, alpha, val, test, shifts``, accuracies as fractions; ``shifts`` is the mean
        over all shifts, NaN if there is none.

    Source: the paper, sections 2 and 5.
    """
    rows = []
    for kind, part in table.groupby("kind", sort=False):
        wide = part.pivot(index="alpha", columns="split", values="accuracy")
        wide["shifts"] = wide.drop(columns=["val", "test"]).mean(axis=1)
        best = best_alpha(wide["val"])
        rows += [
            {
                "kind": kind,
                "rule": rule,
                "alpha": alpha,
                **wide.loc[alpha, ["val", "test", "shifts"]],
            }
            for rule, alpha in (("half", 0.5), ("val", best))
        ]
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, title: str) -> dict[str, Figure]:
    """Return the figures of a table of ``run_wise_ft`` by name: the frontier of all kinds, or,
    where there is no shift to put on its y axis, accuracy against alpha for each kind.
    """
    kinds = dict(tuple(table.groupby("kind", sort=False)))
    if set(table["split"]) - {"val", "test"}:
        return {"frontier": frontier(kinds, title=title)}
    return {f"alpha-{kind}": alpha_curves(part) for kind, part in kinds.items()}
