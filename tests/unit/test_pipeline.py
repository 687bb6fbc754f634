"""The whole method in one go, from Python and from the command line."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from wiseft_lite import Recipe, UserError, load, predict, save, summary
from wiseft_lite.cli import options
from wiseft_lite.cli.main import main
from wiseft_lite.pipeline import TRAINERS, choices, draw, run_wise_ft
from wiseft_lite.recipes import Compute, recipes_for

FAST = Recipe(epochs=1, lr=1e-2, batch_size=30)


def test_each_kind_is_walked_to_and_the_ends_are_its_models(theta_0, task):
    models, table = run_wise_ft(
        theta_0, task, {"probe": replace(FAST, augment="none"), "end-to-end": FAST}
    )
    assert list(models) == ["probe", "end-to-end"] and len(table) == 2 * 11 * 3
    for kind, model in models.items():
        end = table[
            (table["kind"] == kind) & (table["alpha"] == 1) & (table["split"] == "two")
        ].iloc[0]
        split = task.shifts["two"]
        assert end["accuracy"] == split.score(split.predicted(predict(model, split))).accuracy
    assert list(draw(table, "shapes")) == ["frontier"]
    part = table[table["kind"] == "probe"]
    assert (
        summary(part)["shifts"].tolist() == part[part["split"] == "two"]["accuracy"].tolist()
    )  # val is no shift
    alone = table[table["split"] != "two"]
    assert list(draw(alone, "shapes")) == ["alpha-probe", "alpha-end-to-end"]
    assert choices(alone)["shifts"].isna().all()
    with pytest.raises(
        UserError, match="no kind of training .'prob'.; choose one or more of: probe, end-to-end"
    ):
        run_wise_ft(theta_0, task, {"prob": FAST})


def test_val_chooses_the_smallest_of_equal_alphas_and_no_test_image_counts():
    rows = [
        ("probe", alpha, split, accuracy)
        for alpha, val, test, shift in (
            (0, 0.6, 0.9, 0.9),
            (0.2, 0.7, 0.5, 0.2),
            (0.5, 0.6, 0.6, 0.4),
            (0.6, 0.7, 0.8, 0.1),
        )
        for split, accuracy in (("val", val), ("test", test), ("a", shift), ("b", shift / 2))
    ]
    table = pd.DataFrame(rows, columns=["kind", "alpha", "split", "accuracy"])
    half, best = choices(table).to_dict("records")
    assert half == {
        "kind": "probe",
        "rule": "half",
        "alpha": 0.5,
        "val": 0.6,
        "test": 0.6,
        "shifts": pytest.approx(0.3),
    }
    assert (best["rule"], best["alpha"], best["shifts"]) == ("val", 0.2, pytest.approx(0.15))


def test_a_real_clip_begins_with_the_papers_rate_and_iconclip_with_its_own():
    assert recipes_for("ViT-B-32/openai")["end-to-end"].lr == 3e-5
    assert recipes_for("iconclip")["end-to-end"] == Recipe()


@pytest.fixture
def shapes(monkeypatch, task):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: task)


def test_run_writes_checkpoints_results_and_figure_and_evaluate_measures_one(
    shapes, clip_folder, tmp_path, capsys
):
    out, arguments = tmp_path / "run", ["--model", f"local-dir:{clip_folder}", "--device", "cpu"]
    assert (
        main(
            [
                "run",
                *arguments,
                "--out",
                str(out),
                "--kinds",
                "end-to-end",
                "--epochs",
                "1",
                "--lr",
                "0.01",
            ]
        )
        == 0
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "end-to-end",
        "frontier.png",
        "frontier.svg",
        "results.jsonl",
        "zero-shot",
    ]
    assert not (tmp_path / "run.states").exists()
    said = capsys.readouterr().out
    assert "half" in said and "the best on val" in said
    table = pd.read_json(out / "results.jsonl", lines=True)
    assert set(table["split"]) == {"val", "test", "two"} and set(table["task"]) == {"shapes"}
    assert json.loads((out / "end-to-end" / "card.json").read_text())["recipe"]["lr"] == 0.01
    single = tmp_path / "one.jsonl"
    assert main(["evaluate", str(out / "end-to-end"), "--splits", "two", "--out", str(single)]) == 0
    end = table[(table["alpha"] == 1) & (table["split"] == "two")].iloc[0]
    assert pd.read_json(single, lines=True)["accuracy"].tolist() == [end["accuracy"]]
    assert main(["plot", str(out / "results.jsonl"), "--out", str(tmp_path / "f.svg")]) == 0
    assert main(["run", *arguments, "--out", str(out)]) == 2


def test_a_checkpoint_of_other_classes_is_refused(shapes, theta_0, tmp_path, capsys):
    theta_0 = load(save(theta_0, tmp_path / "a"))
    theta_0.class_names = ("square", "disc", "bar")
    save(theta_0, tmp_path / "b")
    assert main(["evaluate", str(tmp_path / "b"), "--out", str(tmp_path / "x.jsonl")]) == 2
    assert "made for other classes, or for these in another order" in capsys.readouterr().err


def test_a_gpu_that_is_not_there(shapes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["run", "--device", "cuda", "--out", str(tmp_path / "x")]) == 2
    assert "torch finds no GPU" in capsys.readouterr().err


def test_what_cannot_be_computed_is_refused_before_anything_is_trained():
    for wrong in ({"micro_batch_size": 0}, {"workers": -1}, {"precision": "float8"}):
        with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-").split("-")[0]):
            Compute(**wrong)


def test_finetune_in_pieces_on_the_command_line(shapes, clip_folder, tmp_path):
    command = [
        "finetune",
        "--model",
        f"local-dir:{clip_folder}",
        "--epochs",
        "1",
        "--batch-size",
        "30",
        "--lr",
        "0.001",
    ]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    assert main([*command, "--out", str(tmp_path / "parts"), "--micro-batch-size", "7"]) == 0
    whole, parts = (load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert any(not torch.equal(value, parts[key]) for key, value in whole.items())
    assert all(torch.allclose(value, parts[key], atol=2e-3) for key, value in whole.items())


def test_a_full_gpu_gets_one_line_and_another_fault_its_traceback(
    shapes, tmp_path, capsys, monkeypatch
):
    for fault in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("something else"),
    ):

        def full(*_, fault=fault):
            raise fault

        monkeypatch.setattr("wiseft_lite.encoders.load_clip", full)
        if isinstance(fault, torch.OutOfMemoryError):
            assert main(["run", "--out", str(tmp_path / "x")]) == 2
            assert "with --micro-batch-size 16" in capsys.readouterr().err
        else:
            with pytest.raises(RuntimeError, match="something else"):
                main(["run", "--out", str(tmp_path / "x")])


def test_run_says_a_warning_of_the_check_in_one_line(
    shapes, clip_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(TRAINERS, "end-to-end", lambda classifier, *_, **__: classifier)
    monkeypatch.setattr(
        "wiseft_lite.analysis.connectivity.midpoint_barrier_of_sweep",
        lambda *_: warnings.warn("not connected", stacklevel=1),
    )
    assert (
        main(
            [
                "run",
                "--model",
                f"local-dir:{clip_folder}",
                "--kinds",
                "end-to-end",
                "--out",
                str(tmp_path / "x"),
            ]
        )
        == 0
    )
    assert "\nwiseft-lite: not connected\n" in capsys.readouterr().err


def test_a_gpu_is_taken_where_there_is_one_and_asked_for_in_vain_where_there_is_none(monkeypatch):
    asked = lambda device: options.device_of(SimpleNamespace(device=device))  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert asked(None) == "cuda" and asked("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert asked(None) == "cpu"
    with pytest.raises(UserError, match="torch finds no GPU"):
        asked("cuda")
