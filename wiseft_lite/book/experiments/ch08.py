"""Chapter 8: how the two ends differ, how their path lies, and when there is a wall on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.analysis.connectivity import barrier, observation_1, observation_2
from wiseft_lite.analysis.diversity import (
    cka_complement,
    kappa_complement,
    kl_divergence,
    margins,
    overrides,
    prediction_diversity,
)
from wiseft_lite.analysis.landscape import corners, plane, shuffle_units
from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.metrics import predictions
from wiseft_lite.models import ImageClassifier
from wiseft_lite.sweeps import ALPHAS, logits_along, sweep
from wiseft_lite.tasks import Split, Task, load_task
from wiseft_lite.training import PROBE, Recipe, linear_probe
from wiseft_lite.weights import Weights, distance, interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

RATES = (5e-5, 2e-4, 6e-4, 2e-3, 4e-3, 7e-3, 1e-2)  # 6e-4 is the recipe's own
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # enough to find a wall between two runs
WALLS = ("test", "emoji")  # where the path is measured for every rate
MODELS = ("zero-shot", "probe", "half probe", "other half", "end-to-end", "other run")
CORNERS = ("zero-shot", "fine-tuned", "fine-tuned, other seed")
SURE = 1.96  # standard errors


def halves(task: Task, seed: int) -> tuple[Task, Task]:
    """The task twice, each with a random half of the training pictures; no picture is in both."""
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed)).tolist()
    middle = len(order) // 2
    return tuple(
        replace(task, train=task.train.select(rows)) for rows in (order[:middle], order[middle:])
    )


def differences(first: Tensor, second: Tensor, split: Split) -> dict[str, float]:
    """Every measure of diversity between two classifiers' logits, on the classes that count; the
    first in percent."""
    f, g = predictions(first, split.classes), predictions(second, split.classes)
    own = list(split.classes or range(first.shape[1]))
    return {
        "prediction_diversity": 100 * prediction_diversity(f, g, split.labels),
        "kappa_complement": kappa_complement(f, g),
        "kl_divergence": kl_divergence(first[:, own], second[:, own]),
        "cka_complement": cka_complement(first[:, own], second[:, own]),
    }


def confidence(
    zero_shot: Tensor, fine_tuned: Tensor, mixture: Tensor, split: Split
) -> dict[str, float]:
    """Who overrides whom in the mixture, in percent of the pictures, and the mean margins, from
    logits.

    A lead is zero-shot's number minus the fine-tuned model's.
    """
    found = overrides(
        *(predictions(logits, split.classes) for logits in (zero_shot, fine_tuned, mixture))
    )
    own = list(split.classes or range(zero_shot.shape[1]))
    zero, tuned = (margins(logits[:, own]).mean().item() for logits in (zero_shot, fine_tuned))
    by_zero, by_tuned = 100 * found.zero_shot / found.n, 100 * found.fine_tuned / found.n
    return {
        "zero_shot_overrides": by_zero,
        "fine_tuned_overrides": by_tuned,
        "overrides_lead": by_zero - by_tuned,
        "zero_shot_margin": zero,
        "fine_tuned_margin": tuned,
        "margin_lead": zero - tuned,
    }


def compared(
    models: Mapping[str, ImageClassifier], task: Task
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Figure 5 for one seed: how pairs of the ``MODELS`` differ, and who overrides whom, on every
    split."""
    zero_shot = models["zero-shot"]
    mixed = {
        kind: zero_shot.with_weights(
            interpolate(zero_shot.state_dict(), models[kind].state_dict(), 0.5)
        )
        for kind in ("probe", "end-to-end")
    }
    pairs = {
        "probe": ("zero-shot", "probe"),
        "end-to-end": ("zero-shot", "end-to-end"),
        "halves": ("half probe", "other half"),
        "two_runs": ("end-to-end", "other run"),
    }
    models = {**models, **{f"half way to {kind}": mixture for kind, mixture in mixed.items()}}
    differ, sure = [], []
    for name, split in task.evaluation.items():
        images = pixels(zero_shot, split)
        logits = {label: run_in_batches(model, images) for label, model in models.items()}
        differ += [
            {
                "pair": pair,
                "split": name,
                "n": len(split),
                **differences(logits[f], logits[g], split),
            }
            for pair, (f, g) in pairs.items()
        ]
        sure += [
            {
                "kind": kind,
                "split": name,
                "n": len(split),
                **confidence(
                    logits["zero-shot"], logits[kind], logits[f"half way to {kind}"], split
                ),
            }
            for kind in mixed
        ]
    return pd.DataFrame(differ), pd.DataFrame(sure)


