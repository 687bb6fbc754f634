"""The few plots of the book, in one grammar. The only module that imports matplotlib.

Reference accuracy lies on x, shift accuracy on y, both on logit axes; the zero-shot model is a
star, the fine-tuned one a diamond, and the path of alpha runs between them. Names that a user gave,
of tasks, classes, splits and models, go through ``plain`` before they are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from wiseft_lite._runtime.outputs import new_file
from wiseft_lite.errors import UserError
from wiseft_lite.results import summary
from wiseft_lite.tasks import Split

STYLE = Path(__file__).resolve().parent / "assets" / "wiseft.mplstyle"
MARKED = (0.2, 0.4, 0.6, 0.8)
APART = (0.1, 0.06)  # of the axes' width and height: what the name of an alpha needs
MAX_NAMED = 3  # paths that are named at their ends; more of them get a legend
LINES = ("-", "--", ":", "-.")  # the next one when all colours have been used
AXES = ("reference", "shifts")  # columns of ``results.summary``


@contextmanager
def house_style() -> Iterator[None]:
    """The book's style. The backend is loaded first: a notebook's would lose its settings with the
    style."""
    plt.draw_if_interactive()
    with plt.style.context(STYLE):
        yield


def plain(text: str, most: int = 60) -> str:
    """Return a user's text such that it is drawn letter by letter: no mathematics between two
    ``$``, one short line.

    Args:
        text: a name of a class, a split, a task or a model.
        most: letters; of a longer text the middle is left out.

    Example:
        >>> plain("from $5 to $6", most=9)
        'from…o \\\\$6'
    """
    text = "".join(letter if letter.isprintable() else " " for letter in str(text))
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[len(text) - (most - most // 2 - 1) :]}"
    return text.replace("$", r"\$")


def save(figure: Figure, *paths: Path) -> None:
    """Write a figure to files, each by its ending, and close it, or a notebook would show it once
    more.

    An ``.svg`` gets no date: the same figure is the same file. Each file appears whole or not at
    all, in place of one that is there.

    Raises:
        UserError: a file cannot be written.
    """
    for path in paths:
        with house_style(), new_file(path, overwrite=True) as part, warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Glyph .* missing"
            )  # a name in letters that the font lacks
            figure.savefig(part, metadata={"Date": None} if part.suffix == ".svg" else None)
    plt.close(figure)


def logit_axes(ax: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Give both axes a logit scale with ticks in percent; where the steps are wide, the ends are
    named as well.

    An accuracy of 0 or 1 has no place on such an axis and is not drawn: put it through ``resolved``
    first.
    """
    for axis, scale, limits in ((ax.xaxis, ax.set_xscale, x), (ax.yaxis, ax.set_yscale, y)):
        scale("logit")
        span = 100 * (limits[1] - limits[0])
        step = next(s for s in (1, 2, 5, 10, 20) if span / s <= 8 or s == 20)
        ends = {
            t for end in (0.01, 0.1, 1, 5, 10) if end < step for t in (end, 100 - end)
        }  # room near 0 and 1
        axis.set_major_locator(
            FixedLocator([t / 100 for t in sorted({*range(step, 100, step), *ends})])
        )
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}"))
    ax.set_xlim(*x)
    ax.set_ylim(*y)


def resolved(accuracy: pd.Series | float, n: pd.Series | float) -> pd.Series | float:
    """Return an accuracy as it can be drawn on a logit axis: at least ``1 / (2 n)`` from 0 and from
    1.

    That is half of the smallest difference that ``n`` images can show.

    Example:
        >>> float(resolved(1.0, 20)), float(resolved(0.5, 20))
        (0.975, 0.5)
    """
    edge = 1 / (2 * n)
    return np.minimum(np.maximum(accuracy, edge), 1 - edge)


def _drawable(curve: pd.DataFrame) -> pd.DataFrame:
    """A curve of ``summary`` with everything ``resolved``; ``*_edge`` is -1 or 1 where an accuracy
    was 0 or 1."""
    drawn = curve.copy()
    for axis in AXES:
        for name in (axis, f"{axis}_low", f"{axis}_high"):
            drawn[name] = resolved(curve[name], curve[f"{axis}_n"])
        drawn[f"{axis}_edge"] = np.sign(curve[axis] - drawn[axis])
    return drawn


