"""Exercises of chapter 5, What the reference cannot see."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.book.checks.draw import distinct, table

published = Choice(
    "5.1",
    "A",
    {
        "B": "0.32 is positive: a higher accuracy on the reference goes, weakly, with a higher one under shift.",
        "C": "a correlation of 0.32 explains a tenth of the variance (0.32 squared), not a third.",
        "D": "a weak correlation between the two accuracies does not mean that every run is equally robust.",
    },
)

guess_learning_rate = Choice(
    "5.2",
    "C",
    {
        "A": "the reference is flat around its best value: learning rates a factor of ten apart often end within a few points of each other.",
        "B": "fine-tuning with a tiny learning rate hardly moves the weights, so hardly anything is lost on the shifts.",
        "D": "the shifts are where learning rates differ: the paper reports up to 8 points there for 0.3 on the reference.",
    },
)


def _settings(generator):
    """Settings of which some are within ``within`` points of the best on val, and some are not."""
    within = float(generator.integers(1, 4)) + 0.05
    near = [85, 84.3, 84.6, 84.9, 84.1]
    far = [85 - within - 0.1 - k for k in (0, 7, 14)]
    settings = pd.DataFrame(
        {
            "val": generator.permutation(near + far),
            "test": distinct(generator, 8, 82, 88),
            "shifts": distinct(generator, 8, 60, 66),
            "emoji": distinct(generator, 8, 50, 60),
        }
    )
    rates = generator.permutation([1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2])
    settings.insert(0, "lr", rates)
    return settings, within


def _near(table, within, column="val"):
    return table[table[column] >= table[column].max() - within]


def _range(column):
    return column.max() - column.min()


twins = Code(
    "5.3",
    lambda table, within: _range(_near(table, within)["shifts"]),
    [_settings],
    [
        (
            lambda table, within: _range(table["shifts"]),
            "you look at all settings; keep only those that validation cannot distinguish.",
        ),
        (
            lambda table, within: _range(_near(table, within, "test")["shifts"]),
            "you compare on the test images; a setting is chosen on 'val'.",
        ),
        (
            lambda table, within: _range(_near(table, within)["test"]),
            "you return the spread on the reference; the question asks about the shifts.",
        ),
        (
            lambda table, within: _range(_near(table, within)["val"]),
            "you return the spread on 'val' itself; the question asks about the shifts.",
        ),
        (
            lambda table, within: _range(_near(table, within, "shifts")["shifts"]),
            "you keep the settings that are near the best on the shifts; keep those near the best on 'val'.",
        ),
        (
            lambda table, within: _near(table, within)["shifts"].std(),
            "that is the standard deviation; the range is the largest minus the smallest.",
        ),
    ],
)


def _rates(generator):
    n = int(generator.integers(5, 9))
    runs = table(generator, n, ["test", "shifts", "emoji"])
    runs.insert(0, "lr", (10 ** generator.uniform(-6, -1, n)).tolist())
    return (runs,)


def _correlation(table):
    return float(np.corrcoef(np.log10(table["lr"]), table["shifts"])[0, 1])


correlation = Code(
    "5.4",
    _correlation,
    [_rates],
    [
        (
            lambda table: np.corrcoef(table["lr"], table["shifts"])[0, 1],
            "learning rates differ by factors of ten: take their logarithm, or the largest one alone decides.",
        ),
        (
            lambda table: np.cov(np.log10(table["lr"]), table["shifts"])[0, 1],
            "that is a covariance; divide by both standard deviations.",
        ),
        (
            lambda table: -_correlation(table),
            "the sign is reversed: a larger learning rate with a lower accuracy is a negative correlation.",
        ),
        (
            lambda table: _correlation(table) ** 2,
            "that is the square, the fraction of variance explained.",
        ),
        (
            lambda table: _correlation(table.assign(shifts=table["test"])),
            "you correlate with 'test'; the question asks for 'shifts'.",
        ),
        (
            lambda table: table["lr"].corr(table["shifts"], method="spearman"),
            "that is the rank correlation; the published one is of the values.",
        ),
        (
            lambda table: np.corrcoef(np.log10(table["lr"]), table["shifts"]),
            "that is the matrix of all four correlations; take the one of x and y, at [0, 1].",
        ),
    ],
)


def _curve(generator, val):
    """A run's epochs, from 1, with accuracies whose best epochs differ."""
    n = len(val)
    curve = table(generator, n, ["val", "test", "shifts"])
    curve["val"] = 60 + np.array(val)
    curve.insert(0, "epoch", range(1, n + 1))
    return curve, int(generator.integers(1, 4))


def _any_curve(generator):
    return _curve(generator, generator.permutation(9))


def _falls_at_once(generator):
    return _curve(generator, -np.cumsum(generator.integers(1, 4, size=7)))


def _rises_to_the_end(generator):
    return _curve(generator, np.cumsum(generator.integers(1, 4, size=6)))


def _second_rise(generator):
    """Falls for longer than any patience, then rises above its first peak."""
    return _curve(generator, np.array([2, 6, 3, 5, 4, 1, 0, 8, 9]) + generator.uniform(0, 0.9))


def _short_falls(generator):
    """A new best after each fall; the falls together are longer than any patience."""
    rises = np.arange(10) // 2 * 3 - 2 * (np.arange(10) % 2)
    curve, _ = _curve(generator, rises)
    return curve, int(generator.integers(2, 4))


def _with_ties(generator):
    return _curve(generator, generator.integers(0, 4, size=9))


def _epochs(table, patience, is_new_best=np.greater, resets=True):
    """The epoch at which training stops, and the best epoch until then."""
    best, best_epoch, waited = -np.inf, None, 0
    for val, epoch in zip(table["val"], table["epoch"], strict=True):
        if is_new_best(val, best):
            best, best_epoch, waited = val, epoch, 0 if resets else waited
        else:
            waited += 1
        if waited == patience:
            break
    return int(epoch), int(best_epoch)


def _stop(table, patience):
    return _epochs(table, patience)[1]


def _best(column):
    return lambda table, patience: int(table.loc[table[column].idxmax(), "epoch"])


stop = Code(
    "5.5",
    _stop,
    [_any_curve, _falls_at_once, _rises_to_the_end, _second_rise, _short_falls, _with_ties],
    [
        (
            _best("val"),
            "that is the best epoch of the whole run, so you look at epochs that would not have been trained.",
        ),
        (
            _best("shifts"),
            "you stop by the shifts; their labels are not available in training.",
        ),
        (
            _best("test"),
            "you stop by the test images, and then report on them.",
        ),
        (
            lambda table, patience: _epochs(table, patience)[0],
            "that is the epoch at which training stops; return the best epoch until then.",
        ),
        (
            lambda table, patience: _stop(table, 1),
            "you stop at the first epoch without a new best; wait for 'patience' of them.",
        ),
        (
            lambda table, patience: _epochs(table, patience, resets=False)[1],
            "a new best resets the count: 'patience' epochs in a row must bring none.",
        ),
        (
            lambda table, patience: _epochs(table, patience, np.greater_equal)[1],
            "an epoch that equals the best is no new best.",
        ),
        (
            lambda table, patience: _stop(table, patience + 1),
            "you wait for one epoch more than 'patience'.",
        ),
    ],
    draws=4,
)

ALL = [published, guess_learning_rate, twins, correlation, stop]
