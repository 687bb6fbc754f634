"""Commands over odd outputs, names, tables, images, checkpoints and results files, seeded.

Every case ends with exit code 0 and a right result, or with 2 and one line. Never with a traceback,
and never with anything lost or changed that was there before. A case is made from its number: sweep
17 is always the same.
"""

import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import peers
import pytest
import torch
from conftest import picture
from PIL import Image
from safetensors.torch import load_file, save_file

from wiseft_lite import Recipe, average, finetune, interpolate, load, load_task, predict, save
from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.checkpoints import read_card
from wiseft_lite.cli.main import main

pytestmark = pytest.mark.slow

CLASSES = ("bar", "disc", "square")
LABEL = {"disc": 0, "square": 1, "bar": 2}  # of ``conftest.picture``
CASES = {
    "run": 24,
    "finetune": 36,
    "evaluate": 60,
    "sweep": 48,
    "soup": 36,
    "interpolate": 36,
    "import": 48,
    "plot": 48,
}


# What each case begins with


def image_folder(folder, classes=CLASSES, shifts=("night",), parts=("train", "val", "test")):
    """A small task of one's own: four images for each class to train on, two in each other
    split."""
    for split in (*parts, *shifts):
        for k, name in enumerate(classes):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(4 if split == "train" else 2):
                picture(LABEL[CLASSES[k % 3]], i + k).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory, clip_folder):
    """A folder with a task, three checkpoints on one line, files of others, and results."""
    from wiseft_lite import load_clip, zero_shot_classifier

    peers.register(tmp_path_factory.mktemp("configs"))
    folder = tmp_path_factory.mktemp("base")
    task = load_task(str(image_folder(folder / "data")))
    rows = [
        (path.relative_to(folder), path.parent.name, path.parent.parent.name)
        for path in sorted((folder / "data").rglob("*.png"))
    ]
    pd.DataFrame(rows, columns=["path", "class", "split"]).to_csv(folder / "table.csv", index=False)
    zero = zero_shot_classifier(load_clip(f"local-dir:{clip_folder}"), task)
    tuned = finetune(zero, task, Recipe(epochs=3, lr=1e-2, batch_size=4))
    save(zero, folder / "zero")
    save(tuned, folder / "tuned")
    save(
        zero.with_weights(interpolate(zero.state_dict(), tuned.state_dict(), 0.5)), folder / "half"
    )
    peers.wise_ft(folder / "wise.pt")
    peers.model_soups(folder / "soup.pt")
    peers.openai(folder / "openai.pt")
    save_file(
        {name: value.clone() for name, value in peers.model_soups_weights().items()},
        folder / "soup.safetensors",
    )
    (folder / "names.txt").write_text("disc\nsquare\nbar\n")
    two_runs = [*results(kind="probe"), *results(kind="end-to-end", lift=2)]
    for name, rows in {"curve": results(), "runs": two_runs}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "full").mkdir()
    (folder / "full" / "thesis").write_text("years of work")
    (folder / "file").write_text("mine")
    (folder / "empty").mkdir()
    return folder


def results(lift=0, **columns):
    rows = []
    for k, alpha in enumerate((0, 0.25, 0.5, 1)):
        for split, right in (
            ("val", 10),
            ("test", 10 + 2 * k),
            ("night", 9 + lift - k),
            ("fog", 8 + k),
        ):
            rows.append(
                {
                    "alpha": alpha,
                    "split": split,
                    "accuracy": right / 20,
                    "n": 20,
                    "low": max(0, right / 20 - 0.2),
                    "high": min(1, right / 20 + 0.2),
                    **columns,
                }
            )
    return rows


@pytest.fixture
def here(base, tmp_path, monkeypatch):
    """A copy of it to be in."""
    shutil.copytree(base, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path / "cache"))
    os.symlink("nowhere", "dangling")
    os.symlink("empty", "link")
    return tmp_path / "here"


# Oddities

