"""Exercises of chapter 10, Is it really the line?"""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, normal
from wiseft_lite.weights import interpolate

start_weight = Number(
    "10.1",
    0.99**230,
    [
        (
            0.01,
            "that is the weight of one new step; the start is multiplied by the decay once for *each* of 230 steps.",
        ),
        (0.99, "that is the weight after one step; every one of the 230 steps multiplies by 0.99."),
        (
            1 - 0.99**230,
            "that is the weight of all steps together; the question asks for the rest, the weight of the start.",
        ),
        (100 * 0.99**230, "that is in percent; give a number from 0 to 1."),
        (1 / 230, "the steps do not count alike: the older one is, the less."),
    ],
    tolerance=0.006,
)


def _averages(generator):
    shapes = {"encoder.w": (2, 2), "head.weight": (1, 2)}
    zero, mean = (
        {name: normal(generator, *shape) for name, shape in shapes.items()} for _ in range(2)
    )
    return zero, mean, float(generator.uniform(0.6, 0.95)), int(generator.integers(2, 9))


def _started(theta_0, debiased, decay, steps):
    return interpolate(theta_0, debiased, 1 - decay**steps)


started = Code(
    "10.2",
    _started,
    [_averages],
    [
        (
            lambda theta_0, debiased, decay, steps: interpolate(theta_0, debiased, decay**steps),
            "alpha and 1 - alpha are swapped: after many steps the start has almost no weight.",
        ),
        (
            lambda theta_0, debiased, decay, steps: interpolate(theta_0, debiased, 1 - decay),
            "you count one step only: the start's weight shrinks with every step, to decay ** steps.",
        ),
        (
            lambda theta_0, debiased, decay, steps: {
                name: decay**steps * theta_0[name] + debiased[name] for name in theta_0
            },
            "the two weights must sum to 1: the debiased average was divided by 1 - decay ** steps, so multiply it back.",
        ),
        (
            lambda theta_0, debiased, decay, steps: interpolate(theta_0, debiased, decay),
            "decay is the start's weight after one step; after all of them it is decay ** steps.",
        ),
        (
            lambda theta_0, debiased, decay, steps: {
                name: debiased[name] * (1 - decay**steps) for name in theta_0
            },
            "the start is missing: its weight is decay ** steps.",
        ),
        (
            lambda theta_0, debiased, decay, steps: interpolate(
                theta_0, debiased, 1 - decay * steps
            ),
            "each step multiplies by the decay, so the weight is a power, decay ** steps.",
        ),
    ],
)


def _weights(generator):
    shapes = {"encoder.w": (2, 2), "head.weight": (1, 2)}
    theta, start = (
        {name: normal(generator, *shape) for name, shape in shapes.items()} for _ in range(2)
    )
    return theta, start, float(generator.uniform(0.2, 3))


def _at_the_start(generator):
    theta, _, strength = _weights(generator)
    return theta, {name: tensor.clone() for name, tensor in theta.items()}, strength


def _with_gradient(spring, theta, theta_0, strength):
    for tensor in theta.values():
        tensor.requires_grad_()
    penalty = torch.as_tensor(spring(theta, theta_0, strength))
    if penalty.requires_grad:
        penalty.sum().backward()
    zero = {name: torch.zeros_like(tensor) for name, tensor in theta.items()}
    gradient = {n: zero[n] if t.grad is None else t.grad for n, t in theta.items()}
    return {"penalty": penalty.detach(), "gradient": gradient}


def _penalty(of_difference):
    def spring(theta, theta_0, strength):
        return strength * sum(of_difference(theta[name] - theta_0[name]) for name in theta)

    return spring


def _to_zero(theta, theta_0, strength):
    return strength * sum(tensor.square().sum() for tensor in theta.values())


_spring = _penalty(lambda difference: difference.square().sum())


