import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from wiseft_lite import Head, ImageClassifier, Recipe, UserError, average, interpolate, load, save
from wiseft_lite.checkpoints import read_card
from wiseft_lite.cli.main import main, parser
from wiseft_lite.cli.options import recipe_of
from wiseft_lite.merging.soups import RULES, HeldOutAccuracy, greedy_soup
from wiseft_lite.recipes import PAPER, PROBE, recipes_for
from wiseft_lite.results import read_results
from wiseft_lite.weights import interpolate_


@pytest.fixture
def shapes(monkeypatch, task):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: task)


def test_zeroshot_finetune_sweep_plot(shapes, clip_folder, tmp_path, capsys):
    model = ["--model", f"local-dir:{clip_folder}"]
    assert main(["zeroshot", *model, "--out", str(tmp_path / "zs")]) == 0
    assert (
        main(["finetune", *model, "--out", str(tmp_path / "ft"), "--epochs", "2", "--lr", "0.01"])
        == 0
    )
    card = json.loads((tmp_path / "ft" / "card.json").read_text())
    assert card["recipe"]["epochs"] == 2 and card["recipe"]["lr"] == 0.01
    out = tmp_path / "sweep.jsonl"
    assert (
        main(
            [
                "sweep",
                str(tmp_path / "zs"),
                str(tmp_path / "ft"),
                "--out",
                str(out),
                "--alphas",
                "0,0.5,1",
            ]
        )
        == 0
    )
    table = read_results(out)
    assert sorted(set(table.alpha)) == [0, 0.5, 1] and set(table.split) == {"test", "two"}
    assert set(table.task) == {"shapes"} and set(table.model) == {str(tmp_path / "ft")}
    assert "*" in capsys.readouterr().out
    assert main(["plot", str(out), "--out", str(tmp_path / "f.svg")]) == 0
    assert (tmp_path / "f.svg").read_text().lstrip().startswith("<?xml")


def test_results_record_what_predictions_are_restricted_to(
    monkeypatch, task, clip_folder, tmp_path, capsys
):
    two = replace(task.shifts["two"], classes=(0, 2))
    monkeypatch.setattr(
        "wiseft_lite.tasks.load_task", lambda name, data=None: replace(task, shifts={"two": two})
    )
    folder, wanted = str(tmp_path / "zs"), {"test": 3, "two": 2}
    assert main(["zeroshot", "--model", f"local-dir:{clip_folder}", "--out", folder]) == 0
    assert main(["evaluate", folder, "--out", str(tmp_path / "evaluate.jsonl")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "evaluate.jsonl").read_text().splitlines()]
    assert {row["split"]: row["classes"] for row in rows} == wanted
    out = tmp_path / "sweep.jsonl"
    assert main(["sweep", folder, folder, "--out", str(out), "--alphas", "0,1"]) == 0
    assert dict(read_results(out).groupby("split")["classes"].first()) == wanted
    old = [
        {k: v for k, v in json.loads(line).items() if k != "classes"}
        for line in out.read_text().splitlines()
    ]
    out.write_text("".join(json.dumps(row) + "\n" for row in old))
    assert (
        main(["plot", str(out), "--out", str(tmp_path / "old.svg")]) == 0
    )  # a file from before can still be read


