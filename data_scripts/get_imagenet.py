"""Get ImageNet's test sets from the Hugging Face Hub, and check ImageNet's training images.

The validation set (``test``, 6.9 GB) and the shifts V2, R, A, Sketch and ObjectNet need no account.
They stay in the tar files in which they come. The size of what is missing is printed before it is
downloaded, and an interrupted download is continued.

For training images (``train``, about 140 GB), register at https://image-net.org/download-images and
put ILSVRC2012_img_train.tar and ILSVRC2012_devkit_t12.tar.gz into DATA/imagenet; this script checks
and unpacks them. ObjectNet is a test set: by its terms nothing may be trained on it.
"""

# The authors' own archives, unpacked, are read too, see ``PLACES`` in wiseft_lite/tasks/published/
# imagenet.py; a set that is there in this form is not downloaded. Counts are those of hub.SETS, and
# Russakovsky et al. 2015 for the training images.
import sys
import warnings

from fetching import main, verify

from wiseft_lite import UserError, fetch_test_sets
from wiseft_lite.tasks.published.hub import SETS as HUB
from wiseft_lite.tasks.published.hub import SHIFTS
from wiseft_lite.tasks.published.imagenet import PLACES

SETS = ("test", *SHIFTS, "train")


def training(root):
    """Check and unpack ImageNet's own archive with torchvision."""
    from torchvision.datasets import ImageNet

    if not (root / "imagenet" / "train").is_dir():
        try:
            ImageNet(root / "imagenet", "train")
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"ImageNet's train is missing ({str(error).splitlines()[0]}); register at "
                "https://image-net.org/download-images and put the archives into "
                f"{root / 'imagenet'}"
            ) from error


def run(root, names):
    test_sets = [name for name in names if name != "train"]
    if test_sets:
        fetch_test_sets([name for name in test_sets if not (root / PLACES[name]).is_dir()], root)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="left out")  # sets that nobody asked for
            verify("imagenet-shifts", root, {name: HUB[name].images for name in test_sets})
    if "train" in names:
        training(root)
        verify("imagenet", root, {"train+val": 1281167})


if __name__ == "__main__":
    sys.exit(main(__doc__, run, SETS))
