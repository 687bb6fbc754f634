"""Run every notebook once on a copy of the sources, then build the site: ``make book``.

The notebooks in ``book/`` stay without outputs; the site is ``_build/html``. If a notebook fails,
the site is built all the same: its page shows its outputs and, at the top, the traceback. The
command lists failed notebooks at the end and exits non-zero.
"""

from __future__ import annotations

import csv
import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import arguments
import nbformat
import page_figures
import questions
import setup_cell
from slow_connection import DELAY, MEGABITS_PER_SECOND

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FIGURES = Path("book/_static/figures")  # the pages are in book, and _static beside it on the site
COPY, SITE = ROOT / "build" / "book", ROOT / "_build" / "html"
DOWNLOADS = "downloads"  # in the copy: notebooks as they are before they run, without outputs
# What a check says of an untouched exercise, and a prediction of nobody.
BLANK = re.compile(
    r"^(Exercise [\d.]+: [\w ]+, so ours is used\.|No guess for \w+ yet\.\nReplace None .*)\n", re.M
)
CELL_LIMIT = 4 * 3600  # seconds; the longest cell takes two minutes, so this one hangs
TESTS_FAILED = 1  # pytest's exit code if it finished and some tests failed


def pages(toc: Path) -> list[str]:
    """Return the pages in the table of contents."""
    return re.findall(r"(?:root|file):\s*(\S+)", toc.read_text())


def runtimes(report: Path) -> str:
    """Return the page of run times, from pytest's report of this run."""
    import torch

    lines = [
        "---",
        "made_by_the_build: true",  # so it has no source to show, see _ext/buttons.py
        "---",
        "",
        "# Run times",
        "",
        "Measured when this site was built, each notebook once, two at a time, from an empty cache of",
        f"trained models, on {os.cpu_count()} CPU cores ({platform.system()}, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__.split('+')[0]}). Two notebooks at a time compete for the cores,",
        "so each takes longer than alone; the *Time* at the top of a chapter is for a notebook that runs alone. Another",
        "machine may need half or twice as long, and a busy one longer.",
        "",
        "*Table: seconds that each notebook took.*",
        "",
        "| notebook | seconds |",
        "|---|--:|",
    ]
    cases = sorted(ET.parse(report).iter("testcase"), key=lambda case: case.get("name", ""))
    for case in cases:
        name = Path(case.get("name", "")).stem
        lines.append(f"| [{name}](../{name}.ipynb) | {float(case.get('time', 0)):.0f} |")
    return "\n".join(lines) + "\n"


