"""Formulas as drawings, made when the site is built: no script in the page, no network, sharp in print.

ziamath sets LaTeX in STIX Two as SVG; its letters take the colour of the text. Beside each drawing, for
screen readers only, is the formula in MathML. Pages hold each letter's outline once.
"""

from __future__ import annotations

import re

import ziamath
from docutils import nodes
from latex2mathml.converter import convert

SIZE = 16  # of a formula's letters in its own units; one such size is SCALE times that of the text
SCALE = 1.08  # STIX Two is a little smaller than the theme's letters
# A space has an outline without content.
SYMBOL = re.compile(r'<symbol id="([^"]+)"[^>]*?(?:/>|>.*?</symbol>)', re.DOTALL)
HEAD = re.compile(r'<svg xmlns="[^"]*" width="[^"]*" height="[^"]*" viewBox="([^"]*)">')
ziamath.config.svg2 = True  # letters as symbols


def formula(tex: str, inline: bool) -> str:
    """Return a formula as HTML.

    Args:
        tex: LaTeX, without dollars.
        inline: in a line of text, not on a line of its own.
    """
    tex = tex.strip()
    drawing = ziamath.Latex(tex, size=SIZE, inline=inline, color="currentColor").svg()
    head = HEAD.match(drawing)
    if head is None:
        raise ValueError(f"ziamath writes another kind of SVG now: {drawing[:120]}")
    _, top, width, height = map(float, head[1].split())
    below = top + height  # the base line is at 0
    em = SCALE / SIZE
    style = f"width:{width * em:.3f}em;vertical-align:{-below * em:.3f}em"
    spoken = convert(tex, display="inline" if inline else "block")
    svg = f'<svg viewBox="{head[1]}" style="{style}" aria-hidden="true">{drawing[head.end() :]}'
    return f'<span class="formula">{svg}{spoken}</span>'


def visit_inline(translator, node):
    translator.body.append(formula(node.astext(), inline=True))
    raise nodes.SkipNode


def visit_block(translator, node):
    translator.body.append(
        f'<div class="formula-block">{formula(node.astext(), inline=False)}</div>'
    )
    raise nodes.SkipNode


def once(html: str) -> str:
    """Return a page's HTML with each letter's outline once, at its top."""
    outlines = {match[1]: match[0] for match in SYMBOL.finditer(html)}
    if not outlines:
        return html
    letters = "".join(outlines.values())
    return f'<svg class="letters" aria-hidden="true">{letters}</svg>' + SYMBOL.sub("", html)


def share_letters(app, page, template, context, doctree):
    if "body" in context:
        context["body"] = once(context["body"])


def setup(app):
    app.add_html_math_renderer("ziamath", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", share_letters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
