"""Grade a folder of submissions without Docker: ``make grade IN=folder OUT=grades.csv``.

Writes a table with a row per file: status, points per question, and a note; and a page of feedback
per file in the folder ``feedback`` beside the table. Written answers are marked by hand: their
columns are empty.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import torch
from otter.test_files.exception_test import ExceptionTestFile

from coursework.build import MASTERS, OUT
from coursework.marks import Assignment, Result, feedback, write
from coursework.process import Gone, Limits
from coursework.submission import Submission

LARGEST = 30_000_000  # bytes of a notebook
DEFAULT_LIMITS = Limits()
ALONE = threading.Lock()  # tests train models, and torch has one random state for all threads


def load(name: str, built: Path = OUT) -> Assignment:
    """Read the tests that ``make coursework`` built."""
    folder = built / "tests" / name
    if not (folder / "questions.json").exists():
        raise SystemExit(
            f"there is no assignment {name!r} in {built}; run make coursework, or correct A="
        )
    return Assignment(
        name,
        {p.stem: p.read_text() for p in sorted(folder.glob("*.py"))},
        json.loads((folder / "questions.json").read_text()),
    )


def read(path: Path) -> list[dict] | None:
    """Return the cells of a notebook, or None if the file is not one."""
    try:
        if path.stat().st_size > LARGEST or not path.is_file():
            return None
        cells = nbformat.read(path, as_version=4)["cells"]
        return [{"type": str(c["cell_type"]), "source": "".join(c["source"])} for c in cells]
    except Exception:  # no file may stop the run
        return None


def assignment_of(cells: list[dict], built: Path = OUT) -> str | None:
    """Return the assignment whose questions and functions a notebook contains most of.

    The words decide, because students may lose metadata and cells.
    """
    words, found = set(re.findall(r"\w+", "\n".join(cell["source"] for cell in cells))), {}
    for path in sorted(built.glob("tests/*/questions.json")):
        asked = json.loads(path.read_text())
        found[path.parent.name] = len(
            words & {*asked, *(n for about in asked.values() for n in about["names"])}
        )
    best = max(found, key=found.get, default=None)
    return best if best and found[best] >= 2 else None


def _remark(result) -> str:
    """Return the feedback on a test: what it looks for, and what it found, without its source."""
    if result.passed:
        return result.test_case.success_message or "right"
    looked_for = result.test_case.failure_message
    _, assertion, found = result.message.partition("\nAssertionError: ")
    if not assertion:
        return looked_for or result.message.strip().splitlines()[-1]
    return "\n".join(text for text in (looked_for, found) if text)


def submissions(folder: Path) -> dict[str, Path]:
    """Return every file that was handed in, by its path below a folder.

    So it does not matter whether a learning platform gives a flat folder, as Canvas does, or one
    folder per student, as Moodle does. Hidden files and those that an archiver added are left out.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    added = re.compile(r"(^|/)(\.|__MACOSX/)")
    return {name: path for name, path in named.items() if not added.search(name)}


def judge(
    assignment: Assignment, name: str, path: Path, built: Path, limits: Limits, private: list[Path]
) -> Result:
    """Grade one file; its errors do not propagate."""
    begun = time.monotonic()
    cells = read(path)
    if cells is None:
        return Result(
            name, "not a notebook", "hand in the .ipynb file itself, unpacked and below 30 MB"
        )
    found = assignment_of(cells, built)
    if found != assignment.name:
        return Result(
            name,
            "another assignment",
            f"this looks like {found}" if found else "it holds none of the questions",
        )
    submission = Submission([c["source"] for c in cells if c["type"] == "code"], limits, private)
    result = Result(name, "graded")
    try:
        submission.run()
        student = submission.get("STUDENT", "")
        result.student = (
            student if isinstance(student, (int, str)) and not isinstance(student, bool) else ""
        )
    except Gone as gone:
        result.note = str(gone)
    for question, source in assignment.tests.items():
        test = ExceptionTestFile.from_string(source, path=f"{question}.py")
        with ALONE:
            test.run(submission)
        result.points[question] = sum(
            r.test_case.points for r in test.test_case_results if r.passed
        )
        result.remarks[question] = [(r.passed, _remark(r)) for r in test.test_case_results]
    submission.close()
    result.status, result.errors = submission.status, submission.errors
    result.seconds = time.monotonic() - begun
    if not isinstance(result.student, int) or result.student <= 0:
        result.note = result.note or "no student number is set"
    return result


def grade(
    folder: Path,
    out: Path,
    name: str | None = None,
    built: Path = OUT,
    limits: Limits = DEFAULT_LIMITS,
    at_once: int = 2,
) -> list[Result]:
    """Grade every file of a folder and write the table and the feedback.

    Args:
        folder: of submissions, one file per student; see ``submissions``.
        out: the table to write.
        name: of the assignment (default: the one that most files answer).
        built: folder where ``make coursework`` wrote the tests.
        limits: of one submission.
        at_once: submissions that run in parallel.
    """
    files = submissions(folder)
    if not files:
        raise SystemExit(f"{folder} has no files; give a folder with one notebook per student")
    if name is None:
        named = Counter(assignment_of(cells, built) for cells in map(read, files.values()) if cells)
        named.pop(None, None)
        if not named:
            raise SystemExit(
                f"no file in {folder} answers an assignment of this book; name one, such as A=a1"
            )
        name = named.most_common(1)[0][0]
    assignment, results, lock = load(name, built), [], threading.Lock()
    pages = out.parent / "feedback"
    pages.mkdir(parents=True, exist_ok=True)
    private = [folder, out.parent, built, MASTERS]

    def one(file: str) -> None:
        try:
            result = judge(assignment, file, files[file], built, limits, private)
        except Exception as error:  # our own error becomes a row too
            result = Result(
                file,
                "crashed",
                f"the grader failed ({type(error).__name__}: {error}); mark by hand",
            )
        with lock:
            results.append(result)
            page = pages / f"{file}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(feedback(result, assignment), encoding="utf-8")
            write(results, assignment, out)
            print(
                f"{result.file}: {result.status}, {sum(result.points.values()):g} points, {result.seconds:.0f} s",
                flush=True,
            )

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, files))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the submissions")
    parser.add_argument("out", type=Path, help="the table of marks, such as grades.csv")
    parser.add_argument("--assignment", help="a1 to a4 (default: the one that most files answer)")
    options = parser.parse_args()
    if not options.folder.is_dir():
        raise SystemExit(f"{options.folder} is not a folder; give the folder of submissions")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two submissions run in parallel
    torch.set_num_threads(1)
    grade(options.folder.resolve(), options.out.resolve(), options.assignment or None)
    print(f"marks: {options.out}, feedback: {options.out.parent / 'feedback'}")


if __name__ == "__main__":
    main()
