"""Linear probes by L-BFGS: the full-batch loss of a head on encoded features, minimised.

``training.fit`` takes many small AdamW steps on mini-batches and stops when its epochs are over;
where it stops depends on the learning rate. L-BFGS computes the loss on all features at once,
estimates its curvature from the last gradients, and stops at a minimum. There is no learning rate,
no batch size and no seed: what decides the result is the objective.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from wiseft_lite.errors import UserError
from wiseft_lite.losses import Objective, cross_entropy, l1
from wiseft_lite.models import Head

CHUNK = 2**14  # features whose logits are in memory at once


def fit_lbfgs(
    head: Head,
    features: Tensor,
    labels: Tensor,
    *,
    objective: Objective = cross_entropy,
    tolerance: float = 1e-5,
    max_iter: int = 1000,
) -> Head:
    """Minimise the full-batch objective with L-BFGS, train ``head`` in place and return it in eval mode.

    ``theta* = argmin_theta L(theta; X, y)``, from the weights of ``head``, until
    ``max |dL/dtheta| <= tolerance`` or the loss decreases by no more than rounding error.

    Most iterations are computed in float32. When float32 reaches the tolerance, or cannot resolve
    the loss further, float64 continues from there: the loss is as exact as in float64 throughout,
    in about half the time. The weights are rounded to the head's own type at the end.

    Cross-entropy without a penalty has no minimum if the classes are separable, as they are when
    there are few images per class or many features: the loss falls to 0 as the weights grow without
    limit. Its gradient vanishes too, so the tolerance still stops the run, but the result then
    depends on the tolerance and on the start, and it may be worse than the start under shift. A
    penalty gives a minimum: ``losses.l2_to`` the zero-shot head keeps what its words describe, and
    ``l2_to`` zeros is the L2 penalty of logistic regression.

    Args:
        head: the start, usually the zero-shot head. Parameters that need no gradient stay as they
            are.
        features: ``[n, d]``, such as ``features.encode`` returns; moved to the head's device.
        labels: int64 ``[n]``.
        objective: what to minimise, a mean over inputs plus a penalty on the weights, both smooth
            and without randomness: ``losses.cross_entropy``, ``smoothed``, ``l2_to`` and
            ``distillation``. ``losses.l1`` is refused: it has no gradient where a weight is 0,
            which is where it drives weights.
        tolerance: largest absolute entry of the gradient of the mean loss at which to stop.
            scikit-learn's ``tol`` is the same, 1e-4 by default.
        max_iter: largest number of iterations; each computes the loss and its gradient about once.

    Raises:
        UserError: the objective is ``losses.l1``, the sizes do not match, a label is not a class, or
            the loss is not finite.

    Warns:
        UserWarning: stopped before it converged, with the number of iterations and the largest
            gradient left.

    Source: Liu & Nocedal 1989, as in ``scipy.optimize.minimize(method="L-BFGS-B")``; the paper's
    linear classifiers of ALIGN and JFT.

    Example:
        >>> from wiseft_lite.losses import l2_to
        >>> start = Head(torch.zeros(2, 2))
        >>> pull = l2_to({name: p.detach().clone() for name, p in start.named_parameters()}, 0.1)
        >>> head = fit_lbfgs(start, torch.eye(2), torch.tensor([0, 1]), objective=pull)
        >>> head(torch.eye(2)).argmax(1).tolist()
        [0, 1]
        >>> bool(head.weight.isfinite().all())
        True
    """
    from scipy.optimize import minimize

    _check(head, features, labels, objective)
    device = head.weight.device
    features, labels = features.to(device), labels.to(device)
    theta, iterations = _vector(p for p in head.parameters() if p.requires_grad), 0
    for dtype in (torch.float32, torch.float64):
        loss = _Loss(head, features, labels, objective, dtype)
        options = {
            "maxiter": max_iter - iterations,
            "gtol": tolerance,
            "ftol": 4 * torch.finfo(dtype).eps,  # a smaller decrease is rounding error
        }
        result = minimize(loss, theta, jac=True, method="L-BFGS-B", options=options)
        theta, iterations = result.x, iterations + result.nit
    if not result.success:
        warnings.warn(
            f"L-BFGS stopped after {iterations} iterations with a gradient of "
            f"{np.abs(result.jac).max():.1e}, above the tolerance {tolerance:g} ({result.message}); "
            "raise max_iter or tolerance, or add a penalty such as losses.l2_to",
            stacklevel=2,
        )
    _assign((p for p in head.parameters() if p.requires_grad), theta)
    return head.eval()


class _Loss:
    """The full-batch loss and its gradient as a function of a flat vector, for SciPy."""

    def __init__(
        self,
        head: Head,
        features: Tensor,
        labels: Tensor,
        objective: Objective,
        dtype: torch.dtype,
    ):
        self.head = copy.deepcopy(head).to(dtype)
        # Only the head computes in this type. A teacher keeps its own, and so do the features in
        # memory.
        self.head.register_forward_pre_hook(lambda _, inputs: (inputs[0].to(dtype),))
        self.parameters = [p for p in self.head.parameters() if p.requires_grad]
        self.chunks = list(zip(features.split(CHUNK), labels.split(CHUNK), strict=True))
        self.objective, self.n = objective, len(labels)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        _assign(self.parameters, theta)
        self.head.zero_grad()
        total = 0.0
        for inputs, labels in self.chunks:
            # The weights of the chunks add up to 1, so a penalty counts once.
            loss = self.objective(self.head, inputs, labels) * (len(labels) / self.n)
            loss.backward()
            total += loss.item()
        if not math.isfinite(total):
            raise UserError(
                f"the loss of the probe is {total}; remove features that are not finite numbers"
            )
        return total, _vector(p.grad for p in self.parameters)


def _vector(tensors: Iterable[Tensor]) -> np.ndarray:
    """All entries in one float64 vector on the CPU."""
    return torch.cat([t.detach().flatten() for t in tensors]).double().cpu().numpy()


def _assign(parameters: Iterable[nn.Parameter], theta: np.ndarray) -> None:
    """Copy a flat vector into parameters, each in its own type."""
    start = 0
    with torch.no_grad():
        for p in parameters:
            part = torch.from_numpy(theta[start : start + p.numel()])
            p.copy_(part.view_as(p))
            start += p.numel()


def _check(head: Head, features: Tensor, labels: Tensor, objective: Objective) -> None:
    if getattr(objective, "__qualname__", "").startswith(f"{l1.__qualname__}."):
        raise UserError(
            "L-BFGS needs a smooth objective, and an L1 penalty has no gradient where a weight is 0; "
            "train with AdamW (training.fit), or use the L2 penalty losses.l2_to"
        )
    if features.ndim != 2 or features.shape[1] != head.weight.shape[1]:
        raise UserError(
            f"features {tuple(features.shape)}, but the head takes [n, {head.weight.shape[1]}]; "
            "encode the images with the classifier of this head"
        )
    if len(features) != len(labels) or len(labels) == 0:
        raise UserError(
            f"{len(features)} features and {len(labels)} labels; give one label per feature vector"
        )
    if labels.min() < 0 or labels.max() >= len(head.weight):
        raise UserError(
            f"labels from {labels.min()} to {labels.max()}, but the head has {len(head.weight)} "
            "classes; number the classes from 0"
        )
