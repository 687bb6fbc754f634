"""Chapter 9: ensembling weights or outputs, linearity along the line, curves from few passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from wiseft_lite._runtime.chebyshev import interpolated, lobatto_nodes
from wiseft_lite.analysis.baselines import scratch_classifier
from wiseft_lite.analysis.ensembles import output_ensemble, random_ensemble, softmax_ensemble
from wiseft_lite.book.experiments import ch02
from wiseft_lite.book.experiments.common import n_shifts
from wiseft_lite.book.experiments.first_order import slope_at_zero_shot
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import encode, pixels, predict
from wiseft_lite.metrics import accuracy, predictions
from wiseft_lite.models import ImageClassifier
from wiseft_lite.sweeps import logits_along, sweep
from wiseft_lite.tasks import Split, Task, load_task
from wiseft_lite.training import PROBE, Recipe, linear_probe
from wiseft_lite.zeroshot import zero_shot_classifier

GRID = tuple(k / 20 for k in range(21))
PASSES = (2, 3, 4, 5, 6, 7)
MIXTURES = ("weights", "outputs", "softmax", "random", "first order")
MEASURES = ["accuracy", "agreement", "departure", "changed"]


def measure(
    first: nn.Module,
    last: nn.Module,
    inputs: Tensor,
    split: Split,
    passes: Sequence[int] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Run the models on the line once and compare every other curve with them.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: the split's images, preprocessed, or its features for heads.
        split: gives the labels.
        passes: also evaluate curves from so many passes.
        seed: of the random mixture.

    Returns:
        A row for each curve and each of 21 alphas. ``kind``: ``"weights"`` is the exact curve,
        beside it the other ``MIXTURES`` and ``"K passes"``. ``accuracy`` in percent; ``agreement``,
        the percentage of images on which the curve and the exact one predict the same;
        ``departure``, how far its logits lie from the exact ones, in percent of the way from the
        first model's logits to the last's (not for softmax and random); ``changed``, for odd K, the
        percentage of predictions that change when every second pass is left out.
    """
    points = sorted({*GRID, *(x for k in passes for x in lobatto_nodes(k))})
    at = dict(zip(points, logits_along(first, last, inputs, points), strict=True))
    exact = [at[alpha] for alpha in GRID]
    ends, way = (at[0.0], at[1.0]), (at[1.0] - at[0.0]).norm()
    slope = slope_at_zero_shot(first, last, inputs)
    nodes = {k: lobatto_nodes(k) for k in passes}
    few = {
        k: list(interpolated(torch.stack([at[x] for x in nodes[k]]), nodes[k], GRID))
        for k in passes
    }
    curves = {
        "weights": exact,
        "outputs": [output_ensemble(*ends, a) for a in GRID],
        "softmax": [softmax_ensemble(*ends, a) for a in GRID],
        "random": [random_ensemble(*ends, a, seed) for a in GRID],
        "first order": [ends[0] + a * slope for a in GRID],
        **{f"{k} passes": curve for k, curve in few.items()},
    }

    def same(one: Tensor, other: Tensor) -> float:
        equal = predictions(one, split.classes) == predictions(other, split.classes)
        return 100 * equal.double().mean().item()

    rows = []
    for kind, curve in curves.items():
        k = int(kind.split()[0]) if kind.endswith("passes") else 0
        check = few.get((k + 1) // 2) if k % 2 else None
        for i, alpha in enumerate(GRID):
            far = None  # softmax and random have no comparable logits
            if kind not in ("softmax", "random"):
                far = 100 * ((curve[i] - exact[i]).norm() / way).item()
            rows.append(
                {
                    "kind": kind,
                    "alpha": alpha,
                    "agreement": same(curve[i], exact[i]),
                    "departure": far,
                    "accuracy": 100 * accuracy(curve[i], split.labels, split.classes).accuracy,
                    "changed": None if check is None else 100 - same(curve[i], check[i]),
                }
            )
    return pd.DataFrame(rows)


def with_mean(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Add rows of split ``"shifts"``, the mean over the shifts, to results of ``measure``."""
    shifts = table[table["split"].isin(task.shifts)]
    mean = shifts.groupby(["kind", "alpha"], sort=False)[MEASURES].mean().reset_index()
    return pd.concat([table, mean.assign(split="shifts")], ignore_index=True)


def few_pass_errors(table: pd.DataFrame) -> pd.DataFrame:
    """Return the worst case over 21 alphas for each number of passes and split.

    ``error`` in accuracy (points), ``agreement`` of predictions with the exact curve (percent),
    ``departure`` of the logits (percent of the way), ``changed`` without every second pass
    (percent).
    """
    rows = []
    for (split, kind), curve in table[table["kind"].str.endswith("passes")].groupby(
        ["split", "kind"], sort=False
    ):
        exact = table[(table["split"] == split) & (table["kind"] == "weights")]
        error = curve.set_index("alpha")["accuracy"] - exact.set_index("alpha")["accuracy"]
        rows.append(
            {
                "passes": int(kind.split()[0]),
                "split": split,
                "error": error.abs().max(),
                "agreement": curve["agreement"].min(),
                "departure": curve["departure"].max(),
                "changed": curve["changed"].max(),
            }
        )
    return pd.DataFrame(rows)


def clock(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    split: Split,
    passes: int = 5,
    repeats: int = 3,
) -> float:
    """Return how many times longer 21 exact evaluations take than a curve from few passes.

    The shortest repeat counts, since other load can only make a run longer. Decoding is included.
    """
    seconds: dict[int | None, list[float]] = {None: [], passes: []}
    for _ in range(repeats):
        for few in seconds:
            started = time.perf_counter()
            sweep(zero_shot, fine_tuned, {split.name: split}, GRID, passes=few)
            seconds[few].append(time.perf_counter() - started)
    return min(seconds[None]) / min(seconds[passes])


def ensemble_with_convnet(
    zero_shot: ImageClassifier, task: Task, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Ensemble the outputs of zero-shot and a convnet trained from scratch.

    Returns:
        Accuracy in percent by split: of zero-shot, of the ensemble, of the convnet.
    """
    start = scratch_classifier("convnet", task, zero_shot.preprocess, seed)
    shots = ch02.SHOTS[-1]
    convnet = trained(start, task.few_shot(shots, seed), ch02.recipe_for(shots, seed))
    scores = {}
    for name, split in task.evaluation.items():
        ends = predict(zero_shot, split), predict(convnet, split)
        scores[name] = tuple(
            100 * accuracy(output_ensemble(*ends, a), split.labels, split.classes).accuracy
            for a in (0.0, 0.5, 1.0)
        )
    scores["shifts"] = tuple(
        sum(scores[s][i] for s in task.shifts) / len(task.shifts) for i in range(3)
    )
    return scores


def curves(
    first: nn.Module,
    last: nn.Module,
    inputs: Mapping[str, Tensor],
    task: Task,
    passes: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Run ``measure`` on every split of a task, and add the mean of the shifts."""
    tables = [
        measure(first, last, inputs[name], split, passes, seed).assign(split=name)
        for name, split in task.evaluation.items()
    ]
    return with_mean(pd.concat(tables), task)


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    images = {name: pixels(zero_shot, split) for name, split in task.evaluation.items()}
    features = {name: encode(zero_shot, split)[0] for name, split in task.evaluation.items()}
    n = {"test": len(task.test), "shifts": n_shifts(task), "emoji": len(task.shifts["emoji"])}
    mixed, few, ratios = [], [], []
    for seed in seeds:
        fine_tuned = trained(zero_shot, task, Recipe(seed=seed))
        probe = linear_probe(zero_shot, task, replace(PROBE, seed=seed))
        tables = {
            "end-to-end": curves(zero_shot, fine_tuned, images, task, PASSES, seed),
            "probe": curves(zero_shot.head, probe.head, features, task, (), seed),
        }
        for model, table in tables.items():
            rows = table[table["kind"].isin(MIXTURES) & table["split"].isin(n)]
            mixed.append(rows.assign(model=model, seed=seed))
        few.append(few_pass_errors(tables["end-to-end"]).assign(seed=seed))
        ratios.append(clock(zero_shot, fine_tuned, task.test))
        print(
            f"seed {seed}: 21 evaluations take {ratios[-1]:.2f} times as long as 5 passes",
            flush=True,
        )
    mixtures, passes = pd.concat(mixed, ignore_index=True), pd.concat(few, ignore_index=True)
    record.tables["ch09_curves"] = mixtures.drop(columns="changed")
    record.tables["ch09_passes"] = passes
    curve_numbers(record, mixtures, passes, n, seeds)
    worst_pass_numbers(record, passes, task, seeds)
    record.number("ch09.time_ratio", ratios, "times as long", n["test"], seeds, Recipe())
    ensembles = [ensemble_with_convnet(zero_shot, task, seed) for seed in seeds]
    for column, size in n.items():
        for i, name in enumerate(("zero", "half", "one")):
            record.number(
                f"ch09.strangers.{name}.{column}",
                [scores[column][i] for scores in ensembles],
                "percent",
                size,
                seeds,
                ch02.recipe_for(ch02.SHOTS[-1], 0),
            )


def curve_numbers(
    record: Record,
    mixtures: pd.DataFrame,
    passes: pd.DataFrame,
    n: Mapping[str, int],
    seeds: list[int],
) -> None:
    """Record the numbers of the mixtures and of the curves from few passes, by split."""

    def add(key: str, values: pd.Series, unit: str, split: str, recipe: Recipe = Recipe()) -> None:
        if values.notna().all():
            record.number(f"ch09.{key}", values.tolist(), unit, n[split], seeds, recipe)

    at = mixtures.set_index(["model", "kind", "alpha", "split", "seed"]).sort_index()
    for split in n:
        half_way_numbers(at, "end-to-end", "", split, add)
    for split in n:
        half_way_numbers(at, "probe", "probe.", split, partial(add, recipe=PROBE))
    for split in n:
        linearity_numbers(at, mixtures, split, add)
    for (k, split), part in passes[passes["split"].isin(n)].groupby(["passes", "split"]):
        for what, unit in (("error", "points"), ("agreement", "percent"), ("changed", "percent")):
            add(f"passes_{k}.{split}.{what}", part[what], unit, split)


def half_way_numbers(
    at: pd.DataFrame, model: str, prefix: str, split: str, add: Callable[..., None]
) -> None:
    """Record the accuracy of every mixture half way, and of weights over the other mixtures."""
    half = {kind: at.loc[(model, kind, 0.5, split), "accuracy"] for kind in MIXTURES}
    for kind, values in half.items():
        add(f"{prefix}{kind.replace(' ', '_')}.{split}", values, "percent", split)
        if kind in ("outputs", "softmax", "random"):
            over = half["weights"] - values
            add(f"{prefix}weights_over_{kind}.{split}", over, "points", split)


def linearity_numbers(
    at: pd.DataFrame, mixtures: pd.DataFrame, split: str, add: Callable[..., None]
) -> None:
    """Record how far mixtures and the first-order expansion lie from the exact curve of a split."""
    for name, kind, alpha in (
        ("outputs", "outputs", 0.5),
        ("softmax", "softmax", 0.5),
        ("first_order_tenth", "first order", 0.1),
        ("first_order_half", "first order", 0.5),
        ("first_order_one", "first order", 1.0),
    ):
        for what in ("agreement", "departure"):
            values = at.loc[("end-to-end", kind, alpha, split), what]
            add(f"{what}.{name}.{split}", values, "percent", split)
    probes = mixtures[
        mixtures["model"].eq("probe") & mixtures["kind"].eq("outputs") & mixtures["split"].eq(split)
    ]
    least = probes.groupby("seed")["agreement"].min()
    add(f"probe.same.{split}", least, "percent", split, PROBE)
    ends = [
        at.loc[("end-to-end", kind, 1.0, split), "accuracy"] for kind in ("first order", "weights")
    ]
    for name, values in zip(("first_order_one", "fine_tuned"), ends, strict=True):
        add(f"{name}.{split}", values, "percent", split)
    add(f"first_order_over_fine_tuned.{split}", ends[0] - ends[1], "points", split)


def worst_pass_numbers(record: Record, passes: pd.DataFrame, task: Task, seeds: list[int]) -> None:
    """Record the worst error in images, and on how many splits the check bounds the disagreement."""
    alone = passes[passes["split"] != "shifts"]
    sizes = {name: len(split) for name, split in task.evaluation.items()}
    images = alone["error"] * alone["split"].map(sizes) / 100
    kept = 100.0 * (100 - alone["agreement"] <= alone["changed"] + 1e-9)
    for k, part in alone.assign(images=images, kept=kept).groupby("passes"):
        by_seed = part.groupby("seed")
        worst = by_seed["images"].max().tolist()
        record.number(f"ch09.passes_{k}.worst_images", worst, "images", None, seeds, Recipe())
        if k % 2:
            held = by_seed["kept"].mean().tolist()
            record.number(f"ch09.passes_{k}.kept", held, "percent", None, seeds, Recipe())
