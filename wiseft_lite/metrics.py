"""Measures of a classifier's predictions. They know nothing of models or data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence, Sized
from dataclasses import dataclass

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class Estimate:
    """An accuracy with its 95 % interval, all as fractions in 0..1, over ``n`` images."""

    accuracy: float
    n: int
    low: float
    high: float


def clopper_pearson(correct: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact binomial interval for ``correct`` successes in ``n`` trials.

    Raises:
        UserError: ``n`` is not positive or ``correct`` does not lie in 0..n.

    Source: Clopper and Pearson 1934; used for the error bars of the WiSE-FT paper, appendix D.

    Example:
        >>> [round(x, 3) for x in clopper_pearson(8, 10)]
        [0.444, 0.975]
    """
    from scipy.special import betaincinv

    if n <= 0 or not 0 <= correct <= n:
        raise UserError(f"{correct} correct of {n} images is impossible; the split may be empty")
    tail = (1 - level) / 2  # each end is a quantile of a beta distribution
    low = betaincinv(correct, n - correct + 1, tail) if correct else 0.0
    high = betaincinv(correct + 1, n - correct, 1 - tail) if correct < n else 1.0
    return float(low), float(high)


def predictions(logits: Tensor, classes: Sequence[int] | None = None) -> Tensor:
    """Return the predicted class ``[n]`` of logits ``[n, C]``, among ``classes`` if given.

    A data set that defines a subset of the classes restricts predictions to it, as ImageNet-R does.
    To restrict them to the classes that happen to be present would tell the classifier something
    about the labels.

    Example:
        >>> predictions(torch.tensor([[3.0, 2.0, 1.0]]), classes=(1, 2))
        tensor([1])
    """
    if classes is None:
        return logits.argmax(-1)
    index = torch.as_tensor(classes, device=logits.device)
    return index[logits[:, index].argmax(-1)]


def accuracy(logits: Tensor, labels: Tensor, classes: Sequence[int] | None = None) -> Estimate:
    """Return top-1 accuracy with its 95 % Clopper-Pearson interval.

    Args:
        logits: ``[n, C]``.
        labels: ``[n]``, indices of classes.
        classes: the classes that count; all if not given.

    Raises:
        UserError: no images, or unequal numbers of logits and labels.

    Example:
        >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])).accuracy
        0.75
    """
    _same_length(logits=logits, labels=labels)
    return proportion(
        int((predictions(logits, classes) == labels.to(logits.device)).sum()), len(labels)
    )


def proportion(correct: int, n: int) -> Estimate:
    """Return ``correct`` of ``n`` as an accuracy with its interval; see ``clopper_pearson``."""
    low, high = clopper_pearson(correct, n)
    return Estimate(correct / n, n, low, high)


def _names(groups: Sequence[Hashable]) -> list[Hashable]:
    return groups.tolist() if isinstance(groups, Tensor) else list(groups)


def _same_length(**columns: Sized) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        counted = ", ".join(f"{n} {name}" for name, n in lengths.items())
        raise UserError(f"{counted}; give one of each for every image, and at least one image")


def macro_f1(predicted: Tensor, labels: Tensor) -> float:
    """Return the plain mean over classes of ``F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)``, a
    fraction in 0..1.

    The mean runs over the classes among ``labels``, a rare one weighing as much as a common one. A
    class that is only ever predicted counts through the images that it takes from others.

    Args:
        predicted: ``[n]``, the predicted classes; see ``predictions``.
        labels: ``[n]``, the true ones.

    Raises:
        UserError: no images, or unequal numbers.

    Source: iWildCam in the WiSE-FT paper, table 6; WILDS (Koh et al. 2021), appendix on iWildCam.

    Example:
        >>> round(macro_f1(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])), 3)
        0.429
    """
    _same_length(predicted=predicted, labels=labels)
    pairs = [(predicted == c, labels == c) for c in labels.unique()]
    return float(
        torch.stack(
            [2 * (guess & true).sum() / (guess.sum() + true.sum()) for guess, true in pairs]
        ).mean()
    )