spring = Code(
    "10.3",
    _spring,
    [_weights, _at_the_start],
    [
        (
            _to_zero,
            "yours pulls towards zero: the penalty must be 0 where the weights equal theta_0.",
        ),
        (
            _penalty(lambda difference: difference.sum()),
            "positive and negative differences cancel: square each before you add.",
        ),
        (
            _penalty(lambda difference: difference.abs().sum()),
            "those are absolute values; the formula has squares, which pull harder the further a weight is.",
        ),
        (
            lambda t, t_0, strength: strength * _spring(t, t_0, 1.0).sqrt(),
            "the formula has the squared distance; take no root.",
        ),
        (
            lambda t, t_0, strength: _spring(t, t_0, 1.0),
            "the strength is missing: multiply by it.",
        ),
        (
            _penalty(lambda difference: difference.square().mean()),
            "that is a mean over each tensor; the squared distance is a sum over all weights.",
        ),
        (
            lambda t, t_0, strength: _spring(t, t_0, strength).item(),
            "the penalty has no gradient, so training would not notice it: leave it a tensor, without item(), float() or "
            "detach().",
        ),
    ],
    starter=_to_zero,
    call=_with_gradient,
)

context = Number(
    "10.4",
    4 * 128,
    [
        (
            4 * 128 * 122,
            "that is one set of vectors for each class; here all 122 classes share theirs.",
        ),
        (
            122 * 128,
            "that is a linear probe; here the head's rows are computed by the text encoder, not trained.",
        ),
        (4, "those are the vectors; each has 128 numbers."),
        (128, "that is one vector; there are four."),
        (132, "each of the vectors has 128 numbers: multiply, do not add."),
    ],
    tolerance=0.5,
)


def _line(generator):
    """Accuracies by alpha; the reference peaks before the end, and the shifts elsewhere."""
    n = 6
    alphas = sorted(generator.permutation(21)[:n].tolist())
    test = sorted(distinct(generator, n, 70, 90))
    test[-2], test[-1] = test[-1], test[-2]
    frame = pd.DataFrame(
        {"test": test, "shifts": distinct(generator, n, 50, 70)}, index=[a / 20 for a in alphas]
    )
    return frame.rename_axis("alpha")


def _between(generator):
    line = _line(generator)
    low, high = sorted(line["test"])[1:3]
    return line, float(low + 0.4 * (high - low))


def _at_a_row(generator):
    line = _line(generator)
    return line, float(line["test"].iloc[int(generator.integers(4))])


def _out_of_reach(generator):
    line = _line(generator)
    return line, float(line["test"].max() + generator.uniform(0.5, 9))


def _shuffled(generator):
    line, reference = _between(generator)
    return line.iloc[generator.permutation(len(line))], reference


def _reached(line, reference):
    return line[line["test"] >= min(reference, line["test"].max())]


def _offered(line, reference):
    return float(_reached(line, reference)["shifts"].idxmax())


offered = Code(
    "10.5",
    _offered,
    [_between, _at_a_row, _out_of_reach, _shuffled],
    [
        (
            lambda line, reference: _reached(line, reference)["shifts"].max(),
            "you return an accuracy; return the alpha that has it.",
        ),
        (
            lambda line, reference: float(line["shifts"].idxmax()),
            "you take the highest point of the whole line; it must not be worse on the reference than asked.",
        ),
        (
            lambda line, reference: float((line["test"] - reference).abs().idxmin()),
            "you take the alpha nearest on the reference; one further to the right may be higher, and is better on both.",
        ),
        (
            lambda line, reference: float(_reached(line, reference).index[0]),
            "you take the first alpha that reaches it; take the one with the largest 'shifts' among all that do.",
        ),
        (
            lambda line, reference: float(_reached(line, reference)["test"].idxmax()),
            "you take the one that is best on the reference; take the one with the largest 'shifts' among those that reach it.",
        ),
        (
            lambda line, reference: line.loc[line["test"] >= reference, "shifts"].idxmax(),
            "where no row gets so far, the one with the highest reference accuracy counts.",
        ),
        (
            lambda line, reference: float(
                (_reached(line, reference) if line["test"].max() >= reference else line)[
                    "shifts"
                ].idxmax()
            ),
            "where no row gets so far, you take the highest of the line; the one that gets furthest counts.",
        ),
        (
            lambda line, reference: float(
                _reached(line, min(reference, line["test"].max()) + 0.001)["shifts"].idxmax()
            ),
            "a row that reaches the reference exactly counts too: no less, not more.",
        ),
    ],
)

on_the_line = Choice(
    "10.6",
    "C",
    {
        "A": "the mean is below 0, but the interval reaches above it: other seeds could have reversed the sign.",
        "B": "an interval around 0 cannot show that two things are equal, only that five seeds do not distinguish them.",
        "D": "more images narrow another interval; this one is about the seeds, and any sign may come out.",
    },
)

ALL = [start_weight, started, spring, context, offered, on_the_line]
