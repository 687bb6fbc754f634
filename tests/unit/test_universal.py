"""Universal embeddings end to end on tiny tasks: unseen classes, alpha chosen on retrieval."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import Image

from wiseft_lite import Split, Task, UserError, interpolate, load_task
from wiseft_lite.cli.main import main
from wiseft_lite.data import LazyImages
from wiseft_lite.features import run_in_batches
from wiseft_lite.retrieval import universal as embedding
from wiseft_lite.retrieval.arcface import adaptive_margins
from wiseft_lite.retrieval.embedders import load_embedder, save_embedder
from wiseft_lite.retrieval.recipes import default_recipe
from wiseft_lite.retrieval.search import retrieval_scores
from wiseft_lite.retrieval.universal import (
    ALL,
    EMBED,
    choose_alpha,
    disjoint_splits,
    finetune_embedder,
    score_by_task,
    sweep_embedders,
    zero_shot_embedder,
)

WORDS = ["cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant", "elk", "yak"]


def stripes(label, k):
    image = Image.new("RGB", (24, 24), "white")
    for x in range(0, 24, 2 + label % 5):
        image.paste((20 * label, (30 * k) % 200, 255 - 20 * label), (x, 0, x + 1, 24))
    return image


def split(name, labels, start=0):
    return Split(
        name, [stripes(label, start + i) for i, label in enumerate(labels)], torch.tensor(labels)
    )


def task(name, words):
    labels = list(range(len(words))) * 3
    return Task(
        name,
        tuple(words),
        ("an icon of a {}.",),
        split("train", labels),
        split("val", labels, 1),
        split("test", labels, 2),
        {"shift": split("shift", labels, 3)},
    )


@pytest.fixture(scope="module")
def tasks():
    return [task("one", WORDS[:6]), task("two", WORDS[5:])]  # both know the owl


@pytest.fixture(scope="module")
def splits(clip, tasks):
    return disjoint_splits(clip, tasks, seed=0)


RECIPE = replace(EMBED, epochs=2, batch_size=8)


def test_the_parts_share_no_class_and_a_name_in_two_tasks_is_one_class(splits, tasks):
    parts = [set(p.labels.tolist()) for p in (splits.train, splits.val, splits.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert (
        set.union(*parts) == set(range(10))
        and parts[0] == set(range(6))
        and len(splits.prompts) == 6
    )
    assert len(splits.train.images) == 3 * 6 + 3 * ("an icon of a owl." in splits.prompts)
    assert all(len(p.images) == len(p.labels) for p in (splits.train, splits.val, splits.test))


def test_images_that_memory_does_not_hold_are_decoded_when_asked_for_and_give_the_same_bits(
    clip, tasks, splits, monkeypatch
):
    start = zero_shot_embedder(clip, splits.prompts, 4)
    held = finetune_embedder(start, splits.train, RECIPE)
    table = sweep_embedders(start, held, {"val": splits.val, "test": splits.test}, (0.0, 0.5, 1.0))
    monkeypatch.setattr("wiseft_lite.data.MEMORY_LIMIT", 1000)
    other = disjoint_splits(clip, tasks, seed=0)
    for part, again in (
        (splits.train, other.train),
        (splits.val, other.val),
        (splits.test, other.test),
    ):
        assert (
            isinstance(again.images, LazyImages)
            and torch.equal(part.labels, again.labels)
            and part.tasks == again.tasks
        )
        assert torch.equal(torch.cat(list(again.images.split(7))), part.images)
    streamed = finetune_embedder(start, other.train, RECIPE)
    assert all(torch.equal(v, held.state_dict()[k]) for k, v in streamed.state_dict().items())
    pd.testing.assert_frame_equal(
        sweep_embedders(start, streamed, {"val": other.val, "test": other.test}, (0.0, 0.5, 1.0)),
        table,
    )


def test_a_task_given_twice_is_refused(clip, tasks):
    with pytest.raises(UserError, match="two tasks.*'one'"):
        disjoint_splits(clip, [tasks[0], tasks[0]])


def test_each_image_knows_its_task_and_searches_among_all(clip, tasks):
    splits = disjoint_splits(clip, tasks, seed=5)  # its test has images of both
    start = zero_shot_embedder(clip, splits.prompts, 4)
    embeddings = run_in_batches(start, splits.test.images, 256)
    table = score_by_task(embeddings, splits.test).set_index("task")
    assert (
        set(splits.test.tasks) == {"one", "two"} == set(table.index[1:]) and table.index[0] == ALL
    )
    assert table.iloc[0].to_dict() == vars(retrieval_scores(embeddings, splits.test.labels))
    owls = [
        i for i, label in enumerate(splits.test.labels.tolist()) if label == 8
    ]  # both tasks drew them, each its own
    for i in owls:
        source = {t.name: t for t in tasks}[splits.test.tasks[i]]
        drawn = [
            clip.preprocess(image)
            for part in source.evaluation.values()
            for image, label in part
            if source.class_names[label] == "owl"
        ]
        assert any(torch.equal(splits.test.images[i], image) for image in drawn)
    assert len(owls) == 12
    for name in ("one", "two"):
        own = torch.tensor([t == name for t in splits.test.tasks])
        rest = [
            splits.test.labels[torch.arange(len(own)) != i]
            for i in own.nonzero().flatten().tolist()
        ]
        first = [
            labels[(embeddings[torch.arange(len(own)) != i] @ embeddings[i]).argmax()]
            for i, labels in zip(own.nonzero().flatten().tolist(), rest, strict=True)
        ]
        expected = (torch.stack(first) == splits.test.labels[own]).double().mean().item()
        assert table.loc[name, "n"] == own.sum() and table.loc[name, "recall_1"] == pytest.approx(
            expected
        )


def test_centres_and_margins_can_be_chosen(clip, splits):
    start, n = zero_shot_embedder(clip, splits.prompts, 4), len(splits.prompts)
    first, *others = (
        finetune_embedder(start, splits.train, RECIPE, **change).weight
        for change in ({}, {"centres": 1}, {"margins": torch.zeros(n)})
    )
    assert not any(torch.equal(first, other) for other in others)
    counts = torch.bincount(splits.train.labels)
    assert torch.equal(
        first,
        finetune_embedder(
            start, splits.train, RECIPE, margins=adaptive_margins(counts), centres=3
        ).weight,
    )


def test_labels_of_training_are_those_of_the_prompts(clip, tasks, splits):
    for k, prompt in enumerate(splits.prompts):
        name = prompt.removeprefix("an icon of a ").removesuffix(".")
        source = next(t for t in tasks if name in t.class_names)
        place = source.train.labels.tolist().index(source.class_names.index(name))
        image = clip.preprocess(source.train[place][0])
        assert any(
            torch.equal(image, other) for other in splits.train.images[splits.train.labels == k]
        )


def test_the_start_has_seen_no_image_and_is_left_alone(clip, splits):
    start = zero_shot_embedder(clip, splits.prompts, 4)
    before = {k: v.clone() for k, v in start.state_dict().items()}
    tuned = finetune_embedder(start, splits.train, RECIPE)
    assert all(torch.equal(v, before[k]) for k, v in start.state_dict().items())
    assert not torch.equal(tuned.weight, start.weight) and not tuned.training
    held = finetune_embedder(start, splits.train, RECIPE, encoder_lr_multiplier=0.0)
    assert all(torch.equal(v, before[k]) for k, v in held.state_dict().items())
    again = finetune_embedder(start, splits.train, RECIPE)
    assert all(torch.equal(v, tuned.state_dict()[k]) for k, v in again.state_dict().items())


def test_alpha_is_chosen_on_val_alone(clip, splits):
    start = zero_shot_embedder(clip, splits.prompts, 4)
    table = sweep_embedders(
        start,
        finetune_embedder(start, splits.train, RECIPE),
        {"val": splits.val, "test": splits.test},
        (0.0, 0.5, 1.0),
    )
    total = table["task"] == ALL
    assert total.sum() == 6 and set(table["split"]) == {"val", "test"}
    table["mp_5"] = 0.9
    table.loc[total, "mp_5"] = [0.1, 0.3, 0.2, 0.9, 0.3, 0.1]  # val at three alphas, then test
    assert choose_alpha(table) == 0.5
    table["mp_5"] = 0.5
    assert choose_alpha(table) == 0.0


def test_an_embedder_comes_back_as_it_was(clip, splits, tmp_path):
    start = zero_shot_embedder(clip, splits.prompts, 4)
    save_embedder(start, clip, tmp_path / "e", {"alpha": 0.0})
    with torch.no_grad():
        torch.testing.assert_close(
            load_embedder(tmp_path / "e")(splits.val.images), start(splits.val.images)
        )
    with pytest.raises(UserError, match="exists"):
        save_embedder(start, clip, tmp_path / "e", {})
    (tmp_path / "e" / "model.safetensors").write_bytes(b"half")
    for folder in ("e", "nowhere"):
        with pytest.raises(UserError, match="is not an embedder"):
            load_embedder(tmp_path / folder)


def test_too_few_classes_are_an_error(clip, tasks):
    with pytest.raises(UserError, match="have 0 images; give more tasks"):
        disjoint_splits(clip, tasks, fractions=(0.9, 0.1))


def test_the_command_does_it_all(clip, clip_folder, tasks, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "wiseft_lite.tasks.load_task", lambda name, data: {t.name: t for t in tasks}[name]
    )
    out = tmp_path / "embed"
    command = [
        "embed",
        "--model",
        f"local-dir:{clip_folder}",
        "--tasks",
        "one,two",
        "--dimensions",
        "4",
        "--epochs",
        "1",
    ]
    assert main([*command, "--out", str(out)]) == 0
    printed, card = capsys.readouterr().out, json.loads((out / "card.json").read_text())
    assert "of classes never trained on" in printed and printed.count("chosen on val") == 1
    assert card["tasks"] == ["one", "two"] and card["recipe"]["epochs"] == 1
    rows = [json.loads(row) for row in (out / "retrieval.jsonl").read_text().splitlines()]
    best = max(
        (row for row in rows if row["split"] == "val" and row["task"] == ALL),
        key=lambda row: row["mp_5"],
    )
    assert card["alpha"] == best["alpha"]
    splits = disjoint_splits(clip, tasks, 0)
    start = zero_shot_embedder(clip, splits.prompts, 4)
    recipe, multiplier = default_recipe(f"local-dir:{clip_folder}")
    assert (recipe.lr, round(recipe.lr * multiplier, 8)) == (3e-4, 1e-5) and card[
        "encoder_lr_multiplier"
    ] == multiplier
    tuned = finetune_embedder(
        start, splits.train, replace(recipe, epochs=1), encoder_lr_multiplier=multiplier
    )
    expected = interpolate(start.state_dict(), tuned.state_dict(), card["alpha"])
    assert all(torch.equal(v, expected[k]) for k, v in load_embedder(out).state_dict().items())
    assert main([*command, "--out", str(out)]) == 2 and "exists" in capsys.readouterr().err


def write(task, folder):
    """A task as a folder of folders of images."""
    for part in (task.train, task.val, task.test, task.shifts["shift"]):
        for k, (image, label) in enumerate(part):
            path = folder / part.name / task.class_names[label] / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


def test_the_command_takes_folders_and_tables_and_more_images_than_memory_holds(
    clip, clip_folder, tasks, tmp_path, capsys, monkeypatch
):
    for each in tasks:
        write(each, tmp_path / each.name)
    files = sorted((tmp_path / "two").rglob("*.png"))
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{path.parent.parent.name}"
        for path in files
    ]
    (tmp_path / "second.csv").write_text("\n".join(["path,class,split", *rows]))
    command = [
        "embed",
        "--model",
        f"local-dir:{clip_folder}",
        "--tasks",
        f"{tmp_path / 'one'}, {tmp_path / 'second.csv'}",
        "--dimensions",
        "4",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--encoder-lr-multiplier",
        "0.5",
        "--lr",
        "0.05",
        "--seed",
        "5",
        "--device",
        "cpu",
        "--data",
        str(tmp_path),
    ]
    assert main([*command, "--out", str(tmp_path / "held")]) == 0
    printed = capsys.readouterr().out
    assert "2 tasks; trains on" in printed and "\none " in printed and "\nsecond " in printed
    assert json.loads((tmp_path / "held" / "card.json").read_text())["encoder_lr_multiplier"] == 0.5
    splits = disjoint_splits(
        clip, [load_task(tmp_path / "one"), load_task(str(tmp_path / "second.csv"))], 5
    )
    start, recipe = (
        zero_shot_embedder(clip, splits.prompts, 4),
        replace(EMBED, epochs=1, batch_size=8, lr=0.05, seed=5),
    )
    table = sweep_embedders(
        start,
        finetune_embedder(start, splits.train, recipe, encoder_lr_multiplier=0.5),
        {"val": splits.val, "test": splits.test},
    )
    pd.testing.assert_frame_equal(
        pd.read_json(tmp_path / "held" / "retrieval.jsonl", lines=True), table, check_dtype=False
    )
    assert (
        table[table["task"] == ALL].groupby("split")["mp_5"].nunique().min() > 1
    )  # the line is no constant
    monkeypatch.setattr("wiseft_lite.data.MEMORY_LIMIT", 10_000)
    assert main([*command, "--out", str(tmp_path / "streamed")]) == 0
    assert capsys.readouterr().out == printed.replace(
        str(tmp_path / "held"), str(tmp_path / "streamed")
    )
    both = [load_embedder(tmp_path / name).state_dict() for name in ("held", "streamed")]
    assert all(torch.equal(v, both[1][k]) for k, v in both[0].items())
    (tmp_path / "one" / "train" / "cat" / "0.png").write_bytes(b"no image")
    assert main([*command, "--out", str(tmp_path / "broken")]) == 2
    assert "0.png cannot be decoded" in capsys.readouterr().err


def test_an_image_for_which_no_class_is_right_is_left_out(clip, task):
    test = replace(
        task.test, labels=torch.where(torch.arange(len(task.test)) < 4, -1, task.test.labels)
    )
    without = replace(task, shifts={"some": replace(test, name="some")})
    label_of = {name: k for k, name in enumerate(task.class_names)}
    found = embedding._collect(clip, [(without, without.shifts["some"])], label_of, "test", 2)
    assert (
        len(found.labels) == len(task.test) - 4
        and found.labels.tolist() == test.labels[4:].tolist()
    )
