"""Chebyshev interpolation: where to measure a curve, and the polynomial in between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def lobatto_nodes(k: int) -> list[float]:
    """Return the ``k`` Chebyshev-Lobatto nodes of the segment from 0 to 1, in rising order.

    ``x_j = (1 - cos(pi j / (k - 1))) / 2``: both ends, and closer together near them, where a
    polynomial through evenly spaced points would oscillate. Every second node of an odd ``k`` is a node
    of ``(k + 1) / 2``.

    Raises:
        UserError: fewer than two.

    Source: Trefethen 2013, "Approximation theory and approximation practice", chapter 2.

    Example:
        >>> [round(x, 3) for x in lobatto_nodes(5)]
        [0.0, 0.146, 0.5, 0.854, 1.0]
        >>> lobatto_nodes(3)
        [0.0, 0.5, 1.0]
    """
    if k < 2:
        raise UserError(f"{k} node(s) are too few; give at least 2, the two ends")
    # as sines, so that both ends and the middle are exact
    return [(1 - math.sin(math.pi * (k - 1 - 2 * j) / (2 * (k - 1)))) / 2 for j in range(k)]


def interpolation_matrix(nodes: Sequence[float], alphas: Sequence[float]) -> Tensor:
    """Return the matrix ``M`` from values at nodes to the polynomial's values at alphas.

    ``f(alpha_i) = sum_j M_ij f(x_j)`` with ``M_ij = (w_j / (alpha_i - x_j)) / sum_k w_k / (alpha_i
    - x_k)`` and ``w_j = 1 / prod_{k != j} (x_j - x_k)``. It is exact for a polynomial of
    lower degree than there are nodes.

    Args:
        nodes: ``K`` different numbers.
        alphas: ``A`` numbers; where one is a node, its row takes that node's value and nothing
            else.

    Returns:
        float64 ``[A, K]``; every row sums to 1.

    Raises:
        UserError: two nodes are equal, or there are none.

    Source: Berrut and Trefethen 2004, equation 4.2 (the barycentric formula).

    Example:
        >>> interpolation_matrix([0.0, 1.0], [0.25]).tolist()
        [[0.75, 0.25]]
    """
    x, at = (
        torch.tensor(list(nodes), dtype=torch.float64),
        torch.tensor(list(alphas), dtype=torch.float64),
    )
    if not len(x) or len(x.unique()) < len(x):
        raise UserError(f"nodes {list(nodes)} are empty or not distinct; give each number once")
    apart = x[:, None] - x + torch.eye(len(x), dtype=torch.float64)
    away = at[:, None] - x
    terms = 1 / (apart.prod(1) * away)
    rows = terms / terms.sum(1, keepdim=True)
    met = away == 0
    return torch.where(met.any(1, keepdim=True), met.double(), rows)


def error_shape(nodes: Sequence[float], alphas: Sequence[float]) -> Tensor:
    """Return how the error of the polynomial through Chebyshev-Lobatto nodes depends on alpha.

    The error is ``f^(K)(xi) / K! prod_j (alpha - x_j)``; this is its second factor, scaled:
    ``4^(K-1) prod_j |alpha - x_j| = |sin(t) sin((K - 1) t)|`` with ``alpha = (1 - cos t) / 2``.

    Args:
        nodes: of ``lobatto_nodes``, ``K`` numbers.
        alphas: ``A`` numbers in 0..1.

    Returns:
        float64 ``[A]``: 0 at the nodes, and at most 1 between them.

    Source: Trefethen 2013, "Approximation theory and approximation practice", chapter 11.

    Example:
        >>> error_shape([0.0, 0.5, 1.0], [0.0, 0.25, 0.5]).tolist()
        [0.0, 0.75, 0.0]
    """
    away = torch.tensor([[alpha - x for x in nodes] for alpha in alphas], dtype=torch.float64)
    return (4 * away.abs()).prod(1) / 4


def interpolated(
    values: Tensor, nodes: Sequence[float], alphas: Sequence[float]
) -> Iterator[Tensor]:
    """Yield the value at each alpha of the polynomial through ``values`` at ``nodes``.

    Args:
        values: ``[K, ...]``, such as the logits ``[K, n, C]`` of K interpolated models.
        nodes: ``K`` different numbers. With the two ends alone the result is the output-space
            ensemble.
        alphas: where to evaluate it; at a node the result is that node's values.

    Raises:
        UserError: not one value for each node.

    Example:
        >>> next(interpolated(torch.tensor([0.0, 1.0, 4.0]), [0.0, 1.0, 2.0], [1.5]))
        tensor(2.2500)
    """
    if len(values) != len(nodes):
        raise UserError(f"{len(values)} values for {len(nodes)} nodes; give one each")
    for row in interpolation_matrix(nodes, alphas).to(values):
        yield torch.tensordot(row, values, dims=1)
