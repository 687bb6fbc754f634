"""The benchmarks measure the same work on both sides, and their sums are right."""

import copy
from dataclasses import replace

import pandas as pd
import pytest
import torch

from wiseft_lite import Recipe, encode, finetune, load_task, sweep
from wiseft_lite.book.experiments import bench, clocks, command
from wiseft_lite.book.experiments.rivals import as_files, lbfgs_probe, per_alpha, recomputed
from wiseft_lite.book.ledger import Record
from wiseft_lite.features import pixels
from wiseft_lite.losses import cross_entropy


@pytest.fixture
def files(task, tmp_path):
    return {
        name: as_files(split, tmp_path / "images" / name) for name, split in task.evaluation.items()
    }


def test_files_contain_the_same_images_and_notice_a_change(theta_0, task, files):
    assert torch.equal(pixels(theta_0, files["test"]), pixels(theta_0, task.test))
    before = files["test"].content()
    files["test"].images[3].rotate(90).save(files["test"].images.paths[2])
    assert files["test"].content() != before


def test_the_per_alpha_procedure_measures_what_a_sweep_does(theta_0, tuned, files, tmp_path):
    alphas = [0.0, 0.25, 1.0]
    theirs = per_alpha(theta_0, tuned, files, alphas, tmp_path / "models")
    ours = sweep(theta_0, tuned, files, alphas).pivot(
        index="alpha", columns="split", values="accuracy"
    )[list(files)]
    one_image = 1.01 / min(
        len(split) for split in files.values()
    )  # two computations: a near tie may differ
    assert theirs == pytest.approx(ours.to_numpy().ravel().tolist(), abs=one_image)
    assert len(list((tmp_path / "models").glob("*.pt"))) == 3


def test_recomputed_micro_batches_have_the_gradient_of_the_whole_batch(theta_0, task):
    images = torch.stack([theta_0.preprocess(image) for image, _ in task.train][:10])
    labels, gradients = task.train.labels[:10], []
    for objective in (cross_entropy, recomputed(cross_entropy, 4)):
        model = copy.deepcopy(theta_0)
        objective(model, images, labels).backward()
        gradients.append([p.grad for p in model.parameters()])
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_scikit_learns_steps_lower_the_loss_from_where_we_start(theta_0, task):
    pytest.importorskip("sklearn")
    features, labels = encode(theta_0, task.train)
    losses = []
    for iterations in (0, 1, 5, 40):
        head = (
            lbfgs_probe(theta_0.head, features, labels, iterations) if iterations else theta_0.head
        )
        losses.append(torch.nn.functional.cross_entropy(head(features), labels).item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.5 * losses[0]


def test_both_l_bfgs_minimise_the_same_loss(theta_0, task, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(bench, "TOLERANCE", 1e-7)
    monkeypatch.setattr(bench, "PENALTY", 1e-2)
    seconds, losses = bench.minima(theta_0, task, 2)
    assert losses["ours"] == pytest.approx(losses["scikit"], rel=1e-6)
    assert {name: len(values) for name, values in seconds.items()} == {"ours": 2, "scikit": 2}


def test_every_job_has_its_turn_in_each_place():
    seen = []
    seconds = clocks.in_turns({name: lambda name=name: seen.append(name) for name in "abc"}, 3)
    assert "".join(seen) == "abcbcacab" and all(len(values) == 3 for values in seconds.values())


def test_peak_bytes_are_those_held_at_once():
    def job():
        for _ in range(5):
            torch.zeros(1000)
        kept = [torch.zeros(1000) for _ in range(3)]
        del kept

    assert clocks.peak_bytes(job) == 3 * 4000


def test_a_record_holds_median_and_extremes():
    record = Record("test")
    clocks.add(record, "a_over_b", clocks.ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]), "times", 10)
    record.number("bench.images", 10, "images", None)
    assert [record.numbers[f"bench.a_over_b{end}"]["value"] for end in ("", ".min", ".max")] == [
        3,
        2,
        4,
    ]
    assert clocks.as_table(record).to_numpy().tolist() == [
        ["a_over_b", "times", 2, 3, 4],
        ["images", "images", 10, 10, 10],
    ]


