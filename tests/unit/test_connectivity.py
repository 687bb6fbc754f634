import warnings

import pandas as pd
import pytest

from wiseft_lite import UserError, interpolate, midpoint_barrier, relative_distance
from wiseft_lite.analysis.connectivity import barrier, chord, observation_1, observation_2

# Along a path: 'high' lies above the straight line everywhere, 'low' falls through it at 0.75 most.
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
CURVES = {
    "high": (0.6, 0.75, 0.82, 0.84, 0.8),
    "low": (0.5, 0.55, 0.5, 0.4, 0.7),
    "flat": (0.3, 0.4, 0.5, 0.6, 0.7),
}


@pytest.fixture
def path():
    rows = [
        (alpha, split, accuracy)
        for split, curve in CURVES.items()
        for alpha, accuracy in zip(ALPHAS, curve, strict=True)
    ]
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy"])


def test_the_barrier_is_the_largest_shortfall_below_the_straight_line(path):
    found = barrier(path)
    assert list(found.index) == ["high", "low", "flat"]  # the order of the sweep
    # between 50 and 70 % at alpha = 0.75 the line is at 65 %, the curve at 40 %
    assert found["low"] == pytest.approx(0.25)
    assert found["high"] == 0
    assert found["flat"] == pytest.approx(0, abs=1e-9)


def test_observation_1_names_the_smallest_slack_and_where(path):
    found = observation_1(path)
    assert found["holds"].tolist() == [True, False, True]  # on the line is not below it
    assert (
        found.loc["high", "slack"] == pytest.approx(0.84 - 0.75)
        and found.loc["high", "alpha"] == 0.75
    )
    assert found.loc["low", "slack"] == pytest.approx(-0.25) and found.loc["low", "alpha"] == 0.75


def test_observation_2_names_the_best_mixture_and_its_lead_over_the_better_end(path):
    found = observation_2(path)
    assert found["holds"].tolist() == [True, False, False]
    assert found.loc["high", "margin"] == pytest.approx(0.04) and found.loc["high", "alpha"] == 0.75
    assert found.loc["low", "margin"] == pytest.approx(-0.15) and found.loc["low", "alpha"] == 0.25


def test_the_chord_joins_the_two_ends(path):
    line = chord(path)
    assert list(line.columns) == ["high", "low", "flat"] and tuple(line.index) == ALPHAS
    assert line["low"].tolist() == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7])


def test_a_path_in_any_order_and_beyond_its_ends(path):
    shuffled = path.sample(frac=1, random_state=0)
    beyond = pd.concat([shuffled, pd.DataFrame([(1.5, "low", 0.0)], columns=path.columns)])
    for check in (observation_1, observation_2):
        assert check(beyond).sort_index().equals(check(path).sort_index())


def test_a_path_without_its_ends_or_its_inside_is_refused(path):
    patchy = path[(path["split"] != "low") | (path["alpha"] > 0)]
    for rows in (path[path["alpha"] > 0], path[path["alpha"].isin([0, 1])], patchy):
        with pytest.raises(UserError, match="at alpha 0, at alpha 1 and at the same alphas"):
            barrier(rows)


def mirrored(model):
    """The same answers from other weights: features and head change their sign together, as in
    another training."""
    theta = model.state_dict()
    return model.with_weights(
        {**theta, "encoder.proj": -theta["encoder.proj"], "head.weight": -theta["head.weight"]}
    )


def test_models_on_one_line_are_connected_and_others_warn_with_the_figure(theta_0, tuned, task):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert midpoint_barrier(theta_0, tuned, task.test) < 0.05
    other = mirrored(tuned)
    with pytest.warns(
        UserWarning,
        match=r"not connected: on 30 images of 'test' .* (\d+) % and \1 %, .* points below",
    ):
        height = midpoint_barrier(tuned, other, task.test)
    assert height > 0.3
    with pytest.warns(UserWarning, match="on 15 images"):
        assert (
            midpoint_barrier(tuned, other, task.test, max_images=15)
            == midpoint_barrier(tuned, other, task.test, max_images=15)
            > 0.26
        )


def test_the_distance_between_models_is_a_share_of_their_length(theta_0, tuned):
    theta, end = theta_0.state_dict(), tuned.state_dict()
    assert relative_distance(theta, theta) == 0
    assert relative_distance(theta, {k: 2 * v for k, v in theta.items()}) == pytest.approx(1)
    half = relative_distance(theta, interpolate(theta, end, 0.5))
    assert 0 < half == pytest.approx(relative_distance(theta, end) / 2, rel=1e-4)
