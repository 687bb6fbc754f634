"""Contrastive fine-tuning of both encoders, and layer-wise learning rates."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from wiseft_lite import (
    Recipe,
    UserError,
    accuracy,
    finetune,
    interpolate,
    predict,
    zero_shot_classifier,
)
from wiseft_lite.data import STEP, ShuffledBatches, stream_seed
from wiseft_lite.features import pixels
from wiseft_lite.finetuning.flyp import UNCLIPPED, class_contrastive_loss, flyp, published_loss
from wiseft_lite.losses import contrastive_loss
from wiseft_lite.models import freeze
from wiseft_lite.training import fit, learning_rate

RECIPE = Recipe(epochs=8, lr=3e-3, batch_size=16)


def unit(seed, n=4):
    return F.normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_with_one_image_per_class_both_losses_are_clips_loss():
    images, texts = unit(0), unit(1)
    for loss in (class_contrastive_loss, published_loss):
        ours = loss(images, texts, torch.tensor([7, 2, 0, 5]), 10.0)
        torch.testing.assert_close(ours, contrastive_loss(images, texts, 10.0))


def test_as_published_another_caption_of_the_same_class_is_a_wrong_answer():
    """By the definition, image by image: the only right answer of four is the caption in the
    image's own row."""
    images, texts, labels = unit(0), unit(1), torch.tensor([0, 1, 1, 2])
    logits = (10 * images @ texts.T).tolist()
    by_hand = 0.0
    for i in range(4):
        row, column = logits[i], [logits[k][i] for k in range(4)]
        for scores in (row, column):
            by_hand -= (scores[i] - math.log(sum(math.exp(x) for x in scores))) / 8
    published = published_loss(images, texts, labels, 10.0).item()
    assert published == pytest.approx(by_hand, rel=1e-5)
    assert abs(published - class_contrastive_loss(images, texts, labels, 10.0).item()) > 0.01
    with pytest.raises(UserError, match="one text for each image"):
        published_loss(images, texts[:3], labels, 10.0)


def test_flyp_is_by_default_the_published_loop(clip, task):
    """AdamW on CLIP's loss with one right caption each, and no gradient clipped, as in
    flyp_loss.py."""
    recipe = Recipe(epochs=2, lr=3e-3, batch_size=16, augment="none", clip_norm=UNCLIPPED, seed=3)
    ours = flyp(clip, task, recipe).model
    model, images, labels = (
        copy.deepcopy(clip.model).requires_grad_(True),
        pixels(clip, task.train),
        task.train.labels,
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=recipe.weight_decay)
    steps, norms = 2 * -(-len(images) // 16), []
    for step, keys in enumerate(ShuffledBatches(len(images), recipe)):
        rows = torch.tensor([i for _, i in keys])
        torch.manual_seed(stream_seed(3, STEP, step, 0))
        drawn = torch.randint(len(task.templates), (len(rows),))
        captions = [
            task.templates[t].replace("{}", task.class_names[y])
            for t, y in zip(drawn, labels[rows], strict=True)
        ]
        image, text = (
            F.normalize(x, dim=-1)
            for x in (model.encode_image(images[rows]), model.encode_text(clip.tokenizer(captions)))
        )
        logits = model.logit_scale.exp() * image @ text.T
        loss = sum(F.cross_entropy(x, torch.arange(len(rows))) for x in (logits, logits.T)) / 2
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, recipe)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
        optimizer.step()
    for (name, a), b in zip(ours.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert max(norms) > 1  # so clipping at 1, as Recipe() has it, would have been seen
    for other in (
        flyp(clip, task, replace(recipe, clip_norm=1.0)),
        flyp(clip, task, recipe, loss=class_contrastive_loss),
    ):
        assert any(
            not torch.allclose(a, b, rtol=1e-3, atol=1e-4)
            for a, b in zip(ours.parameters(), other.model.parameters(), strict=True)
        )


def test_a_caption_of_the_same_class_is_no_wrong_answer():
    images = torch.eye(3)[
        [0, 0, 1]
    ]  # two images of class 4, with their captions, and one of class 9
    labels = torch.tensor([4, 4, 9])
    loss = class_contrastive_loss(images, images, labels, 100.0).item()
    assert loss == pytest.approx(
        2 / 3 * torch.tensor(2.0).log().item(), abs=1e-5
    )  # the split between the two
    swapped = class_contrastive_loss(images, images[[1, 0, 2]], labels, 100.0).item()
    assert loss == pytest.approx(swapped)
    by_hand = 0.0
    logits = 10 * unit(0) @ unit(1).T
    target = torch.tensor([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]])
    for side in (logits, logits.T):
        by_hand = by_hand - (target * side.log_softmax(1)).sum(1).mean() / 2
    torch.testing.assert_close(
        class_contrastive_loss(unit(0), unit(1), torch.tensor([0, 1, 1, 2]), 10.0), by_hand
    )
    with pytest.raises(UserError, match="3 labels"):
        class_contrastive_loss(unit(0), unit(1), labels, 10.0)


