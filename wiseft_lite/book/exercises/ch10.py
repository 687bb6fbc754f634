"""Exercises of chapter 10, Is it really the line?"""

from __future__ import annotations

import copy
import statistics
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import t as student

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, labels, normal
from wiseft_lite.book.experiments import ch10 as experiment
from wiseft_lite.losses import distillation, l2_to
from wiseft_lite.merging.moving_averages import MovingAverages
from wiseft_lite.weights import average, interpolate


def _layers(generator, norm):
    """A small network; a batch norm has averages and a counter besides its weights."""
    middle = torch.nn.BatchNorm1d(5) if norm else torch.nn.Tanh()
    layers = torch.nn.Sequential(
        torch.nn.Linear(3, 5, bias=not norm), middle, torch.nn.ReLU(), torch.nn.Linear(5, 4)
    )
    for parameter in layers.parameters():
        parameter.data = normal(generator, *parameter.shape)
    return layers.eval()


def _batches(generator):
    n = int(generator.integers(4, 7))
    return [(normal(generator, 6, 3), labels(generator, 6, 4)) for _ in range(n)]


def _two_decays(generator):
    decays = [float(generator.uniform(0.3, 0.6)), float(generator.uniform(0.7, 0.95))]
    lr = float(generator.uniform(0.05, 0.2))
    return (
        _layers(generator, norm=True),
        _batches(generator),
        lr,
        decays[:: generator.choice([1, -1])],
    )


def _averages_and_state(run, model, batches, lr, decays):
    means = run(model, batches, lr, decays)
    return {
        "last step": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        **{f"decay {decay:.3f}": dict(mean) for decay, mean in means.items()},
    }


