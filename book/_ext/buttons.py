"""The buttons at the top of a page. The link to its source is there for pages that the repository has and
shows a notebook as the hosting site draws it. The labels of the downloads name the type of the file."""

from __future__ import annotations

from sphinx.application import Sphinx

SOURCE = "source-file-button"  # as sphinx_book_theme names it
DOWNLOADS = {  # what it writes on a button
    ".ipynb": "Notebook (.ipynb)",
    ".md": "Source (.md)",
    ".pdf": "Print, or save as PDF",  # the button opens the dialog of the browser
}


def label_downloads(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Label the downloads of a page by what they contain."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", [group]):
            if button.get("text") in DOWNLOADS:
                button["text"] = DOWNLOADS[button["text"]]


def fix_source(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Leave the source of a page out of its buttons if the build has made the page, and show a notebook
    as a notebook."""
    made = "made_by_the_build" in app.env.metadata.get(page, {})
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [group])
        for button in [b for b in buttons if b.get("label") == SOURCE]:
            if made:
                buttons.remove(button)
            elif button["url"].endswith(".ipynb?plain=1"):
                button["url"] = button["url"].removesuffix("?plain=1")


def setup(app: Sphinx):
    for change in (label_downloads, fix_source):
        app.connect("html-page-context", change, priority=600)  # after the theme, at 501
    return {"parallel_read_safe": True, "parallel_write_safe": True}
