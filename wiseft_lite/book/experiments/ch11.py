"""Chapter 11: a fine-tuned model for each of seven tasks; probes on few images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.analysis.ensembles import output_ensemble
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import encode
from wiseft_lite.metrics import predictions
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.results import best_alpha
from wiseft_lite.sweeps import ALPHAS, sweep
from wiseft_lite.tasks import Task, load_task, task_names
from wiseft_lite.tasks.draws import few_shot_rows
from wiseft_lite.training import PROBE, Recipe, fit
from wiseft_lite.zeroshot import zero_shot_classifier

SHOTS = (1, 5, 10, 25, 50, 1000)  # images per class; the last is all there are
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of the probes
STEPS = 300
LONGER = 20  # epochs, the other candidate beside the recipe's own
MODELS = ("half", "chosen", "oracle")
RIVALS = ("zero_shot", "fine_tuned", "better")

Features = Mapping[str, tuple[Tensor, Tensor]]


def own_model(zero_shot: ImageClassifier, task: Task, recipe: Recipe) -> pd.DataFrame:
    """Fine-tune on a task and sweep alpha: ``val`` and ``test`` in percent."""
    splits = {"val": task.val, "test": task.test}
    table = sweep(zero_shot, trained(zero_shot, task, recipe), splits)
    return 100 * table.pivot(index="alpha", columns="split", values="accuracy")[list(splits)]


def encoded(zero_shot: ImageClassifier, task: Task) -> Features:
    """Return features and labels of ``train``, ``val`` and ``test``."""
    return {name: encode(zero_shot, task.split(name)) for name in ("train", "val", "test")}


def probe_recipe(n: int, lr: float, seed: int = 0) -> Recipe:
    """Return a recipe with as many epochs as make about ``STEPS`` steps of ``n`` images."""
    return replace(PROBE, lr=lr, epochs=max(1, round(STEPS / -(-n // PROBE.batch_size))), seed=seed)


@torch.inference_mode()
def head_curve(
    theta_0: Head,
    theta_1: Head,
    features: Tensor,
    labels: Tensor,
    classes: Sequence[int] | None = None,
    alphas: Sequence[float] = ALPHAS,
) -> pd.Series:
    """Return accuracy in percent along the line between two heads on the same features.

    The logits of the two heads suffice: ``(1 - alpha) x W_0 + alpha x W_1``.
    """
    logits_0, logits_1 = theta_0(features), theta_1(features)
    guesses = {a: predictions(output_ensemble(logits_0, logits_1, a), classes) for a in alphas}
    return pd.Series(
        {a: 100 * float((guess == labels).double().mean()) for a, guess in guesses.items()}
    )


def shot_curve(
    zero_shot: ImageClassifier, task: Task, features: Features, k: int, lr: float, seed: int = 0
) -> pd.DataFrame:
    """Train a head on ``k`` images per class and sweep alpha: ``val`` and ``test`` in percent."""
    inputs, labels = features["train"]
    rows = few_shot_rows(labels, k, seed)
    head = fit(
        copy.deepcopy(zero_shot.head),
        inputs[rows],
        labels[rows],
        probe_recipe(len(rows), lr, seed),
    )
    curves = {
        name: head_curve(zero_shot.head, head, *features[name], task.split(name).classes)
        for name in ("val", "test")
    }
    return pd.DataFrame(curves).rename_axis("alpha")


def searched(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the curve of the learning rate whose probe (alpha = 1) is best on ``val``.

    One for each task, k and seed, as in the paper; of equal learning rates the smallest.
    """
    ends = table[table["alpha"] == 1].sort_values(["val", "rate"], ascending=[False, True])
    best = ends.drop_duplicates(["task", "k", "seed"])[["task", "k", "seed", "rate"]]
    return table.merge(best, on=list(best))


def one_learning_rate(table: pd.DataFrame) -> float:
    """Return the learning rate that is best on ``val`` for all images, over tasks and seeds."""
    ends = table[(table["alpha"] == 1) & (table["k"] == table["k"].max())]
    return float(ends.groupby("rate")["val"].mean().idxmax())


def points(curve: pd.DataFrame) -> dict[str, float]:
    """Return the points of a curve that matter: ends, middle, best on ``val``, best on ``test``.

    Of equal alphas the smallest counts. The last is an oracle: it is chosen on ``test`` itself.
    """
    val, test = curve["val"], curve["test"]
    chosen, oracle = best_alpha(val), best_alpha(test)
    return {
        "zero_shot": test[0.0],
        "fine_tuned": test[1.0],
        "better": max(test[0.0], test[1.0]),
        "half": test[0.5],
        "chosen": test[chosen],
        "oracle": test.max(),
        "val_zero_shot": val[0.0],
        "val_fine_tuned": val[1.0],
        "chosen_alpha": chosen,
        "oracle_alpha": oracle,
    }