def _trained(model, batches, lr, after_step=lambda model: None, before_step=lambda model: None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    for inputs, targets in batches:
        before_step(model)
        loss = F.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step(model)
    return model


def _snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _mean(iterates, decay, start, debias, keep=lambda name, tensor: False):
    """The moving average of some iterates, integers and what is kept from the last one."""
    mean = {}
    for name, last in iterates[-1].items():
        if not last.is_floating_point() or keep(name, last):
            mean[name] = last
            continue
        total = start[name].clone() if start is not None else torch.zeros_like(last)
        for iterate in iterates:
            total = decay * total + (1 - decay) * iterate[name]
        mean[name] = total / debias(decay, len(iterates))
    return mean


def _no_bias(decay, steps):
    return 1 - decay**steps


def _averaged(
    model,
    batches,
    lr,
    decays,
    early=False,
    from_start=False,
    debias=_no_bias,
    weight=lambda decay: decay,
    keep=lambda name, tensor: False,
    mode=True,
):
    start, iterates = _snapshot(model), []
    note = lambda model: iterates.append(_snapshot(model))
    if not mode:
        model.train = lambda mode=True: model
    _trained(model, batches, lr, **{"before_step" if early else "after_step": note})
    if not mode:
        del model.train
    origin = start if from_start else None
    return {decay: _mean(iterates, weight(decay), origin, debias, keep) for decay in decays}


def _one_average_for_all(model, batches, lr, decays):
    """Every decay updates the same running mean, in turn."""
    means = {}

    def update(model):
        for name, theta in _snapshot(model).items():
            for decay in decays:
                if theta.is_floating_point():
                    old = means.get(name, torch.zeros_like(theta))
                    means[name] = decay * old + (1 - decay) * theta
                else:
                    means[name] = theta

    _trained(model, batches, lr, update)
    n = len(batches)
    return {
        decay: {k: v / _no_bias(decay, n) if v.is_floating_point() else v for k, v in means.items()}
        for decay in decays
    }


def _averaged_run(model, batches, lr, decays):
    return _averaged(model, batches, lr, decays)


averages = Code(
    "10.1",
    _averaged_run,
    [_two_decays],
    [
        (
            partial(_averaged, debias=lambda decay, steps: 1),
            "the average still contains the zero that it began with: divide by 1 - decay ** steps at the end.",
        ),
        (
            partial(_averaged, debias=lambda decay, steps: decay**steps),
            "you divide by the weight of the zero, decay ** steps; divide by the rest, 1 minus that.",
        ),
        (
            partial(_averaged, debias=lambda decay, steps: 1 - decay),
            "you divide as if there were one step only: the zero's weight is decay ** steps.",
        ),
        (
            partial(_averaged, from_start=True, debias=lambda decay, steps: 1),
            "your average starts at the model before training; the debiased one starts at zero.",
        ),
        (
            partial(_averaged, early=True),
            "you average the weights before each step: the first model is in, the last one is not.",
        ),
        (
            partial(_averaged, weight=lambda decay: 1 - decay),
            "decay and 1 - decay are swapped: the old mean keeps the weight decay.",
        ),
        (
            _one_average_for_all,
            "there is one running mean for all decays; each needs its own.",
        ),
        (
            partial(_averaged, keep=lambda name, tensor: True),
            "every average is the model of the last step. state_dict() gives references: make new tensors.",
        ),
        (
            partial(_averaged, keep=lambda name, tensor: "running" in name),
            "the batch norm's running mean and variance are averaged too; only integers are taken from the last step.",
        ),
        (
            partial(_averaged, mode=False),
            "the model is in evaluation mode while it trains: model.train().",
        ),
        (
            lambda model, *rest: _averaged(copy.deepcopy(model), *rest),
            "you train a copy: the model that is passed keeps its old weights. Train that one.",
        ),
    ],
    library=[MovingAverages.update, MovingAverages.debiased],
    call=_averages_and_state,
    may_change=["model"],
    tolerance=1e-3,
    draws=2,
)

start_weight = Number(
    "10.2",
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


def _iterates(generator):
    shapes = {"encoder.w": (2, 2), "head.weight": (1, 2)}
    n = int(generator.integers(4, 9))
    iterates = [
        {name: normal(generator, *shape) for name, shape in shapes.items()} for _ in range(n)
    ]
    return iterates, float(generator.uniform(0.5, 0.9))


def _powers(decay, steps):
    """Weights of the iterates 1 to T in a moving average, the newest last."""
    return [decay ** (steps - 1 - k) for k in range(steps)]


def _as_line(iterates, decay, powers=_powers, alpha=lambda decay, steps: 1 - decay**steps, first=1):
    theta_0, later = iterates[0], iterates[first:]
    steps = len(iterates) - 1
    end, at = average(later, powers(decay, len(later))), alpha(decay, steps)
    return {"alpha": at, "end": end, "point": interpolate(theta_0, end, at)}


def _not_normalised(iterates, decay):
    found = _as_line(iterates, decay)
    end = {name: found["alpha"] * tensor for name, tensor in found["end"].items()}
    return {**found, "end": end, "point": interpolate(iterates[0], end, found["alpha"])}


def _ends_swapped(iterates, decay):
    found = _as_line(iterates, decay)
    return {**found, "point": interpolate(found["end"], iterates[0], found["alpha"])}


as_line = Code(
    "10.3",
    _as_line,
    [_iterates],
    [
        (
            partial(_as_line, powers=lambda decay, steps: _powers(decay, steps)[::-1]),
            "your oldest step has the largest weight; the newest has it, and each older one is multiplied by decay once more.",
        ),
        (
            partial(_as_line, powers=lambda decay, steps: [1.0] * steps),
            "all steps count alike in your mean; the weight of step t is proportional to decay ** (T - t).",
        ),
        (
            partial(_as_line, first=0),
            "theta_0 is not a step: the end is a mean of the iterates from 1 on.",
        ),
        (
            _not_normalised,
            "the weights of your end do not sum to 1: divide by their sum, 1 - decay ** T.",
        ),
        (
            partial(_as_line, alpha=lambda decay, steps: decay**steps),
            "decay ** T is the weight of theta_0; alpha is that of the end, 1 minus it.",
        ),
        (
            partial(_as_line, alpha=lambda decay, steps: 1 - decay ** (steps + 1)),
            "you count theta_0 as a step: with T + 1 iterates there were T steps.",
        ),
        (
            partial(_as_line, alpha=lambda decay, steps: 1 - decay),
            "you count one step only: the weight of theta_0 shrinks with every step, to decay ** T.",
        ),
        (_ends_swapped, "alpha belongs to the end: theta_0 has 1 - alpha in the point."),
    ],
    library=[average, interpolate],
)


def _held_fixture(generator, strength, weight):
    model, lr = _layers(generator, norm=False), float(generator.uniform(0.05, 0.15))
    return model, _batches(generator), lr, strength(generator), weight(generator)


def _both(generator):
    return _held_fixture(
        generator, lambda g: float(g.uniform(0.02, 0.3)), lambda g: float(g.uniform(0.2, 0.4))
    )


def _spring_alone(generator):
    return _held_fixture(generator, lambda g: float(g.uniform(0.05, 0.3)), lambda g: 0.0)


def _teacher_alone(generator):
    return _held_fixture(generator, lambda g: 0.0, lambda g: float(g.uniform(0.6, 0.9)))


def _weights_after(run, model, batches, lr, strength, weight):
    run(model, batches, lr, strength, weight)
    return _snapshot(model)


def _squares(theta, start):
    return sum((theta[name] - start[name]).square().sum() for name in theta)


def _soft(teacher, model, inputs):
    with torch.no_grad():
        return teacher(inputs).softmax(-1)


def _hard(teacher, model, inputs):
    return _soft(teacher, model, inputs).argmax(-1)


def _own_answers(teacher, model, inputs):
    return model(inputs).softmax(-1).detach()


def _held(
    model,
    batches,
    lr,
    strength,
    weight,
    penalty=_squares,
    answers=_soft,
    detach=lambda x: x,
    swapped=False,
    clear=True,
):
    start = {name: theta.detach().clone() for name, theta in model.named_parameters()}
    teacher = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    weight = 1 - weight if swapped else weight
    for inputs, targets in batches:
        logits = model(inputs)
        loss = (1 - weight) * F.cross_entropy(logits, targets)
        loss = loss + weight * F.cross_entropy(logits, answers(teacher, model, inputs))
        far = penalty(dict(model.named_parameters()), start)
        loss = loss + strength * detach(far)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


held = Code(
    "10.4",
    _held,
    [_both, _spring_alone, _teacher_alone],
    [
        (
            partial(
                _held, penalty=lambda theta, start: sum(t.square().sum() for t in theta.values())
            ),
            "your spring pulls towards zero: its penalty must be 0 where the weights equal those at the start.",
        ),
        (
            partial(_held, penalty=lambda theta, start: 0 * _squares(theta, start)),
            "your spring never pulls. The start moves with the model: clone its weights before the first step. Or the "
            "penalty has lost its gradient.",
        ),
        (
            partial(
                _held,
                penalty=lambda theta, start: sum(
                    (theta[n] - start[n]).square().mean() for n in theta
                ),
            ),
            "that is a mean over each tensor; the squared distance is a sum over all weights.",
        ),
        (
            partial(
                _held,
                penalty=lambda theta, start: sum((theta[n] - start[n]).abs().sum() for n in theta),
            ),
            "those are absolute values; the formula has squares, which pull harder the further a weight is.",
        ),
        (
            partial(_held, penalty=lambda theta, start: (_squares(theta, start) + 1e-12).sqrt()),
            "the formula has the squared distance; take no root.",
        ),
        (
            partial(_held, answers=_own_answers),
            "the teacher learns with the student. Copy the model before the first step, and ask the copy.",
        ),
        (
            partial(_held, answers=_hard),
            "your teacher names its best class only; the student shall match all its probabilities.",
        ),
        (
            partial(_held, swapped=True),
            "the two parts are swapped: the teacher has `weight`, the labels have 1 - weight.",
        ),
        (
            partial(_held, clear=False),
            "gradients add up from step to step: remove the old ones before the next backward pass.",
        ),
        (
            lambda model, *rest: _held(copy.deepcopy(model), *rest),
            "the model that is passed keeps its old weights: train that one, not a copy.",
        ),
    ],
    library=[l2_to, distillation],
    call=_weights_after,
    may_change=["model"],
    tolerance=1e-3,
    draws=2,
)

context = Number(
    "10.5",
    4 * 128,
    [
        (
            4 * 128 * 122,
            "that is one set of vectors for each class; here all 122 classes have the same four.",
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


def _lines(generator, seeds):
    """A line for each seed: the mean line and some scatter."""
    mean = _line(generator)
    return {
        seed: mean + pd.DataFrame(generator.normal(size=mean.shape) * 0.3, mean.index, mean.columns)
        for seed in seeds
    }


def _control(generator, reference, far):
    """A control near a place on the reference, and at a distance from what the line offers."""
    seeds = (generator.permutation(9)[: int(generator.integers(4, 7))]).tolist()
    lines = _lines(generator, seeds)
    mean = sum(lines.values()) / len(lines)
    test = reference(generator, sorted(mean["test"]))
    reached = mean[mean["test"] >= min(test, mean["test"].max())]
    line = reached["shifts"].idxmax()
    gaps = far(generator) + 0.4 * generator.normal(size=len(seeds))
    rows = [
        {"seed": seed, "test": test + wobble, "shifts": lines[seed].loc[line, "shifts"] + gap}
        for seed, wobble, gap in zip(seeds, _wobbles(generator, len(seeds)), gaps, strict=True)
    ]
    return pd.DataFrame(rows), lines


def _wobbles(generator, n):
    wobbles = generator.normal(size=n)
    return wobbles - wobbles.mean()


def _below(generator):
    return _control(generator, lambda g, t: t[1] + 0.4 * (t[2] - t[1]), lambda g: -g.uniform(2, 5))


def _near(generator):
    return _control(generator, lambda g, t: t[0] + 0.6 * (t[1] - t[0]), lambda g: 0)


def _above(generator):
    return _control(generator, lambda g, t: t[2] + 0.5 * (t[3] - t[2]), lambda g: g.uniform(2, 5))


def _out_of_reach(generator):
    return _control(generator, lambda g, t: t[-1] + g.uniform(0.5, 9), lambda g: -g.uniform(2, 5))


def _offered(mean, test):
    return mean.loc[mean["test"] >= min(test, mean["test"].max()), "shifts"].idxmax()


def _quantile(seeds):
    return student.ppf(0.975, seeds - 1)


def _words(low, high):
    return "above" if low > 0 else "below" if high < 0 else "undecided"


def _judged(
    control,
    lines,
    offered=_offered,
    own=True,
    quantile=_quantile,
    sd=statistics.stdev,
    root=True,
    sign=1,
    words=_words,
):
    mean = sum(lines.values()) / len(lines)
    alpha = offered(mean, control["test"].mean())
    gaps = [
        sign * (row.shifts - (lines[row.seed] if own else mean).loc[alpha, "shifts"])
        for row in control.itertuples()
    ]
    gap, n = statistics.fmean(gaps), len(gaps)
    half = quantile(n) * sd(gaps) / (n**0.5 if root else 1)
    return {"gap": gap, "half": half, "verdict": words(gap - half, gap + half)}


judged = Code(
    "10.6",
    _judged,
    [_below, _near, _above, _out_of_reach],
    [
        (
            partial(_judged, offered=lambda mean, test: mean["shifts"].idxmax()),
            "you take the highest point of the whole line; it must be no worse on the reference than the control.",
        ),
        (
            partial(_judged, offered=lambda mean, test: (mean["test"] - test).abs().idxmin()),
            "you take the alpha nearest on the reference; one further to the right may be higher, and is better on both.",
        ),
        (
            partial(
                _judged,
                offered=lambda mean, test: mean.index[
                    mean["test"] >= min(test, mean["test"].max())
                ][0],
            ),
            "you take the first alpha that reaches the reference; take the one with the largest 'shifts' among all that do.",
        ),
        (
            partial(_judged, own=False),
            "you compare all runs with the mean line; each run is compared with the line of its own seed.",
        ),
        (
            partial(_judged, quantile=lambda n: 1.96),
            "1.96 is for a spread that is known; with few seeds take Student's t with one degree of freedom less than there "
            "are seeds.",
        ),
        (
            partial(_judged, quantile=lambda n: student.ppf(0.95, n - 1)),
            "that quantile makes an interval of 90 %; for 95 % it is that at 0.975.",
        ),
        (
            partial(_judged, quantile=lambda n: student.ppf(0.975, n)),
            "Student's t has one degree of freedom less than there are seeds.",
        ),
        (
            partial(_judged, sd=statistics.pstdev),
            "the mean was fitted to the same values: divide the squares by one less than their number.",
        ),
        (
            partial(_judged, root=False),
            "that is where single gaps fall; their mean scatters less, by the root of their number.",
        ),
        (
            partial(_judged, sign=-1),
            "the sign is reversed: a control above the line has a positive gap.",
        ),
        (
            partial(_judged, words=lambda low, high: "above" if low + high > 0 else "below"),
            "an interval that contains 0 tells neither above nor below: then the verdict is 'undecided'.",
        ),
    ],
    library=[
        experiment.gaps,
        experiment.offered,
        experiment.half_width,
    ],
    draws=4,
)

on_the_line = Choice(
    "10.7",
    "C",
    {
        "A": "the mean is below 0, but the interval reaches above it: other seeds could have reversed the sign.",
        "B": "an interval around 0 cannot show that two things are equal, only that five seeds do not distinguish them.",
        "D": "more images narrow another interval; this one is about the seeds, and any sign may come out.",
    },
)

ALL = [averages, start_weight, as_line, held, context, judged, on_the_line]
