"""``doctor --task``: every problem of a task's names and images is listed, and decides the exit
code."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from wiseft_lite import UserError
from wiseft_lite.cli.main import main
from wiseft_lite.tasks.inspection import inspect

RNG = np.random.default_rng(0)
NAMES = ("disc", "ring")


def noise(mode="RGB"):
    return Image.fromarray(RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)).convert(mode)


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "test", "night"):
        for name in NAMES:
            (tmp_path / "own" / split / name).mkdir(parents=True)
            for k in range(3):
                noise().save(tmp_path / "own" / split / name / f"{k}.png")
    return tmp_path / "own"


@pytest.fixture
def table(folder):
    lines = [
        f"{path.relative_to(folder.parent)},{path.parent.name},{path.parent.parent.name}"
        for path in sorted(folder.glob("*/*/*.png"))
    ]
    (folder.parent / "own.csv").write_text("\n".join(["path,class,split", *lines]))
    return folder.parent / "own.csv"


def row(text, split):
    """The line of a split in what the doctor printed."""
    return next(line for line in text.splitlines() if line.split()[:1] == [split]).split(maxsplit=4)


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_sound_data(kind, request, capsys):
    path = request.getfixturevalue(kind)
    assert main(["doctor", "--task", str(path)]) == 0
    text = capsys.readouterr().out
    assert (
        "2 classes, 3 splits, 18 images" in text and "nothing found that would stop a run" in text
    )
    for split in ("train", "test", "night"):
        assert row(text, split) == [split, "6", "0", "2"]


def damage_body(path):
    """Bytes in the middle are wrong; header and end are as they were."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)


def test_every_unreadable_file_is_listed_those_with_a_bad_body_too(folder, capsys):
    (folder / "test" / "disc" / "0.png").write_bytes(b"")
    (folder / "night" / "ring" / "1.png").write_text("<html>")
    cut = folder / "test" / "ring" / "2.png"
    cut.write_bytes(cut.read_bytes()[:200])
    damage_body(folder / "train" / "disc" / "1.png")
    noise().resize((200, 200)).save(folder / "test" / "disc" / "large.jpg", progressive=True)
    assert main(["doctor", "--task", str(folder)]) == 2
    printed = capsys.readouterr()
    for name in ("test/disc/0.png", "night/ring/1.png", "test/ring/2.png", "train/disc/1.png"):
        assert printed.out.count(f"{folder}/{name} ") == 1
    assert [row(printed.out, split)[2] for split in ("train", "test", "night")] == ["1", "2", "1"]
    assert (
        printed.err.count("\n") == 1 and "would stop a run: 4 problems, listed above" in printed.err
    )


def test_every_problem_of_names_is_listed_with_those_of_images(folder, capsys):
    shutil.copytree(folder / "night" / "disc", folder / "night" / "square")
    (folder / "classes.csv").write_text("folder,name\ndisc,a\ndisc,b\n")
    (folder / "test" / "disc" / "0.png").write_bytes(b"")
    assert main(["doctor", "--task", str(folder)]) == 2
    printed = capsys.readouterr()
    for text in (
        "line 3: folder 'disc'",
        "class 'ring'",
        "class 'square' of split 'night'",
        "disc/0.png",
    ):
        assert text in printed.out
    assert "Traceback" not in printed.err


def test_missing_files_of_a_table_are_listed_with_their_lines(table, capsys):
    table.write_text(table.read_text() + "\n\nown/a.png,disc,test\nown/b.png,ring,test\n")
    assert main(["doctor", "--task", str(table)]) == 2
    printed = capsys.readouterr()
    assert "own.csv, line 21: " in printed.out and "own.csv, line 22: " in printed.out
    assert printed.out.count("own/b.png") == 1 and "2 problems" in printed.err


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("classes.csv", "folder,name\ndisc,a\nring,a\n", "class names: a;"),
        ("prompts.txt", "no braces", "'no braces'"),
    ],
)
def test_names_and_prompts_that_would_stop_a_run(file, text, message, folder, capsys):
    (folder / file).write_text(text)
    assert main(["doctor", "--task", str(folder)]) == 2
    printed = capsys.readouterr()
    assert message in printed.out and "1 problem, listed above" in printed.err


