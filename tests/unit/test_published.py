"""Published models by name, from a server of this process: downloaded once, checked, continued,
imported without a pickle's code, averaged one at a time, and compared with published accuracies."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import peers
import pytest
import servers
import torch

from wiseft_lite import (
    UserError,
    average,
    load_published,
    load_task,
    published_names,
    reported_accuracies,
    save,
)
from wiseft_lite._runtime import downloads
from wiseft_lite.checkpoints import load, read_card
from wiseft_lite.cli.main import main
from wiseft_lite.interop import published, reported
from wiseft_lite.merging.soups import greedy_soup
from wiseft_lite.tasks.published import imagenet

NAMES = [*published.B32[:6], "model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]
ROOT = Path(__file__).resolve().parents[2]


def weights(seed):
    """A state dict with the keys of a published file: CLIP without the blocks of its text encoder."""
    generator = torch.Generator().manual_seed(seed)
    state = peers.model_soups_weights()
    state["classification_head.weight"] = torch.randn(1000, 16, generator=generator)
    state["classification_head.bias"] = torch.randn(1000, generator=generator)
    return {
        key: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
        if key.startswith("model.visual")
        else tensor
        for key, tensor in state.items()
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The files at their paths of the release pages."""
    peers.register(tmp_path_factory.mktemp("configs"))
    folder = tmp_path_factory.mktemp("site")
    for seed, name in enumerate(NAMES):
        path = folder / published.ADDRESSES[name].partition("github.com/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(weights(seed), path)
    return folder


@pytest.fixture
def server(site, tmp_path, monkeypatch):
    """The release pages, and an empty cache."""
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))
    with servers.Server(site) as running:
        here = {
            name: address.replace("https://github.com", running.url)
            for name, address in published.ADDRESSES.items()
        }
        monkeypatch.setattr(published, "ADDRESSES", here)
        yield running


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "published"


def file_of(site, name):
    """The file of a published model on the server."""
    return site / published.ADDRESSES[name][published.ADDRESSES[name].index("mlfoundations/") :]


@pytest.fixture
def own_site(site, server, tmp_path):
    """A copy of the site that may be changed."""
    import shutil

    server.folder = Path(shutil.copytree(site, tmp_path / "site"))
    return server.folder


