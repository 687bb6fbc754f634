"""Exercises of chapter 3, A head on frozen features."""

from __future__ import annotations

from collections import Counter
from functools import partial

import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.book.checks.draw import distinct, labels, normal, table
from wiseft_lite.probes import fit_lbfgs
from wiseft_lite.tasks.draws import few_shot_rows


def _problem(generator):
    n, n_classes, d = generator.permutation([3, 4, 5]).tolist()
    features = normal(generator, n, d)
    lr = float(generator.uniform(0.2, 2))
    return normal(generator, n_classes, d), features, labels(generator, n, n_classes), lr


def _step(weight, features, labels, lr, dim=-1):
    error = (features @ weight.T).softmax(dim) - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


def _change(factor):
    """A step that is ``factor`` times too long."""

    def step(weight, features, labels, lr):
        times = factor(weight, features, lr)
        return weight + times * (_step(weight, features, labels, lr) - weight)

    return step


def _linear(weight, features, labels, lr):
    error = features @ weight.T - F.one_hot(labels, len(weight))
    return weight - lr * error.T @ features / len(features)


step = Code(
    "3.1",
    _step,
    [_problem],
    [
        (
            _change(lambda weight, features, lr: -1),
            "you step along the gradient, so the loss grows. Subtract the gradient.",
        ),
        (
            _change(lambda weight, features, lr: len(features)),
            "you sum over the images; the loss is a mean, so divide by their number.",
        ),
        (
            _linear,
            "the error is probability minus truth: apply the softmax to the logits first.",
        ),
        (
            lambda w, x, y, lr: _step(w, x, y, lr, dim=0),
            "your softmax runs over the images; each image's own probabilities must sum to 1.",
        ),
        (
            _change(lambda weight, features, lr: 1 / lr),
            "the learning rate is missing: it multiplies the gradient.",
        ),
        (
            _change(lambda weight, features, lr: len(features) / len(weight)),
            "you divide by the number of classes; the mean runs over the images.",
        ),
        (
            lambda w, x, y, lr: w - _step(w, x, y, lr),
            "that is the change alone; return the new weight.",
        ),
    ],
)


def _start_and_pull(generator):
    n, n_classes, d = generator.permutation([3, 4, 5]).tolist()
    features = normal(generator, n, d)
    return normal(generator, n_classes, d), features, labels(generator, n, n_classes)


def _descent(generator):
    lr, steps = float(generator.uniform(0.1, 0.4)), int(generator.integers(4, 9))
    return *_start_and_pull(generator), lr, steps, float(generator.uniform(0.05, 0.3))


def _descend(
    start, features, labels, lr, steps, pull, begin=torch.clone, power=2, goal=None, scale=1
):
    """Descent whose penalty pulls to ``goal``: the start, unless another is given."""
    weight = begin(start)
    for _ in range(steps):
        to_goal = weight - (start if goal is None else goal(start))
        plain = _step(weight, features, labels, lr) - weight
        weight = weight + scale * plain - lr * power * pull * to_goal
    return weight


descend = Code(
    "3.2",
    _descend,
    [_descent],
    [
        (
            partial(_descend, goal=torch.zeros_like),
            "your penalty pulls to zero, as weight decay does; it must pull to the start.",
        ),
        (
            partial(_descend, power=1),
            "the gradient of a square has a factor 2: 2 * pull * (weight - start).",
        ),
        (
            partial(_descend, power=0),
            "the penalty is missing, or is zero in every step: it holds the weight near the start.",
        ),
        (
            partial(_descend, begin=torch.zeros_like),
            "you begin at zero; the warm start begins at the weight that is given.",
        ),
        (
            lambda start, features, labels, lr, steps, pull: _descend(
                start, features, labels, lr, 1, pull
            ),
            "you take one step; repeat it, from where the last one ended.",
        ),
        (
            lambda start, features, labels, lr, steps, pull: _descend(
                start, features, labels, lr, steps, pull, scale=len(features)
            ),
            "the cross-entropy is a sum over the images; take the mean.",
        ),
        (
            lambda start, features, labels, lr, steps, pull: _descend(
                start, features, labels, -lr, steps, pull
            ),
            "you walk along the gradient, so the loss grows: subtract it.",
        ),
    ],
)


def _problem_with_a_minimum(generator):
    return *_start_and_pull(generator), float(generator.uniform(0.02, 0.2))


