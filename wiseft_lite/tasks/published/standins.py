"""Stand-ins: tiny data sets in their real layouts, of flat colours, to try the code.

Layouts and class lists are those of the authors' repositories. Numbers measured on a stand-in mean
nothing.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wiseft_lite.errors import unknown
from wiseft_lite.tasks.published.hub import COUNT, NAMES, SETS
from wiseft_lite.tasks.published.imagenet import PUBLISHED, imagenet_classes

COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 180, 40))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Encode an image as a file's bytes, with Pillow's options of the format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = [encoded(Image.new("RGB", (12, 12), colour)) for colour in COLOURS]
PNG = [encoded(Image.new("RGB", (12, 12), colour), "PNG") for colour in COLOURS]


def write(path: Path, content: bytes | str) -> None:
    """Write a file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)


def tree(
    folder: Path, names: Sequence[str], ending: str, n: int = 1, images: Sequence[bytes] = JPEG
) -> None:
    """Write a folder of class folders with ``n`` images each."""
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            (folder / name / f"{name}_{i}.{ending}").write_bytes(images[(k + i) % 4])


def shards(
    folder: Path,
    images: Sequence[bytes],
    labels: Sequence[int],
    class_names: Sequence[str],
    ending: str = "jpg",
    per_shard: int = 400,
) -> None:
    """Write a test set as the Hub has it: tar files of images and labels, and the class names.

    Args:
        folder: of the set.
        images: the bytes of each image.
        labels: places in ``class_names``.
        class_names: of the set.
        ending: of the images.
        per_shard: number of images in a tar file.
    """
    starts = range(0, len(images), per_shard)
    write(folder / NAMES, "\n".join(class_names) + "\n")
    write(folder / "zeroshot_classification_templates.txt", "a photo of a {c}.\n")
    write(folder / "test" / COUNT, f"{len(starts)}\n")
    for k, start in enumerate(starts):
        with tarfile.open(folder / "test" / f"{k}.tar", "w") as tar:
            for i in range(start, min(start + per_shard, len(images))):
                members = {"cls": str(int(labels[i])).encode(), ending: images[i]}
                for kind, data in members.items():
                    entry = tarfile.TarInfo(f"s{i:07d}.{kind}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))


def imagenet_hub(root: Path) -> None:
    """Write ImageNet's validation set and its five shifts as the Hub has them, one image per class."""
    names = imagenet_classes()[1]
    subsets = {"r": PUBLISHED["imagenet_r"], "a": PUBLISHED["imagenet_a"]}
    for name in ("test", "v2", "r", "a", "sketch"):
        own = [names[k] for k in subsets.get(name, range(1000))]
        images = [JPEG[k % 4] for k in range(len(own))]
        shards(root / SETS[name].folder, images, range(len(own)), own)
    own = [label.lower() for _, label, _ in PUBLISHED["objectnet"]]
    images = [encoded(framed(), "PNG")] * len(own)
    shards(root / SETS["objectnet"].folder, images, range(len(own)), own, "png")


def framed() -> Image.Image:
    """Return an image with a red frame of 2 pixels, as ObjectNet's."""
    image = Image.new("RGB", (20, 16), "red")
    image.paste(COLOURS[1], (2, 2, 18, 14))
    return image


def imagenet(root: Path) -> None:
    """Write ImageNet alone: two training images and one validation image per class."""
    ids = imagenet_classes()[0]
    tree(root / "imagenet" / "train", ids, "JPEG", n=2)
    tree(root / "imagenet" / "val", ids, "JPEG")


def imagenet_shifts(root: Path) -> None:
    """Write ImageNetV2 (folders 0 to 999), R and A (200 WordNet ids each), Sketch and ObjectNet."""
    ids = imagenet_classes()[0]
    tree(root / "imagenetv2-matched-frequency-format-val", [str(k) for k in range(1000)], "jpeg")
    for name in ("r", "a"):
        tree(root / f"imagenet-{name}", [ids[k] for k in PUBLISHED[f"imagenet_{name}"]], "jpg")
    (root / "imagenet-r" / "README.txt").write_text("as in the archive")
    tree(root / "sketch", ids, "JPEG")
    objectnet(root / "objectnet-1.0")


def objectnet(folder: Path) -> None:
    """Write ObjectNet: its 113 shared classes and two others, with a red frame of 2 pixels."""
    shared = PUBLISHED["objectnet"]
    tree(
        folder / "images",
        [name for name, _, _ in shared] + ["air_freshener", "yoga_mat"],
        "png",
        images=[encoded(framed(), "PNG")] * 4,
    )
    # Class index to line: a permutation, as in the real file.
    order = {k: (7 * k) % 1000 for k in range(1000)}
    lines = [""] * 1000
    for k, line in order.items():
        lines[line] = f"label {k}, other name"
    titles = {name: label for name, label, _ in shared} | {
        "air_freshener": "Air freshener",
        "yoga_mat": "Yoga mat",
    }
    maps = folder / "mappings"
    write(maps / "folder_to_objectnet_label.json", json.dumps(titles))
    write(
        maps / "objectnet_to_imagenet_1k.json",
        json.dumps(
            {label: "; ".join(f"label {k}, other name" for k in ids) for _, label, ids in shared}
        ),
    )
    write(maps / "pytorch_to_imagenet_2012_id.json", json.dumps(order))
    write(maps / "imagenet_to_label_2012_v2", "\n".join(lines) + "\n")


def vid_robust(root: Path) -> None:
    """Write two clips: one has a frame of two classes, the other a frame 4 before its anchor."""
    folder = root / "imagenet_vid_ytbb_robust" / "imagenet-vid-robust"
    ids = imagenet_classes()[0]
    write(
        folder / "misc" / "imagenet_vid_class_index.json",
        json.dumps({k: [wnid, name] for k, (wnid, name, _) in enumerate(PUBLISHED["vid"])}),
    )
    write(
        folder / "misc" / "rev_wnid_map.json",
        json.dumps({wnid: [ids[k] for k in group] for wnid, _, group in PUBLISHED["vid"]}),
    )
    one, two = "val/ILSVRC2015_val_00000000", "val/ILSVRC2015_val_00000001"
    labels = {
        f"{one}/000440.JPEG": [26],
        f"{one}/000442.JPEG": [26],
        f"{one}/000443.JPEG": [26, 4],
        f"{two}/000010.JPEG": [8],
        f"{two}/000006.JPEG": [8],
    }
    write(folder / "metadata" / "labels.json", json.dumps(labels))
    write(
        folder / "metadata" / "pmsets.json",
        json.dumps(
            {
                f"{one}/000442.JPEG": [f"{one}/000440.JPEG", f"{one}/000443.JPEG"],
                f"{two}/000010.JPEG": [f"{two}/000006.JPEG"],
            }
        ),
    )
    for k, path in enumerate(labels):
        write(folder / path, JPEG[k % 4])


def ytbb_robust(root: Path) -> None:
    """Write anchors: dog, car, cow (not in ImageNet), one with an unsure reviewer, one whose pair
    calls it bad."""
    folder = root / "ytbb-robust"
    words = ["good", "unsure", "bad", *(name for name, _ in PUBLISHED["ytbb"])]
    pair = ["similar", "dissimilar", "bad-anchor", "correct"]
    keys = {
        "dog": "aaa_1000/frame-30.jpg",
        "car": "b_b_2000/frame-60.jpg",
        "cow": "ccc_3000/frame-90.jpg",
        "doubted": "ddd_4000/frame-120.jpg",
        "bad": "eee_5000/frame-150.jpg",
    }
    reviews = {
        "dog": [0, words.index("cat")],
        "car": [0],
        "cow": [0],
        "doubted": [0, 1],
        "bad": [0],
    }
    meta = folder / "metadata"
    write(
        meta / "anchor_labels.json",
        json.dumps(
            {
                "labels": words,
                "annotations": [
                    {"key": keys[name], "notes": "", "labels": labels}
                    for name, labels in reviews.items()
                ],
            }
        ),
    )
    write(
        meta / "pmk_labels.json",
        json.dumps(
            {
                "labels": pair,
                "annotations": [
                    {
                        "key": f"anchors/{keys['dog']},frames/aaa_1000/frame-32.jpg",
                        "labels": [0, 3],
                    },
                    {"key": f"anchors/{keys['dog']},frames/aaa_1000/frame-33.jpg", "labels": [1]},
                    {"key": f"{keys['bad']},eee_5000/frame-151.jpg", "labels": [0, 2]},
                ],
            }
        ),
    )
    write(
        meta / "ytbb_class_index.json",
        json.dumps({k: name for k, (name, _) in enumerate(PUBLISHED["ytbb"])}),
    )
    write(
        meta / "rev_class_idx_map.json",
        json.dumps({k: ids for k, (_, ids) in enumerate(PUBLISHED["ytbb"]) if ids}),
    )
    write(
        meta / "ytbb_robustness_test_anchors_full.csv",
        "ytid,time_ms,label\naaa,1000,19\nb_b,2000,22\nccc,3000,6\nddd,4000,1\neee,5000,1\n",
    )  # in this file, 22 is a car
    for k, key in enumerate([*keys.values(), "aaa_1000/frame-32.jpg", "aaa_1000/frame-33.jpg"]):
        write(folder / "ytbb_videos" / key, JPEG[k % 4])


def binary(labels: Sequence[int], head: int) -> bytes:
    """Encode CIFAR's records: label bytes, then the red, green and blue planes of 32 x 32."""
    return b"".join(
        bytes([9] * (head - 1) + [label]) + b"".join(bytes([c]) * 1024 for c in COLOURS[label % 4])
        for label in labels
    )


def flat(labels: Sequence[int]) -> np.ndarray:
    """Return images of one colour per class, uint8 ``[n, 32, 32, 3]``."""
    return np.stack([np.full((32, 32, 3), COLOURS[label % 4], np.uint8) for label in labels])


def cifar10(root: Path) -> None:
    """Write CIFAR-10 with 10.1 and 10.2: per class five training images and one in each test set."""
    names = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    folder, ten = root / "cifar-10-batches-bin", list(range(10))
    write(folder / "batches.meta.txt", "\n".join(names) + "\n\n")
    for k in range(1, 6):
        write(folder / f"data_batch_{k}.bin", binary(ten, 1))
    write(folder / "test_batch.bin", binary(ten, 1))
    for name in ("CIFAR-10.1", "CIFAR-10.2"):
        (root / name).mkdir()
    np.save(root / "CIFAR-10.1" / "cifar10.1_v6_data.npy", flat(ten))
    np.save(root / "CIFAR-10.1" / "cifar10.1_v6_labels.npy", np.array(ten, np.int32))
    np.savez(
        root / "CIFAR-10.2" / "cifar102_test.npz",
        images=flat(ten),
        labels=np.array(ten),
        label_names=np.array(names),
        keywords=np.array(["x"] * 10, dtype=object),
    )


def fmow(root: Path) -> None:
    """Write FMoW: 62 categories in three splits before 2013, and a shift of six images in two regions
    and a country without one."""
    folder = root / "fmow_v1.1"
    names = PUBLISHED["fmow"]
    rows = [
        (part, name, "USA", "2010-05-01T00:00:00Z")
        for part in ("train", "val", "test")
        for name in names
    ]
    rows += [
        ("seq", "zoo", "USA", "2010-05-01T00:00:00Z"),
        ("test", "zoo", "USA", "2014-05-01T00:00:00Z"),
    ]
    rows += [
        ("test", "zoo", code, "2016-01-01T00:00:00.5Z")
        for code in ("USA", "USA", "KEN", "KEN", "XKX", "XKX")
    ]
    write(
        folder / "rgb_metadata.csv",
        "split,category,country_code,timestamp\n" + "\n".join(",".join(row) for row in rows) + "\n",
    )
    write(
        folder / "country_code_mapping.csv",
        "name,alpha-3,region\nUnited States,USA,Americas\nKenya,KEN,Africa\n",
    )
    for k in range(len(rows)):
        write(folder / "images" / f"rgb_img_{k}.png", PNG[k % 4])


def iwildcam(root: Path) -> None:
    """Write iWildCam: a list of 182 species, and a few images of four of them."""
    folder = root / "iwildcam_v2.0"
    species = (Path(__file__).resolve().parent / "iwildcam_names.csv").read_text()
    names = [line.split(",")[0] for line in species.splitlines()[1:]]
    write(
        folder / "categories.csv",
        "y,category_id,name\n"
        + "".join(f"{y},{y + 1},{name}\n" for y, name in enumerate(names))
        + "99999,400,didelphis sp\n",
    )
    lines = [
        "split,location_remapped,location,sequence_remapped,seq_id,y,category_id,datetime,filename,image_id"
    ]
    for part, labels in (
        ("train", [0, 1, 2, 3]),
        ("val", [1]),
        ("test", [0, 0, 2]),
        ("id_val", [1]),
        ("id_test", [0, 2]),
    ):
        for i, y in enumerate(labels):
            lines.append(
                f"{part},0,0,0,s,{y},{y + 1},2013-01-01 00:00:00.000,{part}{i}.jpg,{part}{i}"
            )
            write(folder / "train" / f"{part}{i}.jpg", JPEG[y % 4])
    write(folder / "metadata.csv", "\n".join(lines) + "\n")


BUILDERS = {
    "cifar10": (cifar10,),
    "imagenet": (imagenet, imagenet_shifts),
    "imagenet-shifts": (imagenet_hub,),
    "vid-robust": (imagenet, vid_robust),
    "ytbb-robust": (imagenet, ytbb_robust),
    "fmow": (fmow,),
    "iwildcam": (iwildcam,),
}


def build(root: str | Path, names: Sequence[str]) -> None:
    """Write stand-ins of these tasks below a folder, each in the layout that ``load_task`` reads.

    Args:
        root: an empty folder.
        names: of ``BUILDERS``; files that two of them need are written once.

    Raises:
        UserError: a task without a stand-in.
    """
    for name in names:
        if name not in BUILDERS:
            raise unknown("stand-in", name, BUILDERS)
    for builder in dict.fromkeys(builder for name in names for builder in BUILDERS[name]):
        builder(Path(root))
