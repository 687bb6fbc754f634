"""Each picture decoded once, each feature made once, and no model in memory that need not be."""

import subprocess
import sys
from dataclasses import replace

import patience
import pytest
import torch
from conftest import make_split
from torch import nn

from wiseft_lite import (
    Recipe,
    Split,
    UserError,
    encode,
    finetune,
    interpolate,
    linear_probe,
    predict,
    sweep,
)
from wiseft_lite._runtime.cache import cache_folder
from wiseft_lite._runtime.precision import autocast_dtype
from wiseft_lite.features import run_in_batches
from wiseft_lite.losses import cross_entropy
from wiseft_lite.metrics import accuracy, calibration_error
from wiseft_lite.recipes import Compute
from wiseft_lite.sweeps import logits_along
from wiseft_lite.training import fit
from wiseft_lite.weights import interpolate_


class Counting:
    """Pictures that count how often one is decoded; with a ``name`` they know their content."""

    def __init__(self, images, name=None):
        self.images, self.decoded = images, 0
        if name:
            self.content = lambda: self.name
            self.name = name

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.decoded += 1
        return self.images[i]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def counting():
    def make(name=None):
        split = make_split("counted", 12)
        return Split("counted", Counting(split.images, name), split.labels)

    return make


@pytest.fixture(scope="module")
def probe(theta_0, task):
    return linear_probe(theta_0, task)


@pytest.mark.parametrize("name", [None, "known"])
@pytest.mark.parametrize("kinds", ["end-to-end", "probe", "both"])
def test_a_sweep_decodes_each_picture_once(theta_0, tuned, probe, counting, kinds, name):
    models = {
        "end-to-end": {"a": tuned, "b": theta_0.with_weights(tuned.state_dict())},
        "probe": {"a": probe, "b": theta_0},
        "both": {"a": tuned, "b": probe},
    }[kinds]
    split = counting(name)
    sweep(
        theta_0,
        models,
        {"counted": split},
        [0, 0.25, 0.5, 1],
        measures={
            "calibration": lambda logits, split: calibration_error(
                logits, split.labels, split.classes
            )
        },
    )
    assert split.images.decoded == len(split)


def test_several_models_and_measures_are_those_of_each_alone(theta_0, tuned, probe, task):
    ece = {
        "calibration": lambda logits, split: calibration_error(logits, split.labels, split.classes)
    }
    alphas = [0.5, 0, 0, 1]  # in any order, and twice
    both = sweep(theta_0, {"tuned": tuned, "probe": probe}, task.evaluation, alphas, measures=ece)
    assert list(both.columns) == [
        "model",
        "alpha",
        "split",
        "accuracy",
        "n",
        "low",
        "high",
        "classes",
        "calibration",
    ]
    for name, model in (("tuned", tuned), ("probe", probe)):
        own = both[both.model == name].drop(columns="model").reset_index(drop=True)
        assert own.equals(sweep(theta_0, model, task.evaluation, alphas, measures=ece))
    logits = predict(tuned, task.test)
    row = both[(both.model == "tuned") & (both.alpha == 1) & (both.split == "test")].iloc[0]
    assert row.calibration == pytest.approx(
        calibration_error(logits, task.test.labels, task.test.classes)
    )


def test_theta_0_runs_once_for_all_models(theta_0, tuned, task, monkeypatch):
    alphas, itself = [], []
    monkeypatch.setattr(
        "wiseft_lite.sweeps.interpolate_", lambda *a: alphas.append(a[3]) or interpolate_(*a)
    )
    monkeypatch.setattr(
        "wiseft_lite.sweeps.run_in_batches",
        lambda model, *a, **k: itself.append(model is theta_0) or run_in_batches(model, *a, **k),
    )
    sweep(theta_0, {"a": tuned, "b": tuned}, {"test": task.test}, [0, 0.5, 1])
    assert alphas == [0.5, 1, 0.5, 1] and itself == [True] + 4 * [False]


def test_no_models_are_refused(theta_0, task):
    with pytest.raises(UserError, match="one model"):
        sweep(theta_0, {}, task.evaluation)


