"""One loop trains everything: the head on encoded features, or every weight on pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.resume import States
from wiseft_lite.augmentation import augmentation, transformed
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
    """Train ``model`` in place and return it in eval mode.

    Args:
        model: maps a batch of ``inputs`` to logits; parameters that need no gradient stay as they
            are.
        inputs: ``[n, ...]``, kept where they are; batches go to the model's device.
        labels: int64 ``[n]``.
        recipe: how to train.
        objective: what to minimise on a batch; see ``losses``.
        transform: applied to each input of a batch, such as a random crop.
        progress: show a bar.
        after_step: called with the model after each step, to average its weights.
        after_epoch: called with the number of epochs done and the model, to watch it learn.
        folder: where a state of the run is kept every minute; a run that was cut short goes on from
            it and ends with the same bits. ``after_step`` then needs a state too, as
            ``MovingAverages`` has; see ``resume``.
        resume: False throws the state away and begins anew.
        precision: what the objective is computed in, see ``losses.autocast_dtype``; weights, their
            gradients and AdamW's moments keep their own type. With float16 the loss is scaled, and
            a step that overflows is left out.
        shared: the processes of a launch (see ``distributed``) take a part of each batch and add up
            their gradients. The objective must then be a mean over inputs that are judged alone and
            draw nothing, and ``transform`` one of ``augmentation``. If False each process trains on
            whole batches. All start from the main process's weights and end with the same.

    Raises:
        UserError: the loss or a weight is not finite, ``after_step`` cannot be resumed, or the
            model cannot be shared.
    """
    from tqdm import tqdm

    distributed.broadcast(
        model.state_dict().values()
    )  # processes may each have drawn random weights of their own
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
    )
    an_epoch = -(-len(inputs) // recipe.batch_size)
    total = recipe.epochs * an_epoch
    learning_rate(0, total, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    states = States(
        folder,
        (fit, learning_rate, recipe, inputs, labels, objective, transform, precision),
        model,
        optimizer,
        scaler,
        after_step,
    )
    objective = in_precision(objective, device, precision)
    model.train()
    if shared and distributed.world_size() > 1:
        objective = _drawing_nothing(model, objective)
    bar = tqdm(
        total=total, desc="training", unit="step", disable=not (progress and distributed.is_main())
    )
    with torch.random.fork_rng(), bar:  # the caller's random state is left as it was
        torch.manual_seed(recipe.seed)
        step, order = states.restore(resume)
        bar.update(step)
        for epoch in range(step // an_epoch, recipe.epochs):
            order = torch.randperm(len(inputs)) if order is None else order
            groups = order.split(recipe.batch_size)[step % an_epoch :]
            shares = [
                distributed.local_slice(len(rows)) if shared else (slice(0, len(rows)), 1.0)
                for rows in groups
            ]
            own = [rows[part] for rows, (part, _) in zip(groups, shares, strict=True)]
            for group, (part, weight), rows, batch in zip(
                groups, shares, own, batches(inputs, own), strict=True
            ):
                states.maybe_save(step, order)
                batch = batch.to(device)  # before the crops, which a GPU then cuts
                if transform is not None:
                    batch = transformed(transform, batch, part, len(group))
                loss = weight * objective(model, batch, labels[rows].to(device))
                total_loss = loss.detach().clone()
                if shared:
                    distributed.all_reduce([total_loss])
                if not torch.isfinite(total_loss):
                    raise UserError(
                        f"the loss is {total_loss.item()} at step {step + 1} of {total}; "
                        f"lower the learning rate (it is {recipe.lr:g})"
                    )
                for settings in optimizer.param_groups:
                    settings["lr"] = learning_rate(step, total, recipe)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                if shared:
                    distributed.all_reduce(p.grad for p in model.parameters() if p.grad is not None)
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                step += 1
                if after_step is not None:
                    after_step(model)
                bar.update()
                bar.set_postfix(loss=f"{total_loss.item():.3f}", refresh=False)
            order = None
            if after_epoch is not None:
                with torch.random.fork_rng():  # watching must not change what is watched
                    after_epoch(epoch + 1, model)
                model.train()
    if not all(torch.isfinite(p).all() for p in model.parameters()):
        raise UserError(
            f"the last step gave weights that are not finite; lower the rate (it is {recipe.lr:g})"
        )
    if not shared:
        distributed.broadcast(model.state_dict().values())
    return model.eval()


def _drawing_nothing(model: nn.Module, objective: Objective) -> Objective:
    """The same objective for a part of a batch, refused where it would not be a part of the whole
    batch's.

    Batch norm looks at the other inputs of its batch, unless it is frozen. What draws random
    numbers, such as dropout, would draw others than on the whole batch, and then the processes
    would no longer agree on the order of the next epoch.
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
                "the model or its objective draws random numbers, such as dropout, and each process would "
                "draw others; fine-tune it with one process"
            )
        return loss

    return checked


def _random_states(device: torch.device) -> list[Tensor]:
    return [
        torch.get_rng_state(),
        *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else []),
    ]


def _check_classes(classifier: ImageClassifier, task: Task) -> None:
    if classifier.class_names != tuple(task.class_names):
        raise UserError(
            f"the classifier has other classes than task {task.name!r}; "
            "make it with zero_shot_classifier(clip, task)"
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
        classifier: where to start, as a rule the zero-shot classifier; it is left alone. What is
            frozen in it (``models.freeze``) stays frozen.
        task: gives the training split.
        recipe: how to train; one seed gives the same weights on the same machine.
        objective: what to minimise on a batch; see ``losses``. A GPU computes it in
            ``losses.autocast_dtype``. Several processes share each batch if they were launched, see
            ``fit``.
        progress: show a bar.
        after_step, after_epoch: as for ``fit``, to watch the copy.
        folder, resume: see ``fit``; a run that was cut short goes on from its last state in the
            folder.

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
    """Return a copy of ``classifier`` with its head alone trained, on features encoded once.

    The head starts where it is, as a rule at the zero-shot head; the encoder keeps its weights. The
    objective gets the head as its model and features ``[b, d]`` as its inputs; see ``fit`` for the
    rest.

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
