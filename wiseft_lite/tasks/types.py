"""``Split``, images with labels; and ``Task``, its splits with class names, prompts and shifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.metrics import Estimate, predictions
from wiseft_lite.tasks.draws import few_shot_rows, hold_out, sample_rows
from wiseft_lite.tasks.images import Picked, rgb
from wiseft_lite.tasks.scoring import Score, Top1


@dataclass(frozen=True)
class Split:
    """Images with labels: ``split[i]`` is ``(PIL image, int)``, the image in 8-bit RGB, see
    ``images.rgb``.

    Args:
        name: in tables and figures.
        images: a sequence of PIL images, decoded when accessed.
        labels: int64 ``[n]``, indices into the task's class names; in a shift also -1 for an image
            without a right class.
        classes: classes that predictions are restricted to, if the data set defines a subset as
            ImageNet-R does; of equal logits, the class listed first here is predicted (default: all
            classes, whichever of them the images show).
        merged: class to the class that it counts as; for ObjectNet, ImageNet's two clocks are one.
        measure: what the data set reports (default: top-1 accuracy).

    Raises:
        UserError: no images, or not one label for each.
    """

    name: str
    images: Sequence[Image.Image]
    labels: Tensor
    classes: tuple[int, ...] | None = None
    merged: Mapping[int, int] = field(default_factory=dict)
    measure: Score = Top1()

    def __post_init__(self):
        if len(self.images) == 0:
            raise UserError(f"split {self.name!r} has no images; check the path or leave it out")
        if len(self.images) != len(self.labels):
            raise UserError(
                f"split {self.name!r} has {len(self.images)} images but "
                f"{len(self.labels)} labels; give one label each"
            )
        if self.classes is not None and not self.classes:
            raise UserError(
                f"split {self.name!r} restricts predictions to no classes; leave classes out to allow all"
            )
        object.__setattr__(self, "labels", torch.as_tensor(self.labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return rgb(self.images[index]), int(self.labels[index])

    def content(self) -> str | None:
        """Return a hash of the images that needs no decoding; None if their source has none.

        A source that has one provides a method ``content``, as ``icons.Tiles`` does: a hash of the
        bytes on disk.
        """
        return self.images.content() if hasattr(self.images, "content") else None

    def select(self, rows: Sequence[int]) -> Split:
        """Return the split with the images at these indices only, in this order."""
        rows = [int(i) for i in rows]
        return replace(
            self,
            images=Picked(self.images, rows),
            labels=self.labels[rows],
            measure=self.measure.select(rows),
        )

    def sample(self, limit: int, seed: int = 0) -> Split:
        """Return the split with ``limit`` of its images, drawn at random; see ``draws.sample_rows``.

        Raises:
            UserError: ``limit`` is not positive.
        """
        return self.select(sample_rows(len(self), limit, seed))

    def predicted(self, logits: Tensor) -> Tensor:
        """Return the predicted classes ``[n]`` of logits ``[n, C]``: the argmax over ``classes``."""
        classes = predictions(logits, self.classes)
        if not self.merged:
            return classes
        table = torch.arange(logits.shape[1])
        table[list(self.merged)] = torch.tensor(list(self.merged.values()))
        return table.to(classes.device)[classes]

    def restricted(self, logits: Tensor) -> Tensor:
        """Return the columns of logits ``[n, C]`` that belong to ``classes``."""
        return logits if self.classes is None else logits[:, list(self.classes)]

    def margins(self, logits: Tensor) -> Tensor:
        """Return how far the predicted class's logit lies above that of any other class, ``[n]``.

        As in ``predicted`` only ``classes`` count, and classes merged into one are one. The margin
        is infinite where no other class can be predicted.

        Args:
            logits: ``[n, C]``.

        Example:
            >>> split = Split("one image", [None], [0], classes=(0, 1, 2), merged={1: 0})
            >>> split.margins(torch.tensor([[4.0, 3.0, 1.0, 9.0]])).item()
            3.0
        """
        classes = range(logits.shape[1]) if self.classes is None else self.classes
        merged = torch.tensor([self.merged.get(k, k) for k in classes], device=logits.device)
        logits = self.restricted(logits)
        largest, best = logits.max(1)
        same = merged == merged[best, None]
        return largest - logits.masked_fill(same, -torch.inf).amax(1)

    def count_classes(self, count: int) -> int:
        """Return how many classes ``predicted`` can return for a head of ``count`` classes."""
        return len(
            {
                self.merged.get(k, k)
                for k in (range(count) if self.classes is None else self.classes)
            }
        )

    def score(self, predicted: Tensor) -> Estimate:
        """Return the data set's measure of predicted classes ``[n]``, with its interval."""
        return self.measure(predicted.cpu(), self.labels)


