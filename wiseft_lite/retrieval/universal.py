"""Universal embeddings end to end: pictures of many tasks, one embedding, and the line chosen on
retrieval."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset

from wiseft_lite.augmentation import augmentation
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.features import LazyImages, pieces, pixels
from wiseft_lite.finetuning.layer_rates import layerwise_rates
from wiseft_lite.results import best_alpha
from wiseft_lite.retrieval.arcface import Embedder, SubCentres, adaptive_margins, arcface
from wiseft_lite.retrieval.recipes import EMBED, ENCODER_LR_MULTIPLIER
from wiseft_lite.retrieval.search import query_scores, text_projection
from wiseft_lite.sweeps import ALPHAS, logits_along
from wiseft_lite.tasks import Split, Task
from wiseft_lite.tasks.images import Picked
from wiseft_lite.training import Recipe, fit
from wiseft_lite.zeroshot import prompt

ALL = "all tasks"  # a row over the pictures of every task


@dataclass(frozen=True)
class Pictures:
    """Preprocessed ``images [n, 3, h, w]``, the class of each, ``labels [n]``, and the task that
    each comes from.

    Images that memory does not hold are ``LazyImages``: read again whenever they are asked for.
    """

    images: Tensor | LazyImages
    labels: Tensor
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Universe:
    """Pictures of many tasks, in three parts that share no class: to train, to choose alpha, to
    report on.

    ``prompts`` are those of the training classes, which ``train.labels`` number from 0. ``val`` is
    in the style of training, ``test`` comes from the test splits and all shifts.
    """

    prompts: tuple[str, ...]
    train: Pictures
    val: Pictures
    test: Pictures


def universe(
    clip: Clip, tasks: Sequence[Task], seed: int = 0, shares: tuple[float, float] = (0.6, 0.2)
) -> Universe:
    """Put tasks together and divide their classes. A name that two tasks have is one class.

    Args:
        clip: preprocesses the pictures.
        tasks: one or more.
        seed: of the draw of classes.
        shares: of the classes that train and that choose alpha; the others are for the test.

    Raises:
        UserError: two tasks of one name, or a part has too few pictures to retrieve anything.
    """
    twice = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    if twice:
        raise UserError(
            f"two tasks are called {twice[0]!r}; give each once, and each folder a name of its own"
        )
    names = sorted({name for task in tasks for name in task.class_names})
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    ends = [round(shares[0] * len(names)), round(sum(shares) * len(names))]
    part_of = {names[i]: 0 if k < ends[0] else 1 if k < ends[1] else 2 for k, i in enumerate(order)}
    trains = [names[i] for i in order[: ends[0]]]
    number = {name: k for k, name in enumerate(trains + [names[i] for i in order[ends[0] :]])}
    sources = (
        [(task, task.train) for task in tasks],
        [(task, s) for task in tasks for s in (task.train, task.val)],
        [(task, s) for task in tasks for s in task.evaluation.values()],
    )
    train, val, test = (
        _collect(clip, source, part, part_of, number) for part, source in enumerate(sources)
    )
    for pictures, what in ((val, "choose alpha"), (test, "test")):
        if len(pictures.labels) < 6:
            raise UserError(
                f"the classes drawn to {what} have {len(pictures.labels)} pictures; give more tasks or "
                "another seed"
            )
    template = {name: task.templates[0] for task in tasks for name in task.class_names}
    return Universe(tuple(prompt(template[name], name) for name in trains), train, val, test)


def _collect(
    clip: Clip,
    source: Sequence[tuple[Task, Split]],
    part: int,
    part_of: dict[str, int],
    number: dict[str, int],
) -> Pictures:
    """The pictures of one part's classes; for retrieval only those of which there are two."""
    images, labels, tasks = [], [], []
    for task, split in source:
        rows = [
            i
            for i, c in enumerate(split.labels.tolist())
            if c >= 0 and part_of[task.class_names[c]] == part
        ]
        if rows:
            images.append(split.select(rows).images)
            labels += [number[task.class_names[split.labels[i]]] for i in rows]
            tasks += [task.name] * len(rows)
    counts = Counter(labels)
    keep = [i for i, c in enumerate(labels) if part == 0 or counts[c] > 1]
    if not keep:
        return Pictures(torch.empty(0), torch.empty(0, dtype=torch.int64), ())
    joined = Split("all tasks", Picked(ConcatDataset(images), keep), torch.tensor(labels)[keep])
    return Pictures(pixels(clip, joined), joined.labels, tuple(tasks[i] for i in keep))


