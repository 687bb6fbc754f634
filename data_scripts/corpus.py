"""Build the pre-training corpus: icons with captions, of every family that no task holds out.

An icon that copies one of a held-out family is left out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import arguments
import iconify
import measure
import numpy as np
import rules
from tqdm import tqdm

CODES = Path(__file__).resolve().parent.parent / "tests" / "data" / "corpus_fingerprints.npy"
_DROPPED = {"logo", "original", "wordmark", "brand", "icon", "emoji", "alt", "o"}


def caption(name: str) -> str:
    """Return the words of an icon name, style words first: ``home-24-filled`` -> ``filled home``."""
    parts = [w for w in re.split(r"[-_]", name.lower()) if w]
    style = [w for w in parts if w in rules.STYLE_WORDS and w not in ("o", "alt")]
    rest = [
        w
        for w in parts
        if w not in rules.STYLE_WORDS and w not in _DROPPED and not iconify.SIZE_WORD.fullmatch(w)
    ]
    return " ".join([*style, *rest]) if rest else " ".join(parts)


def fingerprints(work: Path, name: str) -> np.ndarray:
    """Return the fingerprints of a drawn set, uint8 ``[n, 256]``, cached beside its images."""
    path = work / "render" / f"{name}.fp.npy"
    if not path.exists():
        _, images = iconify.load_set(work, name)
        prints = np.array([measure.fingerprint(image) for image in images], np.uint8)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, prints.reshape(-1, 256))
        os.replace(part, path)
    return np.load(path, allow_pickle=False)


def build(work: Path) -> Path:
    """Write ``<work>/corpus.npz``: images uint8 ``[n, 48, 48, 3]``, captions, nouns, sets,
    names."""
    target = work / "corpus.npz"
    if target.exists():
        return target
    sets = list(iconify.collections(iconify.fetch(work)))
    held = np.concatenate([fingerprints(work, s) for s in sets if rules.role(s) != "corpus"])
    held = np.unique(held, axis=0)
    images, captions, nouns, origin, names = [], [], [], [], []
    copied = repeated = 0
    for name in tqdm([s for s in sets if rules.role(s) == "corpus"], desc="corpus"):
        icons, drawn = iconify.load_set(work, name)
        if not icons:
            continue
        prints = fingerprints(work, name)
        is_copy = measure.copies(prints, held)
        copied += int(is_copy.sum())
        seen = set()
        for i, icon in enumerate(icons):
            key = (prints[i].tobytes(), tuple(rules.words(icon)))
            if is_copy[i] or key in seen:
                repeated += key in seen
                continue
            seen.add(key)
            images.append(drawn[i])
            captions.append(caption(icon))
            nouns.append(" ".join(rules.words(icon)) or caption(icon))
            origin.append(name)
            names.append(icon)
    print(f"{len(images)} pairs; left out {copied} copies of held-out icons, {repeated} repeats")
    seen = np.array([measure.fingerprint(image) for image in images], np.uint8)
    np.save(CODES, np.unique(measure.codes(seen)))
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            images=np.array(images),
            captions=np.array(captions),
            nouns=np.array(nouns),
            sets=np.array(origin),
            names=np.array(names),
        )
    os.replace(part, target)
    return target


if __name__ == "__main__":
    parser = arguments.parser(__doc__)
    parser.add_argument("work", type=Path, help="the folder of build_iconshift.py")
    build(parser.parse_args().work)
