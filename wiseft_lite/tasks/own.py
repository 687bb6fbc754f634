"""Your own images as a task: a folder of class folders, or a table of files.

``read`` lists the images and every problem; ``build`` makes the task. ``wiseft-lite doctor --task``
reports what ``read`` lists, so it checks exactly what a run would use.
"""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from tqdm import tqdm

from wiseft_lite._runtime.textfiles import clean, read_lines, read_table
from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Files, check_header
from wiseft_lite.tasks.types import Split, Task

TEMPLATES = ("a photo of a {}.", "a photo of the {}.", "a picture of a {}.", "an image of a {}.")
PARTS = ("train", "val", "test")
NEARLY = {"validation": "val", "valid": "val", "dev": "val", "training": "train", "testing": "test"}
TABLES = (".csv", ".tsv")
COLUMNS = ("path", "class", "split")
SERVICE = {
    "@eadir",
    "@tmp",
    "@recycle",
    "#recycle",
    "#snapshot",
    "__macosx",
    "__pycache__",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}  # folders that systems create; others begin with a dot


class Row(NamedTuple):
    """One image."""

    split: str
    label: str
    path: str


@dataclass(frozen=True)
class Found:
    """The content of a folder or a table of images.

    Args:
        source: the folder or the table.
        name: of the task.
        rows: one per image.
        names: class to its name in prompts, in the order of the classes.
        templates: prompts with ``{}``.
        problems: what prevents a task, one line each.
    """

    source: Path
    name: str
    rows: tuple[Row, ...]
    names: dict[str, str]
    templates: tuple[str, ...]
    problems: tuple[str, ...] = field(default=())

    def splits(self) -> dict[str, list[Row]]:
        """Return the rows of each split."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.split, []).append(row)
        return found


def split_name(text: str) -> str:
    """Clean the name of a split, and write ``train``, ``val`` and ``test`` in lower case.

    Example:
        >>> split_name("Train "), split_name("Night")
        ('train', 'Night')
    """
    name = clean(text)
    return name.lower() if name.lower() in PARTS else name


def is_own(name: str | Path, known: Sequence[str]) -> bool:
    """Whether ``name`` is a folder or a table of images, and not one of the ``known`` tasks.

    It is if it is a ``Path``, has a slash, or is no known task and ends in .csv or exists.
    """
    written_as_path = isinstance(name, Path) or "/" in name or os.sep in name
    return (
        written_as_path
        or name not in known
        and (Path(name).suffix.lower() in TABLES or os.path.exists(name))
    )


def _entries(folder: Path | str) -> list[os.DirEntry]:
    """List a folder by name, without hidden entries and those of the system."""
    try:
        found = list(os.scandir(folder))
    except OSError as error:
        raise UserError(
            f"{folder} cannot be read ({error.strerror}); check its permissions"
        ) from error
    return sorted(
        (e for e in found if not e.name.startswith(".") and e.name.strip().lower() not in SERVICE),
        key=lambda entry: entry.name,
    )


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a circular link is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _folders(folder: Path, rename: Callable[[str], str], problems: list[str]) -> dict[str, Path]:
    """Map cleaned names to the folders in a folder; two folders of one name are a problem."""
    found: dict[str, Path] = {}
    for entry in _entries(folder):
        if not _is_folder(entry):
            continue
        name = rename(entry.name)
        if name in found:
            problems.append(
                f"{folder} has two folders for {name!r}, {found[name].name!r} and {entry.name!r} (outer "
                "blanks, Unicode forms of accents, and the case of train, val and test do not "
                "distinguish names); move the files of one into the other"
            )
        else:
            found[name] = Path(entry.path)
    return found


def _files(folder: Path | str, above: tuple[str, ...] = ()) -> list[str]:
    """List every file in a folder and below it, linked folders included."""
    here = os.path.realpath(folder)
    if any(Path(here) in (Path(place), *Path(place).parents) for place in above):
        raise UserError(f"{folder} is a link to {here}, a folder that holds the link; remove it")
    files = []
    for entry in _entries(folder):
        if _is_folder(entry):
            files += _files(entry.path, (*above, here))
        elif entry.is_symlink() or entry.is_file():  # not a pipe; a broken link is reported later
            files.append(entry.path)
    return files


def _endings() -> set[str]:
    """Return the file endings that Pillow can read; those of write-only formats, as .pdf, not."""
    Image.init()
    return {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def _plural(paths: Sequence[str], one: str, many: str) -> str:
    return f"1 {one}" if len(paths) == 1 else f"{len(paths)} {many}"


def _class_folders(folder: Path, problems: list[str]) -> dict[str, list[str]]:
    """Map class names to the image files of a split's class folders; warn of files left out."""
    endings, found = _endings(), {}

    def images(files: Sequence[str]) -> list[str]:
        return sorted(file for file in files if os.path.splitext(file)[1].lower() in endings)

    others = []
    for name, place in _folders(folder, clean, problems).items():
        files = _files(place)
        found[name] = images(files)
        others += sorted(set(files) - set(found[name]))
        if not found[name]:
            problems.append(
                f"class {name!r} in {folder} has no images; add some, or remove the folder"
            )
    if not found:
        problems.append(
            f"{folder} has no class folders; put each image into a folder named after its class"
        )
    loose = images([entry.path for entry in _entries(folder) if not _is_folder(entry)])
    if loose:
        warnings.warn(
            f"left out {_plural(loose, 'image', 'images')} outside class folders, such as {loose[0]}; "
            "move each into the folder of its class",
            stacklevel=2,
        )
    if others:
        warnings.warn(
            f"left out {_plural(others, 'file', 'files')} in {folder}, such as {others[0]}: Pillow cannot "
            "read the type; convert images to JPEG or PNG",
            stacklevel=2,
        )
    return found


