"""Chapter 8: how the two ends differ, the path between them, and when it has a barrier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

LEARNING_RATES = (5e-5, 2e-4, 6e-4, 2e-3, 4e-3, 7e-3, 1e-2)  # 6e-4 is the recipe's own
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)  # enough to see a barrier between two runs
BARRIER_SPLITS = ("test", "emoji")  # where the path is measured for every learning rate
MODELS = ("zero-shot", "probe", "half probe", "other half", "end-to-end", "other run")
CORNERS = ("zero-shot", "fine-tuned", "fine-tuned, other seed")
SURE = 1.96  # standard errors


def halves(task: Task, seed: int) -> tuple[Task, Task]:
    """Split the training images at random into two disjoint halves: the task with each."""
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed)).tolist()
    middle = len(order) // 2
    return tuple(
        replace(task, train=task.train.select(rows)) for rows in (order[:middle], order[middle:])
    )


def differences(first: Tensor, second: Tensor, split: Split) -> dict[str, float]:
    """Return every measure of diversity between two classifiers' logits on the split's classes.

    Prediction diversity is in percent.
    """
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
    """Count which model overrides the other in the mixture, in percent, and average the margins.

    A lead is the value of zero-shot minus that of the fine-tuned model.
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
    """Compute figure 5 for one seed on every split: how models differ, and which one overrides."""
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
    """Return each mixture's height above the straight line and the better end, with errors.

    All models see the same images, so the error is that of a mean of *differences*, image by
    image.

    Args:
        right: 1 where the mixture at an alpha is right on an image, else 0, ``[len(alphas), n]``.
        alphas: from 0 to 1.

    Returns:
        A row for each alpha: ``accuracy`` as a fraction; ``above_line``, ``above_better`` and their
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
    """Return the heights of a whole path on every split."""
    tables = []
    for name, split in splits.items():
        logits = logits_along(theta_0, theta_1, pixels(theta_0, split), ALPHAS)
        right = torch.stack([predictions(z, split.classes) == split.labels for z in logits])
        tables.append(heights(right).assign(split=name))
    return pd.concat(tables, ignore_index=True)


def verdicts(path: pd.DataFrame) -> pd.DataFrame:
    """Check observations 1 and 2 on each split, in points, and whether the images suffice."""
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
    """Return coordinates of a grid over the plane of three models.

    The border is a fraction of the first side.
    """
    _, (base, _), (x, y) = corners(thetas)
    edge = border * base
    return (
        torch.linspace(min(0, x) - edge, max(base, x) + edge, steps).tolist(),
        torch.linspace(-edge, y + edge, steps).tolist(),
    )


def barrier_sweeps(
    zero_shot: ImageClassifier,
    runs: Mapping[tuple[float, int], ImageClassifier],
    task: Task,
    seed: int,
    other: int,
) -> pd.DataFrame:
    """Sweep between zero-shot and each run, and between the runs of two seeds; ``kind`` names them.

    Args:
        zero_shot: one end.
        runs: by learning rate and seed.
        task: whose ``BARRIER_SPLITS`` are swept.
        seed: of the runs.
        other: the second seed.
    """
    splits = {name: task.evaluation[name] for name in BARRIER_SPLITS}
    paths = [("shuffled", zero_shot, shuffle_units(runs[Recipe().lr, seed], seed), ALPHAS)]
    for lr in LEARNING_RATES:
        paths.append((f"lr_{lr:g}", zero_shot, runs[lr, seed], ALPHAS))
        paths.append((f"between_lr_{lr:g}", runs[lr, seed], runs[lr, other], QUARTERS))
    return pd.concat(
        [
            sweep(first, last, splits, alphas).assign(
                kind=kind, seed=seed, distance=distance(first.state_dict(), last.state_dict())
            )
            for kind, first, last, alphas in paths
        ],
        ignore_index=True,
    )


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    n = {**{name: len(split) for name, split in task.evaluation.items()}, "shifts": n_shifts(task)}
    runs = {
        (lr, seed): trained(zero_shot, task, Recipe(lr=lr, seed=seed))
        for seed in seeds
        for lr in LEARNING_RATES
    }
    tuned = {seed: runs[Recipe().lr, seed] for seed in seeds}
    differ, sure, paths, judged, sweeps = [], [], [], [], []
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
        sweeps.append(barrier_sweeps(zero_shot, runs, task, seed, other))
    for name, parts in (
        ("diversity", differ),
        ("overrides", sure),
        ("path", paths),
        ("barriers", sweeps),
    ):
        record.tables[f"ch08_{name}"] = pd.concat(parts, ignore_index=True)
    record.tables["ch08_observations"] = pd.concat(judged).rename_axis("split").reset_index()
    thetas = [zero_shot.state_dict(), *(tuned[seed].state_dict() for seed in (seeds[0], seeds[-1]))]
    splits = {name: task.evaluation[name] for name in BARRIER_SPLITS}
    record.tables["ch08_plane"] = plane(zero_shot, thetas, splits, *grid(thetas))
    record.tables["ch08_corners"] = pd.DataFrame(corners(thetas), columns=["x", "y"]).assign(
        model=CORNERS
    )
    numbers(record, seeds, n, list(task.shifts))


def numbers(record: Record, seeds: list[int], n: Mapping[str, int], shifts: list[str]) -> None:
    """Record the numbers of all tables."""

    def add(key: str, table: pd.DataFrame, column: str, unit: str, recipe) -> None:
        """Record one number for each split, and for the mean of the shifts."""
        wide = table.pivot(index="seed", columns="split", values=column)[list(n)[:-1]]
        for split, values in wide.assign(shifts=wide[shifts].mean(axis=1)).items():
            record.number(
                f"ch08.{key}.{split}", values[seeds].tolist(), unit, n[split], seeds, recipe
            )

    diversity_numbers(record, seeds, add)
    judged = record.tables["ch08_observations"]
    for number, column in ((1, "slack"), (2, "margin")):
        add(f"observation_{number}", judged, column, "points", Recipe())
    for column in ("observation_1", "surely_fails_1", "observation_2", "surely_holds_2"):
        counts = judged.groupby("seed")[column].sum()[seeds].tolist()
        record.number(f"ch08.splits.{column}", counts, "of the 8 splits", None, seeds, Recipe())
    for kind, part in record.tables["ch08_barriers"].groupby("kind"):
        barrier_numbers(record, kind, part, seeds, n)


def diversity_numbers(record: Record, seeds: list[int], add: Callable[..., None]) -> None:
    """Record how pairs of models differ, and which model overrides the other."""
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
        for what, unit in (("overrides", "percent of the images"), ("margin", "logits")):
            for column in (f"zero_shot_{what}", f"fine_tuned_{what}", f"{what}_lead"):
                add(f"{column}.{kind}", part, column, unit, recipes[kind])


def barrier_numbers(
    record: Record, kind: str, part: pd.DataFrame, seeds: list[int], n: Mapping[str, int]
) -> None:
    """Record distance, barrier and accuracies of one kind of sweep."""
    recipe = Recipe() if kind == "shuffled" else Recipe(lr=float(kind.rpartition("lr_")[2]))
    far = part.groupby("seed")["distance"].first()[seeds].tolist()
    record.number(
        f"ch08.distance.{kind}", far, "Euclidean distance of the weights", None, seeds, recipe
    )
    barriers = [barrier(part[part["seed"] == seed]) for seed in seeds]
    for split in BARRIER_SPLITS:
        curves = (
            part[part["split"] == split]
            .pivot(index="seed", columns="alpha", values="accuracy")
            .loc[seeds]
        )
        high = [100 * b[split] for b in barriers]
        record.number(f"ch08.barrier.{kind}.{split}", high, "points", n[split], seeds, recipe)
        for alpha in (0.5, 1.0):
            values, key = (100 * curves[alpha]).tolist(), f"ch08.{kind}.{split}.alpha_{alpha:g}"
            record.number(key, values, "percent", n[split], seeds, recipe)
