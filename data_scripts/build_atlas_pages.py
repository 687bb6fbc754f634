"""Write the pages of the atlas from the tables that ship: python data_scripts/build_atlas_pages.py

``book/appendix/atlas_models.md`` lists what went where by which rule; ``book/_static/atlas-data.js``
has the points, lines and curves of the interactive page.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import arguments
import numpy as np
import pandas as pd

from wiseft_lite.analysis import atlas, atlas_figure
from wiseft_lite.book import ledger, paper
from wiseft_lite.book.experiments.atlas import duplicates

BOOK = Path(__file__).resolve().parent.parent / "book"
MODELS = BOOK / "appendix" / "atlas_models.md"
DATA = BOOK / "_static" / "atlas-data.js"
SETS = ("imagenet", *atlas.SHIFTS)
FARTHEST = 5  # pairs of measurements that are listed one by one

HEAD = """# What is in the atlas

The [atlas](../atlas.md) has {models:,} measurements of models, made by others. Where does each come
from, and who decided what kind of model it is?

## Sources

*Table: sources of the measurements, with licence and number of models.*

| source | repository | commit | licence | models |
|---|---|---|---|---|
{sources}

Their tables were not changed. Three models of the test bed without any number are left out.

## Kinds

The kind of a model was decided by the rules below, before any line was fitted. A rule reads names and
the source's own types, never an accuracy. It is code: `data_scripts/atlas_kinds.py`.

1. **The test bed's own types come first.** *Standard* is "ImageNet alone"; *more data* keeps its name;
   *other robustness intervention* and *Lp adversarially robust* are "robustness intervention"; low-accuracy
   models, random features, random forests, linear classifiers on pixels and nearest neighbours are
   "part of ImageNet". Models of training runs that were stopped on the way have no type there
   (their names end in `_epochs`): "part of ImageNet" as well. Its two zero-shot CLIPs count as zero-shot CLIP.
2. **open_clip**: all are zero-shot CLIP.
3. **timm**, by the tag after the point of a name, the first rule that fits: a CLIP that was fine-tuned
   (`clip`, `openai`, `laion`, `webli`); AdvProp, adversarial training and AugMix are interventions, as in the
   test bed; a tag that names larger data (`in21k`, `in22k`, `in12k`, `ig1b`, `swag`, `seer`, `yfcc100m`,
   `jft`, `ssld`, ...) is more data; what is left must say `in1k` and is ImageNet alone.
4. **The same weights in timm and in the test bed** take the test bed's kind.
5. **model-soups**: the model that all others start from is a linear probe, with the zero-shot encoder; 71 are
   fine-tuned CLIP; two are soups.

What the rules cannot see: a model that was trained on ImageNet alone may have been distilled from a teacher that was not.
If its tag shows this, it counts as more data (`goog_distilled`; BEiT v2, whose codes were made with CLIP). In two models
another part of the name shows it (`hrnet_w18_ssld`, `hrnet_w48_ssld`); these count as ImageNet alone.

*Table: number of models of each kind, by source.*

| kind | {columns} | all |
|---|{rules}---|
{kinds}

## The same weights, measured twice

{pairs} models of the test bed are in another source too. The image sizes, crops and libraries differ, and nothing else.
How far apart are the two numbers? That is the measurement error of the field.

*Table: distances between two accuracies of the same weights, in points.*

| set | models | median distance | nine of ten below | largest |
|---|--:|--:|--:|--:|
{apart}

*Table: the pairs that are farthest apart, other source minus test bed, in points.*

| model | test bed | set | points |
|---|---|---|--:|
{farthest}

An accuracy from another paper is known to some tenths of a point, whatever the number of its images.
Zero-shot accuracies, for which prompts may differ too, are as close: {clip}.

## The lines

Which models carry the line is a choice, so there are three: *standard*, the test bed's standard models, as in the
paper; *all* that were trained on ImageNet alone, timm's too; and *with-weak*, to which those that saw a part of
it are added. Slope and correlation r are in logits; families are resampled for the intervals.

*Table: slope and correlation of the line for each shift, by choice of baseline models.*

| shift | {fits} |
|---|{fit_rules}
{lines}

## All models

