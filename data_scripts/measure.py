"""What can be measured on a drawn icon: its style, and a fingerprint that finds copies."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image
from scipy import ndimage

COPY_DISTANCE = (
    0.045  # root mean square grey difference, of 1, below which two icons are one drawing
)


def grey(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def fingerprint(image: np.ndarray) -> np.ndarray:
    """uint8 ``[256]``: grey, cropped to the ink, padded to a square, 16 x 16. Copies differ in
    margin and size, seldom in this."""
    picture = grey(image)
    ink = np.abs(picture - picture[0, 0]) > 24
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    if not len(rows):
        return np.full(256, 255, np.uint8)
    box = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(box.shape)
    square = np.full((side, side), picture[0, 0], np.float32)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box
    small = Image.fromarray(square.astype(np.uint8)).resize((16, 16), Image.Resampling.BOX)
    return np.asarray(small).reshape(-1)


def is_coloured(image: np.ndarray) -> bool:
    picture = image.astype(np.int16)
    chroma = picture.max(-1) - picture.min(-1)
    ink = (picture.min(-1) < 230).sum()
    return (chroma > 40).sum() > 0.08 * max(ink, 1)


def flat_grey(image: np.ndarray) -> float:
    """Share of the ink that is an even mid grey: the second tone of a two-tone icon."""
    picture = grey(image)
    middle = (picture > 60) & (picture < 238)
    even = (ndimage.maximum_filter(picture, 3) - ndimage.minimum_filter(picture, 3)) < 6
    return float((middle & even).sum() / max((picture < 238).sum(), 1))


def solidity(image: np.ndarray) -> float:
    """Share of the ink that lies deeper than a 5-pixel-wide line could hold: 0 for line
    drawings."""
    ink = grey(image) < 128
    core = ndimage.binary_erosion(ink, np.ones((6, 6)), border_value=0)
    return float(core.sum() / max(ink.sum(), 1))


def copies(queries: np.ndarray, others: np.ndarray, block: int = 2048) -> np.ndarray:
    """bool ``[n]``: which of ``queries`` (fingerprints) have a copy in ``others``."""
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
    """bool ``[n]``: which fingerprints copy one that comes before them and is itself kept."""
    scaled = prints.astype(np.float32) / 255
    squares = (scaled * scaled).sum(1)
    limit = 256 * COPY_DISTANCE**2
    dropped = np.zeros(len(prints), bool)
    for i in range(1, len(prints)):
        distance = squares[:i] + squares[i] - 2 * scaled[:i] @ scaled[i]
        dropped[i] = bool(((distance < limit) & ~dropped[:i]).any())
    return dropped


def codes(prints: np.ndarray) -> np.ndarray:
    """uint64 ``[n]``: one number for each fingerprint at 16 grey levels; equal numbers mean a
    copy."""
    levels = (prints >> 4).astype(np.uint8)
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "big")
            for row in levels
        ],
        dtype=np.uint64,
    )
