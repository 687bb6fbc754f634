"""Draw inputs for exercises: tensors, labels, and numbers without ties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor


def normal(
    generator: np.random.Generator, *shape: int, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a tensor of standard normal numbers."""
    return torch.as_tensor(generator.normal(size=shape)).to(dtype)


def unit(generator: np.random.Generator, *shape: int) -> Tensor:
    """Return a tensor whose last dimension has length 1."""
    return F.normalize(normal(generator, *shape), dim=-1)


def labels(generator: np.random.Generator, n: int, n_classes: int) -> Tensor:
    """Return ``n`` class numbers."""
    return torch.as_tensor(generator.integers(n_classes, size=n))


def distinct(
    generator: np.random.Generator, n: int, low: float = 30, high: float = 90
) -> list[float]:
    """Return ``n`` different numbers in random order, rounded to a tenth.

    Example:
        >>> len(set(distinct(np.random.default_rng(0), 500)))
        500
    """
    tenths = np.arange(round(10 * low), round(10 * high) + 1)
    return (generator.choice(tenths, n, replace=False) / 10).tolist()


def table(generator: np.random.Generator, n: int, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table of percentages with ``n`` rows; its index does not begin at 0.

    No two rows tie in a column, nor in the mean of several: which row has the best mean should not
    depend on the rule for ties, or on the order in which columns are added up.
    """
    start = int(generator.integers(5, 50))
    while True:
        rows = pd.DataFrame(
            {column: distinct(generator, n) for column in columns}, index=range(start, start + n)
        )
        if not _ties(rows):
            return rows


def _ties(rows: pd.DataFrame) -> bool:
    """Return whether two rows have the same sum over any of the columns."""
    tenths = (10 * rows.to_numpy()).round().astype(int)
    subsets = np.array(list(product((0, 1), repeat=tenths.shape[1])))[1:]
    return any(len(np.unique(sums)) < len(sums) for sums in subsets @ tenths.T)


def names(generator: np.random.Generator, n: int) -> list[str]:
    """Return ``n`` different names in random order."""
    return [str(name) for name in generator.permutation(_NAMES)[:n]]


_NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "koi", "lynx"]
