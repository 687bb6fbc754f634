"""``wiseft-lite place``: a model, a curve, and nonsense among the models of the atlas."""

import json

import pytest

from wiseft_lite.analysis import atlas
from wiseft_lite.book import paper
from wiseft_lite.cli import place
from wiseft_lite.cli.main import main
from wiseft_lite.metrics import clopper_pearson

NAMES = {
    "ImageNet": "test",
    "ImageNetV2": "v2",
    "ImageNet-R": "r",
    "ImageNet-Sketch": "sketch",
    "ObjectNet": "objectnet",
    "ImageNet-A": "a",
}
# The paper's zero-shot ViT-L/14@336px, table 1.
PUBLISHED = {"imagenet": 76.6, "v2": 70.5, "r": 89.0, "sketch": 60.9, "objectnet": 69.1, "a": 77.7}


def placed(tmp_path, *arguments):
    """Run the command and return its rows."""
    out = tmp_path / "placed.svg"
    assert main(["place", *map(str, arguments), "--out", str(out), "--overwrite"]) == 0
    assert out.read_text().lstrip().startswith("<?xml")
    return [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]


def results(path, task="imagenet", alphas=(0.0, 0.5, 1.0), n=None, **extra):
    """Write a results file as 'sweep' does, with the paper's curve of ViT-L/14@336px."""
    curve, rows = paper.curve("ViT-L/14@336px") / 100, []
    for alpha in alphas:
        for column, split in NAMES.items():
            accuracy = float(curve.loc[alpha, column])
            images = n or atlas.IMAGES["imagenet" if split == "test" else split]
            low, high = clopper_pearson(round(accuracy * images), images)
            rows.append(
                {
                    "alpha": alpha,
                    "split": split,
                    "accuracy": accuracy,
                    "n": images,
                    "low": low,
                    "high": high,
                }
                | {"task": task, "model": "ours", **extra}
            )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_published_model_lies_far_above_the_line(tmp_path, capsys):
    flags = [part for name, value in PUBLISHED.items() for part in (f"--{name}", value)]
    (row,) = placed(tmp_path, *flags, "--kind", "zero-shot CLIP", "--name", "L/14")
    assert row["name"] == "L/14" and row["alpha"] is None and row["kind"] == "zero-shot CLIP"
    assert list(row["shifts"]) == [*atlas.SHIFTS, "shifts"]
    for shift, found in row["shifts"].items():
        assert 0 < found["low"] < found["robustness"] < found["high"], shift
    line = atlas.line_through("standard", "r")
    assert row["shifts"]["r"]["robustness"] == pytest.approx(0.89 - line(0.766), abs=1e-4)
    assert row["nearest"][0]["model"] == "ViT-L-14-336, openai"
    assert 0 <= row["shifts"]["shifts"]["percentile"] <= 100
    printed = capsys.readouterr()
    assert "nearest: ViT-L-14-336, openai" in printed.out and "hardly lie on a line" in printed.err


def test_a_curve_of_alpha_goes_straight_in(tmp_path):
    rows = placed(tmp_path, results(tmp_path / "sweep.jsonl"))
    assert [(row["alpha"], row["kind"]) for row in rows] == [
        (0.0, "zero-shot CLIP"),
        (0.5, "fine-tuned CLIP"),
        (1.0, "fine-tuned CLIP"),
    ]
    heights = [row["shifts"]["shifts"]["robustness"] for row in rows]
    assert heights == sorted(heights, reverse=True)  # fine-tuning lowers it


def test_results_of_evaluate_and_of_the_shifts_alone_go_in_too(tmp_path):
    path = results(tmp_path / "evaluate.jsonl", task="imagenet-shifts", alphas=(1.0,))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["alpha"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (row,) = placed(tmp_path, path)
    assert row["alpha"] is None and row["imagenet"] == pytest.approx(0.862)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line["split"] != "test"))
    (with_flag,) = placed(tmp_path, path, "--imagenet", 86.2)
    assert with_flag == row


def test_fewer_images_make_a_wider_interval(tmp_path):
    (whole,) = placed(tmp_path, results(tmp_path / "a.jsonl", alphas=(1.0,)))
    (few,) = placed(tmp_path, results(tmp_path / "b.jsonl", alphas=(1.0,), n=500))
    for shift in ("v2", "r"):
        width = [row["shifts"][shift]["high"] - row["shifts"][shift]["low"] for row in (whole, few)]
        assert width[1] > 2 * width[0]


