"""CIFAR-10 with 10.1, 10.2 and CIFAR-10-C, and CIFAR-100: 0.4 GB and, with CIFAR-10-C, 3.3 GB.

MD5 sums are those on the authors' pages (cs.toronto.edu, Zenodo 2535967); files on GitHub are checked by the names that
git gives them there. Counts are those of the authors' READMEs.
"""

import sys

from fetching import Remote, get, main, verify

KRIZ, HUB = "https://www.cs.toronto.edu/~kriz", "https://github.com/modestyachts"
FILES = (
    Remote(f"{KRIZ}/cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-binary.tar.gz",
           "cifar-10-batches-bin", "cifar-10-batches-bin"),
    Remote(f"{KRIZ}/cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary.tar.gz",
           "cifar-100-binary", "cifar-100-binary"),
    Remote(f"{HUB}/CIFAR-10.1/raw/master/datasets/cifar10.1_v6_data.npy",
           "git:24349cc5f3fb59648d75cd8015b5a184b1f5c250", "CIFAR-10.1/cifar10.1_v6_data.npy"),
    Remote(f"{HUB}/CIFAR-10.1/raw/master/datasets/cifar10.1_v6_labels.npy",
           "git:e713b09cecf2ecd933970001909fcdec7c907ab0", "CIFAR-10.1/cifar10.1_v6_labels.npy"),
    Remote(f"{HUB}/cifar-10.2/raw/521467a52ad494b78ff9c70051099c0d9ba74d40/cifar102_test.npz",
           "git:7a3829681be56af70ea80ec99cf3822e2f5edff3", "CIFAR-10.2/cifar102_test.npz"),
    Remote("https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1",
           "md5:56bf5dcef84df0e2308c6dcbcbbd8499", "CIFAR-10-C.tar", "CIFAR-10-C", "CIFAR-10-C"),
)


def run(root):
    for remote in FILES:
        get(remote, root)
    verify("cifar10", root, {"train+val": 50000, "test": 10000, "10.1": 2000, "10.2": 2000})
    verify("cifar100", root, {"train+val": 50000, "test": 10000})
    verify("cifar10-c", root, {"fog": 10000})


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
