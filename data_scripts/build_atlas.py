"""Build the atlas from four public repositories: python data_scripts/build_atlas.py [--data FOLDER]

Downloads their tables of results (2 MB, at fixed commits, checked by their names in git) below
``FOLDER/atlas``, or reads them there without a network, and writes
``wiseft_lite/assets/atlas/{models,finetunings}.csv`` and the page
``book/appendix/atlas_models.md``. The kinds are decided by the rules in ``atlas_kinds.py``.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import atlas_kinds as kinds
import fetching
import pandas as pd

from wiseft_lite import UserError
from wiseft_lite.analysis.atlas import ACCURACIES, DATA, SHIFTS, SOURCES

RAW = "https://raw.githubusercontent.com"
FILES = {  # by source: path in its repository, and the file's name in git
    "test bed": {
        "robustness_top1s.csv": "490b62ad8c59f3317aa58183158c0d1ddb7e67e3",
        "plotting/model_types.py": "f481d88b4d0d52e980c59ab53024f05b59729dd3",
    },
    "open_clip": {"docs/openclip_results.csv": "2a32aefd590dbf3c5445a29d08e16de09be48777"},
    "timm": {
        "results/results-imagenet.csv": "a4e4627d6aa329e39354529e47569d8236bbaffd",
        "results/results-imagenetv2-matched-frequency.csv": "a494c6bbf4259b01058f37b175c43bd894f5e600",
        "results/results-imagenet-r.csv": "2a2ceed9e024a9f0b39abc5dd71dc592507d4d34",
        "results/results-sketch.csv": "91678f20caf02eb7a10f08348e8c0ee4eb24fbe9",
        "results/results-imagenet-a.csv": "5cdb48d62d354adacd1ef38a7af2da527cd0797f",
    },
    "model-soups": {
        "individual_model_results.jsonl": "9a59098612e0c978e2530c7d8c200d03d0886666",
        "uniform_soup_results.jsonl": "8d9f20d5967509e65324983a36ccb0012d203839",
        "greedy_soup_results.jsonl": "84f5036097246e1b416b0619247ea8ebc9da94e6",
        "hparam_info.json": "974e9f0eadad8cd7a50ac0400280ba293b91a120",
    },
}
FOLDERS = {name: name.replace(" ", "") for name in SOURCES}
COLUMNS = (
    *("model", "family", "kind", "pretraining", "params", "size"),
    *ACCURACIES,
    *("source", "duplicate_of"),
)
TEST_BED = {
    "imagenet": "val",
    "v2": "imagenetv2-matched-frequency-format-val",
    "r": "imagenet-r",
    "sketch": "imagenet-sketch",
    "objectnet": "objectnet-1.0-beta",
    "a": "imagenet-a",
    "vid_pm0": "imagenet-vid-robust_pm0",
    "vid_pm10": "imagenet-vid-robust_pm10",
    "ytbb_pm0": "ytbb-robust_pm0",
    "ytbb_pm10": "ytbb-robust_pm10",
    "imagenet_on_r": "val-on-imagenet-r-classes",
    "imagenet_on_objectnet": "val-on-objectnet-classes",
    "imagenet_on_a": "val-on-imagenet-a-classes",
    "imagenet_on_vid": "val-on-vid-robust-classes",
    "imagenet_on_ytbb": "val-on-ytbb-robust-classes",
}
OPEN_CLIP = {
    "imagenet": "ImageNet 1k",
    "v2": "ImageNet v2",
    "r": "ImageNet-R",
    "sketch": "ImageNet Sketch",
    "objectnet": "ObjectNet",
    "a": "ImageNet-A",
}
TIMM = {
    "v2": "results-imagenetv2-matched-frequency",
    "r": "results-imagenet-r",
    "sketch": "results-sketch",
    "a": "results-imagenet-a",
}
SOUPS = {
    "minival": "ImageNet2p",
    "imagenet": "ImageNet",
    "v2": "ImageNetV2",
    "r": "ImageNetR",
    "sketch": "ImageNetSketch",
    "objectnet": "ObjectNet",
    "a": "ImageNetA",
}


def remotes(folder: str = "atlas") -> list[fetching.Remote]:
    """Return the files to download, each in the folder of its source."""
    return [
        fetching.Remote(
            f"{RAW}/{SOURCES[name].repository}/{SOURCES[name].commit}/{path}",
            f"git:{blob}",
            f"{folder}/{FOLDERS[name]}/{Path(path).name}",
        )
        for name, paths in FILES.items()
        for path, blob in paths.items()
    ]


def check(remote: fetching.Remote, path: Path) -> None:
    """Raise if a file that was there already is not the pinned one."""
    kind, _, known = remote.digest.partition(":")
    if fetching.digest(path, kind) != known:
        raise UserError(f"{path} is not the file of {remote.url}; remove it and run this again")


def test_bed(folder: Path) -> pd.DataFrame:
    """Read the test bed: accuracies in percent, types from its own list."""
    table = pd.read_csv(folder / "robustness_top1s.csv")
    types = model_types(folder / "model_types.py")
    rows = table[list(TEST_BED.values())].set_axis(list(TEST_BED), axis=1)
    names = table["model"].tolist()
    return rows.assign(
        model=names,
        family=[kinds.family(name) for name in names],
        kind=[kinds.bed_kind(name, types.get(name, "")) for name in names],
        source="test bed",
        duplicate_of="",
    )


def model_types(path: Path) -> dict[str, str]:
    """Return the type of each model in the test bed's list, a Python file that is not executed."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "model_types_map":
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {name.value: of_type.attr for name, of_type in pairs}
    raise UserError(f"{path} has no model_types_map; its layout has changed")


