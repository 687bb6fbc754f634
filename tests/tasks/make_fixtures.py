"""Write each data set in its real layout with a few tiny images: ``python
tests/tasks/make_fixtures.py FOLDER``.

The stand-ins of the package, and the data sets beside them; every image is one of four flat
colours.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from wiseft_lite.tasks.published import standins
from wiseft_lite.tasks.published.standins import JPEG, PNG, PUBLISHED, binary, write


def cifar_others(root):
    """CIFAR-10-C and CIFAR-100."""
    (root / "CIFAR-10-C").mkdir()
    np.save(root / "CIFAR-10-C" / "labels.npy", np.array([1, 2] * 5, np.uint8))
    grey = np.repeat(np.arange(5, dtype=np.uint8), 2 * 3072).reshape(
        10, 32, 32, 3
    )  # as bright as it is severe
    for name in [
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
        "speckle_noise",
    ]:
        np.save(root / "CIFAR-10-C" / f"{name}.npy", grey)
    hundred = root / "cifar-100-binary"
    write(
        hundred / "fine_label_names.txt",
        "\n".join([*(f"class_{k}" for k in range(99)), "worm"]) + "\n",
    )
    write(hundred / "train.bin", binary(list(range(100)) * 2, 2))
    write(hundred / "test.bin", binary(list(range(100)), 2))


def cars(root):
    from scipy.io import savemat

    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = np.array([f"Maker Model {k} 2012" for k in range(196)], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    kinds = [
        (name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    ]
    for part, path, n in (
        ("train", "devkit/cars_train_annos.mat", 2),
        ("test", "cars_test_annos_withlabels.mat", 1),
    ):
        rows = [(1, 1, 9, 9, k % 196 + 1, f"{k + 1:05}.jpg") for k in range(196 * n)]
        savemat(folder / path, {"annotations": np.array(rows, dtype=kinds)})
        for row in rows:
            write(folder / f"cars_{part}" / row[5], JPEG[row[4] % 4])


def dtd(root):
    folder, names = (
        root / "dtd" / "dtd",
        ["banded", "polka-dotted", *(f"texture_{k:02}" for k in range(45))],
    )
    for i, part in enumerate(("train", "val", "test")):
        files = [f"{name}/{name}_{i:04}.jpg" for name in names]
        write(folder / "labels" / f"{part}1.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / "images" / file, JPEG[k % 4])


def sun397(root):
    folder = root / "SUN397"
    names = ["/a/abbey", "/a/apartment_building/outdoor", *(f"/z/scene_{k}" for k in range(395))]
    write(folder / "ClassName.txt", "\n".join(names) + "\n")
    for part, n in (("Training_01", 2), ("Testing_01", 1)):
        files = [f"{name}/sun_{part[:2]}{i}.jpg" for name in names for i in range(n)]
        write(folder / "Partitions" / f"{part}.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / file.lstrip("/"), JPEG[k % 4])


def food101(root):
    folder, names = root / "food-101", ["apple_pie", *(f"dish_{k:03}" for k in range(100))]
    write(folder / "meta" / "classes.txt", "\n".join(names) + "\n")
    for part, first in (("train", 1000), ("test", 2000)):
        files = [f"{name}/{first + i}" for name in names for i in range(2)]
        write(folder / "meta" / f"{part}.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / "images" / f"{file}.jpg", JPEG[k % 4])


def fmow_measured(root):
    """FMoW before 2013 and after, in five regions; the worst of all is "Other", and one shows a
    single class."""
    folder, names = root / "fmow_v1.1", PUBLISHED["fmow"]
    rows = [
        (part, name, "USA", "2010-05-01T00:00:00Z") for part in ("train", "val") for name in names
    ]
    rows += [
        ("test", names[k % 20], "USA", "2012-12-31T23:59:59Z") for k in range(40)
    ]  # 42 classes are absent
    rows += [
        ("val", "zoo", "USA", "2014-05-01T00:00:00Z"),
        ("test", "zoo", "KEN", "2015-12-31T23:59:59Z"),
        ("seq", "zoo", "KEN", "2016-05-01T00:00:00Z"),
    ]
    for code, n in (
        ("USA", 30),
        ("KEN", 20),
        ("FRA", 25),
        ("JPN", 12),
        ("AUS", 9),
        ("XKX", 15),
        ("FRA", 5),
    ):
        rows += [
            ("test", "dam" if code == "AUS" else names[7 * k % 62], code, "2016-01-01T00:00:00Z")
            for k in range(n)
        ]
    write(
        folder / "rgb_metadata.csv",
        "split,category,country_code,timestamp\n" + "\n".join(",".join(row) for row in rows) + "\n",
    )
    write(
        folder / "country_code_mapping.csv",
        "name,alpha-3,region\nUnited States,USA,Americas\nKenya,KEN,Africa\n"
        "France,FRA,Europe\nJapan,JPN,Asia\nAustralia,AUS,Oceania\n",
    )
    for k in range(len(rows)):
        write(folder / "images" / f"rgb_img_{k}.png", PNG[k % 4])


def iwildcam_measured(root):
    """iWildCam with 7 of the 182 species on known cameras, one of them once, and 5 on new ones."""
    standins.iwildcam(root)
    folder = root / "iwildcam_v2.0"
    lines = (folder / "metadata.csv").read_text().splitlines()[:1]
    for part, labels in (
        ("train", range(182)),
        ("id_val", [1, 2]),
        ("val", [5] * 4),
        ("id_test", [0] * 20 + [1, 2, 3, 4] * 5 + [5] * 3 + [181]),
        ("test", [0] * 15 + [7, 8, 9] * 6 + [100]),
    ):
        for i, y in enumerate(labels):
            lines.append(
                f"{part},0,0,0,s,{y},{y + 1},2013-01-01 00:00:00.000,{part}_{i}.jpg,{part}_{i}"
            )
            write(folder / "train" / f"{part}_{i}.jpg", JPEG[y % 4])
    write(folder / "metadata.csv", "\n".join(lines) + "\n")


def vid_measured(root):
    """Vid-Robust: twelve clips with frames on both sides; each third clip has a frame that shows
    two classes."""
    standins.vid_robust(root)
    folder = root / "imagenet_vid_ytbb_robust" / "imagenet-vid-robust"
    shutil.rmtree(folder / "val")
    labels, sets = {}, {}
    for clip in range(12):
        frame = f"val/ILSVRC2015_val_{clip:08}/{{:06}}.JPEG".format
        own = (5 * clip) % 30
        for k in range(-10, 11, 2 + clip % 4 * 3):
            labels[frame(50 + k)] = [own, (own + 1) % 30] if clip % 3 == 0 and k > 0 else [own]
        labels[frame(50)] = [own]
        sets[frame(50)] = [
            path for path in labels if path.startswith(frame(0)[:-11]) and path != frame(50)
        ]
    write(folder / "metadata" / "labels.json", json.dumps(labels))
    write(folder / "metadata" / "pmsets.json", json.dumps(sets))
    for k, path in enumerate(labels):
        write(folder / path, JPEG[k % 4])


def ytbb_measured(root):
    """YTBB-Robust: anchors of classes that ImageNet lacks, added labels, second reviews, pairs with
    every verdict."""
    standins.ytbb_robust(root)
    folder = root / "ytbb-robust"
    shutil.rmtree(folder / "ytbb_videos")
    words = ["good", "unsure", "bad", *(name for name, _ in PUBLISHED["ytbb"])]
    pair = [
        "similar",
        "dissimilar",
        "problematic",
        "incorrect",
        "dont know",
        "deformation",
        "background-change",
        "occlusion-increased",
        "blur-increase",
        "bad-anchor",
        "correct",
    ]
    no = words.index
    anchors = {  # clip: the class of the table (which counts car as 22 and none as 23), and its reviews in turn
        "dog": (19, [[0]]),
        "car": (22, [[0]]),
        "none": (23, [[0]]),
        "cow": (6, [[0]]),
        "giraffe": (8, [[0]]),
        "cow_and_dog": (6, [[0, no("dog")]]),
        "dog_and_cow": (19, [[0, no("cow")]]),
        "cat_or_bird": (7, [[0, no("bird")]]),
        "doubted": (1, [[0, 1]]),
        "bad": (1, [[2]]),
        "unreviewed": (1, [[no("bird")]]),
        "bad_pair": (1, [[0]]),
        "taken_back": (1, [[0], [0, 2]]),
        "made_good": (1, [[1], [0]]),
        "bus": (4, [[0]]),
        "boat": (3, [[0]]),
        "boat_again": (3, [[0]]),
        "person": (0, [[0]]),
        "umbrella": (21, [[0]]),
        "alone": (20, [[0]]),
    }
    reviews, pairs, files = [], [], []
    for i, (clip, (_, turns)) in enumerate(anchors.items()):
        key = f"{clip}_{1000 * i}/frame-{30 + i}.jpg"
        files.append(key)
        long = f"one/of/many/folders/{key}" if i % 2 else key
        reviews += [{"key": long, "notes": "", "labels": turn} for turn in turns]
        verdicts = (
            [[0], [0, 10], [1], [0, 1 + i % 8], [0], [10], []]
            if clip not in ("alone", "cow")
            else []
        )
        for offset, verdict in zip((-10, -3, 1, 4, 10, 7, -1), verdicts, strict=False):
            files.append(f"{clip}_{1000 * i}/frame-{30 + i + offset}.jpg")
            pairs.append(
                {"key": f"{key},{files[-1]}", "labels": [0, 9] if clip == "bad_pair" else verdict}
            )
        if clip == "dog":
            files.append(f"{clip}_{1000 * i}/frame-{30 + i + 12}.jpg")
            pairs.append({"key": f"{key},{files[-1]}", "labels": [0]})  # similar, but too far away
            pairs.append({"key": pairs[0]["key"], "labels": [1]})  # a second review
    meta = folder / "metadata"
    write(meta / "anchor_labels.json", json.dumps({"labels": words, "annotations": reviews}))
    write(meta / "pmk_labels.json", json.dumps({"labels": pair, "annotations": pairs}))
    write(
        meta / "ytbb_robustness_test_anchors_full.csv",
        "ytid,time_ms,label\n"
        + "".join(
            f"{clip},{1000 * i},{label}\n" for i, (clip, (label, _)) in enumerate(anchors.items())
        ),
    )
    for k, file in enumerate(files):
        write(folder / "ytbb_videos" / file, JPEG[k % 4])


def build_measured(root):
    """Larger fixtures of the data sets whose measure is not plain accuracy over all classes."""
    standins.build(root, ["imagenet"])
    for builder in (fmow_measured, iwildcam_measured, vid_measured, ytbb_measured):
        builder(Path(root))


BUILDERS = (cifar_others, cars, dtd, sun397, food101)


def build(root):
    standins.build(root, standins.BUILDERS)
    for builder in BUILDERS:
        builder(Path(root))


if __name__ == "__main__":
    build(sys.argv[1])
