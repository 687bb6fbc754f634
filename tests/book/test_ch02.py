"""Chapter 2 reports ranges over four baselines: their ends are the smallest and the largest."""

import json
import re
from pathlib import Path

import pytest

from wiseft_lite.book import ledger

ANSWER = next(
    "".join(cell["source"])
    for cell in json.loads((Path(__file__).parents[2] / "book/02_shift.ipynb").read_text())["cells"]
    if "".join(cell["source"]).startswith("## The answer")
)
BASELINES = ("", ".networks", ".neighbours", ".all_images")


@pytest.mark.parametrize(
    ("split", "ends"),
    [("shifts", (min, max)), ("emoji", (min,)), ("line_new_artists", (min, max))],
)
def test_the_ends_of_a_range_over_baselines_are_the_smallest_and_the_largest(split, ends):
    numbers = ledger.read()
    robustness = {
        f"ch02.{split}{baseline}.rho": numbers[f"ch02.{split}{baseline}.rho"]["value"]
        for baseline in BASELINES
    }
    named = re.findall(rf"ledger: (ch02\.{split}(?:\.\w+)?\.rho) -->", ANSWER)
    assert named == [end(robustness, key=robustness.get) for end in ends]
