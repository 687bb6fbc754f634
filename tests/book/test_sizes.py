"""Sizes of downloads: computed ones are those of the architectures, pages have those of the table."""

import re

import pytest
from fill_numbers import SIZE, read, sized, sources

from wiseft_lite import UserError, encoders
from wiseft_lite.book.sizes import SIZES, size_table

ARCHITECTURES = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
FILES = {"model-soups/b32": "ViT-B-32", "model-soups/vit-l14": "ViT-L-14"}


def gigabytes(weights):
    return 4 * sum(tensor.numel() for tensor in weights) / 1e9


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_of_models_are_those_of_their_architectures(name):
    state = encoders.blank(name, "meta").state_dict()
    assert SIZES[name].gigabytes == pytest.approx(gigabytes(state.values()), abs=0.001)


@pytest.mark.parametrize("name", FILES)
def test_published_files_lack_the_blocks_of_the_text_encoder_and_have_a_head(name):
    model = encoders.blank(FILES[name], "meta")
    kept = [t for key, t in model.state_dict().items() if not key.startswith("transformer.")]
    head = 4 * 1000 * (model.visual.output_dim + 1) / 1e9
    assert SIZES[name].gigabytes == pytest.approx(gigabytes(kept) + head, abs=0.001)


def test_pages_have_the_sizes_of_the_table():
    tagged = 0
    for path in sources():
        text = read(path)
        assert sized(text) == text, path.name
        assert len(SIZE.findall(text)) == text.count("<!-- size:"), path.name
        tagged += text.count("<!-- size:")
    assert tagged > 20


def test_sizes_of_downloads_in_prose_are_tagged():
    """A number of GB or MB in a chapter's card or in a table of downloads comes from the table."""
    for path in sources():
        if path.suffix != ".ipynb":
            continue
        for line in read(path).split("\\n"):
            if re.search(r"Download\\*\\*|\\| `get_\\w+\\.py", line):
                loose = re.sub(r"\\S+\\s?[GM]B<!-- size: .*? -->", "", line)
                assert not re.search(r"\\d\\s?[GM]B", loose), (path.name, line)


def test_a_tag_is_filled_in_the_unit_that_stands_there():
    assert sized("9 GB<!-- size: fmow -->") == "54 GB<!-- size: fmow -->"
    assert sized("9 MB<!-- size: package -->") == "20 MB<!-- size: package -->"
    assert sized("9<!-- size: fmow minutes -->") == "72<!-- size: fmow minutes -->"
    with pytest.raises(KeyError):
        sized("9 GB<!-- size: nothing -->")


def test_the_table_adds_up_and_says_how_each_size_is_known():
    table = size_table(["fmow", "ViT-B-32"])
    assert table["what"].tolist() == ["fmow", "ViT-B-32", "sum"]
    assert table["GB"].iloc[2] == pytest.approx(54.605) and table["how"].tolist()[:2] == [
        "stated",
        "computed",
    ]
    with pytest.raises(UserError, match="unknown download 'x'"):
        size_table(["x"])
