"""The face of the built site: title page, parts, marks of progress, keys that turn pages, and print."""

import json
import re

import pytest

import wiseft_lite

from .built_site import PAGES, SITE, opened, serious_findings

START, CHAPTER, NEXT = "book/index.html", "book/06_interpolate.html", "book/07_choose_alpha.html"
SHEET = "book/appendix/cheat_sheet.html"
pytestmark = pytest.mark.skipif(
    not {START, CHAPTER} <= set(PAGES), reason="no site in _build/html; run 'make book' first"
)


def opened_at(tab, address, name):
    tab.goto(f"{address}/{name}", wait_until="load")
    return tab


# --- the title page


def test_title_links_and_slider_are_on_the_first_screen_of_a_laptop(tab, address):
    tab.set_viewport_size({"width": 1280, "height": 800})
    page = opened_at(tab, address, START)
    items = page.locator(".title-page li")
    assert items.count() == 3
    for seen in (".title-page h1", ".title-page .book-mark", ".title-page li >> nth=2"):
        box = page.locator(seen).bounding_box()
        assert box["y"] + box["height"] <= 400, seen
    slider = page.locator("#alpha-demo input[type=range]").bounding_box()
    assert slider["y"] + slider["height"] <= 800


def test_a_link_of_the_title_page_opens_wherever_its_box_is_pressed(tab, address):
    items = opened_at(tab, address, START).locator(".title-page li").all()
    assert items
    for item in items:
        assert item.evaluate(
            """item => {
                const {right, bottom} = item.getBoundingClientRect();
                return document.elementFromPoint(right - 8, bottom - 8) === item.querySelector("a");
            }"""
        )


def test_the_title_page_has_the_version_and_how_to_cite(tab, address):
    page = opened_at(tab, address, START)
    assert f"Version {wiseft_lite.__version__}." in page.locator(".title-page").inner_text()
    assert "MIT" in page.locator(".title-page").inner_text()
    fold = page.locator(".title-page details")
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    entries = fold.locator("pre").inner_text()
    assert re.findall(r"^@\w+\{(\w+),", entries, re.M) == ["wiseftbook", "wortsman2022robust"]
    assert wiseft_lite.__version__ in entries and entries.count("{") == entries.count("}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_mark_is_in_the_sidebar_of_every_page_and_large_enough(browser, address, scheme):
    page = opened(browser, viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/{CHAPTER}", wait_until="load")
    shown = page.locator(".navbar-brand img:visible")
    assert shown.count() == 1 and shown.evaluate("i => i.complete && i.naturalWidth > 0")
    assert shown.bounding_box()["width"] >= 32
    assert page.locator(".navbar-brand").inner_text().strip() == "WiSE-FT, the book"
    page.close()


def test_there_is_no_link_to_a_pdf_that_is_not_there(tab, address):
    links = opened_at(tab, address, START).locator("a[href$='.pdf']")
    assert links.count() == (SITE / "wiseft-book.pdf").exists()
    for link in links.all():
        assert tab.request.get(link.evaluate("a => a.href")).ok


@pytest.mark.parametrize("width", [1280, 390])
def test_every_part_has_its_image_beside_its_chapters(tab, address, width):
    tab.set_viewport_size({"width": width, "height": 800})
    parts = opened_at(tab, address, START).locator("#parts-and-chapters > ul > li")
    assert parts.count() == tab.locator("nav.bd-links p.caption").count()
    for part in parts.all():
        image, chapters = part.locator("svg").bounding_box(), part.locator("ul").bounding_box()
        assert image["width"] >= 64 and image["x"] + image["width"] <= chapters["x"]


# --- progress


def marks(page):
    """The marks of the links to the chapter, in the sidebar and in the contents."""
    places = ("nav.bd-links li", "#parts-and-chapters li li")
    lines = [page.locator(place, has_text="One line between two models") for place in places]
    return [line.locator(".progress-mark").all_inner_texts() for line in lines if line.count()]


def test_nothing_is_shown_while_nothing_is_stored(tab, address):
    page = opened_at(tab, address, START)
    assert page.locator(".progress-mark").count() == 0
    assert page.locator("#progress").inner_text() == ""
    assert page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('wiseft'))") == []


def test_a_chapter_is_read_when_its_end_was_reached_and_forgotten_on_demand(tab, address):
    page = opened_at(tab, address, CHAPTER)
    page.evaluate("scrollBy(0, 1500)")
    page.wait_for_timeout(300)
    assert page.locator(".progress-mark").count() == 0
    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    page.wait_for_selector("nav.bd-links .progress-mark")
    assert marks(page) == [["✓"]]
    page.evaluate(
        """() => Object.entries({6.1: true, 6.2: false, 6.3: true, 16.1: true}).forEach(([number, right]) =>
        localStorage.setItem(`wiseft.exercise.${number}`, JSON.stringify({answer: 'A', right})))"""
    )
    page.evaluate("localStorage.setItem('wiseft.exercise.6.4', 'not JSON')")
    opened_at(tab, address, START)
    assert marks(page) == [["✓"], ["✓", "2 solved"]]
    link = page.locator("nav.bd-links").get_by_role("link", name="6. One line between two models")
    assert "read" in link.first.aria_snapshot()
    text = page.locator("#progress").inner_text()
    assert "1 chapter read" in text and "3 exercises solved" in text

    page.evaluate("localStorage.setItem('theme', 'dark')")  # not ours
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Forget my progress").click()
    assert len(marks(page)[1]) == 2, "who says no keeps all"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Forget my progress").click()
    assert marks(page) == [[], []]
    assert page.locator("#progress").inner_text() == "Progress forgotten."
    assert (
        page.locator("#progress")
        .get_by_role("status")
        .evaluate("node => node === document.activeElement")
    )
    assert page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('wiseft'))") == []
    assert page.evaluate("localStorage.getItem('theme')") == "dark"
    assert not tab.wrong


