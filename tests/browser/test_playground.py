"""The playground in a real browser: its arithmetic against PyTorch and Pillow, and its page by mouse,
finger and keyboard, from a file, without a worker, and with odd images."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from wiseft_lite import interpolate, load_clip, load_task, zero_shot_classifier, zero_shot_head
from wiseft_lite.book import playground

from .built_site import PAGES, SITE, WIDTHS, opened, serious_findings

NAME = "book/playground.html"
EMPTY = "The canvas is empty"
built = pytest.mark.skipif(
    NAME not in PAGES, reason=f"no {NAME} in _build/html; run 'make book' first"
)

# --- the arithmetic, without the page


@pytest.fixture(scope="module")
def zero_shot():
    return zero_shot_classifier(load_clip("iconclip"), load_task("iconshift"))


@pytest.fixture(scope="module")
def computer(browser):
    """A blank page with the scripts of the playground, and the model made from them."""
    page = opened(browser)
    page.evaluate("self.WISEFT_WEIGHTS = []")
    for name in ("data", "model", "pixels", *(f"weights-{k}" for k in range(playground.PARTS))):
        page.add_script_tag(path=playground.FOLDER / f"{name}.js")
    page.evaluate(
        """async () => { self.model = wiseftModel(WISEFT_PLAYGROUND,
        await wiseftUnpack(WISEFT_WEIGHTS, WISEFT_PLAYGROUND.bytes)); }"""
    )
    yield page
    page.close()


@pytest.mark.parametrize("alpha", [0.0, 0.37, 1.0])
def test_the_logits_are_those_of_pytorch_on_the_same_weights(computer, zero_shot, alpha):
    model = zero_shot.with_weights(interpolate(*playground.shipped(), alpha))
    images = [split[k][0] for split in load_task("iconshift").evaluation.values() for k in (0, 7)]
    with torch.inference_mode():
        ours = model(torch.stack([model.preprocess(image) for image in images]))
    theirs = computer.evaluate(
        """([images, alpha]) => images.map((pixels) =>
        Array.from(model.logits(model.encode(pixels, alpha), alpha)))""",
        [[np.asarray(image).flatten().tolist() for image in images], alpha],
    )
    assert (torch.tensor(theirs) - ours).abs().max() < 1e-3


@pytest.mark.parametrize(
    "size", [(384, 384), (48, 48), (47, 95), (100, 37), (53, 48), (48, 51), (9, 20), (385, 640)]
)
def test_the_pixels_are_those_of_the_models_preprocessing(computer, zero_shot, size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    ours = zero_shot.preprocess(Image.fromarray(noise)).permute(1, 2, 0) * 0.5 + 0.5
    rgba = np.dstack([noise, np.full(size[::-1], 255, np.uint8)]).flatten().tolist()
    theirs = computer.evaluate(
        "([rgba, [width, height]]) => Array.from(wiseftPixels(rgba, width, height))",
        [rgba, size],
    )
    assert theirs == (255 * ours).round().int().flatten().tolist()


# --- the page


@pytest.fixture
def page(tab, address):
    tab.goto(f"{address}/{NAME}", wait_until="load")
    return ready(tab)


def ready(page):
    """Wait until the models are loaded."""
    page.wait_for_selector("#playground[data-state=still]")
    return page


def text(page):
    """What the page reports, once it has computed all."""
    page.wait_for_selector("#playground[data-state=still]")
    return page.locator("#playground-text").inner_text()


def draw(page, *points):
    """Draw a line through points of the canvas, in 0..1, with the mouse."""
    page.locator("#playground-canvas").scroll_into_view_if_needed()
    area = page.locator("#playground-canvas").bounding_box()
    for k, (x, y) in enumerate(points):
        page.mouse.move(area["x"] + x * area["width"], area["y"] + y * area["height"], steps=5)
        if k == 0:
            page.mouse.down()
    page.mouse.up()


CROSS = (((0.2, 0.2), (0.8, 0.8)), ((0.8, 0.2), (0.2, 0.8)))


def top(page, name):
    """The five classes of a column, with their percentages."""
    lines = page.locator(f"#playground-{name} li").all_inner_texts()
    return [tuple(line.replace("✓ ", "").split("\n")) for line in lines]


def example(page, k):
    """Choose an example, and wait for it."""
    label = json.loads(playground.value(playground.FOLDER, "data.js"))["examples"][k]["label"]
    row = page.locator("#playground-examples").get_by_role("group").nth(k % 2)
    row.get_by_role("button").nth(k // 2).click()
    page.wait_for_function(
        "label => document.getElementById('playground-text').innerText.includes(`labelled ${label}`)",
        arg=label,
    )
    return label


def upload(page, image, name="image.png"):
    file = io.BytesIO()
    image.save(file, "png")
    page.set_input_files(
        "#playground-file", {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}
    )
    page.wait_for_function("document.getElementById('playground-text').innerText.startsWith('At')")


@built
def test_an_empty_canvas_says_so_and_a_drawing_is_classified(page):
    assert text(page).startswith(EMPTY) and page.locator("#playground-results").is_hidden()
    for line in CROSS:
        draw(page, *line)
    assert text(page).startswith("At α = 0.50 the mixture predicts ")
    for name in ("zero", "mixed", "tuned"):
        assert len(top(page, name)) == 5
    assert page.locator("#playground-plot polyline").count() >= 1
    page.locator("#playground-undo").click()
    page.locator("#playground-undo").click()
    assert text(page).startswith(EMPTY)
    draw(page, *CROSS[0])
    page.locator("#playground-clear").click()
    assert text(page).startswith(EMPTY)
    page.locator("#playground-undo").click()
    assert text(page).startswith("At")
    assert not page.wrong and not page.outside, (page.wrong, page.outside)


@built
def test_an_example_is_classified_as_the_library_does_and_flips_where_it_says(page, zero_shot):
    label = example(page, 0)
    shown = text(page)
    shipped = playground.shipped()
    source = json.loads(playground.value(playground.FOLDER, "data.js"))["examples"][0]["src"]
    image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB")
    inputs = zero_shot.preprocess(image)[None]

    def probabilities(alpha):
        with torch.inference_mode():
            return zero_shot.with_weights(interpolate(*shipped, alpha))(inputs).softmax(1)[0]

    for name, alpha in (("zero", 0.0), ("mixed", 0.5), ("tuned", 1.0)):
        p, classes = probabilities(alpha).topk(5)
        there = [
            (zero_shot.class_names[c], f"{100 * v:.0f}\xa0%")
            for v, c in zip(p.tolist(), classes.tolist(), strict=True)
        ]
        assert top(page, name) == there
    assert top(page, "zero")[0][0] == label != top(page, "tuned")[0][0]
    flips = re.findall(r"at α = ([\d.]+) from (.+?) to (.+?)[,.](?: |$)", shown)
    assert flips
    for at, before, after in flips:
        sides = [int(probabilities(float(at) + d).argmax()) for d in (-0.015, 0.015)]
        assert [zero_shot.class_names[c] for c in sides] == [before, after]


@built
def test_the_downloaded_cell_predicts_what_the_page_predicts(
    page, zero_shot, tmp_path, monkeypatch
):
    for line in CROSS:
        draw(page, *line)
    text(page)
    with page.expect_download() as found:
        page.locator("#playground-download").click()
    found.value.save_as(tmp_path / "drawing.png")
    code = page.locator("#playground-code").inner_text()
    assert len(code.splitlines()) == 5 and max(map(len, code.splitlines())) <= 80
    printed = []
    theta_0, theta_1 = playground.shipped()
    monkeypatch.chdir(tmp_path)
    exec(
        code,
        {"zero_shot": zero_shot, "theta_0": theta_0, "theta_1": theta_1, "print": printed.append},
    )
    assert printed == [top(page, "mixed")[0][0]]


@built
def test_the_slider_and_the_pen_work_by_keyboard_alone(page):
    page.locator("#playground-canvas").focus()
    note = page.locator("#playground-note")
    page.keyboard.press("Space")
    assert note.inner_text() == "Pen down"
    for key in (*["ArrowRight"] * 6, *["ArrowDown"] * 6, "Space"):
        page.keyboard.press(key)
    assert note.inner_text() == "Pen up"
    at_half = text(page)
    assert at_half.startswith("At α = 0.50")
    page.keyboard.press("Control+z")
    assert text(page).startswith(EMPTY)
    page.locator("#playground-examples button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#playground-results:visible")
    slider = page.locator("#playground-alpha")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert text(page).startswith("At α = 0.55")
    page.keyboard.press("End")
    assert text(page).startswith("At α = 1.00") and top(page, "mixed") == top(page, "tuned")
    assert slider.get_attribute("aria-valuetext") == "alpha 1.00"
    page.keyboard.press("Home")
    text(page)
    assert top(page, "mixed") == top(page, "zero")
    button = page.locator("#playground-mixed button").nth(1)
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("#playground-mixed button").nth(1).get_attribute("aria-pressed") == "true"
    thick = page.locator("#playground-legend span").first.inner_text()
    assert thick == top(page, "mixed")[1][0]


@built
def test_a_letter_is_drawn_and_an_emoji_without_a_picture_is_refused(page):
    page.fill("#playground-emoji", "A")
    assert text(page).startswith("At")
    before = page.locator("#playground-canvas").screenshot()
    page.fill("#playground-emoji", "AB")  # the last one counts
    text(page)
    assert page.locator("#playground-canvas").screenshot() != before
    page.fill("#playground-emoji", "\U0001fbff\U0010fffe")
    assert "cannot draw" in page.locator("#playground-note").inner_text()


@built
def test_own_classes_and_words_that_are_not_known(page):
    example(page, 9)
    page.fill("#playground-class", "cat, Dog, catqq")
    page.locator("#playground-add button[type=submit]").click()
    page.wait_for_selector("#playground-own button")
    text(page)
    assert {name for name, _ in top(page, "mixed")} == {"cat", "dog"}
    message = page.locator("#playground-words").inner_text()
    assert "“catqq” is not among the" in message and "cat" in message
    page.fill("#playground-class", "spid")
    assert "spider" in page.locator("#playground-list option").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    page.fill("#playground-class", "spider")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#playground-zero li').length === 3")
    page.get_by_role("button", name="remove cat").click()
    assert {name for name, _ in top(page, "zero")} == {"dog", "spider"}
    page.locator("#playground-all").click()
    text(page)
    assert len(top(page, "zero")) == 5


def focused(page):
    return page.evaluate("document.activeElement.ariaLabel || document.activeElement.id")


@built
def test_the_focus_stays_near_a_class_that_is_removed(page):
    page.fill("#playground-class", "cat, dog, spider")
    page.keyboard.press("Enter")
    for removed, then in (
        ("dog", "remove spider"),
        ("spider", "playground-class"),
        ("cat", "playground-class"),
    ):
        page.get_by_role("button", name=f"remove {removed}").focus()
        page.keyboard.press("Enter")
        assert focused(page) == then
    page.fill("#playground-class", "cat")
    page.keyboard.press("Enter")
    page.locator("#playground-all").focus()
    page.keyboard.press("Enter")
    assert focused(page) == "playground-class"


@built
def test_the_buttons_of_the_classes_stay_while_other_alphas_are_computed(page):
    example(page, 0)
    text(page)
    page.evaluate(
        "window.buttons = [...document.querySelectorAll('#playground-results li button')]"
    )
    page.locator("#playground-mixed button").nth(1).focus()
    before = top(page, "mixed")
    page.locator("#playground-alpha").evaluate(
        "slider => { slider.value = 1; slider.dispatchEvent(new Event('input')); }"
    )
    text(page)
    assert top(page, "mixed") == top(page, "tuned") != before
    assert page.evaluate(
        "buttons.length === 15 && buttons.every(button => button.isConnected) && buttons[6] === document.activeElement"
    )


@built
def test_a_class_chosen_for_the_plot_is_dropped_with_its_drawing(page):
    first = example(page, 0)
    for another, plotted in (
        (lambda: example(page, 2), None),
        (lambda: page.locator("#playground-undo").click(), first),
        (lambda: page.fill("#playground-emoji", "A"), None),
    ):
        text(page)
        page.locator("#playground-mixed button").nth(1).click()
        assert (
            page.locator("#playground-mixed button").nth(1).get_attribute("aria-pressed") == "true"
        )
        label = another() or plotted
        text(page)
        assert page.locator("#playground-results button[aria-pressed=true]").count() == 0
        thick = page.locator("#playground-legend span").first.inner_text()
        assert thick == (label or top(page, "mixed")[0][0])


@built
def test_a_prediction_that_fails_is_reported_and_computed_again(browser, address):
    page = opened(browser)
    page.add_init_script(
        """const Real = Worker;
        self.Worker = class extends Real {
          postMessage(message) {
            if (window.broken && message.pixels) this.onerror(new ErrorEvent("error"));
            else super.postMessage(message);
          }
        };"""
    )
    page.goto(f"{address}/{NAME}", wait_until="load")
    ready(page)
    page.evaluate("window.broken = true")
    page.fill("#playground-emoji", "A")
    page.get_by_text("The prediction could not be computed").wait_for()
    page.wait_for_selector("#playground[data-state=still]")
    page.evaluate("window.broken = false")
    page.locator("#playground-alpha").press("ArrowRight")
    page.wait_for_selector("#playground-results:visible")
    assert text(page).startswith("At α = 0.55")
    assert page.locator("#playground-note").inner_text() == ""
    page.close()


@built
def test_models_that_cannot_be_downloaded_are_reported_and_asked_for_again(browser, address):
    page = opened(browser)
    page.route("**/weights-3.js", lambda route: route.abort())
    page.goto(f"{address}/{NAME}", wait_until="load")
    again = page.get_by_role("button", name="Try again")
    status = page.get_by_role("status").filter(
        has_text="The models could not be loaded (weights-3.js)"
    )
    again.wait_for()
    assert status.is_visible() and page.locator("#playground-loading").is_hidden()
    page.fill("#playground-class", "cat, dog")
    page.keyboard.press("Enter")
    page.get_by_text("The classes were not added").wait_for()
    assert page.locator("#playground-class").input_value() == "cat, dog"
    page.unroute("**/weights-3.js")
    again.focus()
    page.keyboard.press("Enter")
    assert focused(page) == "playground-alpha"
    ready(page)
    assert again.is_hidden() and not status.count()
    page.locator("#playground-class").press("Enter")
    page.get_by_role("button", name="remove dog").wait_for()
    page.fill("#playground-emoji", "A")
    text(page)
    assert {name for name, _ in top(page, "mixed")} == {"cat", "dog"}
    page.close()


@built
def test_own_classes_have_the_probabilities_of_a_zero_shot_head(page, zero_shot):
    names = ["cat", "dog", "star", "bug"]
    example(page, 9)
    page.fill("#playground-class", ",".join(names))
    page.keyboard.press("Enter")
    page.wait_for_selector("#playground-own button")
    text(page)
    source = json.loads(playground.value(playground.FOLDER, "data.js"))["examples"][9]["src"]
    image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).convert("RGB")
    model = zero_shot.with_weights(interpolate(*playground.shipped(), 1.0))
    task = load_task("iconshift")
    head = zero_shot_head(load_clip("iconclip"), names, task.templates)
    with torch.inference_mode():
        p = head(model.encode(model.preprocess(image)[None])).softmax(1)[0]
    found = {name: float(share.split()[0]) for name, share in top(page, "tuned")}
    assert all(abs(found[name] - 100 * v) < 2 for name, v in zip(names, p.tolist(), strict=True))


@built
def test_images_of_any_size_and_what_is_none(page):
    image = Image.new("RGB", (8000, 5000), "white")
    image.paste("black", (3000, 1500, 5000, 3500))
    upload(page, image)
    assert text(page).startswith("At")
    page.set_input_files(
        "#playground-file", {"name": "notes.txt", "mimeType": "image/png", "buffer": b"words"}
    )
    page.wait_for_function("document.getElementById('playground-note').innerText !== ''")
    assert "notes.txt is not an image" in page.locator("#playground-note").inner_text()
    assert not page.wrong, page.wrong


@built
def test_an_image_can_be_pasted_and_dropped(page):
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(file, "png")
    for kind, field in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.locator("#playground-clear").click()
        assert text(page).startswith(EMPTY)
        page.evaluate(
            """([kind, field, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "red.png", {type: "image/png"}));
            const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
            document.getElementById("playground").dispatchEvent(
              new Kind(kind, {[field]: data, bubbles: true, cancelable: true})); }""",
            [kind, field, list(file.getvalue())],
        )
        page.wait_for_function(
            "document.getElementById('playground-text').innerText.startsWith('At')"
        )


@built
@pytest.mark.parametrize(
    "missing", ["Worker", "WebAssembly", "WebGLRenderingContext", "Intl.Segmenter"]
)
def test_it_works_in_a_browser_that_lacks(browser, address, missing):
    page = opened(browser)
    page.add_init_script(f"delete {missing};")
    page.goto(f"{address}/{NAME}", wait_until="load")
    ready(page)
    assert page.evaluate(f"typeof {missing}") == "undefined"
    page.fill("#playground-emoji", "A")
    assert text(page).startswith("At")
    page.close()


@built
def test_it_works_from_a_file_and_without_a_network(browser):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.set_default_timeout(600_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((SITE / NAME).as_uri())
    ready(page)
    draw(page, *CROSS[0])
    assert text(page).startswith("At")
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    context.close()


@built
def test_nothing_is_stored(page):
    draw(page, *CROSS[0])
    text(page)
    stored = page.evaluate(
        "async () => [document.cookie, (await indexedDB.databases()).length, ...Object.values({...localStorage})]"
    )
    assert stored[:2] == ["", 0] and all(len(value) < 100 for value in stored[2:])


@built
def test_a_finger_draws_on_a_phone(browser, address):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.goto(f"{address}/{NAME}", wait_until="load")
    ready(page)
    page.locator("#playground-canvas").scroll_into_view_if_needed()
    page.locator("#playground-canvas").tap()
    assert text(page).startswith("At")
    page.locator("#playground-clear").click()
    assert text(page).startswith(EMPTY)
    box = page.locator("#playground-canvas").bounding_box()
    at = [
        {"x": box["x"] + s * box["width"], "y": box["y"] + s * box["height"], "id": k}
        for k, s in enumerate((0.2, 0.8, 0.25, 0.75))
    ]
    fingers = context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", at[:1]),
        ("touchStart", at[:2]),
        ("touchMove", [{**at[2], "id": 0}, {**at[3], "id": 1}]),
        ("touchEnd", []),
    ):
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    text(page)
    dark = """canvas => { const {width, height} = canvas;
        const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
        return (x, y) => data[4 * (Math.round(y * height) * width + Math.round(x * width))] < 128; }"""
    where = [0.2, 0.25, 0.5, 0.75, 0.8]
    assert page.locator("#playground-canvas").evaluate(
        f"(canvas, where) => {{ const dark = ({dark})(canvas); return where.map(v => dark(v, v)); }}",
        where,
    ) == [True, True, False, False, False], (
        "the first finger draws, not the second or a line between"
    )
    page.locator("#playground-canvas").tap()  # both are lifted
    assert page.locator("#playground-canvas").evaluate(f"canvas => ({dark})(canvas)(0.5, 0.5)")
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) <= 1
    context.close()


@built
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_accessibility_has_no_serious_finding(browser, address, scheme, width):
    page = opened(browser, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto(f"{address}/{NAME}", wait_until="load")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    ready(page)
    example(page, 0)
    page.fill("#playground-class", "spider")
    text(page)
    page.wait_for_function("!document.getAnimations().some(a => a instanceof CSSTransition)")
    assert not serious_findings(page)


@built
def test_what_the_page_adds_to_the_theme_weighs_at_most_eight_megabytes(tab, address):
    sizes = {}
    tab.on("response", lambda reply: sizes.update({reply.url: len(reply.body())}))
    tab.goto(f"{address}/{NAME}", wait_until="load")
    ready(tab)
    tab.wait_for_load_state("networkidle")
    own = sum(size for url, size in sizes.items() if "/playground" in url)
    print(f"{own / 1e6:.1f} MB, with the theme of the book {sum(sizes.values()) / 1e6:.1f} MB")
    assert 5e6 < own <= 8e6
