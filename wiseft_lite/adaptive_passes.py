"""Logits along the line between two models, from as many passes as each image needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wiseft_lite._runtime.chebyshev import error_shape, interpolated, lobatto_nodes
from wiseft_lite.tasks import Split

NODES = lobatto_nodes(9)  # every second is one of five, every fourth one of three
# Assumed ratio of a polynomial's error to that of the one through every second node. On ``val`` of
# IconShift it was at most 0.28 for a model of the default recipe, and 1.2 for ten times its
# learning rate.
CONTRACTION = 0.4


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

    ``contraction error_shape(alpha) max_{j, c} |f_c(x_j) - p_{(K + 1) / 2, c}(x_j)|``

    The last factor is the error of the polynomial through every second node, which is known at the
    nodes ``x_j`` in between. Images that are in doubt somewhere run at the two further nodes of
    five, those still in doubt at the four further nodes of nine, and where doubt remains, at that
    alpha itself. Whenever an image gets further nodes, the error of its last polynomial is known,
    and so is its contraction; the estimate takes the largest of these, but at least
    ``CONTRACTION``. So a line whose logits are not smooth gets more passes.

    Args:
        at_three: logits ``[3, n, C]`` of a batch of images at alpha 0, 0.5 and 1.
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
        ([[1, 1], [1, 1]], [3, 9])
    """
    at = at_three.new_empty(len(NODES), *at_three.shape[1:])
    curve = at_three.new_empty(len(alphas), *at_three.shape[1:])
    margins, shape = curve.new_empty(curve.shape[:2]), curve.new_empty(curve.shape[:2])
    error = curve.new_empty(curve.shape[1])  # of the polynomial through every second node

    def interpolate(rows: Tensor, step: int) -> None:
        nodes, values = NODES[::step], at[::step, rows]
        curve[:, rows] = torch.stack(list(interpolated(values, nodes, alphas)))
        margins[:, rows] = torch.stack([split.margins(logits) for logits in curve[:, rows]])
        shape[:, rows] = error_shape(nodes, alphas).to(shape)[:, None]
        error[rows] = _coarse_error(values, nodes, split)

    at[::4] = at_three
    interpolate(torch.arange(len(error)), 4)
    passes, contraction = torch.full((len(error),), len(at_three)), CONTRACTION
    while ((doubt := margins < contraction * shape * error) & (passes < len(NODES))).any():
        for count, step in ((5, 1), (3, 2)):  # from five nodes to nine, from three to five
            rows = (doubt.any(0) & (passes == count)).nonzero().flatten()
            if len(rows):
                before = error[rows]
                for k in range(step, len(NODES), 2 * step):
                    at[k, rows] = run(NODES[k], rows)
                interpolate(rows, step)
                contraction = max(contraction, (error[rows] / before).max().item())
                passes[rows] = 2 * count - 1
    for alpha, logits, doubted in zip(alphas, curve, doubt, strict=True):
        if doubted.any():
            rows = doubted.nonzero().flatten()
            logits[rows] = run(alpha, rows)
    return curve, passes + doubt.sum(0)


def _coarse_error(values: Tensor, nodes: Sequence[float], split: Split) -> Tensor:
    """Return the error ``[n]`` of the polynomial through every second of the nodes at the others.

    It is the largest over these nodes and over the classes that can be predicted.
    """
    coarse = interpolated(values[::2], nodes[::2], nodes[1::2])
    return torch.stack(
        [
            (split.restricted(logits) - split.restricted(through)).abs().amax(1)
            for logits, through in zip(values[1::2], coarse, strict=True)
        ]
    ).amax(0)
