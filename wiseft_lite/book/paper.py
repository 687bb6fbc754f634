"""The paper's own numbers as data, to compare with ours; each with the table that it comes from.

``record/paper_curves.csv`` has the alpha curves of six models at steps of 0.1, by split where the
paper gives them, ``record/paper_plots.csv`` that of ViT-B/32, read from the authors' plots;
``record/paper_tables.csv`` has what the claims need of tables 1, 2, 3, 6, 7, 8 and 13. All numbers are percent. Two conventions of the paper: a best alpha is chosen for each
column separately, and the zero-shot row of table 1 differs in a few digits from alpha = 0 of the
end-to-end curve in table 4.
"""

from __future__ import annotations

import pandas as pd

from wiseft_lite.book import ledger
from wiseft_lite.errors import unknown

SHIFTS = ("ImageNetV2", "ImageNet-R", "ImageNet-Sketch", "ObjectNet", "ImageNet-A")


def curve(model: str, kind: str = "end-to-end") -> pd.DataFrame:
    """Return an alpha curve of the paper in percent: a row per alpha, a column per split.

    Args:
        model: such as ``"ViT-B/16"``.
        kind: ``"end-to-end"``, or ``"probe"`` where the paper has it.

    Returns:
        The reference is the column ``ImageNet``, the mean of the five shifts the column ``shifts``.
        The end-to-end curves of ViT-L/14@336px and ViT-B/16 have a column for each shift too. That
        of ViT-B/32 is in no table: it was digitised from the authors' plots, with an error of about
        0.2 points, has no ObjectNet and so no mean.

    Raises:
        UserError: no such curve; the message lists the curves.

    Source: the paper, tables 4, 5 and 9 to 12.

    Example:
        >>> curve("ViT-B/16").loc[0.5, ["ImageNet", "shifts"]].tolist()
        [81.7, 63.0]
    """
    table = pd.concat([ledger.table("paper_curves"), ledger.table("paper_plots")])
    rows = table[(table["model"] == model) & (table["kind"] == kind)]
    if rows.empty:
        known = (table["model"] + ", " + table["kind"]).unique()
        raise unknown("curve of the paper", f"{model}, {kind}", known)
    return rows.pivot(index="alpha", columns="split", values="accuracy")[
        list(dict.fromkeys(rows["split"]))
    ]


def published_table(number: int, model: str | None = None) -> pd.DataFrame:
    """Return a table of the paper in percent: a row per method, a column per data set.

    Args:
        number: 1, 2, 3, 6, 7, 8 or 13.
        model: required where the table has several.

    Raises:
        UserError: no such table, or it has several models and none is given.

    Example:
        >>> float(published_table(1).loc["end-to-end, alpha 0.5", "shifts"])
        76.9
    """
    everything = ledger.table("paper_tables")
    rows = everything[everything["table"] == f"Table {number}"]
    if rows.empty:
        raise unknown("table of the paper", number, everything["table"].unique())
    models = rows["model"].unique()
    if model not in models and (model or len(models) > 1):
        raise unknown(f"model of table {number}", model, models)
    rows = rows[rows["model"] == (model or models[0])]
    wide = rows.pivot(index="row", columns="column", values="value")
    return wide.loc[list(dict.fromkeys(rows["row"])), list(dict.fromkeys(rows["column"]))]
