"""The versions of a figure that a page of the book shows: wide and narrow, for the light theme and the dark.

A notebook draws a figure once, as its reader sees it in Jupyter. While the book is built, ``register``
makes each kernel hand out these versions beside that image, and ``build_book.py`` puts them into the page.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib
import numpy as np
from figure_data import data
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from narrow_figures import SMALLEST, narrow, size
from page_figures import TYPE

SCALE = 100  # px per inch of a narrow version
SVG_LIMIT = 60_000  # bytes; a larger drawing becomes a PNG
INK, GROUND = to_rgba("#ced6dd")[:3], to_rgba("#121212")[:3]  # of the theme's dark pages
CONTRAST = 4.5  # of a colour with GROUND, as WCAG asks of text


made: WeakKeyDictionary[Figure, dict[str, Any]] = WeakKeyDictionary()


def register() -> None:
    """Let the running IPython hand out the versions of each figure that it displays."""
    import IPython

    formatter = IPython.get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type(Figure, lambda figure: {TYPE: versions(figure)})


def versions(figure: Figure) -> dict[str, Any]:
    """Return all versions of a figure, ready for JSON. The figure keeps its narrow layout.

    Returns:
        ``wide`` and ``narrow``, each with ``light`` and ``dark`` as ``drawn`` returns them, and
        ``data``, a table in CSV or an empty text.
    """
    if figure not in made:  # a cell may display a figure, and pyplot show it again
        made[figure] = {"data": data(figure), "wide": themes(figure, figure.dpi)}
        narrow(figure)
        made[figure]["narrow"] = themes(figure, SCALE)
    return made[figure]


def themes(figure: Figure, scale: float) -> dict[str, dict[str, Any]]:
    """Return the light and the dark version of a figure as it is laid out now."""
    light = drawn(figure, scale, transparent=False)
    with dark(figure):
        return {"light": light, "dark": drawn(figure, scale, transparent=True)}


def drawn(figure: Figure, scale: float, transparent: bool) -> dict[str, Any]:
    """Draw a figure: as SVG if that is small, with the letters as outlines, else as PNG.

    Args:
        figure: it is cropped to what it shows, as in a notebook.
        scale: px per inch on the page.
        transparent: without the figure's background.

    Returns:
        ``kind`` (``svg`` or ``png``), ``content`` (text, or base64), ``width`` and ``height`` in px
        on the page, and ``text``, the height of the smallest letters there in px.
    """
    settings = {"svg.fonttype": "path", "svg.hashsalt": "wiseft"}
    with matplotlib.rc_context(settings):
        file = io.BytesIO()
        figure.savefig(
            file,
            format="svg",
            bbox_inches="tight",
            transparent=transparent,
            metadata={"Date": None},
        )
    content = squeezed(file.getvalue().decode())
    points = re.search(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', content).groups()
    width, height = (round(float(side) / 72 * scale) for side in points)
    kind = "svg"
    if len(content) > SVG_LIMIT:
        file = io.BytesIO()
        figure.savefig(
            file, format="png", bbox_inches="tight", transparent=transparent, dpi=2 * scale
        )
        if len(file.getvalue()) < len(content):
            kind, content = "png", base64.b64encode(file.getvalue()).decode()
    return {
        "kind": kind,
        "content": content,
        "width": width,
        "height": height,
        "text": round(smallest_text(figure) / 72 * scale, 2),
    }


def squeezed(svg: str) -> str:
    """Return a drawing of matplotlib with less space and paths of two decimals (of a point)."""
    svg = re.sub(r"<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'(?<= [dxy]=")[^"]*',
        lambda path: re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}", path[0]),
        svg,
    )
    return re.sub(r"\s+", " ", svg).replace("> <", "><")


def smallest_text(figure: Figure) -> float:
    """Return the size of the smallest visible text in points."""
    sizes = [
        size(text)
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
        if text.axes is None or text.axes.get_visible()
    ]
    return min(sizes, default=SMALLEST)


# Dark pages.


@contextmanager
def dark(figure: Figure) -> Iterator[None]:
    """Show a figure in the ink of a dark page.

    What stands for a value keeps its colour: images, contours, and dots with a colour bar.
    """
    figure.canvas.draw()  # now it has all its ticks
    on_map = {id(text) for lines in figure.findobj(ContourSet) for text in lines.labelTexts}
    undo: list[tuple[Callable[[Any], None], Any]] = []
    for artist in figure.findobj():
        if id(artist) in on_map or getattr(artist, "get_array", lambda: None)() is not None:
            continue
        names = COLOURS.get(next((k for k in COLOURS if isinstance(artist, k)), Artist), ())
        undo += [(getattr(artist, f"set_{n}"), getattr(artist, f"get_{n}")()) for n in names]
    for set_colour, old in undo:
        set_colour(recoloured(old))
    try:
        yield
    finally:
        for set_colour, old in undo:
            set_colour(old)


COLOURS: dict[type[Artist], tuple[str, ...]] = {  # properties of artists
    Text: ("color",),
    Line2D: ("color", "markerfacecolor", "markeredgecolor"),
    Patch: ("facecolor", "edgecolor"),
    Collection: ("facecolor", "edgecolor"),
}


def recoloured(colour: Any) -> Any:
    """Return ``on_dark`` of a colour, or of each in a list."""
    if isinstance(colour, str) and colour in ("none", "auto"):
        return colour
    if isinstance(colour, np.ndarray) and colour.ndim == 2:
        return to_rgba_array([on_dark(one) for one in colour])
    return on_dark(colour)


def on_dark(colour: Any) -> tuple[float, float, float, float]:
    """Return a colour for a dark page: black becomes the page's ink, white its ground, and a grey is as
    far between. Another colour is mixed with white until it can be read.

    Example:
        >>> on_dark("black")[:3] == INK, on_dark("#56B4E9") == to_rgba("#56B4E9")
        (True, True)
    """
    *parts, alpha = to_rgba(colour)
    old = np.array(parts)
    if np.ptp(old) < 0.1:
        new = np.array(INK) + old.mean() * (np.array(GROUND) - INK)
    else:
        mixed = (old + white * (1 - old) for white in np.linspace(0, 1, 51))
        new = next(one for one in mixed if contrast(one, GROUND) >= CONTRAST)
    return (*new.tolist(), alpha)


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the contrast of two colours.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio

    Example:
        >>> round(contrast((0, 0, 0), (1, 1, 1)))
        21
    """

    def luminance(colour: Sequence[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
