"""Which images of a split are drawn: some of each class, by a seed."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def few_shot_rows(labels: Tensor, k: int, seed: int = 0) -> list[int]:
    """The places of ``k`` random images of each class; a smaller class gives all it has.

    A larger ``k`` with the same seed adds images and takes none away.

    Args:
        labels: int64 ``[n]``.
        k: images a class.
        seed: of the draw.

    Raises:
        UserError: ``k`` is not positive.

    Example:
        >>> sorted(few_shot_rows(torch.tensor([0, 1, 1]), k=2))
        [0, 1, 2]
    """
    if k < 1:
        raise UserError(f"{k} images a class is too few; give at least 1")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    taken: Counter[int] = Counter()
    rows = []
    for row, label in zip(order.tolist(), labels[order].tolist(), strict=True):
        if taken[label] < k:
            taken[label] += 1
            rows.append(row)
    return rows


def hold_out(labels: Tensor, share: float = 0.1, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split places into those to train on and those held out, class by class, both in ascending
    order.

    Of every class with at least two images at least one is held out and at least one stays.

    Args:
        labels: int64 ``[n]``.
        share: held out of each class, in 0..1.
        seed: of the draw.

    Raises:
        UserError: a share that is not between 0 and 1, or nothing can be held out.

    Example:
        >>> rest, held = hold_out(torch.tensor([0] * 10 + [1] * 10), share=0.2)
        >>> len(rest), len(held)
        (16, 4)
    """
    if not 0 < share < 1:
        raise UserError(f"a share of {share} cannot be held out; give a number between 0 and 1")
    sizes = labels.bincount().tolist()
    keep = [max(min(round(share * n), n - 1), 1) if n > 1 else 0 for n in sizes]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    rest, held = [], []
    for row, label in zip(order.tolist(), labels[order].tolist(), strict=True):
        (held if keep[label] > 0 else rest).append(row)
        keep[label] -= 1
    if not held:
        raise UserError(
            "no class has two training images, so none can be held out; add images or a val split"
        )
    return sorted(rest), sorted(held)