def class_folders(folder: Path) -> dict[str, list[str]]:
    """Map each class folder, in order, to its image files; hidden files are left out.

    Raises:
        UserError: the folder is missing, has no class folders, or a class has no images.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; it should contain one folder of images per class"
        )
    problems: list[str] = []
    found = _class_folders(folder, problems)
    if problems:
        raise UserError(problems[0])
    return found


def _names(path: Path, folders: Sequence[str], problems: list[str]) -> dict[str, str]:
    """Map each class folder to its name in prompts: from ``classes.csv`` (folder,name), or its own
    name."""
    if not path.exists():
        return {folder: folder.replace("_", " ") for folder in folders}
    names: dict[str, str] = {}
    for line, row in read_table(path, ("folder", "name")):
        folder = clean(row["folder"])
        if folder in names:
            problems.append(
                f"{path}, line {line}: folder {folder!r} is listed twice; remove one line"
            )
        names.setdefault(folder, clean(row["name"]))
    problems += [
        f"{path} has no name for class {folder!r}; add a line {folder},NAME"
        for folder in folders
        if folder not in names
    ]
    return names


def _templates(path: Path, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    if not path.exists():
        return TEMPLATES
    templates = read_lines(path, "a text file, one prompt per line")
    if not templates:
        raise UserError(
            f"{path} has no prompts; write one per line, with {{}} for the class name, or remove the file"
        )
    return tuple(templates)


def _read_folder(path: Path, templates: Sequence[str] | None) -> Found:
    problems: list[str] = []
    parts = _folders(path, split_name, problems)
    missing = [part for part in ("train", "test") if part not in parts]
    if missing:
        raise UserError(
            f"{path} has no folder {missing[0]!r} (it has {', '.join(parts) or 'none'}); "
            "put the images into train and test, and each shift into a folder of its own"
        )
    rows = tuple(
        Row(part, label, file)
        for part, folder in parts.items()
        for label, files in _class_folders(folder, problems).items()
        for file in files
    )
    folders = sorted({row.label for row in rows if row.split == "train"})
    names = _names(path / "classes.csv", folders, problems)
    return Found(
        path,
        clean(path.resolve().name),
        rows,
        names,
        _templates(path / "prompts.txt", templates),
        tuple(problems),
    )


def _existing(path: str) -> str | None:
    """Return the path of a file, perhaps with accents in another Unicode form; None if missing."""
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in forms if os.path.isfile(form)), None)


def _read_table(path: Path, templates: Sequence[str] | None) -> Found:
    rows, problems = [], []
    for line, row in read_table(path, COLUMNS):
        file = str(path.parent / row["path"])
        found = _existing(file)
        if found is None:
            slash = ", with / between folders" if "\\" in row["path"] else ""
            what = "is a folder" if os.path.isdir(file) else "does not exist"
            problems.append(
                f"{path}, line {line}: {file} {what}; "
                f"correct the path (relative to the table{slash}) or remove the line"
            )
        else:
            rows.append(Row(split_name(row["split"]), clean(row["class"]), found))
    names = {name: name for name in sorted({row.label for row in rows if row.split == "train"})}
    return Found(
        path,
        clean(path.stem),
        tuple(rows),
        names,
        TEMPLATES if templates is None else tuple(templates),
        tuple(problems),
    )


def _checked(found: Found) -> list[str]:
    """List the problems with splits and classes."""
    problems, splits = [], found.splits()
    if len(found.names) < 2:
        problems.append(
            f"task {found.name!r} has {len(found.names)} class; add another: a classifier needs two"
        )
    problems += [
        f"task {found.name!r} has no {part} images; add a split named {part!r}"
        for part in ("train", "test")
        if part not in splits
    ]
    strange = {
        (row.split, row.label): row for row in reversed(found.rows) if row.label not in found.names
    }
    for row in reversed(strange.values()):
        near = [name for name in found.names if name.casefold() == row.label.casefold()]
        problems.append(
            f"{row.path}: class {row.label!r} of split {row.split!r} is not among the classes of train"
            f"{f' (it has {near[0]!r})' if near else ''}; rename it, remove it, or add it to train"
        )
    trained = {row.label for row in splits.get("train", ())}
    problems += [
        f"class {name!r} has no training images; add some, or remove the class"
        for name in found.names
        if name not in trained
    ]
    return problems


def read(path: str | Path, templates: Sequence[str] | None = None) -> Found:
    """List the images of a folder or a table, and every problem with names, classes and splits.

    No image is opened.

    Raises:
        UserError: no such folder, no ``train``, or a table without its columns.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path):  # unlike Path's own, false for a name that is too long
        found = _read_folder(path, templates)
    elif path.suffix.lower() in TABLES:
        found = _read_table(path, templates)
    elif os.path.exists(path):
        raise UserError(
            f"{path} is neither a folder nor a table ({' or '.join(TABLES)}); give a folder with train and "
            f"test, or a table with the columns {','.join(COLUMNS)}"
        )
    else:
        raise UserError(f"{path} is not a folder; give a folder with train and test")
    for name in found.splits():
        meant = NEARLY.get(name.lower())
        if meant and meant not in found.splits():
            warnings.warn(
                f"{found.source}: the split {name!r} is used as a shift; rename it to {meant!r} if it is not "
                "one",
                stacklevel=2,
            )
    return replace(found, problems=(*found.problems, *_checked(found)))


