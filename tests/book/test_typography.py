"""The build step that ties numbers to their signs and sets columns of numbers to the right."""

import sys
from pathlib import Path

import pytest

docutils_core = pytest.importorskip("docutils.core", reason="the site's packages are not installed")
pytest.importorskip("sphinx")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))

from docutils import nodes  # noqa: E402
from typography import (  # noqa: E402
    Typography,
    drop_title,
    is_number,
    mark_numbers,
    text_parts,
    tie,
    tied,
)

PAGE = """
Accuracy is 87.2 % (± 0.6), but ``5 %`` is code.

====== ======= ======= =======
size   n       change  remark
====== ======= ======= =======
20     1,471   +4.0    best
50     486     −10.0   none
307    –       2.4     worst
====== ======= ======= =======
"""


def test_a_number_keeps_its_sign_on_its_line():
    assert tied("of 5.8 %, then 85.3 % (± 1.4)") == "of 5.8\u00a0%, then 85.3\u00a0% (±\u00a01.4)"
    assert tied(" ± 0.9") == "\u00a0±\u00a00.9", "the number before stands in front of a tag"
    assert tied("test (n = 761), then = 5") == "test (n\u00a0=\u00a0761), then = 5"
    assert tied("16 × 16, a % sign") == "16\u00a0×\u00a016, a % sign"
    assert tied("0.02 GB, 16 GiB, 4 GBs, 3 Bits") == "0.02\u00a0GB, 16\u00a0GiB, 4 GBs, 3 Bits"


def test_a_number_keeps_its_unit_and_a_range_its_ends_on_one_line():
    assert tied("by 4.3 points in 5 min") == "by 4.3\u00a0points in 5\u00a0min"
    assert tied("a 6 pointed star, 3 models") == "a 6 pointed star, 3 models"
    assert tied("76.6 to 85.2, +8.6 to\n+22.6") == "76.6\u00a0to\u00a085.2, +8.6\u00a0to\u00a0+22.6"
    assert tied("60 % to 63 %") == "60\u00a0%\u00a0to\u00a063\u00a0%"
    assert tied("similar to 5 of them, in 5 to the top") == "similar to 5 of them, in 5 to the top"


def test_tags_links_and_ends_of_lines_between_a_number_and_its_unit_do_not_matter():
    link = nodes.reference("", "", nodes.Text("86.2"))
    tag = nodes.raw("", "<!-- ledger: ch05.test -->", format="html")
    parts = [nodes.Text("from 76.6"), tag, nodes.Text(" to"), nodes.Text("\n"), link]
    paragraph = nodes.paragraph("", "", *parts, nodes.Text(" points, 5"), nodes.literal("", " %"))
    tie(paragraph)
    shown = "".join(text for node, text in text_parts(paragraph) if node is not None)
    assert shown == "from 76.6\u00a0to\u00a086.2\u00a0points, 5"
    assert paragraph[-1].astext() == " %" and tag in paragraph.children and link.astext() == "86.2"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("81.6 %", True),
        ("−10.0 ± 1.5", True),
        ("0.3 to 1.8", True),
        ("1.5 ± 1.2 (colour)", True),
        ("–", True),
        ("", True),
        ("always 1/2", False),
        ("rate 5e-5", False),
        ("2 pictures that nobody can tell apart", False),
    ],
)
def test_what_counts_as_a_number(text, expected):
    assert is_number(text) == expected


def test_only_columns_of_numbers_move_to_the_right():
    document = docutils_core.publish_doctree(PAGE)
    for table in document.findall(nodes.table):
        mark_numbers(table)
    rows = [
        [("number" in cell["classes"]) for cell in row.findall(nodes.entry)]
        for row in document.findall(nodes.row)
    ]
    assert rows == 4 * [[False, True, True, False]]


def test_code_stays_as_it_was_typed():
    document = docutils_core.publish_doctree(PAGE)
    Typography(document).apply()
    text = next(document.findall(nodes.paragraph)).astext()
    assert text == "Accuracy is 87.2\u00a0% (±\u00a00.6), but 5 % is code."


@pytest.mark.parametrize(
    "code, shown",
    [
        ("#@title Solution 6.1\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("#@title Solution 11.5, the parts\nx = 1", "x = 1"),
        ("x = 1  #@title Solution 6.1\n", "x = 1  #@title Solution 6.1\n"),
    ],
)
def test_the_title_that_the_fold_of_a_solution_shows_is_not_in_its_code_too(code, shown):
    block = nodes.literal_block(code, code)
    drop_title(block)
    assert block.astext() == block.rawsource == shown
