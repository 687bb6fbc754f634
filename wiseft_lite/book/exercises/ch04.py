"""Exercises of chapter 4, Moving every weight."""

from __future__ import annotations

import math

import pandas as pd

from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _schedule(step, total, warmup, peak):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def _cold(step, total, warmup, peak):
    return peak * 0.5 * (1 + math.cos(math.pi * step / total))


def _straight(step, total, warmup, peak):
    return peak * (step + 1) / warmup if step < warmup else peak * (total - step) / (total - warmup)


def _no_shift(step, total, warmup, peak):
    return (
        peak * (step + 1) / warmup
        if step < warmup
        else peak * 0.5 * (1 + math.cos(math.pi * step / total))
    )


schedule = Exercise(
    "4.4",
    claims=[
        (
            "there is no warm-up: the first step already uses the full learning rate.",
            lambda f: f(0, 100, 10, 1.0) < 0.5,
        ),
        (
            "the learning rate drops abruptly when the warm-up ends; start the cosine there, not at step 0.",
            lambda f: _near(f(10, 100, 10, 1.0), 1.0),
        ),
        (
            "after the warm-up the learning rate falls linearly; a cosine stays high longer, then falls faster.",
            lambda f: not _near(f(32, 100, 10, 1.0), 1 - 22 / 90),
        ),
        (
            "half way between warm-up and end the cosine is half of the peak, and at the end 0.",
            lambda f: _near(f(55, 100, 10, 2.0), 1.0) and _near(f(100, 100, 10, 2.0), 0),
        ),
    ],
    solution=_schedule,
    wrong=[
        (_cold, "no warm-up"),
        (_no_shift, "drops abruptly"),
        (_straight, "falls linearly"),
        (lambda s, total, w, peak: peak * min(1, (s + 1) / w), "half of the peak"),
    ],
)

steps = Exercise(
    "4.2",
    claims=[
        (
            "the last batch of an epoch is smaller, but it is a step too: round up, not down.",
            lambda n: n != 220,
        ),
        ("that is one epoch; there are ten.", lambda n: n != 23),
        (
            "that counts images; one step takes 64 of them at once.",
            lambda n: n not in (1471, 14_710),
        ),
        ("ceil(1471 / 64) = 23 steps per epoch, ten times.", lambda n: n == 230),
    ],
    solution=230,
    wrong=[
        (220, "round up, not down"),
        (23, "one epoch"),
        (14_710, "counts images"),
        (640, "ceil"),
    ],
)

warmup = Exercise(
    "4.3",
    claims=[
        (
            "500 steps of warm-up in a run of 230: the learning rate never reaches its peak.",
            lambda w: w < 230,
        ),
        (
            "no warm-up at all: the first steps are the largest, taken with AdamW's averages still empty.",
            lambda w: w > 0,
        ),
        (
            "the paper warms up for 500 of about 25,000 steps, which is 2 %; take between 1 and 20 % of 230.",
            lambda w: 2 <= w <= 46,
        ),
    ],
    solution=23,
    wrong=[(500, "never reaches its peak"), (0, "no warm-up at all"), (115, "which is 2 %")],
)


def _tasks() -> pd.DataFrame:
    return pd.DataFrame(
        {"task": ["arrows", "flags"], "before": [80.0, 40.0], "after": [60.0, 30.0]}
    )


forgotten = Exercise(
    "4.5",
    claims=[
        (
            "the sign is reversed: forgetting is what was lost, before minus after.",
            lambda f: f(_tasks()) > 0,
        ),
        (
            "you divide by the accuracy before; the book states losses in points.",
            lambda f: not _near(f(_tasks()), 25),
        ),
        (
            "you return the worst task; the question asks for the mean over the tasks.",
            lambda f: not _near(f(_tasks()), 20),
        ),
        (
            "80 to 60 and 40 to 30 lose 20 and 10 points, 15 on average.",
            lambda f: _near(f(_tasks()), 15),
        ),
    ],
    solution=lambda t: (t["before"] - t["after"]).mean(),
    wrong=[
        (lambda t: (t["after"] - t["before"]).mean(), "sign is reversed"),
        (lambda t: 100 * (1 - t["after"] / t["before"]).mean(), "in points"),
        (lambda t: (t["before"] - t["after"]).max(), "worst task"),
        (lambda t: (t["before"] - t["after"]).sum(), "15 on average"),
    ],
)

notation = choice(
    "4.1",
    "B",
    {
        "A": "10e-5 is 10 times 0.00001; the 10 in front is part of the number.",
        "C": "the exponent is the same in both; only the number in front differs.",
        "D": "try it: print(10e-5 / 1e-5).",
    },
)

ALL = [schedule, steps, warmup, forgotten, notation]
