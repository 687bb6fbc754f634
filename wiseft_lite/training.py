"""One loop trains everything: the head on encoded features, or every weight on pictures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wiseft_lite.augmentation import AUGMENTS, augmentation
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.features import batches, encode, pixels
from wiseft_lite.losses import Objective, cross_entropy, in_bfloat16
from wiseft_lite.models import ImageClassifier
from wiseft_lite.resume import States
from wiseft_lite.tasks import Task


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW, warm-up, cosine to 0, gradient clipping.

    The defaults are for IconCLIP on IconShift, chosen on its ``val`` split. Of the rates within one standard error of
    the best there, the largest was taken, so that the cost of fine-tuning can be seen (chapter 5).

    Args:
        epochs: passes over the training split.
        lr: peak learning rate.
        weight_decay: AdamW's, on every weight.
        batch_size: images a step.
        warmup: steps if an int, a share of all steps if a float.
        clip_norm: largest global gradient norm.
        betas: AdamW's.
        augment: ``"none"``; ``"crop"``, random square crops of 90 to 100 % of the area, the paper's minimal
            augmentation; or ``"strong"``, crops of 50 to 100 %, small turns and shears, and erased patches.
        seed: order of the images and crops.

    Raises:
        UserError: a value that cannot be meant.

    Source: the paper, appendix D.1 to D.3.
    """

    epochs: int = 10
    lr: float = 6e-4
    weight_decay: float = 0.1
    batch_size: int = 64
    warmup: int | float = 0.1
    clip_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    augment: str = "crop"
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "lr", "batch_size", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"recipe: {name} is {getattr(self, name)}; give a number above 0")
        if self.augment not in AUGMENTS:
            raise unknown("augmentation", self.augment, AUGMENTS)
        if self.weight_decay < 0 or self.warmup < 0:
            raise UserError("recipe: weight_decay and warmup cannot be negative")
        if isinstance(self.warmup, float) and self.warmup >= 1:
            raise UserError(f"recipe: warmup {self.warmup} is a share of the run and must stay below 1; "
                            f"for steps write the integer {int(self.warmup)}")


PAPER = Recipe(lr=3e-5, batch_size=512, warmup=500)  # ViT-B/16 on ImageNet
PROBE = Recipe(epochs=30, lr=3e-3, weight_decay=0.0, batch_size=128, augment="none")


