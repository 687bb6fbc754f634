"""Get ImageNet (about 150 GB) and its shifts V2, R, A, Sketch (8 GB) and ObjectNet.

ImageNetV2, ImageNet-R and ImageNet-A are downloaded. The others you must get yourself:

ImageNet   register at https://image-net.org/download-images and put ILSVRC2012_img_train.tar,
           ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into DATA/imagenet; this script
           checks and unpacks them.
Sketch     https://github.com/HaohanWang/ImageNet-Sketch links to Google Drive and Kaggle; unzip it
           so that DATA/sketch/n01440764 exists.
ObjectNet  https://objectnet.dev: accept its terms (it is a test set and must not be trained on),
           download objectnet-1.0.zip and unzip it so that DATA/objectnet-1.0/images and
           DATA/objectnet-1.0/mappings exist.
"""

# Sources of the counts: Russakovsky et al. 2015 for ImageNet; the READMEs of
# modestyachts/ImageNetV2 (10,000) and hendrycks/imagenet-r (30,000, 200 classes);
# modestyachts/imagenet-testbed for A (7,500). ImageNet-Sketch's README states 50,000, its archive
# has 50,889 (dataset viewer of Hugging Face, songweig/imagenet_sketch). For ObjectNet's 113
# classes no count by the authors was found, so none is expected. The MD5 sums of R and A are those
# that torch-uncertainty and other loaders check; the authors publish none.
import sys

from fetching import Remote, get, main, verify

from wiseft_lite import UserError

HENDRYCKS = "https://people.eecs.berkeley.edu/~hendrycks"
FILES = (
    Remote(
        "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
        "",
        "imagenetv2-matched-frequency.tar.gz",
        "imagenetv2-matched-frequency-format-val",
        "imagenetv2-matched-frequency-format-val",
    ),
    Remote(
        f"{HENDRYCKS}/imagenet-r.tar",
        "md5:a61312130a589d0ca1a8fca1f2bd3337",
        "imagenet-r.tar",
        "imagenet-r",
        "imagenet-r",
    ),
    Remote(
        f"{HENDRYCKS}/imagenet-a.tar",
        "md5:c3e55429088dc681f30d81f4726b6595",
        "imagenet-a.tar",
        "imagenet-a",
        "imagenet-a",
    ),
)


def reference(root):
    """Check and unpack ImageNet's own archives with torchvision."""
    from torchvision.datasets import ImageNet

    for split in ("train", "val"):
        if not (root / "imagenet" / split).is_dir():
            try:
                ImageNet(root / "imagenet", split)
            except (RuntimeError, OSError) as error:
                raise UserError(
                    f"ImageNet's {split} is missing ({str(error).splitlines()[0]}); register at "
                    "https://image-net.org/download-images and put the archives into "
                    f"{root / 'imagenet'}"
                ) from error


def run(root):
    for remote in FILES:
        get(remote, root)
    reference(root)
    verify(
        "imagenet",
        root,
        {"train+val": 1281167, "test": 50000, "v2": 10000, "r": 30000, "a": 7500, "sketch": 50889},
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
