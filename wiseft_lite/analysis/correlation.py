"""Correlation of two quantities while others are held fixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class Correlation:
    """A correlation with what its interval needs.

    Args:
        r: from -1 to 1.
        n: number of points.
        fixed: number of quantities that were held fixed.
    """

    r: float
    n: int
    fixed: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval, ``tanh(artanh(r) -+ z / sqrt(n - 3 - fixed))``.

        Source: Fisher 1924, "The distribution of the partial correlation coefficient".
        """
        from scipy.stats import norm

        half = float(norm.ppf((1 + level) / 2)) / math.sqrt(self.n - 3 - self.fixed)
        middle = math.atanh(self.r)
        return math.tanh(middle - half), math.tanh(middle + half)


def partial_correlation(
    x: Sequence[float], y: Sequence[float], given: Sequence[Sequence[float]] = ()
) -> Correlation:
    """Correlate what is left of two quantities after a linear fit on others.

    ``r(x - fit(x | given), y - fit(y | given))``

    Args:
        x: ``[n]``.
        y: ``[n]``.
        given: quantities to hold fixed, each ``[n]``; none gives the plain correlation.

    Raises:
        UserError: unequal numbers, too few points, or one of the two is a function of the others.

    Source: Fisher 1924.

    Example:
        >>> season = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        >>> ice = [1.1, 1.9, 3.1, 3.9, 5.1, 5.9]
        >>> drowned = [1.1, 2.1, 2.9, 3.9, 5.1, 5.9]
        >>> round(partial_correlation(ice, drowned).r, 2)
        1.0
        >>> round(partial_correlation(ice, drowned, [season]).r, 2)
        0.23
    """
    columns = [np.asarray(values, dtype=float) for values in (x, y, *given)]
    n = len(columns[0])
    if len({len(column) for column in columns}) > 1:
        raise UserError("unequal numbers of values; give one of each quantity for every point")
    if n < 4 + len(given):
        raise UserError(f"{n} points are too few to hold {len(given)} quantities fixed")
    design = np.column_stack([np.ones(n), *columns[2:]])
    left = [
        column - design @ np.linalg.lstsq(design, column, rcond=None)[0] for column in columns[:2]
    ]
    sizes = [float(np.linalg.norm(values)) for values in left]
    if min(sizes) < 1e-9 * max(1.0, *(float(np.linalg.norm(c)) for c in columns[:2])):
        raise UserError("a quantity that is fixed by the others has no correlation; leave one out")
    r = float(left[0] @ left[1]) / (sizes[0] * sizes[1])
    return Correlation(max(-1.0, min(1.0, r)), n, len(given))
