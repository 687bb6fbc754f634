"""Classification tasks: images, labels, class names and prompts, and the shifts to test on.

``types`` defines ``Split`` and ``Task``; ``own`` reads your images, ``published`` the data sets of
the paper.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from wiseft_lite.errors import unknown
from wiseft_lite.tasks.types import Split, Task

__all__ = ["Split", "Task", "load_task", "task_names"]


def task_names() -> list[str]:
    """Return the names of the tasks that ship with the package, IconShift first."""
    from wiseft_lite.tasks import icons

    return icons.names()


def load_task(name: str | Path, data: str | Path | None = None) -> Task:
    """Return a task by its name, or one of your own images by its path.

    Args:
        name: one of ``task_names()``; a folder or a ``.csv`` file of your own (see
            ``own.folder_task`` and ``own.csv_task``); or a data set of
            ``published.catalogue.FAMILIES``. Where a folder has the name of a data set, write
            ``"./flags"`` or give a ``Path`` to get the folder.
        data: folder of the downloaded data sets (default: ``WISEFT_DATA``, else ``~/data``).

    Raises:
        UserError: unknown name, missing or damaged files.

    Example:
        >>> task = load_task("iconshift")
        >>> len(task.class_names), len(task.shifts)
        (122, 7)
    """
    from wiseft_lite.tasks import icons, own
    from wiseft_lite.tasks.published import catalogue

    known = [*icons.names(), *catalogue.FAMILIES]
    if own.is_own(name, known):
        return own.build(own.read(name))
    if name not in known:
        raise unknown("task", name, [*known, "a folder", "a .csv file"])
    if Path(name).is_dir():
        warnings.warn(
            f"--task {name} loads the data set {name}, not the folder {name} in the working directory; "
            f"write ./{name} for the folder",
            stacklevel=2,
        )
    if name in icons.names():
        return icons.load(name)
    return catalogue.FAMILIES[name].load(catalogue.data_folder(data))
