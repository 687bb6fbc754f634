"""The curve of chapter 6 as README, the landing page and the chapter draw it: from the record, over all its seeds."""

import json
import re
from itertools import combinations
from pathlib import Path

import alpha_curve
import build_animation
import build_landing
import numpy as np
import pandas as pd
import pytest
from alpha_curve import Plot, band, runs

from wiseft_lite.book import ledger

BOOK = Path(__file__).resolve().parents[2] / "book"
TABLE = ledger.table("ch06_curves")
ROWS = runs(TABLE)


def value(path):
    """What a script of the slider gives the page."""
    return json.loads(re.search(r"= (.*);", path.read_text())[1])


def table(seeds, alphas):
    """A table as the ledger's, with another number of seeds and of alphas."""
    draws = np.random.default_rng(0)
    rows = [
        (
            alpha,
            split,
            0.7 + 0.1 * alpha * (1.2 - alpha) + 0.01 * alpha * draws.random(),
            kind,
            seed,
        )
        for kind in ("end-to-end", "probe")
        for seed in range(seeds)
        for alpha in alphas
        for split in ("val", "test", "emoji", "solid")
    ]
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "kind", "seed"])


def left_of(start, end, point):
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])


def inside(polygon, point):
    turns = [left_of(a, b, point) for a, b in zip(polygon, [*polygon[1:], polygon[0]], strict=True)]
    return min(turns) >= -1e-6


def crossings(path):
    """Pairs of lines of a path that cross."""
    lines = list(zip(path, path[1:], strict=False))
    return [
        (first, second)
        for (i, first), (j, second) in combinations(enumerate(lines), 2)
        if j > i + 1
        and left_of(*first, second[0]) * left_of(*first, second[1]) < 0
        and left_of(*second, first[0]) * left_of(*second, first[1]) < 0
    ]


def test_the_files_are_those_that_the_script_makes_from_the_record():
    made = {
        build_landing.FIGURE: build_landing.figure(ROWS),
        build_landing.CURVE: build_landing.curve(ROWS),
    }
    for path, text in made.items():
        assert path.read_text() == text, "run python data_scripts/build_landing.py"


def test_the_curve_is_the_mean_over_all_seeds_of_the_record():
    data = value(build_landing.CURVE)
    tuned = TABLE[(TABLE["kind"] == "end-to-end") & (TABLE["split"] != "val")]
    assert data["seeds"] == tuned["seed"].nunique() > 1
    assert [float(alpha) for alpha in data["alphas"]] == sorted(tuned["alpha"].unique())
    for k, alpha in enumerate(data["alphas"]):
        at = tuned[np.isclose(tuned["alpha"], float(alpha))]
        others = at[at["split"] != "test"]
        for name, group in (
            ("test", at[at["split"] == "test"]),
            ("emoji", at[at["split"] == "emoji"]),
            ("shifts", others),
        ):
            mean = 100 * group["accuracy"].mean()
            assert data["means"][name][k] == pytest.approx(mean, abs=0.0501), (name, alpha)


def test_the_mean_is_an_arc():
    places = Plot(ROWS, 0, 200).places
    assert not crossings(places)
    knot = [(0, 0), (4, 4), (4, 0), (0, 4)]
    assert crossings(knot), "the test sees none"


def test_the_band_is_a_standard_error_to_each_side():
    errors = ROWS.groupby("alpha").std() / ROWS.index.get_level_values("seed").nunique() ** 0.5
    plot = Plot(ROWS, 0, 200)
    polygons = band(plot.places, plot.radii)
    for alpha, mean in plot.means.iterrows():
        for axis in alpha_curve.AXES:
            for side in (-1, 1):
                edge = mean.copy()
                edge[axis] += side * errors.loc[alpha, axis]
                assert any(
                    inside(p, (plot.x(edge["test"]), plot.y(edge["shifts"]))) for p in polygons
                )
    last, width = plot.means.iloc[-1], 1.05 * errors.iloc[-1]["shifts"]
    below = plot.x(last["test"]), plot.y(last["shifts"] - width)
    assert not any(inside(p, below) for p in polygons)


@pytest.mark.parametrize("seeds, steps", [(1, 10), (10, 10), (3, 20)])
def test_any_number_of_seeds_and_alphas_is_drawn(seeds, steps):
    rows = runs(table(seeds, [k / steps for k in range(steps + 1)]))
    still, moving = build_landing.figure(rows), build_animation.draw(rows)
    assert "nan" not in still + moving
    assert f"means over {seeds} seeds" in still
    assert still.count("<circle") == steps - 1
    assert len(re.findall(r'class="step\d+"', moving)) == steps + 1
    assert ("= 0.05</text>" in moving) == (steps == 20)


def test_the_images_are_from_a_seed_of_the_record_and_need_no_other_alphas():
    data, curve = value(build_landing.IMAGES), value(build_landing.CURVE)
    assert data["seed"] in set(TABLE["seed"])
    assert {float(a) for a in data["alphas"]} <= {float(a) for a in curve["alphas"]}
    for image in data["images"]:
        assert len(image["guess"]) == len(image["sure"]) == len(data["alphas"])


def test_the_chapter_shows_it_after_the_prediction_and_its_answer():
    cells = [
        "".join(c["source"])
        for c in json.loads((BOOK / "06_interpolate.ipynb").read_text())["cells"]
    ]
    at = lambda words: next(k for k, source in enumerate(cells) if words in source)
    assert at('guess("beats_both", None)') < at('guessed("beats_both")') < at('id="alpha-demo"')
    assert "(_static/frontier.svg)" in cells[at('id="alpha-demo"')]
