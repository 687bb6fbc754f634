"""Every link of the built site leads somewhere: to a file of the site, to a place on its page, and not to
where the reader is already. It needs no browser."""

import html.parser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(html.parser.HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.open = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        anchor = attributes.get("id")
        self.anchors |= {anchor, attributes.get("name") if tag == "a" else None} - {None}
        if tag not in VOID:
            self.open.append((tag, anchor))
        address = attributes.get("href") or attributes.get("src")
        if address is not None:
            in_text = tag == "a" and "article" in [name for name, _ in self.open]
            permanent = "headerlink" in (attributes.get("class") or "").split()
            around = {anchor for _, anchor in self.open}
            self.links.append((address, in_text and not permanent, around))

    def handle_endtag(self, tag):
        if tag in [name for name, _ in self.open]:
            while self.open.pop()[0] != tag:
                pass


def faults(site):
    """Each link of a site that leads nowhere, or from a text to the page or section it is in."""
    templates = site / "_static"  # the theme's, copied with its scripts
    pages = [path for path in sorted(site.rglob("*.html")) if templates not in path.parents]
    read = {path.resolve(): Page(path) for path in pages}
    for path, page in read.items():
        for address, in_text, around in page.links:
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            name, anchor = map(unquote, urldefrag(address))
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            if not target.is_file():
                what = "no such file"
            elif anchor and target in read and anchor not in read[target].anchors:
                what = "no such place"
            elif in_text and target == path and (not anchor or anchor in around):
                what = "leads to itself"
            else:
                continue
            yield f"{path.relative_to(site.resolve())}: {address}: {what}"


def site_of(folder, **pages):
    """A site with a page for each name."""
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<article>{body}</article>")
    return folder


@pytest.mark.parametrize(
    "body, what",
    [
        ('<a href="b.html">b</a> <a href="b.html#there">b</a> <img src="b.html">', None),
        ('<a href="https://example.org/c.html">c</a> <a href="mailto:a@b">a</a>', None),
        ('<a href="c.html">c</a>', "no such file"),
        ('<script src="c.js"></script>', "no such file"),
        ('<a href="b.html#here">b</a>', "no such place"),
        ('<a href="#here">a</a>', "no such place"),
        ('<template><a href="c.html">c</a></template>', "no such file"),
        ('<a href="a.html">a</a>', "leads to itself"),
        ('<p id="p">a<br><a href="#p">p</a></p>', "leads to itself"),
        ('<p id="p">a</p><a href="#p">p</a>', None),
        ('<h1 id="p">a<a class="headerlink" href="#p">#</a></h1>', None),
    ],
)
def test_what_is_a_fault(tmp_path, body, what):
    site = site_of(tmp_path, a=body, b='<i id="there"></i>')
    assert [fault.rpartition(": ")[2] for fault in faults(site)] == ([what] if what else [])


@pytest.mark.skipif(not SITE.exists(), reason="no site in _build/html; run 'make book' first")
def test_every_link_of_the_site_leads_somewhere_else():
    assert not list(faults(SITE))
