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
from wiseft_lite.tasks.types import Split, Task

PUBLISHED = json.loads((Path(__file__).resolve().parent / "class_subsets.json").read_text())
VAL_FRACTION = 0.02  # of the training images, as in Model Soups (Wortsman et al. 2022)


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


def present(folders: Mapping[str, Path], what: str) -> dict[str, Path]:
    """Return the folders that exist, and warn of the others.

    Raises:
        UserError: none exists.
    """
    missing = [f"{name} ({path})" for name, path in folders.items() if not path.is_dir()]
    if len(missing) == len(folders):
        raise UserError(
            f"no {what} was found: {'; '.join(missing)}; run its script in data_scripts"
        )
    if missing:
        warnings.warn(
            f"left out, because they are missing: {'; '.join(missing)}; see data_scripts",
            stacklevel=3,
        )
    return {name: path for name, path in folders.items() if path.is_dir()}


def reference(root: Path) -> Task:
    """Load ImageNet alone, with 2 % of ``train`` as ``val`` and its validation set as ``test``."""
    ids, names, templates = imagenet_classes()
    number = {wnid: k for k, wnid in enumerate(ids)}
    folder = root / "imagenet"
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist; data_scripts/get_imagenet.py explains how to get ImageNet"
        )
    train = from_folders("train", folder / "train", number)
    test = from_folders("test", folder / "val", number)
    return Task(
        "imagenet", names, templates, train, train, test, {}, twins=("missile", "sunglasses")
    ).held_out(VAL_FRACTION)


def objectnet_classes(root: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the 113 classes that ObjectNet has in common with ImageNet, from its own mappings.

    Returns:
        Folder name to the class's name and its ImageNet classes.

    Raises:
        UserError: a mapping is missing or damaged, or does not give 113 classes.
    """
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
    folder = root / "objectnet-1.0" / "images"
    files = {name: found for name, found in class_folders(folder).items() if name in classes}
    if len(files) != 113:
        lost = sorted(set(classes) - set(files))
        raise UserError(
            f"{folder} lacks {len(lost)} of the 113 shared classes, such as {lost[0]!r}; the archive is "
            "incomplete: unpack objectnet-1.0.zip again"
        )
    number = {name: k if by_own_names else groups[k][0] for k, name in enumerate(classes)}
    return Split(
        "objectnet",
        Files([file for found in files.values() for file in found], border=2),
        torch.tensor([number[name] for name, found in files.items() for _ in found]),
        **({} if by_own_names else merged_by(groups)),
    )


def load(root: Path) -> Task:
    """Load ImageNet with its shifts in the data folder, all by ImageNet's class names.

    Layouts, below the data folder: ``imagenet/{train,val}/n01440764``,
    ``imagenetv2-matched-frequency-format-val/0``, ``imagenet-r/n01443537``,
    ``imagenet-a/n01498041``, ``sketch/n01440764``, ``objectnet-1.0/{images,mappings}``.

    Predictions are restricted to the 200 classes of R and of A and to the 113 of ObjectNet, as in
    the authors' code.

    Raises:
        UserError: ImageNet, or all its shifts, are missing; a wrong layout.

    Source: the paper, table 1; class lists of wise-ft.
    """
    task = reference(root)
    ids = imagenet_classes()[0]
    of_r, of_a = ({ids[k]: k for k in PUBLISHED[name]} for name in ("imagenet_r", "imagenet_a"))
    plain = {
        "v2": ("imagenetv2-matched-frequency-format-val", {str(k): k for k in range(1000)}, False),
        "r": ("imagenet-r", of_r, True),
        "a": ("imagenet-a", of_a, True),
        "sketch": ("sketch", {wnid: k for k, wnid in enumerate(ids)}, False),
    }
    folders = {name: root / folder for name, (folder, _, _) in plain.items()} | {
        "objectnet": root / "objectnet-1.0"
    }
    shifts = {}
    for name, folder in present(folders, "shift of ImageNet").items():
        shifts[name] = (
            objectnet(root) if name == "objectnet" else from_folders(name, folder, *plain[name][1:])
        )
    return replace(task, shifts=shifts)


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

    def part(split: Split) -> Split:
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

    Source: the paper, appendix D.4: these names add 2.3 points of zero-shot accuracy.
    """
    classes = objectnet_classes(root)
    return regrouped(
        reference(root),
        "objectnet",
        [name for name, _ in classes.values()],
        [group for _, group in classes.values()],
        {"objectnet": objectnet(root, by_own_names=True)},
    )


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
