"""House rules of the notebooks, and every number in prose against the ledger."""

import json
import re
from pathlib import Path

import pytest
import setup_cell
from fill_numbers import TAG, filled, read, sources, value_of

from wiseft_lite.book import ledger

BOOK = Path(__file__).resolve().parent.parent.parent / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAPER = re.compile(r"paper|et al\.|ImageNet|published|Table \d", re.I)
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
CHAPTERS = [
    path for path in NOTEBOOKS if path.stem != "00_setup"
]  # a check of the machine: no exercises, no sources
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def cells(path, kind):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == kind:
            yield cell, "".join(cell["source"])


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_no_outputs_are_committed(path):
    for cell, source in cells(path, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None, source[:60]


@each
def test_cells_are_short(path):
    for _, source in cells(path, "code"):
        lines = source.splitlines()
        assert len(lines) <= 25, source[:80]
        assert all(len(line) <= 80 for line in lines), max(lines, key=len)


@each
def test_every_figure_cell_has_alt_text(path):
    for cell, source in cells(path, "code"):
        if re.search(r"^_ = \w+\(", source, re.M):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 30, source[:60]


@each
def test_card_and_setup_are_there(path):
    first = [source for _, source in cells(path, "markdown")][:2]
    assert first[0].startswith("# ") and "?" in first[0]
    assert all(word in first[1] for word in ("You need", "You leave with", "Time", "Download"))
    setups = {[s for _, s in cells(p, "code")][0] for p in NOTEBOOKS}
    assert setups == {setup_cell.cell_for(path.stem, setup_cell.written_url())}


@each_chapter
def test_exercises_have_a_header_a_hint_and_a_folded_solution(path):
    text = "\n".join(source for _, source in cells(path, "markdown"))
    headers = re.findall(r"### Exercise (\d+\.\d+) · (\w+) · \d of 5 · \d+ min · CPU", text)
    assert len(headers) == len(re.findall("### Exercise", text)) >= 4
    assert {kind for _, kind in headers} <= {
        "Predict",
        "Read",
        "Fix",
        "Write",
        "Measure",
        "Explain",
    }
    chapter = int(path.name[:2])
    assert [name for name, _ in headers] == [
        f"{chapter}.{k}" for k in range(1, len(headers) + 1)
    ], "not in reading order"
    solutions = [s for c, s in cells(path, "code") if "hide-cell" in c["metadata"].get("tags", [])]
    for name, kind in headers:
        if kind == "Explain":
            assert "<summary>Model answer</summary>" in text.partition(f"### Exercise {name}")[2], (
                name
            )
        else:
            assert any(s.startswith(f"#@title Solution {name}") for s in solutions), name
    for cell, source in cells(path, "code"):
        if source.startswith("#@title"):
            assert (
                cell["metadata"]["cellView"] == "form"
                and cell["metadata"]["jupyter"]["source_hidden"]
            )


@each_chapter
def test_what_explains_a_solution_is_a_fold_of_another_name_below_it(path):
    """A reader meets both folds in a row, and must see which is the code and which the words."""
    solved, above = set(), None
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if found := re.match(r"#@title Solution ([\d.]+)", source):
            above = found[1]
            solved.add(above)
        for label in re.findall(r"<summary>(.*?\d+\.\d+.*?)</summary>", source):
            assert label == f"Exercise {above}, explained"
    assert solved


LIST_ITEM = re.compile(r" {0,3}(?:1[.)]|[-+*]) ")
NO_SENTENCE = re.compile(r"\s*(?:\d+[.)]|[-+*>|<])")  # how lists, quotations, tables and HTML begin


def swallowed(text):
    """The lines within a paragraph that Markdown takes for the first item of a list."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    paragraphs = [block for block in re.split(r"\n\s*\n", text) if not NO_SENTENCE.match(block)]
    return [line for p in paragraphs for line in p.split("\n")[1:] if LIST_ITEM.match(line)]


def test_a_line_that_becomes_a_list_is_found_out():
    assert swallowed("Vectors of length\n1. Then go on.") == ["1. Then go on."]
    assert not swallowed("Two:\n\n1. One,\n2. two.\n\nThe year\n2022. So.")


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.stem)
def test_no_line_of_a_sentence_becomes_a_list(path):
    if path.suffix == ".ipynb":
        texts = [source for _, source in cells(path, "markdown")]
    else:
        texts = [path.read_text()]
    assert not [line for text in texts for line in swallowed(text)]


def test_the_first_page_quotes_messages_that_exist():
    table = "\n".join(source for _, source in cells(BOOK / "00_setup.ipynb", "markdown")).partition(
        "When something goes wrong"
    )[2]
    quoted = re.findall(r"^\| `(.*?)` \|", table, re.M)
    library = " ".join(path.read_text() for path in (BOOK.parent / "wiseft_lite").rglob("*.py"))
    library = re.sub(r'"\s*f?"', "", library)  # strings that go on in the next line
    of_others = {"No module named 'wiseft_lite'", "Transport endpoint is not connected"}
    assert len(quoted) >= 8
    for message in set(quoted) - of_others:
        pieces = re.split(r"\.\.\.|'[^']*'|reason", message)
        assert all(piece.strip("; ") in library for piece in pieces), message


def test_the_glossary_is_in_order():
    words = re.findall(r"^\*\*(.+?)\*\*", read(BOOK / "appendix" / "glossary.md"), re.M)
    plain = [re.sub(r"[^a-z0-9 ]", "", word.lower()) for word in words]
    assert len(plain) > 40 and plain == sorted(plain)


def paragraphs(path):
    """Blocks of prose, without code and links."""
    texts = (
        [source for _, source in cells(path, "markdown")]
        if path.suffix == ".ipynb"
        else [path.read_text()]
    )
    for text in texts:
        text = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)", " ", text, flags=re.S)
        yield from re.split(r"\n\s*\n|\n(?=#)", text)


@each_chapter
def test_works_that_a_chapter_names_stand_in_the_bibliography(path):
    def words(text):
        return " ".join(re.findall(r"\w+", text.lower().replace("{", "").replace("}", "")))

    known = [
        words(title)
        for title in re.findall(r"title = \{(.*)\},", (BOOK / "references.bib").read_text())
    ]
    text = "\n".join(source for _, source in cells(path, "markdown"))
    named = re.findall(r"\*([^*]+)\*", text.partition("## References")[2])
    assert named and not [
        title for title in named if not any(k.startswith(words(title)) for k in known)
    ]


def test_numbers_in_prose_are_the_ledgers():
    entries = ledger.read()
    found = 0
    for path in sources():
        text = read(path)
        assert len(TAG.findall(text)) == text.count("<!-- ledger:"), (
            f"{path.name}: a tag without a number"
        )
        for sign, digits, _, key, what in TAG.findall(text):
            value = value_of(entries, key, what)
            said = f"{abs(value):,.{len(digits.partition('.')[2])}f}"
            assert digits == said, f"{path.name}: {key} {what} is {value}, the page says {digits}"
            assert not sign or (sign == "+") == (value >= 0), (
                f"{path.name}: {key} has the other sign"
            )
            found += 1
        assert filled(text, entries) == text
    assert found >= 10


def test_no_work_is_in_the_bibliography_twice():
    keys = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.M)
    assert len(keys) > 40 and len(set(keys)) == len(keys)


LOOSE = re.compile(r"\d+\.\d+\s?(?:%|points)|(?<=\| )[+\-\u2212]?\d+\.\d(?!\d)")


def test_a_measured_number_without_a_tag_is_found_out():
    loose = []
    for path in sources():
        for block in paragraphs(path):
            computed = (
                path.name == "cluster.md"
                and block.lstrip().startswith("| model")  # test_cluster.py has those
                or path.name == "architectures.md"
                and block.lstrip().startswith("| name")
            )  # test_architectures.py
            if not computed and not PAPER.search(
                block
            ):  # the paper's numbers are cited, not measured
                loose += [
                    (path.name, number, block.strip()[:60])
                    for number in LOOSE.findall(TAG.sub("", block))
                ]
    assert not loose, loose
