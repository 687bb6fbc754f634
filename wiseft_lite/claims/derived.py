"""Quantities that a claim needs and no chapter records: worked out, seed by seed, from recorded tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from wiseft_lite import ledger
from wiseft_lite.claims.rules import Values
from wiseft_lite.experiments.ch02 import line
from wiseft_lite.experiments.ch10 import between
from wiseft_lite.robustness import effective_robustness
from wiseft_lite.tasks import load_task
from wiseft_lite.training import Recipe

SHIFTS = ("line_new_artists", "solid", "two_tone", "color", "emoji", "pixel", "sketch")  # in the data's order
ALPHA = 0.5  # the paper's advice without further knowledge


def curves(kind: str = "end-to-end") -> dict[int, pd.DataFrame]:
    """Recorded sweeps by seed: accuracy in percent, a row for each alpha from 0 to 1, a column for each split.

    ``shifts`` is the mean of the shifts. The end-to-end curves are chapter 6's; chapter 7 has those of the probe too.
    """
    table = ledger.table("ch07_curves")
    table = table[(table["kind"] == kind) & table["alpha"].between(0, 1)]
    result = {}
    for seed, rows in table.groupby("seed"):
        wide = 100 * rows.pivot(index="alpha", columns="split", values="accuracy")
        result[int(seed)] = wide.assign(shifts=wide[list(SHIFTS)].mean(axis=1))
    return result


def images(split: str) -> int:
    """How many images a split has, or all shifts together for ``shifts``."""
    sizes = ledger.table("ch07_curves").drop_duplicates("split").set_index("split")["n"]
    return int(sizes[list(SHIFTS)].sum() if split == "shifts" else sizes[split])


def _by_other_seeds(runs: Mapping[int, pd.Series], pick: Callable[[pd.Series], float]) -> tuple[float, ...]:
    """For each seed its curve at one alpha between the ends; which alpha, the curves of the *other* seeds decide.

    The best or worst of nine noisy numbers on a curve would flatter or blame itself.
    """
    inner = {seed: run.drop([0.0, 1.0]) for seed, run in runs.items()}
    others = {seed: sum(run for s, run in inner.items() if s != seed) for seed in inner}
    return tuple(float(run[pick(others[seed])]) for seed, run in inner.items())


def _gain(run: pd.Series) -> pd.Series:
    return run - max(run[0.0], run[1.0])


def over_better_end(split: str) -> Callable[[], Values]:
    """Gain of the best alpha over the better end, in points, on one split or the mean of the shifts."""
    def measure() -> Values:
        runs = {seed: _gain(run[split]) for seed, run in curves().items()}
        return Values(_by_other_seeds(runs, pd.Series.idxmax), "points", images(split))

    return measure


def over_better_end_of_task(task: str) -> Callable[[], Values]:
    """The same on a task's own test pictures, where each task has its own fine-tuned model (chapter 11)."""
    def measure() -> Values:
        table = ledger.table("ch11_tasks")
        runs = {int(seed): _gain(rows.set_index("alpha")["test"])
                for seed, rows in table[table["task"] == task].groupby("seed")}
        n = ledger.read()[f"ch11.{task}.half"]["n"]
        return Values(_by_other_seeds(runs, pd.Series.idxmax), "points", n)

    return measure


def over_chord(split: str) -> Callable[[], Values]:
    """Height of the lowest point between the ends over the straight line between their accuracies, in points."""
    def height(run: pd.Series) -> pd.Series:
        alpha = run.index.to_series()
        return run - (1 - alpha) * run[0.0] - alpha * run[1.0]

    def measure() -> Values:
        runs = {seed: height(run[split]) for seed, run in curves().items()}
        return Values(_by_other_seeds(runs, pd.Series.idxmin), "points", images(split))

    return measure


def over_probe(column: str, alpha: float = ALPHA) -> Callable[[], Values]:
    """End to end at ``alpha`` minus the plain linear probe of the same seed, in points."""
    def measure() -> Values:
        table = ledger.table("ch03_shots")
        whole = table[(table["start"] == "zero-shot") & (table["shots"] == table["shots"].max())].set_index("seed")
        gains = [run.loc[alpha, column] - whole.loc[seed, column] for seed, run in curves().items()]
        return Values(tuple(gains), "points", images(column))

    return measure


def robustness_change(first: float, second: float) -> Callable[[], Values]:
    """Effective robustness at alpha ``second`` minus that at ``first``, on the mean of the shifts, in points.

    Each seed has its own baseline, through the models of that seed that were trained on the reference alone.
    """
    def measure() -> Values:
        table = ledger.table("ch02_baselines")
        changes = []
        for seed, run in curves().items():
            baseline = line(table[table["seed"] == seed], "shifts")
            at = [100 * effective_robustness(run.loc[a, "test"] / 100, run.loc[a, "shifts"] / 100, baseline)
                  for a in (first, second)]
            changes.append(at[1] - at[0])
        return Values(tuple(changes), "points", images("shifts"))

    return measure


def beside_own_alpha(decay: float, column: str) -> Callable[[], Values]:
    """A moving average started at zero-shot minus the line at the alpha that it stands for, ``1 - decay^T``, in points.

    The gap of chapter 10 cannot judge this: it asks for the best that the line offers, and most points of the line
    are not the best of it.
    """
    def measure() -> Values:
        steps = Recipe().epochs * -(-len(load_task("iconshift").train) // Recipe().batch_size)
        alpha = round(1 - decay**steps, 2)
        table = ledger.table("ch10_controls")
        runs = table[table["control"] == f"EMA {decay:g} from zero-shot"].set_index("seed")[column]
        apart = [runs[seed] - between(run).loc[alpha, column] for seed, run in curves().items()]
        return Values(tuple(apart), "points", images(column))

    return measure


def twins_apart(within: float) -> Callable[[], Values]:
    """Among learning rates within ``within`` points of the best on ``val``: range on the shifts minus that on test."""
    def measure() -> Values:
        table = ledger.table("ch05_grid")
        table = table[table["setting"].str.startswith("lr")]
        gaps = []
        for _, rows in table.groupby("seed"):
            near = rows[rows["val"] >= rows["val"].max() - within]
            gaps.append(near["shifts"].max() - near["shifts"].min() - (near["test"].max() - near["test"].min()))
        return Values(tuple(gaps), "points", images("shifts"))

    return measure


def cka_lead(split: str) -> Callable[[], Values]:
    """CKA complement of zero-shot and probe minus that of two probes: too small for the ledger's four decimals."""
    def measure() -> Values:
        table = ledger.table("ch08_diversity")
        pairs = table[table["split"] == split].pivot(index="seed", columns="pair", values="cka_complement")
        return Values(tuple(pairs["probe"] - pairs["halves"]), "index from 0 to 1", images(split))

    return measure
