"""Random subsets of a split, class by class: few-shot images and a held-out fraction."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def few_shot_rows(labels: Tensor, k: int, seed: int = 0) -> list[int]:
    """Return the indices of ``k`` random images per class; of a smaller class, of all its images.

    With the same seed, a larger ``k`` adds images and drops none.

    Args:
        labels: int64 ``[n]``.
        k: images per class.
        seed: of the random generator.

    Raises:
        UserError: ``k`` is not positive.

    Example:
        >>> sorted(few_shot_rows(torch.tensor([0, 1, 1]), k=2))
        [0, 1, 2]
    """
    if k < 1:
        raise UserError(f"k = {k} images per class is too few; give at least 1")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    taken: Counter[int] = Counter()
    rows = []
    for row, label in zip(order.tolist(), labels[order].tolist(), strict=True):
        if taken[label] < k:
            taken[label] += 1
            rows.append(row)
    return rows


def sample_rows(n: int, limit: int, seed: int = 0) -> list[int]:
    """Return the indices of ``limit`` random images of ``n``, ascending; of fewer, of all.

    Raises:
        UserError: ``limit`` is not positive.

    Example:
        >>> len(sample_rows(100, 8)), sample_rows(3, 8)
        (8, [0, 1, 2])
    """
    if limit < 1:
        raise UserError(f"{limit} images are too few; give at least 1")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return sorted(order[:limit].tolist())


def hold_out(labels: Tensor, fraction: float = 0.1, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split indices class by class into those to train on and those held out, both ascending.

    From every class with two or more images, at least one is held out and at least one stays.

    Args:
        labels: int64 ``[n]``.
        fraction: of each class to hold out, between 0 and 1.
        seed: of the random generator.

    Raises:
        UserError: ``fraction`` is not between 0 and 1, or every class has a single image.

    Example:
        >>> rest, held = hold_out(torch.tensor([0] * 10 + [1] * 10), fraction=0.2)
        >>> len(rest), len(held)
        (16, 4)
    """
    if not 0 < fraction < 1:
        raise UserError(f"fraction {fraction} cannot be held out; give a number between 0 and 1")
    sizes = labels.bincount().tolist()
    keep = [max(min(round(fraction * n), n - 1), 1) if n > 1 else 0 for n in sizes]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    rest: list[int] = []
    held: list[int] = []
    for row, label in zip(order.tolist(), labels[order].tolist(), strict=True):
        (held if keep[label] > 0 else rest).append(row)
        keep[label] -= 1
    if not held:
        raise UserError(
            "no class has two training images, so none can be held out; add images or a val split"
        )
    return sorted(rest), sorted(held)