def heights(right: Tensor, alphas: Sequence[float] = ALPHAS) -> pd.DataFrame:
    """How far each mixture lies above the straight line and above the better end, with standard
    errors.

    All models see the same pictures, so the error is that of a mean of *differences*, picture by
    picture.

    Args:
        right: 1 where the mixture at an alpha is right on a picture, else 0, ``[len(alphas), n]``.
        alphas: from 0 to 1.

    Returns:
        A row for each alpha: ``accuracy`` as a share; ``above_line``, ``above_better`` and their
        ``_se`` in points.
    """
    right, n = right.double(), right.shape[1]
    first, last = right[0], right[-1]
    better = last if last.sum() >= first.sum() else first
    rows = []
    for alpha, row in zip(alphas, right, strict=True):
        line, end = row - (1 - alpha) * first - alpha * last, row - better
        rows.append(
            {
                "alpha": alpha,
                "accuracy": row.mean().item(),
                "n": n,
                "above_line": 100 * line.mean().item(),
                "above_line_se": 100 * (line.std() / n**0.5).item(),
                "above_better": 100 * end.mean().item(),
                "above_better_se": 100 * (end.std() / n**0.5).item(),
            }
        )
    return pd.DataFrame(rows)


def along(
    theta_0: ImageClassifier, theta_1: ImageClassifier, splits: Mapping[str, Split]
) -> pd.DataFrame:
    """The heights of a whole path on every split."""
    tables = []
    for name, split in splits.items():
        logits = logits_along(theta_0, theta_1, pixels(theta_0, split), ALPHAS)
        right = torch.stack([predictions(z, split.classes) == split.labels for z in logits])
        tables.append(heights(right).assign(split=name))
    return pd.concat(tables, ignore_index=True)


def verdicts(path: pd.DataFrame) -> pd.DataFrame:
    """Observations 1 and 2 for each split of a path, in points, and whether the pictures suffice to
    be sure."""
    one, two = observation_1(path), observation_2(path)
    inside = path[(path["alpha"] > 0) & (path["alpha"] < 1)]
    below = inside["above_line"] + SURE * inside["above_line_se"] < 0
    over = inside["above_better"] - SURE * inside["above_better_se"] > 0
    return pd.DataFrame(
        {
            "slack": 100 * one["slack"],
            "observation_1": one["holds"],
            "surely_fails_1": below.groupby(inside["split"]).any(),
            "margin": 100 * two["margin"],
            "observation_2": two["holds"],
            "surely_holds_2": over.groupby(inside["split"]).any(),
        }
    ).loc[one.index]


def grid(
    thetas: Sequence[Weights], steps: int = 9, border: float = 0.35
) -> tuple[list[float], list[float]]:
    """Coordinates of a grid over the plane of three models, with a border of a share of the first
    side."""
    _, (base, _), (x, y) = corners(thetas)
    edge = border * base
    return (
        torch.linspace(min(0, x) - edge, max(base, x) + edge, steps).tolist(),
        torch.linspace(-edge, y + edge, steps).tolist(),
    )


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    n = {**{name: len(split) for name, split in task.evaluation.items()}, "shifts": n_shifts(task)}
    runs = {
        (rate, seed): trained(zero_shot, task, Recipe(lr=rate, seed=seed))
        for seed in seeds
        for rate in RATES
    }
    tuned = {seed: runs[Recipe().lr, seed] for seed in seeds}
    walls = {name: task.evaluation[name] for name in WALLS}
    differ, sure, paths, judged, walks = [], [], [], [], []

    def walk(
        kind: str, first: ImageClassifier, last: ImageClassifier, alphas: Sequence[float] = ALPHAS
    ) -> None:
        far = distance(first.state_dict(), last.state_dict())
        walks.append(sweep(first, last, walls, alphas).assign(kind=kind, seed=seed, distance=far))

    for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
        probes = [
            linear_probe(zero_shot, part, replace(PROBE, seed=seed))
            for part in (task, *halves(task, seed))
        ]
        both = compared(
            dict(zip(MODELS, (zero_shot, *probes, tuned[seed], tuned[other]), strict=True)), task
        )
        differ.append(both[0].assign(seed=seed))
        sure.append(both[1].assign(seed=seed))
        paths.append(along(zero_shot, tuned[seed], task.evaluation).assign(seed=seed))
        judged.append(verdicts(paths[-1]).assign(seed=seed))
        walk("shuffled", zero_shot, shuffle_units(tuned[seed], seed))
        for rate in RATES:
            walk(f"lr_{rate:g}", zero_shot, runs[rate, seed])
            walk(f"between_lr_{rate:g}", runs[rate, seed], runs[rate, other], QUARTERS)
    for name, parts in (
        ("diversity", differ),
        ("overrides", sure),
        ("path", paths),
        ("walks", walks),
    ):
        record.tables[f"ch08_{name}"] = pd.concat(parts, ignore_index=True)
    record.tables["ch08_observations"] = pd.concat(judged).rename_axis("split").reset_index()
    thetas = [zero_shot.state_dict(), *(tuned[seed].state_dict() for seed in (seeds[0], seeds[-1]))]
    record.tables["ch08_plane"] = plane(zero_shot, thetas, walls, *grid(thetas))
    record.tables["ch08_corners"] = pd.DataFrame(corners(thetas), columns=["x", "y"]).assign(
        model=CORNERS
    )
    numbers(record, seeds, n, list(task.shifts))


