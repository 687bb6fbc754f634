"""A cache on disk, addressed by content, in which one process at a time works on an entry."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest
from wiseft_lite.errors import UserError


def cache_folder() -> Path:
    """Return the cache's folder: ``WISEFT_CACHE``, or ``wiseft_lite`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WISEFT_CACHE") or Path(base) / "wiseft_lite")


def _lock_file(path: Path) -> Path:
    """Return the path of an entry's lock: beside it, or in a temporary folder on disks without locks.

    On such a disk, for example a mounted cloud folder, a lock would be a file that outlives a
    machine that crashed, and every later process would wait for it for ever.
    """
    if os.name == "nt":  # Windows has no fcntl; filelock locks files in another way there
        return Path(f"{path}.lock")
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return Path(tempfile.gettempdir()) / f"wiseft-{os.getuid()}-{digest(str(path))}.lock"
    finally:
        os.close(folder)
    return Path(f"{path}.lock")


@contextmanager
def entry(name: str) -> Iterator[Path]:
    """Lock an entry and yield its path, which may not exist yet.

    Of the processes of one launch (see ``distributed``) only the main one takes the lock, since all
    of them work on the entry together; the others wait until it has the lock.

    Args:
        name: of the entry: what it holds, and the ``digest`` of all that it depends on.

    Raises:
        UserError: the cache folder cannot be written.
    """
    path = cache_folder() / name
    if not distributed.is_main():
        distributed.all_true(True)
        yield path
        return
    with locked(path):
        distributed.all_true(True)
        yield path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder in the cache; another process that wants it waits.

    Raises:
        UserError: the cache folder cannot be written.
    """
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_file(path))
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror}); "
            "set WISEFT_CACHE to a folder of your own"
        ) from error
    try:
        yield
    finally:
        lock.release()
