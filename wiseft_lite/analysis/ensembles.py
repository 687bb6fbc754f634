"""Ensembles of two models' outputs; ``weights`` averages their weights instead."""

from __future__ import annotations

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def _check(logits_0: Tensor, logits_1: Tensor) -> None:
    if logits_0.shape != logits_1.shape:
        raise UserError(
            f"logits {tuple(logits_0.shape)} and {tuple(logits_1.shape)}; "
            "evaluate both models on the same images and classes"
        )


def _check_alpha(alpha: float | Tensor) -> None:
    values = torch.as_tensor(alpha)
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"alpha {alpha} is not a weight of a mixture; give a number from 0 to 1")


def output_ensemble(logits_0: Tensor, logits_1: Tensor, alpha: float | Tensor) -> Tensor:
    """Return ``(1 - alpha) f(x, theta_0) + alpha f(x, theta_1)``, the mean of two models' logits.

    If only the heads differ, it equals the model with interpolated weights; otherwise it costs a
    forward pass of each model.

    Args:
        logits_0: ``[n, C]`` of the zero-shot model.
        logits_1: ``[n, C]`` of the fine-tuned model, or of any other with the same classes.
        alpha: mixing coefficient; 0 gives ``logits_0`` and 1 gives ``logits_1``. One for each
            image is ``[n, 1]``, see ``dynamic_alpha``.

    Raises:
        UserError: unequal shapes.

    Source: the paper, section 2 and appendix C.3.1 (output-space ensemble).

    Example:
        >>> output_ensemble(torch.tensor([[0.0, 4.0]]), torch.tensor([[8.0, 4.0]]), 0.25)
        tensor([[2., 4.]])
    """
    _check(logits_0, logits_1)
    return (1 - alpha) * logits_0 + alpha * logits_1


def softmax_ensemble(logits_0: Tensor, logits_1: Tensor, alpha: float | Tensor) -> Tensor:
    """Return the mean of two models' probabilities ``[n, C]``.

    ``(1 - alpha) softmax(f(x, theta_0)) + alpha softmax(f(x, theta_1))``

    Args:
        logits_0: ``[n, C]`` of the zero-shot model.
        logits_1: ``[n, C]`` of the fine-tuned model.
        alpha: weight of the fine-tuned model in 0..1, or one for each image, ``[n, 1]``, see
            ``dynamic_alpha``.

    Raises:
        UserError: unequal shapes, or alpha outside 0..1.

    Source: the paper, appendix C.3.3.

    Example:
        >>> softmax_ensemble(torch.tensor([[0.0, 0.0]]), torch.tensor([[99.0, -99.0]]), 0.5)
        tensor([[0.7500, 0.2500]])
    """
    _check(logits_0, logits_1)
    _check_alpha(alpha)
    return (1 - alpha) * logits_0.softmax(-1) + alpha * logits_1.softmax(-1)


def random_ensemble(logits_0: Tensor, logits_1: Tensor, alpha: float, seed: int = 0) -> Tensor:
    """Return each image's logits from one model, the fine-tuned one with probability ``alpha``.

    Its expected accuracy is ``(1 - alpha) Acc(theta_0) + alpha Acc(theta_1)``, the straight line
    between the end points. A seed draws the same number for each image whatever alpha is, so a
    larger alpha only moves images from the zero-shot to the fine-tuned model.

    Raises:
        UserError: unequal shapes, or alpha outside 0..1.

    Source: the paper, appendix C.3.3 (random interpolation).

    Example:
        >>> random_ensemble(torch.zeros(4, 1), torch.ones(4, 1), 0.5, seed=1).flatten()
        tensor([0., 1., 1., 0.])
    """
    _check(logits_0, logits_1)
    _check_alpha(alpha)
    drawn = torch.rand(len(logits_0), generator=torch.Generator().manual_seed(seed))
    return torch.where((drawn < alpha).to(logits_0.device)[:, None], logits_1, logits_0)
