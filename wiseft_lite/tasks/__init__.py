"""Classification tasks: images, labels, class names and prompts, and the shifts they are tested on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from wiseft_lite.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images with labels: ``split[i]`` is ``(PIL image, int)``.

    Args:
        name: what tables and figures call it.
        images: a sequence of PIL images, decoded when asked for.
        labels: int64 ``[n]``, indices into the task's class names.
        classes: the classes it is scored on; those present if not given.

    Raises:
        UserError: no images, or not one label for each.
    """

    name: str
    images: Sequence[Image.Image]
    labels: Tensor
    classes: tuple[int, ...] = field(default=())

    def __post_init__(self):
        if len(self.images) == 0:
            raise UserError(f"split {self.name!r} has no images; check the path or leave it out")
        if len(self.images) != len(self.labels):
            raise UserError(f"split {self.name!r} has {len(self.images)} images but "
                            f"{len(self.labels)} labels; give one label each")
        object.__setattr__(self, "labels", torch.as_tensor(self.labels, dtype=torch.int64))
        if not self.classes:
            object.__setattr__(self, "classes", tuple(self.labels.unique().tolist()))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.images[index], int(self.labels[index])

    def content(self) -> str | None:
        """A name that changes when a picture does, if the images' source can tell without decoding them.

        Such a source has a method ``content`` of its own, as ``icons.Tiles`` has: a hash of the bytes on disk.
        """
        return self.images.content() if hasattr(self.images, "content") else None

    def select(self, rows: Sequence[int]) -> Split:
        """The images at these places, in this order, scored on the same classes."""
        rows = [int(i) for i in rows]
        return Split(self.name, [self.images[i] for i in rows], self.labels[rows], self.classes)


def few_shot_rows(labels: Tensor, k: int, seed: int = 0) -> list[int]:
    """The places of ``k`` random images of each class; a smaller class gives all it has.

    A larger ``k`` with the same seed adds images and takes none away.

    Args:
        labels: int64 ``[n]``.
        k: images a class.
        seed: of the draw.

    Raises:
        UserError: ``k`` is not positive.

    Example:
        >>> sorted(few_shot_rows(torch.tensor([0, 1, 1]), k=2))
        [0, 1, 2]
    """
    if k < 1:
        raise UserError(f"{k} images a class is too few; give at least 1")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    taken: Counter[int] = Counter()
    rows = []
    for row, label in zip(order.tolist(), labels[order].tolist()):
        if taken[label] < k:
            taken[label] += 1
            rows.append(row)
    return rows


@dataclass(frozen=True)
class Task:
    """A reference distribution (``train``, ``val``, ``test``) and its named shifts.

    Raises:
        UserError: class names doubled or missing, a template without ``{}``, a label outside the classes.
    """

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    shifts: dict[str, Split]

    def __post_init__(self):
        doubled = [name for name, count in Counter(self.class_names).items() if count > 1]
        if doubled:
            raise UserError(f"task {self.name!r}: class names stand twice: {', '.join(doubled[:3])}; "
                            "rename or merge them")
        if not self.class_names or not all(str(n).strip() for n in self.class_names):
            raise UserError(f"task {self.name!r}: class names are missing; give one for each class")
        wrong = [t for t in self.templates if "{}" not in t]
        if wrong or not self.templates:
            raise UserError(f"task {self.name!r}: template {wrong[0] if wrong else ''!r} has no {{}} "
                            "for the class name; write for example 'a photo of a {}.'")
        for split in (self.train, self.val, self.test, *self.shifts.values()):
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= len(self.class_names):
                raise UserError(f"split {split.name!r}: label {low if low < 0 else high} lies outside the "
                                f"{len(self.class_names)} classes; class indices run from 0")

    @property
    def evaluation(self) -> dict[str, Split]:
        """The splits that a result is reported on: the reference ``test``, then every shift."""
        return {"test": self.test, **self.shifts}

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            UserError: there is none; the message lists those there are.
        """
        splits = {"train": self.train, "val": self.val, **self.evaluation}
        if name not in splits:
            raise UserError(f"task {self.name!r} has no split {name!r}; choose one of: {', '.join(splits)}")
        return splits[name]

    def few_shot(self, k: int, seed: int = 0) -> Task:
        """The same task with ``k`` random training images of each class; a smaller class gives all it has.

        Raises:
            UserError: ``k`` is not positive.
        """
        return replace(self, train=self.train.select(few_shot_rows(self.train.labels, k, seed)))


def task_names() -> list[str]:
    """The tasks that ship with the package, IconShift first."""
    from wiseft_lite.tasks import icons

    return icons.names()


def load_task(name: str) -> Task:
    """Return a task that ships with the package.

    Args:
        name: one of ``task_names()``.

    Raises:
        UserError: an unknown name, or damaged files.

    Example:
        >>> task = load_task("iconshift")
        >>> len(task.class_names), len(task.shifts)
        (122, 7)
    """
    from wiseft_lite.tasks import icons

    return icons.load(name)