def _limits(curves: pd.DataFrame, axis: str) -> tuple[float, float]:
    """From the lowest to the highest end of an interval, but towards 0 and 1 no further than the
    accuracies need."""
    low, high = float(curves[f"{axis}_low"].min()), float(curves[f"{axis}_high"].max())
    margin = max(0.02, 0.12 * (high - low))
    lowest = min(0.005, float(curves[axis].min()) / 2)
    highest = max(0.995, (1 + float(curves[axis].max())) / 2)
    return max(lowest, low - margin), min(highest, high + margin)


def frontier(
    table: pd.DataFrame | Mapping[str, pd.DataFrame],
    reference: str = "test",
    title: str | None = None,
) -> Figure:
    """Draw the paper's central figure: reference accuracy against mean accuracy over the shifts.

    An accuracy of 0 or 100 %, which has no place on a logit axis, is drawn half an image away from
    it and has a hollow triangle that points outwards.

    Args:
        table: a sweep, or several by label. More than ``MAX_NAMED`` of them get a legend.
        reference: the split on the x axis; the mean of all others is on y.
        title: text above.

    Returns:
        The figure.

    Raises:
        UserError: a table lacks the reference, a shift, or alpha 0 and 1.

    Source: the paper, figure 1; intervals as in its appendix D.
    """
    tables = table if isinstance(table, Mapping) else {"end-to-end": table}
    curves = {label: _drawable(summary(rows, reference)) for label, rows in tables.items()}
    for label, curve in curves.items():
        if not {0.0, 1.0} <= set(curve["alpha"]):
            raise UserError(f"the sweep {label!r} lacks alpha 0 or 1; measure both ends")
    everything = pd.concat(curves.values())
    with house_style():
        figure, ax = plt.subplots()
        logit_axes(ax, _limits(everything, "reference"), _limits(everything, "shifts"))
        _paths(ax, curves)
        starts = everything[everything["alpha"] == 0].drop_duplicates(list(AXES))
        for _, start in starts.iterrows():
            _mark_zero_shot(ax, start)
        if len(curves) > MAX_NAMED:
            ax.legend(fontsize=8)
        if everything[[f"{axis}_edge" for axis in AXES]].any(axis=None):
            ax.text(
                0.99,
                0.01,
                "hollow triangle: 0 or 100 %",
                transform=ax.transAxes,
                ha="right",
                va="bottom",
                fontsize=8,
                color="#666666",
            )
        ax.set_xlabel("Reference accuracy (%)")
        ax.set_ylabel("Mean accuracy over the shifts (%)")
        if title:
            ax.set_title(plain(title, 70), loc="left")
    return figure


