"""Chapter 20 with a server in place of the network: the authors' files and the Hub's test sets in their
layouts, at a tiny width; killed twice, it resumes, and shows yours beside published."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import peers
import pytest
import servers
import torch

from wiseft_lite.interop import published
from wiseft_lite.tasks.published import hub, standins

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "book" / "20_paper_models.ipynb"
POOL = [f"model-soups/b32/{k}" for k in (0, 1, 2, 3, 4, 23, 43)]
ENDS = ["model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]

pytestmark = pytest.mark.slow

READER = """if True:
    import json, re, sys
    from pathlib import Path

    notebook, server, clip_folder, configs, changes = json.loads(sys.argv[1])
    import open_clip
    open_clip.add_model_config(Path(configs))
    from wiseft_lite import encoders
    from wiseft_lite.interop import published

    published.ADDRESSES.update({
        name: address.replace("https://github.com", server)
        for name, address in published.ADDRESSES.items()
    })
    load = encoders.load_clip
    encoders.load_clip = lambda name, *args: load(f"local-dir:{clip_folder}", *args)
    space = {}
    for cell in json.loads(Path(notebook).read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "REPOSITORY" in source:
            continue
        for name, value in changes.items():
            source = re.sub(rf"^({name}) = .*$", rf"\\1 = {value!r}", source, flags=re.M)
        exec(compile(source, cell["id"], "exec"), space)
    print("THE END", flush=True)
"""


def publish(path, seed):
    generator = torch.Generator().manual_seed(seed)
    state = peers.model_soups_weights()
    state = {
        key: tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
        if key.startswith("model.visual")
        else tensor
        for key, tensor in state.items()
    }
    head = torch.randn(1000, 16, generator=torch.Generator().manual_seed(0))
    state["classification_head.weight"] = head
    state["classification_head.bias"] = torch.zeros(1000)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("sets")
    for seed, name in enumerate([*POOL, *ENDS]):
        publish(folder / published.ADDRESSES[name].partition("github.com/")[2], seed)
    standins.imagenet_hub(data)
    for name in hub.SHIFTS:
        place = folder / "datasets" / hub.SETS[name].repository
        place.parent.mkdir(parents=True, exist_ok=True)
        (data / hub.SETS[name].folder).rename(place)
    return folder


@pytest.fixture
def server(site):
    with servers.Server(site) as running:
        yield running


@pytest.fixture
def start(server, clip_folder, tmp_path):
    """Return a function that starts the chapter at real size in another process."""
    for name in ("configs", "work"):
        (tmp_path / name).mkdir()
    configs = tmp_path / "configs"
    peers.register(configs)

    def begin(size):
        changes = {"SIZE": size, "LIMIT": 30, "PROMPTS": 1}
        given = [str(NOTEBOOK), server.url, str(clip_folder), str(configs), changes]
        return subprocess.Popen(
            [sys.executable, "-c", READER, json.dumps(given)],
            cwd=tmp_path / "work",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "MPLBACKEND": "agg",
                "HF_ENDPOINT": server.url,
                "HF_HUB_DISABLE_XET": "1",
                "WISEFT_DATA": str(tmp_path / "data"),
                "WISEFT_CACHE": str(tmp_path / "cache"),
            },
        )

    return begin


def kill_once(process, happened):
    """Kill a process as soon as something has happened; it must not end before."""
    while not happened():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def shown(output, model):
    """The rows of the table for a model: split to yours and published."""
    tables = re.findall(
        rf"^{re.escape(model)}\n +yours +published +difference\n((?:\w+ +[\d.].*\n)+)", output, re.M
    )
    assert tables, model
    rows = [line.split() for line in max(tables, key=len).splitlines()]
    return {row[0]: (float(row[1]), float(row[2])) for row in rows}


def test_killed_twice_the_chapter_resumes_and_shows_yours_beside_published(start, server):
    def fetched(name):
        return sum(path.endswith(name) for path, _ in server.fetched)

    kill_once(start("b32"), lambda: fetched("test/0.tar") >= 2)
    sets = [path for path, _ in server.fetched if "/datasets/" in path]
    kill_once(start("b32"), lambda: fetched("model_2.pt") >= 1)
    models = [path for path, _ in server.fetched if "releases" in path]
    last = start("b32")
    output = last.communicate()[0]
    assert last.returncode == 0 and "THE END" in output, output
    for path in {*sets[:-1], *models[:-1]}:  # what was complete is not downloaded again
        assert fetched(path) == 1, path
    assert "no real run yet; set SIZE and POOL" in output  # the soup of 72 alone
    assert set(shown(output, "model-soups/b32/0")) == set(hub.SHIFTS)
    assert shown(output, "model-soups/b32/43")["r"][1] == pytest.approx(60.6, abs=0.1)
    zero_shot = shown(output, "ViT-B-32/openai")
    assert zero_shot["v2"][1] == pytest.approx(55.9) and "objectnet" not in zero_shot
    assert "best on ImageNetV2: alpha" in output and "slack" in output


def test_for_the_larger_model_the_published_line_is_shown(start):
    process = start("l14")
    output = process.communicate()[0]
    assert process.returncode == 0 and "THE END" in output, output
    for model, published_r in (
        (ENDS[0], 87.8),
        ("model-soups/vit-l14 at alpha 0.75", 87.4),
        (ENDS[1], 84.3),
    ):
        assert shown(output, model) == {"r": (pytest.approx(50, abs=50), published_r)}


def test_the_curve_from_the_authors_plots_is_no_table_of_the_paper():
    from wiseft_lite.book import ledger, paper

    curve = paper.curve("ViT-B/32")
    assert len(curve) == 11 and "shifts" not in curve and "ObjectNet" not in curve
    assert curve["ImageNet-R"].idxmax() == 0.3 and curve["ImageNet"].idxmax() == 0.7
    assert "ViT-B/32" not in set(ledger.table("paper_curves")["model"])
