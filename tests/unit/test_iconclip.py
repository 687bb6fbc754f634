"""The shipped weights: the three targets, by open_clip alone and again through the library."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wiseft_lite import load_clip, load_task, predict, zero_shot_classifier
from wiseft_lite.encoders import ICONCLIP


@pytest.fixture(scope="module")
def by_open_clip():
    """Predicted classes of every split, made with open_clip's own functions only."""
    import open_clip

    name = f"local-dir:{ICONCLIP}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, precision="fp32")
    tokenizer, task = open_clip.get_tokenizer(name), load_task("iconshift")
    model.eval()
    found = {}
    with torch.no_grad():
        rows = []
        for label in task.class_names:
            texts = model.encode_text(
                tokenizer([t.format(label) for t in task.templates]), normalize=True
            )
            rows.append(F.normalize(texts.mean(0), dim=-1))
        head = torch.stack(rows)
        for split_name, split in task.evaluation.items():
            images = torch.stack([preprocess(split[i][0]) for i in range(len(split))])
            logits = model.encode_image(images, normalize=True) @ head.T
            classes = torch.tensor(split.classes or range(len(task.class_names)))
            found[split_name] = classes[logits[:, classes].argmax(-1)]
    return found


@pytest.fixture(scope="module")
def score(by_open_clip):
    task = load_task("iconshift")
    return {
        name: 100 * float((by_open_clip[name] == split.labels).float().mean())
        for name, split in task.evaluation.items()
    }


@pytest.mark.slow
def test_the_target_on_the_reference_holds(score):
    assert score["test"] >= 80, score


def test_the_target_on_emoji_holds(score):
    assert score["emoji"] >= 60, score


def test_the_target_on_the_mean_of_the_shifts_holds(score):
    assert np.mean([score[s] for s in load_task("iconshift").shifts]) >= 63.5, (
        score
    )  # near ties may fall either way


@pytest.mark.slow
def test_the_library_agrees_to_the_image(by_open_clip):
    task = load_task("iconshift")
    classifier = zero_shot_classifier(load_clip("iconclip"), task)
    for name, split in task.evaluation.items():
        classes = torch.tensor(split.classes or range(len(task.class_names)))
        ours = classes[predict(classifier, split)[:, classes].argmax(-1)]
        assert int((ours != by_open_clip[name]).sum()) <= 1, (
            name
        )  # two roads round in another order: a tie may fall
