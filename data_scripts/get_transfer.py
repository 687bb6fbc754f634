"""Get DTD (0.6 GB), SUN397 (37 GB), Food-101 (5 GB) and Stanford Cars.

The page of Stanford Cars is offline, so it comes from the Hugging Face Hub, with the training images
if the Hub has them. The authors' own files are used instead if you put them into DATA/stanford_cars:
devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat, and the images in
cars_train and cars_test.

MD5 sums are those of torchvision. Counts follow from the authors' numbers per class: DTD 40 + 40 +
40 for 47 classes, SUN397 50 + 50 for 397, Food-101 750 + 250 for 101; Stanford Cars states 8,144
and 8,041 in total.
"""

import sys

from fetching import Remote, get, main, verify

from wiseft_lite import UserError, fetch_test_sets

SUN = "https://vision.princeton.edu/projects/2010/SUN"
SETS = {
    "dtd": (
        Remote(
            "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
            "md5:fff73e5086ae6bdbea199a49dfb8a4c1",
            "dtd-r1.0.1.tar.gz",
            "dtd/dtd",
            "dtd",
        ),
    ),
    "sun397": (
        Remote(
            "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
            "md5:8ca2778205c41d23104230ba66911c7a",
            "SUN397.tar.gz",
            "SUN397",
            "SUN397",
        ),
        Remote(f"{SUN}/download/Partitions.zip", "", "SUN397-Partitions.zip", "SUN397/Partitions"),
    ),
    "food101": (
        Remote(
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "md5:85eeb15f3717b99a5da872d97d918f87",
            "food-101.tar.gz",
            "food-101",
            "food-101",
        ),
    ),
    "cars": (),
}
PUBLISHED = {
    "dtd": {"train": 1880, "val": 1880, "test": 1880},
    "sun397": {"train+val": 19850, "test": 19850},
    "food101": {"train+val": 75750, "test": 25250},
    "cars": {"train+val": 8144, "test": 8041},
}


def run(root, names):
    failed = []
    for name in names:
        try:
            for remote in SETS[name]:
                get(remote, root)
            if name == "cars" and not (root / "stanford_cars").is_dir():
                fetch_test_sets([name], root, train=True)
            verify(name, root, PUBLISHED[name])
        except UserError as error:  # the other data sets can still be downloaded
            failed.append(f"{name}: {error}")
    if failed:
        raise UserError(" | ".join(failed))


if __name__ == "__main__":
    sys.exit(main(__doc__, run, list(SETS)))
