"""Exercises of chapter 3, A head on frozen features."""

from __future__ import annotations

from collections import Counter

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, labels, normal, table
from wiseft_lite.tasks.draws import few_shot_rows

size = Number(
    "3.1",
    122 * 128 + 122,
    [
        (122 * 128, "the bias is missing: the head has one more number for each class."),
        (2_700_000, "that is the whole image encoder; the probe leaves it frozen."),
        (250, "every class has its own row of 128 numbers: multiply, do not add."),
        (128, "that is one row; every class has its own."),
        (122 + 128 * 122 + 128, "there is one bias for each class, and none for the features."),
    ],
    tolerance=0.5,
)


def _problem(generator):
    n, n_classes, d = generator.permutation([3, 4, 5]).tolist()
    features = normal(generator, n, d)
    lr = float(generator.uniform(0.2, 2))
    return normal(generator, n_classes, d), features, labels(generator, n, n_classes), lr


def _step(weight, features, labels, lr, dim=-1):
    error = (features @ weight.T).softmax(dim) - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


def _change(factor):
    """A step that is ``factor`` times too long."""

    def step(weight, features, labels, lr):
        times = factor(weight, features, lr)
        return weight + times * (_step(weight, features, labels, lr) - weight)

    return step


def _linear(weight, features, labels, lr):
    error = features @ weight.T - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


step = Code(
    "3.2",
    _step,
    [_problem],
    [
        (
            _change(lambda weight, features, lr: -1),
            "you step along the gradient, so the loss grows. Subtract the gradient.",
        ),
        (
            _change(lambda weight, features, lr: len(features)),
            "you sum over the images; the loss is a mean, so divide by their number.",
        ),
        (
            _linear,
            "the error is probability minus truth: apply the softmax to the logits first.",
        ),
        (
            lambda w, x, y, lr: _step(w, x, y, lr, dim=0),
            "your softmax runs over the images; each image's own probabilities must sum to 1.",
        ),
        (
            _change(lambda weight, features, lr: 1 / lr),
            "the learning rate is missing: it multiplies the gradient.",
        ),
        (
            _change(lambda weight, features, lr: len(features) / len(weight)),
            "you divide by the number of classes; the mean runs over the images.",
        ),
        (
            lambda w, x, y, lr: w - _step(w, x, y, lr),
            "that is the change alone; return the new weight.",
        ),
    ],
)

_SEEDS = range(60)


def _unequal_classes(generator):
    k = int(generator.integers(1, 4))
    sizes = [k + int(extra) for extra in generator.permutation([1, 2, 4])]
    of_images = [c for c, size in enumerate(sizes) for _ in range(size)]
    return [int(c) for c in generator.permutation(of_images)], k


def _indices(rows, labels):
    rows = [row.item() if hasattr(row, "item") else row for row in rows]
    if len(rows) == len(labels) and all(isinstance(row, bool) for row in rows):
        return [k for k, chosen in enumerate(rows) if chosen]
    return rows


def _properties(k_shot, labels, k):
    drawn = [_indices(k_shot(labels, k, seed), labels) for seed in _SEEDS]
    again = [_indices(k_shot(labels, k, seed), labels) for seed in _SEEDS[:3]]
    images = range(len(labels))
    inside = [[row for row in rows if row in images] for rows in drawn]
    counts = [Counter(labels[row] for row in set(rows)) for rows in inside]
    sizes = [count[c] for count in counts for c in set(labels)]
    often = Counter(row for rows in inside for row in set(rows))
    return {
        "fewest images of a class": min(sizes),
        "most images of a class": max(sizes),
        "images drawn twice": max(len(rows) - len(set(rows)) for rows in drawn),
        "images always drawn": [row for row in images if often[row] == len(_SEEDS)],
        "images never drawn": [row for row in images if not often[row]],
        "same seed, same images": [sorted(rows) for rows in again]
        == [sorted(rows) for rows in drawn[:3]],
    }


def _k_shot(labels, k, seed):
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist()
    seen, rows = {}, []
    for row in order:
        seen[labels[row]] = seen.get(labels[row], 0) + 1
        if seen[labels[row]] <= k:
            rows.append(row)
    return rows


def _of_class(labels, c):
    return [row for row, label in enumerate(labels) if label == c]


def _first_k(labels, k, seed):
    return [row for c in sorted(set(labels)) for row in _of_class(labels, c)[:k]]


def _unbalanced(labels, k, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(labels), generator=generator)[: k * len(set(labels))].tolist()


def _with_replacement(labels, k, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for c in sorted(set(labels)):
        own = _of_class(labels, c)
        rows += [own[i] for i in torch.randint(len(own), (k,), generator=generator).tolist()]
    return rows


few = Code(
    "3.3",
    _k_shot,
    [_unequal_classes],
    [
        (
            lambda labels, k, seed: sorted(set(labels)) * k,
            "you return labels; return the indices of the images.",
        ),
        (
            _unbalanced,
            "the classes get unequal numbers: k images of *each* class.",
        ),
        (
            _first_k,
            "the seed changes nothing: you always take the first images, so there is no spread between seeds.",
        ),
        (
            lambda labels, k, seed: _k_shot(labels, k, 0),
            "another seed gives the same images: pass the seed to the generator.",
        ),
        (
            _with_replacement,
            "you draw with replacement, so one image can come twice: shuffle, then take k.",
        ),
        (
            lambda labels, k, seed: _k_shot(labels, 1, seed),
            "you take one image of each class; take k.",
        ),
    ],
    library=[few_shot_rows],
    call=_properties,
    draws=3,
)


def _search(generator):
    n = int(generator.integers(4, 7))
    trials = table(generator, n, ["val", "test", "shifts"])
    trials.insert(0, "lr", distinct(generator, n, 1, 20))
    return (trials,)


def _report(table):
    return float(table.loc[table["val"].idxmax(), "test"])


def _best_test(table):
    return float(table["test"].max())


report = Code(
    "3.5",
    _report,
    [_search],
    [
        (
            _best_test,
            "you report the best of all test scores; without test labels nobody can know which trial that is.",
        ),
        (
            lambda table: table["val"].max(),
            "you report the validation score itself; it was used to choose, so it is biased upwards.",
        ),
        (
            lambda table: table.loc[table["shifts"].idxmax(), "test"],
            "you choose the trial by the shifts; their labels are not available when you choose.",
        ),
        (
            lambda table: table["test"].mean(),
            "you average over all trials; you would deploy one of them, and report that one.",
        ),
        (
            lambda table: int(table["val"].idxmax()),
            "that is the name of the chosen row; return its 'test'.",
        ),
        (
            lambda table: table.loc[table["val"].idxmax(), "shifts"],
            "that is the chosen trial's accuracy on the shifts; the question asks for 'test'.",
        ),
    ],
    starter=_best_test,
)

start = Choice(
    "3.4",
    "D",
    {
        "A": "both heads have the same number of weights; the start does not change that.",
        "B": "the features are the same, encoded once by the same frozen encoder.",
        "C": "more epochs bring both to the same loss on the training images, but a class without enough images "
        "still lacks what its name provides.",
    },
)

ALL = [size, step, few, start, report]
