import hashlib
import random

import numpy as np
import torch


def hashed(pixels):
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def leaks_by_hash(splits):
    trained = {hashed(pixels) for pixels, _ in splits["train"]}
    classes = {}
    for images in splits.values():
        for pixels, label in images:
            classes.setdefault(hashed(pixels), set()).add(label)
    leaked, doubtful = [], []
    for split, images in splits.items():
        for k, (pixels, _) in enumerate(images):
            if split != "train" and hashed(pixels) in trained:
                leaked.append((split, k))
            if len(classes[hashed(pixels)]) > 1:
                doubtful.append((split, k))
    return leaked, doubtful


def leaks_by_comparison(splits):
    everything = [
        (split, k, *image) for split, images in splits.items() for k, image in enumerate(images)
    ]
    leaked, doubtful = set(), set()
    for split, k, pixels, label in everything:
        for other, _, same, named in everything:
            if not np.array_equal(pixels, same):
                continue
            if other == "train" != split:
                leaked.add((split, k))
            if named != label:
                doubtful.add((split, k))
    return [leaked, doubtful]


def leaks_by_lists(splits):
    places = {}
    for split in sorted(splits):
        for k, (pixels, label) in enumerate(splits[split]):
            places.setdefault(str(pixels.tolist()), []).append((split, k, label))
    twice = [found for found in places.values() if len(found) > 1]
    leaked = [
        [split, k]
        for found in twice
        if any(split == "train" for split, *_ in found)
        for split, k, _ in found
        if split != "train"
    ]
    doubtful = {
        (split, k)
        for found in twice
        if any(label != found[0][2] for *_, label in found)
        for split, k, _ in found
    }
    return leaked, doubtful


def number(share, n):
    return 0 if n == 1 else min(n - 1, max(1, int(share * n + 0.5)))


def held_out_by_sample(groups, labels, share, seed):
    chooser, drawn = random.Random(seed), []
    for name in dict.fromkeys(labels):
        own = list(dict.fromkeys(g for g, y in zip(groups, labels, strict=True) if y == name))
        drawn += chooser.sample(own, number(share, len(own)))
    return [group in drawn for group in groups]


def held_out_in_numpy(groups, labels, share, seed):
    np.random.seed(seed)
    groups, labels, marks = np.array(groups), np.array(labels), np.zeros(len(groups), bool)
    for name in np.unique(labels):
        own = np.unique(groups[labels == name])
        chosen = np.random.choice(own, number(share, len(own)), replace=False)
        marks |= np.isin(groups, chosen)
    return marks


def held_out_in_torch(groups, labels, share, seed):
    generator, drawn = torch.Generator().manual_seed(seed), set()
    for name in sorted(set(labels)):
        own = sorted({g for g, y in zip(groups, labels, strict=True) if y == name})
        order = torch.randperm(len(own), generator=generator).tolist()
        drawn.update(own[k] for k in order[: number(share, len(own))])
    return torch.tensor([group in drawn for group in groups])


def rate_by_loop(right):
    best = sorted(right, key=lambda lr: sum(right[lr]))[-1]
    n = len(right[best])
    for lr in sorted(right):
        won = sum(a and not b for a, b in zip(right[best], right[lr], strict=True))
        lost = sum(b and not a for a, b in zip(right[best], right[lr], strict=True))
        g, d = (won - lost) / n, (won + lost) / n
        if g <= 1.96 * (max(d - g**2, 0) / n) ** 0.5:
            return lr


def rate_in_numpy(right):
    rates = np.sort(list(right))
    goods = np.array([right[lr] for lr in rates], dtype=float)
    difference = goods[goods.mean(1).argmax()] - goods
    error = difference.std(1) / np.sqrt(goods.shape[1])  # of differences 1, 0 and -1: d - g²
    return rates[np.argmax(difference.mean(1) <= 1.96 * error)]


def rate_in_torch(right):
    goods = {lr: torch.tensor(found).double() for lr, found in right.items()}
    best = max(goods.values(), key=lambda found: found.mean())
    close = []
    for lr, found in goods.items():
        g, d = (best - found).mean(), (best != found).double().mean()
        if (d - g**2).clamp(min=0).div(len(found)).sqrt() * 1.96 >= g:
            close.append(lr)
    return torch.tensor(min(close))


RIGHT = {
    "19.2": [leaks_by_hash, leaks_by_comparison, leaks_by_lists],
    "19.3": [held_out_by_sample, held_out_in_numpy, held_out_in_torch],
    "19.4": [rate_by_loop, rate_in_numpy, rate_in_torch],
}

WRONG = {
    "19.2": [
        lambda splits: leaks_by_hash(splits)[::-1],
        lambda splits: (set(), set()),
    ],
    "19.3": [
        lambda groups, labels, share, seed: held_out_by_sample(
            groups, labels, share, random.randrange(10**6)
        ),
        lambda groups, labels, share, seed: [False] * len(groups),
        lambda groups, labels, share, seed: np.flatnonzero(
            held_out_in_numpy(groups, labels, share, seed)
        ),
    ],
    "19.4": [
        lambda right: sorted(right)[len(right) // 2],
        lambda right: 6e-4,
    ],
}
