"""Drawings as SVG in the grammar of the book's plots, for light and dark pages.

A ``Sheet`` is as wide as a phone: one unit is one pixel there. Marks and colours are those of
``wiseft_lite.figures``: a star is the zero-shot model, a diamond a fine-tuned one, blue is what
fine-tuning moves. Every colour is a name in ``LIGHT`` and in ``DARK``, never a number in a drawing,
so none can vanish on the other background.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

WIDTH = 360
SCALE = 560 / WIDTH  # of a unit in the column of a page, in pixels
SIZE, SMALL, INDEX = 12, 10.5, 9.5  # of letters; the smallest is the index in a formula
LIGHT = {
    "paper": "#ffffff",
    "ink": "#222832",
    "muted": "#56606f",
    "faint": "#d5d9df",
    "still": "#eceff3",  # the inside of a box that training leaves alone
    "blue": "#0072b2",
    "sky": "#dcebf6",  # the inside of a box that training moves
    "orange": "#b84f00",  # the plots' #d55e00 is too pale for letters
    "green": "#00795a",
    "mint": "#dcf2ea",
    "pink": "#a3517f",
    "rose": "#f8e7f0",
}
DARK = {
    "paper": "#14181e",
    "ink": "#dbe2e8",
    "muted": "#a7b0bc",
    "faint": "#414b59",
    "still": "#29313d",
    "blue": "#56b4e9",
    "sky": "#14374f",
    "orange": "#f0965a",
    "green": "#45cfa5",
    "mint": "#123b30",
    "pink": "#e39bc4",
    "rose": "#43273a",
}
SERIF = "'STIX Two Text','Times New Roman',Times,'Liberation Serif',serif"
LETTERS = re.compile(r"_(\w)|([A-Za-zα-ω]+)|([^A-Za-zα-ω_]+)")


def _colours(palette: dict[str, str], paper: str = "{}") -> str:
    values = {**palette, "paper": paper.format(palette["paper"])}
    return "".join(f"--{name}:{value};" for name, value in values.items())


OF_PAGE = "var(--pst-color-background,{})"  # the theme's own, in a page of the site


# A page of the site names its theme; a file that is opened by itself follows the system.
STYLE = (
    f".diagram{{{_colours(LIGHT)}background:var(--paper);max-width:100%;height:auto;"
    "font-family:Arial,Helvetica,'Liberation Sans',sans-serif}"
    f"@media (prefers-color-scheme:dark){{.diagram{{{_colours(DARK)}}}}}"
    f"html[data-theme=light] .diagram{{{_colours(LIGHT, OF_PAGE)}}}"
    f"html[data-theme=dark] .diagram{{{_colours(DARK, OF_PAGE)}}}"
    f".diagram .v{{font-family:{SERIF};font-style:italic}}"
    ".diagram .halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-opacity:.8;stroke-linejoin:round}"
)


def formula(text: str) -> str:
    """Return mathematics as ``tspan``: letters slanted, ``_`` before an index of one letter.

    Example:
        >>> formula("W_0")
        '<tspan class="v">W</tspan><tspan dy="3" font-size="9.5">0</tspan><tspan dy="-3">\u200b</tspan>'
    """
    parts = []
    for index, letters, others in LETTERS.findall(text):
        if index:
            parts.append(
                f'<tspan dy="3" font-size="{INDEX:g}">{index}</tspan><tspan dy="-3">\u200b</tspan>'
            )
        elif letters:
            parts.append(f'<tspan class="v">{letters}</tspan>')
        else:
            parts.append(escape(others))
    return "".join(parts)


def spans(text: str) -> str:
    """Return text whose parts between two ``$`` are mathematics."""
    parts = text.split("$")
    return "".join(formula(part) if k % 2 else escape(part) for k, part in enumerate(parts))


def star_corners(x: float, y: float, radius: float) -> list[Point]:
    """Return the corners of the star that marks a zero-shot model."""
    corners = []
    for k in range(10):
        r, angle = radius * (1 if k % 2 == 0 else 0.4), math.pi * (k / 5 - 0.5)
        corners.append((x + r * math.cos(angle), y + r * math.sin(angle)))
    return corners


def diamond_corners(x: float, y: float, radius: float) -> list[Point]:
    """Return the corners of the diamond that marks a fine-tuned model."""
    return [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]


class Sheet:
    """A drawing. Coordinates are in units from the upper left corner; colours are names of
    ``LIGHT``.

    Args:
        height: in units.
        alt: the drawing in words, for those who do not see it.
        width: in units.
    """

    def __init__(self, height: float, alt: str, width: float = WIDTH) -> None:
        self.height, self.alt, self.width = height, alt, width
        self.parts: list[str] = []

    def svg(self) -> str:
        """Return the whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram" role="img" '
            f'width="{self.width * SCALE:.0f}" viewBox="0 0 {self.width:g} {self.height:g}" '
            f"aria-label={quoteattr(self.alt)}>"
        )
        return "\n".join([head, f"<style>{STYLE}</style>", *self.parts, "</svg>"]) + "\n"

    def path(
        self,
        points: Iterable[Point],
        colour: str = "ink",
        width: float = 1.2,
        dash: str = "",
        fill: str = "",
        closed: bool = False,
        opacity: float = 1,
    ) -> None:
        """Draw straight lines from point to point; an empty ``colour`` draws the inside alone."""
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z" * closed
        line = f' stroke="var(--{colour})" stroke-width="{width:g}"' if colour else ""
        line += f' stroke-dasharray="{dash}"' if dash else ""
        line += f' opacity="{opacity:g}"' if opacity < 1 else ""
        inside = f"var(--{fill})" if fill else "none"
        self.parts.append(f'<path d="{d}" fill="{inside}" stroke-linejoin="round"{line}/>')

    def area(self, polygons: Iterable[Iterable[Point]], colour: str, opacity: float) -> None:
        """Draw polygons as one area; where they overlap, it is no darker.

        Args:
            polygons: their corners, all in the same direction.
            colour: of the inside; there is no edge.
            opacity: of the whole.
        """
        d = "".join(
            "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z" for corners in polygons
        )
        self.parts.append(f'<path d="{d}" fill="var(--{colour})" opacity="{opacity:g}"/>')

    def arrow(self, *points: Point, colour: str = "muted", width: float = 1.3, dash: str = ""):
        """Draw a line through the points with a head at the last one."""
        (x0, y0), (x, y) = points[-2:]
        length = math.hypot(x - x0, y - y0)
        u, v, size = (x - x0) / length, (y - y0) / length, 4 + width
        back = (x - size * u, y - size * v)
        self.path([*points[:-1], back], colour, width, dash)
        left, right = ((back[0] + s * v * size / 2, back[1] - s * u * size / 2) for s in (1, -1))
        self.path([(x, y), left, right], "", fill=colour, closed=True)

    def box(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        lines: str | Sequence[str] = (),
        fill: str = "still",
        edge: str = "muted",
        dash: str = "",
    ) -> None:
        """Draw a box with lines of text in its middle."""
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="4" '
            f'fill="var(--{fill})" stroke="var(--{edge})" stroke-width="1.1"{dashes}/>'
        )
        lines = [lines] if isinstance(lines, str) else list(lines)
        first = top + height / 2 + 4 - 7 * (len(lines) - 1)
        for k, line in enumerate(lines):
            self.text(left + width / 2, first + 14 * k, line)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "middle",
        size: float = SIZE,
        colour: str = "ink",
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """Write a line of text on the base line ``y``; ``$...$`` is mathematics. A halo keeps it
        readable on lines."""
        extra = ' font-weight="bold"' * bold + ' class="halo"' * halo
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="var(--{colour})"{extra}>{spans(text)}</text>'
        )

    def _mark(self, corners: Sequence[Point], colour: str) -> None:
        self.path(corners, "paper", 1, fill=colour, closed=True)

    def star(self, x: float, y: float, radius: float = 9, colour: str = "ink") -> None:
        """Draw the zero-shot model."""
        self._mark(star_corners(x, y, radius), colour)

    def diamond(self, x: float, y: float, radius: float = 7, colour: str = "blue") -> None:
        """Draw a fine-tuned model."""
        self._mark(diamond_corners(x, y, radius), colour)

    def square(self, x: float, y: float, radius: float = 6, colour: str = "blue") -> None:
        """Draw a soup."""
        r = radius
        self._mark([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)], colour)

    def dot(
        self, x: float, y: float, radius: float = 4, colour: str = "blue", hollow: bool = False
    ) -> None:
        """Draw an interpolated model, or any model without a mark of its own."""
        fill, edge = ("paper", colour) if hollow else (colour, "paper")
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="var(--{fill})" '
            f'stroke="var(--{edge})" stroke-width="{1.6 if hollow else 1:g}"/>'
        )

    def cells(
        self, left: float, top: float, values: Sequence[float], colour: str, width: float = 14
    ) -> None:
        """Draw a row of numbers between 0 and 1 as shades."""
        for k, value in enumerate(values):
            x = left + k * width
            self.parts.append(
                f'<rect x="{x:g}" y="{top:g}" width="{width:g}" height="13" stroke="var(--paper)" '
                f'fill="var(--{colour})" fill-opacity="{0.12 + 0.88 * value:.2f}"/>'
            )
