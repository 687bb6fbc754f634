"""Arithmetic on state dicts: the heart of WiSE-FT."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from wiseft_lite.errors import UserError

Weights = Mapping[str, Tensor]

COUNTER = "num_batches_tracked"  # batch norm's count of steps; no forward pass reads it


def check_alike(thetas: Sequence[Weights]) -> None:
    """Raise unless state dicts have equal keys, shapes and integer buffers, except ``COUNTER``.

    Raises:
        UserError: it names the first three tensors that differ.
    """
    if not thetas:
        raise UserError("no state dicts to combine; give at least one")
    first = thetas[0]
    for other in thetas[1:]:
        unmatched = [k for k in [*first, *other] if (k in first) != (k in other)]
        if unmatched:
            raise UserError(
                f"state dicts have different keys, such as {', '.join(unmatched[:3])}; "
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
                "integers cannot be averaged, so make them equal first"
            )


def check_finite(theta: Weights, where: str) -> None:
    """Raise if a weight is infinite or not a number.

    With one such weight all predictions are of one class, also after averaging. Every checkpoint,
    imported file and pre-trained model is checked when it is read, so no later code checks again.

    Args:
        theta: state dict.
        where: what holds it, such as a path, for the message.

    Raises:
        UserError: it names ``where`` and the first three tensors.

    Example:
        >>> check_finite({"w": torch.tensor([1.0])}, "model.pt")
    """
    bad = [
        key
        for key, tensor in theta.items()
        if tensor.is_floating_point()
        and tensor.numel()
        and not all(end.isfinite() for end in tensor.aminmax())
    ]  # aminmax makes no copy, and returns NaN if there is one
    if bad:
        raise UserError(
            f"{where} has weights that are not finite: {', '.join(bad[:3])}; "
            "copy or download it again, or train it again with a lower learning rate"
        )


def relative_distance(theta_0: Weights, theta_1: Weights) -> float:
    """Return the distance between two models, ``|theta_1 - theta_0| / |theta_0|``.

    Fine-tuning changes a model by a few percent of its norm. For two models that were pre-trained
    separately the distance is about 1, and their average does not work;
    ``connectivity.midpoint_barrier`` measures how badly.

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
    origin = {
        key: torch.zeros_like(tensor) if tensor.is_floating_point() else tensor
        for key, tensor in theta_0.items()
    }
    norm = distance(theta_0, origin)
    return distance(theta_0, theta_1) / norm if norm else math.inf


def interpolate(theta_0: Weights, theta_1: Weights, alpha: float) -> dict[str, Tensor]:
    """Return the point at ``alpha`` on the straight line from ``theta_0`` to ``theta_1``.

    ``theta_alpha = (1 - alpha) theta_0 + alpha theta_1``, for every tensor, the head included.

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model, with the same keys and shapes.
        alpha: any finite number; 0 gives ``theta_0`` and 1 gives ``theta_1``, bit for bit.

    Returns:
        A new state dict that shares no memory with its inputs. Floating-point tensors are mixed in
        float32 or wider and keep their type; integer buffers are copied.

    Raises:
        UserError: keys, shapes or integer buffers differ, or alpha is not finite.

    Source: Wortsman et al. 2022, equation 1 and appendix A.

    Example:
        >>> zero, one = {"w": torch.tensor([0.0])}, {"w": torch.tensor([4.0])}
        >>> interpolate(zero, one, 0.25)
        {'w': tensor([1.])}
    """
    if not math.isfinite(alpha):
        raise UserError(f"alpha is {alpha}; give a finite number such as 0.5")
    check_alike([theta_0, theta_1])
    if alpha in (0, 1):
        end = theta_1 if alpha else theta_0
        return {key: tensor.clone() for key, tensor in end.items()}
    theta_alpha = {}
    for key, tensor in theta_0.items():
        if tensor.is_floating_point():
            wide = torch.promote_types(tensor.dtype, torch.float32)
            total = torch.zeros_like(tensor, dtype=wide)  # (1 - alpha) * theta_0 + alpha * theta_1
            total.add_(theta_0[key].to(wide), alpha=1 - alpha)
            total.add_(theta_1[key].to(wide), alpha=alpha)
            theta_alpha[key] = total.to(tensor.dtype)
        else:
            theta_alpha[key] = tensor.clone()
    return theta_alpha


