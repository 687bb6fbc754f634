"""Universal embeddings: one embedding for the images of many tasks, with WiSE-FT on retrieval."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset

from wiseft_lite._runtime.distributed import Shards
from wiseft_lite.callbacks import Callback
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.features import LazyImages, chunks, pixels
from wiseft_lite.results import best_alpha
from wiseft_lite.retrieval.arcface import Embedder, SubCentres, adaptive_margins, arcface
from wiseft_lite.retrieval.recipes import EMBED, ENCODER_LR_MULTIPLIER
from wiseft_lite.retrieval.search import query_scores, text_projection
from wiseft_lite.sweeps import ALPHAS, logits_along
from wiseft_lite.tasks import Split, Task
from wiseft_lite.tasks.images import Picked
from wiseft_lite.training import Compute, Recipe, fit, training_images
from wiseft_lite.zeroshot import prompt

ALL = "all tasks"  # the row over the images of every task
BATCH_SIZE = 256  # images per forward pass


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes and tasks.

    Args:
        split: ``n`` images with labels.
        tasks: name of the task of each image.
        clip: preprocesses the images.
    """

    split: Split
    tasks: tuple[str, ...]
    clip: Clip

    @property
    def labels(self) -> Tensor:
        """The classes, int64 ``[n]``."""
        return self.split.labels

    @cached_property
    def images(self) -> Tensor | LazyImages:
        """The preprocessed images ``[n, 3, h, w]``, decoded at first use; see ``features.pixels``.

        Of several processes, each has its shard, see ``distributed.Shards``.
        """
        return pixels(self.clip, _shards(len(self.split)).shard(self.split))


@dataclass(frozen=True)
class DisjointSplits:
    """Splits of the images of many tasks, with no class in common.

    Args:
        prompts: of the training classes, in the order of their labels.
        train: labels from 0.
        val: to choose alpha, from the training and val splits.
        test: from the test splits and all shifts.
    """

    prompts: tuple[str, ...]
    train: LabelledImages
    val: LabelledImages
    test: LabelledImages


def disjoint_splits(
    clip: Clip, tasks: Sequence[Task], seed: int = 0, fractions: tuple[float, float] = (0.6, 0.2)
) -> DisjointSplits:
    """Divide the classes of several tasks at random into train, val and test.

    Classes with the same name in two tasks are one class.

    Args:
        clip: preprocesses the images.
        tasks: one or more.
        seed: of the random division.
        fractions: of the classes for train and val; the rest is for test.

    Raises:
        UserError: two tasks have the same name, or val or test has fewer than six images.
    """
    repeated = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    if repeated:
        raise UserError(
            f"two tasks are named {repeated[0]!r}; give each task once, and different names to folders"
        )
    names = sorted({name for task in tasks for name in task.class_names})
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    shuffled = [names[i] for i in order]
    label_of = {name: label for label, name in enumerate(shuffled)}
    val_from, test_from = round(fractions[0] * len(names)), round(sum(fractions) * len(names))
    train_names, val_names = shuffled[:val_from], shuffled[val_from:test_from]
    test_names = shuffled[test_from:]

    def collect(
        classes: list[str], sources: list[tuple[Task, Split]], purpose: str, per_class: int = 2
    ) -> LabelledImages:
        wanted = {name: label_of[name] for name in classes}
        return _collect(clip, sources, wanted, purpose, per_class)

    train = collect(train_names, [(task, task.split("train")) for task in tasks], "train", 1)
    held = [(task, task.split(part)) for task in tasks for part in ("train", "val")]
    val = collect(val_names, held, "val")
    test = collect(
        test_names, [(task, s) for task in tasks for s in task.evaluation.values()], "test"
    )
    template = {name: task.templates[0] for task in tasks for name in task.class_names}
    prompts = tuple(prompt(template[name], name) for name in train_names)
    return DisjointSplits(prompts, train, val, test)


def _collect(
    clip: Clip,
    sources: Sequence[tuple[Task, Split]],
    label_of: dict[str, int],
    purpose: str,
    per_class: int,
) -> LabelledImages:
    """Return the images of some classes, leaving out classes with fewer images than ``per_class``.

    Raises:
        UserError: fewer than six images.
    """
    images: list[Any] = []
    labels: list[int] = []
    tasks: list[str] = []
    for task, split in sources:
        rows = [
            i
            for i, label in enumerate(split.labels.tolist())
            if label >= 0 and task.class_names[label] in label_of
        ]
        if rows:
            images.append(split.select(rows).images)
            labels += [label_of[task.class_names[split.labels[i]]] for i in rows]
            tasks += [task.name] * len(rows)
    counts = Counter(labels)
    keep = [i for i, label in enumerate(labels) if counts[label] >= per_class]
    if len(keep) < 6:
        raise UserError(
            f"the classes drawn for {purpose} have {len(keep)} images; give more tasks or another "
            "seed"
        )
    joined: Any = ConcatDataset(images)
    split = Split(purpose, Picked(joined, keep), torch.tensor(labels)[keep])
    return LabelledImages(split, tuple(tasks[i] for i in keep), clip)


