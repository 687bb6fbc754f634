"""Build the coursework from the masters in ``book/coursework``: ``make coursework``.

In ``build/coursework``, ``student/a1.zip`` is for students, ``gradescope/a1.zip`` is for upload to
Gradescope, and ``tests/a1`` is for ``make grade``. ``--solutions`` writes only the solved notebooks
and their tests, for instructors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import setup_cell
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
MASTERS, OUT = ROOT / "book" / "coursework", ROOT / "build" / "coursework"


def masters() -> list[Path]:
    """Return the master notebooks, in order."""
    return sorted(MASTERS.glob("a*.ipynb"))


def _config(source: str, mark: str) -> dict | None:
    """Return the YAML below a first line ``mark``; None if the source begins otherwise."""
    lines = source.strip().splitlines()
    if not lines or lines[0].strip() != mark:
        return None
    return yaml.safe_load("\n".join(lines[1:])) or {}


def questions(master: Path) -> dict[str, dict]:
    """Return each question of a master with its points and whether it is marked by hand.

    Returns:
        By name, ``{"points": number, "manual": bool, "title": str, "names": functions to write}``.
    """
    found, name, testing = {}, None, False
    for cell in nbformat.read(master, as_version=4)["cells"]:
        source = cell["source"]
        config = _config(source, "# BEGIN QUESTION")
        if config is not None:
            name = config["name"]
            found[name] = {
                "points": config.get("points", 0),
                "manual": config.get("manual", False),
                "title": name,
                "names": [],
            }
        elif source.strip() == "# BEGIN TESTS":
            testing = True
        elif source.strip() == "# END TESTS":
            testing = False
        elif testing:
            head = source.split('"""')[1].split("\n", 1)[1]
            found[name]["points"] += yaml.safe_load(head)["points"]
        elif name and source.startswith("## ") and found[name]["title"] == name:
            found[name]["title"] = source.splitlines()[0][3:]
        elif name and "# BEGIN SOLUTION\n" in source:
            found[name]["names"] = re.findall(
                r"^def (\w+)", source.partition("# BEGIN SOLUTION")[0], re.M
            )
    return found


@contextlib.contextmanager
def assigned(master: Path) -> Iterator[Path]:
    """Run otter's ``assign`` on a copy; yield the folder of the student's and the solved notebook.

    Gradescope's zip is beside the solved one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _assign(master, Path(scratch))
        yield Path(scratch) / "dist"


def _assign(master: Path, folder: Path) -> None:
    shutil.copy2(master, folder)
    setup_cell.fill(folder, setup_cell.repository() or "")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "otter",
            "assign",
            "--no-run-tests",
            "--no-pdfs",
            master.name,
            "dist",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(
            f"{master.name}: otter assign failed; correct the notebook:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def _zip(target: Path, files: dict[str, Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), path.read_bytes())


def _tests(upload: Path, folder: Path) -> None:
    """Extract the tests, hidden ones included, from Gradescope's zip."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(upload) as archive:
        for entry in archive.namelist():
            if entry.startswith("tests/") and entry.endswith(".py"):
                (folder / Path(entry).name).write_bytes(archive.read(entry))


def hand_out(master: Path, dist: Path, out: Path) -> None:
    """Write the student's zip, Gradescope's zip and the tests of one assignment."""
    name, student = master.stem, dist / "student"
    files = {
        f"{name}/{p.relative_to(student).as_posix()}": p for p in student.rglob("*") if p.is_file()
    }
    _zip(out / "student" / f"{name}.zip", files)
    upload = next((dist / "autograder").glob("*.zip"))
    (out / "gradescope").mkdir(parents=True, exist_ok=True)
    shutil.copy2(upload, out / "gradescope" / f"{name}.zip")
    tests = out / "tests" / name
    shutil.rmtree(tests, ignore_errors=True)
    _tests(upload, tests)
    (tests / "questions.json").write_text(json.dumps(questions(master), indent=1))


def solve(master: Path, dist: Path, out: Path) -> Path:
    """Write the solved notebook, with model answers, and the tests that its checks run."""
    out.mkdir(parents=True, exist_ok=True)
    graded = dist / "autograder"
    _tests(next(graded.glob("*.zip")), out / "tests")
    return Path(shutil.copy2(graded / master.name, out / master.name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--solutions",
        metavar="FOLDER",
        type=Path,
        help="write only the solved notebooks and their tests, to this folder",
    )
    chosen = parser.parse_args().solutions
    if not chosen:
        shutil.rmtree(OUT, ignore_errors=True)
    for master in masters():
        with assigned(master) as dist:
            if chosen:
                print(solve(master, dist, chosen))
            else:
                hand_out(master, dist, OUT)
    if chosen:
        return
    for path in sorted(OUT.glob("*/*.zip")):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
