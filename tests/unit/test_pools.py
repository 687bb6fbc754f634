"""Soups of checkpoints, files and addresses: one at a time, deleted after use, resumable; the
network is a server of this process."""

import hashlib
import http.server
import os
import tempfile
import threading
import weakref
from contextlib import contextmanager
from dataclasses import replace

import peers
import pytest
import torch
from safetensors.torch import save_file

from wiseft_lite import UserError, average, import_checkpoint, load, predict, save
from wiseft_lite._runtime.downloads import downloaded, is_address
from wiseft_lite.checkpoints import read_card
from wiseft_lite.cli.main import main
from wiseft_lite.interop.pools import Pool, read_classifier
from wiseft_lite.merging.soups import HeldOutAccuracy, greedy_soup, uniform_soup


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four fine-tuned models in the layout of model-soups, as files of several kinds."""
    peers.register(tmp_path_factory.mktemp("configs"))
    folder, generator = tmp_path_factory.mktemp("files"), torch.Generator().manual_seed(0)
    for i in range(4):
        weights = {
            key: value + 0.1 * torch.randn(value.shape, generator=generator)
            for key, value in peers.model_soups_weights().items()
        }
        torch.save(weights, folder / f"{i}.pt")
        save_file(weights, folder / f"{i}.safetensors")
        save(import_checkpoint(folder / f"{i}.pt", peers.CLASSES), folder / str(i))
    return folder


@pytest.fixture(scope="module")
def thetas(files):
    return [load(files / str(i)).state_dict() for i in range(4)]


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder as a web site, and as a repository of the Hub; records what was fetched."""

    def __init__(self, folder):
        self.folder, self.fetched = folder, []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.server.folder / self.path.partition("?")[0].rpartition("/")[2]
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command == "GET":
            self.server.fetched.append(self.path)
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(files, monkeypatch):
    import huggingface_hub.constants as hub

    with Server(files) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(hub, "ENDPOINT", running.url)
        template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def no_download_stays(tmp_path, monkeypatch):
    """Every test leaves the folder of temporary files as it was."""
    room = tmp_path / "temporary"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    yield room
    assert not list(room.iterdir())


