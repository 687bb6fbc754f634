"""Make the entries of a bibliography items of the list that holds them, for screen readers.

docutils gives each entry the role ``doc-biblioentry``, which a list may not hold and which ARIA 1.2
has replaced with ``listitem``.
"""

from __future__ import annotations

from sphinx.application import Sphinx


def entries_as_items(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Replace the role of the entries in a page's text."""
    if body := context.get("body", ""):
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx):
    app.connect("html-page-context", entries_as_items)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
