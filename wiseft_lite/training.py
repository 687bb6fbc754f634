"""One loop trains everything: the head on encoded features, or all weights on images."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wiseft_lite import data, schedules
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.precision import autocast_dtype
from wiseft_lite.augmentation import training_transform
from wiseft_lite.callbacks import Callback, Run
from wiseft_lite.data import (
    STEP,
    ImageDataset,
    ShuffledBatches,
    default_workers,
    held_in_memory,
    load,
    steps_per_epoch,
    stream_seed,
)
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.features import encode
from wiseft_lite.losses import Objective, checkpointed, cross_entropy
from wiseft_lite.models import ImageClassifier
from wiseft_lite.probes import fit_lbfgs
from wiseft_lite.recipes import PAPER, PROBE, Compute, Recipe  # noqa: F401
from wiseft_lite.schedules import learning_rate
from wiseft_lite.tasks import Split, Task

SOLVERS = ("adamw", "lbfgs")  # of a linear probe


def fit(
    model: nn.Module,
    inputs: Tensor | ImageDataset,
    labels: Tensor,
    recipe: Recipe,
    *,
    objective: Objective = cross_entropy,
    compute: Compute = Compute(),
    callbacks: Sequence[Callback] = (),
    lr_multiplier: Callable[[str], float] | None = None,
    data_parallel: bool = False,
) -> nn.Module:
    """Train ``model`` in place with AdamW and return it in eval mode.

    Args:
        model: maps a batch of inputs to logits; parameters that need no gradient stay as they are.
        inputs: images, or a tensor ``[n, ...]`` such as features; only batches are moved to the
            model's device.
        labels: int64 ``[n]``.
        recipe: how to train.
        objective: what to minimise on a batch; see ``losses``.
        compute: how to compute it.
        callbacks: what else happens, such as ``Progress()`` or ``Checkpoints(folder)``.
        lr_multiplier: factor of the learning rate of a parameter, given its name, such as
            ``"head.weight"``; see ``parameter_groups``.
        data_parallel: each process of a launch (see ``distributed``) computes its part of each
            batch. The objective must then be a mean over independent inputs. If False, each process
            trains on whole batches. All start from the main process's weights and end with the same
            weights.

    Raises:
        UserError: the loss or a weight is not finite, or as the callbacks.

    Source: the paper, appendix D.
    """
    device = next(model.parameters()).device
    dtype = autocast_dtype(device, compute.precision)
    optimizer = adamw(parameter_groups(model, lr_multiplier), recipe, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    batch_loss = distributed.parallel(BatchLoss(model, objective).train(), data_parallel)
    identity = (code(), recipe, inputs, labels, objective, lr_multiplier, dtype)
    steps = steps_per_epoch(len(inputs), recipe)
    run = Run(model, optimizer, scaler, recipe, steps, callbacks, identity)
    learning_rate(0, run.steps, recipe)  # refuses a warm-up that is too long
    run.begin()

    with torch.random.fork_rng():  # leaves the caller's random state as it was
        for batch in batches(inputs, labels, recipe, run.step, compute, device, data_parallel):
            run.before_step()
            torch.manual_seed(batch.seed)
            set_learning_rate(optimizer, learning_rate(run.step, run.steps, recipe))

            losses = []
            for part in batch.split(compute.micro_batch_size):
                with distributed.reduce_gradients(batch_loss, part.is_last):
                    with torch.autocast(device.type, dtype, enabled=dtype is not None):
                        loss = part.weight * batch_loss(part.inputs, part.labels)
                    scaler.scale(loss).backward()
                losses.append(loss.detach())

            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            run.step_done(torch.stack(losses).sum())

    check_weights(model, recipe)
    if not data_parallel:
        distributed.broadcast(model.state_dict().values())
    return model.eval()


class BatchLoss(nn.Module):
    """A model with its objective as one module, whose forward pass is the loss of a batch.

    ``DistributedDataParallel`` reduces the gradients of what its own forward pass computed, and an
    objective may call more of a model than ``forward``.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return self.objective(self.model, inputs, labels)


def parameter_groups(
    model: nn.Module, lr_multiplier: Callable[[str], float] | None = None
) -> list[dict]:
    """Return the parameters that train in groups for the optimizer, one for each learning rate.

    Args:
        model: its parameters that need a gradient.
        lr_multiplier: factor of the recipe's learning rate for a parameter, given its name; 0
            leaves it as it is. All train at the recipe's if not given. Set the recipe's ``lr`` for
            the fastest layer, usually the head, and multipliers below 1 for the others.

    Source: layer-wise learning rates, as in the winning solutions of Google Universal Image
        Embedding 2022; the 4th place's grow from 1.25e-6 in the first blocks to 3e-4 in the head.

    Example:
        >>> groups = parameter_groups(nn.Linear(1, 1), {"weight": 0.1, "bias": 1.0}.get)
        >>> [group["lr_multiplier"] for group in groups]
        [0.1, 1.0]
    """
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[1.0 if lr_multiplier is None else lr_multiplier(name)].append(parameter)
    return [{"params": group, "lr_multiplier": factor} for factor, group in groups.items()]