PLACES = (
    "out",
    "deep/er/out",
    "empty",
    "link",
    "with blank",
    "$o$",
    "ünï😀",
    "a'b\"c",
    "new\nline",
    "-dash",
    "x" * 200,
    "..out",
    "out.",
    "~",
    "*",
    "out/",
    "%s{}",
    ".",
    "..",
    "/",
    "full",
    "file",
    "x" * 252,
    "file/x",
    "dangling",
    "dangling/x",
    "a\0b",
    "/proc/x",
    "data",
    "zero",
    "",
    "\udcff",
    "nul\x1b[31m",
)
NAMES = (
    "$5 and $6",
    "$\\frac$",
    "a_b^c",
    "quo'te",
    'dou"ble',
    "new\nline",
    "😀 猫",
    "x" * 200,
    "{}",
    "{0}",
    "%s",
    "\\alpha",
    "nan",
    "NULL",
    "true",
    "1e5",
    "-0",
    "a,b",
    "mean of shifts",
    "shifts",
    "alpha",
    "model",
    "\udcff",
    "é",
    "e\u0301",
    "#",
    "...",
    "val ",
    " test",
    "Test",
    "\x1b[31m",
    "<b>",
    "=1+1",
)


def odd_images(rng):
    """Name, content and whether it shows something that can be decoded, of one image file."""

    def encoded(kind, image, **how):
        stream = io.BytesIO()
        image.save(stream, kind, **how)
        return stream.getvalue()

    noise = Image.effect_noise((40, 30), 60)
    png, jpeg = encoded("PNG", noise), encoded("JPEG", noise)
    frames = [noise.point(lambda v, k=k: (v + 40 * k) % 256) for k in range(3)]
    sixteen = Image.fromarray((np.arange(1200).reshape(30, 40) * 50).astype(np.uint16))
    return rng.choice(
        [
            ("png", png[: rng.randrange(len(png))]),
            ("jpg", jpeg[: rng.randrange(len(jpeg))]),
            ("png", b""),
            ("png", b"no image at all"),
            ("jpg", png),
            ("png", encoded("PNG", sixteen)),
            ("tiff", encoded("TIFF", sixteen)),
            (
                "tiff",
                encoded(
                    "TIFF",
                    Image.fromarray(np.random.default_rng(0).random((30, 40)).astype(np.float32)),
                ),
            ),
            ("jpg", encoded("JPEG", noise.convert("CMYK"))),
            ("gif", encoded("GIF", frames[0], save_all=True, append_images=frames)),
            ("png", encoded("PNG", noise.convert("LA"))),
            ("png", encoded("PNG", Image.new("RGBA", (24, 24), (255, 0, 0, 0)))),
            ("png", encoded("PNG", noise.convert("P"), transparency=3)),
            ("png", encoded("PNG", noise.convert("1"))),
            ("png", encoded("PNG", Image.new("RGB", (1, 1)))),
            ("png", encoded("PNG", Image.new("L", (3000, 1)))),
            ("jpg", encoded("JPEG", noise, exif=b"Exif\0\0broken")),
            ("webp", encoded("WEBP", noise)),
            ("BMP", encoded("BMP", noise)),
            ("txt", b"left out"),
            ("png", flip(png, rng)),
            ("jpg", flip(jpeg, rng)),
        ]
    )


def flip(data, rng):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def odd_image(rng, task="data"):
    """Put an odd file into a split."""
    ending, data = odd_images(rng)
    place = Path(task) / rng.choice(["train", "val", "test", "night"]) / rng.choice(CLASSES)
    if rng.random() < 0.1:
        (place / "odd.png").symlink_to("nowhere")
    elif rng.random() < 0.1:
        (place / "odd.png").mkdir()
    else:
        (place / f"odd.{ending}").write_bytes(data)


