import numpy as np


def diversity_by_xor(first, second, labels):
    return ((first == labels) ^ (second == labels)).float().mean()


def diversity_by_loop(first, second, labels):
    count = 0
    for a, b, y in zip(first.tolist(), second.tolist(), labels.tolist(), strict=True):
        count += (a == y and b != y) or (b == y and a != y)
    return count / len(labels)


def wins_by_loop(zero_shot, fine_tuned, mixture):
    triples = zip(zero_shot, fine_tuned, mixture, strict=True)
    return sum(1 for zero, tuned, mixed in triples if zero != tuned and mixed == zero)


def barrier_by_loop(curve):
    deepest = 0.0
    for alpha, value in curve.items():
        line = curve[0.0] + alpha * (curve[1.0] - curve[0.0])
        deepest = max(deepest, line - value)
    return deepest * 100


RIGHT = {
    "8.2": [
        diversity_by_xor,
        diversity_by_loop,
        lambda first, second, labels: np.mean(
            (first.numpy() == labels.numpy()) != (second.numpy() == labels.numpy())
        ),
    ],
    "8.3": [
        wins_by_loop,
        lambda zero, tuned, mixed: (zero.ne(tuned) & mixed.eq(zero)).sum(),
        lambda zero, tuned, mixed: len(mixed[(zero != tuned) & (mixed == zero)]),
    ],
    "8.4": [
        barrier_by_loop,
        lambda curve: (
            100
            * (np.interp(curve.index, [0, 1], [curve[0.0], curve[1.0]]) - curve).clip(lower=0).max()
        ),
        lambda curve: max(
            100 * ((1 - a) * curve[0.0] + a * curve[1.0] - curve[a]) for a in curve.index
        ),
    ],
}

WRONG = {
    "8.2": [
        lambda first, second, labels: 100 * diversity_by_loop(first, second, labels),
        lambda first, second, labels: (first == labels) != (second == labels),
    ],
    "8.3": [
        lambda zero, tuned, mixed: wins_by_loop(tuned, mixed, zero),
        lambda zero, tuned, mixed: wins_by_loop(zero, tuned, mixed) + 1,
    ],
    "8.4": [
        lambda curve: 100 * (curve[0.0] - curve.min()),
        lambda curve: -barrier_by_loop(curve),
    ],
}
