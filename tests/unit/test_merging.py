"""The family against cases worked by hand, and the identities that tie it to the line."""

import math

import pytest
import torch
import torch.nn.functional as F

from wiseft_lite import Recipe, UserError, average, difference, finetune, interpolate, predict
from wiseft_lite.analysis.dynamic_alpha import entropy_weights, failure_weights
from wiseft_lite.analysis.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.features import pixels
from wiseft_lite.merging.arithmetic import (
    dare,
    layerwise,
    lines,
    model_stock,
    stock_ratios,
    task_arithmetic,
    ties,
)
from wiseft_lite.merging.fisher import diagonal_fisher, fisher_average
from wiseft_lite.models import freeze


def model(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=generator).to(dtype)  # noqa: E731
    return {
        "encoder.conv1": make(4, 3),
        **{f"encoder.transformer.resblocks.{i}.w": make(5) for i in range(4)},
        "encoder.proj": make(3),
        "head.weight": make(2, 3),
        "seen": torch.tensor(7),
    }


ZERO, ONE, TWO = model(0), model(1), model(2)
MERGES = {
    "layerwise": lambda zero, one: layerwise(zero, one, lambda name: 0.5),
    "lines": lambda zero, one: lines(zero, one, 0.2, 0.8),
    "task_arithmetic": lambda zero, one: task_arithmetic(zero, [one, one], [0.5, 0.25]),
    "ties": lambda zero, one: ties(zero, [one, one]),
    "dare": lambda zero, one: dare(zero, one, 0.5),
    "model_stock": lambda zero, one: model_stock(zero, [one, one]),
    "fisher_average": lambda zero, one: fisher_average([zero, one], [{}, {}]),
}


def close(a, b, **kw):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], msg=lambda text, key=key: f"{key}: {text}", **kw)


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
def test_every_merge_leaves_its_inputs_alone_keeps_types_and_refuses_strangers(merge):
    zero, one = model(0, torch.float16), model(1, torch.float16)
    merged = merge(zero, one)
    assert all(merged[k].dtype == zero[k].dtype for k in zero) and merged["seen"] == 7
    for tensor in merged.values():
        tensor.add_(1)
    close(zero, model(0, torch.float16))
    close(one, model(1, torch.float16))
    with pytest.raises(UserError, match="different keys.*bias"):
        merge(zero, {**one, "bias": torch.zeros(1)})


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.3, 1.0, 1.5])
def test_with_one_number_the_family_is_the_line(alpha):
    line = interpolate(ZERO, ONE, alpha)
    close(layerwise(ZERO, ONE, lambda name: alpha), line, rtol=0, atol=0)
    close(lines(ZERO, ONE, alpha, alpha), line)
    close(task_arithmetic(ZERO, [ONE], [alpha]), line)
    close(ties(ZERO, [ONE], density=1.0, scale=alpha), line)


def test_lines_grows_with_depth_and_stays_first_outside_the_blocks():
    merged = lines(ZERO, ONE, 0.1, 0.7)
    alphas = {"encoder.conv1": 0.1, "encoder.proj": 0.1, "head.weight": 0.7}
    alphas |= {
        f"encoder.transformer.resblocks.{i}.w": a for i, a in enumerate((0.1, 0.3, 0.5, 0.7))
    }
    close(
        merged,
        {**{k: (1 - a) * ZERO[k] + a * ONE[k] for k, a in alphas.items()}, "seen": ZERO["seen"]},
    )
    with pytest.raises(UserError, match="at least two blocks"):
        lines({"w": torch.zeros(1)}, {"w": torch.ones(1)}, 0, 1)


def test_task_vectors_add_forget_and_make_analogies():
    a, b = difference(ONE, ZERO), difference(TWO, ZERO)
    both = task_arithmetic(ZERO, [ONE, TWO], [0.4, -0.7])
    close({k: both[k] for k in a}, {k: ZERO[k] + 0.4 * a[k] - 0.7 * b[k] for k in a})
    with pytest.raises(UserError, match="2 fine-tuned models but 1 scales"):
        task_arithmetic(ZERO, [ONE, TWO], [1.0])


