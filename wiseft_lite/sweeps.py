"""Walk along the line between two models and measure every split on the way."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.chebyshev import interpolated, lobatto_nodes
from wiseft_lite.errors import UserError
from wiseft_lite.features import encode, pixels
from wiseft_lite.metrics import accuracy, predictions
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.weights import interpolate

ALPHAS = tuple(k / 10 for k in range(11))
TOO_MANY = 0.05  # share of changed predictions from which a curve from few passes is in doubt


def same_encoder(first: ImageClassifier, second: ImageClassifier) -> bool:
    """Whether two classifiers have equal encoders, as the zero-shot model and its probe have."""
    a, b = first.encoder.state_dict(), second.encoder.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@torch.inference_mode()
def batched(model: torch.nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    """Logits ``[n, C]`` of inputs ``[n, ...]`` on the CPU, without gradients, ``batch_size`` inputs a pass."""
    device = next(model.parameters()).device
    return torch.cat([model(batch.to(device)).float().cpu() for batch in inputs.split(batch_size)])


def logits_along(first: torch.nn.Module, last: torch.nn.Module, inputs: Tensor, alphas: Sequence[float],
                 batch_size: int = 256) -> Iterator[Tensor]:
    """Yield the logits ``[n, C]`` of the interpolated model at each alpha in turn, on the CPU.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: preprocessed images ``[n, 3, h, w]`` (see ``features.pixels``), or features for heads.
        alphas: mixing coefficients.
        batch_size: inputs a forward pass.

    Raises:
        UserError: the two do not fit together.

    Example:
        >>> zero, one = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> for head, weight in ((zero, 0.0), (one, 4.0)):
        ...     _ = torch.nn.init.constant_(head.weight, weight)
        >>> [logits.item() for logits in logits_along(zero, one, torch.ones(1, 1), [0, 0.25, 1])]
        [0.0, 1.0, 4.0]
    """
    theta_0, theta_1 = first.state_dict(), last.state_dict()
    model = copy.deepcopy(first).eval()
    for alpha in alphas:
        model.load_state_dict(interpolate(theta_0, theta_1, alpha))
        yield batched(model, inputs, batch_size)


def sweep(zero_shot: ImageClassifier, fine_tuned: ImageClassifier, splits: Mapping[str, Split],
          alphas: Sequence[float] = ALPHAS, batch_size: int = 256, progress: bool = False,
          passes: int | None = None) -> pd.DataFrame:
    """Return the accuracy of every interpolated model on every split.

    Each image is decoded once. When only the head differs, as for a linear probe, each is also encoded
    only once. With ``passes`` the models are run at that many Chebyshev-Lobatto nodes only, and each logit
    at every alpha is read off the polynomial through its values there.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture.
        splits: what to measure, by name.
        alphas: mixing coefficients; 0 is ``zero_shot``.
        batch_size: images a forward pass.
        progress: show a bar.
        passes: None measures every alpha itself; an odd number such as 5 measures that many.

    Returns:
        One row for each split and alpha: ``alpha, split, accuracy, n, low, high``, the last two the
        95 % Clopper-Pearson interval, accuracies as shares in 0..1. With ``passes`` also ``changed``, the
        share of images whose prediction would change if every second pass were left out. As a rule it is
        far above the share that ``passes`` gets wrong; when it is large there is a warning.

    Raises:
        UserError: the two do not fit together, no splits, an alpha that is no finite number, or with
            ``passes`` one outside 0..1.

    Source: the paper, equation 1 and figure 1.
    """
    from tqdm import tqdm

    if zero_shot.class_names != fine_tuned.class_names:
        raise UserError("the two classifiers have different classes; fine-tune from the zero-shot classifier")
    bad = [a for a in alphas if not math.isfinite(a)]
    if bad or not len(alphas) or not splits:
        raise UserError(f"alpha {bad[0]} is not finite" if bad else "give at least one alpha and one split")
    points = alphas if passes is None else _nodes(passes, alphas)
    heads_only = same_encoder(zero_shot, fine_tuned)
    first, last = (zero_shot.head, fine_tuned.head) if heads_only else (zero_shot, fine_tuned)
    rows, changed = [], []
    with tqdm(total=len(splits) * len(points), desc="sweep", unit="model", disable=not progress) as bar:
        for name, split in splits.items():
            inputs = encode(zero_shot, split, batch_size)[0] if heads_only else pixels(zero_shot, split)
            curve = _counted(logits_along(first, last, inputs, points, batch_size), bar)
            if passes is not None:
                measured = torch.stack(list(curve))
                curve = interpolated(measured, points, alphas)
                changed += _changed(measured, points, alphas, split)
            for alpha, logits in zip(alphas, curve):
                result = accuracy(logits, split.labels, split.classes)
                rows.append({"alpha": float(alpha), "split": name, **dataclasses.asdict(result)})
    table = pd.DataFrame(rows)
    if passes is not None:
        table["changed"] = changed
        _warn_if_in_doubt(table, passes)
    return table


def _counted(curve: Iterator[Tensor], bar) -> Iterator[Tensor]:
    for logits in curve:
        bar.update()
        yield logits


def _nodes(passes: int, alphas: Sequence[float]) -> list[float]:
    if passes < 3 or passes % 2 == 0:
        raise UserError(f"passes is {passes}; give an odd number such as 5: a curve through every second pass "
                        "is the check")
    outside = [a for a in alphas if not 0 <= a <= 1]
    if outside:
        raise UserError(f"alpha {outside[0]:g} lies outside 0..1, where no pass holds the curve; leave passes out")
    return lobatto_nodes(passes)


def _changed(measured: Tensor, nodes: Sequence[float], alphas: Sequence[float], split: Split) -> list[float]:
    """The share of predictions that change at each alpha when every second node is left out."""
    pairs = zip(interpolated(measured, nodes, alphas), interpolated(measured[::2], nodes[::2], alphas))
    return [(predictions(fine, split.classes) != predictions(coarse, split.classes)).double().mean().item()
            for fine, coarse in pairs]


def _warn_if_in_doubt(table: pd.DataFrame, passes: int) -> None:
    worst = table.loc[table["changed"].idxmax()]
    if worst["changed"] > TOO_MANY:
        warnings.warn(f"{passes} passes may be too few: without every second one, {100 * worst['changed']:.0f} % of "
                      f"the predictions on {worst['split']!r} change at alpha {worst['alpha']:g}; take "
                      f"{2 * passes - 1}, or measure every alpha", stacklevel=3)


def summary(table: pd.DataFrame, reference: str = "test") -> pd.DataFrame:
    """Reduce a sweep to the two axes of the paper's figure 1, one row for each alpha.

    Returns:
        ``alpha, reference, reference_low, reference_high, shifts, shifts_low, shifts_high``: accuracy on
        the reference split with its interval, and the plain mean over all other splits with a normal
        95 % interval from their binomial variances.

    Raises:
        UserError: the table lacks the reference split, or has nothing else.

    Example:
        >>> rows = [(0.5, "test", 0.8, 100, 0.7, 0.9), (0.5, "a", 0.4, 100, 0.3, 0.5)]
        >>> table = pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"])
        >>> summary(table)[["reference", "shifts"]].iloc[0].tolist()
        [0.8, 0.4]
    """
    on_reference = table[table["split"] == reference].set_index("alpha").sort_index()
    others = table[table["split"] != reference]
    if on_reference.empty or others.empty:
        raise UserError(f"a figure needs the reference split {reference!r} and at least one shift; "
                        f"the table has {', '.join(table['split'].unique())}")
    variance = others["accuracy"] * (1 - others["accuracy"]) / others["n"]
    groups = others.assign(variance=variance).groupby("alpha")
    mean = groups["accuracy"].mean()
    half = 1.96 * groups["variance"].sum() ** 0.5 / groups["variance"].count()
    return pd.DataFrame({
        "reference": on_reference["accuracy"], "reference_low": on_reference["low"],
        "reference_high": on_reference["high"], "shifts": mean,
        "shifts_low": mean - half, "shifts_high": mean + half,
    }).rename_axis("alpha").reset_index()
