"""Exercises of chapter 6, One line between two models."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
import torch

from wiseft_lite.book.checks import Code
from wiseft_lite.book.checks.draw import distinct, normal
from wiseft_lite.metrics import clopper_pearson, predictions
from wiseft_lite.sweeps import sweep
from wiseft_lite.weights import interpolate


def _models(generator, dtype):
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.weight": (1, 2)}
    zero, one = (
        {name: normal(generator, *shape, dtype=dtype) for name, shape in shapes.items()}
        for _ in range(2)
    )
    return zero, one, float(generator.integers(1, 10) / 10)


def _pair(generator):
    return _models(generator, torch.float32)


def _half_precision(generator):
    """Positive weights, whose mixture is no small difference: that would be rounding alone."""
    zero, one, alpha = _models(generator, torch.float16)
    zero, one = ({name: 0.5 + w.abs() for name, w in theta.items()} for theta in (zero, one))
    return zero, one, alpha


def _double_precision(generator):
    return _models(generator, torch.float64)


def _ends(generator):
    zero, one, _ = _models(generator, torch.float32)
    return zero, one, int(generator.integers(2))


def _mixed(weight_0, weight_1):
    """A mixture whose two weights are functions of alpha."""

    def line(theta_0, theta_1, alpha):
        a, b = weight_0(alpha), weight_1(alpha)
        return {name: a * theta_0[name] + b * theta_1[name] for name in theta_0}

    return line


def _with_head_of(place):
    def line(*inputs):
        mixed = interpolate(*inputs)
        return {n: inputs[place][n] if n.startswith("head") else mixed[n] for n in mixed}

    return line


line = Code(
    "6.1",
    interpolate,
    [_pair, _ends, _half_precision, _double_precision],
    [
        (
            _mixed(lambda a: a, lambda a: 1 - a),
            "alpha = 0 must give the zero-shot model and alpha = 1 the fine-tuned one; yours runs the other way.",
        ),
        (
            _with_head_of(1),
            "every tensor lies on the line, the head too; yours is the fine-tuned head for every alpha.",
        ),
        (
            _with_head_of(0),
            "every tensor lies on the line, the head too; yours is the zero-shot head for every alpha.",
        ),
        (
            _mixed(lambda a: 1, lambda a: a),
            "the zero-shot model keeps its full weight; the two weights must sum to 1, so it gets 1 - alpha.",
        ),
        (
            _mixed(lambda a: -a, lambda a: a),
            "that is the way from zero-shot only; add it to theta_0.",
        ),
        (_mixed(lambda a: 0.5, lambda a: 0.5), "you take the middle whatever alpha is."),
        (
            lambda theta_0, theta_1, alpha: {
                name: 1 - alpha * theta_0[name] + alpha * theta_1[name] for name in theta_0
            },
            "Python multiplies before it subtracts: 1 - alpha * x is not (1 - alpha) * x.",
        ),
    ],
    draws=3,
)


def _network(theta, images):
    hidden = torch.relu(images @ theta["encoder.weight"].T + theta["encoder.bias"])
    return hidden @ theta["head.weight"].T + theta["head.bias"]


def _experiment(generator):
    """Two small networks, and two splits: one with all six classes, one with three of them."""
    shapes = {
        "encoder.weight": (8, 4),
        "encoder.bias": (8,),
        "head.weight": (6, 8),
        "head.bias": (6,),
    }
    zero, one = ({n: normal(generator, *shape) for n, shape in shapes.items()} for _ in range(2))
    zero["head.bias"], one["head.bias"] = zero["head.bias"] - 4, one["head.bias"] - 4
    own = tuple(generator.permutation(6)[:3].tolist())
    splits = {}
    # Of 97 or 55 images, the number that is right is often not what `mean * n` is cut off to.
    for name, classes, n in (("test", None, 97), ("emoji", own, 55)):
        images = 2 * normal(generator, n, 4)
        likely = predictions(_network(interpolate(zero, one, 0.4), images), classes)
        drawn = torch.as_tensor(generator.choice(classes or range(6), size=n))
        right = torch.as_tensor(generator.random(n)) < 0.6
        splits[name] = (images, torch.where(right, likely, drawn), classes)
    alphas = (generator.permutation(11)[:3] / 10).tolist()
    return zero, one, splits, alphas


def _by_alpha_and_split(sweep_by_hand, theta_0, theta_1, splits, alphas):
    """The rows, in any order, by what they are about."""
    rows = sweep_by_hand(_network, theta_0, theta_1, splits, alphas)
    rows = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
    return {
        f"{row['split']}, alpha {row['alpha']:g}": (row["accuracy"], row["low"], row["high"])
        for row in rows
    }


def _own_classes(logits, classes):
    return predictions(logits, classes)


def _logits_of_weights(network, theta_0, theta_1, images, alpha):
    return network(interpolate(theta_0, theta_1, alpha), images)


def _logits_of_outputs(network, theta_0, theta_1, images, alpha):
    return (1 - alpha) * network(theta_0, images) + alpha * network(theta_1, images)


def _sweep(
    network,
    theta_0,
    theta_1,
    splits,
    alphas,
    mix=_logits_of_weights,
    predict=_own_classes,
    interval=clopper_pearson,
    scale=1,
    scale_accuracy=1,
    count=lambda right: int(right.sum()),
    accumulate=False,
):
    rows = []
    for alpha in alphas:
        theta_0 = interpolate(theta_0, theta_1, alpha) if accumulate else theta_0
        for name, (images, labels, classes) in splits.items():
            logits = mix(network, theta_0, theta_1, images, 0.0 if accumulate else alpha)
            right, n = predict(logits, classes) == labels, len(labels)
            correct = count(right)
            low, high = interval(correct, n)
            found = {"accuracy": scale_accuracy * int(right.sum()) / n, "low": low, "high": high}
            rows.append({"alpha": alpha, "split": name, **{k: scale * x for k, x in found.items()}})
    return rows


def _places(logits, classes):
    return (logits if classes is None else logits[:, list(classes)]).argmax(-1)


def _zeroed(logits, classes):
    mask = torch.zeros(logits.shape[1])
    mask[list(range(logits.shape[1]) if classes is None else classes)] = 1
    return (logits * mask).argmax(-1)


def _wald(correct, n):
    p = correct / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


sweep_by_hand = Code(
    "6.2",
    _sweep,
    [_experiment],
    [
        (
            partial(_sweep, predict=lambda logits, classes: logits.argmax(-1)),
            "a class that the split does not have can still win: predict among its own classes only.",
        ),
        (
            partial(_sweep, predict=_places),
            "argmax over some columns gives a place in the list of classes; look the class up.",
        ),
        (
            partial(_sweep, predict=_zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus "
            "infinity.",
        ),
        (
            partial(_sweep, mix=_logits_of_outputs),
            "you run both models and mix their logits; mix the weights, and run the mixture.",
        ),
        (
            partial(_sweep, mix=lambda f, a, b, x, alpha: f(interpolate(b, a, alpha), x)),
            "alpha = 0 must give the zero-shot model; yours runs the other way.",
        ),
        (
            partial(_sweep, mix=lambda f, a, b, x, alpha: f(_with_head_of(1)(a, b, alpha), x)),
            "the head is interpolated too; yours is the fine-tuned head for every alpha.",
        ),
        (
            partial(_sweep, interval=_wald),
            "that is the normal approximation of the interval; clopper_pearson(correct, n) is exact.",
        ),
        (
            partial(_sweep, interval=partial(clopper_pearson, level=0.9)),
            "that is the interval of 90 %; 95 % is the default of clopper_pearson.",
        ),
        (partial(_sweep, scale=100), "those are percentages; all three are fractions."),
        (
            partial(_sweep, scale_accuracy=100),
            "the accuracy is a percentage, low and high are fractions; all three are fractions.",
        ),
        (
            partial(_sweep, interval=lambda correct, n: clopper_pearson(correct / n, n)),
            "clopper_pearson takes the number of correct predictions, not the accuracy.",
        ),
        (
            partial(_sweep, interval=lambda correct, n: clopper_pearson(correct, n)[::-1]),
            "low and high are swapped: clopper_pearson returns the lower end first.",
        ),
        (
            partial(_sweep, count=lambda right: int(right.float().mean().item() * len(right))),
            "`int` cuts off what is behind the decimal point, and 6.9999 becomes 6. Count the correct predictions: "
            "(predicted == labels).sum().",
        ),
        (
            partial(_sweep, accumulate=True),
            "each mixture starts from the one before, since theta_0 is overwritten: give the mixture another name.",
        ),
    ],
    library=[sweep],
    call=_by_alpha_and_split,
)


def _curve(generator, better_end):
    """A curve as fractions; its middle may be above or below the ends, and is rarely its peak."""
    low, high = sorted(distinct(generator, 2))
    ends = (low, high) if better_end == 1 else (high, low)
    alphas = sorted({0.0, 0.5, 1.0, *(generator.permutation([0.1, 0.2, 0.3, 0.7, 0.9])[:3])})
    values = dict(zip(alphas, distinct(generator, len(alphas)), strict=True))
    values[0.0], values[1.0] = ends
    return (pd.Series({alpha: x / 100 for alpha, x in values.items()}).rename("accuracy"),)


def _zero_shot_better(generator):
    return _curve(generator, 0)


def _fine_tuned_better(generator):
    return _curve(generator, 1)


def _gain(curve):
    return 100 * (curve[0.5] - max(curve[0.0], curve[1.0]))


gain = Code(
    "6.3",
    _gain,
    [_zero_shot_better, _fine_tuned_better],
    [
        (
            lambda curve: curve[0.5] - max(curve[0.0], curve[1.0]),
            "a gain is stated in points: multiply the difference of the accuracies by 100.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - curve[0.0]),
            "you compare with the zero-shot model only; where the fine-tuned end is better, that is the one to beat.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - curve[1.0]),
            "you compare with the fine-tuned model only; where zero-shot is the better end, that is the one to beat.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - min(curve[0.0], curve[1.0])),
            "you compare with the worse end; the better one is to be beaten.",
        ),
        (
            lambda curve: 100 * (curve[0.5] - (curve[0.0] + curve[1.0]) / 2),
            "you compare with the mean of the ends; the better one is to be beaten.",
        ),
        (
            lambda curve: 100 * (curve.max() - max(curve[0.0], curve[1.0])),
            "you take the best alpha; the middle is at alpha = 0.5.",
        ),
        (lambda curve: -_gain(curve), "the sign is reversed: a gain is positive."),
        (
            lambda curve: 100 * (curve[0.5] / max(curve[0.0], curve[1.0]) - 1),
            "that is a relative gain; points are a difference.",
        ),
    ],
)

ALL = [line, sweep_by_hand, gain]
