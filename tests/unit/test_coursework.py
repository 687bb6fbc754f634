"""Coursework: nothing leaks to students, and every submission gets the mark that it deserves."""

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from coursework import build, grade, guard, marks, wire
from coursework.process import Gone, Limits
from coursework.submission import Failed, Submission
from submissions import Desk, solutions

pytestmark = pytest.mark.slow

NAMES = [path.stem for path in build.masters()]
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built")
    for master in build.masters():
        with build.assigned(master) as dist:
            build.hand_out(master, dist, out)
            build.solve(master, dist, out / "solutions")
    return out


def student(built, name):
    with zipfile.ZipFile(built / "student" / f"{name}.zip") as archive:
        return nbformat.reads(archive.read(f"{name}/{name}.ipynb").decode(), as_version=4)


# What students get


def hidden(name):
    """Pieces of the master that no student may see: solutions, model answers, hidden tests."""
    inside = None
    for cell in nbformat.read(build.MASTERS / f"{name}.ipynb", as_version=4)["cells"]:
        source = cell["source"]
        if cell["cell_type"] == "raw":
            inside = source if source.startswith("# BEGIN") else None
        elif inside == "# BEGIN TESTS" and "hidden: true" in source:
            yield source.split("def ")[1].split("(")[0]
            yield source.split(">-\n")[1].split("\n")[0].strip()
        elif inside == "# BEGIN SOLUTION" and cell["cell_type"] == "markdown":
            yield from (line[:60] for line in source.splitlines() if len(line) > 30)
        elif inside == "# BEGIN SOLUTION":
            yield from (
                source.split("# BEGIN SOLUTION")[1].split("# END SOLUTION")[0].split("\n")[1:-1]
            )


@each
def test_students_get_no_answer_and_no_hidden_test(built, name):
    with zipfile.ZipFile(built / "student" / f"{name}.zip") as archive:
        files = {n: archive.read(n).decode() for n in archive.namelist()}
    assert sorted(files) == sorted(
        [f"{name}/{name}.ipynb", *(f"{name}/tests/{name}_q{k}.py" for k in (1, 2, 3, 4))]
    )
    notebook = student(built, name)
    text = "\n".join(
        [
            *(c["source"] for c in notebook["cells"]),
            json.dumps(notebook["metadata"]),
            *(t for n, t in files.items() if n.endswith(".py")),
        ]
    )
    pieces = [piece for piece in hidden(name) if len(piece.strip()) > 12]
    assert len(pieces) > 30
    assert not [piece for piece in pieces if piece in text]
    assert all(not c.get("outputs") for c in notebook["cells"])
    assert all(set(c["metadata"]) <= {"tags", "deletable", "editable"} for c in notebook["cells"])


@each
def test_masters_are_clean_and_add_up(name):
    notebook = nbformat.read(build.MASTERS / f"{name}.ipynb", as_version=4)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
    asked = build.questions(build.MASTERS / f"{name}.ipynb")
    for question, about in asked.items():
        assert f"({about['points']:g} points, " in about["title"], question
    machine = sum(a["points"] for a in asked.values() if not a["manual"])
    hand = sum(a["points"] for a in asked.values() if a["manual"])
    summary = notebook["cells"][1]["source"]
    assert f"{machine + hand}: {machine} by tests, {hand} for the" in summary
    visible = [c["source"] for c in notebook["cells"] if "hidden: false" in c["source"]]
    assert len(visible) >= 4 and all(
        "points: 0" in source for source in visible
    )  # what can be seen can be hard-coded


def test_gradescope_gets_the_hidden_tests(built):
    for name in NAMES:
        with zipfile.ZipFile(built / "gradescope" / f"{name}.zip") as archive:
            assert {"run_autograder", "setup.sh", f"tests/{name}_q1.py"} <= set(archive.namelist())
            tests = archive.read(f"tests/{name}_q1.py")
        assert b"hidden=True" in tests
        assert (
            built / "solutions" / "tests" / f"{name}_q1.py"
        ).read_bytes() == tests  # or the solved one cannot run
        assert (
            len(solutions(nbformat.read(built / "solutions" / f"{name}.ipynb", as_version=4))) == 4
        )


def test_an_open_file_may_be_truncated_and_a_path_elsewhere_may_not(tmp_path):
    check = guard.hook(str(tmp_path), [])
    check("os.truncate", (3, 0))
    check("os.truncate", (str(tmp_path / "own"), 0))
    for event, args in (("os.truncate", ("/etc/hosts", 0)), ("os.chmod", (3, 0o777, -1))):
        with pytest.raises(PermissionError, match=event):
            check(event, args)


# What they hand in; test_coursework_answers.py has the answers that need no process of their own

