"""Make a title page of the head of the start page: the mark, the version, how to cite, and the place
of a link to the PDF.

The head is the title and what follows it down to the end of the first list. The source stays plain
Markdown.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

import wiseft_lite

PAPER = "wortsman2022robust"  # in the bibliography
MARK_ALT = "A star and a diamond, joined by a curve"
PDF_PLACE = '<span class="pdf"></span>'  # data_scripts/build_pdf.py fills it when there is a PDF


def html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def entry(text: str, key: str) -> str:
    """Return an entry of a bibliography in BibTeX.

    Example:
        >>> entry("@book{a,\\n  year = 1\\n}\\n@book{b,\\n}\\n", "a")
        '@book{a,\\n  year = 1\\n}'
    """
    found = re.search(rf"^@\w+\{{{re.escape(key)},.*?^\}}", text, re.M | re.S)
    if found is None:
        raise ValueError(f"the bibliography has no {key}")
    return found[0]


def citation(title: str, author: str, year: str, url: str) -> str:
    """Return the book's own entry in BibTeX; an empty address is left out."""
    fields = {
        "title": title,
        "author": f"{{{author}}}",  # one name, not a first and a last one
        "year": year,
        "note": f"Version {wiseft_lite.__version__}",
        "url": url,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return "@misc{wiseftbook,\n" + ",\n".join(lines) + "\n}"


def how_to_cite(app: Sphinx) -> list[nodes.Node]:
    """Return a fold with the BibTeX of the book and of the paper."""
    config = app.config
    book = citation(
        config.html_title,
        config.author,
        config.copyright,
        config.html_theme_options.get("repository_url", ""),
    )
    bibliography = Path(app.srcdir, config.bibtex_bibfiles[0]).read_text(encoding="utf-8")
    text = f"{book}\n\n{entry(bibliography, PAPER)}"
    return [
        html('<details class="cite"><summary>How to cite</summary>'),
        nodes.literal_block(text, text, language="bibtex"),
        html("</details>"),
    ]


def make_title_page(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Wrap the head of the start page and put in what its source cannot know."""
    if page != app.config.root_doc or app.builder.format != "html":
        return
    section = next(iter(doctree.findall(nodes.section)))
    links = next((n for n in section.children if isinstance(n, nodes.bullet_list)), None)
    if links is None:  # a start page without a head, as in a small book of the tests
        return
    end = section.index(links)
    credit = next(n for n in reversed(section.children[:end]) if isinstance(n, nodes.paragraph))
    credit += [nodes.Text(f" Version {wiseft_lite.__version__}."), html(PDF_PLACE)]
    mark = Path(app.srcdir, app.config.html_favicon).read_text(encoding="utf-8").strip()
    mark = mark.replace("<svg ", f'<svg class="book-mark" role="img" aria-label="{MARK_ALT}" ', 1)
    section.insert(end + 1, html("</header>"))
    section[section.index(credit) + 1 : end] = how_to_cite(app)
    section.insert(0, html(f'<header class="title-page">{mark}'))


def setup(app: Sphinx):
    app.connect("doctree-resolved", make_title_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
