"""Atomic output: a file or a folder appears complete or not at all, and is checked before any work.

``check_file`` and ``check_folder`` do all that ``new_file`` and ``new_folder`` do, except for the
last step, moving the result into place. What they accept can be written later, if the disk has
room.
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

MARKERS = ("card.json", "open_clip_config.json")  # files that identify a checkpoint, an export
RUN = re.compile(  # everything that a run's folder may hold
    r"zero-shot|probe|end-to-end|results\.jsonl|(frontier|alpha-.+)\.(png|svg|pdf)|\..*"
)


@contextmanager
def new_folder(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to write into, which replaces ``folder`` atomically at the end.

    Args:
        folder: where the result goes; it must not exist, or be empty, unless ``overwrite``. A link
            stays a link: its target is written.
        overwrite: replace an existing folder, if it is a result of this library.

    Raises:
        UserError: the folder exists, is not a result of this library, or cannot be written.
    """
    with _room(_folder_to_write, folder, overwrite) as (target, room):
        part = room / "new"
        part.mkdir()
        yield part
        _put(part, target, room)


@contextmanager
def new_file(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path with the suffix of ``path``, which replaces it atomically at the end.

    Args:
        path: where the result goes; it must not exist unless ``overwrite``. A link stays a link.
        overwrite: replace an existing file.

    Raises:
        UserError: the file exists, is not a regular file, or cannot be written.
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
    """Return the real path of a folder that may be written or replaced."""
    target = _real(folder)
    if not target.exists():
        return target
    if not target.is_dir():
        raise UserError(f"{folder} is a file, not a folder; choose another --out")
    if os.path.ismount(target):
        raise UserError(
            f"{folder} is a mount point and cannot be replaced; choose a folder inside it"
        )
    if any(target.iterdir()):
        if not overwrite:
            raise UserError(f"{folder} exists; choose another --out or pass --overwrite")
        if not _is_result(target):
            raise UserError(
                f"{folder} is not a checkpoint and is not overwritten; choose another --out"
            )
    return target


def _is_result(folder: Path) -> bool:
    """Return whether a folder was written by this library, so that it may be replaced."""
    if any((folder / marker).exists() for marker in MARKERS):
        return True
    return (folder / "zero-shot" / "card.json").exists() and all(
        RUN.fullmatch(entry.name) for entry in folder.iterdir()
    )


def _file_to_write(path: str | Path, overwrite: bool) -> Path:
    """Return the real path of a file that may be written or replaced."""
    target = _real(path)
    if target.is_dir():
        raise UserError(f"{path} is a folder, not a file; choose another --out")
    if target.exists():
        if not overwrite:
            raise UserError(f"{path} exists; choose another --out or pass --overwrite")
        if not target.is_file():
            raise UserError(
                f"{path} is not a regular file and is not overwritten; choose another --out"
            )
    return target


def _real(path: str | Path) -> Path:
    """Resolve the links of a path, and refuse one that no result may replace."""
    path, target, here = Path(path), Path(os.path.realpath(path)), Path.cwd()
    str(target).encode()  # safetensors can neither write nor read a path that is not UTF-8
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():  # for example to a disk that is not mounted
            raise UserError(f"{place} is a broken link; remove it, or choose another --out")
    if target in (here, *here.parents):
        raise UserError(
            f"{str(path)!r} is the working folder or one of its parents; choose a new folder"
        )
    return target


@contextmanager
def _room(find: Callable[..., Path], path: str | Path, *how: object) -> Iterator[tuple[Path, Path]]:
    """Yield the target that ``find`` allows and a temporary folder beside it, removed at the end.

    Missing parents of the target are created; those that stay empty are removed too.
    """
    from safetensors import SafetensorError

    try:
        target = find(path, *how)
        missing = [parent for parent in target.parents if not parent.exists()]
    except UserError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or not UTF-8
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
            with suppress(OSError):  # a folder that is not empty stays
                parent.rmdir()


def _failed(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")


def _put(part: Path, target: Path, room: Path) -> None:
    """Move the result into place; an existing folder is moved aside, and back if that fails."""
    old = room / "old"
    if target.is_dir():
        os.replace(target, old)
    try:
        os.replace(part, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
