"""The first use of a glossary term on a page is a link to its entry, with the definition in a card; and
the search knows the chapter that explains a term.

An entry of the glossary is a paragraph that begins with its name in bold and a full stop, with a second
name in parentheses if it has one. "See *other term*." is the definition of a name that another entry
explains. The comment ``NO_LINKS`` in an entry marks a name that is too common a word to be a link.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import links
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode
from sphinx.util.osutil import relative_uri

GLOSSARY = "book/appendix/glossary"
WITHOUT = (GLOSSARY, "book/appendix/reference/")  # docstrings have links of their own
NO_LINKS = "<!-- no links -->"
NAMES = re.compile(r"(.+?)(?: \((.+)\))?\.")
SEE = re.compile(r"See (.+)\.")
SEPARATOR = r"[\s-]+"


class Entry(NamedTuple):
    """An entry of the glossary."""

    names: tuple[str, ...]
    anchor: str
    chapters: tuple[str, ...]  # the numbers of those that its definition names
    linked: bool


def names_of(paragraph: nodes.paragraph) -> tuple[str, ...]:
    """The names that a paragraph explains; none if it is no entry."""
    first = next(iter(parts_of(paragraph)), None)
    found = NAMES.fullmatch(first.astext()) if isinstance(first, nodes.strong) else None
    return tuple(name for name in found.groups() if name) if found else ()


def parts_of(paragraph: nodes.paragraph) -> list[nodes.Node]:
    """What a paragraph consists of, without the empty texts that MyST puts before bold words."""
    return [part for part in paragraph if part.astext()]


class Anchors(SphinxTransform):
    """Give every entry of the glossary an address."""

    default_priority = 700

    def apply(self, **kwargs):
        if self.env.docname == GLOSSARY:
            for paragraph in self.document.findall(nodes.paragraph):
                if names := names_of(paragraph):
                    paragraph["ids"].append(f"term-{nodes.make_id(names[0])}")


def entries_of(doctree: nodes.document) -> tuple[Entry, ...]:
    """The entries of the glossary; a name that another entry explains has the anchor and the
    chapters of that one."""
    found, elsewhere = [], []
    for paragraph in doctree.findall(nodes.paragraph):
        if names := names_of(paragraph):
            comments = [raw.astext() for raw in paragraph.findall(nodes.raw)]
            parts = [part for part in parts_of(paragraph)[1:] if not isinstance(part, nodes.raw)]
            text = "".join(part.astext() for part in parts).strip()
            numbers = [n for _, _, kind, n in links.mentions(text) if kind == "chapter"]
            chapters = tuple(dict.fromkeys(numbers))
            entry = Entry(names, paragraph["ids"][0], chapters, NO_LINKS not in comments)
            see = SEE.fullmatch(text)
            elsewhere += [(entry, see[1].lower())] if see else []
            found += [] if see else [entry]
    explained = {name.lower(): entry for entry in found for name in entry.names}
    for entry, name in elsewhere:
        there = explained[name]
        found.append(entry._replace(anchor=there.anchor, chapters=there.chapters))
    return tuple(found)


def spelled(name: str) -> str:
    r"""A regular expression for a name, with a plural s or without, that may begin small or large. Its
    spaces and hyphens may take each other's place.

    Example:
        >>> spelled("Warm start")
        '[wW]arm[\\s-]+starts?'
    """
    first, *others = (re.escape(part) for part in re.split(SEPARATOR, name))
    first = f"[{name[0].lower()}{name[0].upper()}]{first[1:]}"
    return SEPARATOR.join([first, *others]) + "s?"


@functools.cache
def finder(entries: tuple[Entry, ...]) -> tuple[re.Pattern[str], list[Entry]]:
    """What finds names of entries as whole words, not in paths, and the entry of each of its groups. Of
    two names that begin at one place, it finds the longer."""
    named = [(name, entry) for entry in entries for name in entry.names]
    named.sort(key=lambda pair: -len(pair[0]))
    any_name = "|".join(f"({spelled(name)})" for name, _ in named)
    whole = rf"(?<![\w/-])(?:{any_name})(?![\w/-]|\.\w)"
    return re.compile(whole), [entry for _, entry in named]


def uses(text: str, entries: tuple[Entry, ...]) -> Iterator[tuple[int, int, Entry]]:
    """Where a text has names of entries that may be links: from, to, entry."""
    pattern, groups = finder(entries)
    for found in pattern.finditer(text):
        entry = groups[(found.lastindex or 0) - 1]
        if entry.linked:
            yield found.start(), found.end(), entry


def is_heading(text: nodes.Text) -> bool:
    """Whether a text in bold is the whole text of a paragraph in a list, as the name of a part is on the
    start page; there may be an image before it."""
    bold = text.parent
    if not isinstance(bold, nodes.strong) or not isinstance(bold.parent.parent, nodes.list_item):
        return False
    others = [part for part in bold.parent if part is not bold]
    return not any(
        p.astext().strip() for p in others if not isinstance(p, (nodes.image, nodes.raw))
    )


def unfolded(doctree: nodes.document) -> list[nodes.Text]:
    """The texts of a page that may hold links to terms: not in folds, where a reader may miss the
    first use, nor in titles, headings in bold and quotations in italics."""
    found, depth = [], 0
    open_to_links = set(map(id, links.prose(doctree)))
    for node in doctree.findall():
        if isinstance(node, nodes.raw):
            depth += node.astext().count("<details") - node.astext().count("</details")
        elif id(node) in open_to_links and depth == 0 and not is_heading(node):
            found.append(node)
    return found


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the first use of each term on a page."""
    known, seen = entries(app.env), set()
    if not known or page.startswith(WITHOUT):
        return
    for text in unfolded(doctree):
        found: list[links.Link] = []
        for start, stop, entry in uses(text.astext(), known):
            whole = stop - start == len(text.astext())
            if entry.anchor in seen or (isinstance(text.parent, nodes.emphasis) and not whole):
                continue
            seen.add(entry.anchor)
            title = f"Glossary: {entry.names[0]}"
            link = make_refnode(app.builder, page, GLOSSARY, entry.anchor, [], title)
            link["classes"].append("term")
            found.append((start, stop, link))
        if found:
            links.put(text, found)


