"""Get WILDS FMoW (54 GB, version 1.1) and iWildCam (12 GB, version 2.0).

--only fmow or --only iwildcam gets one of them. The addresses are those of the wilds package. The
server, worksheets.codalab.org, has had an expired certificate since June 2026 and was
reported down in August (issues 4606 of codalab/codalab-worksheets and 174 of p-lambda/wilds). An
archive from elsewhere, such as the unofficial copy of iWildCam at
huggingface.co/datasets/emmilly/iwildcam-wilds-v2, can be put at DATA/iwildcam_v2.0.tar.gz or
DATA/fmow_v1.1.tar.gz: this script then unpacks and checks it.

The archives have no published checksum, so this script checks that every file of their metadata
exists, and compares the counts that public code confirms.
"""

import sys

from fetching import Remote, get, main, verify

BUNDLES = "https://worksheets.codalab.org/rest/bundles"
SETS = {
    "fmow": (
        "0xaec91eb7c9d548ebb15e1b5e60f966ab",
        "fmow_v1.1",
        {"train": 76863, "test": 11327, "ood": 22108},
    ),
    "iwildcam": (
        "0x6313da2b204647e79a14b468131fcd64",
        "iwildcam_v2.0",
        {"train": 129809, "val": 7314, "test": 8154, "ood": 42791},
    ),
}  # the last three counts are from the card of that copy


def run(root, names):
    for name in names:
        bundle, folder, published = SETS[name]
        get(Remote(f"{BUNDLES}/{bundle}/contents/blob/", "", f"{folder}.tar.gz", folder), root)
        verify(name, root, published)


if __name__ == "__main__":
    sys.exit(main(__doc__, run, list(SETS)))
