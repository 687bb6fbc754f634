"""Checkpoints of others in, open_clip's format out."""

import json
import os
import pickle
from pathlib import Path

import open_clip
import peers
import pytest
import torch
from safetensors.torch import load_file, save_file

from wiseft_lite import (
    UserError,
    accuracy,
    load,
    load_clip,
    predict,
    save,
    sweep,
    zero_shot_classifier,
)
from wiseft_lite.cli.main import main
from wiseft_lite.encoders import architectures_of, image_encoder, open_clip_config
from wiseft_lite.features import pixels
from wiseft_lite.interop.interchange import (
    _identified,
    export_open_clip,
    import_checkpoint,
    import_clip,
)
from wiseft_lite.interop.layouts import Parts

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    peers.register(tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="module")
def images():
    return torch.randn(7, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def safetensors(weights, path):
    save_file(
        {key: tensor.clone() for key, tensor in weights.items()}, path.with_suffix(".safetensors")
    )
    return path.with_suffix(".safetensors")


WITH_HEAD = {
    **{
        f"wise-ft pickle, protocol {p}": lambda path, p=p: peers.wise_ft(path, protocol=p)
        for p in (2, 3, 4, 5)
    },
    **{
        f"wise-ft {how}": lambda path, how=how: peers.wise_ft(path, how)
        for how in ("torch.save", "old torch.save", "state dict")
    },
    "model-soups": peers.model_soups,
    "model-soups, DataParallel": lambda path: peers.model_soups(path, "module."),
    "model-soups, safetensors": lambda path: safetensors(peers.model_soups_weights(), path),
}


@pytest.mark.parametrize("write", WITH_HEAD.values(), ids=WITH_HEAD)
def test_a_fine_tuned_classifier_gives_the_same_logits_here_and_after_export_in_open_clip_alone(
    write, tmp_path, images, task
):
    file = write(tmp_path / "file.pt")
    expected = peers.logits(peers.clip_model(), peers.head_of(), images)
    classifier = import_checkpoint(file, peers.CLASSES)
    assert classifier.encoder_name == "tiny-quickgelu/none" and not classifier.training
    torch.testing.assert_close(classifier(images), expected)

    inputs = pixels(classifier, task.test)
    theirs = peers.logits(peers.clip_model(), peers.head_of(), inputs)
    assert accuracy(predict(classifier, task.test), task.test.labels) == accuracy(
        theirs, task.test.labels
    )

    folder = export_open_clip(classifier, tmp_path / "exported")
    config = json.loads((folder / "open_clip_config.json").read_text())
    assert config["model_cfg"]["quick_gelu"] is True
    alone = open_clip.create_model(
        "tiny-quickgelu", pretrained_image_path=str(folder / "image_encoder.safetensors")
    )
    torch.testing.assert_close(
        peers.logits(alone.eval(), load_file(folder / "head.safetensors"), images), expected
    )
    assert json.loads((folder / "class_names.json").read_text()) == list(peers.CLASSES)
    assert not (
        folder / "open_clip_model.safetensors"
    ).exists()  # a text encoder of random weights would mislead

    again = load(save(classifier, tmp_path / "ours"))
    assert torch.equal(again(images), classifier(images))


WHOLE = {
    "OpenAI": (peers.openai, {}, True),
    "OpenAI, state dict": (
        lambda path: (torch.save(peers.clip_model().state_dict(), path), path)[1],
        {"architecture": "tiny-quickgelu"},
        True,
    ),
    "open_clip, training": (peers.open_clip_training, {"architecture": "tiny"}, False),
    "open_clip, safetensors": (
        lambda path: safetensors(peers.clip_model(False).state_dict(), path),
        {"architecture": "tiny"},
        False,
    ),
}


@pytest.mark.parametrize("write, how, quick", WHOLE.values(), ids=WHOLE)
def test_a_whole_clip_becomes_a_folder_that_embeds_pictures_and_texts_alike(
    write, how, quick, tmp_path, images, task
):
    clip = import_clip(write(tmp_path / "file.pt"), tmp_path / "clip", **how)
    original = peers.clip_model(quick)
    if write is peers.openai:
        original = original.half().float()  # as the file has them
    texts = clip.tokenizer(["a disc", "a bar"])
    with torch.no_grad():
        torch.testing.assert_close(clip.model.encode_image(images), original.encode_image(images))
        torch.testing.assert_close(clip.model.encode_text(texts), original.encode_text(texts))

    classifier = zero_shot_classifier(clip, task)
    folder = export_open_clip(load(save(classifier, tmp_path / "ours")), tmp_path / "exported")
    alone, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    inputs = torch.stack([preprocess(task.test[i][0]) for i in range(5)])
    assert torch.equal(inputs, pixels(classifier, task.test)[:5])
    torch.testing.assert_close(
        peers.logits(alone.eval(), load_file(folder / "head.safetensors"), inputs),
        classifier(inputs),
    )
    with torch.no_grad():
        torch.testing.assert_close(alone.encode_text(texts), original.encode_text(texts))


def test_what_was_fine_tuned_here_goes_to_open_clip_with_its_text_tower(
    tuned, task, clip, tmp_path
):
    folder = export_open_clip(tuned, tmp_path / "exported")
    alone, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    inputs = torch.stack([preprocess(image) for image in task.test.images])
    ours = peers.logits(alone.eval(), load_file(folder / "head.safetensors"), inputs)
    torch.testing.assert_close(ours, predict(tuned, task.test))
    texts = clip.tokenizer(["a disc"])
    assert torch.equal(alone.encode_text(texts), clip.model.encode_text(texts))
    again = load_clip(f"local-dir:{folder}")
    assert torch.equal(again.model.visual.proj, tuned.encoder.proj)


def with_head(quick=True, whole=False):
    """A classifier in the authors' layout, or (``whole``) in one of the same module names with a
    whole CLIP in it."""
    model = peers.clip_model(quick)
    if not whole:
        del model.transformer
    return {
        **{f"model.{key}": value for key, value in model.state_dict().items()},
        **{f"classification_head.{key}": value for key, value in peers.head_of().items()},
    }


def prefixed(prefix):
    return lambda weights: {f"{prefix}{key}": value for key, value in weights.items()}


def inside(key):
    """``torch.compile`` and FSDP of the inner module put their names between others."""
    return lambda weights: {
        name.replace(key, f"_orig_mod.{key}_fsdp_wrapped_module."): value
        for name, value in weights.items()
    }


OPTIMIZER = {
    "state": {"visual.proj": {"exp_avg": torch.full((3,), torch.nan)}},  # named as FSDP names it
    "param_groups": [{"lr": 0.1}],
}
WRAPPERS = {
    "none": lambda weights: weights,
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "any prefix": prefixed("model.net."),
    "trainer": lambda weights: {"model": weights, "optimizer": OPTIMIZER, "epoch": 3},
    "open_clip": lambda weights: {
        "epoch": 3,
        "name": "run",
        "state_dict": prefixed("module.")(weights),
        "optimizer": OPTIMIZER,
    },
    "Lightning": lambda weights: {
        "pytorch-lightning_version": "2.4",
        "state_dict": prefixed("model.")(weights),
        "hyper_parameters": {"lr": 1e-5},
        "optimizer_states": [OPTIMIZER],
    },
    "Lightning, compiled": lambda weights: {"state_dict": prefixed("model._orig_mod.")(weights)},
    "nested twice": lambda weights: {
        "checkpoint": {"model_state_dict": prefixed("module.")(weights)}
    },
    "inside": inside("visual."),
}


def written(content, path):
    torch.save(content, path)
    return path


def test_an_import_that_cannot_be_loaded_leaves_everything_as_it_was(tmp_path, monkeypatch):
    file = peers.openai(tmp_path / "file.pt")
    import_clip(file, tmp_path / "clip")
    before = {path: path.read_bytes() for path in (tmp_path / "clip").iterdir()}

    def refuse(name, device="cpu"):
        raise UserError(f"model {name!r} cannot be used")

    monkeypatch.setattr("wiseft_lite.interop.interchange.load_clip", refuse)
    for name, overwrite in (("clip", True), ("other", False)):
        with pytest.raises(UserError, match=f"file.pt .*local-dir:{tmp_path / name}'"):
            import_clip(file, tmp_path / name, overwrite=overwrite)
    assert before == {path: path.read_bytes() for path in (tmp_path / "clip").iterdir()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "file.pt"]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapper_is_no_clue_to_the_activation(wrap, tmp_path, images):
    """Weights of a CLIP with GELU, as LAION's are: QuickGELU would change every prediction without
    any error."""
    model = peers.clip_model(False)
    file = written(wrap(model.state_dict()), tmp_path / "file.pt")
    with pytest.raises(UserError, match="file.pt may be tiny or tiny-quickgelu"):
        import_clip(file, tmp_path / "clip")
    clip = import_clip(file, tmp_path / "clip", architecture="tiny")
    with torch.no_grad():
        torch.testing.assert_close(clip.model.encode_image(images), model.encode_image(images))


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_the_authors_layout_is_known_under_every_wrapper_and_so_is_the_head(wrap, tmp_path, images):
    file = written(wrap(with_head()), tmp_path / "file.pt")
    classifier = import_checkpoint(file, peers.CLASSES)
    assert classifier.encoder_name == "tiny-quickgelu/none"
    torch.testing.assert_close(
        classifier(images), peers.logits(peers.clip_model(), peers.head_of(), images)
    )


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_classifier_that_is_not_the_authors_is_asked_about(wrap, tmp_path, images):
    """Neither wise-ft nor model-soups keeps the text encoder's blocks, so such a file is somebody
    else's."""
    file = written(wrap(with_head(quick=False, whole=True)), tmp_path / "file.pt")
    with pytest.raises(UserError, match="may be tiny or tiny-quickgelu"):
        import_checkpoint(file, peers.CLASSES)
    classifier = import_checkpoint(file, peers.CLASSES, architecture="tiny")
    torch.testing.assert_close(
        classifier(images), peers.logits(peers.clip_model(False), peers.head_of(), images)
    )


def test_the_activation_is_read_from_a_module_or_asked_for(tmp_path, images):
    plain = import_checkpoint(peers.wise_ft(tmp_path / "gelu.pt", quick=False), peers.CLASSES)
    assert plain.encoder_name == "tiny/none"
    torch.testing.assert_close(
        plain(images), peers.logits(peers.clip_model(False), peers.head_of(), images)
    )
    assert (
        import_checkpoint(
            peers.model_soups(tmp_path / "soup.pt"), peers.CLASSES, architecture="tiny"
        ).encoder_name
        == "tiny/none"
    )  # the caller knows best


BESIDE = {
    "open_clip_config.json": lambda quick: (
        "open_clip_config.json",
        json.dumps(
            {
                "model_cfg": {**peers.CONFIG, "quick_gelu": quick},
                "preprocess_cfg": {"mean": [0.1] * 3},
            }
        ),
    ),
    "config.json": lambda quick: (
        "config.json",
        json.dumps(
            {"vision_config": {"hidden_size": 32, "hidden_act": "quick_gelu" if quick else "gelu"}}
        ),
    ),
    "params.txt": lambda quick: (
        "params.txt",
        f"model: tiny\npretrained: \nforce_quick_gelu: {quick}\n",
    ),
    "params.txt, by name": lambda quick: (
        "params.txt",
        f"model: tiny{'-quickgelu' if quick else ''}\npretrained: x\nforce_quick_gelu: False\n",
    ),
}


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_a_configuration_beside_the_file_decides(beside, quick, tmp_path, images):
    model, (name, text) = peers.clip_model(quick), beside(quick)
    (tmp_path / "checkpoints").mkdir()
    file = written(
        {"epoch": 1, "state_dict": prefixed("module.")(model.state_dict())},
        tmp_path / "checkpoints" / "epoch_1.pt",
    )
    (tmp_path / ("" if name == "params.txt" else "checkpoints") / name).write_text(text)
    clip = import_clip(file, tmp_path / "clip")
    with torch.no_grad():
        torch.testing.assert_close(clip.model.encode_image(images), model.encode_image(images))
    assert clip.model.visual.preprocess_cfg["mean"] == (
        [0.1] * 3 if name == "open_clip_config.json" else list(open_clip.OPENAI_DATASET_MEAN)
    )


def test_clues_that_disagree_are_named_and_those_of_other_models_do_not_count(tmp_path):
    soup = peers.model_soups(tmp_path / "soup.pt")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": peers.CONFIG}))
    with pytest.raises(
        UserError, match="QuickGELU .the layout of wise-ft.* against GELU .open_clip_config"
    ):
        import_checkpoint(soup, peers.CLASSES)
    assert (
        import_checkpoint(soup, peers.CLASSES, architecture="tiny-quickgelu").encoder_name
        == "tiny-quickgelu/none"
    )
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {**peers.CONFIG, "embed_dim": 7}})
    )
    (tmp_path / "config.json").write_text(
        '{"vision_config": {"hidden_size": 7, "hidden_act": "gelu"}}'
    )
    (tmp_path / "params.txt").write_text("model: RN50\nforce_quick_gelu: False\n")
    assert import_checkpoint(soup, peers.CLASSES).encoder_name == "tiny-quickgelu/none"
    file = written(peers.clip_model().state_dict(), tmp_path / "clip.pt")
    (tmp_path / "params.txt").write_text(
        "model: tiny\npretrained: openai\nforce_quick_gelu: False\n"
    )
    with pytest.raises(
        UserError, match="may be tiny or tiny-quickgelu"
    ):  # versions of open_clip differ in its meaning
        import_clip(file, tmp_path / "clip")


