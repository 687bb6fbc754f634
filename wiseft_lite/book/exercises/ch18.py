"""Exercises of chapter 18, Satellites, camera traps and videos."""

from __future__ import annotations

import torch

from wiseft_lite.book.teaching import Exercise, choice

always_empty = Exercise(
    "18.1",
    claims=[
        (
            "that is the accuracy; macro-F1 is the mean of the F1 of each class.",
            lambda x: abs(x - 90) > 0.5,
        ),
        (
            "that is the F1 of the empty images alone; the two animals count as much, with 0 each.",
            lambda x: abs(x - 94.7) > 0.5,
        ),
        (
            "that is the mean recall. Ten animals were predicted as 'empty', so the F1 of 'empty' is a little below 1.",
            lambda x: abs(x - 33.3) > 0.5,
        ),
        ("this is a fraction; in percent it is a hundred times as much.", lambda x: x > 1),
        (
            "F1 is 180/190 for the empty ones and 0 for both animals; the mean of the three is 31.6 %.",
            lambda x: abs(x - 31.6) < 0.2,
        ),
    ],
    solution=31.6,
    wrong=[
        (90, "that is the accuracy"),
        (94.7, "empty images alone"),
        (33.3, "mean recall"),
        (0.316, "this is a fraction"),
        (50, "180/190"),
    ],
)


def _counts(predicted, labels, c):
    positive, true = predicted == c, labels == c
    return int((positive & true).sum()), int(positive.sum()), int(true.sum())


def _f1(predicted, labels):
    parts = [_counts(predicted, labels, c) for c in labels.unique()]
    return sum(2 * hits / (positive + true) for hits, positive, true in parts) / len(parts)


def _recall(predicted, labels):
    parts = [_counts(predicted, labels, c) for c in labels.unique()]
    return sum(hits / true for hits, _, true in parts) / len(parts)


def _all_classes(predicted, labels):
    classes = torch.cat([predicted, labels]).unique()
    parts = [_counts(predicted, labels, c) for c in classes]
    return sum(2 * hits / (positive + true) for hits, positive, true in parts) / len(parts)


def _by_precision(predicted, labels):
    total = 0.0
    for c in labels.unique():
        hits, positive, true = _counts(predicted, labels, c)
        precision, recall = hits / positive, hits / true
        total += 2 * precision * recall / (precision + recall)
    return total / len(labels.unique())


_TRUE = torch.tensor([0, 0, 0, 0, 1, 1])
_PREDICTED = torch.tensor([0, 0, 0, 1, 1, 1])  # F1: 6/7 and 4/5

macro = Exercise(
    "18.2",
    claims=[
        (
            "that is the accuracy: common classes weigh more. Take the F1 of each class, then the plain mean.",
            lambda f: abs(f(_PREDICTED, _TRUE) - 5 / 6) > 1e-6,
        ),
        (
            "that is the mean recall: false positives of a class must lower its score.",
            lambda f: abs(f(_PREDICTED, _TRUE) - 0.875) > 1e-6,
        ),
        (
            "a class that is never predicted divides by zero on the way over precision; 2 hits / (predicted + true) does not.",
            lambda f: abs(f(torch.tensor([0, 0]), torch.tensor([0, 1])) - 1 / 3) < 1e-6,
        ),
        (
            "a class that is no image's label has no F1 to average; predicting it lowers the recall of the others.",
            lambda f: abs(f(torch.tensor([0, 2]), torch.tensor([0, 0])) - 2 / 3) < 1e-6,
        ),
        (
            "for our six images the two F1 are 6/7 and 4/5, their mean is 0.829.",
            lambda f: abs(f(_PREDICTED, _TRUE) - (6 / 7 + 4 / 5) / 2) < 1e-6,
        ),
    ],
    solution=_f1,
    wrong=[
        (
            lambda predicted, labels: float((predicted == labels).float().mean()),
            "that is the accuracy",
        ),
        (_recall, "mean recall"),
        (_by_precision, "divides by zero"),
        (_all_classes, "no image's label"),
        (
            lambda predicted, labels: (
                {2: 1 / 3, 1: 2 / 3}[len(labels.unique())] if len(labels) == 2 else 0.5
            ),
            "0.829",
        ),
    ],
)


def _worst(right, regions):
    by_region = {region: [] for region in regions if region is not None}
    for good, region in zip(right, regions, strict=True):
        if region is not None:
            by_region[region].append(good)
    return min(sum(goods) / len(goods) for goods in by_region.values())


def _with_other(right, regions):
    return _worst(right, [str(region) for region in regions])


def _mean_of_regions(right, regions):
    names = sorted({region for region in regions if region is not None})
    return sum(
        _worst(
            [g for g, r in zip(right, regions, strict=True) if r == name],
            [name] * regions.count(name),
        )
        for name in names
    ) / len(names)


def _smallest(right, regions):
    names = [region for region in regions if region is not None]
    name = min(set(names), key=names.count)
    goods = [g for g, r in zip(right, regions, strict=True) if r == name]
    return sum(goods) / len(goods)


_RIGHT = [True, True, False, True, False, False, True, True, False, True, False]
_REGIONS = [
    "asia",
    "asia",
    "asia",
    "africa",
    "africa",
    "africa",
    "africa",
    "oceania",
    "oceania",
    None,
    None,
]
# asia 2/3, africa 2/4, oceania 1/2, no region 1/2
_RIGHT_2 = [True, True, True, True, False, False, False, True, True, False, False]
# asia 3/3, africa 1/4, oceania 2/2, no region 0/2