def test_the_error_is_the_worst_of_all_alphas_and_splits():
    exact, five = (
        pd.DataFrame({"accuracy": accuracy, "n": [100, 100, 400]})
        for accuracy in ([0.50, 0.60, 0.70], [0.50, 0.59, 0.7075])
    )
    assert bench.error(exact, five) == (pytest.approx(1.0), 3)


def test_passes_are_averaged_over_images_and_not_over_splits():
    rows = [("small", 6.0, 10), ("small", 6.0, 10), ("large", 3.0, 90), ("large", 3.0, 90)]
    table = pd.DataFrame(rows, columns=["split", "passes", "n"])
    assert bench.mean_passes(table) == pytest.approx(3.3)


def test_the_whole_run_on_a_tiny_task(theta_0, tuned, task, monkeypatch, tmp_path, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(bench, "load_task", lambda name: task)
    monkeypatch.setattr(bench, "zero_shot_classifier", lambda clip, task: theta_0)
    monkeypatch.setattr(bench, "trained", lambda *a: tuned)
    monkeypatch.setattr(bench, "GRID", (0.0, 0.5, 1.0))
    monkeypatch.setattr(bench, "WORKERS", (0,))  # a loader's workers fork
    monkeypatch.setattr(bench, "launched", lambda processes: 1.0 / processes)  # real ones take long
    record = Record("test")
    bench.run(record, [0, 1])
    table = record.tables["bench"].set_index("what")
    assert (table["min"] <= table["median"]).all() and (table["median"] <= table["max"]).all()
    values = table["median"]
    for name in (
        "per_alpha_over_five",
        "per_alpha_over_adaptive",
        "adaptive_over_floor",
        "exact_over_floor",
        "exact_over_frozen",
        "fresh_over_cached",
        "bare_over_finetune",
        "scikit_over_ours",
        "scikit_over_lbfgs",
        "loss.lbfgs.ours",
        "memory.exact",
        "seconds.import.wiseft_lite",
    ):
        assert values[name] > 0, name
    assert values["images"] == 50 and values["repeats"] == 2
    assert values["passes.adaptive"] == 3  # the three alphas are nodes
    assert values["memory.exact"] < values["memory.per_alpha"]
    assert set(record.tables["bench_scaling"]["axis"]) == {"images", "alphas", "models"}
    assert "per_alpha_over_five" in capsys.readouterr().out


def test_seconds_of_children_are_those_of_processes_that_ended():
    import subprocess
    import sys

    seconds = clocks.in_turns(
        {
            "works": lambda: subprocess.run([sys.executable, "-c", "sum(range(10**7))"]),
            "waits": lambda: None,
        },
        1,
        clock=clocks.children,
    )
    assert seconds["works"][0] > 0.01 and seconds["waits"][0] == 0


def test_the_whole_command_and_the_whole_procedure_of_the_authors_agree(monkeypatch, tmp_path):
    arrows = load_task("arrows")
    few = replace(arrows, test=arrows.test.select(range(0, len(arrows.test), 6)))
    monkeypatch.setattr(
        command, "load_task", lambda name: few if name == "iconshift" else load_task(name)
    )
    monkeypatch.setattr(
        command, "trained", lambda zero_shot, task: finetune(zero_shot, task, Recipe(epochs=1))
    )
    record = Record("test")
    command.run(record, [0])  # compares the accuracies
    assert not few.shifts and record.numbers["command.images"]["value"] == len(few.test)
    assert (
        record.numbers["command.seconds.start"]["value"]
        < record.numbers["command.seconds.exact"]["value"]
    )
    assert record.numbers["command.per_alpha_over_five"]["value"] > 0
