"""The atlas: numbers that public measurements of real models give, for chapters 2, 5, 6, 12 and 13."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wiseft_lite.analysis import atlas
from wiseft_lite.analysis.correlation import Correlation, partial_correlation
from wiseft_lite.analysis.robustness import baseline_interval
from wiseft_lite.book import ledger, paper
from wiseft_lite.book.experiments import ch02
from wiseft_lite.book.ledger import Record
from wiseft_lite.figures import Panel
from wiseft_lite.results import summary

COLUMNS = ("imagenet", *atlas.SHIFTS, "shifts")
HYPERPARAMETERS = ("lr", "epochs", "wd", "augmentation", "mixup", "smoothing")
TWINS = 0.01  # of accuracy on held-out images: fine-tunings that these cannot tell apart
# The same image encoder: fine-tuned on ImageNet alone (timm), and zero-shot (open_clip), at the
# same image size.
PAIRS = (
    ("vit_base_patch32_clip_224.openai_ft_in1k", "ViT-B-32-quickgelu, openai"),
    ("vit_base_patch16_clip_224.openai_ft_in1k", "ViT-B-16, openai"),
    ("vit_large_patch14_clip_224.openai_ft_in1k", "ViT-L-14, openai"),
    ("vit_base_patch32_clip_224.laion2b_ft_in1k", "ViT-B-32, laion2b_s34b_b79k"),
    ("vit_base_patch16_clip_224.laion2b_ft_in1k", "ViT-B-16, laion2b_s34b_b88k"),
    ("vit_large_patch14_clip_224.laion2b_ft_in1k", "ViT-L-14, laion2b_s32b_b82k"),
    ("vit_huge_patch14_clip_224.laion2b_ft_in1k", "ViT-H-14, laion2b_s32b_b79k"),
    ("convnext_base.clip_laion2b_augreg_ft_in1k", "convnext_base_w, laion2b_s13b_b82k_augreg"),
    (
        "convnext_large_mlp.clip_laion2b_augreg_ft_in1k",
        "convnext_large_d, laion2b_s26b_b102k_augreg",
    ),
    (
        "convnext_xxlarge.clip_laion2b_soup_ft_in1k",
        "convnext_xxlarge, laion2b_s34b_b82k_augreg_soup",
    ),
)
TIMM_SHIFTS = ("v2", "r", "sketch", "a")  # timm has no ObjectNet
CURVES = ("ViT-L/14@336px", "ViT-B/16")  # of the paper, with a column for each shift


def paper_curves(*models: str) -> dict[str, pd.DataFrame]:
    """Return end-to-end curves of the paper as fractions, with the atlas's names of the test sets.

    Args:
        models: such as ``"ViT-B/16"`` (default: the two that have a column for each shift).
    """
    names = {title: name for name, title in atlas.TITLES.items()}
    return {model: paper.curve(model).rename(columns=names) / 100 for model in models or CURVES}


def icon_panel() -> Panel:
    """Return our own figure 1 for ``figures.among``: baseline models, their line, the curve of alpha.

    Means over seeds, as recorded in chapters 2 and 6.
    """
    table = (
        ledger.table("ch02_baselines")
        .groupby(["kind", "shots"], as_index=False)
        .mean(numeric_only=True)
    )
    line = ch02.line(table, "shifts")
    curves = ledger.table("ch06_curves").query("split != 'val' and kind == 'end-to-end'")
    runs = [summary(rows)[["alpha", "reference", "shifts"]] for _, rows in curves.groupby("seed")]
    curve = pd.concat(runs).groupby("alpha").mean().rename(columns={"shifts": "shift"})
    reach = np.linspace(table["test"].min() / 100, curve["reference"].max() + 0.02, 60)
    return Panel(
        "IconShift, mean of the seven shifts",
        pd.DataFrame(
            {
                "reference": table["test"] / 100,
                "shift": table["shifts"] / 100,
                "kind": "line drawings alone",
            }
        ),
        {
            "line of the models trained on line drawings": pd.DataFrame(
                [(x, line(x), *baseline_interval(x, line)) for x in reach],
                columns=["reference", "predicted", "low", "high"],
            )
        },
        {"IconCLIP": curve},
        "Line drawings",
    )


def hyperparameters() -> pd.DataFrame:
    """Return the 71 fine-tunings with learning rate and weight decay as logarithms to base 10."""
    table = atlas.finetunings()
    return table.assign(lr=np.log10(table["lr"]), wd=np.log10(table["wd"]))


def correlation(name: str, column: str, at_equal_reference: bool = False) -> Correlation:
    """Correlate a hyperparameter of the 71 fine-tunings with an accuracy, the others held fixed.

    Args:
        name: one of ``HYPERPARAMETERS``.
        column: one of ``COLUMNS``.
        at_equal_reference: hold the accuracy on ImageNet fixed too.
    """
    table = hyperparameters()
    fixed = [other for other in HYPERPARAMETERS if other != name]
    if at_equal_reference:
        fixed.append("imagenet")
    return partial_correlation(table[name], table[column], [table[other] for other in fixed])


def twins() -> pd.DataFrame:
    """Return the fine-tunings within a point of the best on held-out images."""
    table = atlas.finetunings()
    return table[table["minival"] >= table["minival"].max() - TWINS]


def duplicates() -> pd.DataFrame:
    """Return the same weights as two sources measured them, a row each.

    Returns:
        ``model`` in timm or open_clip, ``duplicate_of`` in the test bed, and for each set that both
        measured the second's accuracy minus the test bed's, in points.
    """
    table = atlas.models()
    bed = table[table["source"] == "test bed"].set_index("model")[["imagenet", *atlas.SHIFTS]]
    rows = table[table["duplicate_of"] != ""].reset_index(drop=True)
    theirs = bed.loc[rows["duplicate_of"]].reset_index(drop=True)
    return rows[["model", "size", "source", "duplicate_of"]].join(
        100 * (rows[bed.columns] - theirs)
    )


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_").replace("/", "_").replace("@", "_")


def _counts(record: Record) -> None:
    table = atlas.models()
    record.number("atlas.models", len(table), "models", None)
    for column in ("kind", "source"):
        for name, rows in table.groupby(column, observed=True):
            record.number(f"atlas.{column}.{_slug(name)}", len(rows), "models", None)


def _lines(record: Record) -> None:
    for fit in atlas.FITS:
        for shift in (*atlas.SHIFTS, "shifts"):
            line, key = atlas.line_through(fit, shift), f"atlas.line.{_slug(fit)}.{shift}"
            record.number(f"{key}.models", line.n, "models", None)
            record.number(f"{key}.slope", line.baseline.slope, "slope in logit space", None)
            record.number(f"{key}.r", line.r, "correlation", None)
            explained, low, _ = line.explained(0.9)  # the interval of a one-sided test at 5 %
            record.number(f"{key}.explained", explained, "fraction", None)
            record.number(f"{key}.explained.low", low, "fraction", None)
            record.number(f"{key}.families", line.families, "families", None)
            record.number(f"{key}.reach", 100 * line.reach[1], "percent", atlas.IMAGES["imagenet"])
    own = atlas.line_through("standard", "a", own_classes=True)
    record.number("atlas.line.own_classes.a.r", own.r, "correlation", None)


def _heights(record: Record) -> None:
    """Record effective robustness along the paper's curves, on the mean of the shifts."""
    n = sum(atlas.IMAGES[shift] for shift in atlas.SHIFTS)
    for model in CURVES:
        curve = paper.curve(model) / 100
        for alpha in (0.0, 0.5, 1.0):
            for fit in atlas.FITS:
                line = atlas.line_through(fit)
                rho = 100 * (curve.loc[alpha, "shifts"] - line(curve.loc[alpha, "ImageNet"]))
                key = f"atlas.rho.{_slug(model)}.alpha_{alpha:g}.{_slug(fit)}"
                record.number(key, rho, "points", n)


