"""Learned soups: the mixing weights of the models are trained on held-out images."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from wiseft_lite.callbacks import Callback
from wiseft_lite.merging.soups import NoAliases
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.training import Recipe, fit, training_images
from wiseft_lite.weights import Weights, check_alike

LEARNED = Recipe(
    epochs=5, lr=0.05, weight_decay=0.0, augment="none"
)  # learning rate and epochs of the authors' code


class Mixture(nn.Module):
    """A soup with trainable mixing weights: ``beta f(x, sum_i a_i theta_i)``, ``a`` the softmax of
    ``preference``.

    Args:
        classifier: what the weights belong to.
        thetas: ``k`` state dicts, all kept in memory.
        per_tensor: a mixing weight per tensor and model, instead of one per model.
    """

    def __init__(self, classifier: ImageClassifier, thetas: Sequence[Weights], per_tensor: bool):
        super().__init__()
        self.classifier = copy.deepcopy(classifier).requires_grad_(False)
        self.thetas = thetas
        self.names = [name for name, t in thetas[0].items() if t.is_floating_point()]
        self.preference = nn.Parameter(
            torch.zeros(len(self.names) if per_tensor else 1, len(thetas))
        )
        self.log_beta = nn.Parameter(torch.zeros(()))

    def mixing_weights(self) -> Tensor:
        """The weights ``[1, k]`` of the models, or ``[tensors, k]``; each row sums to 1."""
        return self.preference.softmax(-1)

    def mixed(self) -> dict[str, Tensor]:
        """The weighted mean of the models, differentiable in the mixing weights."""
        mixed = dict(self.thetas[0])
        rows = self.mixing_weights().expand(len(self.names), -1)
        for name, row in zip(self.names, rows, strict=True):
            tensors = [theta[name].to(row.device) for theta in self.thetas]
            mixed[name] = sum(a * tensor for a, tensor in zip(row, tensors, strict=True))
        return mixed

    @torch.no_grad()
    def soup(self) -> dict[str, Tensor]:
        """The soup as a state dict to save or load: no gradient, and no temperature."""
        return {name: tensor.clone() for name, tensor in self.mixed().items()}

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b, C]``."""
        return self.log_beta.exp() * functional_call(self.classifier, self.mixed(), (images,))


def learned_soup(
    classifier: ImageClassifier,
    thetas: Sequence[Weights],
    split: Split,
    recipe: Recipe = LEARNED,
    *,
    per_tensor: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Mixture:
    """Return the mixture that minimises the cross-entropy on held-out images; see its ``.soup()``.

    A temperature ``1 / beta`` is learned too, since a mean of models is less confident than each.

    Args:
        classifier: what the weights belong to; it is left alone.
        thetas: ``k`` state dicts, all in memory at once.
        split: images that none of the models was trained on, such as ``task.val``.
        recipe: how to train the mixing weights.
        per_tensor: a mixing weight per tensor and model ("by layer"), instead of one per model.
        callbacks: as for ``fit``.

    Raises:
        UserError: no models, ones that do not fit together, or several names for one model.

    Source: Wortsman et al. 2022, "Model soups", appendix on learned soups.
    """
    check = NoAliases()
    for theta in thetas:
        check(theta)
    check_alike(thetas)
    return fit(
        Mixture(classifier, list(thetas), per_tensor),
        training_images(classifier, split, recipe),
        split.labels,
        recipe,
        callbacks=callbacks,
    )
