"""Exercises of chapter 20, The paper's own models on a free GPU."""

from __future__ import annotations

import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels as class_numbers
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.metrics import clopper_pearson

streamed = Number(
    "20.1",
    0.91,
    [
        (33, "these are all 72 files; only two things are in memory at a time."),
        (
            0.456,
            "this is the file that is read. The sum of those before it is as large, and is there too.",
        ),
        (
            1.37,
            "three models; once a file is added to the sum, it is freed before the next is read.",
        ),
    ],
    tolerance=0.06,
)

labels = Choice(
    "20.2",
    "B",
    {
        "A": "ImageNet-R has no tench among its 200 classes, so its labels count something else.",
        "C": "the list classnames.txt beside the tar files says what each label means; the library compares it with its own.",
    },
)


def _logits(generator):
    """Logits over all classes whose best class is mostly outside the subset."""
    n, classes = 12, 9
    subset = sorted(generator.permutation(classes)[:4].tolist())
    logits = normal(generator, n, classes)
    outside = [k for k in range(classes) if k not in subset]
    logits[: n // 2, outside[0]] += 4
    right = logits[:, subset].argmax(1)
    labels = torch.where(torch.arange(n) % 3 == 0, class_numbers(generator, n, 4), right)
    return logits, labels, subset


def _subset_accuracy(logits, labels, subset):
    return (logits[:, subset].argmax(1) == labels).float().mean().item()


subset_accuracy = Code(
    "20.3",
    _subset_accuracy,
    [_logits],
    [
        (
            lambda logits, labels, subset: (
                (logits.argmax(1) == torch.tensor(subset)[labels]).float().mean().item()
            ),
            "you predict among all classes. An image whose best class is outside the subset then counts as wrong, although the data set does not have that class.",
        ),
        (
            lambda logits, labels, subset: (
                (torch.tensor(subset)[logits[:, subset].argmax(1)] == labels).float().mean().item()
            ),
            "you compare a class of the model with a label that counts the classes of the subset. Both must mean the same list.",
        ),
        (
            lambda logits, labels, subset: (
                (logits[:, : len(subset)].argmax(1) == labels).float().mean().item()
            ),
            "you took the first columns; the subset says which columns belong to it.",
        ),
        (
            lambda logits, labels, subset: (
                (logits[:, subset].argmax(1) != labels).float().mean().item()
            ),
            "that is the fraction of errors.",
        ),
    ],
)


def _counts(generator):
    """A measurement, and a published accuracy near one end of its interval."""
    n = int(generator.choice([100, 300, 7_500, 50_000]))
    correct = int(generator.integers(n // 4, 3 * n // 4))
    low, high = clopper_pearson(correct, n)
    half = (high - low) / 2
    places = [low - 0.1 * half, low + 0.2 * half, high - 0.2 * half, high + 0.1 * half]
    return correct, n, float(generator.choice(places))


def _far(generator):
    """Half a point off: much on 50,000 images, nothing on 300."""
    n = int(generator.choice([300, 50_000]))
    correct = int(generator.integers(n // 3, 2 * n // 3))
    return correct, n, correct / n + float(generator.choice([-0.012, 0.012]))


def _agrees(correct, n, published):
    low, high = clopper_pearson(correct, n)
    return low <= published <= high


agrees = Code(
    "20.4",
    _agrees,
    [_counts, _far],
    [
        (
            lambda correct, n, published: abs(correct / n - published) <= 0.01,
            "a point is much on 50,000 images and nothing on 300. The interval depends on n.",
        ),
        (
            lambda correct, n, published: (
                clopper_pearson(correct, n)[0] > published
                or clopper_pearson(correct, n)[1] < published
            ),
            "this is True where the published accuracy lies outside the interval.",
        ),
        (
            lambda correct, n, published: published >= clopper_pearson(correct, n)[0],
            "you look at the lower end alone; a published accuracy may also be too high.",
        ),
        (
            lambda correct, n, published: published <= clopper_pearson(correct, n)[1],
            "you look at the upper end alone; a published accuracy may also be too low.",
        ),
    ],
    draws=40,
)


def _accuracies(generator):
    """A few accuracies, in which the best occurs twice."""
    values = (generator.permutation(30)[:5] / 100 + 0.6).tolist()
    values.insert(int(generator.integers(6)), max(values))
    return (values,)


def _order(accuracies):
    return sorted(range(len(accuracies)), key=lambda i: -accuracies[i])


order_of_trial = Code(
    "20.5",
    _order,
    [_accuracies],
    [
        (
            lambda accuracies: sorted(range(len(accuracies)), key=lambda i: accuracies[i]),
            "this begins with the worst model; a greedy soup begins with the best.",
        ),
        (
            lambda accuracies: sorted(
                range(len(accuracies)), key=lambda i: accuracies[i], reverse=False
            )[::-1],
            "turning an ascending order around also turns equal models around; the first of them comes first.",
        ),
        (
            lambda accuracies: sorted(accuracies, reverse=True),
            "these are the accuracies; return the indices of the models.",
        ),
        (
            lambda accuracies: [
                sorted(range(len(accuracies)), key=lambda i: -accuracies[i]).index(i)
                for i in range(len(accuracies))
            ],
            "this is the rank of each model; return the models in the order of their ranks.",
        ),
    ],
)

ALL = [streamed, labels, subset_accuracy, agrees, order_of_trial]
