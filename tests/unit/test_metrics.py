"""Measures of predictions against cases worked by hand, scikit-learn where it is there, and
simulation."""

import math
import random

import pytest
import torch

from wiseft_lite import Estimate, UserError, accuracy
from wiseft_lite.analysis.robustness import (
    Baseline,
    baseline_interval,
    effective_robustness,
    fit_baseline,
    logit,
    robustness_interval,
)
from wiseft_lite.metrics import calibration_error, clopper_pearson, macro_f1, pm_k, worst_group


def drawn(seed, n=200, classes=6):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    noise = torch.randint(classes, (n,), generator=generator)
    return torch.where(torch.rand(n, generator=generator) < 0.6, labels, noise), labels


def test_macro_f1_weighs_a_rare_class_like_a_common_one():
    labels = torch.tensor([0] * 8 + [1] * 2)
    predicted = torch.tensor([0] * 8 + [0, 1])
    # class 0: 8 hits, 1 false alarm, 0 missed: 16/17; class 1: 1 hit, 0 false alarms, 1 missed: 2/3
    assert macro_f1(predicted, labels) == pytest.approx((16 / 17 + 2 / 3) / 2)


def test_macro_f1_leaves_out_a_class_that_no_image_has():
    labels, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 5, 1, 1])
    assert macro_f1(predicted, labels) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_agrees_with_scikit_learn(seed):
    f1_score = pytest.importorskip("sklearn.metrics").f1_score
    predicted, labels = drawn(seed)
    labels = labels.clamp(max=4)  # so that one class is predicted but never true
    expected = f1_score(labels, predicted, labels=labels.unique(), average="macro", zero_division=0)
    assert macro_f1(predicted, labels) == pytest.approx(expected)


def test_the_worst_group_has_a_name_and_an_interval_of_its_own():
    """The lowest share is africa's, 2 of 6, though europe has fewer right, 1 of 1."""
    right = torch.tensor([1, 1, 1, 0] + [1, 0, 0, 1, 0, 0] + [1], dtype=torch.bool)
    labels = torch.arange(11) % 3
    predicted = torch.where(right, labels, labels + 1)
    name, worst = worst_group(predicted, labels, ["asia"] * 4 + ["africa"] * 6 + ["europe"])
    assert (name, worst.n) == ("africa", 6) and worst.accuracy == pytest.approx(2 / 6)
    assert (worst.low, worst.high) == clopper_pearson(2, 6)
    number, same = worst_group(predicted, labels, torch.tensor([0] * 4 + [7] * 6 + [2]))
    assert number == 7 and same == worst


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_group_agrees_with_scikit_learn(seed):
    accuracy_score = pytest.importorskip("sklearn.metrics").accuracy_score
    predicted, labels = drawn(seed)
    groups = torch.randint(5, (200,), generator=torch.Generator().manual_seed(seed + 10))
    scores = {g: accuracy_score(labels[groups == g], predicted[groups == g]) for g in range(5)}
    name, worst = worst_group(predicted, labels, groups)
    assert worst.accuracy == pytest.approx(min(scores.values())) and scores[name] == pytest.approx(
        worst.accuracy
    )


# Two clips of five frames. In "a" the frame 2 after the anchor is wrong, in "b" the one 1 before
# it.
OFFSETS = torch.tensor([-2, -1, 0, 1, 2] * 2)
RIGHT = torch.tensor([True, True, True, True, False, True, False, True, True, True])


@pytest.mark.parametrize("k, expected", [(0, 1.0), (1, 0.5), (2, 0.0), (10, 0.0)])
def test_pm_k_lets_the_adversary_reach_k_frames_to_both_sides(k, expected):
    result = pm_k(RIGHT, ["a"] * 5 + ["b"] * 5, OFFSETS, k)
    assert (result.accuracy, result.n) == (expected, 2)
    assert (result.low, result.high) == clopper_pearson(round(2 * expected), 2)


