"""Measure how many photographs one core decodes, from folders and from tar files:

python data_scripts/bench_decoding.py

The images are of 500 x 375 pixels, as many of ImageNet, as JPEG and as lossless WebP, which the Hub
has; each is preprocessed for ViT-B/32. Processor time is counted, so that other programs do not matter.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import arguments
import numpy as np
import torch
from PIL import Image

from wiseft_lite import Split
from wiseft_lite.data import ImageDataset
from wiseft_lite.encoders import Origin, build_encoder, open_clip_config
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.published.standins import encoded, shards
from wiseft_lite.tasks.webdataset import read_shards

N, REPEATS = 300, 3


def photograph() -> Image.Image:
    """Return noise at several scales, which compresses about as a photograph does."""
    generator = np.random.default_rng(0)
    total = np.zeros((375, 500, 3))
    for height, width, weight in ((6, 8, 0.5), (24, 32, 0.25), (94, 125, 0.15), (375, 500, 0.1)):
        noise = generator.integers(0, 256, (height, width, 3), np.uint8)
        total += weight * np.asarray(Image.fromarray(noise).resize((500, 375)), float)
    return Image.fromarray(total.astype(np.uint8))


def rate(split: Split, preprocess) -> float:
    """Return the images per second of processor time, the best of a few repeats."""
    dataset, best = ImageDataset(split, preprocess), 0.0
    for _ in range(REPEATS):
        started = time.process_time()
        for i in range(len(dataset)):
            dataset[i]
        best = max(best, len(dataset) / (time.process_time() - started))
    return best


def main() -> None:
    arguments.parser(__doc__).parse_args()
    torch.set_num_threads(1)
    origin = Origin("ViT-B-32-quickgelu/none", open_clip_config("ViT-B-32-quickgelu/none"))
    _, preprocess = build_encoder(origin)
    image, labels = photograph(), torch.zeros(N)
    print("images per second and core")
    for kind, options in (("JPEG", {"quality": 90}), ("WEBP", {"lossless": True})):
        data, ending = encoded(image, kind, **options), kind.lower()
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for i in range(N):
                (root / f"{i}.{ending}").write_bytes(data)
            shards(root / "set", [data] * N, [0] * N, ["x"], ending.replace("jpeg", "jpg"), 100)
            files = rate(Split("files", Files(sorted(root.glob("*.*"))), labels), preprocess)
            tars = rate(Split("tars", read_shards(root / "set" / "test")[0], labels), preprocess)
        print(
            f"{kind}, {len(data) // 1000} kB: {files:.0f} from folders, {tars:.0f} from tar files"
        )


if __name__ == "__main__":
    main()