@dataclass(frozen=True)
class Task:
    """A reference distribution (``train``, ``val``, ``test``) and its named shifts.

    Any of the three, or the shifts, may be missing: what was trained elsewhere is evaluated without
    training images. ``split`` returns one of them, or names what is missing.

    Args:
        name: in tables and folders.
        class_names: ``C`` names for the prompts.
        templates: prompts with ``{}`` for the class name, or ``{a}`` for the name with its article;
            see ``zeroshot.prompt``.
        train: training images, or None.
        val: held out of the training data, or None; alpha and every other setting are chosen on it.
        test: the reference test set, or None.
        shifts: the shifted test sets by name.
        twins: names that two classes have on purpose, as in OpenAI's list for ImageNet.

    Raises:
        UserError: duplicate or missing class names, a template without ``{}``, a label outside the
            classes, no split at all.
    """

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    train: Split | None
    val: Split | None
    test: Split | None
    shifts: dict[str, Split]
    twins: tuple[str, ...] = ()

    def __post_init__(self):
        duplicates = [
            name
            for name, count in Counter(self.class_names).items()
            if count > 1 and name not in self.twins
        ]
        if duplicates:
            raise UserError(
                f"task {self.name!r}: duplicate class names: {', '.join(duplicates[:3])}; "
                "rename or merge them"
            )
        if not self.class_names or not all(str(n).strip() for n in self.class_names):
            raise UserError(f"task {self.name!r}: class names are missing; give one per class")
        wrong = [t for t in self.templates if "{}" not in t and "{a}" not in t]
        if wrong or not self.templates:
            raise UserError(
                f"task {self.name!r}: template {wrong[0] if wrong else ''!r} has no {{}} "
                "for the class name; write, for example, 'a photo of a {}.'"
            )
        if not self.splits:
            raise UserError(f"task {self.name!r} has no split; give it a test set at least")
        for name, split in self.splits.items():
            lowest = -1 if name in self.shifts else 0
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < lowest or high >= len(self.class_names):
                raise UserError(
                    f"split {split.name!r}: label {low if low < lowest else high} is not one of "
                    f"the {len(self.class_names)} classes; class indices start at 0"
                )

    @property
    def splits(self) -> dict[str, Split]:
        """All splits that there are: ``train``, ``val``, ``test``, then every shift."""
        references = {"train": self.train, "val": self.val, "test": self.test}
        return {name: s for name, s in references.items() if s is not None} | self.shifts

    @property
    def evaluation(self) -> dict[str, Split]:
        """The splits to report results on: the reference ``test``, if there is one, then every
        shift."""
        return {k: split for k, split in self.splits.items() if k not in ("train", "val")}

    def split(self, name: str) -> Split:
        """Return the split of that name: ``train``, ``val``, ``test`` or a shift.

        Raises:
            UserError: no split has it; the message lists the names.
        """
        if name in self.splits:
            return self.splits[name]
        if name in ("train", "val"):
            use = "training" if name == "train" else "choosing"
            raise UserError(
                f"task {self.name!r} has no {name!r}, only {', '.join(self.splits)}, so it serves for "
                f"evaluation and not for {use}; give a task with images for that"
            )
        raise UserError(
            f"task {self.name!r} has no split {name!r}; choose one of: {', '.join(self.splits)}"
        )

    def with_prompts(self, count: int) -> Task:
        """Return the task with ``count`` of its templates, evenly spaced; all if it has fewer.

        Raises:
            UserError: ``count`` is not positive.
        """
        if count < 1:
            raise UserError(f"{count} prompts are too few; give at least 1")
        few = min(count, len(self.templates))
        places = [k * len(self.templates) // few for k in range(few)]
        return replace(self, templates=tuple(self.templates[k] for k in places))

    def held_out(self, fraction: float, seed: int = 0) -> Task:
        """Return the task with ``val`` drawn from ``train``, a fraction of each class; see
        ``draws.hold_out``."""
        train = self.split("train")
        rest, held = hold_out(train.labels, fraction, seed)
        return replace(self, train=train.select(rest), val=replace(train.select(held), name="val"))

    def few_shot(self, k: int, seed: int = 0) -> Task:
        """Return the task with ``k`` random training images per class; see ``draws.few_shot_rows``.

        Raises:
            UserError: ``k`` is not positive.
        """
        train = self.split("train")
        return replace(self, train=train.select(few_shot_rows(train.labels, k, seed)))