def test_paint_with_a_frozen_head_keeps_the_head_on_the_whole_line(theta_0, task):
    frozen = freeze(theta_0, lambda name: not name.startswith("head."))
    patched = finetune(frozen, task, Recipe(epochs=1, lr=1e-2, batch_size=32)).state_dict()
    mixed = interpolate(theta_0.state_dict(), patched, 0.3)
    torch.testing.assert_close(mixed["head.weight"], theta_0.head.weight.detach())
    assert not torch.equal(mixed["encoder.proj"], theta_0.encoder.proj)


def test_ties_by_hand_trims_over_the_whole_model_elects_and_averages_those_that_agree():
    zero = {"a": torch.tensor([10.0, 10.0, 10.0]), "b": torch.tensor([10.0, 10.0])}
    one = {
        "a": torch.tensor([18.0, 7.0, 11.0]),
        "b": torch.tensor([16.0, 14.0]),
    }  # tau 8 -3 1 | 6 4
    two = {
        "a": torch.tensor([12.0, 5.0, 10.5]),
        "b": torch.tensor([3.0, 6.0]),
    }  # tau 2 -5 0.5 | -7 -4
    # three of five entries are kept: 8 . . | 6 4 and . -5 . | -7 -4; sums 8 -5 0 | -1 0
    merged = ties(zero, [one, two], density=0.6, scale=0.5)
    close(merged, {"a": torch.tensor([14.0, 7.5, 10.0]), "b": torch.tensor([6.5, 10.0])})
    for density, thetas in ((0.0, [one]), (1.2, [one]), (0.5, [])):
        with pytest.raises(UserError, match="density"):
            ties(zero, thetas, density)


def ties_by_definition(theta_0, thetas, density, scale=1.0):
    """Entry by entry, in Python: whatever is at least as large as the k-th largest is kept."""
    taus = [
        [
            (theta[key].flatten()[i] - theta_0[key].flatten()[i]).item()
            for key in theta_0
            for i in range(theta_0[key].numel())
        ]
        for theta in thetas
    ]
    kept = []
    for tau in taus:
        k = max(1, round(density * len(tau)))
        least = sorted((abs(x) for x in tau), reverse=True)[k - 1]
        kept.append([x if abs(x) >= least else 0.0 for x in tau])
    merged = []
    for column in zip(*kept, strict=True):
        total = sum(column)
        agree = [x for x in column if x * total > 0]
        merged.append(scale * sum(agree) / len(agree) if agree else 0.0)
    parts = torch.tensor(merged).split([t.numel() for t in theta_0.values()])
    return {
        key: t + part.view(t.shape) for (key, t), part in zip(theta_0.items(), parts, strict=True)
    }


