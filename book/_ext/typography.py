"""Keep a number and its sign or unit on one line, set columns of numbers to the right, and leave the
title that Colab reads out of a cell whose fold has it; the sources stay plain."""

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform

TIED = re.compile(
    r"(?<=\d) (?=%)| (?=±)|(?<=±) |(?<=\d) (?=×)|(?<=×) (?=\d)|(?<=\bn) (?==)|(?<=\bn =) (?=\d)"
    r"|(?<=\d) (?=[kMGT]i?B\b)"
)
NUMBER = re.compile(r"[+\-−]?\d.{0,23}|[\-–—]?")
# data_scripts/build_book.py names the fold of a cell as this line does.
COLAB_TITLE = re.compile(r"#@title Solution \d+\.\d+\n")
VERBATIM = (nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.comment, nodes.math)


def tied(text: str) -> str:
    """The text with no-break spaces before % and units of memory, around ± and × and in ``n = 761``."""
    return TIED.sub("\u00a0", text)


def is_number(text: str) -> bool:
    """Whether a cell holds a number, perhaps with sign, spread and unit, or a dash for none."""
    return NUMBER.fullmatch(text.strip()) is not None


def words(entry: nodes.Node) -> str:
    """The visible text of a table's cell: tags of the ledger are comments."""
    return "".join(
        t.astext()
        for t in entry.findall(nodes.Text)
        if not isinstance(t.parent, (nodes.raw, nodes.comment))
    )


def mark_numbers(table: nodes.table) -> None:
    """Give the class ``number`` to the cells of each column, but the first, that holds numbers
    alone."""
    body = [
        list(row.findall(nodes.entry))
        for part in table.findall(nodes.tbody)
        for row in part.findall(nodes.row)
    ]
    head = [
        list(row.findall(nodes.entry))
        for part in table.findall(nodes.thead)
        for row in part.findall(nodes.row)
    ]
    for k in range(1, min(map(len, body), default=0)):
        column = [words(row[k]) for row in body]
        if all(map(is_number, column)) and any(map(str.strip, column)):
            for row in [*head, *body]:
                row[k]["classes"].append("number")


def drop_title(block: nodes.literal_block) -> None:
    """Take the title that Colab reads out of the code of a cell."""
    found = COLAB_TITLE.match(block.astext())
    if found:
        block.rawsource = block.astext()[found.end() :]  # Sphinx colours a block that equals it
        block[:] = [nodes.Text(block.rawsource)]


class Typography(SphinxTransform):
    default_priority = 700

    def apply(self, **kwargs):
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, VERBATIM) and tied(text) != text:
                text.parent.replace(text, nodes.Text(tied(text)))
        for table in self.document.findall(nodes.table):
            mark_numbers(table)
        for block in self.document.findall(nodes.literal_block):
            drop_title(block)


def setup(app):
    app.add_transform(Typography)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
