"""Chapter 13: many runs, one soup."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.book.experiments.ch05 import GRID, SEARCH
from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.merging.learned_soups import learned_soup
from wiseft_lite.merging.soups import HeldOutAccuracy, greedy_ensemble, greedy_soup, uniform_soup
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Split, Task, load_task
from wiseft_lite.training import Recipe
from wiseft_lite.weights import Weights, interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

RECIPES = {
    **GRID,
    **{f"lr {lr:g}": Recipe(lr=lr) for lr in SEARCH},
    "strong crops": Recipe(augment="strong"),
}
# Learning rates above the recipe's own.
TOO_FAST = [name for name, recipe in RECIPES.items() if recipe.lr > Recipe().lr]
COLUMNS = ("val", "test", "shifts", "emoji")
# Soups that are also averaged with the zero-shot model.
HALF_WAY = ("best", "uniform", "uniform, gentle rates", "greedy")


class Evaluator:
    """Decode the splits of a task once and evaluate any weights on them.

    Args:
        classifier: what the weights belong to; it is left alone.
        task: gives ``val``, the reference and the shifts.
    """

    def __init__(self, classifier: ImageClassifier, task: Task):
        self.task, self.model = task, copy.deepcopy(classifier).eval()
        self.splits: dict[str, Split] = {"val": task.val, **task.evaluation}
        self.images = {name: pixels(classifier, split) for name, split in self.splits.items()}

    def logits(self, theta: Weights, *splits: str) -> dict[str, Tensor]:
        """Return logits by split (default: all splits)."""
        self.model.load_state_dict(dict(theta))
        return {
            name: run_in_batches(self.model, self.images[name], 256)
            for name in splits or self.splits
        }

    def score(self, name: str, logits: Tensor) -> float:
        """Return the metric of one split, usually accuracy, in percent."""
        split = self.splits[name]
        return 100 * split.score(split.predicted(logits)).accuracy

    def scores(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        """Return accuracy in percent by split, and ``shifts``, the mean over the shifts."""
        result = {name: self.score(name, logits[name]) for name in self.splits}
        return {
            **result,
            "shifts": sum(result[name] for name in self.task.shifts) / len(self.task.shifts),
        }

    def evaluate(self, theta: Weights) -> dict[str, float]:
        """Return ``scores`` of a model with these weights."""
        return self.scores(self.logits(theta))


def ingredients(
    zero_shot: ImageClassifier, task: Task, recipes: Mapping[str, Recipe], seed: int
) -> dict[str, Weights]:
    """Return one fine-tuned state dict for each recipe, all with one seed."""
    return {
        name: trained(zero_shot, task, replace(recipe, seed=seed)).state_dict()
        for name, recipe in recipes.items()
    }


def mean_logits(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average the logits of several models, by split."""
    return {name: torch.stack([member[name] for member in members]).mean(0) for name in members[0]}


def each_soup(
    evaluator: Evaluator, thetas: Mapping[str, Weights], alone: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, Weights, list[str], pd.DataFrame | None]]:
    """Yield every soup of a pool: its name, weights, members and, if greedy, its trace.

    All choices and learned weights use ``val``.

    Args:
        evaluator: of the task.
        thetas: the pool, a state dict for each recipe.
        alone: the scores of each.
    """
    names, pool, val = list(thetas), list(thetas.values()), evaluator.task.val
    best = max(names, key=lambda name: alone[name]["val"])
    yield "best", thetas[best], [best], None
    yield "uniform", uniform_soup(pool), names, None
    gentle = [name for name in names if name not in TOO_FAST]
    yield "uniform, gentle rates", uniform_soup(thetas[name] for name in gentle), gentle, None
    soup, trace = greedy_soup(pool, HeldOutAccuracy(evaluator.model, val))
    trace = trace.assign(recipe=[names[i] for i in trace["model"]])
    yield "greedy", soup, trace.loc[trace["kept"], "recipe"].tolist(), trace
    for name, per_tensor in (("learned", False), ("learned by tensor", True)):
        yield (
            name,
            learned_soup(evaluator.model, pool, val, per_tensor=per_tensor).soup(),
            names,
            None,
        )


def with_random_head(zero_shot: ImageClassifier, seed: int) -> ImageClassifier:
    """Return the zero-shot classifier with a random head of the same row length."""
    start, generator = copy.deepcopy(zero_shot), torch.Generator().manual_seed(seed)
    rows = torch.randn(start.head.weight.shape, generator=generator)
    start.head = Head(rows * start.head.weight.norm(dim=1).mean() / rows.norm(dim=1, keepdim=True))
    return start