def from_text(
    clip: Clip, prompts: Sequence[str], dimensions: int = 64, dropout: float = 0.2
) -> Embedder:
    """Return the embedding that names alone give: CLIP's tower, then ``text_projection`` without
    its shift.

    It is ``theta_0`` of the line: it has seen no picture.
    """
    weight = text_projection(clip.encode_text(prompts), dimensions).weight
    return Embedder(clip.image_encoder(), weight, dropout).eval()


def finetuned(
    start: Embedder,
    train: Pictures,
    recipe: Recipe = EMBED,
    *,
    encoder_lr_multiplier: float = ENCODER_LR_MULTIPLIER,
    centres: int = 3,
    margins: Tensor | None = None,
    progress: bool = False,
) -> Embedder:
    """Return a copy of an embedder, trained with sub-centre ArcFace.

    Args:
        start: where to begin; it is left alone.
        train: pictures with labels from 0.
        recipe: how to train; its learning rate is that of the centres.
        encoder_lr_multiplier: learning rate of the embedder, as a multiple of that of the centres.
        centres: of each class.
        margins: of each class, in radians; ``adaptive_margins`` of its size if not given.
        progress: show a bar.

    Raises:
        UserError: a class without pictures, or as ``fit``.
    """
    counts = torch.bincount(train.labels)
    margins = adaptive_margins(counts) if margins is None else margins
    classes = SubCentres(len(counts), len(start.weight), centres, recipe.seed).to(
        start.weight.device
    )
    model = nn.Sequential(copy.deepcopy(start), classes)
    hook = layerwise_rates(
        model.state_dict(), lambda name: encoder_lr_multiplier if name.startswith("0.") else 1.0
    )
    fit(
        model,
        train.images,
        train.labels,
        recipe,
        objective=arcface(margins),
        transform=augmentation(recipe.augment, train.images.shape[-1]),
        progress=progress,
        after_step=hook,
    )
    return model[0].eval()


def scores(embeddings: Tensor, pictures: Pictures) -> pd.DataFrame:
    """Return how well embeddings retrieve: a row for all pictures, then one for the pictures of
    each task.

    Each picture searches among all others, those of other tasks too. Columns: ``task``, which is
    ``ALL`` in the first, and those of ``Retrieval``.
    """
    of_each = query_scores(embeddings, pictures.labels)
    come_from = pd.Series(pictures.tasks).groupby(list(pictures.tasks), sort=False).indices
    rows = [
        {
            "task": task,
            **{name: score[places].mean().item() for name, score in of_each.items()},
            "n": len(places),
        }
        for task, places in {ALL: torch.arange(len(embeddings)), **come_from}.items()
    ]
    return pd.DataFrame(rows)


def line(
    theta_0: Embedder,
    theta_1: Embedder,
    parts: dict[str, Pictures],
    alphas: Sequence[float] = ALPHAS,
) -> pd.DataFrame:
    """Return how well every embedding between two retrieves: ``scores`` for each part and alpha.

    Columns: ``alpha, split`` and those of ``scores``. Each picture is decoded once for all alphas.
    """
    tables = []
    for name, pictures in parts.items():
        found = [
            list(logits_along(theta_0, theta_1, piece, alphas))
            for piece in pieces(pictures.images, 256)
        ]
        for alpha, embeddings in zip(alphas, zip(*found, strict=True), strict=False):
            table = scores(torch.cat(embeddings), pictures)
            table.insert(0, "alpha", float(alpha))
            table.insert(1, "split", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def chosen(table: pd.DataFrame) -> float:
    """The alpha with the best mP@5 on ``val``, over all tasks; of equals the smallest."""
    val = table[(table["split"] == "val") & (table["task"] == ALL)]
    return best_alpha(val.set_index("alpha")["mp_5"])
