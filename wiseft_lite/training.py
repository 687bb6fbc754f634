"""One loop trains everything: the head on encoded features, or all weights on images."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.resume import States
from wiseft_lite.augmentation import augmentation, transform_shard
from wiseft_lite.errors import UserError
from wiseft_lite.features import batches, encode, pixels
from wiseft_lite.losses import Objective, autocast_dtype, cross_entropy, in_precision
from wiseft_lite.models import ImageClassifier
from wiseft_lite.recipes import PAPER, PROBE, Recipe, learning_rate  # noqa: F401
from wiseft_lite.tasks import Task


def fit(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    objective: Objective = cross_entropy,
    transform: Callable[[Tensor], Tensor] | None = None,
    progress: bool = False,
    after_step: Callable[[nn.Module], None] | None = None,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
    folder: str | Path | None = None,
    resume: bool = True,
    precision: torch.dtype | None = None,
    shared: bool = False,
) -> nn.Module:
    """Train ``model`` in place with AdamW and return it in eval mode.

    Args:
        model: maps a batch of ``inputs`` to logits; parameters that need no gradient stay as they
            are.
        inputs: ``[n, ...]``; only batches are moved to the model's device.
        labels: int64 ``[n]``.
        recipe: how to train.
        objective: what to minimise on a batch; see ``losses``.
        transform: applied to each input of a batch, such as a random crop.
        progress: show a bar.
        after_step: called with the model after each step, to average its weights.
        after_epoch: called with the number of epochs done and the model, to measure it.
        folder: where the state of the run is saved every minute, so that an interrupted run resumes
            and ends with the same bits. ``after_step`` then needs a state too, as
            ``MovingAverages`` has; see ``resume``.
        resume: False deletes the saved states and starts again.
        precision: type in which the objective is computed, see ``losses.autocast_dtype``; weights,
            gradients and AdamW's moments keep their own type. With float16 the loss is scaled, and
            a step that overflows is skipped.
        shared: each process of a launch (see ``distributed``) computes a shard of each batch, and
            their gradients are added up. The objective must then be a mean over independent inputs
            and draw no random numbers, and ``transform`` be one of ``augmentation``. If False, each
            process trains on whole batches. All start from the main process's weights and end with
            the same weights.

    Raises:
        UserError: the loss or a weight is not finite, ``after_step`` cannot be resumed, or the
            model cannot be trained on shards.
    """
    from tqdm import tqdm

    distributed.broadcast(model.state_dict().values())  # each process may have drawn its own
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
    )
    total = recipe.epochs * steps_per_epoch(len(inputs), recipe)
    learning_rate(0, total, recipe)  # refuses a warm-up that is too long
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    parts = (code(), recipe, inputs, labels, objective, transform, precision)
    states = States(folder, parts, model, optimizer, scaler, after_step)
    objective = in_precision(objective, device, precision)
    model.train()
    if shared and distributed.world_size() > 1:
        objective = _deterministic(model, objective)
    hidden = not (progress and distributed.is_main())
    bar = tqdm(total=total, desc="training", unit="step", disable=hidden)

    def step_done(loss: Tensor) -> None:
        if after_step is not None:
            after_step(model)
        bar.update()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)

    def epoch_done(epochs: int) -> None:
        if after_epoch is not None:
            with torch.random.fork_rng():  # what it draws must not change the training
                after_epoch(epochs, model)
        model.train()

    with torch.random.fork_rng(), bar:  # leaves the caller's random state as it was
        torch.manual_seed(recipe.seed)
        start = states.restore(resume)
        bar.update(start[0])
        train_epochs(
            model,
            inputs,
            labels,
            recipe,
            objective,
            optimizer,
            scaler,
            states,
            start,
            transform=transform,
            shared=shared,
            step_done=step_done,
            epoch_done=epoch_done,
        )
    if not all(torch.isfinite(p).all() for p in model.parameters()):
        raise UserError(
            "the last step gave weights that are not finite; "
            f"lower the learning rate (it is {recipe.lr:g})"
        )
    if not shared:
        distributed.broadcast(model.state_dict().values())
    return model.eval()


def train_epochs(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    recipe: Recipe,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    states: States,
    start: tuple[int, Tensor | None],
    *,
    transform: Callable[[Tensor], Tensor] | None,
    shared: bool,
    step_done: Callable[[Tensor], None],
    epoch_done: Callable[[int], None],
) -> None:
    """Run the loop of ``fit``: shuffle, split into batches, and take one step on each.

    Args:
        model, inputs, labels, recipe, objective, transform, shared: as for ``fit``.
        optimizer: AdamW on the parameters that train.
        scaler: scales the loss for float16.
        states: saves the run, so that it can be resumed.
        start: steps already done, and the order of the inputs in this epoch, None for a new one.
        step_done: called with the loss of the batch after each step.
        epoch_done: called with the number of epochs done.

    Raises:
        UserError: the loss is not finite.
    """
    device = next(model.parameters()).device
    steps = steps_per_epoch(len(inputs), recipe)
    total = recipe.epochs * steps
    step, order = start
    for epoch in range(step // steps, recipe.epochs):
        order = torch.randperm(len(inputs)) if order is None else order
        groups = order.split(recipe.batch_size)[step % steps :]
        for shard in shards(inputs, labels, groups, shared):
            states.maybe_save(step, order)
            lr = learning_rate(step, total, recipe)
            batch = shard.inputs.to(device)
            if transform is not None:
                batch = transform_shard(transform, batch, shard.rows, shard.batch_size)
            loss = shard.weight * objective(model, batch, shard.labels.to(device))
            batch_loss = _total(loss, shared)
            _check_loss(batch_loss, step, total, recipe)
            update_weights(model, loss, optimizer, scaler, lr, recipe.clip_norm, shared)
            step += 1
            step_done(batch_loss)
        order = None
        epoch_done(epoch + 1)


def update_weights(
    model: nn.Module,
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    lr: float,
    clip_norm: float,
    shared: bool = False,
) -> None:
    """Take one step: the gradient of ``loss``, clipped to the norm ``clip_norm``, then AdamW.

    Args:
        model: what is trained.
        loss: of this process's shard of the batch.
        optimizer: AdamW on the parameters that train.
        scaler: scales a float16 loss, and skips a step whose gradient overflows.
        lr: learning rate of this step.
        clip_norm: largest global gradient norm.
        shared: add up the gradients of all processes.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    if shared:
        distributed.all_reduce(p.grad for p in model.parameters() if p.grad is not None)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    scaler.step(optimizer)
    scaler.update()


