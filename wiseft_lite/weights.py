"""Arithmetic on state dicts: the heart of WiSE-FT."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from wiseft_lite.errors import UserError

Weights = Mapping[str, Tensor]

COUNTER = "num_batches_tracked"  # batch norm's count of training steps; no forward pass reads it, so it may differ


def check_alike(thetas: Sequence[Weights]) -> None:
    """Raise a ``UserError`` unless all state dicts have the same keys, shapes and integer buffers,
    counters apart."""
    if not thetas:
        raise UserError("no state dicts to combine; give at least one")
    first = thetas[0]
    for other in thetas[1:]:
        odd = [k for k in [*first, *other] if (k in first) != (k in other)]
        if odd:
            raise UserError(
                f"state dicts have different keys, such as {', '.join(odd[:3])}; "
                "combine checkpoints of one architecture"
            )
        bad = [
            f"{k} {tuple(first[k].shape)} against {tuple(other[k].shape)}"
            for k in first
            if first[k].shape != other[k].shape
        ]
        if bad:
            raise UserError(
                f"tensors have different shapes: {'; '.join(bad[:3])}; "
                "combine checkpoints of one architecture and one list of classes"
            )
        bad = [
            k
            for k in first
            if not first[k].is_floating_point()
            and not k.endswith(COUNTER)
            and not torch.equal(first[k], other[k])
        ]
        if bad:
            raise UserError(
                f"integer buffers differ: {', '.join(bad[:3])}; "
                "they cannot be averaged, make them equal first"
            )


def check_finite(theta: Weights, where: str) -> None:
    """Raise a ``UserError`` that names ``where`` and the tensors if a weight is infinite or not a
    number.

    One such weight makes every prediction one class, and an average with it is no better. All that
    is read, from a checkpoint, an imported file or a pre-trained model, passes through here, so
    that nothing behind it need ask again.

    Example:
        >>> check_finite({"w": torch.tensor([1.0])}, "model.pt")
    """
    bad = [
        key
        for key, tensor in theta.items()
        if tensor.is_floating_point()
        and tensor.numel()
        and not all(end.isfinite() for end in tensor.aminmax())
    ]  # no copy, and NaN spreads to both ends
    if bad:
        raise UserError(
            f"{where} has weights that are not finite: {', '.join(bad[:3])}; copy or download it again, or "
            "train it again with a lower learning rate"
        )


def relative_distance(theta_0: Weights, theta_1: Weights) -> float:
    """Return how far apart two models are that can be averaged, ``|theta_1 - theta_0| /
    |theta_0|``.

    Fine-tuning moves a model by some percent of its length. Two models that were pre-trained apart
    stand about as far from each other as they are long; then their average is no model, and
    ``connectivity.midpoint_barrier`` measures it.

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.

    Raises:
        UserError: keys, shapes or integer buffers differ, or a weight is not finite.

    Example:
        >>> relative_distance({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([3.0, 4.5])})
        0.1
    """
    check_alike([theta_0, theta_1])
    for name, theta in (("first", theta_0), ("second", theta_1)):
        check_finite(theta, f"the {name} model")
    length = distance(
        theta_0,
        {
            key: torch.zeros_like(tensor) if tensor.is_floating_point() else tensor
            for key, tensor in theta_0.items()
        },
    )
    return distance(theta_0, theta_1) / length if length else math.inf


def _combine(thetas: Sequence[Weights], shares: Sequence[float]) -> dict[str, Tensor]:
    """``sum_i shares_i theta_i``, in float32 or wider, back in each tensor's own type."""
    check_alike(thetas)
    return {
        key: _sum([theta[key] for theta in thetas], shares)
        if first.is_floating_point()
        else first.clone()
        for key, first in thetas[0].items()
    }


def _sum(tensors: Sequence[Tensor], shares: Sequence[float], out: Tensor | None = None) -> Tensor:
    """``sum_i shares_i tensors_i``; added up in ``out`` itself, without a copy, where that is wide
    enough."""
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    here = out is not None and out.dtype == wide
    total = out.zero_() if here else torch.zeros_like(tensors[0], dtype=wide)
    for tensor, share in zip(tensors, shares, strict=True):
        total.add_(tensor.to(wide), alpha=share)
    return total.to(tensors[0].dtype)


