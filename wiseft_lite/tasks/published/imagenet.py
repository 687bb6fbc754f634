"""ImageNet and its shifts V2, R, A, Sketch and ObjectNet, the last also by its own class names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from wiseft_lite.encoders import library
from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.own import class_folders
from wiseft_lite.tasks.published import hub
from wiseft_lite.tasks.types import Split, Task

PUBLISHED = json.loads((Path(__file__).resolve().parent / "class_subsets.json").read_text())
VAL_FRACTION = 0.02  # of the training images, as in Model Soups (Wortsman et al. 2022)
BORDER = 2  # pixels of ObjectNet's red frame that are cut off, as in wise-ft
PLACES = {  # the folders of the authors' archives, below the data folder
    "test": "imagenet/val",
    "v2": "imagenetv2-matched-frequency-format-val",
    "r": "imagenet-r",
    "a": "imagenet-a",
    "sketch": "sketch",
    "objectnet": "objectnet-1.0",
}


def from_folders(name: str, folder: Path, number: Mapping[str, int], subset: bool = False) -> Split:
    """Read a split from class folders, one for each name in ``number`` and no others.

    Args:
        name: of the split.
        folder: of the class folders.
        number: folder name to class index.
        subset: restrict predictions to these classes.

    Raises:
        UserError: a folder that is not a class, or a class without a folder.
    """
    found = class_folders(folder)
    strange = sorted(set(found) - set(number))
    if strange:
        raise UserError(
            f"{folder}: {strange[0]!r} is not a class folder of {name}; unpack the right archive there"
        )
    if len(found) != len(number):
        raise UserError(
            f"{folder} has {len(found)} class folders, but {name} has {len(number)}; unpack the archive "
            "again"
        )
    labels = [number[key] for key, files in found.items() for _ in files]
    return Split(
        name,
        Files([file for files in found.values() for file in files]),
        torch.tensor(labels),
        tuple(sorted(number.values())) if subset else None,
    )


def training(root: Path) -> Split:
    """Read ImageNet's training images from their folder."""
    folder = root / "imagenet"
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist; data_scripts/get_imagenet.py explains how to get ImageNet; "
            "its test sets alone are the task imagenet-shifts"
        )
    number = {wnid: k for k, wnid in enumerate(imagenet_classes()[0])}
    return from_folders("train", folder / "train", number)


def reference(root: Path) -> Task:
    """Load ImageNet alone, with 2 % of ``train`` as ``val`` and its validation set as ``test``."""
    train, test = training(root), read_test_set(root, "test")
    return _task("imagenet", train, test, {}).held_out(VAL_FRACTION)


def _task(name: str, train: Split | None, test: Split | None, shifts: dict[str, Split]) -> Task:
    _, names, templates = imagenet_classes()
    twins = ("missile", "sunglasses")
    return Task(name, names, templates, train, None, test, shifts, twins)


def read_test_set(root: Path, name: str) -> Split:
    """Read one of ImageNet's test sets, labelled with ImageNet's classes.

    It is read from its authors' folder if that is in the data folder, see ``PLACES``, and otherwise
    from its files of the Hub, see ``hub.SETS``. Both give the same images and labels.

    Args:
        root: the data folder.
        name: ``"test"``, ImageNet's validation set, or one of ``hub.SHIFTS``.

    Raises:
        UserError: neither is there, or it is damaged or in a wrong layout.
    """
    in_folders = (root / PLACES[name]).is_dir()
    if name == "objectnet":
        return objectnet(root)
    ids, names, _ = imagenet_classes()
    subset = PUBLISHED.get(f"imagenet_{name}")
    labels = range(len(ids)) if subset is None else subset
    if in_folders:
        keys = [str(k) if name == "v2" else ids[k] for k in labels]
        return from_folders(
            name, root / PLACES[name], dict(zip(keys, labels, strict=True)), subset is not None
        )
    classes = None if subset is None else tuple(sorted(subset))
    return hub.read_split(root, name, labels, [names[k] for k in labels], classes=classes)


