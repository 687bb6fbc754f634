"""Exercises of chapter 1, Words become weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.losses import contrastive_loss


def _near(a: float, b: float, tolerance: float = 1e-4) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _pairs():
    generator = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(5, 3, generator=generator), dim=-1) for _ in range(2))
    return images, texts, 7.0


def _one_way(images, texts, scale):
    return F.cross_entropy(scale * images @ texts.T, torch.arange(len(images)))


def _no_scale(images, texts, scale):
    return contrastive_loss(images, texts, 1.0)


def _summed(images, texts, scale):
    return 2 * contrastive_loss(images, texts, scale)


loss = Exercise(
    "1.2",
    claims=[
        (
            "you only classify captions given an image; the loss also classifies images given a caption.",
            lambda f: not _near(f(*_pairs()), _one_way(*_pairs())),
        ),
        (
            "the scale is missing: without it the softmax is nearly flat and nothing is learned.",
            lambda f: not _near(f(*_pairs()), _no_scale(*_pairs())),
        ),
        (
            "you add the two directions; the loss is their mean.",
            lambda f: not _near(f(*_pairs()), _summed(*_pairs())),
        ),
        (
            "the right caption for image i is caption i: the targets are 0, 1, 2, and so on.",
            lambda f: _near(f(*_pairs()), contrastive_loss(*_pairs())),
        ),
    ],
    solution=contrastive_loss,
    wrong=[
        (_one_way, "images given a caption"),
        (_no_scale, "scale is missing"),
        (_summed, "is their mean"),
        (
            lambda i, t, s: F.cross_entropy(s * i @ t.T, torch.zeros(len(i), dtype=torch.long)),
            "targets are",
        ),
    ],
)

chance = Exercise(
    "1.1",
    claims=[
        ("that is the chance for two classes; here there are 122.", lambda x: not _near(x, 50)),
        (
            "that is a fraction; the question asks for percent.",
            lambda x: not _near(x, 1 / 122, 1e-3),
        ),
        (
            "one class in 122 is less than one in a hundred, so the answer lies below 1 %.",
            lambda x: x < 1,
        ),
        ("one right class in 122, in percent, is 100 / 122.", lambda x: _near(x, 100 / 122, 0.03)),
    ],
    solution=100 / 122,
    wrong=[
        (50, "two classes"),
        (0.0082, "that is a fraction"),
        (1.22, "below 1 %"),
        (0.5, "100 / 122"),
    ],
)


def _embeddings():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 3, 6, generator=generator) * torch.tensor([1.0, 5.0, 0.2]).view(
        1, 3, 1
    ), 10.0


def _rows(embeddings, scale):
    return scale * F.normalize(F.normalize(embeddings, dim=-1).mean(1), dim=-1)


def _rows_mean_only(embeddings, scale):
    return scale * F.normalize(embeddings.mean(1), dim=-1)


def _rows_each_only(embeddings, scale):
    return scale * F.normalize(embeddings, dim=-1).mean(1)


def _same(f, reference) -> bool:
    ours, theirs = f(*_embeddings()), reference(*_embeddings())
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-5)


rows = Exercise(
    "1.3",
    claims=[
        (
            "the rows have length 1: multiply them by the scale. Without it the accuracy is the same, but the loss is not.",
            lambda f: (f(*_embeddings()).norm(dim=-1) - 1).abs().max() > 1e-4,
        ),
        (
            "the mean of unit vectors is shorter than 1; normalise it once more, or classes whose prompts "
            "disagree get smaller logits.",
            lambda f: not _same(f, _rows_each_only),
        ),
        (
            "normalise each prompt's embedding before the mean, or long embeddings dominate the mean.",
            lambda f: not _same(f, _rows_mean_only),
        ),
        (
            "average over the prompts, dimension 1: one row for each class.",
            lambda f: _same(f, _rows),
        ),
    ],
    solution=_rows,
    wrong=[
        (lambda e, s: _rows(e, 1.0), "multiply them by the scale"),
        (_rows_each_only, "shorter than 1"),
        (_rows_mean_only, "dominate the mean"),
        (lambda e, s: s * F.normalize(e, dim=-1).mean(0), "dimension 1"),
    ],
)

_FOLDERS, _NAMES = ["ant", "bee", "cat"], ["cat", "ant", "bee"]


def _labels_for_rows(labels, folders, names):
    return [names.index(folders[label]) for label in labels]


order = Exercise(
    "1.5",
    claims=[
        (
            "the numbers are unchanged: label 0 still means the first folder, but row 0 of the head is another class.",
            lambda f: list(f([0, 1, 2], _FOLDERS, _NAMES)) != [0, 1, 2],
        ),
        (
            "that is the inverse map: it turns a row of the head into a folder, not a folder into a row.",
            lambda f: list(f([0, 1, 2], _FOLDERS, _NAMES)) != [2, 0, 1],
        ),
        (
            "look up the folder's name, then the index of that name among the head's rows.",
            lambda f: list(f([0, 1, 2, 2], _FOLDERS, _NAMES)) == [1, 2, 0, 0],
        ),
    ],
    solution=_labels_for_rows,
    wrong=[
        (lambda labels, folders, names: labels, "unchanged"),
        (
            lambda labels, folders, names: [folders.index(names[k]) for k in labels],
            "the inverse map",
        ),
        (lambda labels, folders, names: [0 for _ in labels], "look up"),
    ],
)

temperature = choice(
    "1.4",
    "B",
    {
        "A": "dividing all logits by one number keeps their order, so every prediction stays the same.",
        "C": "the predictions stay, but the probabilities do not: a flatter softmax gives a different loss.",
        "D": "training follows the gradient of the loss, so a head with the wrong temperature trains differently.",
    },
)

ALL = [loss, chance, rows, order, temperature]
