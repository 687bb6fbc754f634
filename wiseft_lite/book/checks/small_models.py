"""Small networks and splits of drawn images, on which exercises about models are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from wiseft_lite.book.checks.draw import normal
from wiseft_lite.metrics import predictions
from wiseft_lite.weights import interpolate

Theta = dict[str, Tensor]
DrawnSplit = tuple[Tensor, Tensor, tuple[int, ...] | None]  # images, labels, classes
INPUTS, UNITS, CLASSES = 4, 6, 5


def network(theta: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return logits of a network with one hidden layer, which is smooth in its weights."""
    hidden = torch.tanh(images @ theta["encoder.weight"].T + theta["encoder.bias"])
    return hidden @ theta["head.weight"].T + theta["head.bias"]


def weights(generator: np.random.Generator, scale: float = 1.0) -> Theta:
    """Return drawn weights in float64; all logits are rather negative, so that 0 is large."""
    return {
        "encoder.weight": scale * normal(generator, UNITS, INPUTS, dtype=torch.float64),
        "encoder.bias": normal(generator, UNITS, dtype=torch.float64),
        "head.weight": normal(generator, CLASSES, UNITS, dtype=torch.float64),
        "head.bias": normal(generator, CLASSES, dtype=torch.float64) - 5,
    }


def near(generator: np.random.Generator, theta: Mapping[str, Tensor], scale: float) -> Theta:
    """Return weights at a drawn distance from others."""
    return {
        name: tensor + scale * normal(generator, *tensor.shape, dtype=tensor.dtype)
        for name, tensor in theta.items()
    }


def split(
    generator: np.random.Generator,
    n: int,
    thetas: Sequence[Mapping[str, Tensor]],
    classes: Sequence[int] | None = None,
) -> DrawnSplit:
    """Return images, labels that a mixture of two models often predicts, and the split's classes."""
    images = normal(generator, n, INPUTS, dtype=torch.float64)
    own = None if classes is None else tuple(classes)
    likely = predictions(network(interpolate(thetas[0], thetas[1], 0.4), images), own)
    drawn = torch.as_tensor(generator.choice(own or range(CLASSES), size=n))
    right = torch.as_tensor(generator.random(n)) < 0.6
    return images, torch.where(right, likely, drawn), own


def splits(
    generator: np.random.Generator, thetas: Sequence[Mapping[str, Tensor]]
) -> dict[str, DrawnSplit]:
    """Return two splits of unequal size: one with all classes, one with three in any order."""
    own = generator.permutation(CLASSES)[:3].tolist()
    return {
        "test": split(generator, 40, thetas),
        "emoji": split(generator, 25, thetas, own),
    }


def places(logits: Tensor, classes: Sequence[int] | None) -> Tensor:
    """Return the wrong predictions of a common mistake: places in the list of classes."""
    return (logits if classes is None else logits[:, list(classes)]).argmax(-1)


def zeroed(logits: Tensor, classes: Sequence[int] | None) -> Tensor:
    """Return the wrong predictions of a common mistake: other classes have a logit of 0."""
    mask = torch.zeros(logits.shape[1], dtype=logits.dtype)
    mask[list(range(logits.shape[1]) if classes is None else classes)] = 1
    return (logits * mask).argmax(-1)


def of_all_classes(logits: Tensor, classes: Sequence[int] | None) -> Tensor:
    """Return the wrong predictions of a common mistake: the split's classes are ignored."""
    return logits.argmax(-1)
