"""L-BFGS reaches the minimum of the probe's loss, and stops where there is none."""

import copy
import warnings

import pytest
import torch
from safetensors.torch import save_file

from wiseft_lite import UserError, encode, linear_probe, probes
from wiseft_lite.losses import cross_entropy, distillation, l1, l2_to, smoothed
from wiseft_lite.models import Head
from wiseft_lite.probes import fit_lbfgs


def mixed(n=300, d=6, classes=4, scale=1.0, seed=0):
    """Features, labels that no head can predict without error, and a random head."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator)
    weight = torch.randn(classes, d, generator=generator)
    noise = torch.rand(n, classes, generator=generator).log().neg().log().neg()
    return scale * features, (features @ weight.T + noise).argmax(1), Head(0.5 * weight.flip(0))


def weights(head, value=None):
    """Copies of the parameters by name, or ``value`` in their place."""
    return {
        name: p.detach().clone() if value is None else torch.full_like(p, value)
        for name, p in head.named_parameters()
    }


def slope(head, features, labels, objective):
    """The largest entry of the gradient, and the loss, in float64."""
    head = copy.deepcopy(head).double()
    loss = objective(head, features.double(), labels)
    gradient = torch.autograd.grad(loss, [p for p in head.parameters() if p.requires_grad])
    return max(g.abs().max().item() for g in gradient), loss.item()


OBJECTIVES = {
    "cross-entropy": lambda head: cross_entropy,
    "label smoothing": lambda head: smoothed(0.1),
    "L2": lambda head: l2_to(weights(head, 0.0), 1e-3),
    "L2 to the start": lambda head: l2_to(weights(head), 1e-2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_ends_at_a_minimum(name):
    features, labels, start = mixed()
    objective = OBJECTIVES[name](start)
    before = slope(start, features, labels, objective)
    head = fit_lbfgs(copy.deepcopy(start), features, labels, objective=objective, tolerance=1e-6)
    gradient, loss = slope(head, features, labels, objective)
    # The weights are rounded to float32, which moves the gradient by about 1e-7.
    assert gradient < 2e-6 and loss < before[1] - 0.01


def test_a_teacher_alone_is_reached():
    """Distillation with all the weight on the teacher is lowest at the teacher's predictions."""
    features, labels, teacher = mixed()
    start = Head(torch.zeros_like(teacher.weight))
    head = fit_lbfgs(start, features, labels, objective=distillation(teacher, 1.0), tolerance=1e-7)
    torch.testing.assert_close(
        head(features).softmax(-1), teacher(features).softmax(-1), atol=1e-4, rtol=0
    )


