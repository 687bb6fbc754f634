"""Classification tasks: images, labels, class names and prompts, and the shifts they are tested
on."""

from __future__ import annotations

import warnings
from pathlib import Path

from wiseft_lite.errors import unknown
from wiseft_lite.tasks.types import Split, Task

__all__ = ["Split", "Task", "load_task", "task_names"]


def task_names() -> list[str]:
    """The tasks that ship with the package, IconShift first."""
    from wiseft_lite.tasks import icons

    return icons.names()


def load_task(name: str | Path, data: str | Path | None = None) -> Task:
    """Return a task by its name, or one of your own images by its path.

    Args:
        name: one of ``task_names()``; a folder or a ``.csv`` file of your own (see ``folder_task``
            and ``csv_task``); or a data set of ``catalogue.FAMILIES``. A folder with the name of a
            data set is meant by ``"./flags"`` or by a ``Path``.
        data: where downloaded data sets are; ``WISEFT_DATA``, or ``~/data``, if not given.

    Raises:
        UserError: an unknown name, missing or damaged files.

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
            f"--task {name} is the data set of that name, not the folder {name} in the working directory; "
            f"write ./{name} for the folder",
            stacklevel=2,
        )
    return (
        icons.load(name)
        if name in icons.names()
        else catalogue.FAMILIES[name].load(catalogue.data_folder(data))
    )