BESIDES = {  # what happens to a process is the same for every assignment
    "a1": (Desk.half, Desk.wrong, Desk.crashes),
    "a2": (Desk.loops, Desk.changing),
    "a3": (Desk.borrowing, Desk.hostile),
    "a4": (Desk.lost,),
}


@each
def test_every_submission_gets_what_it_deserves(built, name, tmp_path):
    asked = build.questions(build.MASTERS / f"{name}.ipynb")
    points = tuple(about["points"] for about in asked.values() if not about["manual"])
    full, light, marked = (tmp_path / kind for kind in ("full", "light", "marked"))
    for folder in (full, light, marked):
        folder.mkdir()
    lures = [str(built), str(marked), str(light), str(build.MASTERS)]
    before = {p: p.read_bytes() for p in built.rglob("*") if p.is_file()}
    solved = nbformat.read(built / "solutions" / f"{name}.ipynb", as_version=4)
    desk = Desk(name, student(built, name), solved, points, lures)
    desk.full(full)
    for put in BESIDES[name]:
        put(desk, light)
    (light / "scan.pdf").write_bytes(b"%PDF-1.7")
    (light / "torn.ipynb").write_text('{"cells": [')
    other = NAMES[NAMES.index(name) - 1]
    (light / "other.ipynb").write_text(nbformat.writes(student(built, other)))
    tight = Limits(cell=5, call=5, total=200, memory=1_500_000_000)  # seconds of CPU time
    results = grade.grade(full, marked / "full.csv", None, built)
    results += grade.grade(light, marked / "grades.csv", name, built, tight)
    got = {
        r.file: (r.status, tuple(r.points.get(f"{name}_q{k}", 0) for k in (1, 2, 3, 4)))
        for r in results
    }
    for file, status in (
        ("scan.pdf", "not a notebook"),
        ("torn.ipynb", "not a notebook"),
        ("other.ipynb", "another assignment"),
    ):
        desk.deserved[file] = (status, (0, 0, 0, 0))
    assert got == desk.deserved
    assert {p: p.read_bytes() for p in built.rglob("*") if p.is_file()} == before
    blank = next(r for r in results if r.file == "blank.ipynb")
    assert not blank.errors, "the student's notebook must run from top to bottom unanswered"
    with (marked / "grades.csv").open(encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {p.name for p in light.iterdir()}
    if name == "a1":
        earned = str(sum(points[:2]))
        assert rows["half.ipynb"]["points"] == earned and rows["half.ipynb"]["student"] == "1"
        assert "submissions have this student number" in rows["wrong_0.ipynb"]["note"]
    feedback = {p.name: p.read_text(encoding="utf-8") for p in (marked / "feedback").iterdir()}
    assert not any("Traceback" in page or "submission.py" in page for page in feedback.values())
    for file, reason, times in (
        ("wrong_0.ipynb.html", "On this input it goes wrong", 3),
        ("changing.ipynb.html", "Your function changes its argument", 7),
        ("borrowing.ipynb.html", "they come from our own interpolate", 1),
        ("borrowing.ipynb.html", "Your function raised NameError: name &#x27;missing&#x27;", 1),
    ):
        assert feedback.get(file, reason * times).count(reason) >= times, file


def test_folders_of_learning_platforms_are_read_as_they_come(built, tmp_path):
    """Moodle has a folder for each student, Gradescope too, and Canvas has none."""
    handed_in = [
        "Çelik Ada_1234_assignsubmission_file/a1.ipynb",
        "Brown Bo_1235_assignsubmission_file/my work (2).ipynb",
        "submission_77/a1.ipynb",
        "brownbo_99_1001_a1-1.ipynb",
    ]
    added = ["__MACOSX/a1.ipynb", ".DS_Store", "submission_77/.ipynb_checkpoints/a1.ipynb"]
    for name in (*handed_in, *added):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text("torn")
    results = grade.grade(tmp_path / "in", tmp_path / "out" / "grades.csv", "a1", built)
    assert sorted(r.file for r in results) == sorted(handed_in)
    for name in handed_in:  # the same folders, to be zipped and uploaded
        assert "not a notebook" in (tmp_path / "out" / "feedback" / f"{name}.html").read_text(
            "utf-8"
        )


# The pieces


def test_values_come_back_as_they_were():
    value = {
        "t": torch.tensor([[1.5, float("nan")]]).half(),
        "n": [1, None, True, "x", (2.0, float("-inf"))],
        3: {},
    }
    back = wire.decode(wire.encode(value))
    assert torch.equal(back["t"].isnan(), value["t"].isnan()) and back["t"].dtype == torch.float16
    assert back["n"] == value["n"] and isinstance(back["n"][-1], tuple) and back[3] == {}
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=[5, 6])
    pd.testing.assert_frame_equal(wire.decode(wire.encode(table)), table)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"{}",
        b'{"dict": [1]}',
        b'{"tensor": {"type": "int64", "shape": [9], "data": ""}}',
        b'{"tensor": {"type": "object", "shape": [1], "data": ""}}',
    ],
)
def test_bytes_that_are_no_answer_are_refused(data):
    with pytest.raises(ValueError):
        wire.decode(data)


