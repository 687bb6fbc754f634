"""Objectives for training: each maps a model, a batch of inputs and its labels to a scalar."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.errors import UserError

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``-log softmax(model(x))[y]``, the objective of plain fine-tuning.

    Example:
        >>> round(cross_entropy(nn.Identity(), torch.zeros(1, 4), torch.tensor([2])).exp().item(), 4)
        4.0
    """
    return F.cross_entropy(model(inputs), labels)


def smoothed(smoothing: float) -> Objective:
    """Return cross-entropy with label smoothing: ``smoothing`` is spread evenly over all classes.

    Raises:
        UserError: ``smoothing`` is not in [0, 1).

    Source: Szegedy et al. 2016, section 7; one of the paper's regularisers for probes (appendix
    D.3).
    """
    if not 0 <= smoothing < 1:
        raise UserError(f"label smoothing is {smoothing}; give a number from 0 to below 1")
    return lambda model, inputs, labels: F.cross_entropy(
        model(inputs), labels, label_smoothing=smoothing
    )


def l2_to(theta_0: Mapping[str, Tensor], strength: float) -> Objective:
    """Return ``CE + strength * |theta - theta_0|^2``, which pulls each weight to its start.

    Args:
        theta_0: state dict of the start; its buffers are ignored.
        strength: of the penalty; 0 is plain cross-entropy.

    Source: Li et al. 2018 (L2-SP); the paper, appendix C.3.3.
    """

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        squared_distance = sum(
            (p - theta_0[name].to(p.device)).square().sum()
            for name, p in model.named_parameters()
            if p.requires_grad
        )
        return cross_entropy(model, inputs, labels) + strength * squared_distance

    return objective


def l1(strength: float) -> Objective:
    """Return ``CE + strength * sum |theta|``.

    Source: one of the paper's regularisers for probes (appendix D.3).
    """

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        norm = sum(p.abs().sum() for p in model.parameters() if p.requires_grad)
        return cross_entropy(model, inputs, labels) + strength * norm

    return objective


def distillation(teacher: nn.Module, weight: float) -> Objective:
    """Return ``(1 - weight) CE(f(x), y) + weight CE(f(x), softmax(teacher(x)))``.

    Args:
        teacher: usually the zero-shot model, in eval mode; it gets no gradient.
        weight: 0 is plain cross-entropy, 1 trains on the teacher's predictions alone.

    Raises:
        UserError: ``weight`` is not in [0, 1].

    Source: the paper, appendix C.3.3 (distillation to zero-shot), where ``weight`` is alpha.
    """
    if not 0 <= weight <= 1:
        raise UserError(f"the weight of the teacher is {weight}; give a number from 0 to 1")

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            target = teacher(inputs).softmax(-1)
        logits = model(inputs)
        hard, soft = F.cross_entropy(logits, labels), F.cross_entropy(logits, target)
        return (1 - weight) * hard + weight * soft

    return objective


def contrastive_loss(images: Tensor, texts: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's contrastive loss, which matches images to captions and captions to images.

    ``L = (CE(s I T^t, diag) + CE(s T I^t, diag)) / 2``, where pair ``i`` is row ``i`` of both.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: the numbers of images and texts differ.

    Source: Radford et al. 2021, figure 3.

    Example:
        >>> contrastive_loss(torch.eye(4), torch.eye(4), 100.0).item() < 1e-6
        True
    """
    if images.shape != texts.shape:
        raise UserError(
            f"embeddings {tuple(images.shape)} of images and {tuple(texts.shape)} of texts; "
            "give one text for each image"
        )
    logits = scale * images @ texts.T
    target = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def checkpointed(objective: Objective) -> Objective:
    """Return an objective that stores each image-encoder block's input and recomputes the rest.

    The gradient is the same, and each batch is computed twice. It needs far less memory per image,
    see ``book.memory.Need``; ``Compute.micro_batch_size`` limits the number of images instead.

    Args:
        objective: its model is an ``ImageClassifier``.

    Raises:
        UserError: when it is called, if the image encoder has no gradient checkpointing.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".
    """

    def recomputing(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        switch = getattr(getattr(model, "encoder", None), "set_grad_checkpointing", None)
        if switch is None:
            raise UserError(
                "this image encoder has no gradient checkpointing; use --micro-batch-size instead "
                "of --gradient-checkpointing"
            )
        switch(True)
        try:
            return objective(model, inputs, labels)
        finally:
            switch(False)  # the graph of this batch already holds its checkpoints

    return recomputing
