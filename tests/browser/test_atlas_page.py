"""The interactive atlas in a real browser: by keyboard, mouse and finger, at both widths, in light and
dark, from a file and without a network."""

import re

import pytest

from wiseft_lite.analysis import atlas
from wiseft_lite.analysis.atlas_figure import LABELS
from wiseft_lite.book import ledger

from .built_site import PAGES, SITE, WIDTHS, opened, serious_findings

NAME = "book/atlas.html"
pytestmark = pytest.mark.skipif(
    NAME not in PAGES, reason=f"no {NAME} in _build/html; run 'make book' first"
)
CLIP = "ViT-L-14-336, openai"


@pytest.fixture
def page(tab, address):
    tab.goto(f"{address}/{NAME}", wait_until="load")
    tab.wait_for_selector("#atlas svg .dots", state="attached")
    return tab


def shown(page):
    return int(page.locator("#atlas").get_attribute("data-models"))


def wait_for_rows(page):
    """Wait for the table, which is filled once the browser has told of its unfolding."""
    page.wait_for_function(
        "document.querySelectorAll('#atlas-table tbody tr').length"
        " === Number(document.getElementById('atlas').dataset.models)"
    )


def card(page):
    return page.locator("#atlas output").inner_text()


def dots(page):
    """The dots that are drawn, over all kinds."""
    paths = page.locator("#atlas svg .dots").evaluate_all(
        "all => all.map(p => p.getAttribute('d'))"
    )
    return [found for path in paths for found in re.findall(r"M([\d.]+) ([\d.]+)h0", path)]


def test_every_measured_model_is_a_dot(page):
    table = atlas.models()
    page.select_option("#atlas-shift", "v2")
    page.check("#atlas-weak")
    measured = (table["v2"] > 0).sum()
    assert shown(page) == len(dots(page)) == measured > 2000
    page.uncheck("#atlas-weak")
    assert shown(page) == ((table["v2"] > 0) & (table["imagenet"] >= 0.5)).sum()
    assert not page.wrong and not page.outside


def test_the_keyboard_steps_through_the_models_from_left_to_right(page):
    assert "models are shown" in card(page)
    page.locator("#atlas-step").focus()
    page.keyboard.press("End")
    last = card(page)
    table = atlas.models().dropna(subset=list(atlas.SHIFTS))
    best = table.loc[table["imagenet"].idxmax()]
    assert last.startswith(f"{best['model']}: ") and "measured by" in last
    page.keyboard.press("ArrowLeft")
    assert card(page) != last
    values = [float(re.search(r"ImageNet ([\d.]+)", text)[1]) for text in (card(page), last)]
    assert values[0] <= values[1]
    assert page.locator("#atlas-step").get_attribute("aria-valuetext") in card(page)
    assert page.locator("#atlas svg .at").count() == 1


def test_the_keyboard_reaches_the_first_model_and_leaves_it_again(page):
    slider = page.locator("#atlas-step")
    slider.focus()
    page.keyboard.press("ArrowRight")
    table = atlas.models().dropna(subset=list(atlas.SHIFTS)).query("imagenet >= 0.5")
    assert card(page).startswith(table.loc[table["imagenet"].idxmin(), "model"])
    page.keyboard.press("Home")
    assert "models are shown" in card(page) and page.locator("#atlas svg .at").count() == 0
    assert slider.get_attribute("aria-valuetext") == "no model chosen"
    page.keyboard.press("End")
    page.fill("#atlas-search", "resnet50")
    assert slider.input_value() == "-1"


def test_the_lines_on_offer_are_those_of_the_shift(page):
    """There is no line of zero-shot models on the videos: another one is chosen, and named."""
    fits = page.locator("#atlas-fit option")
    page.select_option("#atlas-fit", atlas.ZERO_SHOT)
    page.select_option("#atlas-shift", "r")
    assert page.input_value("#atlas-fit") == atlas.ZERO_SHOT and "zero-shot" in card(page)
    for shift in atlas.VIDEOS:
        page.select_option("#atlas-shift", shift)
        assert atlas.ZERO_SHOT not in fits.evaluate_all("all => all.map(o => o.value)")
        assert page.input_value("#atlas-fit") == "standard"
        line = atlas.line_through("standard", shift)
        assert LABELS["standard"] in card(page) and f"{line.n} models of" in card(page)
    page.select_option("#atlas-shift", "shifts")
    assert fits.count() == len(LABELS) and not page.wrong


def test_a_name_is_found_and_its_height_is_that_of_the_library(page):
    page.fill("#atlas-search", "vit-l-14-336 openai")
    text = card(page)
    assert text.startswith(f"{CLIP}: zero-shot CLIP, measured by open_clip.")
    for fit in ("standard", "with-weak"):
        page.select_option("#atlas-fit", fit)
        row = atlas.models().set_index("model").loc[[CLIP], ["imagenet", *atlas.SHIFTS]]
        height = 100 * atlas.effective_robustness(row, ["shifts"], fit).iloc[0]["robustness"]
        found = float(re.search(r"\+([\d.]+) points from", card(page))[1])
        assert abs(found - height) < 0.06
    page.fill("#atlas-search", "resnet50")
    assert re.match(r"\d+ of the shown models match", card(page))
    assert page.locator("#atlas svg .found").count() > 5
    page.locator("#atlas-step").focus()
    page.keyboard.press("ArrowRight")
    first, left = (page.locator(f"#atlas svg .{name}").first for name in ("at", "found"))
    assert "resnet50" in card(page).lower()
    assert first.get_attribute("cx") == left.get_attribute("cx"), "not the first hit"


