"""WILDS FMoW (worst region) and iWildCam (macro-F1), read from the data sets' own metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.scoring import MacroF1, WorstGroup
from wiseft_lite.tasks.types import Split, Task

# wise-ft's 16 prompts in its order; {a} is the name with its article, see zeroshot.prompt.
FMOW = tuple(
    f"{kind} photo of {thing}."
    for thing in (
        "a {}",
        "{a}",
        "a {} in asia",
        "a {} in africa",
        "a {} in the americas",
        "a {} in europe",
        "a {} in oceania",
    )
    for kind in ("satellite", "aerial")
) + ("a photo of a {}.", "{}.")
IWILDCAM = ("a photo of {}.", "{} in the wild.")
ENGLISH = Path(__file__).resolve().parent / "iwildcam_names.csv"


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.exists():
        raise UserError(f"{path} does not exist; data_scripts/get_wilds.py downloads it")
    try:
        table = pd.read_csv(path, low_memory=False)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); download the archive again") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]!r}; it is another version of the data set"
        )
    return table


def _split(name: str, rows: pd.DataFrame, folder: Path, **options) -> Split:
    """Make a split of the rows, and check its first and last file: a truncated archive lacks some."""
    for path in (
        (folder / rows["file"].iloc[0], folder / rows["file"].iloc[-1]) if len(rows) else ()
    ):
        if not path.is_file():
            raise UserError(
                f"{path} is listed but does not exist; the archive is truncated: download it again"
            )
    return Split(
        name,
        Files([folder / file for file in rows["file"]]),
        torch.tensor(rows["y"].to_list()),
        **options,
    )


def load_fmow(root: Path, clean: bool = False) -> Task:
    """Load FMoW (62 classes) from ``fmow_v1.1``; the shift is measured by its worst region.

    Splits are those of WILDS: train, val and test are before 2013, the shift from 2016 on. The
    out-of-distribution validation set from 2013 to 2015 is left out, since alpha is chosen in
    distribution. The region "Other" does not count.

    Class names and prompts are those of wise-ft: names as in the metadata, underscores included
    ("airport_hangar"), and 16 prompts, two of which use the right article and spaces.

    Args:
        root: the data folder.
        clean: use spaces instead of underscores, and the right article ("an airport hangar") in
            all prompts, of which 14 remain. Zero-shot accuracy then differs from the paper's.

    Raises:
        UserError: a missing file or column, not 62 classes.

    Source: Christie et al. 2018; Koh et al. 2021; the WiSE-FT paper, table 6, and its code (names,
    prompts).
    """
    folder = root / "fmow_v1.1"
    table = _table(folder / "rgb_metadata.csv", ("split", "category", "country_code", "timestamp"))
    codes = _table(folder / "country_code_mapping.csv", ("alpha-3", "region"))
    names = sorted(table["category"].unique())
    if len(names) != 62:
        raise UserError(
            f"{folder / 'rgb_metadata.csv'} has {len(names)} categories, not 62; download it again"
        )
    table["y"] = table["category"].map({name: k for k, name in enumerate(names)})
    table["file"] = [f"rgb_img_{i}.png" for i in range(len(table))]
    region = dict(zip(codes["alpha-3"], codes["region"], strict=True))
    year = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601").dt.year

    def part(name: str, split: str, when: pd.Series, worst: bool = False) -> Split:
        rows = table[(table["split"] == split) & when]
        regions = [region.get(code) for code in rows["country_code"]]
        groups = tuple(
            place if isinstance(place, str) and place != "Other" else None for place in regions
        )
        return _split(
            name, rows, folder / "images", **({"measure": WorstGroup(groups)} if worst else {})
        )

    before = year < 2013
    task = Task(
        "fmow",
        tuple(names),
        FMOW,
        part("train", "train", before),
        part("val", "val", before),
        part("test", "test", before),
        {"ood": part("ood", "test", year >= 2016, worst=True)},
    )
    if not clean:
        return task
    prompts = dict.fromkeys(template.replace("a {}", "{a}") for template in FMOW)
    return replace(
        task,
        name="fmow-clean",
        class_names=tuple(name.replace("_", " ") for name in names),
        templates=tuple(prompts),
    )


def load_fmow_clean(root: Path) -> Task:
    """Load FMoW with spaces in its names and right articles in its prompts; see ``load_fmow``."""
    return load_fmow(root, clean=True)


def load_iwildcam(root: Path) -> Task:
    """Load iWildCam (182 classes) from ``iwildcam_v2.0``, measured by macro-F1.

    ``test`` is from cameras of the training data, the shift from new ones. Predictions are over all
    182 species; as in WILDS, the F1 scores of the species in a split are averaged.

    ``categories.csv`` lists species by their scientific names. Prompts use the English names of
    wise-ft, four of which belong to two species each; a species without one keeps its scientific
    name.

    Raises:
        UserError: a missing file or column, not 182 classes.

    Source: Beery et al. 2020; Koh et al. 2021; the WiSE-FT paper, table 6.
    """
    folder = root / "iwildcam_v2.0"
    table = _table(folder / "metadata.csv", ("split", "filename", "y"))
    species = _table(folder / "categories.csv", ("y", "name"))
    species = species[species["y"] < 99999].sort_values("y")  # 99999 marks species without an image
    if len(species) != 182:
        raise UserError(
            f"{folder / 'categories.csv'} has {len(species)} species, not 182; download it again"
        )
    english = dict(pd.read_csv(ENGLISH).itertuples(index=False))
    names = tuple(english.get(name, name) for name in species["name"])
    table = table.assign(file=table["filename"])

    def part(name: str, split: str) -> Split:
        return _split(name, table[table["split"] == split], folder / "train", measure=MacroF1())

    return Task(
        "iwildcam",
        names,
        IWILDCAM,
        part("train", "train"),
        part("val", "id_val"),
        part("test", "id_test"),
        {"ood": part("ood", "test")},
        twins=tuple(name for name in names if names.count(name) > 1),
    )
