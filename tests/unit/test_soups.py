"""Soups: one pass in the memory of two, a greedy trace that repeats, mixing weights that are learned."""

import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from wiseft_lite import UserError, average, interpolate, predict, save
from wiseft_lite._runtime.digest import digest
from wiseft_lite.interop.pools import Pool
from wiseft_lite.merging import soups
from wiseft_lite.merging.learned_soups import LEARNED, Mixture, learned_soup
from wiseft_lite.merging.soups import (
    HeldOutAccuracy,
    NoAliases,
    greedy_ensemble,
    greedy_soup,
    uniform_soup,
)
from wiseft_lite.metrics import accuracy
from wiseft_lite.tasks import Split
from wiseft_lite.tasks.scoring import WorstGroup


def model(seed, size=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(size, generator=generator).to(dtype),
        "b": torch.randn(2, 3, generator=generator).to(dtype),
        "seen": torch.tensor(7),
    }


def close(a, b):
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key])


class PeakBytes(TorchDispatchMode):
    """The most bytes that tensors made inside it held at one time."""

    def __init__(self):
        super().__init__()
        self.live, self.peak, self.known = 0, 0, weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not any(result is a for a in args):
            size = result.untyped_storage().nbytes()
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(result, self.free, size)
        return result

    def free(self, size):
        self.live -= size


def peak_in_models(use, n, size=100_000):
    with PeakBytes() as memory:
        use({"w": torch.full((size,), float(i))} for i in range(n))
    return memory.peak / (4 * size)


def test_a_soup_of_thirty_needs_the_memory_of_two():
    assert peak_in_models(uniform_soup, 2) == peak_in_models(uniform_soup, 30) <= 2.01
    assert (
        peak_in_models(lambda thetas: average(list(thetas)), 30) > 30
    )  # the measure can see the difference


class Lazy(Sequence):
    """Models of ten tensors, made whenever they are accessed, which count how often."""

    def __init__(self, values, size=20_000):
        self.values, self.size, self.read = values, size, []

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        value = self.values[index]
        self.read.append(index)
        return {str(key): torch.full((self.size,), value) for key in range(10)}

    def hashes(self):
        return [digest(value) for value in self.values]


def test_a_greedy_soup_needs_the_memory_of_its_mean_and_one_model():
    """Loading, scoring alone, trying, keeping and leaving out: at most two models and a tensor."""
    values = [5.0, 9.0, 1.0, 30.0, 12.0, 10.0] * 3
    for use in (
        lambda thetas: greedy_soup(thetas, lambda theta: -abs(theta["0"][0].item() - 10)),
        uniform_soup,
    ):
        thetas = Lazy(values)
        with PeakBytes() as memory:
            use(thetas)
        assert len(thetas.read) >= 18
        assert memory.peak / (10 * 4 * thetas.size) <= 2.11

    def stop_at_the_last(theta):
        scored.append(1)
        if len(scored) == len(values):
            raise Cut
        return 0.0

    scored, thetas = [], Lazy(values)
    with PeakBytes() as memory, suppress(Cut):
        greedy_soup(thetas, stop_at_the_last)
    assert len(scored) == 18 and memory.peak / (10 * 4 * thetas.size) <= 1.01


def test_one_pass_gives_the_average_and_leaves_the_ingredients_alone():
    thetas = [model(i) for i in range(7)]
    soup = uniform_soup(thetas)
    close(soup, average(thetas))
    bound = 8 * 2**-23 * average([{"a": theta["a"].abs()} for theta in thetas])["a"]
    assert ((soup["a"] - average(thetas)["a"]).abs() <= bound).all()
    soup["a"].add_(1), soup["seen"].add_(1)
    for i, theta in enumerate(thetas):
        close(theta, model(i))
    with pytest.raises(UserError, match="no models"):
        uniform_soup([])
    with pytest.raises(UserError, match=r"a \(5,\) against \(4,\)"):
        uniform_soup([model(0), model(1, size=4)])


