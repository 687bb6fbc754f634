"""Exercises of chapter 10, Is it really the line?"""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.weights import interpolate


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


start_weight = Exercise(
    "10.1",
    claims=[
        (
            "that is the weight of one new step; the start is multiplied by the decay once for *each* of 230 steps.",
            lambda x: not _near(x, 0.01, 2e-3),
        ),
        (
            "that is the weight after one step; every one of the 230 steps multiplies by 0.99.",
            lambda x: not _near(x, 0.99, 2e-3),
        ),
        (
            "that is the weight of all steps together; the question asks for the rest, the weight of the start.",
            lambda x: not _near(x, 1 - 0.99**230, 5e-3),
        ),
        ("0.99 to the power of 230 is about 0.1.", lambda x: _near(x, 0.99**230, 0.01)),
    ],
    solution=0.99**230,
    wrong=[
        (0.01, "weight of one new step"),
        (0.99, "after one step"),
        (0.9, "weight of all steps"),
        (0.5, "power of 230"),
    ],
)


def _pair():
    zero = {"encoder.w": torch.tensor([0.0, 8.0]), "head.weight": torch.tensor([16.0])}
    mean = {"encoder.w": torch.tensor([8.0, 8.0]), "head.weight": torch.tensor([32.0])}
    return zero, mean


def _started(theta_0, debiased, decay, steps):
    return interpolate(theta_0, debiased, 1 - decay**steps)


def _swapped(theta_0, debiased, decay, steps):
    return interpolate(theta_0, debiased, decay**steps)


def _one_step(theta_0, debiased, decay, steps):
    return interpolate(theta_0, debiased, 1 - decay)


def _sum(theta_0, debiased, decay, steps):
    return {name: decay**steps * theta_0[name] + debiased[name] for name in theta_0}


def _at(f, decay, steps, name="encoder.w"):
    return f(*_pair(), decay, steps)[name][0]


started = Exercise(
    "10.2",
    claims=[
        (
            "alpha and 1 - alpha are swapped: after many steps the start has almost no weight.",
            lambda f: not _near(_at(f, 0.5, 3), 1),
        ),
        (
            "you count one step only: the start's weight shrinks with every step, to decay ** steps.",
            lambda f: not _near(_at(f, 0.5, 3), 4),
        ),
        (
            "the two weights must sum to 1: the debiased average was divided by 1 - decay ** steps, so multiply it back.",
            lambda f: not _near(_at(f, 0.5, 3, "head.weight"), 34),
        ),
        (
            "with decay 0.5 and 3 steps an eighth of the start is left: from 0 to 8 that is 7, for the head 30.",
            lambda f: _near(_at(f, 0.5, 3), 7) and _near(_at(f, 0.5, 3, "head.weight"), 30),
        ),
    ],
    solution=_started,
    wrong=[
        (_swapped, "swapped"),
        (_one_step, "one step only"),
        (_sum, "must sum to 1"),
        (lambda theta_0, debiased, decay, steps: debiased, "an eighth of the start"),
    ],
)


def _spring(theta, theta_0, strength):
    return strength * sum((theta[name] - theta_0[name]).square().sum() for name in theta)


def _to_zero(theta, theta_0, strength):
    return strength * sum(tensor.square().sum() for tensor in theta.values())


def _signed(theta, theta_0, strength):
    return strength * sum((theta[name] - theta_0[name]).sum() for name in theta)


def _pull(f):
    zero, theta = (
        _pair()[0],
        {"encoder.w": torch.tensor([1.0, 7.0]), "head.weight": torch.tensor([19.0])},
    )
    return float(f(theta, zero, 0.5))


