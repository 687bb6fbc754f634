import random

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize


def step_by_autograd(weight, features, labels, lr):
    w = weight.clone().requires_grad_(True)
    F.cross_entropy(features @ w.T, labels).backward()
    return w - lr * w.grad


def step_in_numpy(weight, features, labels, lr):
    w, x, y = weight.double().numpy(), features.double().numpy(), labels.numpy()
    p = np.exp(x @ w.T)
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return w - lr * p.T @ x / len(y)


def step_by_rows(weight, features, labels, lr):
    p = (features @ weight.T).softmax(1)
    rows = []
    for c in range(len(weight)):
        gradient = ((p[:, c] - (labels == c).float())[:, None] * features).mean(0)
        rows.append(weight[c] - lr * gradient)
    return torch.stack(rows)


def descend_by_formula(start, features, labels, lr, steps, pull):
    weight = start
    for _ in range(steps):
        p = (features @ weight.T).softmax(-1)
        error = p - F.one_hot(labels, len(weight))
        gradient = error.T @ features / len(features) + 2 * pull * (weight - start)
        weight = weight - lr * gradient
    return weight


def descend_by_sgd(start, features, labels, lr, steps, pull):
    weight = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([weight], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight), labels)
        (loss + pull * ((weight - start) ** 2).sum()).backward()
        optimizer.step()
    return weight


def descend_in_double(start, features, labels, lr, steps, pull):
    return descend_by_formula(start.double(), features.double(), labels, lr, steps, pull).numpy()


def minimise_by_lbfgs(start, features, labels, pull):
    weight = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=1000,
        tolerance_grad=1e-6,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weight.T, labels)
        loss = loss + pull * (weight - start).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach()


def minimise_by_scipy(start, features, labels, pull):
    x, y, w0 = features.double(), labels, start.double()

    def loss(flat):
        w = torch.tensor(flat).view_as(w0).requires_grad_()
        value = F.cross_entropy(x @ w.T, y) + pull * (w - w0).square().sum()
        (gradient,) = torch.autograd.grad(value, w)
        return value.item(), gradient.flatten().numpy()

    found = minimize(loss, w0.flatten().numpy(), jac=True, method="L-BFGS-B", tol=1e-12)
    return found.x.reshape(w0.shape)


def minimise_by_long_descent(start, features, labels, pull):
    return descend_by_formula(start, features, labels, 0.3, 3000, pull)


def k_shot_by_class(labels, k, seed):
    generator = random.Random(seed)
    rows = []
    for c in set(labels):
        rows += generator.sample([i for i, y in enumerate(labels) if y == c], k)
    return rows


def k_shot_in_numpy(labels, k, seed):
    rng, y = np.random.default_rng(seed), np.array(labels)
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:k] for c in np.unique(y)])


def k_shot_as_mask(labels, k, seed):
    chosen = set(k_shot_by_class(labels, k, seed))
    return [row in chosen for row in range(len(labels))]


RIGHT = {
    "3.2": [descend_by_formula, descend_by_sgd, descend_in_double],
    "3.3": [minimise_by_lbfgs, minimise_by_scipy, minimise_by_long_descent],
    "3.1": [step_by_autograd, step_in_numpy, step_by_rows],
    "3.4": [k_shot_by_class, k_shot_in_numpy, k_shot_as_mask],
    "3.6": [
        lambda table: table.sort_values("val")["test"].iloc[-1],
        lambda table: table["test"].to_numpy()[table["val"].to_numpy().argmax()],
        lambda table: table[table["val"] == table["val"].max()]["test"],
    ],
}

WRONG = {
    "3.2": [
        lambda start, *rest: start,
        lambda start, x, y, lr, steps, pull: descend_by_formula(start, x, y, lr, steps + 1, pull),
    ],
    "3.3": [
        lambda start, x, y, pull: descend_by_formula(start, x, y, 0.1, 5, pull),
        lambda start, x, y, pull: F.cross_entropy(x @ start.T, y),
        lambda start, x, y, pull: torch.zeros_like(start),
    ],
    "3.1": [
        lambda w, x, y, lr: w,
        lambda w, x, y, lr: w - lr * (w - step_by_rows(w, x, y, lr)) ** 2,
        lambda w, x, y, lr: w - lr * F.cross_entropy(x @ w.T, y),
    ],
    "3.4": [
        lambda labels, k, seed: k_shot_by_class(labels, k, random.randrange(10**6)),
        lambda labels, k, seed: k_shot_by_class(labels, k, seed)[:-1],
        lambda labels, k, seed: [k_shot_by_class(labels, k, seed)],
        lambda labels, k, seed: k_shot_by_class(labels, k, seed) * 2,
    ],
    "3.6": [
        lambda table: table["test"].median(),
        lambda table: table.loc[table["val"].idxmin(), "test"],
        lambda table: table["val"].idxmax() * 1.5,
    ],
}
