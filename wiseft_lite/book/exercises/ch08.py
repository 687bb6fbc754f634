"""Exercises of chapter 8, Why weights can be averaged."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from wiseft_lite.analysis.diversity import cka_complement, overrides, prediction_diversity
from wiseft_lite.analysis.landscape import barycentric, corners
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels, normal
from wiseft_lite.book.checks.small_models import (
    UNITS,
    DrawnSplit,
    near,
    network,
    of_all_classes,
    places,
    split,
    splits,
    weights,
    zeroed,
)
from wiseft_lite.metrics import predictions
from wiseft_lite.sweeps import sweep
from wiseft_lite.weights import average, distance, interpolate

fewest = Number(
    "8.1",
    10,
    [
        (
            0,
            "one model is right on ten more images than the other; on at least ten it alone must be right.",
        ),
        (50, "that is the largest number possible, when no image is a mistake of both."),
        (
            38,
            "that is what you expect when the two err independently: 80 x 0.3 + 20 x 0.7. The question asks for the "
            "smallest number.",
        ),
        (30, "the weaker model may be right only where the stronger is right too."),
        (
            20,
            "those are all mistakes of the stronger; on most of them the weaker may be wrong too.",
        ),
    ],
    tolerance=0.1,
)


def _predicted(generator, truth, wrong):
    """Predictions of which about a fraction ``wrong`` is drawn anew."""
    other = labels(generator, len(truth), 3)
    return torch.where(torch.as_tensor(generator.random(len(truth))) < wrong, other, truth)


def _two_outputs(generator, classes):
    """Logits of two models that are wrong in different places, and have large negative means."""
    n = int(generator.integers(20, 30))
    own = np.arange(5) if classes is None else np.array(classes)
    truth = torch.as_tensor(generator.choice(own, size=n))
    first, second = (
        3 * F.one_hot(truth, 5) + 2 * normal(generator, n, 5, dtype=torch.float64) - 9 - shift
        for shift in 4 * normal(generator, 2, 5, dtype=torch.float64)
    )
    return first, second, truth, classes


def _all_classes(generator):
    return _two_outputs(generator, None)


def _some_classes(generator):
    return _two_outputs(generator, tuple(generator.permutation(5)[:3].tolist()))


def _apart(first, second, labels):
    return (first == labels) != (second == labels)


def _disagree(first, second, labels):
    return first != second


def _one_way(first, second, labels):
    return (first == labels) & (second != labels)


def _own(logits, classes):
    return logits if classes is None else logits[:, list(classes)]


def _over_images(logits):
    return logits - logits.mean(0)


def _alignment(f, g):
    return (g.T @ f).square().sum() / ((f.T @ f).norm() * (g.T @ g).norm())


def _differences(
    first,
    second,
    labels,
    classes,
    apart=_apart,
    predict=predictions,
    columns=_own,
    centre=_over_images,
    alignment=_alignment,
    scale=100,
    complement=True,
):
    said = [predict(logits, classes) for logits in (first, second)]
    diversity = scale * float(apart(*said, labels).double().mean())
    cka = float(alignment(*(centre(columns(logits, classes)) for logits in (first, second))))
    return {"diversity": diversity, "cka": 1 - cka if complement else cka}


differ = Code(
    "8.2",
    _differences,
    [_all_classes, _some_classes],
    [
        (
            partial(_differences, apart=_disagree),
            "you count every disagreement; where both are wrong in different ways, neither prediction is right.",
        ),
        (
            partial(_differences, apart=_one_way),
            "you count where the first is right and the second is wrong; the other way round counts too.",
        ),
        (
            partial(_differences, predict=of_all_classes),
            "a class that the split does not have can still be predicted: predict among its own classes only.",
        ),
        (
            partial(_differences, predict=places),
            "argmax over some columns gives a place in the list of classes; look the class up.",
        ),
        (
            partial(_differences, predict=zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out.",
        ),
        (
            partial(_differences, columns=lambda logits, classes: logits),
            "your alignment uses the logits of all classes; take those of the split's classes.",
        ),
        (
            partial(_differences, centre=lambda logits: logits),
            "the logits are not centred: subtract the mean of each column first.",
        ),
        (
            partial(_differences, centre=lambda logits: logits - logits.mean(1, keepdim=True)),
            "you subtract the mean of each image; subtract that of each class, over the images.",
        ),
        (
            partial(
                _differences,
                alignment=lambda f, g: (
                    (g.T @ f).norm() / ((f.T @ f).norm() * (g.T @ g).norm()).sqrt()
                ),
            ),
            "the numerator is the *squared* norm, the sum of all squares.",
        ),
        (
            partial(
                _differences,
                alignment=lambda f, g: (g.T @ f).square().sum() / (f.norm() * g.norm()) ** 2,
            ),
            "the denominator has the norms of f.T @ f and of g.T @ g, not those of f and g.",
        ),
        (
            partial(_differences, complement=False),
            "that is the alignment itself; return 1 minus it, so that large means different.",
        ),
        (
            partial(_differences, scale=1),
            "the diversity is a fraction; return percent.",
        ),
    ],
    library=[prediction_diversity, cka_complement],
)


def _predicted(generator, truth, wrong):
    """Predictions of which about a fraction ``wrong`` is drawn anew."""
    other = labels(generator, len(truth), 3)
    return torch.where(torch.as_tensor(generator.random(len(truth))) < wrong, other, truth)


def _three_models(generator):
    truth = labels(generator, int(generator.integers(12, 18)), 4)
    return tuple(_predicted(generator, truth, wrong) for wrong in (0.8, 0.8, 0.6))


def _wins(zero_shot, fine_tuned, mixture):
    return int(((zero_shot != fine_tuned) & (mixture == zero_shot)).sum())


def _all_agreements(zero_shot, fine_tuned, mixture):
    return int((mixture == zero_shot).sum())


wins = Code(
    "8.3",
    _wins,
    [_three_models],
    [
        (
            _all_agreements,
            "you also count images on which all agree; no model is overridden there.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: _wins(fine_tuned, zero_shot, mixture),
            "you count where the fine-tuned model wins.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int(
                ((zero_shot != fine_tuned) & (mixture != fine_tuned)).sum()
            ),
            "where the mixture predicts a third class, neither of the two has won.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int((zero_shot != fine_tuned).sum()),
            "that is how often the two differ; count those where the mixture sides with zero-shot.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: (
                _wins(zero_shot, fine_tuned, mixture) / len(mixture)
            ),
            "that is a fraction; return the number of images.",
        ),
        (
            lambda zero_shot, fine_tuned, mixture: int((mixture != fine_tuned).sum()),
            "you count where the mixture differs from the fine-tuned model, whatever zero-shot predicts.",
        ),
    ],
    starter=_all_agreements,
    library=[overrides],
)


def _between(generator):
    """Places on the line, out of order and without its ends; sometimes without the middle."""
    return ((generator.permutation(9)[: int(generator.integers(3, 6))] + 1) / 10).tolist()


def _strangers(generator):
    """Two models that were never one: the path between them falls."""
    zero, one = (weights(generator, 2) for _ in range(2))
    found: dict[str, DrawnSplit] = {}
    for name, (images, truth, classes) in splits(generator, (zero, one)).items():
        ends = [predictions(network(theta, images), classes) for theta in (zero, one)]
        right = torch.as_tensor(generator.random(len(truth)))
        best = torch.where(right < 0.5, *ends)
        found[name] = (images, torch.where(right < 0.85, best, truth), classes)
    return zero, one, found, _between(generator)


def _friends(generator):
    """Two models with a better one between them: the path rises."""
    zero = weights(generator)
    one = near(generator, zero, 0.8)
    found: dict[str, DrawnSplit] = {}
    for name, (images, _, classes) in splits(generator, (zero, one)).items():
        middle = network(interpolate(zero, one, 0.5), images)
        found[name] = (images, predictions(middle, classes), classes)
    return zero, one, found, _between(generator)


def _same_function(generator):
    """One function twice, its hidden units in another order: both measures have a barrier."""
    zero = weights(generator)
    order = (torch.arange(UNITS) + int(generator.integers(1, UNITS))) % UNITS  # no unit stays
    one = {
        "encoder.weight": zero["encoder.weight"][order],
        "encoder.bias": zero["encoder.bias"][order],
        "head.weight": zero["head.weight"][:, order],
        "head.bias": zero["head.bias"],
    }
    found: dict[str, DrawnSplit] = {}
    for name, (images, _, classes) in splits(generator, (zero, one)).items():
        found[name] = (images, predictions(network(zero, images), classes), classes)
    return zero, one, found, _between(generator)


def _with_the_network(barrier_heights, theta_0, theta_1, splits, alphas):
    return barrier_heights(network, theta_0, theta_1, splits, alphas)


def _loss(logits, labels, classes):
    if classes is None:
        return F.cross_entropy(logits, labels)
    places = (labels[:, None] == torch.tensor(classes)).int().argmax(1)
    return F.cross_entropy(logits[:, list(classes)], places)


def _of_weights(network, theta_0, theta_1, images, alpha):
    return network(interpolate(theta_0, theta_1, alpha), images)


def _of_outputs(network, theta_0, theta_1, images, alpha):
    return (1 - alpha) * network(theta_0, images) + alpha * network(theta_1, images)


def _straight(start, end, alpha, sign):
    return (1 - alpha) * start + alpha * end


def _better_end(start, end, alpha, sign):
    return sign * max(sign * start, sign * end)


def _worse_end(start, end, alpha, sign):
    return sign * min(sign * start, sign * end)


def _barrier_heights(
    network,
    theta_0,
    theta_1,
    splits,
    alphas,
    predict=predictions,
    loss=_loss,
    mix=_of_weights,
    line=_straight,
    deepest=lambda drops: max(0.0, *drops),
    ends=(0.0, 1.0),
    signs=(1, -1),
    scale=100,
):
    found = {}
    for name, (images, truth, classes) in splits.items():

        def scores(alpha, images=images, truth=truth, classes=classes):
            logits = mix(network, theta_0, theta_1, images, alpha)
            right = (predict(logits, classes) == truth).double().mean()
            return scale * float(right), float(loss(logits, truth, classes))

        start, end = map(scores, ends)
        inside = {alpha: scores(alpha) for alpha in alphas}
        found[name] = {
            measure: deepest(
                [
                    sign * (line(start[k], end[k], alpha, sign) - inside[alpha][k])
                    for alpha in alphas
                ]
            )
            for k, (measure, sign) in enumerate(zip(("accuracy", "loss"), signs, strict=True))
        }
    return found


def _between_first_and_last(network, theta_0, theta_1, splits, alphas):
    return _barrier_heights(network, theta_0, theta_1, splits, alphas, ends=(alphas[0], alphas[-1]))


barrier_heights = Code(
    "8.4",
    _barrier_heights,
    [_strangers, _friends, _same_function],
    [
        (
            partial(_barrier_heights, line=_better_end),
            "you measure from the better end; then a path that only joins a good end to a worse one has a barrier.",
        ),
        (
            partial(_barrier_heights, line=_worse_end),
            "you measure from the worse end; between the ends the line is higher.",
        ),
        (
            partial(_barrier_heights, line=lambda start, end, alpha, sign: (start + end) / 2),
            "you measure from the mean of the ends; the line is there at alpha = 0.5 only.",
        ),
        (
            partial(
                _barrier_heights,
                line=lambda start, end, alpha, sign: _straight(end, start, alpha, sign),
            ),
            "your straight line runs the other way: at alpha = 0 it is at the zero-shot model.",
        ),
        (
            _between_first_and_last,
            "your line joins the first and the last of the alphas; it joins the two models, alpha = 0 and 1, which need runs of "
            "their own.",
        ),
        (
            partial(_barrier_heights, deepest=max),
            "a path that stays on the good side of the line has a barrier of 0, not a negative one.",
        ),
        (
            partial(_barrier_heights, deepest=lambda drops: max(map(abs, drops))),
            "a path on the good side of the line is no barrier: take no absolute value.",
        ),
        (
            partial(_barrier_heights, signs=(1, 1)),
            "a loss is good when it is low: its barrier is how far it rises above the line.",
        ),
        (
            partial(_barrier_heights, mix=_of_outputs),
            "you mix the two models' logits; mix the weights, and run the mixture.",
        ),
        (
            partial(
                _barrier_heights,
                loss=lambda logits, labels, classes: F.cross_entropy(logits, labels),
            ),
            "your loss is over all classes; take it over those that the split has.",
        ),
        (
            partial(_barrier_heights, predict=of_all_classes),
            "a class that the split does not have can still win: predict among its own classes only.",
        ),
        (
            partial(_barrier_heights, predict=places),
            "argmax over some columns gives a place in the list of classes; look the class up.",
        ),
        (
            partial(_barrier_heights, scale=1),
            "state the accuracy's barrier in points: multiply the fraction by 100.",
        ),
    ],
    library=[sweep],
    call=_with_the_network,
    draws=3,
)


def _triangle(generator):
    """Three models at unequal distances, and a grid that reaches beyond their triangle."""
    zero = weights(generator)
    one, two = near(generator, zero, 0.5), near(generator, zero, 0.8)
    two = interpolate(two, one, float(generator.uniform(0.1, 0.3)))
    images, truth, _ = split(generator, 80, (zero, one))
    _, (base, _), (_, height) = corners([zero, one, two])
    xs = (base * (generator.permutation(6)[:3] / 2 - 0.7)).tolist()
    ys = (height * (generator.permutation(5)[:2] / 2 - 0.6)).tolist()
    return [zero, one, two], images, truth, xs, ys


def _grid_with_the_network(accuracy_grid, thetas, images, labels, xs, ys):
    return accuracy_grid(network, thetas, images, labels, xs, ys)


def _coefficients(x, y, thetas):
    return barycentric(x, y, corners(thetas))


def _square(x, y, thetas):
    first, second, third = thetas
    b, c = x / distance(first, second), y / distance(first, third)
    return 1 - b - c, b, c


def _steps(x, y, thetas):
    return 1 - x - y, x, y


def _inside(x, y, thetas):
    coefficients = [max(coefficient, 0.0) for coefficient in _coefficients(x, y, thetas)]
    return [coefficient / sum(coefficients) for coefficient in coefficients]


def _other_order(x, y, thetas):
    first, second, third = thetas
    a, c, b = _coefficients(x, y, [first, third, second])
    return a, b, c


def _sum_of_norms(x, y, thetas):
    """The distances are sums over tensors, not the root of the sum of all squares."""
    first, second, third = thetas

    def far(a, b):
        return sum(float((a[n] - b[n]).norm()) for n in a)

    base, side, across = far(first, second), far(first, third), far(second, third)
    x_3 = (base**2 + side**2 - across**2) / (2 * base)
    return barycentric(x, y, ((0.0, 0.0), (base, 0.0), (x_3, math.sqrt(side**2 - x_3**2))))


def _mixed_weights(network, thetas, images, coefficients):
    return network(average(thetas, coefficients), images)


def _mixed_logits(network, thetas, images, coefficients):
    return sum(a * network(theta, images) for a, theta in zip(coefficients, thetas, strict=True))


def _accuracy_grid(
    network,
    thetas,
    images,
    labels,
    xs,
    ys,
    coefficients=_coefficients,
    mix=_mixed_weights,
    scale=100,
):
    def percent(x, y):
        logits = mix(network, thetas, images, coefficients(x, y, thetas))
        return scale * float((logits.argmax(-1) == labels).double().mean())

    return [[percent(x, y) for x in xs] for y in ys]


accuracy_grid = Code(
    "8.5",
    _accuracy_grid,
    [_triangle],
    [
        (
            partial(_accuracy_grid, coefficients=_square),
            "you draw the triangle with a right angle; the third model lies where its two distances put it.",
        ),
        (
            partial(_accuracy_grid, coefficients=_steps),
            "x and y are distances of weights, not coefficients of the models.",
        ),
        (
            partial(_accuracy_grid, coefficients=_inside),
            "outside the triangle a coefficient is negative, and that is allowed.",
        ),
        (
            partial(_accuracy_grid, coefficients=_other_order),
            "the second model lies on the x axis and the third above it; yours are exchanged.",
        ),
        (
            partial(_accuracy_grid, coefficients=_sum_of_norms),
            "a distance is the root of the sum of *all* squares; yours adds the lengths of single tensors.",
        ),
        (
            partial(_accuracy_grid, mix=_mixed_logits),
            "you mix the three models' logits; mix the weights, and run the mixture.",
        ),
        (
            lambda f, thetas, images, labels, xs, ys: torch.tensor(
                _accuracy_grid(f, thetas, images, labels, xs, ys)
            ).T.tolist(),
            "your rows are the xs; return one row for each of ys.",
        ),
        (partial(_accuracy_grid, scale=1), "those are fractions; return percent."),
    ],
    library=[corners, barycentric, average],
    call=_grid_with_the_network,
)


MLPS = [(f"block{k}.in.weight", f"block{k}.in.bias", f"block{k}.out.weight") for k in (0, 1)]


def _twin(generator):
    """A model near a reference, with its hidden units in another order."""
    reference, theta = {}, {}
    for (first, bias, second), units in zip(MLPS, (5, 7), strict=True):
        reference |= {
            first: normal(generator, units, 3, dtype=torch.float64),
            bias: normal(generator, units, dtype=torch.float64),
            second: normal(generator, 3, units, dtype=torch.float64),
        }
        moved = near(generator, {n: reference[n] for n in (first, bias, second)}, 0.9)
        order = torch.as_tensor(generator.permutation(units))
        theta |= {first: moved[first][order], bias: moved[bias][order]}
        theta |= {second: moved[second][:, order]}
    head = {"head.weight": normal(generator, 4, 3, dtype=torch.float64)}
    return theta | near(generator, head, 0.9), reference | head, MLPS


def _everything(theta, first, bias, second):
    return torch.cat([theta[first], theta[bias][:, None], theta[second].T], 1)


def _rows_only(theta, first, bias, second):
    return theta[first]


def _best_pairs(likeness):
    return torch.as_tensor(linear_sum_assignment(-likeness.numpy())[1])


def _reordered(theta, order, first, bias, second):
    return {first: theta[first][order], bias: theta[bias][order], second: theta[second][:, order]}


def _realigned(theta, reference, mlps, owned=_everything, match=_best_pairs, reorder=_reordered):
    found = dict(theta)
    for names in mlps:
        likeness = owned(reference, *names) @ owned(theta, *names).T
        found |= reorder(theta, match(likeness), *names)
    return found


realigned = Code(
    "8.6",
    _realigned,
    [_twin],
    [
        (
            partial(
                _realigned,
                reorder=lambda theta, order, first, bias, second: {first: theta[first][order]},
            ),
            "the rows of the first matrix move alone. The bias and the columns of the second matrix belong to the same units.",
        ),
        (
            partial(
                _realigned,
                reorder=lambda theta, order, first, bias, second: {
                    **_reordered(theta, order, first, bias, second),
                    bias: theta[bias],
                },
            ),
            "the biases stay behind: each belongs to a unit, and moves with it.",
        ),
        (
            partial(_realigned, match=lambda likeness: _best_pairs(likeness).argsort()),
            "your order is the inverse: place i must hold the unit of theta that matches unit i of the reference.",
        ),
        (
            partial(_realigned, match=lambda likeness: likeness.argmax(1)),
            "every unit of the reference takes the most similar one, so that some are taken twice and some not at all. Match one to "
            "one.",
        ),
        (
            partial(_realigned, match=lambda likeness: _best_pairs(-likeness)),
            "you pair the units that are least alike: linear_sum_assignment minimises, unless you pass maximize=True.",
        ),
        (
            partial(_realigned, owned=_rows_only),
            "you compare the rows of the first matrix alone; a unit has a row, a bias and a column.",
        ),
        (
            lambda theta, reference, mlps: _realigned(reference, theta, mlps),
            "you reorder the reference; it stays, and theta is reordered to match it.",
        ),
        (
            lambda theta, reference, mlps: _realigned(theta, reference, mlps[:1]),
            "only the first block is matched; each block has an order of its own.",
        ),
    ],
)


check = Choice(
    "8.7",
    "B",
    {
        "A": "equal keys and shapes only say that the average can be computed, not that it is a good model.",
        "C": "the two ends may differ in accuracy; what counts is whether the path falls below the line between them.",
        "D": "good ends do not guarantee a good middle: this pair loses half of its accuracy on the way.",
    },
)

ALL = [fewest, differ, wins, barrier_heights, accuracy_grid, realigned, check]
