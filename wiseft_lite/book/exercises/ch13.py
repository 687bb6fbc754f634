"""Exercises of chapter 13, Many runs, one soup."""

from __future__ import annotations

import operator

import torch

from wiseft_lite.book.teaching import Exercise, choice


def _three():
    return [
        {"encoder.w": torch.tensor([x, 2 * x]), "head.weight": torch.tensor([10 * x])}
        for x in (1.0, 2.0, 6.0)
    ]


def _mean(thetas):
    total, count = {}, 0
    for theta in thetas:
        count += 1
        for name, tensor in theta.items():
            total[name] = total[name] + tensor if name in total else tensor.clone()
    return {name: tensor / count for name, tensor in total.items()}


def _halving(thetas):
    soup = None
    for theta in thetas:
        soup = (
            dict(theta)
            if soup is None
            else {name: (soup[name] + theta[name]) / 2 for name in theta}
        )
    return soup


def _in_place(thetas):
    total, count = None, 0
    for theta in thetas:
        count += 1
        if total is None:
            total = theta
        else:
            for name in theta:
                total[name] += theta[name]
    return {name: tensor / count for name, tensor in total.items()}


def _sum(thetas):
    return {name: 3 * tensor for name, tensor in _mean(thetas).items()}


def _needs_a_list(thetas):
    return {name: sum(theta[name] for theta in thetas) / len(thetas) for name in thetas[0]}


def _leaves_alone(f):
    thetas = _three()
    f(iter(thetas))
    return all(
        torch.equal(theta[name], before[name])
        for theta, before in zip(thetas, _three(), strict=True)
        for name in theta
    )


def _first(f, thetas):
    return f(thetas)["encoder.w"][0].item()


uniform = Exercise(
    "13.1",
    claims=[
        (
            "you halve at each step, so the last model counts as much as all before it together; add them up, count "
            "them, and divide once.",
            lambda f: abs(_first(f, _three()) - 3.75) > 1e-6,
        ),
        (
            "that is the sum of the models; divide by how many there are.",
            lambda f: abs(_first(f, _three()) - 9) > 1e-6,
        ),
        (
            "models come one at a time: go through them once with for, without len() and without an index.",
            lambda f: f(iter(_three())) is not None,
        ),
        (
            "you add into the first model itself, which the caller still needs; begin with a copy.",
            _leaves_alone,
        ),
        (
            "for weights 1, 2 and 6 the soup has 3, in every tensor, the head too.",
            lambda f: (
                abs(_first(f, iter(_three())) - 3) < 1e-6
                and f(iter(_three()))["head.weight"].item() == 30
                and _first(f, _three()[:1]) == 1
            ),
        ),
    ],
    solution=_mean,
    wrong=[
        (_halving, "halve at each step"),
        (_sum, "sum of the models"),
        (_needs_a_list, "one at a time"),
        (_in_place, "begin with a copy"),
        (lambda thetas: list(thetas)[-1], "every tensor"),
    ],
)


memory = Exercise(
    "13.2",
    claims=[
        (
            "that is all of them at once; the soup reads one, adds it to a sum and discards it.",
            lambda x: abs(x - 330) > 1,
        ),
        (
            "one is not enough: while a model is read, the sum of the earlier ones must be kept too.",
            lambda x: abs(x - 11) > 1,
        ),
        (
            "two state dicts are in memory at any time, the sum and the one that was just read.",
            lambda x: abs(x - 22) <= 1,
        ),
    ],
    solution=22,
    wrong=[(330, "all of them at once"), (11, "one is not enough"), (33, "at any time")],
)


def _module():
    return torch.nn.Linear(1, 1, bias=False)


def _checkpoints():
    return [{"weight": torch.tensor([[x]])} for x in (1.0, 2.0, 6.0)]


def _values(collect):
    return [theta["weight"].item() for theta in collect(_module(), _checkpoints())]


def _aliased(model, checkpoints):
    thetas = []
    for checkpoint in checkpoints:
        model.load_state_dict(checkpoint)
        thetas.append(model.state_dict())
    return thetas


def _copied_late(model, checkpoints):
    return [
        {name: tensor.clone() for name, tensor in theta.items()}
        for theta in _aliased(model, checkpoints)
    ]


def _collected(model, checkpoints):
    thetas = []
    for checkpoint in checkpoints:
        model.load_state_dict(checkpoint)
        thetas.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return thetas


