"""The PDF of the book, made of a site of three pages: numbers, links, outline, and what is left out."""

import functools
import re
import shutil
import types
from pathlib import Path

import pytest

pypdf = pytest.importorskip("pypdf", reason="'make book' installs what builds the PDF")
pytest.importorskip("playwright", reason="'make test' installs the browser's client")
import browsers  # noqa: E402
import build_pdf  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "book" / "_static"
LINK = '<a class="headerlink" href="#{0}" title="Link">#</a>'
FORMULA = '<svg class="letters"><symbol id="a1"><path d="M0 0h9"/></symbol></svg><svg><use href="#a1"/></svg>'


def heading(level, text, place):
    return f"<h{level}>{text}{LINK.format(place)}</h{level}>"


def write(site, name, *body):
    """Write a page as the theme does, with what the PDF must leave out around its article."""
    path = site / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!DOCTYPE html><html data-theme="auto"><head><title>T</title>'
        '<link rel="stylesheet" href="../_static/book.css?v=1"></head><body><nav>Sidebar</nav>'
        f'<article class="bd-article">{"".join(body)}<script>var a = 1;</script></article></body></html>'
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "_static").mkdir()
    shutil.copy(STATIC / "book.css", site / "_static")
    write(
        site,
        "book/index",
        '<section id="s"><header class="title-page">',
        heading(1, "Small", "s"),
        '<p>By us.<span class="pdf"></span></p></header><svg class="diagram"></svg><p>Welcome.</p>',
        '<ul><li><p><svg class="diagram" viewBox="0 0 9 9"></svg> <strong>Part I. Few &amp; more</strong></p></li></ul></section>',
    )
    write(
        site,
        "book/01_long",
        '<section id="one">',
        heading(1, f'1. "Long" {FORMULA}', "one"),
        *(f"<p>Line {k}.</p>" for k in range(150)),
        f'<section id="far">{heading(2, "Far away", "far")}<p>Here.</p></section>',
        "<details><summary>Hint</summary><p>A hint.</p></details>",
        '<details class="unprinted"><summary>Set-up</summary><p>Cell 43.</p></details>',
        "<h3>Exercise 1.1 · Write</h3><p>What is it?</p>",
        '<details class="unprinted"><summary><p class="collapsed">Solution 1.1</p><p class="expanded">Solution 1.1</p></summary>'
        "<details><summary>Why?</summary><p>Since it is.</p></details><p>It is 42.</p></details>",
        '<details class="unprinted"><summary>Model answer</summary><p>Forty-two.</p></details></section>',
    )
    write(
        site,
        "book/02_short",
        '<section id="one">',
        heading(1, "2. Short", "one"),
        '<div style="width: 3000px">Wide</div><div id="drawing"><svg aria-label="A dot"></svg></div>',
        "<noscript>The dot needs JavaScript.</noscript><script>document.querySelector('svg').innerHTML = ",
        "'<circle r=\"9\"/>'</script>",
        '<p>See <a href="01_long.html#far">there</a>, <a href="01_long.html">all of it</a>, ',
        '<a class="external" href="https://pypi.org/">outside</a>, <a href="../_sources/a.txt">a file</a>.</p></section>',
    )
    (site / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n- caption: Part I. Few & more\n"
        "  chapters: [{file: book/01_long}]\n- caption: The rest\n  chapters: [{file: book/02_short}]\n"
    )
    return site


@pytest.fixture(scope="module")
def target(site, tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "small.pdf"
    dot = build_pdf.Drawing("#drawing", "", "#drawing circle")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_pdf, "DRAWINGS", {"book/02_short": dot})
        try:
            build_pdf.build(site, site / "_toc.yml", path)
        except SystemExit as reason:
            pytest.skip(str(reason))
    return path


@pytest.fixture
def browser_or_skip():
    """A Chromium that waits a moment only."""
    with build_pdf.sync_playwright() as tools:
        try:
            browser = build_pdf.launched(tools)
        except SystemExit as reason:
            pytest.skip(str(reason))
        yield types.SimpleNamespace(new_page=functools.partial(impatient_page, browser))
        browser.close()


def impatient_page(browser, **settings):
    page = browser.new_page(**settings)
    page.set_default_timeout(300)
    return page


@pytest.fixture(scope="module")
def pdf(target):
    return pypdf.PdfReader(target)


