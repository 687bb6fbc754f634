"""The extensions that make pages light: formulas as drawings, and style sheets that are pruned."""

import re
import sys
import types
from pathlib import Path

import pytest
import tinycss2

pytest.importorskip("ziamath", reason="'make book' installs what builds the site")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))
import formulas  # noqa: E402
import light  # noqa: E402


def pruned(text, names):
    return light.pruned(tinycss2.parse_stylesheet(text, skip_comments=True), names)


@pytest.mark.parametrize(
    "text, kept",
    [
        (".a{x:1}", ".a{x:1}"),
        (".b{x:1}", ""),
        (".a,.b{x:1}", ".a{x:1}"),
        (".a .b{x:1}", ""),
        ("a:not(.b){x:1}", "a:not(.b){x:1}"),
        (".a:not(:is(.b,.c)){x:1}", ".a:not(:is(.b,.c)){x:1}"),
        ('[data-x=".b"]{x:1}', '[data-x=".b"]{x:1}'),
        (r".a\:b{x:1}", ""),
        ("#b{x:1} #a{x:1}", "#a{x:1}"),
        ("@media print{.b{x:1}}", ""),
        ("@media print{.a{x:1}.b{x:1}}", "@media print{.a{x:1}}"),
        ("@keyframes b{to{x:1}}", "@keyframes b{to{x:1}}"),
        (r"@font-face{font-family:Font Awesome\ 6 Free}", ""),
        (":root{--b:1}", ":root{--b:1}"),
    ],
)
def test_rules_stay_if_something_may_match_them(text, kept):
    squeezed = "".join(pruned(text, {"a", "c"}).split())
    assert squeezed == "".join(kept.split())


def test_pages_lose_font_awesome_and_their_images_wait(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="preload" as="script" href="fontawesome.js?d=1">'
        '<script src="fontawesome.js?d=1"></script><img alt="a"><img loading="eager" alt="b"><i class="fa-bars b">'
    )
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "fontawesome.js").write_text("long")
    (tmp_path / "_static" / "a.css").write_text(".b{x:1}.c{x:1}")
    app = types.SimpleNamespace(outdir=tmp_path, builder=types.SimpleNamespace(format="html"))
    light.lighter_pages(app, None)
    light.without_unused_rules(app, None)
    assert page.read_text() == (
        '<img loading="lazy" alt="a"><img loading="eager" alt="b"><i class="fa-bars b">'
    )
    assert not (tmp_path / "_static" / "fontawesome.js").exists()
    assert (tmp_path / "_static" / "a.css").read_text() == ".b{x:1}"


def test_a_page_has_a_theme_before_any_script_has_run(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<html lang="en" data-content_root="./" data-theme="auto"><head>'
        '<script data-cfasync="false">\n  a = localStorage.getItem("theme");\n</script><style></style>'
    )
    app = types.SimpleNamespace(outdir=tmp_path, builder=types.SimpleNamespace(format="html"))
    light.lighter_pages(app, None)
    start = '<html lang="en" data-content_root="./" data-theme="light"><head>'
    assert page.read_text() == f"{start}{light.OUR_SET_THEME}<style></style>"


def test_a_formula_is_drawn_on_the_base_line_and_can_be_read_out():
    text = formulas.formula(r"\theta_0", inline=True)
    assert "<mi>&#x003B8;</mi>" in text and "currentColor" in text and 'aria-hidden="true"' in text
    deep, high = (
        float(formulas.formula(tex, inline=True).partition("vertical-align:")[2].partition("em")[0])
        for tex in (r"\frac{1}{2}", "x^2")
    )
    assert deep < high <= 0.05


def test_every_letter_has_its_outline_beside_spaces_too():
    once = formulas.once(formulas.formula(r"r_{\text{a, or b}}\ \text{if } x", True))
    used, outlines = set(re.findall(r'<use href="#(.*?)"', once)), formulas.SYMBOL.findall(once)
    assert len(used) > 5 and used <= set(outlines)
    assert "<use" not in once.partition("</svg>")[0]


def test_a_page_holds_each_letter_once():
    page = "<p>" + formulas.formula("x+x", True) + formulas.formula("x-1", True)
    once = formulas.once(page)
    names = formulas.SYMBOL.findall(once)
    assert len(names) == len(set(names)) < len(formulas.SYMBOL.findall(page))
    assert once.startswith('<svg class="letters"') and set(names) == set(
        formulas.SYMBOL.findall(page)
    )
    assert formulas.once("<p>no formula") == "<p>no formula"