def _apart(collect):
    thetas = collect(_module(), _checkpoints())
    return len({theta["weight"].data_ptr() for theta in thetas}) == len(thetas)


aliasing = Exercise(
    "13.3",
    claims=[
        (
            "return a list with one state dict for each checkpoint.",
            lambda f: len(f(_module(), _checkpoints())) == 3,
        ),
        (
            "all your models share one memory, that of the module, so each *is* the one that was loaded last. A new "
            "dictionary around the old tensors does not help.",
            _apart,
        ),
        (
            "the copies differ in memory but not in value: you copied after the last checkpoint was loaded. Copy before "
            "the next one comes.",
            lambda f: len(set(_values(f))) > 1,
        ),
        (
            "the three models must have the weights 1, 2 and 6, in this order.",
            lambda f: _values(f) == [1, 2, 6],
        ),
    ],
    solution=_collected,
    wrong=[
        (_aliased, "share one memory"),
        (_copied_late, "copied after the last"),
        (lambda model, checkpoints: _collected(model, checkpoints)[:1], "one state dict for each"),
        (lambda model, checkpoints: _collected(model, checkpoints)[::-1], "in this order"),
    ],
)


def _ranked(thetas, score):
    return sorted(range(len(thetas)), key=lambda i: score(thetas[i]), reverse=True)


def _grown(order, thetas, score, goes_in=operator.ge):
    kept = [order[0]]
    for i in order[1:]:
        with_it, without = (score(_mean(thetas[k] for k in some)) for some in ([*kept, i], kept))
        if goes_in(with_it, without):
            kept.append(i)
    return kept


def _greedy(thetas, score):
    return _grown(_ranked(thetas, score), thetas, score)


def _near(target):
    return lambda theta: -abs(theta["w"].item() - target)


def _line(*values):
    return [{"w": torch.tensor([float(x)])} for x in values]


def _each_with_the_best(thetas, score):
    order = _ranked(thetas, score)
    top = thetas[order[0]]
    return order[:1] + [i for i in order[1:] if score(_mean([top, thetas[i]])) >= score(top)]


def _good_ones(thetas, score):
    scores = [score(theta) for theta in thetas]
    return [i for i in _ranked(thetas, score) if scores[i] >= sum(scores) / len(scores)]


greedy = Exercise(
    "13.4",
    claims=[
        (
            "begin with the model that is best alone, then try the others from the best down.",
            lambda f: f(_line(5, 1, -1.5), _near(0))[0] == 1,
        ),
        (
            "nothing was left out: a model goes in only if the mean with it scores no lower than the mean without it.",
            lambda f: len(f(_line(5, 1, -1.5), _near(0))) < 3,
        ),
        (
            "you judge each model by itself; what counts is the mean that includes it.",
            lambda f: f(_line(1, 1.5, -9), _near(0)) == [0],
        ),
        (
            "you try each model with the best one alone; try it with all models that are already in the soup.",
            lambda f: f(_line(1, -1.2, -1.3), _near(0)) == [0, 1],
        ),
        (
            "return the indices of the models, in the order they went in: [1, 2] for weights 5, 1 and -1.5 when 0 is best.",
            lambda f: list(f(_line(5, 1, -1.5), _near(0))) == [1, 2],
        ),
        (
            "a model that leaves the score unchanged goes in too: two equal models, of weight 1, make a soup of two.",
            lambda f: list(f(_line(1, 1), _near(0))) == [0, 1],
        ),
    ],
    solution=_greedy,
    wrong=[
        (_ranked, "nothing was left out"),
        (_good_ones, "by itself"),
        (lambda thetas, score: _grown(range(len(thetas)), thetas, score), "best alone"),
        (_each_with_the_best, "with the best one alone"),
        (
            lambda thetas, score: _grown(_ranked(thetas, score), thetas, score, operator.gt),
            "unchanged goes in too",
        ),
    ],
)

heads = choice(
    "13.5",
    "B",
    {
        "A": "each run learns its head well, and alone each is a good model. The trouble begins when two are averaged.",
        "C": "the encoders began at the same weights, so they can be averaged; the heads cannot.",
        "D": "the rows are in the same order, that of the class names. It is the directions that differ.",
    },
)

ALL = [uniform, memory, aliasing, greedy, heads]
