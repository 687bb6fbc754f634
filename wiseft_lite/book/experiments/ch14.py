"""Chapter 14: one embedding for everything, tested on classes that were never trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from wiseft_lite.book.ledger import Record
from wiseft_lite.encoders import Clip, load_clip
from wiseft_lite.features import run_in_batches
from wiseft_lite.merging.soups import uniform_soup
from wiseft_lite.retrieval.arcface import Embedder
from wiseft_lite.retrieval.search import retrieval_scores, text_projection
from wiseft_lite.retrieval.universal import (
    ALL,
    EMBED,
    ENCODER_LR_MULTIPLIER,
    DisjointSplits,
    LabelledImages,
    choose_alpha,
    disjoint_splits,
    finetune_embedder,
    score_by_task,
    sweep_embedders,
    zero_shot_embedder,
)
from wiseft_lite.tasks import load_task, task_names

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Multipliers of the learning rate for the image encoder.
MULTIPLIERS = {
    "image encoder 0.03": 0.03,
    "fine-tuned": ENCODER_LR_MULTIPLIER,
    "image encoder 0.3": 0.3,
    "image encoder 1": 1.0,
}
LEFT_OUT = ("no margin", "one centre")  # runs without a part of the loss
INGREDIENTS = ("image encoder 0.03", "fine-tuned", "image encoder 0.3")  # of the soup
DIMENSIONS = (2, 4, 8, 16, 32, 64, 128)
METRICS = ("mp_5", "recall_1", "recall_5", "mrr_5")
FEW = 3  # seeds of all runs but "fine-tuned"


def maps(
    texts: Tensor, images: Tensor, dimensions: int, seed: int
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return maps from CLIP's features ``[n, d]`` to few dimensions that need no training.

    Args:
        texts: ``[C, d]``, the embedded names.
        images: ``[m, d]``, features of the training images.
        dimensions: how many.
        seed: of the random directions.
    """
    names = text_projection(texts, dimensions)
    random = torch.randn(dimensions, texts.shape[1], generator=torch.Generator().manual_seed(seed))
    return {
        "names": lambda x: F.normalize(x @ names.weight.T, dim=1),
        "names, centred": names,
        "training images": text_projection(images, dimensions),
        "random directions": lambda x: F.normalize(x @ random.T, dim=1),
    }


def untrained(
    clip: Clip, draw: DisjointSplits, image_encoder: torch.nn.Module, seed: int
) -> pd.DataFrame:
    """Measure retrieval with CLIP's own features and each map, by dimensions and split."""
    parts = {"train": draw.train, "val": draw.val, "test": draw.test}
    features = {
        name: F.normalize(run_in_batches(image_encoder, part.images, 256), dim=1)
        for name, part in parts.items()
    }
    texts = clip.encode_text(draw.prompts)
    rows = []
    for name in ("val", "test"):
        ways = {("CLIP", texts.shape[1]): lambda x: x}
        for d in DIMENSIONS:
            ways |= {
                (kind, d): way for kind, way in maps(texts, features["train"], d, seed).items()
            }
        rows += [
            {
                "kind": kind,
                "dimensions": d,
                "split": name,
                **vars(retrieval_scores(way(features[name]), parts[name].labels)),
            }
            for (kind, d), way in ways.items()
        ]
    return pd.DataFrame(rows)


def with_weights(start: Embedder, theta: Mapping[str, Tensor]) -> Embedder:
    """Return an embedder like ``start`` with these weights."""
    model = copy.deepcopy(start)
    model.load_state_dict(dict(theta))
    return model


def swept(start: Embedder, end: Embedder, parts: dict[str, LabelledImages]) -> pd.DataFrame:
    """Sweep ``ALPHAS`` with ``sweep_embedders`` and mark the alpha that ``val`` chooses."""
    table = sweep_embedders(start, end, parts, ALPHAS)
    return table.assign(chosen=table["alpha"] == choose_alpha(table))


def ensemble(models: Sequence[Embedder], part: LabelledImages) -> pd.DataFrame:
    """Score the mean of several models' embeddings."""
    return score_by_task(
        F.normalize(sum(run_in_batches(model, part.images, 256) for model in models), dim=1), part
    )


