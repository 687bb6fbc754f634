"""Draw inputs for exercises: tensors, labels, and numbers without ties."""

from __future__ import annotations

import numpy as np
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


def names(generator: np.random.Generator, n: int) -> list[str]:
    """Return ``n`` different names in random order."""
    return [str(name) for name in generator.permutation(_NAMES)[:n]]


_NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "koi", "lynx"]
