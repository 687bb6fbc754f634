import math
from dataclasses import replace

import pytest
import torch

from wiseft_lite import UserError, accuracy, distance, interpolate, predict, sweep
from wiseft_lite.analysis.landscape import barycentric, corners, plane, shuffle_units
from wiseft_lite.book.experiments.common import percent
from wiseft_lite.tasks.scoring import MacroF1, WorstGroup
from wiseft_lite.weights import average


def three(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {"a": torch.randn(4, 3, generator=generator), "b": torch.randn(5, generator=generator)}
        for _ in range(3)
    ]


def test_corners_keep_the_distances_of_the_weights():
    thetas = three()
    places = corners(thetas)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert math.dist(places[i], places[j]) == pytest.approx(
            distance(thetas[i], thetas[j]), abs=1e-4
        )
    assert places[0] == (0, 0) and places[1][1] == 0 and places[2][1] > 0


def test_barycentric_coordinates_make_every_point():
    triangle = corners(three())
    for x, y in ((0.3, 0.7), (-1.0, 2.0), *triangle):
        part = barycentric(x, y, triangle)
        assert sum(part) == pytest.approx(1)
        for axis, wanted in enumerate((x, y)):
            assert sum(
                p * corner[axis] for p, corner in zip(part, triangle, strict=True)
            ) == pytest.approx(wanted, abs=1e-6)


def test_models_on_one_line_and_other_numbers_of_models_are_refused():
    first, second, third = three()
    for thetas in (
        [first, second, interpolate(first, second, 0.3)],
        [first, second, first],
        [first] * 3,
        [first, second, interpolate(first, second, 1.7)],
    ):
        with pytest.raises(UserError, match="lie on one line"):
            corners(thetas)
    with pytest.raises(UserError, match="2 models do not make a triangle"):
        corners([first, second])


def test_the_plane_measures_the_models_that_it_passes_through(theta_0, tuned, task):
    other = shuffle_units(tuned, 0)
    thetas = [m.state_dict() for m in (theta_0, tuned, other)]
    triangle = corners(thetas)
    for model, (x, y) in zip((theta_0, tuned, other), triangle, strict=True):
        row = plane(theta_0, thetas, {"two": task.shifts["two"]}, [x], [y]).iloc[0]
        assert (
            100 * row["accuracy"] == pytest.approx(percent(model, task.shifts["two"]))
            and row["n"] == 20
        )
    middle = plane(theta_0, thetas, task.evaluation, [triangle[1][0] / 2], [0.0, 0.1]).query(
        "y == 0.0"
    )
    half = theta_0.with_weights(interpolate(thetas[0], thetas[1], 0.5))
    for row in middle.itertuples():
        assert 100 * row.accuracy == pytest.approx(percent(half, task.evaluation[row.split]))
    assert list(middle["split"]) == ["test", "two"]


def test_the_plane_reports_what_a_split_reports_as_a_sweep_does(theta_0, tuned, task):
    groups = tuple("ab"[i % 2] for i in range(len(task.test)))
    splits = {
        "groups": replace(task.test, measure=WorstGroup(groups)),
        "f1": replace(task.test, measure=MacroF1()),
        "merged": replace(task.test, classes=(0, 1, 2), merged={2: 1}),
    }
    other = shuffle_units(tuned, 0)
    thetas = [m.state_dict() for m in (theta_0, tuned, other)]
    found = plane(theta_0, thetas, splits, [0.0, corners(thetas)[1][0]], [0.0]).set_index(
        ["x", "split"]
    )["accuracy"]
    expected = sweep(theta_0, tuned, splits, [0, 1])
    assert found.tolist() == [
        expected.query("alpha == @a and split == @s")["accuracy"].item()
        for a in (0, 1)
        for s in splits
    ]
    plain = [
        accuracy(predict(model, task.test), task.test.labels).accuracy for model in (theta_0, tuned)
    ]
    for name in splits:  # each of the three measures is seen at one of the two models
        assert found.xs(name, level="split").tolist() != pytest.approx(plain, abs=1e-4), name


def test_shuffled_units_compute_the_same_from_other_weights(tuned, task):
    other = shuffle_units(tuned, 0)
    assert torch.allclose(predict(other, task.test), predict(tuned, task.test), atol=1e-4)
    assert distance(tuned.state_dict(), other.state_dict()) > 1
    half = tuned.with_weights(average([tuned.state_dict(), other.state_dict()]))
    assert not torch.allclose(predict(half, task.test), predict(tuned, task.test), atol=1e-2)
    again, third = shuffle_units(tuned, 0).state_dict(), shuffle_units(tuned, 1).state_dict()
    assert distance(again, other.state_dict()) == 0 < distance(third, other.state_dict())


def test_an_encoder_without_blocks_cannot_be_shuffled(task):
    from wiseft_lite.analysis.baselines import scratch_classifier

    with pytest.raises(UserError, match="no MLP blocks"):
        shuffle_units(scratch_classifier("convnet", task, None), 0)
