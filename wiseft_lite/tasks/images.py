"""Sequences of images, decoded when accessed: files, arrays, or a selection of another sequence.

``rgb`` turns every image into RGB; ``load_image`` decodes every file.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite.errors import UserError

ENOUGH = 672  # pixels of the shorter edge, twice the input size of the largest CLIP
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
END = {
    "JPEG": b"\xff\xd9",
    "MPO": b"\xff\xd9",
    "PNG": b"IEND\xaeB`\x82",
    "GIF": b";",
}  # how a whole file ends


def rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB.

    Where Pillow's ``convert("RGB")`` is right, the result has the same bits.

    - Transparency is composed on white: transparent pixels are often black, and a black drawing
      would disappear.
    - 16-bit values keep their upper byte, as in torchvision and scikit-image. Pillow opens some
      16-bit files as 32-bit integers; values in 0..65535 are taken as 16-bit.
    - Floats must be in 0..1, as in scikit-image and torchvision, and are multiplied by 255.

    Raises:
        ValueError: floats outside 0..1, or integers that are not 16-bit, whose white level is
            unknown.

    Example:
        >>> rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
        >>> rgb(Image.new("I;16", (1, 1), 0x80FF)).getpixel((0, 0))
        (128, 128, 128)
    """
    image.load()  # which may turn a TIFF and change its size
    transparent = image.info.get("transparency")
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        grey = Image.fromarray(_eight_bits(values, image))
        if not isinstance(transparent, int):
            return grey.convert("RGB")
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        image = grey
    elif image.mode not in WITH_ALPHA and transparent is None:
        return image.convert("RGB")
    image = image.convert("LA") if image.mode == "La" else image
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert("RGB")


def _eight_bits(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """Convert values of a mode with more than 8 bits to uint8; see ``rgb``."""
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):  # false for NaN too
            raise ValueError(
                f"its floats lie in {low:g}..{high:g}, not in 0..1; save it with 8 or 16 bits"
            )
        return np.rint(values * 255).astype(np.uint8)
    if image.format == "TIFF" and image.mode == "I" or not (low >= 0 and high <= 65535):
        raise ValueError(
            f"its integers are signed or have 32 bits (here {low}..{high}), which does not say what white "
            "is; save it with 8 or 16 bits"
        )
    return (values >> 8).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """Return the camera's orientation by EXIF's numbers; 1 (upright) if the block is damaged.

    The image must be decoded already: decoding rotates a TIFF and removes its number.
    """
    try:
        return image.getexif().get(ORIENTATION, 1)
    except (SyntaxError, struct.error, ValueError, KeyError, TypeError, OSError):
        return 1  # Pillow raises these for a damaged block; the pixels are fine


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """Open an image file and read its header; every failure becomes a ``UserError``.

    Pillow gets the open file, not its name: it rotates files wrongly that it maps into memory by
    name.
    """
    with _named(path), open(path, "rb") as file, Image.open(file) as image:
        yield image, file