def test_flyp_trains_both_towers_leaves_the_first_alone_and_repeats(clip, task, theta_0):
    before = {k: v.clone() for k, v in clip.model.state_dict().items()}
    tuned = flyp(clip, task, RECIPE)
    assert all(torch.equal(v, before[k]) for k, v in clip.model.state_dict().items())
    moved = {k for k, v in tuned.model.state_dict().items() if not torch.equal(v, before[k])}
    assert {"visual.proj", "text_projection", "logit_scale"} <= moved
    again = flyp(clip, task, RECIPE).model.state_dict()
    assert all(torch.equal(v, again[k]) for k, v in tuned.model.state_dict().items())
    theta_1 = zero_shot_classifier(tuned, task)
    score = lambda m: accuracy(predict(m, task.test), task.test.labels).accuracy  # noqa: E731
    assert score(theta_1) > score(theta_0) + 0.2
    middle = theta_0.with_weights(interpolate(theta_0.state_dict(), theta_1.state_dict(), 0.5))
    assert not torch.equal(middle.head.weight, theta_0.head.weight)


def test_layer_wise_learning_rates_are_those_of_adamw_with_a_group_for_each_layer():
    def net():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))

    inputs, labels = (
        torch.randn(40, 3, generator=torch.Generator().manual_seed(1)),
        torch.arange(40) % 2,
    )
    recipe = Recipe(epochs=3, lr=0.05, weight_decay=0.3, batch_size=40, clip_norm=1e9)
    multiplier = {"0.weight": 0.1, "0.bias": 0.1, "2.weight": 1.0, "2.bias": 0.5}
    ours = fit(net(), inputs, labels, recipe, lr_multiplier=multiplier.get)
    theirs = net()
    optimizer = torch.optim.AdamW(
        [{"params": [p], "multiplier": multiplier[name]} for name, p in theirs.named_parameters()],
        weight_decay=0.3,
    )
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = group["multiplier"] * learning_rate(step, 3, recipe)
        optimizer.zero_grad()
        F.cross_entropy(theirs(inputs), labels).backward()
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_multiplier_of_0_holds_a_layer_and_of_1_changes_nothing(theta_0, task):
    recipe = Recipe(epochs=1, lr=1e-2, batch_size=32)
    start = theta_0.state_dict()
    plain = finetune(theta_0, task, recipe).state_dict()
    full = finetune(theta_0, task, recipe, lr_multiplier=lambda name: 1.0).state_dict()
    assert all(torch.allclose(plain[k], full[k], atol=1e-6) for k in plain)
    held = finetune(
        theta_0,
        task,
        recipe,
        lr_multiplier=lambda name: float(name.startswith("head.")),
    ).state_dict()
    frozen = freeze(theta_0, lambda name: name.startswith("head."))
    assert {k for k in held if not torch.equal(held[k], start[k])} == {
        name for name, p in frozen.named_parameters() if p.requires_grad
    }


def test_an_export_after_flyp_asks_for_the_text_encoder_that_made_the_head(clip, task, tmp_path):
    from wiseft_lite import export_open_clip

    tuned = replace(clip, model=copy.deepcopy(clip.model))
    with torch.no_grad():
        tuned.model.token_embedding.weight.add_(1)  # as training does
    with pytest.raises(UserError, match="text encoder"):
        export_open_clip(zero_shot_classifier(tuned, task), tmp_path / "out")
    export_open_clip(zero_shot_classifier(clip, task), tmp_path / "same")
