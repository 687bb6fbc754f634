"""Exercises of chapter 9, Two ways to ensemble."""

from __future__ import annotations

import numpy as np
import torch

from wiseft_lite._runtime.chebyshev import interpolation_matrix
from wiseft_lite.analysis.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.weights import interpolate


def _heads(generator):
    n, n_classes, d = generator.permutation([3, 4, 5]).tolist()
    zero, one = (
        {"weight": normal(generator, n_classes, d), "bias": normal(generator, n_classes)}
        for _ in range(2)
    )
    return zero, one, normal(generator, n, d), float(generator.uniform(0.1, 0.4))


def _logits(head, features):
    return features @ head["weight"].T + head["bias"]


def _of_weights(zero, one, features, alpha):
    return _logits(interpolate(zero, one, alpha), features)


def _of_outputs(zero, one, features, alpha):
    return output_ensemble(_logits(zero, features), _logits(one, features), alpha)


def _two_ways(zero, one, features, alpha):
    return _of_weights(zero, one, features, alpha), _of_outputs(zero, one, features, alpha)


def _without_bias(zero, one, features, alpha):
    return tuple(
        way - interpolate(zero, one, alpha)["bias"] for way in _two_ways(zero, one, features, alpha)
    )


def _bias_of_zero_shot(zero, one, features, alpha):
    mixed = {"weight": interpolate(zero, one, alpha)["weight"], "bias": zero["bias"]}
    return _logits(mixed, features), _of_outputs(zero, one, features, alpha)


def _probabilities(zero, one, features, alpha):
    both = _logits(zero, features), _logits(one, features)
    return _of_weights(zero, one, features, alpha), softmax_ensemble(*both, alpha)


two_ways = Code(
    "9.1",
    _two_ways,
    [_heads],
    [
        (
            _probabilities,
            "the second way mixes probabilities; mix the logits, before any softmax.",
        ),
        (
            lambda zero, one, features, alpha: _two_ways(one, zero, features, alpha),
            "both ways run backwards: alpha = 0 must give the zero-shot head's logits.",
        ),
        (
            lambda zero, one, features, alpha: (
                _of_weights(zero, one, features, alpha),
                _of_outputs(one, zero, features, alpha),
            ),
            "the second way runs backwards: alpha = 0 must give the zero-shot head's logits.",
        ),
        (
            _bias_of_zero_shot,
            "the bias belongs to the head too: mix every tensor of the two state dicts.",
        ),
        (_without_bias, "the bias is missing: logits are features @ weight.T + bias."),
        (
            lambda zero, one, features, alpha: (_logits(zero, features), _logits(one, features)),
            "those are the logits of the two heads; mix them, in two ways.",
        ),
    ],
)


def _two_answers(generator):
    """Logits of two models, of which the second is on another scale and often agrees."""
    n, n_classes = int(generator.integers(6, 13)), int(generator.integers(3, 6))
    logits = normal(generator, n, n_classes)
    return logits, 3 * (logits + 0.8 * normal(generator, n, n_classes)) - 1


def _equal_logits(generator):
    """As before, with some rows and some single logits that are the same."""
    logits, other = _two_answers(generator)
    rows, entries = generator.random((len(logits), 1)) < 0.3, generator.random(logits.shape) < 0.3
    return logits, torch.where(torch.as_tensor(rows | entries), logits, other)


def _agreement(logits, other):
    return 100 * float((logits.argmax(-1) == other.argmax(-1)).double().mean())


agreement = Code(
    "9.2",
    _agreement,
    [_two_answers, _equal_logits],
    [
        (
            lambda logits, other: 100 * float((logits == other).all(-1).double().mean()),
            "you compare the logits themselves; two models can predict the same class from different logits.",
        ),
        (
            lambda logits, other: 100 * float((logits == other).double().mean()),
            "you compare the single logits; two models can predict the same class from different logits.",
        ),
        (
            lambda logits, other: 100 - _agreement(logits, other),
            "you count where they differ; the question asks where they predict the same class.",
        ),
        (
            lambda logits, other: _agreement(logits, other) / 100,
            "return percent, not a fraction.",
        ),
        (
            lambda logits, other: int((logits.argmax(-1) == other.argmax(-1)).sum()),
            "you return a number of images; divide by how many there are.",
        ),
        (
            lambda logits, other: (
                100 * float((logits.argmax(0) == other.argmax(0)).double().mean())
            ),
            "your argmax runs over the images; take the class with the largest logit, image by image.",
        ),
    ],
)

