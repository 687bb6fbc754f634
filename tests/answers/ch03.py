import random

import numpy as np
import torch
import torch.nn.functional as F


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
    "3.2": [step_by_autograd, step_in_numpy, step_by_rows],
    "3.3": [k_shot_by_class, k_shot_in_numpy, k_shot_as_mask],
    "3.5": [
        lambda table: table.sort_values("val")["test"].iloc[-1],
        lambda table: table["test"].to_numpy()[table["val"].to_numpy().argmax()],
        lambda table: table[table["val"] == table["val"].max()]["test"],
    ],
}

WRONG = {
    "3.2": [
        lambda w, x, y, lr: w,
        lambda w, x, y, lr: w - lr * (w - step_by_rows(w, x, y, lr)) ** 2,
        lambda w, x, y, lr: w - lr * F.cross_entropy(x @ w.T, y),
    ],
    "3.3": [
        lambda labels, k, seed: k_shot_by_class(labels, k, random.randrange(10**6)),
        lambda labels, k, seed: k_shot_by_class(labels, k, seed)[:-1],
        lambda labels, k, seed: [k_shot_by_class(labels, k, seed)],
        lambda labels, k, seed: k_shot_by_class(labels, k, seed) * 2,
    ],
    "3.5": [
        lambda table: table["test"].median(),
        lambda table: table.loc[table["val"].idxmin(), "test"],
        lambda table: table["val"].idxmax() * 1.5,
    ],
}
