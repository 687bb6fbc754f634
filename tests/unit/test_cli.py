import json

import pytest
import torch

from wiseft_lite import Head, ImageClassifier, average, interpolate, load, save
from wiseft_lite.checkpoints import read_card
from wiseft_lite.cli import main
from wiseft_lite.results import read_results
from wiseft_lite.soups import greedy_soup, held_out_accuracy


@pytest.fixture
def shapes(monkeypatch, task):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: task)


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
    assert set(table.task) == {"shapes"}
    assert "*" in capsys.readouterr().out
    assert main(["plot", str(out), "--out", str(tmp_path / "f.svg")]) == 0
    assert (tmp_path / "f.svg").read_text().lstrip().startswith("<?xml")


def test_finetune_that_was_cut_short_goes_on(shapes, clip_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("wiseft_lite.resume.SECONDS", 0)
    command = ["finetune", "--model", f"local-dir:{clip_folder}", "--epochs", "2", "--batch-size", "16", "--lr", "0.01"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    step = torch.optim.AdamW.step

    def stop(optimizer):
        if optimizer.state and next(iter(optimizer.state.values()))["step"] == 5:
            raise KeyboardInterrupt
        return step(optimizer)

    for option, says in (("--resume", True), ("--no-resume", False)):
        with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
            cut.setattr(torch.optim.AdamW, "step", stop)
            main([*command, "--out", str(tmp_path / option)])
        assert (tmp_path / f"{option}.states").is_dir() and not (tmp_path / option).exists()
        capsys.readouterr()
        assert main([*command, "--out", str(tmp_path / option), option]) == 0
        assert ("goes on after step 5" in capsys.readouterr().out) == says
        assert not (tmp_path / f"{option}.states").exists()
        ends = [load(tmp_path / name).state_dict() for name in ("whole", option)]
        assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_sweep_warns_of_models_that_are_not_connected(shapes, tuned, tmp_path, capsys):
    theta = tuned.state_dict()
    other = tuned.with_weights({**theta, **{key: -theta[key] for key in ("encoder.proj", "head.weight")}})
    save(tuned, tmp_path / "a")
    save(other, tmp_path / "b")
    out = ["--alphas", "0,1", "--out", str(tmp_path / "sweep.jsonl"), "--overwrite"]
    assert main(["sweep", str(tmp_path / "a"), str(tmp_path / "b"), *out]) == 0
    assert "wiseft-lite: the two models are not connected" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "a"), str(tmp_path / "a"), *out]) == 0
    assert "not connected" not in capsys.readouterr().err


