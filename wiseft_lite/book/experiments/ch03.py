"""Chapter 3: a head on frozen features, by start, number of images and settings."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pandas as pd
import torch

from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.ledger import Record
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import encode
from wiseft_lite.losses import Objective, l2_to
from wiseft_lite.metrics import accuracy
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.probes import fit_lbfgs
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import PROBE, Recipe, fit
from wiseft_lite.zeroshot import zero_shot_classifier

SHOTS = (1, 2, 4, 8, 1000)  # images per class; the last is all there are
TRIALS = 64
# A head that starts near its optimum needs small steps, one that starts far away large ones. Each
# learning rate is the best on ``val`` of 0.003, 0.03, 0.1, 0.3 and 1.
START_LEARNING_RATES = {"zero-shot": PROBE.lr, "zeros": 0.1, "random": 0.3}
# Of the L2 penalty to the zero-shot head. The search above draws learning rates, which decide how far
# AdamW gets from the start; the penalty decides the same for a probe that is trained to its minimum.
STRENGTHS = tuple(10 ** (-k / 2) for k in range(4, 13))


def start_head(kind: str, zero_shot: Head, seed: int) -> Head:
    """Return an initial head: ``"zero-shot"``, ``"zeros"``, or ``"random"`` rows as long."""
    weight = zero_shot.weight.detach()
    if kind == "zeros":
        return Head(torch.zeros_like(weight))
    if kind == "random":
        rows = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        return Head(rows / rows.norm(dim=-1, keepdim=True) * weight.norm(dim=-1, keepdim=True))
    return copy.deepcopy(zero_shot)


class Frozen:
    """Encode every split of a task once; after that a probe takes a second."""

    def __init__(self, zero_shot: ImageClassifier, task: Task):
        self.zero_shot, self.task = zero_shot, task
        splits = {"train": task.train, "val": task.val, **task.evaluation}
        self.features = {name: encode(zero_shot, split) for name, split in splits.items()}

    def scores(self, head: Head) -> dict[str, float]:
        """Return accuracy in percent on ``val``, ``test``, every shift, and their mean."""
        result = {}
        with torch.inference_mode():
            for name, split in {"val": self.task.val, **self.task.evaluation}.items():
                features, labels = self.features[name]
                result[name] = 100 * accuracy(head(features), labels, split.classes).accuracy
        result["shifts"] = sum(result[s] for s in self.task.shifts) / len(self.task.shifts)
        return result

    def probe(
        self, recipe: Recipe, start: str = "zero-shot", shots: int | None = None
    ) -> dict[str, float]:
        """Train a head on ``shots`` images per class (default: all) and score it.

        From another start than zero-shot, the learning rate is that of ``START_LEARNING_RATES``.
        """
        if start != "zero-shot":
            recipe = replace(recipe, lr=START_LEARNING_RATES[start])
        features, labels = self.features["train"]
        if shots is not None:
            order = torch.randperm(
                len(labels), generator=torch.Generator().manual_seed(recipe.seed)
            )
            place = torch.stack(
                [(labels[order[:i]] == labels[row]).sum() for i, row in enumerate(order)]
            )
            features, labels = features[order[place < shots]], labels[order[place < shots]]
        head = start_head(start, self.zero_shot.head, recipe.seed)
        return self.scores(fit(head, features, labels, recipe))

    def minimum(self, objective: Objective) -> dict[str, float]:
        """Train the zero-shot head to a minimum of ``objective`` with L-BFGS and score it."""
        head = copy.deepcopy(self.zero_shot.head)
        return self.scores(fit_lbfgs(head, *self.features["train"], objective=objective))


def by_strength(frozen: Frozen) -> pd.DataFrame:
    """Return the scores of a probe for each strength of the L2 penalty to the zero-shot head."""
    theta_0 = frozen.zero_shot.head.state_dict()
    return pd.DataFrame([{"strength": s, **frozen.minimum(l2_to(theta_0, s))} for s in STRENGTHS])


def random_recipe(generator: torch.Generator) -> Recipe:
    """Draw batch size, learning rate and weight decay as in the paper's random search."""

    def power(low: float, high: float) -> float:
        return 10 ** -(low + (high - low) * float(torch.rand((), generator=generator)))

    batch = (64, 128, 256)[int(torch.randint(3, (), generator=generator))]
    return replace(PROBE, batch_size=batch, lr=power(0, 6), weight_decay=power(0, 4))


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    frozen = Frozen(zero_shot_classifier(load_clip("iconclip"), task), task)
    n = {
        "val": len(task.val),
        "test": len(task.test),
        "shifts": n_shifts(task),
        "emoji": len(task.shifts["emoji"]),
    }
    rows = []
    for start in START_LEARNING_RATES:
        for shots in SHOTS:
            for seed in seeds:
                scores = frozen.probe(replace(PROBE, seed=seed), start, shots)
                rows.append({"start": start, "shots": shots, "seed": seed, **scores})
    table = record.tables["ch03_shots"] = pd.DataFrame(rows)
    for (start, shots), part in table.groupby(["start", "shots"]):
        for column in ("test", "shifts"):
            key = f"ch03.{start}.{'all' if shots == SHOTS[-1] else shots}.{column}"
            record.number(
                key,
                part[column].tolist(),
                "percent",
                n[column],
                seeds,
                replace(PROBE, lr=START_LEARNING_RATES[start]),
            )
    zero = frozen.scores(frozen.zero_shot.head)
    whole = table[(table.start == "zero-shot") & (table.shots == SHOTS[-1])]
    for column in ("test", "shifts", "emoji"):
        record.number(
            f"ch03.change.{column}",
            (whole[column] - zero[column]).tolist(),
            "points",
            n[column],
            seeds,
            PROBE,
        )

    generator = torch.Generator().manual_seed(0)
    trials = []
    for _ in range(TRIALS):
        recipe = random_recipe(generator)
        scores = frozen.probe(recipe)
        trials.append(
            {
                "lr": recipe.lr,
                "weight_decay": recipe.weight_decay,
                "batch_size": recipe.batch_size,
                **scores,
            }
        )
    search = record.tables["ch03_search"] = pd.DataFrame(trials)
    best = search.loc[search["val"].idxmax()]
    for column in ("val", "test", "shifts"):
        record.number(f"ch03.search.best.{column}", best[column], "percent", n[column])
    record.number("ch03.search.best.log_lr", math.log10(best["lr"]), "log10 of the rate", None)
    near = search[search["test"] > search["test"].max() - 1]
    record.number(
        "ch03.search.near", len(near), "trials within a point of the best on the reference", None
    )
    record.number(
        "ch03.search.near_range", near["shifts"].max() - near["shifts"].min(), "points", n["shifts"]
    )
    record.number(
        "ch03.search.correlation", search["val"].corr(search["shifts"]), "correlation", None
    )

    minima = record.tables["ch03_strengths"] = by_strength(frozen)
    best = minima.loc[minima["val"].idxmax()]
    for column in ("val", "test", "shifts"):
        record.number(f"ch03.strengths.best.{column}", best[column], "percent", n[column])
    record.number("ch03.strengths.best.strength", best["strength"], "strength", None)
    record.number("ch03.strengths.trials", len(minima), "trials", None)
