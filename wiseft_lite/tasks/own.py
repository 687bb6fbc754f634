"""Your own images: a folder of folders, or a table of files, as a task with shifts and a validation
split.

``read`` finds what is there and lists every problem; ``build`` makes the task of it. ``wiseft-lite
doctor --task`` shows what ``read`` found, so what is checked is what is used.
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
}  # what systems put beside files; others begin with a dot


class Row(NamedTuple):
    """One image."""

    split: str
    label: str
    path: str


@dataclass(frozen=True)
class Found:
    """What a folder or a table of images holds.

    Args:
        source: the folder or the table.
        name: of the task.
        rows: one for each image.
        names: what prompts call each class, in the order of the classes.
        templates: prompts with ``{}``.
        problems: what keeps it from being a task, each in one line.
    """

    source: Path
    name: str
    rows: tuple[Row, ...]
    names: dict[str, str]
    templates: tuple[str, ...]
    problems: tuple[str, ...] = field(default=())

    def splits(self) -> dict[str, list[Row]]:
        """The rows of each split."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.split, []).append(row)
        return found


def split_name(text: str) -> str:
    """The name of a split as it is used: clean, and ``train``, ``val`` and ``test`` in lower case.

    Example:
        >>> split_name("Train "), split_name("Night")
        ('train', 'Night')
    """
    name = clean(text)
    return name.lower() if name.lower() in PARTS else name


def is_own(name: str | Path, known: Sequence[str]) -> bool:
    """Whether this names a folder or a table of images, and not one of the ``known`` tasks.

    It does if it is a ``Path``, has a slash, ends in .csv, or is there under a name that no task
    has.
    """
    written_as_path = isinstance(name, Path) or "/" in name or os.sep in name
    return (
        written_as_path
        or name not in known
        and (Path(name).suffix.lower() in TABLES or os.path.exists(name))
    )


def _entries(folder: Path | str) -> list[os.DirEntry]:
    """What is in a folder, by name; hidden entries and those of the system are left out."""
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
    """Whether an entry is a folder or a link to one; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _folders(folder: Path, rename: Callable[[str], str], problems: list[str]) -> dict[str, Path]:
    """The folders in a folder by the names that are used; two of the same name are a problem."""
    found: dict[str, Path] = {}
    for entry in _entries(folder):
        if not _is_folder(entry):
            continue
        name = rename(entry.name)
        if name in found:
            problems.append(
                f"{folder} has two folders for {name!r}, {found[name].name!r} and {entry.name!r}; names "
                "that differ only in blanks around them, in the form of an accent, or in the case of train, val "
                "and test are the same: move the files of one into the other"
            )
        else:
            found[name] = Path(entry.path)
    return found


def _files(folder: Path | str, above: tuple[str, ...] = ()) -> list[str]:
    """Every file in a folder and below it, linked folders included."""
    here = os.path.realpath(folder)
    if any(Path(here) in (Path(place), *Path(place).parents) for place in above):
        raise UserError(f"{folder} is a link to {here}, a folder that holds the link; remove it")
    files = []
    for entry in _entries(folder):
        if _is_folder(entry):
            files += _files(entry.path, (*above, here))
        elif (
            entry.is_symlink() or entry.is_file()
        ):  # a link to nothing is reported later; a pipe is no file
            files.append(entry.path)
    return files


def _endings() -> set[str]:
    """The endings of what Pillow can open; it also lists those that it can only write, such as
    .pdf."""
    Image.init()
    return {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def _plural(paths: Sequence[str], one: str, many: str) -> str:
    return f"1 {one}" if len(paths) == 1 else f"{len(paths)} {many}"


def _class_folders(folder: Path, problems: list[str]) -> dict[str, list[str]]:
    """The image files of each class folder of a split, by the class's name; what is left out is
    said as a warning."""
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
                f"class {name!r} in {folder} has no images; fill its folder or remove it"
            )
    if not found:
        problems.append(
            f"{folder} holds no class folders; put each image into a folder named after its class"
        )
    loose = images([entry.path for entry in _entries(folder) if not _is_folder(entry)])
    if loose:
        warnings.warn(
            f"{_plural(loose, 'image lies', 'images lie')} in no class folder, such as {loose[0]}; what "
            "should count must be in the folder of its class",
            stacklevel=2,
        )
    if others:
        warnings.warn(
            f"{_plural(others, 'file', 'files')} in {folder} {'is' if len(others) == 1 else 'are'} left out, "
            f"such as {others[0]}: no type that Pillow reads; convert to JPEG or PNG what should count",
            stacklevel=2,
        )
    return found


def class_folders(folder: Path) -> dict[str, list[str]]:
    """The image files of each class folder in order, hidden files left out.

    Raises:
        UserError: the folder is missing, has no folders, or a class without images.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder; it should hold one folder of images for each class"
        )
    problems: list[str] = []
    found = _class_folders(folder, problems)
    if problems:
        raise UserError(problems[0])
    return found


def _names(path: Path, folders: Sequence[str], problems: list[str]) -> dict[str, str]:
    """What prompts call each class folder: the lines of ``classes.csv`` (folder,name), or the
    folder's own name."""
    if not path.exists():
        return {folder: folder.replace("_", " ") for folder in folders}
    names: dict[str, str] = {}
    for line, row in read_table(path, ("folder", "name")):
        folder = clean(row["folder"])
        if folder in names:
            problems.append(
                f"{path}, line {line}: folder {folder!r} is listed twice; remove one of the two lines"
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
            f"{path} holds no prompt; write one per line, with {{}} for the class name, or remove the file"
        )
    return tuple(templates)


