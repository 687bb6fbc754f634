"""Every page of the built site, opened at both widths and looked at in both themes."""

import io
import json
import re

import pytest
from PIL import Image, ImageStat
from slow_connection import BYTES_PER_SECOND, UNTIL_LOADED, UNTIL_TEXT

from .built_site import CHAPTERS, PAGES, SITE, WIDTHS, axe_findings, show

pytestmark = pytest.mark.skipif(not PAGES, reason="no site in _build/html; run 'make book' first")
# A figure's file and theme, and the height of its smallest letters, which the build writes beside it.
SHOWN = """all => Promise.all(all.filter(i => i.checkVisibility()).map(async image => {
    image.loading = "eager";
    await image.decode();
    const source = image.parentElement.querySelector("source"), chosen = matchMedia(source.media).matches ? source : image;
    return {file: image.currentSrc.split("/").pop(), narrow: chosen === source,
        text: chosen.dataset.text * image.getBoundingClientRect().width / chosen.getAttribute("width")}; }))"""
# For each term: whether a card opens, and the controls that it covers.
COVERED = """() => [...document.querySelectorAll('a.term')].map(link => {
  link.scrollIntoView({block: 'center', behavior: 'instant'});
  link.focus();
  const card = document.querySelector('.glossary-card');
  if (!card) return [link.innerText, null];
  const a = card.getBoundingClientRect();
  const over = [...document.querySelectorAll('button, input, select, summary, nav, .bd-header-article')].filter(e => {
    const b = e.getBoundingClientRect();
    return e.checkVisibility() && a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;
  });
  const inside = a.left >= 0 && a.top >= 0 && a.right <= innerWidth && a.bottom <= innerHeight;
  return [link.innerText, inside ? over.map(e => e.outerHTML.slice(0, 80)) : ['outside the screen']];
})"""
# The texts of a diagram that are too small, and those that leave its sheet.
TEXTS_OF_A_DIAGRAM = """d => {
    const sheet = d.viewBox.baseVal, scale = d.getBoundingClientRect().width / sheet.width;
    const texts = [...d.querySelectorAll('text')], inside = b => b.x >= 0 && b.y >= 0
        && b.x + b.width <= sheet.width && b.y + b.height <= sheet.height + 1;
    return [[...d.querySelectorAll('text, tspan')].filter(
        t => parseFloat(getComputedStyle(t).fontSize) * scale < 9),
        texts.filter(t => !inside(t.getBBox()))].map(all => all.map(t => t.textContent)); }"""


def weight_faults(page):
    """Yield a line for each limit that a page exceeds on a slow connection; nothing is compressed.

    Before anything shows, the browser needs the page, its styles, and scripts that it must not run later.
    """
    entries = page.evaluate(
        """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .map(e => [e.name, e.encodedBodySize, e.renderBlockingStatus === 'blocking' || e.entryType === 'navigation'])"""
    )
    if sum(size for _, size, first in entries if first) > UNTIL_TEXT * BYTES_PER_SECOND:
        yield f"too heavy to show in {UNTIL_TEXT} s: {entries}"
    if sum(size for _, size, _ in entries) > UNTIL_LOADED * BYTES_PER_SECOND:
        yield f"too heavy to load in {UNTIL_LOADED} s: {entries}"


def formula_and_image_faults(page, name):
    """Yield a line for each fault of a formula or of the text for an image."""
    if page.locator(".formula > svg").count() != page.locator(".formula > math").count():
        yield "a formula without a drawing, or without its MathML"
    lost = "all => all.filter(u => !document.querySelector(u.getAttribute('href'))).length"
    if page.eval_on_selector_all("use", lost):
        yield "a formula with a glyph that is not on the page"
    flat = (
        "all => all.filter(s => s.checkVisibility() && s.getBoundingClientRect().height < 4).length"
    )
    if page.eval_on_selector_all(".formula > svg", flat):
        yield "a formula without a height"
    shortest = 10 if name in CHAPTERS else 3  # a figure needs a sentence, a drawing its name
    for alt in page.eval_on_selector_all("article img", "images => images.map(i => i.alt)"):
        if len(alt) <= shortest or alt.startswith("../"):
            yield f"an image with the text {alt!r}"


def width_faults(page):
    """Yield a line if the page is wider than the screen."""
    over = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    if over > 1:
        yield f"{over} px too wide"


def code_faults(page):
    """Yield a line for each listing that is wider than its place."""
    yield from page.eval_on_selector_all(
        "article div[class*='highlight-'] pre",
        """all => all.filter(e => !e.closest('.cell_output') && e.scrollWidth > e.clientWidth + 1)
        .map(e => 'code that must be pushed: ' + e.innerText.slice(0, 60))""",
    )


