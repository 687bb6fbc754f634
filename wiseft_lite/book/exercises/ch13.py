"""Exercises of chapter 13, Many runs, one soup."""

from __future__ import annotations

import operator
import weakref

import torch
import torch.nn.functional as F
from torch.func import functional_call

from wiseft_lite.book.checks import Code, Number
from wiseft_lite.book.checks.draw import labels, normal
from wiseft_lite.merging.learned_soups import Mixture, learned_soup
from wiseft_lite.merging.soups import greedy_soup, uniform_soup


class _Theta(dict):
    """A state dict that a weak reference can point to."""


def _models(generator, dtype, scale, centre, n):
    """Models of two float tensors in an encoder, one in a head, and a counter."""
    shapes = {"encoder.w": (2, 2), "encoder.b": (2,), "head.weight": (1, 2)}
    steps = torch.tensor(int(generator.integers(100, 900)))
    return (
        [
            {
                "encoder.steps": steps.clone(),
                **{
                    name: (centre + scale * normal(generator, *shape)).to(dtype)
                    for name, shape in shapes.items()
                },
            }
            for _ in range(n)
        ],
    )


def _state_dicts(generator):
    return _models(generator, torch.float32, 1, 0, int(generator.integers(1, 7)))


def _large_halves(generator):
    """Half floats of which two can be added; the sum of three is infinite."""
    return _models(generator, torch.float16, 1000, 25_000, int(generator.integers(4, 7)))


def _streamed(uniform, thetas):
    """The mean of models that come one by one, and whether earlier ones were kept meanwhile."""
    earlier, most = [], 0

    def one_by_one():
        nonlocal most
        for theta in thetas:
            most = max(most, sum(model() is not None for model in earlier))
            loaded = _Theta({name: tensor.clone() for name, tensor in theta.items()})
            earlier.append(weakref.ref(loaded))
            yield loaded
            del loaded

    soup = uniform(one_by_one())
    return {
        "soup": soup,
        "types": {name: str(tensor.dtype).split(".")[-1] for name, tensor in soup.items()},
        "keeps the models it has added": most > 2,  # the first and the last one may be
    }


def _mean(thetas, add=torch.Tensor.float, divide=True, convert=True):
    total, types, count = {}, {}, 0
    for theta in thetas:
        count += 1
        for name, tensor in theta.items():
            types[name] = tensor.dtype
            if not tensor.is_floating_point():
                total[name] = tensor
            elif name in total:
                total[name] = total[name] + add(tensor)
            else:
                total[name] = add(tensor).clone()
    floating = [name for name in total if types[name].is_floating_point]
    if divide:
        total.update({name: total[name] / count for name in floating})
    if convert:
        total.update({name: total[name].to(types[name]) for name in floating})
    return total


def _halving(thetas):
    soup = {}
    for theta in thetas:
        soup = {
            name: (soup.get(name, tensor) + tensor) / 2 if tensor.is_floating_point() else tensor
            for name, tensor in theta.items()
        }
    return soup


def _needs_a_length(thetas):
    n = len(thetas)
    return {name: tensor * n for name, tensor in _mean(thetas).items()}


def _needs_an_index(thetas):
    return {name: torch.stack([theta[name] for theta in thetas]).mean(0) for name in thetas[0]}


def _last(thetas):
    for theta in thetas:
        soup = dict(theta)
    return soup


def _encoders_only(thetas):
    head = {}

    def watched():
        for theta in thetas:
            head.update({name: tensor for name, tensor in theta.items() if name[:4] == "head"})
            yield theta

    return {**_mean(watched()), **head}


