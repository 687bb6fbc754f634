"""Exercises of chapter 18, Satellites, camera traps and videos."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.metrics import macro_f1, pm_k, worst_group
from wiseft_lite.tasks.scoring import MacroF1

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
    return torch.where(right & (truth != 3), truth, guess), truth, _drawn(generator)


def _drawn(generator):
    """Rows of thirty draws of twelve images, with replacement."""
    return torch.as_tensor(generator.integers(12, size=(30, 12)))


def _all_predicted(generator):
    truth = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])[generator.permutation(12)]
    predicted = truth.clone()
    rows = torch.as_tensor(generator.permutation(12)[:6])
    predicted[rows] = truth[rows.roll(1)]
    return predicted, truth, _drawn(generator)


def _one_never_predicted(generator):
    """The last class is a label, but no prediction."""
    return _macro_inputs(generator, [0.4, 0.2, 0.2, 0.2], [0.5, 0.3, 0.2, 0])


def _one_without_labels(generator):
    """The last class is predicted, but no label."""
    return _macro_inputs(generator, [0.5, 0.3, 0.2, 0], [0.3, 0.2, 0.2, 0.3])


def _counts(predicted, labels, c):
    positive, true = predicted == c, labels == c
    return int((positive & true).sum()), int(positive.sum()), int(true.sum())


def _of_labels(predicted, labels):
    return labels.unique()


def _f1(hits, positive, true):
    return 2 * hits / (positive + true) if positive + true else 0.0


def _by_precision(hits, positive, true):
    precision, recall = hits / positive, hits / true
    return 2 * precision * recall / (precision + recall)


def _nan_by_precision(hits, positive, true):
    """As above, but of tensors: 0 / 0 is nan, not an exception."""
    return float(_by_precision(*(torch.tensor(float(x)) for x in (hits, positive, true))))


def _plain_mean(scores, counts):
    return sum(scores) / len(scores)


def _by_images(scores, counts):
    return sum(x * n for x, n in zip(scores, counts, strict=True)) / sum(counts)


def _macro(predicted, labels, classes, score, mean):
    counted = [_counts(predicted, labels, c) for c in classes]
    return mean([score(*counts) for counts in counted], [counts[2] for counts in counted])


def _with_interval(
    predicted,
    labels,
    draws,
    classes=_of_labels,
    score=_f1,
    mean=_plain_mean,
    of_each_draw=True,
    ends=(0.025, 0.975),
    drawn=lambda predicted, labels, rows: (predicted[rows], labels[rows]),
    scale=1,
):
    everywhere = classes(predicted, labels)
    scores = []
    for rows in draws:
        p, y = drawn(predicted, labels, rows)
        scores.append(_macro(p, y, classes(p, y) if of_each_draw else everywhere, score, mean))
    low, high = np.quantile(scores, ends)
    value = _macro(predicted, labels, everywhere, score, mean)
    return scale * value, scale * float(low), scale * float(high)


def _accuracy_with_interval(predicted, labels, draws):
    right = (predicted == labels).double()
    low, high = np.quantile(right[draws].mean(1).numpy(), (0.025, 0.975))
    return float(right.mean()), float(low), float(high)


macro = Code(
    "18.2",
    _with_interval,
    [_all_predicted, _one_never_predicted, _one_without_labels],
    [
        (
            _accuracy_with_interval,
            "that is the accuracy: common classes weigh more. Take the F1 of each class, then the plain mean.",
        ),
        (
            partial(_with_interval, score=lambda hits, positive, true: hits / true),
            "that is the mean recall: false positives of a class must lower its score.",
        ),
        (
            partial(_with_interval, score=_nan_by_precision),
            "a class that is never predicted, or never rightly, has 0 / 0 on the way over precision, which is nan; "
            "2 hits / (predicted + true) is not.",
        ),
        (
            partial(
                _with_interval,
                classes=lambda predicted, labels: torch.cat([predicted, labels]).unique(),
            ),
            "a class that is no image's label has no F1 to average; predicting it lowers the recall of the others.",
        ),
        (
            partial(_with_interval, of_each_draw=False),
            "a rare class is missing in some draws. It does not count there: take the mean over the labels of each draw.",
        ),
        (
            partial(_with_interval, mean=_by_images),
            "you weigh each class by its number of images; macro-F1 is the plain mean.",
        ),
        (
            partial(_with_interval, ends=(0.05, 0.95)),
            "that is the interval of 90 %: of 95 %, 2.5 % lie below and 2.5 % above.",
        ),
        (
            partial(
                _with_interval, drawn=lambda predicted, labels, rows: (predicted[rows], labels)
            ),
            "you draw predictions and leave the labels where they are. An image is drawn with both.",
        ),
        (
            partial(_with_interval, scale=100),
            "those are percentages; return fractions.",
        ),
    ],
    library=[macro_f1, MacroF1.__call__],
    draws=4,
)


def _regional(generator, how_often):
    """Regions of unequal size, images without one, and orders of those that have one."""
    names = ["africa", "asia", "europe", "oceania"]
    sizes = generator.permutation([3, 5, 7, 9]).tolist()
    regions = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    orders = [generator.permutation(len(regions)).tolist() for _ in range(20)]
    regions = [*regions, None, None, None]
    regions = [regions[k] for k in generator.permutation(len(regions))]
    rates = dict(zip(names, generator.permutation(how_often).tolist(), strict=True))
    right = [bool(generator.random() < rates.get(region, 0.1)) for region in regions]
    return right, regions, orders


def _unequal(generator):
    return _regional(generator, [0.3, 0.6, 0.7, 0.9])


def _equal(generator):
    return _regional(generator, [0.6, 0.6, 0.6, 0.6])


def _accuracies(right, regions):
    by_region = {region: [] for region in regions}
    for good, region in zip(right, regions, strict=True):
        by_region[region].append(good)
    return {region: sum(goods) / len(goods) for region, goods in by_region.items()}


def _lowest(right, regions):
    return min(_accuracies(right, regions).values())


def _mean_of_regions(right, regions):
    found = _accuracies(right, regions)
    return sum(found.values()) / len(found)


def _smallest(right, regions):
    return _accuracies(right, regions)[min(sorted(set(regions)), key=regions.count)]


def _by_chance(
    right,
    regions,
    orders,
    lowest=_lowest,
    skip=lambda region: region is None,
    counts=lambda shuffled, observed: shuffled <= observed,
    scale=None,
    shuffle=lambda right, regions, order: ([right[k] for k in order], regions),
):
    kept = [k for k, region in enumerate(regions) if not skip(region)]
    right, regions = [right[k] for k in kept], [str(regions[k]) for k in kept]
    observed = lowest(right, regions)
    drawn = [counts(lowest(*shuffle(right, regions, order)), observed) for order in orders]
    return observed, sum(drawn) / (len(orders) if scale is None else scale)


def _with_other(right, regions, orders):
    """Images without a region are one more region, which is not shuffled."""
    other = [good for good, region in zip(right, regions, strict=True) if region is None]
    observed, chance = _by_chance(right, regions, orders)
    return min(observed, sum(other) / len(other)), chance


worst = Code(
    "18.3",
    _by_chance,
    [_unequal, _equal],
    [
        (
            _with_other,
            "an image without a region (None) does not count, as FMoW's region 'Other' does not.",
        ),
        (
            partial(_by_chance, lowest=_mean_of_regions),
            "that is the mean over the regions; the worst one alone is reported.",
        ),
        (
            partial(_by_chance, lowest=_smallest),
            "that is the region with the fewest images; the question asks for the one with the lowest accuracy.",
        ),
        (
            partial(
                _by_chance, lowest=lambda right, regions: max(_accuracies(right, regions).values())
            ),
            "that is the best region; the lowest accuracy is asked for.",
        ),
        (
            partial(_by_chance, counts=lambda shuffled, observed: shuffled < observed),
            "a shuffle that is exactly as bad counts too: chance was able to do it.",
        ),
        (
            partial(_by_chance, counts=lambda shuffled, observed: shuffled > observed),
            "you count the shuffles that are better; those that are as bad or worse are asked for.",
        ),
        (
            partial(_by_chance, scale=1),
            "that is the number of shuffles; return a fraction of them.",
        ),
        (
            partial(
                _by_chance,
                shuffle=lambda right, regions, order: (
                    [right[k] for k in order],
                    [regions[k] for k in order],
                ),
            ),
            "you shuffle answers and regions together, which changes nothing: leave the regions where they are.",
        ),
    ],
    library=[worst_group],
    draws=6,
)

oceania = Choice(
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


_NUMBERS = (-12, -9, -6, -4, -2, 1, 3, 5, 8, 11)


def _clips(generator):
    """Five clips in the layout of Vid-Robust: an anchor, frames near it, and the classes of each."""
    predicted, labels, sets = {}, {}, {}
    k = int(generator.choice([2, 4, 5, 8]))
    for clip, own in enumerate(generator.permutation(20)[:5].tolist()):
        start = int(generator.integers(100, 900))
        offsets = generator.permutation(_NUMBERS)[: int(generator.integers(1, 5))].tolist()
        paths = [f"val/{clip:04d}/{start + offset:06d}.JPEG" for offset in (0, *offsets)]
        sets[paths[0]] = paths[1:]
        for place, path in enumerate(paths):
            shown = [[own], [own, own + 20], [own + 20]][int(generator.integers(3)) if place else 0]
            labels[path] = [int(c) for c in generator.permutation(shown)]
            wrong = generator.random() < (0.25 if place else 0.2)
            predicted[path] = 50 if wrong else int(generator.choice(shown))
    return predicted, labels, sets, k


def _at_its_reach(generator):
    """Clips with one wrong frame, exactly k away or one further, before or after the anchor."""
    predicted, labels, sets, k = _clips(generator)
    for clip, offset in enumerate((k, k + 1, -k - 1)):
        anchor, other = (f"val/{9000 + clip}/{n:06d}.JPEG" for n in (1000, 1000 + offset))
        sets[anchor] = [other]
        labels[anchor] = labels[other] = [3, 7]
        predicted[anchor], predicted[other] = 7, 4
    return predicted, labels, sets, k


def _without_neighbours(generator):
    """Some anchors have no frame that reviewers found similar."""
    predicted, labels, sets, k = _clips(generator)
    alone = list(sets)[:2]
    sets = {anchor: [] if anchor in alone else others for anchor, others in sets.items()}
    predicted[alone[0]] = 50
    return predicted, labels, sets, k


def _offset(path, anchor):
    return int(Path(path).stem) - int(Path(anchor).stem)


def _pm(
    predicted,
    labels,
    sets,
    k,
    frames=lambda anchor, others: [anchor, *others],
    right=lambda guess, path, anchor, labels: guess in labels[path],
    reached=lambda offset, k: abs(offset) <= k,
    survives=all,
    scale=1,
):
    alive = 0
    for anchor, others in sets.items():
        alive += survives(
            right(predicted[path], path, anchor, labels)
            for path in frames(anchor, others)
            if reached(_offset(path, anchor), k)
        )
    return scale * alive / len(sets)


def _frames(predicted, labels, sets, k):
    good = [
        predicted[path] in labels[path]
        for anchor, others in sets.items()
        for path in (anchor, *others)
        if abs(_offset(path, anchor)) <= k
    ]
    return sum(good) / len(good)


pm = Code(
    "18.6",
    _pm,
    [_clips, _at_its_reach, _without_neighbours],
    [
        (
            _frames,
            "that is a fraction of frames; a clip counts once, however many frames it has.",
        ),
        (
            partial(_pm, survives=any),
            "one right frame does not save a clip: the adversary picks the worst frame within reach.",
        ),
        (
            partial(_pm, frames=lambda anchor, others: others),
            "the anchor itself is a frame too; the lists hold only the others.",
        ),
        (
            partial(_pm, reached=lambda offset, k: True),
            "a frame further than k from its anchor must not count.",
        ),
        (
            partial(_pm, reached=lambda offset, k: 0 <= offset <= k),
            "frames before the anchor have negative offsets and count too; look at |offset|.",
        ),
        (
            partial(_pm, reached=lambda offset, k: offset <= k),
            "a negative offset is smaller than any k, so you judge all frames before the anchor; look at |offset|.",
        ),
        (
            partial(_pm, reached=lambda offset, k: offset == 0 or abs(offset) < k),
            "a frame that is exactly k away counts too.",
        ),
        (
            partial(_pm, right=lambda guess, path, anchor, labels: guess in labels[anchor]),
            "each frame has classes of its own: judge it by those of that frame, not by the anchor's.",
        ),
        (
            partial(_pm, right=lambda guess, path, anchor, labels: guess == labels[path][0]),
            "a frame may show two things, and either answer is right.",
        ),
        (
            partial(_pm, scale=100),
            "that is in percent; return a fraction.",
        ),
    ],
    library=[pm_k],
    draws=8,
)

ALL = [always_empty, macro, worst, oceania, by_hand, pm]
