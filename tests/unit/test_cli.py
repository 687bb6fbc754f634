import json

import pytest

from wiseft_lite.cli import main
from wiseft_lite.results import read_results


@pytest.fixture
def shapes(monkeypatch, task):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name: task)


def test_zeroshot_finetune_sweep_plot(shapes, clip_folder, tmp_path, capsys):
    model = ["--model", f"local-dir:{clip_folder}"]
    assert main(["zeroshot", *model, "--out", str(tmp_path / "zs")]) == 0
    assert main(["finetune", *model, "--out", str(tmp_path / "ft"), "--epochs", "2", "--lr", "0.01"]) == 0
    card = json.loads((tmp_path / "ft" / "card.json").read_text())
    assert card["recipe"]["epochs"] == 2 and card["recipe"]["lr"] == 0.01
    out = tmp_path / "sweep.jsonl"
    assert main(["sweep", str(tmp_path / "zs"), str(tmp_path / "ft"), "--out", str(out), "--alphas", "0,0.5,1"]) == 0
    table = read_results(out)
    assert sorted(set(table.alpha)) == [0, 0.5, 1] and set(table.split) == {"test", "two"}
    assert "*" in capsys.readouterr().out
    assert main(["plot", str(out), "--out", str(tmp_path / "f.svg")]) == 0
    assert (tmp_path / "f.svg").read_text().lstrip().startswith("<?xml")


def test_demo_writes_what_it_promises(shapes, clip_folder, tmp_path):
    out = tmp_path / "demo"
    assert main(["demo", "--model", f"local-dir:{clip_folder}", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 11 * 2
    assert set(rows[0]) == {"kind", "alpha", "split", "accuracy", "n", "low", "high"}
    assert {r["kind"] for r in rows} == {"probe", "end-to-end"}
    assert all(0 <= r["low"] <= r["accuracy"] <= r["high"] <= 1 for r in rows)
    assert (out / "frontier.png").stat().st_size > 5000 and (out / "frontier.svg").exists()
    assert main(["demo", "--out", str(out)]) == 2  # refused before any work


@pytest.mark.parametrize("arguments, message", [
    (["zeroshot", "--task", "icons"], "unknown task 'icons'"),
    (["zeroshot", "--model", "iconklip"], "unknown model 'iconklip'; did you mean iconclip"),
    (["sweep", "nowhere", "nowhere"], "nowhere is no checkpoint"),
    (["sweep", "a", "b", "--splits", "night"], "no split 'night'"),
    (["sweep", "a", "b", "--alphas", "0,half"], "no list of numbers"),
    (["plot", "nowhere.jsonl"], "does not exist"),
    (["finetune", "--lr", "-1"], "lr is -1"),
])
def test_mistakes_get_one_line_and_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "half" in arguments[-1]:
        monkeypatch.setattr("wiseft_lite.checkpoints.load", lambda folder: None)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("wiseft-lite:")]
    assert len(lines) == 1 and message in lines[0] and "Traceback" not in error
