"""Linear mode connectivity: does accuracy hold along the line between two models, or is there a barrier?

Most functions take the table of a sweep, with the columns ``alpha, split, accuracy``; accuracies
are fractions in 0..1.
"""

from __future__ import annotations

import warnings

import pandas as pd
import torch

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.sweeps import sweep
from wiseft_lite.tasks import Split
from wiseft_lite.weights import relative_distance

MIDPOINT = (0.0, 0.5, 1.0)  # the alphas that ``midpoint_barrier`` needs
_TOLERANCE = 1e-9  # accuracies that differ by rounding alone count as equal


def chord(table: pd.DataFrame) -> pd.DataFrame:
    """Return the straight line between the accuracies of the end points, at the sweep's alphas.

    ``(1 - alpha) Acc(theta_0) + alpha Acc(theta_1)``

    Args:
        table: a sweep of one pair of models; alphas outside 0..1 are left out.

    Returns:
        A row for each alpha, a column for each split; fractions.

    Raises:
        UserError: a split lacks an end point, or has no alpha in between.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.8), (1.0, "test", 0.7)]
        >>> chord(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"]))["test"].tolist()
        [0.5, 0.6, 0.7]
    """
    wide = _wide(table)
    alpha = pd.Series(wide.index, wide.index)
    return pd.DataFrame(
        {split: (1 - alpha) * curve[0.0] + alpha * curve[1.0] for split, curve in wide.items()}
    )


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """The accuracies from alpha 0 to 1: a row for each alpha, a column for each split."""
    wide = table.pivot(index="alpha", columns="split", values="accuracy")[
        list(dict.fromkeys(table["split"]))
    ]
    wide = wide[(wide.index >= 0) & (wide.index <= 1)]
    if len(wide) < 3 or not {0.0, 1.0} <= set(wide.index) or wide.isna().any(axis=None):
        raise UserError(
            "the sweep must have every split at alpha 0, at alpha 1 and at the same alphas in between; "
            "measure the missing ones"
        )
    return wide


def observation_1(table: pd.DataFrame) -> pd.DataFrame:
    """Check that accuracy is nowhere below the straight line between the end points.

    ``Acc((1 - alpha) theta_0 + alpha theta_1) >= (1 - alpha) Acc(theta_0) + alpha Acc(theta_1)``

    Args:
        table: a sweep of one pair of models.

    Returns:
        One row for each split: ``holds``; ``slack``, the smallest height above the line over the
        alphas strictly between 0 and 1, a fraction; and ``alpha``, where that is.

    Raises:
        UserError: as ``chord``.

    Source: the paper, observation 1 and figure 6.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.8), (1.0, "test", 0.7)]
        >>> result = observation_1(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"]))
        >>> bool(result.holds["test"]), float(result.slack["test"].round(3))
        (True, 0.2)
    """
    above = (_wide(table) - chord(table)).drop([0.0, 1.0])
    return pd.DataFrame(
        {"holds": above.min() >= -_TOLERANCE, "slack": above.min(), "alpha": above.idxmin()}
    )


def observation_2(table: pd.DataFrame) -> pd.DataFrame:
    """Check that some interpolated model is at least as accurate as the better end point.

    ``max_alpha Acc((1 - alpha) theta_0 + alpha theta_1) >= max(Acc(theta_0), Acc(theta_1))``

    Args:
        table: a sweep of one pair of models.

    Returns:
        One row for each split: ``holds``; ``margin``, by how much the best interpolated model is
        more accurate than the better end point, a fraction; and ``alpha`` of that model, selected
        on the same images.

    Raises:
        UserError: as ``chord``.

    Source: the paper, observation 2 and figure 6.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.8), (1.0, "test", 0.7)]
        >>> result = observation_2(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"]))
        >>> bool(result.holds["test"]), float(result.margin["test"].round(3))
        (True, 0.1)
    """
    wide = _wide(table)
    over = wide.drop([0.0, 1.0]) - wide.loc[[0.0, 1.0]].max()
    return pd.DataFrame(
        {"holds": over.max() >= -_TOLERANCE, "margin": over.max(), "alpha": over.idxmax()}
    )


