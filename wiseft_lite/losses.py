"""What training can minimise. An *objective* maps a model, a batch of inputs and its labels to one
number."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wiseft_lite.errors import UserError

Objective = Callable[[nn.Module, Tensor, Tensor], Tensor]


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``-log softmax(model(x))[y]``, the objective of plain fine-tuning.

    Example:
        >>> round(cross_entropy(nn.Identity(), torch.zeros(1, 4), torch.tensor([2])).exp().item(), 4)
        4.0
    """
    return F.cross_entropy(model(inputs), labels)


def smoothed(share: float) -> Objective:
    """Return cross-entropy with label smoothing: ``share`` of the target is spread over all
    classes.

    Raises:
        UserError: the share does not lie in 0..1.

    Source: Szegedy et al. 2016, section 7; one of the paper's regularisers for probes (appendix
    D.3).
    """
    if not 0 <= share < 1:
        raise UserError(
            f"label smoothing of {share} makes no sense; give a share from 0 to below 1"
        )
    return lambda model, inputs, labels: F.cross_entropy(
        model(inputs), labels, label_smoothing=share
    )


def l2_to(theta_0: Mapping[str, Tensor], strength: float) -> Objective:
    """Return ``CE + strength * |theta - theta_0|^2``: a spring from each weight to where it
    started.

    Args:
        theta_0: parameters by name, a state dict of the model's start; buffers in it are ignored.
        strength: of the spring; 0 is plain cross-entropy.

    Source: Li et al. 2018 (L2-SP); the paper, appendix C.3.3.
    """

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        far = sum(
            (p - theta_0[name].to(p.device)).square().sum()
            for name, p in model.named_parameters()
            if p.requires_grad
        )
        return cross_entropy(model, inputs, labels) + strength * far

    return objective


def l1(strength: float) -> Objective:
    """Return ``CE + strength * sum |theta|``, one of the paper's regularisers for probes (appendix
    D.3)."""

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        size = sum(p.abs().sum() for p in model.parameters() if p.requires_grad)
        return cross_entropy(model, inputs, labels) + strength * size

    return objective


def distillation(teacher: nn.Module, share: float) -> Objective:
    """Return ``(1 - share) CE(f(x), y) + share CE(f(x), softmax(teacher(x)))``.

    Args:
        teacher: as a rule the zero-shot model, in eval mode; it gets no gradient.
        share: 0 is plain cross-entropy, 1 asks only for the teacher's answers.

    Raises:
        UserError: the share does not lie in 0..1.

    Source: the paper, appendix C.3.3 (distillation to zero-shot), where the share of the teacher is
    alpha.
    """
    if not 0 <= share <= 1:
        raise UserError(f"a teacher's share of {share} makes no sense; give a number from 0 to 1")

    def objective(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(inputs).softmax(-1)
        logits = model(inputs)
        return (1 - share) * F.cross_entropy(logits, labels) + share * F.cross_entropy(
            logits, wanted
        )

    return objective


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Return the 16-bit type that a device has fast units for; None if it has none.

    GPUs have them for bfloat16 from compute capability 8.0 on, and for float16 from 7.0 on (V100,
    T4), where bfloat16 is emulated and slow. float16 holds no number below 6e-8, so its loss must
    be scaled; see ``training.fit``.

    Example:
        >>> autocast_dtype(torch.device("cpu")) is None
        True
    """
    if device.type != "cuda":
        return None
    capability = torch.cuda.get_device_capability(device)
    return (
        torch.bfloat16 if capability >= (8, 0) else torch.float16 if capability >= (7, 0) else None
    )


def in_precision(
    objective: Objective, device: torch.device, precision: torch.dtype | None
) -> Objective:
    """Return the objective computed in a 16-bit type where torch holds that to be safe; None is the
    objective itself.

    Source: Micikevicius et al. 2018, "Mixed precision training".
    """
    if precision is None:
        return objective

    def mixed(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device.type, precision):
            return objective(model, inputs, labels)

    return mixed


def contrastive_loss(images: Tensor, texts: Tensor, scale: float | Tensor) -> Tensor:
    """Return CLIP's loss: each picture must find its caption, and each caption its picture.

    ``L = (CE(s I T^t, diag) + CE(s T I^t, diag)) / 2``, where pair ``i`` is row ``i`` of both.

    Args:
        images: L2-normalised image embeddings ``[b, d]``.
        texts: L2-normalised text embeddings ``[b, d]``.
        scale: ``s``, the inverse temperature.

    Raises:
        UserError: not one text for each image.

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


def micro_batched(objective: Objective, size: int) -> Objective:
    """Return an objective that works through a batch a few images at a time, with the gradient of
    the whole batch.

    Each piece is forgotten after its forward pass and computed again for its gradient: activations
    of ``size`` images are held, not of the batch, and each image goes forward twice. Batch size and
    learning rate stay what they are.

    Args:
        objective: a mean over images that are judged alone, such as cross-entropy; a contrastive
            loss is none.
        size: images in a piece.

    Raises:
        UserError: the size is not positive.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", over images in place
    of layers.

    Example:
        >>> x, y = torch.eye(4), torch.arange(4)
        >>> whole, parts = (f(torch.nn.Identity(), x, y) for f in (cross_entropy, micro_batched(cross_entropy, 3)))
        >>> torch.allclose(whole, parts)
        True
    """
    if size < 1:
        raise UserError(f"a piece of {size} images holds none; give at least 1")

    def in_turn(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        parts = zip(inputs.split(size), labels.split(size), strict=True)
        return sum(
            checkpoint(objective, model, x, y, use_reentrant=False) * (len(x) / len(inputs))
            for x, y in parts
        )

    return in_turn


def checkpointed(objective: Objective) -> Objective:
    """Return an objective that keeps the input of each block of the image tower, and computes the
    rest again.

    The gradient is the same, and a batch goes forward twice. It needs far less memory for an image,
    see ``book.memory.Need``; ``micro_batched`` bounds the number of images instead.

    Args:
        objective: its model is an ``ImageClassifier``.

    Raises:
        UserError: when it is called, if the image tower has no such switch.

    Source: Chen et al. 2016, as ``micro_batched``, over blocks.
    """

    def recomputing(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        switch = getattr(getattr(model, "encoder", None), "set_grad_checkpointing", None)
        if switch is None:
            raise UserError(
                "this image tower has no gradient checkpointing; leave --checkpointing out and take --micro-batch-size"
            )
        switch(True)
        try:
            return objective(model, inputs, labels)
        finally:
            switch(False)  # what is to be computed again is known by now

    return recomputing
