"""How large the downloads of the book are and how long they take; the pages take their numbers here.

``data_scripts/fill_numbers.py`` writes them where a page has a tag, as it does with the ledger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wiseft_lite.errors import unknown

MEGABITS = 100  # per second, the network that all minutes assume
# photographs of 500 x 375 pixels in lossless WebP that one core decodes in a second, and 200 as JPEG;
# measured on one machine by data_scripts/bench_decoding.py
DECODED = 130


@dataclass(frozen=True)
class Size:
    """The size of a download.

    Args:
        gigabytes: 10^9 bytes.
        how: ``"computed"`` from an architecture at 4 bytes a number, ``"measured"`` here, or
            ``"stated"`` by its authors or the server that has it.
    """

    gigabytes: float
    how: str

    @property
    def minutes(self) -> float:
        """How long it takes at ``MEGABITS``; computed."""
        return self.gigabytes * 8000 / MEGABITS / 60


SIZES = {
    "package": Size(0.02, "measured"),
    "torch": Size(2.0, "stated"),  # with CUDA's libraries, on Linux
    "ViT-B-32": Size(0.605, "computed"),  # both encoders
    "ViT-B-16": Size(0.598, "computed"),
    "ViT-L-14": Size(1.710, "computed"),
    "ViT-L-14-336": Size(1.712, "computed"),
    "model-soups/b32": Size(0.456, "computed"),  # each; no blocks of a text encoder
    "model-soups/vit-l14": Size(1.373, "computed"),  # each
    "all 72 of model-soups/b32": Size(72 * 0.456, "computed"),
    "both of model-soups/vit-l14": Size(2 * 1.373, "computed"),
    "cifar10": Size(0.2, "stated"),  # with 10.1 and 10.2
    "cifar100": Size(0.2, "stated"),
    "cifar10-c": Size(2.9, "stated"),
    "food101": Size(5.0, "stated"),
    "dtd": Size(0.6, "stated"),
    "fmow": Size(54.0, "stated"),
    "iwildcam": Size(12.0, "stated"),
    "imagenet": Size(150.0, "stated"),  # training images and all
    "imagenet-val": Size(6.9, "stated"),
    "imagenet-a": Size(0.696, "stated"),
    # sizes of their authors' archives: the files on the Hub may differ, and their size is printed
    # before the download
    "imagenetv2": Size(1.3, "stated"),
    "imagenet-r": Size(2.2, "stated"),
    "imagenet-sketch": Size(8.0, "stated"),
}


def size_table(names: Sequence[str]) -> pd.DataFrame:
    """Return the sizes of downloads, one row each, and their sum.

    Args:
        names: of ``SIZES``.

    Returns:
        ``what, GB, minutes, how``; minutes are computed at ``MEGABITS`` per second.

    Raises:
        UserError: an unknown name.

    Example:
        >>> size_table(["ViT-B-32", "imagenet-a"]).round(1)["minutes"].tolist()
        [0.8, 0.9, 1.7]
    """
    for name in names:
        if name not in SIZES:
            raise unknown("download", name, SIZES)
    rows = [(name, SIZES[name].gigabytes, SIZES[name].minutes, SIZES[name].how) for name in names]
    table = pd.DataFrame(rows, columns=["what", "GB", "minutes", "how"])
    total = pd.DataFrame([{"what": "sum", **table[["GB", "minutes"]].sum(), "how": ""}])
    return pd.concat([table, total], ignore_index=True)