def test_a_lying_or_silent_process_harms_nobody():
    cells = [
        "def f(x):\n    x.add_(1)\n    return x\ndef g():\n    import os\n    os._exit(1)",
        "y = 2",
        "z = open",
        "import time\ndef slow():\n    time.sleep(36_000)",
    ]
    submission = Submission(cells, Limits(cell=20, call=2, total=200))
    try:
        given = torch.zeros(2)
        assert torch.equal(submission["f"](given), torch.ones(2)) and torch.equal(
            given, torch.ones(2)
        )
        with pytest.raises(KeyError):
            submission["nothing"]
        with pytest.raises(Failed, match="in f") as wrong:
            submission["f"](1, 2, 3)
        assert wrong.type.__name__ == "TypeError"
        with pytest.raises(Gone):
            submission["g"]()
        with pytest.raises(Failed, match="g "):
            submission["g"]
            submission["g"]()
        assert submission["y"] == 2 and submission.status == "crashed"
        with pytest.raises(Gone) as slow:
            submission["slow"]()
        assert slow.value.status == "timed out"
    finally:
        submission.close()


def test_changes_of_every_kind_of_argument_come_back():
    cells = [
        "import torch\ndef f(t, table, items, parts):\n    t.data = torch.full((3,), 2.0)\n    table.drop(index=5, inplace=True)\n"
        "    table['new'] = 1\n    items.append(3)\n    parts['w'].add_(1)\n    del parts['old']\n    return 1\n"
        "def idle(*_):\n    return 1"
    ]
    make = lambda: (  # noqa: E731
        torch.zeros(2),
        pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=[5, 6]),
        [1, (2, float("nan"))],
        {"w": torch.ones(2), "old": 1},
    )
    submission = Submission(cells, Limits(cell=20, call=20, total=200))
    try:
        given = make()
        submission["idle"](*given)
        assert wire.encode(list(given)) == wire.encode(list(make()))
        pd.testing.assert_frame_equal(given[1], make()[1])
        t, table, items, parts = given
        submission["f"](*given)
    finally:
        submission.close()
    assert torch.equal(t, torch.full((3,), 2.0)) and len(items) == 3
    assert table.to_dict("list") == {"a": [2.0], "b": ["y"], "new": [1]} and list(table.index) == [
        6
    ]
    assert list(parts) == ["w"] and torch.equal(parts["w"], torch.full((2,), 2.0))


def test_the_command_names_what_is_missing(tmp_path):
    def run(*arguments):
        where = {**os.environ, "PYTHONPATH": f"{build.ROOT}:{build.ROOT / 'data_scripts'}"}
        done = subprocess.run(
            [sys.executable, "-m", "coursework.grade", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=where,
        )
        return done.returncode, done.stderr.strip().splitlines()[-1]

    for folder in (tmp_path / "none", tmp_path):
        code, message = run(folder, tmp_path / "g.csv")
        assert code == 1 and message.startswith(str(folder))


def test_a_cell_that_a_spreadsheet_would_run_is_text(tmp_path):
    result = marks.Result("=cmd.ipynb", "graded", student='=HYPERLINK("x")')
    asked = {"q": {"points": 1, "manual": False, "title": "Q"}}
    marks.write([result], marks.Assignment("a1", {}, asked), tmp_path / "g.csv")
    row = next(csv.DictReader((tmp_path / "g.csv").open()))
    assert row["file"].startswith("'=") and row["student"].startswith("'=")


def test_the_coursework_is_built_below_the_build_folder():
    assert Path(build.OUT).is_relative_to(build.ROOT / "build")


def test_a_number_that_comes_twice_is_named_in_both_rows():
    assignment = marks.Assignment("a1", {}, {"q1": {"points": 2, "manual": False, "title": "One"}})
    rows = marks.table(
        [
            marks.Result(f"{file}.ipynb", "graded", student=number)
            for file, number in (("b", 7), ("a", 7), ("c", 8), ("d", ""))
        ],
        assignment,
    )
    assert [row["file"][0] for row in rows] == ["a", "b", "c", "d"]
    assert ["2 submissions have this student number" in row["note"] for row in rows] == [
        True,
        True,
        False,
        False,
    ]
