"""Build IconShift and the six IconTasks from ``@iconify/json``.

    python data_scripts/build_iconshift.py WORK  # download, draw, choose, write, contact sheets

Deterministic; a second run skips what is drawn. Writes ``wiseft_lite/assets/data`` and, for visual
checks, ``WORK/contact/*.png``. The rules are in ``rules.py`` and ``icontasks.py``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import arguments
import corpus
import iconify
import icontasks
import measure
import numpy as np
import rules
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "wiseft_lite" / "assets" / "data"
COLUMNS = 32
PER_FAMILY = 6  # drawings of one class by one family in one split
SIZES = {"10", "12", "14", "15", "16", "18", "20", "24", "28", "30", "32", "36", "40", "48", "64"}


@dataclass(frozen=True)
class Icon:
    set: str
    name: str
    label: str
    image: np.ndarray
    print: np.ndarray

    @property
    def family(self) -> str:
        return rules.family(self.set)

    @property
    def order(self) -> str:
        """The key of a fixed pseudo-random order that no result can influence."""
        return hashlib.sha256(f"{self.set}:{self.name}".encode()).hexdigest()

    @property
    def drawing(self) -> tuple[str, str, str]:
        """The key of a drawing, the same for its sizes and weights; ``home-2`` differs from ``home``."""
        parts = [
            w
            for w in re.split(r"[-_]", self.name.lower())
            if w not in rules.STYLE_WORDS and w not in SIZES
        ]
        return self.set, self.label, " ".join(parts)


def style(icon: Icon) -> str | None:
    """Return the split of a shift family's icon by its style; None if the style is unclear."""
    if icon.set in rules.EMOJI:
        return "emoji"
    if icon.set in rules.MONO_EMOJI or icon.set in rules.FREEHAND:
        return "sketch"
    if icon.set in rules.PIXEL:
        return "pixel"
    if measure.is_coloured(icon.image):
        # An icon in one accent colour is no colour drawing, and free-hand colour is its own thing.
        return (
            "color"
            if "freehand" not in icon.set and "twotone" not in icon.set
            else ("two_tone" if "twotone" in icon.set else None)
        )
    if measure.flat_grey(icon.image) > 0.1:
        return "two_tone"
    solid = measure.solidity(icon.image)
    return "line_new_artists" if solid < 0.06 else "solid" if solid > 0.15 else None


def one_each(icons: list[Icon]) -> list[Icon]:
    """Keep one icon per drawing (the plainest name), at most PER_FAMILY per family and class."""
    plainest: dict[tuple, Icon] = {}
    for icon in sorted(icons, key=lambda i: (len(i.name), i.name)):
        plainest.setdefault(icon.drawing, icon)
    kept, count = [], {}
    for icon in sorted(plainest.values(), key=lambda i: i.order):
        key = (icon.family, icon.label)
        if count.get(key, 0) < PER_FAMILY:
            count[key] = count.get(key, 0) + 1
            kept.append(icon)
    return kept


def without_copies(splits: dict[str, list[Icon]]) -> dict[str, list[Icon]]:
    """Keep the first of icons that are copies of each other, in the order of the splits."""
    everyone = [icon for icons in splits.values() for icon in icons]
    earlier = measure.copy_of_earlier(np.array([icon.print for icon in everyone], np.uint8))
    kept = {id(icon) for icon, copy in zip(everyone, earlier, strict=True) if not copy}
    return {name: [i for i in icons if id(i) in kept] for name, icons in splits.items()}


def all_icons(work: Path, label_of) -> list[Icon]:
    """Return every permitted icon that ``label_of(set, name)`` assigns to a class."""
    icons = []
    for set_name in iconify.collections(work / "package"):
        names, images = iconify.load_set(work, set_name)
        labels = [label_of(set_name, name) for name in names]
        if any(labels):
            prints = corpus.fingerprints(work, set_name)
            icons += [
                Icon(set_name, names[i], label, images[i], prints[i])
                for i, label in enumerate(labels)
                if label
            ]
    return icons


def iconshift(work: Path) -> dict[str, list[Icon]]:
    pools: dict[str, list[Icon]] = {name: [] for name in [*rules.SHIFTS, "reference"]}
    held = [i for i in all_icons(work, rules.class_of) if rules.role(i.set) != "corpus"]
    for icon in held:
        drawn = style(icon)
        if rules.role(icon.set) == "shift" and drawn:
            pools[drawn].append(icon)
        elif rules.role(icon.set) == "reference" and drawn == "line_new_artists":
            pools["reference"].append(icon)
    order = ["emoji", "sketch", "pixel", "color", "two_tone", "solid", "line_new_artists"]
    pools = without_copies({name: one_each(pools[name]) for name in [*order, "reference"]})
    splits = {"train": [], "val": [], "test": []}
    for label in rules.CLASSES:
        icons = [i for i in pools["reference"] if i.label == label]
        n_test, n_val = round(0.3 * len(icons)), round(0.12 * len(icons))
        splits["test"] += icons[:n_test]
        splits["val"] += icons[n_test : n_test + n_val]
        splits["train"] += icons[n_test + n_val :]
    splits |= {name: pools[name] for name in rules.SHIFTS}
    return splits


