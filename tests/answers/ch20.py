import numpy as np
import torch

from wiseft_lite.metrics import clopper_pearson, proportion


def subset_by_mask(logits, labels, subset):
    inside = torch.full_like(logits, -torch.inf)
    inside[:, subset] = logits[:, subset]
    return float((inside.argmax(1) == torch.tensor(subset)[labels]).double().mean())


def subset_by_loop(logits, labels, subset):
    correct = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        best = max(range(len(subset)), key=lambda k: row[subset[k]])
        correct += best == label
    return correct / len(labels)


def agrees_by_estimate(correct, n, published):
    estimate = proportion(correct, n)
    return estimate.low <= published and published <= estimate.high


def agrees_by_ends(correct, n, published):
    ends = clopper_pearson(correct, n)
    if published < ends[0]:
        return False
    return not published > ends[1]


def order_by_selection(accuracies):
    left, order = dict(enumerate(accuracies)), []
    while left:
        best = max(left.values())
        order.append(next(i for i, value in left.items() if value == best))
        del left[order[-1]]
    return order


RIGHT = {
    "20.3": [
        subset_by_mask,
        subset_by_loop,
        lambda logits, labels, subset: np.mean(
            logits.numpy()[:, subset].argmax(1) == labels.numpy()
        ),
    ],
    "20.4": [
        agrees_by_estimate,
        agrees_by_ends,
        lambda correct, n, published: (
            clopper_pearson(correct, n)[0] <= published <= clopper_pearson(correct, n)[1]
        ),
    ],
    "20.5": [
        order_by_selection,
        lambda accuracies: np.argsort(-np.array(accuracies), kind="stable").tolist(),
        lambda accuracies: [i for _, i in sorted((-a, i) for i, a in enumerate(accuracies))],
    ],
}

WRONG = {
    "20.1": [0, 72, 100],
    "20.3": [
        lambda logits, labels, subset: 1.0,
        lambda logits, labels, subset: (
            (logits[:, subset].argmin(1) == labels).float().mean().item()
        ),
    ],
    "20.4": [lambda correct, n, published: True, lambda correct, n, published: published < 0.5],
    "20.5": [
        lambda accuracies: list(range(len(accuracies))),
        lambda accuracies: [int(np.argmax(accuracies))],
    ],
}
