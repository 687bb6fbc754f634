"""Where a result goes: a file or a folder that appears whole or not at all, and the check of its
place before any work.

``check_file`` and ``check_folder`` do all that ``new_file`` and ``new_folder`` do, except that
nothing is put into place. What they accept can be written at the end, as long as the disk has room.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wiseft_lite.errors import UserError

MARKS = ("card.json", "open_clip_config.json")  # of a checkpoint, an export
RUN = re.compile(
    r"zero-shot|probe|end-to-end|results\.jsonl|(frontier|alpha-.+)\.(png|svg|pdf)|\..*"
)  # all that a run holds


@contextmanager
def new_folder(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to write into, which takes the place of ``folder`` at the end, whole or
    not at all.

    Args:
        folder: where the result goes; it must not exist, or be empty, unless ``overwrite``. A link
            stays a link: what it points at is written.
        overwrite: replace what is there, if it is a result of this library.

    Raises:
        UserError: the folder exists, is another's, or cannot be written.
    """
    with _room(_folder_to_write, folder, overwrite) as (target, room):
        part = room / "new"
        part.mkdir()
        yield part
        _put(part, target, room)


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give the path of a file to write, with the ending of ``path``, which it replaces at the end,
    whole or not at all.

    Args:
        path: where the result goes; it must not exist unless ``overwrite``. A link stays a link.
        overwrite: replace the file that is there.

    Raises:
        UserError: the file exists, is no regular file, or cannot be written.
    """
    with _room(_file_to_write, path, overwrite) as (target, room):
        part = room / f"new{target.suffix}"
        yield part
        _put(part, target, room)


def check_folder(folder: str | Path, overwrite: bool = False) -> None:
    """Raise what ``new_folder`` would raise; nothing is left behind."""
    with _room(_folder_to_write, folder, overwrite):
        pass


def check_file(path: str | Path, overwrite: bool = False) -> None:
    """Raise what ``new_file`` would raise; nothing is left behind."""
    with _room(_file_to_write, path, overwrite):
        pass


def _folder_to_write(folder: str | Path, overwrite: bool) -> Path:
    """The real path of a folder that may be written or replaced."""
    target = _real(folder)
    if not target.exists():
        return target
    if not target.is_dir():
        raise UserError(f"{folder} is a file, and a folder is to be written; choose another --out")
    if os.path.ismount(target):
        raise UserError(
            f"{folder} is where a disk is mounted and cannot be replaced; choose a folder in it"
        )
    if any(target.iterdir()):
        if not overwrite:
            raise UserError(f"{folder} exists; choose another --out or pass --overwrite")
        if not _is_result(target):
            raise UserError(f"{folder} is no checkpoint and is left alone; choose another --out")
    return target


def _is_result(folder: Path) -> bool:
    """Whether all of a folder was written by a command of this library, so that it may be
    replaced."""
    if any((folder / mark).exists() for mark in MARKS):
        return True
    return (folder / "zero-shot" / "card.json").exists() and all(
        RUN.fullmatch(entry.name) for entry in folder.iterdir()
    )


def _file_to_write(path: str | Path, overwrite: bool) -> Path:
    """The real path of a file that may be written or replaced."""
    target = _real(path)
    if target.is_dir():
        raise UserError(f"{path} is a folder, and a file is to be written; choose another --out")
    if target.exists():
        if not overwrite:
            raise UserError(f"{path} exists; choose another --out or pass --overwrite")
        if not target.is_file():
            raise UserError(f"{path} is no regular file and is left alone; choose another --out")
    return target


def _real(path: str | Path) -> Path:
    """A path without links, if a result may be put there."""
    path, target, here = Path(path), Path(os.path.realpath(path)), Path.cwd()
    str(target).encode()  # safetensors can neither write nor read a path that is no UTF-8
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():  # such as one to a disk that is not mounted
            raise UserError(f"{place} is a link to nothing; remove it, or choose another --out")
    if target in (here, *here.parents):
        raise UserError(
            f"{str(path)!r} is the folder that you are in, or one that holds it; give the result a name"
        )
    return target


@contextmanager
def _room(find: Callable[..., Path], path: str | Path, *how: object) -> Iterator[tuple[Path, Path]]:
    """The target that ``find`` allows, and an empty folder beside it, which is gone at the end.

    Parents of the target are made; those that stay empty are gone at the end as well.
    """
    from safetensors import SafetensorError

    try:
        target = find(path, *how)
        missing = [parent for parent in target.parents if not parent.exists()]
    except UserError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name, or no UTF-8
        raise _failed(path, error) from error
    room = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield target, room
    except (OSError, SafetensorError) as error:
        raise _failed(path, error) from error
    finally:
        if room is not None:
            shutil.rmtree(room, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):  # one that is not empty stays
                parent.rmdir()


def _failed(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")


def _put(part: Path, target: Path, room: Path) -> None:
    """Move what was written into place; a folder that is there is moved aside first, and back if
    that fails."""
    old = room / "old"
    if target.is_dir():
        os.replace(target, old)
    try:
        os.replace(part, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
