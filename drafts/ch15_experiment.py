"""Chapter 15: the line and its descendants, all on the same checkpoints. (Draft: written, never run.)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.calibration import fit_temperature
from wiseft_lite.encoders import load_clip
from wiseft_lite.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.experiments.ch13 import COLUMNS, Kitchen
from wiseft_lite.experiments.common import n_shifts
from wiseft_lite.features import encode, pixels, predict
from wiseft_lite.fisher import diagonal_fisher, fisher_average
from wiseft_lite.ledger import Record
from wiseft_lite.lora import merged, with_lora
from wiseft_lite.merging import dare, lines, model_stock, task_arithmetic, ties
from wiseft_lite.models import ImageClassifier, freeze
from wiseft_lite.runs import trained
from wiseft_lite.samplewise import entropy_shares, failure_shares
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.weights import Weights, interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

SHARES = (0.3, 0.5, 0.7, 0.9)  # what a method with one number may choose from, on val; the plain line too
LORA = Recipe(lr=6e-3)


@dataclass(frozen=True)
class Method:
    """A row of the table: its settings are chosen on ``val`` if there are several."""

    name: str
    settings: tuple
    runs: int      # fine-tuning runs that it needs
    passes: int    # forward passes for each picture in use
    looks_at: str  # "nothing", "val", "train" or "test pictures, no labels"


def by_weights(theta_0: Weights, runs: Sequence[Weights], fishers: Sequence, settings=SHARES) -> dict:
    """Each merging method as a function of its one number, on the same start and the same one or two runs."""
    theta_1, both = runs[0], list(runs)
    return {
        "line": lambda a: interpolate(theta_0, theta_1, a),
        "LiNeS": lambda a: lines(theta_0, theta_1, a, 1.0),
        "Fisher": lambda a: fisher_average([theta_0, theta_1], fishers, [1 - a, a]),
        "DARE": lambda a: interpolate(theta_0, dare(theta_0, theta_1, 0.5), a),
        "line, two runs": lambda a: task_arithmetic(theta_0, both, [a / 2, a / 2]),
        "TIES, two runs": lambda a: ties(theta_0, both, density=0.2, scale=a),
        "Model Stock, two runs": lambda a: model_stock(theta_0, both),
    }


def by_outputs(zero: dict[str, Tensor], one: dict[str, Tensor], temperatures: tuple[float, float],
               features: dict[str, Tensor], failures: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each method that mixes answers, on cached logits by split."""
    cold = [{name: logits / t for name, logits in model.items()} for model, t in zip((zero, one), temperatures)]
    yield "outputs", {name: output_ensemble(zero[name], one[name], 0.5) for name in zero}
    yield "calibrated softmax", {name: softmax_ensemble(cold[0][name], cold[1][name], 0.5) for name in zero}
    yield "DaWin on outputs", {name: output_ensemble(zero[name], one[name], entropy_shares(cold[0][name], cold[1][name]))
                               for name in zero}
    k = min(10, len(failures))
    yield "VRF", {name: softmax_ensemble(cold[0][name], cold[1][name], failure_shares(features[name], failures, k))
                  for name in zero}


def low_rank(classifier: ImageClassifier, task: Task, recipe: Recipe, *, progress: bool = False,
             folder: Path | None = None, rank: int = 4) -> ImageClassifier:
    """Fine-tune low-rank updates and merge them."""
    tuned = finetune(with_lora(classifier, rank), task, recipe, progress=progress, folder=folder)
    return classifier.with_weights(merged(tuned))


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    kitchen, theta_0 = Kitchen(zero_shot, task), zero_shot.state_dict()
    zero = kitchen.logits(theta_0)
    images = pixels(zero_shot, task.train)
    answers_0 = predict(zero_shot, task.train)
    fisher_0 = diagonal_fisher(zero_shot, images[:512])
    rows = []
    for seed in seeds:
        first, second = (trained(zero_shot, task, Recipe(seed=s)) for s in (seed, seed + 1))
        one = kitchen.logits(first.state_dict())
        methods = by_weights(theta_0, [first.state_dict(), second.state_dict()],
                             [fisher_0, diagonal_fisher(first, images[:512])])
        for name, merge in methods.items():
            tasted = {a: kitchen.taste(merge(a)) for a in SHARES}
            chosen = max(tasted, key=lambda a: tasted[a]["val"])
            rows += [{"method": name, "seed": seed, "alpha": a, "chosen": a == chosen, **t} for a, t in tasted.items()]
        answers_1, features = predict(first, task.train), {n: encode(first, s)[0] for n, s in kitchen.splits.items()}
        failed = (answers_0.argmax(1) != task.train.labels) & (answers_1.argmax(1) == task.train.labels)
        failures = encode(first, task.train)[0][failed]
        temperatures = tuple(fit_temperature(model["val"], task.val.labels) for model in (zero, one))
        for name, logits in by_outputs(zero, one, temperatures, features, failures):
            rows.append({"method": name, "seed": seed, "chosen": True, **kitchen.scores(logits)})
        paint = freeze(zero_shot, lambda name: not name.startswith("head."))
        for name, tuned in (("PAINT", trained(paint, task, Recipe(seed=seed))),
                            ("LoRA", trained(zero_shot, task, replace(LORA, seed=seed), partial(low_rank, rank=4)))):
            tasted = {a: kitchen.taste(interpolate(theta_0, tuned.state_dict(), a)) for a in SHARES}
            chosen = max(tasted, key=lambda a: tasted[a]["val"])
            rows += [{"method": name, "seed": seed, "alpha": a, "chosen": a == chosen, **t} for a, t in tasted.items()]
    table = record.tables["ch15_family"] = pd.DataFrame(rows)
    n = {"val": len(task.val), "test": len(task.test), "shifts": n_shifts(task), "emoji": len(task.shifts["emoji"])}
    at_line = table[(table["method"] == "line") & table["chosen"]].set_index("seed")
    for name, part in table[table["chosen"]].groupby("method", sort=False):
        part = part.set_index("seed")
        for column in COLUMNS:
            key = f"ch15.{name.replace(',', '').replace(' ', '_')}.{column}"
            record.number(key, part[column].tolist(), "percent", n[column], seeds)
            record.number(f"{key}.over_line", (part[column] - at_line[column]).tolist(), "points", n[column], seeds)
