"""What a task is: splits of images with labels, class names, prompts, and the shifts it is tested
on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.metrics import Estimate, predictions
from wiseft_lite.tasks.draws import few_shot_rows, hold_out
from wiseft_lite.tasks.images import Picked, rgb
from wiseft_lite.tasks.scoring import Score, Share


@dataclass(frozen=True)
class Split:
    """Images with labels: ``split[i]`` is ``(PIL image, int)``, the image in 8-bit RGB
    (``images.rgb``).

    Args:
        name: what tables and figures call it.
        images: a sequence of PIL images, decoded when asked for.
        labels: int64 ``[n]``, indices into the task's class names; in a shift also -1, an image for
            which no class is right.
        classes: the classes that predictions are restricted to, if the data set defines a subset,
            as ImageNet-R does; of equal logits the class that comes first here wins. All classes if
            not given, whichever of them the images show.
        merged: classes that count as another one, as ImageNet's two clocks are one for ObjectNet.
        measure: what it reports; top-1 accuracy if not given.

    Raises:
        UserError: no images, or not one label for each.
    """

    name: str
    images: Sequence[Image.Image]
    labels: Tensor
    classes: tuple[int, ...] | None = None
    merged: Mapping[int, int] = field(default_factory=dict)
    measure: Score = Share()

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
                f"split {self.name!r} restricts predictions to no class at all; leave classes out for all"
            )
        object.__setattr__(self, "labels", torch.as_tensor(self.labels, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return rgb(self.images[index]), int(self.labels[index])

    def content(self) -> str | None:
        """A name that changes when a picture does, if the images' source can tell without decoding
        them.

        Such a source has a method ``content`` of its own, as ``icons.Tiles`` has: a hash of the
        bytes on disk.
        """
        return self.images.content() if hasattr(self.images, "content") else None

    def select(self, rows: Sequence[int]) -> Split:
        """The images at these places, in this order, with predictions restricted to the same
        classes, if to any."""
        rows = [int(i) for i in rows]
        return replace(
            self,
            images=Picked(self.images, rows),
            labels=self.labels[rows],
            measure=self.measure.select(rows),
        )

    def predicted(self, logits: Tensor) -> Tensor:
        """The predicted class ``[n]`` of logits ``[n, C]``: the largest of all, or of ``classes``
        alone."""
        classes = predictions(logits, self.classes)
        if not self.merged:
            return classes
        table = torch.arange(logits.shape[1])
        table[list(self.merged)] = torch.tensor(list(self.merged.values()))
        return table.to(classes.device)[classes]

    def count_classes(self, count: int) -> int:
        """How many different classes ``predicted`` can return when the head has ``count``."""
        return len(
            {
                self.merged.get(k, k)
                for k in (range(count) if self.classes is None else self.classes)
            }
        )

    def score(self, predicted: Tensor) -> Estimate:
        """What the data set reports for predicted classes ``[n]``, with its interval."""
        return self.measure(predicted.cpu(), self.labels)


@dataclass(frozen=True)
class Task:
    """A reference distribution (``train``, ``val``, ``test``) and its named shifts.

    Args:
        name: what tables and folders call it.
        class_names: ``C`` names that prompts can hold.
        templates: prompts with ``{}`` where the name goes, or ``{a}`` where it goes with its
            article; see ``zeroshot.prompt``.
        train: what is trained on.
        val: held out of the training data, to choose alpha and everything else on.
        test: the reference that results are reported on.
        shifts: the shifted test sets by name.
        twins: names that two classes share on purpose, as in OpenAI's list for ImageNet.

    Raises:
        UserError: class names doubled or missing, a template without ``{}``, a label outside the
            classes.
    """

    name: str
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    shifts: dict[str, Split]
    twins: tuple[str, ...] = ()

    def __post_init__(self):
        doubled = [
            name
            for name, count in Counter(self.class_names).items()
            if count > 1 and name not in self.twins
        ]
        if doubled:
            raise UserError(
                f"task {self.name!r}: class names stand twice: {', '.join(doubled[:3])}; "
                "rename or merge them"
            )
        if not self.class_names or not all(str(n).strip() for n in self.class_names):
            raise UserError(f"task {self.name!r}: class names are missing; give one for each class")
        wrong = [t for t in self.templates if "{}" not in t and "{a}" not in t]
        if wrong or not self.templates:
            raise UserError(
                f"task {self.name!r}: template {wrong[0] if wrong else ''!r} has no {{}} "
                "for the class name; write for example 'a photo of a {}.'"
            )
        references, shifts = (self.train, self.val, self.test), self.shifts.values()
        for split, lowest in (*((s, 0) for s in references), *((s, -1) for s in shifts)):
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < lowest or high >= len(self.class_names):
                raise UserError(
                    f"split {split.name!r}: label {low if low < lowest else high} lies outside the "
                    f"{len(self.class_names)} classes; class indices run from 0"
                )

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
            raise UserError(
                f"task {self.name!r} has no split {name!r}; choose one of: {', '.join(splits)}"
            )
        return splits[name]

    def held_out(self, share: float, seed: int = 0) -> Task:
        """The same task with ``val`` drawn out of ``train``, a share of each class; see
        ``hold_out``."""
        rest, held = hold_out(self.train.labels, share, seed)
        return replace(
            self, train=self.train.select(rest), val=replace(self.train.select(held), name="val")
        )

    def few_shot(self, k: int, seed: int = 0) -> Task:
        """The same task with ``k`` random training images of each class; a smaller class gives all
        it has.

        Raises:
            UserError: ``k`` is not positive.
        """
        return replace(self, train=self.train.select(few_shot_rows(self.train.labels, k, seed)))
