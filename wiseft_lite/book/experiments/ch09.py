"""Chapter 9: weights or outputs, how straight the network is along the line, and a curve from few
passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

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
    """Run the models on the line once and judge every other curve against them.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: the split's images, preprocessed, or its features for heads.
        split: gives the labels.
        passes: also judge curves from that many passes.
        seed: of the dice of the random mixture.

    Returns:
        A row for each curve and each of 21 alphas. ``kind``: ``"weights"`` is the exact curve,
        beside it the other ``MIXTURES`` and ``"K passes"``. ``accuracy`` in percent; ``agreement``,
        the percentage of images on which the curve and the exact one predict the same;
        ``departure``, how far its logits lie from the exact ones, in percent of the way from the
        first model's logits to the last's (not for softmax and random); ``changed``, for odd K, the
        percentage of images whose prediction changes when every second pass is left out.
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
            far = (
                None
                if kind in ("softmax", "random")
                else 100 * ((curve[i] - exact[i]).norm() / way).item()
            )
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
    """What ``measure`` returned, with a column ``split``, and rows of split ``"shifts"``: the mean
    over them."""
    shifts = table[table["split"].isin(task.shifts)]
    mean = shifts.groupby(["kind", "alpha"], sort=False)[MEASURES].mean().reset_index()
    return pd.concat([table, mean.assign(split="shifts")], ignore_index=True)


def few_pass_errors(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each number of passes and split: the worst over 21 alphas.

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
    """How many times longer 21 exact evaluations take than a curve from few passes, decoding
    included.

    The shortest of some repeats counts: what else a machine does can only make a run longer.
    """
    seconds: dict[int | None, list[float]] = {None: [], passes: []}
    for _ in range(repeats):
        for few in seconds:
            started = time.perf_counter()
            sweep(zero_shot, fine_tuned, {split.name: split}, GRID, passes=few)
            seconds[few].append(time.perf_counter() - started)
    return min(seconds[None]) / min(seconds[passes])


def strangers(
    zero_shot: ImageClassifier, task: Task, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Zero-shot, half and half by outputs, and a convnet that never met it: accuracy in percent by
    split."""
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


def run(record: Record, seeds: list[int]) -> None:
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    pictures = {name: pixels(zero_shot, split) for name, split in task.evaluation.items()}
    features = {name: encode(zero_shot, split)[0] for name, split in task.evaluation.items()}
    n = {"test": len(task.test), "shifts": n_shifts(task), "emoji": len(task.shifts["emoji"])}
    mixed, few, ratios = [], [], []
    for seed in seeds:
        fine_tuned = trained(zero_shot, task, Recipe(seed=seed))
        probe = linear_probe(zero_shot, task, replace(PROBE, seed=seed))
        for model, first, last, inputs, passes in (
            ("end-to-end", zero_shot, fine_tuned, pictures, PASSES),
            ("probe", zero_shot.head, probe.head, features, ()),
        ):
            table = with_mean(
                pd.concat(
                    [
                        measure(first, last, inputs[name], split, passes, seed).assign(split=name)
                        for name, split in task.evaluation.items()
                    ]
                ),
                task,
            )
            mixed.append(
                table[table["kind"].isin(MIXTURES) & table["split"].isin(n)].assign(
                    model=model, seed=seed
                )
            )
            if passes:
                few.append(few_pass_errors(table).assign(seed=seed))
        ratios.append(clock(zero_shot, fine_tuned, task.test))
        print(
            f"seed {seed}: 21 evaluations take {ratios[-1]:.2f} times as long as 5 passes",
            flush=True,
        )
    mixtures, passes = pd.concat(mixed, ignore_index=True), pd.concat(few, ignore_index=True)
    record.tables["ch09_curves"] = mixtures.drop(columns="changed")
    record.tables["ch09_passes"] = passes

    def add(key: str, values: pd.Series, unit: str, split: str, recipe: Recipe = Recipe()) -> None:
        if values.notna().all():
            record.number(f"ch09.{key}", values.tolist(), unit, n[split], seeds, recipe)

    at = mixtures.set_index(["model", "kind", "alpha", "split", "seed"]).sort_index()
    for model, prefix, recipe in (("end-to-end", "", Recipe()), ("probe", "probe.", PROBE)):
        for split in n:
            half = {kind: at.loc[(model, kind, 0.5, split), "accuracy"] for kind in MIXTURES}
            for kind, values in half.items():
                add(f"{prefix}{kind.replace(' ', '_')}.{split}", values, "percent", split, recipe)
                if kind in ("outputs", "softmax", "random"):
                    add(
                        f"{prefix}weights_over_{kind}.{split}",
                        half["weights"] - values,
                        "points",
                        split,
                        recipe,
                    )
    for split in n:
        for name, kind, alpha in (
            ("outputs", "outputs", 0.5),
            ("softmax", "softmax", 0.5),
            ("first_order_tenth", "first order", 0.1),
            ("first_order_half", "first order", 0.5),
            ("first_order_one", "first order", 1.0),
        ):
            for what in ("agreement", "departure"):
                add(
                    f"{what}.{name}.{split}",
                    at.loc[("end-to-end", kind, alpha, split), what],
                    "percent",
                    split,
                )
        probes = mixtures[
            mixtures["model"].eq("probe")
            & mixtures["kind"].eq("outputs")
            & mixtures["split"].eq(split)
        ]
        add(
            f"probe.same.{split}",
            probes.groupby("seed")["agreement"].min(),
            "percent",
            split,
            PROBE,
        )
        ends = [
            at.loc[("end-to-end", kind, 1.0, split), "accuracy"]
            for kind in ("first order", "weights")
        ]
        for name, values in zip(("first_order_one", "fine_tuned"), ends, strict=True):
            add(f"{name}.{split}", values, "percent", split)
        add(f"first_order_over_fine_tuned.{split}", ends[0] - ends[1], "points", split)
    for (k, split), part in passes[passes["split"].isin(n)].groupby(["passes", "split"]):
        for what, unit in (("error", "points"), ("agreement", "percent"), ("changed", "percent")):
            add(f"passes_{k}.{split}.{what}", part[what], unit, split)
    alone = passes[passes["split"] != "shifts"]
    images = (
        alone["error"]
        * alone["split"].map({name: len(split) for name, split in task.evaluation.items()})
        / 100
    )
    kept = 100.0 * (100 - alone["agreement"] <= alone["changed"] + 1e-9)
    for k, part in alone.assign(images=images, kept=kept).groupby("passes"):
        by_seed = part.groupby("seed")
        worst = by_seed["images"].max().tolist()
        record.number(f"ch09.passes_{k}.worst_images", worst, "images", None, seeds, Recipe())
        if k % 2:
            record.number(
                f"ch09.passes_{k}.kept",
                by_seed["kept"].mean().tolist(),
                "percent",
                None,
                seeds,
                Recipe(),
            )
    record.number("ch09.time_ratio", ratios, "times as long", n["test"], seeds, Recipe())
    apart = [strangers(zero_shot, task, seed) for seed in seeds]
    for column, images in n.items():
        for i, name in enumerate(("zero", "half", "one")):
            record.number(
                f"ch09.strangers.{name}.{column}",
                [a[column][i] for a in apart],
                "percent",
                images,
                seeds,
                ch02.recipe_for(ch02.SHOTS[-1], 0),
            )
