"""Links of the built site in a real browser: the cards of glossary terms, and the order of search results."""

import pytest

from .built_site import PAGES, opened, serious_findings

PAGE = "book/06_interpolate.html"
pytestmark = pytest.mark.skipif(
    PAGE not in PAGES, reason=f"no {PAGE} in _build/html; run 'make book' first"
)
CARD = ".glossary-card"


@pytest.fixture
def page(tab, address):
    tab.goto(f"{address}/{PAGE}", wait_until="load")
    return tab


def test_the_pointer_opens_a_card_that_stays_while_one_reads_it(page):
    term, card = page.locator("a.term").first, page.locator(CARD)
    assert card.count() == 0
    term.hover()
    card.wait_for()
    assert len(card.inner_text()) > 20 and term.get_attribute("aria-describedby") == "glossary-card"
    card.hover()
    page.wait_for_timeout(600)
    assert card.is_visible()
    page.keyboard.press("Escape")
    assert card.count() == 0
    term.hover()
    card.wait_for()
    page.locator("article h1").hover()
    card.wait_for(state="detached")


def test_the_keyboard_opens_a_card_goes_through_it_and_closes_it(page):
    term, card = page.locator("a.term").first, page.locator(CARD)
    term.focus()
    card.wait_for()
    for _ in range(card.locator("a").count()):
        page.keyboard.press("Tab")
        assert card.evaluate("card => card.contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert card.count() == 0
    assert term.evaluate("link => link === document.activeElement")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert card.is_visible(), "it opens again"
    page.keyboard.press("Shift+Tab")
    assert card.count() == 0
    term.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/glossary.html#term-*")


def test_a_tap_opens_a_card_and_its_link_leads_to_the_glossary(browser, address):
    page = opened(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(f"{address}/{PAGE}", wait_until="load")
    term, card = page.locator("a.term").first, page.locator(CARD)
    term.tap()
    card.wait_for()
    assert page.url.endswith(PAGE)
    page.locator("article h1").tap()
    assert card.count() == 0
    term.tap()
    card.wait_for()
    card.get_by_text("Glossary", exact=True).tap()
    page.wait_for_url("**/glossary.html#term-*")
    page.close()


def test_without_scripts_a_term_is_a_link_with_a_title(browser, address):
    page = opened(browser, java_script_enabled=False)
    page.goto(f"{address}/{PAGE}", wait_until="load")
    term = page.locator("a.term").first
    assert term.get_attribute("title").startswith("Glossary: ")
    assert not page.locator("#glossary-cards > *").count(), "the definitions are not on the page"
    term.click()
    page.wait_for_url("**/glossary.html#term-*")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_open_card_is_accessible(browser, address, scheme):
    page = opened(browser, color_scheme=scheme)
    page.goto(f"{address}/{PAGE}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    page.locator("a.term").first.focus()
    page.locator(CARD).wait_for()
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    assert not serious_findings(page)


def test_names_of_the_library_lead_to_the_reference(page):
    sweep = page.locator("article p a", has=page.locator("code", has_text="sweep")).first
    assert sweep.get_attribute("href").endswith("reference/sweeps.html#wiseft_lite.sweeps.sweep")


@pytest.mark.parametrize(
    "query, chapters",
    [
        ("interpolate", ["06"]),
        ("learning rate", ["04", "05"]),
        ("zero-shot head", ["01"]),
        ("soup", ["13"]),
        ("effective robustness", ["02"]),
        ("EMA", ["10"]),
        ("LoRA", ["15"]),
        ("ImageNet-V2", ["17"]),
        ("ImageNetV2", ["17"]),
    ],
)
def test_search_puts_the_chapter_that_explains_a_term_first(tab, address, query, chapters):
    tab.goto(f"{address}/search.html?q={query}", wait_until="load")
    tab.wait_for_selector("p.search-summary:has-text('finished')")
    found = tab.eval_on_selector_all(
        ".search li > a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert found[0].startswith(tuple(f"book/{chapter}_" for chapter in chapters)), found[:5]