def same_bits(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def sources(files, server):
    """Each model at another kind of place."""
    return [
        str(files / "0"),
        str(files / "1.pt"),
        f"{server.url}/weights/2.safetensors?download=true#sha256={sha256(files / '2.safetensors')}",
        "hf://owner/models@v1/soups/3.pt",
    ]


# Downloads


@pytest.mark.parametrize(
    "address, path",
    [
        ("SERVER/a/1.pt", "/a/1.pt"),
        ("SERVER/1.safetensors?download=true", "/1.safetensors?download=true"),
        ("hf://owner/models/1.pt", "/owner/models/resolve/main/1.pt"),
        ("hf://owner/models@v1/sub/1.pt", "/owner/models/resolve/v1/sub/1.pt"),
        ("file://FILES/1.pt", None),
    ],
)
def test_a_download_has_the_bytes_the_suffix_and_an_end(address, path, files, server):
    address = address.replace("SERVER", server.url).replace("FILES", str(files))
    expected = files / ("1.safetensors" if "safetensors" in address else "1.pt")
    for suffix in ("", f"#sha256={sha256(expected).upper()}"):
        assert is_address(address + suffix)
        with downloaded(address + suffix) as local:
            assert local.read_bytes() == expected.read_bytes() and local.name == expected.name
        assert not local.exists()
    assert [each for each in server.fetched if "1." in each] == ([path] * 2 if path else [])


@pytest.mark.parametrize(
    "address, words",
    [
        ("SERVER/missing.pt", "missing.pt cannot be downloaded .*404"),
        ("hf://owner/models/missing.pt", "missing.pt cannot be downloaded"),
        ("http://127.0.0.1:9/1.pt", "cannot be downloaded .*check the address"),
        ("SERVER/", "names no file"),
        ("hf://owner/models", "OWNER/REPOSITORY/FILE"),
        ("SERVER/1.pt#sha256=12", "'sha256=12' is no hash"),
        ("SERVER/1.pt#md5=" + 32 * "0", "is no hash"),
        ("SERVER/1.pt#sha256=" + 64 * "0", "1.pt#sha256=0+ has another hash"),
    ],
)
def test_what_cannot_be_downloaded_is_one_clear_line(address, words, server):
    with (
        pytest.raises(UserError, match=words),
        downloaded(address.replace("SERVER", server.url)),
    ):
        pass


def test_a_download_is_deleted_when_its_use_fails(server, no_download_stays):
    with pytest.raises(ZeroDivisionError), downloaded(f"{server.url}/1.pt"):
        assert list(no_download_stays.iterdir())
        raise ZeroDivisionError


# Pools


def test_a_pool_reads_every_kind_of_source_and_its_soups_are_those_of_models_in_memory(
    sources, thetas, task
):
    first = read_classifier(sources[0], peers.CLASSES)
    pool = Pool(sources, first)
    for theta, expected in zip(pool, thetas, strict=True):
        same_bits(theta, expected)
    same_bits(uniform_soup(pool), uniform_soup(thetas))
    score = HeldOutAccuracy(first, task.test)
    for rule in ("paper", "code"):
        soup, trace = greedy_soup(pool, score, rule)
        expected, same = greedy_soup(thetas, score, rule)
        same_bits(soup, expected)
        assert trace.equals(same)


def test_one_model_of_a_pool_is_in_memory_at_a_time(sources, monkeypatch):
    """Counted by the storages of the models that ``_read`` returned."""
    first, alive, most = read_classifier(sources[0], peers.CLASSES), weakref.WeakSet(), []
    read = Pool._read

    def watched(pool, source):
        theta = read(pool, source)
        alive.add(theta["head.weight"])
        most.append(len(alive))
        return theta

    monkeypatch.setattr(Pool, "_read", watched)
    pool = Pool([sources[0], *sources[1:] * 3], first)
    uniform_soup(pool)
    greedy_soup(pool, lambda theta: -float(theta["head.weight"].abs().sum()))
    assert len(most) == 10 + 20 and max(most) <= 2  # a greedy soup's mean may be one of them


@pytest.mark.parametrize("kind", ["pt", "safetensors", "address"])
def test_a_damaged_file_and_strangers_are_refused_by_name(kind, files, server, tmp_path):
    first = read_classifier(str(files / "0"), peers.CLASSES)
    suffix = "safetensors" if kind == "safetensors" else "pt"
    for harm, words in (
        ("cut", "1.* (is damaged|cannot be read)"),
        ("other", "has (1|3) rows|differ"),
    ):
        path = tmp_path / f"1{harm}.{suffix}"
        weights = peers.model_soups_weights()
        if harm == "other":
            weights["classification_head.weight"] = torch.zeros(1, 16)
            weights["classification_head.bias"] = torch.zeros(1)
        (save_file if suffix == "safetensors" else torch.save)(dict(weights), path)
        if harm == "cut":
            path.write_bytes(path.read_bytes()[:-100])
        source = str(path)
        if kind == "address":
            (files / path.name).write_bytes(path.read_bytes())
            source = f"{server.url}/{path.name}"
        with pytest.raises(UserError, match=words) as error:
            Pool([str(files / "0"), source], first)[1]
        assert str(error.value).startswith(source) and "temporary" not in str(error.value)


def test_no_code_in_a_download_is_executed(files, server, tmp_path, monkeypatch):
    import pickle

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    (files / "evil.pt").write_bytes(pickle.dumps({"model": Payload()}))
    first = read_classifier(str(files / "0"), peers.CLASSES)
    with pytest.raises(UserError):
        Pool([str(files / "0"), f"{server.url}/evil.pt"], first)[1]
    assert server.fetched == ["/evil.pt"] and not (tmp_path / "executed").exists()


def test_a_pool_is_checked_as_far_as_that_costs_no_reading(files, theta_0, tmp_path):
    first = read_classifier(str(files / "0"), peers.CLASSES)
    with pytest.raises(UserError, match="nowhere is no checkpoint"):
        Pool([str(files / "0"), "nowhere"], first)
    with pytest.raises(UserError, match="other differ in their architecture"):
        Pool([str(files / "0"), str(save(theta_0, tmp_path / "other"))], first)


def test_a_pool_is_read_as_the_options_say(files):
    first = read_classifier(str(files / "0"), peers.CLASSES)
    pool = Pool([str(files / "0"), str(files / "1.pt")], first, architecture="ViT-B-32")
    with pytest.raises(UserError, match="1.pt does not have the shapes of 'ViT-B-32'"):
        pool[1]


# The command


@pytest.fixture(scope="module")
def averaged(files, thetas, task):
    """A task on whose val split the mean of all models is always right."""
    mean = load(files / "0").with_weights(average(thetas))
    return replace(task, val=replace(task.val, labels=predict(mean, task.val).argmax(1)))


@pytest.fixture
def shapes(monkeypatch, averaged):
    monkeypatch.setattr("wiseft_lite.tasks.load_task", lambda name, data=None: averaged)


def test_the_command_makes_a_soup_of_checkpoints_files_and_addresses(
    sources, shapes, thetas, server, tmp_path, capsys
):
    out = tmp_path / "soup"
    assert main(["soup", *sources, "--out", str(out)]) == 0
    same_bits(load(out).state_dict(), uniform_soup(thetas))
    assert read_card(out)["recipe"]["ingredients"] == sources
    assert [path for path in server.fetched if "/agent" not in path] == [
        "/weights/2.safetensors?download=true",
        "/owner/models/resolve/v1/soups/3.pt",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["soup", "temporary"]


@contextmanager
def interrupted_at(monkeypatch, stop):
    """Interrupt a greedy soup at its ``stop``-th score; yields what was scored."""
    call, scored = HeldOutAccuracy.__call__, []

    def counted(score, theta):
        scored.append(1)
        if len(scored) == stop:
            raise KeyboardInterrupt
        return call(score, theta)

    with monkeypatch.context() as patch:
        patch.setattr(HeldOutAccuracy, "__call__", counted)
        yield scored


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_an_interrupted_greedy_soup_neither_scores_nor_downloads_again(
    stop, sources, shapes, thetas, averaged, server, tmp_path, monkeypatch
):
    score = HeldOutAccuracy(read_classifier(sources[0], peers.CLASSES), averaged.val)
    trace = greedy_soup([thetas[3], *thetas[:3]], score)[1]
    assert 1 < trace["kept"].sum() < 4
    in_score = [*range(4), *trace["model"][1:]][stop - 1]  # when the soup is interrupted
    sources = [sources[3], *sources[:3]]  # an address is the first, too
    out, whole = tmp_path / "soup", tmp_path / "whole"
    words = ["soup", *sources, "--greedy", "--out"]
    assert main([*words, str(whole)]) == 0
    once = [path for path in server.fetched if path.startswith("/owner")]
    assert len(once) == 1  # the first, with which all others are compared, is kept until the end
    assert len([path for path in server.fetched if path.startswith("/weights")]) == 2
    server.fetched.clear()
    with interrupted_at(monkeypatch, stop), pytest.raises(KeyboardInterrupt):
        main([*words, str(out)])
    assert not out.exists() and (tmp_path / "soup.states").is_dir()
    with interrupted_at(monkeypatch, 0) as scored:
        assert main([*words, str(out)]) == 0
    assert len(scored) == 8 - stop
    assert [path for path in server.fetched if path.startswith("/owner")] == once
    third = [path for path in server.fetched if path.startswith("/weights")]
    assert len(third) == 2 + (in_score == 3)  # to score it alone and to try it
    same_bits(load(out).state_dict(), load(whole).state_dict())
    assert read_card(out) == read_card(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["soup", "temporary", "whole"]