def read_test_sets(root: Path, names: Sequence[str]) -> dict[str, Split]:
    """Read those of ImageNet's test sets that are in the data folder, and warn of the others.

    Raises:
        UserError: none is there, or one is damaged.
    """
    there = [name for name in names if (root / PLACES[name]).is_dir() or hub.is_here(root, name)]
    missing = [name for name in names if name not in there]
    if not there:
        raise UserError(
            f"{root} has none of ImageNet's test sets {', '.join(names)}; to download them, "
            f"{hub.command(missing, root)}"
        )
    if missing:
        warnings.warn(
            f"left out, because they are not in {root}: {', '.join(missing)}; to download them, "
            f"{hub.command(missing, root)}",
            stacklevel=3,
        )
    return {name: read_test_set(root, name) for name in there}


def objectnet_classes(root: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the 113 classes that ObjectNet has in common with ImageNet, from its own mappings.

    Its files of the Hub contain no mappings; the published ones that ship with the package are the
    same.

    Returns:
        Folder name to the class's name and its ImageNet classes.

    Raises:
        UserError: a mapping is missing or damaged, or does not give 113 classes.
    """
    if not (root / PLACES["objectnet"]).is_dir() and hub.is_here(root, "objectnet"):
        return {
            name: (label.lower(), tuple(group)) for name, label, group in PUBLISHED["objectnet"]
        }
    maps = root / "objectnet-1.0" / "mappings"
    try:
        title = json.loads((maps / "folder_to_objectnet_label.json").read_text())
        shared = json.loads((maps / "objectnet_to_imagenet_1k.json").read_text())
        line = {
            int(v): int(k)
            for k, v in json.loads((maps / "pytorch_to_imagenet_2012_id.json").read_text()).items()
        }
        texts = (maps / "imagenet_to_label_2012_v2").read_text().splitlines()
        index = {text.strip(): line[i] for i, text in enumerate(texts)}
        folder = {label: name for name, label in title.items()}
        classes = {
            folder[label]: (label.lower(), tuple(index[text] for text in labels.split("; ")))
            for label, labels in shared.items()
        }
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{maps} is incomplete or damaged ({error!r}); unpack objectnet-1.0.zip again"
        ) from error
    if len(classes) != 113:
        raise UserError(
            f"{maps} gives {len(classes)} shared classes, not 113; unpack objectnet-1.0.zip again"
        )
    return dict(sorted(classes.items()))


def merged_by(groups: Sequence[Sequence[int]]) -> dict:
    """Return the options of a ``Split`` whose classes are groups of ImageNet's classes.

    Each group counts as its first member, and its logit is the largest of its members'. Of groups
    with equal logits the first is predicted, as in the authors' code.
    """
    return {
        "classes": tuple(k for group in groups for k in group),
        "merged": {k: group[0] for group in groups for k in group},
    }


def objectnet(root: Path, by_own_names: bool = False) -> Split:
    """Read the 113 shared classes of ObjectNet, without the red frame of 2 pixels.

    Args:
        root: the data folder.
        by_own_names: label with 0..112 in the order of the folders, not with ImageNet's classes.
    """
    classes = objectnet_classes(root)
    groups = [group for _, group in classes.values()]
    labels = range(113) if by_own_names else [group[0] for group in groups]
    options = {} if by_own_names else merged_by(groups)
    if not (root / PLACES["objectnet"]).is_dir():
        names = [name for name, _ in classes.values()]
        return hub.read_split(root, "objectnet", labels, names, border=BORDER, **options)
    folder = root / PLACES["objectnet"] / "images"
    files = {name: found for name, found in class_folders(folder).items() if name in classes}
    if len(files) != 113:
        lost = sorted(set(classes) - set(files))
        raise UserError(
            f"{folder} lacks {len(lost)} of the 113 shared classes, such as {lost[0]!r}; the archive is "
            "incomplete: unpack objectnet-1.0.zip again"
        )
    number = dict(zip(classes, labels, strict=True))
    return Split(
        "objectnet",
        Files([file for found in files.values() for file in found], border=BORDER),
        torch.tensor([number[name] for name, found in files.items() for _ in found]),
        **options,
    )


def load(root: Path) -> Task:
    """Load ImageNet with its shifts in the data folder, all by ImageNet's class names.

    Layouts, below the data folder: ``imagenet/{train,val}/n01440764``,
    ``imagenetv2-matched-frequency-format-val/0``, ``imagenet-r/n01443537``,
    ``imagenet-a/n01498041``, ``sketch/n01440764``, ``objectnet-1.0/{images,mappings}``. Each test set
    may also have the form in which the Hub has it, see ``hub.SETS``.

    Predictions are restricted to the 200 classes of R and of A and to the 113 of ObjectNet, as in
    the authors' code.

    Raises:
        UserError: ImageNet, or all its shifts, are missing; a wrong layout.

    Source: the paper, table 1; class lists of wise-ft.
    """
    return replace(reference(root), shifts=read_test_sets(root, hub.SHIFTS))


def load_shifts(root: Path) -> Task:
    """Load ImageNet's test sets, whichever are in the data folder, without training images.

    ``test`` is ImageNet's validation set, the shifts are those of ``load``. None of them needs an
    account: ``hub.fetch_test_sets`` downloads them. The task serves to evaluate, to sweep and to
    average models that were trained elsewhere, such as those of ``interop.published``.

    Raises:
        UserError: none is there, or one is damaged.

    Source: as ``load``.
    """
    found = read_test_sets(root, ("test", *hub.SHIFTS))
    return _task("imagenet-shifts", None, found.pop("test", None), found)


def regrouped(
    task: Task,
    name: str,
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    shifts: dict[str, Split],
    classes: tuple[int, ...] | None = None,
) -> Task:
    """Return the task with groups of its classes as classes; images of other classes are left out.

    Args:
        task: whose classes ``groups`` refers to.
        name: of the new task.
        names: of the groups.
        groups: the classes of each group; empty for a name that only the shifts need.
        shifts: of the new task, labelled with its class indices.
        classes: groups that predictions are restricted to (default: all).
    """
    number = {k: place for place, group in enumerate(groups) for k in group}

    def part(split: Split | None) -> Split | None:
        if split is None:
            return None
        rows = [i for i, label in enumerate(split.labels.tolist()) if label in number]
        labels = torch.tensor([number[label] for label in split.labels[rows].tolist()])
        return replace(split.select(rows), labels=labels, classes=classes)

    return Task(
        name,
        tuple(names),
        task.templates,
        part(task.train),
        part(task.val),
        part(task.test),
        shifts,
    )


def load_objectnet(root: Path) -> Task:
    """Load ObjectNet by its own 113 class names; the reference is ImageNet on the same classes.

    Without ImageNet's training images the task has none either; without its validation set, no
    reference.

    Source: the paper, appendix D.4: these names add 2.3 points of zero-shot accuracy.
    """
    classes = objectnet_classes(root)
    names = tuple(name for name, _ in classes.values())
    groups = [group for _, group in classes.values()]
    shifts = {"objectnet": objectnet(root, by_own_names=True)}
    if (root / "imagenet" / "train").is_dir():
        return regrouped(reference(root), "objectnet", names, groups, shifts)
    if (root / PLACES["test"]).is_dir() or hub.is_here(root, "test"):
        alone = _task("imagenet", None, read_test_set(root, "test"), {})
        return regrouped(alone, "objectnet", names, groups, shifts)
    return Task("objectnet", names, imagenet_classes()[2], None, None, None, shifts)


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return ImageNet's 1000 WordNet ids in class order, OpenAI's class names and 80 prompts.

    Two pairs of classes have the same name, missile and sunglasses.

    Source: timm for the ids; open_clip for names and prompts, which are Radford et al. 2021's.

    Example:
        >>> ids, names, templates = imagenet_classes()
        >>> ids[0], names[0], templates[0]
        ('n01440764', 'tench', 'a bad photo of a {}.')
    """
    from timm.data import ImageNetInfo

    clip = library()
    return (
        tuple(ImageNetInfo("imagenet-1k").label_names()),
        tuple(clip.IMAGENET_CLASSNAMES),
        tuple(template("{}") for template in clip.OPENAI_IMAGENET_TEMPLATES),
    )