def test_half_precision_is_summed_in_float32():
    thetas = [{"w": torch.full((1,), 1.0, dtype=torch.float16)} for _ in range(4000)]
    soup = uniform_soup(thetas)["w"]
    assert soup.item() == 1 and soup.dtype == torch.float16  # float16 cannot count beyond 2048


def test_a_soup_of_checkpoints_on_disk(theta_0, tuned, tmp_path):
    folders = [str(save(theta_0, tmp_path / "a")), str(save(tuned, tmp_path / "b"))]
    close(uniform_soup(Pool(folders, theta_0)), average([theta_0.state_dict(), tuned.state_dict()]))


def test_a_soup_then_interpolated_is_the_soup_of_interpolated_models():
    zero, thetas = model(9), [model(i) for i in range(4)]
    close(
        interpolate(zero, uniform_soup(thetas), 0.3),
        average([interpolate(zero, t, 0.3) for t in thetas]),
    )


def loaded_into_one_module():
    shared = nn.Linear(2, 2)
    for value in (1.0, 3.0):
        nn.init.constant_(shared.weight, value)
        yield shared


@pytest.mark.parametrize(
    "use",
    [
        uniform_soup,
        lambda thetas: uniform_soup(iter(thetas)),
        lambda thetas: greedy_soup(thetas, lambda theta: 0.0),
    ],
)
def test_models_that_share_one_memory_are_refused(use):
    aliases = [module.state_dict() for module in loaded_into_one_module()]
    assert average(aliases)["weight"].unique().item() == 3  # the trap: not 2 but the last
    with pytest.raises(UserError, match="share the memory of weight.*clone"):
        use(aliases)
    use(
        [
            {k: v.clone() for k, v in module.state_dict().items()}
            for module in loaded_into_one_module()
        ]
    )
    modules = list(loaded_into_one_module())
    with pytest.raises(UserError, match="share the memory"):
        uniform_soup(module.state_dict() for module in modules)


def test_tied_weights_inside_one_model_are_no_alias():
    tied = torch.ones(2)
    NoAliases()({"embedding": tied, "output": tied})


def toy(theta):
    """The best soup lies at 10."""
    return -abs(theta["w"].item() - 10)


def test_the_greedy_soup_by_hand():
    thetas = [{"w": torch.tensor([x])} for x in (4.0, 9.0, 30.0, 13.0, 9.0)]
    soup, trace = greedy_soup(thetas, toy)
    # alone -6 -1 -20 -3 -1: the two nines come first, the earlier before the later; then 13, 4, 30
    assert trace["model"].tolist() == [1, 4, 3, 0, 2]
    assert trace["alone"].tolist() == [-1, -1, -3, -6, -20]
    # 9; (9 + 9) / 2 = 9, no worse; 31 / 3 is nearer; 35 / 4 is not; 61 / 4 is not
    assert trace["with_it"].tolist() == pytest.approx([-1, -1, -1 / 3, -1.25, -5.25], abs=1e-5)
    assert trace["kept"].tolist() == [True, True, True, False, False]
    assert trace["soup"].tolist() == pytest.approx([-1, -1, -1 / 3, -1 / 3, -1 / 3], abs=1e-5)
    assert soup["w"].item() == pytest.approx(31 / 3)


def test_the_code_of_the_paper_breaks_ties_the_other_way():
    thetas = [{"w": torch.tensor([x])} for x in (9.0, 9.0, 4.0)]
    paper, by_paper = greedy_soup(thetas, toy)
    code, by_code = greedy_soup(thetas, toy, rule="code")
    assert by_paper["model"].tolist() == [0, 1, 2] and by_paper["kept"].tolist() == [
        True,
        True,
        False,
    ]
    assert by_code["model"].tolist() == [1, 0, 2] and by_code["kept"].tolist() == [
        True,
        False,
        False,
    ]
    for trace in (by_paper, by_code):
        assert trace["tied_alone"].tolist() == [True, True, False] and trace["tied"].tolist() == [
            False,
            True,
            False,
        ]
    with pytest.raises(UserError, match="unknown rule 'first'; choose one of: paper, code"):
        greedy_soup(thetas, toy, rule="first")


