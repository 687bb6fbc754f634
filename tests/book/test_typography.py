"""The build step that ties numbers to their signs and sets columns of numbers to the right."""

import sys
from pathlib import Path

import pytest

docutils_core = pytest.importorskip("docutils.core", reason="the site's packages are not installed")
pytest.importorskip("sphinx")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))

from docutils import nodes  # noqa: E402
from typography import Typography, drop_title, is_number, mark_numbers, tied  # noqa: E402

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
    assert tied("from 5.8 % to 85.3 % (± 1.4)") == "from 5.8\u00a0% to 85.3\u00a0% (±\u00a01.4)"
    assert tied(" ± 0.9") == "\u00a0±\u00a00.9", "the number before stands in front of a tag"
    assert tied("test (n = 761), then = 5") == "test (n\u00a0=\u00a0761), then = 5"
    assert tied("16 × 16, a % sign") == "16\u00a0×\u00a016, a % sign"
    assert tied("0.02 GB, 16 GiB, 4 GBs, 3 Bits") == "0.02\u00a0GB, 16\u00a0GiB, 4 GBs, 3 Bits"


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
        ("#@title Solution 11.5, the parts\nx = 1", "#@title Solution 11.5, the parts\nx = 1"),
        ("x = 1  #@title Solution 6.1\n", "x = 1  #@title Solution 6.1\n"),
    ],
)
def test_the_title_that_the_fold_of_a_solution_shows_is_not_in_its_code_too(code, shown):
    block = nodes.literal_block(code, code)
    drop_title(block)
    assert block.astext() == block.rawsource == shown