def unreadable(paths: Sequence[str]) -> dict[str, str]:
    """Return the files that fail ``images.check_header``, each with the reason.

    100,000 JPEG files of 500 x 375 pixels take 6 seconds on one CPU core, and decoding them 3
    minutes; a slow disk adds to both.
    """
    reasons = {}
    for path in tqdm(paths, desc="checking image files", delay=2, leave=False, disable=None):
        try:
            check_header(path)
        except UserError as error:
            reasons[path] = str(error)
    return reasons


def assemble(found: Found, val_fraction: float = 0.1, seed: int = 0) -> Task:
    """Make a task of the result of ``read``, without opening a file.

    Raises:
        UserError: the first problem, and the number of others; class names or prompts that ``Task``
            refuses.
    """
    _stop(found, found.problems)
    number = {label: k for k, label in enumerate(found.names)}
    splits = {
        name: Split(
            name,
            Files([row.path for row in rows], upright=True),
            torch.tensor([number[row.label] for row in rows]),
        )
        for name, rows in found.splits().items()
    }
    task = Task(
        found.name,
        tuple(found.names.values()),
        found.templates,
        splits["train"],
        splits.get("val", splits["train"]),
        splits["test"],
        {name: split for name, split in splits.items() if name not in PARTS},
    )
    return task if "val" in splits else task.held_out(val_fraction, seed)


