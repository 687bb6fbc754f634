"""What a figure shows, as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure

HEAD = ("panel", "kind", "label", "x", "y", "x low", "x high", "y low", "y high")


def data(figure: Figure) -> str:
    """Return what a figure shows as a table in CSV: one row for each point of a line, each dot and each
    bar, with the ends of its error bars; empty if there is none.

    A value that an axis names, such as a class, is written by its name. Images, bands and lines across
    the whole panel are left out.
    """
    figure.canvas.draw()
    rows = []
    for k, ax in enumerate(figure.axes):
        if not ax.get_visible() or hasattr(ax, "_colorbar"):
            continue
        panel = ax.get_title() or ax.get_title("left") or f"panel {k + 1}"
        names = [tick_names(axis) for axis in (ax.xaxis, ax.yaxis)]
        for kind, label, points in (*lines_of(ax), *dots_of(ax), *bars_of(ax)):
            for x, y, *ends in points:
                values = [names[0].get(x, f"{x:.6g}"), names[1].get(y, f"{y:.6g}")]
                rows.append([panel, kind, label, *values, *(f"{end:.6g}" for end in ends)])
    if not rows:
        return ""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([HEAD[: max(map(len, rows))], *rows])
    return file.getvalue()


def tick_names(axis: Axis) -> dict[float, str]:
    """Return the names on an axis by their place; empty if all are numbers."""
    texts = [label.get_text() for label in axis.get_ticklabels()]
    if not any(re.search("[A-Za-z]", text) and "$" not in text for text in texts):
        return {}
    return dict(zip(map(float, axis.get_ticklocs()), texts, strict=False))


def label_of(artist: Any) -> str:
    """Return an artist's label, as in the legend; empty if it has none."""
    label = str(artist.get_label())
    return "" if label.startswith("_") else label.strip()


def lines_of(ax: Axes) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield kind, label and points of each line of a panel; error bars have their ends."""
    bars = [found for found in ax.containers if isinstance(found, ErrorbarContainer)]
    ends = {id(found[0]): found for found in bars if found[0] is not None}
    caps = {id(cap) for found in bars for cap in found[1]}
    for line in ax.lines:
        if id(line) in caps or line.get_transform() != ax.transData:
            continue
        points = np.column_stack(line.get_data(orig=False)).astype(float)
        if not len(points):
            continue  # a seaborn legend's
        found = ends.get(id(line))
        if found is not None:
            points = np.column_stack([points, *error_ends(found, points)])
        yield "line", label_of(found or line), points.tolist()


def error_ends(bars: ErrorbarContainer, points: Any) -> Iterator[Any]:
    """Yield the columns of the low and the high ends along x and y; without error bars, the point."""
    segments = [np.array([path.vertices for path in found.get_paths()]) for found in bars[2]]
    for axis, has in enumerate((bars.has_xerr, bars.has_yerr)):
        both = segments.pop(0)[:, :, axis] if has else points[:, [axis, axis]]
        yield both if len(both) == len(points) else np.full((len(points), 2), np.nan)


def dots_of(ax: Axes) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield kind, label and points of each scatter plot of a panel."""
    for dots in ax.collections:
        if isinstance(dots, PathCollection):
            points = np.ma.filled(np.ma.asarray(dots.get_offsets(), float), np.nan)
            if len(points):
                yield "dots", label_of(dots), points.tolist()


def bars_of(ax: Axes) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield kind, label and ends of the bars of a panel: the place and the value."""
    for bars in ax.containers:
        if isinstance(bars, BarContainer):
            lying = bars.orientation == "horizontal"
            yield (
                "bars",
                label_of(bars),
                [
                    (bar.get_width(), bar.get_y() + bar.get_height() / 2)
                    if lying
                    else (bar.get_x() + bar.get_width() / 2, bar.get_height())
                    for bar in bars
                ],
            )
