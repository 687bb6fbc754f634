"""Name the folds that are left out in print.

In print every fold is open (``_static/book.css``). Solutions, explanations and answers would then be in sight of a
reader who still works on the exercise above, and the set-up is the same cell in every chapter.
"""

from __future__ import annotations

import re

# The summary of a cell is a title of the theme; that of a fold in a text is the text alone.
FOLD = re.compile(
    r'<details(?: class="([^"]*)")?>'
    r'(?=\s*<summary[^>]*>\s*(?:<p class="collapsed admonition-title">)?(?:Set-up|Solution|(?:Model )?[Aa]nswer|Exercise [\d.]+, explained)\b)'
)


def named(body: str) -> str:
    """Return a page's HTML in which folds that are not printed have the class ``unprinted``.

    Example:
        >>> named("<details><summary>Exercise 6.1, explained</summary></details>")
        '<details class="unprinted"><summary>Exercise 6.1, explained</summary></details>'
        >>> named("<details><summary>Hint 1</summary></details>")
        '<details><summary>Hint 1</summary></details>'
    """
    return FOLD.sub(
        lambda m: f'<details class="{" ".join(filter(None, (m[1], "unprinted")))}">', body
    )


def name_folds(app, page, template, context, doctree):
    if "body" in context:
        context["body"] = named(context["body"])


def setup(app):
    app.connect("html-page-context", name_folds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
