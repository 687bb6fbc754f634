"""Your own images: folders and tables, and one clear error for each kind of mistake."""

import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from conftest import picture
from PIL import Image

from wiseft_lite import (
    Recipe,
    UserError,
    csv_task,
    data,
    features,
    finetune,
    folder_task,
    load_task,
    predict,
    sweep,
    zero_shot_classifier,
)
from wiseft_lite.cli.main import main
from wiseft_lite.tasks import own
from wiseft_lite.tasks.images import Files

NAMES = ("disc", "square", "bar_shape")


@pytest.fixture
def folder(tmp_path):
    for split, n in (("train", 10), ("test", 3), ("night", 2)):
        for label, name in enumerate(NAMES):
            (tmp_path / "own" / split / name).mkdir(parents=True)
            for k in range(n):
                picture(label, k).save(tmp_path / "own" / split / name / f"{k}.png")
    return tmp_path / "own"


def test_a_folder_becomes_a_task_with_a_seeded_validation_split(folder):
    task = folder_task(folder, val_fraction=0.2)
    assert task.class_names == ("bar shape", "disc", "square") and list(task.shifts) == ["night"]
    assert [len(s) for s in (task.train, task.val, task.test, task.shifts["night"])] == [
        24,
        6,
        9,
        6,
    ]
    assert task.val.labels.bincount().tolist() == [2, 2, 2]
    files = lambda t: [t.images.images.paths[i] for i in t.images.rows]  # noqa: E731
    assert not set(files(task.train)) & set(files(task.val))
    assert files(folder_task(folder, val_fraction=0.2).val) == files(task.val)
    assert files(folder_task(folder, val_fraction=0.2, seed=1).val) != files(task.val)
    assert all(
        task.class_names[label].split()[0] in path
        for path, label in zip(files(task.train), task.train.labels, strict=True)
    )


def test_names_order_and_prompts_may_be_given(folder):
    (folder / "classes.csv").write_text(
        "folder,name\nsquare,a box\nbar_shape,a beam\ndisc,a ball\n"
    )
    (folder / "prompts.txt").write_text("this is {}.\n\n")
    task = folder_task(folder)
    assert task.class_names == ("a box", "a beam", "a ball") and task.templates == ("this is {}.",)
    assert "square" in task.test.images.paths[task.test.labels.tolist().index(0)]
    assert folder_task(folder, templates=["{}"]).templates == ("{}",)


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def hide(folder):
    """Folders that systems and editors add, at every depth, with images in them."""
    for name in (
        ".ipynb_checkpoints",
        "@eaDir",
        "__MACOSX",
        ".thumbnails",
        "__pycache__",
        "#recycle",
    ):
        for place in (
            folder,
            folder / "train",
            folder / "train" / "disc",
            folder / "night" / "square",
        ):
            shutil.copytree(folder / "test" / "disc", place / name / "deep")
    shutil.copy(folder / "test" / "disc" / "0.png", folder / "test" / "disc" / "._0.png")


def nest(folder):
    (folder / "test" / "disc" / "camera 1" / "may").mkdir(parents=True)
    (folder / "test" / "disc" / "0.png").rename(
        folder / "test" / "disc" / "camera 1" / "may" / "0.png"
    )


def link(folder):
    """An image, a folder in a class, a class and a split that are links."""
    out = folder.parent / "elsewhere"
    (out / "disc").mkdir(parents=True)
    for name in ("0.png", "1.png"):
        (folder / "test" / "disc" / name).rename(out / "disc" / name)
    (folder / "test" / "disc" / "more").symlink_to(out / "disc")
    for path, goes in (
        (folder / "train" / "square", "square"),
        (folder / "night", "night"),
        (folder / "test" / "disc" / "2.png", "2.png"),
    ):
        path.rename(out / goes)
        path.symlink_to(out / goes)


def link_twice(folder):
    """Two links to one folder are not a loop; the image counts in both places."""
    (folder.parent / "shared").mkdir()
    (folder / "test" / "disc" / "2.png").rename(folder.parent / "shared" / "2.png")
    (folder / "test" / "disc" / "a").symlink_to(folder.parent / "shared")


def accents(folder):
    (folder / "train" / "disc").rename(folder / "train" / COMPOSED)
    for split in ("test", "night"):
        (folder / split / "disc").rename(folder / split / DECOMPOSED)


