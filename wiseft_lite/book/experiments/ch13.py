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
from wiseft_lite.merging.soups import greedy_ensemble, greedy_soup, held_out_accuracy, uniform_soup
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Split, Task, load_task
from wiseft_lite.training import Recipe
from wiseft_lite.weights import Weights, interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

RECIPES = {
    **GRID,
    **{f"lr {rate:g}": Recipe(lr=rate) for rate in SEARCH},
    "strong crops": Recipe(augment="strong"),
}
TOO_FAST = [
    name for name, recipe in RECIPES.items() if recipe.lr > Recipe().lr
]  # rates above the book's own
COLUMNS = ("val", "test", "shifts", "emoji")
HALF_WAY = (
    "best",
    "uniform",
    "uniform, gentle rates",
    "greedy",
)  # dishes that are also mixed with zero-shot


class Kitchen:
    """The splits of a task, decoded once, and what a classifier with given weights scores on them.

    Args:
        classifier: what the weights belong to; it is left alone.
        task: gives ``val``, the reference and the shifts.
    """

    def __init__(self, classifier: ImageClassifier, task: Task):
        self.task, self.model = task, copy.deepcopy(classifier).eval()
        self.splits: dict[str, Split] = {"val": task.val, **task.evaluation}
        self.images = {name: pixels(classifier, split) for name, split in self.splits.items()}

    def logits(self, theta: Weights, *splits: str) -> dict[str, Tensor]:
        """Logits by split, of all of them if none is named."""
        self.model.load_state_dict(dict(theta))
        return {
            name: run_in_batches(self.model, self.images[name], 256)
            for name in splits or self.splits
        }

    def score(self, name: str, logits: Tensor) -> float:
        """What one split reports, as a rule accuracy, in percent."""
        split = self.splits[name]
        return 100 * split.score(split.predicted(logits)).accuracy

    def scores(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        """Accuracy in percent by split, and ``shifts``, the mean over the shifts."""
        result = {name: self.score(name, logits[name]) for name in self.splits}
        return {
            **result,
            "shifts": sum(result[name] for name in self.task.shifts) / len(self.task.shifts),
        }

    def taste(self, theta: Weights) -> dict[str, float]:
        """``scores`` of a model with these weights."""
        return self.scores(self.logits(theta))


def ingredients(
    zero_shot: ImageClassifier, task: Task, recipes: Mapping[str, Recipe], seed: int
) -> dict[str, Weights]:
    """One fine-tuned state dict for each recipe, all with one seed, from the cache if they were
    made before."""
    return {
        name: trained(zero_shot, task, replace(recipe, seed=seed)).state_dict()
        for name, recipe in recipes.items()
    }


def mean_logits(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The output ensemble of several models, by split."""
    return {name: torch.stack([member[name] for member in members]).mean(0) for name in members[0]}


def dishes(
    kitchen: Kitchen, thetas: Mapping[str, Weights], alone: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, Weights, list[str], pd.DataFrame | None]]:
    """Give every soup of a pool, one by one: its name, its weights, its ingredients and, if greedy,
    its trace.

    Whatever is chosen or learned is chosen or learned on ``val``.

    Args:
        kitchen: measures.
        thetas: the pool, a state dict for each recipe.
        alone: the scores of each.
    """
    names, pool, val = list(thetas), list(thetas.values()), kitchen.task.val
    best = max(names, key=lambda name: alone[name]["val"])
    yield "best", thetas[best], [best], None
    yield "uniform", uniform_soup(pool), names, None
    gentle = [name for name in names if name not in TOO_FAST]
    yield "uniform, gentle rates", uniform_soup(thetas[name] for name in gentle), gentle, None
    soup, trace = greedy_soup(pool, held_out_accuracy(kitchen.model, val))
    trace = trace.assign(recipe=[names[i] for i in trace["model"]])
    yield "greedy", soup, trace.loc[trace["kept"], "recipe"].tolist(), trace
    for name, per_tensor in (("learned", False), ("learned by tensor", True)):
        yield (
            name,
            learned_soup(kitchen.model, pool, val, per_tensor=per_tensor).soup(),
            names,
            None,
        )


def with_random_head(zero_shot: ImageClassifier, seed: int) -> ImageClassifier:
    """The zero-shot classifier with a random head in place of its own, as models without a text
    tower begin."""
    start, dice = copy.deepcopy(zero_shot), torch.Generator().manual_seed(seed)
    rows = torch.randn(start.head.weight.shape, generator=dice)
    start.head = Head(rows * start.head.weight.norm(dim=1).mean() / rows.norm(dim=1, keepdim=True))
    return start


def pairs(zero_shot: ImageClassifier, task: Task, kitchen: Kitchen) -> pd.DataFrame:
    """Soups of two runs: from the zero-shot head, from one random head, from two random heads.

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
        alone, soup = [kitchen.taste(theta) for theta in two], kitchen.taste(uniform_soup(two))
        rows.append(
            {
                "heads": kind,
                **{f"{c}_alone": (alone[0][c] + alone[1][c]) / 2 for c in COLUMNS},
                **{f"{c}_soup": soup[c] for c in COLUMNS},
            }
        )
    return pd.DataFrame(rows)


def cook(
    kitchen: Kitchen, zero_shot: ImageClassifier, thetas: Mapping[str, Weights], pool: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure a pool: its runs alone, its soups and ensembles, its greedy trace."""
    outputs = {name: kitchen.logits(theta) for name, theta in thetas.items()}
    alone = {name: kitchen.scores(logits) for name, logits in outputs.items()}
    rows, traces = [], pd.DataFrame()
    theta_0, val = zero_shot.state_dict(), kitchen.task.val
    for dish, theta, names, trace in dishes(kitchen, thetas, alone):
        rows.append({"dish": dish, "models": len(names), "passes": 1, **kitchen.taste(theta)})
        if trace is not None:
            traces = trace
        if dish in HALF_WAY:
            rows.append(
                {
                    "dish": f"{dish}, half way",
                    "models": len(names),
                    "passes": 1,
                    **kitchen.taste(interpolate(theta_0, theta, 0.5)),
                }
            )
    members = list(outputs)
    chosen, _ = greedy_ensemble([outputs[name]["val"] for name in members], val)
    for dish, some in (("ensemble", members), ("greedy ensemble", [members[i] for i in chosen])):
        rows.append(
            {
                "dish": dish,
                "models": len(some),
                "passes": len(some),
                **kitchen.scores(mean_logits([outputs[name] for name in some])),
            }
        )
    runs = pd.DataFrame([{"recipe": name, **scores} for name, scores in alone.items()])
    return tuple(table.assign(pool=pool) for table in (runs, pd.DataFrame(rows), traces))


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    kitchen, tables = Kitchen(zero_shot, task), []
    for seed in seeds:
        tables.append(
            cook(kitchen, zero_shot, ingredients(zero_shot, task, RECIPES, seed), str(seed))
        )
        print(tables[-1][1][["dish", "models", *COLUMNS]].round(1).to_string(), flush=True)
    runs, soups, traces = (
        pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True)
    )
    heads = pairs(zero_shot, task, kitchen)
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

    zero = kitchen.taste(zero_shot.state_dict())
    best = soups[soups["dish"] == "best"].set_index("pool")
    for column, images in n.items():
        record.number(f"ch13.zero-shot.{column}", zero[column], "percent", images)
        for dish, part in soups.groupby("dish", sort=False):
            values = part.set_index("pool")[column]
            add(f"{dish}.{column}", values, "percent", images)
            if dish != "best":
                add(f"{dish}.{column}.over_best", values - best[column], "points", images)
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
    for dish in ("greedy", "greedy ensemble"):
        add(f"{dish}.models", soups[soups["dish"] == dish]["models"], "models", None)
    add(
        "correlation",
        [part["test"].corr(part["shifts"]) for _, part in runs.groupby("pool")],
        "correlation",
        n["shifts"],
    )
    record.number("ch13.models", len(RECIPES), "models in a pool", None)
    record.number("ch13.too_fast", len(TOO_FAST), "models in a pool", None)
