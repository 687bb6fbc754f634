"""Your own images: a folder of folders, or a table of files, as a task with shifts and a validation split."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from wiseft_lite.errors import UserError
from wiseft_lite.tasks import Split, Task
from wiseft_lite.tasks.images import Files

TEMPLATES = ("a photo of a {}.", "a photo of the {}.", "a picture of a {}.", "an image of a {}.")
PARTS = ("train", "val", "test")


def _endings() -> set[str]:
    Image.init()
    return set(Image.registered_extensions())


def class_folders(folder: Path) -> dict[str, list[str]]:
    """The image files of each class folder in order, hidden files left out.

    Raises:
        UserError: the folder is missing, has no folders, or a class without images.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; it should hold one folder of images for each class")
    endings, found, others = _endings(), {}, []
    for name in sorted(e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")):
        paths = sorted(os.path.join(place, file) for place, _, files in os.walk(folder / name) for file in files
                       if not file.startswith("."))
        found[name] = [path for path in paths if os.path.splitext(path)[1].lower() in endings]
        others += [path for path in paths if os.path.splitext(path)[1].lower() not in endings]
        if not found[name]:
            raise UserError(f"class {name!r} in {folder} has no images; fill its folder or remove it")
    if not found:
        raise UserError(f"{folder} holds no class folders; put each image into a folder named after its class")
    if others:
        count = "1 file" if len(others) == 1 else f"{len(others)} files"
        warnings.warn(f"{count} in {folder} {'is' if len(others) == 1 else 'are'} left out, such as {others[0]}: no type "
                      "that Pillow reads; convert to JPEG or PNG what should count", stacklevel=2)
    return found


def _names(path: Path, folders: Sequence[str]) -> dict[str, str]:
    """What prompts call each class folder: the lines of ``classes.csv`` (folder,name), or the folder's own name."""
    if not path.exists():
        return {folder: folder.replace("_", " ") for folder in folders}
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != ["folder", "name"]:
        raise UserError(f"{path} has the columns {', '.join(table.columns)}; its first line must be folder,name")
    names = dict(zip(table["folder"], table["name"]))
    missing = [folder for folder in folders if folder not in names]
    if missing:
        raise UserError(f"{path} has no name for class {missing[0]!r}; add a line {missing[0]},NAME")
    return names


def _templates(path: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    if not path.exists():
        return TEMPLATES
    return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _build(name: str, table: pd.DataFrame, names: dict[str, str], templates: tuple[str, ...],
           val_share: float, seed: int) -> Task:
    """A task from one row for each image: ``split, class, path``; class order is that of ``names``."""
    number = {label: k for k, label in enumerate(names)}
    if len(number) < 2:
        raise UserError(f"task {name!r} has {len(number)} class; a classifier needs at least two")
    strange = table[~table["class"].isin(number.keys())]
    if len(strange):
        row = strange.iloc[0]
        raise UserError(f"{row['path']}: class {row['class']!r} of split {row['split']!r} is not among the classes of "
                        "train; rename it, remove it, or add it to train")
    splits = {}
    for split, rows in table.groupby("split", sort=False):
        splits[split] = Split(split, Files(rows["path"].tolist(), upright=True), torch.tensor([number[c] for c in rows["class"]]))
    for part in ("train", "test"):
        if part not in splits:
            raise UserError(f"task {name!r} has no {part} images; add a split named {part!r}")
    empty = sorted(set(range(len(number))) - set(splits["train"].labels.tolist()))
    if empty:
        raise UserError(f"class {list(number)[empty[0]]!r} has no training images; add some, or remove the class")
    task = Task(name, tuple(names.values()), templates, splits["train"], splits.get("val", splits["train"]),
                splits["test"], {split: images for split, images in splits.items() if split not in PARTS})
    return task if "val" in splits else task.held_out(val_share, seed)


def folder_task(path: str | Path, *, templates: Sequence[str] | None = None, val_share: float = 0.1,
                seed: int = 0) -> Task:
    """Return a task of your own images, one folder for each split and in it one for each class.

    ``path/train/cat/1.jpg``, ``path/test/cat/2.jpg``, and any other folder is a shift: ``path/night/cat/3.jpg``.
    If there is no ``val``, a share of each class of ``train`` is held out. Two files in ``path`` may refine it:
    ``classes.csv`` (columns ``folder,name``) gives the words for the prompts and the order of the classes, and
    ``prompts.txt`` one prompt a line with ``{}`` for the name.

    Args:
        path: the folder.
        templates: prompts with ``{}``; those of ``prompts.txt``, or four plain ones, if not given.
        val_share: how much of each class is held out, in 0..1.
        seed: of that draw.

    Raises:
        UserError: a missing or empty folder, fewer than two classes, names that stand twice, a class of a shift
            that ``train`` does not know; when an image is asked for, one that cannot be decoded.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path} is no folder; give a folder that holds train and test")
    parts = sorted(e.name for e in os.scandir(path) if e.is_dir() and not e.name.startswith("."))
    missing = [part for part in ("train", "test") if part not in parts]
    if missing:
        raise UserError(f"{path} has no folder {missing[0]!r} (it holds {', '.join(parts) or 'none'}); "
                        "put the images into train and test, and each shift into a folder of its own")
    table = pd.DataFrame([(part, label, file) for part in parts
                          for label, files in class_folders(path / part).items() for file in files],
                         columns=["split", "class", "path"])
    folders = sorted(table.loc[table["split"] == "train", "class"].unique())
    names = _names(path / "classes.csv", folders)
    return _build(path.resolve().name, table, names, _templates(path / "prompts.txt", templates), val_share, seed)


def csv_task(path: str | Path, *, templates: Sequence[str] | None = None, val_share: float = 0.1,
             seed: int = 0) -> Task:
    """Return a task of your own images from a table with the columns ``path,class,split``.

    ``split`` is train, val, test or the name of a shift; paths are relative to the table. Class names are those
    of ``class``, in alphabetical order. If there is no ``val``, a share of each class of ``train`` is held out.

    Args:
        path: the table, a ``.csv`` file.
        templates: prompts with ``{}``; four plain ones if not given.
        val_share: how much of each class is held out, in 0..1.
        seed: of that draw.

    Raises:
        UserError: as ``folder_task``; a missing column, cell or file.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a table with the columns path,class,split") from None
    except ValueError as error:
        raise UserError(f"{path} is no table ({error}); write it as comma-separated text") from error
    for column in ("path", "class", "split"):
        if column not in table:
            raise UserError(f"{path} has no column {column!r} (it has {', '.join(table.columns)}); add it")
        empty = table.index[table[column].str.strip() == ""]
        if len(empty):
            raise UserError(f"{path}, line {empty[0] + 2}: {column} is empty; fill it or remove the line")
    table["path"] = [str(path.parent / file) for file in table["path"]]
    lost = [i for i, file in enumerate(table["path"]) if not os.path.isfile(file)]
    if lost:
        raise UserError(f"{path}, line {lost[0] + 2}: {table['path'][lost[0]]} does not exist; "
                        "correct the path (relative to the table) or remove the line")
    classes = sorted(table.loc[table["split"] == "train", "class"].unique())
    prompts = TEMPLATES if templates is None else tuple(templates)
    return _build(path.stem, table, {name: name for name in classes}, prompts, val_share, seed)
