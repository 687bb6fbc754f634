"""Write the first code cell of every notebook: python data_scripts/setup_cell.py

It installs this repository at this version: from the clone that the notebook lies in, else from the
package index, else from the repository's address. The address is ``repository: url`` of
``_config.yml``; while that is empty, ``make book`` and ``make coursework`` take the one of git's remote
for the pages that they make.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import arguments
import nbformat

from wiseft_lite import __version__

ROOT = Path(__file__).resolve().parent.parent
BEGIN = f"""import os, subprocess, sys
from pathlib import Path

VERSION, REPOSITORY = "{__version__}", ""
here = (Path.cwd(), *Path.cwd().parents)
clone = [str(p) for p in here if (p / "wiseft_lite/book").is_dir()][:1]
sys.path[:0] = clone  # the book that this notebook lies in comes first
try:
    NEEDED
except ImportError:  # pip leaves Colab's torch and numpy as they are
    git = [f"git+{{REPOSITORY}}@v{{VERSION}}", f"git+{{REPOSITORY}}"]
    places = clone + [f"wiseft-lite=={{VERSION}}"] + git * bool(REPOSITORY)
    given = os.environ.get("WISEFT_SOURCE")
    for place in [given] if given else places:
        pip = [sys.executable, "-m", "pip", "install", "-q", place]
        MORE
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode == 0:
            break
        print("not from", place, *done.stderr.strip().splitlines()[-1:])
    else:
        print("Where is the book? Put its folder, or git+ and its address, "
              "after %env WISEFT_SOURCE= in a cell above; run this again.")
    NEEDED
"""
CHAPTER = (
    BEGIN.replace("NEEDED", "from wiseft_lite.book import teaching").replace("        MORE\n", "")
    + "teaching.ready(drive=False, version=VERSION)  # True: models on Drive"
)
COURSEWORK = (
    BEGIN.replace("NEEDED", "import otter, wiseft_lite").replace(
        "MORE", 'pip += ["otter-grader==7.0.0"]'
    )
    + """import zipfile
if Path("NAME.zip").is_file():
    zipfile.ZipFile("NAME.zip").extractall()
found = [p for p in ("tests", "NAME/tests") if Path(p).is_dir()]
grader = otter.Notebook(tests_dir=found[0] if found else "tests")"""
)


def written_url() -> str:
    """Return the address in ``_config.yml``, which the notebooks of the repository have."""
    written = re.search(r'^ *url: *"(.*?)"', (ROOT / "_config.yml").read_text(), re.M)
    return written[1] if written else ""


def repository() -> str | None:
    """Return the address of this book's repository: that of ``_config.yml``, of ``BOOK_REPOSITORY``,
    or of git's remote if it is one of GitHub's, so that forks get their own; None if none is known.
    """
    if written_url():
        return written_url()
    url = os.environ.get("BOOK_REPOSITORY")
    if url is None:
        asked = ["git", "config", "--get", "remote.origin.url"]
        url = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    found = re.fullmatch(
        r"(?:https://github\.com/|git@github\.com:)([\w.-]+/[\w.-]+?)(?:\.git)?/?", url
    )
    return f"https://github.com/{found[1]}" if found else None


def cell_for(name: str, url: str = "") -> str:
    """Return the source of the setup cell of a notebook.

    Args:
        name: of the notebook, without its suffix.
        url: the repository's address; empty if it is not known.
    """
    coursework = re.fullmatch(r"a\d", name) is not None
    source = COURSEWORK.replace("NAME", name) if coursework else CHAPTER
    return source.replace(', ""\n', f', "{url}"\n', 1)


def fill(folder: Path, url: str = "") -> None:
    """Write the setup cell of every notebook in a folder that begins with one.

    Args:
        folder: of notebooks.
        url: the repository's address; empty if it is not known.
    """
    for path in sorted(folder.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        source = cell_for(path.stem, url)
        if "REPOSITORY" in first.source and first.source != source:
            first.source = source
            path.write_text(nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    arguments.parser(__doc__).parse_args()
    fill(ROOT / "book", written_url())
