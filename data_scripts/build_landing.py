"""Make the figure of the landing page and of chapter 6, and what its slider needs: python data_scripts/build_landing.py

The curve is the recorded one of chapter 6, over all its seeds. With ``--images``, make the images under the
slider anew as well; they need one fine-tuned model, of seed 0, which is trained if the cache does not have it.
There are 24 test images with the class that each interpolated model predicts. They are chosen by rule from six
splits: in each, the first that is right at every alpha, the first two that fine-tuning loses, and the first that
it gains, without repeating a class.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import arguments
import pandas as pd
import torch
from alpha_curve import Plot, decimals, runs
from drawing import Sheet

from wiseft_lite import Recipe, interpolate, load_clip, load_task, predict, zero_shot_classifier
from wiseft_lite.book import ledger
from wiseft_lite.book.runs import trained
from wiseft_lite.metrics import predictions
from wiseft_lite.sweeps import ALPHAS

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"
FIGURE, CURVE, IMAGES = (STATIC / n for n in ("frontier.svg", "alpha-data.js", "alpha-images.js"))
SHOWN = {  # splits whose images are shown, and what such an image is
    "test": "a line drawing",
    "line_new_artists": "a line drawing by another artist",
    "solid": "a solid drawing",
    "color": "a drawing in colours",
    "emoji": "an emoji",
    "pixel": "pixel art",
}
SEED = 0  # of the model that classifies the images
TOP, HEIGHT = 24, 208  # of the plot


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


def script(name: str, value: object) -> str:
    """Return a script that gives a page a value."""
    made = json.dumps(value, separators=(",", ":"))
    return f"// Made by data_scripts/build_landing.py\nwindow.{name} = {made};\n"


def figure(rows: pd.DataFrame) -> str:
    """Return the still figure as SVG. The slider puts its ring into the group ``alpha-now``.

    Args:
        rows: accuracies of all seeds, from ``runs``.
    """
    plot = Plot(rows, TOP, HEIGHT)
    (start, *_, end), best = plot.means["shifts"], plot.means["shifts"].max()
    alt = (
        f"Mean accuracy over seven shifts against accuracy on line drawings, means over {seeds(rows)} seeds. From the "
        f"zero-shot star at the lower left, the path of alpha climbs to the right, from {start:.1f} to {best:.1f} % on the other "
        f"styles, and bends down to the fine-tuned diamond at {end:.1f} %. A narrow band around it is the standard error."
    )
    sheet = Sheet(266, alt)
    plot.draw(sheet, named=True)
    sheet.parts.append('<g id="alpha-now"></g>')
    return sheet.svg()


def seeds(rows: pd.DataFrame) -> int:
    """Return the number of seeds in ``runs``."""
    return rows.index.get_level_values("seed").nunique()


def curve(rows: pd.DataFrame) -> str:
    """Return the slider's script of the curve: means in percent, and their places in ``figure``."""
    plot = Plot(rows, TOP, HEIGHT)
    digits = decimals(plot.means.index)
    data = {
        "seeds": seeds(rows),
        "alphas": [f"{alpha:.{digits}f}" for alpha in plot.means.index],
        "means": {name: [round(v, 1) for v in plot.means[name]] for name in plot.means},
        "places": [[round(x, 1), round(y, 1)] for x, y in plot.places],
    }
    return script("WISEFT_ALPHA", data)


def images() -> str:
    """Return the slider's script of images and predictions."""
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    fine_tuned = trained(zero_shot, task, Recipe(seed=SEED))
    theta_0, theta_1 = zero_shot.state_dict(), fine_tuned.state_dict()
    models = [zero_shot.with_weights(interpolate(theta_0, theta_1, alpha)) for alpha in ALPHAS]
    found, shown = [], set()
    for name, kind in SHOWN.items():
        split = task.evaluation[name]
        logits = [predict(model, split) for model in models]
        guesses = torch.stack([predictions(rows, split.classes) for rows in logits])
        own = list(split.classes or range(logits[0].shape[1]))
        sure = torch.stack([rows[:, own].softmax(-1).amax(-1) for rows in logits])
        labels = split.labels.tolist()
        rows = choose(guesses == split.labels, labels, shown)
        shown |= {labels[row] for row in rows}
        for row in rows:
            label, file = task.class_names[labels[row]], io.BytesIO()
            split[row][0].save(file, "webp", lossless=True)
            found.append(
                {
                    "label": label,
                    "alt": f"{label}, {kind}",
                    "src": "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode(),
                    "guess": [task.class_names[int(g)] for g in guesses[:, row]],
                    "sure": [round(100 * float(s)) for s in sure[:, row]],
                }
            )
    return script("WISEFT_IMAGES", {"seed": SEED, "alphas": ALPHAS, "images": found})


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--images", action="store_true", help="the images as well: trains a model")
    options = parser.parse_args()
    rows = runs(ledger.table("ch06_curves"))
    made = {FIGURE: figure(rows), CURVE: curve(rows)}
    if options.images:
        made[IMAGES] = images()
    for path, text in made.items():
        path.write_text(text)
        print(f"{path.name}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
