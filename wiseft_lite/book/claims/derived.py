"""Quantities for the claims that are not in the ledger: computed by seed from recorded tables.

Each function below, called with its arguments, returns a ``Derived``; the hash of a rule includes
its name, arguments and code.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from functools import wraps

import numpy as np
import pandas as pd

from wiseft_lite.analysis.robustness import (
    effective_robustness,
    mean_accuracy,
    rise_interval,
    robustness_interval,
)
from wiseft_lite.book import ledger
from wiseft_lite.book.claims.rules import Derived, EveryFit, IntervalEstimate, Values, interval
from wiseft_lite.book.experiments.ch02 import FITS, line
from wiseft_lite.book.experiments.ch10 import between, gaps
from wiseft_lite.metrics import Estimate, clopper_pearson
from wiseft_lite.training import Recipe

SHIFTS = (
    "line_new_artists",
    "solid",
    "two_tone",
    "color",
    "emoji",
    "pixel",
    "sketch",
)  # in the data's order
TASKS = ("iconshift", "arrows", "brands", "flags", "gauges", "glyphs", "weather")
ALPHA = 0.5  # the paper's advice without further knowledge


def derived(*experiments: str) -> Callable[[Callable], Callable[..., Derived]]:
    """Decorate a function to return a ``Derived`` that computes it, with the experiments it reads."""

    def decorate(function: Callable) -> Callable[..., Derived]:
        @wraps(function)
        def named(*args) -> Derived:
            return Derived(function, args, experiments)

        return named

    return decorate


def curves(kind: str = "end-to-end") -> dict[int, pd.DataFrame]:
    """Return recorded sweeps by seed: accuracy in percent, a row per alpha, a column per split.

    Alphas are from 0 to 1; ``shifts`` is the mean of the shifts. The end-to-end curves are those of
    chapter 6; chapter 7 has those of the probe too.
    """
    table = ledger.table("ch07_curves")
    table = table[(table["kind"] == kind) & table["alpha"].between(0, 1)]
    result = {}
    for seed, rows in table.groupby("seed"):
        wide = 100 * rows.pivot(index="alpha", columns="split", values="accuracy")
        result[int(seed)] = wide.assign(shifts=wide[list(SHIFTS)].mean(axis=1))
    return result


def images(split: str) -> int:
    """Return the number of images of a split, or of all shifts together for ``shifts``."""
    sizes = ledger.table("ch07_curves").drop_duplicates("split").set_index("split")["n"]
    return int(sizes[list(SHIFTS)].sum() if split == "shifts" else sizes[split])


def _by_other_seeds(
    runs: Mapping[int, pd.Series], pick: Callable[[pd.Series], float]
) -> tuple[float, ...]:
    """Return each seed's curve at an inner alpha that is chosen on the curves of the *other* seeds.

    The best or worst of nine noisy numbers of a curve would be biased.
    """
    inner = {seed: run.drop([0.0, 1.0]) for seed, run in runs.items()}
    others = {seed: sum(run for s, run in inner.items() if s != seed) for seed in inner}
    return tuple(float(run[pick(others[seed])]) for seed, run in inner.items())


def _gain(run: pd.Series) -> pd.Series:
    return run - max(run[0.0], run[1.0])


def _means(rows: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(statistics.fmean(column) for column in zip(*rows, strict=True))


def _task_curves(task: str) -> dict[int, pd.Series]:
    table = ledger.table("ch11_tasks")
    return {
        int(seed): rows.set_index("alpha")["test"]
        for seed, rows in table[table["task"] == task].groupby("seed")
    }


@derived("ch07")
def over_better_end(split: str) -> Values:
    """Gain of the best alpha over the better end, in points, on a split or the mean of the shifts."""
    runs = {seed: _gain(run[split]) for seed, run in curves().items()}
    return Values(_by_other_seeds(runs, pd.Series.idxmax), "points", images(split))


@derived("ch07")
def over_better_end_one_by_one() -> Values:
    """Gain over the better end on each shift, with its own alpha and end; mean over the shifts."""
    rows = [
        _by_other_seeds(
            {seed: _gain(run[shift]) for seed, run in curves().items()}, pd.Series.idxmax
        )
        for shift in SHIFTS
    ]
    return Values(_means(rows), "points", images("shifts"))


@derived("ch11")
def over_better_end_of_tasks() -> Values:
    """Gain over the better end on each task's test images, with its own model; mean over tasks."""
    rows = [
        _by_other_seeds(
            {seed: _gain(run) for seed, run in _task_curves(task).items()}, pd.Series.idxmax
        )
        for task in TASKS
    ]
    return Values(_means(rows), "points", ledger.read()["ch11.mean.half"]["n"])