def adamw(groups: list[dict], recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """Return AdamW with a recipe's settings; on a GPU in its fused form, one kernel for a step."""
    return torch.optim.AdamW(
        groups,
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=device.type == "cuda",
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each group: ``lr`` times the group's multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_multiplier"]


@dataclass(frozen=True)
class Batch:
    """A batch on its device, or this process's part of one.

    Args:
        inputs: ``[b, ...]``.
        labels: int64 ``[b]``.
        seed: of what the model and its objective draw in this step, such as dropout.
        weight: of its mean loss in the loss of the step. With several processes the weights' mean
            over the processes is 1, since their gradients are averaged.
        is_last: whether the step has its gradient after this part.
    """

    inputs: Tensor
    labels: Tensor
    seed: int
    weight: float = 1.0
    is_last: bool = True

    def split(self, size: int | None) -> Iterator[Batch]:
        """Yield micro-batches of ``size`` inputs; the whole batch for None."""
        n = len(self.inputs)
        for start in range(0, n, size or n):
            inputs, labels = (x[start : start + (size or n)] for x in (self.inputs, self.labels))
            is_last = start + len(inputs) == n
            yield Batch(inputs, labels, self.seed, self.weight * len(inputs) / n, is_last)


def batches(
    inputs: Tensor | ImageDataset,
    labels: Tensor,
    recipe: Recipe,
    start: int,
    compute: Compute,
    device: torch.device,
    data_parallel: bool,
) -> Iterator[Batch]:
    """Yield the batch of each step from step ``start`` on; the arguments are those of ``fit``."""
    order = ShuffledBatches(len(inputs), recipe, start, data_parallel)
    loaded: Iterator[Tensor]
    if isinstance(inputs, Tensor):
        loaded = (inputs[[i for _, i in keys]] for keys in order)
    else:
        workers = default_workers(device) if compute.workers is None else compute.workers
        loaded = load(inputs, order, workers)
    for step, (keys, batch) in enumerate(zip(order, loaded, strict=True), start):
        rank, weight = 0, 1.0
        if data_parallel:
            rank = distributed.rank()
            weight = distributed.local_slice(order.size(step))[1] * distributed.world_size()
        yield Batch(
            batch.to(device, non_blocking=True),
            labels[[i for _, i in keys]].to(device, non_blocking=True),
            stream_seed(recipe.seed, STEP, step, rank),
            weight,
        )


def check_weights(model: nn.Module, recipe: Recipe) -> None:
    """Raise a ``UserError`` if a weight is not finite."""
    if not all(torch.isfinite(p).all() for p in model.parameters()):
        raise UserError(
            "the last step gave weights that are not finite; "
            f"lower the learning rate (it is {recipe.lr:g})"
        )


def code() -> tuple:
    """Return the code that decides what training gives, to hash it for a run's name."""
    return fit, batches, Batch.split, parameter_groups, adamw, set_learning_rate, data, schedules


def training_images(model: ImageClassifier | Clip, split: Split, recipe: Recipe) -> ImageDataset:
    """Return the images of a split with the recipe's augmentation, decoded once if they are few.

    Raises:
        UserError: as ``augmentation.training_transform``.
    """
    transform = training_transform(model.preprocess, recipe.augment)
    return ImageDataset(held_in_memory(split), transform, recipe.seed)


def finetune(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe = Recipe(),
    *,
    objective: Objective = cross_entropy,
    compute: Compute = Compute(),
    callbacks: Sequence[Callback] = (),
    lr_multiplier: Callable[[str], float] | None = None,
) -> ImageClassifier:
    """Return a copy of ``classifier`` with every weight fine-tuned on ``task.train``.

    If several processes were launched, each computes its part of each batch.

    Args:
        classifier: the start, usually the zero-shot classifier; it is not changed. Frozen
            parameters (``models.freeze``) stay frozen.
        task: its ``train`` split is used.
        recipe: how to train; one seed gives the same weights on the same machine.
        objective: what to minimise on a batch; see ``losses``.
        compute, callbacks, lr_multiplier: as for ``fit``; callbacks see the copy.

    Raises:
        UserError: the classes differ, or as ``fit``.

    Source: the paper, section 2, end-to-end fine-tuning.
    """
    _check_classes(classifier, task)
    train = task.split("train")
    return fit(
        copy.deepcopy(classifier),
        training_images(classifier, train, recipe),
        train.labels,
        recipe,
        objective=checkpointed(objective) if compute.gradient_checkpointing else objective,
        compute=compute,
        callbacks=callbacks,
        lr_multiplier=lr_multiplier,
        data_parallel=True,
    )


def linear_probe(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe = PROBE,
    *,
    solver: str = "adamw",
    objective: Objective = cross_entropy,
    compute: Compute = Compute(),
    callbacks: Sequence[Callback] = (),
) -> ImageClassifier:
    """Return a copy of ``classifier`` whose head is trained on features that are encoded once.

    Training starts from the classifier's head, usually the zero-shot head; the encoder keeps its
    weights. The objective gets the head as its model and features ``[b, d]`` as its inputs.

    Args:
        classifier: the start; it is not changed.
        task: its ``train`` split is used.
        recipe: how AdamW trains.
        solver: ``"adamw"``, mini-batches by the recipe, see ``fit``; or ``"lbfgs"``, the minimum
            of the objective over all features, without a recipe or callbacks, see
            ``probes.fit_lbfgs``.
        objective: what to minimise; L-BFGS needs a smooth one.
        compute, callbacks: as for ``fit``.

    Raises:
        UserError: the classes differ, an unknown solver, or as ``fit`` or ``fit_lbfgs``.

    Source: the paper, section 2, linear classifier (LC).
    """
    _check_classes(classifier, task)
    if solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS)
    features, labels = encode(classifier, task.split("train"), compute=compute)
    probe = copy.deepcopy(classifier)
    if solver == "lbfgs":
        fit_lbfgs(probe.head, features, labels, objective=objective)
        return probe.eval()
    fit(
        probe.head,
        features,
        labels,
        recipe,
        objective=objective,
        compute=compute,
        callbacks=callbacks,
    )
    return probe.eval()


def _check_classes(classifier: ImageClassifier, task: Task) -> None:
    if classifier.class_names != tuple(task.class_names):
        raise UserError(
            f"the classes of the classifier are not those of task {task.name!r}; "
            "build it with zero_shot_classifier(clip, task)"
        )