def test_a_file_without_a_head_is_told_once_what_does_work_and_it_works(
    tmp_path, clip_folder, clip, images, capsys
):
    whole = written(clip.model.state_dict(), tmp_path / "whole.pt")
    visual = {f"visual.{key}": value for key, value in clip.model.visual.state_dict().items()}
    alone = written(prefixed("model.")(visual), tmp_path / "alone.pt")
    names = tmp_path / "classes.txt"
    names.write_text("disc\nsquare\nbar\n")
    for file in (whole, alone):
        assert (
            main(["import", str(file), "--classes", str(names), "--out", str(tmp_path / "x")]) == 2
        )
        error = capsys.readouterr().err
        assert "no classification head" in error and ("--text-encoder" in error) == (file == alone)
    assert main(["import", str(whole), "--architecture", "tiny", "--out", str(tmp_path / "a")]) == 0
    assert main(["import", str(alone), "--out", str(tmp_path / "b")]) == 2
    assert "--text-encoder" in capsys.readouterr().err
    assert (
        main(
            [
                "import",
                str(alone),
                "--text-encoder",
                f"local-dir:{clip_folder}",
                "--out",
                str(tmp_path / "b"),
            ]
        )
        == 0
    )
    with pytest.raises(UserError, match="remove architecture 'tiny'"):
        import_clip(
            alone, tmp_path / "c", text_encoder=f"local-dir:{clip_folder}", architecture="tiny"
        )
    with pytest.raises(
        UserError, match="alone.pt does not have the shapes of the image encoder of 'iconclip'"
    ):
        import_clip(alone, tmp_path / "c", text_encoder="iconclip")
    text = clip.tokenizer(["a disc"])
    for folder in ("a", "b"):
        again = load_clip(f"local-dir:{tmp_path / folder}")
        assert torch.equal(again.model.encode_image(images), clip.model.encode_image(images))
        assert torch.equal(again.model.encode_text(text), clip.model.encode_text(text))
    soup = peers.model_soups(tmp_path / "soup.pt")
    assert main(["import", str(soup), "--out", str(tmp_path / "c")]) == 2
    assert "wiseft-lite import FILE --classes" in capsys.readouterr().err


