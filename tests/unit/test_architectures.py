"""Every architecture that open_clip lists works or is refused; one of each family goes all the way.

A family's weights go through the same code whatever their number, so the one of a family has the
published layers of its image encoder, but one block where they repeat, and a narrow text encoder.
``WISEFT_FULL_SIZE=1`` adds the smallest published one of each family, which takes minutes.
"""

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import open_clip
import pytest
import timm
import torch
from build_architectures import TARGET, page
from conftest import picture
from safetensors.torch import load_file, save_file

from wiseft_lite import (
    Recipe,
    Split,
    Task,
    UserError,
    distance,
    finetune,
    interpolate,
    load,
    load_clip,
    predict,
    save,
    zero_shot_classifier,
)
from wiseft_lite.encoders import architectures_of, blank, image_encoder, open_clip_config, refusal
from wiseft_lite.features import pixels
from wiseft_lite.finetuning.prompts import learn_prompt
from wiseft_lite.interop.architectures import Architecture, architecture
from wiseft_lite.interop.interchange import _write, export_open_clip
from wiseft_lite.models import freeze, last_blocks

pytestmark = pytest.mark.slow

TABLE = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in TARGET.read_text().splitlines()
    if line.startswith("| ")
]
FAMILIES = {row[0]: row for row in TABLE if len(row) == 4 and row[0] != "family"}
ROWS = {row[0]: row for row in TABLE if len(row) == 7 and row[0] != "name"}
WORKING = [row[2] for row in FAMILIES.values() if row[3] == "works"]
OF_HUGGING_FACE = [row[2] for row in FAMILIES.values() if row[3] == "needs `transformers`"]


def same_version():
    return f"(open_clip {version('open_clip_torch')}, timm {version('timm')})" in TARGET.read_text()


def sized(cell):
    """What an encoder is, and its parameters, rounded; 0 if its cell has none."""
    name, millions = re.fullmatch(r"(.*?)(?: \(([\d.]+) M\))?", cell).groups()
    return name, round(float(millions or 0) * 1e6)


def of_row(row):
    """The architecture of a row, its parameters rounded."""
    name, family, image, text, pixels, pretrained, works = row
    (image, image_parameters), (text, text_parameters) = sized(image), sized(text)
    return Architecture(
        name,
        family,
        image,
        text,
        int(pixels),
        image_parameters,
        text_parameters,
        int(pretrained),
        "transformers" if "needs" in works else "",
        works.partition("refused: ")[2],
    )


def test_the_page_lists_every_architecture_once_and_each_works_or_says_why_not():
    if not same_version():
        pytest.skip("the page is of another version of open_clip or timm")
    package = Path(open_clip.__file__).parent / "model_configs"
    assert list(ROWS) == [
        name for name in open_clip.list_models() if (package / f"{name}.json").exists()
    ]
    for name, row in ROWS.items():
        assert re.fullmatch(r"works|needs `transformers`|refused: .+", row[-1]), name
    assert page([of_row(row) for row in ROWS.values()]) == TARGET.read_text()
    assert (
        {row[1] for row in ROWS.values()} == set(FAMILIES)
        and len(WORKING) > 5
        and len(OF_HUGGING_FACE) > 2
    )
    for family, (_, count, smallest, _) in FAMILIES.items():
        sizes = {
            name: sized(row[2])[1] + sized(row[3])[1]
            for name, row in ROWS.items()
            if row[1] == family
        }
        assert int(count) == len(sizes) and sizes[smallest] == min(sizes.values()), family


@pytest.mark.parametrize("name", [*WORKING, *OF_HUGGING_FACE])
def test_a_row_is_what_the_architecture_is(name):
    if not same_version():
        pytest.skip("the page is of another version of open_clip or timm")
    arch, row = architecture(name), ROWS[name]
    millions = {
        name: round(float(f"{getattr(arch, name) / 1e6:.1f}") * 1e6)
        for name in ("image_parameters", "text_parameters")
    }
    assert dataclasses.replace(arch, **millions) == of_row(row)


def fewer_blocks(name):
    """Arguments of timm with which an image encoder has one block at each resolution."""
    if name.startswith("swin"):
        return {"depths": (2, 1, 1, 1)}  # every second one shifts its windows
    if name.startswith("convnext"):
        return {"depths": (1, 1, 1, 1)}
    if name.startswith("fastvit"):
        return {"layers": (1, 1, 1, 1)}
    return {"depth": 1}


