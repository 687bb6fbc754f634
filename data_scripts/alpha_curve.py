"""The recorded curve of chapter 6 as one drawing, for README, the landing page and the chapter.

The line is the mean over all seeds of the record. The band around it is one standard error wide on each
side: it shows that the arc is not noise. A band of the seeds' range would fill the arc, because each
seed moves its whole curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pandas as pd
from drawing import SMALL, WIDTH, Point, Sheet

LEFT, RIGHT = 28, 8  # of the plot, to the edges of the sheet
BESIDE, ABOVE, BELOW = 18, 24, 30  # inside the plot, for the names around the curve
ALONG = 48  # more at the right, for the name of an alpha
NAMED = {0.2: "end", 0.4: "end", 0.6: "middle", 0.8: "start"}  # alphas, and how their names are set
CORNERS = 32  # of an ellipse
AXES = ("test", "shifts")  # x and y


def runs(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies in percent, one row for each alpha and seed.

    Args:
        table: the recorded table ``ch06_curves``.

    Returns:
        The columns ``test``, ``emoji`` and ``shifts``, the mean of the seven shifts.
    """
    table = table.query("kind == 'end-to-end' and split != 'val'")
    wide = 100 * table.pivot(index=["alpha", "seed"], columns="split", values="accuracy")
    return wide.assign(shifts=wide.drop(columns="test").mean(axis=1))[["test", "emoji", "shifts"]]


def hull(points: Iterable[Point]) -> list[Point]:
    """Return the corners of the smallest convex polygon around points, always in the same direction.

    Source: Andrew 1979, the monotone chain.

    Example:
        >>> hull([(0, 0), (2, 0), (1, 1), (2, 2), (0, 2)])
        [(0, 0), (2, 0), (2, 2), (0, 2)]
    """
    ordered = sorted(set(points))

    def half(chain: Iterable[Point]) -> list[Point]:
        kept: list[Point] = []
        for x, y in chain:
            while len(kept) > 1:
                (x0, y0), (x1, y1) = kept[-2:]
                if (x1 - x0) * (y - y0) > (y1 - y0) * (x - x0):
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return [*half(ordered), *half(reversed(ordered))]


def ellipse(centre: Point, radii: Point) -> list[Point]:
    """Return corners on an ellipse along the axes."""
    angles = [2 * math.pi * k / CORNERS for k in range(CORNERS)]
    return [
        (centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles
    ]


def band(centres: Sequence[Point], radii: Sequence[Point]) -> list[list[Point]]:
    """Return polygons that an ellipse covers on its way along a path."""
    stops = [ellipse(*stop) for stop in zip(centres, radii, strict=True)]
    return [hull([*now, *after]) for now, after in pairwise(stops)]


def ticks(low: float, high: float) -> list[int]:
    """Return the whole percents in a range, every second of them if there are more than nine.

    Example:
        >>> ticks(81.6, 85.1), ticks(78.9, 90.9)
        ([82, 83, 84, 85], [80, 82, 84, 86, 88, 90])
    """
    step = 1 if high - low <= 9 else 2
    return list(range(step * math.ceil(low / step), math.floor(high) + 1, step))


def decimals(alphas: Iterable[float]) -> int:
    """Return how many decimals the alphas need.

    Example:
        >>> decimals([0.0, 0.1, 0.2]), decimals([0.0, 0.05, 0.1])
        (1, 2)
    """
    return max(len(f"{alpha:g}".partition(".")[2]) for alpha in alphas)


class Plot:
    """The curve on a part of a sheet that is as wide as the sheet.

    Args:
        rows: from ``runs``.
        top: of the plot, on the sheet.
        height: of the plot, without ticks and names of axes.
    """

    def __init__(self, rows: pd.DataFrame, top: float, height: float) -> None:
        self.top, self.bottom = top, top + height
        self.means = rows.groupby("alpha").mean()
        errors = rows.groupby("alpha").sem().fillna(0)  # one seed has none
        self.low = {axis: float((self.means - errors)[axis].min()) for axis in AXES}
        high = {axis: float((self.means + errors)[axis].max()) for axis in AXES}
        room = {"test": WIDTH - LEFT - RIGHT - BESIDE - ALONG, "shifts": height - ABOVE - BELOW}
        self.units = {axis: room[axis] / (high[axis] - self.low[axis]) for axis in AXES}
        self.places: list[Point] = [
            (self.x(test), self.y(shifts))
            for test, shifts in self.means[list(AXES)].itertuples(index=False)
        ]
        self.radii: list[Point] = [
            (test * self.units["test"], shifts * self.units["shifts"])
            for test, shifts in errors[list(AXES)].itertuples(index=False)
        ]

    def x(self, test: float) -> float:
        return LEFT + BESIDE + (test - self.low["test"]) * self.units["test"]

    def y(self, shifts: float) -> float:
        return self.bottom - BELOW - (shifts - self.low["shifts"]) * self.units["shifts"]

    def draw(self, sheet: Sheet, named: bool) -> None:
        """Draw axes, band, the mean and its two ends.

        Args:
            sheet: to draw on.
            named: whether some alphas along the curve are named.
        """
        self._axes(sheet)
        sheet.area(band(self.places, self.radii), "blue", 0.25)
        sheet.path(self.places, "blue", 2)
        for place in self.places[1:-1]:
            sheet.dot(*place, radius=2.5)
        if named:
            self._names(sheet)
        (x_0, y_0), (x_1, y_1) = self.places[0], self.places[-1]
        sheet.star(x_0, y_0)
        sheet.diamond(x_1, y_1)
        sheet.text(x_0 - 9, y_0 + 23, "zero-shot", "start", halo=True)
        sheet.text(x_1, y_1 + 23, "fine-tuned", halo=True)

    def _names(self, sheet: Sheet) -> None:
        """Write some alphas beside the band, further than the slider's ring reaches."""
        for alpha, (x, y), (right, up) in zip(
            self.means.index, self.places, self.radii, strict=True
        ):
            anchor, name = NAMED.get(round(float(alpha), 3)), f"$α$ = {alpha:g}"
            if anchor == "middle":
                sheet.text(x, y - up - 11, name, anchor, SMALL, halo=True)
            elif anchor:
                side = 1 if anchor == "start" else -1
                sheet.text(x + side * (right + 10), y + 2 * side, name, anchor, SMALL, halo=True)

    def _axes(self, sheet: Sheet) -> None:
        right, unit = WIDTH - RIGHT, self.units
        left_end = self.low["test"] - BESIDE / unit["test"]
        for tick in ticks(left_end, left_end + (right - LEFT) / unit["test"]):
            sheet.path([(self.x(tick), self.top), (self.x(tick), self.bottom)], "faint", 0.6)
            sheet.text(self.x(tick), self.bottom + 14, f"{tick}", size=SMALL, colour="muted")
        low_end = self.low["shifts"] - BELOW / unit["shifts"]
        for tick in ticks(low_end, low_end + (self.bottom - self.top) / unit["shifts"]):
            sheet.path([(LEFT, self.y(tick)), (right, self.y(tick))], "faint", 0.6)
            sheet.text(LEFT - 5, self.y(tick) + 4, f"{tick}", "end", SMALL, "muted")
        sheet.path([(LEFT, self.top), (LEFT, self.bottom), (right, self.bottom)], "muted", 1)
        name = "accuracy on line drawings (%) →"
        sheet.text(right, self.bottom + 29, name, "end", SMALL, "muted")
        name = "↑ accuracy on seven shifts (%)"
        sheet.text(LEFT - 24, self.top - 8, name, "start", SMALL, "muted")