def barrier(table: pd.DataFrame) -> pd.Series:
    """Return the error barrier on each split: how far accuracy falls below the straight line.

    ``max_alpha [(1 - alpha) Acc(theta_0) + alpha Acc(theta_1) - Acc((1 - alpha) theta_0 + alpha
    theta_1)]``

    Args:
        table: a sweep of one pair of models.

    Returns:
        For each split a fraction in 0..1; 0 means that observation 1 holds.

    Raises:
        UserError: as ``chord``.

    Source: Frankle et al. 2020, section 2, with the mean of both end points in place of the line;
    Entezari et al. 2022, definition 2.1, with the line.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.1), (1.0, "test", 0.7)]
        >>> barrier(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"])).tolist()
        [0.5]
    """
    return (-observation_1(table)["slack"]).clip(lower=0).rename("barrier")


def midpoint_barrier(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    split: Split,
    max_images: int = 200,
    names: str = "the two models",
) -> float:
    """Return the barrier at alpha 0.5 on a few images, and warn if the models are not connected.

    The usual reasons are a head that started at random, another pre-training, or a learning rate
    that was too high. It warns if the barrier is above 5 points and, where there are few images,
    above two standard errors. It takes three forward passes; ``midpoint_barrier_of_sweep`` takes
    none.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture.
        split: labelled images; ``task.val`` leaves the test splits alone.
        max_images: how many of them to use at most, drawn with a fixed seed.
        names: of the two models, for the warning.

    Returns:
        The barrier, a fraction in 0..1.

    Raises:
        UserError: the keys or shapes of the two differ, or a weight is not finite.

    Source: as ``barrier``.

    Example:
        >>> from wiseft_lite import load_clip, load_task, zero_shot_classifier
        >>> task = load_task("iconshift")
        >>> theta_0 = zero_shot_classifier(load_clip("iconclip"), task)
        >>> midpoint_barrier(theta_0, theta_0, task.val, max_images=10) < 1e-9
        True
    """
    distance = relative_distance(zero_shot.state_dict(), fine_tuned.state_dict())
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    images = split.select(order[:max_images].tolist())
    table = sweep(zero_shot, fine_tuned, {split.name: images}, MIDPOINT)
    return midpoint_barrier_of_sweep(table, distance, names)


def midpoint_barrier_of_sweep(
    table: pd.DataFrame, distance: float, names: str = "the two models"
) -> float:
    """Return the barrier at alpha 0.5 from an existing sweep; warn as ``midpoint_barrier`` does.

    The split is ``val``, or the first of the sweep if there is no ``val``.

    Args:
        table: a sweep of one pair of models, with alphas 0, 0.5 and 1 among its alphas.
        distance: between the weights of the two, from ``weights.relative_distance``.
        names: of the two models, for the warning.

    Returns:
        The barrier, a fraction in 0..1.

    Raises:
        UserError: as ``chord``.

    Example:
        >>> rows = [(0.0, "val", 0.5, 400), (0.5, "val", 0.4, 400), (1.0, "val", 0.5, 400)]
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     height = midpoint_barrier_of_sweep(pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n"]), 0.2)
        >>> round(height, 3), len(caught)
        (0.1, 1)
    """
    name = "val" if "val" in set(table["split"]) else table["split"].iloc[0]
    table = table[(table["split"] == name) & table["alpha"].isin(MIDPOINT)].sort_values("alpha")
    height, n = barrier(table).item(), int(table["n"].iloc[0])
    if height > max(0.05, n**-0.5):
        first, middle, last = 100 * table["accuracy"]
        warnings.warn(
            f"{names} are not connected: on {n} images of {name!r} their accuracies are {first:.0f} % and "
            f"{last:.0f} %, but {middle:.0f} % at alpha 0.5, {100 * height:.0f} points below the line between "
            f"them, and their weights differ by {100 * distance:.0f} %; fine-tune from the zero-shot model "
            "and its own head, at a lower learning rate",
            stacklevel=2,
        )
    return height
