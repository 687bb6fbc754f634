"""Training reads the same images in the same crops in the same order, however it is computed."""

import copy
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from wiseft_lite import (
    Recipe,
    UserError,
    data,
    finetune,
    load_clip,
    predict,
    zero_shot_classifier,
)
from wiseft_lite.augmentation import AUGMENTS, training_transform
from wiseft_lite.book.experiments.rivals import bare_loop
from wiseft_lite.callbacks import Callback, Checkpoints
from wiseft_lite.data import IMAGE, ImageDataset, ShuffledBatches, held_in_memory, load, stream_seed
from wiseft_lite.losses import cross_entropy
from wiseft_lite.recipes import Compute
from wiseft_lite.schedules import learning_rate
from wiseft_lite.tasks import Split, load_task
from wiseft_lite.tasks.images import Arrays
from wiseft_lite.training import Batch, fit, parameter_groups, training_images

RECIPE = Recipe(epochs=2, lr=1e-2, batch_size=16)


@pytest.fixture
def folder_task(tmp_path):
    """A task of image files of unequal sizes."""
    for split, n in (("train", 9), ("test", 3)):
        for label, name in enumerate(("disc", "square", "bar")):
            (tmp_path / split / name).mkdir(parents=True)
            for k in range(n):
                image = picture(label, k).resize((30 + k, 50 - 2 * k))
                image.save(tmp_path / split / name / f"{k}.png")
    return load_task(tmp_path)


