"""Results files, one JSON object a line, the table that the command line prints, and the two axes
of a figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from wiseft_lite._runtime.outputs import new_file
from wiseft_lite.errors import UserError

NUMBERS = ("alpha", "accuracy", "n", "low", "high")  # columns of every curve, beside its split
ROUNDING = 1e-9  # by which an end of an interval may miss the accuracy
RUN = ("task", "model", "kind")  # columns that identify the runs in a file
DECIMALS = 10  # values that agree to so many decimals are equal: rounding errors must not decide


def best_alpha(curve: pd.Series | Mapping[float, float]) -> float:
    """Return the alpha at which a curve is highest; of several that are equally high, the smallest.

    A few hundred held-out images often cannot tell several alphas apart. The smallest of them is
    the one nearest to the zero-shot model, which has not been fitted to the images that chose. The
    same rule serves for the other numbers that move a merged model away from zero-shot, such as the
    scale of TIES.

    Args:
        curve: accuracy, or another score of which more is better, by alpha; in any order.

    Raises:
        UserError: there is nothing to choose from.

    Source: the rule of ties is this library's; the paper, section 2, does not have one.

    Example:
        >>> best_alpha({0.0: 0.7, 0.5: 0.9, 0.6: 0.9, 1.0: 0.8})
        0.5
    """
    curve = pd.Series(curve).dropna()
    if curve.empty:
        raise UserError("no accuracies to choose an alpha by; measure at least one alpha")
    return float(curve.round(DECIMALS).sort_index().idxmax())


def read_results(path: Path, alpha: float | None = None) -> pd.DataFrame:
    """Read a results file, one JSON object a line.

    Args:
        path: of the file.
        alpha: of a file without, which ``wiseft-lite evaluate`` writes (default: refuse it).

    Raises:
        UserError: it is missing, damaged or empty, lacks a column, or a row has no number where one
            must be.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        table = pd.DataFrame([row if isinstance(row, dict) else {} for row in rows])
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist; make it with 'wiseft-lite sweep' or 'demo'"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({getattr(error, 'strerror', None) or error}); make it again"
        ) from error
    if table.empty:
        raise UserError(f"{path} lacks any result; make it with 'wiseft-lite sweep' or 'demo'")
    if alpha is not None and "alpha" not in table:
        table["alpha"] = alpha
    missing = {*NUMBERS, "split"} - set(table.columns)
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(sorted(missing))}; make it with 'wiseft-lite sweep'"
        )
    _check(table, path)
    return table.astype(dict.fromkeys(NUMBERS, float) | {"n": int})


def _check(table: pd.DataFrame, path: Path) -> None:
    """Refuse the first row whose values cannot be those of a curve."""
    values = table[[*NUMBERS]].map(
        lambda value: float(value) if _is_number(value) else float("nan")
    )
    accuracy = values["accuracy"]
    right = pd.DataFrame(
        {
            "split": table["split"].map(lambda name: isinstance(name, str)),
            "alpha": values["alpha"].notna(),
            "n": (values["n"] >= 1) & (values["n"] % 1 == 0),
            "accuracy": accuracy.between(0, 1),
            "low": values["low"].between(0, accuracy + ROUNDING),
            "high": values["high"].between(accuracy - ROUNDING, 1),
        }
    )
    wrong = ~right
    if wrong.any(axis=None):
        row = int(wrong.any(axis=1).argmax())
        column = wrong.columns[wrong.iloc[row]][0]
        raise UserError(
            f"{path}: {column} is {table[column].iloc[row]!r} in result {row + 1}; correct or remove that "
            "line"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool and abs(value) < 1e15


def read_runs(path: Path, alpha: float | None = None) -> dict[str, pd.DataFrame]:
    """Read a results file and return the runs that are in it, by what tells them apart: task, model
    or kind.

    Rows that are there twice count once.

    Args:
        path: of the file.
        alpha: as ``read_results``.

    Raises:
        UserError: as ``read_results``; or one run has two accuracies for a split at one alpha.
    """
    table = read_results(path, alpha)
    names = table[[column for column in RUN if column in table]].fillna("").astype(str)
    differ = [column for column in names if names[column].nunique() > 1]
    if differ:
        labels = names[differ].agg(lambda row: ", ".join(filter(None, row)), axis=1)
    else:
        labels = names.get("kind", pd.Series("fine-tuned", table.index))
    runs = {}
    for label, rows in table.groupby(labels.replace("", "fine-tuned"), sort=False):
        rows = rows.drop_duplicates(["split", *NUMBERS])
        twice = rows[rows.duplicated(["split", "alpha"])]
        if len(twice):
            raise UserError(
                f"{path} has two accuracies of {label!r} on {twice['split'].iloc[0]!r} at alpha "
                f"{twice['alpha'].iloc[0]:g}, so it holds several runs; leave the lines of one, or give "
                "those of each run a 'model' of their own"
            )
        runs[label] = rows
    return runs


def write_results(table: pd.DataFrame, path: Path) -> None:
    """Write a table as one JSON object a line; the file appears whole or not at all, in place of
    one that is there.

    Raises:
        UserError: it cannot be written.
    """
    with new_file(path, overwrite=True) as part:
        part.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))


