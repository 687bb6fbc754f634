"""Draw the mark of the book and a small image for each of its parts: python data_scripts/build_parts.py

As for the diagrams, each function draws one, and its docstring is the text for those who do not see
it. The start page repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import arguments
from build_diagrams import alt, arc, moved
from drawing import Point, Sheet, diamond_corners, star_corners

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
MARK, PARTS = STATIC / "favicon.svg", STATIC / "parts"
WIDTH, HEIGHT = 96, 72


def mark() -> str:
    """Return the mark of the book: zero-shot star, line and fine-tuned diamond. It brings its own
    ground, because it is also the icon of a tab, where no theme reaches it."""

    def filled(corners: list[Point]) -> str:
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"
        return (
            f'<path d="{d}" fill="#fff" stroke="#0072b2" stroke-width="2.4" paint-order="stroke"/>'
        )

    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        '<rect width="32" height="32" rx="6" fill="#0072b2"/>'
        '<path d="M9 22C9 8 18 2 24 11" fill="none" stroke="#fff" stroke-width="2.6"/>'
        f"{filled(star_corners(9, 22.5, 7.5))}{filled(diamond_corners(24.5, 15.5, 5.5))}</svg>\n"
    )


def curve(start: Point, bend: Point, end: Point) -> list[Point]:
    """Return points of the curve from one point to another that is drawn towards a third."""
    points = []
    for k in range(25):
        t = k / 24
        parts = zip(start, bend, end, strict=True)
        x, y = (a * (1 - t) ** 2 + 2 * b * t * (1 - t) + c * t**2 for a, b, c in parts)
        points.append((x, y))
    return points


def before_you_start(s: Sheet) -> None:
    """A window with a prompt that waits for a command."""
    s.box(10, 8, 76, 56, fill="still")
    s.path([(10, 20), (86, 20)], "muted", 1)
    for x in (17, 24, 31):
        s.dot(x, 14, 2.2, "muted")
    s.path([(20, 31), (28, 38), (20, 45)], "blue", 2.4)
    s.path([(34, 46), (52, 46)], "ink", 2.4)


def zero_shot(s: Sheet) -> None:
    """Three words, each of which becomes a row of numbers."""
    rows = ((0.8, 0.1, 0.9, 0.3), (0.1, 0.9, 0.3, 0.8), (0.6, 0.4, 0.0, 0.9))
    for k, row in enumerate(rows):
        top = 9 + 20 * k
        s.box(3, top, 24, 14, fill="rose", edge="pink")
        s.path([(8, top + 7), ((22, 18, 20)[k], top + 7)], "pink", 2)
        s.arrow((28, top + 7), (38, top + 7), colour="pink")
        s.cells(39, top + 0.5, row, "pink", 13.5)


def fine_tuning(s: Sheet) -> None:
    """Two axes. Fine-tuning leads from the star to a diamond further right and lower, and a curve
    with three dots leads from the one to the other above it."""
    s.path([(10, 4), (10, 64), (92, 64)], "muted", 1.2)
    start, end = (24, 38), (78, 48)
    s.arrow(start, moved(end, -8, -1.5), colour="muted", dash="3 2.5")
    way = curve(start, (60, -6), end)
    s.path(way, "blue", 2)
    for k in (6, 12, 18):
        s.dot(*way[k], 3.4)
    s.star(*start, 9)
    s.diamond(*end, 7)


def lens(s: Sheet) -> None:
    """A magnifying glass over the middle of the curve between the star and the diamond."""
    start, end, centre = (11, 56), (85, 60), (46, 29)
    way = curve(start, (44, -16), end)
    s.path(way, "blue", 1.6)
    s.path([moved(centre, 14, 14), moved(centre, 27, 27)], "ink", 5)
    s.path(arc(centre, 20, 0, 6.2832), "ink", 2, fill="paper", closed=True)
    s.path(curve(moved(centre, -19, 3), moved(centre, 2, -18), moved(centre, 18, 7)), "blue", 3)
    s.dot(*moved(centre, 0.5, -6), 5.5)
    s.star(*start, 8)
    s.diamond(*end, 6)


def soups(s: Sheet) -> None:
    """Four diamonds around a square, which is their mean; a star at the lower left is where
    their training started."""
    start, runs = (12, 60), [(20, 20), (50, 9), (84, 24), (78, 56)]
    mean = (sum(x for x, _ in runs) / 4, sum(y for _, y in runs) / 4)
    for run in runs:
        s.path([start, run], "faint", 1.4)
        s.path([run, mean], "blue", 1.3, "2 2.5")
    for run in runs:
        s.diamond(*run, 6, "muted")
    s.star(*start, 9)
    s.square(*mean, 7)


def your_size(s: Sheet) -> None:
    """Three boxes, each larger than the one before, with the same star in them."""
    s.path([(4, 64), (92, 64)], "muted", 1.2)
    for left, side, radius in ((5, 15, 4.5), (24, 25, 7.5), (53, 38, 12)):
        s.box(left, 64 - side, side, side, fill="sky", edge="blue")
        s.star(left + side / 2, 64.5 - side / 2, radius)


def explore(s: Sheet) -> None:
    """Many dots along a rising line, and a star far above it."""
    s.path([(8, 4), (8, 66), (92, 66)], "muted", 1.2)
    s.path([(12, 62), (90, 22)], "muted", 1.8)
    for x, off in (
        (16, -3),
        (24, 4),
        (30, -4),
        (39, 3),
        (46, -2),
        (56, 5),
        (63, -3),
        (74, 4),
        (84, -3),
    ):
        s.dot(x, 62 - 40 * (x - 12) / 78 + off, 3, "muted")
    s.path([(58, 38), (58, 24)], "blue", 1.6, "2 2")
    s.star(58, 15, 10)


def instructors(s: Sheet) -> None:
    """A sheet with three answers: two have a tick, one has a cross."""
    s.box(18, 5, 60, 62, fill="paper")
    for y in (19, 36, 53):
        s.path([(27, y), ((54, 50, 52)[(y - 19) // 17], y)], "muted", 2)
        if y == 36:
            s.path([(62, y - 4), (70, y + 4)], "orange", 2.2)
            s.path([(70, y - 4), (62, y + 4)], "orange", 2.2)
        else:
            s.path([(61, y), (65, y + 4), (71, y - 5)], "green", 2.2)


def reference(s: Sheet) -> None:
    """Boxes on three levels, with arrows that all point down."""
    for x in (28, 68):
        s.arrow((48, 20), (x, 29))
        s.arrow((x, 43), (48, 52))
    s.box(32, 6, 32, 14, fill="still")
    s.box(12, 29, 32, 14, fill="still")
    s.box(52, 29, 32, 14, fill="still")
    s.box(32, 52, 32, 14, fill="sky", edge="blue")


def appendix(s: Sheet) -> None:
    """Two sheets of paper with lines, one behind the other, and a bookmark."""
    s.box(36, 5, 46, 54, fill="still")
    s.box(16, 12, 46, 56, fill="paper")
    for y, end in ((24, 44), (33, 54), (42, 51), (51, 54), (60, 40)):
        s.path([(23, y), (end, y)], "muted", 1.8)
    s.path([(50, 11), (58, 11), (58, 26), (54, 22), (50, 26)], "", fill="orange", closed=True)


# In the order of _toc.yml.
DRAWINGS: tuple[Callable[[Sheet], None], ...] = (
    before_you_start,
    zero_shot,
    fine_tuning,
    lens,
    soups,
    your_size,
    explore,
    instructors,
    reference,
    appendix,
)


def files() -> dict[Path, str]:
    """Return every file that this script writes, with its text."""
    found = {MARK: mark()}
    for draw in DRAWINGS:
        sheet = Sheet(HEIGHT, alt(draw), WIDTH)
        draw(sheet)
        found[PARTS / f"{draw.__name__}.svg"] = sheet.svg()
    return found


def main() -> None:
    arguments.parser(__doc__).parse_args()
    PARTS.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(STATIC))


if __name__ == "__main__":
    main()
