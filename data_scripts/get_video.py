"""Get ImageNet-Vid-Robust and YTBB-Robust, with YTBB's reviews from wise-ft.

ImageNet itself comes from get_imagenet.py. The archive has no published checksum, so this script
checks that every listed frame exists, and counts the 1,109 anchors of Vid-Robust (Shankar et al.
2021; modestyachts/imagenet-testbed). The reviews are checked by their git hashes.
"""

import sys

from fetching import Remote, get, main, verify

AWS = "https://do-imagenet-classifiers-generalize-across-time.s3-us-west-2.amazonaws.com"
WISE = (
    "https://raw.githubusercontent.com/mlfoundations/wise-ft/58b7a4b343b09dc06606aa929c2ef51accced8d1/src/datasets/"
    "ytbb-robust_metadata"
)
BLOBS = {
    "anchor_labels.json": "adfad1004e2a2bf6b94616911dfb55ce8c884eb8",
    "pmk_labels.json": "1a6c1fc81cba20d704e5b80c2cbb4c8ec3f8ae04",
    "rev_class_idx_map.json": "de456d429b9723d65e6d2acdf92ab9d454fa174c",
    "ytbb_class_index.json": "0c852d5605a4ba726cef4e96720fc45e9c61d85b",
    "ytbb_robustness_test_anchors_full.csv": "d8ca38553f58ce5995e7c8f629f6b42b754ec310",
}


def run(root):
    get(
        Remote(
            f"{AWS}/imagenet_vid_ytbb_robust.tar.gz",
            "",
            "imagenet_vid_ytbb_robust.tar.gz",
            "imagenet_vid_ytbb_robust",
            "imagenet_vid_ytbb_robust",
        ),
        root,
    )
    for name, blob in BLOBS.items():
        get(
            Remote(
                f"{WISE}/{name}",
                f"git:{blob}",
                f"imagenet_vid_ytbb_robust/ytbb-robust/metadata/{name}",
            ),
            root,
        )
    verify("vid-robust", root, {"pm-0": 1109})
    verify("ytbb-robust", root, {})


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