def link_entries(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """In the glossary, link names of other entries in italics."""
    if page != GLOSSARY:
        return
    anchors = {name.lower(): entry.anchor for entry in entries(app.env) for name in entry.names}
    for emphasis in list(doctree.findall(nodes.emphasis)):
        anchor = anchors.get(emphasis.astext().lower())
        if anchor and anchor not in emphasis.parent["ids"]:
            link = make_refnode(app.builder, page, page, anchor, emphasis.deepcopy())
            emphasis.replace_self(link)


def index_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let a search for a term find the chapter that explains it, and its entry."""
    for entry in entries(app.env):
        places = [""] if page in map(links.chapters(app.env).get, entry.chapters) else []
        places += [entry.anchor] if page == GLOSSARY else []
        for place in places:
            names = [("single", name, place, "main", None) for name in entry.names]
            doctree += addnodes.index(entries=names)


@functools.cache
def entries(env: BuildEnvironment) -> tuple[Entry, ...]:
    """The entries of this book's glossary."""
    return entries_of(env.get_doctree(GLOSSARY)) if GLOSSARY in env.titles else ()


@functools.cache
def definitions(app: Sphinx) -> dict[str, nodes.paragraph]:
    """The entries as they are on the page of the glossary, with its links, by their anchors."""
    page = app.env.get_and_resolve_doctree(GLOSSARY, app.builder)
    return {p["ids"][0]: p for p in page.findall(nodes.paragraph) if p["ids"]}


def card(app: Sphinx, page: str, anchor: str) -> str:
    """An entry as HTML for a card on a page. The links of the glossary become those of the page, without
    the one to the page itself."""
    paragraph = definitions(app)[anchor].deepcopy()
    paragraph["ids"] = []
    here, glossary = app.builder.get_target_uri(page), app.builder.get_target_uri(GLOSSARY)
    for link in [n for n in paragraph.findall(nodes.reference) if n.get("internal")]:
        address, _, place = link.get("refuri", f"#{link.get('refid')}").partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(glossary), address))
        there = there if address else glossary
        if there == here and not place:
            link.replace_self(link.children)
        else:
            link.attributes.pop("refid", None)
            link["refuri"] = relative_uri(here, there) + (f"#{place}" if place else "")
    return f'<div data-term="{anchor}">{app.builder.render_partial(paragraph)["fragment"]}</div>'


def add_cards(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None):
    """Put the definitions of the terms that a page links into the page, where only a script sees
    them."""
    links_here = doctree.findall(nodes.reference) if doctree is not None else ()
    anchors = [n["refuri"].partition("#")[2] for n in links_here if "term" in n["classes"]]
    if anchors and "body" in context:
        cards = "".join(card(app, page, anchor) for anchor in anchors)
        context["body"] += f'<template id="glossary-cards">{cards}</template>'
        app.add_js_file("cards.js", loading_method="defer")


def rank(app: Sphinx, config) -> None:
    """The order of search results is that of scorer.js."""
    config.html_search_scorer = str(Path(__file__).with_name("scorer.js"))


def setup(app: Sphinx):
    app.add_transform(Anchors)
    app.connect("config-inited", rank)
    app.connect("doctree-resolved", link_terms)
    app.connect("doctree-resolved", link_entries)
    app.connect("doctree-resolved", index_terms)
    app.connect("html-page-context", add_cards, priority=400)  # before formulas share their letters
    return {"parallel_read_safe": True, "parallel_write_safe": True}
