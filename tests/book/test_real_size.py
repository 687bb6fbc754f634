"""Chapters 16 to 18: on the stand-in nothing that the page shows is a result, at real size your
column is your results."""

import contextlib
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from wiseft_lite import results
from wiseft_lite.book import cost, paper
from wiseft_lite.book.exercises import ch18
from wiseft_lite.cli.main import main, parser
from wiseft_lite.cli.options import recipe_of
from wiseft_lite.metrics import pm_k
from wiseft_lite.recipes import recipes_for
from wiseft_lite.tasks.published import imagenet, standins
from wiseft_lite.training import PAPER

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("16_cifar", "17_imagenet", "18_wilds_and_video")
each = pytest.mark.parametrize("name", NAMES)


def cells(name, kind):
    found = json.loads((ROOT / "book" / f"{name}.ipynb").read_text())["cells"]
    return [
        (cell["metadata"].get("tags", []), "".join(cell["source"]))
        for cell in found
        if cell["cell_type"] == kind
    ]


def text(name):
    return "\n\n".join(source for _, source in cells(name, "markdown"))


def run(name, **changes):
    """What each code cell prints, as pairs of its tags and its output; ``changes`` are other values
    of its names."""
    import matplotlib.pyplot as plt

    space, outputs = {}, []
    for tags, source in cells(name, "code")[1:]:  # the first sets the packages up
        for key, value in changes.items():
            source = re.sub(rf'\b{key} = "[^"]*"', f"{key} = {value!r}", source)
            source = re.sub(rf'\b{key}, DATA = "[^"]*/[^"]*"', f"{key}, DATA = {value!r}", source)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(source, name, "exec"), space)
        outputs.append((tags, said.getvalue()))
    plt.close("all")
    return outputs


def visible(outputs):
    return "\n".join(out for tags, out in outputs if "remove-output" not in tags)


@pytest.fixture(autouse=True)
def one_prompt(monkeypatch):
    """80,000 prompts take a minute on two cores; one for each class shows as much."""
    ids, names, templates = imagenet.imagenet_classes()
    monkeypatch.setattr(imagenet, "imagenet_classes", lambda: (ids, names, templates[:1]))
    monkeypatch.setenv("MPLBACKEND", "agg")


@each
def test_the_page_says_first_that_it_was_not_run_at_real_size(name):
    head = cells(name, "markdown")[0][1]
    assert "**Not executed at real size for this build.**" in head
    assert "the paper's" in head and "computed" in head
    assert 'SIZE = "stand-in"' in "\n".join(source for _, source in cells(name, "code"))


@each
def test_what_the_page_shows_of_a_stand_in_is_no_result(name, monkeypatch, tmp_path):
    """Accuracies are made 43.21 %: they may stand in outputs that the page leaves out, and nowhere
    else."""
    monkeypatch.chdir(tmp_path)
    read = results.read_results
    monkeypatch.setattr(
        results, "read_results", lambda path: read(path).assign(accuracy=0.4321, low=0.4, high=0.5)
    )
    outputs = run(name)
    shown = visible(outputs)
    assert "YOU ARE ON THE SMALL STAND-IN, NOT ON REAL DATA" in shown and "no real run yet" in shown
    assert (
        "43.2" not in shown and "0.432" not in shown and "accuracy in % at each alpha" not in shown
    )
    assert [out for tags, out in outputs if "remove-output" in tags], (
        "the cells that ran on it are marked"
    )
    assert not [
        source
        for tags, source in cells(name, "code")
        if "frontier(" in source and "remove-output" not in tags
    ]
    assert not list(tmp_path.iterdir()), "a stand-in leaves nothing where the reader works"


