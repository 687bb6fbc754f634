"""Exercises of chapter 17, The paper at full size."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, normal
from wiseft_lite.metrics import predictions

learning_rate = Number(
    "17.1",
    10,
    [
        (
            1,
            "e-5 means: five places to the right of the point. 10e-5 is 0.0001 and 1e-5 is 0.00001.",
        ),
        (0.1, "the other way round: 10e-5 is the larger one."),
        (100, "the 10 is a factor, not two more places of the exponent."),
        (1e5, "the exponents are equal; only the number in front differs."),
        (
            9,
            "that is by how much it is larger, in units of 1e-5; the question asks how many times.",
        ),
    ],
)


def _among(logits, classes):
    classes = torch.as_tensor(classes)
    return classes[logits[:, classes].argmax(-1)]


def _zeroed(logits, classes):
    mask = torch.zeros(logits.shape[1])
    mask[list(classes)] = 1
    return (logits * mask).argmax(-1)


def _subset(generator, move=0.0):
    classes = tuple(generator.permutation(9)[:4].tolist())
    return normal(generator, 6, 9) + move, classes


def _negative_logits(generator):
    return _subset(generator, move=-6.0)


def _positive_logits(generator):
    return _subset(generator, move=6.0)


subset = Code(
    "17.2",
    _among,
    [_subset, _negative_logits, _positive_logits],
    [
        (
            lambda logits, classes: logits.argmax(-1),
            "a class that the shift lacks can still win: take the columns of its own classes before the argmax.",
        ),
        (
            lambda logits, classes: logits[:, list(classes)].argmax(-1),
            "these are indices into the shift's own classes; the labels are classes of ImageNet. Look the index up in the list.",
        ),
        (
            _zeroed,
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus infinity.",
        ),
        (
            lambda logits, classes: torch.as_tensor(sorted(classes))[
                logits[:, list(classes)].argmax(-1)
            ],
            "you look the index up in the sorted classes; the columns are in the order of 'classes'.",
        ),
        (
            lambda logits, classes: logits[:, list(classes)].max(-1).values,
            "those are the largest logits; return the classes that have them.",
        ),
        (
            lambda logits, classes: logits[:, list(classes)],
            "those are the logits of the shift's classes; take the largest of each row.",
        ),
    ],
    starter=_zeroed,
    library=[predictions],
)


def _grouped(generator):
    """Seven classes of ImageNet in groups of one to three; two more that belong to no group."""
    order = generator.permutation(9).tolist()
    groups = (tuple(order[:3]), tuple(order[3:5]), (order[5],), (order[6],))
    labels = generator.integers(len(groups), size=12).tolist()
    logits = normal(generator, 12, 9)
    for row, label in enumerate(labels):
        logits[row, generator.choice(groups[label])] += 2
    return logits, groups, labels


def _negative_groups(generator):
    logits, groups, labels = _grouped(generator)
    return logits - 8, groups, labels


def _fraction(right):
    right = list(right)
    return sum(right) / len(right)


def _predicted(logits, groups):
    return _among(logits, [k for group in groups for k in group]).tolist()


def _by_groups(logits, groups, labels):
    pairs = zip(_predicted(logits, groups), labels, strict=True)
    return _fraction(k in groups[label] for k, label in pairs)


def _pooled(pool):
    """Give each group one logit, and take the largest."""

    def accuracy(logits, groups, labels):
        scores = torch.stack([pool(logits[:, list(group)]) for group in groups], -1)
        return float((scores.argmax(-1) == torch.as_tensor(labels)).double().mean())

    return accuracy


clocks = Code(
    "17.3",
    _by_groups,
    [_grouped, _negative_groups],
    [
        (
            lambda logits, groups, labels: _fraction(
                k in groups[label]
                for k, label in zip(logits.argmax(-1).tolist(), labels, strict=True)
            ),
            "a class of ImageNet that ObjectNet lacks was allowed to win: choose among the classes of all groups.",
        ),
        (
            lambda logits, groups, labels: _fraction(
                k == groups[label][0]
                for k, label in zip(_predicted(logits, groups), labels, strict=True)
            ),
            "a wall clock is a clock too: every class of the right group counts, not the first alone.",
        ),
        (
            _pooled(lambda logits: logits[:, 0]),
            "only the first class of each group takes part; every class of a group may win.",
        ),
        (
            _pooled(lambda logits: logits.mean(-1)),
            "the mean of a group is pulled down by a member that does not fit. One member that wins is enough.",
        ),
        (
            _pooled(lambda logits: logits.sum(-1)),
            "the sum of a group depends on how many members it has. One member that wins is enough.",
        ),
        (
            lambda *inputs: 100 * _by_groups(*inputs),
            "that is in percent; return a fraction.",
        ),
        (
            lambda *inputs: len(inputs[2]) * _by_groups(*inputs),
            "that is the number of right images; return the fraction.",
        ),
    ],
)

names = Choice(
    "17.4",
    "C",
    {
        "A": "another crop moves a number by little and at random; the names move it by more than two points, as the paper reports.",
        "B": "the zero-shot model has seen no ImageNet label, so nothing was trained wrong. Only its head is made of names.",
        "D": "that compares two tasks: ObjectNet's own names are not those of the paper's tables 1 and 8.",
    },
)


def _curve(generator):
    """Accuracies on four shifts by alpha, not in order; 0.5 is among the alphas and rarely best."""
    alphas = generator.permutation([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0])
    alphas = [0.5, *[float(a) for a in alphas if a != 0.5][: int(generator.integers(3, 6))]]
    columns = {name: distinct(generator, len(alphas)) for name in ("V2", "R", "Sketch", "A")}
    frame = pd.DataFrame(columns, index=pd.Index(alphas, name="alpha"))
    return (frame.iloc[generator.permutation(len(frame))],)


def _two(curve):
    return curve.mean(axis=1).max(), curve.max().mean()


conventions = Code(
    "17.5",
    _two,
    [_curve],
    [
        (
            lambda curve: (curve.mean(axis=1).idxmax(), curve.idxmax().mean()),
            "return two accuracies in percent, not the alphas they were found at.",
        ),
        (
            lambda curve: _two(curve)[::-1],
            "the other order: first the best single alpha, then the best of each column. The second cannot be smaller.",
        ),
        (
            lambda curve: (curve.max().mean(),) * 2,
            "both numbers give each column its own alpha; the first must take all columns at one.",
        ),
        (
            lambda curve: (curve.mean(axis=1).max(),) * 2,
            "both numbers take all columns at one alpha; the second gives each its own.",
        ),
        (
            lambda curve: (curve.loc[0.5].mean(), curve.max().mean()),
            "alpha 0.5 is a choice without looking; here the best alpha is asked for.",
        ),
        (
            lambda curve: (curve.mean(axis=1).max(), curve.max().max()),
            "the second is the largest accuracy of all; take the mean of each column's best.",
        ),
        (
            lambda curve: (curve.mean().max(), curve.max().mean()),
            "the first averages over the alphas; average over the columns, and take the best alpha.",
        ),
    ],
)

ALL = [learning_rate, subset, clocks, names, conventions]
