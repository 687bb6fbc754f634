"""What chapter 9 measures, on a tiny task."""

import pandas as pd
import pytest
import torch

from wiseft_lite import accuracy, encode, interpolate, linear_probe, predict
from wiseft_lite.book.experiments import ch09
from wiseft_lite.book.experiments.first_order import slope_at_zero_shot
from wiseft_lite.features import pixels


@pytest.fixture(scope="module")
def images(theta_0, task):
    return {name: pixels(theta_0, split) for name, split in task.evaluation.items()}


@pytest.fixture(scope="module")
def measured(theta_0, tuned, task, images):
    return ch09.measure(theta_0, tuned, images["test"], task.test, passes=(2, 3, 5))


def at(table, kind, alpha):
    return table[(table.kind == kind) & (table.alpha == alpha)].iloc[0]


def test_the_slope_is_that_of_a_small_step(theta_0, tuned, images):
    step = 1e-3
    slope = slope_at_zero_shot(theta_0, tuned, images["test"], batch_size=7)
    stepped = theta_0.with_weights(interpolate(theta_0.state_dict(), tuned.state_dict(), step))
    with torch.no_grad():
        difference = (stepped(images["test"]) - theta_0(images["test"])) / step
    assert (slope - difference).norm() < 0.05 * slope.norm() and not slope.requires_grad
    assert torch.backends.mha.get_fastpath_enabled()


def test_with_a_frozen_encoder_every_curve_is_the_exact_one(theta_0, task):
    probe = linear_probe(theta_0, task)
    table = ch09.measure(
        theta_0.head, probe.head, encode(theta_0, task.test)[0], task.test, passes=(2, 3)
    )
    for kind in ("outputs", "first order", "2 passes", "3 passes"):
        rows = table[table.kind == kind]
        assert (rows.agreement == 100).all() and rows.departure.max() < 0.01, kind


def test_each_curve_is_judged_against_the_exact_one(theta_0, tuned, task, measured):
    assert set(measured.kind) == {*ch09.MIXTURES, "2 passes", "3 passes", "5 passes"}
    exact = measured[measured.kind == "weights"]
    assert (exact.agreement == 100).all() and (exact.departure == 0).all() and len(exact) == 21
    middle = theta_0.with_weights(interpolate(theta_0.state_dict(), tuned.state_dict(), 0.5))
    right = accuracy(predict(middle, task.test), task.test.labels).accuracy
    assert at(measured, "weights", 0.5).accuracy == pytest.approx(100 * right)
    for kind in ("outputs", "softmax", "random"):
        for alpha in (0.0, 1.0):
            assert at(measured, kind, alpha).agreement == 100
    assert measured[measured.kind.isin(["softmax", "random"])].departure.isna().all()


def test_first_order_is_right_where_it_starts_only(measured):
    departures = measured[measured.kind == "first order"].departure.tolist()
    assert departures[0] < 1e-3 and departures[1] < departures[4] < departures[-1]


def test_few_passes_are_exact_at_their_nodes_and_judged_by_half_of_them(measured):
    for alpha in (0.0, 0.5, 1.0):
        row = at(measured, "3 passes", alpha)
        assert (row.agreement, row.departure) == (100, 0)
    two, outputs = (
        measured[measured.kind == kind].departure.tolist() for kind in ("2 passes", "outputs")
    )
    assert two == pytest.approx(outputs, abs=1e-3)
    assert measured[measured.kind == "2 passes"].changed.isna().all()
    assert at(measured, "3 passes", 0.5).changed == 100 - at(measured, "2 passes", 0.5).agreement


def test_the_mean_leaves_the_reference_out_and_the_worst_alpha_counts(task):
    rows = [
        (split, kind, alpha, accuracy, agreement, 1.0, changed)
        for split, shift in (("test", 0), ("two", 10))
        for kind, alpha, accuracy, agreement, changed in (
            ("weights", 0.0, 60 + shift, 100, None),
            ("weights", 0.5, 70 + shift, 100, None),
            ("3 passes", 0.0, 60 + shift, 100, 0),
            ("3 passes", 0.5, 67 + shift, 95 - shift, 8),
        )
    ]
    columns = ["split", "kind", "alpha", "accuracy", "agreement", "departure", "changed"]
    table = ch09.with_mean(pd.DataFrame(rows, columns=columns), task)
    shifts = table[table.split == "shifts"]
    assert shifts.accuracy.tolist() == [70, 80, 70, 77]
    worst = ch09.few_pass_errors(table).set_index("split")
    assert worst.loc["test", ["passes", "error", "agreement", "changed"]].tolist() == [3, 3, 95, 8]
    assert worst.loc["shifts", "agreement"] == 85


def test_the_clock_takes_the_shortest_of_each(theta_0, tuned, task, monkeypatch):
    asked, now, ticks = [], [0.0], iter([9, 2, 6, 1, 8, 4])

    def fake(*arguments, passes):
        asked.append((arguments[3], passes))
        now[0] += next(ticks)

    monkeypatch.setattr(ch09, "sweep", fake)
    monkeypatch.setattr(ch09.time, "perf_counter", lambda: now[0])
    assert ch09.clock(theta_0, tuned, task.test) == 6
    assert asked == 3 * [(ch09.GRID, None), (ch09.GRID, 5)]


def test_zero_shot_and_convnet_are_ensembled_by_outputs(theta_0, tuned, task, monkeypatch):
    monkeypatch.setattr(ch09, "trained", lambda start, few, recipe: tuned)
    scores = ch09.ensemble_with_convnet(theta_0, task, seed=1)
    alone = [
        100 * accuracy(predict(model, task.test), task.test.labels).accuracy
        for model in (theta_0, tuned)
    ]
    assert (scores["test"][0], scores["test"][2]) == pytest.approx(alone) and alone[0] < alone[1]
    assert scores["shifts"] == pytest.approx(scores["two"]) and len(scores["test"]) == 3