spring = Exercise(
    "10.3",
    claims=[
        (
            "yours pulls towards zero: the penalty must be 0 where the weights equal theta_0.",
            lambda f: _near(f(_pair()[0], _pair()[0], 1.0), 0),
        ),
        (
            "positive and negative differences cancel: square each before you add.",
            lambda f: not _near(_pull(f), 1.5),
        ),
        (
            "the formula has the squared distance; take no root.",
            lambda f: not _near(_pull(f), 0.5 * 11**0.5),
        ),
        ("the strength is missing: multiply by it.", lambda f: not _near(_pull(f), 11)),
        (
            "differences of 1, -1 and 3 at strength 0.5 make 0.5 times 11.",
            lambda f: _near(_pull(f), 5.5),
        ),
    ],
    solution=_spring,
    wrong=[
        (_to_zero, "pulls towards zero"),
        (_signed, "cancel"),
        (lambda t, z, s: s * sum((t[n] - z[n]).square().sum() for n in t) ** 0.5, "no root"),
        (lambda t, z, s: _spring(t, z, 1.0), "strength is missing"),
    ],
)

context = Exercise(
    "10.4",
    claims=[
        (
            "that is one set of vectors for each class; here all 122 classes share theirs.",
            lambda n: n != 4 * 128 * 122,
        ),
        (
            "that is a linear probe; here the head's rows are computed by the text encoder, not trained.",
            lambda n: n not in (122 * 128, 122 * 129),
        ),
        ("those are the vectors; each has 128 numbers.", lambda n: n != 4),
        ("4 vectors of 128 numbers, shared by all classes.", lambda n: n == 4 * 128),
    ],
    solution=4 * 128,
    wrong=[
        (4 * 128 * 122, "share theirs"),
        (122 * 128, "linear probe"),
        (4, "each has 128"),
        (128, "4 vectors"),
    ],
)


def _line(shifts=(60.0, 64.0, 66.0, 62.0)) -> pd.DataFrame:
    return pd.DataFrame(
        {"test": [80.0, 83.0, 84.0, 86.0], "shifts": shifts}, index=[0.0, 0.3, 0.5, 1.0]
    )


def _offered(line, reference):
    reached = line[line["test"] >= min(reference, line["test"].max())]
    return float(reached["shifts"].idxmax())


def _nearest(line, reference):
    return float((line["test"] - reference).abs().idxmin())


offered = Exercise(
    "10.5",
    claims=[
        ("you return an accuracy; return the alpha that has it.", lambda f: f(_line(), 83.5) <= 1),
        (
            "you take the highest point of the whole line; it must not be worse on the reference than asked.",
            lambda f: not _near(f(_line(), 85.5), 0.5),
        ),
        (
            "you take the alpha nearest on the reference; one further to the right may be higher, and is better on both.",
            lambda f: not _near(f(_line(), 80.5), 0),
        ),
        (
            "you take the first alpha that reaches it; take the one with the largest 'shifts' among all that do.",
            lambda f: not _near(f(_line(), 82), 0.3),
        ),
        (
            "keep the rows with at least this reference accuracy, then take the alpha of the largest 'shifts'.",
            lambda f: (
                _near(f(_line(), 83.5), 0.5)
                and _near(f(_line(), 85.5), 1)
                and _near(f(_line((60.0, 70.0, 66.0, 62.0)), 82), 0.3)
            ),
        ),
        (
            "no row reaches 99: then take the row with the highest reference accuracy.",
            lambda f: _near(f(_line(), 99), 1),
        ),
    ],
    solution=_offered,
    wrong=[
        (
            lambda line, reference: line.loc[_offered(line, reference), "shifts"],
            "return an accuracy",
        ),
        (lambda line, reference: float(line["shifts"].idxmax()), "whole line"),
        (_nearest, "nearest on the reference"),
        (
            lambda line, reference: float((line["test"] >= min(reference, 86)).idxmax()),
            "first alpha",
        ),
        (
            lambda line, reference: line.loc[line["test"] >= reference, "shifts"].idxmax(),
            "highest reference accuracy",
        ),
    ],
)

on_the_line = choice(
    "10.6",
    "C",
    {
        "A": "the mean is below 0, but the interval reaches above it: other seeds could have reversed the sign.",
        "B": "an interval around 0 cannot show that two things are equal, only that five seeds do not distinguish them.",
        "D": "more images narrow another interval; this one is about the seeds, and any sign may come out.",
    },
)

ALL = [start_weight, started, spring, context, offered, on_the_line]
