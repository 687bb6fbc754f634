"""Test sets in tar files: the same images, labels and scores as in folders, read anywhere in a file;
faults; their download from a server in place of the Hub."""

import io
import pickle
import re
import tarfile
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import servers
import torch
from PIL import Image

from wiseft_lite import (
    Recipe,
    Task,
    UserError,
    encode,
    fetch_test_sets,
    finetune,
    linear_probe,
    load_task,
    predict,
    sweep,
    zero_shot_classifier,
)
from wiseft_lite._runtime import downloads
from wiseft_lite.cli.main import main
from wiseft_lite.data import ImageDataset, LazyImages
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.published import hub, imagenet, standins
from wiseft_lite.tasks.webdataset import TarImages, read_shards

NAMES = ("test", *hub.SHIFTS)


def noise(seed, kind):
    """An image that looks like no other, larger than the model's, with ObjectNet's frame or not."""
    pixels = np.random.default_rng(seed).integers(0, 256, (34, 40, 3), np.uint8)
    image = Image.fromarray(pixels).resize((68, 60))
    if kind == "PNG":
        image.paste("red", (0, 0, 68, 2))
    return standins.encoded(image, kind)


def to_hub(split, folder, labels, class_names, ending):
    """Write the files of a split in folders as the Hub has them."""
    images = [Path(path).read_bytes() for path in split.images.paths]
    place = {label: k for k, label in enumerate(labels)}
    own = [place[label] for label in split.labels.tolist()]
    standins.shards(folder, images, own, class_names, ending, per_shard=90)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same images of ImageNet's validation set and its shifts: in folders, and in tar files."""
    folders, tars = tmp_path_factory.mktemp("folders"), tmp_path_factory.mktemp("tars")
    ids, names, _ = imagenet.imagenet_classes()
    standins.imagenet_shifts(folders)
    standins.tree(folders / "imagenet" / "val", ids, "JPEG")
    for k, path in enumerate(sorted(path for path in folders.rglob("*.*") if path.is_file())):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            path.write_bytes(noise(k, "PNG" if path.suffix == ".png" else "JPEG"))
    for name in NAMES:
        split = imagenet.read_test_set(folders, name)
        labels = imagenet.PUBLISHED.get(f"imagenet_{name}", range(1000))
        own = [names[k] for k in labels]
        if name == "objectnet":
            labels = [group[0] for _, _, group in imagenet.PUBLISHED["objectnet"]]
            own = [label.lower() for _, label, _ in imagenet.PUBLISHED["objectnet"]]
        to_hub(
            split,
            tars / hub.SETS[name].folder,
            labels,
            own,
            "png" if name == "objectnet" else "jpg",
        )
    return folders, tars


@pytest.fixture(scope="module")
def tasks(roots):
    return [load_task("imagenet-shifts", root) for root in roots]


@pytest.fixture(scope="module")
def models(tasks, clip):
    theta_0 = zero_shot_classifier(clip, replace(tasks[0], templates=tasks[0].templates[:1]))
    moved = {
        key: tensor + 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
        for key, tensor in theta_0.state_dict().items()
    }
    return theta_0, theta_0.with_weights(moved)


# The same in both forms


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_folders_and_tar_files_give_the_same_images_logits_and_scores(name, tasks, models):
    one, other = (task.split(name) for task in tasks)
    assert isinstance(one.images, Files) and isinstance(other.images, TarImages)
    assert len(other.images.paths) > 1 and len(one) == len(other)
    for i in range(0, len(one), 7):
        assert one[i][0].tobytes() == other[i][0].tobytes() and one[i][1] == other[i][1]
    assert torch.equal(one.labels, other.labels)
    assert (one.classes, one.merged, one.name) == (other.classes, other.merged, other.name)
    for model in models:
        logits = [predict(model, split) for split in (one, other)]
        assert torch.equal(*logits)
        predicted = [s.predicted(x) for s, x in zip((one, other), logits, strict=True)]
        assert torch.equal(*predicted) and one.score(predicted[0]) == other.score(predicted[1])
        assert len(set(predicted[0].tolist())) > 1
        allowed = range(1000) if one.classes is None else one.classes
        assert set(predicted[0].tolist()) <= {one.merged.get(k, k) for k in allowed}


