"""A notebook that fails costs the reader one page's results, not the book."""

import os
import re
import shutil
import subprocess
import sys

import build_book
import nbformat
import pytest


def notebook(path, title, *cells):
    page = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(f"# {title}"),
            *(nbformat.v4.new_code_cell(cell) for cell in cells),
        ]
    )
    page.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(page, path)


@pytest.fixture
def book(tmp_path):
    """A book of two chapters and the page of run times, without chapter files yet."""
    (tmp_path / "book" / "appendix").mkdir(parents=True)
    (tmp_path / "book" / "appendix" / "runtimes.md").write_text("# Run times\n")
    (tmp_path / "_config.yml").write_text(
        "title: Small\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
        "html: {use_issues_button: false, use_repository_button: false}\n"
    )
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/01_good\nchapters:\n- file: book/02_bad\n"
        "- file: book/appendix/runtimes\n"
    )
    notebook(tmp_path / "book" / "01_good.ipynb", "Good", "print(6 * 7)")
    return tmp_path


def built(book):
    return build_book.build(book, book / "build" / "book", book / "_build" / "html")


def test_the_page_of_a_notebook_that_fails_shows_what_ran_and_the_traceback_at_its_top(book):
    pytest.importorskip("jupyter_book")
    notebook(
        book / "book" / "02_bad.ipynb",
        "Bad",
        "print('before' + 'hand')",
        "assert False, 'three ``` ticks and a <tag>'",
        "print('never' + 'more')",
    )
    failed = built(book)
    assert len(failed) == 1 and "02_bad.ipynb" in failed[0], (
        failed
    )  # and Sphinx has no warning about the traceback
    pages = {
        name: (book / "_build" / "html" / "book" / f"{name}.html").read_text()
        for name in ("01_good", "02_bad")
    }
    assert "42" in pages["01_good"]
    text = pages["02_bad"].partition("<article")[2]
    places = [
        text.index(words)
        for words in ("Bad", "failed when the book", "ticks and a &lt;tag&gt;", "beforehand")
    ]
    assert places == sorted(places) and "nevermore" not in text
    assert text.count("Traceback (most recent call last)") == 2  # at the top and below its cell
    assert (
        "02_bad" in (book / "_build" / "html" / "book" / "appendix" / "runtimes.html").read_text()
    )
    sources = nbformat.read(book / "book" / "02_bad.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in sources.cells), (
        "the sources stay without outputs"
    )


def test_a_kernel_that_dies_fails_its_page_alone(book, monkeypatch):
    notebook(book / "book" / "02_bad.ipynb", "Bad", "import os\nos._exit(3)")
    monkeypatch.setattr(build_book, "build_site", lambda copy, site: 0)
    assert [line.split()[0] for line in built(book)] == ["02_bad.ipynb"]
    cells = nbformat.read(book / "build" / "book" / "book" / "02_bad.ipynb", as_version=4).cells
    assert cells[0].source == "# Bad" and "DeadKernelError" in cells[1].source


def test_a_book_that_is_well_reports_nothing(book, monkeypatch):
    notebook(book / "book" / "02_bad.ipynb", "Fine", "1 + 1")
    monkeypatch.setattr(build_book, "build_site", lambda copy, site: 0)
    assert built(book) == []
    page = nbformat.read(book / "build" / "book" / "book" / "02_bad.ipynb", as_version=4)
    assert len(page.cells) == 2 and page.cells[1].outputs[0].data["text/plain"] == "2"


def buttons(page):
    """The addresses that the buttons at the top of a page lead to, but those for the page itself."""
    header = page.read_text().partition('<div class="bd-header-article')[2].partition("<article")[0]
    return [a for a in re.findall(r'href="(.*?)"', header) if re.search("github|colab|_sources", a)]


@pytest.mark.parametrize("url", ["", "https://github.com/someone/book"])
def test_buttons_lead_to_the_notebook_and_to_the_repository_if_it_is_known(book, monkeypatch, url):
    pytest.importorskip("sphinx_book_theme")
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(build_book.ROOT / name, book / name)
    for name in ("_ext", "_static"):
        shutil.copytree(build_book.ROOT / "book" / name, book / "book" / name)
    notebook(book / "book" / "02_bad.ipynb", "Fine", "#@title Solution 2.1\n1 + 1")
    monkeypatch.setattr(build_book.setup_cell, "repository", lambda: url or None)
    assert built(book) == []
    pages = book / "_build" / "html" / "book"
    on_repository = [f"{url}/blob/main/book/02_bad.ipynb"] if url else []
    colab = [a.replace("github.com", "colab.research.google.com/github") for a in on_repository]
    assert sorted(buttons(pages / "02_bad.html")) == sorted(
        ["../_sources/book/02_bad.ipynb", *on_repository, *colab, *[url][: bool(url)]]
    )
    made = pages / "appendix" / "runtimes.html"
    for page, kind in ((pages / "02_bad.html", "Notebook (.ipynb)"), (made, "Source (.md)")):
        labels = re.findall(r'btn__text-container">(.*?)<', page.read_text())
        assert {kind, "Print, or save as PDF"} <= set(labels)
    assert sorted(buttons(made)) == [
        "../../_sources/book/appendix/runtimes.md",
        *[url][: bool(url)],
    ]
    given = book / "_build" / "html" / "_sources" / "book" / "02_bad.ipynb"
    assert given.read_bytes() == (book / "book" / "02_bad.ipynb").read_bytes()
    assert "cell_output" in (pages / "02_bad.html").read_text()
    assert "#@title" not in (pages / "02_bad.html").read_text(), "the fold has it"


