"""A run that is cut short ends with the same bits."""

import pytest
import torch
from torch import nn

from wiseft_lite import Recipe, UserError, finetune, linear_probe
from wiseft_lite._runtime.digest import digest
from wiseft_lite.callbacks import Callback, Checkpoints
from wiseft_lite.losses import cross_entropy, smoothed
from wiseft_lite.merging.moving_averages import MovingAverages
from wiseft_lite.training import Compute, fit

RECIPE = Recipe(epochs=4, lr=1e-2, batch_size=8)
STEPS = 20


@pytest.fixture(autouse=True)
def a_state_before_every_step(monkeypatch):
    monkeypatch.setattr("wiseft_lite.callbacks.SAVE_INTERVAL", 0)


def noisy(model, inputs, labels):
    return cross_entropy(model, inputs + 0.1 * torch.randn_like(inputs), labels)


def doubled(model, inputs, labels):
    return cross_entropy(model, 2 * inputs, labels)


def run(
    folder=None,
    stop=None,
    recipe=RECIPE,
    resume=True,
    averages=None,
    shift=0.0,
    labels=None,
    objective=noisy,
    **how,
):
    """Train a small network with dropout, batch norm, noisy inputs and averages up to the
    ``stop``-th step.

    Returns all its bits as one digest, and the number of steps taken here.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(37, 6, generator=generator) + shift
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )
    averages = averages or MovingAverages([0.5, 0.9])
    step, calls = torch.optim.AdamW.step, []

    def counted(optimizer):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return step(optimizer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", counted)
        fit(
            model,
            inputs,
            torch.arange(37) % 3 if labels is None else labels,
            recipe,
            objective=objective,
            callbacks=[*([] if folder is None else [Checkpoints(folder, resume)]), averages],
            **how,
        )
    return digest(model.state_dict(), averages.state_dict()), len(calls)


def cut(folder, n, **how):
    with pytest.raises(KeyboardInterrupt):
        run(folder, stop=n, **how)


@pytest.fixture(scope="module")
def whole():
    return run()[0]


@pytest.mark.parametrize("n", range(1, STEPS + 1))
def test_cut_at_any_step_it_ends_with_the_same_bits(tmp_path, whole, n, capsys):
    cut(tmp_path, n)
    bits, calls = run(tmp_path)
    assert bits == whole and calls == STEPS + 1 - n
    assert f"resumes after step {n - 1}, from {tmp_path}" in capsys.readouterr().out


def test_cut_again_and_again(tmp_path, whole):
    for n in (3, 1, 6, 5, 2):
        cut(tmp_path, n)
    assert run(tmp_path) == (whole, STEPS - sum(n - 1 for n in (3, 1, 6, 5, 2)))


def test_a_folder_changes_nothing_and_the_two_newest_states_stay(tmp_path, whole):
    assert run(tmp_path / "states")[0] == whole
    assert [p.name.split("-")[1] for p in sorted((tmp_path / "states").iterdir())] == [
        "000000018",
        "000000019",
    ]


@pytest.mark.parametrize("damaged", [1, 2])
@pytest.mark.parametrize("harm", ["shortened", "a bit", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before_or_to_the_start(
    tmp_path, whole, harm, damaged
):
    cut(tmp_path, 12)
    for path in sorted(tmp_path.iterdir(), reverse=True)[:damaged]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes({"shortened": path.read_bytes()[:-40], "a bit": data, "empty": b""}[harm])
    with pytest.warns(UserWarning, match="was damaged"):
        bits, calls = run(tmp_path)
    assert bits == whole and calls == (STEPS - 10 if damaged == 1 else STEPS)


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": Recipe(epochs=4, lr=2e-2, batch_size=8)},
        {"recipe": Recipe(epochs=5, lr=1e-2, batch_size=8)},
        {"recipe": Recipe(epochs=4, lr=1e-2, batch_size=8, seed=1)},
        {"shift": 0.5},
        {"labels": (torch.arange(37) + 1) % 3},
        {"objective": doubled},
    ],
)
def test_another_run_in_the_same_folder_begins_anew_and_both_end_well(
    tmp_path, whole, other, capsys
):
    expected = run(**other)[0]
    assert expected != whole
    cut(tmp_path, 12)
    cut(tmp_path, 5, **other)
    assert "holds states of other runs" in capsys.readouterr().out
    assert run(tmp_path, **other) == (expected, STEPS * other.get("recipe", RECIPE).epochs // 4 - 4)
    assert run(tmp_path) == (whole, STEPS - 11)


def test_resume_false_begins_anew(tmp_path, whole, capsys):
    cut(tmp_path, 12)
    assert run(tmp_path, resume=False) == (whole, STEPS)
    assert "goes on" not in capsys.readouterr().out


def test_a_full_disk_stops_no_training_and_costs_no_state(tmp_path, whole, monkeypatch):
    cut(tmp_path, 12)
    kept = {p: p.read_bytes() for p in tmp_path.iterdir()}

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with (
        monkeypatch.context() as disk,
        pytest.warns(UserWarning, match="No space left"),
    ):
        disk.setattr("safetensors.torch.save_file", full)
        assert run(tmp_path)[0] == whole
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == kept
    assert run(tmp_path) == (whole, STEPS - 11)


def test_a_state_that_reads_back_otherwise_replaces_nothing(tmp_path, whole, monkeypatch):
    from safetensors.torch import save_file

    cut(tmp_path, 12)
    kept = sorted(p.name for p in tmp_path.iterdir())

    def lossy(tensors, path, metadata):
        save_file({k: v.flatten() * 0 for k, v in tensors.items()}, path, metadata)

    with monkeypatch.context() as disk, pytest.warns(UserWarning, match="read back differs"):
        disk.setattr("safetensors.torch.save_file", lossy)
        cut(tmp_path, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == kept
    assert run(tmp_path) == (whole, STEPS - 11)


def test_what_is_called_after_a_step_must_have_a_state_or_no_folder_is_given(
    tmp_path, theta_0, task
):
    class Watch(Callback):
        pass

    with pytest.raises(UserError, match="Watch cannot be resumed"):
        finetune(theta_0, task, callbacks=[Watch(), Checkpoints(tmp_path)])
    cut(tmp_path, 12)
    with pytest.raises(UserError, match=r"decays \[0.5, 0.9\], not for \[0.9\]"):
        run(tmp_path, averages=MovingAverages([0.9]))


def test_the_scale_of_a_float16_loss_is_kept(tmp_path):
    def steep(model, inputs, labels):
        return 300 * cross_entropy(
            model, inputs, labels
        )  # the first gradients overflow, and the scale is halved

    whole, calls = run(objective=steep, compute=Compute(precision="float16"))
    assert calls < STEPS
    cut(tmp_path, calls - 2, objective=steep, compute=Compute(precision="float16"))
    assert run(tmp_path, objective=steep, compute=Compute(precision="float16")) == (whole, 3)


def test_finetune_and_probe_go_on_too(tmp_path, theta_0, task, monkeypatch, capsys):
    recipe = Recipe(epochs=2, lr=1e-2, batch_size=16)  # 8 steps
    for train in (finetune, linear_probe):
        whole = train(theta_0, task, recipe)
        step = torch.optim.AdamW.step

        def stop(optimizer, step=step):
            if optimizer.state and next(iter(optimizer.state.values()))["step"] == 5:
                raise KeyboardInterrupt
            return step(optimizer)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(torch.optim.AdamW, "step", stop)
            train(theta_0, task, recipe, callbacks=[Checkpoints(tmp_path)])
        again = train(theta_0, task, recipe, callbacks=[Checkpoints(tmp_path)])
        assert "resumes after step 5" in capsys.readouterr().out
        assert digest(again.state_dict()) == digest(whole.state_dict())


def test_digests_tell_apart_what_differs_and_nothing_else(tmp_path):
    same = [
        1,
        "a",
        torch.zeros(2),
        smoothed(0.1),
        Recipe(),
        {"b": 1, "a": 2},
        nn.Linear(2, 2),
        max,
        RECIPE.__init__,
    ]
    assert all(digest(x) == digest(x) for x in same) and len({digest(x) for x in same}) == len(same)
    for a, b in [
        (torch.zeros(2), torch.zeros(1, 2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float16)),
        (torch.tensor(0.0), torch.tensor(-0.0)),
        (smoothed(0.1), smoothed(0.2)),
        ([1, [2]], [[1], 2]),
        (lambda x: x + 1, lambda x: x + 2),
    ]:
        assert digest(a) != digest(b)
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    frozen = nn.Linear(2, 2)
    before = digest(frozen)
    frozen.weight.requires_grad_(False)
    assert digest(frozen) != before
    one, two = lambda x: x + 1, lambda x: x + 2  # noqa: E731
    assert digest(one) != digest(two)
