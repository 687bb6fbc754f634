import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call


def mean_in_place_of_a_copy(thetas):
    thetas = iter(thetas)
    first = next(thetas)
    total, count = {name: tensor.float() + 0 for name, tensor in first.items()}, 1
    for theta in thetas:
        count += 1
        for name in total:
            total[name] += theta[name]
    return {
        name: (tensor / count).to(first[name].dtype)
        if first[name].is_floating_point()
        else first[name]
        for name, tensor in total.items()
    }


def running_mean(thetas):
    mean, types = {}, {}
    for k, theta in enumerate(thetas):
        for name, x in theta.items():
            types[name] = x.dtype
            before = mean.get(name, torch.zeros_like(x, dtype=torch.float64))
            mean[name] = before + (x - before) / (k + 1)
    return {name: tensor.to(types[name]) for name, tensor in mean.items()}


def mean_in_numpy(thetas):
    """Adds arrays up, and forgets each model before it asks for the next."""
    total, types, n = {}, {}, 0
    for theta in thetas:
        for name in theta:
            array = theta[name].numpy()
            types[name] = array.dtype
            total[name] = total.get(name, 0) + array.astype(np.float64)
        n += 1
        del theta, array
    return {name: (array / n).astype(types[name]) for name, array in total.items()}


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


class Mixture(torch.nn.Module):
    """A soup as a module of its own, with a vector of all weights of each model."""

    def __init__(self, network, thetas):
        super().__init__()
        self.network = [network]  # in a list, so that its weights are no parameters of this one
        self.shapes = {name: tensor.shape for name, tensor in thetas[0].items()}
        self.rows = torch.stack([torch.cat([t.flatten() for t in x.values()]) for x in thetas])
        self.preference = torch.nn.Parameter(torch.zeros(len(thetas)))
        self.log_beta = torch.nn.Parameter(torch.zeros(()))

    def soup(self):
        flat = self.preference.softmax(-1) @ self.rows
        parts = flat.split([shape.numel() for shape in self.shapes.values()])
        return {n: part.view(self.shapes[n]) for n, part in zip(self.shapes, parts, strict=True)}

    def forward(self, inputs):
        return functional_call(self.network[0], self.soup(), inputs) * self.log_beta.exp()


def learn_with_a_module(network, thetas, batches, rates):
    mixture = Mixture(network, thetas)
    optimizer = torch.optim.Adam(mixture.parameters())
    for step, (inputs, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.zero_grad()
        torch.nn.CrossEntropyLoss()(mixture(inputs), labels).backward()
        optimizer.step()
    return mixture.preference.softmax(-1).detach(), mixture.soup()


def learn_with_a_scheduler(network, thetas, batches, rates):
    preferences = torch.nn.Parameter(torch.zeros(len(thetas)))
    beta = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.AdamW([preferences, beta], lr=1.0, weight_decay=0)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: [*rates, 0][k])

    def cook():
        a = preferences.exp() / preferences.exp().sum()
        return {name: sum(a[k] * thetas[k][name] for k in range(len(thetas))) for name in thetas[0]}

    for x, y in batches:
        loss = F.cross_entropy(functional_call(network, cook(), x) * torch.exp(beta), y)
        loss.backward()
        adam.step()
        schedule.step()
        adam.zero_grad()
    with torch.no_grad():
        soup = cook()
    return preferences.softmax(0).tolist(), soup


def learn_with_adam_by_hand(network, thetas, batches, rates):
    """Adam's two averages, with their corrections, on preferences and log beta in one vector."""
    x = torch.zeros(len(thetas) + 1, dtype=torch.float64)
    first, second = torch.zeros_like(x), torch.zeros_like(x)

    def mixture(preference):
        a = preference.softmax(0).float()
        return {
            n: torch.einsum("k,k...->...", a, torch.stack([t[n] for t in thetas]))
            for n in thetas[0]
        }

    for k, ((inputs, labels), rate) in enumerate(zip(batches, rates, strict=True), start=1):
        x.requires_grad_()
        logits = functional_call(network, mixture(x[:-1]), (inputs,))
        (g,) = torch.autograd.grad(F.cross_entropy(logits * x[-1].exp(), labels), x)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        step = first / (1 - 0.9**k) / ((second / (1 - 0.999**k)).sqrt() + 1e-8)
        x = (x - rate * step).detach()
    return x[:-1].softmax(0), mixture(x[:-1])


RIGHT = {
    "13.1": [mean_in_place_of_a_copy, running_mean, mean_in_numpy],
    "13.3": [collect_by_deepcopy, collect_own_modules, collect_detached],
    "13.4": [greedy_by_scores, greedy_by_sums, greedy_by_while],
    "13.5": [learn_with_a_module, learn_with_a_scheduler, learn_with_adam_by_hand],
}

WRONG = {
    "13.1": [
        lambda thetas: next(iter(thetas)),
        lambda thetas: {n: t / 2 for n, t in mean_in_place_of_a_copy(thetas).items()},
        lambda thetas: list(mean_in_place_of_a_copy(thetas).values()),
        lambda thetas: {n: t for n, t in running_mean(thetas).items() if t.is_floating_point()},
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
    "13.5": [
        lambda network, thetas, batches, rates: learn_with_a_module(
            network, thetas, batches, rates
        )[1],
        lambda network, thetas, batches, rates: learn_with_a_module(
            network, thetas, batches[:1], rates[:1]
        ),
        lambda network, thetas, batches, rates: (torch.eye(len(thetas))[0], thetas[0]),
        lambda network, thetas, batches, rates: learn_with_a_module(
            network, thetas[::-1], batches, rates
        ),
    ],
}