def test_a_figure_of_a_kernel_gets_a_version_for_each_screen(book, monkeypatch):
    cells = (
        "before = set(globals())",
        "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
        "print([name for name in before if 'screen' in name or 'register' in name])",
    )
    notebook(book / "book" / "02_bad.ipynb", "Fine", *cells)
    monkeypatch.setattr(build_book, "build_site", lambda copy, site: 0)
    monkeypatch.setenv("MPLBACKEND", "agg")  # as many servers do
    assert built(book) == []
    copy = book / "build" / "book" / "book"
    page = nbformat.read(copy / "02_bad.ipynb", as_version=4)
    shown = page.cells[2].outputs[-1].data["text/html"]
    assert page.cells[3].outputs[0].text == "[]\n", "the build leaves no name in a notebook"
    files = sorted((copy / "_static" / "figures" / "02_bad").iterdir())
    assert sorted(file.suffix for file in files) == [".csv", *[".svg"] * 4]
    assert all(f"../_static/figures/02_bad/{file.name}" in shown for file in files)


def test_a_warning_of_the_site_is_reported_and_the_site_is_there(book):
    pytest.importorskip("jupyter_book")
    notebook(book / "book" / "02_bad.ipynb", "Fine", "1 + 1")
    page = nbformat.read(book / "book" / "02_bad.ipynb", as_version=4)
    page.cells[0].source += "\n\n[nowhere](no-such-page.md)"
    nbformat.write(page, book / "book" / "02_bad.ipynb")
    assert [line.split()[0] for line in built(book)] == ["jupyter-book"]
    assert (book / "_build" / "html" / "book" / "02_bad.html").exists()


def test_the_command_ends_with_the_names_and_not_with_success(tmp_path):
    code = (
        "import build_book; from pathlib import Path; build_book.build = lambda *a: ['15_family.ipynb failed'];"
        f"build_book.ROOT = Path({str(tmp_path)!r}); build_book.SITE = build_book.ROOT / 'html'; build_book.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(build_book.ROOT / "data_scripts")},
    )
    assert done.returncode == 1 and "15_family.ipynb failed" in done.stderr


@pytest.mark.parametrize(
    "source, shown",
    [
        ('assert ch04.loss.verdict("B") is None', '"B"'),
        ("n = 4 * 128\nassert ch10.context.verdict(n) is None", "n = 4 * 128\nn"),
        (
            "def f_solution(x):\n    return x\n\n\nassert ch10.f.verdict(f_solution) is None",
            "def f_solution(x):\n    return x",
        ),
        ("assert torch.equal(a, b)", "assert torch.equal(a, b)"),
    ],
)
def test_a_solution_is_shown_without_its_check(source, shown):
    title = "#@title Solution 4.1\n"
    assert build_book.without_check(title + source) == title + shown


def test_pages_fold_set_up_solutions_and_figures_and_leave_out_blank_checks():
    cells = [
        "VERSION, REPOSITORY = 1, ''",
        "def half(x): ...",
        "#@title Solution 3.1\nhalf = 2",
        "ax.plot(x)\naxes[0].set(title='a')",
        "y = interpolate(a, b, 0.5)",
        "#@title Solution 3.2, the parts\nx = 1",
        "def beside(ax): ax.plot(x)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.cells[3].metadata["mystnb"] = {"image": {"alt": "a curve"}}
    said = "Exercise 3.1: still blank, so ours is used.\n"
    said += "No guess for gain yet.\nReplace None with a number and run again.\n"
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=said)]
    notebook.cells[4].outputs = [nbformat.v4.new_output("stream", name="stdout", text=said + "7\n")]
    build_book.for_readers(notebook)
    assert notebook.cells[3].metadata["mystnb"]["image"] == {"alt": "a curve"}
    labels = [cell.metadata.get("mystnb", {}).get("code_prompt_hide") for cell in notebook.cells]
    figure, solution = "Code of this figure", "Solution 3.2, the parts"
    below = "Code for the figures below"
    assert labels == ["Set-up", None, "Solution 3.1", figure, None, solution, below]
    assert [c.metadata.get("tags") for c in notebook.cells][:3] == [
        ["hide-input"],
        None,
        ["hide-cell"],
    ]
    assert notebook.cells[1].outputs == [] and notebook.cells[4].outputs[0].text == "7\n"
