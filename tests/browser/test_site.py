"""The built site in a real browser: ``make test-site`` (after ``make book``)."""

import functools
import http.server
import io
import json
import re
import shutil
import threading
from pathlib import Path

import patience
import pytest
from PIL import Image, ImageStat

pytest.importorskip("playwright", reason="browser tests need 'make test-site'")
from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = (
    sorted(p.relative_to(SITE).as_posix() for p in SITE.glob("book/**/*.html"))
    if SITE.exists()
    else []
)
CHAPTERS = [page for page in PAGES if page.split("/")[-1][:2].isdigit()]
pytestmark = pytest.mark.skipif(not PAGES, reason="no site in _build/html; run 'make book' first")
WIDTHS = (1280, 390)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as tools:
        installed = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        try:
            chromium = tools.chromium.launch(
                executable_path=installed, args=["--no-sandbox"], timeout=patience.PAGE
            )
        except Exception as error:
            pytest.skip(
                f"no Chromium ({str(error).splitlines()[0]}); run 'python -m playwright install chromium'"
            )
        yield chromium
        chromium.close()


def opened(browser, **settings):
    """A new page that waits as long as a busy machine needs."""
    page = browser.new_page(**settings)
    page.set_default_timeout(patience.PAGE)
    return page


def serious_findings(page):
    """Check a page with axe and close it; return what hinders a reader, with its place."""
    results = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    page.close()
    return [
        f"{v['id']}: {v['nodes'][0]['target']}"
        for v in results.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def tab(browser, address):
    """A page that remembers what went wrong while it was open."""
    page = opened(browser, viewport={"width": 1280, "height": 900})
    page.wrong, page.outside = [], []
    page.on(
        "console",
        lambda message: page.wrong.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("response", lambda reply: page.wrong.append(reply.url) if reply.status >= 400 else None)
    page.on(
        "request",
        lambda ask: (
            None
            if ask.url.startswith((address, "data:", "blob:"))
            else page.outside.append(ask.url)
        ),
    )
    yield page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_clean_and_fits(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        over = tab.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert over <= 1, f"{name} is {over} px too wide at {width}"
    pushed = tab.eval_on_selector_all(
        "article div[class*='highlight-'] pre",
        """all => all.filter(
        e => !e.closest('.cell_output') && e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 60))""",
    )
    assert not pushed, f"{name} has code that must be pushed at {WIDTHS[-1]}: {pushed}"
    assert not tab.wrong and not tab.outside, (tab.wrong, tab.outside)


@pytest.mark.parametrize("name", PAGES)
def test_formulas_are_drawn_and_figures_have_alt_text(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    drawn = tab.locator(".formula > svg")
    assert drawn.count() == tab.locator(".formula > math").count()
    lost = "all => all.filter(u => !document.querySelector(u.getAttribute('href'))).length"
    assert tab.eval_on_selector_all("use", lost) == 0
    flat = (
        "all => all.filter(s => s.checkVisibility() && s.getBoundingClientRect().height < 4).length"
    )
    assert tab.eval_on_selector_all(".formula > svg", flat) == 0
    shortest = 10 if name in CHAPTERS else 3  # a figure needs a sentence, a drawing its name
    for alt in tab.eval_on_selector_all("article img", "images => images.map(i => i.alt)"):
        assert len(alt) > shortest and not alt.startswith("../"), alt


def test_every_icon_of_the_theme_has_a_drawing(tab, address):
    used = {
        name
        for page in SITE.rglob("*.html")
        for classes in re.findall(r'class="([^"]*\bfa-[^"]*)"', page.read_text())
        for name in re.findall(r"\bfa-[a-z-]+", classes)
    } - {"fa-solid", "fa-brands", "fa-lg", "fa-fw"}
    drawn = (SITE / "_static" / "icons.css").read_text()
    assert used and not [name for name in used if f".{name}" not in drawn]
    tab.goto(f"{address}/book/index.html", wait_until="load")
    masks = "all => all.map(i => getComputedStyle(i, '::before').maskImage)"
    found = tab.eval_on_selector_all("i.fa-solid", masks)
    assert found and all("svg" in mask for mask in found)


LINE = 1.6e6 / 8  # bytes a second, of a slow connection; nothing is compressed
FIRST, WHOLE = 3 * LINE, 8 * LINE


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_loads_on_a_slow_connection(browser, address, name):
    """Before anything shows, the browser needs the page, its styles, and scripts that it must not run later."""
    page = opened(browser)
    page.goto(f"{address}/{name}", wait_until="load")
    entries = page.evaluate(
        """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .map(e => [e.name, e.encodedBodySize, e.renderBlockingStatus === 'blocking' || e.entryType === 'navigation'])"""
    )
    page.close()
    sizes = {name: (size, first) for name, size, first in entries}
    assert sum(size for size, first in sizes.values() if first) <= FIRST, sizes
    assert sum(size for size, _ in sizes.values()) <= WHOLE, sizes


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", [name for name in PAGES if '<svg xmlns="http' in (SITE / name).read_text()]
)
def test_diagrams_follow_the_theme_and_fit(browser, address, name, scheme):
    page = opened(browser, color_scheme="light" if scheme == "dark" else "dark")
    page.goto(f"{address}/{name}", wait_until="load")
    page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")  # as its button does
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        diagrams = page.locator("svg.diagram")
        assert diagrams.count()
        for diagram in diagrams.all():
            assert diagram.evaluate("d => getComputedStyle(d).backgroundColor") == ground
            small, outside = diagram.evaluate(
                """d => {
                const sheet = d.viewBox.baseVal, scale = d.getBoundingClientRect().width / sheet.width;
                const texts = [...d.querySelectorAll('text')], inside = b => b.x >= 0 && b.y >= 0
                    && b.x + b.width <= sheet.width && b.y + b.height <= sheet.height + 1;
                return [[...d.querySelectorAll('text, tspan')].filter(
                    t => parseFloat(getComputedStyle(t).fontSize) * scale < 9),
                    texts.filter(t => !inside(t.getBBox()))].map(all => all.map(t => t.textContent)); }"""
            )
            assert not small and not outside, (width, small, outside)
    page.close()


def themed(page, address, name, theme):
    """Open a page in a theme, as its button sets it."""
    page.goto(f"{address}/{name}", wait_until="load")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")


SHOWN = """all => Promise.all(all.filter(i => i.checkVisibility()).map(async image => {
    image.loading = "eager";
    await image.decode();
    const source = image.parentElement.querySelector("source"), chosen = matchMedia(source.media).matches ? source : image;
    return {file: image.currentSrc.split("/").pop(), narrow: chosen === source,
        text: chosen.dataset.text * image.getBoundingClientRect().width / chosen.getAttribute("width")}; }))"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CHAPTERS)
def test_letters_in_figures_can_be_read(browser, address, name, width):
    """The build writes the height of a figure's smallest letters beside it; the browser scales them."""
    page = opened(browser, viewport={"width": width, "height": 844})
    for theme in ("light", "dark"):
        themed(page, address, name, theme)
        inside = page.locator(".figure-link img.only-light, .figure-link img.only-dark").count()
        assert inside == page.locator(".cell_output img").count()
        found = page.eval_on_selector_all(".figure-link img", SHOWN)
        assert 2 * len(found) == inside
        assert all(figure["narrow"] == (width == 390) for figure in found), found
        assert all(f"-{theme}." in figure["file"] for figure in found), found
        smallest = 9 if width == 390 else 8  # notes in wide figures of several panels
        assert all(figure["text"] >= smallest for figure in found), found
    page.close()


def luminance(image):
    """The mean of an image, from 0 to 255."""
    return ImageStat.Stat(image.convert("L")).mean[0]


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_figure_is_a_white_slab_on_a_dark_page(browser, address, name):
    page = opened(browser, viewport={"width": 390, "height": 2400})  # no figure is below the header
    themed(page, address, name, "dark")
    page.eval_on_selector_all(".figure-link img", SHOWN)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ground = Image.new("RGB", (1, 1), tuple(map(int, re.findall(r"\d+", ground)[:3])))
    for image in page.locator(".figure-link img.only-dark").all():
        screen = Image.open(io.BytesIO(image.screenshot()))
        assert abs(luminance(screen.crop((1, 1, 7, 7))) - luminance(ground)) < 2
        assert screen.convert("L").getextrema()[1] > 150, "ink that can be read"
    page.close()


FIGURED = [name for name in CHAPTERS if 'class="figure-link"' in (SITE / name).read_text()]


@pytest.mark.parametrize("name", FIGURED[:2])
@pytest.mark.parametrize("how", ["click", "Enter"])
def test_a_figure_opens_larger_and_closes_again(tab, address, name, how):
    tab.goto(f"{address}/{name}", wait_until="load")
    link, dialog = tab.locator(".figure-link").last, tab.locator("dialog.figure-dialog")
    link.focus()
    small = link.locator("img.only-light").bounding_box()["width"]
    link.click() if how == "click" else tab.keyboard.press("Enter")
    assert dialog.evaluate("d => d.open") and tab.url.endswith(name)
    assert dialog.locator("img:visible").bounding_box()["width"] >= small
    files = dialog.locator("a[download]")
    assert files.count() == 1 + bool(link.get_attribute("data-csv"))
    for file in files.all():
        assert tab.request.get(file.evaluate("a => a.href")).ok
    tab.keyboard.press("Escape")
    assert not dialog.evaluate("d => d.open")
    assert link.evaluate("l => l === document.activeElement")
    link.click()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.evaluate("d => d.open")
    assert not tab.wrong and not tab.outside, (tab.wrong, tab.outside)


def solutions(name):
    """Return how many cells a page's notebook folds."""
    notebook = json.loads((SITE.parents[1] / name).with_suffix(".ipynb").read_text())
    return sum("hide-cell" in cell["metadata"].get("tags", []) for cell in notebook["cells"])


@pytest.mark.parametrize("name", [name for name in CHAPTERS if "00_setup" not in name])
def test_solutions_unfold_and_fold_again(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    folds = tab.locator("details.hide.above-input", has_text="Solution ")
    assert folds.count() == solutions(name) > 0
    first = folds.first
    assert first.get_attribute("open") is None
    first.locator("summary").click()
    assert first.get_attribute("open") is not None and first.locator("pre").first.is_visible()
    first.locator("summary").click()
    assert first.get_attribute("open") is None


@pytest.mark.parametrize(
    "word, chapter",
    [
        ("rationed", "00"),
        ("temperature", "01"),
        ("Clopper", "02"),
        ("probe", "03"),
        ("forgetting", "04"),
        ("augmentation", "05"),
        ("interpolate", "06"),
        ("bootstrap", "07"),
        ("permutation", "08"),
        ("jvp", "09"),
        ("CoOp", "10"),
        ("gauges", "11"),
        ("Holm", "12"),
        ("greedy", "13"),
        ("ArcFace", "14"),
        ("Fisher", "15"),
        ("QuickGELU", "16"),
        ("ObjectNet", "17"),
        ("satellites", "18"),
        ("screws", "19"),
    ],
)
def test_search_finds_a_word_of_each_chapter(tab, address, word, chapter):
    tab.goto(f"{address}/search.html?q={word}", wait_until="load")
    tab.wait_for_selector(
        "p.search-summary:has-text('finished')"
    )  # it lists one page after the other
    found = tab.eval_on_selector_all(
        ".search li a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert any(f"book/{chapter}_" in link for link in found), found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", [p for p in PAGES if p in ("book/index.html", "book/06_interpolate.html")]
)
def test_accessibility_has_no_serious_finding(browser, address, name, scheme):
    page = opened(browser, color_scheme=scheme)
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    page.wait_for_function(
        "!document.getAnimations().some(a => a instanceof CSSTransition)"
    )  # colours fade into a theme
    assert not serious_findings(page)
