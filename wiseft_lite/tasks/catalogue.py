"""The data sets that can be downloaded, by the names that ``load_task`` and the command line know."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wiseft_lite.tasks import Task, cifar, imagenet, transfer, video, wilds

FAMILIES: dict[str, Callable[[Path], Task]] = {
    "imagenet": imagenet.load, "objectnet": imagenet.load_objectnet,
    "vid-robust": video.load_vid, "vid-robust-own": video.load_vid_own,
    "ytbb-robust": video.load_ytbb, "ytbb-robust-own": video.load_ytbb_own,
    "cifar10": cifar.load, "cifar10-c": cifar.load_corrupted, "cifar100": cifar.load_100,
    "cars": transfer.load_cars, "dtd": transfer.load_dtd, "sun397": transfer.load_sun397,
    "food101": transfer.load_food101,
    "fmow": wilds.load_fmow, "iwildcam": wilds.load_iwildcam,
}


def data_folder(data: str | Path | None = None) -> Path:
    """Where downloaded data sets are: ``data``, else the variable ``WISEFT_DATA``, else ``~/data`` as in wise-ft."""
    return Path(data or os.environ.get("WISEFT_DATA") or "~/data").expanduser()
