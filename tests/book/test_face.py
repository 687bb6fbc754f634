"""The face of the book: its mark, the images of its parts, the start page's contents, and the folds
that are not printed."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import build_parts
import pytest
import yaml
from build_diagrams import alt
from drawing import LIGHT
from test_diagrams import contrast

pytest.importorskip("sphinx", reason="'make book' installs what builds the site")
ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
sys.path.insert(0, str(BOOK / "_ext"))
import printing  # noqa: E402
import title_page  # noqa: E402

FILES = build_parts.files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_files_are_those_that_the_script_draws(path):
    assert path.read_text() == FILES[path], "run python data_scripts/build_parts.py"


def test_no_other_file_is_among_the_parts():
    assert {build_parts.MARK, *build_parts.PARTS.iterdir()} == set(FILES)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path != build_parts.MARK], ids=lambda path: path.stem
)
def test_images_of_parts_follow_the_theme_and_are_described(path):
    root, *inside = ET.parse(path).iter()
    assert root.get("role") == "img" and len(root.get("aria-label").split()) >= 6
    colours = [e.get(what) for e in inside for what in ("fill", "stroke") if e.get(what)]
    assert colours and all(re.fullmatch(r"var\(--\w+\)|none", colour) for colour in colours)
    assert {name for c in colours for name in re.findall(r"--(\w+)", c)} <= LIGHT.keys()


def test_the_mark_is_a_star_and_a_diamond_on_a_ground_that_it_brings():
    _, ground, line, star, diamond = ET.parse(build_parts.MARK).iter()
    assert ground.tag.endswith("rect") and contrast(ground.get("fill"), "#ffffff") >= 4.5
    assert [len(re.findall("[ML]", mark.get("d"))) for mark in (star, diamond)] == [10, 4]
    assert {mark.get("fill") for mark in (star, diamond)} == {line.get("stroke")} == {"#fff"}
    assert float(line.get("stroke-width")) >= 2, "of 32 units: what is thinner is lost at 32 pixels"


def title(page):
    """Return the title of a page; the page of run times is written when the book is built."""
    notebook, text = BOOK / f"{page}.ipynb", BOOK / f"{page}.md"
    if notebook.exists():
        source = "".join(json.loads(notebook.read_text())["cells"][0]["source"])
    else:
        source = text.read_text() if text.exists() else "# Run times"
    return re.search("^# (.*)", source, re.M)[1]


def test_the_start_page_lists_the_parts_and_chapters_of_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    expected = []
    for part, draw in zip(toc["parts"], build_parts.DRAWINGS, strict=True):
        pages = [chapter["file"].removeprefix("book/") for chapter in part["chapters"]]
        image = f"![{alt(draw)}](_static/parts/{draw.__name__}.svg)"
        expected.append((image, part["caption"], [(title(page), page) for page in pages]))
    text = (
        (BOOK / "index.md").read_text().partition("## Parts and chapters")[2].partition("\n## ")[0]
    )
    found = []
    for line in re.findall(r"^ *- .*", text, re.M):
        if part := re.fullmatch(r"- (!\[.*\]\(.*\)) \*\*(.*)\*\*", line):
            found.append((part[1], part[2], []))
        else:
            name, address = re.fullmatch(r"  - \[(.*)\]\((.*)\.(?:md|ipynb)\)", line).groups()
            found[-1][2].append((name, address))
    assert found == expected


def test_the_entry_of_the_book_is_complete_and_without_an_address_that_is_not_known():
    entry = title_page.citation("A book", "The Makers", "2027", "")
    assert "author = {{The Makers}}" in entry and "url" not in entry
    assert entry.count("{") == entry.count("}") and title_page.wiseft_lite.__version__ in entry
    assert "url = {https://pypi.org/}" in title_page.citation("", "", "", "https://pypi.org/")


def test_an_entry_is_taken_out_of_the_bibliography_or_missed():
    text = (BOOK / "references.bib").read_text()
    assert title_page.entry(text, title_page.PAPER).startswith("@inproceedings{wortsman2022robust,")
    with pytest.raises(ValueError, match="nobody1900"):
        title_page.entry(text, "nobody1900")


CELL = (
    '<details class="admonition hide above-input">\n<summary aria-label="Toggle hidden content">\n'
    '<p class="collapsed admonition-title">{0}</p>\n<p class="expanded admonition-title">{0}</p>\n</summary>'
)


@pytest.mark.parametrize(
    "fold, printed",
    [
        (CELL.format("Solution 6.1"), False),
        (CELL.format("Set-up"), False),
        (CELL.format("Code of this figure"), True),
        ("<details><summary>Exercise 6.1, explained</summary>", False),
        ("<details><summary>Answer</summary>", False),
        ("<details><summary>Model answer</summary>", False),
        ("<details><summary>Hint 1</summary>", True),
        ("<details><summary>What you should see</summary><p>Answer</p>", True),
        ('<details class="cite"><summary>How to cite</summary>', True),
    ],
)
def test_solutions_answers_and_set_up_are_not_printed(fold, printed):
    named = printing.named(fold)
    assert ("unprinted" in named) is not printed
    assert named.replace(" unprinted", "").replace(' class="unprinted"', "") == fold
