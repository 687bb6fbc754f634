"""Exercises of chapter 5, What the reference cannot see."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _grid() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lr": [1e-5, 1e-4, 1e-3, 1e-2],
            "val": [80.0, 86.0, 86.8, 70.0],
            "test": [85.2, 83.0, 85.5, 80.0],
            "shifts": [66.0, 67.0, 61.0, 40.0],
        }
    )


def _range(table, within):
    near = table[table["val"] >= table["val"].max() - within]
    return near["shifts"].max() - near["shifts"].min()


twins = Exercise(
    "5.3",
    claims=[
        (
            "you look at all settings; keep only those that validation cannot distinguish.",
            lambda f: not _near(f(_grid(), 1.0), 27),
        ),
        (
            "you compare on the test images; a setting is chosen on 'val'.",
            lambda f: not _near(f(_grid(), 1.0), _range(_grid().assign(val=_grid()["test"]), 1.0)),
        ),
        (
            "you return the spread on the reference; the question asks about the shifts.",
            lambda f: not _near(f(_grid(), 1.0), 0.8) and not _near(f(_grid(), 1.0), 0.5),
        ),
        (
            "two settings lie within a point of the best on 'val'; their shifts are 67 and 61.",
            lambda f: _near(f(_grid(), 1.0), 6),
        ),
    ],
    solution=_range,
    wrong=[
        (lambda t, within: t["shifts"].max() - t["shifts"].min(), "all settings"),
        (lambda t, within: _range(t.assign(val=t["test"]), within), "chosen on 'val'"),
        (lambda t, within: 0.8, "spread on the reference"),
        (lambda t, within: 0.0, "67 and 61"),
    ],
)


def _correlation(table):
    return float(np.corrcoef(np.log10(table["lr"]), table["shifts"])[0, 1])


correlation = Exercise(
    "5.4",
    claims=[
        (
            "learning rates differ by factors of ten: take their logarithm, or the largest one alone decides.",
            lambda f: not _near(f(_grid()), np.corrcoef(_grid()["lr"], _grid()["shifts"])[0, 1]),
        ),
        (
            "that is a covariance; divide by both standard deviations.",
            lambda f: abs(f(_grid())) <= 1,
        ),
        (
            "a larger learning rate goes with a lower accuracy here: the correlation is negative.",
            lambda f: f(_grid()) < 0,
        ),
        (
            "correlate log10 of 'lr' with 'shifts'.",
            lambda f: _near(f(_grid()), _correlation(_grid()), 1e-4),
        ),
    ],
    solution=_correlation,
    wrong=[
        (lambda t: np.corrcoef(t["lr"], t["shifts"])[0, 1], "their logarithm"),
        (lambda t: np.cov(np.log10(t["lr"]), t["shifts"])[0, 1], "covariance"),
        (lambda t: -_correlation(t), "is negative"),
        (lambda t: float(np.corrcoef(np.log10(t["lr"]), t["test"])[0, 1]), "log10 of 'lr'"),
    ],
)


def _curve() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3, 4],
            "val": [80.0, 84.0, 87.0, 86.0, 85.0],
            "test": [80.0, 83.0, 85.0, 86.0, 84.0],
            "shifts": [66.0, 69.0, 65.0, 62.0, 60.0],
        }
    )


def _stop(table):
    return int(table.loc[table["val"].idxmax(), "epoch"])


stop = Exercise(
    "5.5",
    claims=[
        (
            "you stop where the shifts are best; their labels are not available during training.",
            lambda f: f(_curve()) != 1,
        ),
        (
            "you stop where the test images are best, and then report on them.",
            lambda f: f(_curve()) != 3,
        ),
        ("you take the last epoch: that is not stopping early.", lambda f: f(_curve()) != 4),
        ("return the epoch with the largest 'val'.", lambda f: f(_curve()) == 2),
    ],
    solution=_stop,
    wrong=[
        (lambda t: int(t.loc[t["shifts"].idxmax(), "epoch"]), "not available"),
        (lambda t: int(t.loc[t["test"].idxmax(), "epoch"]), "then report on them"),
        (lambda t: int(t["epoch"].max()), "not stopping early"),
        (lambda t: 0, "largest 'val'"),
    ],
)

guess_learning_rate = choice(
    "5.2",
    "C",
    {
        "A": "the reference is flat around its best value: learning rates a factor of ten apart often end within a few points of each other.",
        "B": "fine-tuning with a tiny learning rate hardly moves the weights, so hardly anything is lost on the shifts.",
        "D": "the shifts are where learning rates differ: the paper reports up to 8 points there for 0.3 on the reference.",
    },
)

published = choice(
    "5.1",
    "A",
    {
        "B": "0.32 is positive: a higher accuracy on the reference goes, weakly, with a higher one under shift.",
        "C": "a correlation of 0.32 explains a tenth of the variance (0.32 squared), not a third.",
        "D": "a weak correlation between the two accuracies does not mean that every run is equally robust.",
    },
)

ALL = [twins, correlation, stop, guess_learning_rate, published]
