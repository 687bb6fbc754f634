import copy
import dataclasses
import json
import shutil
import socket
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from wiseft_lite import (
    Recipe,
    UserError,
    export_open_clip,
    finetune,
    load,
    load_clip,
    predict,
    save,
    sweep,
    zero_shot_classifier,
)
from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.analysis.baselines import scratch_classifier
from wiseft_lite.book.runs import trained
from wiseft_lite.checkpoints import check_same_start, read_card, read_origin, read_weights
from wiseft_lite.cli.main import main
from wiseft_lite.encoders import Origin, build_encoder, open_clip_config
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.retrieval.arcface import Embedder
from wiseft_lite.retrieval.embedders import load_embedder, save_embedder
from wiseft_lite.weights import check_finite


def test_round_trip_keeps_every_bit_and_the_card(theta_0, task, tmp_path):
    folder = save(theta_0, tmp_path / "a", recipe=Recipe(lr=0.5), metrics={"test": 0.25})
    again = load(folder)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in theta_0.state_dict().items())
    assert torch.equal(predict(again, task.test), predict(theta_0, task.test))
    card = json.loads((folder / "card.json").read_text())
    assert card["recipe"]["lr"] == 0.5 and card["metrics"] == {"test": 0.25}
    assert card["class_names"] == list(task.class_names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]  # no temporary folder is left


def test_a_published_encoder_is_built_from_the_card_without_a_download(tmp_path, monkeypatch):
    import open_clip

    name = "ViT-B-32/openai"
    encoder, preprocess = build_encoder(Origin(name, open_clip_config(name)))
    assert encoder.output_dim == 512
    assert tuple(preprocess.transforms[-1].mean) == open_clip.OPENAI_DATASET_MEAN
    encoder.transformer.resblocks = encoder.transformer.resblocks[:1]  # a smaller file
    origin = copy.deepcopy(encoder.origin.config)
    origin["model_cfg"]["vision_cfg"]["layers"] = 1
    encoder.origin = dataclasses.replace(encoder.origin, config=origin)
    head = Head(torch.randn(3, 512))
    classifier = ImageClassifier(encoder, head, preprocess, ("a", "b", "c"), name).eval()
    folder = save(classifier, tmp_path / "a")

    def fail(*args, **kwargs):
        raise AssertionError("a pre-trained model was asked for")

    for function in ("create_model", "create_model_and_transforms", "download_pretrained"):
        monkeypatch.setattr(open_clip, function, fail)
        monkeypatch.setattr(f"open_clip.factory.{function}", fail)
    monkeypatch.setattr(socket, "socket", fail)
    reads = []
    read_text = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a, **k: reads.append(path.name) or read_text(path, *a, **k)
    )
    again = load(folder)
    assert reads.count("card.json") == 1
    assert repr(again.preprocess) == repr(preprocess) and again.encoder_name == name
    image = again.preprocess(Image.new("RGB", (300, 200), "red"))
    with torch.no_grad():
        assert torch.equal(again(image[None]), classifier(image[None]))