"""


def _sources(table: pd.DataFrame) -> str:
    return "\n".join(
        f"| {name}: {source.title} | [{source.repository}](https://github.com/{source.repository}) | "
        f"`{source.commit[:8]}` | {source.licence} | {(table['source'] == name).sum():,} |"
        for name, source in atlas.SOURCES.items()
    )


def _kinds(table: pd.DataFrame) -> str:
    counts = pd.crosstab(table["kind"], table["source"])[list(atlas.SOURCES)]
    return "\n".join(
        f"| {kind} | {' | '.join(f'{n:,}' if n else '–' for n in row)} | {row.sum():,} |"
        for kind, row in counts.iterrows()
    )


def _apart(found: pd.DataFrame) -> str:
    lines = []
    for name in SETS:
        points = found[name].dropna().abs()
        if len(points):
            lines.append(
                f"| {atlas.TITLES[name]} | {len(points)} | {points.median():.2f} | "
                f"{points.quantile(0.9):.2f} | {points.max():.2f} |"
            )
    return "\n".join(lines)


def _farthest(found: pd.DataFrame) -> str:
    long = found.melt(["model", "duplicate_of"], list(SETS), "set", "points").dropna()
    long = long.loc[long["points"].abs().sort_values(ascending=False, kind="stable").index]
    return "\n".join(
        f"| {row.model} | {row.duplicate_of} | {atlas.TITLES[row.set]} | {_signed(row.points)} |"
        for row in long.head(FARTHEST).itertuples()
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _clip(found: pd.DataFrame) -> str:
    parts = []
    for _, row in found.iterrows():
        sets = [f"{_signed(row[s])} on {atlas.TITLES[s]}" for s in SETS if pd.notna(row[s])]
        parts.append(f"{row['model']} is {', '.join(sets)}")
    return "; ".join(parts)


def _lines() -> str:
    rows = []
    for shift in (*atlas.SHIFTS, "shifts"):
        cells = []
        for fit in atlas.FITS:
            line = atlas.line_through(fit, shift)
            cells.append(
                f"{line.n:,} models, {line.families} families: slope {line.baseline.slope:.2f}, r {line.r:.2f}"
            )
        name = "mean of the five" if shift == "shifts" else atlas.TITLES[shift]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _folded(table: pd.DataFrame) -> str:
    parts = []
    for kind in atlas.KINDS:
        for source in atlas.SOURCES:
            names = table.loc[(table["kind"] == kind) & (table["source"] == source), "model"]
            names = list(dict.fromkeys(names))
            if names:
                parts.append(
                    f"<details><summary>{kind}, {source}: {len(names):,}</summary>"
                    f"<p>{'; '.join(map(escape, names))}</p></details>"
                )
    return "\n\n".join(parts)


def models_page() -> str:
    """Return the page that lists sources, rules, kinds, duplicates and lines."""
    table, found = atlas.models(), duplicates()
    of_timm, of_clip = found[found["source"] == "timm"], found[found["source"] == "open_clip"]
    head = HEAD.format(
        models=len(table),
        sources=_sources(table),
        columns=" | ".join(atlas.SOURCES),
        rules="---|" * len(atlas.SOURCES),
        kinds=_kinds(table),
        pairs=len(found),
        apart=_apart(of_timm),
        farthest=_farthest(of_timm),
        clip=_clip(of_clip),
        fits=" | ".join(atlas.FITS),
        fit_rules="---|" * len(atlas.FITS),
        lines=_lines(),
    )
    return head + _folded(table) + "\n"


# The interactive page.

DRAWN = (*atlas.SHIFTS, "shifts", *atlas.VIDEOS)
COLOURS = {  # of about the same lightness, so that all can be seen on white and on black
    "ImageNet alone": "#8a8a8a",
    "part of ImageNet": "#7d6fa8",
    "more data": "#2f8fd0",
    "robustness intervention": "#b58900",
    "zero-shot CLIP": "#c0539b",
    "linear probe of CLIP": "#8b5a2b",
    "fine-tuned CLIP": "#d55e00",
    "soup": "#2e8b57",
}
STEPS = 40  # points of a line
LOWEST = 0.005  # accuracies are drawn from here


def _percent(values: pd.Series) -> list:
    """Return accuracies in percent with two decimals, None where nobody measured."""
    return [None if pd.isna(value) else round(100 * float(value), 2) for value in values]


def _line(shift: str, fit: str) -> dict:
    """Return a line with its band at even steps of the reference logit."""
    line = atlas.line_through(fit, shift)
    xs = 1 / (1 + np.exp(-np.linspace(np.log(LOWEST / (1 - LOWEST)), 3.0, STEPS)))
    bands = [line.interval(float(x)) for x in xs]
    columns = {
        "x": xs,
        "y": [line(float(x)) for x in xs],
        "low": [low for low, _ in bands],
        "high": [high for _, high in bands],
    }
    return {
        "models": line.n,
        "families": line.families,
        "r": round(line.r, 2),
        "slope": line.baseline.slope,
        "intercept": line.baseline.intercept,
        **{name: [round(100 * float(v), 2) for v in values] for name, values in columns.items()},
    }


def _paper_curves() -> list[dict]:
    """Return all curves of the paper, with the sets that each was measured on."""
    known = ledger.table("paper_curves").drop_duplicates(["model", "kind"])
    names = {title: name for name, title in atlas.TITLES.items()}
    curves = []
    for model, kind in zip(known["model"], known["kind"], strict=True):
        table = paper.curve(model, kind).rename(columns=names)
        curves.append(
            {
                "label": f"{model}, {kind}",
                "sets": {name: [round(float(v), 2) for v in table[name]] for name in table},
            }
        )
    return curves


def _icon_curves() -> list[list[list[float]]]:
    """Return our curves as [x, y] by alpha: line drawings, and the mean of the seven shifts."""
    from wiseft_lite.results import summary

    table = ledger.table("ch06_curves").query("split != 'val' and kind == 'end-to-end'")
    return [
        (100 * summary(rows)[["reference", "shifts"]]).round(2).to_numpy().tolist()
        for _, rows in table.groupby("seed")
    ]


def page_data() -> dict:
    """Return what the interactive page draws: models by column, lines, curves."""
    table = atlas.models().sort_values(["imagenet", "model"]).reset_index(drop=True)
    table["shifts"] = table[list(atlas.SHIFTS)].mean(axis=1, skipna=False)
    learning_rates = atlas.finetunings().set_index("model")["lr"]
    short = table["model"].str.replace("ViT-B-32, model-soups ", "")
    of_soups = table["source"] == "model-soups"
    data = sorted(set(table["pretraining"]))
    return {
        "kinds": list(atlas.KINDS),
        "colours": [COLOURS[kind] for kind in atlas.KINDS],
        "sources": list(atlas.SOURCES),
        "data": data,
        "titles": {**atlas.TITLES, "shifts": "mean of the five shifts"},
        "shifts": list(DRAWN),
        "fits": {**atlas_figure.LABELS},
        "models": {
            "name": table["model"].tolist(),
            "kind": table["kind"].cat.codes.tolist(),
            "source": table["source"].cat.codes.tolist(),
            "data": [data.index(name) for name in table["pretraining"]],
            "params": [None if pd.isna(p) else float(p) for p in table["params"]],
            "size": [None if pd.isna(s) else int(s) for s in table["size"]],
            "lr": [
                float(learning_rates.get(m, 0)) if s else 0
                for m, s in zip(short, of_soups, strict=True)
            ],
            **{name: _percent(table[name]) for name in ("imagenet", *DRAWN)},
        },
        "lines": {
            shift: {
                fit: _line(shift, fit)
                for fit in atlas.GROUPS
                if fit != atlas.ZERO_SHOT or shift not in atlas.VIDEOS
            }
            for shift in DRAWN
        },
        "paper": _paper_curves(),
        "icons": _icon_curves(),
    }


def data_script() -> str:
    """Return the data of the interactive page as a script."""
    text = json.dumps(page_data(), separators=(",", ":")).replace("</", "<\\/")
    return f"// Made by data_scripts/build_atlas_pages.py\nwindow.WISEFT_ATLAS = {text};\n"


def main() -> None:
    arguments.parser(__doc__).parse_args()
    for path, text in ((MODELS, models_page()), (DATA, data_script())):
        path.write_text(text)
        print(f"{path.relative_to(BOOK.parent)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
