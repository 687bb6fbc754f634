"""The data scripts: checksums, cut archives, going on after a stop, and counts."""

import hashlib
import importlib
import io
import shlex
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fetching
import pytest

from wiseft_lite import UserError

CONTENT = bytes(range(256)) * 40


def archive(name="set/a.txt"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(CONTENT)
        tar.addfile(entry, io.BytesIO(CONTENT))
    return file.getvalue()


@pytest.fixture
def server():
    """Serves ``server.body``, from a byte on if asked; every connection ends at byte ``server.stop``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            first = int(self.headers.get("Range", "bytes=0-")[6:-1])
            http.asked.append(first)
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(http.body) - first))
            self.end_headers()
            self.wfile.write(http.body[first : http.stop])

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.body, http.stop, http.asked = archive(), None, []
    http.url = f"http://127.0.0.1:{http.server_port}/x"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def remote(server, digest=None):
    known = hashlib.md5(server.body).hexdigest() if digest is None else digest
    return fetching.Remote(
        server.url, f"md5:{known}" if known else "", "set.tar.gz", "here/set", "set"
    )


def test_a_stopped_download_goes_on_and_a_second_run_does_nothing(server, tmp_path):
    server.stop = 20
    with pytest.raises(UserError, match="set.tar.gz.part has 20 bytes of it"):
        fetching.get(remote(server), tmp_path)
    server.stop = None
    fetching.get(remote(server), tmp_path)
    assert server.asked == [0, 20, 20]
    assert (tmp_path / "here" / "set" / "a.txt").read_bytes() == CONTENT
    fetching.get(remote(server), tmp_path)
    assert server.asked == [0, 20, 20] and sorted(p.name for p in tmp_path.iterdir()) == ["here"]


def test_a_wrong_checksum_is_refused_and_removed(server, tmp_path):
    with pytest.raises(UserError, match="/x.*md5:0123"):
        fetching.get(remote(server, "0123"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_name_that_git_gives_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"hello\n")
    assert (
        fetching.digest(tmp_path / "a", "git") == "ce013625030ba8dba906f756967f9e9ca394464a"
    )  # git hash-object


def test_cut_strange_and_hostile_archives(server, tmp_path):
    whole = server.body
    for body in (whole[: len(whole) // 2], archive("other/a"), archive("../outside")):
        server.body = body
        with pytest.raises(UserError, match="set.tar.gz"):
            fetching.get(remote(server, ""), tmp_path / "data")
        assert not (tmp_path / "data" / "here").exists() and not (tmp_path / "outside").exists()
        (tmp_path / "data" / "set.tar.gz").unlink()


def test_counts_are_compared_with_the_published_ones(monkeypatch, tmp_path, task):
    monkeypatch.setattr(fetching, "load_task", lambda name, root: task)
    fetching.verify("shapes", tmp_path, {"train+val": 72, "test": 30, "two": 20})
    with pytest.raises(UserError, match="shapes: two .*20 .*21"):
        fetching.verify("shapes", tmp_path, {"test": 30, "two": 21, "absent": 3})


def test_every_listed_file_is_looked_for(monkeypatch, tmp_path):
    from wiseft_lite.tasks.published.standins import iwildcam

    iwildcam(tmp_path)
    fetching.verify("iwildcam", tmp_path, {"train": 4})
    (tmp_path / "iwildcam_v2.0" / "train" / "train2.jpg").unlink()  # neither the first nor the last
    with pytest.raises(UserError, match="iwildcam: .*train2.jpg .*0 more"):
        fetching.verify("iwildcam", tmp_path, {})


@pytest.mark.parametrize(
    "script, only, got",
    [
        ("get_cifar", ["--only", "cifar10"], ["cifar10"]),
        ("get_wilds", ["--only", "iwildcam"], ["iwildcam"]),
        ("get_cifar", [], ["cifar10", "cifar100", "cifar10-c"]),
    ],
)
def test_a_script_gets_what_it_is_asked_for(script, only, got, monkeypatch, tmp_path):
    module, fetched, seen = importlib.import_module(script), [], []
    monkeypatch.setattr(module, "get", lambda remote, root: fetched.append((remote.goes_to, root)))
    monkeypatch.setattr(module, "verify", lambda name, root, published: seen.append(name))
    monkeypatch.setattr("sys.argv", [script, "--data", str(tmp_path), *only])
    assert fetching.main("", module.run, list(module.SETS)) == 0
    assert seen == got and {root for _, root in fetched} == {tmp_path}
    assert any("CIFAR-10-C" in name for name, _ in fetched) == ("cifar10-c" in got)
    monkeypatch.setattr("sys.argv", [script, "--only", "cifra"])
    with pytest.raises(SystemExit):
        fetching.main("", module.run, list(module.SETS))


def test_the_doctor_finds_data_sets_and_names_the_script_for_the_others(
    tmp_path, capsys, monkeypatch
):
    from wiseft_lite.cli.main import main

    monkeypatch.chdir(tmp_path)
    for name in (
        "cifar-10-batches-bin",
        "CIFAR-10.1",
        "CIFAR-10.2",
        "imagenet/train",
        "imagenet/val",
        "imagenet-vid-robust",
    ):
        (tmp_path / name).mkdir(parents=True)
    assert main(["doctor", "--data", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["cifar10"].endswith("present") and lines["vid-robust"].split()[1:] == ["present"]
    assert "get_cifar.py" in lines["cifar10-c"] and "(missing: CIFAR-10-C)" in lines["cifar10-c"]
    assert (
        "sketch" in lines["imagenet"]
        and "GB free" in lines["data"]
        and "torch 2" in lines["packages"]
    )
    script = Path(shlex.split(lines["cifar10-c"])[2])  # the command works from any folder
    assert script.is_file()


def test_the_doctor_names_the_repository_if_only_the_package_is_here(tmp_path, monkeypatch):
    from wiseft_lite.cli import doctor

    monkeypatch.setattr(doctor, "SCRIPTS", tmp_path / "no_clone")
    lines = doctor.report(tmp_path)
    assert any("the repository; clone it" in line for line in lines)
    assert any(f"python data_scripts/get_cifar.py --data {tmp_path}" in line for line in lines)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert "Change runtime type" in doctor.report(tmp_path)[2]
