"""Measurements on a drawn icon: its style, and a fingerprint to detect copies."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image
from scipy import ndimage

# Root mean square grey difference, of 1, below which two icons are the same drawing.
COPY_DISTANCE = 0.045


def grey(image: np.ndarray) -> np.ndarray:
    """Return the luma of an image, float32."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def fingerprint(image: np.ndarray) -> np.ndarray:
    """Return uint8 ``[256]``: grey, cropped to the ink, padded to a square, resized to 16 x 16.

    Copies of a drawing differ in margin and size, but rarely in this.
    """
    luma = grey(image)
    ink = np.abs(luma - luma[0, 0]) > 24
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return np.full(256, 255, np.uint8)
    box = luma[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(box.shape)
    square = np.full((side, side), luma[0, 0], np.float32)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box
    small = Image.fromarray(square.astype(np.uint8)).resize((16, 16), Image.Resampling.BOX)
    return np.asarray(small).reshape(-1)


def is_coloured(image: np.ndarray) -> bool:
    """Whether more than 8 % of the ink is coloured."""
    values = image.astype(np.int16)
    chroma = values.max(-1) - values.min(-1)
    ink = (values.min(-1) < 230).sum()
    return (chroma > 40).sum() > 0.08 * max(ink, 1)


def flat_grey(image: np.ndarray) -> float:
    """Return the fraction of the ink that is an even mid grey: the second tone of two-tone icons."""
    luma = grey(image)
    middle = (luma > 60) & (luma < 238)
    even = (ndimage.maximum_filter(luma, 3) - ndimage.minimum_filter(luma, 3)) < 6
    return float((middle & even).sum() / max((luma < 238).sum(), 1))


def solidity(image: np.ndarray) -> float:
    """Return the fraction of the ink that is left after erosion by 6 x 6: 0 for line drawings."""
    ink = grey(image) < 128
    core = ndimage.binary_erosion(ink, np.ones((6, 6)), border_value=0)
    return float(core.sum() / max(ink.sum(), 1))


def copies(queries: np.ndarray, others: np.ndarray, block: int = 2048) -> np.ndarray:
    """Return bool ``[n]``: which fingerprints ``queries`` have a copy in ``others``."""
    found = np.zeros(len(queries), bool)
    if not len(others):
        return found
    b = others.astype(np.float32) / 255
    b2 = (b * b).sum(1)
    limit = 256 * COPY_DISTANCE**2
    for start in range(0, len(queries), block):
        a = queries[start : start + block].astype(np.float32) / 255
        nearest = (b2[None] - 2 * a @ b.T).min(1) + (a * a).sum(1)
        found[start : start + block] = nearest < limit
    return found


def copy_of_earlier(prints: np.ndarray) -> np.ndarray:
    """Return bool ``[n]``: which fingerprints copy an earlier one that is kept."""
    scaled = prints.astype(np.float32) / 255
    squares = (scaled * scaled).sum(1)
    limit = 256 * COPY_DISTANCE**2
    dropped = np.zeros(len(prints), bool)
    for i in range(1, len(prints)):
        distance = squares[:i] + squares[i] - 2 * scaled[:i] @ scaled[i]
        dropped[i] = bool(((distance < limit) & ~dropped[:i]).any())
    return dropped


def codes(prints: np.ndarray) -> np.ndarray:
    """Return uint64 ``[n]``, a hash of each fingerprint at 16 grey levels; equal for copies."""
    levels = (prints >> 4).astype(np.uint8)
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "big")
            for row in levels
        ],
        dtype=np.uint64,
    )
