"""Logits along the line between two models, from as many passes as each image needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wiseft_lite._runtime.chebyshev import error_shape, interpolated, lobatto_nodes
from wiseft_lite.tasks import Split

NODES = lobatto_nodes(9)  # every second is one of five, every fourth one of three
CONTRACTION = (
    0.4  # assumed ratio of a polynomial's error to that of the one through every second node
)


def adaptive_curve(
    at_three: Tensor,
    run: Callable[[float, Tensor], Tensor],
    alphas: Sequence[float],
    split: Split,
) -> tuple[Tensor, Tensor]:
    """Return the logits at every alpha, from as many forward passes as each image needs.

    The logits ``f(alpha)`` of an image are first those of the polynomial ``p_3`` through three
    Chebyshev-Lobatto nodes. The image is in doubt at an alpha where the margin of its predicted
    class is below the estimated error of ``p_K``:

    ``CONTRACTION error_shape(alpha) max_{j, c} |f_c(x_j) - p_{(K + 1) / 2, c}(x_j)|``

    The last factor is the error of the polynomial through every second node, which is known at the
    nodes ``x_j`` in between. Images that are in doubt somewhere run at the two further nodes of
    five, those still in doubt at the four further nodes of nine, and where doubt remains, at that
    alpha itself.

    Args:
        at_three: logits ``[3, n, C]`` of all images at alpha 0, 0.5 and 1.
        run: returns the logits ``[m, C]`` at an alpha of the images at ``m`` of the rows.
        alphas: ``A`` numbers in 0..1.
        split: which classes can be predicted; others do not count.

    Returns:
        Logits ``[A, n, C]`` and passes ``[n]``.

    Source: the nested nodes are those of Clenshaw and Curtis, see Trefethen 2013, "Approximation
    theory and approximation practice", chapter 19; the criterion is this library's.

    Example:
        >>> def run(alpha, rows):  # the second image has a near tie at alpha 0.7
        ...     return torch.tensor([[alpha**3, 0.9], [alpha**3, 0.35]])[rows]
        >>> at_three = torch.stack([run(alpha, [0, 1]) for alpha in (0, 0.5, 1)])
        >>> split = Split("two images", [None, None], [0, 0])
        >>> curve, passes = adaptive_curve(at_three, run, [0.3, 0.7], split)
        >>> curve.argmax(-1).tolist(), passes.tolist()
        ([[1, 1], [1, 1]], [3, 5])
    """
    at = at_three.new_empty(len(NODES), *at_three.shape[1:])
    at[::4] = at_three
    curve = torch.stack(list(interpolated(at_three, NODES[::4], alphas)))
    doubt = _in_doubt(curve, at_three, NODES[::4], alphas, split)
    rows = torch.arange(at_three.shape[1])
    passes = torch.full_like(rows, len(at_three))
    for step in (2, 1):  # from three nodes to five, then to nine
        rows = rows[doubt.any(0)]
        if not len(rows):
            return curve, passes
        further = range(step, len(NODES), 2 * step)
        for k in further:
            at[k, rows] = run(NODES[k], rows)
        passes[rows] += len(further)
        at_nodes, nodes = at[::step, rows], NODES[::step]
        curve[:, rows] = torch.stack(list(interpolated(at_nodes, nodes, alphas)))
        doubt = _in_doubt(curve[:, rows], at_nodes, nodes, alphas, split)
    for alpha, logits, doubted in zip(alphas, curve, doubt, strict=True):
        if doubted.any():
            logits[rows[doubted]] = run(alpha, rows[doubted])
    passes[rows] += doubt.sum(0)
    return curve, passes


def _in_doubt(
    curve: Tensor, at_nodes: Tensor, nodes: Sequence[float], alphas: Sequence[float], split: Split
) -> Tensor:
    """Return where margins are below the estimated error, bool ``[A, n]``; never at a node."""
    coarse = torch.stack(list(interpolated(at_nodes[::2], nodes[::2], nodes[1::2])))
    errors = [split.restricted(e).abs().amax(1) for e in at_nodes[1::2] - coarse]
    largest = torch.stack(errors).amax(0)
    margins = torch.stack([split.margins(logits) for logits in curve])
    shape = error_shape(nodes, alphas).to(margins)[:, None]
    return margins < CONTRACTION * shape * largest
