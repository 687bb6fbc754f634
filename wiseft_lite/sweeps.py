"""Walk along the line between two models and measure every split on the way."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.features import encode, pixels
from wiseft_lite.metrics import accuracy
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.weights import interpolate

ALPHAS = tuple(k / 10 for k in range(11))


def same_encoder(first: ImageClassifier, second: ImageClassifier) -> bool:
    """Whether two classifiers have equal encoders, as the zero-shot model and its probe have."""
    a, b = first.encoder.state_dict(), second.encoder.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@torch.inference_mode()
def _logits(model: torch.nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    device = next(model.parameters()).device
    return torch.cat([model(batch.to(device)).float().cpu() for batch in inputs.split(batch_size)])


def sweep(zero_shot: ImageClassifier, fine_tuned: ImageClassifier, splits: Mapping[str, Split],
          alphas: Sequence[float] = ALPHAS, batch_size: int = 256, progress: bool = False) -> pd.DataFrame:
    """Return the accuracy of every interpolated model on every split.

    Each image is decoded once. When only the head differs, as for a linear probe, each is also encoded
    only once.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture.
        splits: what to measure, by name.
        alphas: mixing coefficients; 0 is ``zero_shot``.
        batch_size: images a forward pass.
        progress: show a bar.

    Returns:
        One row for each split and alpha: ``alpha, split, accuracy, n, low, high``, the last two the
        95 % Clopper-Pearson interval, accuracies as shares in 0..1.

    Raises:
        UserError: the two do not fit together, no splits, or an alpha that is no finite number.

    Source: the paper, equation 1 and figure 1.
    """
    from tqdm import tqdm

    if zero_shot.class_names != fine_tuned.class_names:
        raise UserError("the two classifiers have different classes; fine-tune from the zero-shot classifier")
    bad = [a for a in alphas if not math.isfinite(a)]
    if bad or not len(alphas) or not splits:
        raise UserError(f"alpha {bad[0]} is not finite" if bad else "give at least one alpha and one split")
    heads_only = same_encoder(zero_shot, fine_tuned)
    first, last = (zero_shot.head, fine_tuned.head) if heads_only else (zero_shot, fine_tuned)
    theta_0, theta_1 = first.state_dict(), last.state_dict()
    model = copy.deepcopy(first).eval()
    rows = []
    with tqdm(total=len(splits) * len(alphas), desc="sweep", unit="model", disable=not progress) as bar:
        for name, split in splits.items():
            inputs = encode(zero_shot, split, batch_size)[0] if heads_only else pixels(zero_shot, split)
            for alpha in alphas:
                model.load_state_dict(interpolate(theta_0, theta_1, alpha))
                result = accuracy(_logits(model, inputs, batch_size), split.labels, split.classes)
                rows.append({"alpha": float(alpha), "split": name, **dataclasses.asdict(result)})
                bar.update()
    return pd.DataFrame(rows)


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
