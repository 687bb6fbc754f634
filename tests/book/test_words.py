"""The book's words are the field's: no word of an older, private vocabulary in chapters and pages."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("book/**/*.ipynb", "book/**/*.md", "README.md", "CONTRIBUTING.md")
    for path in ROOT.glob(pattern)
    if not {"reference", "_build"} & set(path.parts)
)
# What it is called instead, by the pattern that finds the old word.
WORDS = {
    r"pictures?": "image",
    r"towers?": "image encoder, text encoder",
    r"(?:an?|the|its|their|this|that|what|which|same|equal|larger?|smaller?) shares?|shares? of": (
        "fraction; weight of a mixture; shard of a batch; multiplier of a rate"
    ),
    r"(?<!learning )(?<!learning-)(?<!error )(?<!dropout )(?<!sampling )(?<!positive )rates?": (
        "learning rate"
    ),
    r"dice": "random generator, draw",
    r"films?": "video",
    r"mend(?:s|ed|ing)?": "fix",
    r"(?:an?|the|its|these|first|one|of) finds?(?! and)": "result, retrieved image",
    r"(?:prompts|images|sentences|examples|photographs|shots|drawings) a class": "per class",
    r"stands? (?:at|in|on|beside|there)|stood (?:at|in|on|beside|there)": "is, is listed in",
    r"dear(?:er|est)?|cheap(?:er|est|ly)?": "costly, expensive",
    r"deeds?|whims?|fortunes?|verdictless": "the plain word",
    r"(?<!real-)worlds?(?! wide)": "benchmark, or IconShift by name",
    r"kitchens?|cook(?:s|ed|ing|book)?|tast(?:e|es|ed|ing)": "pool, evaluate, average",
    r"walk(?:s|ed|ing)?": "run, interpolate, sweep",
}
# Where the pattern is another thing: one opening joke on soups, a prompt that a student counts, and the
# names of a column and a key in exercise 11.6.
ALLOWED = {
    "book/11_low_data.ipynb": r'`rate`|`"one rate"`|groupby\("rate"\)',
    "book/13_soups.ipynb": r"too many cooks",
    "book/coursework/a1.ipynb": r"a small picture of a \{\}",
}


def prose(page: str) -> str:
    """Return what a page says: without code, ledger keys, and addresses of links."""
    source = (ROOT / page).read_text()
    if page.endswith(".ipynb"):
        source = "\n\n".join([*alternatives(page), *cells(page, "markdown")])
    for unseen in (r"<!--.*?-->", r"\]\([^)]*\)", r"https?://\S+", r"\{#\S+\}"):
        source = re.sub(unseen, " ", source, flags=re.DOTALL)
    # What is cited keeps its authors' words.
    source = re.split(r"^#+ References$", source, flags=re.MULTILINE)[0]
    return source


def alternatives(page: str) -> list[str]:
    """Return the texts for those who do not see the figures."""
    notebook = json.loads((ROOT / page).read_text())["cells"]
    images = [cell["metadata"].get("mystnb", {}).get("image", {}) for cell in notebook]
    return [image["alt"] for image in images if "alt" in image]


def cells(page: str, kind: str) -> list[str]:
    notebook = json.loads((ROOT / page).read_text())["cells"]
    return ["".join(cell["source"]) for cell in notebook if cell["cell_type"] == kind]


def old_words(page: str, source: str, words: dict[str, str]) -> list[str]:
    source = " ".join(source.split())
    if page in ALLOWED:
        source = re.sub(ALLOWED[page], " ", source, flags=re.I)
    return [
        f"{match.group()!r} in ...{source[max(0, match.start() - 40) : match.end() + 30]}...: {instead}"
        for pattern, instead in words.items()
        for match in re.finditer(rf"(?<![\w/.-])(?:{pattern})(?![\w/]|\.\w)", source, re.I)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_pages_use_the_fields_words(page):
    found = old_words(page, prose(page), WORDS)
    assert not found, f"{len(found)} in {page}:\n" + "\n".join(found)


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".ipynb")])
def test_names_and_comments_in_their_code_do_too(page):
    """A loop over learning rates may call one of them ``rate``, and a model may be a stand-in."""
    other = ("learning rate", "is, is listed in")
    words = {pattern: word for pattern, word in WORDS.items() if word not in other}
    code = re.sub(r"(?<=[a-z])_(?=[a-z])", " ", "\n".join(cells(page, "code")))
    found = old_words(page, code, words)
    assert not found, f"{len(found)} in the code of {page}:\n" + "\n".join(found)