def load_times(record: Path) -> str:
    """Return the section on how long a page takes to open, from what ``bench_pages.py`` wrote; a book
    that it has not measured has none."""
    if not record.exists():
        return ""
    lines = [
        "",
        "## How long a page takes to open",
        "",
        "Each chapter was opened once in a headless Chromium with an empty cache, over a connection of "
        f"{MEGABITS_PER_SECOND} Mbit/s with a delay of",
        f"{DELAY} ms, without compression (`data_scripts/bench_pages.py`). Figures below the screen load when one scrolls to them.",
        "",
        "*Table: size of each page, and seconds until it shows text and is loaded.*",
        "",
        "| page | MB | seconds until text shows | seconds until loaded |",
        "|---|--:|--:|--:|",
    ]
    with record.open(newline="") as file:
        for name, *numbers in list(csv.reader(file))[1:]:
            lines.append(f"| [{name}](../{name}.ipynb) | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def with_repository(config: str, url: str) -> str:
    """Return ``_config.yml`` with the address of the repository and the buttons that lead there."""
    config = re.sub(r'^( *url:) *".*?"', rf'\1 "{url}"', config, flags=re.M)
    config = config.replace("use_repository_button: false", "use_repository_button: true")
    config = config.replace("theme_options: {", "theme_options: {use_source_button: true, ")
    if url.startswith("https://github.com/"):  # Colab opens no others
        config += "launch_buttons: {colab_url: https://colab.research.google.com}\n"
    return config


def copy_sources(root: Path, copy: Path) -> None:
    """Copy the book's sources into a new folder, with the address of the clone filled in, and the
    notebooks once more, for readers to download."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    shutil.copytree(
        root / "book",
        copy / "book",
        ignore=shutil.ignore_patterns("__pycache__", ".*", "a[0-9].ipynb"),
    )  # the masters of the coursework hold solutions
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(root / name, copy)
    url = setup_cell.repository()
    if url:
        config = (copy / "_config.yml").read_text()
        (copy / "_config.yml").write_text(with_repository(config, url))
        setup_cell.fill(copy / "book", url)
    else:
        print(
            "The address of the repository is not known, so pages get no buttons for Colab and the "
            "source; write it into _config.yml, or set BOOK_REPOSITORY."
        )
    (copy / DOWNLOADS).mkdir()
    for path in (copy / "book").glob("*.ipynb"):
        shutil.copy2(path, copy / DOWNLOADS)


def plain(text: str) -> str:
    """Remove a terminal's escape codes from a text, raw or as in pytest's report."""
    return re.sub(r"(?:\x1b|#x1B)\[[0-9;]*m", "", text)


def failures(report: Path) -> dict[str, str]:
    """Return the text of each failed test in pytest's report, by the name of the test."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        for what in (*case.iter("failure"), *case.iter("error")):
            found[case.get("name", "")] = plain(what.text or what.get("message", ""))
    return found


def run_notebooks(
    notebooks: list[Path], report: Path, at_once: int, environment: Mapping[str, str]
) -> dict[str, str]:
    """Run notebooks in place, up to the first cell that fails, and keep their outputs.

    Args:
        notebooks: the files.
        report: where pytest writes its report.
        at_once: notebooks that run in parallel.
        environment: of the kernels.

    Returns:
        The report of each failed notebook, by its name.

    Raises:
        subprocess.CalledProcessError: pytest itself failed.
    """
    folder = report.parent
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
        "--nbmake",
        "--overwrite",
        f"--nbmake-timeout={CELL_LIMIT}",
        "-n",
        str(at_once),
        f"--junitxml={report}",
        *map(str, notebooks),
    ]
    done = subprocess.run(command, cwd=folder, env=dict(environment))
    if done.returncode not in (0, TESTS_FAILED):
        raise subprocess.CalledProcessError(done.returncode, command)
    return failures(report)


def traceback_of(notebook: nbformat.NotebookNode) -> str | None:
    """Return the traceback of the last error; None if no cell raised, as when the kernel died."""
    errors = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    return plain("\n".join(errors[-1].traceback)) if errors else None


def show_failure(page: Path, reported: str) -> None:
    """Insert a notice with the traceback below the title of a failed notebook.

    Args:
        page: the notebook.
        reported: shown if no cell has a traceback.
    """
    notebook = nbformat.read(page, as_version=4)
    text = (traceback_of(notebook) or plain(reported)).strip("\n")
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", text))]))
    notice = [
        "`" + fence + "{error}",
        "This notebook failed when the book was built on this machine. The cells after "
        "the failed one did not run.",
        "The error:",
        "",
        f"{fence}text",
        *text.splitlines(),
        fence,
        "`" + fence,
    ]
    cell = nbformat.v4.new_markdown_cell("\n".join(notice), id="this-notebook-failed")
    notebook.cells.insert(1, cell)
    nbformat.write(notebook, page)


def fold(cell: nbformat.NotebookNode, tag: str, label: str) -> None:
    """Fold a cell on the page, under a label that is the same when it is open."""
    tags = cell.metadata.setdefault("tags", [])
    if tag not in tags:
        tags.append(tag)
    shown = cell.metadata.setdefault("mystnb", {})  # it may hold the text for a figure
    shown.update(code_prompt_show=label, code_prompt_hide=label)


def without_check(source: str) -> str:
    """Return a solution without the line that checks it, which a page need not show; of an answer that is
    a letter or a number, the answer is left.

    Example:
        >>> without_check('#@title Solution 1.1\\nassert ch01.chance.verdict(100 / 122) is None')
        '#@title Solution 1.1\\n100 / 122'
    """
    without = re.sub(r"\n+assert \w+\.\w+\.verdict\(\w+_solution\) is None$", "", source)
    return re.sub(r"^assert \w+\.\w+\.verdict\((.*)\) is None$", r"\1", without, flags=re.M)


