"""Exercises of chapter 16, From icons to photographs."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.results import best_alpha

warm_up = Exercise(
    "16.3",
    claims=[
        (
            "these are 500 of the 98 steps of one epoch; the run has ten.",
            lambda x: not 500 < x < 520,
        ),
        ("a step takes a whole batch: divide by steps, not by images.", lambda x: x != 1),
        ("this is a fraction; in percent it is a hundred times as much.", lambda x: x > 0.52),
        ("98 batches per epoch, 980 in ten; 500 of them are 51 %.", lambda x: 50.5 <= x < 51.5),
    ],
    solution=51,
    wrong=[
        (510, "98 steps of one epoch"),
        (1, "not by images"),
        (0.51, "this is a fraction"),
        (50, "980 in ten"),
    ],
)


def _quick(x):
    return x * torch.sigmoid(1.702 * x)


_AT = torch.tensor([-3.0, -1.0, 0.0, 0.5, 2.0])

quick_gelu = Exercise(
    "16.1",
    claims=[
        (
            "a gate alone lies between 0 and 1; it is multiplied with x.",
            lambda f: float(f(torch.tensor(3.0))) > 1.5,
        ),
        (
            "this is the exact GELU, with the error function. OpenAI's weights were trained with a quick approximation.",
            lambda f: not torch.allclose(f(_AT), torch.nn.functional.gelu(_AT), atol=1e-4),
        ),
        (
            "the gate has no slope of 1.702; without it this is the SiLU.",
            lambda f: not torch.allclose(f(_AT), torch.nn.functional.silu(_AT), atol=1e-4),
        ),
        (
            "x * sigmoid(1.702 x), for each number of the tensor.",
            lambda f: torch.allclose(f(_AT), _quick(_AT), atol=1e-5),
        ),
    ],
    solution=_quick,
    wrong=[
        (torch.nn.functional.gelu, "error function"),
        (torch.nn.functional.silu, "no slope of 1.702"),
        (lambda x: torch.sigmoid(1.702 * x), "a gate alone"),
        (lambda x: x * torch.sigmoid(x / 1.702), "for each number"),
    ],
)

reloaded = choice(
    "16.2",
    "B",
    {
        "A": "an activation has no weights, so every key of the file fits both models.",
        "C": "nearly equal is not equal: all weights were trained with the other function, and some predictions change.",
    },
)

longer = Exercise(
    "16.4",
    claims=[
        (
            "an image of the sweep goes through the model once for every alpha, not once.",
            lambda x: not (abs(x - 0.42) < 0.01 or abs(x - 0.14) < 0.01),
        ),
        (
            "training on an image costs three forward passes, one for the loss and two for the gradients.",
            lambda x: abs(x - 4.64) > 0.05,
        ),
        (
            "this is the epoch in sweeps; the question is the sweep in epochs.",
            lambda x: abs(x - 0.65) > 0.01,
        ),
        ("19,000 times 11 forward passes, over 45,000 times 3.", lambda x: abs(x - 1.55) < 0.06),
    ],
    solution=1.55,
    wrong=[
        (19 / 45, "once for every alpha"),
        (19 * 11 / 45, "three forward passes"),
        (45 * 3 / (19 * 11), "epoch in sweeps"),
        (11, "over 45,000 times 3"),
    ],
)


def _results(rows):
    """A results table, accuracies given as one column for each split."""
    wide = pd.DataFrame(rows, columns=["alpha", "val", "test", "10.1", "10.2"])
    return wide.melt("alpha", var_name="split", value_name="accuracy")


_CLEAR = _results(
    [
        (0.0, 0.90, 0.91, 0.85, 0.80),
        (0.3, 0.93, 0.94, 0.97, 0.83),
        (0.5, 0.95, 0.95, 0.90, 0.99),
        (0.8, 0.98, 0.96, 0.88, 0.81),
        (1.0, 0.97, 0.99, 0.86, 0.80),
    ]
)
_TIED = _results(
    [
        (0.0, 0.97, 0.91, 0.85, 0.80),
        (0.4, 0.97, 0.94, 0.97, 0.83),
        (0.9, 0.97, 0.95, 0.90, 0.99),
        (1.0, 0.90, 0.99, 0.88, 0.81),
    ]
)


def _on_val(table):
    val = table[table["split"] == "val"]
    return best_alpha(val.set_index("alpha")["accuracy"])


def _nearest_to_half(table):
    val = table[table["split"] == "val"]
    best = val[val["accuracy"] == val["accuracy"].max()]["alpha"]
    return min(best, key=lambda alpha: abs(alpha - 0.5))


def _best_on(*splits):
    def choose(table):
        part = table[table["split"].isin(splits)] if splits else table
        return float(part.groupby("alpha")["accuracy"].mean().idxmax())

    return choose


choose = Exercise(
    "16.5",
    claims=[
        (
            "that is the best on the test images of CIFAR-10. What is chosen on them cannot be reported on them.",
            lambda f: f(_CLEAR) != 1.0,
        ),
        (
            "you chose on images of a shift. Then the accuracy there is no longer that of an unseen shift.",
            lambda f: f(_CLEAR) not in (0.3, 0.5),
        ),
        (
            "return the alpha that is best on the rows of split val: 0.8 in our first table.",
            lambda f: f(_CLEAR) == 0.8,
        ),
        (
            "of several that are equally good on val, take the smallest, the one nearest to zero-shot.",
            lambda f: f(_TIED) == 0.0,
        ),
    ],
    solution=_on_val,
    wrong=[
        (_best_on("test"), "cannot be reported"),
        (_best_on("10.1", "10.2"), "images of a shift"),
        (_nearest_to_half, "take the smallest"),
        (lambda table: table["accuracy"].max(), "rows of split val"),
    ],
)

ALL = [quick_gelu, reloaded, warm_up, longer, choose]
