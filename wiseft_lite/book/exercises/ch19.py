"""Exercises of chapter 19, Your own images."""

from __future__ import annotations

import numpy as np

from wiseft_lite.book.teaching import Exercise, choice

folders = choice(
    "19.1",
    "B",
    {
        "A": "only the name 'val' is special; a set that the reader thinks is held out would be reported as a shift.",
        "C": "nothing is ignored: every folder beside train, val and test is a shift with its own column.",
    },
)

_VISITS = [f"visit {k // 6}" for k in range(60)]  # ten visits of six images each


def _by_group(groups, fraction, seed):
    names = sorted(set(groups))
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, round(fraction * len(names)))]
    return [group in set(drawn) for group in groups]


def _by_image(groups, fraction, seed):
    drawn = np.random.default_rng(seed).permutation(len(groups))[: round(fraction * len(groups))]
    return [k in set(drawn.tolist()) for k in range(len(groups))]


def _the_last(groups, fraction, seed):
    names = sorted(set(groups))
    return [group in names[-max(1, round(fraction * len(names))) :] for group in groups]


def _training(groups, fraction, seed):
    return [not held for held in _by_group(groups, fraction, seed)]


def _parted(held):
    return {g for g, h in zip(_VISITS, held, strict=True) if h} & {
        g for g, h in zip(_VISITS, held, strict=False) if not h
    }


held_out = Exercise(
    "19.2",
    claims=[
        (
            "one visit lies on both sides: its images are nearly the same, so the held-out ones were almost seen in "
            "training. Draw visits, not images.",
            lambda f: not _parted(f(_VISITS, 0.2, 0)),
        ),
        (
            "the wrong side is marked: True means held out, and a fraction of 0.2 of ten visits is two visits.",
            lambda f: sum(f(_VISITS, 0.2, 0)) < 30,
        ),
        (
            "every seed holds out the same visits, and the order of the files may be the order of the days. Draw them by "
            "the seed.",
            lambda f: len({tuple(f(_VISITS, 0.2, seed)) for seed in range(6)}) > 1,
        ),
        (
            "a fraction of 0.2 of ten visits is two visits, with six images each.",
            lambda f: sum(f(_VISITS, 0.2, 0)) == 12,
        ),
        (
            "the same seed must hold out the same visits again.",
            lambda f: f(_VISITS, 0.2, 3) == f(_VISITS, 0.2, 3),
        ),
    ],
    solution=_by_group,
    wrong=[
        (_by_image, "both sides"),
        (_the_last, "Draw them by the seed"),
        (_training, "wrong side is marked"),
    ],
)

steps = Exercise(
    "19.3",
    claims=[
        (
            "the last batch of an epoch is smaller, but it is a step too: round 900 / 128 up.",
            lambda n: n not in (70, 7),
        ),
        ("these are images; a step takes a batch of 128 of them.", lambda n: n != 9000),
        ("these are the steps of one epoch; there are ten.", lambda n: n != 8),
        ("8 batches per epoch, 10 epochs: 80 steps.", lambda n: n == 80),
    ],
    solution=80,
    wrong=[(70, "round 900 / 128 up"), (9000, "these are images"), (8, "steps of one epoch")],
)

what_now = choice(
    "19.4",
    "C",
    {
        "A": "half way is not safe here: the head of a zero-shot model at chance contributes nothing, and no run has shown "
        "what the mixture is worth. Fix the names first; then measure the curve on val.",
        "B": "a larger learning rate moves the model further from the start; it does not make a useless start better.",
    },
)

ALL = [folders, held_out, steps, what_now]
