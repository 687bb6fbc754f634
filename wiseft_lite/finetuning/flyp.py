"""Fine-tune like you pre-train: both encoders, CLIP's own loss, and prompts of the class names as
captions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.augmentation import augmentation
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.features import pixels
from wiseft_lite.losses import contrastive_loss
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, fit
from wiseft_lite.zeroshot import prompt

Loss = Callable[
    [Tensor, Tensor, Tensor, Tensor], Tensor
]  # of image embeddings, text embeddings, labels and scale
UNCLIPPED = 1e9  # a gradient norm that no step reaches


def published_loss(images: Tensor, texts: Tensor, labels: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's loss, which FLYP is published with: only the caption drawn for an image is its
    right answer.

    It is ``contrastive_loss(images, texts, scale)``. The labels are not used, so where a batch
    holds two images of one class, the caption of each counts as a wrong answer for the other.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``, row ``i`` a prompt of the class of image
            ``i``.
        labels: classes ``[b]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: not one text for each image.

    Source: Goyal et al. 2023, section 3; their ``flyp_loss.py`` calls ``ClipLoss`` without labels.
    The same ``ClipLoss`` can be given labels and is then ``class_contrastive_loss``, but their run
    does not do that.

    Example:
        >>> one_class = published_loss(torch.eye(2), torch.eye(2), torch.tensor([5, 5]), 100.0)
        >>> one_class.item() < 1e-6
        True
    """
    return contrastive_loss(images, texts, scale)


def class_contrastive_loss(
    images: Tensor, texts: Tensor, labels: Tensor, scale: float | Tensor
) -> Tensor:
    """Return CLIP's loss with multiple positives: every caption of an image's class is a right
    answer.

    ``L = (CE(s I T^t, P) + CE(s T I^t, P)) / 2`` with ``P_ij = [y_i = y_j] / |{k: y_i = y_k}|``.
    With one image per class in the batch it is ``published_loss``.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``, row ``i`` a prompt of the class of image
            ``i``.
        labels: classes ``[b]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: not one text and one label for each image.

    Source: Yang et al. 2022, "Unified contrastive learning in image-text-label space". It is not
    the loss that FLYP is published with, see ``published_loss``; Goyal et al. 2023 discuss these
    collisions and leave them in.

    Example:
        >>> one_class = class_contrastive_loss(torch.eye(2), torch.eye(2), torch.tensor([5, 5]), 0.0)
        >>> round(one_class.exp().item(), 4)
        2.0
    """
    if images.shape != texts.shape or len(images) != len(labels):
        raise UserError(
            f"{tuple(images.shape)} embeddings of images, {tuple(texts.shape)} of texts and "
            f"{len(labels)} labels; give one each"
        )
    logits = scale * images @ texts.T
    same = (labels[:, None] == labels[None, :]).to(logits)
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def flyp(
    clip: Clip, task: Task, recipe: Recipe, *, loss: Loss = published_loss, progress: bool = False
) -> Clip:
    """Return a CLIP with both encoders fine-tuned on the images of a task and prompts of their
    classes.

    Each image of a batch gets a random template of the task, filled with its class name. The logit
    scale is trained too. Afterwards ``zero_shot_classifier(tuned, task)`` writes the head with the
    tuned text encoder, and ``interpolate`` with the first zero-shot classifier goes back towards
    it.

    Args:
        clip: where to start; it is left alone.
        task: gives the training split, the class names and the templates.
        recipe: how to train. The authors' run does not clip gradients, where ``Recipe()`` does:
            give ``Recipe(clip_norm=UNCLIPPED)`` to train as they do.
        loss: of the embeddings and labels of a batch. ``published_loss`` is the authors'; with
            ``class_contrastive_loss`` images of one class share their captions.
        progress: show a bar.

    Raises:
        UserError: the loss is not finite.

    Source: Goyal et al. 2023, section 3, and ``src/models/flyp_loss.py`` of
    github.com/locuslab/FLYP.
    """
    encoders = copy.deepcopy(clip.model).requires_grad_(True)
    prompts = torch.stack(
        [
            clip.tokenizer([prompt(template, name) for template in task.templates])
            for name in task.class_names
        ]
    )

    def objective(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.randint(len(task.templates), labels.shape)
        tokens = prompts[labels.cpu(), drawn].to(images.device)
        return loss(
            F.normalize(model.encode_image(images), dim=-1),
            F.normalize(model.encode_text(tokens), dim=-1),
            labels,
            model.logit_scale.exp(),
        )

    images = pixels(clip, task.train)
    fit(
        encoders,
        images,
        task.train.labels,
        recipe,
        objective=objective,
        transform=augmentation(recipe.augment, images.shape[-1]),
        progress=progress,
    )
    return replace(clip, model=encoders.requires_grad_(False))
