"""Models of your own, or the paper's, drawn among the models of the atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wiseft_lite.analysis import atlas
from wiseft_lite.errors import UserError

if TYPE_CHECKING:
    from wiseft_lite.figures import Figure, Panel

COLOURS = {  # kinds that are drawn, the lowest first
    "ImageNet alone": "#999999",
    "more data": "#56B4E9",
    "robustness intervention": "#F0E442",
    "fine-tuned CLIP": "#E69F00",
    "zero-shot CLIP": "#CC79A7",
    "soup": "#009E73",
}
LABELS = {
    "standard": "line of standard models",
    "all": "line of models that saw ImageNet alone",
    "with-weak": "line of those and weak models",
    atlas.ZERO_SHOT: "line of zero-shot CLIP",
}
LOWEST = 0.55  # reference accuracy; models below are drawn only if one of your own is there too
STEPS = 80  # points of a line


def panel(
    shift: str,
    curves: Mapping[str, pd.DataFrame],
    fits: Sequence[str] = ("standard",),
    kinds: Sequence[str] = tuple(COLOURS),
    lowest: float = LOWEST,
) -> Panel:
    """Return the data of one panel: models of the atlas, lines with bands, and own curves.

    Args:
        shift: one of ``atlas.SHIFTS`` or ``VIDEOS``, or ``"shifts"`` for the mean of the five.
        curves: by label, tables with the columns ``imagenet`` and ``shift`` or what it is the mean
            of; rows in the order of alpha.
        fit: models that carry the line, a key of ``atlas.FITS``.
        kinds: of the models that are drawn.
        lowest: reference accuracy of the models that are drawn.

    Raises:
        UserError: no curve has the shift.
    """
    from wiseft_lite.figures import Panel

    parts = list(atlas.SHIFTS) if shift == "shifts" else [shift]
    own = {}
    for label, table in curves.items():
        if {"imagenet", *parts} <= set(table):
            rows = table[["imagenet", *parts]].dropna()
            own[label] = pd.DataFrame(
                {"reference": rows["imagenet"], "shift": rows[parts].mean(axis=1)}
            )
        elif {"imagenet", shift} <= set(table):
            own[label] = table[["imagenet", shift]].set_axis(["reference", "shift"], axis=1)
    if curves and not own:
        raise UserError(
            f"none of the models has an accuracy on {', '.join(parts)}; nothing to draw"
        )
    reached = min([lowest, *(float(curve["reference"].min()) - 0.02 for curve in own.values())])
    table = atlas.models()
    table = table[(table["imagenet"] >= reached) & table["kind"].isin(list(kinds))]
    models = pd.DataFrame(
        {
            "reference": table["imagenet"],
            "shift": table[parts].mean(axis=1, skipna=False),
            "kind": table["kind"],
        }
    ).dropna()
    highest = max(models["reference"].max(), *(c["reference"].max() for c in own.values()), reached)
    lines = {LABELS[fit]: _drawn(shift, fit, reached, highest) for fit in fits}
    return Panel(_title(shift), models[models["shift"] > 0], lines, own)


def _title(shift: str) -> str:
    return "Mean of the five shifts" if shift == "shifts" else atlas.TITLES[shift]


def _drawn(shift: str, fit: str, low: float, high: float) -> pd.DataFrame:
    line = atlas.line_through(fit, shift)
    xs = np.linspace(low, high, STEPS)
    rows = [(x, line(x), *line.interval(x)) for x in xs]
    return pd.DataFrame(rows, columns=["reference", "predicted", "low", "high"])


def draw(
    shifts: Sequence[str],
    curves: Mapping[str, pd.DataFrame] | None = None,
    fits: Sequence[str] = ("standard",),
    kinds: Sequence[str] = tuple(COLOURS),
    columns: int = 2,
) -> Figure:
    """Draw the atlas with the line of its baseline models, and own models among them.

    Args:
        shifts: one panel for each; ``"shifts"`` is the mean of the paper's five.
        curves: as ``panel``; none draws the atlas alone.
        fits: one line for each, keys of ``LABELS``.
        kinds: of the models that are drawn, keys of ``COLOURS``.
        columns: panels in a row.

    Returns:
        The figure, in the grammar of ``figures.frontier``.

    Raises:
        UserError: as ``panel``.

    Source: the paper, figures 1 and 7.
    """
    from wiseft_lite.figures import among

    return among([panel(shift, curves or {}, fits, kinds) for shift in shifts], COLOURS, columns)
