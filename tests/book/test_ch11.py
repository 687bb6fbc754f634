"""What chapter 11 computes, on small cases."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from wiseft_lite import sweep
from wiseft_lite.book.experiments import ch11
from wiseft_lite.book.ledger import Record
from wiseft_lite.training import PROBE, linear_probe


@pytest.fixture()
def features(theta_0, task):
    return ch11.encoded(theta_0, task)


def test_the_curve_of_two_heads_is_the_sweep(theta_0, task, features):
    probe = linear_probe(theta_0, task, replace(PROBE, lr=3e-2, batch_size=16))
    ours = ch11.head_curve(theta_0.head, probe.head, *features["test"], task.test.classes)
    theirs = sweep(theta_0, probe, {"test": task.test}).set_index("alpha")["accuracy"]
    assert ours.tolist() == pytest.approx((100 * theirs).tolist())
    assert ours.nunique() > 1


def test_a_curve_is_scored_on_the_classes_of_its_split(theta_0, task):
    two = replace(task.shifts["two"], classes=(0, 2))
    always_square = ch11.Head(torch.zeros(3, 16), torch.tensor([1.0, 2.0, 0.0]))
    x, y = ch11.encode(theta_0, two)
    assert ch11.head_curve(always_square, always_square, x, y, alphas=[0.5])[0.5] == 0
    assert ch11.head_curve(always_square, always_square, x, y, two.classes, [0.5])[
        0.5
    ] == pytest.approx(50)


def test_a_probe_sees_k_images_per_class_for_about_the_same_number_of_steps(
    theta_0, task, features, monkeypatch
):
    seen = []
    monkeypatch.setattr(ch11, "fit", lambda head, x, y, recipe: seen.append((y, recipe)) or head)
    curve = ch11.shot_curve(theta_0, task, features, 4, 0.01, seed=3)
    labels, recipe = seen[0]
    assert labels.bincount().tolist() == [4, 4, 4] and (recipe.lr, recipe.seed) == (0.01, 3)
    assert curve["test"].nunique() == 1  # nothing was trained, so the line is flat
    for n in (12, 128, 129, 1471):
        recipe = ch11.probe_recipe(n, 0.01)
        assert recipe.epochs * -(-n // recipe.batch_size) == pytest.approx(ch11.STEPS, rel=0.05)


def curve(val, test):
    return pd.DataFrame({"val": val, "test": test}, index=pd.Index([0.0, 0.5, 1.0], name="alpha"))


def test_alpha_is_chosen_on_val_and_the_oracle_on_test():
    found = ch11.points(curve([60, 70, 70], [50, 54, 58]))
    assert (found["chosen_alpha"], found["chosen"]) == (0.5, 54)  # of equals the smallest
    assert (found["oracle_alpha"], found["oracle"]) == (1.0, 58)
    assert (found["zero_shot"], found["half"], found["fine_tuned"], found["better"]) == (
        50,
        54,
        58,
        58,
    )


def probes(*ends, k=1000):
    """Build curves with these (learning rate, val at alpha 0.5, val at alpha 1)."""
    return pd.DataFrame(
        [
            dict(task="one", k=k, seed=0, rate=rate, alpha=alpha, val=val, test=100 - val)
            for rate, *vals in ends
            for alpha, val in zip((0.5, 1.0), vals, strict=True)
        ]
    )


def test_a_learning_rate_is_chosen_by_the_probe_on_val():
    table = pd.concat(
        [
            probes((0.1, 99, 70), (0.03, 60, 80), (0.01, 60, 80)),
            probes((0.1, 60, 90), (0.01, 60, 80), k=1),
        ]
    )
    found = ch11.searched(table)
    assert found[["k", "rate"]].drop_duplicates().values.tolist() == [[1000, 0.01], [1, 0.1]]
    assert len(found) == 4  # both alphas of each
    assert ch11.one_learning_rate(table) == 0.01  # k = 1 is ignored


def test_the_fraction_of_errors_removed():
    assert ch11.error_cut(98.0, 99.0) == pytest.approx(50)
    assert ch11.error_cut(90.0, 88.0) == pytest.approx(-20)


def test_the_better_end_is_taken_task_by_task():
    rows = [
        dict(task=name, seed=seed, alpha=alpha, val=test, test=test)
        for name, tests in (("one", (80, 80, 60)), ("two", (60, 80, 80)))
        for seed in (0, 1)
        for alpha, test in zip((0.0, 0.5, 1.0), tests, strict=True)
    ]
    record = Record("a test")
    ch11.record_tasks(
        record, pd.DataFrame(rows), {"one": 10, "two": 30}, {"one": 5, "two": 6}, [0, 1]
    )
    value = {key: entry["value"] for key, entry in record.numbers.items()}
    assert value["ch11.mean.half_over_zero_shot"] == value["ch11.mean.half_over_fine_tuned"] == 10
    assert value["ch11.mean.half_over_better"] == 0 and value["ch11.half_wins"] == 0
    assert value["ch11.one.half_over_fine_tuned"] == 20 and value["ch11.one.error_cut"] == 50
    assert (
        record.numbers["ch11.mean.half"]["n"] == 40
        and record.numbers["ch11.mean.val_fine_tuned"]["n"] == 11
    )
    assert (
        record.numbers["ch11.one.val_zero_shot"]["n"] == 5
        and record.numbers["ch11.one.oracle_alpha"]["n"] == 10
    )


def test_shots_are_averaged_over_tasks_before_the_best_alpha_is_read():
    rows = [
        dict(task=name, k=1, seed=0, rate=0.1, alpha=alpha, val=test, test=test)
        for name, tests in (("one", (50, 60, 90)), ("two", (50, 60, 10)))
        for alpha, test in zip((0, 0.5, 1), tests, strict=True)
    ]
    record = Record("a test")
    found = ch11.record_shots(record, "searched", pd.DataFrame(rows), 40, [0])
    value = {key: entry["value"] for key, entry in record.numbers.items()}
    assert value["ch11.searched_1.best_alpha"] == 0.5
    assert (
        value["ch11.searched_1.half_over_better"] == -10 and value["ch11.searched_1.half_wins"] == 1
    )
    assert value["ch11.searched_1.oracle_over_better"] == 5  # 0 and 10: an oracle never loses
    assert found["task"].tolist() == ["one", "two"] and found["rate"].tolist() == [0.1, 0.1]


def test_the_whole_run_on_a_tiny_task(clip, task, monkeypatch, tmp_path):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    monkeypatch.setattr(ch11, "load_clip", lambda name: clip)
    monkeypatch.setattr(ch11, "task_names", lambda: ["iconshift", "shapes"])
    monkeypatch.setattr(ch11, "load_task", lambda name: replace(task, name=name))
    monkeypatch.setattr(
        ch11, "Recipe", lambda epochs=1, seed=0: PROBE.__class__(epochs=epochs, seed=seed)
    )
    monkeypatch.setattr(ch11, "SHOTS", (1, 1000))
    monkeypatch.setattr(ch11, "STEPS", 5)
    monkeypatch.setattr(ch11, "LONGER", 2)
    record = Record("a test")
    ch11.run(record, [0, 1])
    assert len(record.tables["ch11_tasks"]) == 2 * 2 * 11
    assert len(record.tables["ch11_shots"]) == 2 * 2 * 2 * 2
    assert len(record.tables["ch11_rates"]) == 5 * 2 * 2 * 11
    numbers = record.numbers
    assert (
        numbers["ch11.shapes.images_1"]["value"] == 3
        and numbers["ch11.shapes.images_all"]["value"] == 60
    )
    assert numbers["ch11.classes_with_1"]["value"] == 6
    assert numbers["ch11.epochs_2.val"]["n"] == len(task.val)
    assert {
        "ch11.mean.error_cut",
        "ch11.searched_all.oracle_over_better",
        "ch11.one_rate_1.best_alpha",
    } <= set(numbers)