def test_pm_0_is_the_accuracy_of_the_anchors_and_the_order_of_frames_is_free():
    groups = torch.arange(10).repeat_interleave(5)
    offsets = torch.tensor([-2, -1, 0, 1, 2]).repeat(10)
    right = torch.rand(50, generator=torch.Generator().manual_seed(0)) < 0.7
    mixed = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert pm_k(right, groups, offsets, 0).accuracy == pytest.approx(
        right[offsets == 0].float().mean().item()
    )
    by_hand = right.view(10, 5)[:, 1:4].all(1).float().mean().item()
    assert pm_k(right[mixed], groups[mixed], offsets[mixed], 1).accuracy == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "groups, offsets, k, words",
    [
        (["a", "a"], [0, 0], 1, "'a' has 2 anchors"),
        (["a", "b"], [0, 1], 1, "'b' has 0 anchors"),
        (["a", "b"], [0, 0], -1, "cannot be negative"),
        (["a"], [0, 0], 1, "2 right, 1 groups, 2 offsets"),
    ],
)
def test_groups_of_frames_that_cannot_be_scored_say_why(groups, offsets, k, words):
    with pytest.raises(UserError, match=words):
        pm_k(torch.tensor([True, True]), groups, torch.tensor(offsets), k)


def sure(*confidences):
    """Logits of two classes whose softmax gives class 0 these probabilities."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences], dtype=torch.float64)


def test_calibration_error_is_the_weighted_gap_of_confidence_and_accuracy():
    logits = sure(0.95, 0.95, 0.95, 0.65, 0.62)  # bin 14: 2 of 3 right at 0.95; bin 9: 0 of 2 right
    labels = torch.tensor([0, 0, 1, 1, 1])
    expected = 3 / 5 * (0.95 - 2 / 3) + 2 / 5 * (0.65 + 0.62) / 2
    assert calibration_error(logits, labels) == pytest.approx(expected)


def test_a_gap_to_one_side_does_not_cancel_one_to_the_other():
    logits, labels = sure(0.9, 0.6), torch.tensor([1, 0])  # too sure by 0.9, not sure enough by 0.4
    assert calibration_error(logits, labels) == pytest.approx((0.9 + 0.4) / 2)
    assert calibration_error(logits, labels, bins=1) == pytest.approx(abs(1 - 1.5) / 2)


def test_calibration_is_of_the_classes_that_count():
    logits = torch.cat([sure(0.8), torch.tensor([[9.0]], dtype=torch.float64)], 1)
    assert calibration_error(logits, torch.tensor([0]), classes=(0, 1)) == pytest.approx(0.2)
    assert calibration_error(logits, torch.tensor([0])) > 0.9


def test_bins_are_open_to_the_left():
    logits, labels = sure(0.5, 0.55), torch.tensor([1, 0])  # with 2 bins: 0.5 belongs to the first
    assert calibration_error(logits, labels, bins=2) == pytest.approx((0.5 + 0.45) / 2)


def test_calibration_agrees_with_scikit_learn_bin_by_bin():
    calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve
    generator = torch.Generator().manual_seed(0)
    logits, labels = (
        2 * torch.randn(400, 5, generator=generator),
        torch.randint(5, (400,), generator=generator),
    )
    confidence, predicted = logits.double().softmax(-1).max(-1)
    right = (predicted == labels).double()
    accuracies, confidences = calibration_curve(right, confidence, n_bins=15)
    counts = torch.histc(confidence, 15, 0, 1)
    weights = (counts[counts > 0] / 400).numpy()
    assert calibration_error(logits, labels) == pytest.approx(
        (weights * abs(accuracies - confidences)).sum()
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy(torch.eye(3), torch.tensor([0])),
        lambda: accuracy(torch.zeros(0, 3), torch.tensor([])),
        lambda: macro_f1(torch.tensor([0, 1]), torch.tensor([0])),
        lambda: worst_group(torch.tensor([0]), torch.tensor([0]), ["a", "b"]),
        lambda: calibration_error(torch.zeros(0, 2), torch.zeros(0)),
    ],
)
def test_columns_that_do_not_fit_are_named(call):
    with pytest.raises(
        UserError, match=r"\d (logits|predicted), \d labels.*give one of each for every image"
    ):
        call()


def test_no_bins_is_an_error():
    with pytest.raises(UserError, match="0 bins"):
        calibration_error(torch.eye(2), torch.tensor([0, 1]), bins=0)


# The baseline's interval.

REFERENCE, SHIFT = [0.3, 0.5, 0.6, 0.75, 0.85], [0.12, 0.25, 0.27, 0.45, 0.5]


def test_the_promise_at_one_half_has_the_interval_of_the_intercept():
    """At logit 0 the line's value is its intercept, whose standard error scipy gives."""
    from scipy.stats import linregress, t

    line = linregress([logit(x) for x in REFERENCE], [logit(y) for y in SHIFT])
    low, high = baseline_interval(0.5, fit_baseline(REFERENCE, SHIFT), level=0.9)
    half = t.ppf(0.95, 3) * line.intercept_stderr
    assert logit(low) == pytest.approx(line.intercept - half) and logit(high) == pytest.approx(
        line.intercept + half
    )