def test_demo_writes_what_it_promises(shapes, clip_folder, tmp_path):
    out = tmp_path / "demo"
    assert main(["demo", "--model", f"local-dir:{clip_folder}", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 11 * 3
    assert set(rows[0]) == {"kind", "alpha", "split", "accuracy", "n", "low", "high", "model", "task"}
    assert {r["kind"] for r in rows} == {"probe", "end-to-end"}
    assert all(0 <= r["low"] <= r["accuracy"] <= r["high"] <= 1 for r in rows)
    assert (out / "frontier.png").stat().st_size > 5000 and (out / "frontier.svg").exists()
    assert main(["demo", "--out", str(out)]) == 2  # refused before any work


@pytest.mark.parametrize("arguments, message", [
    (["zeroshot", "--task", "icons"], "unknown task 'icons'"),
    (["zeroshot", "--model", "ViT-B/32"], "unknown model 'ViT-B/32'; did you mean ViT-B-32/openai?"),
    (["zeroshot", "--model", "ViT-L/14@336px"], "did you mean ViT-L-14-336/openai?"),
    (["interpolate", "nowhere", "nowhere"], "nowhere is no checkpoint"),
    (["zeroshot", "--model", "iconklip"], "unknown model 'iconklip'; did you mean iconclip"),
    (["sweep", "nowhere", "nowhere"], "nowhere is no checkpoint"),
    (["sweep", "a", "b", "--splits", "night"], "no split 'night'"),
    (["sweep", "a", "b", "--alphas", "0,half"], "no list of numbers"),
    (["plot", "nowhere.jsonl"], "does not exist"),
    (["finetune", "--lr", "-1"], "lr is -1"),
    (["soup", "nowhere"], "nowhere is no checkpoint"),
])
def test_mistakes_get_one_line_and_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if "half" in arguments[-1]:
        monkeypatch.setattr("wiseft_lite.checkpoints.load", lambda folder: None)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("wiseft-lite:")]
    assert len(lines) == 1 and message in lines[0] and "Traceback" not in error


@pytest.fixture
def runs(theta_0, tuned, tmp_path):
    """Three checkpoints on one line; the first is the zero-shot classifier."""
    zero, one = theta_0.state_dict(), tuned.state_dict()
    for name, alpha in (("zero", 0), ("half", 0.5), ("one", 1)):
        save(theta_0.with_weights(interpolate(zero, one, alpha)), tmp_path / name)
    return [str(tmp_path / name) for name in ("zero", "half", "one")]


def test_the_model_at_one_alpha_becomes_a_checkpoint(runs, theta_0, tmp_path, capsys):
    zero, half, one = runs
    out = tmp_path / "mixed"
    assert main(["interpolate", zero, one, "--out", str(out)]) == 0
    expected = load(half).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load(out).state_dict().items())
    assert read_card(out)["recipe"] == {"zero_shot": zero, "fine_tuned": one, "alpha": 0.5}
    assert main(["interpolate", zero, one, "--alpha", "1", "--out", str(out), "--overwrite"]) == 0
    assert all(torch.equal(value, load(one).state_dict()[name]) for name, value in load(out).state_dict().items())
    other = ImageClassifier(theta_0.encoder, theta_0.head, theta_0.preprocess, ["x", "y", "z"], theta_0.encoder_name)
    save(other, tmp_path / "other")
    assert main(["interpolate", zero, str(tmp_path / "other"), "--out", str(tmp_path / "no")]) == 2
    assert "differ in their class names" in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_help_names_a_default_only_where_there_is_one(capsys):
    for command in ("run", "sweep", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "(default: None)" not in said and "(default: results/" in said
    assert "seed of the fine-tuning (default: 0)" in said


def test_a_uniform_soup_is_the_average(shapes, runs, tmp_path, capsys):
    out = tmp_path / "soup"
    assert main(["soup", *runs, "--out", str(out)]) == 0
    expected = average([load(folder).state_dict() for folder in runs])
    assert all(torch.allclose(v, expected[k], atol=1e-6) for k, v in load(out).state_dict().items())
    card = read_card(out)
    assert card["recipe"] == {"ingredients": runs, "chosen_on": None} and set(card["metrics"]) == {"test", "two"}
    assert "soup of 3 models" in capsys.readouterr().out
    assert main(["soup", *runs, "--out", str(out)]) == 2
    assert main(["sweep", runs[0], str(out), "--alphas", "0,1", "--out", str(tmp_path / "s.jsonl")]) == 0


def test_a_greedy_soup_says_what_it_kept(shapes, runs, tmp_path, capsys, theta_0, task):
    out = tmp_path / "soup"
    assert main(["soup", *runs, "--greedy", "--out", str(out)]) == 0
    printed, card = capsys.readouterr().out, read_card(out)
    theta, trace = greedy_soup([load(folder).state_dict() for folder in runs], held_out_accuracy(theta_0, task.val))
    kept = [runs[i] for i in trace["model"][trace["kept"]]]
    assert card["recipe"] == {"ingredients": kept, "chosen_on": "val"}
    assert all(torch.equal(v, theta[k]) for k, v in load(out).state_dict().items())
    assert f"soup of {len(kept)} models" in printed
    for folder in runs:
        assert f"{'yes' if folder in kept else 'no ':3}  {folder}" in printed


def test_strangers_do_not_go_into_a_soup(shapes, runs, theta_0, tmp_path, capsys):
    other = ImageClassifier(theta_0.encoder, Head(torch.zeros(1, 16)), theta_0.preprocess, ["x"], theta_0.encoder_name)
    save(other, tmp_path / "other")
    assert main(["soup", runs[0], str(tmp_path / "other"), "--out", str(tmp_path / "s")]) == 2
    assert f"{tmp_path / 'other'} differ in their class names" in capsys.readouterr().err
    card = tmp_path / "one" / "card.json"
    card.write_text(card.read_text().replace('"model_cfg": {', '"model_cfg": {"quick_gelu": true,'))
    assert main(["soup", *runs, "--out", str(tmp_path / "s")]) == 2
    assert f"{runs[0]} and {runs[2]} differ in their architecture" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