def _minimise(start, features, labels, pull, goal=None, factor=1.0, sum_of_images=False):
    """The one minimum of a strictly convex loss, in float64."""
    goal = (start if goal is None else goal(start)).double()
    features, times = features.double(), len(features) if sum_of_images else 1

    def loss(flat):
        weight = torch.tensor(flat).view_as(goal).requires_grad_()
        fit = times * F.cross_entropy(features @ weight.T, labels)
        value = fit + factor * pull * (weight - goal).square().sum()
        value.backward()
        return value.item(), weight.grad.flatten().numpy()

    options = {"gtol": 1e-9, "ftol": 0}
    found = minimize(loss, start.double().flatten(), jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(found.x).view_as(goal)


minimise = Code(
    "3.3",
    _minimise,
    [_problem_with_a_minimum],
    [
        (
            partial(_minimise, goal=torch.zeros_like),
            "your penalty pulls to zero, as weight decay does; it must pull to the start.",
        ),
        (
            partial(_minimise, factor=0.5),
            "you minimise half of the penalty; the loss has pull times the squared distance.",
        ),
        (
            partial(_minimise, sum_of_images=True),
            "the cross-entropy is a sum over the images; take the mean.",
        ),
        (
            lambda start, features, labels, pull: _descend(start, features, labels, 1.0, 1, pull),
            "that is one step of descent with a learning rate of 1; go on to the minimum.",
        ),
        (
            lambda start, features, labels, pull: start,
            "that is the start: the optimizer never changed the weight, or you return another tensor.",
        ),
    ],
    library=[fit_lbfgs],
    tolerance=1e-2,
    draws=3,
)


_SEEDS = range(60)


def _unequal_classes(generator):
    k = int(generator.integers(1, 4))
    sizes = [k + int(extra) for extra in generator.permutation([1, 2, 4])]
    of_images = [c for c, size in enumerate(sizes) for _ in range(size)]
    return [int(c) for c in generator.permutation(of_images)], k


def _indices(rows, labels):
    rows = [row.item() if hasattr(row, "item") else row for row in rows]
    if len(rows) == len(labels) and all(isinstance(row, bool) for row in rows):
        return [k for k, chosen in enumerate(rows) if chosen]
    return rows


def _properties(k_shot, labels, k):
    drawn = [_indices(k_shot(labels, k, seed), labels) for seed in _SEEDS]
    again = [_indices(k_shot(labels, k, seed), labels) for seed in _SEEDS[:3]]
    images = range(len(labels))
    inside = [[row for row in rows if row in images] for rows in drawn]
    counts = [Counter(labels[row] for row in set(rows)) for rows in inside]
    sizes = [count[c] for count in counts for c in set(labels)]
    often = Counter(row for rows in inside for row in set(rows))
    return {
        "fewest images of a class": min(sizes),
        "most images of a class": max(sizes),
        "images drawn twice": max(len(rows) - len(set(rows)) for rows in drawn),
        "images always drawn": [row for row in images if often[row] == len(_SEEDS)],
        "images never drawn": [row for row in images if not often[row]],
        "same seed, same images": [sorted(rows) for rows in again]
        == [sorted(rows) for rows in drawn[:3]],
    }


def _k_shot(labels, k, seed):
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist()
    seen, rows = {}, []
    for row in order:
        seen[labels[row]] = seen.get(labels[row], 0) + 1
        if seen[labels[row]] <= k:
            rows.append(row)
    return rows


def _of_class(labels, c):
    return [row for row, label in enumerate(labels) if label == c]


def _first_k(labels, k, seed):
    return [row for c in sorted(set(labels)) for row in _of_class(labels, c)[:k]]


def _unbalanced(labels, k, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(labels), generator=generator)[: k * len(set(labels))].tolist()


def _with_replacement(labels, k, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for c in sorted(set(labels)):
        own = _of_class(labels, c)
        rows += [own[i] for i in torch.randint(len(own), (k,), generator=generator).tolist()]
    return rows


few = Code(
    "3.4",
    _k_shot,
    [_unequal_classes],
    [
        (
            lambda labels, k, seed: sorted(set(labels)) * k,
            "you return labels; return the indices of the images.",
        ),
        (
            _unbalanced,
            "the classes get unequal numbers: k images of *each* class.",
        ),
        (
            _first_k,
            "the seed changes nothing: you always take the first images, so there is no spread between seeds.",
        ),
        (
            lambda labels, k, seed: _k_shot(labels, k, 0),
            "another seed gives the same images: pass the seed to the generator.",
        ),
        (
            _with_replacement,
            "you draw with replacement, so one image can come twice: shuffle, then take k.",
        ),
        (
            lambda labels, k, seed: _k_shot(labels, 1, seed),
            "you take one image of each class; take k.",
        ),
    ],
    library=[few_shot_rows],
    call=_properties,
    draws=3,
)


def _search(generator):
    n = int(generator.integers(4, 7))
    trials = table(generator, n, ["val", "test", "shifts"])
    trials.insert(0, "lr", distinct(generator, n, 1, 20))
    return (trials,)


def _report(table):
    return float(table.loc[table["val"].idxmax(), "test"])


def _best_test(table):
    return float(table["test"].max())


report = Code(
    "3.6",
    _report,
    [_search],
    [
        (
            _best_test,
            "you report the best of all test scores; without test labels nobody can know which trial that is.",
        ),
        (
            lambda table: table["val"].max(),
            "you report the validation score itself; it was used to choose, so it is biased upwards.",
        ),
        (
            lambda table: table.loc[table["shifts"].idxmax(), "test"],
            "you choose the trial by the shifts; their labels are not available when you choose.",
        ),
        (
            lambda table: table["test"].mean(),
            "you average over all trials; you would deploy one of them, and report that one.",
        ),
        (
            lambda table: int(table["val"].idxmax()),
            "that is the name of the chosen row; return its 'test'.",
        ),
        (
            lambda table: table.loc[table["val"].idxmax(), "shifts"],
            "that is the chosen trial's accuracy on the shifts; the question asks for 'test'.",
        ),
    ],
    starter=_best_test,
)

start = Choice(
    "3.5",
    "D",
    {
        "A": "both heads have the same number of weights; the start does not change that.",
        "B": "the features are the same, encoded once by the same frozen encoder.",
        "C": "more epochs bring both to the same loss on the training images, but a class without enough images "
        "still lacks what its name provides.",
    },
)

ALL = [step, descend, minimise, few, start, report]
