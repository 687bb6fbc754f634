"""The script for a GPU: its checks pass on a CPU, and fail where something is wrong."""

import gpu_checks
import pytest
import torch

from wiseft_lite import Recipe, finetune

RECIPE = Recipe(epochs=4, lr=1e-2, batch_size=16)


def test_evaluation_in_16_bits_is_compared_with_float32(theta_0, task, monkeypatch):
    tuned = finetune(theta_0, task, RECIPE)
    monkeypatch.setattr(gpu_checks, "AGREEMENT", 0.8)  # of a handful of images
    monkeypatch.setattr(gpu_checks, "ACCURACY", 0.2)
    report = gpu_checks.check_16_bits(theta_0, tuned, task)
    assert report["precision"] == "bfloat16" and report["agree"] >= 0.8
    monkeypatch.setattr(gpu_checks, "AGREEMENT", 1.1)
    with pytest.raises(AssertionError, match="agree"):
        gpu_checks.check_16_bits(theta_0, tuned, task)


def test_a_run_is_interrupted_and_resumed_and_a_difference_is_seen(
    theta_0, task, tmp_path, monkeypatch
):
    report = gpu_checks.check_resume(theta_0, task, RECIPE, tmp_path / "one")
    assert report["largest difference of a weight"] == 0
    restore = gpu_checks.callbacks.Run.load_state_dict

    def forgetful(run, state):
        restore(run, {name: t * (2 if "exp_avg" in name else 1) for name, t in state.items()})

    monkeypatch.setattr(gpu_checks.callbacks.Run, "load_state_dict", forgetful)
    with pytest.raises(AssertionError, match="weights differ"):
        gpu_checks.check_resume(theta_0, task, RECIPE, tmp_path / "two")


def test_a_loss_that_overflows_float16_lowers_its_scale(theta_0, task):
    scales = gpu_checks.check_overflow(theta_0, task)["scales"]
    assert scales[0] < 2**16


def test_gradients_under_ddp_are_the_plain_ones(theta_0, task, monkeypatch):
    assert gpu_checks.check_ddp(theta_0, task)["tensors"] > 5

    def doubled(module):
        for parameter in module.parameters():
            parameter.register_hook(lambda gradient: 2 * gradient)
        return module

    monkeypatch.setattr(gpu_checks, "DistributedDataParallel", doubled)
    with pytest.raises(AssertionError):
        gpu_checks.check_ddp(theta_0, task)


def test_the_noise_that_is_timed_is_a_task():
    task = gpu_checks.noise(20, classes=5)
    assert len(task.train) == len(task.test) == 20 and task.train[0][0].size == (256, 256)
    assert torch.equal(task.train.labels[:6], torch.tensor([0, 1, 2, 3, 4, 0]))
