"""The diagrams: as the scripts draw them, in words too, and readable on a phone and in the dark."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import build_animation
import build_diagrams
import build_reference
import pytest
from alpha_curve import runs
from drawing import DARK, LIGHT, STYLE, WIDTH, Sheet, spans

from wiseft_lite.book import ledger

BOOK = Path(__file__).resolve().parent.parent.parent / "book"
STATIC = BOOK / "_static"
PHONE = 358  # pixels for a figure on a phone that is 390 wide
NUMBER = re.compile(r"-?\d+\.?\d*")
OTHERS = [STATIC / name for name in ("packages.svg", "alpha.svg", "frontier.svg")]
DRAWN = {path.stem: path for path in (*build_diagrams.diagrams(), *OTHERS)}
each = pytest.mark.parametrize("name", DRAWN)
each_palette = pytest.mark.parametrize("palette", (LIGHT, DARK), ids=("light", "dark"))


def elements(name):
    return list(ET.parse(DRAWN[name]).iter())


def contrast(first, second):
    """As WCAG 2 defines it, from 1 to 21."""

    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("path", build_diagrams.diagrams(), ids=lambda path: path.stem)
def test_the_files_are_those_that_the_script_draws(path):
    """Up to a fifth of a pixel: another processor may round a contour differently."""
    drawn, there = build_diagrams.diagrams()[path], path.read_text()
    assert NUMBER.sub("0", there) == NUMBER.sub("0", drawn), (
        "run python data_scripts/build_diagrams.py"
    )
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in (there, drawn)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.2)


def test_the_animation_shows_the_recorded_curve_and_can_rest():
    text = build_animation.TARGET.read_text()
    assert text == build_animation.draw(runs(ledger.table("ch06_curves"))), (
        "run python data_scripts/build_animation.py"
    )
    assert "<script" not in text and "prefers-reduced-motion" in text
    resting = text.partition("<style>")[2].partition("</style>")[0]
    resting = re.sub(r"@(?:media|keyframes)[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", resting)
    assert re.findall(r"\.step(\d+)\{opacity:1\}", resting) == ["5"]


def test_no_other_file_is_among_them():
    assert {p.name for p in (STATIC / "diagrams").iterdir()} == {
        path.name for path in build_diagrams.diagrams()
    }


def test_each_diagram_is_in_one_chapter_with_its_text():
    prose = "\n".join(
        "".join(cell["source"])
        for path in sorted(BOOK.glob("*.ipynb"))
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "markdown"
    )
    shown = re.findall(r"!\[(.*?)\]\(_static/diagrams/(\w+)\.svg\)\n\n\*\*How to read it", prose)
    expected = {draw.__name__: build_diagrams.alt(draw) for draw in build_diagrams.HEIGHTS}
    assert {name: alt for alt, name in shown} == expected and len(shown) == len(expected)


@each
def test_the_file_says_what_is_seen(name):
    (root, *_) = elements(name)
    assert root.get("role") == "img" and len(root.get("aria-label").split()) > 30


@each
def test_letters_are_large_enough_on_a_phone(name):
    sizes = [float(e.get("font-size")) for e in elements(name) if e.get("font-size")]
    assert sizes and min(sizes) * PHONE / WIDTH >= 9


@each
def test_every_colour_follows_the_theme(name):
    style, *others = (e for e in elements(name) if e.tag.endswith("style") or e.get("fill"))
    assert style.text.startswith(STYLE) and "#" not in style.text.removeprefix(STYLE)
    for element in others:
        for colour in filter(None, (element.get("fill"), element.get("stroke"))):
            found = re.fullmatch(r"var\(--(\w+)\)|none", colour)
            assert found and (found[1] is None or found[1] in LIGHT.keys() & DARK.keys()), colour


def test_both_palettes_have_the_same_names():
    assert LIGHT.keys() == DARK.keys()


@each
@each_palette
def test_letters_and_edges_stand_out(name, palette):
    of = lambda element, what: re.sub(r"var\(--(\w+)\)", r"\1", element.get(what) or "none")
    grounds = {of(e, "fill") for e in elements(name) if e.tag.endswith("rect")} - {"none"}
    grounds = {g for g in grounds if g in ("still", "sky", "mint", "rose")} | {"paper"}
    for element in elements(name):
        if element.tag.endswith("text"):
            colour = of(element, "fill")
            behind = grounds if colour == "ink" else {"paper"}  # other words are beside the boxes
            for ground in behind:
                assert contrast(palette[colour], palette[ground]) >= 4.5, (colour, ground)
        elif of(element, "stroke") not in ("none", "faint", "paper"):
            assert contrast(palette[of(element, "stroke")], palette["paper"]) >= 3


def test_the_house_is_drawn_on_the_same_sheet():
    assert STYLE in build_reference.figure()


def test_a_sheet_escapes_what_it_is_told_to_write():
    sheet = Sheet(10, 'a "b" < c')
    sheet.text(0, 0, "a < b & $x_1 < y$")
    assert (
        "".join(ET.fromstring(sheet.svg()).itertext())
        .replace("\u200b", "")
        .endswith("a < b & x1 < y\n")
    )
    assert spans("plain") == "plain"
