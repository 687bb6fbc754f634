"""Test sets on the Hugging Face Hub in WebDataset form: their addresses, download and reading.

They need no account. The files of a set land in a folder of the data folder that is named like its
repository, and are read there as they are; see ``tasks.webdataset``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wiseft_lite._runtime.downloads import PATIENCE, check_room, failed, gigabytes
from wiseft_lite._runtime.textfiles import read_lines
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.tasks.types import Split, Task
from wiseft_lite.tasks.webdataset import read_shards


@dataclass(frozen=True)
class HubSet:
    """A data set on the Hub.

    Args:
        repository: its name there.
        images: number of test images; None if no source states it.
    """

    repository: str
    images: int | None = None

    @property
    def folder(self) -> str:
        """Its folder, below the data folder."""
        return self.repository.rpartition("/")[2]


# ``test`` is ImageNet's validation set, the reference of its shifts. The counts are those of the data
# sets' papers, and for ObjectNet's 113 classes that of issue 7 of locuslab/FLYP. CIFAR is left out:
# its own archives need no account either, and have the training images.
SETS = {
    "test": HubSet("djghosh/wds_imagenet1k_test", 50_000),
    "v2": HubSet("clip-benchmark/wds_imagenetv2", 10_000),
    "r": HubSet("clip-benchmark/wds_imagenet-r", 30_000),
    "a": HubSet("clip-benchmark/wds_imagenet-a", 7_500),
    "sketch": HubSet("clip-benchmark/wds_imagenet_sketch", 50_889),
    "objectnet": HubSet("clip-benchmark/wds_objectnet", 18_574),
    "cars": HubSet("clip-benchmark/wds_cars", 8_041),
    "dtd": HubSet("clip-benchmark/wds_vtab-dtd", 1_880),
    "sun397": HubSet("clip-benchmark/wds_sun397"),
    "food101": HubSet("clip-benchmark/wds_food101", 25_250),
}
SHIFTS = ("v2", "r", "a", "sketch", "objectnet")  # of ImageNet
COUNT, NAMES = "nshards.txt", "classnames.txt"


def command(names: Sequence[str], root: Path) -> str:
    """Return the command that downloads sets, in a clone and without one."""
    return (
        'type: python -c "from wiseft_lite import fetch_test_sets; '
        f'fetch_test_sets({list(names)}, {str(root)!r})"'
    )


def is_here(root: Path, name: str, part: str = "test") -> bool:
    """Return whether a part of a set is in the data folder, perhaps not yet complete."""
    return (root / SETS[name].folder / part / COUNT).is_file()


def _is_complete(folder: Path) -> bool:
    """Whether a set has its class names and all shards of its test images."""
    try:
        shards = int((folder / "test" / COUNT).read_text())
    except (OSError, ValueError):
        return False
    wanted = [folder / NAMES, *(folder / "test" / f"{k}.tar" for k in range(shards))]
    return all(path.is_file() for path in wanted)


@dataclass(frozen=True)
class _File:
    """A file to download: its repository and commit there, its name, its size in bytes."""

    repository: str
    commit: str
    name: str
    size: int
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / self.name


def fetch_test_sets(
    names: Sequence[str] = SHIFTS, data: str | Path | None = None, train: bool = False
) -> None:
    """Download test sets from the Hugging Face Hub; no account is needed.

    The size of all is printed, and the disk checked for room, before the first byte is downloaded.
    Files that are there are kept, and an interrupted one is continued.

    Args:
        names: of ``SETS``: ``test`` (ImageNet's validation set), ``v2``, ``r``, ``a``, ``sketch``,
            ``objectnet``, or another data set of the paper.
        data: the data folder; see ``catalogue.data_folder``.
        train: also the training images, of the few sets that have them there.

    Raises:
        UserError: an unknown name, no network, no room, or a repository without the expected files.

    Source: the sets are built by ``webdataset_builder.py`` of github.com/LAION-AI/CLIP_benchmark.
    """
    from wiseft_lite.tasks.published.catalogue import data_folder

    for name in names:
        if name not in SETS:
            raise unknown("test set", name, SETS)
    root = data_folder(data)
    needed: list[_File] = []
    for name in names:
        if not train and _is_complete(root / SETS[name].folder):
            print(f"{name}: complete in {root / SETS[name].folder}", flush=True)
        else:
            needed += _listed(name, root, train)
    needed = [file for file in needed if not _is_whole(file)]
    if not needed:
        return
    total = sum(file.size for file in needed)
    print(f"{gigabytes(total)} to download into {root}: {len(needed)} files", flush=True)
    check_room(root, total)
    for file in needed:
        _download(file)


def _is_whole(file: _File) -> bool:
    return file.path.is_file() and file.path.stat().st_size == file.size


def _listed(name: str, root: Path, train: bool) -> list[_File]:
    """The files of a set as the Hub lists them now."""
    from huggingface_hub import HfApi

    known = SETS[name]
    try:
        info = HfApi().dataset_info(known.repository, files_metadata=True, timeout=PATIENCE)
    except Exception as error:  # of any type, of several libraries
        raise failed(known.repository, error) from error
    files = [
        _File(known.repository, info.sha or "main", s.rfilename, s.size or 0, root / known.folder)
        for s in info.siblings or ()
        if s.rfilename == NAMES or s.rfilename.startswith(("test/", "train/") if train else "test/")
    ]
    there = {file.name for file in files}
    lost = [file for file in (NAMES, f"test/{COUNT}", "test/0.tar") if file not in there]
    if lost:
        raise UserError(
            f"{known.repository} on the Hub has no {lost[0]} any more; look for its new place at "
            f"https://huggingface.co/datasets/{known.repository}"
        )
    return sorted(files, key=lambda file: (file.name != NAMES, file.name.endswith(".tar")))


def _download(file: _File) -> None:
    """Download one file, or continue its download."""
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(
            file.repository,
            file.name,
            repo_type="dataset",
            revision=file.commit,
            local_dir=file.folder,
        )
    except Exception as error:  # of any type, of several libraries
        raise failed(f"{file.repository}/{file.name}", error) from error
    if not _is_whole(file):
        found = file.path.stat().st_size if file.path.exists() else 0
        raise UserError(
            f"{file.path} has {found} bytes, but the Hub states {file.size}; remove it and run this "
            "again"
        )


def read_split(
    root: Path,
    name: str,
    labels: Sequence[int],
    class_names: Sequence[str],
    *,
    part: str = "test",
    border: int = 0,
    **options: Any,
) -> Split:
    """Read the images of a set.

    Args:
        root: the data folder.
        name: of the set; the split of one of ``SHIFTS`` has it too.
        labels: the class that each of the set's own labels means.
        class_names: in the order of the set's labels, to compare with its own list.
        part: ``"test"``, or ``"train"`` where the set has it.
        border: pixels to crop on every side of an image.
        options: of ``Split``.

    Raises:
        UserError: a file is missing or damaged, or the set's classes are in another order.
    """
    folder = root / SETS[name].folder
    fix = command([name], root)
    if not is_here(root, name, part):
        raise UserError(f"{folder} does not exist; to download it, {fix}")
    check_class_names(folder / NAMES, class_names, fix)
    images, own = read_shards(folder / part, border, fix)
    if int(own.max()) >= len(labels):
        raise UserError(
            f"{folder / part} has the label {int(own.max())}, but {name} has {len(labels)} "
            f"classes; remove the folder, and {fix}"
        )
    name = part if name not in SHIFTS else name
    return Split(name, images, torch.tensor(labels)[own], **options)


def load_task(root: Path, name: str, templates: Sequence[str]) -> Task:
    """Load a data set of the Hub as a task of its own, by the class names in its list.

    Without training images on the Hub the task has none; otherwise 10 % of them are ``val``.

    Args:
        root: the data folder.
        name: of the set, and of the task.
        templates: prompts.

    Raises:
        UserError: a file is missing or damaged.
    """
    fix = command([name], root)
    names = _class_names(root / SETS[name].folder / NAMES, fix)
    labels = range(len(names))
    parts = {
        part: read_split(root, name, labels, names, part=part)
        for part in ("train", "test")
        if is_here(root, name, part)
    }
    train, test = parts.get("train"), parts.get("test")
    task = Task(name, tuple(names), tuple(templates), train, None, test, {})
    return task if train is None else task.held_out(0.1)


def _class_names(path: Path, fix: str) -> list[str]:
    return read_lines(path, f"the class names of the set; {fix}")


def check_class_names(path: Path, expected: Sequence[str], fix: str) -> None:
    """Raise unless a list of class names has the expected length and order.

    Labels are places in that list, so with another order each image would count as another class.
    A name that belongs to no class here is no evidence of that: spellings change.

    Raises:
        UserError: the list is missing, has another length, or a name of another class in a line.
    """
    names = _class_names(path, fix)
    if len(names) != len(expected):
        raise UserError(
            f"{path} has {len(names)} class names, not {len(expected)}; remove it, and {fix}"
        )
    place = {name.casefold(): k for k, name in enumerate(expected)}
    for k, (name, own) in enumerate(zip(names, expected, strict=True)):
        if name.casefold() != own.casefold() and name.casefold() in place:
            raise UserError(
                f"{path}, line {k + 1}, is {name!r}, where {own!r} is expected: in another order "
                f"labels would mean other classes; remove the file, and {fix}"
            )
