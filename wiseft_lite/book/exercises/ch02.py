"""Exercises of chapter 2, Same classes, other images."""

from __future__ import annotations

import math

import torch

from wiseft_lite.analysis.robustness import Baseline, effective_robustness, logit
from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.metrics import predictions


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _own_classes():
    logits = torch.tensor([[9.0, 1.0, 0.0, 2.0], [0.0, 3.0, 9.0, 1.0], [0.0, 1.0, 9.0, 5.0]])
    return logits, torch.tensor([3, 1, 1]), (1, 3)  # right: 3, 1; wrong: 3 for 1


def _own(logits, labels, classes):
    return float((predictions(logits, classes) == labels).float().mean())


def _no_map(logits, labels, classes):
    return float((logits[:, list(classes)].argmax(-1) == labels).float().mean())


def _all_classes(logits, labels, classes):
    return float((logits.argmax(-1) == labels).float().mean())


own = Exercise(
    "2.1",
    claims=[
        (
            "the model may still predict a class that the shift does not have; leave those columns out.",
            lambda f: not _near(f(*_own_classes()), 0) or _near(f(*_own_classes()), 1 / 3),
        ),
        (
            "argmax over some columns gives an index into them; turn it back into the class with classes[index].",
            lambda f: not _near(f(*_own_classes()), 1 / 3),
        ),
        (
            "two of the three images are right among classes 1 and 3; return a fraction.",
            lambda f: _near(f(*_own_classes()), 2 / 3),
        ),
    ],
    solution=_own,
    wrong=[
        (_all_classes, "leave those columns out"),
        (_no_map, "classes[index]"),
        (lambda *a: 100 * _own(*a), "return a fraction"),
    ],
)

images = Exercise(
    "2.2",
    claims=[
        (
            "that is the number for an accuracy of 50 %, the worst case; at 75 % fewer are enough.",
            lambda n: not 1000 <= n <= 1150,
        ),
        (
            "the error falls with the square root of n: to halve it takes four times the images.",
            lambda n: not 20 <= n <= 80,
        ),
        (
            "1.96 standard errors must be 3 points, not one standard error.",
            lambda n: not 190 <= n <= 230,
        ),
        ("solve 1.96 * sqrt(0.75 * 0.25 / n) = 0.03 for n.", lambda n: 700 <= n <= 900),
    ],
    solution=800,
    wrong=[
        (1067, "the worst case"),
        (33, "square root"),
        (208, "not one standard error"),
        (5000, "solve"),
    ],
)

to_logit = Exercise(
    "2.4",
    claims=[
        (
            "an accuracy of 50 % must give 0; the logit compares p with 1 - p.",
            lambda f: _near(f(0.5), 0),
        ),
        (
            "use the natural logarithm; base 10 leaves slopes unchanged but makes every value smaller.",
            lambda f: not _near(f(0.9), math.log10(9)),
        ),
        (
            "a higher accuracy must have a higher logit; yours has the opposite sign.",
            lambda f: f(0.9) > 0,
        ),
        (
            "for p = 0.9 the logit is log(0.9 / 0.1) = 2.197.",
            lambda f: _near(f(0.9), logit(0.9), 1e-3),
        ),
    ],
    solution=logit,
    wrong=[
        (lambda p: math.log(p), "must give 0"),
        (lambda p: math.log10(p / (1 - p)), "natural logarithm"),
        (lambda p: math.log((1 - p) / p), "opposite sign"),
        (lambda p: p - 0.5, "2.197"),
    ],
)

_LINE = Baseline(0.8, -1.0)
_PREDICTED = _LINE(0.8)


rho = Exercise(
    "2.5",
    claims=[
        (
            "that is the plain gap between reference and shift; compare with what the baseline predicts instead.",
            lambda f: not _near(abs(f(0.8, 0.7, _LINE)), 0.1),
        ),
        (
            "the sign is reversed: a model above the line has positive effective robustness.",
            lambda f: f(0.8, _PREDICTED + 0.2, _LINE) > 0,
        ),
        (
            "the baseline takes the accuracy on the reference, not the one under shift.",
            lambda f: not _near(f(0.8, 0.7, _LINE), 0.7 - _LINE(0.7)),
        ),
        (
            "subtract baseline(reference) from the accuracy under shift; for a model on the line the result is 0.",
            lambda f: (
                _near(f(0.8, _PREDICTED, _LINE), 0) and _near(f(0.8, 0.7, _LINE), 0.7 - _PREDICTED)
            ),
        ),
    ],
    solution=effective_robustness,
    wrong=[
        (lambda r, s, line: s - r, "plain gap"),
        (lambda r, s, line: line(r) - s, "sign is reversed"),
        (lambda r, s, line: s - line(s), "not the one under shift"),
        (lambda r, s, line: s, "subtract baseline(reference)"),
    ],
)

overlap = choice(
    "2.3",
    "C",
    {
        "A": "two intervals that overlap can still belong to different accuracies; overlap is not a test.",
        "B": "a higher number on other images may be chance: look at the intervals before you rank.",
        "D": "the size of the interval comes from n and p; more epochs do not narrow it.",
    },
)

ALL = [own, images, to_logit, rho, overlap]
