import json

import pytest

from wiseft_lite import UserError, interpolate, ledger
from wiseft_lite.teaching import expect, guess, guessed, show


def test_guess_is_kept_and_taken_back(capsys):
    assert guess("x", -3) == -3.0 == guessed("x")
    assert guess("x", None) is None and guessed("x") is None


def test_show_prints_live_source_without_docstring(capsys):
    show(interpolate)
    out = capsys.readouterr().out
    assert out.startswith("def interpolate(") and "_combine" in out and '"""' not in out


def test_expect_compares_with_the_ledger(tmp_path, capsys):
    path = tmp_path / "ledger.json"
    ledger.write(path, {"a": ledger.entry([10.0, 12.0], "points", [0, 1], 50, None, "test")})
    expect("a", 11.5, path)
    out = capsys.readouterr().out
    assert "yours 11.5, ours 11.0 +- 1.4 points (2 seeds, n=50" in out and "Far" not in out
    expect("a", 30, path)
    assert "Far from ours" in capsys.readouterr().out
    with pytest.raises(UserError, match="no entry 'b'"):
        expect("b", 1, path)


def test_ledger_keeps_other_entries_and_is_found_from_below(tmp_path):
    path = tmp_path / "book" / "ledger.json"
    path.parent.mkdir()
    ledger.write(path, {"a": {"value": 1}})
    ledger.write(path, {"b": {"value": 2}})
    assert set(ledger.read(path)) == {"a", "b"} and json.loads(path.read_text())["b"]["value"] == 2
    (tmp_path / "book" / "deep").mkdir()
    assert ledger.find(tmp_path / "book" / "deep") == path and ledger.find(tmp_path) == path
    path.write_text("{")
    with pytest.raises(UserError, match="restore it"):
        ledger.read(path)
