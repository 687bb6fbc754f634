"""The data sets that can be downloaded, by their names in ``load_task`` and on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wiseft_lite.tasks.published import cifar, hub, imagenet, transfer, video, wilds
from wiseft_lite.tasks.types import Task


@dataclass(frozen=True)
class Family:
    """A data set that can be downloaded.

    Args:
        load: reads it from the data folder.
        places: files or folders that it needs there; ``|`` separates alternatives.
        script: in data_scripts; downloads it, or explains how to get it.
    """

    load: Callable[[Path], Task]
    places: tuple[str, ...]
    script: str

    def missing(self, root: Path) -> list[str]:
        """Return the places that are not in the data folder; nothing is read."""
        return [
            place
            for place in self.places
            if not any((root / name).exists() for name in place.split("|"))
        ]


VID = "imagenet_vid_ytbb_robust/imagenet-vid-robust|imagenet-vid-robust"
YTBB = "imagenet_vid_ytbb_robust/ytbb-robust/metadata|ytbb-robust/metadata"
# of ImageNet's test sets, from their authors or from the Hub
EITHER = {name: f"{place}|{hub.SETS[name].folder}" for name, place in imagenet.PLACES.items()}
IMAGENET = ("imagenet/train", EITHER["test"])
SHIFTS = tuple(EITHER[name] for name in hub.SHIFTS)

FAMILIES = {
    "imagenet": Family(imagenet.load, (*IMAGENET, *SHIFTS), "get_imagenet.py"),
    "imagenet-shifts": Family(
        imagenet.load_shifts, ("|".join(EITHER.values()),), "get_imagenet.py"
    ),
    "objectnet": Family(imagenet.load_objectnet, (EITHER["objectnet"],), "get_imagenet.py"),
    "vid-robust": Family(video.load_vid, (*IMAGENET, VID), "get_video.py"),
    "vid-robust-own": Family(video.load_vid_own, (*IMAGENET, VID), "get_video.py"),
    "ytbb-robust": Family(video.load_ytbb, (*IMAGENET, YTBB), "get_video.py"),
    "ytbb-robust-own": Family(video.load_ytbb_own, (*IMAGENET, YTBB), "get_video.py"),
    "cifar10": Family(
        cifar.load, ("cifar-10-batches-bin", "CIFAR-10.1", "CIFAR-10.2"), "get_cifar.py"
    ),
    "cifar10-c": Family(
        cifar.load_corrupted, ("cifar-10-batches-bin", "CIFAR-10-C"), "get_cifar.py"
    ),
    "cifar100": Family(cifar.load_100, ("cifar-100-binary",), "get_cifar.py"),
    "cars": Family(
        transfer.load_cars, (f"stanford_cars|{hub.SETS['cars'].folder}",), "get_transfer.py"
    ),
    "dtd": Family(transfer.load_dtd, (f"dtd/dtd|{hub.SETS['dtd'].folder}",), "get_transfer.py"),
    "sun397": Family(
        transfer.load_sun397, (f"SUN397/Partitions|{hub.SETS['sun397'].folder}",), "get_transfer.py"
    ),
    "food101": Family(
        transfer.load_food101, (f"food-101|{hub.SETS['food101'].folder}",), "get_transfer.py"
    ),
    "fmow": Family(wilds.load_fmow, ("fmow_v1.1",), "get_wilds.py"),
    "fmow-clean": Family(wilds.load_fmow_clean, ("fmow_v1.1",), "get_wilds.py"),
    "iwildcam": Family(wilds.load_iwildcam, ("iwildcam_v2.0",), "get_wilds.py"),
}


def data_folder(data: str | Path | None = None) -> Path:
    """Return the folder of downloaded data sets: ``data``, else ``$WISEFT_DATA``, else ``~/data`` as
    in wise-ft."""
    return Path(data or os.environ.get("WISEFT_DATA") or "~/data").expanduser()