def for_readers(notebook: nbformat.NotebookNode) -> None:
    """Fold what a page does not teach with, leave out what checks say of blank exercises, and put in
    the questions that a page can judge.

    In a notebook the set-up, the code of a figure and the report of a check are what one needs; on a
    page they stand in the way.
    """
    questions.add_questions(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        solution = re.match(r"#@title (Solution .+)", cell.source)
        if solution:
            fold(cell, "hide-cell", solution[1])
            cell.source = without_check(cell.source)
        elif "REPOSITORY" in cell.source:
            fold(cell, "hide-input", "Set-up")
        elif re.search(r"\b(plt|axe?s?(\[\w+\])?)\.\w+\(", cell.source):
            draws = "image" in cell.metadata.get("mystnb", {})  # it has a text for its figure
            fold(
                cell, "hide-input", "Code of this figure" if draws else "Code for the figures below"
            )
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = BLANK.sub("", output.text)
        cell.outputs = [o for o in cell.get("outputs", []) if o.get("text") != ""]


def build_site(copy: Path, site: Path) -> int:
    """Build the pages of a copy and put them into ``site``. A page's button downloads its notebook
    without outputs, as it is in the repository: a reader wants to run it.

    Returns:
        Jupyter Book's exit code: not 0 if a page has a warning.

    Raises:
        SystemExit: a page of the table of contents was not built; ``site`` is not changed.
    """
    built = copy / "_build" / "html"
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([str(jupyter_book), "build", "-W", "-n", "--keep-going", str(copy)])
    missing = [page for page in pages(copy / "_toc.yml") if not (built / f"{page}.html").exists()]
    if missing:
        raise SystemExit(f"pages of the table of contents were not built: {', '.join(missing)}")
    shutil.copytree(copy / DOWNLOADS, built / "_sources" / "book", dirs_exist_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(built, site)
    return done.returncode


def build(root: Path, copy: Path, site: Path) -> list[str]:
    """Run the notebooks of ``root``'s book on a copy and build its site.

    Returns:
        One line per failure, with its name.
    """
    copy_sources(root, copy)
    notebooks = sorted((copy / "book").glob("*.ipynb"))
    report, cache = copy / "report.xml", copy / "cache"
    threads = str(max(1, (os.cpu_count() or 2) // 2))  # half of the cores for each of two notebooks
    environment = {
        **os.environ,
        "WISEFT_CACHE": str(cache),
        "OMP_NUM_THREADS": threads,
        "PYTHONSTARTUP": str(HERE / "kernel_start.py"),  # figures for every screen
        # Servers often set another, with which no figure would be shown.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    failed = run_notebooks(notebooks, report, 2, environment)
    shutil.rmtree(cache, ignore_errors=True)
    plain_figures = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        for_readers(notebook)
        files, address = FIGURES / path.stem, f"../{FIGURES.relative_to('book') / path.stem}"
        cells = page_figures.place(notebook, copy / files, address)
        plain_figures += [
            f"{path.name}: the figure of cell {cell} has one version" for cell in cells
        ]
        nbformat.write(notebook, path)
    for name, reported in failed.items():
        show_failure(copy / "book" / name, reported)
    appendix = copy / "book" / "appendix"
    (appendix / "runtimes.md").write_text(runtimes(report) + load_times(appendix / "page_load.csv"))
    code = build_site(copy, site)
    return [
        *(f"{name} failed: its page shows the traceback" for name in failed),
        *plain_figures,
        *([f"jupyter-book exited with code {code}; see its warnings"] if code else []),
    ]


def main() -> None:
    arguments.parser(__doc__).parse_args()
    failed = build(ROOT, COPY, SITE)
    print(f"open {(SITE / 'index.html').relative_to(ROOT)}")
    if failed:
        raise SystemExit("\n".join(["The site is built, with failures:", *failed]))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"{' '.join(map(str, error.cmd[1:4]))} failed with exit code {error.returncode}"
        ) from None