def open_clip(folder: Path) -> pd.DataFrame:
    """Read the zero-shot results of open_clip, given as fractions."""
    table = pd.read_csv(folder / "openclip_results.csv")
    rows = (100 * table[list(OPEN_CLIP.values())]).round(3).set_axis(list(OPEN_CLIP), axis=1)
    return rows.assign(
        model=table["name"] + ", " + table["pretrained"],
        family=[kinds.family(name) for name in table["name"]],
        kind=kinds.ZERO_SHOT,
        pretraining=[kinds.clip_data(tag) for tag in table["pretrained"]],
        params=table["params (M)"],
        source="open_clip",
        duplicate_of=(table["name"] + ", " + table["pretrained"])
        .map({f"{name}, {tag}": ours for ours, (name, tag) in kinds.SAME_CLIP.items()})
        .fillna(""),
    )


def timm(folder: Path, kind_of: dict[str, str]) -> pd.DataFrame:
    """Read the results of timm, one file for each test set, by model and image size.

    Args:
        folder: of the files.
        kind_of: kinds of the test bed's models; a model of the same weights takes its kind there.
    """
    key = ["model", "img_size"]
    table = pd.read_csv(folder / "results-imagenet.csv", thousands=",")
    table = table.rename(columns={"top1": "imagenet"})[[*key, "imagenet", "param_count"]]
    for column, name in TIMM.items():
        part = pd.read_csv(folder / f"{name}.csv").rename(columns={"top1": column})
        table = table.merge(part[[*key, column]], how="left", on=key, validate="1:1")
    table["duplicate_of"] = table["model"].map({b: a for a, b in kinds.SAME.items()}).fillna("")
    decided = [kinds.timm_kind(name) for name in table["model"]]
    return table.assign(
        family=[kinds.family(name) for name in table["model"]],
        kind=[
            kind_of.get(a, kind)
            for a, (kind, _) in zip(table["duplicate_of"], decided, strict=True)
        ],
        pretraining=[data for _, data in decided],
        source="timm",
    ).rename(columns={"img_size": "size", "param_count": "params"})


def soups(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the models of model-soups: rows of the atlas, and the 71 fine-tunings with hyperparameters."""
    names = ("individual_model", "uniform_soup", "greedy_soup")
    table = pd.concat(
        pd.read_json(folder / f"{name}_results.jsonl", lines=True) for name in names
    ).reset_index(drop=True)
    rows = (100 * table[list(SOUPS.values())]).round(3).set_axis(list(SOUPS), axis=1)
    rows.insert(0, "model", table["model_name"])
    settings = json.loads((folder / "hparam_info.json").read_text())
    tuned = pd.DataFrame(
        [{"model": name, **found} for name, found in settings.items() if "lr" in found]
    ).rename(columns={"mix": "mixup"})
    tuned = tuned[["model", "lr", "wd", "epochs", "aug", "mixup", "smoothing"]].merge(
        rows, on="model"
    )
    kind = {"model_0": kinds.PROBE, "uniform_soup": kinds.SOUP, "greedy_soup": kinds.SOUP}
    atlas = rows.drop(columns="minival").assign(
        model="ViT-B-32, model-soups " + rows["model"],
        family="vit",
        kind=[kind.get(name, kinds.FINE_TUNED) for name in rows["model"]],
        pretraining=kinds.CLIP_DATA["openai"],
        size=224,
        source="model-soups",
        duplicate_of="",
    )
    return atlas, tuned[["model", *tuned.columns[1:7], "minival", "imagenet", *SHIFTS]]


def tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the atlas and the fine-tunings from the files in the folders of the sources."""
    bed = test_bed(folder / FOLDERS["test bed"])
    mixed, tuned = soups(folder / "model-soups")
    parts = [
        bed,
        open_clip(folder / "open_clip"),
        timm(folder / "timm", dict(zip(bed["model"], bed["kind"], strict=True))),
        mixed,
    ]
    table = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    empty = table[list(ACCURACIES)].isna().all(axis=1)
    return table[~empty], tuned


def write(table: pd.DataFrame, tuned: pd.DataFrame, folder: Path = DATA) -> None:
    """Write both tables; accuracies in percent."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "models.csv", index=False, float_format="%.6g", lineterminator="\n")
    tuned.to_csv(folder / "finetunings.csv", index=False, float_format="%.6g", lineterminator="\n")


def run(root: Path) -> None:
    """Download what is missing, check everything, and write the tables and the page."""
    for remote in remotes():
        fetching.get(remote, root)
        check(remote, root / remote.goes_to)
    table, tuned = tables(root / "atlas")
    write(table, tuned)
    print(f"{len(table)} models, {(DATA / 'models.csv').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(fetching.main(__doc__.partition("\n")[0], run))