def small_task(work: Path, task: icontasks.IconTask) -> dict[str, list[Icon]]:
    icons = all_icons(work, task.label_of)
    test = [i for i in icons if rules.family(i.set) in task.test_families]
    rest = [i for i in icons if rules.family(i.set) not in task.test_families]
    pools = without_copies({"test": one_each(test), "train": one_each(rest)})
    val = [i for k, i in enumerate(pools["train"]) if k % 5 == 0]
    train = [i for k, i in enumerate(pools["train"]) if k % 5]
    return {
        "train": train[: task.most],
        "val": val[: task.most // 4],
        "test": pools["test"][: task.most],
    }


def sheet(icons: list[Icon]) -> Image.Image:
    size = iconify.SIZE
    rows = math.ceil(len(icons) / COLUMNS)
    canvas = np.full((rows * size, COLUMNS * size, 3), 255, np.uint8)
    for k, icon in enumerate(icons):
        row, column = divmod(k, COLUMNS)
        canvas[row * size : (row + 1) * size, column * size : (column + 1) * size] = icon.image
    return Image.fromarray(canvas)


def write(
    name: str, title: str, classes: list[str], templates: list[str], splits: dict[str, list[Icon]]
) -> None:
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    shifts = [s for s in splits if s not in ("train", "val", "test")]
    card = {
        "name": name,
        "title": title,
        "class_names": classes,
        "templates": templates,
        "shifts": shifts,
        "own_classes_only": shifts,
    }  # own_classes_only: splits with predictions restricted to their own classes
    (folder / "task.json").write_text(json.dumps(card, indent=1) + "\n")
    with (folder / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["split", "class", "set", "icon"])
        for split, icons in splits.items():
            icons.sort(key=lambda i: (classes.index(i.label), i.order))
            rows.writerows([split, i.label, i.set, i.name] for i in icons)
            sheet(icons).save(folder / f"{split}.webp", lossless=True, quality=100, method=4)


def contact(path: Path, icons: list[Icon], columns: int = 24) -> None:
    """Write a sheet for visual checks: every icon of a split above its class."""
    cell = iconify.SIZE + 12
    canvas = Image.new(
        "RGB", (columns * cell, math.ceil(len(icons) / columns) * (cell + 8)), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for k, icon in enumerate(icons):
        row, column = divmod(k, columns)
        canvas.paste(Image.fromarray(icon.image), (column * cell + 6, row * (cell + 8) + 2))
        draw.text((column * cell + 2, row * (cell + 8) + 50), icon.label[:10], fill=(200, 0, 0))
    path.parent.mkdir(exist_ok=True)
    canvas.save(path)


def attribution(path: Path, used: list[str], sets: dict[str, dict]) -> None:
    lines = [
        "# Attribution",
        "",
        "The drawings in `wiseft_lite/assets/data` come from these icon sets, by way of the npm package",
        f"`{iconify.PACKAGE}`. They were drawn at 48 x 48 pixels and are otherwise unchanged. Each keeps",
        "its licence. `index.csv` beside the images lists the set and icon of each.",
        "",
        "| set | title | artist | licence |",
        "|---|---|---|---|",
    ]
    for name in used:
        info = sets[name]
        artist = f"[{info['author']}]({info['url']})" if info["url"] else info["author"]
        lines.append(f"| {name} | {info['title']} | {artist} | {info['licence']} |")
    path.write_text("\n".join(lines) + "\n")


def main(work: Path) -> None:
    package = iconify.fetch(work)
    iconify.render(work, package)
    everything = {"iconshift": iconshift(work)}
    write("iconshift", "IconShift", list(rules.CLASSES), rules.TEMPLATES, everything["iconshift"])
    for task in icontasks.TASKS:
        splits = everything[task.name] = small_task(work, task)
        write(task.name, task.title, task.classes, task.templates, splits)
    used = {i.set for splits in everything.values() for icons in splits.values() for i in icons}
    with (DATA / "sets.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["set", "title", "family", "author", "licence", "url"])
        for name, info in iconify.collections(package).items():
            if name in used:
                rows.writerow(
                    [
                        name,
                        info["title"],
                        rules.family(name),
                        info["author"],
                        info["licence"],
                        info["url"],
                    ]
                )
    attribution(ROOT / "ATTRIBUTION.md", sorted(used), iconify.collections(package))
    for name, splits in everything.items():
        for split, icons in splits.items():
            contact(work / "contact" / f"{name}-{split}.png", icons)
            print(
                f"{name:10} {split:17} {len(icons):5} icons {len({i.label for i in icons}):4} classes "
                f"{len({i.family for i in icons}):3} families"
            )


if __name__ == "__main__":
    parser = arguments.parser(__doc__)
    parser.add_argument("work", type=Path, help="folder for downloads and drawings")
    main(parser.parse_args().work)