def test_labels_of_subsets_mean_imagenets_classes(tasks):
    names = tasks[1].class_names
    r, a, objectnet = (tasks[1].split(name) for name in ("r", "a", "objectnet"))
    assert [names[k] for k in (r.labels[0], r.labels[-1])] == ["goldfish", "acorn"]
    assert names[a.labels[0]] == "stingray" and len(r.classes) == len(a.classes) == 200
    assert objectnet.merged[530] == 409 and names[int(objectnet.labels[0])] == "analog clock"
    assert objectnet[0][0].size == (68 - 4, 60 - 4)  # without the frame of 2 pixels


def test_objectnet_by_its_own_names_needs_no_training_images(roots):
    tasks = [load_task("objectnet", root) for root in roots]
    for task in tasks:
        assert task.train is None and len(task.class_names) == 113
        assert task.test.labels.max() < 113 and len(task.test) < 1000
    one, other = (task.shifts["objectnet"] for task in tasks)
    assert torch.equal(one.labels, other.labels) and tasks[0].class_names == tasks[1].class_names


@pytest.mark.slow
def test_features_of_tar_files_are_cached_and_workers_read_them_in_any_order(tasks, models):
    split = tasks[1].split("a")
    alone, helped = (
        LazyImages(ImageDataset(split, models[0].preprocess), workers) for workers in (0, 2)
    )
    one, other = (torch.cat(list(images.split(16))) for images in (alone, helped))
    assert torch.equal(one, other)
    assert split.content() == tasks[1].split("a").content() != tasks[1].split("r").content()
    assert torch.equal(*(encode(models[0], s)[0] for s in (split, tasks[0].split("a"))))
    order = [5, 190, 5, 0]
    picked = split.select(order)
    assert [picked[i][0].tobytes() for i in range(4)] == [split[i][0].tobytes() for i in order]


def test_the_index_holds_no_image_and_is_small(tasks):
    images = tasks[1].split("sketch").images
    copy = pickle.loads(pickle.dumps(images))
    assert copy[999].tobytes() == images[999].tobytes()
    assert len(pickle.dumps(images)) < 60 * len(images)


@pytest.mark.slow
def test_a_sweep_over_all_test_sets_needs_no_training_images(tasks, models):
    one, other = (
        sweep(*models, task.evaluation, [0, 0.5, 1], passes=3).drop(columns="changed")
        for task in tasks
    )
    assert one.equals(other) and list(one["split"].unique()) == list(NAMES)


# Tasks without training images


def test_what_needs_training_images_says_so(tasks, models):
    task = tasks[1]
    assert task.train is None and task.val is None and list(task.splits) == list(NAMES)
    for train in (finetune, linear_probe):
        with pytest.raises(UserError, match="'imagenet-shifts' has no 'train'.*not for training"):
            train(models[0], task, Recipe(epochs=1))
    for derived in (partial(task.held_out, 0.1), partial(task.few_shot, 1)):
        with pytest.raises(UserError, match="has no 'train'"):
            derived()
    with pytest.raises(UserError, match="has no 'val'.*not for choosing"):
        task.split("val")


def test_a_task_needs_one_split(task):
    with pytest.raises(UserError, match="'none' has no split"):
        Task("none", ("a", "b"), ("{}",), None, None, None, {})
    only = replace(task, train=None, val=None, test=None)
    assert list(only.evaluation) == ["two"]