@pytest.mark.slow
def test_finetune_that_was_cut_short_goes_on(shapes, clip_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("wiseft_lite.callbacks.SAVE_INTERVAL", 0)
    command = [
        "finetune",
        "--model",
        f"local-dir:{clip_folder}",
        "--epochs",
        "2",
        "--batch-size",
        "16",
        "--lr",
        "0.01",
    ]
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
        assert ("resumes after step 5" in capsys.readouterr().out) == says
        assert not (tmp_path / f"{option}.states").exists()
        ends = [load(tmp_path / name).state_dict() for name in ("whole", option)]
        assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_sweep_warns_of_models_that_are_not_connected(shapes, tuned, tmp_path, capsys):
    theta = tuned.state_dict()
    other = tuned.with_weights(
        {**theta, **{key: -theta[key] for key in ("encoder.proj", "head.weight")}}
    )
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
    assert set(rows[0]) == {
        "kind",
        "alpha",
        "split",
        "accuracy",
        "n",
        "low",
        "precision",
        "high",
        "classes",
        "model",
        "task",
    }
    assert {r["kind"] for r in rows} == {"probe", "end-to-end"}
    assert all(0 <= r["low"] <= r["accuracy"] <= r["high"] <= 1 for r in rows)
    assert (out / "frontier.png").stat().st_size > 5000 and (out / "frontier.svg").exists()
    assert main(["demo", "--out", str(out)]) == 2  # refused before any work


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["zeroshot", "--task", "icons"], "unknown task 'icons'"),
        (
            ["zeroshot", "--model", "ViT-B/32"],
            "unknown model 'ViT-B/32'; did you mean ViT-B-32/openai?",
        ),
        (["zeroshot", "--model", "ViT-L/14@336px"], "did you mean ViT-L-14-336/openai?"),
        (["interpolate", "nowhere", "nowhere"], "nowhere is no checkpoint"),
        (["zeroshot", "--model", "iconklip"], "unknown model 'iconklip'; did you mean iconclip"),
        (["sweep", "nowhere", "nowhere"], "nowhere is no checkpoint"),
        (["sweep", "a", "b", "--splits", "night"], "no split 'night'"),
        (["sweep", "a", "b", "--alphas", "0,half"], "no list of numbers"),
        (["sweep", "a", "b", "--alphas", "0,nan"], "no list of numbers"),
        (["sweep", "a", "b", "--alphas", "0,inf"], "no list of numbers"),
        (["sweep", "a", "b", "--alphas", "0,,1"], "no list of numbers"),
        (["sweep", "a", "b", "--alphas", ""], "no list of numbers"),
        (["sweep", "a", "b", "--splits", ""], "--splits '' has an empty name"),
        (["sweep", "a", "b", "--splits", "test,"], "--splits 'test,' has an empty name"),
        (["sweep", "a", "b", "--passes", "4"], "passes is 4"),
        (["sweep", "a", "b", "--passes", "5", "--alphas", "0,2"], "alpha 2 lies outside"),
        (["sweep", "a", "b", "--passes", "x"], "'x' is neither a number nor 'adaptive'"),
        (["sweep", "a", "b", "--passes", "adaptive", "--alphas", "0,2"], "alpha 2 lies outside"),
        (["run", "--kinds", "prob"], "no kind of training"),
        (["run", "--kinds", ""], "--kinds '' has an empty name"),
        (["run", "--epochs", "0"], "epochs is 0"),
        (["run", "--lr", "nan"], "lr is nan"),
        (["finetune", "--batch-size", "0"], "batch_size is 0"),
        (["finetune", "--lr", "inf"], "lr is inf"),
        (["finetune", "--weight-decay", "nan"], "weight_decay is nan"),
        (["finetune", "--warmup", "nan"], "warmup is nan"),
        (["finetune", "--seed", "-1"], "seed is -1"),
        (["finetune", "--seed", "1" + 30 * "0"], "seed is 1"),
        (["plot", "nowhere.jsonl", "--out", "figure.docx"], "must end in .png, .svg, .pdf"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "required: COMMAND"),
        (["plot", "nowhere.jsonl"], "does not exist"),
        (["finetune", "--lr", "-1"], "lr is -1"),
        (["soup", "nowhere"], "nowhere is no checkpoint"),
        (["soup", "nowhere", "--greedy-rule", "code"], "--greedy"),
        (["soup", "nowhere", "--greedy", "--greedy-rule", "best"], "invalid choice: 'best'"),
        (["finetune", "--betas", "0.9"], "--betas"),
        (["finetune", "--betas", "0.9,x"], "--betas"),
        (["finetune", "--betas", "0.9,1"], "betas"),
        (["finetune", "--clip-norm", "0"], "clip_norm is 0"),
        (["finetune", "--warmup", "²"], "--warmup"),
    ],
)
def test_mistakes_get_one_line_and_code_2(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("wiseft-lite: ") and error.count("\n") == 1 and message in error
    assert list(tmp_path.iterdir()) == []


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
    assert all(
        torch.equal(value, load(one).state_dict()[name])
        for name, value in load(out).state_dict().items()
    )
    other = ImageClassifier(
        theta_0.encoder, theta_0.head, theta_0.preprocess, ["x", "y", "z"], theta_0.encoder_name
    )
    save(other, tmp_path / "other")
    assert main(["interpolate", zero, str(tmp_path / "other"), "--out", str(tmp_path / "no")]) == 2
    assert (
        "differ in their class names" in capsys.readouterr().err and not (tmp_path / "no").exists()
    )


def commands():
    """The parser of each command, by name."""
    (known,) = (action for action in parser()._actions if action.dest == "command")
    return known.choices


def help_of(command):
    return " ".join(commands()[command].format_help().split())


def test_help_states_each_default_once_and_only_where_there_is_one():
    for name, command in commands().items():
        text = help_of(name)
        assert not re.search(r"default: (None|True|False|\)|=)|not given", text)
        assert ("(default: results/" in text) == ("--out" in text)
        for option in command._actions:
            assert (option.help or "").count("(default: ") <= 1, f"{name} {option.dest}"


def test_every_field_of_a_recipe_is_an_option_with_the_default_of_either_sort_of_model():
    given = Recipe(2, 0.5, 0.2, 3, 7, 4.0, (0.5, 0.25), "none", 9)
    own, other = recipes_for("iconclip")["end-to-end"], recipes_for("ViT-B-32/openai")["end-to-end"]
    for name in ("run", "finetune", "embed"):
        words, text = [name], help_of(name)
        for field in fields(Recipe):
            value = getattr(given, field.name)
            assert value != field.default
            typed = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{field.name.replace('_', '-')}", typed]
        assert recipe_of(parser().parse_args(words), PAPER) == given
        assert all(f"{word} " in text for word in words[1::2])
    assert f"(default: {own.lr} for iconclip, {other.lr} for other models)" in help_of("run")
    assert f"{PROBE.epochs})" in help_of("probe") and "--augment" not in help_of("probe")
    assert recipe_of(parser().parse_args(["finetune", "--warmup", "0.5"]), PAPER).warmup == 0.5


def test_a_uniform_soup_is_the_average(shapes, runs, tmp_path, capsys):
    out = tmp_path / "soup"
    assert main(["soup", *runs, "--out", str(out)]) == 0
    expected = average([load(folder).state_dict() for folder in runs])
    assert all(torch.allclose(v, expected[k], atol=1e-6) for k, v in load(out).state_dict().items())
    card = read_card(out)
    assert card["recipe"] == {"ingredients": runs, "chosen_on": None, "greedy_rule": None}
    assert set(card["metrics"]) == {"test", "two"}
    assert "soup of 3 models" in capsys.readouterr().out
    assert main(["soup", *runs, "--out", str(out)]) == 2
    assert (
        main(["sweep", runs[0], str(out), "--alphas", "0,1", "--out", str(tmp_path / "s.jsonl")])
        == 0
    )


def test_a_greedy_soup_says_what_it_kept(shapes, runs, tmp_path, capsys, theta_0, task):
    out = tmp_path / "soup"
    assert main(["soup", *runs, "--greedy", "--out", str(out)]) == 0
    printed, card = capsys.readouterr().out, read_card(out)
    theta, trace = greedy_soup(
        [load(folder).state_dict() for folder in runs], HeldOutAccuracy(theta_0, task.val)
    )
    kept = [runs[i] for i in trace["model"][trace["kept"]]]
    assert card["recipe"] == {"ingredients": kept, "chosen_on": "val", "greedy_rule": "paper"}
    assert all(torch.equal(v, theta[k]) for k, v in load(out).state_dict().items())
    assert f"soup of {len(kept)} models" in printed
    for folder in runs:
        assert f"{'yes' if folder in kept else 'no ':3}  {folder}" in printed


def test_a_greedy_soup_treats_equal_accuracies_by_the_rule_that_is_asked_for(
    shapes, runs, tmp_path
):
    assert set(RULES) == {
        *next(a for a in commands()["soup"]._actions if a.dest == "greedy_rule").choices
    }
    for rule, copies in (("paper", 2), ("code", 1)):  # a copy changes neither mean nor accuracy
        out = tmp_path / rule
        words = ["soup", runs[2], runs[2], "--greedy", "--greedy-rule", rule, "--out", str(out)]
        assert main(words) == 0
        assert read_card(out)["recipe"] == {
            "ingredients": copies * [runs[2]],
            "chosen_on": "val",
            "greedy_rule": rule,
        }


def test_strangers_do_not_go_into_a_soup(shapes, runs, theta_0, tmp_path, capsys):
    other = ImageClassifier(
        theta_0.encoder, Head(torch.zeros(1, 16)), theta_0.preprocess, ["x"], theta_0.encoder_name
    )
    save(other, tmp_path / "other")
    assert main(["soup", runs[0], str(tmp_path / "other"), "--out", str(tmp_path / "s")]) == 2
    assert f"{tmp_path / 'other'} differ in their class names" in capsys.readouterr().err
    card = tmp_path / "one" / "card.json"
    card.write_text(card.read_text().replace('"model_cfg": {', '"model_cfg": {"quick_gelu": true,'))
    assert main(["soup", *runs, "--out", str(tmp_path / "s")]) == 2
    assert f"{runs[0]} and {runs[2]} differ in their architecture" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def sweep_of(runs, tmp_path, *more):
    out = tmp_path / "sweep.jsonl"
    assert main(["sweep", runs[0], runs[2], "--out", str(out), "--overwrite", *more]) == 0
    return read_results(out)


def test_alphas_and_splits_in_any_order_and_twice_are_measured_once_in_order(
    shapes, runs, tmp_path
):
    table = sweep_of(runs, tmp_path, "--alphas", " 1, 0.5,0 ,0.5,-0", "--splits", "two, test,two")
    assert table["alpha"].tolist() == 2 * [0, 0.5, 1] and table["split"].tolist() == 3 * [
        "two"
    ] + 3 * ["test"]


def test_the_connectivity_check_reuses_passes_that_the_curve_takes_anyway(
    shapes, runs, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        "wiseft_lite.sweeps.interpolate_",
        lambda *a: seen.append(round(a[3], 3)) or interpolate_(*a),
    )
    exact = sweep_of(runs, tmp_path, "--splits", "test", "--alphas", "0,0.5,1")
    assert seen == [0.5, 1]  # zero-shot runs as it is
    seen.clear()
    few = sweep_of(runs, tmp_path, "--splits", "test", "--alphas", "0,1", "--passes", "5")
    assert seen == [0.146, 0.5, 0.854, 1]
    assert few["alpha"].tolist() == [0, 1]  # what was not asked for is not in the results
    assert few["accuracy"].tolist() == exact["accuracy"].tolist()[::2]
    seen.clear()
    sweep_of(runs, tmp_path, "--splits", "test", "--alphas", "0.25")
    assert seen == [0.5, 1, 0.25]  # nothing to reuse


@pytest.mark.parametrize(
    "how", [["--alphas", "0,0.5,1"], ["--alphas", "0.2", "--passes", "5"], ["--alphas", "0.2"]]
)
def test_models_that_are_not_connected_are_warned_of_however_the_check_is_made(
    shapes, runs, tuned, tmp_path, capsys, how
):
    theta = tuned.state_dict()
    other = tuned.with_weights(
        {**theta, **{key: -theta[key] for key in ("encoder.proj", "head.weight")}}
    )
    save(other, tmp_path / "other")
    sweep_of([runs[2], None, str(tmp_path / "other")], tmp_path, *how)
    assert capsys.readouterr().err.count("wiseft-lite: the two models are not connected") == 1
    sweep_of(runs, tmp_path, *how)
    assert "not connected" not in capsys.readouterr().err


class Torn(list):
    """Images of which one cannot be decoded."""

    def __getitem__(self, i):
        if i == 3:
            raise UserError("night/4.png is no image that can be decoded (truncated)")
        return super().__getitem__(i)


@pytest.fixture
def torn(monkeypatch, task):
    """The task with a torn image in its shift; calling it repairs the image."""

    def of(images):
        shift = replace(task.shifts["two"], images=images(task.shifts["two"].images))
        monkeypatch.setattr(
            "wiseft_lite.tasks.load_task",
            lambda name, data=None: replace(task, shifts={"two": shift}),
        )

    of(Torn)
    return lambda: of(list)


def typed_again(error):
    """The command that an error ends with, as words."""
    return shlex.split(error.rpartition("type: wiseft-lite ")[2])


@pytest.mark.parametrize("command", ["finetune", "probe", "zeroshot"])
def test_an_image_that_cannot_be_decoded_costs_the_measurement_and_not_the_training(
    torn, clip_folder, tmp_path, capsys, command, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "the model"
    few = [] if command == "zeroshot" else ["--epochs", "1"]
    assert main([command, "--model", f"local-dir:{clip_folder}", "--out", str(out), *few]) == 2
    error = capsys.readouterr().err
    assert "night/4.png" in error and f"saved in {out}" in error
    trained = load(out).state_dict()
    torn()
    assert main(typed_again(error)) == 0
    assert set(read_results_of(tmp_path / "results/evaluate.jsonl")["split"]) == {"test", "two"}
    assert all(torch.equal(value, trained[name]) for name, value in load(out).state_dict().items())


def read_results_of(path):
    return pd.read_json(path, lines=True)


def test_after_run_the_models_are_there_whatever_happens_then(
    torn, clip_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--model", f"local-dir:{clip_folder}", "--epochs", "1", "--out", "a $run"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "night/4.png" in error and sorted(p.name for p in Path("a $run").iterdir()) == [
        "end-to-end",
        "probe",
        "zero-shot",
    ]
    torn()
    assert main(typed_again(error)) == 0
    assert len(read_results(Path("results/sweep.jsonl"))) == 11 * 2
    assert main(command) == 2 and "exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert (Path("a $run") / "results.jsonl").exists()


def test_evaluate_names_the_split_that_cannot_be_evaluated_and_writes_nothing(
    torn, runs, tmp_path, capsys
):
    out = tmp_path / "evaluate.jsonl"
    assert main(["evaluate", runs[0], "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "'two'" in printed.err and "night/4.png" in printed.err and not out.exists()
    assert printed.out.startswith("test ")  # what is known is shown
    assert main(["evaluate", runs[0], "--splits", "test", "--out", str(out)]) == 0


def test_a_soup_is_saved_before_it_is_measured(torn, runs, tmp_path, capsys):
    assert main(["soup", *runs, "--out", str(tmp_path / "soup")]) == 2
    assert "night/4.png" in capsys.readouterr().err
    assert load(tmp_path / "soup").class_names == ("disc", "square", "bar")


def test_a_figure_that_cannot_be_drawn_costs_the_figure(
    shapes, clip_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("wiseft_lite.figures.frontier", lambda *_, **__: 1 / 0)
        broken.setattr("wiseft_lite.pipeline.frontier", lambda *_, **__: 1 / 0)
        assert (
            main(["run", "--model", f"local-dir:{clip_folder}", "--epochs", "1", "--out", "run"])
            == 2
        )
    printed = capsys.readouterr()
    assert "alpha chosen without a test image" in printed.out  # the tables come first
    assert printed.err.count("wiseft-lite:") == 1 and "figure cannot be drawn" in printed.err
    assert len(read_results(Path("run/results.jsonl"))) == 2 * 11 * 3 and load("run/end-to-end")
    assert (
        main(typed_again(printed.err)) == 0 and Path("results/frontier.png").stat().st_size > 5000
    )


def test_results_are_on_disk_before_the_table_is_printed(shapes, runs, tmp_path, monkeypatch):
    def broken(table):
        raise KeyError("a table that cannot be printed")

    monkeypatch.setattr("wiseft_lite.results.show_table", broken)
    out = tmp_path / "sweep.jsonl"
    with pytest.raises(KeyError):
        main(["sweep", runs[0], runs[2], "--alphas", "0,0.5,1", "--out", str(out)])
    assert len(read_results(out)) == 6


@pytest.mark.parametrize("encoding, shown", [("ascii", "\\xe9t\\xe9"), ("utf-8", "été")])
def test_a_terminal_without_the_letters_of_a_name_costs_nothing(
    runs, task, tmp_path, monkeypatch, encoding, shown
):
    named = replace(task, shifts={"été": replace(task.shifts["two"], name="été")})
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: named)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.stdout", terminal)
    out = tmp_path / "sweep.jsonl"
    assert main(["sweep", runs[0], runs[2], "--alphas", "0,0.5,1", "--out", str(out)]) == 0
    assert shown in terminal.buffer.getvalue().decode(encoding) and "été" in set(
        read_results(out)["split"]
    )


@pytest.mark.slow
def test_a_closed_pipe_costs_what_could_not_be_printed_and_nothing_else(theta_0, tmp_path):
    from wiseft_lite import load_clip, load_task, zero_shot_classifier

    save(zero_shot_classifier(load_clip("iconclip"), load_task("arrows")), tmp_path / "a")
    command = [
        sys.executable,
        "-m",
        "wiseft_lite",
        "evaluate",
        "a",
        "--task",
        "arrows",
        "--out",
        "results.jsonl",
    ]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(writing)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Broken pipe" in done.stderr
    assert "test" in set(read_results_of(tmp_path / "results.jsonl")["split"])


def test_states_that_another_put_beside_the_result_stay(shapes, clip_folder, tmp_path):
    states = tmp_path / "ft.states"
    states.mkdir()
    (states / "notes.txt").write_text("mine")
    (states / f"abc-000000001-{16 * '0'}.safetensors").write_text("of a run")
    assert (
        main(
            [
                "finetune",
                "--model",
                f"local-dir:{clip_folder}",
                "--epochs",
                "1",
                "--out",
                str(tmp_path / "ft"),
            ]
        )
        == 0
    )
    assert [path.name for path in states.iterdir()] == ["notes.txt"]
    (tmp_path / "x.states").write_text("mine")
    assert (
        main(["finetune", "--model", f"local-dir:{clip_folder}", "--out", str(tmp_path / "x")]) == 2
    )


def test_class_names_from_an_editor_that_marks_its_files(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "wiseft_lite.interop.interchange.import_checkpoint",
        lambda file, names, **how: seen.extend(names) or 1 / 0,
    )
    for data in ("\ufeffcat\r\n\r\n dog \r\n".encode(), b"cat\ndog"):
        (tmp_path / "names.txt").write_bytes(data)
        with pytest.raises(ZeroDivisionError):
            main(
                [
                    "import",
                    "x.pt",
                    "--classes",
                    str(tmp_path / "names.txt"),
                    "--out",
                    str(tmp_path / "out"),
                ]
            )
    assert seen == ["cat", "dog"] * 2


def test_help_waits_for_no_heavy_library():
    code = (
        "import sys; from wiseft_lite.cli.main import parser; parser(); "
        "print([m for m in ('pandas', 'numpy', 'torch', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


@pytest.mark.slow
def test_a_sweep_waits_for_nothing_that_it_does_not_use(runs, task, tmp_path):
    code = (
        "import sys; from wiseft_lite import sweep, load_task, load_clip, zero_shot_classifier; "
        "task = load_task('arrows'); zero = zero_shot_classifier(load_clip('iconclip'), task); "
        "sweep(zero, zero, {'test': task.test}, [0, 1]); "
        "print([m for m in ('scipy.stats', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_run_measures_the_alphas_splits_and_images_that_it_is_asked_for(
    shapes, clip_folder, tmp_path
):
    words = ["run", "--model", f"local-dir:{clip_folder}", "--kinds", "end-to-end"]
    words += ["--epochs", "1", "--warmup", "0", "--out", str(tmp_path / "run")]
    asked = ["--alphas", "0,0.3,1", "--passes", "3", "--splits", "two", "--limit", "10"]
    assert main([*words, *asked]) == 0
    table = read_results(tmp_path / "run" / "results.jsonl")
    assert sorted(set(table["alpha"])) == [0, 0.3, 0.5, 1]  # half way is always measured
    assert set(table["split"]) == {"val", "test", "two"} and set(table["n"]) == {10}
    assert "changed" in table
    assert main([*words, "--passes", "4", "--overwrite"]) == 2


def test_fewer_prompts_are_spread_over_the_templates(task):
    four = replace(task, templates=tuple(f"{k} {{}}" for k in range(8)))
    assert four.with_prompts(3).templates == ("0 {}", "2 {}", "5 {}")
    assert four.with_prompts(99).templates == four.templates
    with pytest.raises(UserError, match="0 prompts are too few"):
        four.with_prompts(0)