def test_a_frozen_curve_needs_no_forward_pass_once_features_are_there(
    theta_0, probe, task, counting, monkeypatch
):
    alphas = [k / 1000 for k in range(-100, 1101, 50)]
    expected = [
        theta_0.with_weights(interpolate(theta_0.state_dict(), probe.state_dict(), a))
        for a in alphas
    ]
    expected = [
        accuracy(predict(m, task.test), task.test.labels, task.test.classes).accuracy
        for m in expected
    ]
    encode(theta_0, task.test)
    known = counting("known")
    encode(theta_0, known)
    monkeypatch.setattr(type(theta_0.encoder), "forward", None)
    curve = sweep(theta_0, probe, {"test": task.test, "known": known}, alphas)
    found = curve.loc[curve["split"] == "test", "accuracy"].tolist()
    assert found == pytest.approx(
        expected, abs=1.01 / len(task.test)
    )  # two roads: a near tie may fall either way
    assert known.images.decoded == len(known)


def test_mixing_in_place_is_mixing(theta_0, tuned):
    zero, one = theta_0.state_dict(), tuned.state_dict()
    for dtype in (torch.float32, torch.float16, torch.float64):
        ends = [
            {k: v.to(dtype) if v.is_floating_point() else v for k, v in end.items()}
            for end in (zero, one)
        ]
        target = {k: torch.full_like(v, 7) for k, v in ends[0].items()}
        for alpha in (0, 0.3, 1, 1.5):
            interpolate_(target, *ends, alpha)
            assert all(torch.equal(v, target[k]) for k, v in interpolate(*ends, alpha).items())


def test_mixing_in_place_never_eats_an_end():
    zero, one = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}
    for end in (zero, one):
        with pytest.raises(UserError, match="shares memory.*: w;"):
            interpolate_(end, zero, one, 0.5)
    with pytest.raises(UserError, match="different keys"):
        interpolate_({"v": torch.tensor([1.0])}, zero, one, 0.5)
    with pytest.raises(UserError, match="alpha is nan"):
        interpolate_({"w": torch.tensor([0.0])}, zero, one, float("nan"))


def test_a_line_holds_three_models_in_memory():
    from wiseft_lite.book.experiments.clocks import peak_bytes

    ends = [
        nn.Sequential(nn.Linear(400, 400), nn.Linear(400, 400)) for _ in range(2)
    ]  # weights far above activations
    model = sum(p.nbytes for p in ends[0].parameters())
    inputs = torch.randn(8, 400)
    more = peak_bytes(
        lambda: list(logits_along(*ends, inputs, [k / 20 for k in range(21)], batch_size=4))
    )
    logits = 21 * 8 * 400 * 4
    assert (
        model <= more <= model + logits + 0.05 * model
    )  # one copy beside the two ends: three models


def test_a_second_encoding_runs_nothing_and_has_the_same_bits(theta_0, counting, monkeypatch):
    split = counting("known")
    first, _ = encode(theta_0, split)
    monkeypatch.setattr(type(theta_0.encoder), "forward", None)
    second, labels = encode(theta_0, split)
    assert (
        split.images.decoded == len(split)
        and torch.equal(first, second)
        and torch.equal(labels, split.labels)
    )
    second += 1  # mapped privately: what a caller does to it is not written back
    assert torch.equal(encode(theta_0, split)[0], first)


def test_what_changes_is_noticed(theta_0, counting):
    split = counting("known")
    encode(theta_0, split)
    files = lambda: len(list(cache_folder().glob("features-*.safetensors")))  # noqa: E731
    moved = {k: v.clone() for k, v in theta_0.state_dict().items()}
    next(v for k, v in moved.items() if k.startswith("encoder")).view(-1)[0] += 1e-3
    encode(theta_0.with_weights(moved), split)
    assert files() == 2
    split.images.name = "changed"
    encode(theta_0, split)
    assert files() == 3
    bare = make_split("bare", 6)
    before, _ = encode(theta_0, bare)
    bare.images[2] = bare.images[3]
    after, _ = encode(theta_0, bare)
    assert (
        files() == 5 and not torch.equal(before[2], after[2]) and torch.equal(before[3], after[3])
    )
    other = theta_0.with_weights(theta_0.state_dict())
    other.preprocess = lambda image: theta_0.preprocess(image) / 2
    encode(other, split)
    assert files() == 6
    head = {k: v + (1 if k.startswith("head") else 0) for k, v in theta_0.state_dict().items()}
    encode(theta_0.with_weights(head), split)
    assert files() == 6  # the head plays no part