@pytest.mark.parametrize("command", ["finetune", "probe", "run"])
def test_commands_that_train_stop_before_any_work(command, roots, monkeypatch, capsys):
    def load_clip(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("wiseft_lite.encoders.load_clip", load_clip)
    assert main([command, "--task", "imagenet-shifts", "--data", str(roots[1])]) == 2
    assert "'imagenet-shifts' has no 'train'" in capsys.readouterr().err


@pytest.mark.slow
def test_commands_that_evaluate_run_on_test_sets_alone(
    roots, clip_folder, tmp_path, capsys, monkeypatch
):
    ids, names, templates = imagenet.imagenet_classes()
    monkeypatch.setattr(imagenet, "imagenet_classes", lambda: (ids, names, templates[:1]))
    monkeypatch.chdir(tmp_path)
    task = ["--task", "imagenet-shifts", "--data", str(roots[1])]
    assert main(["zeroshot", *task, "--model", f"local-dir:{clip_folder}", "--out", "zs"]) == 0
    assert main(["evaluate", "zs", *task, "--splits", "r,objectnet", "--out", "e.jsonl"]) == 0
    assert main(["sweep", "zs", "zs", *task, "--alphas", "0,0.2", "--out", "s.jsonl"]) == 0
    assert main(["interpolate", "zs", "zs", "--out", "half"]) == 0
    assert main(["soup", "zs", "half", *task, "--out", "soup"]) == 0
    assert main(["soup", "zs", "half", *task, "--greedy", "--out", "greedy"]) == 2
    assert "has no 'val'" in capsys.readouterr().err


def test_a_subset_of_the_shifts_is_enough_and_the_command_for_the_rest_is_named(roots, tmp_path):
    (tmp_path / "wds_imagenet-a").symlink_to(roots[1] / "wds_imagenet-a")
    (tmp_path / "imagenet-r").symlink_to(roots[0] / "imagenet-r")
    with pytest.warns(
        UserWarning, match=r"test, v2, sketch, objectnet; .*fetch_test_sets\(\['test'"
    ):
        task = load_task("imagenet-shifts", tmp_path)
    assert list(task.splits) == ["r", "a"]
    with pytest.raises(UserError, match="none of ImageNet's test sets.*fetch_test_sets"):
        load_task("imagenet-shifts", tmp_path / "empty")


# Faults


@pytest.fixture
def damaged(roots, tmp_path):
    """A copy of ImageNet-A in tar files, to damage."""
    import shutil

    folder = tmp_path / "wds_imagenet-a"
    shutil.copytree(roots[1] / "wds_imagenet-a", folder)
    return folder


def rewritten(path, change):
    """Write a tar file again, its members passed through ``change``: a list of names and bytes."""
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    with tarfile.open(path, "w") as tar:
        for name, data in change(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def end_of(path):
    with tarfile.open(path) as tar:
        tar.getmembers()
        return tar.offset


FAULTS = {
    "cut in an image": lambda path: path.write_bytes(path.read_bytes()[: end_of(path) - 700]),
    "cut between two images": lambda path: path.write_bytes(path.read_bytes()[: end_of(path)]),
    "a web page": lambda path: path.write_text("<!DOCTYPE html>" + 200 * "<p>please log in</p>"),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "no label": lambda path: rewritten(path, lambda members: members[1:]),
    "no image": lambda path: rewritten(path, lambda members: members[:-1]),
    "no number": lambda path: rewritten(path, lambda m: [(m[0][0], b"tench"), *m[1:]]),
    "label too large": lambda path: rewritten(path, lambda m: [(m[0][0], b"200"), *m[1:]]),
}
WORDS = {
    "missing": "1.tar is missing",
    "no label": "1.tar: s0000090.jpg has no label .s0000090.cls",
    "no image": "1.tar: s0000179.cls has no image",
    "no number": "1.tar: s0000090.jpg has the label 'tench'",
    "label too large": "has the label 200, but a has 200 classes",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_tar_file_is_one_clear_line_with_the_command_that_mends_it(fault, damaged):
    FAULTS[fault](damaged / "test" / "1.tar")
    words = WORDS.get(fault, "1.tar is cut short or is no tar file")
    with warnings.catch_warnings(), pytest.raises(UserError, match=words) as error:
        warnings.simplefilter("ignore")
        load_task("imagenet-shifts", damaged.parent)
    assert "\n" not in str(error.value) and "fetch_test_sets(['a']" in str(error.value)


def test_an_image_that_cannot_be_decoded_is_named_with_its_file(damaged):
    rewritten(damaged / "test" / "0.tar", lambda m: [m[0], (m[1][0], b"no image"), *m[2:]])
    images, _ = read_shards(damaged / "test")
    with pytest.raises(UserError, match="0.tar: s0000000.jpg cannot be decoded"):
        images[0]
    assert images[1].mode == "RGB"


def test_class_names_in_another_order_are_refused_and_other_spellings_are_not(damaged):
    path = damaged / "classnames.txt"
    names = path.read_text().splitlines()
    path.write_text("\n".join(["a fish of another name", *names[1:-1], names[-1].upper()]))
    split = imagenet.read_test_set(damaged.parent, "a")
    assert len(split) == 200
    path.write_text("\n".join([names[1], names[0], *names[2:]]))
    with pytest.raises(UserError, match="line 1, is 'goldfinch', where 'stingray' is expected"):
        imagenet.read_test_set(damaged.parent, "a")
    path.write_text("\n".join(names[1:]))
    with pytest.raises(UserError, match="has 199 class names, not 200"):
        imagenet.read_test_set(damaged.parent, "a")


# The download


@pytest.fixture
def server(roots, tmp_path, monkeypatch):
    site = tmp_path / "site" / "datasets"
    for name in NAMES:
        place = site / hub.SETS[name].repository
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(roots[1] / hub.SETS[name].folder)
    with servers.Server(tmp_path / "site") as running:
        servers.as_hub(running, monkeypatch)
        yield running


def test_sets_are_downloaded_once_with_their_size_said_first(server, tmp_path, capsys):
    fetch_test_sets(["a", "r"], tmp_path / "data")
    out = capsys.readouterr().out
    size = sum(
        path.stat().st_size
        for name in ("a", "r")
        for path in (tmp_path / "data" / hub.SETS[name].folder).rglob("*.t*")
        if ".cache" not in path.parts and path.name != "zeroshot_classification_templates.txt"
    )
    assert f"{size / 1e6:.0f} MB to download" in out
    assert {path.rpartition("/")[2] for path, _ in server.fetched} == {
        *("classnames.txt", "nshards.txt", "0.tar", "1.tar", "2.tar")
    }
    with pytest.warns(UserWarning, match="left out"):
        assert list(load_task("imagenet-shifts", tmp_path / "data").splits) == ["r", "a"]
    server.fetched.clear()
    (tmp_path / "data" / "wds_imagenet-r" / "test" / "1.tar").unlink()
    fetch_test_sets(["a", "r"], tmp_path / "data")
    assert [path.rpartition("/")[2] for path, _ in server.fetched] == ["1.tar"]
    server.fetched.clear()
    server.shutdown()  # what is complete needs no network
    fetch_test_sets(["a", "r"], tmp_path / "data")
    assert not server.fetched


def test_the_disk_is_asked_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000}))
    with pytest.raises(UserError, match="data has 0 MB of room, and .* are needed; make room"):
        fetch_test_sets(["a"], tmp_path / "data")
    assert not server.fetched