def diagram_faults(page):
    """Yield a line for each fault of a diagram."""
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for diagram in page.locator("svg.diagram").all():
        if diagram.evaluate("d => getComputedStyle(d).backgroundColor") != ground:
            yield "a diagram on a ground of its own"
        small, outside = diagram.evaluate(TEXTS_OF_A_DIAGRAM)
        if small or outside:
            yield f"texts of a diagram: too small {small}, outside {outside}"


def figure_faults(page, narrow, theme):
    """Yield a line for each fault of a figure."""
    inside = page.locator(".figure-link img.only-light, .figure-link img.only-dark").count()
    if inside != page.locator(".cell_output img").count():
        yield "a figure without a version for each theme"
    shown = page.eval_on_selector_all(".figure-link img", SHOWN)
    if 2 * len(shown) != inside:
        yield f"{len(shown)} of {inside / 2:g} figures are shown"
    smallest = 9 if narrow else 8  # notes in wide figures of several panels
    for figure in shown:
        right = figure["narrow"] == narrow and f"-{theme}." in figure["file"]
        if not right or figure["text"] < smallest:
            yield f"a figure in another version, or with small letters: {figure}"


def table_faults(page):
    """Yield a line if a table has no caption, and one if a caption has no room beside its table."""
    bare = (
        "all => all.filter(t => !t.closest('.cell_output') && !t.caption?.innerText.trim()).length"
    )
    if page.eval_on_selector_all("main .pst-scrollable-table-container > table", bare):
        yield "a table without a caption"
    narrow = "all => all.filter(c => c.offsetParent && c.offsetWidth < 150).length"
    if page.eval_on_selector_all("main caption", narrow):
        yield "a caption in a narrow column"


def luminance(image):
    """The mean of an image, from 0 to 255."""
    return ImageStat.Stat(image.convert("L")).mean[0]


def dark_figure_faults(page):
    """Yield a line for each figure whose ground is not the page's, or whose ink cannot be seen, in the dark."""
    show(page, "dark")
    page.eval_on_selector_all(".figure-link img", SHOWN)  # figures below the screen are loaded too
    before = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 2400})  # no figure is below the header
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ground = Image.new("RGB", (1, 1), tuple(map(int, re.findall(r"\d+", ground)[:3])))
    for image in page.locator(".figure-link img.only-dark").all():
        screen = Image.open(io.BytesIO(image.screenshot()))
        corner = screen.crop((1, 1, 7, 7))
        if (
            abs(luminance(corner) - luminance(ground)) >= 2
            or screen.convert("L").getextrema()[1] <= 150
        ):
            yield f"a slab in the dark: {image.get_attribute('src')}"
    page.set_viewport_size(before)


def card_faults(page, name):
    """Yield a line for each glossary card that covers a control or stays open, and if a chapter has few cards."""
    found = page.evaluate(COVERED)
    yield from (f"a card covers {over}: {term}" for term, over in found if over)
    shown = [entry for entry in found if entry[1] is not None]  # where no place is, no card is
    if name in CHAPTERS and (not found or len(shown) < 0.8 * len(found)):
        yield f"{len(shown)} of {len(found)} terms have a card"
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    if page.locator(".glossary-card").count():
        yield "a card stays open"


def solution_faults(page, name):
    """Yield a line for each fault of the folded solutions: all are there, and the first unfolds and folds again."""
    notebook = json.loads((SITE.parents[1] / name).with_suffix(".ipynb").read_text())
    expected = sum("hide-cell" in cell["metadata"].get("tags", []) for cell in notebook["cells"])
    folds = page.locator("details.hide.above-input", has_text="Solution ")
    if folds.count() != expected or not (expected or "00_setup" in name):
        yield f"{folds.count()} folds for {expected} solutions"
    for fold in folds.all()[:1]:
        states = []
        for _ in range(3):
            states.append(fold.locator("pre").first.is_visible())
            fold.locator("summary").click()
        if states != [False, True, False]:
            yield f"a solution is seen, closed, open and closed: {states}"


@pytest.mark.parametrize("across", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_at_both_widths_in_both_themes(tab, address, name, across):
    tab.set_viewport_size({"width": across, "height": 900})
    tab.goto(f"{address}/{name}", wait_until="load")
    found = [*weight_faults(tab), *formula_and_image_faults(tab, name), *table_faults(tab)]
    for theme in ("light", "dark"):
        show(tab, theme)
        faults = [*width_faults(tab), *diagram_faults(tab), *axe_findings(tab)]
        if name in CHAPTERS:
            faults += figure_faults(tab, across == min(WIDTHS), theme)
        found += [f"{theme}: {fault}" for fault in faults]
    found += card_faults(tab, name)
    if across == min(WIDTHS):
        found += [*code_faults(tab), *dark_figure_faults(tab)]
    if name in CHAPTERS:
        found += solution_faults(tab, name)
    assert not found and not tab.wrong and not tab.outside, (found, tab.wrong, tab.outside)
