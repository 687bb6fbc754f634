"""Exercises of chapter 13, Many runs, one soup."""

from __future__ import annotations

import operator

import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.merging.soups import greedy_soup, uniform_soup


def _state_dicts(generator):
    """One to six models with three tensors each."""
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.weight": (1, 2)}
    return (
        [
            {name: normal(generator, *shape) for name, shape in shapes.items()}
            for _ in range(generator.integers(1, 7))
        ],
    )


def _mean(thetas):
    total, count = {}, 0
    for theta in thetas:
        count += 1
        for name, tensor in theta.items():
            total[name] = total[name] + tensor if name in total else tensor.clone()
    return {name: tensor / count for name, tensor in total.items()}


def _halving(thetas):
    soup = {}
    for theta in thetas:
        soup = {name: (soup.get(name, theta[name]) + theta[name]) / 2 for name in theta}
    return soup


def _sum(thetas):
    thetas = list(thetas)
    return {name: len(thetas) * tensor for name, tensor in _mean(thetas).items()}


def _needs_a_length(thetas):
    n = len(thetas)
    return {name: tensor * n for name, tensor in _mean(thetas).items()}


def _needs_an_index(thetas):
    return {name: torch.stack([theta[name] for theta in thetas]).mean(0) for name in thetas[0]}


def _encoders_only(thetas):
    thetas = list(thetas)
    head = {name: tensor for name, tensor in thetas[-1].items() if name.startswith("head")}
    return {**_mean(thetas), **head}


uniform = Code(
    "13.1",
    _mean,
    [_state_dicts],
    [
        (
            _halving,
            "you halve at each step, so the last model counts as much as all before it together; add them up, count "
            "them, and divide once.",
        ),
        (_sum, "that is the sum of the models; divide by how many there are."),
        (
            _needs_a_length,
            "models come one at a time, and an iterator has no length: count them as they come.",
        ),
        (
            _needs_an_index,
            "models come one at a time, and an iterator has no index: go through them once with for.",
        ),
        (
            lambda thetas: list(thetas)[-1],
            "that is the last model alone: the sum begins anew with each model.",
        ),
        (
            _encoders_only,
            "every tensor is averaged, the head too; yours is that of the last model.",
        ),
    ],
    library=[uniform_soup],
    call=lambda f, thetas: f(iter(thetas)),
)


memory = Number(
    "13.2",
    33,
    [
        (330, "that is all of them at once; the loop discards what it has added."),
        (11, "one is not enough: while a model is read, the sum of the earlier ones is kept too."),
        (
            22,
            "you count the sum and the model that was just read. Which one does the loop's variable still refer to "
            "while the next is being read?",
        ),
        (
            341,
            "that is all of them and the sum; the loop keeps no checkpoint that it has left behind.",
        ),
    ],
    tolerance=1,
)


def _checkpoints(generator):
    """A module and what is to be loaded into it, one after the other."""
    model = torch.nn.Linear(2, 1)
    n = generator.integers(2, 5)
    return model, [
        {"weight": normal(generator, 1, 2), "bias": normal(generator, 1)} for _ in range(n)
    ]


def _kept(collect, model, checkpoints):
    thetas = collect(model, checkpoints)
    places = [{tensor.data_ptr() for tensor in theta.values()} for theta in thetas]
    others = [{p.data_ptr() for p in model.parameters()}, *places]
    alone = [k for k, own in enumerate(places) if sum(bool(own & other) for other in others) == 1]
    return {"state dicts": [dict(theta) for theta in thetas], "with memory of their own": alone}


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


def _copied_early(model, checkpoints):
    thetas = []
    for checkpoint in checkpoints:
        thetas.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        model.load_state_dict(checkpoint)
    return thetas


aliasing = Code(
    "13.3",
    _collected,
    [_checkpoints],
    [
        (
            _aliased,
            "all your models share one memory, that of the module, so each *is* the one that was loaded last. A new "
            "dictionary around the old tensors does not help.",
        ),
        (
            _copied_late,
            "the copies differ in memory but not in value: you copied after the last checkpoint was loaded. Copy before "
            "the next one comes.",
        ),
        (
            _copied_early,
            "you copy before the checkpoint is loaded, so each copy holds the weights of the one before.",
        ),
        (
            lambda model, checkpoints: _collected(model, checkpoints)[::-1],
            "the models are in reversed order.",
        ),
        (
            lambda model, checkpoints: _collected(model, checkpoints)[:1],
            "you return within the loop, after the first checkpoint.",
        ),
    ],
    starter=_aliased,
    call=_kept,
    may_change=["model"],
)


def _score(target):
    return lambda theta: -float((theta["w"].double() - target).norm())


def _ingredients(generator):
    """Models around the best point, at different distances from it."""
    n = generator.integers(4, 7)
    return [{"w": normal(generator, 2)} for _ in range(n)], _score(0.5 * normal(generator, 2))


def _tied(generator):
    """The mean of the two best scores exactly as much as the best alone."""
    a = float(generator.integers(1, 9)) * generator.choice([-1, 1])
    values = [a, -3 * a, 4.5 * a, -20 * a]
    return (
        [{"w": torch.tensor([float(x), 0.0])} for x in generator.permutation(values)],
        _score(torch.zeros(2)),
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


def _each_with_the_best(thetas, score):
    order = _ranked(thetas, score)
    top = thetas[order[0]]
    return order[:1] + [i for i in order[1:] if score(_mean([top, thetas[i]])) >= score(top)]


def _against_the_best_alone(thetas, score):
    order = _ranked(thetas, score)
    kept, best = order[:1], score(thetas[order[0]])
    for i in order[1:]:
        if score(_mean(thetas[k] for k in [*kept, i])) >= best:
            kept.append(i)
    return kept


def _stops(thetas, score):
    order = _ranked(thetas, score)
    kept = order[:1]
    for i in order[1:]:
        if score(_mean(thetas[k] for k in [*kept, i])) < score(_mean(thetas[k] for k in kept)):
            break
        kept.append(i)
    return kept


greedy = Code(
    "13.4",
    _greedy,
    [_ingredients, _tied],
    [
        (
            _ranked,
            "nothing was left out: a model goes in only if the mean with it scores no lower than the mean without it.",
        ),
        (
            lambda thetas, score: _grown(range(len(thetas)), thetas, score),
            "begin with the model that is best alone, then try the others from the best down.",
        ),
        (
            lambda thetas, score: _grown(_ranked(thetas, score)[::-1], thetas, score),
            "you begin with the worst model; a higher score is better.",
        ),
        (
            _each_with_the_best,
            "you try each model with the best one alone; try it with all models that are already in the soup.",
        ),
        (
            _against_the_best_alone,
            "you compare with the best model alone; compare with the soup as it is, which may be better by now.",
        ),
        (_stops, "you stop at the first model that does harm; the next one may still help."),
        (
            lambda thetas, score: _grown(_ranked(thetas, score), thetas, score, operator.gt),
            "a model that leaves the score unchanged goes in too: at least as much, not more.",
        ),
        (
            lambda thetas, score: sorted(_greedy(thetas, score)),
            "those are the right models; return them in the order they went in.",
        ),
    ],
    library=[greedy_soup],
    draws=8,
)

heads = Choice(
    "13.5",
    "B",
    {
        "A": "each run learns its head well, and alone each is a good model. The trouble begins when two are averaged.",
        "C": "the encoders began at the same weights in both rows, so this cannot tell the rows apart.",
        "D": "the rows are in the same order, that of the class names. It is the directions that differ.",
    },
)

ALL = [uniform, memory, aliasing, greedy, heads]
