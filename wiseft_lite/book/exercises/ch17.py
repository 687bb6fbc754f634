"""Exercises of chapter 17, The paper at full size."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.teaching import Exercise, choice

learning_rate = Exercise(
    "17.1",
    claims=[
        (
            "e-5 means: five places to the right of the point. 10e-5 is 0.0001 and 1e-5 is 0.00001.",
            lambda x: x != 1,
        ),
        ("the other way round: 10e-5 is the larger one.", lambda x: x >= 1),
        ("the 10 is a factor, not two more places of the exponent.", lambda x: x != 100),
        ("10e-5 is ten times 1e-5.", lambda x: x == 10),
    ],
    solution=10,
    wrong=[(1, "five places"), (0.1, "other way round"), (100, "not two more places")],
)


def _among(logits, classes):
    classes = torch.as_tensor(classes)
    return classes[logits[:, classes].argmax(-1)]


def _zeroed(logits, classes):
    mask = torch.zeros(logits.shape[1])
    mask[list(classes)] = 1
    return (logits * mask).argmax(-1)


# Six classes, of which the shift has 1, 3 and 4: the others are larger once, and all logits are
# negative once.
_LOGITS = torch.tensor(
    [
        [9.0, 1.0, 0.0, 2.0, 0.0, 0.0],
        [-1.0, -5.0, -2.0, -4.0, -3.0, -1.0],
        [0.0, 7.0, 0.0, 1.0, 2.0, 8.0],
    ]
)

subset = Exercise(
    "17.2",
    claims=[
        (
            "these are indices into the shift's own classes; the labels are classes of ImageNet. Look the index up in the list.",
            lambda f: _list(f(_LOGITS, (1, 3, 4))) != [1, 2, 0],
        ),
        (
            "a class that the shift lacks can still win: take the columns of its own classes before the argmax.",
            lambda f: _list(f(_LOGITS, (1, 3, 4)))[0] == 3,
        ),
        (
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus infinity.",
            lambda f: _list(f(_LOGITS, (1, 3, 4)))[1] == 4,
        ),
        (
            "for our three images and classes 1, 3 and 4 the predictions are 3, 4 and 1.",
            lambda f: _list(f(_LOGITS, (1, 3, 4))) == [3, 4, 1],
        ),
    ],
    solution=_among,
    wrong=[
        (lambda logits, classes: logits.argmax(-1), "can still win"),
        (lambda logits, classes: logits[:, list(classes)].argmax(-1), "indices into"),
        (_zeroed, "not small"),
        (lambda logits, classes: torch.tensor([3, 4, 3]), "are 3, 4 and 1"),
    ],
)


def _list(answers):
    return torch.as_tensor(answers).tolist()


def _by_groups(logits, groups, labels):
    own = [k for group in groups for k in group]
    predicted = _among(logits, own).tolist()
    return sum(k in groups[label] for k, label in zip(predicted, labels, strict=True)) / len(labels)


def _first_only(logits, groups, labels):
    own = [k for group in groups for k in group]
    return sum(
        k == groups[label][0] for k, label in zip(_among(logits, own).tolist(), labels, strict=True)
    ) / len(labels)


def _over_all(logits, groups, labels):
    return sum(
        k in groups[label] for k, label in zip(logits.argmax(-1).tolist(), labels, strict=True)
    ) / len(labels)


def _averaged(logits, groups, labels):
    means = torch.stack([logits[:, list(group)].mean(-1) for group in groups], -1)
    return float((means.argmax(-1) == torch.as_tensor(labels)).float().mean())


# Class 0 of the shift is ImageNet's 0 or 1 (two clocks), class 1 is its 2; ImageNet's 3 is not in
# the shift.
_GROUPS = ((0, 1), (2,))
_CLOCKS = torch.tensor(
    [[1.0, 5.0, 0.0, 0.0], [4.0, 0.0, 1.0, 9.0], [9.0, -20.0, 2.0, 0.0], [0.0, 1.0, 3.0, 2.0]]
)
_LABELS = [0, 0, 0, 1]

clocks = Exercise(
    "17.3",
    claims=[
        (
            "a class of ImageNet that ObjectNet lacks was allowed to win the second image: choose among the classes of all "
            "groups.",
            lambda f: f(_CLOCKS[1:2], _GROUPS, [0]) == 1,
        ),
        (
            "a wall clock is a clock too: every class of the right group counts, not the first alone.",
            lambda f: f(_CLOCKS[:1], _GROUPS, [0]) == 1,
        ),
        (
            "the mean of a group is pulled down by a member that does not fit. One member that wins is enough.",
            lambda f: f(_CLOCKS[2:3], _GROUPS, [0]) == 1,
        ),
        (
            "return the fraction of right predictions: all four of our images, and three of them if the last is a clock.",
            lambda f: (
                f(_CLOCKS, _GROUPS, _LABELS) == 1 and f(_CLOCKS, _GROUPS, [0, 0, 0, 0]) == 0.75
            ),
        ),
    ],
    solution=_by_groups,
    wrong=[
        (_over_all, "allowed to win"),
        (_first_only, "wall clock"),
        (_averaged, "pulled down"),
        (lambda logits, groups, labels: 1, "fraction of right predictions"),
    ],
)

names = choice(
    "17.4",
    "C",
    {
        "A": "another crop moves a number by little and at random; the names move it by more than two points, as the paper reports.",
        "B": "the zero-shot model has seen no ImageNet label, so nothing was trained wrong. Only its head is made of names.",
        "D": "that compares two tasks: ObjectNet's own names are not those of the paper's tables 1 and 8.",
    },
)


def _two(curve):
    return curve.mean(axis=1).max(), curve.max().mean()


_CURVE = pd.DataFrame({"V2": [10.0, 30.0, 20.0], "R": [20.0, 24.0, 40.0]}, index=[0.0, 0.5, 1.0])

conventions = Exercise(
    "17.5",
    claims=[
        (
            "return two accuracies in percent, not the alphas they were found at.",
            lambda f: min(f(_CURVE)) > 1,
        ),
        (
            "the other order: first the best single alpha, then the best of each column. The second cannot be smaller.",
            lambda f: f(_CURVE)[0] <= f(_CURVE)[1],
        ),
        (
            "both numbers are the same; the first must take all columns at one alpha, the second each at its own.",
            lambda f: f(_CURVE)[0] != f(_CURVE)[1],
        ),
        (
            "alpha 0.5 is a choice without looking; here the best alpha is asked for.",
            lambda f: f(_CURVE)[0] != 27,
        ),
        (
            "the mean of 20 and 40 at alpha 1 is 30, the mean of the two best is 35.",
            lambda f: abs(f(_CURVE)[0] - 30) < 1e-9 and abs(f(_CURVE)[1] - 35) < 1e-9,
        ),
    ],
    solution=_two,
    wrong=[
        (lambda curve: (curve.mean(axis=1).idxmax(), curve.idxmax().mean()), "not the alphas"),
        (lambda curve: _two(curve)[::-1], "the other order"),
        (lambda curve: (curve.max().mean(),) * 2, "both numbers"),
        (lambda curve: (curve.loc[0.5].mean(), curve.max().mean()), "without looking"),
        (lambda curve: (curve.mean(axis=1).max(), curve.max().max()), "mean of the two best"),
    ],
)

ALL = [learning_rate, subset, clocks, names, conventions]
