"""Ensembles of outputs, the polynomial through few passes, and sweeps made of it."""

import warnings

import numpy as np
import pytest
import torch
from scipy.interpolate import BarycentricInterpolator

from wiseft_lite import Split, UserError, interpolate, linear_probe, predict, sweep
from wiseft_lite._runtime.chebyshev import interpolated, interpolation_matrix, lobatto_nodes
from wiseft_lite.analysis.ensembles import output_ensemble, random_ensemble, softmax_ensemble
from wiseft_lite.cli.main import main
from wiseft_lite.features import pixels
from wiseft_lite.metrics import predictions
from wiseft_lite.results import read_results
from wiseft_lite.sweeps import logits_along
from wiseft_lite.weights import interpolate_

ALPHAS = [k / 20 for k in range(21)]


@pytest.fixture(scope="module")
def probe(theta_0, task):
    return linear_probe(theta_0, task)


@pytest.fixture(scope="module")
def near(theta_0, tuned):
    """A twentieth of the way: the line to the tiny tuned model is too crooked for few passes."""
    return theta_0.with_weights(interpolate(theta_0.state_dict(), tuned.state_dict(), 0.05))


@pytest.fixture(scope="module")
def ends(theta_0, tuned, task):
    return predict(theta_0, task.test), predict(tuned, task.test)


def test_with_a_frozen_encoder_weights_and_outputs_are_one(theta_0, probe, task):
    outputs = predict(theta_0, task.test), predict(probe, task.test)
    for alpha in (-0.5, 0.0, 0.3, 1.0, 1.5):
        mixed = theta_0.with_weights(interpolate(theta_0.state_dict(), probe.state_dict(), alpha))
        torch.testing.assert_close(predict(mixed, task.test), output_ensemble(*outputs, alpha))


def test_with_a_moved_encoder_they_are_not(theta_0, tuned, task, ends):
    middle = next(logits_along(theta_0, tuned, pixels(theta_0, task.test), [0.5]))
    assert (middle - output_ensemble(*ends, 0.5)).abs().max() > 0.01


def test_a_softmax_ensemble_mixes_probabilities(ends):
    for alpha in (0.0, 0.3, 1.0):
        mixed = softmax_ensemble(*ends, alpha)
        torch.testing.assert_close(mixed.sum(-1), torch.ones(len(mixed)))
        one = (1 - alpha) * ends[0].softmax(-1)[:, 1] + alpha * ends[1].softmax(-1)[:, 1]
        torch.testing.assert_close(mixed[:, 1], one)
    sure, unsure = torch.tensor([[0.0, 9.0]]), torch.tensor([[30.0, 0.0]])
    assert output_ensemble(sure, unsure, 0.5).argmax() == 0  # here the larger logits decide
    assert softmax_ensemble(sure, unsure, 0.4).argmax() == 1


def test_a_random_ensemble_asks_one_model_for_each_image():
    zero, one = torch.zeros(4000, 3), torch.ones(4000, 3)
    for alpha in (0.0, 0.3, 1.0):
        taken = random_ensemble(zero, one, alpha)
        assert (taken == taken[:, :1]).all() and taken.mean().item() == pytest.approx(
            alpha, abs=0.03
        )
    small, large = random_ensemble(zero, one, 0.3), random_ensemble(zero, one, 0.6)
    assert (small <= large).all()  # the same random numbers: images only move over
    assert torch.equal(small, random_ensemble(zero, one, 0.3, seed=0))
    assert not torch.equal(small, random_ensemble(zero, one, 0.3, seed=1))


@pytest.mark.parametrize("mix", [output_ensemble, softmax_ensemble, random_ensemble])
def test_unequal_logits_and_shares_outside_are_refused(mix):
    with pytest.raises(UserError, match=r"logits \(2, 3\) and \(1, 3\)"):
        mix(torch.zeros(2, 3), torch.zeros(1, 3), 0.5)
    if mix is not output_ensemble:
        with pytest.raises(UserError, match="alpha 1.5"):
            mix(torch.zeros(2, 3), torch.zeros(2, 3), 1.5)