random_mixture = Number(
    "9.3",
    65,
    [
        (
            80,
            "a random choice does not know which model is right, so it does not pick the better one.",
        ),
        (
            75,
            "that is a quarter of *zero-shot*: alpha is the fraction of images that the fine-tuned model classifies.",
        ),
        (
            70,
            "that is for alpha = 0.5; here only a quarter of the images go to the fine-tuned model.",
        ),
        (60, "a quarter of the images goes to the fine-tuned model, which is better."),
        (0.65, "that is a fraction; the question asks for percent."),
    ],
    tolerance=0.1,
)


def _two_logits(generator):
    n, n_classes = int(generator.integers(3, 6)), int(generator.integers(3, 6))
    scale = float(generator.uniform(2, 5))
    return (
        normal(generator, n, n_classes),
        scale * normal(generator, n, n_classes),
        float(generator.uniform(0.1, 0.4)),
    )


def _softmax_last(logits_0, logits_1, alpha):
    return ((1 - alpha) * logits_0 + alpha * logits_1).softmax(-1)


softmax = Code(
    "9.4",
    softmax_ensemble,
    [_two_logits],
    [
        (
            _softmax_last,
            "the softmax comes last, so the predictions are those of the mixed logits: the output "
            "ensemble again. Turn each model's logits into probabilities first.",
        ),
        (
            lambda logits_0, logits_1, alpha: output_ensemble(
                logits_0.softmax(0), logits_1.softmax(0), alpha
            ),
            "the softmax runs over the images; each image's own probabilities must sum to 1.",
        ),
        (
            lambda logits_0, logits_1, alpha: softmax_ensemble(logits_1, logits_0, alpha),
            "alpha = 0 must give the zero-shot model's probabilities; yours runs backwards.",
        ),
        (
            output_ensemble,
            "those are mixed logits; turn each model's logits into probabilities first.",
        ),
        (
            lambda logits_0, logits_1, alpha: softmax_ensemble(logits_0, logits_1, alpha).softmax(
                -1
            ),
            "you take the softmax twice: the mixture of two lists of probabilities sums to 1 already.",
        ),
        (
            lambda logits_0, logits_1, alpha: softmax_ensemble(logits_0, logits_1, 0.5),
            "you take the plain mean whatever alpha is.",
        ),
    ],
    starter=_softmax_last,
)


def _points(generator):
    """Two to five nodes in order, their values, and places at them, between them and beyond."""
    n = int(generator.integers(2, 6))
    nodes = sorted((generator.permutation(11)[:n] / 10).tolist())
    values = generator.normal(size=n).tolist()
    between = generator.uniform(nodes[0], nodes[-1], size=2).round(3).tolist()
    beyond = round(nodes[-1] + float(generator.uniform(0.05, 0.2)), 3)
    return nodes, values, [float(generator.choice(nodes)), *between, beyond]


def _at_each(through, nodes, values, alphas):
    return [through(nodes, values, alpha) for alpha in alphas]


def _through(nodes, values, alpha):
    total = 0.0
    for j, node in enumerate(nodes):
        weight = 1.0
        for k, other in enumerate(nodes):
            if k != j:
                weight *= (alpha - other) / (node - other)
        total += weight * values[j]
    return total


def _first_three(nodes, values, alpha):
    return _through(nodes[:3], values[:3], alpha)


through = Code(
    "9.5",
    _through,
    [_points],
    [
        (
            lambda nodes, values, alpha: (
                values[0] + (values[-1] - values[0]) * (alpha - nodes[0]) / (nodes[-1] - nodes[0])
            ),
            "you draw the chord between the two ends; the values in the middle are ignored.",
        ),
        (
            lambda nodes, values, alpha: (1 - alpha) * values[0] + alpha * values[-1],
            "you mix the first and the last value by alpha, whatever the nodes are.",
        ),
        (
            lambda nodes, values, alpha: float(np.interp(alpha, nodes, values)),
            "you interpolate linearly between neighbouring nodes; one polynomial must go through all of them.",
        ),
        (
            _first_three,
            "your polynomial goes through three nodes; it must work for any number of nodes.",
        ),
        (
            lambda nodes, values, alpha: values[int(np.argmin(np.abs(np.array(nodes) - alpha)))],
            "that is the value of the nearest node; between the nodes the others count too.",
        ),
        (
            lambda nodes, values, alpha: float(np.mean(values)),
            "that is the mean of the values, whatever alpha is.",
        ),
        (
            lambda nodes, values, alpha: _through(nodes, [1.0] * len(nodes), alpha),
            "you add up the weights of the nodes, which sum to 1; each is multiplied by its value.",
        ),
    ],
    library=[interpolation_matrix],
    call=_at_each,
    tolerance=1e-3,
    draws=10,
)

two_passes = Choice(
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
