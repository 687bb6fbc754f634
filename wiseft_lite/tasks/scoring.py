"""How a split is scored when plain accuracy is not what its data set reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wiseft_lite.metrics import Estimate, macro_f1, pm_k, proportion, worst_group


class Score(Protocol):
    """Turns predicted and true classes ``[n]`` into one number with its interval."""

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate: ...

    def select(self, rows: Sequence[int]) -> Score:
        """The score of these images alone."""
        ...


@dataclass(frozen=True)
class Share:
    """Top-1 accuracy."""

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        return proportion(int((predicted == labels).sum()), len(labels))

    def select(self, rows: Sequence[int]) -> Share:
        return self


@dataclass(frozen=True)
class MacroF1:
    """Macro-F1, as iWildCam reports it, with a 95 % bootstrap interval over images.

    No exact interval is known. This one takes images as independent; frames of one visit to a
    camera are not, so it is too narrow rather than too wide.

    Args:
        draws: resamplings, always the same ones.
    """

    draws: int = 400

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        value, n = macro_f1(predicted, labels), len(labels)
        size = int(max(predicted.max(), labels.max())) + 1
        cells, counts = torch.unique(
            labels * size + predicted, return_counts=True
        )  # cells of the confusion matrix
        drawn = np.random.default_rng(0).multinomial(n, counts.numpy() / n, size=self.draws)
        true, said = np.eye(size)[cells.numpy() // size], np.eye(size)[cells.numpy() % size]
        images, both, hits = drawn @ true, drawn @ (true + said), drawn @ (true * said)
        scores = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        low, high = np.quantile(scores.sum(1) / (images > 0).sum(1), (0.025, 0.975))
        return Estimate(value, n, min(float(low), value), max(float(high), value))

    def select(self, rows: Sequence[int]) -> MacroF1:
        return self


@dataclass(frozen=True)
class WorstGroup:
    """The lowest accuracy of a group, as FMoW reports it over regions.

    Args:
        groups: one name for each image; ``None`` for an image whose group does not count.
    """

    groups: tuple[str | None, ...]

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        rows = [i for i, group in enumerate(self.groups) if group is not None]
        return worst_group(predicted[rows], labels[rows], [self.groups[i] for i in rows])[1]

    def select(self, rows: Sequence[int]) -> WorstGroup:
        return WorstGroup(tuple(self.groups[i] for i in rows))


@dataclass(frozen=True)
class Frames:
    """pm-k over video frames, each of which may show several right classes.

    Args:
        groups: the anchor that each frame belongs to.
        offsets: frames after the anchor; 0 is the anchor.
        right: the classes that count as right for each frame.
        k: how far the adversary reaches.
    """

    groups: tuple[str, ...]
    offsets: tuple[int, ...]
    right: tuple[frozenset[int], ...]
    k: int

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        good = torch.tensor(
            [said in right for said, right in zip(predicted.tolist(), self.right, strict=True)]
        )
        return pm_k(good, self.groups, torch.tensor(self.offsets), self.k)

    def select(self, rows: Sequence[int]) -> Frames:
        return replace(
            self,
            **{
                name: tuple(getattr(self, name)[i] for i in rows)
                for name in ("groups", "offsets", "right")
            },
        )
