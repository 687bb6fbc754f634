"""Baselines and effective robustness, against cases worked by hand."""

import math

import pytest
import torch

from wiseft_lite import UserError
from wiseft_lite.baselines import nearest_neighbour, scratch_classifier
from wiseft_lite.robustness import effective_robustness, fit_baseline, logit


def test_the_baseline_finds_a_line_in_logit_space():
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    reference = [0.2, 0.5, 0.7, 0.9]
    shift = [sigmoid(0.8 * logit(x) - 1.0) for x in reference]
    line = fit_baseline(reference, shift)
    assert line.slope == pytest.approx(0.8) and line.intercept == pytest.approx(-1.0)
    assert effective_robustness(0.7, shift[2] + 0.05, line) == pytest.approx(0.05)


@pytest.mark.parametrize("reference, shift, words", [
    ([0.5], [0.4], "at least two"), ([0.5, 0.5], [0.4, 0.3], "at least two"),
    ([0.5, 0.6], [0.4], "one pair"), ([0.5, 1.0], [0.4, 0.5], "strictly between")])
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
    pictures = [list(t.train.images) for t in (few, same, other)]
    assert all(a is b for a, b in zip(pictures[0], pictures[1]))
    assert any(a is not b for a, b in zip(pictures[0], pictures[2]))
    for image, label in (few.train[i] for i in range(6)):
        at = next(i for i, known in enumerate(task.train.images) if known is image)
        assert int(task.train.labels[at]) == label


def test_an_unknown_baseline_says_which_there_are(task):
    with pytest.raises(UserError, match="convnet, vit"):
        scratch_classifier("resnet", task, None)
