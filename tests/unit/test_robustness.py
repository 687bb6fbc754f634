"""Baselines and effective robustness, against cases worked by hand."""

import math
import random

import pandas as pd
import pytest
import torch

from wiseft_lite import UserError
from wiseft_lite.analysis.baselines import nearest_neighbour, scratch_classifier
from wiseft_lite.analysis.robustness import (
    Baseline,
    baseline_interval,
    effective_robustness,
    fit_baseline,
    logit,
    mean_accuracy,
    rise_interval,
    robustness_interval,
)
from wiseft_lite.book.experiments import ch02
from wiseft_lite.book.ledger import Record
from wiseft_lite.metrics import Estimate


def test_the_baseline_finds_a_line_in_logit_space():
    reference = [0.2, 0.5, 0.7, 0.9]
    shift = [sigmoid(0.8 * logit(x) - 1.0) for x in reference]
    line = fit_baseline(reference, shift)
    assert line.slope == pytest.approx(0.8) and line.intercept == pytest.approx(-1.0)
    assert effective_robustness(0.7, shift[2] + 0.05, line) == pytest.approx(0.05)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def two_families():
    """Neighbours with slope 0.5 and networks with slope 1, three amounts of images, two seeds;
    neighbours have no seed."""
    rows = []
    for seed in (0, 1):
        for shots, x in zip(ch02.SHOTS, (-0.5, 0.0, 0.5), strict=True):
            rows.append(
                {
                    "kind": "neighbour",
                    "shots": shots,
                    "seed": seed,
                    "test": 100 * sigmoid(x),
                    "emoji": 100 * sigmoid(0.5 * x - 0.5),
                }
            )
            for kind in ch02.KINDS:
                y = x - 1 - 0.01 * seed
                rows.append(
                    {
                        "kind": kind,
                        "shots": shots,
                        "seed": seed,
                        "test": 100 * sigmoid(y + 0.2),
                        "emoji": 100 * sigmoid(y - 0.5),
                    }
                )
    return pd.DataFrame(rows).assign(shifts=lambda table: table["emoji"])


def test_each_family_has_a_line_of_its_own():
    """One line through both families has a slope that neither has, and promises something else
    where no model is."""
    table = two_families()
    assert ch02.line(table, "emoji", "neighbours").slope == pytest.approx(0.5)
    assert ch02.line(table, "emoji", "networks").slope == pytest.approx(1.0)
    assert ch02.line(table, "emoji").slope not in (pytest.approx(0.5), pytest.approx(1.0))
    assert len({round(ch02.line(table, "emoji", fit)(0.9), 3) for fit in ch02.FITS}) == 4
    assert set(ch02.members(table, "all_images")["shots"]) == {ch02.SHOTS[-1]}


def test_a_model_that_does_not_depend_on_the_seed_counts_once():
    assert len(ch02.members(two_families(), "neighbours")) == 3
    assert ch02.line(two_families(), "emoji", "neighbours").scatter.n == 3


def test_robustness_is_recorded_under_each_fit_with_the_reach_of_the_line():
    record, table = Record("a test"), two_families()
    scores = pd.Series({"test": 81.6, "emoji": 60.0, "shifts": 60.0})
    ch02.robustness_numbers(record, table, scores, {"test": 10, "emoji": 10, "shifts": 10}, [0, 1])
    for fit, key in (("all", "ch02.emoji.rho"), ("networks", "ch02.emoji.networks.rho")):
        known = 60 - 100 * ch02.line(table[table["seed"] == 0], "emoji", fit)(0.816)
        assert record.numbers[key]["values"][0] == pytest.approx(known, abs=1e-3)
    assert record.numbers["ch02.reach.neighbours"]["value"] == pytest.approx(
        100 * sigmoid(0.5), abs=1e-3
    )
    assert (
        record.numbers["ch02.reach.networks"]["value"]
        < record.numbers["ch02.reach.neighbours"]["value"]
    )


