"""Links that the build puts into the text: to chapters, exercises, claims and the glossary. A small book
is built once, with the book's own extensions."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the site's packages are not installed")
pytest.importorskip("myst_parser")
EXT = Path(__file__).resolve().parents[2] / "book" / "_ext"
sys.path.insert(0, str(EXT))
import glossary  # noqa: E402
import links  # noqa: E402

CONF = f"""
import sys
sys.path.insert(0, {str(EXT)!r})
extensions = ["myst_parser", "links", "glossary"]
html_theme = "basic"
root_doc = "book/01_start"
"""
GLOSSARY = """# Glossary

**Soup.** A mean of models, also called *model soup*; see [one](../06_line.md) and [there](https://example.org). Chapter 6.

**Greedy soup.** A *soup* that selects. Chapters 6 and 12.

**LoRA.** Low-rank *adaptation*. Chapter 12.

**Model soup.** See *soup*.

**Moving average (EMA).** A mean over time. Chapter 1.

**Points.** Differences. <!-- no links -->

**Warm start.** Training that begins somewhere. Chapter 1.
"""
LINE = """# The line

Itself: chapter 6 is here, chapter 1 is not.

Other: Chapters 1, 6 and 12, chapters 1 to 12, chapter\n1 or 12, and chapter 12's end; chapter 99 is none.

Numbers: chapter 1, 12 images; chapter 1 and 12 images; subchapter 1; chapter 1.5; `chapter 1`; [chapter 1](12_claims.md).

Exercises: exercise 1.1, exercises 1.1 and 6.1, exercise 6.9.

Claims: claim 7, claims 7 and 8.

| chapter 1 | b |
|---|---|
| row of chapter 1 | of soups |

Italics: *how greedy soups are made*, *EMA*.

- ![An image.](https://example.org/a.svg) **Warm start**

  - **LoRA** and more

<details><summary>Hint</summary>

Folded: a warm start.

</details>

## Exercise 6.1 · Write · of chapter 1

Within: exercise 6.1 and exercise 1.1.

## References

Somebody. *A book.* Chapters 1 and 12 on soups.
"""
START = """# Words, and soups

Title: `soup`, [a soup](06_line.md).

| greedy soup | b |
|---|---|
| head | of greedy soups |

Terms: Model soups and a soup, warm-starts, lora and LoRA, three points, soup-like, EMA.

Again: a soup, a moving average.

## Exercise 1.1 · Write
"""
CLAIMS = """# Claims

```{raw} html
<table><tr id="claim-7"><td>7</td></tr></table>
```

Here: claims 7 and 8, and *warm start*.
"""
PAGES = {
    "book/01_start": START,
    "book/06_line": LINE,
    "book/12_claims": CLAIMS,
    "book/appendix/glossary": GLOSSARY,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    (folder / "book" / "appendix").mkdir(parents=True)
    (folder / "conf.py").write_text(CONF)
    for name, text in PAGES.items():
        (folder / f"{name}.md").write_text(text)
    with (folder / "book" / "01_start.md").open("a") as page:
        page.write("\n```{toctree}\n06_line\n12_claims\nappendix/glossary\n```\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", str(folder), str(folder / "html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def page(site, name):
    """The text of a page, without what the theme puts around it."""
    whole = (site / "book" / f"{name}.html").read_text()
    return whole.partition('<div class="body"')[2].partition('<div class="clearer"')[0]


def links_in(text, mark):
    """The words and addresses of the links of the paragraph that begins with a mark."""
    found = re.search(rf"<(?:p|td)[^>]*>(?:<p>)?{mark}.*?</(?:p|td)>", text, re.S)[0]
    return [
        (re.sub(r"\s+", " ", html.unescape(re.sub("<.*?>", "", words))), address)
        for address, words in re.findall(r'<a [^>]*href="(.*?)"[^>]*>(.*?)</a>', found, re.S)
    ]


START_1, CLAIMS_12 = "01_start.html", "12_claims.html"
EXERCISE_1 = "01_start.html#exercise-1-1-write"


@pytest.mark.parametrize(
    "mark, expected",
    [
        ("Itself:", [("chapter 1", START_1)]),
        (
            "Other:",
            [
                *[("Chapters 1", START_1), ("12", CLAIMS_12)],
                *[("chapters 1", START_1), ("12", CLAIMS_12)],
                *[("chapter 1", START_1), ("12", CLAIMS_12)],
                ("chapter 12", CLAIMS_12),
            ],
        ),
        (
            "Numbers:",
            [("chapter 1", START_1), ("chapter 1", START_1), ("chapter 1", CLAIMS_12)],
        ),
        (
            "Exercises:",
            [
                ("exercise 1.1", EXERCISE_1),
                ("exercises 1.1", EXERCISE_1),
                ("6.1", "#exercise-6-1-write-of-chapter-1"),
            ],
        ),
        (
            "Claims:",
            [("claim 7", "12_claims.html#claim-7"), ("claims 7", "12_claims.html#claim-7")]
            + [("8", CLAIMS_12)],  # without a row: to the page
        ),
        ("row of", [("chapter 1", START_1)]),
        ("Within:", [("exercise 1.1", EXERCISE_1)]),
        ("Somebody", []),
    ],
)
def test_what_a_text_names_is_linked_and_nothing_else(site, mark, expected):
    assert links_in(page(site, "06_line"), mark) == expected


def test_headings_and_heads_of_tables_have_no_links(site):
    for name in ("01_start", "06_line"):
        heads = re.findall(r"<(h[1-6]|th)\b(.*?)</\1>", page(site, name), re.S)
        assert len(heads) >= 3
        assert not [head for _, head in heads if "<a" in head.replace('<a class="headerlink"', "")]


def test_a_claim_is_linked_on_its_own_page_if_it_has_a_row(site):
    assert links_in(page(site, "12_claims"), "Here:")[0] == ("claims 7", "#claim-7")
    assert "8" not in dict(links_in(page(site, "12_claims"), "Here:"))


def term(anchor):
    return f"appendix/glossary.html#term-{anchor}"


@pytest.mark.parametrize(
    "mark, expected",
    [
        ("Title:", [("a soup", "06_line.html")]),
        ("head", []),
        ("of ", [("greedy soups", term("greedy-soup"))]),
        (
            "Terms:",
            [
                ("Model soups", term("soup")),  # "See soup": so the soup after it is the second
                ("warm-starts", term("warm-start")),
                ("LoRA", term("lora")),
                ("EMA", term("moving-average")),
            ],
        ),
        ("Again:", []),
    ],
)
def test_the_first_use_of_a_term_is_linked(site, mark, expected):
    assert links_in(page(site, "01_start"), mark) == expected


def test_each_page_has_its_own_first_use(site):
    assert ("warm start", term("warm-start")) in links_in(page(site, "12_claims"), "Here:")
    assert links_in(page(site, "06_line"), "of ") == [("soups", term("soup"))]


def test_titles_in_italics_and_folds_are_no_first_use(site):
    assert links_in(page(site, "06_line"), "Italics:") == [("EMA", term("moving-average"))]
    assert links_in(page(site, "06_line"), "Folded:") == []


def test_a_heading_in_bold_is_no_first_use(site):
    terms = re.findall('href="[^"]*#term-(.*?)"', page(site, "06_line").partition("<template")[0])
    assert "lora" in terms and "warm-start" not in terms


def test_a_page_holds_the_cards_of_its_terms_with_links_that_fit_the_page(site):
    cards = page(site, "01_start").partition('<template id="glossary-cards">')[2]
    cards = cards.partition("</template>")[0]
    assert re.findall('data-term="term-(.*?)"', cards) == [
        *("greedy-soup", "soup", "warm-start", "lora", "moving-average")
    ]
    assert set(re.findall('href="(.*?)"', cards)) == {
        *("06_line.html", "12_claims.html", "https://example.org", term("soup")),
    }
    assert " id=" not in cards


def test_the_glossary_links_its_own_terms_to_each_other(site):
    text = page(site, "appendix/glossary")
    assert ("soup", "#term-soup") in links_in(text, "<strong>Greedy soup")
    assert ("soup", "#term-soup") in links_in(text, "<strong>Model soup")
    assert "glossary-cards" not in text and 'class="term' not in text


def test_the_search_knows_the_chapter_that_explains_a_term(site):
    index = (site / "searchindex.js").read_text()
    found = json.loads(index[index.index("(") + 1 : index.rindex(")")])
    names = {
        entry: [found["docnames"][k] for k, _, main in places if main]
        for entry, places in found["indexentries"].items()
    }
    assert names["ema"] == names["moving average"] == ["book/01_start", "book/appendix/glossary"]
    assert names["model soup"] == ["book/06_line", "book/appendix/glossary"]
    assert "Scorer" in (site / "_static" / "language_data.js").read_text()


def test_a_name_in_small_letters_may_begin_a_sentence_and_others_stay_as_they_are():
    entries = tuple(
        glossary.Entry((name,), name, (), name != "Start up")
        for name in ("Warm", "Warm start", "LoRA", "Start", "Start up")
    )
    text = "Warm starts, a warm\nstart, a lora, LoRAs, starts, restart, Start-up, a/start, start.md"
    found = [(text[a:b], entry.anchor) for a, b, entry in glossary.uses(text, entries)]
    assert found == [
        ("Warm starts", "Warm start"),
        ("warm\nstart", "Warm start"),
        ("LoRAs", "LoRA"),
        ("starts", "Start"),
    ]


def test_numbers_are_read_with_their_word():
    text = "Claims 60 to 70, exercise 10.1."
    assert [(text[a:b], kind, n) for a, b, kind, n in links.mentions(text)] == [
        ("Claims 60", "claim", "60"),
        ("70", "claim", "70"),
        ("exercise 10.1", "exercise", "10.1"),
    ]