@pytest.fixture
def real(tmp_path, monkeypatch):
    """A folder of the real layouts under WISEFT_DATA, and an empty one to work in."""
    standins.build(tmp_path / "data", standins.BUILDERS)
    monkeypatch.setenv("WISEFT_DATA", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_at_real_size_chapter_16_runs_and_fills_your_column(real, clip_folder, monkeypatch):
    """The tiny model is as bad at every alpha, so accuracies that can be told apart are written
    over its own."""
    read = results.read_results
    monkeypatch.setattr(
        results,
        "read_results",
        lambda path: read(path).assign(
            accuracy=lambda table: 0.3 + 0.1 * table["alpha"] + 0.01 * (table["split"] == "10.2"),
            low=0.1,
            high=0.9,
        ),
    )
    outputs = run("16_cifar", SIZE="real", MODEL=f"local-dir:{clip_folder}")
    table = pd.read_json(real / "cifar10_run" / "results.jsonl", lines=True, dtype={"split": str})
    assert set(table["split"]) == {"val", "test", "10.1", "10.2"} and set(table["kind"]) == {
        "end-to-end"
    }
    shown = visible(outputs)
    assert "STAND-IN" not in shown and "no real run yet" not in shown
    rows = [line.split() for line in shown.splitlines() if "CIFAR-10.2" in line]
    assert [float(row[-1]) for row in rows] == [31, 41, 36, 41]
    assert [row[-2] for row in rows] == ["88.8", "91.3", "93.4", "94.4"]


def commands(name):
    """The lines of the page's bash blocks, joined where they are broken."""
    blocks = re.findall(r"```bash\n(.*?)```", text(name), re.S)
    return [
        line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()
    ]


def small(line, clip_folder):
    """The command of a page, with a tiny model, one epoch and a batch that a stand-in has."""
    words = shlex.split(line)[1:]
    if words[0] == "run":
        words += [
            "--model",
            f"local-dir:{clip_folder}",
            "--epochs",
            "1",
            "--batch-size",
            "64",
            "--warmup",
            "0",
        ]
    return words


def test_at_real_size_chapter_17_reads_what_its_command_wrote(real, clip_folder):
    line = next(line for line in commands("17_imagenet") if line.startswith("wiseft-lite run"))
    assert main([*small(line, clip_folder), "--kinds", "end-to-end"]) == 0
    table = pd.read_json(real / "imagenet_b16" / "results.jsonl", lines=True)
    shown = visible(run("17_imagenet", SIZE="real"))
    assert "no real run yet" not in shown and "STAND-IN" not in shown
    half = 100 * table[table["alpha"] == 0.5].set_index("split")["accuracy"]
    expected = half[["test", "v2", "r", "sketch", "objectnet", "a"]].tolist()
    rows = shown.partition("the paper's Table 8")[2].splitlines()
    mine = [
        rows[k + 1].split()[-7:]
        for k, row in enumerate(rows)
        if row.startswith("end-to-end, alpha 0.5")
    ][0]
    assert [float(x) for x in mine] == pytest.approx([*expected, np.mean(expected[1:])], abs=0.06)


def test_at_real_size_chapter_18_reads_what_its_commands_wrote(real, clip_folder):
    for line in commands("18_wilds_and_video"):
        if line.startswith("wiseft-lite"):
            assert main(small(line, clip_folder)) == 0, line
    shown = visible(run("18_wilds_and_video", SIZE="real"))
    assert "no real run yet" not in shown
    rows = shown.partition("Table 6 of the paper")[2].splitlines()[2:]
    assert len(rows) == 18 and all(0 <= float(row.split()[-1]) <= 100 for row in rows)
    worst = pd.read_json("fmow/results.jsonl", lines=True)
    worst = worst[(worst["split"] == "ood") & (worst["alpha"] == 1)]["accuracy"].item()
    assert float(rows[10].split()[-1]) == pytest.approx(100 * worst, abs=0.06)


def test_the_command_of_chapter_17_is_the_papers_recipe():
    lines = [line for line in commands("17_imagenet") if "--warmup" in line]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line)
        args = parser().parse_args(words[words.index("run") :])
        assert recipe_of(args, recipes_for(args.model)["end-to-end"]) == PAPER
    args = parser().parse_args(["finetune", "--warmup", "0.2"])
    assert recipe_of(args, PAPER) == replace(PAPER, warmup=0.2)