@pytest.mark.parametrize("density", [0.05, 0.2, 0.35, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_ties_keeps_every_entry_that_ties_at_the_threshold(seed, density):
    generator = torch.Generator().manual_seed(seed)
    steps = lambda *shape: torch.randint(-3, 4, shape, generator=generator) / 4  # noqa: E731  # exact, and often equal
    zero, one, two, three = ({"a": steps(5, 4), "b": steps(7)} for _ in range(4))
    merged = ties(zero, [one, two, three], density, 0.5)
    close(merged, ties_by_definition(zero, [one, two, three], density, 0.5), rtol=0, atol=1e-6)
    order = torch.randperm(
        20, generator=generator
    )  # which of equal entries come first must not decide
    turned = [{**t, "a": t["a"].flatten()[order].view(5, 4)} for t in (zero, one, two, three)]
    close(
        ties(turned[0], turned[1:], density, 0.5),
        {**merged, "a": merged["a"].flatten()[order].view(5, 4)},
        rtol=0,
        atol=0,
    )


def test_all_entries_of_one_size_are_kept_or_none():
    zero, one = {"w": torch.zeros(6)}, {"w": torch.tensor([2.0, -2.0, 2.0, 1.0, 1.0, 0.0])}
    assert ties(zero, [one], density=1 / 6)["w"].tolist() == [
        2,
        -2,
        2,
        0,
        0,
        0,
    ]  # one was asked for
    assert ties(zero, [one], density=4 / 6)["w"].tolist() == [2, -2, 2, 1, 1, 0]


def test_dare_keeps_the_mean_and_drops_the_share():
    zero, one = {"w": torch.zeros(20_000)}, {"w": torch.ones(20_000)}
    thinned = dare(zero, one, 0.9)["w"]
    assert thinned.unique().tolist() == pytest.approx([0, 10])
    assert (thinned == 0).float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert thinned.mean().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(thinned, dare(zero, one, 0.9)["w"])
    assert not torch.equal(thinned, dare(zero, one, 0.9, seed=1)["w"])
    close(dare(ZERO, ONE, 0.0), ONE)
    with pytest.raises(UserError, match="drop is 1.0"):
        dare(zero, one, 1.0)


def test_model_stock_of_equal_runs_is_the_run_and_of_unrelated_ones_the_start():
    close(model_stock(ZERO, [ONE, ONE, ONE]), ONE)
    zero = {"w": torch.ones(2)}
    right_angle = [{"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([1.0, 9.0])}]
    opposite = [{"w": torch.tensor([3.0, 1.0])}, {"w": torch.tensor([-1.0, 1.0])}]
    for runs in (right_angle, opposite, [zero, zero]):
        close(model_stock(zero, runs), zero)
    with pytest.raises(UserError, match="got 1; give two or more"):
        model_stock(ZERO, [ONE])


def test_model_stock_by_hand_for_three_runs():
    directions = [
        (1.0, 0.0, 0.0),
        (0.5, math.sqrt(0.75), 0.0),
        (0.0, 0.0, 2.0),
    ]  # cosines 1/2, 0, 0: mean 1/6
    runs = [{"w": torch.tensor(d)} for d in directions]
    zero = {"w": torch.zeros(3)}
    t = 3 / 6 / (1 + 2 / 6)
    assert stock_ratios(zero, runs)["w"] == pytest.approx(t)
    close(model_stock(zero, runs), {"w": t * torch.tensor(directions).mean(0)})


def test_a_fisher_is_the_mean_square_of_gradients_taken_one_by_one(theta_0, task):
    images = pixels(theta_0, task.test)[:5]
    theta_0.train()
    fisher = diagonal_fisher(theta_0, images, batch_size=2)
    assert theta_0.training
    theta_0.eval()
    generator, by_hand = torch.Generator().manual_seed(0), dict.fromkeys(fisher, 0.0)
    for rows in torch.arange(5).split(2):
        labels = torch.multinomial(
            theta_0(images[rows]).softmax(-1), 1, generator=generator
        ).flatten()
        for row, label in zip(rows, labels, strict=True):
            loss = F.cross_entropy(theta_0(images[row][None]), label[None])
            gradients = torch.autograd.grad(loss, list(theta_0.parameters()))
            for (name, _), g in zip(theta_0.named_parameters(), gradients, strict=True):
                by_hand[name] = by_hand[name] + g.square() / 5
    close(fisher, by_hand, rtol=1e-3, atol=1e-6)
    with pytest.raises(UserError, match="no images"):
        diagonal_fisher(theta_0, images[:0])


def test_equal_fishers_give_the_average_and_unequal_ones_the_weighted_mean():
    fisher = {k: v.abs() + 0.1 for k, v in TWO.items() if v.is_floating_point()}
    close(fisher_average([ZERO, ONE], [fisher, fisher]), average([ZERO, ONE]))
    close(fisher_average([ZERO, ONE], [fisher, fisher], [0.7, 0.3]), interpolate(ZERO, ONE, 0.3))
    close(fisher_average([ZERO, ONE], [{}, {}], [0.7, 0.3]), interpolate(ZERO, ONE, 0.3))
    nothing = {"w": torch.zeros(1)}
    a, b = {"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}
    close(fisher_average([a, b], [nothing, nothing]), {"w": torch.tensor([2.0])})
    close(
        fisher_average([a, b], [nothing, {"w": torch.ones(1)}], floor=1 / 3),
        {"w": torch.tensor([2.5])},
    )


def merged_as_in_wise_ft(alpha, theta_0, theta_1, fisher_0, fisher_1, floor=1e-8):
    """``_merge`` of wise-ft's ``wise_ft.py`` with its default of ``--fisher_floor``, entry by
    entry."""
    mixed = {}
    for key, zero in theta_0.items():
        entries = []
        for i, (a, b) in enumerate(
            zip(zero.flatten().tolist(), theta_1[key].flatten().tolist(), strict=True)
        ):
            f_0, f_1 = (
                max(f[key].flatten()[i].item() if key in f else 1.0, floor)
                for f in (fisher_0, fisher_1)
            )
            entries.append(
                ((1 - alpha) * f_0 * a + alpha * f_1 * b) / ((1 - alpha) * f_0 + alpha * f_1)
            )
        mixed[key] = torch.tensor(entries).view(zero.shape)
    return mixed


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_fisher_path_is_that_of_wise_ft_with_its_floor_and_its_ends(alpha):
    generator = torch.Generator().manual_seed(0)
    theta_0, theta_1 = (
        {k: v for k, v in model(seed).items() if v.is_floating_point()} for seed in (0, 1)
    )
    fisher_0, fisher_1 = (
        {
            k: 10 ** (-12 * torch.rand(v.shape, generator=generator))
            for k, v in theta_0.items()
            if k != "encoder.conv1"
        }
        for _ in range(2)
    )  # from 1 down to 1e-12, and one without
    ours = fisher_average([theta_0, theta_1], [fisher_0, fisher_1], [1 - alpha, alpha])
    close(ours, merged_as_in_wise_ft(alpha, theta_0, theta_1, fisher_0, fisher_1))
    if alpha in (0, 1):
        close(ours, theta_1 if alpha else theta_0, rtol=0, atol=0)
        for tensor in ours.values():
            tensor.add_(1)  # a copy
        close(theta_0, {k: model(0)[k] for k in theta_0})
    elif alpha == 0.5:  # the floor is seen
        other = merged_as_in_wise_ft(alpha, theta_0, theta_1, fisher_0, fisher_1, floor=1e-6)
        assert any(not torch.allclose(ours[k], other[k]) for k in ours)


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: fisher_average([ZERO, ONE], [{}]), "2 state dicts, 1 Fishers"),
        (lambda: fisher_average([ZERO, ONE], [{}, {}], [0.0, 0.0]), "weights"),
        (lambda: fisher_average([ZERO, ONE], [{}, {}], [1.5, -0.5]), "weights"),
        (lambda: fisher_average([ZERO, ONE], [{}, {}], [1.0, math.nan]), "weights"),
        (
            lambda: fisher_average([ZERO, ONE], [{}, {"head.weight": torch.ones(2, 3)}]),
            "head.weight has a Fisher in some",
        ),
        (lambda: fisher_average([ZERO, ONE], [{}, {}], floor=0.0), "above 0"),
        (lambda: entropy_weights(torch.zeros(1, 2), torch.zeros(2, 2)), r"\(1, 2\) and \(2, 2\)"),
        (
            lambda: failure_weights(torch.zeros(1, 2), torch.zeros(2, 2), k=3),
            "k is 3 .* 2 failures",
        ),
        (lambda: failure_weights(torch.zeros(1, 2), torch.zeros(2, 2), width=0.0), "width is 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(use, words):
    with pytest.raises(UserError, match=words):
        use()


def test_the_surer_model_counts_more(theta_0, tuned, task):
    zero, one = predict(theta_0, task.test), predict(tuned, task.test)
    weights = entropy_weights(zero, one)
    entropy = [torch.distributions.Categorical(logits=x).entropy() for x in (zero, one)]
    by_hand = (-entropy[1]).exp() / ((-entropy[0]).exp() + (-entropy[1]).exp())
    torch.testing.assert_close(weights, by_hand[:, None])
    torch.testing.assert_close(weights + entropy_weights(one, zero), torch.ones(len(zero), 1))
    for ensemble in (output_ensemble, softmax_ensemble):
        mixed = ensemble(zero, one, weights)
        alone = [
            ensemble(zero[i : i + 1], one[i : i + 1], weights[i].item())[0]
            for i in range(len(zero))
        ]
        torch.testing.assert_close(mixed, torch.stack(alone))


def test_near_a_failure_the_fine_tuned_model_counts_more():
    failures = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    images = torch.tensor([[1.0, 0.0], [0.0, -1.0]])  # distances 0, sqrt 2, 2 and sqrt 2, sqrt 2, 2
    first, third = (
        failure_weights(images, failures),
        failure_weights(images, failures, k=3, centre=2.0),
    )
    by_hand = [1 / (1 + math.exp((d - 1.5) / 0.6)) for d in (0, math.sqrt(2))]
    assert first.flatten().tolist() == pytest.approx(by_hand, rel=1e-4)
    assert third.flatten().tolist() == pytest.approx([0.5, 0.5], rel=1e-4)
    assert first[0] > 0.9 > first[1]
