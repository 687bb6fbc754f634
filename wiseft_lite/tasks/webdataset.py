"""Read data sets in WebDataset form: images and labels in tar files, which are not unpacked.

A tar file, called a shard, holds two members for each image, ``KEY.webp`` (or ``.jpg``, ``.png``) and
``KEY.cls`` with the label as text. ``read_shards`` goes through the headers once and keeps where each
image begins, so that any image is one read.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import DECODING, ENOUGH, decode_image

IMAGE_ENDINGS = ("webp", "jpg", "jpeg", "png")
BLOCK = 512  # bytes; a whole tar file ends with a block of zeros


class TarImages(Sequence):
    """Images in tar files as a sequence of RGB images, each read at its offset when accessed.

    The index takes some 40 bytes for each image. Nothing is kept open, so worker processes can have
    copies.

    Args:
        paths: the tar files.
        shard: int ``[n]``, the file of each image, as an index into ``paths``.
        offset: int ``[n]``, where its bytes begin.
        size: int ``[n]``, how many there are.
        names: ``n`` names of members, for messages.
        border: pixels to crop on every side; see ``images.Files``.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        shard: np.ndarray,
        offset: np.ndarray,
        size: np.ndarray,
        names: np.ndarray,
        border: int = 0,
    ):
        self.paths = [str(path) for path in paths]
        self.shard, self.offset, self.size, self.names = shard, offset, size, names
        self.border = border

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, index: int) -> Image.Image:
        path = self.paths[self.shard[index]]
        try:
            with open(path, "rb") as file:
                file.seek(int(self.offset[index]))
                data = file.read(int(self.size[index]))
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}); download it again"
            ) from error
        return decode_image(data, f"{path}: {self.names[index].decode()}", self.border)

    def content(self) -> str:
        """Return a hash of the bytes of all files and of how images are decoded."""
        files = [file_sha256(path) for path in self.paths]
        return digest(files, self.offset, self.size, self.border, ENOUGH, *DECODING)


class Entry(NamedTuple):
    """An image in a tar file, and its label."""

    name: str
    offset: int
    size: int
    label: int


def read_shards(folder: Path, border: int = 0, fix: str = "") -> tuple[TarImages, Tensor]:
    """Return the images and the labels ``[n]`` of a split in WebDataset form.

    Args:
        folder: holds ``nshards.txt``, a number, and the files ``0.tar``, ``1.tar`` and so on.
        border: pixels to crop on every side of an image.
        fix: what downloads a missing or damaged file again, for messages.

    Raises:
        UserError: a file is missing, cut short or no tar file, or an image has no label.
    """
    count = folder / "nshards.txt"
    fix = fix or "download it again"
    try:
        paths = [folder / f"{k}.tar" for k in range(int(count.read_text()))]
    except (OSError, ValueError) as error:
        raise UserError(f"{count} is missing or is no number ({error}); {fix}") from error
    shards = [list(_entries(path, fix)) for path in paths]
    entries = [entry for shard in shards for entry in shard]
    images = TarImages(
        paths,
        np.repeat(np.arange(len(paths)), [len(shard) for shard in shards]),
        np.array([entry.offset for entry in entries], np.int64),
        np.array([entry.size for entry in entries], np.int64),
        np.array([entry.name.encode() for entry in entries]),
        border,
    )
    return images, torch.tensor([entry.label for entry in entries])


def _entries(path: Path, fix: str) -> Iterator[Entry]:
    """Yield the images of a shard in their order, each with its label."""
    if not path.is_file():
        raise UserError(f"{path} is missing; {fix}")
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # keeps all that was read
                key, _, ending = os.path.basename(member.name).partition(".")
                if ending == "cls":
                    file = tar.extractfile(member)
                    labels[key] = file.read(32).decode() if file else ""
                elif ending in IMAGE_ENDINGS:
                    images[key] = os.path.basename(member.name), member.offset_data, member.size
            end = tar.offset
        _check_end(path, end)
    except (tarfile.TarError, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is cut short or is no tar file ({error}); remove it, and {fix}"
        ) from error
    for key, (name, offset, size) in images.items():
        label = labels.pop(key, None)
        if label is None or not label.strip().isdigit():
            what = "no label" if label is None else f"the label {label!r}, which is no number"
            raise UserError(f"{path}: {name} has {what} ({key}.cls); remove the file, and {fix}")
        yield Entry(name, offset, size, int(label))
    if labels:
        raise UserError(
            f"{path}: {next(iter(labels))}.cls has no image; remove the file, and {fix}"
        )


def _check_end(path: Path, offset: int) -> None:
    """Raise unless the end marker lies at an offset; ``tarfile`` does without it."""
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(BLOCK) != bytes(BLOCK):
            raise tarfile.ReadError("its end is missing")
