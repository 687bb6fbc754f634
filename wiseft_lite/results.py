"""Results files, one JSON object a line, and the table that the command line prints."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

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
    best = wide.idxmax()
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


def show_choices(chosen: pd.DataFrame) -> None:
    """Print the alphas that ``pipeline.choices`` chose, accuracies in %."""
    shares = ["val", "test", "shifts"]
    print(chosen.assign(**100 * chosen[shares]).round(1).to_string(index=False, na_rep="-"))
