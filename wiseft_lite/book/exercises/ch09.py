"""Exercises of chapter 9, Two ways to ensemble."""

from __future__ import annotations

import torch

from wiseft_lite._runtime.chebyshev import interpolation_matrix
from wiseft_lite.analysis.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


def _equal(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def _heads():
    generator = torch.Generator().manual_seed(0)
    zero, one = (
        {
            "weight": torch.randn(3, 4, generator=generator),
            "bias": torch.randn(3, generator=generator),
        }
        for _ in range(2)
    )
    return zero, one, torch.randn(5, 4, generator=generator)


def _logits(head, features):
    return features @ head["weight"].T + head["bias"]


def _two_ways(zero, one, features, alpha):
    mixed = {name: (1 - alpha) * zero[name] + alpha * one[name] for name in zero}
    return _logits(mixed, features), (1 - alpha) * _logits(zero, features) + alpha * _logits(
        one, features
    )


def _bias_forgotten(zero, one, features, alpha):
    mixed = {"weight": (1 - alpha) * zero["weight"] + alpha * one["weight"], "bias": zero["bias"]}
    return _logits(mixed, features), _two_ways(zero, one, features, alpha)[1]


def _one_way_back(zero, one, features, alpha):
    return _two_ways(zero, one, features, alpha)[0], _two_ways(zero, one, features, 1 - alpha)[1]


def _probabilities(zero, one, features, alpha):
    both = _logits(zero, features), _logits(one, features)
    return _two_ways(zero, one, features, alpha)[0], softmax_ensemble(*both, alpha)


def _of_heads(f, way, alpha):
    return f(*_heads(), alpha)[way]


two_ways = Exercise(
    "9.1",
    claims=[
        (
            "the second way mixes probabilities; mix the logits, before any softmax.",
            lambda f: not torch.allclose(_of_heads(f, 1, 0.25).sum(-1), torch.ones(5), atol=1e-4),
        ),
        (
            "alpha = 0 must give the zero-shot head's logits in both ways; one of yours, or both, runs backwards.",
            lambda f: all(
                _equal(_of_heads(f, way, 0.0), _logits(_heads()[0], _heads()[2])) for way in (0, 1)
            ),
        ),
        (
            "the bias belongs to the head too: mix every tensor of the two state dicts.",
            lambda f: not _equal(_of_heads(f, 0, 0.25), _bias_forgotten(*_heads(), 0.25)[0]),
        ),
        (
            "return two tensors of logits [n, C]: of the mixed head, and the mixture of both heads' logits.",
            lambda f: all(
                _equal(_of_heads(f, way, 0.25), _two_ways(*_heads(), 0.25)[way]) for way in (0, 1)
            ),
        ),
    ],
    solution=_two_ways,
    wrong=[
        (_probabilities, "mixes probabilities"),
        (_one_way_back, "runs backwards"),
        (_bias_forgotten, "bias belongs to the head"),
        (lambda zero, one, features, alpha: (_logits(zero, features),) * 2, "return two tensors"),
    ],
)


def _answers():
    one = torch.eye(4)[[0, 1, 2, 3, 0]]
    other = 2 * torch.eye(4)[[0, 1, 3, 2, 0]] + 0.1
    return one, other


def _agreement(logits, other):
    return 100 * float((logits.argmax(-1) == other.argmax(-1)).double().mean())


agreement = Exercise(
    "9.2",
    claims=[
        (
            "you compare the logits themselves; two models can predict the same class from different logits.",
            lambda f: not _near(f(*_answers()), 0),
        ),
        (
            "you count where they differ; the question asks where they predict the same class.",
            lambda f: not _near(f(*_answers()), 40, 1e-3),
        ),
        ("return percent, not a fraction.", lambda f: not _near(f(*_answers()), 0.6, 1e-3)),
        (
            "you return a number of images; divide by how many there are.",
            lambda f: not _near(f(*_answers()), 3),
        ),
        (
            "compare the class with the largest logit, image by image; here 3 of 5 are the same, 60 %.",
            lambda f: _near(f(*_answers()), 60, 1e-3),
        ),
    ],
    solution=_agreement,
    wrong=[
        (lambda a, b: 100 * float((a == b).all(-1).float().mean()), "logits themselves"),
        (lambda a, b: 100 - _agreement(a, b), "where they differ"),
        (lambda a, b: _agreement(a, b) / 100, "not a fraction"),
        (lambda a, b: float((a.argmax(-1) == b.argmax(-1)).sum()), "number of images"),
        (
            lambda a, b: 100 * float((a.argmax(0) == b.argmax(0)).float().mean()),
            "image by image",
        ),
    ],
)

random_mixture = Exercise(
    "9.3",
    claims=[
        (
            "a random choice does not know which model is right, so it does not pick the better one.",
            lambda x: x < 80,
        ),
        (
            "that is a quarter of *zero-shot*: alpha is the fraction of images that the fine-tuned model classifies.",
            lambda x: not _near(x, 75),
        ),
        (
            "that is for alpha = 0.5; here only a quarter of the images go to the fine-tuned model.",
            lambda x: not _near(x, 70),
        ),
        ("three quarters of the images at 60 %, one quarter at 80 %.", lambda x: _near(x, 65)),
    ],
    solution=65,
    wrong=[
        (80, "pick the better"),
        (75, "a quarter of *zero-shot*"),
        (70, "alpha = 0.5"),
        (60, "three quarters"),
    ],
)


def _pair():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, generator=generator), 4 * torch.randn(6, 3, generator=generator)