def interpolate(theta_0: Weights, theta_1: Weights, alpha: float) -> dict[str, Tensor]:
    """Return the point at ``alpha`` on the straight line from ``theta_0`` to ``theta_1``.

    ``theta_alpha = (1 - alpha) theta_0 + alpha theta_1``, for every tensor, the head included.

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model, with the same keys and shapes.
        alpha: any finite number; 0 gives ``theta_0`` and 1 gives ``theta_1``, bit for bit.

    Returns:
        A new state dict that shares no memory with its inputs.

    Raises:
        UserError: keys, shapes or integer buffers differ, or alpha is not finite.

    Source: Wortsman et al. 2022, equation 1 and appendix A.

    Example:
        >>> zero, one = {"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}
        >>> interpolate(zero, one, 0.25)
        {'w': tensor([1.])}
    """
    if not math.isfinite(alpha):
        raise UserError(f"alpha is {alpha}; give a number such as 0.5")
    check_alike([theta_0, theta_1])
    if alpha in (0, 1):
        end = theta_1 if alpha else theta_0
        return {key: tensor.clone() for key, tensor in end.items()}
    return _combine([theta_0, theta_1], [1 - alpha, alpha])


def interpolate_(target: Weights, theta_0: Weights, theta_1: Weights, alpha: float) -> None:
    """Write ``interpolate(theta_0, theta_1, alpha)`` into the tensors of ``target``, bit for bit
    and without a copy.

    Args:
        target: the state dict of a third model with the same keys and shapes; where it lives, the
            mixing is done.
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.
        alpha: any finite number.

    Raises:
        UserError: as ``interpolate``, or ``target`` shares memory with an end.

    Source: as ``interpolate``.

    Example:
        >>> zero, one, mixed = ({"w": torch.tensor([value])} for value in (0.0, 4.0, 9.0))
        >>> interpolate_(mixed, zero, one, 0.25)
        >>> mixed
        {'w': tensor([1.])}
    """
    if not math.isfinite(alpha):
        raise UserError(f"alpha is {alpha}; give a number such as 0.5")
    check_alike([theta_0, theta_1, target])
    shared = [
        key
        for key, tensor in target.items()
        if tensor.numel()
        and tensor.data_ptr() in (theta_0[key].data_ptr(), theta_1[key].data_ptr())
    ]
    if shared:
        raise UserError(
            f"the target shares memory with an end: {', '.join(shared[:3])}; give it a copy.deepcopy"
        )
    for key, tensor in target.items():
        if alpha in (0, 1) or not tensor.is_floating_point():
            tensor.copy_((theta_1 if alpha == 1 else theta_0)[key])
        else:
            ends = [theta[key].to(tensor.device) for theta in (theta_0, theta_1)]
            tensor.copy_(_sum(ends, [1 - alpha, alpha], tensor))


def average(thetas: Sequence[Weights], weights: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Return the weighted mean of state dicts, ``sum_i w_i theta_i / sum_i w_i``.

    Args:
        thetas: state dicts with the same keys and shapes.
        weights: one number each; equal weights if not given.

    Returns:
        A new state dict.

    Raises:
        UserError: nothing to average, a wrong number of weights, or weights that sum to 0.

    Source: Wortsman et al. 2022, "Model soups", section 2.

    Example:
        >>> average([{"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}])
        {'w': tensor([2.])}
    """
    thetas = list(thetas)
    weights = [1.0] * len(thetas) if weights is None else [float(w) for w in weights]
    if len(weights) != len(thetas):
        raise UserError(
            f"{len(thetas)} state dicts but {len(weights)} weights; give one weight each"
        )
    total = math.fsum(weights)
    if thetas and (not math.isfinite(total) or total == 0):
        raise UserError(f"the weights sum to {total}; give weights with a finite sum other than 0")
    return _combine(thetas, [w / total for w in weights])


def difference(theta_1: Weights, theta_0: Weights) -> dict[str, Tensor]:
    """Return ``theta_1 - theta_0`` for every floating-point tensor, in float32 or wider.

    Raises:
        UserError: keys or shapes differ.

    Source: the task vector of Ilharco et al. 2023, section 2.

    Example:
        >>> difference({"w": torch.tensor([3.0])}, {"w": torch.tensor([1.0])})
        {'w': tensor([2.])}
    """
    check_alike([theta_1, theta_0])
    wide = lambda t: t.to(torch.promote_types(t.dtype, torch.float32))  # noqa: E731
    return {k: wide(t) - wide(theta_0[k]) for k, t in theta_1.items() if t.is_floating_point()}


def distance(theta_0: Weights, theta_1: Weights) -> float:
    """Return the Euclidean distance between two state dicts, over all floating-point tensors.

    Raises:
        UserError: keys or shapes differ.

    Example:
        >>> distance({"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])})
        5.0
    """
    return math.sqrt(
        math.fsum(float(d.double().square().sum()) for d in difference(theta_1, theta_0).values())
    )