def steps_per_epoch(n: int, recipe: Recipe) -> int:
    """Return the number of batches that ``n`` inputs make; the last may be smaller.

    Example:
        >>> steps_per_epoch(130, Recipe(batch_size=64))
        3
    """
    return -(-n // recipe.batch_size)


@dataclass(frozen=True)
class Shard:
    """The part of a batch that this process computes; with one process, the whole batch.

    Args:
        inputs: ``[b, ...]``.
        labels: int64 ``[b]``.
        rows: where they are in the batch.
        batch_size: inputs in the whole batch.
        weight: of the shard's mean loss in the mean over the batch.
    """

    inputs: Tensor
    labels: Tensor
    rows: slice
    batch_size: int
    weight: float


def shards(
    inputs: Tensor, labels: Tensor, groups: Sequence[Tensor], shared: bool
) -> Iterator[Shard]:
    """Yield this process's shard of each batch in turn, the whole batch if not ``shared``.

    Args:
        inputs: ``[n, ...]``.
        labels: int64 ``[n]``.
        groups: for each batch the indices of its inputs.
        shared: the processes divide each batch.
    """
    parts = [
        distributed.local_slice(len(group)) if shared else (slice(0, len(group)), 1.0)
        for group in groups
    ]
    own = [group[rows] for group, (rows, _) in zip(groups, parts, strict=True)]
    loaded = batches(inputs, own)
    for group, (rows, weight), index, batch in zip(groups, parts, own, loaded, strict=True):
        yield Shard(batch, labels[index], rows, len(group), weight)


def code() -> tuple[Callable, ...]:
    """Return the functions that decide what training gives, to hash them for a run's name."""
    return fit, train_epochs, update_weights, steps_per_epoch, shards, learning_rate


def _total(loss: Tensor, shared: bool) -> Tensor:
    """The loss of the whole batch, the sum of the shards' losses."""
    total = loss.detach().clone()
    if shared:
        distributed.all_reduce([total])
    return total


def _check_loss(loss: Tensor, step: int, total: int, recipe: Recipe) -> None:
    if not torch.isfinite(loss):
        raise UserError(
            f"the loss is {loss.item()} at step {step + 1} of {total}; "
            f"lower the learning rate (it is {recipe.lr:g})"
        )


def _deterministic(model: nn.Module, objective: Objective) -> Objective:
    """The same objective for a shard of a batch; it refuses what a shard cannot compute.

    Batch norm needs the other inputs of its batch, unless it is frozen. Dropout would draw other
    random numbers than on the whole batch, and the processes' random states would diverge.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise UserError(
                f"{name} is batch norm, which needs the whole batch; fine-tune this model with one "
                "process, or freeze it"
            )

    def checked(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        before = _random_states(inputs.device)
        loss = objective(model, inputs, labels)
        if not all(map(torch.equal, before, _random_states(inputs.device))):
            raise UserError(
                "the model or its objective draws random numbers, such as dropout, which would "
                "differ between processes; fine-tune it with one process"
            )
        return loss

    return checked


def _random_states(device: torch.device) -> list[Tensor]:
    cpu = [torch.get_rng_state()]
    return [*cpu, torch.cuda.get_rng_state(device)] if device.type == "cuda" else cpu


def _check_classes(classifier: ImageClassifier, task: Task) -> None:
    if classifier.class_names != tuple(task.class_names):
        raise UserError(
            f"the classes of the classifier are not those of task {task.name!r}; "
            "build it with zero_shot_classifier(clip, task)"
        )


def finetune(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe = Recipe(),
    *,
    objective: Objective = cross_entropy,
    progress: bool = False,
    after_step: Callable[[ImageClassifier], None] | None = None,
    after_epoch: Callable[[int, ImageClassifier], None] | None = None,
    folder: str | Path | None = None,
    resume: bool = True,
) -> ImageClassifier:
    """Return a copy of ``classifier`` with every weight fine-tuned on ``task.train``.

    Args:
        classifier: the start, usually the zero-shot classifier; it is not changed. Frozen
            parameters (``models.freeze``) stay frozen.
        task: its ``train`` split is used.
        recipe: how to train; one seed gives the same weights on the same machine.
        objective: what to minimise on a batch; see ``losses``. A GPU computes it in
            ``losses.autocast_dtype``. If several processes were launched, each computes a shard of
            each batch, see ``fit``.
        progress: show a bar.
        after_step, after_epoch: as for ``fit``; they get the copy.
        folder, resume: as for ``fit``.

    Raises:
        UserError: the classes differ, or as ``fit``.

    Source: the paper, section 2, end-to-end fine-tuning.
    """
    _check_classes(classifier, task)
    images = pixels(classifier, task.train)
    return fit(
        copy.deepcopy(classifier),
        images,
        task.train.labels,
        recipe,
        objective=objective,
        transform=augmentation(recipe.augment, images.shape[-1]),
        progress=progress,
        after_step=after_step,
        after_epoch=after_epoch,
        folder=folder,
        resume=resume,
        precision=autocast_dtype(next(classifier.parameters()).device),
        shared=True,
    )


def linear_probe(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe = PROBE,
    *,
    objective: Objective = cross_entropy,
    progress: bool = False,
    folder: str | Path | None = None,
    resume: bool = True,
) -> ImageClassifier:
    """Return a copy of ``classifier`` whose head is trained on features that are encoded once.

    Training starts from the classifier's head, usually the zero-shot head; the encoder keeps its
    weights. The objective gets the head as its model and features ``[b, d]`` as its inputs; see
    ``fit`` for the rest.

    Raises:
        UserError: the classes differ, or as ``fit``.

    Source: the paper, section 2, linear classifier (LC).
    """
    _check_classes(classifier, task)
    features, labels = encode(classifier, task.train)
    probe = copy.deepcopy(classifier)
    fit(
        probe.head,
        features,
        labels,
        recipe,
        objective=objective,
        progress=progress,
        folder=folder,
        resume=resume,
    )
    return probe.eval()
