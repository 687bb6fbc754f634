"""Models trained on the reference images alone: the baseline of effective robustness."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.errors import unknown
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe

WIDTH = 128  # number of features
SCRATCH = Recipe(epochs=25, lr=2e-3, batch_size=64, augment="none")


def convnet() -> nn.Module:
    """Build four convolutions of stride 2, with batch norm: ``[b, 3, h, w] -> [b, 128]``."""
    layers: list[nn.Module] = []
    for n_in, n_out in ((3, 16), (16, 32), (32, 64), (64, WIDTH)):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def vit(image_size: int = 48) -> nn.Module:
    """Build a vision transformer of 3 layers, patches of 8 pixels: ``[b, 3, h, w] -> [b, 128]``."""
    from torchvision.models import VisionTransformer

    model = VisionTransformer(
        image_size, patch_size=8, num_layers=3, num_heads=4, hidden_dim=WIDTH, mlp_dim=4 * WIDTH
    )
    model.heads = nn.Identity()
    return model


KINDS: dict[str, Callable[[], nn.Module]] = {"convnet": convnet, "vit": vit}


def scratch_classifier(
    kind: str, task: Task, preprocess: Callable, seed: int = 0
) -> ImageClassifier:
    """Return a classifier with random weights; train it with ``finetune``.

    Args:
        kind: ``"convnet"`` or ``"vit"``.
        task: gives the class names.
        preprocess: PIL image to tensor ``[3, 48, 48]``, such as a CLIP's.
        seed: of the random weights.

    Raises:
        UserError: the kind is unknown.
    """
    if kind not in KINDS:
        raise unknown("baseline", kind, KINDS)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = KINDS[kind]()
        rows = F.normalize(torch.randn(len(task.class_names), WIDTH), dim=-1)
    return ImageClassifier(
        encoder, Head(20 * rows), preprocess, task.class_names, f"scratch-{kind}"
    )


def nearest_neighbour(train: Tensor, labels: Tensor, images: Tensor, n_classes: int) -> Tensor:
    """Return logits ``[n, C]``: minus the pixel distance to each class's nearest training image.

    Args:
        train: training images ``[m, 3, h, w]``.
        labels: their classes ``[m]``.
        images: images to classify ``[n, 3, h, w]``.
        n_classes: ``C``; a class without training images gets minus infinity.

    Example:
        >>> images = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
        >>> nearest_neighbour(images, torch.tensor([0, 1]), images, 2).argmax(1)
        tensor([0, 1])
    """
    distance = torch.cdist(images.flatten(1), train.flatten(1))
    nearest = torch.full((len(images), n_classes), torch.inf)
    return -nearest.scatter_reduce(1, labels.expand(len(images), -1), distance, "amin")