def seen(theta_0, task, workers, start=0, memory=2**30, monkeypatch=None):
    """The batches that a run reads from a step on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "MEMORY_LIMIT", memory)
        images = training_images(theta_0, task.train, RECIPE)
    return list(load(images, ShuffledBatches(len(images), RECIPE, start), workers))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_memory_and_a_later_start_read_the_same_images_in_the_same_crops(
    theta_0, folder_task, workers
):
    whole = seen(theta_0, folder_task, 0)
    assert len(whole) == 4 and [len(batch) for batch in whole] == [16, 8, 16, 8]
    for other in (
        seen(theta_0, folder_task, workers),
        seen(theta_0, folder_task, workers, memory=1),
        whole[:1] + seen(theta_0, folder_task, workers, start=1),
        whole[:3] + seen(theta_0, folder_task, workers, start=3),
    ):
        assert len(other) == 4 and all(map(torch.equal, whole, other))
    first, second = (torch.cat(whole[k : k + 2]).flatten(1).sum(1).sort()[0] for k in (0, 2))
    assert not torch.equal(first, second)  # every epoch has crops of its own


def test_two_processes_divide_each_batch_of_one(theta_0, folder_task, monkeypatch):
    images = training_images(theta_0, folder_task.train, RECIPE)
    whole = list(ShuffledBatches(len(images), RECIPE))
    parts = []
    monkeypatch.setattr("wiseft_lite._runtime.distributed.world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr("wiseft_lite._runtime.distributed.rank", lambda rank=rank: rank)
        parts.append(list(ShuffledBatches(len(images), RECIPE, shard=True)))
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_the_crop_is_torchvisions_of_the_original_image(theta_0, folder_task):
    images = training_images(theta_0, folder_task.train, replace(RECIPE, seed=3))
    crop = RandomResizedCrop(24, scale=(0.9, 1.0), interpolation=InterpolationMode.BICUBIC)
    for epoch, i in ((0, 0), (1, 7), (5, 20)):
        with torch.random.fork_rng():
            torch.manual_seed(stream_seed(3, IMAGE, epoch, i))
            pixels = np.asarray(crop(folder_task.train[i][0]))
        expected = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1).float()
        torch.testing.assert_close(images[epoch, i], expected, rtol=0, atol=1e-6)


def test_a_border_of_the_image_is_seen_in_training_and_not_in_the_papers_square_crop(theta_0):
    wide = Image.new("RGB", (64, 48), "black")
    wide.paste("white", (0, 0, 6, 48))  # outside the central square
    split = Split("wide", [wide], torch.tensor([0]))
    for augment, visible in (("crop", True), ("square-crop", False), ("none", False)):
        images = ImageDataset(split, training_transform(theta_0.preprocess, augment), seed=0)
        seen = max(images[epoch, 0].max().item() for epoch in range(20))
        assert (seen > 0.9) == visible, augment


@pytest.mark.parametrize("augment", AUGMENTS)
def test_a_transform_leaves_the_global_random_state_alone(theta_0, augment):
    noise = np.random.default_rng(0).integers(0, 256, (9, 60, 50, 3), dtype=np.uint8)
    split = Split("noise", Arrays(noise), torch.zeros(9, dtype=torch.int64))
    images = training_images(theta_0, split, replace(RECIPE, augment=augment))
    before = torch.get_rng_state()
    first = images[0, 3]
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(images[0, 3], first)
    same = [torch.equal(images[epoch, 3], first) for epoch in range(1, 9)]
    assert all(same) if augment == "none" else not all(same)


def test_a_preprocess_of_ones_own_is_trained_on_as_it_is_and_not_cropped(theta_0, task):
    own = copy.deepcopy(theta_0)
    own.preprocess = lambda image: theta_0.preprocess(image) * 2
    assert torch.equal(
        training_images(own, task.train, replace(RECIPE, augment="none"))[0, 1],
        2 * theta_0.preprocess(task.train[1][0]),
    )
    with pytest.raises(UserError, match="augment='none'"):
        finetune(own, task, RECIPE)


def test_images_are_decoded_once_if_memory_holds_them(task, monkeypatch):
    decoded = []

    class Counting(list):
        def __getitem__(self, i):
            decoded.append(i)
            return super().__getitem__(i)

    split = replace(task.train, images=Counting(image for image, _ in task.train))
    held = held_in_memory(split)
    n = len(decoded)
    for i in range(len(held)):
        assert np.array_equal(np.asarray(held[i][0]), np.asarray(task.train[i][0]))
    assert len(decoded) == n and held.labels is split.labels
    monkeypatch.setattr(data, "MEMORY_LIMIT", 1000)
    assert held_in_memory(split) is split


def test_fit_is_the_bare_loop(theta_0, task):
    images = training_images(theta_0, task.train, RECIPE)
    ours, theirs = (
        finetune(theta_0, task, RECIPE),
        bare_loop(theta_0, images, task.train.labels, RECIPE),
    )
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_micro_batches_have_the_gradient_of_the_whole_batch_in_one_pass_for_each_image(
    theta_0, task
):
    images = torch.stack([theta_0.preprocess(image) for image, _ in task.train][:10]).double()
    labels, model = task.train.labels[:10], copy.deepcopy(theta_0).double()
    passes, gradients = [], {}
    model.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))

    class Gradient(Callback):
        def __init__(self, into):
            self.into = into

        def before_step(self, run):
            run.optimizer.step = lambda: self.into.update(
                {name: p.grad.clone() for name, p in run.model.named_parameters()}
            )

    for size in (None, 4):
        recipe = Recipe(epochs=1, batch_size=10, warmup=0, clip_norm=1e9)
        fit(
            model,
            images,
            labels,
            recipe,
            compute=Compute(micro_batch_size=size),
            callbacks=[Gradient(gradients.setdefault(size, {}))],
        )
    assert passes == [10, 4, 4, 2]
    for name, whole in gradients[None].items():
        torch.testing.assert_close(gradients[4][name], whole, rtol=1e-6, atol=1e-12)


def test_micro_batches_cover_a_batch_and_only_the_last_ends_the_step():
    batch = Batch(torch.arange(10.0), torch.arange(10), seed=0, weight=2.0)
    parts = list(batch.split(4))
    assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
    assert [part.is_last for part in parts] == [False, False, True]
    assert sum(part.weight for part in parts) == pytest.approx(2.0)
    assert [len(part.labels) for part in batch.split(None)] == [10]


def test_parameters_have_groups_by_learning_rate_and_frozen_ones_none(theta_0):
    theta_0 = copy.deepcopy(theta_0)
    theta_0.encoder.proj.requires_grad_(False)
    groups = parameter_groups(theta_0, lambda name: 1.0 if name.startswith("head.") else 0.1)
    assert sorted((g["lr_multiplier"], len(g["params"])) for g in groups) == [
        (0.1, sum(p.requires_grad for p in theta_0.encoder.parameters())),
        (1.0, 2),
    ]


def test_layer_wise_learning_rates_resume_with_the_same_bits(theta_0, task, tmp_path, monkeypatch):
    monkeypatch.setattr("wiseft_lite.callbacks.SAVE_INTERVAL", 0)
    rates = {"lr_multiplier": lambda name: 1.0 if name.startswith("head.") else 0.1}
    whole = finetune(theta_0, task, RECIPE, **rates).state_dict()
    step = torch.optim.AdamW.step

    def stop(optimizer):
        if optimizer.state and next(iter(optimizer.state.values()))["step"] == 5:
            raise KeyboardInterrupt
        return step(optimizer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.optim.AdamW, "step", stop)
        finetune(theta_0, task, RECIPE, callbacks=[Checkpoints(tmp_path)], **rates)
    again = finetune(theta_0, task, RECIPE, callbacks=[Checkpoints(tmp_path)], **rates)
    assert all(torch.equal(whole[k], v) for k, v in again.state_dict().items())


def test_a_loss_that_is_not_finite_is_reported_with_its_step(theta_0, task):
    def breaks(model, inputs, labels):
        calls.append(1)
        return cross_entropy(model, inputs, labels) * (float("nan") if len(calls) == 3 else 1)

    calls = []
    with pytest.raises(UserError, match="loss is nan at step 3 of 8"):
        finetune(theta_0, task, RECIPE, objective=breaks)
    assert len(calls) == 3


def test_the_schedule_has_its_peak_after_the_warm_up():
    rates = [learning_rate(step, 20, Recipe(lr=1.0, warmup=5)) for step in range(20)]
    assert rates.index(max(rates)) in (4, 5) and rates[0] == pytest.approx(0.2)
    assert all(a >= b for a, b in zip(rates[5:], rates[6:], strict=False))


full_size = pytest.mark.skipif(
    "WISEFT_FULL_SIZE" not in os.environ, reason="on all 4,094 images; WISEFT_FULL_SIZE=1"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every", "alike", "points"),  # about 3 in 1,000 predictions differ; a sample varies
    [(4, 0.99, 0.5), pytest.param(1, 0.995, 0.2, marks=full_size)],
)
def test_in_bfloat16_a_cpu_predicts_on_iconshift_as_in_float32(every, alike, points):
    task = load_task("iconshift")
    splits = {
        name: split.select(range(0, len(split), every)) for name, split in task.evaluation.items()
    }
    model = zero_shot_classifier(load_clip("iconclip"), task)
    predicted, right = [], []
    for precision in ("float32", "bfloat16"):
        compute = Compute(precision=precision)
        found = {
            name: split.predicted(predict(model, split, compute=compute))
            for name, split in splits.items()
        }
        predicted.append(torch.cat(list(found.values())))
        right.append(torch.cat([found[name] == split.labels for name, split in splits.items()]))
    assert (predicted[0] == predicted[1]).double().mean() >= alike
    assert abs(right[0].double().mean() - right[1].double().mean()) <= points / 100


def test_a_cpu_computes_in_float32_unless_asked_for_less(theta_0, task):
    plain, exact, fast = (
        predict(theta_0, task.test, compute=compute)
        for compute in (Compute(), Compute(precision="float32"), Compute(precision="bfloat16"))
    )
    assert torch.equal(plain, exact) and not torch.equal(plain, fast)
    assert fast.dtype == torch.float32


def test_the_head_is_not_computed_in_16_bits(theta_0):
    features = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    exact = theta_0.head(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(theta_0.head(features), exact)