def test_of_several_models_in_a_file_one_is_named(tmp_path, images):
    other = {**with_head(), **prefixed("model.")(peers.clip_model(seed=1).state_dict())}
    file = written({"model": with_head(), "model_ema": other}, tmp_path / "file.pt")
    with pytest.raises(
        UserError, match="several models, whose keys begin with 'model.' and 'model_ema.'"
    ):
        import_checkpoint(file, peers.CLASSES)
    for prefix, seed in (("model.", 0), ("model_ema.", 1)):
        classifier = import_checkpoint(
            file, peers.CLASSES, prefix=prefix, architecture="tiny-quickgelu"
        )
        expected = peers.logits(peers.clip_model(seed=seed), peers.head_of(), images)
        torch.testing.assert_close(classifier(images), expected)


def test_weights_that_are_left_out_are_named(tmp_path):
    file = written({**with_head(), "adapter.down.weight": torch.ones(2)}, tmp_path / "file.pt")
    with pytest.warns(
        UserWarning, match="1 tensors belong neither to CLIP nor to a head .*adapter.down.weight"
    ):
        import_checkpoint(file, peers.CLASSES)


@pytest.mark.parametrize(
    "content, whose",
    [
        ({"vision_model.embeddings.class_embedding": torch.ones(2)}, "Hugging Face transformers"),
        ({"blocks.0.attn.qkv.weight": torch.ones(2)}, "timm"),
        (
            {"encoder.proj": torch.ones(2), "head.weight": torch.ones(2)},
            "a classifier of this library",
        ),
    ],
)
def test_a_file_in_another_layout_is_called_by_its_name(content, whose, tmp_path):
    with pytest.raises(UserError, match=f"no image encoder of CLIP .its keys are those of {whose}"):
        import_checkpoint(written(content, tmp_path / "file.pt"), peers.CLASSES)