def test_a_browser_that_keeps_nothing_shows_the_page_all_the_same(browser, address):
    page = opened(browser)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(
        """const keep = Storage.prototype.setItem;
        Storage.prototype.setItem = function (key, value) {
          if (key.startsWith("wiseft")) throw new Error("the store is full");
          keep.call(this, key, value);
        };"""
    )
    page.goto(f"{address}/{CHAPTER}", wait_until="load")
    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert page.locator(".progress-mark").count() == 0
    assert not wrong
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_of_progress_are_accessible(browser, address, scheme):
    page = opened(browser, color_scheme=scheme)
    stored = {"wiseft.read.06_interpolate": "1", "wiseft.exercise.6.1": json.dumps({"right": True})}
    page.add_init_script(f"Object.assign(localStorage, {json.dumps(stored)})")
    page.goto(f"{address}/{START}", wait_until="load")
    page.wait_for_selector("#progress button")
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    assert not serious_findings(page)


# --- keys


def pressed(page, key):
    """Press a key, wait for a page that it may have opened, and return the page's address."""
    page.keyboard.press(key)
    page.wait_for_timeout(500)
    page.wait_for_load_state("load")
    return page.url


def test_the_open_page_is_in_sight_in_the_contents_wherever_they_were_scrolled(tab, address):
    out_of_sight = """() => {
        const bar = document.querySelector('.bd-sidebar-primary').getBoundingClientRect();
        const here = document.querySelector('.bd-sidebar-primary .current.active > a').getBoundingClientRect();
        return here.top < bar.top || here.bottom > bar.bottom; }"""
    tab.goto(f"{address}/book/01_zero_shot_head.html")
    for name in ("appendix/bibliography", "01_zero_shot_head"):
        tab.evaluate(f"location.href = '{address}/book/{name}.html'")
        tab.wait_for_url(f"**/{name}.html")
        tab.wait_for_load_state("load")
        assert not tab.evaluate(out_of_sight), name


def test_arrow_keys_turn_pages(tab, address):
    page = opened_at(tab, address, CHAPTER)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"{address}/{NEXT}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"{address}/{CHAPTER}")
    assert pressed(page, "Alt+Shift+ArrowRight") == f"{address}/{CHAPTER}"