def client(page, dot):
    """Where a dot is on the screen."""
    area = page.locator("#atlas svg").bounding_box()
    zoom = area["width"] / float(page.locator("#atlas svg").get_attribute("viewBox").split()[2])
    return area["x"] + zoom * float(dot[0]), area["y"] + zoom * float(dot[1])


def test_a_dot_shows_its_card_when_pointed_at_and_when_tapped(page, browser, address):
    page.locator("#atlas svg").scroll_into_view_if_needed()
    page.mouse.move(*client(page, dots(page)[-1]))
    pointed = card(page)
    assert "measured by" in pointed
    phone = browser.new_context(viewport={"width": 390, "height": 900}, has_touch=True).new_page()
    phone.goto(f"{address}/{NAME}", wait_until="load")
    phone.locator("#atlas svg").scroll_into_view_if_needed()
    phone.touchscreen.tap(*client(phone, dots(phone)[-1]))
    assert "measured by" in card(phone)
    phone.context.close()


def test_kinds_can_be_left_out(page):
    before = shown(page)
    page.get_by_label("zero-shot CLIP", exact=True).uncheck()
    assert 0 < shown(page) < before and len(dots(page)) == shown(page)
    page.get_by_label("zero-shot CLIP", exact=True).check()
    assert shown(page) == before


def test_a_shift_without_a_line_says_so(page):
    assert "hardly lie on a line" not in card(page)
    page.select_option("#atlas-shift", "a")
    assert "hardly lie on a line" in card(page)
    assert any(
        "ImageNet-A (%)" in text for text in page.locator("#atlas svg text").all_text_contents()
    )


def test_curves_of_the_paper_and_ours_come_on_request(page):
    paths = page.locator("#atlas svg .path")
    assert paths.count() == 1
    page.select_option("#atlas-paper", "all")
    assert paths.count() == 8
    page.select_option("#atlas-paper", "-1")
    assert paths.count() == 0
    page.check("#atlas-icons")
    assert (
        page.locator("#atlas svg .path.icon").count() == ledger.table("ch06_curves").seed.nunique()
    )
    page.select_option("#atlas-paper", label="ViT-B/16, end-to-end")
    page.select_option("#atlas-shift", "r")
    assert page.locator("#atlas svg .path.paper").count() == 1


@pytest.mark.parametrize("mode, attribute", [("size", "stroke-width"), ("colour", "stroke")])
def test_the_fine_tunings_show_their_learning_rates(page, mode, attribute):
    page.select_option("#atlas-tuned", mode)
    single = page.locator("#atlas svg .dots").evaluate_all(
        "(all, name) => all.filter(p => p.getAttribute('d').split('M').length === 2)"
        ".map(p => p.getAttribute(name))",
        attribute,
    )
    assert len(single) >= 71 and len(set(single)) > 20
    page.fill("#atlas-search", "model-soups model_43")
    assert "learning rate" in card(page)


def test_the_table_has_what_is_drawn_and_can_be_read_out(page):
    page.locator("#atlas-table summary").click()
    rows = page.locator("#atlas-table tbody tr")
    wait_for_rows(page)
    heads = page.locator("#atlas-table thead th").all_text_contents()
    assert heads[:3] == ["Model", "Kind", "Source"] and "Points over the line" in heads
    assert page.locator("#atlas-table thead th[scope=col]").count() == len(heads)
    assert rows.first.locator("th[scope=row]").count() == 1
    page.select_option("#atlas-shift", "v2")
    wait_for_rows(page)
    assert rows.count() > 1000
    assert "ImageNetV2 (%)" in page.locator("#atlas-table thead th").all_text_contents()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_follows_the_width(browser, address, width):
    page = opened(browser, viewport={"width": width, "height": 900})
    page.goto(f"{address}/{NAME}", wait_until="load")
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) <= 1
    page.locator("#atlas-table summary").click()
    assert page.evaluate(over) <= 1
    page.set_viewport_size({"width": 1670 - width, "height": 900})
    page.wait_for_function(
        "document.querySelector('#atlas svg').getBoundingClientRect().width <= innerWidth"
    )
    assert page.evaluate(over) <= 1
    page.close()


def test_it_works_from_a_file_and_without_a_network(browser):
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((SITE / NAME).as_uri())
    page.fill("#atlas-search", CLIP)
    assert card(page).startswith(CLIP)
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    context.close()


def test_on_paper_there_are_the_colours_of_the_kinds_that_are_drawn_and_no_controls(page):
    page.get_by_label("zero-shot CLIP", exact=True).uncheck()
    page.emulate_media(media="print")
    swatches = page.locator("#atlas .swatch:visible")
    assert swatches.count() == page.locator("#atlas .swatch").count() - 1 > 5
    assert swatches.first.evaluate("s => getComputedStyle(s).printColorAdjust") == "exact"
    controls = page.locator(
        "#atlas :is(select, input, summary, .atlas-controls, .atlas-more):visible"
    )
    assert controls.count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_accessibility_has_no_serious_finding(browser, address, scheme, width):
    page = opened(browser, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{address}/{NAME}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    page.locator("#atlas-table summary").click()
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    assert not serious_findings(page)


def test_the_choices_that_the_text_names_exist(page):
    named = {" ".join(text.split()) for text in page.locator("article em").all_inner_texts()}
    named -= {"How to read it.", "effective robustness"}
    labels = page.locator("#atlas label, #atlas option").all_text_contents()
    assert named and named <= {text.strip() for text in labels}
