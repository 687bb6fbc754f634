"""Fine-tune like you pre-train: both towers, CLIP's own loss, and prompts of the class names as captions."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.augmentation import augmentation
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.features import pixels
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, fit
from wiseft_lite.zeroshot import prompt


def class_contrastive_loss(images: Tensor, texts: Tensor, labels: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's loss where every caption of a picture's class is a right answer, not only its own.

    ``L = (CE(s I T^t, P) + CE(s T I^t, P)) / 2`` with ``P_ij = [y_i = y_j] / |{k: y_i = y_k}|``. With one
    picture a class in the batch it is ``contrastive_loss``.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``, row ``i`` a prompt of the class of picture ``i``.
        labels: classes ``[b]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: not one text and one label for each image.

    Source: Yang et al. 2022, "Unified contrastive learning in image-text-label space"; Goyal et al. 2023
    leave pairs of one class as wrong answers and discuss the collisions.

    Example:
        >>> one_class = class_contrastive_loss(torch.eye(2), torch.eye(2), torch.tensor([5, 5]), 0.0)
        >>> round(one_class.exp().item(), 4)
        2.0
    """
    if images.shape != texts.shape or len(images) != len(labels):
        raise UserError(f"{tuple(images.shape)} embeddings of images, {tuple(texts.shape)} of texts and "
                        f"{len(labels)} labels; give one each")
    logits = scale * images @ texts.T
    same = (labels[:, None] == labels[None, :]).to(logits)
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def flyp(clip: Clip, task: Task, recipe: Recipe, *, progress: bool = False) -> Clip:
    """Return a CLIP with both towers fine-tuned on the pictures of a task and prompts of their classes.

    Each picture of a batch gets a random template of the task, filled with its class name. The logit scale is
    trained too. Afterwards ``zero_shot_classifier(tuned, task)`` writes the head with the tuned text tower,
    and ``interpolate`` with the first zero-shot classifier goes back towards it.

    Args:
        clip: where to start; it is left alone.
        task: gives the training split, the class names and the templates.
        recipe: how to train.
        progress: show a bar.

    Raises:
        UserError: the loss is not finite.

    Source: Goyal et al. 2023, "Finetune like you pretrain", section 3.
    """
    towers = copy.deepcopy(clip.model).requires_grad_(True)
    prompts = torch.stack([clip.tokenizer([prompt(template, name) for template in task.templates])
                           for name in task.class_names])

    def objective(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.randint(len(task.templates), labels.shape)
        tokens = prompts[labels.cpu(), drawn].to(images.device)
        return class_contrastive_loss(F.normalize(model.encode_image(images), dim=-1),
                                      F.normalize(model.encode_text(tokens), dim=-1), labels, model.logit_scale.exp())

    images = pixels(clip, task.train)
    fit(towers, images, task.train.labels, recipe, objective=objective,
        transform=augmentation(recipe.augment, images.shape[-1]), progress=progress)
    return replace(clip, model=towers.requires_grad_(False))
