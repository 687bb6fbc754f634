"""Exercises of chapter 6, One line between two models."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.checks import Code, Number
from wiseft_lite.book.checks.draw import distinct, normal
from wiseft_lite.weights import interpolate


def _models(generator, dtype):
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.weight": (1, 2)}
    zero, one = (
        {name: normal(generator, *shape, dtype=dtype) for name, shape in shapes.items()}
        for _ in range(2)
    )
    return zero, one, float(generator.integers(1, 10) / 10)


def _pair(generator):
    return _models(generator, torch.float32)


def _half_precision(generator):
    return _models(generator, torch.float16)


def _double_precision(generator):
    return _models(generator, torch.float64)


def _ends(generator):
    zero, one, _ = _models(generator, torch.float32)
    return zero, one, int(generator.integers(2))


def _mixed(weight_0, weight_1):
    """A mixture whose two weights are functions of alpha."""

    def line(theta_0, theta_1, alpha):
        a, b = weight_0(alpha), weight_1(alpha)
        return {name: a * theta_0[name] + b * theta_1[name] for name in theta_0}

    return line


def _with_head_of(place):
    def line(*inputs):
        mixed = interpolate(*inputs)
        return {n: inputs[place][n] if n.startswith("head") else mixed[n] for n in mixed}

    return line


line = Code(
    "6.1",
    interpolate,
    [_pair, _ends, _half_precision, _double_precision],
    [
        (
            _mixed(lambda a: a, lambda a: 1 - a),
            "alpha = 0 must give the zero-shot model and alpha = 1 the fine-tuned one; yours runs the other way.",
        ),
        (
            _with_head_of(1),
            "every tensor lies on the line, the head too; yours is the fine-tuned head for every alpha.",
        ),
        (
            _with_head_of(0),
            "every tensor lies on the line, the head too; yours is the zero-shot head for every alpha.",
        ),
        (
            _mixed(lambda a: 1, lambda a: a),
            "the zero-shot model keeps its full weight; the two weights must sum to 1, so it gets 1 - alpha.",
        ),
        (
            _mixed(lambda a: -a, lambda a: a),
            "that is the way from zero-shot only; add it to theta_0.",
        ),
        (_mixed(lambda a: 0.5, lambda a: 0.5), "you take the middle whatever alpha is."),
    ],
    draws=3,
)

fraction = Number(
    "6.2",
    0.25,
    [
        (
            0.75,
            "that is the distance to the fine-tuned model; the question asks how far the point is from zero-shot.",
        ),
        (
            0.0625,
            "that is the square of alpha; a distance grows in proportion to alpha, not to its square.",
        ),
        (0.5, "that is the square root of alpha; a distance grows in proportion to alpha."),
        (25, "that is in percent; give a number from 0 to 1."),
        (4, "that is the whole distance over this part; turn the ratio round."),
    ],
)


def _results(generator):
    """Results of three splits at alphas in any order, each split with its own best."""
    n = int(generator.integers(4, 7))
    alphas = (generator.permutation(21)[:n] / 20).tolist()
    table = pd.DataFrame(
        {
            "alpha": alphas * 4,
            "split": [name for name in ("val", "test", "emoji", "pixel") for _ in range(n)],
            "accuracy": [x / 100 for x in distinct(generator, 4 * n)],
        }
    )
    return (table.iloc[generator.permutation(4 * n)],)


def _best_on(*splits):
    def choose(table):
        part = table[table["split"].isin(splits)] if splits else table
        return float(part.groupby("alpha")["accuracy"].mean().idxmax())

    return choose


def _on_test(table):
    rows = table[table["split"] == "test"]
    return float(rows.loc[rows["accuracy"].idxmax(), "alpha"])


choose = Code(
    "6.3",
    _best_on("val"),
    [_results],
    [
        (
            _on_test,
            "you choose alpha on the test images of the reference, then report on the same images.",
        ),
        (
            _best_on("emoji", "pixel"),
            "you choose alpha on the shifts; in practice there are no labels from a future shift.",
        ),
        (
            _best_on(),
            "you choose on all splits together, the test images and the shifts among them.",
        ),
        (
            _best_on("test", "emoji", "pixel"),
            "you choose on exactly those images that you report on.",
        ),
        (
            lambda table: float(table.loc[table["accuracy"].idxmax(), "alpha"]),
            "you take the largest accuracy of the whole table, whatever its split.",
        ),
        (
            lambda table: float(table[table["split"] == "val"]["accuracy"].max()),
            "you return the accuracy; return the alpha that has it.",
        ),
    ],
    starter=_on_test,
    draws=8,
)


def _curve(generator, better_end):
    """A curve as fractions; its middle may be above or below the ends, and is rarely its peak."""
    low, high = sorted(distinct(generator, 2))
    ends = (low, high) if better_end == 1 else (high, low)
    alphas = sorted({0.0, 0.5, 1.0, *(generator.permutation([0.1, 0.2, 0.3, 0.7, 0.9])[:3])})
    values = dict(zip(alphas, distinct(generator, len(alphas)), strict=True))
    values[0.0], values[1.0] = ends
    return (pd.Series({alpha: x / 100 for alpha, x in values.items()}).rename("accuracy"),)


def _zero_shot_better(generator):
    return _curve(generator, 0)


def _fine_tuned_better(generator):
    return _curve(generator, 1)


def _gain(curve):
    return 100 * (curve[0.5] - max(curve[0.0], curve[1.0]))


gain = Code(
    "6.4",
    _gain,
    [_zero_shot_better, _fine_tuned_better],
    [
        (
            lambda curve: curve[0.5] - max(curve[0.0], curve[1.0]),
            "a gain is stated in points: multiply the difference of the accuracies by 100.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - curve[0.0]),
            "you compare with the zero-shot model only; where the fine-tuned end is better, that is the one to beat.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - curve[1.0]),
            "you compare with the fine-tuned model only; where zero-shot is the better end, that is the one to beat.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - min(curve[0.0], curve[1.0])),
            "you compare with the worse end; the better one is to be beaten.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - (curve[0.0] + curve[1.0]) / 2),
            "you compare with the mean of the ends; the better one is to be beaten.",
        ),
        (
            lambda curve: 100 * (curve.max() - max(curve[0.0], curve[1.0])),
            "you take the best alpha; the middle is at alpha = 0.5.",
        ),
        (lambda curve: -_gain(curve), "the sign is reversed: a gain is positive."),
        (
            lambda curve: 100 * (curve[0.5] / max(curve[0.0], curve[1.0]) - 1),
            "that is a relative gain; points are a difference.",
        ),
    ],
)

ALL = [line, fraction, choose, gain]