def rename(*pairs):
    def change(folder):
        for old, new in pairs:
            (folder / old).rename(folder / new)

    return change


def write(name, data):
    return lambda folder: (folder / name).write_bytes(
        data if isinstance(data, bytes) else data.encode()
    )


SIDE = "folder,name\nsquare,café\nbar_shape,b\ndisc,c\n"
SAME_TASK = {
    "hidden folders": hide,
    "folders in a class": nest,
    "links": link,
    "two links to one folder": link_twice,
    "blanks around a class": rename(("test/disc", "test/disc "), ("night/disc", "night/ disc")),
    "blanks around a split": rename(("train", "train "), ("night", " night")),
    "case of splits": rename(("train", "Train"), ("test", "TEST")),
    "endings in capitals": rename(("test/disc/0.png", "test/disc/0.PNG")),
    "odd file names": rename(("test/disc/0.png", "test/disc/ a $x$ é,;.b.png")),
    "prompts with a mark": write(
        "prompts.txt",
        "\ufeffa photo of a {}.\r\na photo of the {}.\r\n\r\na picture of a {}.\r\n"
        "an image of a {}. ",
    ),
    "prompts in UTF-16": write("prompts.txt", "\n".join(own.TEMPLATES).encode("utf-16")),
    "classes with a mark": write(
        "classes.csv", "\ufefffolder,name\nbar_shape,bar shape\ndisc,disc\nsquare,square"
    ),
    "classes for Excel": write(
        "classes.csv", "folder;name\r\nbar_shape;bar shape\r\ndisc;disc\r\nsquare;square\r\n"
    ),
    "classes with blanks": write(
        "classes.csv",
        " Folder , NAME ,note\n\n bar_shape , bar shape,\ndisc ,disc,,\n,,\nsquare,square",
    ),
    "a file beside the splits": write("readme.txt", "mine"),
}


