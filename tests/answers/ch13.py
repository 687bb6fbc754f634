import copy

import torch


def mean_in_place_of_a_copy(thetas):
    thetas = iter(thetas)
    total = {name: tensor.clone() for name, tensor in next(thetas).items()}
    count = 1
    for theta in thetas:
        count += 1
        for name in total:
            total[name] += theta[name]
    return {name: tensor.div(count) for name, tensor in total.items()}


def running_mean(thetas):
    mean = {}
    for k, theta in enumerate(thetas):
        for name, x in theta.items():
            before = mean.get(name, torch.zeros_like(x))
            mean[name] = before + (x - before) / (k + 1)
    return mean


def mean_of_a_list(thetas):
    thetas = list(thetas)
    return {k: torch.stack([t[k] for t in thetas]).mean(0) for k in thetas[0]}


def collect_by_deepcopy(model, checkpoints):
    kept = []
    for checkpoint in checkpoints:
        model.load_state_dict(checkpoint)
        kept.append(copy.deepcopy(model.state_dict()))
    return kept


def collect_own_modules(model, checkpoints):
    kept = []
    for checkpoint in checkpoints:
        own = copy.deepcopy(model)
        own.load_state_dict(checkpoint)
        kept.append(own.state_dict())
    return kept


def collect_detached(model, checkpoints):
    kept = []
    for checkpoint in checkpoints:
        model.load_state_dict(checkpoint)
        kept.append({n: p.detach().clone() for n, p in model.named_parameters()})
    return tuple(kept)


def average(thetas):
    return {name: sum(theta[name] for theta in thetas) / len(thetas) for name in thetas[0]}


def greedy_by_scores(thetas, score):
    alone = torch.tensor([score(theta) for theta in thetas])
    order = alone.argsort(descending=True).tolist()
    kept, best = [], float("-inf")
    for i in order:
        now = score(average([thetas[k] for k in kept] + [thetas[i]]))
        if now >= best:
            kept, best = kept + [i], now
    return kept


def greedy_by_sums(thetas, score):
    order = sorted(range(len(thetas)), key=lambda i: -score(thetas[i]))
    soup, kept = dict(thetas[order[0]]), [order[0]]
    for i in order[1:]:
        k = len(kept)
        tried = {n: (k * soup[n] + thetas[i][n]) / (k + 1) for n in soup}
        if not score(tried) < score(soup):
            soup = tried
            kept.append(i)
    return torch.tensor(kept)


def greedy_by_while(thetas, score):
    left = list(enumerate(thetas))
    left.sort(key=lambda pair: score(pair[1]), reverse=True)
    i, theta = left.pop(0)
    kept, soup = (i,), [theta]
    while left:
        i, theta = left.pop(0)
        if score(average([*soup, theta])) >= score(average(soup)):
            kept, soup = (*kept, i), [*soup, theta]
    return kept


RIGHT = {
    "13.1": [mean_in_place_of_a_copy, running_mean, mean_of_a_list],
    "13.3": [collect_by_deepcopy, collect_own_modules, collect_detached],
    "13.4": [greedy_by_scores, greedy_by_sums, greedy_by_while],
}

WRONG = {
    "13.1": [
        lambda thetas: next(iter(thetas)),
        lambda thetas: {n: t / 2 for n, t in mean_in_place_of_a_copy(thetas).items()},
        lambda thetas: list(mean_in_place_of_a_copy(thetas).values()),
        lambda thetas: {
            n: torch.stack(t).median(0).values
            for n, t in zip(
                ("encoder.w", "encoder.b", "head.weight"),
                zip(*[theta.values() for theta in thetas], strict=True),
                strict=True,
            )
        },
    ],
    "13.2": [44, 0, 60],
    "13.3": [
        lambda model, checkpoints: [collect_by_deepcopy(model, checkpoints)[-1]],
        lambda model, checkpoints: [collect_by_deepcopy(model, checkpoints)[0]] * len(checkpoints),
        lambda model, checkpoints: collect_by_deepcopy(model, checkpoints)[0],
        lambda model, checkpoints: [model.load_state_dict(c) for c in checkpoints],
    ],
    "13.4": [
        lambda thetas, score: greedy_by_scores(thetas, score)[1:],
        lambda thetas, score: [thetas[i] for i in greedy_by_scores(thetas, score)],
        lambda thetas, score: [max(range(len(thetas)), key=lambda i: score(thetas[i]))],
        lambda thetas, score: greedy_by_scores(thetas, lambda theta: -score(theta)),
        lambda thetas, score: average([thetas[i] for i in greedy_by_scores(thetas, score)]),
    ],
}
