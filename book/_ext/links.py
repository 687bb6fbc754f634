"""Links from "chapter 6", "exercises 4.2 and 4.3" and "claim 7" in the text to these places; the sources
stay plain, so that a notebook reads well in Jupyter."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

CHAPTER = re.compile(r"book/(\d\d)_\w+")
CLAIMS = "book/12_claims"
EXERCISE = re.compile(r"Exercise (\d+\.\d+)")
ROW = re.compile(r'id="(claim-\d+)"')  # as wiseft_lite/book/claims/page.py writes it
ONE = r"\d+(?:\.\d+)?"
LIST = (
    rf"(?:\s*,\s*{ONE})*(?:,?\s+(?:and|or|to)\s+{ONE})?"  # one number may be followed by "or" alone
)
MENTION = re.compile(
    rf"(?<![\w-])(chapter|exercise|claim)(?:s\s+{ONE}{LIST}|\s+{ONE}(?:\s+or\s+{ONE})?)(?![\w-])",
    re.IGNORECASE,
)
CITED = ("References", "Further reading")  # sections whose chapters are those of other books
NO_PROSE = (
    *(nodes.title, nodes.subtitle, nodes.rubric, nodes.caption, nodes.thead),
    *(nodes.literal, nodes.FixedTextElement, nodes.math, nodes.raw, nodes.comment),
    *(nodes.reference, nodes.citation, nodes.label, addnodes.pending_xref),
    *(addnodes.desc_signature, nodes.field_name),
    *(addnodes.literal_strong, addnodes.literal_emphasis),
)
Place = tuple[str, str, str]  # page, anchor (may be empty), what is there
Link = tuple[int, int, nodes.reference]  # from, to, and the link without its text


def is_prose(text: nodes.Text) -> bool:
    """Whether a text may hold links: no heading, no code, no link, no work that is cited."""
    node = text.parent
    while node is not None:
        if isinstance(node, NO_PROSE):
            return False
        if isinstance(node, nodes.section) and node[0].astext() in CITED:
            return False
        node = node.parent
    return True


def join_lines(doctree: nodes.document) -> None:
    """Make one text of the lines of a paragraph, which MyST keeps apart."""
    for node in doctree.findall(nodes.Element):
        joined: list[nodes.Node] = []
        for child in node:
            if isinstance(child, nodes.Text) and joined and isinstance(joined[-1], nodes.Text):
                joined[-1] = nodes.Text(joined[-1].astext() + child.astext())
            else:
                joined.append(child)
        if len(joined) < len(node):
            node[:] = joined


def prose(doctree: nodes.document) -> list[nodes.Text]:
    """The texts of a page that may hold links, in reading order."""
    join_lines(doctree)
    return [text for text in doctree.findall(nodes.Text) if is_prose(text)]


def put(text: nodes.Text, links: list[Link]) -> None:
    """Put links around parts of a text."""
    words, parts, end = text.astext(), [], 0
    for start, stop, link in links:
        parts += [nodes.Text(words[end:start]), link] if start > end else [link]
        link += nodes.Text(words[start:stop])
        end = stop
    parts += [nodes.Text(words[end:])] if end < len(words) else []
    text.parent.replace(text, parts)


def mentions(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Each number of a chapter, exercise or claim that a text names: from, to, kind, number. The word
    before belongs to the first.

    Example:
        >>> [("see chapters 3 or 5."[a:b], k, n) for a, b, k, n in mentions("see chapters 3 or 5.")]
        [('chapters 3', 'chapter', '3'), ('5', 'chapter', '5')]
    """
    for found in MENTION.finditer(text):
        for k, number in enumerate(re.finditer(ONE, found[0])):
            start = found.start() + (number.start() if k else 0)
            yield start, found.start() + number.end(), found[1].lower(), number[0]


def chapters(env: BuildEnvironment) -> dict[str, str]:
    """The page of each chapter, by its number."""
    return {str(int(found[1])): page for page in env.titles if (found := CHAPTER.fullmatch(page))}


@functools.cache
def places(env: BuildEnvironment) -> dict[tuple[str, str], Place]:
    """Where each chapter, exercise and claim is. A claim without a row is on the page of claims: there
    are rows once its notebook has run."""
    found: dict[tuple[str, str], Place] = {}
    for number, page in chapters(env).items():
        found["chapter", number] = (page, "", f"Chapter {number}: {env.titles[page].astext()}")
        for entry in env.tocs[page].findall(nodes.reference):
            if heading := EXERCISE.match(entry.astext()):
                found["exercise", heading[1]] = (page, entry["anchorname"][1:], entry.astext())
    if CLAIMS in env.titles:
        for output in env.get_doctree(CLAIMS).findall(nodes.raw):
            for row in ROW.findall(output.astext()):
                found["claim", row.partition("-")[2]] = (CLAIMS, row, "")
    return found


def link_mentions(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link mentions of chapters, exercises and claims on a page, but not to their own place."""
    known = places(app.env)
    for text in prose(doctree):
        links: list[Link] = []
        for start, stop, kind, number in mentions(text.astext()):
            there, anchor, title = known.get((kind, number), ("", "", ""))
            if kind == "claim" and not there:
                there = CLAIMS if CLAIMS in app.env.titles else ""
            if there and (there != page or anchor) and not within(text, anchor):
                link = make_refnode(app.builder, page, there, anchor, [], title or None)
                links.append((start, stop, link))
        if links:
            put(text, links)


def within(text: nodes.Text, anchor: str) -> bool:
    """Whether a text is in the section that has an anchor."""
    node = text.parent
    while node is not None:
        if isinstance(node, nodes.section) and anchor in node["ids"]:
            return True
        node = node.parent
    return False


def setup(app: Sphinx):
    app.connect("doctree-resolved", link_mentions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