def reduced(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return one row of ``points`` for each curve of a table; ``keys`` identify a curve."""
    rows = [
        {**dict(zip(keys, key, strict=True)), **points(curve.set_index("alpha"))}
        for key, curve in table.groupby(list(keys), sort=False)
    ]
    return pd.DataFrame(rows)


def error_cut(before: float, after: float) -> float:
    """Return the fraction of errors removed, in percent: ``(after - before) / (100 - before)``."""
    return 100 * (after - before) / (100 - before)


def record_tasks(
    record: Record,
    table: pd.DataFrame,
    n: Mapping[str, int],
    n_val: Mapping[str, int],
    seeds: list[int],
) -> None:
    """Record the end-to-end numbers of each task and of the mean over all.

    Args:
        record: takes the numbers.
        table: a curve for each task and seed.
        n: test images of each task.
        n_val: validation images of each task.
        seeds: those in the table.
    """
    rows = reduced(table, ["task", "seed"])
    rows = rows.assign(error_cut=error_cut(rows["fine_tuned"], rows["half"]))
    for name in n:
        part = rows[rows["task"] == name].set_index("seed")
        record_points(record, f"ch11.{name}", part, n[name], n_val[name], seeds)
    means = rows.drop(columns="task").groupby("seed").mean()
    record_points(record, "ch11.mean", means, sum(n.values()), sum(n_val.values()), seeds)
    mean = rows.groupby("task")[[*MODELS, "better"]].mean()
    for model in MODELS:
        wins = int((mean[model] > mean["better"]).sum())
        record.number(f"ch11.{model}_wins", wins, f"of the {len(n)} tasks", sum(n.values()))


def record_points(
    record: Record, prefix: str, part: pd.DataFrame, n: int, n_val: int, seeds: list[int]
) -> None:
    """Record accuracies, gains and alphas of one task, or of their mean: a row for each seed."""

    def add(key: str, values: pd.Series, unit: str, images: int = n) -> None:
        record.number(f"{prefix}.{key}", values.tolist(), unit, images, seeds, Recipe())

    zero_shot = part["zero_shot"].iloc[:1].tolist()
    record.number(f"{prefix}.zero_shot", zero_shot, "percent", n, [0], Recipe())
    for model in ("fine_tuned", *MODELS):
        add(model, part[model], "percent")
    for model in ("fine_tuned", *MODELS):
        for rival in RIVALS:
            if rival != model:
                add(f"{model}_over_{rival}", part[model] - part[rival], "points")
    for key in ("val_zero_shot", "val_fine_tuned"):
        add(key, part[key], "percent", n_val)
    for key in ("chosen_alpha", "oracle_alpha"):
        add(key, part[key], "alpha")
    add("error_cut", part["error_cut"], "percent")


def record_artists(
    record: Record,
    table: pd.DataFrame,
    n: Mapping[str, int],
    n_val: Mapping[str, int],
    seeds: list[int],
) -> None:
    """Record half way against fine-tuned on the small tasks, on ``test`` and on ``val``.

    Test images are by other artists than the training images; those of ``val`` are by the same.
    If the other artists were the reason why half way loses, it would not lose on ``val``.
    """
    small = [name for name in n if name != "iconshift"]
    curves = table[table["task"].isin(small)].groupby(["alpha", "seed"])[["val", "test"]].mean()
    for key, part, counts in (
        ("half_over_fine_tuned", "test", n),
        ("val_half_over_fine_tuned", "val", n_val),
    ):
        gains = curves.loc[0.5][part] - curves.loc[1.0][part]
        record.number(
            f"ch11.small.{key}",
            gains[seeds].tolist(),
            "points",
            sum(counts[name] for name in small),
            seeds,
            Recipe(),
        )


def record_shots(
    record: Record, search: str, table: pd.DataFrame, n: int, seeds: list[int]
) -> pd.DataFrame:
    """Record the gains of the probes, mean over tasks, and the best alpha by number of images.

    Args:
        record: takes the numbers, named ``ch11.{search}_{k}``.
        search: how the learning rate was chosen.
        table: one curve for each task, k and seed.
        n: test images of all tasks together.
        seeds: those in the table.

    Returns:
        The points of each curve.
    """
    rows = reduced(table, ["task", "k", "seed", "rate"])
    for k, part in rows.groupby("k"):
        prefix = f"ch11.{search}_{'all' if k == SHOTS[-1] else k}"
        record_gains(record, prefix, part, table[table["k"] == k], n, seeds)
    return rows.assign(search=search)


def record_gains(
    record: Record, prefix: str, part: pd.DataFrame, curves: pd.DataFrame, n: int, seeds: list[int]
) -> None:
    """Record the numbers of the probes on one number of images: their ``points`` and curves."""

    def add(key: str, values: pd.Series, unit: str) -> None:
        record.number(f"{prefix}.{key}", values.tolist(), unit, n, seeds, PROBE)

    means = part.drop(columns="task").groupby("seed").mean()
    for model in ("fine_tuned", *MODELS):
        add(model, means[model], "percent")
        for rival in RIVALS:
            if rival != model:
                add(f"{model}_over_{rival}", means[model] - means[rival], "points")
    tasks = part.groupby("task")[[*MODELS, *RIVALS]].mean()
    for model in MODELS:
        gain = tasks[model] - tasks["better"]
        spread, wins = gain.std(), int((gain > 0).sum())
        unit = "points, standard deviation between tasks"
        record.number(f"{prefix}.{model}_spread", spread, unit, n)
        record.number(f"{prefix}.{model}_wins", wins, f"of the {len(tasks)} tasks", n)
    mean = curves.groupby(["seed", "alpha"])["test"].mean().unstack("alpha")
    best = mean.apply(best_alpha, axis=1)
    add("best_alpha", best, "alpha, best on test for the mean of the tasks")
    add("chosen_alpha", means["chosen_alpha"], "alpha, mean of the tasks")


def run(record: Record, seeds: list[int]) -> None:
    clip = load_clip("iconclip")
    tasks = {name: load_task(name) for name in task_names()}
    starts = {name: zero_shot_classifier(clip, task) for name, task in tasks.items()}
    n = {name: len(task.test) for name, task in tasks.items()}

    curves = [
        own_model(starts[name], task, Recipe(seed=seed)).reset_index().assign(task=name, seed=seed)
        for name, task in tasks.items()
        for seed in seeds
    ]
    table = record.tables["ch11_tasks"] = pd.concat(curves)[
        ["task", "seed", "alpha", "val", "test"]
    ]
    n_val = {name: len(task.val) for name, task in tasks.items()}
    record_tasks(record, table, n, n_val, seeds)
    record_artists(record, table, n, n_val, seeds)
    print(reduced(table, ["task", "seed"]).groupby("task", sort=False).mean().round(1).to_string())

    # Are ten epochs enough where they are only forty steps? On val of the six small tasks.
    small = [name for name in tasks if name != "iconshift"]
    for epochs in (Recipe().epochs, LONGER):
        recipe = Recipe(epochs=epochs, seed=seeds[0])
        ends = [own_model(starts[name], tasks[name], recipe).loc[1.0, "val"] for name in small]
        record.number(
            f"ch11.epochs_{epochs}.val",
            sum(ends) / len(ends),
            "percent",
            sum(len(tasks[name].val) for name in small),
            recipe=recipe,
        )

    curves = []
    for name, task in tasks.items():
        features, counts = encoded(starts[name], task), torch.bincount(task.train.labels)
        for k in SHOTS:
            record.number(
                f"ch11.{name}.images_{'all' if k == SHOTS[-1] else k}",
                int(counts.clamp(max=k).sum()),
                "images",
                None,
            )
            curves += [
                shot_curve(starts[name], task, features, k, lr, seed)
                .reset_index()
                .assign(task=name, k=k, seed=seed, rate=lr)
                for lr in LEARNING_RATES
                for seed in seeds
            ]
    probes = pd.concat(curves)
    lr = one_learning_rate(probes)
    record.number("ch11.one_rate", lr, "learning rate", None)
    shots = [
        record_shots(record, search, table, sum(n.values()), seeds)
        for search, table in (
            ("searched", searched(probes)),
            ("one_rate", probes[probes["rate"] == lr]),
        )
    ]
    record.tables["ch11_shots"] = pd.concat(shots)
    keys = ["k", "seed", "rate", "alpha"]
    mean = probes.groupby(keys)[["val", "test"]].mean()  # over the tasks
    record.tables["ch11_rates"] = mean.reset_index()
    for k in SHOTS[:-1]:
        full = sum(int((torch.bincount(task.train.labels) >= k).sum()) for task in tasks.values())
        record.number(f"ch11.classes_with_{k}", full, "classes", None)
    print(pd.concat(shots).groupby(["search", "k"]).mean(numeric_only=True).round(1).to_string())