def test_another_image_size_is_named_and_kept_or_resized(tmp_path, clip, task, capsys):
    model = peers.wider(36)
    weights = {
        f"model.{key}": value
        for key, value in model.state_dict().items()
        if not key.startswith("transformer.")
    }
    file = written(
        {**weights, **prefixed("classification_head.")(peers.head_of())}, tmp_path / "file.pt"
    )
    with pytest.raises(
        UserError,
        match="positional embeddings for images of 36 x 36 pixels, tiny and tiny-quickgelu "
        "for 24; .*image_size=36.*image_size=24",
    ):
        import_checkpoint(file, peers.CLASSES)
    larger = torch.randn(3, 3, 36, 36)
    kept = import_checkpoint(file, peers.CLASSES, image_size=36)
    torch.testing.assert_close(kept(larger), peers.logits(model, peers.head_of(), larger))
    again = load(save(kept, tmp_path / "kept"))
    assert torch.equal(again(larger), kept(larger)) and again.preprocess(task.test[0][0]).shape == (
        3,
        36,
        36,
    )
    (tmp_path / "classes.txt").write_text("disc\nsquare\nbar\n")
    assert (
        main(
            [
                "import",
                str(file),
                "--classes",
                str(tmp_path / "classes.txt"),
                "--image-size",
                "24",
                "--out",
                str(tmp_path / "resized"),
            ]
        )
        == 0
    )
    resized = load(tmp_path / "resized")
    theirs = model.state_dict()
    open_clip.model.resize_pos_embed(theirs, peers.clip_model())
    assert torch.equal(resized.encoder.positional_embedding, theirs["visual.positional_embedding"])
    assert resized.encoder_name == "tiny-quickgelu/none" and resized.preprocess(
        task.test[0][0]
    ).shape == (3, 24, 24)
    with pytest.raises(UserError, match="differ in their architecture"):
        sweep(kept, resized, {"test": task.test}, [0, 1])