def test_with_a_penalty_the_start_does_not_matter():
    features, labels, start = mixed()
    objective = l2_to(weights(start, 0.0), 1e-2)
    ends = [
        fit_lbfgs(head, features, labels, objective=objective, tolerance=1e-7)
        for head in (start, Head(torch.zeros_like(start.weight)))
    ]
    torch.testing.assert_close(ends[0].weight, ends[1].weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("strength", [1e-4, 1e-2])
def test_the_loss_is_scikit_learns(strength, dtype):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels, start = mixed(d=40)
    start.bias.requires_grad_(False)  # scikit-learn does not penalise it
    objective = l2_to(weights(start, 0.0), strength)
    solver = linear_model.LogisticRegression(
        C=1 / (2 * strength * len(labels)), fit_intercept=False, tol=1e-8, max_iter=5000
    )
    solver.fit(features.to(dtype).numpy(), labels.numpy())
    theirs = Head(torch.from_numpy(solver.coef_)).double()
    theirs.bias.requires_grad_(False)
    ours = fit_lbfgs(start, features, labels, objective=objective, tolerance=1e-8)
    losses = [slope(head, features, labels, objective)[1] for head in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_features_of_any_length_reach_the_minimum(scale):
    """float32 alone stops early: beside such features it cannot resolve the loss."""
    features, labels, start = mixed(scale=scale)
    head = fit_lbfgs(start, features, labels, tolerance=1e-7)
    exact = fit_lbfgs(Head(start.weight.double() * scale), features.double() / scale, labels)
    losses = [
        slope(head, features, labels, cross_entropy)[1],
        slope(exact, features / scale, labels, cross_entropy)[1],
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("objective", [cross_entropy, "L2"])
def test_chunks_add_up_to_the_whole(objective, monkeypatch):
    features, labels, start = mixed()
    if objective == "L2":
        objective = l2_to(weights(start, 0.0), 1e-2)
    whole = fit_lbfgs(copy.deepcopy(start), features, labels, objective=objective, tolerance=1e-7)
    monkeypatch.setattr(probes, "CHUNK", 64)  # the last of five chunks is smaller
    parts = fit_lbfgs(copy.deepcopy(start), features, labels, objective=objective, tolerance=1e-7)
    torch.testing.assert_close(parts.weight, whole.weight, atol=1e-4, rtol=0)


def test_separable_classes_are_learned_and_it_stops():
    features, labels = torch.eye(12), torch.arange(12) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = fit_lbfgs(Head(torch.zeros(3, 12)), features, labels)
    assert (head(features).argmax(1) == labels).all()
    assert 0 < cross_entropy(head, features, labels) < 1e-3
    assert head.weight.abs().max() < 1e3


def test_a_class_without_images_keeps_a_finite_row():
    features, labels, start = mixed()
    head = Head(torch.cat([start.weight.detach(), torch.zeros(1, 6)]))
    fit_lbfgs(head, features, labels)
    assert all(p.isfinite().all() for p in head.parameters())
    assert (head(features).argmax(1) < 4).all()


def test_it_trains_in_place_and_leaves_frozen_parameters():
    features, labels, head = mixed()
    head.train()
    head.bias.requires_grad_(False)
    before = head.weight.detach().clone()
    assert fit_lbfgs(head, features, labels) is head
    assert not head.training and (head.bias == 0).all() and not torch.equal(head.weight, before)
    assert head.weight.grad is None and head.weight.dtype == torch.float32


def test_the_trained_head_can_be_saved(tmp_path):
    """safetensors refuses tensors that share memory, such as slices of one vector."""
    features, labels, head = mixed()
    save_file(fit_lbfgs(head, features, labels).state_dict(), tmp_path / "head.safetensors")


def test_too_few_iterations_are_reported():
    features, labels, head = mixed()
    with pytest.warns(UserWarning, match="max_iter"):
        fit_lbfgs(head, features, labels, max_iter=2)


def test_a_tolerance_below_rounding_error_still_ends():
    features, labels, head = mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_lbfgs(head, features, labels, tolerance=1e-30)
    assert slope(head, features, labels, cross_entropy)[0] < 1e-6


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x, y, l1(1e-3)),
        lambda x, y: (x[:, :3], y, cross_entropy),
        lambda x, y: (x, y[:-1], cross_entropy),
        lambda x, y: (x[:0], y[:0], cross_entropy),
        lambda x, y: (x, y + 1, cross_entropy),
        lambda x, y: (x, y - 1, cross_entropy),
        lambda x, y: (x / 0, y, cross_entropy),
    ],
    ids=["L1", "features", "labels", "empty", "too high", "negative", "not finite"],
)
def test_what_cannot_be_fitted_is_refused(change):
    features, labels, head = mixed()
    before = head.weight.detach().clone()
    features, labels, objective = change(features, labels)
    with pytest.raises(UserError):
        fit_lbfgs(head, features, labels, objective=objective)
    assert torch.equal(head.weight, before)


def test_a_probe_by_lbfgs_moves_the_head_alone_to_the_minimum(theta_0, task):
    start = {name: p.detach().clone() for name, p in theta_0.head.named_parameters()}
    objective = l2_to(start, 1e-3)
    probe = linear_probe(theta_0, task, solver="lbfgs", objective=objective)
    features, labels = encode(theta_0, task.train)
    probe.head.zero_grad()
    objective(probe.head, features, labels).backward()
    assert max(p.grad.abs().max() for p in probe.head.parameters()) < 1e-3
    assert all(map(torch.equal, probe.encoder.parameters(), theta_0.encoder.parameters()))
    with pytest.raises(UserError, match="'newton'"):
        linear_probe(theta_0, task, solver="newton")
