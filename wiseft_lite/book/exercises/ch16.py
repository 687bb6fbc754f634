"""Exercises of chapter 16, From icons to photographs."""

from __future__ import annotations

import pandas as pd
import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, normal


def _numbers(generator):
    return (2 * normal(generator, 6),)


def _matrix(generator):
    return (3 * normal(generator, 2, 3, dtype=torch.float64),)


def _quick(x):
    return x * torch.sigmoid(1.702 * x)


quick_gelu = Code(
    "16.1",
    _quick,
    [_numbers, _matrix],
    [
        (
            lambda x: F.gelu(x),
            "this is the exact GELU, with the error function. OpenAI's weights were trained with a quick approximation.",
        ),
        (
            lambda x: F.gelu(x, approximate="tanh"),
            "this is another approximation of the GELU, with the tanh; the quick one has a sigmoid.",
        ),
        (
            lambda x: F.silu(x),
            "the gate has no slope of 1.702; without it this is the SiLU.",
        ),
        (
            lambda x: torch.sigmoid(1.702 * x),
            "a gate alone lies between 0 and 1; it is multiplied with x.",
        ),
        (
            lambda x: 1.702 * x * torch.sigmoid(x),
            "1.702 is the slope within the sigmoid; yours multiplies the result.",
        ),
        (
            lambda x: x * torch.sigmoid(x / 1.702),
            "you divide by 1.702 within the sigmoid; multiply.",
        ),
    ],
    tolerance=1e-5,
)

reloaded = Choice(
    "16.2",
    "B",
    {
        "A": "an activation has no weights, so every key of the file fits both models.",
        "C": "nearly equal is not equal: all weights were trained with the other function, and some predictions change.",
    },
)

warm_up = Number(
    "16.3",
    51,
    [
        (510, "these are 500 of the 98 steps of one epoch; the run has ten."),
        (1, "a step takes a whole batch: divide by steps, not by images."),
        (0.51, "this is a fraction; in percent it is a hundred times as much."),
        (500, "that is the number of steps; how many has the run?"),
        (5.1, "that would be ten times as many steps: 98 of each epoch, in ten epochs."),
    ],
    tolerance=0.5,
)

longer = Number(
    "16.4",
    1.55,
    [
        (19 / 45, "an image of the sweep goes through the model once for every alpha, not once."),
        (
            19 / (3 * 45),
            "the three passes of training are right; the sweep sends each image through the model for every alpha.",
        ),
        (
            19 * 11 / 45,
            "training on an image costs three forward passes, one for the loss and two for the gradients.",
        ),
        (
            45 * 3 / (19 * 11),
            "this is the epoch in sweeps; the question is the sweep in epochs.",
        ),
        (11, "that is the number of alphas; an epoch has other images, and costs more for each."),
    ],
    tolerance=0.06,
)


def _table(generator, accuracies):
    """A results table with rows in any order; accuracies by split."""
    n = len(accuracies["val"])
    alphas = (generator.permutation(11)[:n] / 10).tolist()
    wide = pd.DataFrame({"alpha": alphas, **accuracies})
    table = wide.melt("alpha", var_name="split", value_name="accuracy")
    return table.iloc[generator.permutation(len(table))]


def _splits(generator, n):
    """Accuracies of each split, without ties."""
    drawn = [x / 100 for x in distinct(generator, 4 * n)]
    return {name: drawn[k::4] for k, name in enumerate(("val", "test", "10.1", "10.2"))}


def _clear(generator):
    return (_table(generator, _splits(generator, int(generator.integers(4, 7)))),)


def _tied(generator):
    """Several alphas are best on val."""
    accuracies = _splits(generator, 6)
    accuracies["val"] = [0.97, 0.97, 0.97, 0.97, 0.93, 0.92]
    return (_table(generator, accuracies),)


def _best_on(*splits, of_several=min):
    def choose(table):
        part = table[table["split"].isin(splits)].groupby("alpha")["accuracy"].mean()
        return float(of_several(part[part == part.max()].index))

    return choose


def _in_order_of_the_table(table):
    val = table[table["split"] == "val"]
    return float(val.loc[val["accuracy"].idxmax(), "alpha"])


choose = Code(
    "16.5",
    _best_on("val"),
    [_clear, _tied],
    [
        (
            _best_on("test"),
            "that is the best on the test images of CIFAR-10. What is chosen on them cannot be reported on them.",
        ),
        (
            _best_on("10.1", "10.2"),
            "you chose on images of a shift. Then the accuracy there is no longer that of an unseen shift.",
        ),
        (
            _best_on("val", "test", "10.1", "10.2"),
            "you chose on all splits together; only val was set aside for choosing.",
        ),
        (
            _best_on("val", of_several=max),
            "of several that are equally good on val, take the smallest, the one nearest to zero-shot; yours is the largest.",
        ),
        (
            _best_on("val", of_several=lambda alphas: min(alphas, key=lambda a: abs(a - 0.5))),
            "of several that are equally good on val, take the smallest; yours is the one nearest to 0.5.",
        ),
        (
            _in_order_of_the_table,
            "of several that are equally good on val, take the smallest; yours is the first in the table.",
        ),
        (
            lambda table: table.loc[table["split"] == "val", "accuracy"].max(),
            "that is the accuracy; return the alpha that has it.",
        ),
    ],
)

ALL = [quick_gelu, reloaded, warm_up, longer, choose]
