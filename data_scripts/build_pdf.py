"""Make a PDF of the built book: ``make pdf``, after ``make book``.

The pages of the site become one document with a cover, contents and a page before each part, which
Chromium prints in the site's print style. It does so twice: the numbers in the contents are known when
all is laid out. The PDF is copied into the site, and the start page gets a link to it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import arguments
import pypdf
import yaml
from browsers import launch_chromium
from playwright.sync_api import Browser, Error, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SITE, TARGET = ROOT / "_build" / "html", ROOT / "_build" / "wiseft-book.pdf"
STYLE = Path(__file__).with_name("pdf.css")
OLDEST = 131  # the first Chromium that can print running titles and page numbers
SHEET = re.compile(r'<link\b[^>]*rel="stylesheet"[^>]*>')
ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.S)
COVER = re.compile(r'<header class="title-page">.*?</header>', re.S)
IMAGE = re.compile(  # of a part
    r"(<svg [^>]*diagram[^>]*>(?:(?!<svg|</svg>).)*</svg>)\s*<strong>(.*?)</strong>", re.S
)
PDF_PLACE = re.compile(r'<span class="pdf">.*?</span>')  # of book/_ext/title_page.py
HEADING = re.compile(r'<h([12])>(.*?)<a class="headerlink" href="#([^"]*)".*?</a></h\1>', re.S)
TAG = re.compile(r"<(?!symbol|use)(\w+)((?:\s[^<>]*)?)>")  # all pages share the letters of formulas
ATTRIBUTE = re.compile(r'\s(id|href|src)="([^"]*)"')
FOLD = re.compile(r"<details\b[^>]*>|</details>")
EXERCISE = re.compile(r"<h3\b[^>]*>(Exercise [\d.]+)")
SUMMARY = re.compile(r"<summary\b[^>]*>(.*?)</summary>", re.S)
ANSWERS = "Solutions and answers"


class Drawing(NamedTuple):
    """What a page draws with JavaScript, which paper has not."""

    place: str  # its selector
    press: str  # the button to press first, or ""
    drawn: str  # what is there when it is done


DRAWINGS = {
    "book/12_claims": Drawing("[id^=curves-]", "", "[id^=curves-] svg circle"),
    "book/atlas": Drawing("#atlas", "", "#atlas > svg .dots"),
    "book/playground": Drawing(
        "#playground",
        "#playground-only-zero button",
        "#playground[data-state=still] #playground-plot polyline",
    ),
}
WITHOUT = re.compile(r"<noscript>[^<]*needs JavaScript.*?</noscript>", re.S)


class Chapter(NamedTuple):
    page: str  # the name of its file, without an ending
    title: str
    sections: list[tuple[str, str]]  # the title of each and its id
    text: str
    answers: list[str]  # what stands at the end of the book


class Part(NamedTuple):
    title: str  # empty for the start page
    chapters: list[Chapter]

    @property
    def id(self) -> str:
        return "part:" + re.sub(r"\W+", "-", self.title)


def pages(toc: Path) -> list[tuple[str, list[str]]]:
    """Return the title and the pages of each part, in order; the first is the start page alone."""
    book = yaml.safe_load(toc.read_text(encoding="utf-8"))

    def files(chapters: list[dict]) -> list[str]:
        return [f for c in chapters for f in (c["file"], *files(c.get("sections", [])))]

    return [("", [book["root"]]), *((p["caption"], files(p["chapters"])) for p in book["parts"])]


def moved(text: str, own: str, addresses: dict[str, str]) -> str:
    """Return HTML for the one document: ids begin with the name of the page, links to pages lead to a
    place in the document, links to other files of the site are dropped, and folds are open.

    Args:
        text: of a page or of a part of it.
        own: the address of the page.
        addresses: of all pages, with their names.
    """

    def attribute(match: re.Match) -> str:
        name, value = match.groups()
        if name == "id":
            return f' id="{addresses[own]}:{value}"'
        address, mark, anchor = urljoin(own, value).partition("#")
        if name == "src" or not address.startswith("file:"):
            return f' {name}="{address}{mark}{anchor}"'
        return (
            f' href="#{addresses[address]}{mark and ":"}{anchor}"' if address in addresses else ""
        )

    def tag(match: re.Match) -> str:
        name = f"{match[1]} open" if match[1] == "details" else match[1]
        return f"<{name}{ATTRIBUTE.sub(attribute, match[2])}>"

    text = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
    return TAG.sub(tag, text.replace(' loading="lazy"', ""))


def folds(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the folds begin and end that are not printed in their place (``_ext/printing.py``)."""
    opened: list[tuple[int, bool]] = []
    for match in FOLD.finditer(text):
        if match[0] != "</details>":
            opened.append((match.start(), "unprinted" in match[0]))
            continue
        start, moved_away = opened.pop()
        if moved_away and not any(above for _, above in opened):
            yield start, match.end()