def _paths(ax: Axes, curves: Mapping[str, pd.DataFrame]) -> None:
    """Draw one path per curve; the longest has most room for the names of its alphas."""
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    lengths = {
        label: float(np.ptp(curve["reference"]) + np.ptp(curve["shifts"]))
        for label, curve in curves.items()
    }
    longest = max(lengths, key=lengths.__getitem__)
    for k, (label, curve) in enumerate(curves.items()):
        colour, line = colours[k % len(colours)], LINES[k // len(colours) % len(LINES)]
        _path(ax, label, curve, colour, line, label == longest, len(curves) <= MAX_NAMED)


def _mark_zero_shot(ax: Axes, start: pd.Series) -> None:
    """Draw the star of a zero-shot model and its name, to the side that has room."""
    _point(ax, start, "*", 240, "black")
    star = (start["reference"], start["shifts"])
    at_left = ax.transAxes.inverted().transform(ax.transData.transform(star))[0] < 0.25
    ax.annotate(
        "zero-shot",
        star,
        xytext=(8, -16) if at_left else (-9, 8),
        ha="left" if at_left else "right",
        textcoords="offset points",
    )


def _point(ax: Axes, row: pd.Series, marker: str, size: float, colour: str) -> None:
    ax.errorbar(
        row["reference"],
        row["shifts"],
        xerr=_arms(row, "reference"),
        yerr=_arms(row, "shifts"),
        color=colour,
        elinewidth=0.9,
        alpha=0.55,
        zorder=2,
    )
    ax.scatter(
        row["reference"],
        row["shifts"],
        marker=marker,
        s=size,
        color=colour,
        edgecolors="white",
        linewidths=0.8,
        zorder=4,
    )


def _arms(row: pd.Series, axis: str) -> list[list[float]]:
    """How far the interval reaches down and up."""
    return [[max(0.0, row[axis] - row[f"{axis}_low"])], [max(0.0, row[f"{axis}_high"] - row[axis])]]


def _path(
    ax: Axes,
    label: str,
    curve: pd.DataFrame,
    colour: str,
    line: str,
    name_alphas: bool,
    name_end: bool,
) -> None:
    ax.plot(
        curve["reference"],
        curve["shifts"],
        line,
        color=colour,
        zorder=3,
        label=f" {plain(label, 40)}",
    )  # matplotlib leaves a label that begins with _ out of the legend
    _mark_alphas(ax, curve, colour, name_alphas)
    _mark_edges(ax, curve, colour)
    end = curve[curve["alpha"] == 1].iloc[0]
    _point(ax, end, "D", 60, colour)
    if name_end:
        ax.annotate(
            f"{plain(label, 40)}, α=1",
            (end["reference"], end["shifts"]),
            xytext=(8, -12),
            textcoords="offset points",
            color=colour,
        )


def _mark_alphas(ax: Axes, curve: pd.DataFrame, colour: str, named: bool) -> None:
    """Draw a dot at each of the ``MARKED`` alphas that was measured. On a short curve only those get
    a name that are ``APART`` from both ends and from each other."""
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = curve[curve["alpha"].isin([0.0, 1.0])]
    taken = [*to_axes.transform(ends[list(AXES)].to_numpy(float))]
    for alpha in MARKED:
        near = curve[np.isclose(curve["alpha"], alpha)]
        if near.empty:
            continue
        dot = (float(near[AXES[0]].iloc[0]), float(near[AXES[1]].iloc[0]))
        ax.scatter(dot[0], dot[1], s=20, color=colour, zorder=4)
        place = to_axes.transform(dot)
        if named and all((abs(place - other) >= APART).any() for other in taken):
            taken.append(place)
            ax.annotate(
                f"α={alpha:g}",
                dot,
                xytext=(-5, 6) if alpha < 0.5 else (6, 4),
                textcoords="offset points",
                ha="right" if alpha < 0.5 else "left",
                fontsize=8,
                color=colour,
            )


def _mark_edges(ax: Axes, curve: pd.DataFrame, colour: str) -> None:
    """Draw a hollow triangle, pointing outwards, where an accuracy is 0 or 100 %."""
    for axis, below, above in (("reference", "<", ">"), ("shifts", "v", "^")):
        for side, marker in ((-1, below), (1, above)):
            at_edge = curve[curve[f"{axis}_edge"] == side]
            ax.scatter(
                at_edge["reference"],
                at_edge["shifts"],
                marker=marker,
                s=110,
                facecolors="none",
                edgecolors=colour,
                zorder=5,
            )


@dataclass(frozen=True)
class Panel:
    """One panel of ``among``, accuracies as fractions.

    Args:
        title: above it.
        models: the models of others, columns ``reference, shift, kind``.
        lines: by label, the baseline first; columns ``reference, predicted, low, high``.
        curves: own models by label, columns ``reference, shift``, in the order of alpha; a single
            row is one model.
        reference: what is on x.
    """

    title: str
    models: pd.DataFrame
    lines: Mapping[str, pd.DataFrame]
    curves: Mapping[str, pd.DataFrame]
    reference: str = "ImageNet"


def among(panels: Sequence[Panel], colours: Mapping[str, str], columns: int = 2) -> Figure:
    """Draw models among those of others, with lines and their bands, one panel for each shift.

    Args:
        panels: at least one.
        colours: of the kinds; the first is drawn first, below the others.
        columns: panels in a row.

    Returns:
        The figure.

    Source: the paper, figures 1 and 7.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with house_style():
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(6.4, 4.2 * rows + 0.8) if columns == 1 else (4.2 * columns, 3.7 * rows),
            squeeze=False,
            constrained_layout=True,
        )
        for ax, panel in zip(axes.flat, panels, strict=False):
            _among(ax, panel, colours)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel("Accuracy under shift (%)")
        named: dict[str, object] = {}
        for ax in axes.flat[: len(panels)]:
            named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        figure.legend(named.values(), named, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _among(ax: Axes, panel: Panel, colours: Mapping[str, str]) -> None:
    """Draw one panel: the models of others by kind, the lines with their bands, own curves."""
    for kind, colour in colours.items():
        part = panel.models[panel.models["kind"] == kind]
        if len(part):
            ax.scatter(part["reference"], part["shift"], s=9, color=colour, alpha=0.5, label=kind)
    for (label, line), style in zip(panel.lines.items(), LINES, strict=False):
        ax.fill_between(line["reference"], line["low"], line["high"], color="0.4", alpha=0.25, lw=0)
        ax.plot(line["reference"], line["predicted"], style, color="0.25", label=label)
    for label, curve in panel.curves.items():
        (path,) = ax.plot(curve["reference"], curve["shift"], zorder=4, label=plain(label, 40))
        first, last = curve.iloc[0], curve.iloc[-1]
        if len(curve) > 1:
            ax.scatter(
                first["reference"], first["shift"], marker="*", s=160, color="black", zorder=5
            )
        ax.scatter(
            last["reference"],
            last["shift"],
            marker="D",
            s=44,
            color=path.get_color(),
            edgecolors="white",
            zorder=5,
        )
    drawn = pd.concat([panel.models, *panel.curves.values()])
    logit_axes(ax, _around(drawn["reference"]), _around(drawn["shift"]))
    ax.set_xlabel(f"{plain(panel.reference)} accuracy (%)")
    ax.set_title(plain(panel.title), loc="left", fontsize=10)


def _around(values: pd.Series) -> tuple[float, float]:
    """The limits of an axis: a little more than what is drawn, within 0.5 to 99.5 %."""
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) + 0.005
    return max(0.005, low - margin), min(0.995, high + margin)


def alpha_curves(
    table: pd.DataFrame, columns: int = 2, guesses: Mapping[str, float] | None = None
) -> Figure:
    """Draw accuracy against alpha, one small panel for each split, the 95 % interval shaded.

    Args:
        table: a sweep.
        columns: panels in a row.
        guesses: the reader's prediction of the accuracy at alpha = 1, by split, as a fraction;
            drawn as a hollow diamond.

    Source: the paper, figure 6.
    """
    splits = list(dict.fromkeys(table["split"]))
    with house_style():
        rows = -(-len(splits) // columns)
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(3.2 * columns, 1.9 * rows),
            squeeze=False,
            sharex=True,
            constrained_layout=True,
        )
        for ax, split in zip(axes.flat, splits, strict=False):
            part = table[table["split"] == split].sort_values("alpha")
            _panel(ax, part, (guesses or {}).get(split))
            ax.set_title(
                f"{plain(split, 30)} (n={int(part['n'].iloc[0])})", loc="left", fontsize=10
            )
        for ax in axes.flat[len(splits) :]:
            ax.set_visible(False)
        lowest = axes.flat[max(0, len(splits) - columns) : len(splits)]  # of each column
        for ax in lowest:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("α")
        for ax in axes[:, 0]:
            ax.set_ylabel("accuracy (%)")
    return figure


def _panel(ax: Axes, curve: pd.DataFrame, guess: float | None) -> None:
    """Draw one split's accuracy against alpha, its two ends, and a guess for alpha = 1."""
    ax.fill_between(
        curve["alpha"], 100 * curve["low"], 100 * curve["high"], alpha=0.18, linewidth=0
    )
    (line,) = ax.plot(curve["alpha"], 100 * curve["accuracy"])
    first, last = curve.iloc[0], curve.iloc[-1]
    ax.scatter(first["alpha"], 100 * first["accuracy"], marker="*", s=90, color="black", zorder=3)
    ax.scatter(
        last["alpha"],
        100 * last["accuracy"],
        marker="D",
        s=28,
        color=line.get_color(),
        zorder=3,
    )
    if guess is not None:
        ax.scatter(
            1, 100 * guess, marker="D", s=60, facecolors="none", edgecolors="black", zorder=4
        )


def gallery(rows: Mapping[str, Split], class_names, label: str, most: int = 10) -> Figure:
    """Draw one class in several splits, a row of images each, as in the paper's figure 2.

    A split without the class is marked "none".

    Raises:
        UserError: the class is not among ``class_names``.
    """
    if label not in class_names:
        raise UserError(
            f"no class {label!r}; choose one of the class names, such as {class_names[0]!r}"
        )
    number = list(class_names).index(label)
    with house_style():
        figure, axes = plt.subplots(
            len(rows), most, figsize=(0.75 * most, 0.78 * len(rows)), squeeze=False
        )
        for line, (name, split) in zip(axes, rows.items(), strict=True):
            found = (split.labels == number).nonzero().flatten().tolist()[:most]
            for ax in line:
                ax.axis("off")
            for ax, i in zip(line, found, strict=False):
                ax.imshow(split[i][0])
            if not found:
                line[0].text(
                    0.5,
                    0.5,
                    "none",
                    ha="center",
                    va="center",
                    color="#666666",
                    transform=line[0].transAxes,
                )
            line[0].text(
                -0.15, 0.5, plain(name, 30), ha="right", va="center", transform=line[0].transAxes
            )
    return figure