def test_differences_of_the_paper_that_the_prose_states():
    six = paper.published_table(6)
    gains = {
        column: six.loc[f"{kind}, alpha 0.5", column] - six.loc[trained, column]
        for kind, trained in (("probe", "probe"), ("end-to-end", "fine-tuned"))
        for column in six
        if six.loc[[trained], column].notna().all()
    }
    for name, columns in {
        "16_cifar": ("CIFAR-10.1", "CIFAR-10.2"),
        "18_wilds_and_video": tuple(six),
    }.items():
        for column in columns:
            if column in gains and not (name.startswith("18") and column.startswith("CIFAR")):
                assert f"{abs(gains[column]):.1f}" in text(name), column
    two = paper.published_table(2)["CIFAR-10"]
    assert f"{two['end-to-end, alpha 0.5'] - two['fine-tuned']:.1f} on" in text("16_cifar")
    curve = paper.curve("ViT-B/16")
    assert (
        curve["ImageNet"].idxmax() == 0.7
        and curve.loc[0.7, "shifts"] == 60.6
        and curve.loc[0.5, "shifts"] == 63.0
    )
    assert round(curve.loc[0.7, "ImageNet"] - curve.loc[0.5, "ImageNet"], 1) == 0.9


def hours(arch, **sizes):
    row = cost.hours_table([arch], **sizes).iloc[0]
    return row["hours to fine-tune"], row["hours to sweep"]


def test_minutes_and_hours_in_prose_are_the_computed_ones():
    t4 = dict(peak=65e12, images=45_000, evaluated=19_000)
    train, sweep = hours("ViT-B-32", epochs=10, **t4)
    prose = text("16_cifar").replace("\n", " ").replace("> ", "")
    assert f"about {60 * (train + sweep):.0f} minutes on a T4" in prose
    assert round(60 * sweep, 1) == 1.6 and "one and a half of them for the sweep" in prose
    sizes = dict(images=1_281_167 - 25_623, epochs=10, evaluated=25_623 + 148_389)
    small, large = (sum(hours(arch, **sizes)) for arch in ("ViT-B-16", "ViT-L-14-336"))
    assert (
        f"some {small:.0f} hours of one A100" in text("17_imagenet") and round(large / small) == 11
    )
    for name in NAMES[1:]:
        plain = re.sub("<!-- .*? -->", "", text(name))
        rows = re.findall(r"^\| .* \| ([\d.]+) \| (\d+) \|$", plain, re.M)
        assert len(rows) >= 3
        for gigabytes, minutes in rows:
            assert int(minutes) == round(float(gigabytes) * 8000 / 100 / 60), gigabytes


def accuracies(clips, offsets, right):
    """Percent of clips that are right at their anchor, and of those that are right on every frame near it."""
    right, offsets = torch.tensor(right), torch.tensor(offsets)
    return tuple(100 * pm_k(right, clips, offsets, k).accuracy for k in (0, 10))


def test_the_clips_of_exercise_18_5_give_its_answer():
    rows = re.findall(
        r"^\| ([A-D]) \| (right|wrong) \| (\d+) (after|before): (\w+) \|(?: (\d+) (after|before): (\w+))?",
        text("18_wilds_and_video"),
        re.M,
    )
    frames = []
    for clip, anchor, *others in rows:
        frames.append((clip, 0, anchor == "right"))
        for number, side, said in (others[:3], others[3:]):
            if number:
                frames.append((clip, int(number) * (1 if side == "after" else -1), said == "right"))
    assert accuracies(*zip(*frames, strict=True)) == ch18.by_hand.solution


def test_the_cell_below_exercise_18_5_does_not_print_its_answer():
    source = next(
        source
        for _, source in cells("18_wilds_and_video", "code")
        if 'list("AAABBCCDDD")' in source
    )
    space = {}
    exec("\n".join(re.findall(r"^right = .*|^clips = .*|^offsets = .*", source, re.M)), space)
    printed = accuracies(space["clips"], space["offsets"], space["right"])
    assert printed != ch18.by_hand.solution


def test_a_frame_is_cut_off_and_nothing_else(tmp_path):
    standins.objectnet(tmp_path / "objectnet-1.0")
    split = imagenet.objectnet(tmp_path)
    assert Image.open(split.images.paths[0]).getpixel((1, 1))[0] > 200  # red
    assert (
        split.images[0].size == (16, 12) and split.images[0].getpixel((0, 0)) == standins.COLOURS[1]
    )
    assert torch.equal(split.labels.unique().sort().values, split.labels.sort().values)
