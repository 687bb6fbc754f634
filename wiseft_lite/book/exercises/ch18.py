"""Exercises of chapter 18, Satellites, camera traps and videos."""

from __future__ import annotations

import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.metrics import macro_f1, pm_k, worst_group

always_empty = Number(
    "18.1",
    31.6,
    [
        (90, "that is the accuracy; macro-F1 is the mean of the F1 of each class."),
        (
            94.7,
            "that is the F1 of the empty images alone; the two animals count as much, with 0 each.",
        ),
        (
            33.3,
            "that is the mean recall. Ten animals were predicted as 'empty', so the F1 of 'empty' is a little below 1.",
        ),
        (0.316, "this is a fraction; in percent it is a hundred times as much."),
        (47.4, "that is the mean over two classes; there are three."),
        (30, "that is the mean precision; F1 counts recall too."),
    ],
    tolerance=0.5,
)


def _macro_inputs(generator, of_labels, predicted):
    """Classes of unequal size, with predictions that are often right."""
    truth = torch.as_tensor(generator.choice(4, size=12, p=of_labels))
    guess = torch.as_tensor(generator.choice(4, size=12, p=predicted))
    right = torch.as_tensor(generator.random(12)) < 0.5
    return torch.where(right & (truth != 3), truth, guess), truth


def _all_predicted(generator):
    truth = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])[generator.permutation(12)]
    predicted = truth.clone()
    rows = torch.as_tensor(generator.permutation(12)[:6])
    predicted[rows] = truth[rows.roll(1)]
    return predicted, truth


def _one_never_predicted(generator):
    """The last class is a label, but no prediction."""
    return _macro_inputs(generator, [0.4, 0.2, 0.2, 0.2], [0.5, 0.3, 0.2, 0])


def _one_without_labels(generator):
    """The last class is predicted, but no label."""
    return _macro_inputs(generator, [0.5, 0.3, 0.2, 0], [0.3, 0.2, 0.2, 0.3])


def _counts(predicted, labels, c):
    positive, true = predicted == c, labels == c
    return int((positive & true).sum()), int(positive.sum()), int(true.sum())


def _mean_over(classes, score):
    def macro(predicted, labels):
        scores = [score(*_counts(predicted, labels, c)) for c in classes(predicted, labels)]
        return sum(scores) / len(scores)

    return macro


def _of_labels(predicted, labels):
    return labels.unique()


def _f1(hits, positive, true):
    return 2 * hits / (positive + true)


def _by_precision(hits, positive, true):
    precision, recall = hits / positive, hits / true
    return 2 * precision * recall / (precision + recall)


def _by_precision_of_tensors(predicted, labels):
    """As above, but tensors: 0 / 0 is nan, not an exception."""
    scores = []
    for c in labels.unique():
        hits = ((predicted == c) & (labels == c)).sum()
        scores.append(_by_precision(hits, (predicted == c).sum(), (labels == c).sum()))
    return torch.stack(scores).mean()


def _weighted(predicted, labels):
    parts = [_counts(predicted, labels, c) for c in labels.unique()]
    return sum(true * _f1(hits, positive, true) for hits, positive, true in parts) / len(labels)


macro = Code(
    "18.2",
    _mean_over(_of_labels, _f1),
    [_all_predicted, _one_never_predicted, _one_without_labels],
    [
        (
            lambda predicted, labels: float((predicted == labels).double().mean()),
            "that is the accuracy: common classes weigh more. Take the F1 of each class, then the plain mean.",
        ),
        (
            _mean_over(_of_labels, lambda hits, positive, true: hits / true),
            "that is the mean recall: false positives of a class must lower its score.",
        ),
        (
            _mean_over(_of_labels, _by_precision),
            "a class that is never predicted, or never rightly, divides by zero on the way over precision; "
            "2 hits / (predicted + true) does not.",
        ),
        (
            _by_precision_of_tensors,
            "a class that is never predicted, or never rightly, has 0 / 0 on the way over precision, which is nan; "
            "2 hits / (predicted + true) is not.",
        ),
        (
            _mean_over(lambda predicted, labels: torch.cat([predicted, labels]).unique(), _f1),
            "a class that is no image's label has no F1 to average; predicting it lowers the recall of the others.",
        ),
        (
            _weighted,
            "you weigh each class by its number of images; macro-F1 is the plain mean.",
        ),
        (
            lambda predicted, labels: 100 * _mean_over(_of_labels, _f1)(predicted, labels),
            "that is in percent; return a fraction.",
        ),
    ],
    library=[macro_f1],
    draws=8,
)


def _regional(generator):
    """Regions of unequal size, and images without one."""
    names = ["africa", "asia", "europe", "oceania"]
    sizes = generator.permutation([2, 3, 5, 7]).tolist()
    regions = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    regions = [*regions, None, None, None]
    regions = [regions[k] for k in generator.permutation(len(regions))]
    how_often = dict(zip(names, generator.permutation([0.3, 0.6, 0.7, 0.9]), strict=True))
    right = [bool(generator.random() < how_often.get(region, 0.1)) for region in regions]
    return right, regions


def _accuracies(right, regions):
    by_region = {region: [] for region in regions if region is not None}
    for good, region in zip(right, regions, strict=True):
        if region is not None:
            by_region[region].append(good)
    return {region: sum(goods) / len(goods) for region, goods in by_region.items()}


