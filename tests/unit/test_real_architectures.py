"""ViT-B/32 and ViT-L/14 at full size with random weights, in the published format: from the file to
sweep, soup and export; and the memory that a soup needs.

Those at full size write 12 GB and take minutes, so they run only with ``WISEFT_FULL_SIZE=1``.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import open_clip
import pandas as pd
import pytest
import torch

from wiseft_lite import load_clip, load_published, load_task, predict, zero_shot_classifier
from wiseft_lite.checkpoints import load, read_card
from wiseft_lite.cli.main import main
from wiseft_lite.interop import published
from wiseft_lite.tasks.published import standins

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:left out")]
ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = {"b32": "ViT-B-32-quickgelu", "l14": "ViT-L-14-quickgelu"}


def publish(model, path, scale):
    """Write a model as the authors do; the first of a line has ``scale`` 0, others are near it."""
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    state = {key: value for key, value in state.items() if ".transformer.resblocks" not in key}
    state |= {f"model.visual.{key}": value for key, value in model.visual.state_dict().items()}
    generator = torch.Generator().manual_seed(round(1000 * scale))
    state = {
        key: value + scale * value.std() * torch.randn(value.shape, generator=generator)
        if value.numel() > 1
        else value
        for key, value in state.items()
    }
    width = model.visual.output_dim
    head = torch.randn(1000, width, generator=torch.Generator().manual_seed(1))
    torch.save(
        {
            **state,
            "classification_head.weight": head + scale,
            "classification_head.bias": torch.zeros(1000),
        },
        path,
    )


@pytest.fixture(scope="module")
def shifts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    standins.imagenet_hub(folder)
    return ["--task", "imagenet-shifts", "--data", str(folder), "--splits", "a", "--limit", "2"]


@pytest.mark.skipif("WISEFT_FULL_SIZE" not in os.environ, reason="writes 12 GB; WISEFT_FULL_SIZE=1")
@pytest.mark.parametrize("size", ARCHITECTURES)
def test_from_the_published_file_to_the_exported_model(size, shifts, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    if size == "b32":
        ends = list(published.B32[:2])
    else:
        ends = ["model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]
    clip = load_clip(f"{ARCHITECTURES[size]}/none")
    names = published.B32[:5] if size == "b32" else ends
    for k in range(len(names)):
        publish(clip.model, tmp_path / f"{k}.pt", 0.002 * k)
    files = {name: (tmp_path / f"{k}.pt").as_uri() for k, name in enumerate(names)}
    monkeypatch.setattr(published, "ADDRESSES", files)

    classifier = load_published(ends[0])
    origin = classifier.encoder.origin
    assert origin.name == f"{ARCHITECTURES[size]}/none"
    assert origin.config["model_cfg"]["quick_gelu"]
    assert origin.config["preprocess_cfg"]["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
    clip.model.transformer.resblocks = clip.model.transformer.resblocks[:1]  # twelve take minutes
    task = load_task("imagenet-shifts", shifts[3])
    zero_shot = zero_shot_classifier(clip, replace(task, templates=task.templates[:1]))
    assert zero_shot.head.weight.shape == classifier.head.weight.shape
    few = task.split("a").select([0, 1])
    features = [model.encoder for model in (classifier, zero_shot)]
    images = torch.stack([classifier.preprocess(few[i][0]) for i in range(2)])
    with torch.inference_mode():
        assert torch.allclose(*(encoder.eval()(images) for encoder in features), atol=1e-4)

    assert main(["sweep", *ends, *shifts, "--passes", "5", "--out", "sweep.jsonl"]) == 0
    table = pd.read_json("sweep.jsonl", lines=True)
    assert len(table) == 11 and set(table["classes"]) == {200} and set(table["n"]) == {2}
    assert main(["soup", *names, *shifts, "--out", "soup"]) == 0
    assert len(read_card("soup")["recipe"]["ingredients"]) == len(names)
    assert main(["export", "soup", "--out", "exported"]) == 0
    exported = open_clip.create_model(
        ARCHITECTURES[size],
        pretrained_image=False,
        pretrained_image_path="exported/image_encoder.safetensors",
    )
    soup = load("soup")
    assert all(
        torch.equal(exported.visual.state_dict()[key], value)
        for key, value in soup.encoder.state_dict().items()
    )
    assert predict(soup, few).shape == (2, 1000)


PEAK = """if True:
    import json, sys
    import torch
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import open_clip
    from wiseft_lite.interop import pools
    from wiseft_lite.merging import soups

    open_clip.add_model_config(Path(sys.argv[1]))
    names = [str(k) for k in range(1000)]

    def kilobytes(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    files = sorted(str(path) for path in Path(sys.argv[1]).glob("*.pt"))
    first = pools.read_classifier(files[0], names)  # everything is imported now
    pool = pools.Pool(files, first)
    del first
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    mean = soups.uniform_soup(pool, folder=Path(sys.argv[1]) / "states")
    print(json.dumps([before, kilobytes("VmHWM")]))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux reports the peak")
def test_a_soup_of_five_needs_the_memory_of_two_files(tmp_path):
    """Each file is 190 MB, so that what else is in memory hardly counts."""
    config = {
        "embed_dim": 512,
        "vision_cfg": {"image_size": 64, "patch_size": 32, "width": 768, "layers": 6},
        "text_cfg": {"context_length": 16, "vocab_size": 512, "width": 64, "heads": 1, "layers": 1},
    }
    for name, quick in (("wide", False), ("wide-quickgelu", True)):
        (tmp_path / f"{name}.json").write_text(json.dumps({**config, "quick_gelu": quick}))
    open_clip.add_model_config(tmp_path)
    model = open_clip.create_model("wide-quickgelu")
    for k in range(5):
        publish(model, tmp_path / f"{k}.pt", 0.002 * k)
    size = (tmp_path / "0.pt").stat().st_size / 1000
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    before, peak = json.loads(result.stdout.splitlines()[-1])
    assert peak - before < 2.4 * size, (before, peak, size)