@pytest.fixture(scope="module")
def texts(pdf):
    return [" ".join(page.extract_text().split()) for page in pdf.pages]


def footer(page):
    """Return what is printed in the margin at the bottom of a page."""
    found = []

    def visit(text, page_matrix, text_matrix, *_):
        (_, b, _, d, _, f), (x, y) = page_matrix, text_matrix[4:]
        if x * b + y * d + f < 50:  # its height in points; the margin has 20 mm
            found.append(text)

    page.extract_text(visitor_text=visit)
    return "".join(found).strip()


def page_with(texts, words):
    """The number, from 1, of the only page that has these words, the contents aside."""
    (found,) = [k for k, text in enumerate(texts, 1) if words in text and "Contents" not in text]
    return found


def test_the_numbers_in_the_contents_are_those_printed_on_the_pages(pdf, texts):
    contents = next(text for text in texts if "Contents" in text)
    for title, *words in (('1. "Long"', "Line 0.", "It is 42."), ("2. Short", "See there")):
        numbers = re.findall(re.escape(title) + r"\D*(\d+)", contents)
        assert [int(number) for number in numbers] == [page_with(texts, w) for w in words]
    assert page_with(texts, "See there") - page_with(texts, "Line 0.") > 3
    printed = ["", *map(str, range(2, len(texts) + 1))]  # none on the cover
    assert list(map(footer, pdf.pages)) == printed


def test_the_pages_of_a_chapter_have_its_title_and_its_part_at_the_top(texts):
    second = texts[page_with(texts, "Line 0.")]
    assert "Part I. Few & more" in second and '1. "Long"' in second
    assert "The rest" in texts[page_with(texts, "See there") - 1]


def targets(pdf, page):
    """Where the links of a page lead: an address, or the number of a page."""
    for link in page.get("/Annots", []):
        link = link.get_object()
        action = link.get("/A", {})
        if "/URI" in action:
            yield action["/URI"]
        else:
            place = link.get("/Dest", action.get("/D"))
            yield pdf.get_destination_page_number(pdf.named_destinations[str(place)]) + 1


def test_links_lead_to_places_in_the_book_and_outside_and_not_to_files_of_the_site(pdf, texts):
    found = list(targets(pdf, pdf.pages[page_with(texts, "See there") - 1]))
    places = [page_with(texts, "Here."), page_with(texts, "Line 0.")]
    assert found == [*places, "https://pypi.org/"]
    text = texts[page_with(texts, "See there") - 1]
    assert "(https://pypi.org/)" in text and "a file" in text
    contents = next(k for k, text in enumerate(texts) if "Contents" in text)
    assert page_with(texts, "Line 0.") in targets(pdf, pdf.pages[contents])


def outline(pdf, items):
    for item in items:
        if isinstance(item, list):
            yield list(outline(pdf, item))
        else:
            yield item.title, pdf.get_destination_page_number(item) + 1


def test_the_outline_has_parts_chapters_and_sections_with_their_pages(pdf, texts):
    first, far = page_with(texts, "Line 0."), page_with(texts, "Here.")
    last, answers = page_with(texts, "See there"), page_with(texts, "It is 42.")
    assert list(outline(pdf, pdf.outline)) == [
        ("Contents", 2),
        ("Part I. Few & more", first - 1),
        [('1. "Long" ', first), [("Far away", far)]],
        ("The rest", last - 1),
        [("2. Short", last)],
        ("Solutions and answers", answers - 1),
        [('1. "Long" ', answers)],
    ]


def test_one_wide_thing_does_not_make_all_letters_smaller(pdf, texts):
    sizes = {}

    def visit(text, page_matrix, text_matrix, _, size):
        sizes[text.strip()] = abs(page_matrix[3] * text_matrix[3]) * size

    pdf.pages[page_with(texts, "Line 0.") - 1].extract_text(visitor_text=visit)
    assert sizes["Line 7."] == pytest.approx(13.5 * 72 / 96, abs=0.1)


def test_folds_are_open_and_sidebars_left_out(texts):
    whole = " ".join(texts)
    assert "A hint." in whole and "Welcome." in whole
    assert "Cell 43" not in whole and "Sidebar" not in whole


def test_the_page_before_a_part_has_its_image_and_nothing_else_of_the_start_page(texts):
    assert sum("Welcome." in text for text in texts) == 1