@contextmanager
def _named(name: str | Path, fix: str = "replace or remove it") -> Iterator[None]:
    """Turn every failure to read an image into a ``UserError`` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            f"{name} does not exist; download the data again, or remove its row"
        ) from None
    except Exception as error:
        reason = (
            "Pillow does not know its type" if isinstance(error, UnidentifiedImageError) else error
        )
        raise UserError(f"{name} cannot be decoded ({reason}); {fix}") from error


def load_image(path: str | Path, border: int = 0, upright: bool = False) -> Image.Image:
    """Decode an image file as 8-bit RGB; see ``rgb`` and, for the arguments, ``Files``.

    Raises:
        UserError: the file is missing or cannot be decoded.
    """
    with _opened(path) as (file, _):
        return _decoded(file, border, upright)


def decode_image(data: bytes, name: str, border: int = 0) -> Image.Image:
    """Decode the bytes of an image file as ``load_image`` decodes the file.

    Args:
        data: the bytes.
        name: of the image, for messages.
        border: see ``Files``.

    Raises:
        UserError: they cannot be decoded.
    """
    with _named(name, "download it again"), Image.open(io.BytesIO(data)) as file:
        return _decoded(file, border, upright=False)


def _decoded(file: Image.Image, border: int, upright: bool) -> Image.Image:
    """Decode an image whose header has been read; see ``load_image``."""
    if not border:
        file.draft("RGB", (ENOUGH, ENOUGH))
    image = rgb(file)
    turn = TURNS.get(_orientation(file)) if upright else None
    image = image if turn is None else image.transpose(turn)
    return ImageOps.crop(image, border) if border else image


def check_header(path: str | Path) -> str:
    """Check quickly that an image file exists and is complete; return its mode, such as ``"RGB"``.

    Only the header and the end marker of the format are read. A file without its end marker is
    decoded, since many files with appended bytes are sound, and so are files of formats that have
    none. Damage in the middle of a file is found only by decoding every image.

    Raises:
        UserError: the file is missing or cannot be decoded.
    """
    with _opened(path) as (image, file):
        sound = image.mode not in ("I", "F") and _ends_well(image, file)
        mode = image.mode
    if not sound:
        load_image(path)
    return mode


def _ends_well(image: Image.Image, file: BinaryIO) -> bool:
    """Whether an opened file ends with the end marker of its format."""
    size = file.seek(0, os.SEEK_END)
    if image.format == "WEBP":
        return True  # opening it reads all of it
    if isinstance(image, TiffImageFile):
        starts, lengths = (
            image.tag_v2.get(strips) or image.tag_v2.get(tiles) or ()
            for strips, tiles in ((273, 324), (279, 325))
        )
        return 0 < len(starts) == len(lengths) and all(
            s + n <= size for s, n in zip(starts, lengths, strict=False)
        )
    if image.format not in END:
        return False
    file.seek(max(size - 64, 0))
    return file.read().rstrip(b"\0").endswith(END[image.format])


DECODING = (_decoded, rgb, _eight_bits)  # what turns bytes into pixels, to hash with them


class Files(Sequence):
    """Image files as a sequence of RGB images.

    A JPEG with a shorter edge of 1,344 pixels or more, such as a photograph from a phone, is
    decoded at a half, a quarter or an eighth of its size, never below ``ENOUGH``: that is several
    times faster and shows the same image. Most images of ImageNet are smaller and are decoded in
    full.

    Args:
        paths: one per image.
        border: pixels to crop on every side; ObjectNet has a red frame of 2 (wise-ft crops the
            same).
        upright: rotate photographs by their EXIF orientation. The paper's data sets are read
            without, as in the authors' code.
    """

    def __init__(self, paths: Sequence[str | Path], border: int = 0, upright: bool = False):
        self.paths = [
            str(path) for path in paths
        ]  # strings: a million Path objects need much memory
        self.border, self.upright = border, upright

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Image.Image:
        return load_image(self.paths[index], self.border, self.upright)

    def content(self) -> str:
        """Return a hash of the bytes of all files and of how they are decoded."""
        try:
            files = [file_sha256(path) for path in self.paths]
        except OSError as error:
            raise UserError(
                f"{error.filename} cannot be read ({error.strerror}); download the data again, or remove "
                "its row"
            ) from None
        return digest(files, self.border, self.upright, ENOUGH, *DECODING)


class Arrays(Sequence):
    """Arrays of uint8 ``[h, w, 3]`` as a sequence of images.

    Args:
        array: one array ``[n, h, w, 3]``, perhaps mapped from disk, or a list of arrays.
    """

    def __init__(self, array: np.ndarray | Sequence[np.ndarray]):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(np.asarray(self.array[index]))

    def content(self) -> str:
        """Return a hash of the array."""
        return digest(self.array)


class Picked(Sequence):
    """The images of another sequence at given indices, in that order; decoded when accessed."""

    def __init__(self, images: Sequence[Image.Image], rows: Sequence[int]):
        self.images, self.rows = images, list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Image.Image:
        return self.images[self.rows[index]]

    def content(self) -> str | None:
        """Return a hash of the other sequence and the indices; None if it has no hash."""
        whole = self.images.content() if hasattr(self.images, "content") else None
        return None if whole is None else digest(whole, self.rows)


def load_array(path: Path, key: str | None = None) -> np.ndarray:
    """Read a ``.npy`` file, mapped from disk, or the array ``key`` of a ``.npz`` file; no unpickling.

    Raises:
        UserError: the file is missing, truncated, or holds Python objects.
    """
    try:
        loaded = np.load(path, mmap_mode=None if key else "r", allow_pickle=False)
        return loaded[key] if key else loaded
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the data script of this data set") from None
    except Exception as error:
        raise UserError(
            f"{path} is damaged or holds more than numbers ({error}); download it again"
        ) from error
