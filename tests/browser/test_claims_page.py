"""Chapter 12 in a real browser: the table of claims and the figure of curves, by keyboard, in light
and dark."""

import pytest

from .built_site import PAGES, opened, serious_findings

NAME = "book/12_claims.html"
pytestmark = pytest.mark.skipif(
    NAME not in PAGES, reason=f"no {NAME} in _build/html; run 'make book' first"
)


@pytest.fixture
def page(tab, address):
    tab.goto(f"{address}/{NAME}", wait_until="load")
    return tab


def test_the_buttons_show_one_verdict_at_a_time(page):
    rows, buttons = (
        page.locator(".wf-page:not(.changes) tbody tr"),
        page.locator(".wf-page fieldset").first.locator("input"),
    )
    assert rows.count() >= 30
    seen = 0
    for k in range(1, buttons.count()):
        buttons.nth(k).check()
        shown = page.locator(".wf-page:not(.changes) tbody tr:visible")
        assert page.locator(".wf-page fieldset").first.get_by_role("status").inner_text() == (
            f"{shown.count()} of {rows.count()} claims are shown."
        )
        assert {row.get_attribute("data-verdict") for row in shown.all()} <= {
            buttons.nth(k).get_attribute("value")
        }
        seen += shown.count()
    buttons.first.check()
    assert seen == rows.count() == page.locator(".wf-page:not(.changes) tbody tr:visible").count()


def test_without_javascript_there_are_no_buttons_and_links_instead_of_the_figure(browser, address):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}/{NAME}", wait_until="load")
    assert page.locator(".wf-page tbody tr:visible").count() >= 30
    assert page.locator(".wf-page :is(fieldset, select, input):visible").count() == 0
    links = page.locator(".wf-page noscript a")
    for link in links.all():
        assert link.is_visible() and f"book/{link.get_attribute('href')}" in PAGES
    assert links.count() == 1
    page.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_column_of_a_claim_can_be_read_at_any_width(browser, address, width):
    """On a phone the rows are cards that name their columns, and nothing is wider than the
    screen."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(f"{address}/{NAME}", wait_until="load")
    row = page.locator(".wf-page:not(.changes) tbody tr").first
    labels = row.locator("td[data-label]")
    assert [cell.get_attribute("data-label") for cell in labels.all()] == [
        "Paper",
        "Rule",
        "Here",
        "Detectable effect",
        "Public measurements",
    ]
    assert (
        all(cell.is_visible() for cell in labels.all()) and row.locator("td.verdict").is_visible()
    )
    named = labels.first.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert ("Paper" in named) == (width == 390)
    wide = page.locator(".wf-page table").evaluate_all(
        "tables => tables.map(t => t.scrollWidth - t.clientWidth)"
    )
    assert len(wide) == 2 and max(wide) <= 1
    page.close()


def test_the_changes_of_rules_are_listed_below_the_verdicts(page):
    rows = page.locator(".wf-page.changes tbody tr")
    assert rows.count() >= 15 and all(row.locator("td").count() == 3 for row in rows.all())


def test_the_links_lead_to_the_chapters(page):
    links = {link.get_attribute("href") for link in page.locator(".wf-page tbody a").all()}
    assert len(links) >= 6 and all(f"book/{link}" in PAGES for link in links), links


def test_the_slider_and_the_selects_work_by_keyboard(page):
    slider, text = page.locator("input[name=alpha]"), page.locator(".wf-page output")
    slider.focus()
    page.keyboard.press("Home")
    start = text.inner_text()
    assert start.startswith("α = 0.0. Paper, ViT-L/14@336px, end-to-end: 76.6 % (+0.0) on ImageNet")
    page.keyboard.press("End")
    assert text.inner_text().startswith(
        "α = 1.0. Paper, ViT-L/14@336px, end-to-end: 86.2 % (+9.6) on ImageNet"
    )
    page.locator("select[name=paper]").select_option(label="ALIGN, end-to-end")
    assert (
        "Paper, ALIGN" in text.inner_text()
        and page.locator("select[name=paper-shift] option").count() == 1
    )
    page.locator("select[name=our-shift]").select_option("emoji")
    assert "on emoji" in text.inner_text()
    page.locator("select[name=paper]").select_option(label="ViT-B/16, probe")
    assert "Ours, IconCLIP, probe" in text.inner_text() and "on emoji" in text.inner_text()


def test_the_axes_change_from_points_to_percent(page):
    labels = page.locator(".wf-page svg text")
    assert any("under shift (points)" in label for label in labels.all_text_contents())
    page.locator("input[value=accuracy]").check()
    assert any("under shift (%)" in label for label in labels.all_text_contents())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_accessibility_has_no_serious_finding(browser, address, scheme, width):
    page = opened(browser, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{address}/{NAME}", wait_until="load")
    assert not serious_findings(page)