def without_answers(text: str) -> tuple[str, list[str]]:
    """Take solutions and answers out of a chapter, so that nothing gives an exercise away, and leave a
    line that says where they are; the set-up is left out.

    Returns:
        The chapter and its answers, each with a heading.

    Example:
        >>> fold = '<details class="unprinted"><summary>Model answer</summary><p>No.</p></details>'
        >>> without_answers("<h3>Exercise 1.2 · Explain</h3>" + fold)[1]
        ['<h3>Exercise 1.2, model answer</h3><p>No.</p>']
    """
    kept, answers, last = [], [], 0
    for start, end in folds(text):
        name, body = unfolded(text[start:end])
        kept.append(text[last:start])
        last = end
        if name == "Set-up":
            continue
        exercise = (EXERCISE.findall(text[:start]) or [""])[-1]
        if exercise and exercise.partition(" ")[2] not in name:
            name = f"{exercise}, {name[:1].lower()}{name[1:]}"
        answers.append(f"<h3>{name}</h3>{body}")
        kept.append(f'<p class="answer-place">{name}: at the end of the book.</p>')
    return "".join([*kept, text[last:]]), answers


def unfolded(fold: str) -> tuple[str, str]:
    """Return the title of a fold and what is in it."""
    summary = SUMMARY.search(fold)
    title = re.sub(r"<p class=\"expanded.*?</p>|<.*?>", "", summary[1], flags=re.S).strip()
    return title, fold[summary.end() : -len("</details>")]


def still(browser: Browser, address: str, drawing: Drawing) -> str:
    """Return an image, in HTML, of what a page draws with JavaScript.

    Raises:
        SystemExit: it draws nothing.
    """
    page = browser.new_page(viewport={"width": 880, "height": 900}, device_scale_factor=2)
    page.goto(address)
    try:
        if drawing.press:
            page.locator(drawing.press).first.click()
        page.locator(drawing.drawn).first.wait_for(state="attached")
    except Error:
        raise SystemExit(f"{address} does not draw {drawing.drawn}, see DRAWINGS") from None
    part = page.locator(drawing.place).first
    name = part.locator("svg[aria-label]").first.get_attribute("aria-label") or ""
    image = b64encode(
        part.screenshot(style="#pst-back-to-top { display: none !important }")
    ).decode()
    page.close()
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{image}">'


def read(site: Path, toc: Path, stills: Mapping[str, str]) -> list[Part]:
    """Read the pages of a site.

    Args:
        stills: by page, an image in place of the line that says that it needs JavaScript.

    Raises:
        SystemExit: one of them is not built.
    """
    names = [page for _, part in pages(toc) for page in part]
    addresses = {(site / f"{page}.html").resolve().as_uri(): page for page in names}
    missing = [page for page in names if not (site / f"{page}.html").exists()]
    if missing:
        raise SystemExit(f"{missing[0]} is not in {site}: run 'make book' first")
    chapters = {}
    for own, page in addresses.items():
        text = moved(ARTICLE.search((site / f"{page}.html").read_text("utf-8"))[1], own, addresses)
        if page in stills:
            text = WITHOUT.sub(stills[page], text)
        found = [(n, unescape(re.sub("<.*?>", "", t)), i) for n, t, i in HEADING.findall(text)]
        sections = [(title, place) for level, title, place in found if level == "2"]
        chapters[page] = Chapter(page, found[0][1], sections, *without_answers(text))
    book = [Part(title, [chapters[page] for page in part]) for title, part in pages(toc)]
    return [
        *book,
        Part(ANSWERS, [answers_of(chapter) for chapter in chapters.values() if chapter.answers]),
    ]


def answers_of(chapter: Chapter) -> Chapter:
    """Return the chapter at the end of the book that holds another's solutions and answers."""
    text = f"<h1>{escape(chapter.title)}</h1>{''.join(chapter.answers)}"
    return Chapter(f"answers/{chapter.page}", chapter.title, [], text, [])


def contents(parts: list[Part], numbers: dict[str, int]) -> str:
    """Return the contents; what has no number yet gets room for one."""
    lines = []
    for part in parts:
        lines.append(f'<a class="part-title" href="#{part.id}">{escape(part.title)}</a>')
        for chapter in part.chapters:
            number = numbers.get(chapter.page, "000")
            title = escape(chapter.title)
            lines.append(f'<a href="#{chapter.page}">{title}<span>{number}</span></a>')
    return f'<nav class="table-of-contents"><h2>Contents</h2>{"".join(lines)}</nav>'