def test_a_repository_that_has_changed_is_named(server, roots, tmp_path):
    place = tmp_path / "site" / "datasets" / hub.SETS["a"].repository
    place.unlink()
    (place / "test").mkdir(parents=True)
    (place / "classnames.txt").write_text("x")
    (place / "test" / "nshards.txt").write_text("1")
    (place / "test" / "shard-0.tar").write_text("renamed")
    with pytest.raises(UserError, match="wds_imagenet-a on the Hub has no test/0.tar any more"):
        fetch_test_sets(["a"], tmp_path / "data")
    with pytest.raises(UserError, match="unknown test set 'imagenet-a'; choose one of: test, v2"):
        fetch_test_sets(["imagenet-a"], tmp_path / "data")


def test_without_a_network_there_is_one_line_and_what_is_complete_stays(tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    with pytest.raises(UserError, match="wds_imagenet-a cannot be downloaded") as error:
        fetch_test_sets(["a"], tmp_path / "data")
    line = str(error.value)
    assert "the proxy proxy.example" in line and "secret" not in line and "\n" not in line


def test_the_script_downloads_what_is_missing_and_counts(server, tmp_path, monkeypatch, capsys):
    import fetching
    import get_imagenet

    monkeypatch.setattr("sys.argv", ["get_imagenet.py", "--data", str(tmp_path), "--only", "a"])
    assert fetching.main("", get_imagenet.run, get_imagenet.SETS) == 2
    printed = capsys.readouterr()
    assert "imagenet-shifts a: 200, published 7500" in printed.out
    assert "a has 200 images, not 7500" in printed.err
    assert {re.search("wds_[^/]*", path)[0] for path, _ in server.fetched} == {"wds_imagenet-a"}


@pytest.mark.parametrize("train", [False, True])
def test_other_sets_of_the_hub_are_tasks_by_their_own_names(train, tmp_path):
    folder = tmp_path / "wds_cars"
    names = [f"Car {k}" for k in range(4)]
    standins.shards(folder, standins.JPEG * 5, list(range(4)) * 5, names)
    if train:
        (folder / "train").symlink_to(folder / "test")
    task = load_task("cars", tmp_path)
    assert task.class_names == tuple(names) and len(task.test) == 20
    assert (task.train is not None) == (task.val is not None) == train
    assert not train or len(task.train) + len(task.val) == 20
