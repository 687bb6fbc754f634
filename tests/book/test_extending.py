"""The worked examples of *Add a data set, a method, a chapter* do what the page says."""

import doctest
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from wiseft_lite import load_task, zero_shot_classifier
from wiseft_lite.features import predict
from wiseft_lite.tasks.published import catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "appendix" / "extending.md").read_text()


_, *PARTS = re.split(r"^## (A [a-z ]+)$", PAGE, flags=re.M)
SECTIONS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))


def blocks(heading: str) -> list[str]:
    """Return the Python of a section."""
    return re.findall(r"^```python\n(.*?)^```", SECTIONS[heading], re.M | re.S)


def test_the_data_set_is_loaded_by_name_and_classified(monkeypatch, tmp_path, clip):
    monkeypatch.setattr(catalogue, "FAMILIES", dict(catalogue.FAMILIES))
    names = {}
    for block in blocks("A data set"):
        exec(block, names)
    digits, folder = load_digits(), tmp_path / "digits"
    folder.mkdir()
    images = (digits.images[:200] * 15).astype(np.uint8)
    for name, rows in (("train", slice(0, 100)), ("test", slice(100, 200))):
        np.save(folder / f"{name}.npy", images[rows])
        np.save(folder / f"{name}-labels.npy", digits.target[rows])
    task = load_task("digits", tmp_path)
    assert [len(s) for s in (task.train, task.val, task.test)] == [80, 20, 100]
    assert task.class_names[task.test[3][1]] == names["NAMES"][digits.target[103]]
    upright, turned = (np.asarray(s[3][0]) for s in (task.test, task.shifts["turned"]))
    assert np.array_equal(np.rot90(upright), turned) and not np.array_equal(upright, turned)
    logits = predict(zero_shot_classifier(clip, task), task.shifts["turned"])
    assert logits.shape == (100, 10)
    (folder / "test.npy").unlink()
    assert catalogue.FAMILIES["digits"].missing(tmp_path) == ["digits/test.npy"]


def test_the_method_merges_and_its_example_runs():
    (block,) = blocks("A method")
    names = {}
    exec(block, names)
    test = doctest.DocTestFinder().find(names["median"], "median", globs=names)[0]
    assert doctest.DocTestRunner().run(test).failed == 0 and test.examples
    models = [{"w": torch.randn(5)} for _ in range(3)]
    assert torch.equal(names["median"](models)["w"], names["median"](models[::-1])["w"])


@pytest.mark.slow
def test_the_chapter_runs_and_its_page_is_built(monkeypatch, tmp_path):
    build_book, setup_cell = (pytest.importorskip(name) for name in ("build_book", "setup_cell"))
    pytest.importorskip("jupyter_book")
    (tmp_path / "book" / "appendix").mkdir(parents=True)
    (tmp_path / "book" / "appendix" / "runtimes.md").write_text("# Run times\n")
    monkeypatch.chdir(tmp_path)
    write, exercise = blocks("A chapter")
    exec(write, {})
    setup_cell.fill(tmp_path / "book")
    chapter = tmp_path / "book" / "21_median.ipynb"
    notebook = nbformat.read(chapter, as_version=4)
    assert "teaching.ready" in notebook.cells[1].source
    (tmp_path / "ch21.py").write_text(exercise)
    notebook.cells.insert(
        2,
        nbformat.v4.new_code_cell(f"sys.path.append({str(tmp_path)!r})\nfrom ch21 import exercise"),
    )
    nbformat.write(notebook, chapter)
    (tmp_path / "_config.yml").write_text(
        "title: Small\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
        "html: {use_issues_button: false, use_repository_button: false}\n"
    )
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/21_median\nchapters:\n- file: book/appendix/runtimes\n"
    )
    assert build_book.build(tmp_path, tmp_path / "copy", tmp_path / "site") == []
    page = (tmp_path / "site" / "book" / "21_median.html").read_text()
    assert "Exercise 21.1" in page and "still blank" not in page  # what readers need not see


def test_the_check_of_the_chapter_names_its_misconception():
    names = {}
    exec(blocks("A chapter")[1], names)
    exercise = names["exercise"]
    assert (
        exercise.verdict(lambda models: {"w": torch.stack([m["w"] for m in models]).median(0)[0]})
        is None
    )
    message = exercise.verdict(lambda models: {"w": sum(m["w"] for m in models) / len(models)})
    assert "That is the mean" in message


def test_every_place_that_the_page_names_exists():
    for name in re.findall(r"`((?:wiseft_lite|data_scripts|tests|book)/[\w./]+)`", PAGE):
        made_by_the_reader = re.search(r"digits|ch21|21_median", name)
        assert made_by_the_reader or (ROOT / name).exists(), name
    from wiseft_lite.book.experiments import ch15, family

    assert ch15.METHODS and callable(family.by_weights)