@pytest.mark.parametrize("name", SAME_TASK)
def test_folders_as_they_are_found_give_the_same_task(name, folder):
    before = folder_task(folder)
    contents = {
        split: sorted(image.tobytes() for image, _ in before.split(split))
        for split in ("train", "test", "night")
    }
    SAME_TASK[name](folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = load_task(str(folder))
    assert task.class_names == before.class_names and task.templates == before.templates
    assert list(task.shifts) == ["night"] and len(task.val) == len(before.val)
    for split, images in contents.items():
        assert sorted(image.tobytes() for image, _ in task.split(split)) == images
        assert (
            task.split(split).labels.bincount().tolist()
            == before.split(split).labels.bincount().tolist()
        )


def test_an_accent_in_two_forms_is_one_class(folder):
    accents(folder)
    task = folder_task(folder)
    assert (
        task.class_names == ("bar shape", COMPOSED, "square")
        and len(task.test) == 9
        and len(task.shifts["night"]) == 6
    )
    (folder / "classes.csv").write_text(
        f"folder,name\n{DECOMPOSED},{DECOMPOSED} au lait\nsquare,s\nbar_shape,b\n"
    )
    assert folder_task(folder).class_names[0] == f"{COMPOSED} au lait"


@pytest.mark.parametrize("name", ["VAL", "val ", "Val"])
def test_a_validation_split_is_one_in_any_case(name, folder):
    shutil.copytree(folder / "test", folder / name)
    task = folder_task(folder)
    assert list(task.shifts) == ["night"] and len(task.val) == 9 and len(task.train) == 30


@pytest.mark.parametrize("name, meant", [("validation", "val"), ("Valid", "val"), ("dev", "val")])
def test_a_shift_that_sounds_like_a_validation_split_is_mentioned(name, meant, folder):
    shutil.copytree(folder / "test", folder / name)
    with pytest.warns(UserWarning, match=f"{name!r}.*{meant!r}"):
        assert set(folder_task(folder).shifts) == {name, "night"}


def test_images_in_no_class_folder_are_mentioned(folder):
    shutil.copy(folder / "test" / "disc" / "0.png", folder / "test" / "0.png")
    with pytest.warns(UserWarning, match="1 image .*test/0.png"):
        assert len(folder_task(folder).test) == 9


@pytest.fixture
def here(folder, monkeypatch):
    """The working directory holds a folder with the name of a shipped task, and one with a name of
    its own."""
    shutil.copytree(folder, folder.parent / "flags")
    monkeypatch.chdir(folder.parent)
    return folder.parent


def test_a_folder_with_the_name_of_a_shipped_task_is_mentioned_and_can_be_had(here, capsys):
    from pathlib import Path

    with pytest.warns(
        UserWarning,
        match="flags.*./flags",
    ):
        assert len(load_task("flags").class_names) == 61
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("./flags", Path("flags"), str(here / "flags"), "flags/"):
            assert load_task(name).class_names == ("bar shape", "disc", "square")
        assert load_task("own").name == "own" and len(load_task("arrows").class_names) > 3
    assert main(["doctor", "--task", "flags"]) == 0
    printed = capsys.readouterr()
    assert "61 classes" in printed.out and "./flags" in printed.err


def test_a_table_gives_the_same_task(folder):
    rows = [
        f"own/{split}/{name}/{k}.png,{name.replace('_', ' ')},{split}"
        for split, n in (("train", 10), ("test", 3), ("night", 2))
        for name in sorted(NAMES)
        for k in range(n)
    ]
    table = folder.parent / "own.csv"
    table.write_text("path,class,split\n" + "\n".join(rows) + "\n")
    one, other = csv_task(table), folder_task(folder)
    assert one.class_names == other.class_names
    for name in ("train", "val", "test", "night"):
        assert torch.equal(one.split(name).labels, other.split(name).labels)
        assert one.split(name)[0][0].tobytes() == other.split(name)[0][0].tobytes()


def test_images_are_decoded_when_asked_for_and_memory_is_bounded(folder, clip, monkeypatch):
    task = folder_task(folder)
    theta_0 = zero_shot_classifier(clip, task)
    theta_1 = theta_0.with_weights({k: v * 1.1 for k, v in theta_0.state_dict().items()})
    logits, table = (
        predict(theta_0, task.train),
        sweep(theta_0, theta_1, {"train": task.train}, [0, 1], passes=3),
    )
    monkeypatch.setattr(data, "MEMORY_LIMIT", 4 * 4 * 3 * 24 * 24)  # four images
    decoded = features.pixels(theta_0, task.train)
    assert isinstance(decoded, data.LazyImages) and decoded.shape == (27, 3, 24, 24)
    assert [len(piece) for piece in features.chunks(decoded, 2)] == [4] * 6 + [3]
    assert torch.allclose(predict(theta_0, task.train, batch_size=2), logits, atol=1e-4)
    again = sweep(theta_0, theta_1, {"train": task.train}, [0, 1], batch_size=2, passes=3)
    assert again.accuracy.tolist() == table.accuracy.tolist()
    recipe = Recipe(epochs=1, batch_size=8)
    bounded = finetune(theta_0, task, recipe).state_dict()
    monkeypatch.setattr(data, "MEMORY_LIMIT", 2**30)
    assert all(
        torch.equal(v, bounded[k]) for k, v in finetune(theta_0, task, recipe).state_dict().items()
    )


def test_a_large_photograph_is_decoded_small_and_others_whole(tmp_path):
    for size, seen in (
        ((2688, 1400), (1344, 700)),
        ((1300, 2600), (1300, 2600)),
        ((500, 375), (500, 375)),
    ):
        Image.new("RGB", size, "red").save(tmp_path / "a.jpg")
        assert Files([tmp_path / "a.jpg"])[0].size == seen
    Image.new("RGB", (2688, 1400)).save(tmp_path / "a.png")
    assert Files([tmp_path / "a.png"])[0].size == (2688, 1400)


def test_a_photograph_that_lies_on_its_side_is_set_upright(folder):
    path = folder / "test" / "disc" / "0.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it upright, as phones write it
    Image.new("RGB", (40, 20), "red").save(path, exif=exif)
    task = folder_task(folder)
    assert task.test[task.test.images.paths.index(str(path))][0].size == (20, 40)


def test_files_that_are_not_images_are_left_out_with_a_warning(folder):
    (folder / "test" / "disc" / "9.HEIC").write_bytes(b"")
    with pytest.warns(
        UserWarning,
        match="1 file .*test/disc/9.HEIC",
    ):
        assert len(folder_task(folder).test) == 9
    (folder / "test" / "disc" / "9.HEIC").unlink()
    (folder / "test" / "disc" / ".hidden").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder_task(folder)


FLAT = """
import resource, numpy as np, torch
from torch import nn
from wiseft_lite import data, features
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.sweeps import sweep
from wiseft_lite.tasks import Split
from wiseft_lite.tasks.images import Arrays

torch.set_num_threads(1)
data.MEMORY_LIMIT = 2**24
encoder = nn.Sequential(nn.AvgPool2d(112), nn.Flatten())
first, last = (ImageClassifier(encoder, Head(torch.randn(2, 12)), lambda image: torch.ones(3, 224, 224), "ab", "x")
               for _ in range(2))
last.encoder = nn.Sequential(nn.AvgPool2d(112), nn.Flatten(), nn.Linear(12, 12))
first.encoder = nn.Sequential(nn.AvgPool2d(112), nn.Flatten(), nn.Linear(12, 12))
for n in (100, 1200):
    images = Arrays(np.broadcast_to(np.zeros((), np.uint8), (n, 8, 8, 3)))
    split = Split("a", images, torch.arange(n) % 2)
    features.predict(first, split, 16)
    sweep(first, last, {"a": split}, [0, 1], 16)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_peak_memory_stays_flat_in_the_number_of_images():
    run = subprocess.run([sys.executable, "-c", FLAT], capture_output=True, text=True, check=True)
    few, many = map(int, run.stdout.split())
    assert many - few < 350  # MiB; 1,200 images of 224 x 224 are 690, and the heap has gaps


WORKER = """
import torch
from wiseft_lite import UserError
from wiseft_lite.data import ImageDataset, LazyImages
from wiseft_lite.tasks import Split
from wiseft_lite.tasks.images import Files
import sys

split = Split("a", Files(sys.argv[1:]), torch.arange(len(sys.argv) - 1))
images = ImageDataset(split, lambda image: torch.tensor(image.getpixel((0, 0))))
decoded = LazyImages(images, workers=2)
before = torch.get_rng_state()
try:
    for batch in decoded.split(2):
        print(batch.tolist())
except UserError as error:
    print(error)
assert torch.equal(before, torch.get_rng_state())
"""


def test_workers_decode_in_order_leave_the_random_state_alone_and_name_the_bad_file(tmp_path):
    for k in range(5):
        Image.new("RGB", (4, 4), (k, 0, 0)).save(tmp_path / f"{k}.png")
    (tmp_path / "5.png").write_bytes(b"no image")
    files = [str(tmp_path / f"{k}.png") for k in range(6)]
    run = subprocess.run(
        [sys.executable, "-c", WORKER, *files], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert lines[:2] == ["[[0, 0, 0], [1, 0, 0]]", "[[2, 0, 0], [3, 0, 0]]"]
    assert lines[2].startswith(files[5]) and len(lines) == 3


def test_the_command_line_takes_a_folder(folder, clip_folder, tmp_path, capsys):
    arguments = ["--model", f"local-dir:{clip_folder}", "--task", str(folder)]
    assert main(["zeroshot", *arguments, "--out", str(tmp_path / "zs")]) == 0
    assert main(["probe", *arguments, "--out", str(tmp_path / "lp"), "--epochs", "1"]) == 0
    assert (
        main(
            [
                "sweep",
                str(tmp_path / "zs"),
                str(tmp_path / "lp"),
                "--task",
                str(folder),
                "--alphas",
                "0,1",
                "--out",
                str(tmp_path / "s.jsonl"),
            ]
        )
        == 0
    )
    assert "night" in capsys.readouterr().out
    assert (
        main(["zeroshot", "--task", str(tmp_path / "none.csv"), "--out", str(tmp_path / "x")]) == 2
    )
    assert "none.csv" in capsys.readouterr().err


def empty(folder):
    for file in (folder / "train" / "disc").iterdir():
        file.unlink()


def strange(folder):
    shutil.copytree(folder / "night" / "disc", folder / "night" / "ring")


def one_class(folder):
    for split in ("train", "test", "night"):
        for name in ("disc", "square"):
            shutil.rmtree(folder / split / name)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (empty, "'disc' in .*train"),
        (strange, "'ring' of split 'night'"),
        (one_class, "'own' has 1 class"),
        (lambda f: shutil.rmtree(f / "test"), "own .*'test' .*night, train"),
        (lambda f: shutil.rmtree(f), "own"),
        (
            lambda f: (f / "classes.csv").write_text(
                "folder,name\ndisc,x\nsquare,x\nbar_shape,y\n"
            ),
            "class names: x;",
        ),
        (
            lambda f: (f / "classes.csv").write_text("folder,name\ndisc,x\nsquare,z\n"),
            "classes.csv .*'bar_shape'",
        ),
        (
            lambda f: (f / "classes.csv").write_text("a,b\n"),
            "classes.csv .*'folder'",
        ),
        (
            lambda f: (f / "classes.csv").write_text(
                "folder,name\ndisc,x\nsquare,z\nbar_shape,y\nring,r\n"
            ),
            "class 'ring'",
        ),
        (lambda f: (f / "prompts.txt").write_text("no braces"), "'no braces'"),
        (lambda f: (f / "prompts.txt").write_text("\n \n"), "prompts.txt"),
        (
            write("prompts.txt", "café {}".encode("latin-1")),
            "prompts.txt, line 1",
        ),
        (write("classes.csv", SIDE.encode("latin-1")), "classes.csv, line 2"),
        (
            write("classes.csv", SIDE + "disc,d\n"),
            "classes.csv, line 5: .*'disc'",
        ),
        (write("classes.csv", "folder,name\n\ndisc,\n"), "classes.csv, line 3: name"),
        (write("classes.csv", "folder,name\ndisc,a,b\n"), "classes.csv, line 2"),
        (
            lambda f: shutil.copytree(f / "test" / "disc", f / "test" / "disc "),
            "own/test .*'disc' and 'disc '",
        ),
        (
            lambda f: shutil.copytree(f / "test", f / "Test"),
            "own .*'Test' and 'test'",
        ),
        (
            lambda f: (
                accents(f),
                shutil.copytree(f / "train" / COMPOSED, f / "train" / DECOMPOSED),
            ),
            f"own/train .*{COMPOSED!r}",
        ),
        (
            lambda f: (f / "test" / "disc" / "again").symlink_to(f / "test"),
            "disc/again .*own/test",
        ),
        (
            lambda f: (
                (f / "test" / "disc" / "0.png").unlink()
                or (f / "test" / "disc" / "0.png").symlink_to("no.png")
            ),
            "disc/0.png",
        ),
        (
            rename(("night/disc", "night/Disc")),
            "'Disc' of split 'night' .*'disc'",
        ),
        (lambda f: (f / "docs").mkdir(), "own/docs"),
        (
            lambda f: (f / "test" / "disc" / "0.png").write_bytes(b""),
            "disc/0.png",
        ),
        (
            lambda f: [p.write_bytes(p.read_bytes()[:60]) for p in (f / "test" / "disc").iterdir()],
            "disc/0.png .*2 more.*doctor --task .*own",
        ),
    ],
)
def test_mistakes_in_a_folder(folder, spoil, message):
    spoil(folder)
    with pytest.raises(UserError, match=message) as error:
        folder_task(folder)
    assert "\n" not in str(error.value)


TABLE = "path,class,split\n" + "".join(
    f"own/{split}/{name}/{k}.png,{name},{split}\n"
    for split, n in (("train", 10), ("test", 3), ("night", 2))
    for name in NAMES
    for k in range(n)
)


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.CSV", TABLE),
        ("a.tsv", TABLE.replace(",", "\t")),
        ("a.csv", TABLE.replace(",", ";")),
        ("a.csv", TABLE.replace("\n", ",\n")),
        ("a.csv", TABLE.replace(",", " , ")),
        ("a.csv", "\n" + TABLE.replace("\n", "\n\n")),
        ("a.csv", TABLE.replace(",train", ",Train").replace(",test", ",TEST ")),
        ("a.csv", "\ufeff" + TABLE.replace("\n", "\r\n")),
        ("a.csv", TABLE.encode("utf-16")),
        ("a.csv", TABLE.replace("path,class,split", "PATH,Class,Split")),
        ("a.csv", TABLE.replace("own/", "./own/../own/")),
    ],
)
def test_tables_as_spreadsheets_write_them_give_the_same_task(name, text, folder):
    table = folder.parent / name
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    task = load_task(str(table))
    assert task.class_names == tuple(sorted(NAMES)) and list(task.shifts) == ["night"]
    assert [len(split) for split in (task.train, task.val, task.test, task.shifts["night"])] == [
        27,
        3,
        9,
        6,
    ]
    assert task.name == "a"


@pytest.mark.parametrize("on_disk, in_table", [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_accents_of_a_table_need_not_have_the_form_of_the_disk(on_disk, in_table, folder):
    (folder / "test" / "disc" / "0.png").rename(folder / "test" / "disc" / f"{on_disk}.png")
    text = TABLE.replace("test/disc/0.png,disc", f"test/disc/{in_table}.png,{COMPOSED}")
    text = text.replace("train/disc/0.png,disc", f"train/disc/0.png,{DECOMPOSED}")
    (folder.parent / "t.csv").write_text(text, encoding="utf-8")
    task = csv_task(folder.parent / "t.csv", val_fraction=0.5)
    assert (
        COMPOSED in task.class_names
        and task.test.labels.tolist().count(task.class_names.index(COMPOSED)) == 1
    )


@pytest.mark.parametrize(
    "name, message",
    [
        ("own/none.csv", "none.csv"),
        ("own/none", "own/none"),
        ("own/train/disc/0.png", "disc/0.png"),
        ("notes.txt", "notes.txt"),
        ("nowhere", "'nowhere'"),
    ],
)
def test_paths_that_are_no_task(name, message, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "notes.txt").write_text("")
    with pytest.raises(UserError, match=message):
        load_task(name)


def test_a_folder_may_be_called_like_a_table(folder):
    folder.rename(folder.parent / "own.csv")
    assert load_task(str(folder.parent / "own.csv")).name == "own.csv"


@pytest.mark.parametrize(
    "text, message",
    [
        ("path,label,split\na,b,c\n", "t.csv .*'class'"),
        ("path,class,split\nown/train/disc/0.png,,train\n", "line 2: class"),
        (
            "path,class,split\nown/train/disc/0.png,a,train\nown/x.png,b,train\n",
            "line 3: .*x.png",
        ),
        (
            "path,class,split\nown/train/disc/0.png,a,train\nown/train/bar_shape/0.png,b,train\n",
            "'test'",
        ),
        ("", "t.csv"),
        ("path,class,split\n\n\nown/train/disc/0.png,,train\n", "line 4: class"),
        (
            "path,class,split\n\nown/train/disc/0.png,a,train\n\nown/x.png,b,train\n",
            "line 5: .*x.png",
        ),
        ("path,class,split\nown/train/disc,a,train\n", "line 2: .*own/train/disc "),
        (
            "path,class,split\nown\\train\\disc\\0.png,a,train\n",
            "line 2: .*with / between folders",
        ),
        (
            "path,class,split\nown/train/disc/0.png,a,train\nown/train/disc/1.png,b,train,x\n",
            "line 3",
        ),
        (
            "path,class,split\nown/train/disc/0.png,a,train\nown/train/disc/1.png,b,train\nown/train/disc/2.png,A,test\n",
            "'A' of split 'test' .*'a'",
        ),
    ],
)
def test_mistakes_in_a_table(folder, text, message):
    table = folder.parent / "t.csv"
    table.write_text(text)
    with pytest.raises(UserError, match=message):
        load_task(str(table))


def test_an_image_that_cannot_be_decoded_is_named(folder, clip):
    path = folder / "test" / "disc" / "0.png"
    task = folder_task(folder)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="disc/0.png"):
        predict(zero_shot_classifier(clip, task), task.test)


def test_one_image_per_class_cannot_be_held_out(folder):
    for name in NAMES:
        for k in range(1, 10):
            (folder / "train" / name / f"{k}.png").unlink()
    with pytest.raises(UserError, match="val split"):
        folder_task(folder)


def test_a_link_that_leads_in_a_circle_is_no_folder(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for k in range(3):
                Image.new("RGB", (8, 8), (40 * k, 9, 9)).save(place / f"{k}.png")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    task = load_task(str(tmp_path))
    assert task.class_names == ("cat", "dog") and not task.shifts


@pytest.mark.parametrize(
    "name", ["a" * 300, "x/" + "a" * 300, "a" * 300 + ".csv", "~nobody-of-this-name/x"]
)
def test_a_name_that_no_disk_can_hold_is_an_unknown_task(name):
    with pytest.raises(UserError):
        load_task(name)