def numbers(record: Record, seeds: list[int], n: Mapping[str, int], shifts: list[str]) -> None:
    """The ledger's numbers, from the tables."""

    def add(key: str, table: pd.DataFrame, column: str, unit: str, recipe) -> None:
        """One number for each split, and for the mean of the shifts."""
        wide = table.pivot(index="seed", columns="split", values=column)[list(n)[:-1]]
        for split, values in wide.assign(shifts=wide[shifts].mean(axis=1)).items():
            record.number(
                f"ch08.{key}.{split}", values[seeds].tolist(), unit, n[split], seeds, recipe
            )

    recipes = {"probe": PROBE, "halves": PROBE, "end-to-end": Recipe(), "two_runs": Recipe()}
    differ = record.tables["ch08_diversity"]
    for pair, part in differ.groupby("pair"):
        add(f"diversity.{pair}", part, "prediction_diversity", "percent", recipes[pair])
        add(f"cka.{pair}", part, "cka_complement", "index from 0 to 1", recipes[pair])
    wide = differ.pivot(index=["seed", "split"], columns="pair", values="prediction_diversity")
    for pair, baseline in (("probe", "halves"), ("end-to-end", "two_runs")):
        more = (wide[pair] > wide[baseline]).groupby("seed").sum()
        record.number(
            f"ch08.diversity.{pair}.above_{baseline}",
            more[seeds].tolist(),
            "of the 8 splits",
            None,
            seeds,
        )

    for kind, part in record.tables["ch08_overrides"].groupby("kind"):
        for what, unit in (("overrides", "percent of the pictures"), ("margin", "logits")):
            for column in (f"zero_shot_{what}", f"fine_tuned_{what}", f"{what}_lead"):
                add(f"{column}.{kind}", part, column, unit, recipes[kind])
    judged = record.tables["ch08_observations"]
    for number, column in ((1, "slack"), (2, "margin")):
        add(f"observation_{number}", judged, column, "points", Recipe())
    for column in ("observation_1", "surely_fails_1", "observation_2", "surely_holds_2"):
        counts = judged.groupby("seed")[column].sum()[seeds].tolist()
        record.number(f"ch08.splits.{column}", counts, "of the 8 splits", None, seeds, Recipe())

    for kind, part in record.tables["ch08_walks"].groupby("kind"):
        recipe = Recipe() if kind == "shuffled" else Recipe(lr=float(kind.rpartition("lr_")[2]))
        far = part.groupby("seed")["distance"].first()[seeds].tolist()
        record.number(
            f"ch08.distance.{kind}", far, "Euclidean distance of the weights", None, seeds, recipe
        )
        heights_of = [barrier(part[part["seed"] == seed]) for seed in seeds]
        for split in WALLS:
            curves = (
                part[part["split"] == split]
                .pivot(index="seed", columns="alpha", values="accuracy")
                .loc[seeds]
            )
            high = [100 * h[split] for h in heights_of]
            record.number(f"ch08.barrier.{kind}.{split}", high, "points", n[split], seeds, recipe)
            for alpha in (0.5, 1.0):
                values, key = (100 * curves[alpha]).tolist(), f"ch08.{kind}.{split}.alpha_{alpha:g}"
                record.number(key, values, "percent", n[split], seeds, recipe)