worst = Exercise(
    "18.3",
    claims=[
        (
            "an image without a region (None) does not count, as FMoW's region 'Other' does not.",
            lambda f: f(_RIGHT_2, _REGIONS) != 0,
        ),
        (
            "that is the mean over the regions; the worst one alone is reported.",
            lambda f: abs(f(_RIGHT_2, _REGIONS) - (1 + 0.25 + 1) / 3) > 1e-9,
        ),
        (
            "that is the region with the fewest images; the question asks for the one with the lowest accuracy.",
            lambda f: f(_RIGHT_2, _REGIONS) != 1,
        ),
        (
            "that is the accuracy over all images with a region.",
            lambda f: abs(f(_RIGHT_2, _REGIONS) - 6 / 9) > 1e-9,
        ),
        (
            "the lowest accuracy is 0.25, that of africa; in our other case it is 0.5.",
            lambda f: f(_RIGHT_2, _REGIONS) == 0.25 and f(_RIGHT, _REGIONS) == 0.5,
        ),
    ],
    solution=_worst,
    wrong=[
        (_with_other, "without a region"),
        (_mean_of_regions, "mean over the regions"),
        (_smallest, "fewest images"),
        (
            lambda right, regions: (
                sum(g for g, r in zip(right, regions, strict=True) if r)
                / sum(r is not None for r in regions)
            ),
            "over all images",
        ),
        (lambda right, regions: 0.5, "0.25, that of africa"),
    ],
)

few = choice(
    "18.4",
    "C",
    {
        "A": "two images of twenty changed. Intervals of about 20 points on either side overlap almost wholly.",
        "B": "it is the metric of the data set, and the worst region is useful to know. Report it, with the interval of that region.",
    },
)

by_hand = Exercise(
    "18.5",
    claims=[
        (
            "that counts frames; pm-k counts clips, of which there are four.",
            lambda x: round(x[1]) not in (70, 78),
        ),
        (
            "the other order: pm-0 looks at the anchors alone, so it is the larger one.",
            lambda x: x[0] >= x[1],
        ),
        ("pm-0 judges the anchors alone: those of A, B and D are right.", lambda x: x[0] == 75),
        (
            "the wrong frame of D lies 12 away from its anchor; pm-10 does not look so far.",
            lambda x: x[1] != 25,
        ),
        (
            "an adversary picks the frame: one wrong frame within reach costs the clip, as in B.",
            lambda x: x[1] != 75,
        ),
        ("A and D survive: pm-10 is 50 %.", lambda x: x[1] == 50),
    ],
    solution=(75, 50),
    wrong=[
        ((75, 78), "counts frames"),
        ((50, 75), "other order"),
        ((100, 50), "anchors alone: those"),
        ((75, 25), "12 away"),
        ((75, 75), "an adversary picks"),
        ((75, 60), "A and D survive"),
    ],
)


def _pm(right, clips, offsets, k):
    alive = dict.fromkeys(clips, True)
    for good, clip, offset in zip(right, clips, offsets, strict=True):
        if abs(offset) <= k and not good:
            alive[clip] = False
    return sum(alive.values()) / len(alive)


def _frames(right, clips, offsets, k):
    near = [good for good, offset in zip(right, offsets, strict=True) if abs(offset) <= k]
    return sum(near) / len(near)


def _any(right, clips, offsets, k):
    alive = dict.fromkeys(clips, False)
    for good, clip, offset in zip(right, clips, offsets, strict=True):
        alive[clip] |= good and abs(offset) <= k
    return sum(alive.values()) / len(alive)


def _one_side(right, clips, offsets, k):
    return _pm(
        [good or offset < 0 for good, offset in zip(right, offsets, strict=True)], clips, offsets, k
    )


_CASE = (
    [True, True, True, False, False, True, True, True, False],
    ["A", "A", "B", "B", "C", "C", "D", "D", "D"],
    [0, 3, 0, -5, 0, 2, 0, 1, 12],
)

pm = Exercise(
    "18.6",
    claims=[
        (
            "that is a fraction of frames; a clip counts once, however many frames it has.",
            lambda f: (
                f([True, True, True, True, False, True], list("AAAABB"), [0, 1, 2, 3, 0, 1], 10)
                in (0.5, 1)
            ),
        ),
        (
            "one right frame does not save a clip: the adversary picks the worst frame within reach.",
            lambda f: f([True, False], ["A", "A"], [0, 2], 10) == 0,
        ),
        ("a frame further than k from its anchor must not count.", lambda f: f(*_CASE, 10) != 0.25),
        (
            "frames before the anchor have negative offsets; look at |offset|.",
            lambda f: f(*_CASE, 10) != 0.75,
        ),
        (
            "our four clips give 0.75 for k = 0 and 0.5 for k = 10.",
            lambda f: f(*_CASE, 0) == 0.75 and f(*_CASE, 10) == 0.5,
        ),
    ],
    solution=_pm,
    wrong=[
        (_frames, "fraction of frames"),
        (_any, "does not save"),
        (lambda r, c, o, k: _pm(r, c, o, 99), "further than k"),
        (_one_side, "negative offsets"),
        (lambda r, c, o, k: _pm(r, c, o, k) + (k == 0), "0.75 for k = 0"),
    ],
)

ALL = [always_empty, macro, worst, few, by_hand, pm]