def test_the_interval_of_robustness_has_the_level_that_is_asked_for():
    line = fit_baseline([0.3, 0.5, 0.6, 0.75], [0.12, 0.25, 0.27, 0.45])
    shift = Estimate(0.7, 200, 0.65, 0.74)
    low, high = robustness_interval(0.8, shift, line, level=0.5)
    least, most = baseline_interval(0.8, line, level=0.5)
    rho = effective_robustness(0.8, 0.7, line)
    assert rho - low == pytest.approx(math.hypot(0.05, most - line(0.8)))
    assert high - rho == pytest.approx(math.hypot(0.04, line(0.8) - least))
    assert robustness_interval(0.8, shift, line)[0] < low


def test_the_rise_of_a_line_is_covered_in_nine_of_ten_experiments():
    generator, truth, covered = random.Random(1), Baseline(0.9, -1.2), 0
    for _ in range(500):
        reference = [generator.uniform(0.2, 0.7) for _ in range(7)]
        shift = [sigmoid(0.9 * logit(x) - 1.2 + generator.gauss(0, 0.1)) for x in reference]
        low, high = rise_interval(0.75, 0.85, fit_baseline(reference, shift), level=0.9)
        covered += low <= truth(0.85) - truth(0.75) <= high
    assert 0.86 <= covered / 500 <= 0.94


def test_a_model_rises_over_itself_by_nothing():
    line = fit_baseline([0.3, 0.5, 0.6], [0.12, 0.25, 0.27])
    assert rise_interval(0.7, 0.7, line) == pytest.approx((0, 0))
    low, high = rise_interval(0.7, 0.8, line)
    assert (low + high) / 2 == pytest.approx(line(0.8) - line(0.7))
    with pytest.raises(UserError, match="at least three models"):
        rise_interval(0.7, 0.8, Baseline(0.8, -1.0))


def test_a_mean_of_accuracies_is_surer_than_each_of_them():
    parts = [
        Estimate(0.4, 100, 0.3, 0.52),
        Estimate(0.6, 50, 0.4, 0.75),
        Estimate(0.8, 10, 0.5, 0.95),
    ]
    mean = mean_accuracy(parts)
    assert (mean.accuracy, mean.n) == (pytest.approx(0.6), 160)
    assert mean.accuracy - mean.low == pytest.approx(math.sqrt(0.1**2 + 0.2**2 + 0.3**2) / 3)
    assert mean.high - mean.accuracy == pytest.approx(math.sqrt(0.12**2 + 0.15**2 + 0.15**2) / 3)
    assert mean_accuracy(parts[:1]) == parts[0]


@pytest.mark.parametrize(
    "reference, shift, words",
    [
        ([0.5], [0.4], "at least two"),
        ([0.5, 0.5], [0.4, 0.3], "at least two"),
        ([0.5, 0.6], [0.4], "one pair"),
        ([0.5, 1.0], [0.4, 0.5], "strictly between"),
    ],
)
def test_a_baseline_that_cannot_be_fitted_says_why(reference, shift, words):
    with pytest.raises(UserError, match=words):
        fit_baseline(reference, shift)


def test_nearest_neighbour_takes_the_nearest_picture_of_each_class():
    train = torch.tensor([0.0, 4.0, 10.0]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    logits = nearest_neighbour(train, torch.tensor([0, 1, 0]), train + 0.5, 3)
    assert logits.argmax(1).tolist() == [0, 1, 0]
    assert logits[:, 2].tolist() == [-math.inf] * 3


def test_few_shot_is_balanced_seeded_and_leaves_the_task_alone(task):
    few, same, other = task.few_shot(2, 3), task.few_shot(2, 3), task.few_shot(2, 4)
    assert few.train.labels.bincount().tolist() == [2, 2, 2] and len(task.train) == 60
    images = [list(t.train.images) for t in (few, same, other)]
    assert all(a is b for a, b in zip(images[0], images[1], strict=True))
    assert any(a is not b for a, b in zip(images[0], images[2], strict=True))
    for image, label in (few.train[i] for i in range(6)):
        at = next(
            i for i, known in enumerate(task.train.images) if known.tobytes() == image.tobytes()
        )
        assert int(task.train.labels[at]) == label


def test_an_unknown_baseline_says_which_there_are(task):
    with pytest.raises(UserError, match="convnet, vit"):
        scratch_classifier("resnet", task, None)