def recipe_1(values, score):
    """Recipe 1 of the paper, in Python floats: >=, and of equals the first that comes."""
    order = sorted(range(len(values)), key=lambda i: score(values[i]), reverse=True)
    kept = []
    for i in order:
        mean = lambda places: sum(values[k] for k in places) / len(places)  # noqa: E731
        if not kept or score(mean([*kept, i])) >= score(mean(kept)):
            kept.append(i)
    return kept


def main_py(values, score):
    """The loop of model-soups' main.py: sorted upwards and turned round; then strictly better, or
    not at all."""
    order = sorted(range(len(values)), key=lambda i: score(values[i]))
    order.reverse()
    kept, best = [order[0]], score(values[order[0]])
    for i in order[1:]:
        reached = score(sum(values[k] for k in [*kept, i]) / (len(kept) + 1))
        if reached > best:
            kept, best = [*kept, i], reached
    return kept


def test_both_rules_are_the_papers_text_and_its_code_where_ties_are_common():
    differ = ties = 0
    for seed in range(60):
        values = (
            torch.randint(0, 33, (7,), generator=torch.Generator().manual_seed(seed))
            .double()
            .tolist()
        )
        coarse = lambda x: -float(round(abs(x - 16) / 4 + 0.013))  # noqa: E731  # few levels, no mean between two
        kept = {}
        for rule, reference in (("paper", recipe_1), ("code", main_py)):
            _, trace = greedy_soup(
                [{"w": torch.tensor([x], dtype=torch.float64)} for x in values],
                lambda theta, coarse=coarse: coarse(theta["w"].item()),
                rule,
            )
            kept[rule] = trace["model"][trace["kept"]].tolist()
            assert kept[rule] == reference(values, coarse), (seed, rule)
            before = [None, *trace["soup"][:-1]]
            assert trace["tied"].tolist() == [
                a == b for a, b in zip(trace["with_it"], before, strict=True)
            ]
            ties += trace["tied"].sum()
        differ += set(kept["paper"]) != set(kept["code"])
    assert ties > 60 and differ > 30


def test_a_greedy_soup_is_never_worse_on_its_split_and_repeats(theta_0, tuned, task):
    score = HeldOutAccuracy(theta_0, task.val)
    zero, one = theta_0.state_dict(), tuned.state_dict()
    assert score(one) == accuracy(predict(tuned, task.val), task.val.labels).accuracy
    thetas = [interpolate(zero, one, alpha) for alpha in (0, 0.3, 0.6, 1)]
    soup, trace = greedy_soup(thetas, score)
    again, same = greedy_soup(thetas, score)
    close(soup, again)
    assert trace.equals(same) and score(soup) == trace["soup"].iloc[-1] >= max(trace["alone"])
    close(soup, average([thetas[i] for i in trace["model"][trace["kept"]]]))
    with pytest.raises(UserError, match="no models"):
        greedy_soup([], score)


def test_a_split_is_scored_by_what_it_reports(theta_0, task):
    first_only = replace(task.val, measure=WorstGroup(("a",) + (None,) * (len(task.val) - 1)))
    one = predict(theta_0, task.val)[:1].argmax(1) == task.val.labels[:1]
    assert HeldOutAccuracy(theta_0, first_only)(theta_0.state_dict()) == float(one)
    assert HeldOutAccuracy(theta_0, task.val)(theta_0.state_dict()) not in (0, 1)


def test_a_greedy_soup_of_one_model_is_a_copy_of_it():
    thetas = [{"w": torch.tensor([10.0])}, {"w": torch.tensor([99.0])}]
    soup, trace = greedy_soup(thetas, toy)
    assert trace["kept"].tolist() == [True, False]
    soup["w"].add_(1)
    assert thetas[0]["w"].item() == 10