def document(site: Path, book: list[Part], numbers: dict[str, int]) -> str:
    """Return the one document as HTML."""
    start, *parts = book
    (first,) = start.chapters
    own = (site / f"{first.page}.html").resolve()
    sheets = "".join(SHEET.findall(own.read_text("utf-8")))
    images = {unescape(title): svg for svg, title in IMAGE.findall(first.text)}
    body = [f'<div class="cover">{COVER.search(first.text)[0]}</div>', contents(parts, numbers)]
    style = [STYLE.read_text("utf-8")]
    for part in book:
        if part.title:
            heading = f"{images.get(part.title, '')}<h1>{escape(part.title)}</h1>"
            body.append(f'<div class="part" id="{part.id}">{heading}</div>')
        for chapter in part.chapters:
            name = re.sub(r"\W", "-", chapter.page)
            body.append(
                f'<article class="bd-article" id="{chapter.page}" style="page: p-{name}">'
                f"{COVER.sub('', chapter.text)}</article>"
            )
            left, right = (re.sub(r'(["\\])', r"\\\1", t) for t in (part.title, chapter.title))
            style.append(
                f'@page p-{name} {{ @top-left {{ content: "{left}"; }} @top-right {{ content: "{right}"; }} }}'
            )
    sheets = re.sub(r'href="(.*?)"', lambda m: f'href="{urljoin(own.as_uri(), m[1])}"', sheets)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>'
        f"{escape(first.title)}</title>{sheets}<style>{''.join(style)}</style></head><body>"
        f'<div class="bd-main"><div class="bd-content"><div class="bd-article-container">'
        f"{''.join(body)}</div></div></div></body></html>"
    )


def launched(tools: Playwright) -> Browser:
    """Return a Chromium, the system's or the one that Playwright installs.

    Raises:
        SystemExit: there is none, or it is too old.
    """
    try:
        browser = launch_chromium(tools, timeout=0)
    except Error:
        hint = "there is no Chromium here: run 'python -m playwright install chromium'"
        raise SystemExit(hint) from None
    if int(browser.version.partition(".")[0]) < OLDEST:
        raise SystemExit(
            f"Chromium {browser.version} prints no page numbers: install {OLDEST} or newer"
        )
    return browser


def add_outline(target: Path, parts: list[Part]) -> int:
    """Write parts, chapters and sections into the outline. Chromium's own repeats each title that it has
    moved to the next page, and knows no parts.

    Returns:
        The number of pages.
    """
    writer = pypdf.PdfWriter(target, incremental=True)
    places = {name.lstrip("/"): to for name, to in writer.named_destinations.items()}

    def add(title: str, place: str, above: Any = None) -> Any:
        to = places[place]
        number = writer.get_page_number(to.page.get_object())
        fit = pypdf.generic.Fit.xyz(to.left, to.top)
        return writer.add_outline_item(
            title=title, page_number=number, parent=above, fit=fit, is_open=above is None
        )

    writer.add_outline_item(title="Contents", page_number=1)
    for part in parts:
        above = add(part.title, part.id) if part.title else None
        for chapter in part.chapters:
            item = add(chapter.title, chapter.page, above) if part.title else None
            for title, place in chapter.sections:
                if place in places:
                    add(title, place, item)
    writer.write(target)
    return len(writer.pages)


def build(site: Path, toc: Path, target: Path) -> int:
    """Print the pages of a site into a PDF and return the number of its pages."""
    numbers: dict[str, int] | None = None
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tools:
        browser = launched(tools)
        stills = {
            name: still(browser, (site / f"{name}.html").resolve().as_uri(), drawing)
            for name, drawing in DRAWINGS.items()
            if (site / f"{name}.html").exists()
        }
        book = read(site, toc, stills)
        page = browser.new_context(java_script_enabled=False).new_page()
        page.set_default_timeout(0)
        source = Path(folder, "book.html")
        while True:
            source.write_text(document(site, book, numbers or {}), encoding="utf-8")
            page.goto(source.as_uri())
            page.pdf(path=target, prefer_css_page_size=True, print_background=True, tagged=True)
            reader = pypdf.PdfReader(target)
            places = reader.named_destinations.items()
            found = {n.lstrip("/"): reader.get_destination_page_number(p) + 1 for n, p in places}
            if found == numbers:
                return add_outline(target, book)
            numbers = found


def publish(site: Path, root: str, target: Path, count: int) -> None:
    """Copy the PDF into the site, and link to it from the start page."""
    shutil.copy2(target, site / target.name)
    start, up = site / f"{root}.html", "../" * root.count("/")
    size = f"{count} pages, {target.stat().st_size / 1e6:.1f} MB"
    link = f'<span class="pdf"> <a href="{up}{target.name}" title="{size}">PDF</a></span>'
    start.write_text(PDF_PLACE.sub(link, start.read_text("utf-8")), encoding="utf-8")


def main() -> None:
    arguments.parser(__doc__).parse_args()
    toc = ROOT / "_toc.yml"
    count = build(SITE, toc, TARGET)
    publish(SITE, pages(toc)[0][1][0], TARGET, count)
    print(f"{TARGET.relative_to(ROOT)}: {count} pages")


if __name__ == "__main__":
    main()
