"""The lines of ``wiseft-lite tasks`` and ``doctor``: tasks, versions, device, disk, data sets."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wiseft_lite._runtime.cache import cache_folder
from wiseft_lite.tasks import load_task, task_names
from wiseft_lite.tasks.published.catalogue import FAMILIES, data_folder

PACKAGES = (
    "wiseft-lite",
    "torch",
    "torchvision",
    "open_clip_torch",
    "timm",
    "numpy",
    "pandas",
    "scipy",
    "matplotlib",
)
SCRIPTS = (
    Path(__file__).resolve().parents[2] / "data_scripts"
)  # in a clone; not in what pip installs


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} is missing: pip install {name}")
    return ", ".join(found)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
        return ", ".join(f"{card.name} ({card.total_memory / 2**30:.0f} GiB)" for card in cards)
    if torch.backends.mps.is_available():
        return "an Apple GPU, which is not used: everything runs on the CPU"
    in_colab = (
        "; for a GPU: Runtime > Change runtime type > T4 GPU"
        if "COLAB_RELEASE_TAG" in os.environ
        else ""
    )
    return f"no GPU; {torch.get_num_threads()} CPU threads, enough for IconShift and small probes{in_colab}"


def _processes() -> str:
    """What a launch of several processes would use, and with which launcher."""
    import torch

    gpus = torch.cuda.device_count()
    if gpus > 1:
        use = f"{gpus} GPUs, one process each"
    elif gpus:
        use = "one process: there is one GPU"
    else:
        use = (
            "one process: there is no GPU; torchrun --nproc-per-node 2 -m wiseft_lite ... starts "
            "two on the CPU"
        )
    try:
        return (
            f"accelerate {version('accelerate')}; accelerate launch -m wiseft_lite ... uses {use}"
        )
    except PackageNotFoundError:
        return f"accelerate is missing: pip install 'wiseft-lite[gpu]'; torchrun does as well, for {use}"


def _disk(folder: Path) -> str:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    return f"{folder}: {free:.0f} GB free" + ("" if folder.exists() else ", does not exist yet")


def tasks() -> list[str]:
    """Return a line for each task in the package, with its sizes, and what else ``--task`` takes."""
    lines = []
    for name in task_names():
        task = load_task(name)
        lines.append(
            f"{name:10} {len(task.class_names):4} classes; "
            + ", ".join(f"{split} {len(images)}" for split, images in task.splits.items())
        )
    return [
        *lines,
        f"to download, see 'wiseft-lite doctor': {', '.join(FAMILIES)}",
        "your own images: the path of a folder or of a .csv file",
    ]


def report(data: str | Path | None = None) -> list[str]:
    """Return lines on what is installed, where a model would run, and how to get missing data sets.

    Nothing is loaded or downloaded; a data set counts as present if its folders are.

    Args:
        data: folder of the data sets (default: ``$WISEFT_DATA``, or ``~/data``).
    """
    root = data_folder(data)
    lines = [
        f"Python    {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"packages  {_versions()}",
        f"device    {_device()}",
        f"processes {_processes()}",
        f"data      {_disk(root)}",
        f"cache     {_disk(cache_folder())}",
    ]
    missing = {name: family.missing(root) for name, family in FAMILIES.items()}
    if any(missing.values()) and not SCRIPTS.is_dir():
        lines.append(
            "The scripts below are in the repository; clone it and type these lines there."
        )
    for name, lacks in missing.items():
        script = (SCRIPTS if SCRIPTS.is_dir() else Path("data_scripts")) / FAMILIES[name].script
        what = ", ".join(lacks).replace("|", " or ")
        command = shlex.join(["python", _relative(script), "--data", str(root)])
        fix = f"{command} (missing: {what})"
        lines.append(f"{name:16} {fix if lacks else 'present'}")
    return lines


def _relative(path: Path) -> str:
    """A path as one would type it in the current folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