def _read_folder(path: Path, templates: Sequence[str] | None) -> Found:
    problems: list[str] = []
    parts = _folders(path, split_name, problems)
    missing = [part for part in ("train", "test") if part not in parts]
    if missing:
        raise UserError(
            f"{path} has no folder {missing[0]!r} (it holds {', '.join(parts) or 'none'}); "
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
    """The path of a file as the disk has it, perhaps with accents in another Unicode form; None if
    it is not there."""
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
    """The problems of what was found that concern splits and classes."""
    problems, splits = [], found.splits()
    if len(found.names) < 2:
        problems.append(
            f"task {found.name!r} has {len(found.names)} class; a classifier needs at least two"
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
    """Find the images of a folder or a table, and every problem with their names, classes and
    splits.

    No image is opened.

    Raises:
        UserError: nothing can be found: no such folder, no ``train``, a table without its columns.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path):  # unlike Path's own, false for a name that is too long
        found = _read_folder(path, templates)
    elif path.suffix.lower() in TABLES:
        found = _read_table(path, templates)
    elif os.path.exists(path):
        raise UserError(
            f"{path} is neither a folder nor a table ({' or '.join(TABLES)}); give a folder that holds "
            f"train and test, or a table with the columns {','.join(COLUMNS)}"
        )
    else:
        raise UserError(f"{path} is no folder; give a folder that holds train and test")
    for name in found.splits():
        meant = NEARLY.get(name.lower())
        if meant and meant not in found.splits():
            warnings.warn(
                f"{found.source}: the split {name!r} is reported as a shift; name it {meant!r} if it is no "
                "shift",
                stacklevel=2,
            )
    return replace(found, problems=(*found.problems, *_checked(found)))


def unreadable(paths: Sequence[str]) -> dict[str, str]:
    """The files whose header or end shows that they cannot be decoded, each with the reason; see
    ``check_header``.

    100,000 JPEG files of 500 x 375 pixels take 6 seconds of one CPU core, decoding them 3 minutes;
    a slow disk adds its own time.
    """
    reasons = {}
    for path in tqdm(paths, desc="checking image files", delay=2, leave=False, disable=None):
        try:
            check_header(path)
        except UserError as error:
            reasons[path] = str(error)
    return reasons


def assemble(found: Found, val_share: float = 0.1, seed: int = 0) -> Task:
    """A task of what ``read`` found; no file is opened.

    Raises:
        UserError: the first problem, and how many more there are; class names or prompts that are
            no task's.
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
    return task if "val" in splits else task.held_out(val_share, seed)


def build(found: Found, val_share: float = 0.1, seed: int = 0) -> Task:
    """A task of what ``read`` found, when every file has passed ``unreadable``.

    Raises:
        UserError: as ``assemble``; the first file that cannot be read, and how many more there are.
    """
    task = assemble(found, val_share, seed)
    _stop(found, tuple(unreadable([row.path for row in found.rows]).values()))
    return task


def _stop(found: Found, problems: Sequence[str]) -> None:
    """Raise the first problem, if there is one, and say how many more there are."""
    if problems:
        more = f" ({len(problems) - 1} more; wiseft-lite doctor --task {found.source} lists all)"
        raise UserError(problems[0] + (more if len(problems) > 1 else ""))


def folder_task(
    path: str | Path,
    *,
    templates: Sequence[str] | None = None,
    val_share: float = 0.1,
    seed: int = 0,
) -> Task:
    """Return a task of your own images, one folder for each split and in it one for each class.

    ``path/train/cat/1.jpg``, ``path/test/cat/2.jpg``, and any other folder is a shift:
    ``path/night/cat/3.jpg``. If there is no ``val``, a fraction of each class of ``train`` is held
    out. Two files in ``path`` may refine it: ``classes.csv`` (columns ``folder,name``) gives the
    words for the prompts and the order of the classes, and ``prompts.txt`` one prompt per line with
    ``{}`` for the name.

    Names count without blanks around them and with accents in one Unicode form; ``Train``, ``VAL``
    and ``Test`` are train, val and test. Folders in a class folder belong to the class, links to
    folders too. Hidden files and folders and those that systems add, such as ``@eaDir``, are left
    out. Every file is checked, see ``unreadable``.

    Args:
        path: the folder.
        templates: prompts with ``{}``; those of ``prompts.txt``, or four plain ones, if not given.
        val_share: how much of each class is held out, in 0..1.
        seed: of that draw.

    Raises:
        UserError: a missing or empty folder, fewer than two classes, a name that occurs twice, a
            class of a shift that ``train`` does not have, an image that cannot be read.
    """
    if not os.path.isdir(os.path.expanduser(path)):
        raise UserError(f"{path} is no folder; give a folder that holds train and test")
    return build(read(path, templates), val_share, seed)


def csv_task(
    path: str | Path,
    *,
    templates: Sequence[str] | None = None,
    val_share: float = 0.1,
    seed: int = 0,
) -> Task:
    """Return a task of your own images from a table with the columns ``path,class,split``.

    ``split`` is train, val, test or the name of a shift; paths are relative to the table. Class
    names are those of ``class``, in alphabetical order. If there is no ``val``, a fraction of each
    class of ``train`` is held out. The separator may be a comma, a semicolon or a tab, the encoding
    UTF-8 or UTF-16; see ``textfiles.read_table``.

    Args:
        path: the table, a ``.csv`` or ``.tsv`` file.
        templates: prompts with ``{}``; four plain ones if not given.
        val_share: how much of each class is held out, in 0..1.
        seed: of that draw.

    Raises:
        UserError: as ``folder_task``; a missing column, cell or file.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path) or path.suffix.lower() not in TABLES:
        raise UserError(
            f"{path} is no table; give a {' or '.join(TABLES)} file with the columns {','.join(COLUMNS)}"
        )
    return build(read(path, templates), val_share, seed)
