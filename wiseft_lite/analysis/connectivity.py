"""What a path between two models says: does averaging hold up, or is there a wall on the way?

Most functions read a sweep: a table with the columns ``alpha, split, accuracy``, accuracies as
shares in 0..1.
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
_EXACT = 1e-9  # shares that differ by rounding alone count as equal


def chord(table: pd.DataFrame) -> pd.DataFrame:
    """Return the straight line between the accuracies of the two ends, at the alphas of the sweep.

    ``(1 - alpha) Acc(theta_0) + alpha Acc(theta_1)``

    Args:
        table: a sweep of one pair of models; alphas outside 0..1 are left out.

    Returns:
        A row for each alpha, a column for each split, as shares.

    Raises:
        UserError: a split lacks an end, or has nothing between.

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
    """Accuracy on the path, both ends included: a row for each alpha, a column for each split."""
    wide = table.pivot(index="alpha", columns="split", values="accuracy")[
        list(dict.fromkeys(table["split"]))
    ]
    wide = wide[(wide.index >= 0) & (wide.index <= 1)]
    if len(wide) < 3 or not {0.0, 1.0} <= set(wide.index) or wide.isna().any(axis=None):
        raise UserError(
            "every split of a path needs its accuracy at alpha 0, at alpha 1 and at the same alphas "
            "between; measure these too"
        )
    return wide


def observation_1(table: pd.DataFrame) -> pd.DataFrame:
    """Check that no mixture falls below the straight line between the accuracies of the two ends.

    ``Acc((1 - alpha) theta_0 + alpha theta_1) >= (1 - alpha) Acc(theta_0) + alpha Acc(theta_1)``

    Args:
        table: a sweep of one pair of models.

    Returns:
        One row for each split: ``holds``; ``slack``, the smallest height above the line over the
        alphas between the ends, a share; and ``alpha``, where that is.

    Raises:
        UserError: as ``chord``.

    Source: the paper, observation 1 and figure 6.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.8), (1.0, "test", 0.7)]
        >>> found = observation_1(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"]))
        >>> bool(found.holds["test"]), float(found.slack["test"].round(3))
        (True, 0.2)
    """
    above = (_wide(table) - chord(table)).drop([0.0, 1.0])
    return pd.DataFrame(
        {"holds": above.min() >= -_EXACT, "slack": above.min(), "alpha": above.idxmin()}
    )


def observation_2(table: pd.DataFrame) -> pd.DataFrame:
    """Check that some mixture is at least as accurate as the better of the two ends.

    ``max_alpha Acc((1 - alpha) theta_0 + alpha theta_1) >= max(Acc(theta_0), Acc(theta_1))``

    Args:
        table: a sweep of one pair of models.

    Returns:
        One row for each split: ``holds``; ``margin``, the accuracy of the best mixture strictly
        between the ends above the better end, a share; and ``alpha``, the best on these very
        images.

    Raises:
        UserError: as ``chord``.

    Source: the paper, observation 2 and figure 6.

    Example:
        >>> rows = [(0.0, "test", 0.5), (0.5, "test", 0.8), (1.0, "test", 0.7)]
        >>> found = observation_2(pd.DataFrame(rows, columns=["alpha", "split", "accuracy"]))
        >>> bool(found.holds["test"]), float(found.margin["test"].round(3))
        (True, 0.1)
    """
    wide = _wide(table)
    over = wide.drop([0.0, 1.0]) - wide.loc[[0.0, 1.0]].max()
    return pd.DataFrame(
        {"holds": over.max() >= -_EXACT, "margin": over.max(), "alpha": over.idxmax()}
    )


def barrier(table: pd.DataFrame) -> pd.Series:
    """Return the height of the error barrier on each split: how far a path falls below the straight
    line.

    ``max_alpha [(1 - alpha) Acc(theta_0) + alpha Acc(theta_1) - Acc((1 - alpha) theta_0 + alpha
    theta_1)]``

    Args:
        table: a sweep of one pair of models.

    Returns:
        For each split a share in 0..1; 0 means that observation 1 holds.

    Raises:
        UserError: as ``chord``.

    Source: Frankle et al. 2020, section 2, who take the mean of both ends in place of the line;
    Entezari et al. 2022, definition 2.1, with the line, as the ends may differ.

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
    most: int = 200,
    names: str = "the two models",
) -> float:
    """Return the barrier half-way between two models on a few images, and warn if they should not
    be averaged.

    The usual reasons are a head that started at random, another pre-training, or a learning rate
    that was too high. There is a warning from a barrier of 5 points on, or of two standard errors
    where the images are few. It takes three forward passes; ``midpoint_barrier`` reads the same off
    a sweep that was measured anyway.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture.
        split: labelled images; ``task.val`` leaves the test splits alone.
        most: at most that many of them are used, drawn at random but always the same.
        names: what a warning calls the two.

    Returns:
        The barrier, a fraction in 0..1.

    Raises:
        UserError: the two do not fit together, or have weights that are not finite.

    Source: as ``barrier``.

    Example:
        >>> from wiseft_lite import load_clip, load_task, zero_shot_classifier
        >>> task = load_task("iconshift")
        >>> theta_0 = zero_shot_classifier(load_clip("iconclip"), task)
        >>> midpoint_barrier(theta_0, theta_0, task.val, most=10) < 1e-9
        True
    """
    apart = relative_distance(zero_shot.state_dict(), fine_tuned.state_dict())
    rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:most].tolist()
    return midpoint_barrier_of_curve(
        sweep(zero_shot, fine_tuned, {split.name: split.select(rows)}, MIDPOINT), apart, names
    )


def midpoint_barrier_of_curve(
    table: pd.DataFrame, apart: float, names: str = "the two models"
) -> float:
    """Return the barrier half-way between two models from a sweep that was measured, and warn as
    ``midpoint_barrier`` does.

    It costs no forward pass. The split is ``val``, or the first of the sweep where ``val`` is not
    in it.

    Args:
        table: a sweep of one pair of models; alphas 0, 0.5 and 1 are among its alphas.
        apart: how far the weights of the two differ, of ``weights.relative_distance``.
        names: what a warning calls the two.

    Returns:
        The barrier, a fraction in 0..1.

    Raises:
        UserError: as ``chord``.

    Example:
        >>> rows = [(0.0, "val", 0.5, 400), (0.5, "val", 0.4, 400), (1.0, "val", 0.5, 400)]
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     height = midpoint_barrier_of_curve(pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n"]), apart=0.2)
        >>> round(height, 3), len(caught)
        (0.1, 1)
    """
    name = "val" if "val" in set(table["split"]) else table["split"].iloc[0]
    table = table[(table["split"] == name) & table["alpha"].isin(MIDPOINT)].sort_values("alpha")
    height, n = barrier(table).item(), int(table["n"].iloc[0])
    if height > max(0.05, n**-0.5):
        first, middle, last = 100 * table["accuracy"]
        warnings.warn(
            f"{names} are not connected: {first:.0f} % and {last:.0f} % of {n} images of {name!r} are "
            f"right, but {middle:.0f} % half-way, {100 * height:.0f} points below the line between them, and "
            f"their weights differ by {100 * apart:.0f} %; fine-tune from the zero-shot model and its own "
            "head, at a lower learning rate",
            stacklevel=2,
        )
    return height