def small(config):
    """A configuration with few blocks; those of timm's encoders are taken by ``source``."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "layers" in vision:
        vision["layers"] = [1, 1, 1, 1] if isinstance(vision["layers"], list) else 1
    for part in (text, config.get("multimodal_cfg", {})):
        part |= {"layers": 1, "width": 64, "heads": 2}
    return config


full_size = pytest.mark.skipif(
    "WISEFT_FULL_SIZE" not in os.environ, reason="of full size; WISEFT_FULL_SIZE=1"
)


@pytest.fixture(params=["small", pytest.param("published", marks=full_size)])
def source(request, name, folder, monkeypatch):
    """A folder with the configuration of an architecture; it has no weights yet."""
    config = open_clip_config(f"{name}/none")
    if request.param == "small":
        small(config["model_cfg"])
        create = timm.create_model
        monkeypatch.setattr(
            timm, "create_model", lambda name, **more: create(name, **more, **fewer_blocks(name))
        )
    (folder / "clip").mkdir()
    (folder / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    return f"local-dir:{folder / 'clip'}"


@pytest.mark.parametrize("name", WORKING)
def test_random_weights_owe_nothing_to_what_the_memory_held(name, source, monkeypatch):
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)  # memory that nothing has written yet is NaN
    try:
        model = blank(source)
    finally:
        torch.use_deterministic_algorithms(False)
    assert not [key for key, tensor in model.state_dict().items() if tensor.isnan().any()]


@pytest.fixture(scope="module")
def pair():
    """A task of two classes with two images of each."""
    split = lambda name: Split(name, [picture(k % 2, k) for k in range(4)], torch.arange(4) % 2)  # noqa: E731
    return Task(
        "pair", ("disc", "square"), ("a {}.",), split("train"), split("val"), split("test"), {}
    )


@pytest.fixture
def folder(tmp_path):
    """For models of up to a gigabyte; pytest would keep those of three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def run_everything(clip, pair, folder: Path):
    """From a CLIP to an export, and what every step must not change."""
    theta_0 = zero_shot_classifier(clip, pair)
    theta_1 = finetune(
        theta_0, pair, Recipe(epochs=1, lr=1e-3, warmup=0, batch_size=4, augment="none")
    )
    assert distance(theta_0.state_dict(), theta_1.state_dict()) > 0
    middle = theta_0.with_weights(
        interpolate(theta_0.state_dict(), theta_1.state_dict(), 0.5)
    ).eval()
    loaded = load(save(middle, folder / "saved"), class_names=pair.class_names)
    logits = predict(middle, pair.test)
    assert logits.shape == (4, 2) and torch.isfinite(logits).all()
    assert torch.equal(predict(loaded, pair.test), logits)
    exported = export_open_clip(loaded, folder / "exported")
    alone, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{exported}")
    images = torch.stack([preprocess(image) for image in pair.test.images])
    head = load_file(exported / "head.safetensors")
    assert torch.equal(images, pixels(theta_0, pair.test))
    with torch.inference_mode():
        theirs = alone.eval().encode_image(images, normalize=True) @ head["weight"].T + head["bias"]
    torch.testing.assert_close(theirs, logits)
    again = load_clip(f"local-dir:{exported}").encode_text(["a disc."])
    assert torch.equal(again, clip.encode_text(["a disc."])) and len(again.unique()) > 2


@pytest.mark.parametrize("name", WORKING)
def test_one_of_each_family_goes_all_the_way(name, source, pair, folder):
    save_file(blank(source).state_dict(), folder / "clip" / "open_clip_model.safetensors")
    run_everything(load_clip(source), pair, folder)


class Words:
    """Stands in for a tokenizer of Hugging Face: a number for each word, and its files in the
    folder it came from."""

    sep_token_id = 102

    @classmethod
    def from_pretrained(cls, source, **_):
        if Path(source).is_dir() and not (Path(source) / "tokenizer.json").exists():
            raise OSError(f"{source} holds no tokenizer.json")
        return cls()

    def save_pretrained(self, folder):
        (Path(folder) / "tokenizer.json").write_text("{}")

    def __call__(self, texts, max_length, **_):
        rows = [
            [3 + sum(map(ord, word)) % 90 for word in text.split()] + [self.sep_token_id, 2, 1]
            for text in texts
        ]
        return SimpleNamespace(
            input_ids=torch.tensor([row + [0] * (max_length - len(row)) for row in rows])
        )