def odd_table(rng):
    """Another way to write the table of a task, or a table that cannot be meant."""
    text = Path("table.csv").read_text()
    lines = text.splitlines()
    change = rng.choice(
        [
            lambda: "\ufeff" + text,
            lambda: text.replace("\n", "\r\n"),
            lambda: text.replace(",", ";"),
            lambda: text.replace("path,", "file,"),
            lambda: "\n".join(line + "," for line in lines),
            lambda: text + lines[1] + ",more,and more\n",
            lambda: text.replace("\n", "\n\n"),
            lambda: text + "\n\n,,\n",
            lambda: text + "nowhere.png,bar,test\n",
            lambda: text + lines[1].replace("bar", "unknown").replace("train", "fog"),
            lambda: text + ",bar,test\n",
            lambda: lines[0] + "\n",
            lambda: "",
            lambda: "\0\1\2",
            lambda: "path,class,split",
            lambda: text.replace("train", "Train"),
            lambda: text.replace(",bar,", ', "bar" ,'),
            lambda: text.replace("val", "Val"),
            lambda: text.replace("disc", "dïsc ").replace("data/train/dïsc ", "data/train/disc"),
            lambda: text * 2,
            lambda: text.replace("night", "$n$ \\x"),
            lambda: text.replace("data/", str(Path.cwd() / "data") + "/"),
            lambda: text.replace("data/", "../here/data/"),
            lambda: '"' + text,
            lambda: "\n".join(reversed(lines)),
            lambda: text.replace("test", "train"),
            lambda: text.replace("\n", " \n"),
            lambda: text + "data,bar,test\n",
        ]
    )
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"])
    name = rng.choice(["odd.csv", "odd.csv", "odd.CSV", "$odd$ 1.csv"])
    Path(name).write_bytes(change().encode(encoding, "replace"))
    return name


def rewrite(folder, weights=None, **card):
    """Change a checkpoint and keep its hash right, as a faulty program would."""
    if weights is not None:
        save_file(weights, folder / "model.safetensors")
    known = json.loads((folder / "card.json").read_text())
    known |= {"sha256": file_sha256(folder / "model.safetensors"), **card}
    (folder / "card.json").write_text(json.dumps(known))


