"""Exercises of chapter 8, Straight line, low wall."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.analysis.diversity import overrides, prediction_diversity
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, labels

fewest = Number(
    "8.1",
    10,
    [
        (
            0,
            "one model is right on ten more images than the other; on at least ten it alone must be right.",
        ),
        (50, "that is the largest number possible, when no image is a mistake of both."),
        (
            38,
            "that is what you expect when the two err independently: 80 x 0.3 + 20 x 0.7. The question asks for the "
            "smallest number.",
        ),
        (30, "the weaker model may be right only where the stronger is right too."),
        (
            20,
            "those are all mistakes of the stronger; on most of them the weaker may be wrong too.",
        ),
    ],
    tolerance=0.1,
)


def _predicted(generator, truth, wrong):
    """Predictions of which about a fraction ``wrong`` is drawn anew."""
    other = labels(generator, len(truth), 3)
    return torch.where(torch.as_tensor(generator.random(len(truth))) < wrong, other, truth)


def _two_models(generator):
    truth = labels(generator, int(generator.integers(8, 13)), 3)
    return _predicted(generator, truth, 0.8), _predicted(generator, truth, 0.8), truth


def _apart(first, second, labels):
    return (first == labels) != (second == labels)


def _fraction(condition):
    return float(condition.double().mean())


diverse = Code(
    "8.2",
    prediction_diversity,
    [_two_models],
    [
        (
            lambda first, second, labels: _fraction(first != second),
            "you count every disagreement; where both are wrong in different ways, neither prediction is right.",
        ),
        (
            lambda first, second, labels: abs(
                _fraction(first == labels) - _fraction(second == labels)
            ),
            "you take the difference of two accuracies; equally good classifiers would then never differ.",
        ),
        (
            lambda first, second, labels: int(_apart(first, second, labels).sum()),
            "return a fraction: divide the count by the number of images.",
        ),
        (
            lambda first, second, labels: _fraction((first == labels) | (second == labels)),
            "you also count where both are right; exactly one of the two must be.",
        ),
        (
            lambda first, second, labels: _fraction((first == labels) & (second != labels)),
            "you count where the first is right and the second is wrong; the other way round counts too.",
        ),
        (
            lambda first, second, labels: 1 - _fraction(_apart(first, second, labels)),
            "that is the fraction of images on which both are right or both are wrong.",
        ),
        (
            lambda first, second, labels: _fraction((first != labels) & (second != labels)),
            "that is where both are wrong; exactly one of the two must be right.",
        ),
    ],
    draws=8,
)


def _three_models(generator):
    truth = labels(generator, int(generator.integers(12, 18)), 4)
    return tuple(_predicted(generator, truth, wrong) for wrong in (0.8, 0.8, 0.6))


def _wins(zero_shot, fine_tuned, mixture):
    return int(((zero_shot != fine_tuned) & (mixture == zero_shot)).sum())


def _all_agreements(zero_shot, fine_tuned, mixture):
    return int((mixture == zero_shot).sum())


wins = Code(
    "8.3",
    _wins,
    [_three_models],
    [
        (
            _all_agreements,
            "you also count images on which all agree; no model is overridden there.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: _wins(fine_tuned, zero_shot, mixture),
            "you count where the fine-tuned model wins.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int(
                ((zero_shot != fine_tuned) & (mixture != fine_tuned)).sum()
            ),
            "where the mixture predicts a third class, neither of the two has won.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int((zero_shot != fine_tuned).sum()),
            "that is how often the two differ; count those where the mixture sides with zero-shot.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: (
                _wins(zero_shot, fine_tuned, mixture) / len(mixture)
            ),
            "that is a fraction; return the number of images.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int((mixture != fine_tuned).sum()),
            "you count where the mixture differs from the fine-tuned model, whatever zero-shot predicts.",
        ),
    ],
    starter=_all_agreements,
    library=[overrides],
)


def _curve(generator, values):
    """A curve as fractions, at alphas that are not evenly spaced."""
    inside = sorted(generator.permutation([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])[:3])
    alphas = sorted([0.0, 0.5, 1.0, *(float(alpha) for alpha in inside)])
    return (pd.Series([value / 100 for value in values], index=alphas).rename("accuracy"),)


def _any_curve(generator):
    return _curve(generator, distinct(generator, 6))


def _hump(generator):
    """A path that stays above the line between its ends."""
    inside = distinct(generator, 4, 75, 90)
    return _curve(
        generator, [*distinct(generator, 1, 60, 70), *inside, *distinct(generator, 1, 60, 70)]
    )


def _falls_at_once(generator):
    """A path that drops first and then climbs to a better end."""
    start, *rest = distinct(generator, 1, 60, 70) + sorted(distinct(generator, 4, 30, 50))
    return _curve(generator, [start, *rest, *distinct(generator, 1, 75, 90)])


def _line(curve):
    return (1 - curve.index) * curve[0.0] + curve.index * curve[1.0]


def _drops(curve):
    return 100 * (_line(curve) - curve)


barrier = Code(
    "8.4",
    lambda curve: max(_drops(curve).max(), 0),
    [_any_curve, _hump, _falls_at_once],
    [
        (
            lambda curve: max(_drops(curve).max(), 0) / 100,
            "state it in points: multiply the fraction by 100.",
        ),
        (
            lambda curve: 100 * (max(curve[0.0], curve[1.0]) - curve.min()),
            "you measure from the better end; then a path that only joins a good end to a worse one has a barrier.",
        ),
        (
            lambda curve: max(_drops(curve)[0.5], 0),
            "you look at alpha = 0.5 only; the deepest point may be elsewhere.",
        ),
        (
            lambda curve: _drops(curve).drop([0.0, 1.0]).max(),
            "a path that stays above the line has a barrier of 0, not a negative one.",
        ),
        (
            lambda curve: 100 * max(min(curve[0.0], curve[1.0]) - curve.min(), 0),
            "you measure from the worse end; between the ends the line is higher.",
        ),
        (
            lambda curve: 100 * max((curve[0.0] + curve[1.0]) / 2 - curve.min(), 0),
            "you measure from the mean of the ends; the line is there at alpha = 0.5 only.",
        ),
        (
            lambda curve: max(-_drops(curve).min(), 0),
            "that is how far the path rises above the line; a barrier is a drop below it.",
        ),
        (
            lambda curve: _drops(curve).abs().max(),
            "a path above the line is no barrier: take no absolute value.",
        ),
        (
            lambda curve: max(
                (100 * ((1 - curve.index) * curve[1.0] + curve.index * curve[0.0] - curve)).max(), 0
            ),
            "your line runs the other way: it must be at curve[0.0] for alpha = 0.",
        ),
    ],
)


check = Choice(
    "8.5",
    "B",
    {
        "A": "equal keys and shapes only say that the average can be computed, not that it is a good model.",
        "C": "the two ends may differ in accuracy; what counts is whether the path falls below the line between them.",
        "D": "good ends do not guarantee a good middle: this pair loses half of its accuracy on the way.",
    },
)

ALL = [fewest, diverse, wins, barrier, check]
