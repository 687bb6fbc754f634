"""The slider of the landing page and of chapter 6 in a real browser: its numbers, by keyboard, on a phone, in light and
dark, from a file, and the pages without any script."""

import re

import pytest

from wiseft_lite.book import ledger

from .built_site import PAGES, SITE, WIDTHS, opened, serious_findings

NAMES = ("book/index.html", "book/06_interpolate.html")
FILES = [SITE.parents[1] / "book" / "_static" / name for name in ("alpha.svg", "frontier.svg")]
pytestmark = pytest.mark.skipif(
    not set(NAMES) <= set(PAGES), reason="no such pages in _build/html; run 'make book' first"
)
each_page = pytest.mark.parametrize("name", NAMES)


def means(alpha):
    """Accuracies in percent as the page prints them, from the recorded table."""
    table = ledger.table("ch06_curves")
    rows = table[(table["kind"] == "end-to-end") & (table["alpha"] == alpha)]
    by_split = 100 * rows.groupby("split")["accuracy"].mean()
    values = by_split["test"], by_split.drop(["test", "val"]).mean(), by_split["emoji"]
    return [f"{value:.1f}\u00a0%" for value in values]


def ring_and(page, mark):
    """The boxes of the ring and of one of the figure's marks."""
    boxes = page.locator("#alpha-now circle"), page.locator("#alpha-demo svg > path").nth(mark)
    return [
        box.evaluate("b => [b.getBBox().x, b.getBBox().y, b.getBBox().width, b.getBBox().height]")
        for box in boxes
    ]


@each_page
def test_the_keyboard_moves_it_and_its_numbers_are_the_means_of_the_record(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    slider, text = tab.locator("#alpha-slider"), tab.locator("#alpha-demo output")
    cards = tab.locator("#alpha-demo figure")
    assert cards.count() == 24
    table = ledger.table("ch06_curves").query("kind == 'end-to-end'")
    last, seeds = table["alpha"].nunique() - 1, table["seed"].nunique()
    slider.focus()
    tab.keyboard.press("Home")
    guesses = cards.all_inner_texts()
    for alpha, presses in ((0.0, 0), (0.5, last // 2), (1.0, last - last // 2)):
        for _ in range(presses):
            tab.keyboard.press("ArrowRight")
        shown = text.text_content()
        assert float(re.match(r"α = ([\d.]+):", shown)[1]) == alpha
        assert re.findall(r"[\d.]+\u00a0%", shown) == means(alpha)
        assert f"means over {seeds} seeds" in shown
        good = tab.locator("#alpha-demo figure.right").count()
        assert f" {good} of the 24 images" in shown
        assert "on the seven shifts" in shown, "which the axis of the figure names"
        assert float(slider.get_attribute("aria-valuetext").split()[1]) == alpha
    assert sum(a != b for a, b in zip(guesses, cards.all_inner_texts(), strict=True)) >= 12
    assert not tab.wrong and not tab.outside


@each_page
def test_the_ring_leaves_the_diamond_to_be_seen(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    tab.locator("#alpha-slider").fill(tab.locator("#alpha-slider").get_attribute("max"))
    (x, y, wide, _), (left, top, width, height) = ring_and(tab, -1)
    assert x < left and left + width < x + wide and y < top and abs(width - height) < 0.1
    assert tab.locator("#alpha-now circle").evaluate("c => getComputedStyle(c).fill") == "none"


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_is_accessible_and_shows_its_band(browser, address, name, scheme, width):
    page = opened(browser, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) <= 1
    band = page.locator("#alpha-demo svg path[opacity]")
    assert band.count() == 1
    assert band.evaluate("b => b.getBBox().width * b.getBBox().height") > 1000
    assert band.evaluate("b => getComputedStyle(b).fill") != page.evaluate(
        "getComputedStyle(document.body).backgroundColor"
    )
    assert not serious_findings(page)


@each_page
def test_without_scripts_the_page_has_the_figure_and_nothing_that_needs_one(browser, address, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{name}", wait_until="load")
    assert page.locator("article svg.diagram #alpha-now").count() == 1
    place = page.locator("#alpha-demo")
    assert place.inner_text() == "" and place.bounding_box()["height"] == 0
    assert page.locator("article input").count() == 0
    assert "slider" not in page.locator("article").inner_text().lower()
    context.close()


def test_only_pages_that_have_it_load_its_scripts():
    loading = {
        page for page in PAGES if re.search(r"<script[^>]*/alpha\.js", (SITE / page).read_text())
    }
    assert loading == set(NAMES)


@each_page
def test_it_works_from_a_file(browser, name):
    page = opened(browser)
    page.goto((SITE / name).as_uri())
    assert page.locator("#alpha-demo output").inner_text().startswith("α = 0.5")
    page.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_in_the_figures_do_not_collide(browser, path):
    """Nor do they lie on a mark or leave the sheet; numbers of other steps of the animation are not seen."""
    page = opened(browser, reduced_motion="reduce")
    page.goto(path.as_uri())
    boxes = page.evaluate(
        """() => {
        const sheet = document.documentElement.viewBox.baseVal, zoom = document.documentElement.getScreenCTM().a;
        const seen = e => getComputedStyle(e.closest('g') || e).opacity > 0;
        const box = e => { const b = e.getBoundingClientRect();
            return [e.textContent || e.tagName, b.x / zoom, b.y / zoom, (b.x + b.width) / zoom, (b.y + b.height) / zoom]; };
        const marks = [...document.querySelectorAll('path')].slice(-2);
        return {names: [...document.querySelectorAll('text')].filter(seen).map(box), marks: marks.map(box),
            sheet: [sheet.width, sheet.height]}; }"""
    )
    page.close()
    names, (width, height) = boxes["names"], boxes["sheet"]
    assert len(names) > 10 and len(boxes["marks"]) == 2
    slack = 1  # of a box around letters, in units
    meet = lambda a, b: (
        a[1] + slack < b[3] and b[1] + slack < a[3] and a[2] + slack < b[4] and b[2] + slack < a[4]
    )
    others = [*names, *boxes["marks"]]
    met = [(a[0], b[0]) for k, a in enumerate(names) for b in others[k + 1 :] if meet(a, b)]
    assert not met
    outside = [
        n for n, *b in names if b[0] < -1 or b[1] < -1 or b[2] > width + 1 or b[3] > height + 1
    ]
    assert not outside
