"""Figures laid out anew for a phone."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
from figure_data import tick_names
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text

WIDTH = 3.6  # inches; a phone shows a figure about 360 px wide
SMALLEST = 7.5  # points: 10 px on a phone
MATH = 0.7  # size of a superscript against that of its text
SHORT = 2.6  # inches, of a panel among others; a panel alone may be TALL
TALL = 3.4
LINE = 0.19  # inches that a line of text needs


def narrow(figure: Figure) -> None:
    """Lay a figure out anew, ``WIDTH`` wide.

    Panels that lie beside each other go below each other, in one column or two; colour bars go below
    their panel, and a legend that does not fit into its panel below all; long titles and labels are
    broken. A grid of images alone only shrinks.
    """
    figure.canvas.draw()
    mappables = with_colour_bars(figure)
    for ax in [ax for ax in figure.axes if not ax.get_visible()]:
        ax.remove()
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    enlarge(figure)
    if all(not ax.axison for ax in panels):
        figure.set_layout_engine("compressed")
        wide, high = figure.get_size_inches()
        figure.set_size_inches(np.array([wide, high]) * min(1, WIDTH / wide))
        return
    figure.set_layout_engine("constrained")
    restack(figure, panels)
    for old in figure.legends[:]:
        below(figure, old, panels)
    for mappable, label in mappables:
        of = panels if len(mappables) == 1 else mappable.axes
        figure.colorbar(mappable, ax=of, location="bottom", label=label)
    for _ in range(2):  # a legend that leaves gives room to the labels
        figure.canvas.draw()
        enlarge(figure)
        for ax in panels:
            fit_ticks(ax)
            fit_names(ax)
            fit_texts(figure, ax, panels)
            if ax.get_legend() is not None and not fits(ax.get_legend(), ax):
                below(figure, ax.get_legend(), panels)


def size(text: Text) -> float:
    """Return the size of the smallest letters of a text in points."""
    return text.get_fontsize() * (MATH if re.search(r"\$.*[\^_].*\$", text.get_text()) else 1)


def enlarge(figure: Figure) -> None:
    """Make all letters at least ``SMALLEST``."""
    for text in figure.findobj(Text):
        text.set_fontsize(text.get_fontsize() * max(1, SMALLEST / size(text)))


def with_colour_bars(figure: Figure) -> list[tuple[ScalarMappable, str]]:
    """Remove the colour bars; return what each was for, and its label."""
    found = []
    for mappable in figure.findobj(lambda artist: isinstance(artist, ScalarMappable)):
        bar = mappable.colorbar
        if bar is not None and bar.ax in figure.axes:
            found.append((mappable, bar.ax.get_ylabel() or bar.ax.get_xlabel()))
            bar.remove()
    return found


def restack(figure: Figure, panels: list[Axes]) -> None:
    """Place panels in a grid of at most two columns, with the labels that their places need."""
    places: dict[Any, list[Axes]] = {}
    for ax in panels:  # twins have the same place
        places.setdefault(ax.get_subplotspec().get_topmost_subplotspec(), []).append(ax)
    cells = sorted(places, key=lambda cell: (cell.rowspan.start, cell.colspan.start))
    across, down = cells[0].get_gridspec().ncols, cells[0].get_gridspec().nrows
    wide, high = figure.get_size_inches()
    columns = 2 if across > 1 and len(cells) >= 4 and wide / across < WIDTH else 1
    leaders = {cell.rowspan.start: places[cell][0].get_ylabel() for cell in reversed(cells)}
    under = {cell.colspan.start: places[cell][0].get_xlabel() for cell in cells}
    named = [ax for ax in panels if ax.get_xlabel()]
    if len(named) == 1 < len(cells) and columns == 1:  # one label for the whole row
        under = dict.fromkeys(under, named[0].get_xlabel())
        named[0].set_xlabel("")
    rows = -(-len(cells) // columns)
    grid = GridSpec(rows, columns, figure=figure)
    height = high / down
    for k, cell in enumerate(cells):
        bottom = k + columns >= len(cells)
        for ax in places[cell]:
            ax.set_subplotspec(grid[k // columns, k % columns])
            label_outside(ax.xaxis, ax.get_shared_x_axes(), under[cell.colspan.start], bottom)
            first = k % columns == 0
            label_outside(ax.yaxis, ax.get_shared_y_axes(), leaders[cell.rowspan.start], first)
    most = TALL if len(cells) == 1 else SHORT
    lines = max(rows_of_text(ax) for ax in panels)
    height = max(min(height, most), LINE * lines + 0.7)
    figure.set_size_inches(WIDTH, rows * height)


def rows_of_text(ax: Axes) -> int:
    """Return how many texts lie above each other: names on the y axis, or notes in the panel."""
    return max(len(tick_names(ax.yaxis)), len(ax.texts))


def label_outside(axis: Axis, shared: Any, text: str, outside: bool) -> None:
    """Give an axis at the outside of a grid its label and numbers; take those from one inside if it
    shares them."""
    alone = len(shared.get_siblings(axis.axes)) == 1
    if outside:
        axis.set_label_text(axis.get_label_text() or text)
    if not alone:
        axis.set_tick_params(**{"labelbottom" if axis.axis_name == "x" else "labelleft": outside})
        if not outside:
            axis.set_label_text("")


def fits(legend: Legend, ax: Axes) -> bool:
    """Whether a legend lies in its panel, leaves most of it free, and hides no data."""
    box, room = legend.get_window_extent(), ax.get_window_extent()
    inside = box.x0 >= room.x0 - 2 and box.x1 <= room.x1 + 2 and box.y0 >= room.y0 - 2
    free = box.width * box.height <= 0.3 * room.width * room.height
    drawn = [line.get_transform().transform(line.get_xydata()) for line in ax.lines]
    dots = [found for found in ax.collections if isinstance(found, PathCollection)]
    drawn += [ax.transData.transform(found.get_offsets()) for found in dots]
    hidden = sum(box.count_contains(points) for points in drawn)
    hidden += box.count_overlaps([bar.get_window_extent() for bar in ax.patches])
    return inside and free and not hidden


def below(figure: Figure, old: Legend, panels: list[Axes]) -> None:
    """Put a legend below all panels, in as many columns as fit."""
    labels = [text.get_text() for text in old.get_texts()]
    known: dict[str, Any] = {}
    for ax in panels:
        known = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) | known
    handles = [known.get(*pair) for pair in zip(labels, old.legend_handles, strict=True)]
    title = old.get_title().get_text().replace("\n", " ")
    letters = old.get_texts()[0].get_fontsize()
    old.remove()
    for columns in range(min(4, len(labels)), 0, -1):
        new = figure.legend(
            handles,
            labels,
            title=title or None,
            fontsize=letters,
            ncols=columns,
            loc="outside lower center",
            frameon=False,
        )
        box = new.get_window_extent()
        if box.width <= figure.bbox.width or columns == 1:
            break
        new.remove()
    wide, high = figure.get_size_inches()
    figure.set_size_inches(wide, high + box.height / figure.dpi)


def fit_texts(figure: Figure, ax: Axes, panels: list[Axes]) -> None:
    """Break the titles and labels of a panel that are longer than their room."""
    room = ax.get_window_extent()
    beside = [other.get_window_extent().x0 for other in panels]
    right = min((x for x in beside if x > room.x1), default=figure.bbox.x1)
    middle = (room.x0 + room.x1) / 2
    centred = 2 * min(middle - figure.bbox.x0, right - middle)
    for text, most in (
        (ax.title, centred),
        (ax._left_title, right - room.x0),  # matplotlib has no other way to it
        (ax.xaxis.label, centred),
    ):
        wrap(text, most, lambda box: box.width)
    wrap(ax.yaxis.label, 1.15 * room.height, lambda box: box.height)


def wrap(text: Text, most: float, length: Callable[[Any], float]) -> None:
    """Break a text into lines that are as long as ``most`` pixels allow."""
    words = text.get_text()
    for letters in range(len(words) - 1, 7, -1):
        if length(text.get_window_extent()) <= most:
            return
        text.set_text(textwrap.fill(words, letters, break_long_words=False))


def fit_ticks(ax: Axes) -> None:
    """Turn the names on an x axis if they would overlap."""
    boxes = [
        label.get_window_extent()
        for label in ax.get_xticklabels()
        if label.get_text() and label.get_visible()
    ]
    boxes.sort(key=lambda box: box.x0)
    if any(b.x0 < a.x1 for a, b in zip(boxes, boxes[1:], strict=False)):
        ax.tick_params(axis="x", labelrotation=90 if len(boxes) > 8 else 45)


def fit_names(ax: Axes) -> None:
    """Move the right end of a panel until the texts at its dots end before it."""
    low, high = ax.get_xlim()
    for text in ax.texts:
        wide = text.get_window_extent().width / ax.get_window_extent().width
        if text.get_transform() == ax.transData and wide < 1 and ax.get_xscale() == "linear":
            high = max(high, low + (text.get_position()[0] - low) / (1 - wide))
            ax.set_xlim(low, high)
