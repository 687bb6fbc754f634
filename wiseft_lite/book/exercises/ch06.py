"""Exercises of chapter 6, One line between two models."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.teaching import Exercise
from wiseft_lite.weights import interpolate


def _pair():
    zero = {"encoder.w": torch.tensor([0.0, 2.0]), "head.weight": torch.tensor([10.0])}
    one = {"encoder.w": torch.tensor([4.0, 2.0]), "head.weight": torch.tensor([20.0])}
    return zero, one


def _mixed(line, alpha):
    return line(*_pair(), alpha)


def _leaves_inputs(line):
    zero, one = _pair()
    for tensor in line(zero, one, 0.25).values():
        tensor.add_(1)
    again = _pair()
    return all(torch.equal(a[k], b[k]) for a, b in zip((zero, one), again, strict=True) for k in a)


def _swapped(zero, one, alpha):
    return {k: alpha * zero[k] + (1 - alpha) * one[k] for k in zero}


def _head_forgotten(zero, one, alpha):
    return {
        k: one[k].clone() if k.startswith("head") else (1 - alpha) * zero[k] + alpha * one[k]
        for k in zero
    }


def _in_place(zero, one, alpha):
    for key in zero:
        zero[key].mul_(1 - alpha).add_(alpha * one[key])
    return zero


line = Exercise(
    "6.1",
    claims=[
        (
            "alpha = 0 must give the zero-shot model and alpha = 1 the fine-tuned one; yours runs the other way.",
            lambda f: _mixed(f, 0)["encoder.w"][0] == 0 and _mixed(f, 1)["encoder.w"][0] == 4,
        ),
        (
            "every tensor lies on the line, the head too; at alpha = 0.25 the head is not a quarter of the way.",
            lambda f: _mixed(f, 0.25)["head.weight"].item() == 12.5,
        ),
        (
            "at alpha = 0.25 an encoder weight is not a quarter of the way from 0 to 4.",
            lambda f: _mixed(f, 0.25)["encoder.w"][0] == 1,
        ),
        (
            "your function changes the models it is given; make new tensors instead of writing into the old ones.",
            _leaves_inputs,
        ),
    ],
    solution=interpolate,
    wrong=[
        (_swapped, "other way"),
        (_head_forgotten, "the head too"),
        (_in_place, "changes the models"),
    ],
)

fraction = Exercise(
    "6.2",
    claims=[
        (
            "that is the distance to the fine-tuned model; the question asks how far the point is from zero-shot.",
            lambda x: abs(x - 0.75) > 1e-6,
        ),
        (
            "that is the square of alpha; a distance grows in proportion to alpha, not to its square.",
            lambda x: abs(x - 0.0625) > 1e-6,
        ),
        (
            "on a straight line the point at alpha has covered alpha times the whole distance.",
            lambda x: abs(x - 0.25) < 1e-6,
        ),
    ],
    solution=0.25,
    wrong=[
        (0.75, "distance to the fine-tuned"),
        (0.0625, "the square of alpha"),
        (0.5, "alpha times the whole distance"),
    ],
)


def _table(val=(0.6, 0.9, 0.7), test=(0.6, 0.7, 0.9), shift=(0.9, 0.7, 0.6)) -> pd.DataFrame:
    rows = [
        (a, name, accuracies[i])
        for name, accuracies in (("val", val), ("test", test), ("emoji", shift))
        for i, a in enumerate((0.0, 0.5, 1.0))
    ]
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy"])


def _choose(table: pd.DataFrame) -> float:
    val = table[table["split"] == "val"]
    return float(val.loc[val["accuracy"].idxmax(), "alpha"])


def _choose_on(split):
    def choose(table):
        rows = table[table["split"] == split]
        return float(rows.loc[rows["accuracy"].idxmax(), "alpha"])

    return choose


choose = Exercise(
    "6.3",
    claims=[
        ("you return the accuracy; return the alpha that has it.", lambda f: f(_table()) != 0.9),
        (
            "you choose alpha on the test images of the reference, then report on the same images.",
            lambda f: f(_table()) != 1.0,
        ),
        (
            "you choose alpha on a shift; in practice there are no labels from a future shift.",
            lambda f: f(_table()) != 0.0,
        ),
        (
            "the row of split 'val' with the largest accuracy has another alpha.",
            lambda f: f(_table()) == 0.5 and f(_table(val=(0.9, 0.8, 0.7))) == 0.0,
        ),
    ],
    solution=_choose,
    wrong=[
        (_choose_on("test"), "test images of the reference"),
        (_choose_on("emoji"), "on a shift"),
        (lambda t: float(t[t["split"] == "val"]["accuracy"].max()), "return the accuracy"),
        (lambda t: 0.5, "has another alpha"),
    ],
)


def _curve() -> pd.Series:
    return pd.Series({0.0: 0.50, 0.5: 0.62, 1.0: 0.58})


def _gain(curve: pd.Series) -> float:
    return 100 * (curve[0.5] - max(curve[0.0], curve[1.0]))


gain = Exercise(
    "6.4",
    claims=[
        (
            "a gain is stated in points: multiply the difference of the accuracies by 100.",
            lambda f: abs(f(_curve()) - 0.04) > 1e-6,
        ),
        (
            "you compare with the zero-shot model only; the fine-tuned end is better here and is the one to beat.",
            lambda f: abs(f(_curve()) - 12) > 1e-6,
        ),
        (
            "you compare with the fine-tuned model only; when zero-shot is the better end, that is the one to beat.",
            lambda f: abs(f(pd.Series({0.0: 0.60, 0.5: 0.62, 1.0: 0.50})) - 12) > 1e-6,
        ),
        (
            "for ends of 50 and 58 % and a middle of 62 % the gain is 4 points.",
            lambda f: abs(f(_curve()) - 4) < 1e-6,
        ),
    ],
    solution=_gain,
    wrong=[
        (lambda c: 100 * (c[0.5] - c[0.0]), "zero-shot model only"),
        (lambda c: 100 * (c[0.5] - c[1.0]), "fine-tuned model only"),
        (lambda c: c[0.5] - max(c[0.0], c[1.0]), "in points"),
    ],
)

ALL = [line, fraction, choose, gain]