def test_answers_are_at_the_end_of_the_book_with_the_names_of_their_exercises(texts):
    asked, last = page_with(texts, "What is it?"), page_with(texts, "See there")
    for name, answer in (
        ("Solution 1.1", "It is 42."),
        ("Solution 1.1", "Since it is."),
        ("Exercise 1.1, model answer", "Forty-two."),
    ):
        page = page_with(texts, answer)
        assert page > last and name in texts[page - 1]
        assert f"{name}: at the end of the book." in texts[asked - 1]


def test_what_a_page_draws_with_javascript_is_an_image(pdf, texts):
    page = page_with(texts, "See there")
    assert len(pdf.pages[page - 1].images) == 1
    assert "needs JavaScript" not in " ".join(texts)


def test_a_page_that_draws_nothing_is_named(site, browser_or_skip):
    nothing = build_pdf.Drawing("#drawing", "", "#drawing ellipse")
    with pytest.raises(SystemExit, match="02_short.*ellipse"):
        build_pdf.still(browser_or_skip, (site / "book/02_short.html").as_uri(), nothing)


def test_letters_of_formulas_are_shared_and_ids_are_not(site):
    book = build_pdf.read(site, site / "_toc.yml", {})
    text = build_pdf.document(site, book, {})
    assert 'id="a1"' in text and 'href="#a1"' in text
    ids = re.findall(r'\sid="([^"]*)"', text)
    assert len(set(ids)) == len(ids) and {"book/01_long:one", "book/02_short:one"} <= set(ids)


def test_the_start_page_links_to_the_pdf_once_it_is_there(site, tmp_path):
    target = tmp_path / "small.pdf"
    target.write_bytes(b"x" * 2_000_000)
    start = site / "book" / "index.html"
    before = start.read_text()
    assert ".pdf" not in before
    for _ in range(2):
        build_pdf.publish(site, "book/index", target, 7)
    (link,) = re.findall(r'<a href="([^"]*\.pdf)" title="7 pages, 2.0 MB">', start.read_text())
    assert (start.parent / link).resolve().exists()
    start.write_text(before)


def test_a_page_that_is_not_built_is_named(site, tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text((site / "_toc.yml").read_text().replace("02_short", "03_lost"))
    with pytest.raises(SystemExit, match="03_lost.*make book"):
        build_pdf.read(site, toc, {})


def tools(version=None):
    """A Playwright whose Chromium has a version, or is not there."""

    def launch(**_):
        if version is None:
            raise build_pdf.Error("Executable doesn't exist\nat /some/where\n<a long box>")
        return types.SimpleNamespace(version=version)

    return types.SimpleNamespace(chromium=types.SimpleNamespace(launch=launch))


@pytest.mark.parametrize("version, named", [(None, "playwright install"), ("120.0.1", "120.0.1")])
def test_a_chromium_that_cannot_do_it_is_one_line(version, named):
    with pytest.raises(SystemExit) as end:
        build_pdf.launched(tools(version))
    assert named in str(end.value) and "\n" not in str(end.value)
    assert build_pdf.launched(tools("140.0.0")).version == "140.0.0"


def test_one_module_knows_the_names_of_chromium_and_make_looks_for_the_same():
    folders = ("data_scripts", "tests", "wiseft_lite")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    own = Path(__file__).resolve()
    naming = [p.name for p in paths if p != own and "google-chrome" in p.read_text("utf-8")]
    assert naming == ["browsers.py"]
    looked_for = re.findall(
        r"command -v (chromium.*) >/dev/null", (ROOT / "Makefile").read_text("utf-8")
    )
    assert looked_for and {tuple(names.split()) for names in looked_for} == {browsers.NAMES}


def test_the_chromium_of_the_machine_comes_before_that_of_playwright(monkeypatch):
    started = []
    tools = types.SimpleNamespace(
        chromium=types.SimpleNamespace(launch=lambda **s: started.append(s))
    )
    for here in ({"google-chrome": "/usr/bin/google-chrome"}, {}):
        monkeypatch.setattr(browsers.shutil, "which", here.get)
        browsers.launch_chromium(tools, timeout=5)
    assert [s["executable_path"] for s in started] == ["/usr/bin/google-chrome", None]
    assert [s["timeout"] for s in started] == [5, 5]
