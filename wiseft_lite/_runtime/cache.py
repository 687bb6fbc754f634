"""One place on a machine for what is kept by content, and one process at a time in each of its
entries."""

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
    """Where models and features are kept: ``WISEFT_CACHE``, or ``wiseft_lite`` in the user's cache
    folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("WISEFT_CACHE") or Path(base) / "wiseft_lite")


def _lock_file(path: Path) -> Path:
    """Where the lock of an entry lies: beside it, or in this machine's temporary folder if that
    disk knows no locks.

    On such a disk, as a mounted cloud folder may be, a lock would be a file that outlives a lost
    machine, and the next one would wait for it for ever.
    """
    if os.name == "nt":  # without fcntl; filelock has its own way there
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
    """Give the path of an entry, which may not be there yet, while no other program has it.

    Of the processes of one launch (see ``distributed``) only the main one holds the lock: they work
    on the entry together, and would wait for each other if each wanted it for itself. None looks
    before the lock is had.

    Args:
        name: what it holds and the ``digest`` of all that it depends on.

    Raises:
        UserError: the cache folder cannot be written.
    """
    from filelock import FileLock

    path = cache_folder() / name
    if not distributed.is_main():
        distributed.all_true(True)
        yield path
        return
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
        distributed.all_true(True)
        yield path
    finally:
        lock.release()