def _shards(n: int) -> Shards:
    """How the processes divide ``n`` images for retrieval."""
    return Shards(n, BATCH_SIZE)


def zero_shot_embedder(
    clip: Clip, prompts: Sequence[str], dimensions: int = 64, dropout: float = 0.2
) -> Embedder:
    """Return ``theta_0``: CLIP's image encoder, then ``text_projection`` of prompts, without its mean.

    No image is used.
    """
    weight = text_projection(clip.encode_text(prompts), dimensions).weight
    return Embedder(clip.image_encoder(), weight, dropout).eval()


def finetune_embedder(
    start: Embedder,
    train: LabelledImages,
    recipe: Recipe = EMBED,
    *,
    encoder_lr_multiplier: float = ENCODER_LR_MULTIPLIER,
    centres: int = 3,
    margins: Tensor | None = None,
    compute: Compute = Compute(),
    callbacks: Sequence[Callback] = (),
) -> Embedder:
    """Return a copy of an embedder fine-tuned with sub-centre ArcFace.

    Args:
        start: the embedder to start from; not modified.
        train: images with labels from 0.
        recipe: how to train; its learning rate is that of the centres.
        encoder_lr_multiplier: the embedder's learning rate, relative to that of the centres.
        centres: per class.
        margins: per class, in radians; ``adaptive_margins`` of the class sizes if not given.
        compute, callbacks: as for ``fit``.

    Raises:
        UserError: a class has no images, or as ``fit``.
    """
    counts = torch.bincount(train.labels)
    margins = adaptive_margins(counts) if margins is None else margins
    head = SubCentres(len(counts), len(start.weight), centres, recipe.seed)
    embedder = copy.deepcopy(start)
    model = nn.Sequential(embedder, head.to(start.weight.device))
    fit(
        model,
        training_images(train.clip, train.split, recipe),
        train.labels,
        recipe,
        objective=arcface(margins),
        compute=compute,
        callbacks=callbacks,
        lr_multiplier=lambda name: encoder_lr_multiplier if name.startswith("0.") else 1.0,
    )
    return embedder.eval()


def score_by_task(embeddings: Tensor, split: LabelledImages) -> pd.DataFrame:
    """Return retrieval scores: a row over all images, then one over the images of each task.

    Each image searches among all others, those of other tasks included. Columns: ``task``, ``ALL``
    in the first row, and those of ``RetrievalScores``.
    """
    return _means_by_task(query_scores(embeddings, split.labels), split)


def _means_by_task(per_query: Mapping[str, Tensor], split: LabelledImages) -> pd.DataFrame:
    rows_of: dict[Any, Any] = {ALL: torch.arange(len(split.labels))}
    rows_of |= pd.Series(split.tasks).groupby(list(split.tasks), sort=False).indices
    rows = [
        {
            "task": task,
            **{name: score[queries].mean().item() for name, score in per_query.items()},
            "n": len(queries),
        }
        for task, queries in rows_of.items()
    ]
    return pd.DataFrame(rows)


def sweep_embedders(
    theta_0: Embedder,
    theta_1: Embedder,
    splits: dict[str, LabelledImages],
    alphas: Sequence[float] = ALPHAS,
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Interpolate between two embedders and score each on retrieval: ``score_by_task`` per alpha.

    Columns: ``alpha, split`` and those of ``score_by_task``. Images are decoded once for all alphas.
    Several processes divide the images to embed, then the alphas to score.
    """
    tables = []
    for name, split in splits.items():
        outputs = [
            list(
                logits_along(
                    theta_0, theta_1, images, alphas, BATCH_SIZE, precision=compute.precision
                )
            )
            for images in chunks(split.images, BATCH_SIZE)
        ]
        shards = _shards(len(split.labels))
        embeddings = [shards.gather(torch.cat(parts)) for parts in zip(*outputs, strict=True)]
        for alpha, per_query in zip(alphas, _query_scores(embeddings, split.labels), strict=True):
            table = _means_by_task(per_query, split)
            table.insert(0, "alpha", float(alpha))
            table.insert(1, "split", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _query_scores(embeddings: Sequence[Tensor], labels: Tensor) -> list[dict[str, Tensor]]:
    """The ``query_scores`` of each of several embeddings, which the processes divide."""
    shards = Shards(len(embeddings), 1)
    scored = [query_scores(embeddings[i], labels) for i in shards.rows]
    scores = shards.gather(torch.stack([torch.stack(list(each.values())) for each in scored]))
    return [dict(zip(scored[0], each, strict=True)) for each in scores]


def choose_alpha(table: pd.DataFrame) -> float:
    """Return the alpha with the highest mP@5 on ``val`` over all tasks; the smallest of ties."""
    val = table[(table["split"] == "val") & (table["task"] == ALL)]
    return best_alpha(val.set_index("alpha")["mp_5"])
