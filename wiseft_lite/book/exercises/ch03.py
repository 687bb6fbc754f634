"""Exercises of chapter 3, A head on frozen features."""

from __future__ import annotations

import pandas as pd
import torch
import torch.nn.functional as F

from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


size = Exercise(
    "3.1",
    claims=[
        (
            "the bias is missing: the head has one more number for each class.",
            lambda n: n != 122 * 128,
        ),
        ("that is the whole image encoder; the probe leaves it frozen.", lambda n: n < 1_000_000),
        (
            "every class has its own row of 128 numbers: multiply, do not add.",
            lambda n: n != 122 + 128,
        ),
        ("122 rows of 128 numbers, and 122 biases.", lambda n: n == 122 * 128 + 122),
    ],
    solution=122 * 128 + 122,
    wrong=[
        (15_616, "bias is missing"),
        (2_700_000, "leaves it frozen"),
        (250, "do not add"),
        (128, "122 rows"),
    ],
)


def _problem():
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(12, 4, generator=generator), dim=-1)
    labels = torch.randint(3, (12,), generator=generator)
    return torch.randn(3, 4, generator=generator), features, labels, 0.5


def _step(weight, features, labels, lr):
    error = (features @ weight.T).softmax(-1) - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


def _uphill(weight, features, labels, lr):
    return 2 * weight - _step(weight, features, labels, lr)


def _summed(weight, features, labels, lr):
    return weight + len(features) * (_step(weight, features, labels, lr) - weight)


def _linear(weight, features, labels, lr):
    error = features @ weight.T - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


def _same(f, reference) -> bool:
    return torch.allclose(f(*_problem()), reference(*_problem()), atol=1e-5)


step = Exercise(
    "3.2",
    claims=[
        (
            "you step along the gradient, so the loss grows. Subtract the gradient.",
            lambda f: not _same(f, _uphill),
        ),
        (
            "you sum over the images; the loss is a mean, so divide by their number.",
            lambda f: not _same(f, _summed),
        ),
        (
            "the error is probability minus truth: apply the softmax to the logits first.",
            lambda f: not _same(f, _linear),
        ),
        (
            "the gradient of row c is the mean of (p_c - y_c) times the features.",
            lambda f: _same(f, _step),
        ),
    ],
    solution=_step,
    wrong=[
        (_uphill, "the loss grows"),
        (_summed, "divide by their number"),
        (_linear, "apply the softmax"),
        (lambda w, x, y, lr: w, "gradient of row c"),
    ],
)

_LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]


def _k_shot(labels, k, seed):
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist()
    seen, rows = {}, []
    for row in order:
        seen[labels[row]] = seen.get(labels[row], 0) + 1
        if seen[labels[row]] <= k:
            rows.append(row)
    return rows


def _first_k(labels, k, seed):
    return [
        row for c in sorted(set(labels)) for row in [i for i, y in enumerate(labels) if y == c][:k]
    ]


def _unbalanced(labels, k, seed):
    count = k * len(set(labels))
    return torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[
        :count
    ].tolist()


def _counts(rows):
    return sorted(_LABELS[row] for row in rows)


few = Exercise(
    "3.3",
    claims=[
        (
            "you return labels; return the indices of the images.",
            lambda f: max(f(_LABELS, 2, 0)) > 2,
        ),
        (
            "the classes get unequal numbers: k images of *each* class.",
            lambda f: all(_counts(f(_LABELS, 2, s)) == [0, 0, 1, 1, 2, 2] for s in range(20)),
        ),
        (
            "the seed changes nothing: you always take the same images, so there is no spread between seeds.",
            lambda f: len({tuple(sorted(f(_LABELS, 2, s))) for s in range(20)}) > 1,
        ),
        (
            "one seed must always give the same images.",
            lambda f: f(_LABELS, 2, 3) == f(_LABELS, 2, 3),
        ),
    ],
    solution=_k_shot,
    wrong=[
        (lambda labels, k, seed: sorted(set(labels)) * k, "indices of the images"),
        (_unbalanced, "of *each* class"),
        (_first_k, "no spread between seeds"),
        (
            lambda labels, k, seed: _k_shot(labels, k, int(torch.randint(10**6, ()))),
            "always give the same",
        ),
    ],
)


def _search(
    val=(80.0, 86.0, 85.0), test=(82.0, 84.0, 87.0), shifts=(66.0, 60.0, 55.0)
) -> pd.DataFrame:
    return pd.DataFrame({"lr": [1e-4, 1e-3, 1e-2], "val": val, "test": test, "shifts": shifts})


def _report(table: pd.DataFrame) -> float:
    return float(table.loc[table["val"].idxmax(), "test"])


report = Exercise(
    "3.5",
    claims=[
        (
            "you report the best of all test scores; without test labels nobody can know which trial that is.",
            lambda f: not _near(f(_search()), 87.0),
        ),
        (
            "you report the validation score itself; it was used to choose, so it is biased upwards.",
            lambda f: not _near(f(_search()), 86.0),
        ),
        (
            "you choose the trial by the shifts; their labels are not available when you choose.",
            lambda f: not _near(f(_search()), 82.0),
        ),
        (
            "take the row with the largest 'val' and report its 'test'.",
            lambda f: _near(f(_search()), 84.0),
        ),
    ],
    solution=_report,
    wrong=[
        (lambda t: t["test"].max(), "best of all test"),
        (lambda t: t["val"].max(), "biased upwards"),
        (lambda t: t.loc[t["shifts"].idxmax(), "test"], "by the shifts"),
        (lambda t: t["test"].mean(), "largest 'val'"),
    ],
)

start = choice(
    "3.4",
    "D",
    {
        "A": "both heads have the same number of weights; the start does not change that.",
        "B": "the features are the same, encoded once by the same frozen encoder.",
        "C": "more epochs bring both to the same loss on the training images, but a class without enough images "
        "still lacks what its name provides.",
    },
)

ALL = [size, step, few, report, start]
