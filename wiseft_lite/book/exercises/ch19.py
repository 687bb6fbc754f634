"""Exercises of chapter 19, Your own images."""

from __future__ import annotations

from collections import Counter

import numpy as np

from wiseft_lite.book.checks import Choice, Code, Number

folders = Choice(
    "19.1",
    "B",
    {
        "A": "only the name 'val' is special; a set that the reader thinks is held out would be reported as a shift.",
        "C": "nothing is ignored: every folder beside train, val and test is a shift with its own column.",
    },
)

_SEEDS = range(60)


def _visits(generator):
    """Images of eight visits of unequal size, and a share of a whole number of visits."""
    names = [f"visit {k}" for k in range(8)]
    sizes = generator.permutation([1, 2, 3, 4, 5, 6, 7, 8])
    groups = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    return [str(group) for group in generator.permutation(groups)], _share(generator)


def _share(generator):
    return float(generator.integers(2, 7) / 8)


def _small_share(generator):
    return _visits(generator)[0], float(generator.uniform(0.01, 0.05))


def _marked(held, groups):
    marks = [bool(mark) for mark in held]
    if len(marks) != len(groups):
        raise ValueError(f"{len(marks)} marks for {len(groups)} images")
    return marks


def _properties(held_out, groups, share):
    drawn = [_marked(held_out(groups, share, seed), groups) for seed in _SEEDS]
    again = [_marked(held_out(groups, share, seed), groups) for seed in _SEEDS[:3]]
    held, kept = (
        [{g for g, mark in zip(groups, marks, strict=True) if mark == side} for marks in drawn]
        for side in (True, False)
    )
    often = Counter(group for visits in held for group in visits)
    return {
        "visits on both sides": max(len(a & b) for a, b in zip(held, kept, strict=True)),
        "visits held out": sorted({len(visits) for visits in held}),
        "always held out": sorted(group for group in often if often[group] == len(_SEEDS)),
        "never held out": sorted(set(groups) - set(often)),
        "same seed, same visits": again == drawn[:3],
    }


def _count(share, n):
    return max(1, round(share * n))


def _by_visit(groups, share, seed):
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(names)
    drawn = set(order[: _count(share, len(names))].tolist())
    return [group in drawn for group in groups]


def _by_image(groups, share, seed):
    order = np.random.default_rng(seed).permutation(len(groups))
    drawn = set(order[: _count(share, len(groups))].tolist())
    return [k in drawn for k in range(len(groups))]


def _the_last(groups, share, seed):
    names = sorted(set(groups))
    return [group in names[-_count(share, len(names)) :] for group in groups]


def _with_replacement(groups, share, seed):
    names = sorted(set(groups))
    drawn = np.random.default_rng(seed).choice(names, _count(share, len(names)))
    return [group in set(drawn.tolist()) for group in groups]


def _share_of_images(groups, share, seed):
    drawn, held = set(), 0
    for name in np.random.default_rng(seed).permutation(sorted(set(groups))).tolist():
        if held < share * len(groups):
            drawn, held = {*drawn, name}, held + groups.count(name)
    return [group in drawn for group in groups]


held_out = Code(
    "19.2",
    _by_visit,
    [_visits, _small_share],
    [
        (
            _by_image,
            "one visit lies on both sides: its images are nearly the same, so the held-out ones were almost seen in "
            "training. Draw visits, not images.",
        ),
        (
            lambda groups, share, seed: [not held for held in _by_visit(groups, share, seed)],
            "the wrong side is marked: True means held out.",
        ),
        (
            _the_last,
            "every seed holds out the same visits, and the order of the files may be the order of the days. Draw them by "
            "the seed.",
        ),
        (
            lambda groups, share, seed: _by_visit(groups, share, 0),
            "you draw visits, but with another seed the same ones: pass the seed to the generator.",
        ),
        (
            _with_replacement,
            "you draw with replacement: a visit that is drawn twice counts twice, so fewer are held out. Shuffle, and "
            "take the first.",
        ),
        (
            lambda groups, share, seed: _by_visit(groups, 0.5, seed),
            "you hold out half of the visits whatever the share is.",
        ),
        (
            _share_of_images,
            "the share counts visits; yours counts images.",
        ),
    ],
    call=_properties,
    draws=3,
)

steps = Number(
    "19.3",
    80,
    [
        (70, "the last batch of an epoch is smaller, but it is a step too: round 900 / 128 up."),
        (
            70.3125,
            "there is no part of a step: the last batch of an epoch is smaller, but it is a step too.",
        ),
        (71, "you round up once for the run; each epoch ends with a smaller batch."),
        (9000, "these are images; a step takes a batch of 128 of them."),
        (8, "these are the steps of one epoch; there are ten."),
    ],
    tolerance=0.1,
)

what_now = Choice(
    "19.4",
    "C",
    {
        "A": "half way is not safe here: the head of a zero-shot model at chance contributes nothing, and no run has shown "
        "what the mixture is worth. Fix the names first; then measure the curve on val.",
        "B": "a larger learning rate moves the model further from the start; it does not make a useless start better.",
    },
)

ALL = [folders, held_out, steps, what_now]
