"""Keep a number and its sign or unit, and the two ends of a range, on one line, set columns of numbers
to the right, and leave the title that Colab reads out of a cell whose fold has it; the sources stay
plain."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.transforms import SphinxTransform

SIGNS = r"(?<=\d)_(?=[%×])|(?<=×)_(?=\d)|_(?=±)|(?<=±)_|(?<=\bn)_(?==)|(?<=\bn_=)_(?=\d)"
UNITS = (
    r"(?<=\d)_(?=(?:[kMGT]i?B|bits?|bytes?|Mbit/s|pixels?|points?|degrees|million"
    r"|ms|s|seconds?|min|minutes?|hours?)\b)"
)
RANGES = r"(?<=[\d%])_(?=to_[+−-]?\d)|(?<=[\d%]_to)_(?=[+−-]?\d)"
TIED = re.compile("|".join((SIGNS, UNITS, RANGES)).replace("_", r"[ \n]"))
NUMBER = re.compile(r"[+\-−]?\d.{0,23}|[\-–—]?")
# data_scripts/build_book.py names the fold of a cell as this line does.
COLAB_TITLE = re.compile(r"#@title Solution .+\n")
VERBATIM = (nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.comment, nodes.math)


def tied(text: str) -> str:
    """The text with no-break spaces before % and units, around ± and ×, in ``n = 761`` and in ``5 to 7``."""
    return TIED.sub("\u00a0", text)


def text_parts(element: nodes.Element) -> Iterator[tuple[nodes.Text | None, str]]:
    """The visible text of a paragraph in parts, each with its node, or with None for what stays as it
    is: code, a formula, an image. Tags of the ledger, and other HTML, leave no gap."""
    for child in element.children:
        if isinstance(child, nodes.Text):
            yield child, child.astext()
        elif isinstance(child, (nodes.raw, nodes.comment)):
            continue
        elif isinstance(child, VERBATIM) or not child.children:
            yield None, "\ufffc"
        else:
            yield from text_parts(child)


def tie(paragraph: nodes.TextElement) -> None:
    """Put no-break spaces into a paragraph, also where a tag or a link parts a number from its unit."""
    parts = list(text_parts(paragraph))
    left = tied("".join(text for _, text in parts))
    for node, text in parts:
        new, left = left[: len(text)], left[len(text) :]
        if node is not None and new != text:
            node.parent.replace(node, nodes.Text(new))


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
        for element in list(self.document.findall(nodes.TextElement)):
            if not isinstance(element, VERBATIM) and not isinstance(
                element.parent, nodes.TextElement
            ):
                tie(element)
        for table in self.document.findall(nodes.table):
            mark_numbers(table)
        for block in self.document.findall(nodes.literal_block):
            drop_title(block)


def setup(app):
    app.add_transform(Typography)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
