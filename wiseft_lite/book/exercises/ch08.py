"""Exercises of chapter 8, Straight line, low wall."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.analysis.diversity import prediction_diversity
from wiseft_lite.book.teaching import Exercise, choice


def _near(a, b, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


fewest = Exercise(
    "8.1",
    claims=[
        (
            "one model is right on ten more images than the other; on at least ten it alone must be right.",
            lambda n: not _near(n, 0),
        ),
        (
            "that is the largest number possible, when no image is a mistake of both.",
            lambda n: not _near(n, 50),
        ),
        (
            "that is what you expect when the two err independently: 80 x 0.3 + 20 x 0.7. The question asks for the "
            "smallest number.",
            lambda n: not _near(n, 38),
        ),
        (
            "let the weaker be right only where the stronger is right too: 80 - 70 images remain.",
            lambda n: _near(n, 10),
        ),
    ],
    solution=10,
    wrong=[
        (0, "it alone must be right"),
        (50, "largest number"),
        (38, "err independently"),
        (30, "80 - 70"),
    ],
)

_LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])
_FIRST = torch.tensor([0, 0, 1, 0, 2, 1, 0, 1])  # right on 0, 1, 2, 4
_SECOND = torch.tensor(
    [0, 1, 1, 1, 2, 2, 1, 1]
)  # right on 0, 2, 3, 4, 5; on 6 both are wrong, in two ways


def _disagree(first, second, labels):
    return float((first != second).double().mean())


def _gap(first, second, labels):
    return abs(float((first == labels).double().mean() - (second == labels).double().mean()))


diverse = Exercise(
    "8.2",
    claims=[
        (
            "you count every disagreement; where both are wrong in different ways, neither prediction is right.",
            lambda f: not _near(f(_FIRST, _SECOND, _LABELS), 4 / 8),
        ),
        (
            "you take the difference of two accuracies; equally good classifiers would then never differ.",
            lambda f: not _near(f(_FIRST, _SECOND, _LABELS), 1 / 8),
        ),
        (
            "return a fraction: divide the count by the number of images.",
            lambda f: float(f(_FIRST, _SECOND, _LABELS)) <= 1,
        ),
        (
            "exactly one of the two is right on 3 of these 8 images.",
            lambda f: _near(f(_FIRST, _SECOND, _LABELS), 3 / 8),
        ),
    ],
    solution=prediction_diversity,
    wrong=[
        (_disagree, "neither prediction is right"),
        (_gap, "difference of two accuracies"),
        (lambda f, g, y: int(((f == y) != (g == y)).sum()), "divide the count"),
        (lambda f, g, y: float(((f != y) & (g != y)).double().mean()), "3 of these 8"),
    ],
)

_ZERO = torch.tensor([0, 0, 2, 1, 1, 1, 2, 2])
_TUNED = torch.tensor([0, 0, 2, 2, 2, 0, 1, 0])
_MIXED = torch.tensor(
    [0, 0, 2, 1, 1, 2, 1, 1]
)  # differ on the last five: twice zero-shot, once tuned, twice a third


def _wins(zero_shot, fine_tuned, mixture):
    return int(((zero_shot != fine_tuned) & (mixture == zero_shot)).sum())


wins = Exercise(
    "8.3",
    claims=[
        (
            "you also count images on which all agree; no model is overridden there.",
            lambda f: f(_ZERO, _TUNED, _MIXED) != 5,
        ),
        ("you count where the fine-tuned model wins.", lambda f: f(_ZERO, _TUNED, _MIXED) != 1),
        (
            "where the mixture predicts a third class, neither of the two has won.",
            lambda f: f(_ZERO, _TUNED, _MIXED) != 4,
        ),
        (
            "the two differ on five images, and on two of these the mixture predicts the same as zero-shot.",
            lambda f: f(_ZERO, _TUNED, _MIXED) == 2,
        ),
    ],
    solution=_wins,
    wrong=[
        (lambda zero, tuned, mixed: int((mixed == zero).sum()), "on which all agree"),
        (lambda zero, tuned, mixed: _wins(tuned, zero, mixed), "where the fine-tuned model wins"),
        (
            lambda zero, tuned, mixed: int(((zero != tuned) & (mixed != tuned)).sum()),
            "a third class",
        ),
        (lambda zero, tuned, mixed: 3, "differ on five images"),
    ],
)


def _pit() -> pd.Series:
    return pd.Series({0.0: 0.60, 0.25: 0.45, 0.5: 0.60, 0.75: 0.70, 1.0: 0.80})


def _hump() -> pd.Series:
    return pd.Series({0.0: 0.60, 0.25: 0.70, 0.5: 0.80, 0.75: 0.82, 1.0: 0.80})


def _line(curve: pd.Series) -> pd.Series:
    return pd.Series(
        {alpha: (1 - alpha) * curve[0.0] + alpha * curve[1.0] for alpha in curve.index}
    )


def _barrier(curve: pd.Series) -> float:
    return 100 * max((_line(curve) - curve).max(), 0)


barrier = Exercise(
    "8.4",
    claims=[
        ("state it in points: multiply the fraction by 100.", lambda f: not _near(f(_pit()), 0.2)),
        (
            "you measure from the better end; then a path that only joins a good end to a worse one has a barrier.",
            lambda f: not _near(f(_pit()), 35),
        ),
        (
            "you look at alpha = 0.5 only; here the deepest point is elsewhere.",
            lambda f: not _near(f(_pit()), 10),
        ),
        (
            "a path that stays above the line has a barrier of 0, not a negative one.",
            lambda f: float(f(_hump())) >= 0,
        ),
        (
            "at alpha = 0.25 the line between 60 and 80 % is at 65 %, and the path at 45 %: 20 points.",
            lambda f: _near(f(_pit()), 20) and _near(f(_hump()), 0),
        ),
    ],
    solution=_barrier,
    wrong=[
        (lambda curve: max((_line(curve) - curve).max(), 0), "in points"),
        (lambda curve: 100 * (max(curve[0.0], curve[1.0]) - curve.min()), "better end"),
        (lambda curve: 100 * max((_line(curve) - curve)[0.5], 0), "alpha = 0.5 only"),
        (lambda curve: 100 * (_line(curve) - curve).drop([0.0, 1.0]).max(), "not a negative one"),
        (lambda curve: 100 * max(min(curve[0.0], curve[1.0]) - curve.min(), 0), "60 and 80 %"),
    ],
)


check = choice(
    "8.5",
    "B",
    {
        "A": "equal keys and shapes only say that the average can be computed, not that it is a good model.",
        "C": "the two ends may differ in accuracy; what counts is whether the path falls below the line between them.",
        "D": "good ends do not guarantee a good middle: this pair loses half of its accuracy on the way.",
    },
)

ALL = [fewest, diverse, wins, barrier, check]