def _mixed(f, alpha=0.25):
    return f(*_pair(), alpha)


softmax = Exercise(
    "9.4",
    claims=[
        (
            "the softmax comes last, so the predictions are those of the mixed logits: the output "
            "ensemble again. Turn each model's logits into probabilities first.",
            lambda f: not _equal(_mixed(f), output_ensemble(*_pair(), 0.25).softmax(-1)),
        ),
        (
            "the softmax runs over the images; each image's own probabilities must sum to 1.",
            lambda f: torch.allclose(_mixed(f).sum(-1), torch.ones(6), atol=1e-5),
        ),
        (
            "alpha = 0 must give the zero-shot model's probabilities; yours runs backwards.",
            lambda f: _equal(_mixed(f, 0.0), _pair()[0].softmax(-1)),
        ),
        (
            "(1 - alpha) times one model's probabilities plus alpha times the other's.",
            lambda f: _equal(_mixed(f), softmax_ensemble(*_pair(), 0.25)),
        ),
    ],
    solution=softmax_ensemble,
    wrong=[
        (lambda a, b, alpha: output_ensemble(a, b, alpha).softmax(-1), "softmax comes last"),
        (
            lambda a, b, alpha: (1 - alpha) * a.softmax(0) + alpha * b.softmax(0),
            "over the images",
        ),
        (lambda a, b, alpha: softmax_ensemble(b, a, alpha), "runs backwards"),
        (
            lambda a, b, alpha: (1 - alpha**2) * a.softmax(-1) + alpha**2 * b.softmax(-1),
            "times the other's",
        ),
    ],
)

_NODES, _VALUES = [0.0, 0.5, 1.0], [1.0, 3.0, 2.0]


def _through(nodes, values, alpha):
    total = 0.0
    for j, node in enumerate(nodes):
        weight = 1.0
        for k, other in enumerate(nodes):
            if k != j:
                weight *= (alpha - other) / (node - other)
        total += weight * values[j]
    return total


def _corners(nodes, values, alpha):
    for j in range(len(nodes) - 1):
        if alpha <= nodes[j + 1]:
            way = (alpha - nodes[j]) / (nodes[j + 1] - nodes[j])
            return (1 - way) * values[j] + way * values[j + 1]
    return values[-1]


through = Exercise(
    "9.5",
    claims=[
        (
            "you draw the chord between the two ends; the value in the middle is ignored.",
            lambda f: not _near(f(_NODES, _VALUES, 0.5), 1.5),
        ),
        (
            "at a node the result must be the node's own value: the weight of node j is 1 at node j and 0 at the others.",
            lambda f: all(
                _near(f(_NODES, _VALUES, x), v) for x, v in zip(_NODES, _VALUES, strict=True)
            ),
        ),
        (
            "you interpolate linearly between neighbouring nodes; one polynomial must go through all of them.",
            lambda f: not _near(f(_NODES, _VALUES, 0.25), 2),
        ),
        (
            "the parabola through these three points is 2.375 at 0.25; it must work for any number of nodes.",
            lambda f: (
                _near(f(_NODES, _VALUES, 0.25), 2.375)
                and _near(f([0, 1, 2, 4], [0, 1, 8, 64], 3), 27)
            ),
        ),
    ],
    solution=_through,
    wrong=[
        (
            lambda nodes, values, a: (1 - a) * values[0] + a * values[-1],
            "the chord between the two ends",
        ),
        (lambda nodes, values, a: sum(values) / len(values), "the node's own value"),
        (_corners, "linearly between neighbouring nodes"),
        (
            lambda nodes, values, a: float(
                interpolation_matrix(nodes[:3], [a])[0]
                @ torch.tensor(values[:3], dtype=torch.float64)
            ),
            "any number of nodes",
        ),
    ],
)

two_passes = choice(
    "9.6",
    "C",
    {
        "A": "with two nodes there is one polynomial of degree 1: a straight line for each logit, not a parabola.",
        "B": "the two passes are the two ends themselves; no mixed weights are ever run.",
        "D": "each logit runs straight from end to end, but which logit is largest can still change on the way: "
        "accuracy need not be straight. The accuracy of the random mixture is a straight line.",
    },
)

ALL = [two_ways, agreement, random_mixture, softmax, through, two_passes]
