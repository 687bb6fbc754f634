"""Logits along the line between two models, from as many passes as each image needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wiseft_lite._runtime.chebyshev import error_shape, interpolated, lobatto_nodes
from wiseft_lite.tasks import Split

NODES = lobatto_nodes(9)
DECAY = 0.3  # smallest decay that is assumed


def adaptive_curve(
    at_three: Tensor,
    run: Callable[[float, Tensor], Tensor],
    alphas: Sequence[float],
    split: Split,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Return the logits at every alpha, from as many forward passes as each image needs.

    The logits ``f(alpha)`` of an image are first those of ``p_3``, the polynomial through three
    Chebyshev-Lobatto nodes. An image is in doubt if at some alpha the margin of its predicted class
    is below the estimated error of ``p_K``:

    ``r^((K - 1) / 2) error_shape(alpha) max_{j, c} |f_c(x_j) - p_{(K + 1) / 2, c}(x_j)|``

    The last factor is the error of the polynomial through every second node, seen at the nodes
    ``x_j`` in between. The decay ``r`` is the factor by which the error of a smooth function's
    polynomial falls with each degree. Images in doubt run at the two further nodes of five, where
    the error of ``p_3`` is then known. The decay of a batch is the largest seen at them, or
    ``DECAY`` if that is larger; as it rises, more images of the batch can be in doubt. Those still
    in doubt run at the four further nodes of nine, and where doubt remains, at that alpha itself.

    On ``val`` and ``train`` of IconShift no prediction at 21 alphas differed from that of the
    interpolated model, neither for three models of the default recipe (3.3 passes per image) nor
    for one of ten times its learning rate (4.4 and 5.3). With 0.1 for ``DECAY`` some did.

    Args:
        at_three: logits ``[3, n, C]`` of all images at alpha 0, 0.5 and 1.
        run: returns the logits ``[m, C]`` at an alpha of the images at ``m`` of the rows.
        alphas: ``A`` numbers in 0..1.
        split: which classes can be predicted; others do not count.
        batch_size: images per batch, of which each has a decay of its own. So the result depends
            neither on the number of batches nor on the number of processes.

    Returns:
        Logits ``[A, n, C]`` and passes ``[n]``.

    Source: Trefethen 2013, "Approximation theory and approximation practice", chapters 8 and 11,
    for the decay and the shape; the criterion is this library's.

    Example:
        >>> def run(alpha, rows):  # the second image has a near tie at alpha 0.7
        ...     return torch.tensor([[alpha**3, 0.9], [alpha**3, 0.35]])[rows]
        >>> at_three = torch.stack([run(alpha, [0, 1]) for alpha in (0, 0.5, 1)])
        >>> split = Split("two images", [None, None], [0, 0])
        >>> curve, passes = adaptive_curve(at_three, run, [0.3, 0.7], split, batch_size=2)
        >>> curve.argmax(-1).tolist(), passes.tolist()
        ([[1, 1], [1, 1]], [3, 5])
    """
    n = at_three.shape[1]
    at = at_three.new_empty(len(NODES), *at_three.shape[1:])
    curve = at_three.new_empty(len(alphas), *at_three.shape[1:])
    rows, passes = torch.arange(n), torch.full((n,), len(at_three))

    def interpolate(step: int) -> Tensor:
        """Write the curve of the images at ``rows``; return the decay up to which they are certain."""
        curve[:, rows] = torch.stack(list(interpolated(at[::step, rows], NODES[::step], alphas)))
        margins = torch.stack([split.margins(logits[rows]) for logits in curve])
        return _decay_of(margins, at[::step, rows], NODES[::step], alphas, split)

    at[::4] = at_three
    certain = interpolate(4)
    for step in (4, 2):  # from three nodes to five, then to nine
        further = slice(step // 2, None, step)
        ran, decay = torch.zeros_like(rows, dtype=torch.bool), at.new_full((n,), DECAY)
        while (new := (certain < decay[rows]).any(0) & ~ran).any():
            ran |= new
            at[further, rows[new]] = torch.stack([run(x, rows[new]) for x in NODES[further]])
            errors = _errors(at[:: step // 2, rows[new]], NODES[:: step // 2], split)
            seen = _decay_of(errors, at[::step, rows[new]], NODES[::step], NODES[further], split)
            decay = _batch_maxima(decay, rows[new], seen.amax(0), batch_size)
        rows = rows[ran]
        passes[rows] += len(NODES[further])
        certain = interpolate(step // 2)
    doubt = certain < decay[rows]
    for i, alpha in enumerate(alphas):
        if doubt[i].any():
            curve[i, rows[doubt[i]]] = run(alpha, rows[doubt[i]])
    passes[rows] += doubt.sum(0)
    return curve, passes


def _errors(at_nodes: Tensor, nodes: Sequence[float], split: Split) -> Tensor:
    """Return the error of the polynomial through every second node at the others, ``[(K - 1) / 2, n]``.

    It is the largest over the classes that can be predicted.
    """
    coarse = torch.stack(list(interpolated(at_nodes[::2], nodes[::2], nodes[1::2])))
    return torch.stack([split.restricted(e).abs().amax(1) for e in coarse - at_nodes[1::2]])


def _decay_of(
    errors: Tensor, at_nodes: Tensor, nodes: Sequence[float], alphas: Sequence[float], split: Split
) -> Tensor:
    """Return the decay ``[A, n]`` at which the estimated error at each alpha would be ``errors``."""
    shape = error_shape(nodes, alphas).to(errors)[:, None]
    return (errors / (shape * _errors(at_nodes, nodes, split).amax(0))) ** (2 / (len(nodes) - 1))


def _batch_maxima(decay: Tensor, rows: Tensor, seen: Tensor, batch_size: int) -> Tensor:
    """Return the decay of every image, raised to the largest that is seen at some rows of its batch."""
    batches = torch.arange(len(decay)) // batch_size
    largest = decay.new_zeros(int(batches[-1]) + 1)
    largest.scatter_reduce_(0, batches[rows], seen, "amax")
    return torch.maximum(decay, largest[batches])
