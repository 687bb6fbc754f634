"""Run notebooks as Colab would, under the Python that runs this: python tests/colab/run.py
NOTEBOOK...

That Python has the packages of constraints.txt and not this one. The notebooks' own setup cell
installs this one, from a copy of the checkout; then each notebook runs in an empty folder. It fails
if a package of constraints.txt has changed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COLAB_PYTHON = "3.13"
SHOWN = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "scipy", "pillow", "ipython")
TIMEOUT = (
    4 * 3600
)  # seconds for one cell: the longest takes minutes, so this one hangs, on any machine


def name_of(package: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def installed() -> dict[str, str]:
    """Versions by name, without what a build of torch adds to its own, such as ``+cu130``."""
    return {name_of(d.metadata["Name"]): d.version.partition("+")[0] for d in distributions()}


def wanted() -> dict[str, str]:
    lines = (HERE / "constraints.txt").read_text().splitlines()
    return {
        name_of(n): v
        for n, _, v in (line.partition("==") for line in lines if not line.startswith("#"))
    }


def differences(have: dict[str, str]) -> list[str]:
    """Packages that are not as Colab ships them."""
    return [
        f"{name} {have.get(name, 'is missing')}, Colab has {pin}"
        for name, pin in wanted().items()
        if have.get(name) != pin
    ]


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run a notebook in an empty folder, with a kernel of this Python."""
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}}
        ).execute()


def setup_only(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The setup cell alone, and a check that pip and kernel belong to this Python."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    check = nbformat.v4.new_code_cell(
        f"import sys, wiseft_lite\nassert sys.prefix == {sys.prefix!r}\n"
        f"assert wiseft_lite.__file__.startswith({sys.prefix!r})"
    )
    return nbformat.v4.new_notebook(cells=[first, check])


def copy_of_the_package(folder: Path) -> Path:
    """What an install needs of the checkout; pip builds there and leaves the checkout alone."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "ATTRIBUTION.md"):
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(
        ROOT / "wiseft_lite", folder / "wiseft_lite", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def attempt(name: str, notebook: nbformat.NotebookNode) -> bool:
    started = time.time()
    try:
        execute(notebook)
    except (
        CellControlSignal,
        RuntimeError,
    ) as error:  # an error or a time-out in a cell; a kernel that died
        print(f"{name:24} FAILED after {time.time() - started:.0f} s\n{error}", flush=True)
        return False
    print(f"{name:24} passed in {time.time() - started:.0f} s", flush=True)
    return True


def main(paths: list[str]) -> int:
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        print(
            f'no notebook {", ".join(missing)}; say which: make test-colab NOTEBOOKS="book/01*.ipynb"'
        )
        return 2
    notebooks = {Path(path).stem: nbformat.read(path, as_version=4) for path in paths}
    have = installed()
    print(
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {have.get(name)}" for name in SHOWN)
    )
    if not platform.python_version().startswith(f"{COLAB_PYTHON}."):
        print(f"Colab has Python {COLAB_PYTHON}; this is the nearest that was found")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "uninstall",
            "--yes",
            "wiseft-lite",
            "open_clip_torch",
            "ftfy",
        ],
        check=True,
        capture_output=True,
    )  # what an earlier run installed
    before = installed()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "WISEFT_SOURCE": str(copy_of_the_package(Path(folder, "source"))),
            "WISEFT_CACHE": str(Path(folder, "cache")),
            "PYTHONPATH": "",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        if not attempt("setup cell", setup_only(next(iter(notebooks.values())))):
            return 1
        after = installed()
        print(
            "pip added",
            ", ".join(f"{name} {after[name]}" for name in sorted(after.keys() - before.keys())),
        )
        changed = differences(after)
        if changed:
            print("FAILED: what Colab ships was changed:", "; ".join(changed))
            return 1
        results = [attempt(name, notebook) for name, notebook in notebooks.items()]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