def _zero_shot(record: Record) -> None:
    """Record the height of every zero-shot CLIP of open_clip over the standard line."""
    table = atlas.models()
    heights = 100 * atlas.heights("shifts")
    ours = heights[table.loc[heights.index, "source"] == "open_clip"]
    n = sum(atlas.IMAGES[shift] for shift in atlas.SHIFTS)
    record.number("atlas.zero_shot.models", len(ours), "models", None)
    record.number("atlas.zero_shot.lowest", ours.min(), "points", n)
    record.number("atlas.zero_shot.highest", ours.max(), "points", n)


def _finetunings(record: Record) -> None:
    n = sum(atlas.IMAGES[shift] for shift in atlas.SHIFTS)
    for name in HYPERPARAMETERS:
        for column in COLUMNS:
            found = correlation(name, column)
            low, high = found.interval()
            key = f"atlas.tuned.{name}.{column}"
            for part, value in (("", found.r), (".low", low), (".high", high)):
                record.number(f"{key}{part}", value, "correlation", None)
    near = twins()
    record.number("atlas.twins.models", len(near), "models", None)
    for column, images in (("imagenet", atlas.IMAGES["imagenet"]), ("shifts", n)):
        values = 100 * near[column]
        record.number(f"atlas.twins.{column}.range", values.max() - values.min(), "points", images)
        record.number(f"atlas.twins.{column}.sd", values.std(), "points", images)


