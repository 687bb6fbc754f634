"""What chapter 8's experiment computes, on small cases."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from wiseft_lite import Recipe
from wiseft_lite.analysis.connectivity import barrier
from wiseft_lite.analysis.landscape import corners
from wiseft_lite.book.experiments import ch08
from wiseft_lite.book.ledger import Record
from wiseft_lite.sweeps import sweep


def test_halves_are_disjoint_and_leave_no_image_out(task):
    first, second = ch08.halves(task, seed=0)
    images = [{id(image) for image in part.train.images} for part in (first, second)]
    assert len(first.train) == len(second.train) == 30 and not images[0] & images[1]
    assert images[0] | images[1] == {id(image) for image in task.train.images}
    assert first.test is task.test
    again = ch08.halves(task, seed=1)[0]
    assert {id(image) for image in again.train.images} != images[0]


def test_differences_look_only_at_the_classes_of_the_split(task):
    split = replace(task.shifts["two"], classes=(0, 2))
    first = torch.zeros(len(split), 3)
    first[torch.arange(len(split)), split.labels] = 2.0
    second = first.clone()
    second[:, 1] = torch.randn(len(split))  # a class that cannot be meant
    found = ch08.differences(first, second, split)
    assert found["prediction_diversity"] == found["kl_divergence"] == 0
    assert found["cka_complement"] == pytest.approx(0, abs=1e-9)
    second[:5] = second[:5].flip(1)
    assert ch08.differences(first, second, split)["prediction_diversity"] == pytest.approx(
        100 * 5 / 20
    )


def test_confidence_states_percent_of_images_and_mean_margins(task):
    split = replace(task.shifts["two"], classes=(0, 2))
    zero = torch.tensor([[4.0, 9.0, 0.0]]).repeat(
        20, 1
    )  # predicts 0, by a margin of 4 over class 2
    tuned = torch.tensor([[0.0, 9.0, 1.0]]).repeat(20, 1)
    mixture = torch.cat([zero[:15], tuned[:5]])
    found = ch08.confidence(zero, tuned, mixture, split)
    assert (found["zero_shot_overrides"], found["fine_tuned_overrides"]) == (75, 25)
    assert (found["overrides_lead"], found["margin_lead"]) == (50, 3)


def test_heights_come_with_the_error_of_paired_images():
    # zero-shot, half way and fine-tuned on four images: 50, 100 and 75 %
    right = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1]])
    half = ch08.heights(right, (0.0, 0.5, 1.0)).iloc[1]
    assert half["accuracy"] == 1 and half["above_line"] == pytest.approx(37.5)
    assert half["above_better"] == pytest.approx(25)
    assert half["above_line_se"] == pytest.approx(100 * pd.Series([0, 0.5, 0.5, 0.5]).std() / 2)
    assert half["above_better_se"] == pytest.approx(100 * pd.Series([0, 1, 0, 0]).std() / 2)


def test_the_path_is_the_sweeps_and_heights_agree_with_the_observations(theta_0, tuned, task):
    path = ch08.along(theta_0, tuned, task.evaluation)
    table = sweep(theta_0, tuned, task.evaluation)
    assert path["accuracy"].tolist() == pytest.approx(table["accuracy"].tolist())
    found = ch08.verdicts(path)
    inside = path[(path["alpha"] > 0) & (path["alpha"] < 1)].groupby("split")
    assert found["slack"].to_dict() == pytest.approx(inside["above_line"].min().to_dict())
    assert found["margin"].to_dict() == pytest.approx(inside["above_better"].max().to_dict())


def test_a_verdict_is_sure_only_with_enough_images():
    def verdict(n, middle):
        right = torch.zeros(3, n)
        right[0, : n // 2], right[2, : n // 2], right[1, : int(middle * n)] = 1, 1, 1
        return ch08.verdicts(ch08.heights(right, (0.0, 0.5, 1.0)).assign(split="test")).loc["test"]

    for n, sure in ((10, False), (1000, True)):  # ten points below both ends, or above them
        pit, hill = verdict(n, 0.4), verdict(n, 0.6)
        assert pit["slack"] == pytest.approx(-10) and hill["margin"] == pytest.approx(10)
        assert (
            not pit["observation_1"] and pit["surely_fails_1"] == sure and not pit["surely_holds_2"]
        )
        assert (
            hill["observation_2"] and hill["surely_holds_2"] == sure and not hill["surely_fails_1"]
        )


def test_the_grid_surrounds_the_three_models(theta_0, tuned):
    third = {k: v + 0.01 * torch.randn(v.shape) for k, v in theta_0.state_dict().items()}
    thetas = (theta_0.state_dict(), tuned.state_dict(), third)
    xs, ys = ch08.grid(thetas, steps=5)
    for x, y in corners(thetas):
        assert xs[0] < x < xs[-1] and ys[0] < y < ys[-1]
    assert len(xs) == len(ys) == 5


def test_the_numbers_of_a_tiny_run(theta_0, tuned, task, monkeypatch):
    monkeypatch.setattr(ch08, "load_task", lambda name: task)
    monkeypatch.setattr(ch08, "zero_shot_classifier", lambda clip, task: theta_0)
    monkeypatch.setattr(
        ch08,
        "trained",
        lambda start, task, recipe: (
            start.with_weights(
                {
                    k: v
                    + 0.02
                    * torch.randn(v.shape, generator=torch.Generator().manual_seed(recipe.seed))
                    for k, v in start.state_dict().items()
                }
            )
            if recipe.seed
            else tuned
        ),
    )
    monkeypatch.setattr(ch08, "BARRIER_SPLITS", ("test", "two"))
    monkeypatch.setattr(ch08, "LEARNING_RATES", (Recipe().lr, 1e-2))
    monkeypatch.setattr(ch08, "grid", lambda thetas: ([0.0, 0.1], [0.0, 0.1]))
    monkeypatch.setattr(
        ch08, "kappa_complement", lambda f, g: 0.0
    )  # undefined if both models are constant
    record = Record("test")
    ch08.run(record, [0, 1])
    tables = record.tables
    assert set(tables["ch08_diversity"]["pair"]) == {"probe", "end-to-end", "halves", "two_runs"}
    pair = (
        tables["ch08_diversity"].query("pair == 'end-to-end' and split == 'two'").set_index("seed")
    )
    assert record.numbers["ch08.diversity.end-to-end.two"]["values"] == pytest.approx(
        pair["prediction_diversity"].tolist(), abs=1e-3
    )
    assert (
        record.numbers["ch08.diversity.end-to-end.shifts"]
        == record.numbers["ch08.diversity.end-to-end.two"]
    )
    curves = (
        tables["ch08_barriers"]
        .query("kind == 'shuffled' and split == 'test' and alpha == 1")
        .set_index("seed")
    )
    assert record.numbers["ch08.shuffled.test.alpha_1"]["values"] == pytest.approx(
        (100 * curves["accuracy"]).tolist(), abs=1e-3
    )
    high = {
        path: 100 * barrier(rows)["test"]
        for path, rows in tables["ch08_barriers"].groupby(["kind", "seed"])
    }
    for kind in ("shuffled", f"lr_{Recipe().lr:g}", "lr_0.01"):
        assert record.numbers[f"ch08.barrier.{kind}.test"]["values"] == pytest.approx(
            [high[kind, 0], high[kind, 1]], abs=1e-3
        )
    assert record.numbers["ch08.barrier.between_lr_0.01.test"]["recipe"]["lr"] == 0.01
    assert record.numbers["ch08.barrier.lr_0.01.test"]["unit"] == "points"
    assert (
        record.numbers["ch08.splits.observation_2"]["values"]
        == tables["ch08_observations"].groupby("seed")["observation_2"].sum().tolist()
    )
    assert len(tables["ch08_plane"]) == 2 * 2 * 2 and list(tables["ch08_corners"]["model"]) == list(
        ch08.CORNERS
    )