def files(folder):
    """The files in a folder, without locks."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


def theta(model):
    """The weights of a published file under the names of a classifier."""
    state = weights(NAMES.index(model))
    named = {
        key.replace("model.visual.", "encoder.").replace("classification_head.", "head."): tensor
        for key, tensor in state.items()
    }
    return {key: tensor for key, tensor in named.items() if not key.startswith("model.")}


def same(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# The table of addresses


def test_addresses_are_those_of_the_authors_scripts():
    releases = "https://github.com/mlfoundations/model-soups/releases/download"
    assert published.ADDRESSES["model-soups/b32/71"] == f"{releases}/v0.0.2/model_71.pt"
    ends = [published.ADDRESSES[f"model-soups/vit-l14-{end}"] for end in ("zeroshot", "finetuned")]
    assert ends == [
        f"{releases}/v0.0.3/{file}.pt" for file in ("zero-shot-vit-l14", "checkpoint-4-vit-l14")
    ]
    assert len(published_names()) == 74 and len(published_names("model-soups/b32/*")) == 72
    assert published_names("model-soups/b32/*")[::71] == ["model-soups/b32/0", "model-soups/b32/71"]
    with pytest.raises(UserError, match="'model-soups/b32/99'; did you mean model-soups/b32/"):
        published_names("model-soups/b32/99")


# One model


def test_a_model_is_downloaded_once_and_is_the_authors_classifier(server, cache, capsys):
    name = "model-soups/b32/3"
    one, other = load_published(name), load_published(name)
    assert [path for path, _ in server.fetched] == [
        "/mlfoundations/model-soups/releases/download/v0.0.2/model_3.pt"
    ]
    assert one.class_names == imagenet.imagenet_classes()[1]
    same(one.state_dict(), theta(name))
    same(other.state_dict(), theta(name))
    images = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    state = weights(NAMES.index(name))
    reference = peers.clip_model(quick=True)
    visual = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    reference.load_state_dict(visual, strict=False)
    head = {k.partition(".")[2]: v for k, v in state.items() if k.startswith("classification")}
    with torch.no_grad():
        assert torch.allclose(one(images), peers.logits(reference, head, images), atol=1e-4)
    assert files(cache) == ["hashes.json", f"{name}/card.json", f"{name}/model.safetensors"]
    assert read_card(cache / name)["recipe"]["published"] == name


def test_an_interrupted_download_is_continued(server, cache, site):
    name = "model-soups/b32/1"
    size = file_of(site, name).stat().st_size
    server.stop = size // 2
    with pytest.raises(UserError, match=rf"1.pt.part has {size // 2} bytes of it.*run this again"):
        load_published(name)
    server.stop = None
    same(load_published(name).state_dict(), theta(name))
    assert [first for _, first in server.fetched] == [0, size // 2, size // 2]


def test_a_connection_that_breaks_again_and_again_is_opened_as_long_as_it_brings_bytes(
    server, site, monkeypatch
):
    size = file_of(site, "model-soups/b32/1").stat().st_size
    send = servers.Handler.file

    def a_part(handler, file):
        first = int(handler.headers.get("Range", "bytes=0-").partition("=")[2].strip("-") or 0)
        handler.server.stop = first + size // 3 + 1
        send(handler, file)

    monkeypatch.setattr(servers.Handler, "file", a_part)
    same(load_published("model-soups/b32/1").state_dict(), theta("model-soups/b32/1"))
    assert len(server.fetched) == 3


def test_another_file_than_at_the_first_download_is_refused_and_stays(server, own_site, cache):
    name = "model-soups/b32/2"
    published.read_published(name)  # keeps nothing but the hash
    assert files(cache) == ["hashes.json"]
    torch.save(weights(99), file_of(own_site, name))
    with pytest.raises(UserError, match="2.pt.* has the hash .*hashes.json if you trust") as error:
        load_published(name)
    assert (cache / f"{name}.pt").exists() and "\n" not in str(error.value)
    (cache / "hashes.json").unlink()
    load_published(name)
    assert len(server.fetched) == 2  # what was downloaded is used


@pytest.mark.parametrize("fault", ["page", "page as a file", "cut", "other", "missing", "evil"])
def test_a_file_that_is_none_is_one_clear_line_and_runs_no_code(
    fault, server, own_site, cache, tmp_path
):
    name = "model-soups/b32/4"
    file = file_of(own_site, name)

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    words = "model_4.pt cannot be read as a checkpoint.*the file was removed"
    if fault == "page":
        server.pages, words = True, "the answer is a web page in place of the file"
    elif fault == "page as a file":
        file.write_text("<!DOCTYPE html><title>Log in</title>")
    elif fault == "cut":
        file.write_bytes(file.read_bytes()[:-500])
    elif fault == "other":
        torch.save({"some.weight": torch.ones(3)}, file)
        words = "model_4.pt has no image encoder of CLIP"
    elif fault == "missing":
        file.unlink()
        words = "model_4.pt cannot be downloaded .*404"
    else:
        file.write_bytes(pickle.dumps({"model": Payload()}))
        words = "model_4.pt"
    with pytest.raises(UserError, match=words) as error:
        load_published(name)
    assert "\n" not in str(error.value) and not (tmp_path / "executed").exists()
    assert not cache.exists() or files(cache) == []  # no damaged file is in the way of the next try


def test_the_disk_is_asked_for_the_file_and_its_conversion_before_the_download(
    server, site, monkeypatch
):
    size = file_of(site, "model-soups/b32/0").stat().st_size
    free = 1.5 * size
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: type("Disk", (), {"free": free}))
    with pytest.raises(UserError, match="of room, and .* needed; make room.*WISEFT_CACHE"):
        load_published("model-soups/b32/0")
    assert published.read_published("model-soups/b32/0")  # which converts nothing


@pytest.mark.slow
def test_two_processes_share_one_download(server, cache, site):
    name = "model-soups/b32/5"
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        import peers
        from pathlib import Path
        from wiseft_lite.interop import published
        peers.register(Path(sys.argv[1]))
        published.ADDRESSES[{name!r}] = {published.ADDRESSES[name]!r}
        published.load_published({name!r})
    """
    configs = cache.parent / "configs"
    configs.mkdir(parents=True)
    command = [sys.executable, "-c", code, str(configs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(server.fetched) == 1
    same(load_published(name).state_dict(), theta(name))


def test_the_proxy_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@127.0.0.1:9")
    monkeypatch.setattr(published, "ADDRESSES", {"a/b": "https://example.invalid/b.pt"})
    with pytest.raises(UserError, match="b.pt cannot be downloaded.*proxy 127.0.0.1") as error:
        load_published("a/b")
    assert "secret" not in str(error.value)


# On the command line


@pytest.fixture(scope="module")
def shifts(tmp_path_factory):
    """Two of ImageNet's shifts as the Hub has them."""
    from wiseft_lite.tasks.published import standins

    folder = tmp_path_factory.mktemp("data")
    standins.imagenet_hub(folder)
    for name in ("wds_imagenet1k_test", "wds_imagenetv2", "wds_imagenet_sketch", "wds_imagenet-r"):
        (folder / name).rename(tmp_path_factory.mktemp("aside") / name)
    return folder


@pytest.fixture
def on_shifts(shifts):
    return ["--task", "imagenet-shifts", "--data", str(shifts)]


@pytest.mark.filterwarnings("ignore:left out")
def test_names_stand_wherever_a_command_takes_a_checkpoint(
    server, on_shifts, cache, tmp_path, capsys
):
    ends = ["model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]
    out = tmp_path / "sweep.jsonl"
    assert main(["sweep", *ends, *on_shifts, "--passes", "5", "--out", str(out)]) == 0
    table = pd.read_json(out, lines=True)
    assert len(table) == 2 * 11 and set(table["model"]) == {ends[1]}
    for command, more in (("evaluate", []), ("export", [])):
        words = [command, ends[0], *(on_shifts if command == "evaluate" else []), *more]
        assert main([*words, "--out", str(tmp_path / command / "x.jsonl")]) == 0, command
    assert main(["interpolate", *ends, "--alpha", "0.75", "--out", str(tmp_path / "mix")]) == 0
    expected = average([theta(end) for end in ends], [0.25, 0.75])
    mixed = load(tmp_path / "mix").state_dict()
    assert all(torch.allclose(mixed[key], expected[key], atol=1e-6) for key in expected)
    assert len(server.fetched) == 2
    assert main(["evaluate", "model-soups/b32/72", *on_shifts]) == 2
    assert "no published model matches 'model-soups/b32/72'" in capsys.readouterr().err


@pytest.fixture
def six(monkeypatch):
    """A pool of six models, so that a soup of all is quick."""
    known = {name: published.ADDRESSES[name] for name in published.B32[:6]}
    monkeypatch.setattr(published, "ADDRESSES", known)
    monkeypatch.setattr(published, "B32", published.B32[:6])
    monkeypatch.setattr(reported, "B32", published.B32[:6])


SOUP = ["soup", "model-soups/b32/*", "--out"]


@pytest.mark.filterwarnings("ignore:left out")
def test_a_soup_streams_published_models_and_keeps_none(
    server, six, on_shifts, cache, tmp_path, capsys
):
    assert main([*SOUP, str(tmp_path / "soup"), *on_shifts]) == 0
    expected = average([theta(name) for name in published.B32])
    soup = load(tmp_path / "soup").state_dict()
    assert all(torch.allclose(soup[key], expected[key], atol=1e-5) for key in expected)
    assert [path[-4:-3] for path, _ in server.fetched] == list("012345")
    assert files(cache) == ["hashes.json"]
    assert not (tmp_path / "soup.states").exists()
    assert read_card(tmp_path / "soup")["recipe"]["ingredients"] == list(published.B32)
    out = capsys.readouterr().out
    assert "model-soups/b32 uniform soup" in out and "uniform_soup_results.jsonl" in out
    assert main([*SOUP, str(tmp_path / "kept"), *on_shifts, "--keep"]) == 0
    assert main([*SOUP, str(tmp_path / "again"), *on_shifts]) == 0
    assert len(server.fetched) == 12  # what is kept is read there, whatever the options
    assert len(files(cache)) == 13


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_soup_killed_at_the_kth_download_goes_on_there(
    stop, server, six, site, on_shifts, tmp_path, monkeypatch
):
    download, calls = downloads.download, []

    def interrupted(address, path, copies):
        calls.append(address)
        if len(calls) == stop:
            server.stop = file_of(site, published.B32[stop - 1]).stat().st_size // 2
            with pytest.raises(UserError):
                download(address, path, copies)
            raise KeyboardInterrupt
        download(address, path, copies)

    with monkeypatch.context() as patch:
        patch.setattr(published, "download", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main([*SOUP, str(tmp_path / "soup"), *on_shifts])
    server.stop = None
    server.fetched.clear()
    assert main([*SOUP, str(tmp_path / "soup"), *on_shifts]) == 0
    assert [path[-4:-3] for path, _ in server.fetched] == list("012345")[stop - 1 :]
    assert server.fetched[0][1] > 0  # the half that had arrived
    assert main([*SOUP, str(tmp_path / "whole"), *on_shifts]) == 0
    same(load(tmp_path / "soup").state_dict(), load(tmp_path / "whole").state_dict())


@pytest.mark.filterwarnings("ignore:left out")
def test_a_greedy_soup_tries_models_by_their_published_accuracies(
    server, six, on_shifts, tmp_path, capsys
):
    out = str(tmp_path / "greedy")
    assert main([*SOUP, out, *on_shifts, "--greedy", "--choose-on", "a"]) == 0
    minival = reported_accuracies()["minival"]
    order = sorted(published.B32, key=lambda name: -minival[name])
    # the first of the pool is kept for comparison; the others are read once, in this order
    tried = [f"model-soups/b32/{path[-4:-3]}" for path, _ in server.fetched]
    assert tried[1:] == [name for name in order if name != published.B32[0]]
    recipe = read_card(out)["recipe"]
    assert recipe["chosen_on"] == "a" and recipe["ingredients"][0] == order[0]
    printed = capsys.readouterr().out
    assert "accuracy on 'a'" in printed and "alone: published" in printed
    assert main([*SOUP, f"{out} 2", *on_shifts, "--greedy"]) == 2
    assert "has no 'val'" in capsys.readouterr().err
    words = ["--greedy", "--choose-on", "a", "--rank", "val", "--overwrite"]
    assert main([*SOUP, out, *on_shifts, *words]) == 0
    assert "alone: published" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:left out")
def test_published_models_do_not_choose_on_images_that_they_were_trained_on(
    server, shifts, tmp_path, monkeypatch, capsys
):
    task = load_task("imagenet-shifts", shifts)
    held = replace(task.split("a").sample(40), name="val")
    monkeypatch.setattr(
        "wiseft_lite.tasks.load_task", lambda *_: replace(task, name="imagenet", val=held)
    )
    words = ["--greedy", "--splits", "a", "--limit", "40", "--out"]
    assert main(["soup", "model-soups/b32/[01]", *words, str(tmp_path / "one")]) == 0
    assert "were trained on most of these; choose on other images" in capsys.readouterr().err
    words = ["--choose-on", "objectnet", *words]
    assert main(["soup", "model-soups/b32/[01]", *words, str(tmp_path / "two")]) == 0
    assert "trained on" not in capsys.readouterr().err


def test_a_given_rank_decides_the_order_and_spares_scores():
    thetas = [{"w": torch.tensor([x])} for x in (5.0, 1.0, -1.5)]
    scored = []

    def score(theta):
        scored.append(theta["w"].item())
        return -abs(scored[-1])

    soup, trace = greedy_soup(thetas, score, rank=[0.1, 0.3, 0.2])
    assert trace["model"].tolist() == [1, 2, 0] and trace["alone"].tolist() == [0.3, 0.2, 0.1]
    assert scored == [1.0, -0.25, pytest.approx(1.5)] and trace["kept"].tolist() == [
        True,
        True,
        False,
    ]
    assert soup["w"].item() == -0.25
    with pytest.raises(UserError, match="2 numbers in rank for 3 models"):
        greedy_soup(thetas, score, rank=[1, 2])


# Published accuracies


def test_the_table_has_every_model_with_its_source():
    table = reported_accuracies()
    assert set(published_names()) <= set(table.index) and table["source"].notna().all()
    assert table.index.is_unique
    b32 = table.loc[list(published.B32)]
    assert (
        b32[["minival", "imagenet", "v2", "r", "a", "sketch", "objectnet"]].notna().all(axis=None)
    )
    assert b32["lr"].isna().sum() == 1  # of the start
    assert b32["imagenet"].idxmax() == "model-soups/b32/43"
    assert table.loc["model-soups/b32 uniform soup", "r"] == pytest.approx(66.54)
    assert table.loc["model-soups/vit-l14 at alpha 0.75", "imagenet"] == 86.0
    assert table.loc["ViT-B-32/openai", "cifar10"] == pytest.approx(89.83)


def measured(accuracy, half=0.01, split="v2"):
    return pd.DataFrame(
        [{"split": split, "accuracy": accuracy, "low": accuracy - half, "high": accuracy + half}]
    )


def test_the_verdict_is_that_of_the_binomial_interval(capsys):
    published_v2 = reported_accuracies().loc["model-soups/b32/7", "v2"] / 100
    for off, agrees in ((0.009, True), (-0.009, True), (0.02, False), (-0.02, False)):
        table = measured(published_v2 + off)
        row = reported.compare(table, "model-soups/b32/7", "imagenet-shifts").iloc[0]
        assert row["agrees"] == agrees and row["difference"] == pytest.approx(100 * off)
        reported.show(table, "model-soups/b32/7", "imagenet-shifts")
        out = capsys.readouterr().out
        assert ("QuickGELU" in out) == (not agrees) and "individual_model_results.jsonl" in out


def test_what_is_not_known_is_not_compared(capsys):
    for model, task, split in (
        ("model-soups/b32/7", "iconshift", "v2"),
        ("mine", "imagenet-shifts", "v2"),
        ("", "imagenet-shifts", "v2"),
        ("model-soups/b32/7", "imagenet-shifts", "val"),
        ("model-soups/vit-l14-zeroshot", "imagenet-shifts", "v2"),
        ("ViT-B-32/openai", "imagenet-shifts", "objectnet"),  # published by its own class names
    ):
        table = measured(0.5, split=split)
        assert reported.compare(table, model, task).empty
        reported.show(table, model, task)
    assert capsys.readouterr().out == ""
    own = reported.compare(measured(0.44, split="objectnet"), "ViT-B-32/openai", "objectnet")
    assert own["published"].item() == pytest.approx(44.31)


@pytest.mark.filterwarnings("ignore:left out")
def test_commands_print_yours_beside_published(server, on_shifts, tmp_path, capsys, monkeypatch):
    assert (
        main(["evaluate", "model-soups/b32/3", *on_shifts, "--out", str(tmp_path / "e.jsonl")]) == 0
    )
    out = capsys.readouterr().out
    assert "yours  published  difference" in out and "outside the 95 % interval" in out
    assert "class subset" in out  # a random model is off
    known = reported_accuracies()
    ends = ["model-soups/vit-l14-zeroshot", "model-soups/vit-l14-finetuned"]
    changed = known.copy()
    changed.loc[[*ends, "model-soups/vit-l14 at alpha 0.75"], "a"] = [10.0, 20.0, 30.0]
    monkeypatch.setattr(reported, "reported_accuracies", lambda: changed)
    words = ["--alphas", "0,0.5,0.75,1", "--out", str(tmp_path / "s.jsonl")]
    assert main(["sweep", *ends, *on_shifts, *words]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("model-soups")] == [
        ends[0],
        "model-soups/vit-l14 at alpha 0.75",
        ends[1],
    ]


@pytest.mark.filterwarnings("ignore:left out")
def test_a_zero_shot_classifier_is_known_by_its_card(
    clip, on_shifts, tmp_path, capsys, monkeypatch
):
    ids, names, templates = imagenet.imagenet_classes()
    monkeypatch.setattr(imagenet, "imagenet_classes", lambda: (ids, names, templates[:1]))
    monkeypatch.setattr("wiseft_lite.encoders.load_clip", lambda name, device: clip)
    words = ["zeroshot", "--model", "ViT-B-32/openai", "--out", str(tmp_path / "zs")]
    assert main([*words, *on_shifts, "--splits", "a", "--limit", "50"]) == 0
    first = capsys.readouterr().out
    assert "n=50" in first and "published" in first
    card = json.loads((tmp_path / "zs" / "card.json").read_text())
    assert card["recipe"] == {"zero_shot_model": "ViT-B-32/openai", "prompts": 1}
    out = ["--out", str(tmp_path / "e.jsonl")]
    assert main(["evaluate", str(tmp_path / "zs"), *on_shifts, "--splits", "a", *out]) == 0
    assert "ViT-B-32/openai" in capsys.readouterr().out


def test_a_limit_draws_the_same_images_each_time_and_of_all_classes(shifts):
    split = imagenet.read_test_set(shifts, "a")
    one, other = split.sample(50), split.sample(50)
    assert one.images.rows == other.images.rows == sorted(one.images.rows) and len(one) == 50
    assert max(one.images.rows) > 150 and len(split.sample(10_000)) == 200
    with pytest.raises(UserError, match="0 images are too few"):
        split.sample(0)


def test_other_checkpoints_are_taken_as_before(theta_0, tmp_path):
    save(theta_0, tmp_path / "mine")
    assert published.checkpoint_folder(tmp_path / "mine") == tmp_path / "mine"
    assert reported.name_of(tmp_path / "mine") == ""
    assert published.expand(["mine", "model-soups/b32/[01]"]) == ["mine", *published.B32[:2]]
