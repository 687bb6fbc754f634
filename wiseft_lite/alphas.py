"""Which alpha a curve of accuracies chooses: one rule, wherever the library or the book chooses one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from wiseft_lite.errors import UserError

DECIMALS = 10  # values that agree in so many are equal: in which order a mean was added up must not decide


def best_alpha(curve: pd.Series | Mapping[float, float]) -> float:
    """Return the alpha at which a curve is highest; of several that are equally high, the smallest.

    A few hundred held-out images often cannot tell several alphas apart. The smallest of them is the one nearest to
    the zero-shot model, which has not been fitted to the images that chose. The same rule serves for the other numbers
    that move a merged model away from zero-shot, such as the scale of TIES.

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