def test_the_interval_holds_the_promise_and_widens_away_from_the_models():
    line = fit_baseline(REFERENCE, SHIFT)
    widths = []
    for reference in (0.63, 0.9, 0.97):
        low, high = baseline_interval(reference, line)
        assert 0 < low < line(reference) < high < 1
        widths.append(logit(high) - logit(low))
    assert widths == sorted(widths)


def test_models_exactly_on_a_line_leave_no_doubt():
    shift = [1 / (1 + math.exp(-(0.8 * logit(x) - 1))) for x in REFERENCE]
    low, high = baseline_interval(0.7, fit_baseline(REFERENCE, shift))
    assert high - low < 1e-6


def test_the_interval_covers_the_true_line_in_95_of_100_experiments():
    generator, truth, covered = random.Random(0), Baseline(0.9, -1.2), 0
    for _ in range(600):
        reference = [generator.uniform(0.2, 0.8) for _ in range(6)]
        shift = [
            1 / (1 + math.exp(-(0.9 * logit(x) - 1.2 + generator.gauss(0, 0.2)))) for x in reference
        ]
        low, high = baseline_interval(0.85, fit_baseline(reference, shift))
        covered += low <= truth(0.85) <= high
    assert 0.93 <= covered / 600 <= 0.97


@pytest.mark.parametrize(
    "line", [Baseline(0.8, -1.0), fit_baseline([0.5, 0.8], [0.3, 0.6])], ids=["typed", "two models"]
)
def test_a_line_without_scatter_has_no_interval(line):
    assert 0 < line(0.7) < 1
    with pytest.raises(UserError, match="at least three models"):
        baseline_interval(0.7, line)


def test_effective_robustness_adds_both_doubts_as_squares():
    line, shift = fit_baseline(REFERENCE, SHIFT), Estimate(0.7, 200, 0.63, 0.76)
    low, high = robustness_interval(0.8, shift, line)
    b, (b_low, b_high) = line(0.8), baseline_interval(0.8, line)
    rho = effective_robustness(0.8, 0.7, line)
    assert rho - low == pytest.approx(math.sqrt(0.07**2 + (b_high - b) ** 2))
    assert high - rho == pytest.approx(math.sqrt(0.06**2 + (b - b_low) ** 2))
    assert high - low < (0.76 - 0.63) + (b_high - b_low)


def test_a_sure_promise_leaves_the_doubt_of_the_shift_alone():
    shift = [1 / (1 + math.exp(-(0.8 * logit(x) - 1))) for x in REFERENCE]
    line = fit_baseline(REFERENCE, shift)
    low, high = robustness_interval(0.8, Estimate(0.7, 200, 0.63, 0.76), line)
    assert low == pytest.approx(0.63 - line(0.8), abs=1e-6) and high == pytest.approx(
        0.76 - line(0.8), abs=1e-6
    )


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_that_of_the_exact_binomial_test(level):
    from scipy.stats import binomtest

    for n in (1, 2, 30, 4094):
        for right in {0, 1, n // 3, n - 1, n}:
            exact = binomtest(right, n).proportion_ci(level, method="exact")
            assert clopper_pearson(right, n, level) == pytest.approx(
                (exact.low, exact.high), abs=1e-9
            )
