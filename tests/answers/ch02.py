import math

import numpy as np
import torch


def own_by_infinity(logits, labels, classes):
    masked = torch.full_like(logits, -torch.inf)
    masked[:, classes] = logits[:, classes]
    return (masked.argmax(1) == labels).double().mean()


def own_by_loop(logits, labels, classes):
    right = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        right += max(classes, key=lambda c, row=row: row[c]) == label
    return right / len(labels)


def own_in_numpy(logits, labels, classes):
    place = logits.numpy()[:, list(classes)].argmax(axis=1)
    return np.mean(np.array(classes)[place] == labels.numpy())


RIGHT = {
    "2.1": [own_by_infinity, own_by_loop, own_in_numpy],
    "2.4": [
        lambda p: math.log(p) - math.log(1 - p),
        lambda p: np.log(p / (1 - p)),
        lambda p: torch.logit(torch.tensor(p, dtype=torch.float64)),
    ],
    "2.5": [
        lambda reference, shift, line: -line(reference) + shift,
        lambda r, s, line: torch.tensor(s) - torch.tensor(line(r)),
        lambda reference, shift, line: np.float32(shift) - np.float32(line(reference)),
    ],
}

WRONG = {
    "2.1": [
        lambda logits, labels, classes: (logits[:, classes].argmax(-1) == labels).sum(),
        lambda logits, labels, classes: own_by_loop(-logits, labels, classes),
    ],
    "2.2": [80, 267, 8000],
    "2.4": [lambda p: -math.log(1 - p), lambda p: 4 * p - 2],
    "2.5": [lambda r, s, line: s / line(r), lambda r, s, line: s],
}
