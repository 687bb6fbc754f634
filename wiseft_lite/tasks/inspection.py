"""Check the data of a task before a run: its names, its classes and each of its images."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from wiseft_lite.errors import UserError
from wiseft_lite.tasks import load_task, own, task_names
from wiseft_lite.tasks.images import Files, Picked, check_header, rgb
from wiseft_lite.tasks.published.catalogue import FAMILIES

NO_CLASS = "(no class)"  # label of an image without a right class


class Part(NamedTuple):
    """The images of a split and their class names, for data that may not make a valid task.

    Args:
        images: decoded when accessed.
        labels: class names, one per image.
    """

    images: Sequence[Image.Image]
    labels: Sequence[str]


def path_of(images: Sequence[Image.Image], index: int) -> str | None:
    """Return the file of an image; None if it has no file of its own."""
    if isinstance(images, Picked):
        return path_of(images.images, images.rows[index])
    return images.paths[index] if isinstance(images, Files) else None


def _read(
    name: str, data: str | Path | None
) -> tuple[tuple[str, ...], dict[str, Part], tuple[str, ...]]:
    """Return the classes, the splits with ``train`` first, and the problems of names and labels."""
    if own.is_own(name, (*task_names(), *FAMILIES)):
        found = own.read(name)
        splits = {
            split: Part(
                Files([row.path for row in rows], upright=True), [row.label for row in rows]
            )
            for split, rows in sorted(found.splits().items(), key=lambda item: item[0] != "train")
        }
        return tuple(found.names), splits, found.problems or _refused(found)
    task = load_task(name, data)
    splits = {
        split: Part(
            part.images, [task.class_names[k] if k >= 0 else NO_CLASS for k in part.labels.tolist()]
        )
        for split, part in task.splits.items()
    }
    return task.class_names, splits, ()


def _refused(found: own.Found) -> tuple[str, ...]:
    """Return what keeps valid names from being a task, such as equal class names; one at most."""
    try:
        own.assemble(found)
    except UserError as error:
        return (str(error),)
    return ()


def _bar(steps: Iterable, name: str, count: int) -> Iterable:
    return tqdm(steps, desc=name, total=count, delay=2, leave=False, disable=None)


def _headers(name: str, images: Sequence[Image.Image]) -> tuple[Counter[str], dict[int, str]]:
    """Check the header and the end of every file; return counts by mode, and problems by index."""
    modes: Counter[str] = Counter()
    problems = {}
    for i in _bar(range(len(images)), f"{name}: headers", len(images)):
        path = path_of(images, i)
        if path is None:
            continue
        try:
            modes[check_header(path)] += 1
        except UserError as error:
            problems[i] = str(error)
    return modes, problems


def _pixels(
    name: str, images: Sequence[Image.Image], places: Sequence[int]
) -> tuple[dict[int, bytes], dict[int, str]]:
    """Decode images; return the hash of the pixels or the problem of each, by index."""

    def decode(i: int) -> bytes | UserError:
        try:
            image = rgb(images[i])
        except UserError as error:
            return error
        return hashlib.blake2b(b"%d %d " % image.size + image.tobytes(), digest_size=16).digest()

    pixels, problems = {}, {}
    with ThreadPool(os.cpu_count()) as threads:  # Pillow decodes outside Python's lock
        for i, result in zip(
            places, _bar(threads.imap(decode, places, chunksize=16), name, len(places)), strict=True
        ):
            if isinstance(result, UserError):
                problems[i] = str(result)
            else:
                pixels[i] = result
    return pixels, problems


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _table(
    classes: Sequence[str],
    splits: Mapping[str, Part],
    modes: Mapping[str, Counter[str]],
    problems: Mapping[str, Mapping[int, str]],
) -> Iterator[str]:
    """Yield one line for each split."""
    wide = max(map(len, (*splits, "split")))
    yield f"{'split':{wide}}  images  unreadable  classes"
    for name, split in splits.items():
        present = set(split.labels) - {NO_CLASS}
        empty = [label for label in classes if label not in present]
        notes = [f"none of {_some(empty)}"] if empty else []
        notes += [
            f"{count} of mode {mode}" for mode, count in modes[name].most_common() if mode != "RGB"
        ]
        counts = f"{len(split.labels):6}  {len(problems[name]):10}  {len(present):7}"
        yield f"{name:{wide}}  {counts}  {'; '.join(notes)}".rstrip()


def _repeated(
    splits: Mapping[str, Part], pixels: Mapping[str, Mapping[int, bytes]]
) -> Iterator[str]:
    """Yield a line for images that occur in ``train`` and another split, or in two classes."""
    first: dict[bytes, tuple[str, int]] = {}
    leaked: dict[str, list[str]] = {}
    ambiguous: list[str] = []

    def name(split: str, i: int) -> str:
        return path_of(splits[split].images, i) or f"image {i} of {split}"

    for split in splits:
        for i, content in pixels[split].items():
            other, k = first.setdefault(content, (split, i))
            if other == "train" != split:
                leaked.setdefault(split, []).append(f"{name(split, i)} and {name(other, k)}")
            here, there = splits[split].labels[i], splits[other].labels[k]
            if here != there:
                ambiguous.append(f"{name(split, i)} ({here}) and {name(other, k)} ({there})")
    for split, pairs in leaked.items():
        yield f"images of {split} that are in train too: {len(pairs)}, such as {pairs[0]}"
    if ambiguous:
        yield f"images that occur under two classes: {len(ambiguous)}, such as {ambiguous[0]}"


def inspect(name: str, data: str | Path | None = None) -> Iterator[str]:
    """Yield lines on what a task holds, and every problem of its names and images.

    Names, classes and splits come first, then the header and the end of every file, which is quick,
    then every image is decoded. An image that occurs twice, by its pixels, is reported if it is in
    ``train`` and in another split, or in two classes. No run stops there, but its accuracy is then
    too high, or cannot reach 100 %.

    Args:
        name: what ``--task`` takes.
        data: folder of the data sets (default: ``$WISEFT_DATA``, or ``~/data``).

    Raises:
        UserError: at the end, if a problem would stop a run.
    """
    classes, splits, found = _read(name, data)
    total = sum(len(split.labels) for split in splits.values())
    yield f"{name}: {len(classes)} classes, {len(splits)} splits, {total} images"
    yield from found
    modes, problems, pixels = {}, {}, {}
    for part, split in splits.items():
        modes[part], problems[part] = _headers(part, split.images)
        yield from problems[part].values()
    for part, split in splits.items():
        sound = [i for i in range(len(split.images)) if i not in problems[part]]
        pixels[part], damaged = _pixels(part, split.images, sound)
        yield from damaged.values()
        problems[part] |= damaged
    yield from _table(classes, splits, modes, problems)
    yield from _repeated(splits, pixels)
    count = len(found) + sum(map(len, problems.values()))
    if count:
        raise UserError(
            f"{name} would stop a run: {count} problem{'s' if count > 1 else ''}, listed above"
        )
    yield "nothing found that would stop a run"
