"""The ledger's record of the code that measured a number."""

import shutil
from pathlib import Path

import pytest

import wiseft_lite
from wiseft_lite.book.ledger import code_version, read


@pytest.fixture
def package(tmp_path):
    for name, text in (
        ("weights.py", "a = 1\n"),
        ("book/experiments/ch15.py", "b = 1\n"),
        ("book/runs.py", "c = 1\n"),
        ("tasks/real/iwildcam.py", "d = 1\n"),
        ("book/exercises/ch15.py", "e = 1\n"),
        ("cli/train.py", "f = 1\n"),
        ("figures.py", "g = 1\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["weights.py", "book/experiments/ch15.py", "book/runs.py", "tasks/real/iwildcam.py"]
)
def test_a_changed_module_at_any_depth_is_another_version_of_the_code(package, name):
    before = code_version(package)
    assert before.startswith(f"{wiseft_lite.__version__}+") and before == code_version(package)
    (package / name).write_text("changed = 1\n")
    assert code_version(package) != before


@pytest.mark.parametrize("name", ["book/exercises/ch15.py", "cli/train.py", "figures.py"])
def test_a_changed_exercise_figure_or_command_leaves_the_numbers_current(package, name):
    before = code_version(package)
    (package / name).write_text("changed = 1\n")
    assert code_version(package) == before


PLAIN = "def half(x):\n    y = x / 2\n    return '# y'\n"


@pytest.mark.parametrize(
    "text",
    [
        '"""Of the module."""\n' + PLAIN,
        PLAIN.replace("    y =", '    """Return half.\n\n    Of x.\n    """\n\n    y ='),
        PLAIN.replace("    y =", "    # Why.\n    y =").replace("/ 2", "/ 2  # a half"),
    ],
)
def test_a_docstring_or_a_comment_leaves_the_numbers_current(package, text):
    (package / "weights.py").write_text(PLAIN)
    before = code_version(package)
    (package / "weights.py").write_text(text)
    assert code_version(package) == before
    (package / "weights.py").write_text(text.replace("'# y'", "'# z'"))
    assert code_version(package) != before


def test_a_moved_module_is_another_version_and_what_is_no_source_does_not_count(package):
    before = code_version(package)
    (package / "book" / "experiments" / "table.csv").write_text("1\n")
    assert code_version(package) == before
    experiments = package / "book" / "experiments"
    shutil.move(experiments / "ch15.py", experiments / "ch16.py")
    assert code_version(package) != before


def test_by_default_it_is_the_library_itself(tmp_path):
    copy = tmp_path / "wiseft_lite"
    shutil.copytree(
        Path(wiseft_lite.__file__).parent,
        copy,
        ignore=shutil.ignore_patterns("record", "*.safetensors"),
    )
    assert code_version(copy) == code_version()
    (copy / "book" / "experiments" / "family.py").write_text("")
    assert code_version(copy) != code_version()


def test_every_number_of_the_ledger_was_measured_by_one_version_of_the_code():
    assert len({entry["code"] for entry in read().values()}) == 1
