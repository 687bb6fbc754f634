"""How two classifiers differ on the same images, computed from their predictions, logits or features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wiseft_lite.errors import UserError


def _check_same_length(*outputs: Tensor) -> None:
    """Raise unless all tensors have the same number of rows, at least one."""
    lengths = [len(output) for output in outputs]
    if len(set(lengths)) > 1 or lengths[0] == 0:
        raise UserError(
            f"{' and '.join(map(str, lengths))} rows do not describe the same images; "
            "evaluate both classifiers on one split that is not empty"
        )


def prediction_diversity(first: Tensor, second: Tensor, labels: Tensor) -> float:
    """Return the fraction of images on which exactly one of two classifiers is right.

    ``PD = 1/n sum_i 1[exactly one of f(x_i), g(x_i) is y_i]``

    Args:
        first: predicted classes ``[n]`` of one classifier, see ``metrics.predictions``.
        second: predicted classes ``[n]`` of the other.
        labels: true classes ``[n]``.

    Returns:
        A fraction in 0..1.

    Raises:
        UserError: unequal numbers of images, or none.

    Source: the paper, appendix E, equations 4 to 6.

    Example:
        >>> prediction_diversity(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 2, 1, 2]), torch.tensor([0, 1, 0, 1]))
        0.25
    """
    _check_same_length(first, second, labels)
    return ((first == labels) != (second == labels)).double().mean().item()


def kappa_complement(first: Tensor, second: Tensor) -> float:
    """Return one minus Cohen's kappa: the disagreement relative to that expected by chance.

    ``CC = (1 - p_o) / (1 - p_e)``, where ``p_o`` is the fraction of images with equal predictions and
    ``p_e = 1/n^2 sum_c n_fc n_gc`` the one expected by chance, from how often each classifier
    predicts each class.

    Args:
        first: predicted classes ``[n]`` of one classifier.
        second: predicted classes ``[n]`` of the other.

    Returns:
        0 for equal predictions, 1 for agreement at chance level, above 1 for less than that.

    Raises:
        UserError: unequal numbers of images, none, or both predict one and the same class always.

    Source: Cohen 1960; the paper, appendix E, equations 7 and 8.

    Example:
        >>> kappa_complement(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1]))
        0.5
    """
    _check_same_length(first, second)
    n, classes = len(first), int(torch.cat([first, second]).max()) + 1
    by_chance = (
        first.bincount(minlength=classes) * second.bincount(minlength=classes)
    ).sum().item() / n**2
    if by_chance == 1:
        raise UserError(
            "both classifiers predict one and the same class for all images; kappa is undefined then"
        )
    return (1 - (first == second).double().mean().item()) / (1 - by_chance)


def kl_divergence(first: Tensor, second: Tensor) -> float:
    """Return the mean Kullback-Leibler divergence of two classifiers' predicted probabilities.

    ``KL = 1/n sum_i sum_c p_f(c) log(p_f(c) / p_g(c))``; it is not symmetric.

    Args:
        first: logits ``[n, C]`` of ``f``.
        second: logits ``[n, C]`` of ``g``.

    Returns:
        Nats, 0 or more.

    Raises:
        UserError: unequal numbers of images, or none.

    Source: the paper, appendix E, equation 9.

    Example:
        >>> round(kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0986]])), 3)
        0.144
    """
    _check_same_length(first, second)
    log_f, log_g = first.double().log_softmax(-1), second.double().log_softmax(-1)
    return (log_f.exp() * (log_f - log_g)).sum(-1).mean().item()


def cka_complement(first: Tensor, second: Tensor) -> float:
    """Return one minus the linear centred kernel alignment of two sets of outputs or features.

    ``CKAC = 1 - |S_g^T S_f|_F^2 / (|S_f^T S_f|_F |S_g^T S_g|_F)``, the columns of both ``S``
    centred. It is invariant to rotation, translation and isotropic scaling of either set.

    Args:
        first: logits or features ``[n, d]`` of one classifier.
        second: those of the other, ``[n, e]``.

    Returns:
        0 for the same geometry, 1 for orthogonal ones.

    Raises:
        UserError: unequal numbers of images, none, or a set whose rows are all equal.

    Source: Kornblith et al. 2019, section 3; the paper, appendix E, equations 10 and 11.

    Example:
        >>> outputs = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 4.0]])
        >>> abs(round(cka_complement(outputs, 3 * outputs.flip(1) + 1), 6))
        0.0
    """
    _check_same_length(first, second)
    f, g = (s.double() - s.double().mean(0) for s in (first, second))
    size = (f.T @ f).norm() * (g.T @ g).norm()
    if size == 0:
        raise UserError(
            "all rows of one set are equal, so the alignment is undefined; give other images"
        )
    return 1 - ((g.T @ f).square().sum() / size).item()


@dataclass(frozen=True)
class Overrides:
    """Of ``n`` images: where two classifiers differ, which one their ensemble agrees with."""

    zero_shot: int
    fine_tuned: int
    neither: int
    n: int


def overrides(zero_shot: Tensor, fine_tuned: Tensor, ensemble: Tensor) -> Overrides:
    """Count, among the images on which two classifiers differ, with which one an ensemble agrees.

    The zero-shot classifier *overrides* where the ensemble predicts its class and not the
    fine-tuned one's.

    Args:
        zero_shot: predicted classes ``[n]``.
        fine_tuned: predicted classes ``[n]``.
        ensemble: predicted classes ``[n]`` of the ensemble; in the paper, WiSE-FT at alpha = 0.5.

    Raises:
        UserError: unequal numbers of images, or none.

    Source: the paper, figure 5, middle.

    Example:
        >>> overrides(torch.tensor([0, 1, 2, 0]), torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 2]))
        Overrides(zero_shot=1, fine_tuned=1, neither=1, n=4)
    """
    _check_same_length(zero_shot, fine_tuned, ensemble)
    differ = zero_shot != fine_tuned
    n_zero_shot = int((differ & (ensemble == zero_shot)).sum())
    n_fine_tuned = int((differ & (ensemble == fine_tuned)).sum())
    n_neither = int(differ.sum()) - n_zero_shot - n_fine_tuned
    return Overrides(n_zero_shot, n_fine_tuned, n_neither, len(zero_shot))


def margins(logits: Tensor) -> Tensor:
    """Return the margin of each image: its largest logit minus the second largest.

    ``delta_i = z_(1) - z_(2)``; the paper's ``delta_f`` is its mean. It uses logits, not
    probabilities, because an output ensemble adds logits.

    Args:
        logits: ``[n, C]`` with at least two classes.

    Returns:
        ``[n]``, 0 or more.

    Raises:
        UserError: fewer than two classes.

    Source: the paper, figure 5, right.

    Example:
        >>> margins(torch.tensor([[1.0, 4.0, 2.5]]))
        tensor([1.5000])
    """
    if logits.shape[-1] < 2:
        raise UserError("a margin needs at least two classes; give logits [n, C]")
    best = logits.topk(2, dim=-1).values
    return best[:, 0] - best[:, 1]
