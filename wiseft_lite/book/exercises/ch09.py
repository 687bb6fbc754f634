"""Exercises of chapter 9, Two ways to ensemble."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch.func import jvp

from wiseft_lite._runtime.chebyshev import interpolated, interpolation_matrix, lobatto_nodes
from wiseft_lite.analysis.ensembles import output_ensemble, random_ensemble, softmax_ensemble
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.book.checks.small_models import (
    near,
    network,
    of_all_classes,
    places,
    splits,
    weights,
    zeroed,
)
from wiseft_lite.book.experiments.first_order import slope_at_zero_shot
from wiseft_lite.metrics import accuracy, predictions
from wiseft_lite.sweeps import sweep
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


random_mixture = Number(
    "9.2",
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


def _answers(generator, classes):
    """Logits of two models on different scales, labels that the mixture often gets, and numbers."""
    n, n_classes = int(generator.integers(30, 40)), 5
    logits_0 = normal(generator, n, n_classes, dtype=torch.float64) - 4
    logits_1 = 3 * normal(generator, n, n_classes, dtype=torch.float64) - 6
    likely = predictions((0.6 * logits_0 + 0.4 * logits_1), classes)
    drawn = torch.as_tensor(generator.choice(classes or range(n_classes), size=n))
    right = torch.as_tensor(generator.random(n)) < 0.6
    alphas = ((generator.permutation(9)[:3] + 1) / 10).tolist()
    numbers = torch.as_tensor(generator.random(n))
    return logits_0, logits_1, torch.where(right, likely, drawn), classes, alphas, numbers


def _all_classes(generator):
    return _answers(generator, None)


def _some_classes(generator):
    return _answers(generator, tuple(generator.permutation(5)[:3].tolist()))


def _percent(predicted, labels):
    return 100 * float((predicted == labels).double().mean())


def _probabilities_of(logits_0, logits_1, classes, alpha):
    return softmax_ensemble(logits_0, logits_1, alpha)


def _one_of(logits_0, logits_1, asked):
    return torch.where(asked[:, None], logits_1, logits_0)


def _mixtures(
    logits_0,
    logits_1,
    labels,
    classes,
    alphas,
    numbers,
    predict=predictions,
    softmax=_probabilities_of,
    asked=lambda numbers, alpha: numbers < alpha,
    backwards=False,
    scale=1,
):
    curves = {"outputs": [], "softmax": [], "random": []}
    for alpha in alphas:
        alpha = 1 - alpha if backwards else alpha
        ways = (
            output_ensemble(logits_0, logits_1, alpha),
            softmax(logits_0, logits_1, classes, alpha),
            _one_of(logits_0, logits_1, asked(numbers, alpha)),
        )
        for curve, scores in zip(curves.values(), ways, strict=True):
            curve.append(scale * _percent(predict(scores, classes), labels))
    return curves


def _softmax_of_own(logits_0, logits_1, classes, alpha):
    if classes is None:
        return _probabilities_of(logits_0, logits_1, classes, alpha)
    absent = torch.full(logits_0.shape[1:], -torch.inf, dtype=logits_0.dtype)
    absent[list(classes)] = 0
    return softmax_ensemble(logits_0 + absent, logits_1 + absent, alpha)


def _straight_random(logits_0, logits_1, labels, classes, alphas, numbers):
    curves = _mixtures(logits_0, logits_1, labels, classes, alphas, numbers)
    ends = [_percent(predictions(x, classes), labels) for x in (logits_0, logits_1)]
    return {**curves, "random": [(1 - a) * ends[0] + a * ends[1] for a in alphas]}


mixtures = Code(
    "9.3",
    _mixtures,
    [_all_classes, _some_classes],
    [
        (
            partial(
                _mixtures,
                softmax=lambda a, b, _, alpha: output_ensemble(a, b, alpha).softmax(-1),
            ),
            "the softmax comes last, so its predictions are those of the mixed logits. Turn each model's logits into "
            "probabilities first.",
        ),
        (
            partial(
                _mixtures,
                softmax=lambda a, b, _, alpha: output_ensemble(a.softmax(0), b.softmax(0), alpha),
            ),
            "the softmax runs over the images; each image's own probabilities must sum to 1.",
        ),
        (
            partial(_mixtures, softmax=_softmax_of_own),
            "the softmax runs over the split's classes only; take the probabilities of all classes, then predict among "
            "those of the split.",
        ),
        (
            partial(_mixtures, asked=lambda numbers, alpha: numbers > alpha),
            "the random mixture uses the wrong model: the fine-tuned one predicts where the number is below alpha.",
        ),
        (
            partial(
                _mixtures, asked=lambda numbers, alpha: (numbers < alpha)[:1].expand(len(numbers))
            ),
            "one number decides for all images; each image has its own.",
        ),
        (
            _straight_random,
            "you mix the two accuracies. That is what the random mixture gives on average; count what these numbers give.",
        ),
        (
            partial(_mixtures, predict=of_all_classes),
            "a class that the split does not have can still win: predict among its own classes only.",
        ),
        (
            partial(_mixtures, predict=places),
            "argmax over some columns gives a place in the list of classes; look the class up.",
        ),
        (
            partial(_mixtures, predict=zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out.",
        ),
        (
            partial(_mixtures, backwards=True),
            "alpha = 0 must give the zero-shot model; all three of yours run backwards.",
        ),
        (partial(_mixtures, scale=0.01), "those are fractions; return percent."),
    ],
    library=[softmax_ensemble, output_ensemble, random_ensemble, accuracy],
)


def _pair(generator):
    """Two networks that are far apart, and images."""
    zero = weights(generator)
    alphas = sorted({*(generator.permutation(11)[:3] / 10).tolist(), 1.0}, reverse=True)
    images = normal(generator, int(generator.integers(5, 9)), 4, dtype=torch.float64)
    return zero, near(generator, zero, 0.7), images, alphas


def _with_the_network(departures, theta_0, theta_1, images, alphas):
    return departures(network, theta_0, theta_1, images, alphas)


def _slope(network, theta_0, direction, images):
    return jvp(lambda theta: network(theta, images), (theta_0,), (direction,))[1]


def _slope_at_start(network, theta_0, theta_1, images):
    direction = {name: theta_1[name] - theta_0[name] for name in theta_0}
    return _slope(network, theta_0, direction, images)


def _slope_at_end(network, theta_0, theta_1, images):
    direction = {name: theta_1[name] - theta_0[name] for name in theta_0}
    return _slope(network, theta_1, direction, images)


def _first_order(start, slope, alpha):
    return start + alpha * slope


def _way(start, end, exact):
    return (end - start).norm()


def _departures(
    network,
    theta_0,
    theta_1,
    images,
    alphas,
    slope=_slope_at_start,
    line=_first_order,
    outputs=output_ensemble,
    size=torch.Tensor.norm,
    way=_way,
    scale=100,
):
    start, end = network(theta_0, images), network(theta_1, images)
    speed = slope(network, theta_0, theta_1, images)
    found = {"first order": [], "outputs": []}
    for alpha in alphas:
        exact = network(interpolate(theta_0, theta_1, alpha), images)
        guesses = line(start, speed, alpha), outputs(start, end, alpha)
        for values, guess in zip(found.values(), guesses, strict=True):
            values.append(float(scale * size(guess - exact) / way(start, end, exact)))
    return found


departures = Code(
    "9.4",
    _departures,
    [_pair],
    [
        (
            partial(
                _departures,
                slope=lambda f, a, b, x: f(b, x) - f(a, x),
            ),
            "your slope is the difference of the two ends. That is the chord, and your first-order model the output "
            "ensemble; take the derivative at theta_0.",
        ),
        (
            partial(_departures, slope=_slope_at_end),
            "your slope is that at theta_1; the first-order model starts at theta_0.",
        ),
        (
            partial(_departures, slope=lambda f, a, b, x: _slope(f, a, b, x)),
            "your direction is theta_1 itself; the direction from theta_0 to theta_1 is theta_1 - theta_0.",
        ),
        (
            partial(_departures, line=lambda start, slope, alpha: alpha * slope),
            "the first-order model begins at the logits of theta_0; yours has the slope only.",
        ),
        (
            partial(_departures, line=lambda start, slope, alpha: start + slope),
            "the slope is not multiplied by alpha.",
        ),
        (
            partial(_departures, way=lambda *_: torch.tensor(1.0)),
            "divide by the whole way, the distance between the logits of the two ends.",
        ),
        (
            partial(_departures, way=lambda start, end, exact: exact.norm()),
            "you divide by the size of the logits; divide by the distance between those of the two ends.",
        ),
        (
            partial(_departures, way=lambda start, end, exact: (exact - start).norm() + 1e-12),
            "you divide by the way up to this alpha; divide by the whole way.",
        ),
        (
            partial(_departures, outputs=lambda a, b, alpha: output_ensemble(b, a, alpha)),
            "your output ensemble runs backwards: alpha = 0 must give the zero-shot model.",
        ),
        (
            partial(
                _departures,
                size=lambda x: x.abs().max(),
                way=lambda start, end, exact: (end - start).abs().max(),
            ),
            "you compare the largest differences; take the norm over all logits, of the difference and of the way.",
        ),
        (partial(_departures, scale=1), "those are fractions; return percent."),
    ],
    library=[slope_at_zero_shot],
    call=_with_the_network,
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


def _rough(generator, passes):
    """Networks whose logits swing so much that a polynomial depends on its nodes."""
    zero, one = (weights(generator, scale=3) for _ in range(2))
    between = ((generator.permutation(18)[:3] + 1) / 20).tolist()
    alphas = [between[0], 1.0, *between[1:]]
    return zero, one, splits(generator, (zero, one)), passes, alphas


def _with_a_middle(generator):
    return _rough(generator, 5)


def _without_a_middle(generator):
    return _rough(generator, int(generator.choice([4, 6])))


def _counted(short_curve, theta_0, theta_1, splits, passes, alphas):
    """Accuracy by alpha and split, and how often the network was run."""
    runs = []

    def counting(theta, images):
        runs.append(len(images))
        return network(theta, images)

    rows = short_curve(counting, theta_0, theta_1, splits, passes, alphas)
    rows = rows.to_dict("records") if hasattr(rows, "to_dict") else rows
    found = {f"{row['split']}, alpha {row['alpha']:g}": row["accuracy"] for row in rows}
    return {**found, "runs of the network": len(runs)}


def _evenly(k):
    return [j / (k - 1) for j in range(k)]


def _without_ends(k):
    return [(1 - np.cos(np.pi * (j + 0.5) / k)) / 2 for j in range(k)]


def _along(network, theta_0, theta_1, images, nodes):
    return torch.stack([network(interpolate(theta_0, theta_1, x), images) for x in nodes])


def _from_few(network, theta_0, theta_1, images, nodes, alphas):
    values = _along(network, theta_0, theta_1, images, nodes)
    return list(interpolated(values, nodes, alphas))


def _from_all(network, theta_0, theta_1, images, nodes, alphas):
    return list(_along(network, theta_0, theta_1, images, alphas))


def _from_ends(network, theta_0, theta_1, images, nodes, alphas):
    start, *_, end = _along(network, theta_0, theta_1, images, nodes)
    return [output_ensemble(start, end, alpha) for alpha in alphas]


def _from_neighbours(network, theta_0, theta_1, images, nodes, alphas):
    values = _along(network, theta_0, theta_1, images, nodes).numpy()
    places = np.clip(np.searchsorted(nodes, alphas) - 1, 0, len(nodes) - 2)
    curve = []
    for alpha, k in zip(alphas, places, strict=True):
        at = (alpha - nodes[k]) / (nodes[k + 1] - nodes[k])
        curve.append(torch.as_tensor((1 - at) * values[k] + at * values[k + 1]))
    return curve


def _from_each_alpha(network, theta_0, theta_1, images, nodes, alphas):
    return [_from_few(network, theta_0, theta_1, images, nodes, [a])[0] for a in alphas]


def _short_curve(
    network,
    theta_0,
    theta_1,
    splits,
    passes,
    alphas,
    nodes=lobatto_nodes,
    logits=_from_few,
    predict=predictions,
    scale=1,
):
    rows = []
    for name, (images, labels, classes) in splits.items():
        curve = logits(network, theta_0, theta_1, images, nodes(passes), alphas)
        for alpha, values in zip(alphas, curve, strict=True):
            right = (predict(values, classes) == labels).double().mean()
            rows.append({"alpha": alpha, "split": name, "accuracy": scale * float(right)})
    return rows


def _of_accuracies(network, theta_0, theta_1, splits, passes, alphas):
    nodes = lobatto_nodes(passes)
    rows = _short_curve(network, theta_0, theta_1, splits, passes, nodes, logits=_from_all)
    found = []
    for name in splits:
        values = [row["accuracy"] for row in rows if row["split"] == name]
        for alpha in alphas:
            curve = _through(nodes, values, alpha)
            found.append({"alpha": alpha, "split": name, "accuracy": curve})
    return found


short_curve = Code(
    "9.6",
    _short_curve,
    [_with_a_middle, _without_a_middle],
    [
        (
            partial(_short_curve, nodes=_evenly),
            "your nodes are evenly spaced; the Chebyshev-Lobatto nodes lie closer together near the ends.",
        ),
        (
            partial(_short_curve, nodes=_without_ends),
            "those are Chebyshev's other nodes, which leave out the two ends.",
        ),
        (
            partial(_short_curve, logits=_from_all),
            "you run a model for every alpha. Run one for each node; the others follow from their logits.",
        ),
        (
            partial(_short_curve, logits=_from_each_alpha),
            "you run the models at the nodes again for every alpha; run them once and keep their logits.",
        ),
        (
            partial(_short_curve, logits=_from_ends),
            "only the two ends count in your curve; a polynomial goes through the logits at all nodes.",
        ),
        (
            partial(_short_curve, logits=_from_neighbours),
            "you interpolate linearly between neighbouring nodes; one polynomial must go through all of them.",
        ),
        (
            _of_accuracies,
            "your polynomial goes through accuracies. They jump from image to image; logits are smooth. Interpolate the "
            "logits, then count.",
        ),
        (
            lambda f, a, b, *rest: _short_curve(f, b, a, *rest),
            "alpha = 0 must give the zero-shot model; yours runs the other way.",
        ),
        (
            partial(_short_curve, predict=of_all_classes),
            "a class that the split does not have can still win: predict among its own classes only.",
        ),
        (
            partial(_short_curve, predict=places),
            "argmax over some columns gives a place in the list of classes; look the class up.",
        ),
        (
            partial(_short_curve, predict=zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out.",
        ),
        (partial(_short_curve, scale=100), "those are percentages; return fractions."),
    ],
    library=[sweep, interpolation_matrix, lobatto_nodes, interpolated],
    call=_counted,
)

two_passes = Choice(
    "9.7",
    "C",
    {
        "A": "with two nodes there is one polynomial of degree 1: a straight line for each logit, not a parabola.",
        "B": "the two passes are the two ends themselves; no mixed weights are ever run.",
        "D": "each logit runs straight from end to end, but which logit is largest can still change on the way: "
        "accuracy need not be straight. The accuracy of the random mixture is a straight line.",
    },
)

ALL = [two_ways, random_mixture, mixtures, departures, through, short_curve, two_passes]
