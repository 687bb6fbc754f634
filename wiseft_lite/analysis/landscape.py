"""Accuracy on the plane through three models, and other weights that compute the same function."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from wiseft_lite.errors import UserError
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.weights import Weights, average, distance

Point = tuple[float, float]


def corners(thetas: Sequence[Weights]) -> tuple[Point, Point, Point]:
    """Return three models' coordinates in their plane, at the distances that their weights have.

    The first lies at (0, 0), the second to its right, the third above that line.

    Raises:
        UserError: not three, they do not fit together, or all lie on one line.

    Example:
        >>> points = [torch.tensor([0.0, 0.0]), torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])]
        >>> corners([{"w": point} for point in points])
        ((0.0, 0.0), (3.0, 0.0), (1.0, 2.0))
    """
    if len(thetas) != 3:
        raise UserError(f"{len(thetas)} models do not make a triangle; give three")
    first, second, third = thetas
    base, side, across = distance(first, second), distance(first, third), distance(second, third)
    if 2 * max(base, side, across) >= (1 - 1e-6) * (base + side + across):
        raise UserError(
            "the three models lie on one line; give one that was trained with another seed"
        )
    x = (base**2 + side**2 - across**2) / (2 * base)
    return (0.0, 0.0), (base, 0.0), (round(x, 6), round(math.sqrt(side**2 - x**2), 6))


def barycentric(x: float, y: float, triangle: Sequence[Point]) -> tuple[float, float, float]:
    """Return the barycentric coordinates of a point: ``point = sum_i a_i corner_i``, ``sum_i a_i = 1``.

    Inside the triangle all three are positive; outside at least one is negative.

    Args:
        x: coordinate along the first side.
        y: coordinate across it.
        triangle: what ``corners`` returns.

    Example:
        >>> barycentric(1.0, 1.0, ((0.0, 0.0), (4.0, 0.0), (0.0, 2.0)))
        (0.25, 0.25, 0.5)
    """
    _, (base, _), (x_3, y_3) = triangle
    third = y / y_3
    second = (x - third * x_3) / base
    return 1 - second - third, second, third


def plane(
    classifier: ImageClassifier,
    thetas: Sequence[Weights],
    splits: Mapping[str, Split],
    xs: Sequence[float],
    ys: Sequence[float],
    batch_size: int = 256,
) -> pd.DataFrame:
    """Return what each split reports, as a rule accuracy, for models on a grid of the plane through
    three models.

    ``theta(x, y) = sum_i a_i(x, y) theta_i``, with the coordinates ``a`` of ``barycentric``.

    Args:
        classifier: any of the three; its weights are not used.
        thetas: three state dicts, as a rule zero-shot, fine-tuned and fine-tuned with another seed.
        splits: what to measure, by name.
        xs: coordinates along the side from the first to the second, in distances of weights; see
            ``corners``.
        ys: coordinates across that side.
        batch_size: images per forward pass.

    Returns:
        One row for each point and split: ``x, y, split, accuracy, n, low, high``, as in a sweep:
        accuracy, or whatever else the split's measure is, on the classes that it is scored on.

    Raises:
        UserError: as ``corners``.

    Source: Garipov et al. 2018, section 3, draw such planes of the loss.
    """
    triangle = corners(thetas)
    images = {name: pixels(classifier, split) for name, split in splits.items()}
    rows = []
    for x in xs:
        for y in ys:
            model = classifier.with_weights(average(thetas, barycentric(x, y, triangle))).eval()
            for name, split in splits.items():
                predicted = split.predicted(run_in_batches(model, images[name], batch_size))
                rows.append(
                    {"x": x, "y": y, "split": name, **dataclasses.asdict(split.score(predicted))}
                )
    return pd.DataFrame(rows)


def shuffle_units(classifier: ImageClassifier, seed: int) -> ImageClassifier:
    """Return the same function with other weights: each block's MLP has its hidden units permuted.

    Rows of the first matrix and columns of the second are permuted alike, so outputs stay the same.

    Args:
        classifier: its encoder is one of open_clip's vision transformers; it is left alone.
        seed: of the permutations.

    Raises:
        UserError: the encoder has no such blocks.

    Source: Entezari et al. 2022, section 2, on permutations of hidden units.
    """
    theta, generator = dict(classifier.state_dict()), torch.Generator().manual_seed(seed)
    names = [name for name in theta if name.endswith("mlp.c_fc.weight")]
    if not names:
        raise UserError(
            "the encoder has no MLP blocks to shuffle; use a vision transformer of open_clip"
        )
    for name in names:
        order = torch.randperm(len(theta[name]), generator=generator).to(theta[name].device)
        bias, out = name.replace("weight", "bias"), name.replace("c_fc", "c_proj")
        theta[name], theta[bias], theta[out] = (
            theta[name][order],
            theta[bias][order],
            theta[out][:, order],
        )
    return classifier.with_weights(theta).eval()
