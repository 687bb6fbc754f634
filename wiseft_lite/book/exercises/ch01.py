"""Exercises of chapter 1, Words become weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import names, normal, unit
from wiseft_lite.losses import contrastive_loss

chance = Number(
    "1.1",
    100 / 122,
    [
        (50, "that is the chance for two classes; here there are 122."),
        (1 / 122, "that is a fraction; the question asks for percent."),
        (1.22, "that is 122 / 100; turn the fraction round."),
        (122, "that is the number of classes; one of them is right."),
    ],
    tolerance=0.03,
)


def _pairs(generator):
    n, d = generator.integers(3, 7, size=2)
    return unit(generator, n, d), unit(generator, n, d), float(generator.uniform(2, 20))


def _targets(images):
    return torch.arange(len(images))


def _one_way(images, texts, scale):
    return F.cross_entropy(scale * images @ texts.T, _targets(images))


def _other_way(images, texts, scale):
    return _one_way(texts, images, scale)


def _no_scale(images, texts, scale):
    return contrastive_loss(images, texts, 1.0)


def _divided(images, texts, scale):
    return contrastive_loss(images, texts, 1 / scale)


def _summed(images, texts, scale):
    return 2 * contrastive_loss(images, texts, scale)


def _two_softmaxes(images, texts, scale):
    similarity, targets = scale * images @ texts.T, _targets(images)
    ways = similarity.softmax(-1), similarity.T.softmax(-1)
    return sum(F.cross_entropy(way, targets) for way in ways) / 2


def _first_caption(images, texts, scale):
    similarity, targets = scale * images @ texts.T, torch.zeros_like(_targets(images))
    return (F.cross_entropy(similarity, targets) + F.cross_entropy(similarity.T, targets)) / 2


loss = Code(
    "1.2",
    contrastive_loss,
    [_pairs],
    [
        (
            _one_way,
            "you classify captions given an image only; the loss also classifies images given a caption.",
        ),
        (
            _other_way,
            "you classify images given a caption only; the loss also classifies captions given an image.",
        ),
        (
            _no_scale,
            "the scale is missing: without it the softmax is nearly flat and nothing is learned.",
        ),
        (_divided, "you divide by the scale; it multiplies the similarities."),
        (_summed, "you add the two directions; the loss is their mean."),
        (
            _two_softmaxes,
            "F.cross_entropy applies the softmax itself: pass it the logits, not probabilities.",
        ),
        (
            _first_caption,
            "the right caption for image i is caption i: the targets are 0, 1, 2, and so on.",
        ),
    ],
)


def _embeddings(generator):
    """Prompts of very different lengths, in directions that disagree."""
    n_classes, n_prompts, d = generator.integers(2, 5, size=3)
    lengths = torch.as_tensor(generator.uniform(0.2, 5, size=(n_classes, n_prompts, 1)))
    return normal(generator, n_classes, n_prompts, d) * lengths.float(), float(
        generator.uniform(2, 20)
    )


def _rows(embeddings, scale):
    return scale * F.normalize(F.normalize(embeddings, dim=-1).mean(1), dim=-1)


def _not_each(embeddings, scale):
    return scale * F.normalize(embeddings.mean(1), dim=-1)


def _not_the_mean(embeddings, scale):
    return scale * F.normalize(embeddings, dim=-1).mean(1)


rows = Code(
    "1.3",
    _rows,
    [_embeddings],
    [
        (
            lambda embeddings, scale: _rows(embeddings, 1.0),
            "the rows have length 1: multiply them by the scale. Without it the accuracy is the same, but the loss is not.",
        ),
        (
            _not_the_mean,
            "the mean of unit vectors is shorter than 1; normalise it once more, or classes whose prompts "
            "disagree get smaller logits.",
        ),
        (
            _not_each,
            "normalise each prompt's embedding before the mean, or long embeddings dominate the mean.",
        ),
        (
            lambda embeddings, scale: scale * embeddings.mean(1),
            "nothing is normalised: neither each prompt's embedding before the mean nor the mean itself.",
        ),
        (
            lambda embeddings, scale: _rows(embeddings.transpose(0, 1), scale),
            "average over the prompts, dimension 1: one row for each class.",
        ),
    ],
)


def _folders(generator):
    folders = names(generator, generator.integers(4, 7))
    labels = generator.integers(len(folders), size=8).tolist()
    return labels, folders, [str(name) for name in generator.permutation(folders)]


def _labels_for_rows(labels, folders, names):
    return [names.index(folders[label]) for label in labels]


def _starter(labels, folders, names):
    return [folders.index(names[label]) for label in labels]


order = Code(
    "1.5",
    _labels_for_rows,
    [_folders],
    [
        (
            lambda labels, folders, names: labels,
            "the numbers are unchanged: label 0 still means the first folder, but row 0 of the head is another class.",
        ),
        (
            _starter,
            "that is the inverse map: it turns a row of the head into a folder, not a folder into a row.",
        ),
        (
            lambda labels, folders, names: [folders[label] for label in labels],
            "those are the names of the folders; return the rows of the head that they belong to.",
        ),
        (
            lambda labels, folders, names: [
                sorted(names).index(folders[label]) for label in labels
            ],
            "the head's rows are in the order of 'names', which is not sorted.",
        ),
    ],
    starter=_starter,
)

temperature = Choice(
    "1.4",
    "B",
    {
        "A": "dividing all logits by one number keeps their order, so every prediction stays the same.",
        "C": "the predictions stay, but the probabilities do not: a flatter softmax gives a different loss.",
        "D": "training follows the gradient of the loss, so a head with the wrong temperature trains differently.",
    },
)

ALL = [chance, loss, rows, temperature, order]