def pairs(zero_shot: ImageClassifier, task: Task, evaluator: Evaluator) -> pd.DataFrame:
    """Average two runs: from the zero-shot head, from one random head, from two random heads.

    Returns:
        A row for each pair: ``heads``, then for each column its ``alone`` (the mean of the two) and
        its ``soup``.
    """
    starts = {
        "zero-shot": [zero_shot, zero_shot],
        "random": [with_random_head(zero_shot, k) for k in (0, 1)],
    }
    runs = {
        kind: [
            [trained(start, task, Recipe(seed=seed)).state_dict() for seed in (0, 1)]
            for start in two
        ]
        for kind, two in starts.items()
    }
    zero, (first, second) = runs["zero-shot"][0], runs["random"]
    kinds = [
        ("zero-shot", zero),
        ("one random", first),
        ("one random", second),
        ("two random", [first[0], second[1]]),
        ("two random", [second[0], first[1]]),
    ]
    rows = []
    for kind, two in kinds:
        alone = [evaluator.evaluate(theta) for theta in two]
        soup = evaluator.evaluate(uniform_soup(two))
        rows.append(
            {
                "heads": kind,
                **{f"{c}_alone": (alone[0][c] + alone[1][c]) / 2 for c in COLUMNS},
                **{f"{c}_soup": soup[c] for c in COLUMNS},
            }
        )
    return pd.DataFrame(rows)


def measure_pool(
    evaluator: Evaluator, zero_shot: ImageClassifier, thetas: Mapping[str, Weights], pool: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure a pool: its runs alone, its soups and ensembles, its greedy trace."""
    outputs = {name: evaluator.logits(theta) for name, theta in thetas.items()}
    alone = {name: evaluator.scores(logits) for name, logits in outputs.items()}
    rows, traces = [], pd.DataFrame()
    theta_0, val = zero_shot.state_dict(), evaluator.task.val
    for soup, theta, names, trace in each_soup(evaluator, thetas, alone):
        rows.append({"soup": soup, "models": len(names), "passes": 1, **evaluator.evaluate(theta)})
        if trace is not None:
            traces = trace
        if soup in HALF_WAY:
            rows.append(
                {
                    "soup": f"{soup}, half way",
                    "models": len(names),
                    "passes": 1,
                    **evaluator.evaluate(interpolate(theta_0, theta, 0.5)),
                }
            )
    members = list(outputs)
    chosen, _ = greedy_ensemble([outputs[name]["val"] for name in members], val)
    for ensemble, some in (
        ("ensemble", members),
        ("greedy ensemble", [members[i] for i in chosen]),
    ):
        rows.append(
            {
                "soup": ensemble,
                "models": len(some),
                "passes": len(some),
                **evaluator.scores(mean_logits([outputs[name] for name in some])),
            }
        )
    runs = pd.DataFrame([{"recipe": name, **scores} for name, scores in alone.items()])
    return tuple(table.assign(pool=pool) for table in (runs, pd.DataFrame(rows), traces))


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    evaluator, tables = Evaluator(zero_shot, task), []
    for seed in seeds:
        tables.append(
            measure_pool(
                evaluator, zero_shot, ingredients(zero_shot, task, RECIPES, seed), str(seed)
            )
        )
        print(tables[-1][1][["soup", "models", *COLUMNS]].round(1).to_string(), flush=True)
    runs, soups, traces = (
        pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)
    )
    heads = pairs(zero_shot, task, evaluator)
    record.tables |= {
        "ch13_runs": runs,
        "ch13_soups": soups,
        "ch13_traces": traces,
        "ch13_heads": heads,
    }
    n = {
        "val": len(task.val),
        "test": len(task.test),
        "shifts": n_shifts(task),
        "emoji": len(task.shifts["emoji"]),
    }

    def add(key: str, values: Sequence[float], unit: str, images: int | None) -> None:
        record.number(
            f"ch13.{key.replace(',', '').replace(' ', '_')}", list(values), unit, images, seeds
        )

    zero = evaluator.evaluate(zero_shot.state_dict())
    best = soups[soups["soup"] == "best"].set_index("pool")
    for column, images in n.items():
        record.number(f"ch13.zero-shot.{column}", zero[column], "percent", images)
        for name, part in soups.groupby("soup", sort=False):
            values = part.set_index("pool")[column]
            add(f"{name}.{column}", values, "percent", images)
            if name != "best":
                add(f"{name}.{column}.over_best", values - best[column], "points", images)
        add(f"runs.{column}", runs.groupby("pool")[column].mean(), "percent", images)
        spread = runs.groupby("pool")[column]
        add(f"runs.{column}.range", spread.max() - spread.min(), "points", images)
        for kind, part in heads.groupby("heads", sort=False):
            for what in ("alone", "soup"):
                record.number(
                    f"ch13.heads.{kind.replace(' ', '_')}.{what}.{column}",
                    part[f"{column}_{what}"].mean(),
                    "percent",
                    images,
                )
    for name in ("greedy", "greedy ensemble"):
        add(f"{name}.models", soups[soups["soup"] == name]["models"], "models", None)
    add(
        "correlation",
        [part["test"].corr(part["shifts"]) for _, part in runs.groupby("pool")],
        "correlation",
        n["shifts"],
    )
    record.number("ch13.models", len(RECIPES), "models in a pool", None)
    record.number("ch13.too_fast", len(TOO_FAST), "models in a pool", None)
