"""Accuracies that authors report for their models, beside what you measure.

``reported.csv`` has, in percent and each with its source: the 72 ViT-B/32 of model-soups with their
hyperparameters, two soups of them, the ViT-L/14 of its WiSE-FT example, and OpenAI's zero-shot CLIPs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wiseft_lite import checkpoints
from wiseft_lite.errors import UserError
from wiseft_lite.interop.published import B32

TABLE = Path(__file__).resolve().parent / "reported.csv"
IMAGENET = {name: name for name in ("v2", "r", "a", "sketch", "objectnet")} | {"test": "imagenet"}
SPLITS = {  # task to split to column; ObjectNet by its own class names is another measurement
    "imagenet": IMAGENET,
    "imagenet-shifts": IMAGENET,
    "objectnet": {"objectnet": "objectnet_own"},
    **{
        name: {"test": name} for name in ("cifar10", "cifar100", "dtd", "cars", "sun397", "food101")
    },
}
LINE = "model-soups/vit-l14"  # of the published models, the two ends of one line
ROUNDING = 0.0005  # published numbers may have three digits
CHECKLIST = (
    "What is outside the interval is not chance: check the activation (QuickGELU for OpenAI's CLIP), "
    "the preprocessing (resize the shorter edge and crop the centre, do not squash), the class "
    "subset, the class names and their order, and that the data set is complete."
)


@functools.cache
def reported_accuracies() -> pd.DataFrame:
    """Return published accuracies in percent, one row per model.

    Returns:
        The index is ``model``: a name of ``published_names()``, ``"model-soups/b32 uniform soup"``,
        ``"... greedy soup"``, ``"model-soups/vit-l14 at alpha 0.75"``, or the name of a CLIP for its
        zero-shot classifier. Columns: the hyperparameters ``lr, wd, epochs, aug, mixup,
        smoothing``; ``minival`` (2 % of ImageNet's training images that were held out),
        ``imagenet``, its shifts, ``objectnet_own`` (by ObjectNet's own class names), other data
        sets; ``source``.

    Example:
        >>> table = reported_accuracies()
        >>> float(table.loc["model-soups/b32/43", "imagenet"])
        80.386
    """
    return pd.read_csv(TABLE, index_col="model")


def name_of(folder: str | Path) -> str:
    """Return the name under which a checkpoint's accuracies are published; empty if it has none.

    It is known of published models, and of zero-shot classifiers made by the command ``zeroshot``.
    """
    recipe = checkpoints.read_card(folder).get("recipe") or {}
    return recipe.get("published") or recipe.get("zero_shot_model") or ""


def are_ranked(names: Sequence[str]) -> bool:
    """Return whether ``ranks`` knows all of these models."""
    return set(names) <= set(B32)


def ranks(names: Sequence[str]) -> list[float]:
    """Return the published accuracy of each model on the authors' held-out images, as a fraction.

    Raises:
        UserError: one of them has none.
    """
    known = reported_accuracies()["minival"].dropna() / 100
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(
            f"no accuracy on held-out images is published for {missing[0]}; rank the models by their "
            "own scores (--rank val)"
        )
    return known[list(names)].tolist()


def soup_of(names: Sequence[str], greedy: bool) -> str:
    """Return the name of the published soup of these models; empty if there is none."""
    if set(names) != set(B32):
        return ""
    return f"model-soups/b32 {'greedy' if greedy else 'uniform'} soup"


def point_on_line(zero_shot: str, fine_tuned: str, alpha: float) -> str:
    """Return the name under which the model at an alpha between two others is published.

    Example:
        >>> point_on_line("model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned", 0.75)
        'model-soups/vit-l14 at alpha 0.75'
    """
    if alpha in (0, 1):
        return fine_tuned if alpha else zero_shot
    if (zero_shot, fine_tuned) != (f"{LINE}-zeroshot", f"{LINE}-finetuned"):
        return ""
    return f"{LINE} at alpha {alpha:g}"


def compare(table: pd.DataFrame, model: str, task: str) -> pd.DataFrame:
    """Return measured and published accuracies of one model side by side, in percent.

    Args:
        table: a row per split: ``split``, ``accuracy``, ``low`` and ``high``, the ends of its
            binomial interval, as fractions.
        model: as in ``reported_accuracies``.
        task: that the splits belong to.

    Returns:
        One row for each split whose accuracy is published: ``split, yours, published, difference``,
        and ``agrees``, whether the published accuracy lies in the interval of yours. Empty if the
        model or the task is not known.
    """
    columns: Mapping[str, str] = SPLITS.get(task, {})
    known = reported_accuracies()
    rows = []
    for row in table.itertuples() if model in known.index else ():
        accuracy = known.loc[model, columns[row.split]] if row.split in columns else float("nan")
        if pd.notna(accuracy):
            low, high = row.low - ROUNDING, row.high + ROUNDING
            rows.append(
                {
                    "split": row.split,
                    "yours": 100 * row.accuracy,
                    "published": accuracy,
                    "difference": 100 * row.accuracy - accuracy,
                    "agrees": low <= accuracy / 100 <= high,
                }
            )
    return pd.DataFrame(rows, columns=["split", "yours", "published", "difference", "agrees"])


def show(table: pd.DataFrame, model: str, task: str) -> None:
    """Print measured and published accuracies side by side, with a verdict; nothing if none is
    known.

    Args:
        table, model, task: as of ``compare``.
    """
    found = compare(table, model, task)
    if found.empty:
        return
    print(f"\n{model}\n{'':17} yours  published  difference")
    for row in found.itertuples():
        verdict = "agrees" if row.agrees else "outside the 95 % interval of yours"
        print(
            f"{row.split:17} {row.yours:5.1f}  {row.published:9.1f}  {row.difference:+10.1f}   {verdict}"
        )
    print(f"published: {reported_accuracies().loc[model, 'source']}", flush=True)
    if not found["agrees"].all():
        print(CHECKLIST, flush=True)
