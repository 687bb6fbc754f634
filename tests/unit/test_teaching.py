import json
import subprocess
import sys

import pytest

from wiseft_lite import UserError, interpolate
from wiseft_lite.book import ledger
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.teaching import expect, guess, guessed, ready, show


def test_guess_is_kept_and_taken_back(capsys):
    assert guess("x", -3) == -3.0 == guessed("x")
    assert guess("x", None) is None and guessed("x") is None


def test_show_prints_live_source_without_docstring(capsys):
    show(interpolate)
    out = capsys.readouterr().out
    assert (
        out.startswith("def interpolate(")
        and "(1 - alpha) * theta_0 + alpha * theta_1" in out
        and '"""' not in out
    )


@pytest.mark.slow
def test_in_a_notebook_figures_are_drawn_sharp():
    """Before the plotting backend is loaded, as in a setup cell."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; S.instance();"
        "from wiseft_lite.book.teaching import ready; ready();"
        "from matplotlib_inline.config import InlineBackend; print(InlineBackend.instance().figure_formats)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.splitlines()[-1] == "{'retina'}"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A ledger with one number."""
    monkeypatch.setattr(
        ledger, "read", lambda path=tmp_path / "ledger.json": json.loads(path.read_text())
    )
    record = Record("a test")
    record.number("ch00.a", [10.0, 12.0], "points", n=50, seeds=[0, 1])
    ledger.write(record, tmp_path)
    return tmp_path


def test_expect_compares_with_the_ledger(book, capsys):
    expect("ch00.a", 11.5)
    out = capsys.readouterr().out
    assert out == "ch00.a: yours 11.5\n   ours 11.0 ± 1.4 points (2 seeds, n=50)\n"
    expect("ch00.a", 30)
    assert "Far from ours" in capsys.readouterr().out
    with pytest.raises(UserError, match="'ch00.b'.*ch00.a"):
        expect("ch00.b", 1)


def test_a_new_record_replaces_its_chapter_and_leaves_the_others(tmp_path):
    for keys in (("ch01.a", "ch01.b"), ("ch02.a",), ("ch01.a",)):
        record = Record("a test")
        for key in keys:
            record.number(key, 1.0, "points", n=1)
        ledger.write(record, tmp_path)
    assert set(ledger.read(tmp_path / "ledger.json")) == {"ch01.a", "ch02.a"}


def test_a_record_needs_one_value_per_seed():
    with pytest.raises(UserError, match="x.y: 2 .*3 "):
        Record("a test").number("x.y", [1.0, 2.0], "points", n=1, seeds=[0, 1, 2])


def test_a_damaged_ledger_and_a_missing_table_are_named(tmp_path):
    (tmp_path / "ledger.json").write_text("{")
    with pytest.raises(UserError, match="ledger.json"):
        ledger.read(tmp_path / "ledger.json")
    with pytest.raises(UserError, match="'grid'"):
        ledger.table("grid", tmp_path)


def test_ready_prints_one_line_of_versions(capsys):
    ready()
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "torch" in out and "wiseft_lite" in out