def test_nodes_hold_the_ends_mirror_and_nest():
    for k in (2, 3, 4, 5, 8, 9):
        nodes = lobatto_nodes(k)
        assert nodes[0] == 0 and nodes[-1] == 1 and nodes == sorted(nodes) and len(nodes) == k
        assert nodes == pytest.approx([1 - x for x in reversed(nodes)])
    for k in (2, 3, 4, 5, 9):
        assert lobatto_nodes(2 * k - 1)[::2] == lobatto_nodes(k)
    with pytest.raises(UserError, match="too few"):
        lobatto_nodes(1)


@pytest.mark.parametrize("k", range(2, 10))
def test_a_polynomial_of_lower_degree_is_met_and_one_more_is_not(k):
    nodes, at = lobatto_nodes(k), torch.tensor(ALPHAS, dtype=torch.float64)
    matrix = interpolation_matrix(nodes, ALPHAS)
    x = torch.tensor(nodes, dtype=torch.float64)
    for degree in range(k):
        torch.testing.assert_close(matrix @ x**degree, at**degree, rtol=0, atol=1e-12)
    assert (matrix @ x**k - at**k).abs().max() > 1e-6
    torch.testing.assert_close(matrix.sum(1), torch.ones(len(at), dtype=torch.float64))


def test_the_matrix_is_scipys_on_any_nodes():
    nodes, values = [0.0, 0.2, 0.55, 1.0, 1.3], np.array([3.0, -1.0, 0.5, 2.0, 7.0])
    ours = interpolation_matrix(nodes, ALPHAS).numpy() @ values
    assert ours == pytest.approx(BarycentricInterpolator(nodes, values)(ALPHAS))
    with pytest.raises(UserError, match="nodes"):
        interpolation_matrix([0.0, 0.5, 0.5], ALPHAS)


def test_at_a_node_its_own_logits_come_back_bit_for_bit():
    nodes = lobatto_nodes(6)
    values = torch.randn(6, 7, 3, generator=torch.Generator().manual_seed(0))
    assert all(
        torch.equal(a, b) for a, b in zip(interpolated(values, nodes, nodes), values, strict=True)
    )
    with pytest.raises(UserError, match="6 values for 5 nodes"):
        next(interpolated(values, nodes[:5], nodes))


def test_two_passes_are_the_output_ensemble(ends):
    curve = interpolated(torch.stack(ends), lobatto_nodes(2), ALPHAS)
    for alpha, logits in zip(ALPHAS, curve, strict=True):
        torch.testing.assert_close(logits, output_ensemble(*ends, alpha))


def test_more_passes_come_closer_to_the_exact_logits(theta_0, near, task):
    images = pixels(theta_0, task.test)
    exact = torch.stack(list(logits_along(theta_0, near, images, ALPHAS)))
    errors = []
    for k in (2, 3, 5, 9):
        nodes = lobatto_nodes(k)
        measured = torch.stack(list(logits_along(theta_0, near, images, nodes)))
        errors.append(
            (torch.stack(list(interpolated(measured, nodes, ALPHAS))) - exact).abs().max().item()
        )
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 100


def test_a_sweep_of_nine_passes_is_the_exact_one_and_says_how_sure_it_is(theta_0, near, task):
    exact, few = (
        sweep(theta_0, near, task.evaluation, ALPHAS, passes=passes) for passes in (None, 9)
    )
    assert list(few.columns) == [*exact.columns, "changed"]
    assert (few[["alpha", "split", "n"]] == exact[["alpha", "split", "n"]]).all(axis=None)
    assert ((few.accuracy - exact.accuracy).abs() * few.n <= 1 + 1e-9).all()
    assert (
        few.loc[few.alpha.isin([0, 1]), "accuracy"]
        == exact.loc[exact.alpha.isin([0, 1]), "accuracy"]
    ).all()
    assert (
        few.changed.between(0, 1).all()
        and (few.loc[few.alpha.isin([0, 0.5, 1]), "changed"] == 0).all()
    )


