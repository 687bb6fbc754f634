"""Where a split's pictures come from: files, arrays, or a choice of another sequence; decoded when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from wiseft_lite.digest import digest, file_sha256
from wiseft_lite.errors import UserError


ENOUGH = 672  # pixels of the shorter edge, twice what the largest CLIP takes in


class Files(Sequence):
    """Image files as a sequence of RGB pictures.

    A JPEG with a shorter edge of 1,344 pixels or more, such as a photograph from a phone, is decoded at a half, a
    quarter or an eighth of its size, never below ``ENOUGH``: that is several times faster and shows the same picture.
    ImageNet's are as a rule smaller and are decoded whole.

    Args:
        paths: one for each picture.
        border: pixels to cut off on every side; ObjectNet has a red frame of 2 (wise-ft cuts as much).
        upright: turn photographs as their cameras noted (EXIF). The paper's data sets are read as they lie, as in the
            authors' code.
    """

    def __init__(self, paths: Sequence[str | Path], border: int = 0, upright: bool = False):
        self.paths = [str(path) for path in paths]  # strings: a million Paths are heavy
        self.border, self.upright = border, upright

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        path = self.paths[index]
        try:
            with Image.open(path) as file:
                if not self.border:
                    file.draft("RGB", (ENOUGH, ENOUGH))
                picture = (ImageOps.exif_transpose(file) if self.upright else file).convert("RGB")
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; download the data again, or leave the row out") from None
        except Exception as error:
            raise UserError(f"{path} is no image that can be decoded ({error}); replace or remove it") from error
        return ImageOps.crop(picture, self.border) if self.border else picture

    def content(self) -> str:
        try:
            return digest([file_sha256(path) for path in self.paths], self.border, ENOUGH)
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read ({error.strerror}); download the data again, or leave "
                            "the row out") from None


class Arrays(Sequence):
    """A uint8 array ``[n, h, w, 3]`` as a sequence of pictures; it may be mapped from disk."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(np.asarray(self.array[index]))

    def content(self) -> str:
        return digest(self.array)


class Picked(Sequence):
    """Some places of another sequence, in a given order; nothing is decoded until it is asked for."""

    def __init__(self, images: Sequence[Image.Image], rows: Sequence[int]):
        self.images, self.rows = images, list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Image.Image:
        return self.images[self.rows[index]]

    def content(self) -> str | None:
        whole = self.images.content() if hasattr(self.images, "content") else None
        return None if whole is None else digest(whole, self.rows)


def load_array(path: Path, key: str | None = None) -> np.ndarray:
    """The array of a ``.npy`` file, mapped from disk, or the one under ``key`` in a ``.npz`` file; never unpickled.

    Raises:
        UserError: the file is missing, cut short, or holds Python objects.
    """
    try:
        loaded = np.load(path, mmap_mode=None if key else "r", allow_pickle=False)
        return loaded[key] if key else loaded
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the data script of this data set") from None
    except Exception as error:
        raise UserError(f"{path} is damaged or holds more than numbers ({error}); download it again") from error
