"""Draw the diagrams of the chapters: python data_scripts/build_diagrams.py

Each function draws one; its docstring is the text for those who do not see it, and the chapter's
Markdown repeats it. The packages are drawn by ``build_reference.py`` on the same kind of sheet.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import arguments
import contourpy
import numpy as np
from drawing import SMALL, Point, Sheet

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "book" / "_static" / "diagrams"
RECORD = ROOT / "wiseft_lite" / "book" / "record"


def icon(s: Sheet, x: float, y: float, size: float) -> None:
    """Draw the image that all diagrams classify: a rocket, framed, centred at the point."""
    half, u = size / 2, size / 56
    s.box(x - half, y - half, size, size, fill="paper")
    body = [(0, -22), (6, -14), (8, -5), (8, 8), (-8, 8), (-8, -5), (-6, -14)]
    fins = ([(8, 0), (15, 8), (15, 15), (8, 8)], [(-8, 0), (-15, 8), (-15, 15), (-8, 8)])
    flame = [(-4, 11), (0, 21), (4, 11)]
    for part in (body, *fins, flame):
        s.path([(x + a * u, y + b * u) for a, b in part], "ink", 1.4, closed=True)
    s.dot(x, y - 5 * u, 3 * u, "ink", hollow=True)


def clip_head(s: Sheet) -> None:
    """Two columns. At the left, the class names umbrella, rocket and skull are put into prompts such
    as "an icon of a rocket"; the text encoder turns them into three rows of numbers, the zero-shot
    head W. At the right, the image encoder turns the image of a rocket into features x, a row of the
    same length. Each row times x is one logit; the row of rocket resembles x most, so its logit is
    the largest: words alone have made a classifier."""
    names = ("umbrella", "rocket", "skull")
    rows = {
        "umbrella": (0.7, 0.1, 0.9, 0.3, 0.0, 0.6, 0.1, 0.8),
        "rocket": (0.1, 0.9, 0.2, 0.7, 0.8, 0.0, 0.6, 0.1),
        "skull": (0.8, 0.5, 0.0, 0.1, 0.3, 0.9, 0.7, 0.4),
    }
    image = (0.2, 0.8, 0.1, 0.8, 0.7, 0.1, 0.7, 0.0)
    s.text(106, 14, "words, once per class", bold=True)
    s.text(299, 14, "an image", bold=True)
    for k, name in enumerate(names):
        s.box(6 + 68 * k, 24, 64, 22, name, "paper", "pink")
    s.path([(38, 46), (38, 53), (174, 53), (174, 46)], "pink", 1.3)
    s.arrow((106, 46), (106, 62), colour="pink")
    s.box(6, 64, 200, 38, ("“an icon of a rocket.”", "and five more prompts"), "paper", "pink")
    s.arrow((106, 102), (106, 118), colour="pink")
    s.box(40, 120, 132, 30, "text encoder", "rose", "pink")
    s.arrow((106, 150), (106, 184), colour="pink")
    s.text(112, 171, "mean per class", "start", SMALL, "muted")
    for k, name in enumerate(names):
        s.text(72, 200 + 17 * k, name, "end")
        s.cells(78, 190 + 17 * k, rows[name], "pink")
    s.text(134, 256, "zero-shot head $W$")

    icon(s, 299, 58, 68)
    s.arrow((299, 93), (299, 118), colour="green")
    s.box(244, 120, 110, 30, "image encoder", "mint", "green")
    s.arrow((299, 150), (299, 201), colour="green")
    s.cells(243, 207, image, "green")
    s.text(299, 239, "features $x$,")
    s.text(299, 253, "just as long as a row")

    s.path([(134, 262), (134, 276), (299, 276), (299, 259)], "muted")
    s.arrow((216, 276), (216, 292))
    s.text(210, 307, "logits $W x$: row times features")
    for k, name in enumerate(names):
        product = sum(a * b for a, b in zip(rows[name], image, strict=True))
        best = name == "rocket"
        s.text(112, 327 + 18 * k, name, "end", bold=best)
        s.path(
            [(120, 323 + 18 * k), (120 + 52 * product, 323 + 18 * k)],
            "ink" if best else "muted",
            11,
        )
    s.arrow((268, 341), (250, 341))
    s.text(274, 345, "prediction", "start", SMALL, "muted")


def fine_tuning(s: Sheet) -> None:
    """Three copies of one classifier, from image through image encoder and head to logits. Zero-shot:
    all of it is grey, nothing moves, and the text encoder has written the head. Linear probe: the
    gradient of the loss reaches the head, drawn in blue, and stops there. End to end: the gradient
    goes on through the image encoder, and both are blue. The text encoder stays as it is in all
    three."""
    for k, name in enumerate(("zero-shot", "linear probe", "end to end")):
        x = 60 + 120 * k
        s.text(x + 8, 16, name, bold=True)
        mark = s.diamond if k else s.star
        mark(x - 3.1 * len(name) - 4, 12, 6 if k else 8)
        icon(s, x, 48, 42)
        s.arrow((x, 70), (x, 84))
        trained = {"fill": "sky", "edge": "blue"}
        s.box(x - 42, 86, 84, 50, ("image", "encoder"), **(trained if k == 2 else {}))
        s.arrow((x, 136), (x, 156))
        s.text(x + 7, 151, "$x$", "start")
        s.box(x - 42, 158, 84, 28, "head $W$", **(trained if k else {}))
        s.arrow((x, 186), (x, 200))
        s.text(x, 213, "logits")
        if k:
            s.arrow((x, 218), (x, 232))
            s.box(x - 26, 234, 52, 24, "loss", "paper")
            top = 172 if k == 1 else 111
            s.path([(x + 26, 246), (x + 54, 246), (x + 54, 172)], "blue", 1.6, "4 3")
            s.arrow((x + 54, 172), (x + 43, 172), colour="blue", width=1.6)
            if k == 2:
                s.path([(x + 54, 172), (x + 54, top)], "blue", 1.6, "4 3")
                s.arrow((x + 54, top), (x + 43, top), colour="blue", width=1.6)
        s.text(
            x,
            282,
            ("nothing moves", "the head moves", "all of it moves")[k],
            colour="blue" if k else "muted",
        )
    s.box(18, 234, 84, 24, "text encoder")
    s.path([(18, 246), (8, 246), (8, 172)], "muted")
    s.arrow((8, 172), (17, 172))
    for x in (102, 222):
        s.arrow((x, 164), (x + 35, 164), colour="muted", dash="2 2")
    s.text(119, 160, "start", size=SMALL, colour="muted", halo=True)


class Plane:
    """Recorded accuracies, in percent, on the plane through the models of chapter 8, smoothed by a
    polynomial of degree five: one image more or less moves an accuracy by a fifth of a point."""

    SCALE = 10.0  # of distances, so that their powers stay near 1

    def __init__(self, split: str) -> None:
        with (RECORD / "ch08_plane.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == split]
        x, y, accuracy = (np.array([float(row[c]) for row in rows]) for c in ("x", "y", "accuracy"))
        self.coefficients = np.linalg.lstsq(self._terms(x, y), 100 * accuracy, rcond=None)[0]

    def _terms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x, y = x / self.SCALE, y / self.SCALE
        return np.stack([x**i * y**j for i in range(6) for j in range(6 - i)], axis=-1)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._terms(x, y) @ self.coefficients

    def areas(self, level: float, xs: np.ndarray, ys: np.ndarray) -> Iterator[np.ndarray]:
        """The outlines of what lies above a level, on a grid."""
        contours = contourpy.contour_generator(xs, ys, self(*np.meshgrid(xs, ys)))
        for points, offsets in zip(*contours.filled(level, 101), strict=True):
            yield from np.split(points, offsets[1:-1])

    def lines(self, level: float, xs: np.ndarray, ys: np.ndarray) -> Iterator[np.ndarray]:
        """The lines at a level, on a grid."""
        contours = contourpy.contour_generator(xs, ys, self(*np.meshgrid(xs, ys)))
        yield from map(np.asarray, contours.lines(level))

    def place(self, level: float, xs: np.ndarray, y: float) -> Point:
        """Where at height ``y`` the accuracy is nearest to a level."""
        return xs[np.abs(self(xs, np.full(len(xs), y)) - level).argmin()], y


def weight_line(s: Sheet) -> None:
    """A map of weight space seen from above. Shades of blue show the accuracy on line drawings, a
    wide hill that rises from the left and is highest a little before the fine-tuned model; dashed
    orange lines show the accuracy on emoji, which falls from the middle to the right. A straight
    line of weights runs from the zero-shot star, where emoji are high, to the fine-tuned diamond,
    where line drawings are high. Dots on it are mixtures with alpha 0.25, 0.5 and 0.75; nowhere
    does the line cross a valley."""
    reference, emoji = Plane("test"), Plane("emoji")
    with (RECORD / "ch08_corners.csv").open() as file:
        end = next(float(row["x"]) for row in csv.DictReader(file) if row["model"] == "fine-tuned")
    left, right, low, high, unit = -2.8, 11.2, -3.0, 5.6, 22.6
    xs, ys = np.linspace(left, right, 57), np.linspace(low, high, 36)

    def at(x: float, y: float) -> Point:
        return 32 + unit * (x - left), 12 + unit * (high - y)

    for level in (80, 82, 84, 85, 86):
        for area in reference.areas(level, xs, ys):
            shade(s, [at(*p) for p in area])
        x, y = at(*reference.place(level, np.linspace(left, 4.5, 500), 4.7))
        s.text(x, y + 4, f"{level}", size=SMALL, colour="blue", halo=True)
    for level in (64, 60, 56, 52):
        for line in emoji.lines(level, xs, ys):
            s.path([at(*p) for p in line], "orange", 1.3, "5 3")
        x, y = at(*emoji.place(level, np.linspace(3, right, 500), 2.5))
        s.text(x, y + 4, f"{level}", size=SMALL, colour="orange", halo=True)

    s.path([at(left, high), at(left, low), at(right, low)], "muted", 1)
    for x in (0, 4, 8):
        s.text(*moved(at(x, low), 0, 14), f"{x}", size=SMALL, colour="muted")
    for y in (-2, 0, 2, 4):
        s.text(*moved(at(left, y), -6, 4), f"{y}".replace("-", "−"), "end", SMALL, "muted")
    s.text(190, 234, "distance in weight space", size=SMALL, colour="muted")
    for _ in range(4):
        shade(s, [(32, 243), (52, 243), (52, 253), (32, 253)])
    s.text(57, 252, "line drawings, %", "start", SMALL, "blue")
    s.path([(200, 248), (222, 248)], "orange", 1.3, "5 3")
    s.text(227, 252, "emoji, %", "start", SMALL, "orange")

    s.path([at(0, 0), at(end, 0)], "ink", 2)
    for alpha in (0.25, 0.5, 0.75):
        s.dot(*at(alpha * end, 0), 5)
        s.text(*moved(at(alpha * end, 0), 0, 19), f"$α$ = {alpha:g}", size=SMALL, halo=True)
    s.star(*at(0, 0), 11)
    s.diamond(*at(end, 0), 8)
    s.text(*moved(at(0, 0), 0, -14), "zero-shot $θ_0$", halo=True)
    s.text(*moved(at(end, 0), -4, -14), "fine-tuned $θ_1$", halo=True)


def moved(point: Point, x: float, y: float) -> Point:
    """Return a point moved by so much."""
    return point[0] + x, point[1] + y


def shade(s: Sheet, points: Iterable[Point]) -> None:
    """Lay a thin layer of blue over an area; layers add up."""
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
    s.parts.append(f'<path d="{d}" fill="var(--blue)" fill-opacity="0.11"/>')


def plot(
    s: Sheet, left: float, top: float, width: float, height: float, x: str, y: str
) -> Callable[[float, float], Point]:
    """Draw two axes with their names and return where a point with coordinates from 0 to 1 lies."""
    s.path([(left, top), (left, top + height), (left + width, top + height)], "muted", 1)
    s.text(left + width / 2, top + height + 27, x, size=SMALL, colour="muted")
    s.text(left - 4, top - 6, y, "start", SMALL, "muted")
    return lambda a, b: (left + a * width, top + (1 - b) * height)


def frozen_encoder(s: Sheet) -> None:
    """Above, a frozen image encoder gives the same features x to two routes. In the upper route the
    two heads are mixed first, and the mixed head is multiplied with x; in the lower one each head is
    multiplied with x, and the logits are mixed. Both arrive at the same logits. Below, logits of two
    classes against alpha. With a frozen encoder each is a straight line from the zero-shot star to
    the fine-tuned diamond, for weights and outputs alike. If the encoder moves too, the logits of
    mixed weights bend away from the straight lines of mixed outputs."""
    s.box(2, 62, 62, 40, ("frozen", "encoder"))
    s.arrow((64, 82), (92, 82))
    s.text(78, 76, "$x$")
    s.path([(92, 82), (92, 40)], "muted", 1.3)
    s.path([(92, 82), (92, 124)], "muted", 1.3)
    s.arrow((92, 40), (108, 40))
    s.box(110, 24, 128, 32, "$(1 − α) W_0 + α W_1$", "sky", "blue")
    s.text(174, 16, "mix the heads, then multiply", size=SMALL, colour="blue")
    s.arrow((92, 106), (108, 106))
    s.arrow((92, 142), (108, 142))
    s.path([(92, 106), (92, 142)], "muted", 1.3)
    s.box(110, 92, 52, 28, "$W_0$", "paper", "orange")
    s.box(110, 128, 52, 28, "$W_1$", "paper", "orange")
    s.path([(162, 106), (174, 106), (174, 142), (162, 142)], "muted", 1.3)
    s.arrow((174, 124), (186, 124))
    s.box(188, 109, 60, 30, "mix", "paper", "orange")
    s.text(174, 172, "multiply, then mix the logits", size=SMALL, colour="orange")
    s.arrow((238, 40), (316, 40), (316, 62))
    s.arrow((248, 124), (316, 124), (316, 102))
    s.box(276, 64, 80, 36, ("the same", "logits"), "paper", "ink")

    ends = ((0.2, 0.85), (0.72, 0.34))
    for k, title in enumerate(("encoder frozen", "encoder moves too")):
        at = plot(s, 12 + 188 * k, 226, 150, 92, "$α$", "logit")
        s.text(*moved(at(0.5, 1), 0, -22), title, bold=True)
        for number, (start, stop) in enumerate(ends):
            s.path([at(0, start), at(1, stop)], "orange", 1.8, "5 3" if k else "")
            if k == 0:
                s.path([at(0, start), at(1, stop)], "blue", 1.8, "6 6")
            else:
                bend = (-0.16, 0.13)[number]
                way = [j / 20 for j in range(21)]
                curve = [(a, start + a * (stop - start) + 4 * bend * a * (1 - a)) for a in way]
                s.path([at(*p) for p in curve], "blue", 1.8)
            s.star(*at(0, start), 8)
            s.diamond(*at(1, stop), 6)
        for a in (0, 0.5, 1):
            s.text(*moved(at(a, 0), 0, 13), f"{a:g}", size=SMALL, colour="muted")
    s.path([(92, 364), (114, 364)], "blue", 1.8)
    s.text(119, 368, "mixed weights", "start", SMALL, "blue")
    s.path([(212, 364), (234, 364)], "orange", 1.8, "5 3")
    s.text(239, 368, "mixed outputs", "start", SMALL, "orange")


def soup(s: Sheet) -> None:
    """A schematic map of weight space with nested ovals around a region of low error. Five arrows
    lead from one zero-shot star at its edge to five grey diamonds, fine-tuned models that lie around
    the region in different directions. A blue square, their soup, lies in the middle between the
    five and deeper in the region than any of them."""
    centre, tilt = (226, 108), math.radians(-12)
    for a, b in ((126, 92), (98, 70), (68, 47), (36, 24)):
        oval = []
        for k in range(60):
            u, v = a * math.cos(k * math.pi / 30), b * math.sin(k * math.pi / 30)
            oval.append(
                (u * math.cos(tilt) - v * math.sin(tilt), u * math.sin(tilt) + v * math.cos(tilt))
            )
        shade(s, [moved(centre, *p) for p in oval])
    start = (52, 176)
    runs = [(166, 52), (254, 38), (318, 104), (258, 170), (150, 142)]
    mean = (sum(x for x, _ in runs) / 5, sum(y for _, y in runs) / 5)
    for x, y in runs:
        length = math.dist(start, (x, y))
        s.arrow(start, (x - 9 * (x - start[0]) / length, y - 9 * (y - start[1]) / length))
        s.path([(x, y), mean], "blue", 1.3, "2 3")
    for x, y in runs:
        s.diamond(x, y, 7, "muted")
    s.star(*start, 11)
    s.square(*mean, 7)
    s.text(start[0], start[1] + 25, "zero-shot $θ_0$")
    s.text(*moved(runs[1], 8, -12), "fine-tuned $θ_1$ to $θ_5$")
    s.text(*moved(mean, 12, 4), "soup", "start", bold=True, halo=True)
    s.text(*moved(centre, 78, 44), "low error", size=SMALL, colour="blue")


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def robustness(s: Sheet) -> None:
    """Accuracy on the reference, to the right, against accuracy under shift, upwards, both on logit
    axes. Grey dots, the baseline models, lie along a rising grey line. The zero-shot star lies above
    the line: at its reference accuracy of 80 % the line predicts 40 % under shift, and the model has
    60 %. The vertical arrow from the line up to the star, plus 20 points, is its effective
    robustness rho. A more accurate model on the line itself has a rho of zero."""
    left, top, width, height = 44, 22, 300, 226
    x_low, x_high, y_low, y_high = (logit(p) for p in (0.25, 0.93, 0.05, 0.82))
    slope = 0.9
    rise = logit(0.4) - slope * logit(0.8)

    def at(x: float, y: float) -> Point:
        across, up = (logit(x) - x_low) / (x_high - x_low), (logit(y) - y_low) / (y_high - y_low)
        return left + width * across, top + height * (1 - up)

    def line(x: float) -> float:
        return 1 / (1 + math.exp(-(slope * logit(x) + rise)))

    for x in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        s.path([at(x, 0.82), at(x, 0.05)], "faint", 0.7)
        s.text(*moved(at(x, 0.05), 0, 15), f"{100 * x:g}", size=SMALL, colour="muted")
    for y in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        s.path([at(0.25, y), at(0.93, y)], "faint", 0.7)
        s.text(*moved(at(0.25, y), -6, 4), f"{100 * y:g}", "end", SMALL, "muted")
    s.text(
        left + width / 2,
        top + height + 32,
        "reference accuracy (%), logit scale",
        size=SMALL,
        colour="muted",
    )
    s.text(4, 12, "accuracy under shift (%), logit scale", "start", SMALL, "muted")
    s.path([at(0.27, line(0.27)), at(0.92, line(0.92))], "muted", 2)
    for x, off in (
        (0.32, 0.12),
        (0.4, -0.16),
        (0.47, 0.1),
        (0.56, -0.1),
        (0.62, 0.14),
        (0.71, -0.12),
    ):
        y = 1 / (1 + math.exp(-(slope * logit(x) + rise + off)))
        s.dot(*at(x, y), 4.5, "muted")
    s.text(*moved(at(0.47, line(0.47)), 12, 18), "baseline $β$", "start", colour="muted", halo=True)

    s.path([at(0.25, 0.6), at(0.8, 0.6)], "ink", 1, "2 3")
    s.path([at(0.25, 0.4), at(0.8, 0.4), at(0.8, 0.05)], "ink", 1, "2 3")
    s.arrow(at(0.8, 0.4), moved(at(0.8, 0.6), 0, 11), colour="blue", width=3)
    s.dot(*at(0.8, 0.4), 5, "ink", hollow=True)
    s.star(*at(0.8, 0.6), 11)
    s.dot(*at(0.89, line(0.89)), 5, "muted")
    s.text(*moved(at(0.8, 0.6), 0, -15), "zero-shot", halo=True)
    s.text(
        *moved(at(0.8, 0.49), -8, 0),
        "$ρ$ = 60 − 40 = +20 points",
        "end",
        colour="blue",
        bold=True,
        halo=True,
    )
    s.text(*moved(at(0.8, 0.4), 8, 14), "predicted", "start", SMALL, halo=True)
    s.text(*moved(at(0.89, line(0.89)), 0, -12), "$ρ$ = 0", colour="muted", halo=True)


def through(nodes: Iterable[float], values: Iterable[float], x: float) -> float:
    """Return the polynomial through the values at the nodes, at one place."""
    nodes, values = list(nodes), list(values)
    total = 0.0
    for j, value in enumerate(values):
        others = [node for k, node in enumerate(nodes) if k != j]
        total += value * math.prod((x - node) / (nodes[j] - node) for node in others)
    return total


def arc(centre: Point, radius: float, start: float, stop: float) -> list[Point]:
    """Return points of a circle between two angles, clockwise from the right."""
    angles = [start + (stop - start) * k / 60 for k in range(61)]
    return [moved(centre, radius * math.cos(t), radius * math.sin(t)) for t in angles]


def lobatto_nodes(s: Sheet) -> None:
    """Above, a logit that bends along alpha, with five nodes on it: the zero-shot star at 0, three
    dots, and the fine-tuned diamond at 1. The polynomial of five passes lies on the logit; that of
    three passes, through the ringed first, third and fifth node, misses it between them. Below, a
    half circle under the same axis: five points at equal angles of 45 degrees on it lie straight
    below the nodes, so nodes are close together near the ends and far apart in the middle."""

    def bent(a: float) -> float:
        return 0.1 + 1.05 / (1 + math.exp(-6.5 * (a - 0.4))) - 0.3 * a

    at = plot(s, 30, 24, 300, 140, "", "logit of one class for one image")
    nodes = [(1 - math.cos(math.pi * k / 4)) / 2 for k in range(5)]
    way = [k / 60 for k in range(61)]
    s.path([at(a, bent(a)) for a in way], "faint", 9)
    for passes, colour, dash in ((nodes[::2], "pink", "6 3"), (nodes, "blue", "")):
        curve = [(a, through(passes, map(bent, passes), a)) for a in way]
        s.path([at(*p) for p in curve], colour, 1.8, dash)
    centre = at(0.5, 0)
    s.path(arc(centre, 150, 0, math.pi), "muted", 1)
    for k, node in enumerate(nodes):
        x, y = at(node, bent(node))
        below = arc(centre, 150, math.pi * (1 - k / 4), 0)[0]
        if k in (1, 2, 3):
            s.path([centre, below], "faint", 1.2)
        s.path([(x, y), below], "muted", 1, "2 3")
        s.dot(*below, 4, "muted")
        if k % 2 == 0:
            s.path(arc((x, y), 13, 0, 2 * math.pi), "pink", 1.6)
        if k in (0, 4):
            (s.star if k == 0 else s.diamond)(x, y)
        else:
            s.dot(x, y, 5)
        beside = (-5, 8, 8, -8, 5)[k]
        anchor = ("end", "start", "start", "end", "start")[k]
        name = f"$α$ = {node:.2f}" if k == 2 else f"{node:.2f}"
        s.text(*moved(at(node, 0), beside, 14), name.replace(".00", ""), anchor, SMALL, halo=True)
        angle = math.pi * (k + 0.5) / 4
        if k < 4:
            s.text(*moved(arc(centre, 62, angle, 0)[0], 0, 4), "45°", size=SMALL, colour="muted")
    s.text(*moved(at(0.3, bent(0.3)), 4, 22), "five passes", "start", SMALL, "blue", halo=True)
    s.text(*moved(at(0.03, bent(0.36)), 0, 0), "three passes", "start", SMALL, "pink")


HEIGHTS: dict[Callable[[Sheet], None], float] = {
    clip_head: 372,
    fine_tuning: 292,
    weight_line: 264,
    frozen_encoder: 376,
    soup: 212,
    robustness: 286,
    lobatto_nodes: 340,
}


def alt(draw: Callable[[Sheet], None]) -> str:
    """Return a diagram in words: its docstring, on one line."""
    return " ".join((draw.__doc__ or "").split())


def diagrams() -> dict[Path, str]:
    """Return every file that this script writes, with its text."""
    files = {}
    for draw, height in HEIGHTS.items():
        sheet = Sheet(height, alt(draw))
        draw(sheet)
        files[TARGET / f"{draw.__name__}.svg"] = sheet.svg()
    return files


def main() -> None:
    arguments.parser(__doc__).parse_args()
    TARGET.mkdir(exist_ok=True)
    for path, text in diagrams().items():
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
