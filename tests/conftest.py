"""A tiny random CLIP in open_clip's layout and a tiny task: every test of the library runs in
seconds."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "data_scripts"))


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory):
    """No test leaves features or models in the cache of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WISEFT_CACHE", str(tmp_path_factory.mktemp("wiseft-cache")))
        yield


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 24,
            "patch_size": 12,
            "width": 32,
            "layers": 1,
            "head_width": 16,
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 16,
            "heads": 2,
            "layers": 1,
        },
    }
    torch.manual_seed(0)
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    weights = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def clip(clip_folder):
    from wiseft_lite import load_clip

    return load_clip(f"local-dir:{clip_folder}")


def picture(label: int, k: int) -> Image.Image:
    """Class 0 is a disc, class 1 a square, class 2 a bar; k moves and colours it."""
    image = Image.new("RGB", (24, 24), "white")
    box = (3 + k % 4, 3, 17 + k % 4, 17)
    colour = ((40 * k) % 200, 0, 0)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if label == 0 else draw.rectangle)(
        box if label < 2 else (2, 10, 22, 13), fill=colour
    )
    return image


def make_split(name, n, labels=(0, 1, 2)):
    from wiseft_lite import Split

    y = [labels[i % len(labels)] for i in range(n)]
    return Split(name, [picture(label, i) for i, label in enumerate(y)], torch.tensor(y))


@pytest.fixture(scope="session")
def task():
    from wiseft_lite import Task

    return Task(
        "shapes",
        ("disc", "square", "bar"),
        ("a {}.", "a drawing of a {}."),
        make_split("train", 60),
        make_split("val", 12),
        make_split("test", 30),
        {"two": make_split("two", 20, labels=(0, 2))},
    )


@pytest.fixture(scope="session")
def theta_0(clip, task):
    from wiseft_lite import zero_shot_classifier

    return zero_shot_classifier(clip, task)


@pytest.fixture(scope="session")
def tuned(theta_0, task):
    from wiseft_lite import Recipe, finetune

    return finetune(theta_0, task, Recipe(epochs=3, lr=1e-2, batch_size=16))