def _soups(record: Record) -> None:
    n = sum(atlas.IMAGES[shift] for shift in atlas.SHIFTS)
    runs, table = atlas.finetunings(), atlas.models().set_index("model")
    table = table.assign(shifts=table[list(atlas.SHIFTS)].mean(axis=1))
    rows = {
        "best": runs.loc[runs["minival"].idxmax()],
        "mean": runs[["imagenet", "shifts"]].mean(),
        **{
            name: table.loc[f"ViT-B-32, model-soups {name}"]
            for name in ("model_0", "uniform_soup", "greedy_soup")
        },
    }
    line = atlas.line_through("standard")
    for name, row in rows.items():
        for column, images in (("imagenet", atlas.IMAGES["imagenet"]), ("shifts", n)):
            record.number(f"atlas.soups.{name}.{column}", 100 * row[column], "percent", images)
        rho = 100 * (row["shifts"] - line(row["imagenet"]))
        record.number(f"atlas.soups.{name}.rho", rho, "points", n)


def _pairs(record: Record) -> None:
    """Record fine-tuned minus zero-shot, a value for each of the ``PAIRS``."""
    table = atlas.models().set_index("model")
    columns = ["imagenet", *TIMM_SHIFTS]
    after, before = (
        table.loc[list(names), columns].reset_index(drop=True) for names in zip(*PAIRS, strict=True)
    )
    changes = (100 * (after - before)).assign(
        shifts=lambda rows: rows[list(TIMM_SHIFTS)].mean(axis=1)
    )
    n = {**atlas.IMAGES, "shifts": sum(atlas.IMAGES[shift] for shift in TIMM_SHIFTS)}
    for column, values in changes.items():
        key = f"atlas.pairs.{column}"
        record.number(key, values.tolist(), "points", n[column], range(len(PAIRS)))


def _duplicates(record: Record) -> None:
    found = duplicates()
    record.number("atlas.duplicates.models", len(found), "models", None)
    for name in ("imagenet", *atlas.SHIFTS):
        apart = found.loc[found["source"] == "timm", name].dropna().abs()
        if not apart.empty:
            key, images = f"atlas.duplicates.{name}", atlas.IMAGES[name]
            record.number(f"{key}.median", apart.median(), "points", images)
            record.number(f"{key}.largest", apart.max(), "points", images)


def run(record: Record, seeds: list[int]) -> None:
    """Read the tables; nothing is trained, so the seeds count for nothing."""
    for part in (_counts, _lines, _heights, _zero_shot, _finetunings, _soups, _pairs, _duplicates):
        part(record)
