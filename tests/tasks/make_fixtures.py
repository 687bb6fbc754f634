"""Write each data set in its real layout with a few tiny images: ``python tests/tasks/make_fixtures.py FOLDER``.

The stand-ins of the package, and the data sets beside them; every picture is one of four flat colours.
"""

import sys
from pathlib import Path

import numpy as np

from wiseft_lite.tasks import standins
from wiseft_lite.tasks.standins import JPEG, binary, write


def cifar_others(root):
    """CIFAR-10-C and CIFAR-100."""
    (root / "CIFAR-10-C").mkdir()
    np.save(root / "CIFAR-10-C" / "labels.npy", np.array([1, 2] * 5, np.uint8))
    grey = np.repeat(np.arange(5, dtype=np.uint8), 2 * 3072).reshape(10, 32, 32, 3)  # as bright as it is severe
    for name in ("gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
                 "brightness contrast elastic_transform pixelate jpeg_compression speckle_noise").split():
        np.save(root / "CIFAR-10-C" / f"{name}.npy", grey)
    hundred = root / "cifar-100-binary"
    write(hundred / "fine_label_names.txt", "\n".join([*(f"class_{k}" for k in range(99)), "worm"]) + "\n")
    write(hundred / "train.bin", binary(list(range(100)) * 2, 2))
    write(hundred / "test.bin", binary(list(range(100)), 2))


def cars(root):
    from scipy.io import savemat

    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = np.array([f"Maker Model {k} 2012" for k in range(196)], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    kinds = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    for part, path, n in (("train", "devkit/cars_train_annos.mat", 2), ("test", "cars_test_annos_withlabels.mat", 1)):
        rows = [(1, 1, 9, 9, k % 196 + 1, f"{k + 1:05}.jpg") for k in range(196 * n)]
        savemat(folder / path, {"annotations": np.array(rows, dtype=kinds)})
        for row in rows:
            write(folder / f"cars_{part}" / row[5], JPEG[row[4] % 4])


def dtd(root):
    folder, names = root / "dtd" / "dtd", ["banded", "polka-dotted", *(f"texture_{k:02}" for k in range(45))]
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


BUILDERS = (cifar_others, cars, dtd, sun397, food101)


def build(root):
    standins.build(root, standins.BUILDERS)
    for builder in BUILDERS:
        builder(Path(root))


if __name__ == "__main__":
    build(sys.argv[1])
