"""Checkpoints of others in, open_clip's format out."""

import json
import os
import pickle

import open_clip
import peers
import pytest
import torch
from safetensors.torch import load_file, save_file

from wiseft_lite import UserError, accuracy, load, load_clip, predict, save, zero_shot_classifier
from wiseft_lite.cli import main
from wiseft_lite.encoders import architectures_of, open_clip_config
from wiseft_lite.features import pixels
from wiseft_lite.interchange import export_open_clip, import_checkpoint, import_clip

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    peers.register(tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="module")
def images():
    return torch.randn(7, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def safetensors(weights, path):
    save_file({key: tensor.clone() for key, tensor in weights.items()}, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


WITH_HEAD = {
    **{f"wise-ft pickle, protocol {p}": lambda path, p=p: peers.wise_ft(path, protocol=p) for p in (2, 3, 4, 5)},
    **{f"wise-ft {how}": lambda path, how=how: peers.wise_ft(path, how)
       for how in ("torch.save", "old torch.save", "state dict")},
    "model-soups": peers.model_soups,
    "model-soups, DataParallel": lambda path: peers.model_soups(path, "module."),
    "model-soups, safetensors": lambda path: safetensors(peers.model_soups_weights(), path),
}


@pytest.mark.parametrize("write", WITH_HEAD.values(), ids=WITH_HEAD)
def test_a_fine_tuned_classifier_gives_the_same_logits_here_and_after_export_in_open_clip_alone(
        write, tmp_path, images, task):
    file = write(tmp_path / "file.pt")
    expected = peers.logits(peers.clip_model(), peers.head_of(), images)
    classifier = import_checkpoint(file, peers.CLASSES)
    assert classifier.encoder_name == "tiny-quickgelu/none" and not classifier.training
    torch.testing.assert_close(classifier(images), expected)

    inputs = pixels(classifier, task.test)
    theirs = peers.logits(peers.clip_model(), peers.head_of(), inputs)
    assert accuracy(predict(classifier, task.test), task.test.labels) == accuracy(theirs, task.test.labels)

    folder = export_open_clip(classifier, tmp_path / "exported")
    config = json.loads((folder / "open_clip_config.json").read_text())
    assert config["model_cfg"]["quick_gelu"] is True
    alone = open_clip.create_model("tiny-quickgelu", pretrained_image_path=str(folder / "image_tower.safetensors"))
    torch.testing.assert_close(peers.logits(alone.eval(), load_file(folder / "head.safetensors"), images), expected)
    assert json.loads((folder / "class_names.json").read_text()) == list(peers.CLASSES)
    assert not (folder / "open_clip_model.safetensors").exists()  # a text tower of random weights would mislead

    again = load(save(classifier, tmp_path / "ours"))
    assert torch.equal(again(images), classifier(images))


WHOLE = {
    "OpenAI": (peers.openai, {}, True),
    "OpenAI, state dict": (lambda path: (torch.save(peers.clip_model().state_dict(), path), path)[1],
                           {"architecture": "tiny-quickgelu"}, True),
    "open_clip, training": (peers.open_clip_training, {"architecture": "tiny"}, False),
    "open_clip, safetensors": (lambda path: safetensors(peers.clip_model(False).state_dict(), path),
                               {"architecture": "tiny"}, False),
}


@pytest.mark.parametrize("write, how, quick", WHOLE.values(), ids=WHOLE)
def test_a_whole_clip_becomes_a_folder_that_embeds_pictures_and_texts_alike(write, how, quick, tmp_path, images, task):
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
    torch.testing.assert_close(peers.logits(alone.eval(), load_file(folder / "head.safetensors"), inputs),
                               classifier(inputs))
    with torch.no_grad():
        torch.testing.assert_close(alone.encode_text(texts), original.encode_text(texts))


def test_what_was_fine_tuned_here_goes_to_open_clip_with_its_text_tower(tuned, task, clip, tmp_path):
    folder = export_open_clip(tuned, tmp_path / "exported")
    alone, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    inputs = torch.stack([preprocess(image) for image in task.test.images])
    ours = peers.logits(alone.eval(), load_file(folder / "head.safetensors"), inputs)
    torch.testing.assert_close(ours, predict(tuned, task.test))
    texts = clip.tokenizer(["a disc"])
    assert torch.equal(alone.encode_text(texts), clip.model.encode_text(texts))
    again = load_clip(f"local-dir:{folder}")
    assert torch.equal(again.model.visual.proj, tuned.encoder.proj)


def test_the_activation_is_read_from_a_module_or_asked_for(tmp_path, images):
    plain = import_checkpoint(peers.wise_ft(tmp_path / "gelu.pt", quick=False), peers.CLASSES)
    assert plain.encoder_name == "tiny/none"
    torch.testing.assert_close(plain(images), peers.logits(peers.clip_model(False), peers.head_of(), images))
    file = tmp_path / "clip.pt"
    torch.save(peers.clip_model().state_dict(), file)
    with pytest.raises(UserError, match="may be tiny or tiny-quickgelu; say which with architecture"):
        import_clip(file, tmp_path / "clip")
    assert import_checkpoint(peers.model_soups(tmp_path / "soup.pt"), peers.CLASSES,
                             architecture="tiny").encoder_name == "tiny/none"  # the caller knows best


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50"])
def test_the_architectures_that_people_have_are_told_apart_by_their_shapes(name):
    with torch.device("meta"):
        weights = open_clip.create_model(name, load_weights=False, device="meta").state_dict()
    shapes = {key: tensor.shape for key, tensor in weights.items()}
    assert set(architectures_of(shapes)) == {name, f"{name}-quickgelu"}
    image = {key: shape for key, shape in shapes.items() if key.startswith("visual.")}
    assert {name, f"{name}-quickgelu"} <= set(architectures_of(image))
    image["visual.conv1.weight"] = torch.Size([7, 3, 2, 2])
    assert not architectures_of(image)


def test_weights_in_half_precision_are_used_in_float32(tmp_path, images):
    soup = import_checkpoint(peers.model_soups(tmp_path / "soup.pt", dtype=torch.float16), peers.CLASSES)
    assert {tensor.dtype for tensor in soup.state_dict().values()} == {torch.float32}
    expected = peers.logits(peers.clip_model(), peers.head_of(), images)
    torch.testing.assert_close(soup(images), expected, atol=0.1, rtol=0.1)


def test_a_model_that_open_clip_was_told_to_give_quickgelu_says_so_in_its_configuration(monkeypatch):
    assert "quick_gelu" not in open_clip_config("tiny/none")["model_cfg"]
    told = load_clip("tiny-quickgelu/none")  # as load_clip does for "ViT-B-32/openai"
    monkeypatch.setattr("wiseft_lite.encoders.load_clip", lambda name: told)
    assert open_clip_config("tiny/none")["model_cfg"]["quick_gelu"] is True


def without(weights, *endings):
    return {key: value for key, value in weights.items() if not key.endswith(endings)}


@pytest.mark.parametrize("weights, message", [
    (lambda: peers.clip_model().state_dict(), "no classification head; read the whole CLIP with import_clip"),
    (lambda: {"fc.weight": torch.ones(2)}, "no image tower of CLIP .its keys begin with fc.weight"),
    (lambda: {}, "no image tower"),
    (lambda: without(peers.model_soups_weights(), "visual.proj"), "fits no architecture of open_clip"),
    (lambda: {**peers.model_soups_weights(), "model.visual.more": torch.ones(1)}, "fits no architecture"),
    (lambda: {**peers.model_soups_weights(), "model.visual.proj": torch.ones(32, 8)}, "fits no architecture"),
    (lambda: {**peers.model_soups_weights(), "classification_head.weight": torch.ones(3, 8)}, "does not fit"),
    (lambda: {**peers.model_soups_weights(), "classification_head.weight": torch.ones(4, 16)}, "or its own bias"),
    (lambda: {**peers.model_soups_weights(), "classification_head.weight": torch.ones(4, 16),
              "classification_head.bias": torch.ones(4)}, "4 rows .* 3 class"),
    (lambda: {**peers.model_soups_weights(), "model.visual.proj": torch.full((32, 16), torch.nan)}, "not finite in"),
])
def test_files_that_do_not_fit_say_why(weights, message, tmp_path):
    torch.save(weights(), tmp_path / "file.pt")
    with pytest.raises(UserError, match=message):
        import_checkpoint(tmp_path / "file.pt", peers.CLASSES)


def test_other_mistakes_say_what_to_do(tmp_path, theta_0):
    soup = peers.model_soups(tmp_path / "soup.pt")
    with pytest.raises(UserError, match="has no text tower; read its image tower and head with import_checkpoint"):
        import_clip(soup, tmp_path / "clip")
    with pytest.raises(UserError, match="another hash than abc; download it again"):
        import_checkpoint(soup, peers.CLASSES, sha256="abc")
    with pytest.raises(UserError, match="does not have the shapes of 'ViT-B-32'; they are those of tiny, tiny-quick"):
        import_checkpoint(soup, peers.CLASSES, architecture="ViT-B-32")
    with pytest.raises(UserError, match="is no file; a folder made by save is read with load"):
        import_checkpoint(tmp_path, peers.CLASSES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for overwrite, message in ((False, "exists"), (True, "is left alone")):
        with pytest.raises(UserError, match=message):
            export_open_clip(theta_0, tmp_path / "mine", overwrite=overwrite)
    assert not (tmp_path / "clip").exists() and (tmp_path / "mine" / "thesis.txt").exists()


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path, call=os.system):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (f"touch {self.path}",) if self.call is os.system else (str(self.path), "w")


@pytest.mark.parametrize("where", ["alone", "beside the weights", "in a module", "as a state", "open()"])
@pytest.mark.parametrize("how", ["pickle", "torch.save", "old torch.save"])
def test_no_pickle_is_ever_run(where, how, tmp_path):
    proof = tmp_path / "executed"
    payload = Payload(proof, open if where == "open()" else os.system)
    classifier, modules = peers.wise_ft_module()
    classifier.extra = payload
    content = {"alone": payload, "beside the weights": {**peers.model_soups_weights(), "x": payload},
               "in a module": classifier, "as a state": {"state_dict": payload}, "open()": [payload]}[where]
    file = tmp_path / "file.pt"
    with peers.importable(**modules):
        if how == "pickle":
            file.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, file, _use_new_zipfile_serialization=how == "torch.save")
        if where == "alone" and how == "pickle":  # the payload works: this is what a careless reader would do
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
    assert "image_tower.safetensors" in capsys.readouterr().out
    assert main(["import", str(peers.openai(tmp_path / "openai.pt")), "--out", str(tmp_path / "clip")]) == 0
    assert f"--model local-dir:{tmp_path / 'clip'}" in capsys.readouterr().out
    assert load_clip(f"local-dir:{tmp_path / 'clip'}").model.visual.proj.dtype == torch.float32
    for arguments, message in (
            (["import", soup, "--classes", str(tmp_path / "none.txt"), "--out", "x"], "none.txt cannot be read"),
            (["import", soup, "--out", str(tmp_path / "x")], "has no text tower"),
            (["import", soup, "--out", str(tmp_path / "clip")], "exists; choose another --out"),
            (["export", str(tmp_path / "clip"), "--out", str(tmp_path / "x")], "no checkpoint")):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
