"""Fisher-weighted averaging: weights count by how strongly the model's predictions depend on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.weights import Weights, check_alike


def diagonal_fisher(
    classifier: ImageClassifier, images: Tensor, seed: int = 0, batch_size: int = 16
) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information of every weight.

    ``F = 1/n sum_i (d/d theta log p(y_i | x_i, theta))^2`` with ``y_i`` sampled from the model's own
    prediction ``p(y | x_i, theta)``, so no labels are needed. The per-image gradients of a batch
    are computed in one vectorised pass.

    Args:
        classifier: run in eval mode; not modified.
        images: preprocessed ``[n, 3, h, w]``, see ``features.pixels``.
        seed: of the sampled labels.
        batch_size: images per pass; each needs memory for one gradient.

    Returns:
        A tensor for each parameter, in its shape; none for buffers.

    Raises:
        UserError: no images.

    Source: Matena and Raffel 2022, "Merging models with Fisher-weighted averaging", section 3.
    Their definition takes the expectation over all classes; here labels are sampled, as in
    ``fisher.py`` of Wortsman et al. 2022.
    """
    if not len(images):
        raise UserError("no images to compute the Fisher information on; give at least one")
    theta = {name: p.detach() for name, p in classifier.named_parameters()}
    device = next(iter(theta.values())).device
    generator = torch.Generator(device).manual_seed(seed)
    was_training = classifier.training
    classifier.eval()

    def loss(theta: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(classifier, theta, (image[None],)), label[None])

    total = {name: torch.zeros_like(p) for name, p in theta.items()}
    with sdpa_kernel(SDPBackend.MATH):  # the other backends have no vectorised gradient
        for batch in images.to(device).split(batch_size):
            with torch.no_grad():
                probabilities = functional_call(classifier, theta, (batch,)).softmax(-1)
            labels = torch.multinomial(probabilities, 1, generator=generator).flatten()
            for name, gradient in vmap(grad(loss), (None, 0, 0))(theta, batch, labels).items():
                total[name] += gradient.square().sum(0)
    classifier.train(was_training)
    return {name: tensor / len(images) for name, tensor in total.items()}


def fisher_average(
    thetas: Sequence[Weights],
    fishers: Sequence[Mapping[str, Tensor]],
    weights: Sequence[float] | None = None,
    floor: float = 1e-8,
) -> dict[str, Tensor]:
    """Return the mean of state dicts in which each weight is weighted by its Fisher information.

    ``theta = sum_i w_i F_i theta_i / sum_i w_i F_i`` with ``F_i = max(F_i, floor)``, entry by
    entry. Equal Fishers give ``average``.

    Args:
        thetas: state dicts with the same keys and shapes.
        fishers: the ``diagonal_fisher`` of each model. A tensor without one in all models, such as
            a buffer, is averaged with ``weights`` alone.
        weights: one number per model, not negative and not all 0; equal if not given. ``[1 -
            alpha, alpha]`` gives a path between two models, whose end points are exact.
        floor: smallest Fisher value of an entry, so that weights that no model depends on are
            averaged too.

    Raises:
        UserError: unequal numbers, a negative weight or all 0, a floor that is not positive, a
            tensor with a Fisher in some models only, or differing keys or shapes.

    Source: Matena and Raffel 2022, "Merging models with Fisher-weighted averaging". The floor of
    1e-8 and the mean without Fishers are those of the code of Wortsman et al. 2022 (``_merge`` in
    ``wise_ft.py``, ``--fisher_floor``). Matena and Raffel's own code has a floor of 1e-6, usually
    for the first model alone, and first divides each Fisher by its norm; weights ``w_i / norm_i``
    do the same here.

    Example:
        >>> thetas = [{"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([4.0, 4.0])}]
        >>> fisher_average(thetas, [{"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([1.0, 3.0])}])
        {'w': tensor([1., 3.])}
    """
    check_alike(thetas)
    weights = [1.0] * len(thetas) if weights is None else list(weights)
    if not len(thetas) == len(fishers) == len(weights):
        raise UserError(
            f"{len(thetas)} state dicts, {len(fishers)} Fishers and {len(weights)} weights; "
            "give one of each per model"
        )
    if not (all(math.isfinite(w) and w >= 0 for w in weights) and sum(weights) > 0):
        raise UserError(
            f"weights are {weights}; give numbers that are not negative, at least one of them above 0"
        )
    if not floor > 0:
        raise UserError(f"floor is {floor}; give a number above 0")
    partial = [
        key for key in thetas[0] if 0 < sum(key in fisher for fisher in fishers) < len(fishers)
    ]
    if partial:
        raise UserError(
            f"{partial[0]} has a Fisher in some of the models only; compute all Fishers with one architecture"
        )
    counted = [
        (theta, fisher, w)
        for theta, fisher, w in zip(thetas, fishers, weights, strict=True)
        if w > 0
    ]
    if len(counted) == 1:  # an end point: F theta / F could differ from theta in its last bit
        return {key: tensor.clone() for key, tensor in counted[0][0].items()}
    result = {}
    for key, first in thetas[0].items():
        if not first.is_floating_point():
            result[key] = first.clone()
            continue
        wide = torch.promote_types(first.dtype, torch.float32)
        above, below = torch.zeros_like(first, dtype=wide), torch.zeros_like(first, dtype=wide)
        for theta, fisher, weight in counted:
            counts = (
                weight * fisher[key].to(wide).clamp(min=floor)
                if key in fisher
                else torch.full_like(below, weight)
            )
            above += counts * theta[key].to(wide)
            below += counts
        result[key] = (above / below).to(first.dtype)
    return result