def build(found: Found, val_fraction: float = 0.1, seed: int = 0) -> Task:
    """Make a task of the result of ``read`` after a check of every file; see ``unreadable``.

    Raises:
        UserError: as ``assemble``; the first file that fails the check, and the number of others.
    """
    task = assemble(found, val_fraction, seed)
    _stop(found, tuple(unreadable([row.path for row in found.rows]).values()))
    return task


def _stop(found: Found, problems: Sequence[str]) -> None:
    """Raise the first problem, if there is one, with the number of others."""
    if problems:
        more = f" ({len(problems) - 1} more; wiseft-lite doctor --task {found.source} lists all)"
        raise UserError(problems[0] + (more if len(problems) > 1 else ""))


def folder_task(
    path: str | Path,
    *,
    templates: Sequence[str] | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
) -> Task:
    """Return a task of your own images, one folder for each split and in it one for each class.

    ``path/train/cat/1.jpg``, ``path/test/cat/2.jpg``, and any other folder is a shift:
    ``path/night/cat/3.jpg``. If there is no ``val``, a fraction of each class of ``train`` is held
    out. Two files in ``path`` may refine it: ``classes.csv`` (columns ``folder,name``) gives the
    words for the prompts and the order of the classes, and ``prompts.txt`` one prompt per line with
    ``{}`` for the name.

    Blanks around names are removed and accents written in one Unicode form; ``Train``, ``VAL`` and
    ``Test`` are train, val and test. Folders inside a class folder, and links to folders, belong to
    the class. Hidden files and folders and those that systems add, such as ``@eaDir``, are left
    out. Every file is checked, see ``unreadable``.

    Args:
        path: the folder.
        templates: prompts with ``{}`` (default: those of ``prompts.txt``, or four plain ones).
        val_fraction: of each class to hold out, between 0 and 1.
        seed: of the random generator that holds out.

    Raises:
        UserError: a missing or empty folder, fewer than two classes, a duplicate name, a class of a
            shift that ``train`` does not have, an unreadable image.
    """
    if not os.path.isdir(os.path.expanduser(path)):
        raise UserError(f"{path} is not a folder; give a folder with train and test")
    return build(read(path, templates), val_fraction, seed)


def csv_task(
    path: str | Path,
    *,
    templates: Sequence[str] | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
) -> Task:
    """Return a task of your own images from a table with the columns ``path,class,split``.

    ``split`` is train, val, test or the name of a shift; paths are relative to the table. Class
    names are those of ``class``, in alphabetical order. If there is no ``val``, a fraction of each
    class of ``train`` is held out. The separator may be a comma, a semicolon or a tab, the encoding
    UTF-8 or UTF-16.

    Args:
        path: the table, a ``.csv`` or ``.tsv`` file.
        templates: prompts with ``{}`` (default: four plain ones).
        val_fraction: of each class to hold out, between 0 and 1.
        seed: of the random generator that holds out.

    Raises:
        UserError: as ``folder_task``; or a missing column, cell or file.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path) or path.suffix.lower() not in TABLES:
        raise UserError(
            f"{path} is not a table; give a {' or '.join(TABLES)} file with the columns {','.join(COLUMNS)}"
        )
    return build(read(path, templates), val_fraction, seed)