def _worst(right, regions):
    return min(_accuracies(right, regions).values())


def _with_other(right, regions):
    return _worst(right, [str(region) for region in regions])


def _mean_of_regions(right, regions):
    found = _accuracies(right, regions)
    return sum(found.values()) / len(found)


def _smallest(right, regions):
    inside = [region for region in regions if region is not None]
    return _accuracies(right, regions)[min(set(inside), key=inside.count)]


worst = Code(
    "18.3",
    _worst,
    [_regional],
    [
        (
            _with_other,
            "an image without a region (None) does not count, as FMoW's region 'Other' does not.",
        ),
        (_mean_of_regions, "that is the mean over the regions; the worst one alone is reported."),
        (
            _smallest,
            "that is the region with the fewest images; the question asks for the one with the lowest accuracy.",
        ),
        (
            lambda right, regions: (
                sum(g for g, r in zip(right, regions, strict=True) if r)
                / sum(r is not None for r in regions)
            ),
            "that is the accuracy over all images with a region.",
        ),
        (
            lambda right, regions: max(_accuracies(right, regions).values()),
            "that is the best region; the lowest accuracy is asked for.",
        ),
        (
            lambda right, regions: 1 - max(_accuracies(right, regions).values()),
            "that is the lowest error; the lowest accuracy is asked for.",
        ),
        (
            lambda right, regions: min(
                _accuracies(right, regions), key=_accuracies(right, regions).get
            ),
            "that is the name of the region; return its accuracy.",
        ),
    ],
    library=[worst_group],
    draws=12,
)

few = Choice(
    "18.4",
    "C",
    {
        "A": "two images of twenty changed. Intervals of about 20 points on either side overlap almost wholly.",
        "B": "it is the metric of the data set, and the worst region is useful to know. Report it, with the interval of that region.",
    },
)

by_hand = Number(
    "18.5",
    (75, 50),
    [
        ((75, 78), "the second counts frames; pm-k counts clips, of which there are four."),
        (
            (75, 70),
            "the second is a fraction of all frames; pm-k counts clips, of which there are four.",
        ),
        (
            (50, 75),
            "the other order: pm-0 looks at the anchors alone, so it is the larger one.",
        ),
        ((100, 50), "pm-0 judges the anchors alone: those of A, B and D are right."),
        (
            (75, 25),
            "the wrong frame of D lies 12 away from its anchor; pm-10 does not look so far.",
        ),
        (
            (75, 75),
            "an adversary picks the frame: one wrong frame within reach costs the clip, as in B.",
        ),
        ((0.75, 0.5), "those are fractions; the question asks for percent."),
    ],
)


def _clips(generator):
    """Four clips: an anchor and one to four other frames each, in the order of the clips."""
    right, clips, offsets = [], [], []
    for clip in "ABCD":
        others = (generator.permutation([-12, -9, -6, -4, -2, 1, 3, 5, 8, 11])).tolist()
        for offset in [0, *others[: int(generator.integers(1, 5))]]:
            right.append(bool(generator.random() < 0.75))
            clips.append(clip)
            offsets.append(int(offset))
    return right, clips, offsets, int(generator.choice([2, 4, 5, 8, 10]))


def _mixed_order(generator):
    *columns, k = _clips(generator)
    order = generator.permutation(len(columns[0]))
    return *([column[i] for i in order] for column in columns), k


def _anchors_alone(generator):
    return *_clips(generator)[:3], 0


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


def _excused(excuse):
    """Frames that count as right whatever the model predicts."""

    def pm(right, clips, offsets, k):
        spared = [good or excuse(offset, k) for good, offset in zip(right, offsets, strict=True)]
        return _pm(spared, clips, offsets, k)

    return pm


pm = Code(
    "18.6",
    _pm,
    [_clips, _mixed_order, _anchors_alone],
    [
        (
            _frames,
            "that is a fraction of frames; a clip counts once, however many frames it has.",
        ),
        (
            _any,
            "one right frame does not save a clip: the adversary picks the worst frame within reach.",
        ),
        (
            lambda right, clips, offsets, k: _pm(right, clips, offsets, 99),
            "a frame further than k from its anchor must not count.",
        ),
        (
            _excused(lambda offset, k: offset < 0),
            "frames before the anchor have negative offsets and count too; look at |offset|.",
        ),
        (
            lambda right, clips, offsets, k: _pm(
                right, clips, [offset if offset > 0 else 0 for offset in offsets], k
            ),
            "a negative offset is smaller than any k, so you judge all frames before the anchor; look at |offset|.",
        ),
        (
            _excused(lambda offset, k: abs(offset) == k),
            "a frame that is exactly k away counts too.",
        ),
        (
            lambda right, clips, offsets, k: _pm(right, clips, offsets, 0),
            "you judge the anchors alone whatever k is: that is pm-0.",
        ),
        (
            lambda right, clips, offsets, k: 4 * _pm(right, clips, offsets, k),
            "that is the number of clips; return a fraction.",
        ),
    ],
    library=[pm_k],
    draws=8,
)

ALL = [always_empty, macro, worst, few, by_hand, pm]