def test_one_image_per_class_and_no_val_would_stop_a_run(folder, capsys):
    for path in folder.glob("train/*/[12].png"):
        path.unlink()
    assert main(["doctor", "--task", str(folder)]) == 2
    assert "val split" in capsys.readouterr().out


def test_modes_and_classes_without_images_are_shown(folder, capsys):
    shutil.rmtree(folder / "night" / "ring")
    noise("RGBA").save(folder / "train" / "disc" / "0.png")
    Image.fromarray(RNG.integers(0, 65536, (8, 8), dtype=np.uint16)).save(
        folder / "train" / "disc" / "1.png"
    )
    assert main(["doctor", "--task", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "1 of mode RGBA" in row(text, "train")[4] and "1 of mode I;16" in row(text, "train")[4]
    assert row(text, "night") == ["night", "3", "0", "1", "none of ring"]


def test_an_image_in_train_and_test_or_in_two_classes_is_shown(folder, capsys):
    with Image.open(folder / "train" / "disc" / "0.png") as image:
        image.save(
            folder / "test" / "disc" / "0.webp", lossless=True
        )  # other bytes, the same pixels
        image.save(folder / "train" / "ring" / "9.png")
    assert main(["doctor", "--task", str(folder)]) == 0
    text = capsys.readouterr().out
    assert (
        f"images of test that are in train too: 1, such as {folder}/test/disc/0.webp and {folder}/train/disc/0.png"
        in text
    )
    assert (
        f"images that occur under two classes: 1, such as {folder}/train/ring/9.png (ring)" in text
    )


def test_what_cannot_be_found_is_one_line(tmp_path, capsys):
    for name, message in (
        (str(tmp_path), "'train'"),
        ("none.csv", "none.csv"),
        ("iconshif", "'iconshif'"),
    ):
        assert main(["doctor", "--task", name]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_shipped_tasks_and_published_data_sets_can_be_checked(tmp_path, capsys):
    from wiseft_lite.tasks.published.standins import iwildcam

    assert main(["doctor", "--task", "weather"]) == 0
    assert "nothing found" in capsys.readouterr().out
    iwildcam(tmp_path)
    next((tmp_path / "iwildcam_v2.0" / "train").iterdir()).write_bytes(b"")
    assert main(["doctor", "--task", "iwildcam", "--data", str(tmp_path)]) == 2
    assert "would stop a run: 1 problem, listed above" in capsys.readouterr().err


def test_a_held_out_split_is_checked_by_its_files(tmp_path):
    from make_fixtures import food101

    food101(tmp_path)
    (tmp_path / "food-101" / "images" / "dish_003" / "1000.jpg").write_bytes(b"")
    lines = []
    with pytest.raises(UserError, match="1 problem"):
        lines.extend(inspect("food101", tmp_path))


def test_a_run_on_damaged_data_stops_before_any_work(folder, clip_folder, tmp_path, capsys):
    cut = folder / "night" / "ring" / "2.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    whole = cut.read_bytes()
    common = ["--model", f"local-dir:{clip_folder}", "--out", str(tmp_path / "out")]
    for command, task in (
        ("run", "--task"),
        ("finetune", "--task"),
        ("probe", "--task"),
        ("embed", "--tasks"),
    ):
        assert main([command, *common, task, str(folder)]) == 2
        printed = capsys.readouterr()
        assert "ring/2.png" in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists() and cut.read_bytes() == whole


def test_names_of_classes_may_be_read_in_other_encodings(tmp_path, capsys):
    """``import --classes`` reads as the other side files are read; here only as far as the
    names."""
    (tmp_path / "card.json").write_text(json.dumps({}))
    (tmp_path / "names.txt").write_bytes("café\ndog\n".encode("latin-1"))
    assert (
        main(
            [
                "import",
                str(tmp_path / "none.pt"),
                "--classes",
                str(tmp_path / "names.txt"),
                "--out",
                str(tmp_path / "x"),
            ]
        )
        == 2
    )
    assert "names.txt, line 1" in capsys.readouterr().err