FOCUSED = {
    "a slider": (START, "#alpha-slider"),
    "a canvas": ("book/playground.html", "#playground-canvas"),
    "a list to choose from": ("book/atlas.html", "#atlas-shift"),
    "the search field": ("search.html", "input[type=search] >> visible=true"),
}


@pytest.mark.parametrize("place", FOCUSED)
def test_arrow_keys_stay_with_who_has_the_focus(tab, address, place):
    name, selector = FOCUSED[place]
    page = opened_at(tab, address, name)
    page.locator(selector).first.focus()
    page.evaluate(
        "document.head.insertAdjacentHTML('beforeend', '<link rel=next href=index.html>')"
    )
    for key in ("ArrowRight", "ArrowLeft"):
        assert pressed(page, key) == f"{address}/{name}"


def test_the_slider_moves_while_pages_do_not_turn(tab, address):
    page = opened_at(tab, address, START)
    slider = page.locator("#alpha-slider")
    slider.click()
    before = slider.input_value()
    assert pressed(page, "ArrowRight") == f"{address}/{START}"
    assert slider.input_value() != before


def test_arrow_keys_scroll_a_wide_table_that_was_pressed(tab, address):
    page = opened_at(tab, address, CHAPTER)
    page.evaluate(
        """document.querySelector('article p').insertAdjacentHTML('beforebegin',
        '<div id="wide" style="overflow-x: auto; width: 200px"><p style="width: 900px; height: 40px">A</p></div>')"""
    )
    page.locator("#wide").click(position={"x": 20, "y": 20})
    assert pressed(page, "ArrowRight") == f"{address}/{CHAPTER}"
    page.locator("article h1").click()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"{address}/{NEXT}")


# --- print


@pytest.fixture
def printed(browser, address, tmp_path):
    """A function that prints a page of the dark site on A4, as a reader's browser does."""
    pypdf = pytest.importorskip("pypdf")
    page = opened(browser, color_scheme="dark")

    def printer(name):
        page.goto(f"{address}/{name}", wait_until="load")
        page.evaluate(
            """addEventListener('beforeprint', () => {
            window.printed = getComputedStyle(document.body).backgroundColor; })"""
        )
        path = tmp_path / "page.pdf"
        page.pdf(path=path, format="A4", print_background=True)
        return page, pypdf.PdfReader(path)

    yield printer
    page.close()


@pytest.mark.skipif(SHEET not in PAGES, reason=f"no {SHEET}")
def test_the_cheat_sheet_fills_two_sheets_of_paper(printed):
    _, pdf = printed(SHEET)
    assert len(pdf.pages) == 2
    first, last = (page.extract_text() for page in pdf.pages)
    assert "Cheat sheet" in first and "When not to interpolate" in last


def test_a_chapter_prints_light_open_and_without_what_one_presses(printed):
    page, pdf = printed(CHAPTER)
    text = " ".join(" ".join(sheet.extract_text() for sheet in pdf.pages).split())
    assert page.evaluate("window.printed") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "and dark again"
    hints = page.locator("article details:not(.unprinted) p").all_text_contents()
    assert hints and all(" ".join(hint.split()[:3]) in text for hint in hints if "_" not in hint)
    for left_out in ("line_solution", "Model answer", "Set-up", "Search", "7. Choosing alpha"):
        assert left_out not in text, left_out
    assert text.count("6. One line between two models") == 1


def test_print_shows_the_address_of_links_to_elsewhere_alone(printed):
    page, pdf = printed(START)
    text = "".join("".join(sheet.extract_text() for sheet in pdf.pages).split())
    assert "(https://arxiv.org/abs/2109.01903)" in text
    assert ".html" not in text and "Forgetmyprogress" not in text
    page.emulate_media(media="print")
    shown = page.locator("article :is(button, input, label, audio, video):visible")
    assert shown.count() == 0


def test_figures_stay_on_one_sheet(printed):
    page, _ = printed(CHAPTER)
    page.emulate_media(media="print")
    inside = page.eval_on_selector_all(
        "article :is(img, svg.diagram)", "all => all.map(f => getComputedStyle(f).breakInside)"
    )
    assert inside and set(inside) == {"avoid"}
