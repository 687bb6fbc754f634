"""CIFAR-10 with 10.1, 10.2 and CIFAR-10-C, and CIFAR-100, read without unpickling."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Arrays, load_array
from wiseft_lite.tasks.types import Split, Task

IMAGE_BYTES = 3 * 32 * 32
TEMPLATES = tuple(
    f"a {kind}photo of {article} {size}{{}}."
    for article in ("a", "the")
    for kind, size in (
        ("", ""),
        ("blurry ", ""),
        ("black and white ", ""),
        ("low contrast ", ""),
        ("high contrast ", ""),
        ("bad ", ""),
        ("good ", ""),
        ("", "small "),
        ("", "big "),
    )
)
CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)


def _binary(name: str, paths: list[Path], head: int) -> Split:
    """Read a split from binary batches: records of ``head`` label bytes, the last of which is the
    label, and 3072 bytes of pixels."""
    parts = []
    for path in paths:
        if not path.exists():
            raise UserError(
                f"{path} does not exist; data_scripts/get_cifar.py downloads the binary version"
            )
        records = np.fromfile(path, dtype=np.uint8)
        if len(records) == 0 or len(records) % (head + IMAGE_BYTES):
            raise UserError(
                f"{path} is truncated ({len(records)} bytes are not a whole number of images); "
                "download the archive again"
            )
        parts.append(records.reshape(-1, head + IMAGE_BYTES))
    records = np.concatenate(parts)
    images = records[:, head:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(name, Arrays(images), torch.from_numpy(records[:, head - 1].astype(np.int64)))


def _names(path: Path, count: int) -> tuple[str, ...]:
    if not path.exists():
        raise UserError(
            f"{path} does not exist; data_scripts/get_cifar.py downloads the binary version"
        )
    names = tuple(line.replace("_", " ") for line in path.read_text().split())
    if len(names) != count:
        raise UserError(
            f"{path} has {len(names)} class names, not {count}; download the archive again"
        )
    return names


def _arrays(name: str, images: np.ndarray, labels: np.ndarray, source: Path) -> Split:
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
        raise UserError(
            f"{source} holds {images.dtype} {images.shape}, not uint8 [n, 32, 32, 3]; download it again"
        )
    return Split(name, Arrays(images), torch.from_numpy(labels.astype(np.int64)))


def cifar10(root: Path) -> Task:
    """Load CIFAR-10 alone; 10 % of the training images are held out as ``val``."""
    folder = root / "cifar-10-batches-bin"
    train = _binary("train", [folder / f"data_batch_{k}.bin" for k in range(1, 6)], 1)
    test = _binary("test", [folder / "test_batch.bin"], 1)
    return Task(
        "cifar10", _names(folder / "batches.meta.txt", 10), TEMPLATES, train, train, test, {}
    ).held_out(0.1)


def load(root: Path) -> Task:
    """Load CIFAR-10 with CIFAR-10.1 (v6) and the test set of CIFAR-10.2, 2,000 images each.

    Layouts, below the data folder: ``cifar-10-batches-bin/*.bin``,
    ``CIFAR-10.1/cifar10.1_v6_{data,labels}.npy``, ``CIFAR-10.2/cifar102_test.npz``.

    Raises:
        UserError: CIFAR-10 or both shifts are missing; a truncated file.

    Source: Recht et al. 2018; Lu et al. 2020; the WiSE-FT paper, table 6; prompts from Radford et
    al. 2021.
    """
    task, shifts = cifar10(root), {}
    one, two = root / "CIFAR-10.1", root / "CIFAR-10.2" / "cifar102_test.npz"
    if one.exists():
        path = one / "cifar10.1_v6_data.npy"
        shifts["10.1"] = _arrays(
            "10.1", load_array(path), load_array(one / "cifar10.1_v6_labels.npy"), path
        )
    if two.exists():
        shifts["10.2"] = _arrays("10.2", load_array(two, "images"), load_array(two, "labels"), two)
    elif two.with_suffix(".npy").exists():
        raise UserError(
            f"{two.with_suffix('.npy')} is a pickle and is not opened; data_scripts/get_cifar.py downloads "
            "cifar102_test.npz of the same repository"
        )
    missing = [str(path) for path in (one, two) if not path.exists()]
    if len(missing) == 2:
        raise UserError(f"neither {one} nor {two} exists; run data_scripts/get_cifar.py")
    if missing:
        warnings.warn(
            f"left out, because it is missing: {missing[0]}; run data_scripts/get_cifar.py",
            stacklevel=2,
        )
    return Task(
        task.name, task.class_names, task.templates, task.train, task.val, task.test, shifts
    )


def load_corrupted(root: Path, severity: int = 5) -> Task:
    """Load CIFAR-10 with the 15 corruptions of ``CIFAR-10-C/*.npy`` at one severity.

    Args:
        root: the data folder.
        severity: 1 to 5; each file has the 10,000 test images at every severity in turn.

    Raises:
        UserError: a missing or truncated file, another severity.

    Source: Hendrycks and Dietterich 2019.
    """
    if severity not in range(1, 6):
        raise UserError(f"severity {severity} is not one of 1 to 5; give one of them")
    task, folder, shifts = cifar10(root), root / "CIFAR-10-C", {}
    labels = load_array(folder / "labels.npy")
    size = len(labels) // 5
    part = slice((severity - 1) * size, severity * size)
    for name in CORRUPTIONS:
        path = folder / f"{name}.npy"
        images = load_array(path)
        if len(images) != len(labels):
            raise UserError(
                f"{path} has {len(images)} images but labels.npy {len(labels)}; download the archive again"
            )
        shifts[name] = _arrays(name, images[part], labels[part], path)
    return Task(
        "cifar10-c", task.class_names, task.templates, task.train, task.val, task.test, shifts
    )


def load_100(root: Path) -> Task:
    """Load CIFAR-100 with its fine labels from ``cifar-100-binary``; 10 % of the training images are
    held out as ``val``."""
    folder = root / "cifar-100-binary"
    train, test = (_binary(part, [folder / f"{part}.bin"], 2) for part in ("train", "test"))
    names = _names(folder / "fine_label_names.txt", 100)
    return Task("cifar100", names, TEMPLATES, train, train, test, {}).held_out(0.1)
