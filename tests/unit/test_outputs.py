"""Where results go: refused before any work what could not be written at the end, and never a half
of anything."""

import os
from pathlib import Path

import pytest

from wiseft_lite import UserError
from wiseft_lite._runtime.console import FailSafeStream
from wiseft_lite._runtime.outputs import check_file, check_folder, new_file, new_folder
from wiseft_lite.cli.main import main

BAD = {
    ".": "the working folder",
    "..": "the working folder",
    "/": "the working folder",
    "": "the working folder",
    "a/..": "the working folder",
    "x" * 252: "File name too long",
    "å" * 126: "File name too long",
    "file/x": "cannot be written",
    "file/x/y": "cannot be written",
    "full": "full",
    "dangling": "a broken link",
    "dangling/x": "dangling is a broken link",
    "a\0b": "cannot be written",
    "/proc/x": "cannot be written",
    "circle": "a broken link",
    "\udcff": "cannot be written",
}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder to be in, with things in the way; gives a listing of all that is there."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("file").write_text("mine")
    Path("full").mkdir()
    Path("full/thesis").write_text("years of work")
    Path("empty").mkdir()
    Path("dangling").symlink_to("nowhere")
    Path("circle").symlink_to("circle")
    Path("a").mkdir()

    def listing():
        return sorted((str(p), p.read_text() if p.is_file() else "") for p in Path(".").rglob("*"))

    return listing


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("check, new", [(check_folder, new_folder), (check_file, new_file)])
def test_a_place_that_cannot_be_written_is_refused_by_the_check_and_by_the_write_alike(
    places, name, check, new
):
    before, messages = places(), []
    for attempt in (lambda: check(name), lambda: new(name).__enter__()):
        with pytest.raises(UserError, match=BAD[name]) as caught:
            attempt()
        messages.append(str(caught.value))
    assert len(set(messages)) == 1 and places() == before


@pytest.mark.parametrize(
    "name", ["new", "deep/er/new", "empty", "link", "with blank", "$a$", "x" * 240]
)
@pytest.mark.parametrize("check, new", [(check_folder, new_folder), (check_file, new_file)])
def test_what_the_check_accepts_is_written_whole_or_not_at_all(places, name, check, new):
    if name == "empty" and check is check_file:
        with pytest.raises(UserError, match="empty is a folder"):
            check(name)
        return
    if name == "link":
        Path("elsewhere").mkdir() if check is check_folder else Path("elsewhere").write_text("old")
        Path("link").symlink_to("elsewhere")
    before = places()
    check(name, overwrite=True)
    assert places() == before
    with pytest.raises(KeyError), new(name, overwrite=True) as part:
        part.write_text("half") if check is check_file else (part / "half").write_text("half")
        raise KeyError
    assert places() == before
    with new(name, overwrite=True) as part:
        part.write_text("all") if check is check_file else (part / "all").write_text("all")
    written = Path(name) if check is check_file else Path(name) / "all"
    assert written.read_text() == "all" and (name != "link" or Path("link").is_symlink())
    assert list(Path(".").rglob(".*")) == []
    Path("plain").write_text("") if check is check_file else Path("plain").mkdir()
    assert (
        os.stat(name).st_mode == os.stat("plain").st_mode
    )  # a group may read it, if it may read other files


def test_only_a_result_is_replaced_and_only_if_asked(places):
    for folder, mark in (("checkpoint", "card.json"), ("run", "zero-shot/card.json")):
        (Path(folder) / mark).parent.mkdir(parents=True)
        (Path(folder) / mark).write_text("{}")
        with pytest.raises(UserError, match=f"{folder} exists"):
            check_folder(folder)
        check_folder(folder, overwrite=True)
    with pytest.raises(UserError, match="full is not a checkpoint"):
        check_folder("full", overwrite=True)
    with pytest.raises(UserError, match="file is a file, not a folder"):
        check_folder("file", overwrite=True)
    with pytest.raises(UserError, match="file exists"):
        check_file("file")
    check_file("file", overwrite=True)
    os.mkfifo("pipe")
    with pytest.raises(UserError, match="not a regular file"):
        check_file("pipe", overwrite=True)
    assert Path("file").read_text() == "mine" and Path("full/thesis").read_text() == "years of work"


def test_a_neighbour_with_the_ending_part_is_left_alone(places):
    Path("table.part").write_text("mine")
    with new_file("table.jsonl") as part:
        part.write_text("all")
    assert Path("table.part").read_text() == "mine" and Path("table.jsonl").read_text() == "all"


COMMANDS = {
    "demo": (),
    "run": (),
    "zeroshot": (),
    "probe": (),
    "finetune": (),
    "evaluate": ("nowhere",),
    "sweep": ("nowhere", "nowhere"),
    "interpolate": ("nowhere", "nowhere"),
    "import": ("nowhere",),
    "export": ("nowhere",),
    "soup": ("nowhere",),
    "embed": (),
    "plot": ("nowhere",),
}


@pytest.mark.parametrize("name", [".", "x" * 252 + ".png", "file/x.png", "dangling", "full"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_its_place_first(places, command, name, capsys, monkeypatch):
    for loads in (
        "wiseft_lite.tasks.load_task",
        "wiseft_lite.encoders.load_clip",
        "wiseft_lite.checkpoints.load",
        "wiseft_lite.checkpoints.read_card",
        "wiseft_lite.results.read_results",
    ):
        monkeypatch.setattr(
            loads, lambda *_, **__: pytest.fail("worked before the place of the result was checked")
        )
    before = places()
    assert main([command, *COMMANDS[command], "--out", name]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith("wiseft-lite: ") and error.count("\n") == 1 and "nowhere is" not in error
    )
    assert places() == before


def test_letters_that_a_terminal_lacks_are_escaped(tmp_path):
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        stream = FailSafeStream(file)
        print("α = 1 in \udcff", file=stream)
        stream.flush()
    assert (tmp_path / "log").read_text() == "\\u03b1 = 1 in \\udcff\n" and stream.error is None


def test_a_stream_that_is_full_is_noted_once_and_written_no_more():
    class Full:
        writes = 0

        def write(self, text):
            self.writes += 1
            raise OSError(28, "No space left on device")

        def fileno(self):
            raise OSError

        def flush(self):
            raise OSError(28, "No space left on device")

    stream = FailSafeStream(Full())
    for _ in range(3):
        print("x", file=stream, flush=True)
    assert stream.stream.writes == 1 and stream.error.errno == 28


def test_a_folder_comes_back_when_the_new_one_cannot_be_put_into_its_place(places, monkeypatch):
    Path("a").rmdir()
    with new_folder("a") as part:
        (part / "card.json").write_text("old")
    replace, calls = os.replace, []

    def fails_once_it_was_moved_aside(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as disk, pytest.raises(UserError, match="No space left"):
        disk.setattr("os.replace", fails_once_it_was_moved_aside)
        with new_folder("a", overwrite=True) as part:
            (part / "card.json").write_text("new")
    assert len(calls) == 3 and Path("a/card.json").read_text() == "old"


def test_a_folder_that_holds_more_than_a_run_is_left_alone(tmp_path):
    """Checkpoints that lie side by side are not one result, whatever the first is called."""
    models = tmp_path / "models"
    for name in ("zero-shot", "mine"):
        (models / name).mkdir(parents=True)
        (models / name / "card.json").write_text("{}")
    with pytest.raises(UserError, match="models"):
        check_folder(models, overwrite=True)
    (models / "mine").rename(models / "end-to-end")
    check_folder(models, overwrite=True)