def test_the_greedy_ensemble_is_scored_by_what_its_split_reports():
    """Class 2 counts as class 1, class 3 is not asked about, and only the worse group of images
    counts."""
    labels = torch.tensor([0, 1, 1])
    split = Split(
        "val",
        [None] * 3,
        labels,
        classes=(0, 1, 2),
        merged={2: 1},
        measure=WorstGroup(("a", "b", "b")),
    )
    merged = torch.tensor([[1.0, 0, 0, 9], [0, 0, 1, 9], [0, 0, 1, 9]])  # right on all
    worse = torch.tensor(
        [[0.0, 3, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    )  # right on two of three, but on no image of a
    members, trace = greedy_ensemble([worse, merged], split)
    assert members == [1] and trace["alone"].tolist() == [1.0, 0.0]
    equal = [merged, merged.clone()]
    assert [greedy_ensemble(equal, split, rule)[0] for rule in ("paper", "code")] == [[0, 1], [1]]


def test_the_greedy_ensemble_counts_only_the_classes_of_the_split():
    labels = torch.tensor([0, 1])
    split = Split("val", [None] * 2, labels, classes=(0, 1))
    good = torch.tensor([[1.0, 0.0, 9.0], [0.0, 1.0, 9.0]])
    bad = torch.tensor([[-9.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    members, trace = greedy_ensemble([bad, good], split)
    assert members == [1] and trace["alone"].tolist() == [1.0, 0.5]
    assert greedy_ensemble([bad, good], replace(split, classes=(0, 1, 2)))[1]["alone"].tolist() == [
        0.5,
        0.0,
    ]


def test_mixing_weights_start_equal_and_a_mixture_is_its_soup(theta_0, tuned, task):
    thetas = [theta_0.state_dict(), tuned.state_dict()]
    for per_tensor in (False, True):
        mixture = Mixture(theta_0, thetas, per_tensor)
        close({k: v.detach() for k, v in mixture.mixed().items()}, average(thetas))
        nn.init.normal_(mixture.preference, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(
            mixture.mixing_weights().sum(-1), torch.ones(len(mixture.mixing_weights()))
        )
        images = torch.stack([theta_0.preprocess(task.val[i][0]) for i in range(3)])
        with torch.no_grad():
            torch.testing.assert_close(
                mixture(images), theta_0.with_weights(mixture.mixed())(images)
            )
            nn.init.constant_(mixture.log_beta, 1.0)
            torch.testing.assert_close(
                mixture(images), torch.e * theta_0.with_weights(mixture.mixed())(images)
            )


@pytest.mark.parametrize("per_tensor", [False, True])
def test_a_learned_soup_finds_the_better_model_and_its_temperature(
    theta_0, tuned, task, per_tensor
):
    good = tuned.state_dict()
    spoiled = {k: -0.5 * v if k.startswith("head.") else v.clone() for k, v in good.items()}
    thetas, recipe = [spoiled, good], replace(LEARNED, epochs=30)
    mixture = learned_soup(theta_0, thetas, task.train, recipe, per_tensor=per_tensor)
    assert (
        mixture.mixing_weights()[mixture.names.index("head.weight") if per_tensor else 0, 1] > 0.6
    )
    assert len(mixture.mixing_weights()) == (len(good) if per_tensor else 1)
    assert mixture.log_beta.item() != 0
    loss = lambda m: nn.functional.cross_entropy(m(images), task.train.labels).item()  # noqa: E731
    images = torch.stack([theta_0.preprocess(image) for image in task.train.images])
    with torch.no_grad():
        assert loss(mixture) < loss(Mixture(theta_0, thetas, per_tensor))
    with pytest.raises(UserError, match="share the memory"):
        learned_soup(theta_0, [good, good], task.val)


# Progress


def near_ten(theta):
    return -abs(theta["0"][0].item() - 10)


class Cut(Exception):
    """Represents a soup that is interrupted."""


class Counted:
    """A score that counts its calls and is interrupted at one of them."""

    def __init__(self, stop=0):
        self.calls, self.stop = 0, stop

    def __call__(self, theta):
        self.calls += 1
        if self.calls == self.stop:
            raise Cut
        return near_ten(theta)

    def content(self):
        return "near ten"


POOL = [5.3, 9.1, 1.7, 30.9, 12.2, 10.4, 9.1]


@pytest.fixture(scope="module")
def whole():
    score = Counted()
    soup, trace = greedy_soup(Lazy(POOL, 3), score)
    assert score.calls == 2 * len(POOL) - 1 and 1 < trace["kept"].sum() < len(POOL)
    return soup, trace


def same_bits(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("stop", range(1, 2 * len(POOL)))
def test_a_greedy_soup_cut_at_any_score_goes_on_there_and_ends_with_the_same_bits(
    whole, stop, tmp_path, capsys
):
    with pytest.raises(Cut):
        greedy_soup(Lazy(POOL, 3), Counted(stop), folder=tmp_path)
    thetas, score = Lazy(POOL, 3), Counted()
    soup, trace = greedy_soup(thetas, score, folder=tmp_path)
    same_bits(soup, whole[0])
    pd.testing.assert_frame_equal(trace, whole[1])
    assert score.calls == 2 * len(POOL) - stop  # nothing is scored twice
    tried = [*range(len(POOL)), *whole[1]["model"]]  # the best one's weights are saved when read
    assert thetas.read == (tried[stop - 1 :] if stop <= len(POOL) else tried[stop:])
    known = f"resumes with {stop - 1} scores"
    assert (known in capsys.readouterr().out) == (stop > 1)


def uniform_cut(folder, stop, **how):
    """Interrupt a soup of half-precision models before its ``stop``-th is added."""

    def check(i, theta):
        checked.append(i)
        if len(checked) == stop:
            raise Cut

    checked: list[int] = []
    thetas = HalfPrecision(POOL, 3)
    try:
        return uniform_soup(thetas, folder=folder, check=check, **how), thetas.read
    except Cut:
        return None, thetas.read
    finally:
        assert checked == thetas.read  # only what is read is checked


class HalfPrecision(Lazy):
    def __getitem__(self, index):
        half = {key: tensor.half() for key, tensor in super().__getitem__(index).items()}
        return half | {"seen": torch.tensor(7)}


@pytest.mark.parametrize("stop", range(1, len(POOL) + 1))
def test_a_uniform_soup_cut_at_any_model_goes_on_there_and_ends_with_the_same_bits(stop, tmp_path):
    whole, _ = uniform_cut(None, 0)
    assert whole["0"].dtype == torch.float16
    assert uniform_cut(tmp_path, stop)[0] is None
    soup, read = uniform_cut(tmp_path, 0)
    same_bits(soup, whole)
    assert read == list(range(stop - 1, len(POOL)))
    soup, read = uniform_cut(tmp_path, 0)  # ended, but killed before its result was used
    same_bits(soup, whole)
    assert read == []


def test_progress_of_other_data_is_not_used_but_models_may_join_and_leave(tmp_path, capsys):
    greedy_soup(Lazy(POOL, 3), Counted(), folder=tmp_path)
    other = Counted()
    other.content = lambda: "other images"
    greedy_soup(Lazy(POOL, 3), other, folder=tmp_path)
    assert other.calls == 2 * len(POOL) - 1
    assert "holds progress of other soups" in capsys.readouterr().out
    fewer, score = Lazy(POOL[2:], 3), Counted()
    soup, trace = greedy_soup(fewer, score, folder=tmp_path)
    assert score.calls <= len(POOL) - 3  # no model alone
    expected = greedy_soup(Lazy(POOL[2:], 3), near_ten)
    same_bits(soup, expected[0])
    pd.testing.assert_frame_equal(trace, expected[1])
    more, score = Lazy([10.1, *POOL], 3), Counted()
    soup, trace = greedy_soup(more, score, folder=tmp_path)
    assert more.read[0] == 0 and 1 not in more.read[1:2]
    expected = greedy_soup(Lazy([10.1, *POOL], 3), near_ten)
    same_bits(soup, expected[0])
    pd.testing.assert_frame_equal(trace, expected[1])
    score = Counted()
    greedy_soup(Lazy(POOL, 3), score, folder=tmp_path, resume=False)
    assert score.calls == 2 * len(POOL) - 1


def test_progress_of_other_code_is_not_used(tmp_path, monkeypatch):
    greedy_soup(Lazy(POOL, 3), near_ten, folder=tmp_path)
    calls = []

    def near_ten_again(theta):
        calls.append(1)
        return near_ten(theta)

    greedy_soup(Lazy(POOL, 3), near_ten_again, folder=tmp_path)
    assert len(calls) == 2 * len(POOL) - 1
    monkeypatch.setattr(soups, "average", lambda *_: average(*_))
    thetas = Lazy(POOL, 3)
    greedy_soup(thetas, near_ten, folder=tmp_path)
    assert len(thetas.read) == 2 * len(POOL)


@pytest.mark.parametrize("harm", ["shortened", "a bit", "gone"])
@pytest.mark.parametrize("what", ["scores", "weights"])
def test_damaged_progress_is_reported_and_made_again(whole, what, harm, tmp_path):
    with pytest.raises(Cut):
        greedy_soup(Lazy(POOL, 3), Counted(11), folder=tmp_path)
    (path,) = tmp_path.glob("*.json" if what == "scores" else "*.safetensors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes({"shortened": path.read_bytes()[:-40], "a bit": data, "gone": b""}[harm])
    if harm == "gone":
        path.unlink()
    thetas, score = Lazy(POOL, 3), Counted()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        soup, trace = greedy_soup(thetas, score, folder=tmp_path)
    assert len(caught) == (0 if (what, harm) == ("scores", "gone") else 1)
    assert all(f"{path} was damaged" in str(warning.message) for warning in caught)
    same_bits(soup, whole[0])
    pd.testing.assert_frame_equal(trace, whole[1])
    assert score.calls == 2 * len(POOL) - (1 if what == "scores" else 11)


def test_a_model_that_changes_between_its_readings_is_refused(tmp_path):
    with pytest.raises(Cut):
        greedy_soup(Lazy(POOL, 3), Counted(11), folder=tmp_path)
    changed = Lazy(POOL, 3)
    changed.values, changed.hashes = [value + 1 for value in POOL], Lazy(POOL).hashes
    with pytest.raises(UserError, match="other weights than when it was scored.*no-resume"):
        greedy_soup(changed, Counted(), folder=tmp_path)


def test_where_nothing_can_be_written_the_soup_goes_on_with_a_warning(whole, tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="progress could not be written"):
        soup, _ = greedy_soup(Lazy(POOL, 3), Counted(), folder=tmp_path / "file")
    same_bits(soup, whole[0])


def test_an_iterator_cannot_be_resumed(tmp_path):
    with pytest.raises(UserError, match="cannot be resumed"):
        uniform_soup(iter([model(0)]), folder=tmp_path)


def test_models_in_memory_have_progress_too(tmp_path, theta_0, tuned, task):
    """By their content, and that of the score: the images, the labels and the measure."""
    zero, one = theta_0.state_dict(), tuned.state_dict()
    thetas = [interpolate(zero, one, alpha) for alpha in (0, 0.5, 1)]
    soup, trace = greedy_soup(thetas, HeldOutAccuracy(theta_0, task.val), folder=tmp_path)
    score = HeldOutAccuracy(tuned, task.val)
    score.model.load_state_dict = None  # it is not called
    again, same = greedy_soup([dict(theta) for theta in thetas], score, folder=tmp_path)
    same_bits(soup, again)
    pd.testing.assert_frame_equal(trace, same)
    contents = {
        HeldOutAccuracy(theta_0, split, size).content()
        for split, size in (
            (task.val, 256),
            (task.val, 5),
            (replace(task.val, labels=task.val.labels.flip(0)), 256),
            (replace(task.val, classes=(0, 1)), 256),
            (replace(task.val, merged={1: 0}), 256),
            (replace(task.val, images=task.val.images[::-1]), 256),
            (replace(task.val, measure=WorstGroup(("a",) * len(task.val))), 256),
        )
    }
    assert len(contents) == 7