def test_a_video_split_is_the_set_of_its_task(tmp_path):
    path = tmp_path / "video.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "alpha": 1,
                    "split": s,
                    "accuracy": a,
                    "n": 1000,
                    "low": a,
                    "high": a,
                    "task": "vid-robust",
                }
            )
            + "\n"
            for s, a in (("test", 0.76), ("pm-0", 0.7), ("pm-10", 0.6))
        )
    )
    (row,) = placed(tmp_path, path)
    assert list(row["shifts"]) == ["vid_pm0", "vid_pm10"]


def test_the_choice_of_the_line_changes_what_comes_out(tmp_path):
    flags = ["--imagenet", 76.6, "--objectnet", 69.1]
    (standard,) = placed(tmp_path, *flags)
    (weak,) = placed(tmp_path, *flags, "--baseline", "with-weak")
    assert standard["baseline"] == "standard" and weak["baseline"] == "with-weak"
    assert (
        standard["shifts"]["objectnet"]["robustness"] != weak["shifts"]["objectnet"]["robustness"]
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--imagenet", "76.2", "--v2", "120"], "--v2 120 is no accuracy"),
        (["--imagenet", "-3", "--v2", "60"], "--imagenet -3 is no accuracy"),
        (["--v2", "60"], "no accuracy on ImageNet.*--imagenet"),
        (["--imagenet", "76"], "no accuracy on a shift"),
        (["--imagenet", "0.76", "--v2", "0.64"], "look like fractions"),
        ([], "nothing to place"),
        (["--imagenet", "76", "--v2", "60", "--kind", "clip"], "--kind 'clip' is unknown"),
        (["--imagenet", "76", "--imagenet-c", "40"], "--imagenet-c"),
        (["--imagenet", "76", "--v2", "many"], "--v2.*many"),
        (["no-such.jsonl"], "no-such.jsonl does not exist"),
    ],
)
def test_nonsense_gets_one_line_and_writes_nothing(arguments, words, tmp_path, capsys):
    import re

    out = tmp_path / "new" / "placed.png"
    assert main(["place", *arguments, "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert re.search(words, message) and message.count("\n") == 1, message
    assert not out.parent.exists()


@pytest.mark.parametrize(
    "task, splits, words",
    [
        ("iconshift", ("test", "sketch"), "the task 'iconshift', which the atlas does not know"),
        ("imagenet", ("test", "foggy"), "no shift of ImageNet but foggy, test"),
    ],
)
def test_results_of_other_data_are_refused(task, splits, words, tmp_path, capsys):
    """IconShift has a split 'sketch' of its own, which is not ImageNet-Sketch."""
    path = tmp_path / "other.jsonl"
    row = {"alpha": 1.0, "accuracy": 0.5, "n": 10, "low": 0.2, "high": 0.8, "task": task}
    path.write_text("".join(json.dumps(row | {"split": s}) + "\n" for s in splits))
    assert main(["place", str(path), "--out", str(tmp_path / "p.png")]) == 2
    assert words in capsys.readouterr().err


def test_a_split_that_the_atlas_lacks_is_named_and_the_rest_placed(tmp_path, capsys):
    path = results(tmp_path / "sweep.jsonl", alphas=(1.0,))
    row = {"alpha": 1.0, "split": "foggy", "accuracy": 0.5, "n": 10, "low": 0.2, "high": 0.8}
    with path.open("a") as file:
        file.write(json.dumps(row | {"task": "imagenet", "model": "ours"}) + "\n")
    (placed_row,) = placed(tmp_path, path)
    assert "foggy" not in placed_row["shifts"] and "foggy not placed" in capsys.readouterr().err


def test_an_accuracy_is_given_once(tmp_path, capsys):
    path = results(tmp_path / "sweep.jsonl")
    assert main(["place", str(path), "--v2", "60", "--out", str(tmp_path / "p.png")]) == 2
    assert "--v2 both give that accuracy" in capsys.readouterr().err
    assert main(["place", str(path), "--vid-pm0", "60", "--out", str(tmp_path / "p.png")]) == 2
    assert "has 3 models" in capsys.readouterr().err


def test_nothing_is_overwritten_unasked(tmp_path, capsys):
    (tmp_path / "p.jsonl").write_text("mine\n")
    arguments = ["place", "--imagenet", "76", "--v2", "60", "--out", str(tmp_path / "p.png")]
    assert main(arguments) == 2 and "p.jsonl exists" in capsys.readouterr().err
    assert (tmp_path / "p.jsonl").read_text() == "mine\n" and not (tmp_path / "p.png").exists()


def test_the_names_on_the_command_line_are_those_of_the_atlas():
    assert set(place.SETS) == set(atlas.IMAGES)
    assert {name for names in place.SPLITS.values() for name in names.values()} == set(place.SETS)