@derived("ch07")
def over_random(kind: str, split: str) -> Values:
    """Gain of averaging: alpha = 0.5 minus the mean of both ends, in points.

    That mean is the expected accuracy of choosing one of the two models at random for each image.
    """
    gains = [
        run.loc[ALPHA, split] - (run.loc[0.0, split] + run.loc[1.0, split]) / 2
        for run in curves(kind).values()
    ]
    return Values(tuple(gains), "points", images(split))


@derived("ch07", "ch10")
def probe_line_over_random() -> Values:
    """Height of the probe's line over random choice at equal reference accuracy, in points.

    It is minus the gap of chapter 10 for a control that chooses one of the two ends at random.
    """
    table = ledger.table("ch10_probes")
    own = {
        int(seed): rows.set_index("setting")
        for seed, rows in table[table["kind"] == "line"].groupby("seed")
    }
    middle = pd.DataFrame(
        [(own[seed].loc[0.0] + own[seed].loc[1.0])[["test", "shifts"]] / 2 for seed in own]
    )
    return Values(
        tuple(-gap for gap in gaps(middle.assign(seed=list(own)), own)), "points", images("shifts")
    )


@derived("ch07")
def over_chord(split: str) -> Values:
    """Height of the lowest inner point over the chord between the ends' accuracies, in points."""

    def height(run: pd.Series) -> pd.Series:
        alpha = run.index.to_series()
        return run - (1 - alpha) * run[0.0] - alpha * run[1.0]

    runs = {seed: height(run[split]) for seed, run in curves().items()}
    return Values(_by_other_seeds(runs, pd.Series.idxmin), "points", images(split))


@derived("ch07")
def over_probe(column: str, alpha: float) -> Values:
    """End to end at ``alpha`` minus the plain linear probe of the same seed, in points."""
    probes = curves("probe")
    gains = [
        run.loc[alpha, column] - probes[seed].loc[1.0, column] for seed, run in curves().items()
    ]
    return Values(tuple(gains), "points", images(column))


def _counts(split: str) -> dict[str, tuple[float, int]]:
    """Return the zero-shot accuracy as a fraction, and the images, of a split or of each shift."""
    entries = ledger.read()
    found = {
        name: entries[f"data.iconshift.{name}.zero_shot"]
        for name in (SHIFTS if split == "shifts" else (split,))
    }
    return {name: (entry["value"] / 100, entry["n"]) for name, entry in found.items()}


def _with_interval(counts: Mapping[str, tuple[float, int]], level: float = 0.95) -> Estimate:
    """Return the plain mean of accuracies with its interval at a level."""
    return mean_accuracy(
        [
            Estimate(accuracy, n, *clopper_pearson(round(accuracy * n), n, level))
            for accuracy, n in counts.values()
        ]
    )


def _baselines() -> pd.DataFrame:
    """Return the models of the baseline: a row per kind and number of images, the mean of its seeds.

    The scatter around the line is between these settings. Seeds of one setting have it in common,
    so counting each seed as a model would understate the uncertainty of the line.
    """
    return (
        ledger.table("ch02_baselines")
        .groupby(["kind", "shots"], as_index=False)
        .mean(numeric_only=True)
    )


@derived("ch02", "data")
def robustness(column: str) -> EveryFit:
    """Effective robustness of the zero-shot model in points, under each fit of the baseline.

    ``column`` is a shift or their mean. Intervals are those of ``robustness_interval``: test images
    and line.
    """
    table, counts, seeds = (
        _baselines(),
        _counts(column),
        ledger.table("ch02_baselines")["seed"].nunique(),
    )
    reference, shift = _with_interval(_counts("test")).accuracy, _with_interval(counts)

    def under(fit: str) -> IntervalEstimate:
        baseline = line(table, column, fit)

        def bounds(level: float) -> tuple[float, float]:
            low, high = robustness_interval(
                reference, _with_interval(counts, level), baseline, level
            )
            return 100 * low, 100 * high

        rho = 100 * effective_robustness(reference, shift.accuracy, baseline)
        return IntervalEstimate(rho, bounds, "points", shift.n, seeds)

    return EveryFit({fit: under(fit) for fit in FITS})


