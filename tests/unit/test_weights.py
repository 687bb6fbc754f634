import pytest
import torch

from wiseft_lite import UserError, average, difference, distance, interpolate
from wiseft_lite.weights import interpolate_


def thetas(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    make = lambda: {
        "a": torch.randn(4, 3).to(dtype),
        "b": torch.randn(5).to(dtype),  # noqa: E731
        "steps": torch.tensor([7]),
    }
    return make(), make()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_end_points_are_exact_and_types_are_kept(dtype):
    zero, one = thetas(dtype=dtype)
    for alpha, end in ((0, zero), (1, one), (0.0, zero), (1.0, one)):
        mixed = interpolate(zero, one, alpha)
        assert all(torch.equal(mixed[k], end[k]) and mixed[k].dtype == end[k].dtype for k in end)
    assert interpolate(zero, one, 0.3)["a"].dtype == dtype


def test_every_tensor_lies_on_the_line_also_outside_the_segment():
    zero, one = thetas()
    for alpha in (-0.5, 0.25, 0.9, 1.5):
        mixed = interpolate(zero, one, alpha)
        for key in ("a", "b"):
            torch.testing.assert_close(mixed[key], (1 - alpha) * zero[key] + alpha * one[key])


def test_half_precision_is_mixed_in_float32():
    zero, one = (
        {"w": torch.tensor([1.0], dtype=torch.float16)},
        {"w": torch.tensor([1.001], dtype=torch.float16)},
    )
    exact = (0.7 * zero["w"].float() + 0.3 * one["w"].float()).half()
    assert torch.equal(interpolate(zero, one, 0.3)["w"], exact)


def test_inputs_are_neither_changed_nor_shared():
    zero, one = thetas()
    before = {k: v.clone() for k, v in zero.items()}
    for alpha in (0, 0.5, 1):
        mixed = interpolate(zero, one, alpha)
        for tensor in mixed.values():
            tensor.add_(1)
    assert all(torch.equal(zero[k], before[k]) for k in zero)
    assert torch.equal(one["steps"], torch.tensor([7]))


def test_unequal_keys_and_shapes_are_refused_by_name():
    zero, one = thetas()
    with pytest.raises(UserError, match="different keys.*head.bias"):
        interpolate(zero, {**one, "head.bias": torch.zeros(1)}, 0.5)
    with pytest.raises(UserError, match=r"a \(4, 3\) against \(3, 4\)"):
        interpolate(zero, {**one, "a": one["a"].T}, 0.5)


def test_unequal_integer_buffers_are_refused():
    zero, one = thetas()
    one["steps"] = torch.tensor([8])
    with pytest.raises(UserError, match="integer buffers differ: steps"):
        interpolate(zero, one, 0.5)


def test_counters_of_batch_norm_may_differ():
    zero, one = (torch.nn.BatchNorm1d(2).state_dict() for _ in range(2))
    one["num_batches_tracked"] += 5
    target = {key: tensor.clone() for key, tensor in one.items()}
    for alpha, counted in ((0, 0), (0.5, 0), (1, 5)):
        mixed = interpolate(zero, one, alpha)
        interpolate_(target, zero, one, alpha)
        assert mixed["num_batches_tracked"] == target["num_batches_tracked"] == counted
    assert average([zero, one])["num_batches_tracked"] == 0


@pytest.mark.parametrize("alpha", [float("nan"), float("inf")])
def test_an_alpha_that_is_no_number_is_refused(alpha):
    with pytest.raises(UserError, match=f"alpha is {alpha}"):
        interpolate(*thetas(), alpha)


def test_average_of_two_is_the_middle_of_the_line():
    zero, one = thetas()
    middle, mean = interpolate(zero, one, 0.5), average([zero, one])
    assert all(torch.equal(middle[k], mean[k]) for k in mean)
    torch.testing.assert_close(
        average([zero, one], [3, 1])["a"], 0.75 * zero["a"] + 0.25 * one["a"]
    )
    with pytest.raises(UserError, match="2 state dicts but 1 weights"):
        average([zero, one], [1])
    with pytest.raises(UserError, match="at least one"):
        average([])


def test_distance_is_the_norm_of_the_difference():
    zero, one = thetas()
    delta = difference(one, zero)
    assert set(delta) == {"a", "b"}
    norm = torch.cat([d.flatten() for d in delta.values()]).norm().item()
    assert distance(zero, one) == pytest.approx(norm)
    assert distance(zero, interpolate(zero, one, 0.25)) == pytest.approx(norm / 4, rel=1e-5)
