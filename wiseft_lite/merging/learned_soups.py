"""Learned soups: the shares of the ingredients are trained on held-out pictures."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from wiseft_lite.features import pixels
from wiseft_lite.merging.soups import NoAliases
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.training import Recipe, fit
from wiseft_lite.weights import Weights, check_alike

LEARNED = Recipe(
    epochs=5, lr=0.05, weight_decay=0.0, augment="none"
)  # rate and epochs of the authors' code


class Mixture(nn.Module):
    """A soup whose shares are trained: ``beta f(x, sum_i a_i theta_i)``, with ``a`` the softmax of
    ``preference``.

    Args:
        classifier: what the weights belong to.
        thetas: ``k`` state dicts, all kept in memory.
        per_tensor: a share for each tensor and model in place of one for each model.
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

    def shares(self) -> Tensor:
        """The shares ``[1, k]`` of the models, or ``[tensors, k]``; each row sums to 1."""
        return self.preference.softmax(-1)

    def soup(self) -> dict[str, Tensor]:
        """The mean of the models with the present shares."""
        rows = dict(zip(self.names, self.shares().expand(len(self.names), -1), strict=True))
        return {
            name: sum(
                a * theta[name].to(a.device)
                for a, theta in zip(rows[name], self.thetas, strict=True)
            )
            if name in rows
            else first
            for name, first in self.thetas[0].items()
        }

    @torch.no_grad()
    def cooked(self) -> dict[str, Tensor]:
        """The soup as a state dict to save or load: without its gradient, and without the
        temperature."""
        return {name: tensor.clone() for name, tensor in self.soup().items()}

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b, C]``."""
        return self.log_beta.exp() * functional_call(self.classifier, self.soup(), (images,))


def learned_soup(
    classifier: ImageClassifier,
    thetas: Sequence[Weights],
    split: Split,
    recipe: Recipe = LEARNED,
    *,
    per_tensor: bool = False,
    progress: bool = False,
) -> Mixture:
    """Return a soup whose shares minimise the cross-entropy on held-out pictures; its weights are
    ``.cooked()``.

    A temperature ``1 / beta`` is learned with the shares, since the mean of models is less sure
    than each.

    Args:
        classifier: what the weights belong to; it is left alone.
        thetas: ``k`` state dicts, all in memory at once.
        split: pictures that no ingredient was trained on, such as ``task.val``.
        recipe: how to train the shares.
        per_tensor: a share for each tensor and model ("by layer") in place of one for each model.
        progress: show a bar.

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
        pixels(classifier, split),
        split.labels,
        recipe,
        progress=progress,
    )