def test_an_image_encoder_of_timm_is_imported_and_one_with_huggingfaces_text_encoder_too(
    tmp_path, task
):
    timm = {
        "embed_dim": 12,
        "quick_gelu": False,
        "text_cfg": {**peers.CONFIG["text_cfg"]},
        "vision_cfg": {
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 160,
        },
    }
    hugging_face = {
        **peers.CONFIG,
        "vision_cfg": {**peers.CONFIG["vision_cfg"], "width": 48},
        "text_cfg": {"hf_model_name": "roberta-base", "hf_tokenizer_name": "roberta-base"},
    }
    for name, config in (("timm", timm), ("roberta", hugging_face)):
        (tmp_path / f"tiny-{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"tiny-{name}.json")
        torch.manual_seed(0)
        visual = image_encoder(config).eval()
        weights = {
            **prefixed("net.visual.")(visual.state_dict()),
            "classification_head.weight": torch.randn(3, config["embed_dim"]),
        }
        classifier = import_checkpoint(written(weights, tmp_path / f"{name}.pt"), peers.CLASSES)
        assert classifier.encoder_name == f"tiny-{name}/none"
        inputs = pixels(classifier, task.test)[:2]
        with torch.no_grad():
            torch.testing.assert_close(classifier.encoder(inputs), visual(inputs))
        assert torch.equal(load(save(classifier, tmp_path / name))(inputs), classifier(inputs))


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50"])
def test_the_architectures_that_people_have_are_told_apart_by_their_shapes(name):
    with torch.device("meta"):
        weights = open_clip.create_model(name, load_weights=False, device="meta").state_dict()
    shapes = {key: tensor.shape for key, tensor in weights.items()}
    assert set(architectures_of(shapes)) == {name, f"{name}-quickgelu"}
    image = {key: shape for key, shape in shapes.items() if key.startswith("visual.")}
    assert {name, f"{name}-quickgelu"} <= set(architectures_of(image))
    assert not architectures_of(image, embed_dim=7)
    weights = {key: torch.empty(shape, device="meta") for key, shape in image.items()}
    for clues, architecture in (({"a": True}, f"{name}-quickgelu"), ({"a": False}, name)):
        origin, _ = _identified(Path("x.pt"), Parts(weights, {}, {}, clues), weights, None, None)
        assert origin.name == f"{architecture}/none"
    with pytest.raises(UserError, match=f"may be {name} or {name}-quickgelu"):
        _identified(Path("x.pt"), Parts(weights, {}, {}, {}), weights, None, None)
    image["visual.conv1.weight"] = torch.Size([7, 3, 2, 2])
    assert not architectures_of(image)


def test_weights_in_half_precision_are_used_in_float32(tmp_path, images):
    soup = import_checkpoint(
        peers.model_soups(tmp_path / "soup.pt", dtype=torch.float16), peers.CLASSES
    )
    assert {tensor.dtype for tensor in soup.state_dict().values()} == {torch.float32}
    expected = peers.logits(peers.clip_model(), peers.head_of(), images)
    torch.testing.assert_close(soup(images), expected, atol=0.1, rtol=0.1)


def test_a_model_that_open_clip_was_told_to_give_quickgelu_says_so_in_its_configuration():
    assert "quick_gelu" not in open_clip_config("tiny/none")["model_cfg"]
    assert (
        open_clip_config("ViT-B-32/openai")["model_cfg"]["quick_gelu"] is True
    )  # nothing is downloaded for that


def without(weights, *endings):
    return {key: value for key, value in weights.items() if not key.endswith(endings)}


@pytest.mark.parametrize(
    "weights, message",
    [
        (
            lambda: peers.clip_model().state_dict(),
            "no classification head; read the whole CLIP with import_clip",
        ),
        (
            lambda: {"fc.weight": torch.ones(2)},
            "no image encoder of CLIP .its keys begin with fc.weight",
        ),
        (dict, "no image encoder"),
        (
            lambda: without(peers.model_soups_weights(), "visual.proj"),
            "fits no architecture of open_clip",
        ),
        (
            lambda: {**peers.model_soups_weights(), "model.visual.more": torch.ones(1)},
            "fits no architecture",
        ),
        (
            lambda: {**peers.model_soups_weights(), "model.visual.proj": torch.ones(32, 8)},
            "fits no architecture",
        ),
        (
            lambda: {**peers.model_soups_weights(), "classification_head.weight": torch.ones(3, 8)},
            "do not fit the",
        ),
        (
            lambda: {
                **peers.model_soups_weights(),
                "classification_head.weight": torch.ones(4, 16),
            },
            "does not fit its bias",
        ),
        (
            lambda: {
                **peers.model_soups_weights(),
                "classification_head.weight": torch.ones(4, 16),
                "classification_head.bias": torch.ones(4),
            },
            "4 rows .* 3 class",
        ),
        (
            lambda: {
                **peers.model_soups_weights(),
                "model.visual.proj": torch.full((32, 16), torch.nan),
            },
            "file.pt has weights that are not finite: visual.proj",
        ),
    ],
)
def test_files_that_do_not_fit_say_why(weights, message, tmp_path):
    torch.save(weights(), tmp_path / "file.pt")
    with pytest.raises(UserError, match=message):
        import_checkpoint(tmp_path / "file.pt", peers.CLASSES)


def test_other_mistakes_say_what_to_do(tmp_path, theta_0):
    soup = peers.model_soups(tmp_path / "soup.pt")
    with pytest.raises(
        UserError,
        match="has no text encoder; read its image encoder and its head with import_check",
    ):
        import_clip(soup, tmp_path / "clip")
    with pytest.raises(UserError, match="another hash than abc; download it again"):
        import_checkpoint(soup, peers.CLASSES, sha256="abc")
    with pytest.raises(
        UserError,
        match="does not have the shapes of 'ViT-B-32'; they are those of tiny, tiny-quick",
    ):
        import_checkpoint(soup, peers.CLASSES, architecture="ViT-B-32")
    with pytest.raises(UserError, match="is not a file"):
        import_checkpoint(tmp_path, peers.CLASSES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for overwrite, message in ((False, "exists"), (True, "is not overwritten")):
        with pytest.raises(UserError, match=message):
            export_open_clip(theta_0, tmp_path / "mine", overwrite=overwrite)
    assert not (tmp_path / "clip").exists() and (tmp_path / "mine" / "thesis.txt").exists()


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path, call=os.system):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (f"touch {self.path}",) if self.call is os.system else (
            str(self.path),
            "w",
        )


@pytest.mark.parametrize(
    "where", ["alone", "beside the weights", "in a module", "as a state", "open()"]
)
@pytest.mark.parametrize("how", ["pickle", "torch.save", "old torch.save"])
def test_no_pickle_is_ever_run(where, how, tmp_path):
    proof = tmp_path / "executed"
    payload = Payload(proof, open if where == "open()" else os.system)
    classifier, modules = peers.wise_ft_module()
    classifier.extra = payload
    content = {
        "alone": payload,
        "beside the weights": {**peers.model_soups_weights(), "x": payload},
        "in a module": classifier,
        "as a state": {"state_dict": payload},
        "open()": [payload],
    }[where]
    file = tmp_path / "file.pt"
    with peers.importable(**modules):
        if how == "pickle":
            file.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, file, _use_new_zipfile_serialization=how == "torch.save")
        if (
            where == "alone" and how == "pickle"
        ):  # the payload works: this is what a careless reader would do
            pickle.loads(file.read_bytes())
            assert proof.exists()
            proof.unlink()
    if where in ("beside the weights", "in a module"):
        assert import_checkpoint(file, peers.CLASSES).class_names == peers.CLASSES
    else:
        with pytest.raises(UserError, match="file.pt"):
            import_checkpoint(file, peers.CLASSES)
    assert not proof.exists()


