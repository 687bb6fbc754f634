"""Write the table of published accuracies that ships with the package, from two clones:

python data_scripts/build_reported.py MODEL_SOUPS OPEN_CLIP

MODEL_SOUPS is github.com/mlfoundations/model-soups at commit d5398f1, OPEN_CLIP
github.com/mlfoundations/open_clip at commit 89fb801; a bare clone does too. Numbers are percent.
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import arguments
import pandas as pd

from wiseft_lite.interop.reported import TABLE

SOUPS, CLIPS = "d5398f1", "89fb801"
SETTINGS = {"lr": "lr", "wd": "wd", "epochs": "epochs", "aug": "aug", "mix": "mixup"} | {
    "smoothing": "smoothing"
}
OF_SOUPS = {
    "ImageNet2p": "minival",
    "ImageNet": "imagenet",
    "ImageNetV2": "v2",
    "ImageNetR": "r",
    "ImageNetA": "a",
    "ImageNetSketch": "sketch",
    "ObjectNet": "objectnet",
}
OF_CLIPS = {  # ObjectNet is measured by its own class names there
    "ImageNet 1k": "imagenet",
    "ImageNet v2": "v2",
    "ImageNet-R": "r",
    "ImageNet-A": "a",
    "ImageNet Sketch": "sketch",
    "ObjectNet": "objectnet_own",
    "CIFAR-10": "cifar10",
    "CIFAR-100": "cifar100",
    "Describable Textures": "dtd",
    "Stanford Cars": "cars",
    "SUN397": "sun397",
    "Food-101": "food101",
}
EXAMPLE = {  # stated in wise-ft-example.py
    "model-soups/vit-l14-zeroshot": (75.5, 87.8),
    "model-soups/vit-l14-finetuned": (85.5, 84.3),
    "model-soups/vit-l14 at alpha 0.75": (86.0, 87.4),
}


def file(clone: Path, commit: str, name: str) -> str:
    """Return a file of a clone at a commit."""
    shown = ["git", "-C", str(clone), "show", f"{commit}:{name}"]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout


def percent(row: pd.Series, columns: dict[str, str]) -> dict[str, float]:
    """Return accuracies as percent, by their new names; those that are missing are left out."""
    return {new: round(100 * row[old], 3) for old, new in columns.items() if pd.notna(row[old])}


def of_soups(clone: Path) -> list[dict]:
    """Return the 72 models with their hyperparameters, and two soups of them."""
    source = f"github.com/mlfoundations/model-soups, commit {SOUPS}"
    settings = json.loads(file(clone, SOUPS, "hparam_info.json"))
    rows = []
    for name in ("individual_model", "uniform_soup", "greedy_soup"):
        text = file(clone, SOUPS, f"{name}_results.jsonl")
        for _, row in pd.read_json(io.StringIO(text), lines=True).iterrows():
            known = settings.get(row["model_name"], {})
            number = row["model_name"].removeprefix("model_")
            ours = f"model-soups/b32/{number}" if number.isdigit() else f"model-soups/b32 {number}"
            rows.append(
                {"model": ours.replace("_", " "), "source": f"{source}, {name}_results.jsonl"}
                | {new: known[old] for old, new in SETTINGS.items() if old in known}
                | percent(row, OF_SOUPS)
            )
    for name, (imagenet, r) in EXAMPLE.items():
        place = f"{source}, wise-ft-example.py"
        rows.append({"model": name, "source": place, "imagenet": imagenet, "r": r})
    return rows


def of_clips(clone: Path) -> list[dict]:
    """Return OpenAI's zero-shot models."""
    name = "docs/openclip_results.csv"
    source = f"github.com/mlfoundations/open_clip, commit {CLIPS}, {name}"
    table = pd.read_csv(io.StringIO(file(clone, CLIPS, name)))
    return [
        {"model": f"{row['name']}/openai", "source": source} | percent(row, OF_CLIPS)
        for _, row in table[table["pretrained"] == "openai"].iterrows()
    ]


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("model_soups", type=Path)
    parser.add_argument("open_clip", type=Path)
    args = parser.parse_args()
    rows = pd.DataFrame([*of_soups(args.model_soups), *of_clips(args.open_clip)])
    accuracies = list(dict.fromkeys([*OF_SOUPS.values(), *OF_CLIPS.values()]))
    rows = rows[["model", *SETTINGS.values(), *accuracies, "source"]]
    rows.to_csv(TABLE, index=False, float_format="%.6g")
    print(f"written: {TABLE}, {len(rows)} models")


if __name__ == "__main__":
    main()
