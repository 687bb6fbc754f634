"""FLYP, fine-tune like you pretrain: CLIP's loss on both encoders, with class prompts as captions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.callbacks import Callback
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.losses import contrastive_loss
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, fit, training_images
from wiseft_lite.zeroshot import prompt

# loss(image embeddings, text embeddings, labels, scale)
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
UNCLIPPED = 1e9  # a clip_norm that no gradient reaches; a recipe must be finite


def published_loss(images: Tensor, texts: Tensor, labels: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's contrastive loss, as FLYP was published: the only positive is an image's caption.

    It is ``contrastive_loss(images, texts, scale)``. The labels are not used: where a batch
    has two images of one class, the caption of each is a negative for the other.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``, row ``i`` a prompt of the class of image
            ``i``.
        labels: classes ``[b]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: the numbers of images and texts differ.

    Source: Goyal et al. 2023, section 3; their ``flyp_loss.py`` calls ``ClipLoss`` without labels.
    With labels it would be ``class_contrastive_loss``, but their run does not pass any.

    Example:
        >>> one_class = published_loss(torch.eye(2), torch.eye(2), torch.tensor([5, 5]), 100.0)
        >>> one_class.item() < 1e-6
        True
    """
    return contrastive_loss(images, texts, scale)


def class_contrastive_loss(
    images: Tensor, texts: Tensor, labels: Tensor, scale: float | Tensor
) -> Tensor:
    """Return CLIP's loss with multiple positives: all captions of an image's class.

    ``L = (CE(s I T^t, P) + CE(s T I^t, P)) / 2`` with ``P_ij = [y_i = y_j] / |{k: y_i = y_k}|``.
    With one image per class in the batch it is ``published_loss``.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``, row ``i`` a prompt of the class of image
            ``i``.
        labels: classes ``[b]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: the numbers of images, texts and labels differ.

    Source: Yang et al. 2022, "Unified contrastive learning in image-text-label space". FLYP
    was published with ``published_loss`` instead: Goyal et al. 2023 discuss these collisions and
    leave them in.

    Example:
        >>> one_class = class_contrastive_loss(torch.eye(2), torch.eye(2), torch.tensor([5, 5]), 0.0)
        >>> round(one_class.exp().item(), 4)
        2.0
    """
    if images.shape != texts.shape or len(images) != len(labels):
        raise UserError(
            f"{tuple(images.shape)} image embeddings, {tuple(texts.shape)} text embeddings and "
            f"{len(labels)} labels; give one text and one label per image"
        )
    logits = scale * images @ texts.T
    same = (labels[:, None] == labels[None, :]).to(logits)
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def flyp(
    clip: Clip,
    task: Task,
    recipe: Recipe,
    *,
    loss: Loss = published_loss,
    callbacks: Sequence[Callback] = (),
) -> Clip:
    """Fine-tune both encoders of a CLIP on a task's images, with prompts of their classes.

    Each image of a batch is paired with a random template of the task, filled with its class name.
    The logit scale is trained too. Afterwards ``zero_shot_classifier(tuned, task)`` builds the head
    with the tuned text encoder; ``interpolate`` it with the original zero-shot classifier.

    Args:
        clip: the model to start from; not modified.
        task: training split, class names and templates.
        recipe: how to train. The authors do not clip gradients: ``Recipe(clip_norm=UNCLIPPED)``.
        loss: of a batch: ``published_loss``, the authors', or ``class_contrastive_loss``, in which
            images of one class share their captions.
        callbacks: as for ``fit``.

    Raises:
        UserError: the loss is not finite.

    Source: Goyal et al. 2023, section 3, and ``src/models/flyp_loss.py`` of
    github.com/locuslab/FLYP.
    """
    model = copy.deepcopy(clip.model).requires_grad_(True)
    prompts = torch.stack(  # token ids [classes, templates, context length]
        [
            clip.tokenizer([prompt(template, name) for template in task.templates])
            for name in task.class_names
        ]
    )

    def objective(model: Any, images: Tensor, labels: Tensor) -> Tensor:
        templates = torch.randint(len(task.templates), labels.shape)
        tokens = prompts[labels.cpu(), templates].to(images.device)
        return loss(
            F.normalize(model.encode_image(images), dim=-1),
            F.normalize(model.encode_text(tokens), dim=-1),
            labels,
            model.logit_scale.exp(),
        )

    train = task.split("train")
    fit(
        model,
        training_images(clip, train, recipe),
        train.labels,
        recipe,
        objective=objective,
        callbacks=callbacks,
    )
    return replace(clip, model=model.requires_grad_(False))
