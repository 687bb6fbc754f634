"""Get CIFAR-10 with 10.1 and 10.2 (0.2 GB), CIFAR-100 (0.2 GB) and CIFAR-10-C (2.9 GB).

--only cifar10 gets the first. MD5 sums are those on the authors' pages (cs.toronto.edu, Zenodo
2535967); files on GitHub are checked by their git hashes. Counts are those of the authors' READMEs.
"""

import sys

from fetching import Remote, get, main, verify

KRIZ, HUB = "https://www.cs.toronto.edu/~kriz", "https://github.com/modestyachts"
TEN = (
    Remote(
        f"{KRIZ}/cifar-10-binary.tar.gz",
        "md5:c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        "cifar-10-batches-bin",
    ),
    Remote(
        f"{HUB}/CIFAR-10.1/raw/master/datasets/cifar10.1_v6_data.npy",
        "git:24349cc5f3fb59648d75cd8015b5a184b1f5c250",
        "CIFAR-10.1/cifar10.1_v6_data.npy",
    ),
    Remote(
        f"{HUB}/CIFAR-10.1/raw/master/datasets/cifar10.1_v6_labels.npy",
        "git:e713b09cecf2ecd933970001909fcdec7c907ab0",
        "CIFAR-10.1/cifar10.1_v6_labels.npy",
    ),
    Remote(
        f"{HUB}/cifar-10.2/raw/521467a52ad494b78ff9c70051099c0d9ba74d40/cifar102_test.npz",
        "git:7a3829681be56af70ea80ec99cf3822e2f5edff3",
        "CIFAR-10.2/cifar102_test.npz",
    ),
)
HUNDRED = Remote(
    f"{KRIZ}/cifar-100-binary.tar.gz",
    "md5:03b5dce01913d631647c71ecec9e9cb8",
    "cifar-100-binary.tar.gz",
    "cifar-100-binary",
    "cifar-100-binary",
)
CORRUPTED = Remote(
    "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1",
    "md5:56bf5dcef84df0e2308c6dcbcbbd8499",
    "CIFAR-10-C.tar",
    "CIFAR-10-C",
    "CIFAR-10-C",
)
SETS = {
    "cifar10": (TEN, {"train+val": 50000, "test": 10000, "10.1": 2000, "10.2": 2000}),
    "cifar100": ((HUNDRED,), {"train+val": 50000, "test": 10000}),
    "cifar10-c": ((TEN[0], CORRUPTED), {"fog": 10000}),
}


def run(root, names):
    for name in names:
        files, published = SETS[name]
        for remote in files:
            get(remote, root)
        verify(name, root, published)


if __name__ == "__main__":
    sys.exit(main(__doc__, run, list(SETS)))