def one_seed(
    clip: Clip, draw: DisjointSplits, seed: int, whole: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure everything on one draw of classes.

    Args:
        clip: CLIP.
        draw: of classes.
        seed: of the training runs.
        whole: also run the other multipliers, the soup, the ensemble and ``LEFT_OUT``.

    Returns:
        ``untrained``, and ``swept`` for each ``kind``.
    """
    parts, recipe = {"val": draw.val, "test": draw.test}, replace(EMBED, seed=seed)
    start = zero_shot_embedder(clip, draw.prompts)
    models = {
        kind: finetune_embedder(start, draw.train, recipe, encoder_lr_multiplier=multiplier)
        for kind, multiplier in MULTIPLIERS.items()
        if whole or kind == "fine-tuned"
    }
    tables = []
    if whole:
        without = ({"margins": torch.zeros(len(draw.prompts))}, {"centres": 1})
        models |= {
            kind: finetune_embedder(start, draw.train, recipe, **change)
            for kind, change in zip(LEFT_OUT, without, strict=True)
        }
        some = [models[kind] for kind in INGREDIENTS]
        models["soup"] = with_weights(start, uniform_soup(model.state_dict() for model in some))
        tables += [
            ensemble(some, part).assign(split=name, kind="ensemble", alpha=1.0, chosen=False)
            for name, part in parts.items()
        ]
    tables += [swept(start, model, parts).assign(kind=kind) for kind, model in models.items()]
    return untrained(clip, draw, start.encoder, seed), pd.concat(tables, ignore_index=True)


def run(record: Record, seeds: list[int]) -> None:
    clip = load_clip("iconclip")
    tasks = [load_task(name) for name in task_names()]
    flat, lines, sizes = [], [], []
    for k, seed in enumerate(seeds):
        draw = disjoint_splits(clip, tasks, seed)
        sizes.append(
            {
                "seed": seed,
                "classes": len(draw.prompts),
                "train": len(draw.train.labels),
                "val": len(draw.val.labels),
                "test": len(draw.test.labels),
                "test_classes": len(draw.test.labels.unique()),
            }
        )
        for kept, table in zip(
            (flat, lines), one_seed(clip, draw, seed, whole=k < FEW), strict=True
        ):
            kept.append(table.assign(seed=seed))
    flat, lines, sizes = pd.concat(flat), pd.concat(lines), pd.DataFrame(sizes)
    points = lines[lines["alpha"].isin([0, 1]) | lines["chosen"]]
    record.tables |= {
        "ch14_untrained": flat,
        "ch14_line": lines[lines["task"] == ALL].drop(columns="task"),
        "ch14_tasks": points[(points["task"] != ALL) & (points["split"] == "test")],
        "ch14_sizes": sizes,
    }
    for column in sizes.columns.drop("seed"):
        record.number(
            f"ch14.size.{column}",
            sizes[column].tolist(),
            "classes" if "classes" in column else "images",
            None,
            seeds,
        )
    numbers(record, flat, lines, int(sizes["test"].min()))


def numbers(record: Record, flat: pd.DataFrame, lines: pd.DataFrame, n: int) -> None:
    """Record the chapter's numbers, all on ``test``, and the differences within each seed.

    Args:
        record: takes the numbers.
        flat: ``untrained`` of all seeds.
        lines: ``swept`` of all seeds.
        n: images of the smallest test.
    """
    lines = lines[lines["split"] == "test"]
    total, apart = lines[lines["task"] == ALL], lines[lines["task"] != ALL]
    flat = flat[(flat["split"] == "test") & ((flat["dimensions"] == 64) | (flat["kind"] == "CLIP"))]
    main = total[total["kind"] == "fine-tuned"].set_index("seed")
    bases = {
        "over_names": main[main["alpha"] == 0],
        "over_fine-tuned": main[main["alpha"] == 1],
        "over_chosen": main[main["chosen"]],
    }
    found = {("names",): bases["over_names"].reset_index()}
    found |= {
        (kind,): part for kind, part in flat[flat["kind"] != "names"].groupby("kind", sort=False)
    }
    for kind, part in total.groupby("kind", sort=False):
        found[kind, "end"] = part[part["alpha"] == 1]
        if part["chosen"].any():
            found[kind, "chosen"] = part[part["chosen"]]
            record.number(
                key(kind, "alpha"),
                part.loc[part["chosen"], "alpha"].tolist(),
                "alpha",
                None,
                part.loc[part["chosen"], "seed"].tolist(),
            )
    for what, part in found.items():
        seeds = part["seed"].tolist()
        for metric in METRICS:
            score = part.set_index("seed")[metric]
            record.number(key(*what, metric), (100 * score).tolist(), "percent", n, seeds, EMBED)
            for base, other in bases.items():
                gains = (100 * (score - other[metric].reindex(seeds))).tolist()
                record.number(key(*what, metric, base), gains, "points", n, seeds, EMBED)
    for task, part in apart[apart["kind"] == "fine-tuned"].groupby("task", sort=False):
        rows = {
            "names": part[part["alpha"] == 0],
            "end": part[part["alpha"] == 1],
            "chosen": part[part["chosen"]],
        }
        for point, some in rows.items():
            n, seeds = int(some["n"].min()), some["seed"].tolist()
            record.number(
                key("task", task, point), (100 * some["mp_5"]).tolist(), "percent", n, seeds, EMBED
            )
            gains = 100 * (some["mp_5"].to_numpy() - rows["names"]["mp_5"].to_numpy())
            record.number(
                key("task", task, point, "over_names"), gains.tolist(), "points", n, seeds, EMBED
            )


def key(*parts: str) -> str:
    """Return the ledger key of a number."""
    return ".".join(["ch14", *(part.replace(",", "").replace(" ", "_") for part in parts)])
