"""The measures that data sets report: top-1 accuracy, macro-F1, worst group, and pm-k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wiseft_lite.metrics import Estimate, macro_f1, pm_k, proportion, worst_group


class Score(Protocol):
    """A measure: predicted and true classes ``[n]`` to one number with its interval."""

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate: ...

    def select(self, rows: Sequence[int]) -> Score:
        """Return the same measure for the images at these indices only."""
        ...


@dataclass(frozen=True)
class Top1:
    """Top-1 accuracy."""

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        return proportion(int((predicted == labels).sum()), len(labels))

    def select(self, rows: Sequence[int]) -> Top1:
        return self


@dataclass(frozen=True)
class MacroF1:
    """Macro-F1, as iWildCam reports it, with a 95 % bootstrap interval over images.

    No exact interval is known. The bootstrap treats images as independent; frames of one sequence
    of a camera trap are not, so the interval is rather too narrow.

    Args:
        draws: number of bootstrap samples, from a fixed seed.
    """

    draws: int = 400

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        value, n = macro_f1(predicted, labels), len(labels)
        size = int(max(predicted.max(), labels.max())) + 1
        cells, counts = torch.unique(
            labels * size + predicted, return_counts=True
        )  # cells of the confusion matrix
        drawn = np.random.default_rng(0).multinomial(n, counts.numpy() / n, size=self.draws)
        true, guess = np.eye(size)[cells.numpy() // size], np.eye(size)[cells.numpy() % size]
        images, both, hits = drawn @ true, drawn @ (true + guess), drawn @ (true * guess)
        scores = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        low, high = np.quantile(scores.sum(1) / (images > 0).sum(1), (0.025, 0.975))
        return Estimate(value, n, min(float(low), value), max(float(high), value))

    def select(self, rows: Sequence[int]) -> MacroF1:
        return self


@dataclass(frozen=True)
class WorstGroup:
    """The lowest accuracy over groups, as FMoW reports it over regions.

    Args:
        groups: one name per image; ``None`` leaves an image out.
    """

    groups: tuple[str | None, ...]

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        rows = [i for i, group in enumerate(self.groups) if group is not None]
        return worst_group(predicted[rows], labels[rows], [self.groups[i] for i in rows])[1]

    def select(self, rows: Sequence[int]) -> WorstGroup:
        return WorstGroup(tuple(self.groups[i] for i in rows))


@dataclass(frozen=True)
class Frames:
    """pm-k accuracy over video frames, each of which may have several right classes.

    Args:
        groups: the anchor of each frame.
        offsets: of each frame from its anchor, in frames; 0 is the anchor.
        right: the right classes of each frame.
        k: largest offset that counts.
    """

    groups: tuple[str, ...]
    offsets: tuple[int, ...]
    right: tuple[frozenset[int], ...]
    k: int

    def __call__(self, predicted: Tensor, labels: Tensor) -> Estimate:
        good = torch.tensor(
            [guess in right for guess, right in zip(predicted.tolist(), self.right, strict=True)]
        )
        return pm_k(good, self.groups, torch.tensor(self.offsets), self.k)

    def select(self, rows: Sequence[int]) -> Frames:
        return replace(
            self,
            **{  # type: ignore[arg-type]
                name: tuple(getattr(self, name)[i] for i in rows)
                for name in ("groups", "offsets", "right")
            },
        )
