"""Runs kept by content."""

import importlib.util
import linecache
import os
import stat
from dataclasses import replace

import pytest
import torch

from wiseft_lite import Recipe, UserError, finetune
from wiseft_lite._runtime.cache import cache_folder
from wiseft_lite.book.runs import fingerprint, trained
from wiseft_lite.callbacks import AfterEpoch

RECIPE = Recipe(epochs=1, batch_size=16)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def counted():
    def train(classifier, task, recipe, callbacks=()):
        train.calls += 1
        return finetune(classifier, task, recipe, callbacks=callbacks)

    train.calls = 0
    return train


def test_a_second_run_comes_from_the_cache_bit_for_bit(theta_0, task, counted):
    first = trained(theta_0, task, RECIPE, counted, progress=False)
    second = trained(theta_0, task, RECIPE, counted, progress=False)
    assert counted.calls == 1 and not second.training
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_another_recipe_start_or_training_set_is_another_run(theta_0, task):
    names = {
        fingerprint(theta_0, task, RECIPE, finetune),
        fingerprint(theta_0, task, replace(RECIPE, seed=1), finetune),
        fingerprint(theta_0, task.few_shot(2), RECIPE, finetune),
    }
    moved = theta_0.with_weights(
        {k: v + 1e-3 if v.is_floating_point() else v for k, v in theta_0.state_dict().items()}
    )
    names.add(fingerprint(moved, task, RECIPE, finetune))
    assert len(names) == 4
    assert fingerprint(theta_0, task, RECIPE, finetune) in names


def test_what_trains_names_a_run_and_what_is_said_about_it_does_not(theta_0, task, tmp_path):
    def named(source):
        (tmp_path / "mine.py").write_text(source)
        spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
        module = importlib.util.module_from_spec(spec)
        linecache.clearcache()
        spec.loader.exec_module(module)
        return fingerprint(theta_0, task, RECIPE, module.train)

    plain = named('def train(c, t, r):\n    """One."""\n    return c\n')
    assert named('def train(c, t, r):\n    """Two."""\n    return c  # why\n') == plain
    assert named('def train(c, t, r):\n    """One."""\n    return t\n') != plain


def test_a_damaged_entry_is_trained_again(theta_0, task, counted):
    trained(theta_0, task, RECIPE, counted, progress=False)
    weights = next(cache_folder().rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    trained(theta_0, task, RECIPE, counted, progress=False)
    trained(theta_0, task, RECIPE, counted, progress=False)
    assert counted.calls == 2


def test_a_cache_that_cannot_be_written_is_an_error(theta_0, task, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="WISEFT_CACHE"):
        trained(theta_0, task, RECIPE, progress=False)


def test_a_run_that_was_cut_short_goes_on_and_leaves_nothing_behind(
    theta_0, task, monkeypatch, capsys
):
    whole = trained(theta_0, task, RECIPE, progress=False)
    monkeypatch.setenv("WISEFT_CACHE", str(cache_folder()) + "-2")
    monkeypatch.setattr("wiseft_lite.callbacks.SAVE_INTERVAL", 0)
    step = torch.optim.AdamW.step

    def stop(optimizer):
        if next(iter(optimizer.state.values()), {"step": 0})["step"] == 2:
            raise KeyboardInterrupt
        return step(optimizer)

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(torch.optim.AdamW, "step", stop)
        trained(theta_0, task, RECIPE, progress=False)
    assert len(list(cache_folder().glob("*.states/*.safetensors"))) == 2
    again = trained(theta_0, task, RECIPE, progress=False)
    assert "resumes after step 2" in capsys.readouterr().out
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())
    assert not list(cache_folder().glob("*.states"))


def test_after_epoch_sees_every_epoch_and_changes_nothing(theta_0, task):
    seen = []

    def watch(epoch, model):
        torch.rand(7)
        seen.append((epoch, model.eval().training))

    watched = finetune(theta_0, task, replace(RECIPE, epochs=3), callbacks=[AfterEpoch(watch)])
    plain = finetune(theta_0, task, replace(RECIPE, epochs=3))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert all(
        torch.equal(a, b)
        for a, b in zip(watched.state_dict().values(), plain.state_dict().values(), strict=True)
    )


def test_where_a_disk_knows_no_locks_the_lock_stays_on_the_machine(tmp_path, monkeypatch):
    """A lock file on a cloud folder would outlive a lost machine, and the next one would wait for
    it."""
    import errno
    import fcntl

    from wiseft_lite._runtime.cache import entry

    real = fcntl.flock

    def refuse(fd, operation):
        if stat.S_ISDIR(
            os.fstat(fd).st_mode
        ):  # only the question; the lock itself is another disk's
            raise OSError(errno.ENOTSUP, "Operation not supported")
        return real(fd, operation)

    with entry("a") as path:
        assert (tmp_path / "cache" / "a.lock").exists()
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with entry("b") as path:
        path.write_text("kept")
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["a.lock", "b"]
    assert len(list(tmp_path.glob("wiseft-*.lock"))) == 1
