"""The built site in a real browser: ``make test-site`` (after ``make book``)."""

import re

import pytest

from .built_site import CHAPTERS, PAGES, SITE, opened, show

pytestmark = pytest.mark.skipif(not PAGES, reason="no site in _build/html; run 'make book' first")
WITH_DIAGRAMS = [name for name in PAGES if '<svg xmlns="http' in (SITE / name).read_text()]
WITH_FIGURES = [name for name in CHAPTERS if 'class="figure-link"' in (SITE / name).read_text()]


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


def test_icons_can_be_seen_where_a_reader_has_chosen_all_colours(browser, address):
    page = browser.new_context(forced_colors="active").new_page()
    page.goto(f"{address}/book/index.html", wait_until="load")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    colours = page.eval_on_selector_all(
        "i.fa-solid", "all => all.map(i => getComputedStyle(i, '::before').backgroundColor)"
    )
    assert colours and ground not in colours
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", WITH_DIAGRAMS[:1])
def test_diagrams_follow_the_button_on_a_device_of_the_other_theme(browser, address, name, scheme):
    page = opened(browser, color_scheme="light" if scheme == "dark" else "dark")
    page.goto(f"{address}/{name}", wait_until="load")
    show(page, scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    diagrams = page.locator("svg.diagram").all()
    assert diagrams
    for diagram in diagrams:
        assert diagram.evaluate("d => getComputedStyle(d).backgroundColor") == ground
    page.close()


@pytest.mark.parametrize("name", WITH_FIGURES[:1])
def test_without_javascript_each_figure_is_there_once_and_the_page_has_colours(
    browser, address, name
):
    page = browser.new_context(java_script_enabled=False, color_scheme="dark").new_page()
    page.goto(f"{address}/{name}", wait_until="load")
    for link in page.locator(".figure-link").all():
        assert link.locator("img.only-light").is_visible()
        assert not link.locator("img.only-dark").is_visible()
    assert page.locator("body").evaluate("b => getComputedStyle(b).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_and_its_switch_work_where_nothing_can_be_stored(browser, address, scheme):
    """A sandboxed frame has no origin, so that its browser refuses to open the storage."""
    page = opened(browser, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content(
        '<iframe sandbox="allow-scripts" style="width: 100%; height: 800px"'
        f' src="{address}/{PAGES[0]}"></iframe>'
    )
    frame = page.frame_locator("iframe")
    html = frame.locator("html")
    other = "light" if scheme == "dark" else "dark"
    frame.locator(f"html[data-theme={scheme}][data-mode=auto]").wait_for(state="attached")
    frame.locator(".theme-switch-button:visible").click()
    frame.locator(f"html[data-theme={other}]").wait_for(state="attached")
    assert html.get_attribute("data-mode") == other and not wrong, wrong
    page.close()


KEYS_THAT_REACH_THE_PAGE = """link => {
    const keys = [], note = event => keys.push(event.key);
    document.addEventListener("keydown", note);
    link.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
    document.removeEventListener("keydown", note);
    return keys.length;
}"""


BEYOND = "v => [v.scrollWidth - v.clientWidth, v.scrollHeight - v.clientHeight]"
FADED = """v => ["left", "right", "top", "bottom"].map(
    side => getComputedStyle(v).maskImage.includes("gradient") && v.style.getPropertyValue(`--${side}`) === "2rem")"""


@pytest.mark.parametrize("name", WITH_FIGURES[:2])
@pytest.mark.parametrize("how", ["click", "Enter"])
def test_a_figure_opens_larger_and_closes_again(tab, address, name, how):
    tab.goto(f"{address}/{name}", wait_until="load")
    link, dialog = tab.locator(".figure-link").last, tab.locator("dialog.figure-dialog")
    link.focus()
    small = link.locator("img.only-light").bounding_box()["width"]
    link.click() if how == "click" else tab.keyboard.press("Enter")
    assert dialog.evaluate("d => d.open") and tab.url.endswith(name)
    assert dialog.locator("img:visible").bounding_box()["width"] >= small
    described = link.locator("img.only-light").get_attribute("alt")
    assert dialog.get_attribute("aria-label") == (described or "Figure")
    box = dialog.bounding_box()
    tab.mouse.click(box["x"] + 5, box["y"] + box["height"] / 2)
    assert dialog.evaluate("d => d.open"), "a click inside of its frame closes it"
    files = dialog.locator("a[download]")
    assert files.count() == 1 + bool(link.get_attribute("data-csv"))
    for file in files.all():
        assert tab.request.get(file.evaluate("a => a.href")).ok
    tab.keyboard.press("Escape")
    assert not dialog.evaluate("d => d.open")
    assert link.evaluate("l => l === document.activeElement")
    link.click()
    files.last.focus()
    assert not files.last.evaluate(KEYS_THAT_REACH_THE_PAGE), "the arrow keys turn the page below"
    tab.keyboard.press("Escape")
    assert not dialog.evaluate("d => d.open")
    link.click()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.evaluate("d => d.open")
    assert not tab.wrong and not tab.outside, (tab.wrong, tab.outside)


@pytest.mark.parametrize("name", WITH_FIGURES[1:4])  # the figure of the first page fits a phone
def test_a_figure_that_is_larger_than_a_phone_says_so_and_can_be_seen_whole(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    dialog = tab.locator("dialog.figure-dialog")
    view, image = dialog.locator(".figure-view"), dialog.locator("img:visible")
    fit, full = (dialog.get_by_text(label, exact=True) for label in ("Fit to screen", "Full size"))
    larger = 0
    for link in tab.locator(".figure-link").all()[:3]:
        tab.set_viewport_size({"width": 390, "height": 844})
        link.click()
        faded = view.evaluate(FADED)
        assert fit.is_visible() == any(faded) == (view.evaluate(BEYOND) != [0, 0])
        region = dialog.get_by_role("region", name="Figure, scrolls")
        assert region.count() == view.and_(tab.locator("[tabindex='0']")).count() == any(faded)
        large = image.bounding_box()["width"]
        if fit.is_visible():
            larger += 1
            view.evaluate("v => v.scrollTo(v.scrollWidth, v.scrollHeight)")
            tab.wait_for_function(
                f"before => `${{({FADED})(document.querySelector('.figure-view'))}}` !== before",
                arg=",".join(map(str, faded)).lower(),
            )
            fit.click()
            assert full.is_visible() and view.evaluate(BEYOND) == [0, 0]
            assert not any(view.evaluate(FADED)) and not region.count()
            assert view.get_attribute("tabindex") is None
        box = image.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
        if full.is_visible():
            image.click(position={"x": 0.9 * box["width"], "y": 0.9 * box["height"]})
            assert abs(image.bounding_box()["width"] - large) < 1 and fit.is_visible()
            assert view.evaluate("v => v.scrollLeft + v.scrollTop > 0"), "not where it was touched"
            tab.set_viewport_size({"width": 1600, "height": 1900})
            fit.wait_for(state="hidden")
        tab.keyboard.press("Escape")
    assert larger, "no figure of the page offers the button"
    assert not tab.wrong and not tab.outside, (tab.wrong, tab.outside)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["where", "reference/method"])
def test_the_name_of_a_module_is_on_one_line(tab, address, name, width):
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto(f"{address}/book/appendix/{name}.html", wait_until="load")
    names = tab.locator("td:first-child code .pre")
    assert names.count() > 10
    assert set(names.evaluate_all("all => all.map(n => n.getClientRects().length)")) == {1}


@pytest.mark.parametrize("width", [1280, 390])
def test_the_magnifying_glass_does_not_cover_what_is_searched(tab, address, width):
    tab.set_viewport_size({"width": width, "height": 844})
    for page in ("search.html?q=rate", PAGES[0]):  # a field of the page, and that of a dialog
        tab.goto(f"{address}/{page}", wait_until="load")
        if page == PAGES[0]:
            tab.locator(".search-button:visible, .search-button-field:visible").first.click()
        field = tab.locator(".bd-search:visible input")
        glass = tab.locator(".bd-search:visible .fa-magnifying-glass").bounding_box()
        start = field.evaluate("f => parseFloat(getComputedStyle(f).paddingLeft)")
        assert field.bounding_box()["x"] + start >= glass["x"] + glass["width"], page


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