def show_table(table: pd.DataFrame) -> None:
    """Print one row per alpha and one column per split; the best accuracy of a column has a star."""
    splits = list(dict.fromkeys(table["split"]))
    wide = table.pivot(index="alpha", columns="split", values="accuracy")[splits] * 100
    shifts = [s for s in splits if s not in ("val", "test")]
    if shifts:
        wide["mean of shifts"] = wide[shifts].mean(axis=1)
    widths = [max(7, len(name)) for name in wide.columns]

    def show(label: str, cells: Iterable[str], note: str = "") -> None:
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)]
        print(f"{label:<7}" + "  ".join(padded) + note)

    show("alpha", wide.columns)
    best = {name: best_alpha(column) for name, column in wide.items()}
    for alpha, row in wide.iterrows():
        cells = [f"{value:.1f}{'*' if best[name] == alpha else ' '}" for name, value in row.items()]
        show(f"{alpha:<5g}  ", cells)
    by_split = table.groupby("split", sort=False)
    half = 50 * (table["high"] - table["low"]).groupby(table["split"], sort=False).max()
    show("n", [f"{int(n)}" for n in by_split["n"].first()])
    show(
        "+-",
        [f"{half[s]:.1f}" for s in splits],
        "   half of the widest 95 % interval, points; * best alpha on these test images",
    )
    if "classes" in table:
        counts = [f"{int(count)}" for count in by_split["classes"].first()]
        show("classes", counts, "   that a prediction can take")
    if "changed" in table:
        most = 100 * by_split["changed"].max()
        show(
            "changed",
            [f"{value:.1f}" for value in most],
            "   most predictions that change without every second pass, %",
        )
    if "passes" in table:
        show(
            "passes",
            [f"{value:.2f}" for value in by_split["passes"].first()],
            "   forward passes per image, mean",
        )


def summary(table: pd.DataFrame, reference: str = "test") -> pd.DataFrame:
    """Reduce a sweep to the two axes of the paper's figure 1, one row for each alpha.

    Returns:
        ``alpha, reference, reference_low, reference_high, reference_n, shifts, shifts_low,
        shifts_high, shifts_n``: accuracy on the reference split with its interval and number of
        images, and the plain mean over all other splits, ``val`` left out, with a normal 95 %
        interval from their binomial variances and the images of all.

    Raises:
        UserError: the table lacks the reference split, has nothing else, or has splits at different
            alphas.

    Example:
        >>> rows = [(0.5, "test", 0.8, 100, 0.7, 0.9), (0.5, "a", 0.4, 100, 0.3, 0.5)]
        >>> table = pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"])
        >>> summary(table)[["reference", "shifts"]].iloc[0].tolist()
        [0.8, 0.4]
    """
    wide = table[["split", *NUMBERS]].drop_duplicates().pivot(index="alpha", columns="split")
    shifts = [split for split in table["split"].unique() if split not in (reference, "val")]
    if reference not in set(table["split"]) or not shifts:
        raise UserError(
            f"a figure needs the reference split {reference!r} and at least one shift; "
            f"the table has {', '.join(table['split'].unique())}"
        )
    accuracy, n = wide["accuracy"], wide["n"]
    if accuracy[[reference, *shifts]].isna().any(axis=None):
        split = next(split for split in (reference, *shifts) if accuracy[split].isna().any())
        raise UserError(
            f"{split!r} was not measured at alpha {accuracy.index[accuracy[split].isna()][0]:g}, as other "
            "splits were; measure all splits at the same alphas"
        )
    mean = accuracy[shifts].mean(axis=1)
    half = 1.96 * (accuracy * (1 - accuracy) / n)[shifts].sum(axis=1) ** 0.5 / len(shifts)
    return (
        pd.DataFrame(
            {
                "reference": accuracy[reference],
                "reference_low": wide["low"][reference],
                "reference_high": wide["high"][reference],
                "reference_n": n[reference],
                "shifts": mean,
                "shifts_low": mean - half,
                "shifts_high": mean + half,
                "shifts_n": n[shifts].sum(axis=1),
            }
        )
        .rename_axis("alpha")
        .reset_index()
    )


def show_choices(chosen: pd.DataFrame) -> None:
    """Print the alphas that ``pipeline.choices`` chose, accuracies in %."""
    accuracies = ["val", "test", "shifts"]
    print(chosen.assign(**100 * chosen[accuracies]).round(1).to_string(index=False, na_rep="-"))