@pytest.mark.filterwarnings("ignore:3 passes")
def test_changed_is_the_share_that_hangs_on_every_second_pass(theta_0, tuned, task, ends):
    few = sweep(theta_0, tuned, {"test": task.test}, [0.25], passes=3).iloc[0]
    nodes = lobatto_nodes(3)
    measured = torch.stack(list(logits_along(theta_0, tuned, pixels(theta_0, task.test), nodes)))
    fine = next(interpolated(measured, nodes, [0.25]))
    chord = output_ensemble(*ends, 0.25)
    assert few.changed == pytest.approx(
        (predictions(fine) != predictions(chord)).double().mean().item()
    )
    assert few.accuracy == pytest.approx(
        (predictions(fine) == task.test.labels).double().mean().item()
    )


def test_few_passes_take_few_passes(theta_0, near, task, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "wiseft_lite.sweeps.interpolate_", lambda *a: seen.append(a[3]) or interpolate_(*a)
    )
    sweep(theta_0, near, {"test": task.test}, ALPHAS, passes=5)
    assert seen == lobatto_nodes(5)[1:]  # at the first node the zero-shot model runs itself


def test_a_line_of_heads_is_exact_with_any_number_of_passes(theta_0, probe, task):
    exact, few = (
        sweep(theta_0, probe, task.evaluation, ALPHAS, passes=passes) for passes in (None, 3)
    )
    assert (
        (exact.accuracy - few.accuracy).abs() * exact.n <= 1.01
    ).all()  # two roads: a near tie may fall either way
    assert (few.changed * few.n <= 1.01).all()


def test_a_curve_in_doubt_warns_and_a_good_one_does_not(theta_0, tuned, near, probe, task):
    with pytest.warns(UserWarning, match=r"3 passes may be too few.*\b5\b"):
        sweep(theta_0, tuned, task.evaluation, passes=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep(theta_0, probe, task.evaluation, passes=3)
        sweep(theta_0, near, task.evaluation, passes=9)
        sweep(theta_0, tuned, task.evaluation)


@pytest.mark.parametrize("passes", [-1, 0, 1, 2, 4])
def test_passes_without_a_check_are_refused(theta_0, tuned, task, passes):
    with pytest.raises(UserError, match=f"passes is {passes}; give an odd number"):
        sweep(theta_0, tuned, task.evaluation, passes=passes)


def test_few_passes_hold_no_curve_outside_the_line(theta_0, tuned, task):
    with pytest.raises(UserError, match="alpha 1.5 lies outside 0..1"):
        sweep(theta_0, tuned, task.evaluation, [0.5, 1.5], passes=5)


def test_the_command_sweeps_with_few_passes(theta_0, tuned, task, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: task)
    monkeypatch.setattr(
        "wiseft_lite.checkpoints.load", lambda path, *_: {"a": theta_0, "b": tuned}[str(path)]
    )
    monkeypatch.setattr("wiseft_lite.interop.reported.name_of", lambda folder: "")
    out = tmp_path / "few.jsonl"
    assert main(["sweep", "a", "b", "--out", str(out), "--passes", "3"]) == 0
    assert "changed" in read_results(out)
    printed = capsys.readouterr()
    assert "\nchanged" in printed.out and "wiseft-lite: 3 passes may be too few" in printed.err
    assert main(["sweep", "a", "b", "--out", str(out), "--overwrite", "--passes", "4"]) == 2
    assert main(["sweep", "a", "b", "--out", str(out), "--overwrite"]) == 0
    assert "changed" not in read_results(out) and "\nchanged" not in capsys.readouterr().out
    assert main(["sweep", "a", "b", "--out", str(out), "--overwrite", "--passes", "adaptive"]) == 0
    assert (read_results(out)["passes"] >= 3).all() and "\npasses" in capsys.readouterr().out


def test_a_split_with_fewer_classes_is_judged_on_its_own(theta_0, near, task):
    two = Split("two", task.shifts["two"].images, task.shifts["two"].labels)
    few, exact = (
        sweep(theta_0, near, {"two": two}, [0.0, 1.0], passes=passes) for passes in (3, None)
    )
    assert few.accuracy.tolist() == exact.accuracy.tolist()
