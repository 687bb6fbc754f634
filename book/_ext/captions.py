"""The paragraph in italics before a table that begins with "Table: " becomes its caption; the sources stay
plain, so that a table reads well in Jupyter and on GitHub too.

The caption is a node of its own and not a docutils title: Sphinx numbers tables with titles, gives them
permalinks and lists the titles in the search.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

MARK = "Table: "

logger = logging.getLogger(__name__)


class table_caption(nodes.Part, nodes.TextElement):
    """The caption of a table; the translator calls visitors by this name."""


def emphasis_of(node: nodes.Node | None) -> nodes.emphasis | None:
    """The italics of a paragraph that is in italics as a whole and begins with ``MARK``, or none."""
    if not isinstance(node, nodes.paragraph):
        return None
    parts = [part for part in node if part.astext()]  # MyST puts empty texts around italics
    whole = len(parts) == 1 and isinstance(parts[0], nodes.emphasis)
    return parts[0] if whole and parts[0].astext().startswith(MARK) else None


def take(paragraph: nodes.paragraph, emphasis: nodes.emphasis) -> table_caption:
    """Take a paragraph out of the text and make a caption of it: without the mark, the first letter upper
    case."""
    caption = table_caption(emphasis.rawsource, "", *emphasis.children)
    caption.source, caption.line = paragraph.source, paragraph.line
    first = next(iter(caption.findall(nodes.Text)))
    words = first.astext().removeprefix(MARK)
    first.parent.replace(first, nodes.Text(words[:1].upper() + words[1:]))
    paragraph.parent.remove(paragraph)
    return caption


class Captions(SphinxTransform):
    """Move captions into their tables."""

    default_priority = 690  # before typography

    def apply(self, **kwargs) -> None:
        for paragraph in list(self.document.findall(nodes.paragraph)):
            if emphasis := emphasis_of(paragraph):
                table = paragraph.next_node(descend=False, siblings=True)
                if isinstance(table, nodes.table):
                    table.insert(0, take(paragraph, emphasis))
                else:
                    logger.warning("no table follows this caption", location=paragraph)


def visit_caption(self: HTML5Translator, node: table_caption) -> None:
    # The span stays in view while a wide table scrolls below it, see _static/book.css.
    self.body.append(self.starttag(node, "caption", "") + "<span>")


def depart_caption(self: HTML5Translator, node: table_caption) -> None:
    self.body.append("</span></caption>\n")


def setup(app: Sphinx):
    app.add_node(table_caption, html=(visit_caption, depart_caption))
    app.add_transform(Captions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