def interpolate_(target: Weights, theta_0: Weights, theta_1: Weights, alpha: float) -> None:
    """Write ``interpolate(theta_0, theta_1, alpha)`` into ``target``, bit for bit and in place.

    Args:
        target: state dict of a third model with the same keys and shapes; its device computes.
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.
        alpha: any finite number.

    Raises:
        UserError: as ``interpolate``, or ``target`` shares memory with ``theta_0`` or ``theta_1``.

    Source: as ``interpolate``.

    Example:
        >>> zero, one, mixed = ({"w": torch.tensor([value])} for value in (0.0, 4.0, 9.0))
        >>> interpolate_(mixed, zero, one, 0.25)
        >>> mixed
        {'w': tensor([1.])}
    """
    if not math.isfinite(alpha):
        raise UserError(f"alpha is {alpha}; give a finite number such as 0.5")
    check_alike([theta_0, theta_1, target])
    shared = [
        key
        for key, tensor in target.items()
        if tensor.numel()
        and tensor.data_ptr() in (theta_0[key].data_ptr(), theta_1[key].data_ptr())
    ]
    if shared:
        raise UserError(
            f"the target shares memory with theta_0 or theta_1: {', '.join(shared[:3])}; "
            "pass a copy.deepcopy of the model"
        )
    for key, tensor in target.items():
        start, end = theta_0[key], theta_1[key]
        if alpha in (0, 1) or not tensor.is_floating_point():
            tensor.copy_(end if alpha == 1 else start)
        elif tensor.dtype == start.dtype in (torch.float32, torch.float64):
            tensor.zero_()
            tensor.add_(start.to(tensor), alpha=1 - alpha).add_(end.to(tensor), alpha=alpha)
        else:  # a 16-bit tensor cannot hold the float32 sum
            first, last = ({key: theta.to(tensor.device)} for theta in (start, end))
            tensor.copy_(interpolate(first, last, alpha)[key])


def average(thetas: Sequence[Weights], weights: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Return the weighted mean of state dicts, ``sum_i w_i theta_i / sum_i w_i``.

    Args:
        thetas: state dicts with the same keys and shapes.
        weights: one number for each state dict; equal weights if not given.

    Returns:
        A new state dict.

    Raises:
        UserError: nothing to average, a wrong number of weights, weights that sum to 0, or state
            dicts that do not match.

    Source: Wortsman et al. 2022, "Model soups", section 2.

    Example:
        >>> average([{"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}])
        {'w': tensor([2.])}
    """
    thetas = list(thetas)
    weights = [1.0] * len(thetas) if weights is None else [float(w) for w in weights]
    if len(weights) != len(thetas):
        raise UserError(
            f"{len(thetas)} state dicts but {len(weights)} weights; give one weight for each"
        )
    weight_sum = math.fsum(weights)
    if thetas and (not math.isfinite(weight_sum) or weight_sum == 0):
        raise UserError(
            f"the weights sum to {weight_sum}; give weights with a finite sum other than 0"
        )
    check_alike(thetas)
    mean = {}
    for key, first in thetas[0].items():
        if first.is_floating_point():
            wide = torch.promote_types(first.dtype, torch.float32)
            total = torch.zeros_like(first, dtype=wide)
            for theta, weight in zip(thetas, weights, strict=True):
                total.add_(theta[key].to(wide), alpha=weight / weight_sum)
            mean[key] = total.to(first.dtype)
        else:
            mean[key] = first.clone()
    return mean


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

    def wide(tensor: Tensor) -> Tensor:
        return tensor.to(torch.promote_types(tensor.dtype, torch.float32))

    return {
        key: wide(tensor) - wide(theta_0[key])
        for key, tensor in theta_1.items()
        if tensor.is_floating_point()
    }


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
