"""Stanford Cars, DTD, SUN397 and Food-101, in the layouts that torchvision uses or from the Hub.

Where the data folder lacks a set in its authors' layout and has it as the Hub does, see ``hub.SETS``,
that is read.

The lists are read here because torchvision's data sets return a label only with its decoded image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.published import hub
from wiseft_lite.tasks.types import Split, Task

CARS = tuple(
    f"a photo of {kind}{{}}."
    for kind in ("a ", "the ", "my ", "my dirty ", "my clean ", "my new ", "my old ")
) + ("i love my {}!",)
DTD = tuple(
    f"a photo of {article} {{}} {thing}."
    for article in ("a", "the")
    for thing in ("texture", "pattern", "thing", "object")
)
SUN397 = ("a photo of a {}.", "a photo of the {}.")
FOOD101 = ("a photo of {}, a type of food.",)


def _lines(path: Path, script: str) -> list[str]:
    if not path.exists():
        raise UserError(f"{path} does not exist; see data_scripts/{script}")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def _split(
    name: str, folder: Path, files: Sequence[str], classes: Sequence[str], number: dict[str, int]
) -> Split:
    """Make a split of listed files, and check that they exist: a truncated archive lacks the last."""
    for file, label in zip(files, classes, strict=True):
        if label not in number:
            raise UserError(
                f"{folder}: {file} has class {label!r}, which is not in the list of classes; "
                "download the lists again"
            )
    lost = [file for file in files if not (folder / file).is_file()]
    if lost:
        raise UserError(
            f"{folder / lost[0]} is listed for {name} but does not exist, and {len(lost) - 1} more; "
            "the archive is truncated: unpack it again"
        )
    return Split(
        name, Files([folder / file for file in files]), torch.tensor([number[c] for c in classes])
    )


def _counted(names: Sequence[str], count: int, source: Path) -> dict[str, int]:
    if len(names) != count:
        raise UserError(f"{source} gives {len(names)} classes, not {count}; download it again")
    return {name: k for k, name in enumerate(names)}


def _only_from_hub(folder: Path, root: Path, name: str) -> bool:
    return not folder.is_dir() and hub.is_here(root, name)


def load_cars(root: Path) -> Task:
    """Load Stanford Cars (196 classes) from ``stanford_cars``; 10 % of train is ``val``.

    Layout: ``stanford_cars/{devkit,cars_train,cars_test}``.

    Source: Krause et al. 2013; prompts from Radford et al. 2021.
    """
    from scipy.io import loadmat

    folder = root / "stanford_cars"
    if _only_from_hub(folder, root, "cars"):
        return hub.load_task(root, "cars", CARS)

    def table(path: Path, key: str):
        try:
            return loadmat(path, squeeze_me=True)[key]
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; see data_scripts/get_transfer.py") from None
        except Exception as error:
            raise UserError(f"{path} is damaged ({error}); download it again") from error

    meta = folder / "devkit" / "cars_meta.mat"
    names = [str(name) for name in table(meta, "class_names")]
    number = _counted(names, 196, meta)

    def part(name: str, annotations: Path) -> Split:
        rows = table(annotations, "annotations")
        files, labels = (
            [str(row["fname"]) for row in rows],
            [names[int(row["class"]) - 1] for row in rows],
        )
        return _split(name, folder / f"cars_{name}", files, labels, number)

    train = part("train", folder / "devkit" / "cars_train_annos.mat")
    test = part("test", folder / "cars_test_annos_withlabels.mat")
    return Task("cars", tuple(names), CARS, train, train, test, {}).held_out(0.1)


def load_dtd(root: Path) -> Task:
    """Load Describable Textures (47 classes), the first partition, with its own ``val``.

    Layout: ``dtd/dtd/{images,labels}``.

    Source: Cimpoi et al. 2014; prompts from Radford et al. 2021.
    """
    folder = root / "dtd" / "dtd"
    if _only_from_hub(folder, root, "dtd"):
        return hub.load_task(root, "dtd", DTD)
    lists = {
        part: _lines(folder / "labels" / f"{part}1.txt", "get_transfer.py")
        for part in ("train", "val", "test")
    }
    names = sorted({file.split("/")[0] for files in lists.values() for file in files})
    number = _counted(names, 47, folder / "labels")
    train, val, test = (
        _split(part, folder / "images", files, [file.split("/")[0] for file in files], number)
        for part, files in lists.items()
    )
    return Task("dtd", tuple(name.replace("_", " ") for name in names), DTD, train, val, test, {})


def load_sun397(root: Path) -> Task:
    """Load SUN397 (397 classes), the first partition, from ``SUN397``; 10 % of train is ``val``.

    ``Training_01.txt`` and ``Testing_01.txt`` are those of the authors' Partitions.zip, in
    ``SUN397/Partitions``.

    Source: Xiao et al. 2010; prompts from Radford et al. 2021.
    """
    folder = root / "SUN397"
    if _only_from_hub(folder, root, "sun397"):
        return hub.load_task(root, "sun397", SUN397)
    listed = folder / "ClassName.txt"
    names = _lines(listed, "get_transfer.py")
    number = _counted(names, 397, listed)

    def part(name: str, file: str) -> Split:
        files = _lines(folder / "Partitions" / file, "get_transfer.py")
        return _split(
            name,
            folder,
            [f.lstrip("/") for f in files],
            [f.rsplit("/", 1)[0] for f in files],
            number,
        )

    train, test = part("train", "Training_01.txt"), part("test", "Testing_01.txt")
    words = tuple(name.split("/", 2)[2].replace("/", " ").replace("_", " ") for name in names)
    return Task("sun397", words, SUN397, train, train, test, {}).held_out(0.1)


def load_food101(root: Path) -> Task:
    """Load Food-101 (101 classes) from ``food-101/{images,meta}``; 10 % of train is ``val``.

    Source: Bossard et al. 2014; prompts from Radford et al. 2021.
    """
    folder = root / "food-101"
    if _only_from_hub(folder, root, "food101"):
        return hub.load_task(root, "food101", FOOD101)
    listed = folder / "meta" / "classes.txt"
    names = _lines(listed, "get_transfer.py")
    number = _counted(names, 101, listed)

    def part(name: str) -> Split:
        files = _lines(folder / "meta" / f"{name}.txt", "get_transfer.py")
        return _split(
            name,
            folder / "images",
            [f"{file}.jpg" for file in files],
            [file.split("/")[0] for file in files],
            number,
        )

    train, test = part("train"), part("test")
    return Task(
        "food101", tuple(n.replace("_", " ") for n in names), FOOD101, train, train, test, {}
    ).held_out(0.1)
