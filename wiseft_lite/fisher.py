"""Fisher-weighted averaging: each weight counts as much as its model's answers hang on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.weights import Weights, check_alike


def diagonal_fisher(classifier: ImageClassifier, images: Tensor, seed: int = 0,
                    batch_size: int = 16) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information of every weight.

    ``F = 1/n sum_i (d/d theta log p(y_i | x_i, theta))^2`` with ``y_i`` drawn from the model's own answer
    ``p(y | x_i, theta)``: no labels are used. The gradients of a batch come from one vectorised pass.

    Args:
        classifier: it is left alone and run in eval mode.
        images: preprocessed ``[n, 3, h, w]``, see ``features.pixels``.
        seed: of the draw of labels.
        batch_size: images a pass; each needs memory for a gradient of its own.

    Returns:
        A tensor for each parameter, in its shape. Buffers have none.

    Raises:
        UserError: no images.

    Source: Matena and Raffel 2022, "Merging models with Fisher-weighted averaging".
    """
    if not len(images):
        raise UserError("no images to take the Fisher information from; give at least one")
    theta = {name: p.detach() for name, p in classifier.named_parameters()}
    device = next(iter(theta.values())).device
    dice = torch.Generator(device).manual_seed(seed)
    was_training = classifier.training
    classifier.eval()

    def loss(theta: Mapping[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(classifier, theta, (image[None],)), label[None])

    total = {name: torch.zeros_like(p) for name, p in theta.items()}
    with sdpa_kernel(SDPBackend.MATH):  # the others have no vectorised gradient
        for batch in images.to(device).split(batch_size):
            with torch.no_grad():
                answers = functional_call(classifier, theta, (batch,)).softmax(-1)
            labels = torch.multinomial(answers, 1, generator=dice).flatten()
            for name, gradient in vmap(grad(loss), (None, 0, 0))(theta, batch, labels).items():
                total[name] += gradient.square().sum(0)
    classifier.train(was_training)
    return {name: tensor / len(images) for name, tensor in total.items()}


def fisher_average(thetas: Sequence[Weights], fishers: Sequence[Mapping[str, Tensor]],
                   weights: Sequence[float] | None = None, floor: float = 1e-6) -> dict[str, Tensor]:
    """Return the mean of state dicts in which each weight counts by its Fisher information.

    ``theta = sum_i w_i F_i theta_i / sum_i w_i F_i``, entry by entry. Equal Fishers give ``average``.

    Args:
        thetas: state dicts with the same keys and shapes.
        fishers: for each its ``diagonal_fisher``. A tensor without one, such as a buffer, gets the plain mean.
        weights: one number above 0 each; equal if not given. ``[1 - alpha, alpha]`` makes a path of two models.
        floor: the least that an entry counts, so that two models that do not care are averaged.

    Raises:
        UserError: unequal numbers, a weight or floor that is not positive, models that do not fit together.

    Source: Matena and Raffel 2022; the floor as in the code of Wortsman et al. 2022.

    Example:
        >>> thetas = [{"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([4.0, 4.0])}]
        >>> fisher_average(thetas, [{"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([1.0, 3.0])}])
        {'w': tensor([1., 3.])}
    """
    check_alike(thetas)
    weights = [1.0] * len(thetas) if weights is None else list(weights)
    if not len(thetas) == len(fishers) == len(weights):
        raise UserError(f"{len(thetas)} state dicts, {len(fishers)} Fishers and {len(weights)} weights; "
                        "give one each")
    if not (floor > 0 and all(w > 0 for w in weights)):
        raise UserError(f"weights {weights} and floor {floor} must be above 0")
    result = {}
    for key, first in thetas[0].items():
        if not first.is_floating_point():
            result[key] = first.clone()
            continue
        wide = torch.promote_types(first.dtype, torch.float32)
        above, below = torch.zeros_like(first, dtype=wide), torch.zeros_like(first, dtype=wide)
        for theta, fisher, weight in zip(thetas, fishers, weights):
            counts = weight * fisher[key].to(wide).clamp(min=floor) if key in fisher else torch.full_like(below, weight)
            above += counts * theta[key].to(wide)
            below += counts
        result[key] = (above / below).to(first.dtype)
    return result