@pytest.mark.parametrize(
    "harm",
    [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"", lambda b: b[:20]],
)
def test_damaged_features_are_made_again(theta_0, counting, harm):
    split = counting("known")
    first, _ = encode(theta_0, split)
    path = next(cache_folder().glob("features-*.safetensors"))
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(harm(whole))
    assert torch.equal(encode(theta_0, split)[0], first) and path.read_bytes() == whole


def test_a_full_disk_costs_a_warning(theta_0, counting, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wiseft_lite.features.save_file", full)
    with pytest.warns(UserWarning, match="make room there, or set WISEFT_CACHE"):
        features, _ = encode(theta_0, counting("known"))
    assert len(features) == 12 and not list(cache_folder().glob("*.part"))


TWO = """
import sys, time, torch
from pathlib import Path
import wiseft_lite.features as f
from wiseft_lite import encode, load_clip, load_task, zero_shot_classifier
task = load_task("arrows")
zero = zero_shot_classifier(load_clip("iconclip"), task)
run = f._run_split
f._run_split = lambda *a: Path(sys.argv[1]).open("a").write("ran\\n") and (time.sleep(0.3), run(*a))[1]
print(encode(zero, task.val)[0].double().sum().item())
"""


@pytest.mark.slow
def test_two_processes_encode_once(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", TWO, str(log)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=patience.SECONDS)[0] for process in both]
    assert said[0] == said[1] != "" and log.read_text() == "ran\n"


def test_shipped_tasks_name_their_content_without_decoding(monkeypatch):
    from wiseft_lite import load_task

    train, val = load_task("arrows").train, load_task("arrows").val
    assert train.content() == load_task("arrows").train.content() != val.content()
    assert "sheet" not in vars(train.images)
    assert replace(train, images=list(train.images)).content() is None


def test_each_gpu_gets_the_16_bits_that_it_has_units_for(monkeypatch):
    assert autocast_dtype(torch.device("cpu")) is None
    for capability, expected in (
        ((6, 1), None),
        ((7, 0), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert autocast_dtype(torch.device("cuda")) is expected


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_training_in_16_bits_learns_and_keeps_float32_weights(theta_0, task, kind):
    seen, compute = [], Compute(precision=str(kind).removeprefix("torch."))
    watched = lambda m, x, y: seen.append(m.encoder(x).dtype) or cross_entropy(m, x, y)  # noqa: E731
    recipe = Recipe(epochs=6, lr=1e-2, batch_size=16)
    model = finetune(theta_0, task, recipe, objective=watched, compute=compute)
    assert set(seen) == {kind} and {p.dtype for p in model.parameters()} == {torch.float32}
    assert (
        accuracy(predict(model, task.test), task.test.labels).accuracy > 0.6
    )  # chance is 1/3; float16 skips steps


def test_in_float16_the_loss_is_scaled_so_that_small_gradients_are_not_lost():
    inputs, labels = torch.eye(4).repeat(8, 1), torch.arange(4).repeat(8)
    tiny = lambda model, x, y: 1e-6 * cross_entropy(model, x, y)  # noqa: E731
    ends = []
    for precision in ("float32", "float16"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        fit(
            model,
            inputs,
            labels,
            Recipe(epochs=20, lr=1e-2, batch_size=8, weight_decay=0, augment="none"),
            objective=tiny,
            compute=Compute(precision=precision),
        )
        ends.append(cross_entropy(model, inputs, labels).item())
    assert ends[1] < 0.8 and abs(ends[1] - ends[0]) < 0.1, ends