def worst_group(
    predicted: Tensor, labels: Tensor, groups: Sequence[Hashable]
) -> tuple[Hashable, Estimate]:
    """Return the group with the lowest accuracy, and that accuracy with its interval.

    The interval is the group's own; it does not know that the worst of several was picked. Leave
    out images of a group that must not count, as FMoW does with its region "Other".

    Args:
        predicted: ``[n]``, the predicted classes.
        labels: ``[n]``, the true ones.
        groups: ``n`` names or numbers, such as the region of each image.

    Raises:
        UserError: no images, or unequal numbers.

    Source: FMoW's worst region in the WiSE-FT paper, table 6; WILDS (Koh et al. 2021).

    Example:
        >>> name, worst = worst_group(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), ["asia", "asia", "africa"])
        >>> name, worst.accuracy, worst.n
        ('africa', 0.0, 1)
    """
    groups = _names(groups)
    _same_length(predicted=predicted, labels=labels, groups=groups)
    right: dict[Hashable, list[bool]] = {}
    for group, good in zip(groups, (predicted == labels).tolist(), strict=True):
        right.setdefault(group, []).append(good)
    name = min(right, key=lambda group: sum(right[group]) / len(right[group]))
    return name, proportion(sum(right[name]), len(right[name]))


def pm_k(right: Tensor, groups: Sequence[Hashable], offsets: Tensor, k: int) -> Estimate:
    """Return pm-k, the accuracy on groups of video frames when an adversary may pick the frame.

    ``pm_k = 1/G sum_g min over frames |offset| <= k of right``: a group counts only if its anchor
    and all its frames at most ``k`` before or after are right. pm-0 is the plain accuracy of the
    anchors; ``n`` is ``G``.

    Args:
        right: bool ``[n]``, whether each frame's prediction is one of the labels of *that frame*.
        groups: ``n`` names or numbers, the group of each frame.
        offsets: int ``[n]``, frames after the group's anchor, negative before it; 0 is the anchor.
            Frames that look different from the anchor are left out of their group, as in both data
            sets.
        k: how far the adversary reaches; 10 in both data sets.

    Raises:
        UserError: no frames, unequal numbers, a negative ``k``, or a group without exactly one
            anchor.

    Source: Shankar et al. 2021, "Do image classifiers generalize across time?", for
        ImageNet-Vid-Robust and YTBB-Robust; the WiSE-FT paper, table 6, reports pm-0 and its code
        pm-10 beside it.

    Example:
        >>> right = torch.tensor([True, False, True, True])
        >>> clips, offsets = ["a", "a", "b", "b"], torch.tensor([0, 4, 0, -1])
        >>> pm_k(right, clips, offsets, 0).accuracy, pm_k(right, clips, offsets, 10).accuracy
        (1.0, 0.5)
    """
    groups = _names(groups)
    _same_length(right=right, groups=groups, offsets=offsets)
    if k < 0:
        raise UserError(f"pm-{k} does not exist; k is a number of frames and cannot be negative")
    anchors = Counter(
        group for group, offset in zip(groups, offsets.tolist(), strict=True) if offset == 0
    )
    for group in dict.fromkeys(groups):
        if anchors[group] != 1:
            raise UserError(
                f"group {group!r} has {anchors[group]} anchors; give exactly one frame offset 0"
            )
    survives = dict.fromkeys(groups, True)
    for group, offset, good in zip(groups, offsets.tolist(), right.tolist(), strict=True):
        survives[group] &= bool(good) or abs(offset) > k
    return proportion(sum(survives.values()), len(survives))


def calibration_error(
    logits: Tensor, labels: Tensor, classes: Sequence[int] | None = None, bins: int = 15
) -> float:
    """Return the expected calibration error, the gap between confidence and accuracy, in 0..1.

    ``ECE = sum_b n_b / n |accuracy_b - confidence_b|`` over bins of equal width; an image falls
    into a bin by its confidence, the largest softmax probability. Bin ``b`` holds ``(b / bins, (b +
    1) / bins]``.

    Args:
        logits: ``[n, C]``.
        labels: ``[n]``.
        classes: the classes that count; all if not given. The softmax runs over these alone.
        bins: how many.

    Raises:
        UserError: no images, unequal numbers, or no bins.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]])  # confidence 1/2, accuracy 1/2
        >>> calibration_error(logits, torch.tensor([0, 1]))
        0.0
    """
    _same_length(logits=logits, labels=labels)
    if bins < 1:
        raise UserError(f"{bins} bins is too few; give at least 1")
    own = logits if classes is None else logits[:, list(classes)]
    confidence = own.double().softmax(-1).amax(-1)
    gap = (predictions(logits, classes) == labels.to(logits.device)).double() - confidence
    edges = torch.arange(1, bins).to(gap) / bins
    sums = gap.new_zeros(bins).index_add_(0, torch.bucketize(confidence, edges), gap)
    return float(sums.abs().sum() / len(labels))
