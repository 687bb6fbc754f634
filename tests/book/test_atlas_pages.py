"""The pages of the atlas are those that its tables make."""

import json
import re

import build_atlas_pages
import numpy as np

from wiseft_lite.analysis import atlas

NUMBER = re.compile(r"\d+\.\d+")


def test_the_page_of_models_is_up_to_date():
    """Words as they are, numbers to a hundredth: another machine may round the last digit otherwise."""
    made, there = build_atlas_pages.models_page(), build_atlas_pages.MODELS.read_text()
    advice = "run: python data_scripts/build_atlas_pages.py"
    assert NUMBER.sub("", made) == NUMBER.sub("", there), advice
    ours, theirs = (list(map(float, NUMBER.findall(text))) for text in (made, there))
    assert np.allclose(ours, theirs, atol=0.0101), advice


def numbers(data):
    """All numbers of a nested structure in order, and its shape without them."""
    if isinstance(data, dict):
        parts = [numbers(value) for value in data.values()]
        return [n for found, _ in parts for n in found], [list(data), [shape for _, shape in parts]]
    if isinstance(data, list):
        parts = [numbers(value) for value in data]
        return [n for found, _ in parts for n in found], [shape for _, shape in parts]
    return ([data], "number") if isinstance(data, (int, float)) else ([], data)


def test_the_data_of_the_interactive_page_is_up_to_date():
    text = build_atlas_pages.DATA.read_text()
    there = json.loads(text.partition("window.WISEFT_ATLAS = ")[2].rstrip().rstrip(";"))
    made = json.loads(json.dumps(build_atlas_pages.page_data()))
    (ours, shape), (theirs, other) = numbers(made), numbers(there)
    assert shape == other, "run: python data_scripts/build_atlas_pages.py"
    assert np.allclose(ours, theirs, atol=0.0101)
    assert len(text) < 1_000_000


def test_every_model_is_listed_where_the_rules_put_it():
    page, table = build_atlas_pages.models_page(), atlas.models()
    for (kind, source), rows in table.groupby(["kind", "source"], observed=True):
        names = rows["model"].drop_duplicates()
        fold = page.partition(f"<summary>{kind}, {source}: {len(names):,}</summary>")[2]
        assert all(name.replace("&", "&amp;") in fold.partition("</details>")[0] for name in names)


def test_sources_commits_and_licences_are_on_the_pages_and_in_the_attribution():
    root = build_atlas_pages.BOOK.parent
    pages = [
        build_atlas_pages.MODELS,
        build_atlas_pages.BOOK / "atlas.md",
        root / "ATTRIBUTION.md",
    ]
    for page in pages:
        text = page.read_text()
        for source in atlas.SOURCES.values():
            assert source.repository in text and source.commit[:8] in text, page.name
            assert source.licence in text, page.name
