"""Results files, one JSON object a line, the table that the command line prints, and the two axes of a figure."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from wiseft_lite.alphas import best_alpha
from wiseft_lite.errors import UserError


def read_results(path: Path) -> pd.DataFrame:
    """Read a results file, one JSON object a line.

    Raises:
        UserError: it is missing, damaged, or lacks a column.
    """
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        table = pd.DataFrame([row if isinstance(row, dict) else {} for row in rows])
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make it with 'wiseft-lite sweep' or 'demo'") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); make it again") from error
    missing = {"alpha", "split", "accuracy", "n", "low", "high"} - set(table.columns)
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; make it with 'wiseft-lite sweep'")
    return table


def write_results(table: pd.DataFrame, path: Path) -> None:
    """Write a table as one JSON object a line; the file appears whole or not at all."""
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))
    os.replace(part, path)


def show_table(table: pd.DataFrame) -> None:
    """Print one row for each alpha and one column for each split; the best of a column has a star."""
    splits = list(dict.fromkeys(table["split"]))
    wide = table.pivot(index="alpha", columns="split", values="accuracy")[splits] * 100
    shifts = [s for s in splits if s not in ("val", "test")]
    if shifts:
        wide["mean of shifts"] = wide[shifts].mean(axis=1)
    best = wide.apply(best_alpha)
    names = [*wide.columns]
    width = {name: max(7, len(name)) for name in names}
    print("alpha  " + "  ".join(f"{name:>{width[name]}}" for name in names))
    for alpha, row in wide.iterrows():
        cells = [f"{row[name]:.1f}{'*' if best[name] == alpha else ' '}" for name in names]
        print(f"{alpha:<5g}  " + "  ".join(f"{cell:>{width[name]}}" for cell, name in zip(cells, names)))
    first = table.drop_duplicates("split").set_index("split")
    half = {s: 50 * (table[table.split == s].high - table[table.split == s].low).max() for s in splits}
    print("n      " + "  ".join(f"{int(first.n[s]):>{width[s]}}" for s in splits))
    print("+-     " + "  ".join(f"{half[s]:>{width[s]}.1f}" for s in splits)
          + "   half of the widest 95 % interval, points; * best alpha on these test images")
    if "changed" in table:
        most = 100 * table.groupby("split")["changed"].max()
        print("changed" + "  ".join(f"{most[s]:>{width[s]}.1f}" for s in splits)
              + "   most predictions that change without every second pass, %")


def summary(table: pd.DataFrame, reference: str = "test") -> pd.DataFrame:
    """Reduce a sweep to the two axes of the paper's figure 1, one row for each alpha.

    Returns:
        ``alpha, reference, reference_low, reference_high, shifts, shifts_low, shifts_high``: accuracy on
        the reference split with its interval, and the plain mean over all other splits, ``val`` left out, with a
        normal 95 % interval from their binomial variances.

    Raises:
        UserError: the table lacks the reference split, or has nothing else.

    Example:
        >>> rows = [(0.5, "test", 0.8, 100, 0.7, 0.9), (0.5, "a", 0.4, 100, 0.3, 0.5)]
        >>> table = pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"])
        >>> summary(table)[["reference", "shifts"]].iloc[0].tolist()
        [0.8, 0.4]
    """
    on_reference = table[table["split"] == reference].set_index("alpha").sort_index()
    others = table[~table["split"].isin([reference, "val"])]
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


def show_choices(chosen: pd.DataFrame) -> None:
    """Print the alphas that ``pipeline.choices`` chose, accuracies in %."""
    shares = ["val", "test", "shifts"]
    print(chosen.assign(**100 * chosen[shares]).round(1).to_string(index=False, na_rep="-"))