uniform = Code(
    "13.1",
    _mean,
    [_state_dicts, _large_halves],
    [
        (
            _halving,
            "you halve at each step, so the last model counts as much as all before it together; add them up, count "
            "them, and divide once.",
        ),
        (
            lambda thetas: _mean(thetas, divide=False),
            "that is the sum of the models; divide by how many there are.",
        ),
        (
            _needs_a_length,
            "models come one at a time, and an iterator has no length: count them as they come.",
        ),
        (
            _needs_an_index,
            "models come one at a time, and an iterator has no index: go through them once with for.",
        ),
        (_last, "that is the last model alone: the sum begins anew with each model."),
        (
            _encoders_only,
            "every tensor is averaged, the head too; yours is that of the last model.",
        ),
        (
            lambda thetas: _mean(list(thetas)),
            "you keep every model until the end, so 72 checkpoints need the memory of 72; add each as it comes.",
        ),
        (
            lambda thetas: _mean(thetas, add=lambda tensor: tensor),
            "a sum of large 16-bit numbers is infinite: the largest is 65,504. Add up in float32.",
        ),
        (
            lambda thetas: _mean(thetas, convert=False),
            "the soup has other types than its models: convert each tensor back at the end.",
        ),
    ],
    library=[uniform_soup],
    call=_streamed,
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


def _pool(generator):
    """A small network, fine-tuned models of it, and batches of held-out images."""
    network = torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)
    ).eval()
    start = {
        name: normal(generator, *tensor.shape) for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(start)
    thetas = [
        {name: tensor + normal(generator, *tensor.shape) for name, tensor in start.items()}
        for _ in range(int(generator.integers(2, 5)))
    ]
    steps = int(generator.integers(5, 8))
    batches = [(normal(generator, 8, 3), labels(generator, 8, 4)) for _ in range(steps)]
    return network, thetas, batches, generator.uniform(0.1, 0.4, size=steps).tolist()


def _learned(learn, network, thetas, batches, rates):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights, soup = learn(network, thetas, batches, rates)
    now = network.state_dict()
    return {
        "weights": weights,
        "soup": soup,
        "network is as before": all(torch.equal(before[name], now[name]) for name in before),
    }


def _mixed(weights, thetas):
    return {
        name: sum(w * theta[name] for w, theta in zip(weights, thetas, strict=True))
        for name in thetas[0]
    }


def _learn(
    network,
    thetas,
    batches,
    rates,
    optimizer=torch.optim.Adam,
    start=torch.zeros,
    weights_of=lambda preference: preference.softmax(0),
    tempered=True,
    zero_grad=True,
    late=True,
):
    preference = start(len(thetas)).requires_grad_()
    log_beta = torch.zeros(()).requires_grad_(tempered)
    optimizer = optimizer([preference, log_beta], lr=rates[0])
    for (inputs, targets), rate in zip(batches, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weights = weights_of(preference)
        logits = log_beta.exp() * functional_call(network, _mixed(weights, thetas), (inputs,))
        loss = F.cross_entropy(logits, targets)
        if zero_grad:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = weights_of(preference) if late else weights
    return weights.detach(), {n: t.detach() for n, t in _mixed(weights, thetas).items()}


def _learn_with(**setting):
    return lambda *inputs: _learn(*inputs, **setting)


def _equal(k):
    return torch.full((k,), 1 / k)


learn = Code(
    "13.5",
    _learn,
    [_pool],
    [
        (
            _learn_with(zero_grad=False),
            "gradients add up from step to step: remove the old ones before the next backward pass.",
        ),
        (
            _learn_with(start=_equal, weights_of=lambda preference: preference),
            "the weights no longer sum to 1, and some may be negative: learn preferences, and take their softmax.",
        ),
        (
            _learn_with(tempered=False),
            "the temperature is missing, or it is not learned: a mean of models is less sure than each of them, and the "
            "weights should not have to make up for it.",
        ),
        (
            _learn_with(optimizer=torch.optim.SGD),
            "that is plain gradient descent; the optimizer is Adam.",
        ),
        (
            _learn_with(optimizer=torch.optim.AdamW),
            "AdamW has a weight decay of 0.01 by default, which pulls the weights back to equal ones; take Adam.",
        ),
        (
            lambda network, thetas, batches, rates: _learn(
                network, thetas, batches, [rates[0]] * len(rates)
            ),
            "all steps have the learning rate of the first; set that of each step.",
        ),
        (
            _learn_with(late=False),
            "weights and soup are those of before the last step; mix once more at the end.",
        ),
        (
            lambda network, thetas, batches, rates: (
                _equal(len(thetas)),
                _mixed(_equal(len(thetas)), thetas),
            ),
            "nothing was learned, your soup is the uniform one: a mean whose tensors are detached, or loaded into the "
            "network, has no gradient.",
        ),
    ],
    library=[learned_soup, Mixture.forward, Mixture.mixed],
    call=_learned,
    draws=3,
)

ALL = [uniform, memory, aliasing, greedy, learn]
