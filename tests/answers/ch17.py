import numpy as np
import torch


def among_by_infinity(logits, classes):
    masked = torch.full_like(logits, float("-inf"))
    masked[:, list(classes)] = logits[:, list(classes)]
    return masked.argmax(-1)


def among_by_loop(logits, classes):
    return [max(classes, key=lambda c, row=row: row[c].item()) for row in logits]


def objectnet_by_max(logits, groups, labels):
    best = torch.stack([logits[:, list(group)].max(-1).values for group in groups], 1)
    return (best.argmax(1) == torch.tensor(labels)).float().mean()


def objectnet_by_owner(logits, groups, labels):
    owner = {k: g for g, group in enumerate(groups) for k in group}
    own = sorted(owner)
    place = logits[:, own].argmax(-1).tolist()
    return np.mean([owner[own[p]] == label for p, label in zip(place, labels, strict=True)])


def objectnet_by_loop(logits, groups, labels):
    right = 0
    for row, label in zip(logits.tolist(), labels, strict=True):
        winner = max((k for group in groups for k in group), key=lambda k, row=row: row[k])
        if winner in groups[label]:
            right += 1
    return right / len(labels)


RIGHT = {
    "17.2": [
        among_by_infinity,
        among_by_loop,
        lambda logits, classes: np.array(classes)[logits.numpy()[:, list(classes)].argmax(1)],
    ],
    "17.3": [objectnet_by_max, objectnet_by_owner, objectnet_by_loop],
    "17.5": [
        lambda curve: [curve.T.mean().max(), np.mean([max(curve[c]) for c in curve])],
        lambda curve: (curve.to_numpy().mean(1).max(), curve.to_numpy().max(0).mean()),
        lambda curve: (
            curve.loc[curve.mean(axis=1).idxmax()].mean(),
            curve.max(axis=0).sum() / curve.shape[1],
        ),
    ],
}

WRONG = {
    "17.2": [
        lambda logits, classes: among_by_infinity(-logits, classes),
        lambda logits, classes: torch.tensor(classes),
    ],
    "17.3": [
        lambda logits, groups, labels: 1.0,
        lambda logits, groups, labels: 1 - objectnet_by_loop(logits, groups, labels),
    ],
    "17.5": [
        lambda curve: (curve.mean(axis=1).min(), curve.min().mean()),
        lambda curve: curve.max().mean(),
    ],
}