def test_the_command_imports_and_exports(tmp_path, capsys, images):
    classes = tmp_path / "classes.txt"
    classes.write_text("disc\nsquare\nbar\n")
    soup = str(peers.model_soups(tmp_path / "soup.pt"))
    assert main(["import", soup, "--classes", str(classes), "--out", str(tmp_path / "soup")]) == 0
    assert load(tmp_path / "soup").class_names == peers.CLASSES
    assert main(["export", str(tmp_path / "soup"), "--out", str(tmp_path / "out")]) == 0
    assert "image_encoder.safetensors" in capsys.readouterr().out
    assert (
        main(["import", str(peers.openai(tmp_path / "openai.pt")), "--out", str(tmp_path / "clip")])
        == 0
    )
    assert f"--model local-dir:{tmp_path / 'clip'}" in capsys.readouterr().out
    assert load_clip(f"local-dir:{tmp_path / 'clip'}").model.visual.proj.dtype == torch.float32
    for arguments, message in (
        (["import", soup, "--classes", str(tmp_path / "none.txt"), "--out", "x"], "none.txt"),
        (["import", soup, "--out", str(tmp_path / "x")], "has no text encoder"),
        (["import", soup, "--out", str(tmp_path / "clip")], "exists; choose another --out"),
        (["export", str(tmp_path / "clip"), "--out", str(tmp_path / "x")], "no checkpoint"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
