import statistics

import numpy as np
import torch


def fisher_by_stack(thetas, fishers):
    mean = {}
    for name in thetas[0]:
        f = torch.stack([fisher[name] for fisher in fishers])
        t = torch.stack([theta[name] for theta in thetas])
        mean[name] = (f * t).sum(0) / f.sum(0)
    return mean


def fisher_in_numpy(thetas, fishers):
    return {
        name: np.average(
            [theta[name].numpy() for theta in thetas],
            axis=0,
            weights=[fisher[name].numpy() for fisher in fishers],
        )
        for name in thetas[0]
    }


def fisher_by_shares(thetas, fishers):
    mean = {name: torch.zeros_like(tensor) for name, tensor in thetas[0].items()}
    for name in mean:
        total = sum(fisher[name] for fisher in fishers)
        for theta, fisher in zip(thetas, fishers, strict=True):
            mean[name] += fisher[name] / total * theta[name]
    return mean


def dare_by_where(theta_0, theta_1, drop, kept):
    out = {}
    for name, start in theta_0.items():
        step = (theta_1[name] - start) / (1 - drop)
        out[name] = torch.where(kept[name], start + step, start)
    return out


def dare_by_index(theta_0, theta_1, drop, kept):
    out = {name: start.clone() for name, start in theta_0.items()}
    for name, mask in kept.items():
        out[name][mask] += (theta_1[name][mask] - theta_0[name][mask]) / (1 - drop)
    return out


def targets_by_loops(labels):
    labels, rows = labels.tolist(), []
    for label in labels:
        rows.append([(other == label) / labels.count(label) for other in labels])
    return rows


def paired_in_numpy(ours, theirs):
    d = np.subtract(ours, theirs)
    half = 2.776 * d.std(ddof=1) / np.sqrt(5)
    return np.array([d.mean() - half, d.mean() + half])


def paired_in_torch(ours, theirs):
    d = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    half = 2.776 * d.std() / len(d) ** 0.5
    return d.mean() - half, d.mean() + half


def paired_by_statistics(ours, theirs):
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    half = 2.776 * statistics.stdev(gains) / 5**0.5
    return [statistics.mean(gains) - half, statistics.mean(gains) + half]


RIGHT = {
    "15.1": [fisher_by_stack, fisher_in_numpy, fisher_by_shares],
    "15.4": [
        dare_by_where,
        dare_by_index,
        lambda theta_0, theta_1, drop, kept: {
            n: theta_0[n] + kept[n].double() / (1 - drop) * (theta_1[n] - theta_0[n]).double()
            for n in theta_0
        },
    ],
    "15.7": [
        targets_by_loops,
        lambda labels: torch.nn.functional.normalize(
            labels[:, None].eq(labels).double(), p=1, dim=1
        ),
        lambda labels: (
            (labels.numpy()[:, None] == labels.numpy())
            / (labels.numpy()[:, None] == labels.numpy()).sum(1, keepdims=True)
        ),
    ],
    "15.8": [paired_in_numpy, paired_in_torch, paired_by_statistics],
}

WRONG = {
    "15.1": [
        lambda thetas, fishers: thetas[0],
        lambda thetas, fishers: fisher_by_stack(thetas, fishers)["w"],
    ],
    "15.4": [
        lambda theta_0, theta_1, drop, kept: theta_1,
        lambda theta_0, theta_1, drop, kept: dare_by_where(theta_1, theta_0, drop, kept),
    ],
    "15.7": [
        lambda labels: torch.tensor(targets_by_loops(labels)).flip(0),
        lambda labels: torch.tensor(targets_by_loops(labels)).fill_diagonal_(0),
    ],
    "15.8": [
        lambda ours, theirs: (min(ours) - max(theirs), max(ours) - min(theirs)),
        lambda ours, theirs: paired_by_statistics(ours, theirs)[::-1],
    ],
}
