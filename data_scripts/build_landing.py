"""Make the figure and the slider's data of the landing page: python data_scripts/build_landing.py

The figure shows the recorded curve of chapter 6, seed 0. The slider interpolates along the same
curve: one fine-tuned model, eleven alphas, and 24 test images with the class that each
interpolated model predicts. The images are chosen by rule from six splits: in each, the first that
is right at every alpha, the first two that fine-tuning loses, and the first that it gains, without
repeating a class.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import torch

from wiseft_lite import (
    Recipe,
    frontier,
    interpolate,
    load_clip,
    load_task,
    predict,
    zero_shot_classifier,
)
from wiseft_lite.book import ledger
from wiseft_lite.book.runs import trained
from wiseft_lite.metrics import accuracy, predictions
from wiseft_lite.sweeps import ALPHAS

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
TARGET = STATIC / "alpha-data.js"
SHOWN = ("test", "line_new_artists", "solid", "color", "emoji", "pixel")


def choose(right: torch.Tensor, labels: list[int], shown: set[int]) -> list[int]:
    """Choose images to show: one always right, two lost, one gained, as far as there are any.

    Args:
        right: bool ``[alphas, n]``, which images each model classifies correctly.
        labels: the classes of the images.
        shown: classes to skip.
    """
    first, last, rows, seen = right[0], right[-1], [], set(shown)
    for mask, count in ((right.all(0), 1), (first & ~last, 2), (~first & last, 1)):
        for row in mask.nonzero().flatten().tolist():
            if count and labels[row] not in seen:
                seen.add(labels[row])
                rows.append(row)
                count -= 1
    return rows


def still_figure() -> None:
    """Write ``frontier.svg`` for README and landing page."""
    curve = ledger.table("ch06_curves").query(
        "seed == 0 and split != 'val' and kind == 'end-to-end'"
    )
    figure = frontier({"fine-tuned": curve}, title="IconShift, IconCLIP")
    figure.savefig(STATIC / "frontier.svg", metadata={"Date": None})


def main() -> None:
    still_figure()
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    fine_tuned = trained(zero_shot, task, Recipe(seed=0))
    theta_0, theta_1 = zero_shot.state_dict(), fine_tuned.state_dict()
    logits = {name: [] for name in task.evaluation}
    for alpha in ALPHAS:
        model = zero_shot.with_weights(interpolate(theta_0, theta_1, alpha))
        for name, split in task.evaluation.items():
            logits[name].append(predict(model, split))
    curves, images, shown = {}, [], set()
    for name, split in task.evaluation.items():
        curves[name] = [
            round(100 * accuracy(rows, split.labels, split.classes).accuracy, 1)
            for rows in logits[name]
        ]
        if name not in SHOWN:
            continue
        guesses = torch.stack([predictions(rows, split.classes) for rows in logits[name]])
        sure = torch.stack(
            [
                rows[:, list(split.classes or range(rows.shape[1]))].softmax(-1).amax(-1)
                for rows in logits[name]
            ]
        )
        labels = split.labels.tolist()
        rows = choose(guesses == split.labels, labels, shown)
        shown |= {labels[row] for row in rows}
        for row in rows:
            file = io.BytesIO()
            split[row][0].save(file, "webp", lossless=True)
            images.append(
                {
                    "split": name,
                    "label": task.class_names[int(split.labels[row])],
                    "src": "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode(),
                    "guess": [task.class_names[int(g)] for g in guesses[:, row]],
                    "sure": [round(100 * float(s)) for s in sure[:, row]],
                }
            )
    curves["shifts"] = [
        round(sum(curves[s][k] for s in task.shifts) / len(task.shifts), 1)
        for k in range(len(ALPHAS))
    ]
    data = {"alphas": ALPHAS, "curves": curves, "pictures": images}
    TARGET.write_text(
        "// Made by data_scripts/build_landing.py\n"
        f"window.WISEFT_ALPHA = {json.dumps(data, separators=(',', ':'))};\n"
    )
    print(f"{len(images)} images, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
