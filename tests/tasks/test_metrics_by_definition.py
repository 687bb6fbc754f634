"""Predictions, denominators and scores against a second computation, written from the authors'
definitions.

Sources of the definitions: wise-ft's ``src/datasets`` (classes, projections, pm-k, anchors), WILDS
(macro-F1, worst region), the papers of the data sets. Nothing here calls the library's scoring:
files are read again, and everything is a plain loop. Logits are small integers drawn from each
file's name, so that ties are common and both sides see the same.
"""

import csv
import json
import re
import zlib
from datetime import datetime, timezone
from pathlib import Path

import make_fixtures
import numpy as np
import pytest
import torch

from wiseft_lite import Split, Task, UserError, load_task, sweep, zero_shot_classifier
from wiseft_lite.tasks.published.imagenet import imagenet_classes
from wiseft_lite.tasks.published.standins import PUBLISHED
from wiseft_lite.zeroshot import prompt

YTBB_WITHOUT_IMAGENET = {"cow", "giraffe", "skateboard", "toilet", "none"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    make_fixtures.build_measured(folder)
    return folder


def logits_of(root, path, count, likely=()):
    """Logits of a file: whole numbers from 1 to 29, so that classes often tie at the top, and 25
    more for likely ones."""
    generator = np.random.default_rng(zlib.crc32(str(Path(path).relative_to(root)).encode()))
    logits = generator.integers(1, 30, count)
    logits[list(likely)] += 25
    return logits.tolist()


def argmax(values):
    """The place of the largest value, the first of equal ones, as torch and numpy have it."""
    return max(range(len(values)), key=lambda k: values[k])


def largest_of_groups(logits, groups):
    """The largest logit of each group of classes: wise-ft's ``project_logits`` with ``merge_op``
    max."""
    return [max(logits[k] for k in group) for group in groups]


def ours(root, split, count, likely):
    """The library's results: prediction by file, number of predictable classes, score and
    denominator."""
    paths = [str(path) for path in split.images.paths]
    logits = torch.tensor(
        [logits_of(root, path, count, likely(path)) for path in paths], dtype=torch.float32
    )
    predicted = split.predicted(logits)
    result = split.score(predicted)
    return (
        dict(zip(paths, predicted.tolist(), strict=True)),
        split.count_classes(count),
        result.accuracy,
        result.n,
    )


def agree(root, split, count, likely, predicted, predictable, score, n):
    by_file, classes, accuracy, denominator = ours(root, split, count, likely)
    assert by_file == predicted
    assert classes == predictable
    assert denominator == n
    assert accuracy == pytest.approx(score, abs=1e-6)
    assert 0 < score < 1


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# iWildCam: WILDS takes the argmax over all 182 species, and averages the F1 of those among the
# labels.


@pytest.mark.parametrize("name, part, n_f1", [("test", "id_test", 7), ("ood", "test", 5)])
def test_iwildcam(root, name, part, n_f1):
    folder = root / "iwildcam_v2.0"
    true = {
        str(folder / "train" / row["filename"]): int(row["y"])
        for row in rows_of(folder / "metadata.csv")
        if row["split"] == part
    }
    likely = lambda path: (true[path],)  # noqa: E731
    predicted = {path: argmax(logits_of(root, path, 182, likely(path))) for path in true}
    assert set(predicted.values()) - set(
        true.values()
    )  # a species is predicted that no image shows
    f1 = []
    for species in sorted(set(true.values())):
        right = sum(predicted[path] == species == true[path] for path in true)
        f1.append(
            2
            * right
            / (
                sum(species == p for p in predicted.values())
                + sum(species == y for y in true.values())
            )
        )
    assert len(f1) == n_f1
    agree(
        root,
        load_task("iwildcam", root).split(name),
        182,
        likely,
        predicted,
        182,
        sum(f1) / len(f1),
        len(true),
    )


# FMoW: argmax over all 62 categories; accuracy before 2013; from 2016 on the lowest accuracy of a
# region but "Other".


def fmow_rows(root, part, first, last):
    folder = root / "fmow_v1.1"
    region = {row["alpha-3"]: row["region"] for row in rows_of(folder / "country_code_mapping.csv")}
    found = {}
    for i, row in enumerate(rows_of(folder / "rgb_metadata.csv")):
        year = (
            datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            .astimezone(timezone.utc)
            .year
        )
        if row["split"] == part and first <= year < last:
            found[str(folder / "images" / f"rgb_img_{i}.png")] = (
                row["category"],
                region.get(row["country_code"], "Other"),
            )
    return found


@pytest.mark.parametrize("task", ["fmow", "fmow-clean"])
def test_fmow_before_2013(root, task):
    rows = fmow_rows(root, "test", 0, 2013)
    true = {path: PUBLISHED["fmow"].index(category) for path, (category, _) in rows.items()}
    likely = lambda path: (true[path],)  # noqa: E731
    predicted = {path: argmax(logits_of(root, path, 62, likely(path))) for path in rows}
    assert set(predicted.values()) - set(
        true.values()
    )  # 42 classes are absent, and may be predicted all the same
    right = sum(predicted[path] == true[path] for path in rows)
    agree(root, load_task(task, root).test, 62, likely, predicted, 62, right / len(rows), len(rows))


def test_fmow_from_2016_by_its_worst_region(root):
    rows = fmow_rows(root, "test", 2016, 9999)
    true = {path: PUBLISHED["fmow"].index(category) for path, (category, _) in rows.items()}
    worst = lambda path: (0,) if rows[path][1] == "Other" else (true[path],)  # noqa: E731
    predicted = {path: argmax(logits_of(root, path, 62, worst(path))) for path in rows}
    regions = {}
    for path, (_, region) in rows.items():
        regions.setdefault(region, []).append(predicted[path] == true[path])
    accuracy = {region: sum(right) / len(right) for region, right in regions.items()}
    assert min(accuracy, key=accuracy.get) == "Other"  # or the exception would not be tested
    lowest = min(set(accuracy) - {"Other"}, key=accuracy.get)
    agree(
        root,
        load_task("fmow", root).shifts["ood"],
        62,
        worst,
        predicted,
        62,
        accuracy[lowest],
        len(regions[lowest]),
    )


def test_fmow_has_the_authors_names_and_prompts(root):
    task, clean = load_task("fmow", root), load_task("fmow-clean", root)
    assert list(task.class_names) == PUBLISHED["fmow"]
    name = "airport_hangar"
    assert [prompt(template, name) for template in task.templates] == [
        f"{kind} photo of {thing}."
        for thing in (
            f"a {name}",
            "an airport hangar",
            f"a {name} in asia",
            f"a {name} in africa",
            f"a {name} in the americas",
            f"a {name} in europe",
            f"a {name} in oceania",
        )
        for kind in ("satellite", "aerial")
    ] + [f"a photo of a {name}.", f"{name}."]
    assert prompt(task.templates[2], "zoo") == "satellite photo of a zoo."
    assert clean.class_names[1] == "airport hangar" and len(clean.templates) == 14
    texts = [prompt(template, clean.class_names[1]) for template in clean.templates]
    assert len(set(texts)) == 14 and texts[:2] == [
        "satellite photo of an airport hangar.",
        "aerial photo of an airport hangar.",
    ]
    for part in ("train", "val", "test", "ood"):
        assert torch.equal(task.split(part).labels, clean.split(part).labels)


# ImageNet's shifts: V2 and Sketch over all 1000 classes, R and A over their 200, ObjectNet by the
# largest of each group.


@pytest.mark.parametrize("name, folder", [("r", "imagenet-r"), ("a", "imagenet-a")])
def test_imagenet_r_and_a(root, name, folder):
    ids, subset = list(imagenet_classes()[0]), sorted(PUBLISHED[f"imagenet_{name}"])
    true = {str(path): ids.index(path.parent.name) for path in (root / folder).glob("*/*.jpg")}
    likely = lambda path: (true[path],)  # noqa: E731
    predicted, elsewhere = {}, 0
    for path in true:
        logits = logits_of(root, path, 1000, likely(path))
        predicted[path] = subset[argmax([logits[k] for k in subset])]
        elsewhere += argmax(logits) not in subset
    assert len(true) == 200 and elsewhere > 5  # a class outside the subset would have won
    right = sum(predicted[path] == true[path] for path in true)
    agree(
        root,
        load_task("imagenet", root).shifts[name],
        1000,
        likely,
        predicted,
        200,
        right / 200,
        200,
    )


@pytest.mark.parametrize(
    "name, folder", [("v2", "imagenetv2-matched-frequency-format-val"), ("sketch", "sketch")]
)
def test_imagenet_v2_and_sketch(root, name, folder):
    names = [str(k) for k in range(1000)] if name == "v2" else list(imagenet_classes()[0])
    true = {str(path): names.index(path.parent.name) for path in (root / folder).glob("*/*.*")}
    likely = lambda path: (true[path],)  # noqa: E731
    predicted = {path: argmax(logits_of(root, path, 1000, likely(path))) for path in true}
    right = sum(predicted[path] == true[path] for path in true)
    agree(
        root,
        load_task("imagenet", root).shifts[name],
        1000,
        likely,
        predicted,
        1000,
        right / 1000,
        1000,
    )


def objectnet_groups():
    return {folder: group for folder, _, group in sorted(PUBLISHED["objectnet"])}


def objectnet_files(root):
    return {
        str(path): path.parent.name
        for path in (root / "objectnet-1.0" / "images").glob("*/*.png")
        if path.parent.name in objectnet_groups()
    }


def test_objectnet_by_imagenets_names(root):
    groups, files = objectnet_groups(), objectnet_files(root)
    folders = list(groups)
    likely = lambda path: (groups[files[path]][-1],)  # noqa: E731
    answer = {
        path: folders[
            argmax(largest_of_groups(logits_of(root, path, 1000, likely(path)), groups.values()))
        ]
        for path in files
    }
    tied = [
        sum(x == max(values) for x in values)
        for values in (
            largest_of_groups(logits_of(root, path, 1000, likely(path)), groups.values())
            for path in files
        )
    ]
    assert sum(n > 1 for n in tied) > 5
    right = sum(answer[path] == files[path] for path in files)
    predicted = {
        path: groups[answer[path]][0] for path in files
    }  # the library names a group by its first class
    agree(
        root,
        load_task("imagenet", root).shifts["objectnet"],
        1000,
        likely,
        predicted,
        113,
        right / 113,
        113,
    )


def test_objectnet_by_its_own_names(root):
    folders, files = list(objectnet_groups()), objectnet_files(root)
    likely = lambda path: (folders.index(files[path]),)  # noqa: E731
    predicted = {path: argmax(logits_of(root, path, 113, likely(path))) for path in files}
    right = sum(folders[predicted[path]] == files[path] for path in files)
    agree(
        root,
        load_task("objectnet", root).shifts["objectnet"],
        113,
        likely,
        predicted,
        113,
        right / 113,
        113,
    )


# Videos: pm-0 is the fraction of anchors that are right, pm-10 of clips whose anchor and all valid
# frames are.


def pm(clips, right):
    """pm-0, pm-10 and the number of clips: ``clips`` maps each anchor to its other frames."""
    zero = sum(right[anchor] for anchor in clips)
    ten = sum(
        right[anchor] and all(right[frame] for frame in frames) for anchor, frames in clips.items()
    )
    return zero / len(clips), ten / len(clips), len(clips)


def vid(root):
    """Clips of files, and the labels of each file: in Vid-Robust a frame is judged by its own."""
    folder = root / "imagenet_vid_ytbb_robust" / "imagenet-vid-robust"
    labels = json.loads((folder / "metadata" / "labels.json").read_text())
    sets = json.loads((folder / "metadata" / "pmsets.json").read_text())
    return (
        {
            str(folder / anchor): [str(folder / frame) for frame in frames]
            for anchor, frames in sets.items()
        },
        {str(folder / path): set(classes) for path, classes in labels.items()},
    )


def ytbb(root):
    """Clips of files, and the labels of each file: in YTBB-Robust a frame is judged by its
    anchor's."""
    meta = root / "ytbb-robust" / "metadata"
    names = [name for name, _ in PUBLISHED["ytbb"]]
    short = lambda key: "/".join(key.split("/")[-2:])  # noqa: E731
    reviews = json.loads((meta / "anchor_labels.json").read_text())
    last = {
        short(row["key"]): [reviews["labels"][k] for k in row["labels"]]
        for row in reviews["annotations"]
    }
    verdicts = json.loads((meta / "pmk_labels.json").read_text())
    pairs = {
        row["key"]: [verdicts["labels"][k] for k in row["labels"]]
        for row in verdicts["annotations"]
    }
    bad_anchors = {key.split(",")[0] for key, words in pairs.items() if "bad-anchor" in words}
    table = {
        f"{row['ytid']}_{row['time_ms']}": {"22": 23, "23": 22}.get(row["label"], int(row["label"]))
        for row in rows_of(meta / "ytbb_robustness_test_anchors_full.csv")
    }
    problems = {
        "dissimilar",
        "problematic",
        "incorrect",
        "dont know",
        "deformation",
        "background-change",
        "occlusion-increased",
        "blur-increase",
        "bad-anchor",
    }
    clips, labels = {}, {}
    for anchor, words in last.items():
        if "good" not in words or "bad" in words or "unsure" in words or anchor in bad_anchors:
            continue
        video, number = re.fullmatch(r"(.*)/frame-(\d+)\.jpg", anchor).groups()
        frames = [f"{video}/frame-{int(number) + k}.jpg" for k in range(-10, 11) if k]
        frames = [
            frame
            for frame in frames
            if "similar" in pairs.get(f"{anchor},{frame}", ())
            and not problems & set(pairs[f"{anchor},{frame}"])
        ]
        files = [str(root / "ytbb-robust" / "ytbb_videos" / frame) for frame in (anchor, *frames)]
        clips[files[0]] = files[1:]
        labels |= dict.fromkeys(
            files, {table[video]} | {names.index(word) for word in words if word in names}
        )
    return clips, labels


SETS = {
    "vid-robust": (vid, [group for _, _, group in PUBLISHED["vid"]]),
    "ytbb-robust": (ytbb, [group for _, group in PUBLISHED["ytbb"]]),
}


@pytest.mark.parametrize("k", [0, 10])
@pytest.mark.parametrize("name", SETS)
def test_videos_by_imagenets_names(root, name, k):
    read, groups = SETS[name]
    clips, labels = read(root)
    named = [c for c, group in enumerate(groups) if group]
    likely = lambda path: [groups[c][-1] for c in sorted(labels[path]) if groups[c]][-1:]  # noqa: E731
    wanted = [path for anchor, frames in clips.items() for path in (anchor, *(frames if k else ()))]
    answer = {
        path: named[
            argmax(
                largest_of_groups(
                    logits_of(root, path, 1000, likely(path)), [groups[c] for c in named]
                )
            )
        ]
        for path in labels
    }
    pm_0, pm_10, n = pm(clips, {path: answer[path] in labels[path] for path in labels})
    predicted = {path: groups[answer[path]][0] for path in wanted}
    agree(
        root,
        load_task(name, root).shifts[f"pm-{k}"],
        1000,
        likely,
        predicted,
        len(named),
        pm_10 if k else pm_0,
        n,
    )


@pytest.mark.parametrize("k", [0, 10])
@pytest.mark.parametrize("name", SETS)
def test_videos_by_their_own_names(root, name, k):
    read, groups = SETS[name]
    clips, labels = read(root)
    none = (
        [c for c, (word, *_) in enumerate(PUBLISHED["ytbb"]) if word == "none"]
        if name == "ytbb-robust"
        else []
    )
    likely = lambda path: sorted(labels[path])[-1:]  # noqa: E731
    wanted = [path for anchor, frames in clips.items() for path in (anchor, *(frames if k else ()))]
    answer = {}
    for path in labels:
        logits = logits_of(root, path, len(groups), likely(path))
        answer[path] = argmax([-1e10 if c in none else value for c, value in enumerate(logits)])
    pm_0, pm_10, n = pm(clips, {path: answer[path] in labels[path] for path in labels})
    predicted = {path: answer[path] for path in wanted}
    agree(
        root,
        load_task(f"{name}-own", root).shifts[f"pm-{k}"],
        len(groups),
        likely,
        predicted,
        len(groups) - len(none),
        pm_10 if k else pm_0,
        n,
    )


def test_ytbbs_clips_that_imagenet_cannot_name_stay_in_the_denominator(root):
    clips, labels = ytbb(root)
    names = [name for name, _ in PUBLISHED["ytbb"]]
    lost = [
        anchor for anchor in clips if {names[c] for c in labels[anchor]} <= YTBB_WITHOUT_IMAGENET
    ]
    assert len(lost) == 3 and len(clips) == 15  # cow, giraffe, none
    by_imagenet, own = (
        load_task("ytbb-robust", root).shifts["pm-0"],
        load_task("ytbb-robust-own", root),
    )
    perfect = by_imagenet.score(by_imagenet.labels)
    assert (perfect.n, perfect.accuracy) == (15, 12 / 15)
    shift = own.shifts["pm-0"]
    assert len(own.class_names) == 24 and shift.score(shift.labels).accuracy == 1
    head = torch.eye(24)[shift.labels]
    assert shift.score(shift.predicted(head)).accuracy == pytest.approx(
        14 / 15
    )  # "none" is never predicted


# All classes, unless a data set defines a subset, and the results report which.


def test_a_shift_that_holds_one_class_is_not_right_by_construction():
    split = Split("zoos", [None] * 4, torch.tensor([2, 2, 2, 2]))
    assert split.predicted(torch.eye(4)).tolist() == [0, 1, 2, 3] and split.count_classes(4) == 4
    assert split.score(split.predicted(torch.eye(4))).accuracy == 0.25


@pytest.mark.parametrize(
    "name", ["arrows", "brands", "flags", "gauges", "glyphs", "weather", "iconshift"]
)
def test_only_iconshifts_shifts_restrict_predictions(name):
    task = load_task(name)
    assert all(split.classes is None for split in (task.train, task.val, task.test))
    held_out, few = task.held_out(0.2), task.few_shot(1)
    assert held_out.val.classes is None and few.train.classes is None
    for split in task.shifts.values():
        assert set(split.classes) == set(split.labels.tolist())
        assert split.select([0]).classes == split.classes


def test_results_say_how_many_classes_a_prediction_can_take(root, clip):
    task = load_task("imagenet", root)
    splits = {name: split.select(range(2)) for name, split in task.evaluation.items()}
    small = type(task)(
        task.name,
        task.class_names,
        task.templates[:1],
        task.train,
        task.val,
        task.test,
        splits,
        task.twins,
    )
    table = sweep(*[zero_shot_classifier(clip, small)] * 2, splits, [0])
    assert dict(zip(table.split, table.classes, strict=True)) == {
        "test": 1000,
        "v2": 1000,
        "r": 200,
        "a": 200,
        "sketch": 1000,
        "objectnet": 113,
    }


def test_only_a_shift_may_hold_images_for_which_no_class_is_right():
    good, lost = (
        Split(name, [None], torch.tensor([label])) for name, label in (("good", 1), ("lost", -1))
    )
    task = Task("one", ("a", "b"), ("{}",), good, good, good, {"lost": lost})
    assert task.shifts["lost"].score(lost.predicted(torch.eye(2)[:1])).accuracy == 0
    for part in ("train", "val", "test"):
        with pytest.raises(UserError, match="split 'lost': label -1"):
            Task(
                "one",
                ("a", "b"),
                ("{}",),
                **{"train": good, "val": good, "test": good, part: lost},
                shifts={},
            )


def test_a_subset_of_no_classes_is_refused():
    with pytest.raises(UserError, match="split 'none'"):
        Split("none", [None], torch.tensor([0]), classes=())