@pytest.fixture
def transformers(monkeypatch):
    module = ModuleType("transformers")
    module.__spec__, module.AutoTokenizer = ModuleSpec("transformers", None), Words
    monkeypatch.setitem(sys.modules, "transformers", module)


@pytest.mark.parametrize(
    "name",
    [
        "ViT-L-14-CLIPA",
        "ViT-L-14-worldwide",
        "ViT-B-32-SigLIP2-256",
        "ViT-SO400M-16-SigLIP-i18n-256",
    ],
)
def test_a_tokenizer_of_hugging_face_goes_all_the_way_and_along_with_the_export(
    name, pair, folder, transformers
):
    config = open_clip_config(f"{name}/none")
    small, vision, text = (
        config["model_cfg"],
        config["model_cfg"]["vision_cfg"],
        config["model_cfg"]["text_cfg"],
    )
    small["embed_dim"] = 64
    vision |= (
        {"timm_model_name": "test_vit", "image_size": 160}
        if "timm_model_name" in vision
        else {"layers": 1, "width": 64, "head_width": 32}
    )
    text |= {"layers": 1, "vocab_size": 128, "width": 64, "heads": 4}
    (folder / "clip").mkdir()
    (folder / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    source = f"local-dir:{folder / 'clip'}"
    _write(folder / "clip", config, blank(source).state_dict(), overwrite=True)
    with pytest.raises(
        UserError, match="clip holds no tokenizer.json: copy the files of the tokenizer"
    ):
        load_clip(source)
    Words().save_pretrained(folder / "clip")
    clip = load_clip(source)
    run_everything(clip, pair, folder)
    if "init_logit_bias" in small:
        assert clip.model.logit_bias == -10 and not zero_shot_classifier(clip, pair).head.bias.any()
    with pytest.raises(UserError, match="its text encoder or its tokenizer is not CLIP's own"):
        learn_prompt(clip, pair)


@pytest.mark.parametrize("name", OF_HUGGING_FACE)
def test_what_needs_transformers_is_refused_at_once_and_says_so(name, monkeypatch):
    tag = next((tag for arch, tag in open_clip.list_pretrained() if arch == name), "none")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(open_clip, "create_model", None)  # it is not even tried
    for model in (f"{name}/none", f"{name}/{tag}"):
        with pytest.raises(UserError, match=f"{model}.*Hugging Face; pip install .*transformers"):
            load_clip(model)


def test_an_encoder_that_the_installed_timm_does_not_have_is_refused_with_the_way_out():
    config = open_clip_config("PE-Core-T-16-384/none")["model_cfg"]
    config["vision_cfg"]["timm_model_name"] = "vit_of_next_year"
    assert re.fullmatch(
        r"timm [\d.]+ has no vit_of_next_year; pip install --upgrade timm", refusal(config)
    )


def test_an_image_encoder_is_not_given_the_name_of_a_model_with_another_text_encoder():
    for name in ("ViT-B-32-quickgelu", "nllb-clip-base-siglip"):
        config = open_clip.get_model_config(name)
        shapes = {
            f"visual.{key}": tensor.shape
            for key, tensor in image_encoder(config).state_dict().items()
        }
        found = architectures_of(shapes, embed_dim=config["embed_dim"])
        assert found and not any(
            "hf_model_name" in config["text_cfg"] for config in found.values()
        ), name
    assert list(architectures_of(shapes, names=[name])) == [name]  # unless it is asked for


def test_the_last_blocks_of_coca_are_followed_by_its_pooling(pair):
    classifier = zero_shot_classifier(load_clip("coca_ViT-B-32/none"), pair)
    free = {
        name
        for name, p in freeze(classifier, last_blocks(classifier, 0)).named_parameters()
        if p.requires_grad
    }
    assert {
        "encoder.attn_pool.query",
        "encoder.ln_post.weight",
        "encoder.proj",
        "head.weight",
    } <= free
    assert not any(".resblocks." in name or name.startswith("encoder.conv1") for name in free)
