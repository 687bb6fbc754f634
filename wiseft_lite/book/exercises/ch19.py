"""Exercises of chapter 19, Your own images."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.tasks.inspection import inspect

folders = Choice(
    "19.1",
    "B",
    {
        "A": "only the name 'val' is special; a set that the reader thinks is held out would be reported as a shift.",
        "C": "nothing is ignored: every folder beside train, val and test is a shift with its own column.",
    },
)


def _picture(generator, height, width):
    return generator.integers(256, size=(height, width, 3)).astype(np.uint8)


def _splits(generator):
    """Three splits of small images; some occur twice, in one class or in two."""
    shapes = [(2, 3), (3, 2), (2, 2)]
    drawn = [shapes[k] for k in generator.integers(3, size=14)]
    drawn[0] = (2, 3)
    fresh = [_picture(generator, *shape) for shape in drawn]
    turned = fresh[0].reshape(fresh[0].shape[1], fresh[0].shape[0], 3)  # the same bytes
    mixed = fresh[1][:, ::-1]  # the same colours in other places
    classes = ["cat", "dog", "elk"]
    label = {k: classes[int(generator.integers(3))] for k in range(len(fresh))}

    def images(*places, other=()):
        found = [(fresh[k], label[k]) for k in places]
        return found + [(fresh[k], classes[classes.index(label[k]) - 1]) for k in other]

    splits = {
        "train": images(0, 1, 2, 3, 4, 5, 6, 5, other=(6,)),
        "test": images(7, 8, 2, 9, other=(3,)) + [(mixed, label[1])],
        "emoji": images(10, 8, 4, 11, other=(9,)) + [(turned, "dog")],
    }
    splits = {name: _shuffled(generator, found) for name, found in splits.items()}
    orders = [["test", "train", "emoji"], ["emoji", "test", "train"], ["emoji", "train", "test"]]
    return ({name: splits[name] for name in orders[int(generator.integers(3))]},)


def _shuffled(generator, items):
    return [items[k] for k in generator.permutation(len(items))]


def _by_pixels(pixels):
    return pixels.shape, pixels.tobytes()


def _clean_and_doubtful(leaks, splits):
    """Both answers as sets."""
    leaked, doubtful = leaks(splits)
    return {
        "leaked": {(str(split), int(k)) for split, k in leaked},
        "doubtful": {(str(split), int(k)) for split, k in doubtful},
    }


def _leaks(splits, key=_by_pixels, outside=lambda split, first: split != "train", last=False):
    seen = {}
    for split, images in splits.items():
        for k, (pixels, label) in enumerate(images):
            seen.setdefault(key(pixels), []).append((split, k, label))
    leaked, doubtful = set(), set()
    for places in seen.values():
        if "train" in {split for split, _, _ in places}:
            leaked |= {(split, k) for split, k, _ in places if outside(split, places[0][0])}
        if len({label for _, _, label in places}) > 1:
            doubtful |= {(split, k) for split, k, _ in places[-1 if last else 0 :]}
    return leaked, doubtful


def _any_two_splits(splits):
    """Images that occur in another split too, whichever it is."""
    seen = {}
    for split, images in splits.items():
        for k, (pixels, _) in enumerate(images):
            seen.setdefault(_by_pixels(pixels), []).append((split, k))
    leaked = {
        place
        for places in seen.values()
        if len({split for split, _ in places}) > 1
        for place in places
        if place[0] != "train"
    }
    return leaked, _leaks(splits)[1]


def _within_a_split(splits):
    """Two classes of one image are noticed within a split alone."""
    doubtful = set()
    for name, images in splits.items():
        doubtful |= _leaks({name: images})[1]
    return _leaks(splits)[0], doubtful


leaks = Code(
    "19.2",
    _leaks,
    [_splits],
    [
        (
            partial(_leaks, key=lambda pixels: pixels.tobytes()),
            "two images of other height and width can have the same bytes: compare the shape too.",
        ),
        (
            partial(_leaks, key=lambda pixels: (pixels.shape, pixels.sum())),
            "you compare a sum of the colours, which images of the same colours in other places share. Compare all pixels.",
        ),
        (
            partial(_leaks, outside=lambda split, first: True),
            "the image of train itself is not leaked; its copy elsewhere is.",
        ),
        (
            _any_two_splits,
            "an image that two test sets have in common was not trained on: only copies of images of train are leaks.",
        ),
        (
            _within_a_split,
            "you look for two classes within each split alone; the copy may lie in another split.",
        ),
        (
            partial(_leaks, last=True),
            "of an image with two classes, all places are doubtful: one of the labels is wrong, and nobody knows which.",
        ),
        (
            partial(_leaks, outside=lambda split, first: split != "train" and first == "train"),
            "you find copies only if train comes first; the splits may come in any order.",
        ),
    ],
    call=_clean_and_doubtful,
    library=[inspect],
    draws=4,
)

_SEEDS = range(20)


def _visits(generator):
    """Images of visits of unequal size; each visit shows one class, and one class has one visit."""
    visits = {
        "cat": int(generator.integers(5, 8)),
        "dog": int(generator.integers(3, 5)),
        "elk": 2,
        "fox": 1,
    }
    images = [
        (f"{name[0]}{k}", name)
        for name, n in visits.items()
        for k in range(n)
        for _ in range(int(generator.integers(1, 5)))
    ]
    groups, labels = zip(*_shuffled(generator, images), strict=True)
    return list(groups), list(labels), float(generator.choice([0.21, 0.31, 0.41]))


def _between(generator):
    """A share of which some classes have a little more than a whole number of visits, others less."""
    groups, labels, _ = _visits(generator)
    return groups, labels, 0.45


def _most(generator):
    """Nearly everything is to be held out; one visit of each class must stay."""
    groups, labels, _ = _visits(generator)
    return groups, labels, 0.95


def _few(generator):
    """A share so small that it is rounded to no visit at all."""
    groups, labels, _ = _visits(generator)
    return groups, labels, float(generator.uniform(0.02, 0.06))


def _marked(held, groups):
    marks = [bool(mark) for mark in held]
    if len(marks) != len(groups):
        raise ValueError(f"{len(marks)} marks for {len(groups)} images")
    return marks


def _properties(held_out, groups, labels, share):
    drawn = [_marked(held_out(groups, labels, share, seed), groups) for seed in _SEEDS]
    again = [_marked(held_out(groups, labels, share, seed), groups) for seed in _SEEDS[:2]]
    held, kept = (
        [{g for g, mark in zip(groups, marks, strict=True) if mark == side} for marks in drawn]
        for side in (True, False)
    )
    own = dict(zip(groups, labels, strict=True))
    by_class = {
        name: [{g for g in visits if own[g] == name} for visits in held]
        for name in sorted(set(labels))
    }
    return {
        "visits on both sides": max(len(a & b) for a, b in zip(held, kept, strict=True)),
        "visits held out": {
            name: sorted({len(visits) for visits in found}) for name, found in by_class.items()
        },
        "held out by every seed": {
            name: sorted(found[0])
            for name, found in by_class.items()
            if found[0] and all(visits == found[0] for visits in found)
        },
        "same seed, same visits": again == drawn[:2],
    }


def _how_many(share, n):
    return min(max(1, round(share * n)), n - 1)


def _held_out(
    groups,
    labels,
    share,
    seed,
    how_many=_how_many,
    draw=lambda generator, names, k: generator.permutation(names)[:k].tolist(),
):
    generator, drawn = np.random.default_rng(seed), set()
    for name in sorted(set(labels)):
        own = sorted({g for g, label in zip(groups, labels, strict=True) if label == name})
        drawn |= set(draw(generator, own, how_many(share, len(own))))
    return [group in drawn for group in groups]


def _by_image(groups, labels, share, seed):
    """The right number of each class, but of images."""
    generator, drawn = np.random.default_rng(seed), set()
    for name in sorted(set(labels)):
        own = [k for k, label in enumerate(labels) if label == name]
        drawn |= set(generator.permutation(own)[: _how_many(share, len(own))].tolist())
    return [k in drawn for k in range(len(groups))]


def _without_classes(groups, labels, share, seed):
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(names)
    return [g in set(order[: _how_many(share, len(names))].tolist()) for g in groups]


held_out = Code(
    "19.3",
    _held_out,
    [_visits, _between, _most, _few],
    [
        (
            _by_image,
            "one visit lies on both sides: its images are nearly the same, so the held-out ones were almost seen in "
            "training. Draw visits, not images.",
        ),
        (
            _without_classes,
            "you draw among all visits together, so a class may have none held out, or all. Draw for each class.",
        ),
        (
            lambda groups, labels, share, seed: [
                not held for held in _held_out(groups, labels, share, seed)
            ],
            "the wrong side is marked: True means held out.",
        ),
        (
            partial(_held_out, draw=lambda generator, names, k: names[len(names) - k :]),
            "every seed holds out the same visits, and the order of the names may be the order of the days. Draw them by "
            "the seed.",
        ),
        (
            lambda groups, labels, share, seed: _held_out(groups, labels, share, 0),
            "you draw visits, but with another seed the same ones: pass the seed to the generator.",
        ),
        (
            partial(
                _held_out,
                draw=lambda generator, names, k: generator.choice(names, k).tolist(),
            ),
            "you draw with replacement: a visit that is drawn twice counts twice, so fewer are held out. Shuffle, and "
            "take the first.",
        ),
        (
            partial(_held_out, how_many=lambda share, n: max(1, round(share * n))),
            "a class may lose all its visits, and nothing is left to train on: keep at least one.",
        ),
        (
            partial(_held_out, how_many=lambda share, n: min(round(share * n), n - 1)),
            "a share of a few visits is rounded to none: hold out at least one, if the class has two.",
        ),
        (
            partial(_held_out, how_many=lambda share, n: min(max(1, int(share * n)), n - 1)),
            "`int` cuts off what is behind the decimal point, so a visit too few is held out: use `round`.",
        ),
        (
            partial(_held_out, how_many=lambda share, n: min(max(1, math.ceil(share * n)), n - 1)),
            "you round the number of visits up: use `round`.",
        ),
    ],
    call=_properties,
    draws=2,
)

_RATES = (6e-5, 2e-4, 6e-4, 2e-3)


def _close(g, d, n, z=1.96):
    return g <= z * math.sqrt((d - g * g) / n)


def _pair_of(right, best, other):
    """The gain of one over another, and the fraction of images on which exactly one is right."""
    pairs = list(zip(right[best], right[other], strict=True))
    n = len(pairs)
    return sum(a - b for a, b in pairs) / n, sum(a != b for a, b in pairs) / n


def _is_clear(right):
    """Whether the best is the best alone, and no gain is at the edge of its interval."""
    rates = sorted(right, key=lambda lr: -sum(right[lr]))
    if sum(right[rates[0]]) == sum(right[rates[1]]):
        return False
    n = len(right[rates[0]])
    gains = [_pair_of(right, rates[0], other) for other in rates[1:]]
    return all(abs(g - 1.96 * math.sqrt((d - g * g) / n)) > 2e-3 for g, d in gains)


def _validated(generator, flips):
    """Which held-out images each of several rates has right; the models resemble each other."""
    while True:
        n = int(generator.choice([200, 400]))
        base = generator.random(n) < 0.8
        right = {}
        for lr in generator.permutation(_RATES)[: int(generator.integers(3, 5))].tolist():
            lost, won = flips(generator)
            draw = generator.random(n)
            right[lr] = [bool(x) for x in np.where(base, draw >= lost, draw < won)]
        if _is_clear(right):
            return (right,)


def _alike(generator):
    return _validated(generator, lambda generator: generator.uniform(0, 0.06, size=2))


def _nested(generator):
    """Each model has what a worse one has, and some more: few images decide, and all one way."""
    return _validated(
        generator,
        lambda generator: (float(generator.choice([0.0, 0.01, 0.03, 0.06, 0.1])), 0.0),
    )


def _apart(generator):
    return _validated(generator, lambda generator: generator.uniform(0, 0.4, size=2))


def _with_a_dip(generator):
    """The second smallest rate is bad, the smallest nearly as good as the best."""
    while True:
        base = generator.random(400) < 0.8
        right = {}
        for k in generator.permutation(4).tolist():
            lost, won = [(0.01, 0.03), (0.3, 0.0), (0.0, 0.0), (0.1, 0.0)][k]
            draw = generator.random(400)
            right[_RATES[k]] = [bool(x) for x in np.where(base, draw >= lost, draw < won)]
        if _is_clear(right) and _best(right) == _RATES[2] and _smallest(right) == _RATES[0]:
            return (right,)


def _accuracy(goods):
    return sum(goods) / len(goods)


def _best(right):
    return max(right, key=lambda lr: _accuracy(right[lr]))


def _smallest(right, close=_close, take=min):
    best, n = _best(right), len(next(iter(right.values())))
    return take(lr for lr in right if close(*_pair_of(right, best, lr), n))


def _unpaired(right):
    best, n = _best(right), len(next(iter(right.values())))
    p = _accuracy(right[best])

    def close(q):
        return p - q <= 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / n)

    return min(lr for lr in right if close(_accuracy(right[lr])))


def _until_the_first_gap(right):
    """Go down from the best, and stop at the first rate that can be told from it."""
    best, n = _best(right), len(next(iter(right.values())))
    chosen = best
    for lr in sorted((lr for lr in right if lr < best), reverse=True):
        if not _close(*_pair_of(right, best, lr), n):
            break
        chosen = lr
    return chosen


choose_rate = Code(
    "19.4",
    _smallest,
    [_alike, _nested, _apart, _with_a_dip],
    [
        (
            _best,
            "that is the best on val. Take the smallest rate that these images cannot tell from it.",
        ),
        (min, "that is the smallest rate of all, however bad it is."),
        (
            _unpaired,
            "you compare as if the two models had seen different images. They have seen the same ones, and only those count on which one is right and the other is wrong.",
        ),
        (
            partial(_smallest, take=max),
            "of the rates that cannot be told apart take the smallest; yours is the largest.",
        ),
        (
            partial(_smallest, close=partial(_close, z=1.0)),
            "that is one standard error; 95 % of the time a difference stays within 1.96 of them.",
        ),
        (
            partial(_smallest, close=lambda g, d, n: g <= 0.01),
            "a point is nothing on 100 images and much on 10,000: the interval depends on the images.",
        ),
        (
            _until_the_first_gap,
            "you stop at the first rate that is worse; a smaller one may be as good again.",
        ),
    ],
    draws=6,
)

what_now = Choice(
    "19.5",
    "C",
    {
        "A": "half way is not safe here: the head of a zero-shot model at chance contributes nothing, and no run has shown "
        "what the mixture is worth. Fix the names first; then measure the curve on val.",
        "B": "a larger learning rate moves the model further from the start; it does not make a useless start better.",
    },
)

ALL = [folders, leaks, held_out, choose_rate, what_now]