def test_nothing_is_overwritten_unasked(theta_0, tuned, tmp_path):
    folder = save(theta_0, tmp_path / "a")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="exists"):
        save(tuned, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    save(tuned, folder, overwrite=True)
    assert torch.equal(load(folder).head.weight, tuned.head.weight)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not a checkpoint"):
        save(theta_0, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm, message",
    [
        (truncate, "missing or damaged"),
        (flip, "missing or damaged"),
        (lambda f: (f / "model.safetensors").unlink(), "missing or damaged"),
        (lambda f: (f / "card.json").unlink(), "no card.json"),
        (lambda f: (f / "card.json").write_text('{"schema": 1'), "card.json is damaged"),
        (lambda f: (f / "card.json").write_text('{"schema": 1}'), "lacks encoder"),
        (
            lambda f: (f / "card.json").write_text(
                (f / "card.json").read_text().replace('"schema": 2', '"schema": 9')
            ),
            "upgrade",
        ),
    ],
)
def test_damage_is_noticed(theta_0, tmp_path, harm, message):
    folder = save(theta_0, tmp_path / "a")
    harm(folder)
    with pytest.raises(UserError, match=message):
        load(folder)


def test_a_failed_save_keeps_the_old_checkpoint(theta_0, tuned, tmp_path, monkeypatch):
    folder = save(theta_0, tmp_path / "a")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        save(tuned, folder, overwrite=True)
    assert torch.equal(load(folder).head.weight, theta_0.head.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# An encoder is known by its content, wherever its model lies


@pytest.fixture
def model(clip_folder, tmp_path, monkeypatch):
    """A model of the user's own in the working folder, known by a relative path."""
    shutil.copytree(clip_folder, tmp_path / "work" / "model")
    monkeypatch.chdir(tmp_path / "work")
    return "local-dir:model"


def other_model(folder, change):
    """Put another model's weights into a folder: those keys of it that ``change`` accepts."""
    path = folder / "open_clip_model.safetensors"
    save_file(
        {key: tensor + 1 if change(key) else tensor for key, tensor in load_file(path).items()},
        path,
        metadata={"format": "pt"},
    )


def test_a_checkpoint_can_be_moved_and_read_from_anywhere_without_the_model_that_it_came_from(
    model, task, tmp_path, monkeypatch
):
    classifier = zero_shot_classifier(load_clip(model), task)
    expected = predict(classifier, task.test)
    save(classifier, "checkpoint")
    shutil.move("checkpoint", tmp_path / "moved")
    shutil.rmtree("model")
    monkeypatch.chdir(tmp_path)
    again = load("moved")
    assert torch.equal(predict(again, task.test), expected)
    assert torch.equal(predict(load(save(again, "again")), task.test), expected)
    assert read_card("again")["config"] == read_card("moved")["config"]


def test_an_export_takes_the_text_encoder_that_belongs_to_the_model_or_none(
    model, task, clip, tmp_path, monkeypatch, capsys
):
    save(zero_shot_classifier(load_clip(model), task), "checkpoint")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "work/checkpoint", "--out", "a"]) == 0  # from another folder
    texts = clip.tokenizer(["a disc"])
    assert torch.equal(
        load_clip("local-dir:a").model.encode_text(texts), clip.model.encode_text(texts)
    )

    shutil.move("work/model", "elsewhere")
    assert main(["export", "work/checkpoint", "--out", "b"]) == 2
    error = capsys.readouterr().err
    assert "the text encoder is not found" in error and "--text-encoder local-dir:PATH" in error
    assert (
        main(["export", "work/checkpoint", "--text-encoder", "local-dir:elsewhere", "--out", "b"])
        == 0
    )
    assert torch.equal(
        load_clip("local-dir:b").model.encode_text(texts), clip.model.encode_text(texts)
    )

    shutil.copytree("elsewhere", "work/model")
    other_model(
        tmp_path / "work" / "model", lambda key: key == "token_embedding.weight"
    )  # another model at its path
    assert main(["export", "work/checkpoint", "--out", "c"]) == 2
    assert "has another text encoder" in capsys.readouterr().err
    other_model(
        tmp_path / "elsewhere", lambda key: key.startswith("visual.")
    )  # the image encoder may have been tuned
    assert (
        main(["export", "work/checkpoint", "--text-encoder", "local-dir:elsewhere", "--out", "c"])
        == 0
    )
    assert main(["export", "work/checkpoint", "--text-encoder", "iconclip", "--out", "d"]) == 2
    assert "encoder differ in their architecture" in capsys.readouterr().err


def older(folder, name):
    """The card that the first version wrote: the encoder's name and nothing more of it."""
    card = read_card(folder)
    del card["config"], card["text_encoder"]
    (folder / "card.json").write_text(json.dumps({**card, "schema": 1, "encoder": name}))


def test_cards_of_the_first_version_are_read_as_long_as_the_name_leads_to_the_model(
    model, task, tmp_path, monkeypatch
):
    classifier = zero_shot_classifier(load_clip(model), task)
    folder = save(classifier, tmp_path / "old")
    older(folder, model)
    assert torch.equal(predict(load(folder), task.test), predict(classifier, task.test))
    with pytest.raises(UserError, match="of an older version.*text encoder"):
        export_open_clip(load(folder), tmp_path / "out")
    assert export_open_clip(load(folder), tmp_path / "out", text_encoder=model).is_dir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match="older version, which kept only the name of its encoder, 'local-dir:model'"
    ):
        load(folder)
    icons = save(zero_shot_classifier(load_clip(), task), tmp_path / "icons")
    new = read_origin(icons)
    older(icons, "iconclip")
    assert not read_origin(icons).differences(new)
    assert (
        export_open_clip(load(icons), tmp_path / "out2") / "open_clip_model.safetensors"
    ).exists()