@derived("ch02", "ch07")
def robustness_change(first: float, second: float) -> EveryFit:
    """Effective robustness at alpha ``second`` minus that at ``first``, in points, under each fit.

    On the mean of the shifts. The interval adds in quadrature the spread of the runs over seeds and
    the uncertainty of the baseline's rise between the two.
    """
    table, runs = _baselines(), curves()

    def under(fit: str) -> IntervalEstimate:
        baseline = line(table, "shifts", fit)
        changes = []
        for run in runs.values():
            before, after = (
                100
                * effective_robustness(
                    run.loc[a, "test"] / 100, run.loc[a, "shifts"] / 100, baseline
                )
                for a in (first, second)
            )
            changes.append(after - before)
        mean = statistics.fmean(changes)
        ends = [
            statistics.fmean(run.loc[a, "test"] / 100 for run in runs.values())
            for a in (first, second)
        ]
        rise = baseline(ends[1]) - baseline(ends[0])

        def bounds(level: float) -> tuple[float, float]:
            low, high = interval(changes, level)
            least, most = rise_interval(*ends, baseline, level)
            below, above = (
                math.hypot(mean - low, 100 * (most - rise)),
                math.hypot(high - mean, 100 * (rise - least)),
            )
            return mean - below, mean + above

        return IntervalEstimate(mean, bounds, "points", images("shifts"), len(changes))

    return EveryFit({fit: under(fit) for fit in FITS})


@derived("ch07", "ch10")
def distance_to_line(decay: float) -> Values:
    """Distance of a moving average started at zero-shot from its seed's line, in points.

    Euclidean distance to the nearest point, over reference accuracy and the mean of the shifts.
    """
    table = ledger.table("ch10_controls")
    averages = table[table["control"] == f"EMA {decay:g} from zero-shot"].set_index("seed")[
        ["test", "shifts"]
    ]
    apart = [_from_line(run, averages.loc[seed]) for seed, run in curves().items()]
    return Values(tuple(apart), "points", images("test") + images("shifts"))


@derived("ch07")
def random_distance_to_line() -> Values:
    """Distance of random choice, the midpoint of both ends' accuracies, from the line, in points."""
    apart = [
        _from_line(run, run.loc[[0.0, 1.0], ["test", "shifts"]].mean()) for run in curves().values()
    ]
    return Values(tuple(apart), "points", images("test") + images("shifts"))


def _from_line(run: pd.DataFrame, model: pd.Series) -> float:
    return float(((between(run) - model) ** 2).sum(axis=1).min() ** 0.5)


def _learning_rates() -> pd.DataFrame:
    table = ledger.table("ch05_grid")
    return table[table["setting"].str.startswith("lr")]


@derived("ch05")
def twins_apart(within: float) -> Values:
    """Range on the shifts minus that on test, of learning rates within ``within`` of the best on val."""
    apart = []
    for _, rows in _learning_rates().groupby("seed"):
        near = rows[rows["val"] >= rows["val"].max() - within]
        apart.append(
            near["shifts"].max() - near["shifts"].min() - (near["test"].max() - near["test"].min())
        )
    return Values(tuple(apart), "points", images("shifts"))


@derived("ch05")
def learning_rate_correlation(column: str) -> Values:
    """Correlation of an accuracy with log10 of the learning rate, up to the recipe's.

    Above the recipe's the reference accuracy falls too (chapter 5).
    """
    table = _learning_rates()
    gentle = table[table["lr"] <= Recipe().lr * (1 + 1e-9)]
    found = [
        float(np.corrcoef(np.log10(rows["lr"]), rows[column])[0, 1])
        for _, rows in gentle.groupby("seed")
    ]
    return Values(tuple(found), "correlation", images(column))


@derived("ch08")
def cka_lead(split: str) -> Values:
    """CKA complement of zero-shot and probe minus that of two probes; the ledger's four decimals are
    too few for it."""
    table = ledger.table("ch08_diversity")
    pairs = table[table["split"] == split].pivot(
        index="seed", columns="pair", values="cka_complement"
    )
    return Values(tuple(pairs["probe"] - pairs["halves"]), "index from 0 to 1", images(split))


@derived("ch11")
def chosen_over_chosen_end(k: int) -> Values:
    """Alpha chosen on ``val`` minus the end chosen on ``val``, for probes on ``k`` images per class.

    Mean over the tasks. Of equal ends zero-shot counts, as of equal alphas the smallest does.
    """
    table = ledger.table("ch11_shots")
    rows = table[(table["search"] == "searched") & (table["k"] == k)]
    end = rows["fine_tuned"].where(
        rows["val_fine_tuned"] > rows["val_zero_shot"], rows["zero_shot"]
    )
    gains = (rows["chosen"] - end).groupby(rows["seed"]).mean()
    return Values(tuple(gains), "points", ledger.read()["ch11.searched_all.half"]["n"])
