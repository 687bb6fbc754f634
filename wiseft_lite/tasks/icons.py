"""IconShift and the IconTasks: lossless sheets of 48 x 48 tiles, and an index of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.tasks.types import Split, Task

DATA = Path(__file__).resolve().parents[1] / "assets" / "data"
TILE, COLUMNS = 48, 32


class Tiles(Sequence):
    """The first ``n`` tiles of a sheet, row by row; the sheet is decoded once, at first use."""

    def __init__(self, path: Path, n: int):
        self.path, self.n = path, n

    def __len__(self) -> int:
        return self.n

    def content(self) -> str:
        """Identify the images by the hash of the sheet's file."""
        return f"{self.n} tiles of {file_sha256(self.path)}"

    @cached_property
    def sheet(self) -> Image.Image:
        """The decoded sheet.

        Raises:
            UserError: it cannot be decoded, or has another size.
        """
        try:
            sheet = Image.open(self.path).convert("RGB")
        except Exception as error:
            raise UserError(
                f"{self.path} cannot be decoded ({error}); install the package again"
            ) from error
        rows = -(-self.n // COLUMNS)
        if sheet.size != (COLUMNS * TILE, rows * TILE):
            raise UserError(
                f"{self.path} is {sheet.size[0]} x {sheet.size[1]} pixels, but {self.n} tiles "
                f"need {COLUMNS * TILE} x {rows * TILE}; install the package again"
            )
        return sheet

    def __getitem__(self, index: int) -> Image.Image:
        if not -self.n <= index < self.n:
            raise IndexError(index)
        row, column = divmod(index % self.n, COLUMNS)
        return self.sheet.crop((column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE))


def names(data: Path = DATA) -> list[str]:
    """Return the names of the tasks in the folder, IconShift first."""
    found = sorted(path.parent.name for path in data.glob("*/task.json"))
    return sorted(found, key=lambda name: name != "iconshift")


def load(name: str, data: Path = DATA) -> Task:
    """Read one task; images are decoded when accessed.

    Raises:
        UserError: unknown name, or damaged files.
    """
    if name not in names(data):
        raise unknown("task", name, names(data))
    try:
        return _read(data / name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{data / name} is damaged ({type(error).__name__}: {error}); install the package again"
        ) from error


def _read(folder: Path) -> Task:
    """Read the task of a folder.

    ``own_classes_only`` in its ``task.json`` lists the splits whose predictions are restricted to
    the classes that they contain. This is part of the benchmark's definition, and holds for
    IconShift's shifts only.
    """
    card = json.loads((folder / "task.json").read_text())
    index = pd.read_csv(folder / "index.csv", keep_default_na=False, dtype=str)
    number = {label: k for k, label in enumerate(card["class_names"])}
    strange = sorted(set(index["class"]) - set(number))
    if strange:
        raise UserError(
            f"{folder / 'index.csv'}: class {strange[0]!r} is not among the class names "
            "of task.json; correct one of the two"
        )

    def split(part: str) -> Split:
        labels = torch.tensor([number[c] for c in index.loc[index["split"] == part, "class"]])
        classes = tuple(labels.unique().tolist()) if part in card["own_classes_only"] else None
        return Split(part, Tiles(folder / f"{part}.webp", len(labels)), labels, classes)

    return Task(
        card["name"],
        tuple(card["class_names"]),
        tuple(card["templates"]),
        split("train"),
        split("val"),
        split("test"),
        {s: split(s) for s in card["shifts"]},
    )


def provenance(name: str, data: Path = DATA) -> pd.DataFrame:
    """Return a row per image: split, class, set, icon, title, family, author, licence, url."""
    if name not in names(data):
        raise unknown("task", name, names(data))
    index = pd.read_csv(data / name / "index.csv", keep_default_na=False, dtype=str)
    sets = pd.read_csv(data / "sets.csv", keep_default_na=False, dtype=str)
    return index.merge(sets, on="set", how="left", validate="many_to_one")
