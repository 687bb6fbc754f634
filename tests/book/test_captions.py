"""Captions of tables: every table of the book's sources has one, and the build puts it into the table."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the site's packages are not installed")
pytest.importorskip("myst_parser")
BOOK = Path(__file__).resolve().parents[2] / "book"
EXT = BOOK / "_ext"
sys.path.insert(0, str(EXT))

from captions import Captions, emphasis_of, table_caption  # noqa: E402
from docutils import nodes  # noqa: E402
from docutils.utils import new_document  # noqa: E402

SOURCES = sorted([*BOOK.glob("*.ipynb"), *BOOK.rglob("*.md")])
RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*")
TAG = re.compile(r"<!--.*?-->")
MOST = 20  # words of a caption
CONF = f"""
import sys
sys.path.insert(0, {str(EXT)!r})
extensions = ["myst_parser", "captions", "typography", "links"]
html_theme = "basic"
root_doc = "page"
numfig = True
"""
PAGE = """# Page

Before.

*Table: accuracy of `alpha` in 5 %, means over
5<!-- ledger: ch06.test.change seeds --> seeds.*

| model | accuracy |
|---|---|
| zero-shot | 81.6 |

*Another paragraph in italics.*

| no | caption |
|---|---|
| a | b |
"""


def texts(source):
    """The Markdown of a source, as a list of texts: the cells of a notebook, or the page."""
    if source.suffix == ".md":
        return [source.read_text()]
    cells = json.loads(source.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def captions(text):
    """For each table of a text, the paragraph before it."""
    lines, fenced, found = text.split("\n"), False, []
    for k, line in enumerate(lines):
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and k and "|" in lines[k - 1] and RULE.fullmatch(line):
            found.append("\n".join(lines[: k - 1]).rstrip("\n").rpartition("\n\n")[2])
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(BOOK).as_posix())
def test_every_table_has_a_caption(source):
    for paragraph in [p for text in texts(source) for p in captions(text)]:
        assert re.fullmatch(r"\*Table: [^*]+\.\*", paragraph), f"no caption: {paragraph[-200:]!r}"
        words = TAG.sub("", paragraph).removeprefix("*Table: ").split()
        assert len(words) <= MOST, paragraph


def test_the_test_sees_tables():
    assert captions(PAGE)[0].startswith("*Table: accuracy of"), "over two lines"
    assert captions(PAGE)[1] == "*Another paragraph in italics.*"
    assert captions("```\n| a | b |\n|---|---|\n```") == [], "code"
    assert captions("| a | b |\n|--:|---|") == [""], "a table at the top of a cell"
    assert sum(len(captions(text)) for source in SOURCES for text in texts(source)) > 100


def document(*children):
    made = new_document("page")
    made += children
    return made


def italics(*children):
    return nodes.paragraph("", "", nodes.Text(""), nodes.emphasis("", "", *children))


def test_a_paragraph_in_italics_becomes_the_caption():
    table = nodes.table("", nodes.tgroup())
    text = [nodes.Text("Table: accuracy, "), nodes.literal("", "alpha"), nodes.Text(" = 0.5.")]
    made = document(italics(*text), table)
    Captions(made).apply()
    assert list(made) == [table]
    assert isinstance(table[0], table_caption)
    assert table[0].astext() == "Accuracy, alpha = 0.5."
    assert isinstance(table[0][1], nodes.literal)
    assert not table["ids"], "else Sphinx numbers the table"


def test_other_paragraphs_stay():
    mark = nodes.Text("Table: accuracy.")
    assert emphasis_of(italics(nodes.Text("What is gained?"))) is None
    assert emphasis_of(nodes.paragraph("", "", mark)) is None, "not in italics"
    more = nodes.paragraph("", "", nodes.emphasis("", "", mark.copy()), nodes.Text(" More."))
    assert emphasis_of(more) is None, "not as a whole"
    assert emphasis_of(nodes.table()) is None


def test_a_caption_without_a_table_is_an_error(caplog):
    made = document(italics(nodes.Text("Table: accuracy.")), nodes.paragraph("", "text"))
    Captions(made).apply()
    assert len(made) == 2
    assert "no table follows" in caplog.text


def test_the_page_has_a_caption_without_number_or_permalink(tmp_path):
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "page.md").write_text(PAGE)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "-n",
        str(tmp_path),
        str(tmp_path / "html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "page.html").read_text()
    (caption,) = re.findall(r"<table[^>]*>\s*<caption>(.*?)</caption>", page, re.S)
    assert caption.startswith("<span>Accuracy of <code"), caption
    assert "5\u00a0%, means over\n5" in caption, "typography"
    assert "headerlink" not in caption
    assert "Table" not in page
    assert "<em>Another paragraph in italics.</em>" in page