def odd_checkpoint(rng, name):
    """Another checkpoint than it should be, in the place of one of the three."""
    folder, file, card = Path(name), Path(name) / "model.safetensors", Path(name) / "card.json"
    weights = load_file(file)
    float_key = rng.choice([key for key in weights if weights[key].is_floating_point()])

    def spoil(value):
        weights[float_key] = weights[float_key].clone()
        weights[float_key].view(-1)[0] = value
        rewrite(folder, weights)

    def shorten(path):
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])

    def replace_by(data):
        shutil.rmtree(folder)
        if data is not None:
            folder.write_bytes(data)

    rng.choice(
        [
            lambda: spoil(float("nan")),
            lambda: spoil(float("inf")),
            lambda: spoil(-float("inf")),
            lambda: shorten(file),
            lambda: shorten(card),
            lambda: file.unlink(),
            lambda: card.unlink(),
            lambda: file.write_bytes(flip(file.read_bytes(), rng)),
            lambda: card.write_text(rng.choice(["", "[]", "null", "{}", "{"])),
            lambda: card.write_bytes(b"\xff\xfe\0"),
            lambda: rewrite(folder, class_names=list(reversed(CLASSES))),
            lambda: rewrite(folder, class_names=["bar", "disc"]),
            lambda: rewrite(folder, class_names=["bar", "disc", 3]),
            lambda: rewrite(folder, class_names=["bar", "disc", "disk"]),
            lambda: rewrite(folder, encoder="iconclip"),
            lambda: rewrite(folder, encoder="nothing/none"),
            lambda: rewrite(folder, encoder="local-dir:nowhere"),
            lambda: rewrite(folder, schema=99),
            lambda: rewrite(folder, schema=1),
            lambda: rewrite(folder, config=None),
            lambda: rewrite(folder, config={}),
            lambda: rewrite(folder, config={"model_cfg": {}, "preprocess_cfg": {}}),
            lambda: rewrite(folder, config=[1]),
            lambda: rewrite(folder, text_encoder="nowhere"),
            lambda: rewrite(folder, {k: v for k, v in weights.items() if k != float_key}),
            lambda: rewrite(folder, {**weights, "encoder.more": torch.ones(2)}),
            lambda: rewrite(
                folder, {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
            ),
            lambda: rewrite(folder, {**weights, float_key: torch.ones(5)}),
            lambda: rewrite(folder, {"weight": torch.ones(2)}),
            lambda: (file.write_bytes(pickle.dumps(Calls())), rewrite(folder)),
            lambda: (shutil.rmtree(folder), folder.mkdir()),
            lambda: replace_by(None),
            lambda: replace_by(b"<html>not found</html>"),
            lambda: (folder / "notes.txt").write_text("mine"),
            lambda: replace_by(pickle.dumps(Calls())),
        ]
    )()


class Calls:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def odd_file(rng, name):
    """Another file than the one to import."""
    path = Path(name)
    data = path.read_bytes()

    def with_nan():
        weights = peers.model_soups_weights()
        key = rng.choice([key for key in weights if weights[key].is_floating_point()])
        weights[key] = torch.full_like(weights[key], float("nan"))
        torch.save(weights, path)

    rng.choice(
        [
            lambda: path.write_bytes(data[: rng.randrange(len(data))]),
            lambda: path.write_bytes(b""),
            lambda: path.write_bytes(b"<!doctype html><title>Sign in</title>"),
            lambda: path.write_bytes(pickle.dumps(Calls())),
            lambda: path.write_bytes(pickle.dumps({"visual.x": Calls()})),
            lambda: (path.unlink(), path.mkdir()),
            lambda: path.unlink(),
            with_nan,
            lambda: torch.save({"state_dict": {}}, path),
            lambda: torch.save([1, 2], path),
            lambda: torch.save({"visual.conv1.weight": torch.ones(2, 2)}, path),
            lambda: path.write_text("no checkpoint"),
            lambda: torch.save(peers.model_soups_weights("module."), path),
            lambda: torch.save(
                {"model": 3, **peers.model_soups_weights(dtype=torch.float16)}, path
            ),
        ]
    )()


def odd_results(rng):
    """Another results file than it should be."""
    rows = results(model=rng.choice(["a", "$b$ _^", "x" * 90]), task="shapes")
    k, column = (
        rng.randrange(len(rows)),
        rng.choice(["alpha", "split", "accuracy", "n", "low", "high"]),
    )
    path = Path(rng.choice(["odd.jsonl", "$odd$.jsonl", "odd results"]))

    def lines(table):
        return "".join(json.dumps(row) + "\n" for row in table)

    def without(key):
        return [{name: value for name, value in row.items() if name != key} for row in rows]

    def changed(value):
        rows[k][column] = value
        return lines(rows)

    text = rng.choice(
        [
            lambda: lines(rows),
            lambda: lines(rows + results(model="other", lift=1)),
            lambda: lines(rows * 2),
            lambda: lines(rows + results(lift=3, model=rows[0]["model"], task="shapes")),
            lambda: lines(without(column)),
            lambda: lines(row for m in range(12) for row in results(model=f"m{m}", lift=m % 3)),
            lambda: changed(None),
            lambda: changed(float("nan")),
            lambda: changed("high"),
            lambda: changed([1]),
            lambda: changed(-1),
            lambda: changed(10**400),
            lambda: changed({}),
            lambda: "",
            lambda: "\n\n",
            lambda: "[]",
            lambda: "{}\n{}",
            lambda: "no results",
            lambda: "<html>",
            lambda: 3000 * "[",
            lambda: "\ufeff" + lines(rows),
            lambda: lines(rows)[:-20],
            lambda: lines(rows).replace("\n", "\r\n"),
            lambda: lines(rows[:-1]),
            lambda: lines(rows[:4]),
            lambda: lines(r for r in rows if r["split"] in ("val", "test")),
            lambda: lines(r for r in rows if r["split"] != "test"),
            lambda: lines({**r, "accuracy": 1.0, "high": 1.0} for r in rows),
            lambda: lines({**r, "split": r["split"] + "$x$"} for r in rows),
            lambda: lines(
                {**r, "accuracy": 0.0, "low": 0.0} if r["split"] == "night" else r for r in rows
            ),
        ]
    )()
    path.write_bytes(text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16"])))
    return str(path)


# The cases


@dataclass
class Case:
    """A command with the words it is given; ``out`` and ``overwrite`` are among them."""

    words: list[str]
    out: str
    overwrite: bool
    task: str = "data"
    inputs: Path = Path(".")  # where its checkpoints are, or copies of them if it may replace one
    note: dict = field(default_factory=dict)


def case(command, seed, model):
    """The case of that number: makes its files in the current folder and returns the command."""
    rng = random.Random(f"{command} {seed}")
    about = rng.choice(ODD[command])
    place = rng.choice(PLACES) if about == "place" else "out"
    if command == "plot":
        place = (
            place + rng.choice([".png", ".svg", ".pdf", ".PNG", ".docx", ""])
            if about == "place"
            else "out.png"
        )
    made = Case([], place, about == "place" and rng.random() < 0.4)
    if about == "table":
        made.task = odd_table(rng)
    elif about == "image":
        for _ in range(rng.choice([1, 1, 3])):
            odd_image(rng)
    elif about == "names":
        names = rng.sample(NAMES, 4)
        classes = (
            CLASSES if command in ("evaluate", "sweep", "soup") else (names[2], names[3], "bar")
        )
        made.task = rng.choice(["$task$ a_b", "own", "t" * 100, "tàsk 😀", "new\nline"])
        image_folder(Path(made.task), classes, names[:2])
    elif about == "parts":
        parts = ["train", "val", "test", "night", "train/bar", "test/bar", "night/bar"]
        shutil.rmtree(Path("data") / rng.choice(parts))
    elif about == "task":
        made.task = rng.choice(
            [
                "nowhere",
                "file",
                "empty",
                "full",
                "",
                ".",
                "table.csv",
                "wise.pt",
                "zero",
                "iconshit",
            ]
        )
    elif about == "checkpoint":
        used = {"evaluate": ["tuned"], "soup": ["zero", "half", "tuned"]}.get(
            command, ["zero", "tuned"]
        )
        odd_checkpoint(rng, rng.choice(used))
    made.words = [
        command,
        *MAKE[command](rng, about, made, model),
        f"--out={place}",
        *(["--overwrite"] if made.overwrite else []),
    ]
    return made


def takes_recipe(rng, about):
    if about != "numbers":
        return ["--epochs=1", "--lr=0.01", "--batch-size=8"]
    return [
        f"--{name}={rng.choice(values)}"
        for name, values in rng.sample(
            [
                ("epochs", ["0", "-1", "1", "x", "1.5"]),
                ("lr", ["0", "-1", "nan", "inf", "1e-3", "1e30"]),
                ("seed", ["-1", "7", "1" + 40 * "0"]),
                ("batch-size", ["0", "1", "1000000000000", "-3"]),
                ("weight-decay", ["-1", "nan", "0", "1e9"]),
                ("augment", ["none", "strong", "x"]),
                ("warmup", ["0", "500", "0.5", "1.5", "nan", "-1", "²"]),
                ("micro-batch-size", ["0", "3", "100"]),
            ],
            3,
        )
    ] + ["--epochs=1"]


def make_run(rng, about, made, model):
    kinds = rng.choice(
        [
            [],
            ["--kinds=probe"],
            ["--kinds=end-to-end"],
            ["--kinds=end-to-end, end-to-end"],
            ["--kinds=x"],
            ["--kinds="],
        ]
    )
    return [f"--model={model}", f"--task={made.task}", *takes_recipe(rng, about), *kinds]


def make_finetune(rng, about, made, model):
    if about == "model":
        model = rng.choice(
            [
                "nothing",
                "ViT-B-32",
                "local-dir:nowhere",
                "local-dir:zero",
                "local-dir:",
                "",
                "iconclip/none",
                "a/b/c",
            ]
        )
    return [f"--model={model}", f"--task={made.task}", *takes_recipe(rng, about)]


def some_splits(rng, about):
    if about != "splits":
        return []
    return [
        "--splits="
        + rng.choice(
            [
                "test",
                "night,test",
                "test,test",
                " val , train ",
                "",
                ",",
                "nothing",
                "Test",
                "test;night",
            ]
        )
    ]


def make_evaluate(rng, about, made, model):
    which = "tuned"
    if about == "path":
        which = rng.choice(
            ["nowhere", "file", "data", "full", "", ".", "zero/", "./tuned", "zero/card.json"]
        )
    return [which, f"--task={made.task}", *some_splits(rng, about)]


def make_sweep(rng, about, made, model):
    numbers = (
        rng.choice(
            [
                "0,0.5,1",
                "1,0",
                "0,.5,.5,1",
                "0.3",
                " 0 , 1 ",
                "-0.5,1.5",
                "",
                ",",
                "0,,1",
                "nan",
                "0,inf",
                "a",
                "1e400",
                "0;1",
                "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
            ]
        )
        if about == "alphas"
        else "0,0.5,1"
    )
    passes = []
    if about == "alphas" and rng.random() < 0.5:
        passes = [f"--passes={rng.choice(['3', '5', 'adaptive', '4', '1', '0', '-5', 'x'])}"]
    made.note["alphas"] = numbers
    return [
        "zero",
        "tuned",
        f"--task={made.task}",
        f"--alphas={numbers}",
        *passes,
        *some_splits(rng, about),
    ]


def make_soup(rng, about, made, model):
    pool = {
        "pool": rng.choice(
            [
                ["tuned"],
                ["zero", "zero"],
                ["half", "zero", "tuned", "half"],
                ["zero", "nowhere"],
                ["file"],
            ]
        )
    }
    made.note["pool"] = pool.get(about, ["zero", "half", "tuned"])
    made.note["greedy"] = rng.random() < 0.5
    return [
        *made.note["pool"],
        *(["--greedy"] if made.note["greedy"] else []),
        f"--task={made.task}",
    ]


def make_interpolate(rng, about, made, model):
    made.note["alpha"] = "0.5"
    if about == "alpha":
        made.note["alpha"] = rng.choice(["0", "1", "0.3", "-0.5", "2", "nan", "inf", "x", "1e400"])
    return ["zero", "tuned", f"--alpha={made.note['alpha']}"]


def make_import(rng, about, made, model):
    file = made.note["file"] = rng.choice(["wise.pt", "soup.pt", "soup.safetensors", "openai.pt"])
    if about == "file":
        odd_file(rng, file)
    if about == "classes":
        Path("names.txt").write_bytes(
            rng.choice(
                [
                    "\ufeffdisc\nsquare\nbar".encode(),
                    b"disc\r\nsquare\r\nbar\r\n",
                    b"\n disc\n\nsquare \nbar",
                    b"disc\nsquare",
                    b"",
                    b"\xff\xfe\0",
                    b"disc\ndisc\nbar",
                    "disc\nsqüare\nbar".encode("latin-1"),
                    "$a$\n{}\n😀".encode(),
                    b"disc\nsquare\nbar\nmore",
                ]
            )
        )
    classes = (
        rng.choice([["--classes=nowhere.txt"], ["--classes=empty"], ["--classes=names.txt"]])
        if about == "paths"
        else ([] if file == "openai.pt" else ["--classes=names.txt"])
    )
    more = (
        rng.choice(
            [
                ["--architecture=tiny"],
                ["--architecture=tiny-quickgelu"],
                ["--architecture=RN50"],
                ["--architecture="],
                ["--sha256=0"],
                [f"--sha256={file_sha256(file).upper()}"],
            ]
        )
        if about == "options"
        else []
    )
    made.note["classes"] = bool(classes)
    return [file, *classes, *more]


def make_plot(rng, about, made, model):
    path = odd_results(rng) if about == "results" else rng.choice(["curve.jsonl", "runs.jsonl"])
    path = rng.choice(["nowhere", "full", "zero", "wise.pt", ""]) if about == "path" else path
    made.note["results"] = path
    return [path]


MAKE = {
    name.removeprefix("make_"): make
    for name, make in list(globals().items())
    if name.startswith("make_")
}
ODD = {
    "run": ["place", "names", "names", "numbers", "image", "table", "parts"],
    "finetune": [
        "place",
        "names",
        "numbers",
        "numbers",
        "image",
        "table",
        "parts",
        "task",
        "model",
    ],
    "evaluate": [
        "place",
        "names",
        "image",
        "image",
        "table",
        "table",
        "parts",
        "task",
        "checkpoint",
        "checkpoint",
        "path",
        "splits",
    ],
    "sweep": [
        "place",
        "names",
        "alphas",
        "alphas",
        "alphas",
        "checkpoint",
        "checkpoint",
        "splits",
        "image",
        "table",
    ],
    "soup": ["place", "names", "checkpoint", "checkpoint", "pool", "image", "task"],
    "interpolate": ["place", "checkpoint", "checkpoint", "alpha"],
    "import": ["place", "file", "file", "classes", "paths", "options"],
    "plot": ["place", "results", "results", "results", "results", "path"],
}


# What holds for each


def listing():
    """Everything that is there, by its path: what a file holds, where a link points."""
    found = {}
    for path in Path(".").rglob("*"):
        found[str(path)] = (
            os.readlink(path)
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None
        )
    return found


def answer(words):
    """Exit code and error of a command; the code is 0, or 2 with exactly one line."""
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("ignore")
        code = main(words)
    lines = [line for line in err.getvalue().splitlines() if line.startswith("wiseft-lite:")]
    assert code in (0, 2) and "Traceback" not in err.getvalue()
    assert len(lines) == (1 if code else 0), err.getvalue()
    assert not code or len(lines[0].rstrip(".")) > 25  # it says something
    return code, lines[0] if code else ""


def accuracies(model, task, names):
    splits = {name: task.split(name) for name in names}
    return {
        name: split.score(split.predicted(predict(model, split))).accuracy
        for name, split in splits.items()
    }


def finite(model):
    return all(torch.isfinite(value.float()).all() for value in model.state_dict().values())


def same(model, weights):
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def rows_of(path):
    return pd.DataFrame([json.loads(line) for line in Path(path).read_text().splitlines()])


def right_run(made):
    zero, task = load(Path(made.out) / "zero-shot"), load_task(made.task)
    rows = rows_of(Path(made.out) / "results.jsonl")
    for kind, part in rows.groupby("kind"):
        model = load(Path(made.out) / kind)
        assert finite(model) and len(part) == 11 * (2 + len(task.shifts))
        for alpha, end in ((0, zero), (1, model)):
            at = part[part["alpha"] == alpha].set_index("split")["accuracy"].to_dict()
            assert at == accuracies(end, task, ["val", *task.evaluation])
    figures = list(Path(made.out).glob("*.png"))
    assert figures and all(Image.open(path).size[0] > 100 for path in figures)


def right_finetune(made):
    model, card, task = load(made.out), read_card(made.out), load_task(made.task)
    assert finite(model) and list(model.class_names) == list(task.class_names)
    assert card["metrics"] == accuracies(model, task, task.evaluation)
    assert card["recipe"]["epochs"] == 1


def right_evaluate(made):
    rows, task = rows_of(made.out).set_index("split"), load_task(made.task)
    model = load(rows["model"].iloc[0])
    assert finite(model) and rows["accuracy"].to_dict() == accuracies(model, task, rows.index)
    assert list(rows.index) == named_splits(made, task)


def named_splits(made, task):
    given = [word for word in made.words if word.startswith("--splits=")]
    names = (
        [name.strip() for name in given[0].removeprefix("--splits=").split(",")]
        if given
        else task.evaluation
    )
    return list(dict.fromkeys(names))


def right_sweep(made):
    rows, task = rows_of(made.out), load_task(made.task)
    ends = [load(name) for name in ("zero", "tuned")]
    alphas = sorted({float(part) for part in made.note["alphas"].split(",")})
    assert rows["alpha"].tolist() == alphas * rows["split"].nunique() and all(map(finite, ends))
    assert list(rows["split"].unique()) == named_splits(made, task)
    exact = {0.0, 1.0} if any(word.startswith("--passes") for word in made.words) else set(alphas)
    for alpha in exact & set(alphas):
        model = ends[0].with_weights(interpolate(*(end.state_dict() for end in ends), alpha))
        at = rows[rows["alpha"] == alpha].set_index("split")["accuracy"].to_dict()
        assert at == accuracies(model, task, list(at))


def right_soup(made):
    model, card, task = load(made.out), read_card(made.out), load_task(made.task)
    kept = [load(made.inputs / name).state_dict() for name in card["recipe"]["ingredients"]]
    assert finite(model) and kept and card["metrics"] == accuracies(model, task, task.evaluation)
    assert set(card["recipe"]["ingredients"]) <= set(made.note["pool"])
    if not made.note["greedy"]:
        assert card["recipe"]["ingredients"] == made.note["pool"]
    expected = average(kept)
    assert all(
        torch.allclose(
            value, expected[name].float(), atol=2e-3
        )  # an ingredient may have half the digits
        for name, value in model.state_dict().items()
    )


def right_interpolate(made):
    model, ends = (
        load(made.out),
        [load(made.inputs / name).state_dict() for name in ("zero", "tuned")],
    )
    assert finite(model) and same(model, interpolate(*ends, float(made.note["alpha"])))


def right_import(made):
    if not made.note["classes"]:
        from wiseft_lite import load_clip

        weights = peers.clip_model().half().float().state_dict()
        assert same(load_clip(f"local-dir:{made.out}").model, weights)
        return
    model, names = load(made.out), Path("names.txt").read_text(encoding="utf-8-sig").splitlines()
    assert list(model.class_names) == [name.strip() for name in names if name.strip()]
    for name, value in peers.head_of().items():
        assert torch.allclose(
            model.head.state_dict()[name], value, atol=1e-2
        )  # a file may hold half the digits
    assert finite(model)


def right_plot(made):
    path = Path(made.out)
    if path.suffix.lower() == ".png":
        assert np.asarray(Image.open(path).convert("L")).std() > 5
    else:
        assert path.read_bytes().startswith({".svg": b"<?xml", ".pdf": b"%PDF"}[path.suffix])
    rows = rows_of(made.note["results"])
    assert {"val", "test"} & set(rows["split"]) and rows["accuracy"].between(0, 1).all()


RIGHT = {
    name.removeprefix("right_"): check
    for name, check in list(globals().items())
    if name.startswith("right_")
}


def is_under(path, roots):
    path = os.path.realpath(path)
    return any(path == root or path.startswith(f"{root}{os.sep}") for root in roots)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "command, seed", [(name, seed) for name, count in CASES.items() for seed in range(count)]
)
def test_a_right_result_or_one_line_and_nothing_lost(here, clip_folder, command, seed):
    made = case(command, seed, f"local-dir:{clip_folder}")
    if made.overwrite and command in ("soup", "interpolate"):
        made.inputs = shutil.copytree(here, here.with_name("copies"), symlinks=True)
    before = listing()
    code, error = answer(made.words)
    after = listing()
    assert not Path("executed").exists()
    out = os.path.realpath(made.out.replace("\0", ""))
    for path, content in before.items():  # nothing is lost or changed, but what was to be replaced
        if not (made.overwrite and code == 0 and is_under(path, [out])):
            assert path in after and after[path] == content, path
    new = [path for path in after if path not in before]
    parents = [str(parent) for parent in Path(out).parents]
    if command == "soup" and code and any(is_under(path, [f"{out}.states"]) for path in new):
        # what it resumes from once the mistake is corrected; the folders above it are new, too
        new = [path for path in new if is_under(path, [out])]
    assert all(is_under(path, [out]) or os.path.realpath(path) in parents for path in new), new
    if code == 0:
        RIGHT[command](made)
    elif new:  # what was trained before the error is there, and the line says where
        assert command in ("run", "finetune", "soup") and " saved in " in error
        assert finite(load(Path(made.out) / "zero-shot" if command == "run" else made.out))


def test_there_are_enough_cases_and_both_ends_are_met(here, clip_folder, tmp_path):
    assert sum(CASES.values()) >= 300
    words = ["evaluate", "tuned", "--task=data", "--out=a.jsonl"]
    assert answer(words)[0] == 0 and answer(words)[0] == 2


@pytest.mark.parametrize("command", ["evaluate", "plot", "interpolate"])
def test_a_process_of_its_own_ends_alike(here, command):
    good = {
        "evaluate": ["tuned", "--task=data"],
        "plot": ["runs.jsonl"],
        "interpolate": ["zero", "tuned"],
    }[command]
    for place, code in (("$ö$ 1.png", 0), ("file/x.png", 2)):
        done = subprocess.run(
            [sys.executable, "-m", "wiseft_lite", command, *good, f"--out={place}"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == code and "Traceback" not in done.stderr
        assert done.stderr.count("wiseft-lite: ") == (1 if code else 0)
    assert Path("$ö$ 1.png").exists() and Path("file").read_text() == "mine"