def learning_rate(step: int, total: int, recipe: Recipe) -> float:
    """Return the learning rate of step ``step`` of ``total``: linear warm-up, then cosine to 0.

    Raises:
        UserError: the warm-up is as long as the run.

    Example:
        >>> [round(learning_rate(s, 10, Recipe(lr=1.0, warmup=2)), 2) for s in (0, 1, 2, 6)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warmup = round(recipe.warmup * total) if isinstance(recipe.warmup, float) else recipe.warmup
    if warmup >= total:
        raise UserError(f"recipe: {warmup} warm-up steps, but the run has only {total}; "
                        "give a share such as warmup=0.1")
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def fit(model: nn.Module, inputs: Tensor, labels: Tensor, recipe: Recipe, *,
        objective: Objective = cross_entropy, transform: Callable[[Tensor], Tensor] | None = None,
        progress: bool = False, after_step: Callable[[nn.Module], None] | None = None,
        after_epoch: Callable[[int, nn.Module], None] | None = None,
        folder: str | Path | None = None, resume: bool = True) -> nn.Module:
    """Train ``model`` in place and return it in eval mode.

    Args:
        model: maps a batch of ``inputs`` to logits; parameters that need no gradient stay as they are.
        inputs: ``[n, ...]``, kept where they are; batches go to the model's device.
        labels: int64 ``[n]``.
        recipe: how to train.
        objective: what to minimise on a batch; see ``losses``.
        transform: applied to each input of a batch, such as a random crop.
        progress: show a bar.
        after_step: called with the model after each step, to average its weights.
        after_epoch: called with the number of epochs done and the model, to watch it learn.
        folder: where a state of the run is kept every minute; a run that was cut short goes on from it and ends
            with the same bits. ``after_step`` then needs a state too, as ``MovingAverages`` has; see ``resume``.
        resume: False throws the state away and begins anew.

    Raises:
        UserError: the loss or a weight is not finite, or ``after_step`` cannot be resumed.
    """
    from tqdm import tqdm

    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=recipe.lr,
                                  betas=recipe.betas, weight_decay=recipe.weight_decay)
    an_epoch = -(-len(inputs) // recipe.batch_size)
    total = recipe.epochs * an_epoch
    learning_rate(0, total, recipe)
    states = States(folder, (fit, learning_rate, recipe, inputs, labels, objective, transform), model, optimizer,
                    after_step)
    bar = tqdm(total=total, desc="training", unit="step", disable=not progress)
    model.train()
    with torch.random.fork_rng(), bar:  # the caller's random state is left as it was
        torch.manual_seed(recipe.seed)
        step, order = states.restore(resume)
        bar.update(step)
        for epoch in range(step // an_epoch, recipe.epochs):
            order = torch.randperm(len(inputs)) if order is None else order
            groups = order.split(recipe.batch_size)[step % an_epoch:]
            for rows, batch in zip(groups, batches(inputs, groups), strict=True):
                states.keep(step, order)
                batch = batch.to(device)  # before the crops, which a GPU then cuts
                if transform is not None:
                    batch = torch.stack([transform(x) for x in batch])
                loss = objective(model, batch, labels[rows].to(device))
                if not torch.isfinite(loss):
                    raise UserError(f"the loss is {loss.item()} at step {step + 1} of {total}; "
                                    f"lower the learning rate (it is {recipe.lr:g})")
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, total, recipe)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
                step += 1
                if after_step is not None:
                    after_step(model)
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            order = None
            if after_epoch is not None:
                with torch.random.fork_rng():  # watching must not change what is watched
                    after_epoch(epoch + 1, model)
                model.train()
    if not all(torch.isfinite(p).all() for p in model.parameters()):
        raise UserError(f"the last step gave weights that are not finite; lower the rate (it is {recipe.lr:g})")
    return model.eval()


def _check_classes(classifier: ImageClassifier, task: Task) -> None:
    if classifier.class_names != tuple(task.class_names):
        raise UserError(f"the classifier has other classes than task {task.name!r}; "
                        "make it with zero_shot_classifier(clip, task)")


def finetune(classifier: ImageClassifier, task: Task, recipe: Recipe = Recipe(), *,
             objective: Objective = cross_entropy, progress: bool = False,
             after_step: Callable[[ImageClassifier], None] | None = None,
             after_epoch: Callable[[int, ImageClassifier], None] | None = None,
             folder: str | Path | None = None, resume: bool = True) -> ImageClassifier:
    """Return a copy of ``classifier`` with every weight fine-tuned on ``task.train``.

    Args:
        classifier: where to start, as a rule the zero-shot classifier; it is left alone. What is frozen in
            it (``models.freeze``) stays frozen.
        task: gives the training split.
        recipe: how to train; one seed gives the same weights on the same machine.
        objective: what to minimise on a batch; see ``losses``, also for ``in_bfloat16``, which newer GPUs run.
        progress: show a bar.
        after_step, after_epoch: as for ``fit``, to watch the copy.
        folder, resume: see ``fit``; a run that was cut short goes on from its last state in the folder.

    Raises:
        UserError: the classes differ, or as ``fit``.

    Source: the paper, section 2, end-to-end fine-tuning.
    """
    _check_classes(classifier, task)
    images = pixels(classifier, task.train)
    objective = in_bfloat16(objective, next(classifier.parameters()).device)
    return fit(copy.deepcopy(classifier), images, task.train.labels, recipe, objective=objective,
               transform=augmentation(recipe.augment, images.shape[-1]), progress=progress,
               after_step=after_step, after_epoch=after_epoch, folder=folder, resume=resume)


def linear_probe(classifier: ImageClassifier, task: Task, recipe: Recipe = PROBE, *,
                 objective: Objective = cross_entropy, progress: bool = False,
                 folder: str | Path | None = None, resume: bool = True) -> ImageClassifier:
    """Return a copy of ``classifier`` with its head alone trained, on features encoded once.

    The head starts where it is, as a rule at the zero-shot head; the encoder keeps its weights. The
    objective gets the head as its model and features ``[b, d]`` as its inputs; see ``fit`` for the rest.

    Raises:
        UserError: the classes differ, or as ``fit``.

    Source: the paper, section 2, linear classifier (LC).
    """
    _check_classes(classifier, task)
    features, labels = encode(classifier, task.train)
    probe = copy.deepcopy(classifier)
    fit(probe.head, features, labels, recipe, objective=objective, progress=progress, folder=folder, resume=resume)
    return probe.eval()