def test_a_model_that_is_none_of_open_clips_is_saved_and_says_so_when_it_is_loaded(task, tmp_path):
    classifier = scratch_classifier("convnet", task, load_clip().preprocess)
    folder = save(classifier, tmp_path / "a")
    assert read_origin(folder) is None and set(read_weights(folder)) == set(classifier.state_dict())
    with pytest.raises(UserError, match="that open_clip cannot build"):
        load(folder)
    with pytest.raises(UserError, match="scratch-convnet.*open_clip"):
        export_open_clip(classifier, tmp_path / "b")


def with_origin(classifier, **changes):
    """The same classifier, described otherwise."""
    other = copy.deepcopy(classifier)
    config = copy.deepcopy(other.encoder.origin.config)
    config["model_cfg"] |= changes.pop("model_cfg", {})
    config["preprocess_cfg"] |= changes.pop("preprocess_cfg", {})
    other.encoder.origin = dataclasses.replace(other.encoder.origin, config=config, **changes)
    return other


@pytest.mark.parametrize(
    "change, what",
    [
        ({"name": "another", "text_encoder": "another"}, None),
        ({"model_cfg": {"quick_gelu": False}}, None),  # the same as if it is not there
        ({"model_cfg": {"text_cfg": {}}}, None),
        ({"model_cfg": {"quick_gelu": True}}, "architecture"),
        ({"preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}}, "preprocessing"),
        ({"preprocess_cfg": {"resize_mode": "squash"}}, "preprocessing"),
    ],
)
def test_every_way_to_one_pair_compares_it_by_content(
    theta_0, tuned, task, change, what, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda *_: task)
    a, b = save(theta_0, tmp_path / "a"), save(with_origin(tuned, **change), tmp_path / "b")
    codes = [
        main([name, str(a), str(b), *more, "--out", str(tmp_path / f"{name}{len(more)}")])
        for name, *more in (
            ("interpolate",),
            ("soup",),
            ("soup", "--greedy"),
            ("sweep", "--alphas", "0,1"),
        )
    ]
    errors = capsys.readouterr().err
    assert codes == 4 * [0 if what is None else 2]
    assert errors.count(f"differ in their {what};") == (0 if what is None else 4)
    with (
        warnings.catch_warnings()
        if what is None
        else pytest.raises(UserError, match=f"differ in their {what}")
    ):
        sweep(theta_0, with_origin(tuned, **change), {"test": task.test}, [0, 1])


def test_weights_of_other_shapes_are_named(theta_0, tmp_path):
    a = save(theta_0, tmp_path / "a")
    b = save(theta_0, tmp_path / "b")
    weights = load_file(b / "model.safetensors")
    save_file({**weights, "head.bias": torch.zeros(9)}, b / "model.safetensors")
    with pytest.raises(UserError, match="a and b differ in their tensors .head.bias"):
        check_same_start({"a": a, "b": b})


def test_an_embedder_is_read_without_its_model_too_and_its_weights_are_looked_at(
    model, tmp_path, monkeypatch
):
    clip = load_clip(model)
    embedder = Embedder(clip.image_encoder(), torch.eye(4, 16)).eval()
    save_embedder(embedder, clip, tmp_path / "e", {})
    shutil.rmtree("model")
    monkeypatch.chdir(tmp_path)
    images = torch.randn(2, 3, 24, 24)
    assert torch.equal(load_embedder("e")(images), embedder(images))
    path = tmp_path / "e" / "model.safetensors"
    save_file({key: tensor * torch.inf for key, tensor in load_file(path).items()}, path)
    with pytest.raises(UserError, match="e has weights that are not finite"):
        load_embedder("e")


# Weights that are not finite come in nowhere, and go out nowhere


def spoiled(folder, value=torch.nan, key="encoder.proj"):
    """The checkpoint with one weight that is not finite, and a hash that says that it is whole."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights[key].view(-1)[3] = value
    save_file(weights, path)
    card = read_card(folder)
    (folder / "card.json").write_text(json.dumps({**card, "sha256": file_sha256(path)}))
    return folder


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "command", ["evaluate", "export", "interpolate", "sweep", "soup", "soup --greedy"]
)
def test_no_command_uses_weights_that_are_not_finite(
    command, value, theta_0, task, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda *_: task)
    good, bad = save(theta_0, tmp_path / "good"), spoiled(save(theta_0, tmp_path / "bad"), value)
    pair = [str(bad)] if command in ("evaluate", "export") else [str(good), str(bad)]
    name, *more = command.split()
    assert main([name, *pair, *more, "--out", str(tmp_path / "out")]) == 2
    assert (
        f"{bad / 'model.safetensors'} has weights that are not finite: encoder.proj"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_of_weight_is_looked_at(dtype, theta_0, tmp_path):
    weights = {"n": torch.tensor(3), "none": torch.empty(0), "w": torch.ones(4, dtype=dtype)}
    check_finite(weights, "x")
    weights["w"][2] = torch.nan
    with pytest.raises(UserError, match="x has weights that are not finite: w;"):
        check_finite(weights, "x")


def test_a_model_whose_weights_are_not_finite_is_not_saved(theta_0, clip_folder, tmp_path):
    weights = {key: tensor.clone() for key, tensor in theta_0.state_dict().items()}
    weights["head.bias"][0] = torch.inf
    with pytest.raises(UserError, match="not finite: head.bias"):
        save(theta_0.with_weights(weights), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    shutil.copytree(clip_folder, tmp_path / "clip")
    other_model(tmp_path / "clip", lambda key: False)
    path = tmp_path / "clip" / "open_clip_model.safetensors"
    weights = load_file(path)
    save_file({**weights, "visual.proj": weights["visual.proj"] * torch.nan}, path)
    with pytest.raises(UserError, match="clip' has weights that are not finite: visual.proj"):
        load_clip(f"local-dir:{tmp_path / 'clip'}")


def test_a_soup_is_warned_of_models_that_are_not_connected(
    theta_0, task, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda *_: task)
    better = finetune(theta_0, task, Recipe(epochs=3, lr=1e-2, batch_size=16))
    weights = better.state_dict()
    a, b = save(better, tmp_path / "a"), save(better, tmp_path / "b")
    mirrored = {
        key: -tensor if key in ("encoder.proj", "head.weight") else tensor
        for key, tensor in weights.items()
    }
    c = save(
        better.with_weights(mirrored), tmp_path / "c"
    )  # the same function, and the mean with it is none
    assert main(["soup", str(a), str(b), str(c), "--out", str(tmp_path / "soup")]) == 0
    error = capsys.readouterr().err
    assert error.count("are not connected") == 1 and f"{a} and {c} are not connected" in error


def test_a_run_in_the_cache_with_a_card_that_cannot_be_read_is_done_again(
    theta_0, task, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    recipe = Recipe(epochs=1, lr=1e-2, batch_size=16)
    first = trained(theta_0, task, recipe)
    card = next(tmp_path.rglob("card.json"))
    for text in ('{"schema": 9}', "{", json.dumps({**json.loads(card.read_text()), "schema": 9})):
        card.write_text(text)
        assert torch.equal(trained(theta_0, task, recipe).head.weight, first.head.weight)
        assert json.loads(card.read_text())["schema"] == 2
    assert capsys.readouterr().err.count("Training (finetune") == 4


def test_weights_of_half_precision_are_computed_with_in_float32(theta_0, task, tmp_path):
    half = {
        name: value.half().float() if value.is_floating_point() else value
        for name, value in theta_0.state_dict().items()
    }
    folder = save(copy.deepcopy(theta_0).half(), tmp_path / "half")
    model = load(folder)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert torch.equal(predict(model, task.test), predict(theta_0.with_weights(half), task.test))


def test_a_file_that_is_no_safetensors_is_named_though_its_hash_is_right(theta_0, tmp_path):
    folder = save(theta_0, tmp_path / "a")
    card = json.loads((folder / "card.json").read_text())
    (folder / "model.safetensors").write_bytes(b"\x80\x04N.")
    card["sha256"] = file_sha256(folder / "model.safetensors")
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"a/model\.safetensors is"):
        load(folder)
