"""Every data set in its real layout: labels against names, subsets against published counts, a
sweep, and damage."""

import itertools
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import make_fixtures
import numpy as np
import pytest
import timm
import torch

from wiseft_lite import UserError, load_clip, load_task, sweep, zero_shot_classifier
from wiseft_lite.tasks import images
from wiseft_lite.tasks.published import catalogue, cifar, standins
from wiseft_lite.tasks.published.imagenet import imagenet_classes
from wiseft_lite.zeroshot import prompt

pytestmark = pytest.mark.slow

PUBLISHED = standins.PUBLISHED
CLASSES = {
    "imagenet": 1000,
    "imagenet-shifts": 1000,
    "objectnet": 113,
    "vid-robust": 1000,
    "vid-robust-own": 30,
    "ytbb-robust": 1000,
    "ytbb-robust-own": 24,
    "cifar10": 10,
    "cifar10-c": 10,
    "cifar100": 100,
    "cars": 196,
    "dtd": 47,
    "sun397": 397,
    "food101": 101,
    "fmow": 62,
    "fmow-clean": 62,
    "iwildcam": 182,
}
UNDERSCORES = {"fmow", "vid-robust-own"}  # in class names, as the authors use them


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_fixtures.build(folder)
    return folder


@pytest.fixture(scope="module")
def load(root):
    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = load_task(name, root)
        return loaded[name]

    return get


def colour(split, i):
    return split[i][0].resize((1, 1)).getpixel((0, 0))


def close(one, other):
    return all(abs(a - b) < 25 for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CLASSES)
def test_every_data_set_loads_with_its_published_number_of_classes(load, name):
    task = load(name)
    assert len(task.class_names) == CLASSES[name]
    assert any("_" in word for word in task.class_names) == (name in UNDERSCORES)
    assert all(prompt(t, "x") != t for t in task.templates)
    if (
        task.val is not None
        and isinstance(task.val.images, images.Picked)
        and task.train.images.images is task.val.images.images
    ):
        assert not set(task.train.images.rows) & set(task.val.images.rows)
    for split in task.splits.values():
        assert split[0][0].mode == "RGB" and int(split.labels.max()) < CLASSES[name]


def test_all_families_are_tested():
    assert set(CLASSES) == set(catalogue.FAMILIES)


@pytest.mark.parametrize("name", CLASSES)
def test_zero_shot_and_sweep_run_on_a_few_images(load, clip, name):
    task = load(name)
    task = replace(task, templates=task.templates[:1])
    theta_0 = zero_shot_classifier(clip, task)
    theta_1 = theta_0.with_weights(
        {k: v + 0.01 if v.is_floating_point() else v for k, v in theta_0.state_dict().items()}
    )
    splits = {"test": task.test.select(range(min(4, len(task.test))))}
    splits |= {
        key: split if "pm" in key else split.select(range(min(6, len(split))))
        for key, split in itertools.islice(task.shifts.items(), 6)
    }
    table = sweep(theta_0, theta_1, splits, [0, 0.5, 1])
    assert len(table) == 3 * len(splits) and table.accuracy.between(0, 1).all()


@pytest.fixture(scope="module")
def vit_b_32():
    clip = load_clip("ViT-B-32/none")
    clip.model.transformer.resblocks = clip.model.transformer.resblocks[
        :1
    ]  # 2,000 names: twelve blocks take minutes
    return clip


@pytest.mark.parametrize("name", CLASSES)
def test_a_random_vit_b_32_gets_a_head_and_is_swept(load, vit_b_32, name):
    task = load(name)
    theta_0 = zero_shot_classifier(vit_b_32, replace(task, templates=task.templates[:1]))
    theta_1 = theta_0.with_weights(
        {k: -v if k == "head.weight" else v for k, v in theta_0.state_dict().items()}
    )
    shift, split = next(iter(task.shifts.items()), ("test", task.test))
    table = sweep(
        theta_0,
        theta_1,
        {shift: split if "pm" in shift else split.select(range(min(3, len(split))))},
        [0, 1],
    )
    assert theta_0.head.weight.shape == (CLASSES[name], 512)
    assert (
        table.alpha.tolist() == [0, 1]
        and table.n.nunique() == 1
        and table.accuracy.between(0, 1).all()
    )


def test_a_whole_random_vit_b_32_runs_on_a_data_set(load):
    task = load("dtd")
    task = replace(task, templates=task.templates[:1])
    theta_0 = zero_shot_classifier(load_clip("ViT-B-32/none"), task)
    theta_1 = theta_0.with_weights(theta_0.state_dict() | {"head.weight": theta_0.head.weight + 1})
    table = sweep(theta_0, theta_1, {"test": task.test.select(range(3))}, [0, 1])
    assert table.n.tolist() == [3, 3]


def test_imagenets_labels_follow_wordnet_ids_and_v2s_follow_numbers(load):
    task, ids = load("imagenet"), imagenet_classes()[0]
    assert (
        task.class_names[ids.index("n02123045")] == "tabby cat"
        and task.class_names[134] == "crane bird"
    )
    for split in (task.test, task.shifts["sketch"]):
        assert all(
            ids[label] in path
            for path, label in zip(split.images.paths, split.labels.tolist(), strict=True)
        )
    v2 = task.shifts["v2"]
    assert [
        int(path.split("/")[-2]) for path in v2.images.paths
    ] == v2.labels.tolist()  # not 0, 1, 10, 100


def test_lists_of_classes_are_those_of_other_packages():
    folder = Path(timm.__file__).parent / "data" / "_info"
    ids = list(imagenet_classes()[0])
    assert ids == (folder / "imagenet_synsets.txt").read_text().split()
    for name in ("imagenet_r", "imagenet_a"):
        assert {ids[k] for k in PUBLISHED[name]} == set(
            (folder / f"{name}_synsets.txt").read_text().split()
        )


def test_subsets_are_the_published_ones(load):
    shifts = load("imagenet").shifts
    assert shifts["v2"].classes is None and shifts["sketch"].classes is None
    assert list(shifts["r"].classes) == PUBLISHED["imagenet_r"] and len(shifts["r"].classes) == 200
    assert list(shifts["a"].classes) == PUBLISHED["imagenet_a"] and len(shifts["a"].classes) == 200
    groups = [group for _, _, group in PUBLISHED["objectnet"]]
    assert (
        sorted(shifts["objectnet"].classes) == sorted(k for g in groups for k in g)
        and len(groups) == 113
    )
    assert set(shifts["objectnet"].labels.tolist()) == {g[0] for g in groups}


def test_objectnet_loses_its_frame_and_merges_imagenets_classes(load):
    split = load("imagenet").shifts["objectnet"]
    image = split[0][0]
    assert image.size == (16, 12) and close(image.getpixel((0, 0)), (30, 160, 60))
    clock = next(group for _, label, group in PUBLISHED["objectnet"] if label == "Alarm clock")
    assert len(clock) == 2
    logits = torch.zeros(2, 1000)
    logits[0, clock[1]] = 1  # the other clock counts as the first
    logits[1, 0], logits[1, clock[0]] = 9, 1  # tench is no class of ObjectNet
    assert split.predicted(logits).tolist() == [clock[0]] * 2
    own = load("objectnet")
    assert own.class_names[0] == "alarm clock" and list(own.shifts["objectnet"].labels) == list(
        range(113)
    )
    assert len(own.test) == 125  # one image for each of ImageNet's classes here; 50 in the real set


def test_video_frames_are_scored_by_their_own_labels_and_clips(load):
    task = load("vid-robust")
    pm0, pm10 = task.shifts["pm-0"], task.shifts["pm-10"]
    assert len(pm0) == 2 and len(pm10) == 5
    groups = [group for _, _, group in PUBLISHED["vid"]]
    turtle, bird, dog = groups[26][0], groups[4][0], groups[8][0]
    assert pm0.score(torch.tensor([turtle, dog])).accuracy == 1
    order = [path[-11:] for path in pm10.images.paths]
    assert order == ["000442.JPEG", "000440.JPEG", "000443.JPEG", "000010.JPEG", "000006.JPEG"]
    assert (
        pm10.score(torch.tensor([turtle, turtle, bird, dog, dog])).accuracy == 1
    )  # the bird is in that frame too
    assert pm10.score(torch.tensor([turtle, bird, turtle, dog, dog])).accuracy == 0.5
    logits = torch.zeros(2, 1000)
    logits[:, groups[26][-1]] = 1
    assert pm0.predicted(logits).tolist() == [turtle] * 2


def test_ytbb_keeps_good_anchors_and_swaps_car_and_none(load):
    own, by_imagenet = load("ytbb-robust-own"), load("ytbb-robust")
    names, pm10 = own.class_names, own.shifts["pm-10"]
    assert [names[k] for k in set(range(24)) - set(pm10.classes)] == ["none"]
    right = {
        path.split("/")[-2]: {names[k] for k in group}
        for path, group in zip(pm10.images.paths, pm10.measure.right, strict=True)
    }
    assert right == {
        "aaa_1000": {"dog", "cat"},
        "b_b_2000": {"car"},
        "ccc_3000": {"cow"},
    }  # doubted and bad ones are out
    assert pm10.measure.offsets == (0, 2, 0, 0)
    pm0 = by_imagenet.shifts["pm-0"]
    assert (
        len(pm0) == 3 and pm0.labels.tolist()[2] == -1 and not pm0.measure.right[2]
    )  # ImageNet has no cow
    assert pm0.score(pm0.labels).accuracy == pytest.approx(2 / 3)


def test_cifar_is_read_without_unpickling(load):
    task = load("cifar10")
    assert task.class_names[:3] == ("airplane", "automobile", "bird") and len(task.templates) == 18
    for split in task.splits.values():
        for i in range(len(split)):
            assert close(colour(split, i), standins.COLOURS[int(split.labels[i]) % 4]), split.name
    corrupted = load("cifar10-c").shifts
    assert len(corrupted) == 15 and "speckle_noise" not in corrupted
    assert colour(corrupted["fog"], 0) == (4, 4, 4) and corrupted["fog"].labels.tolist() == [
        1,
        2,
    ]  # severity 5
    hundred = load("cifar100")
    assert hundred.test.labels.tolist() == list(range(100)) and close(
        colour(hundred.test, 1), (30, 160, 60)
    )


def test_transfer_sets_have_their_names_and_splits(load):
    assert load("sun397").class_names[:2] == ("abbey", "apartment building outdoor")
    assert load("dtd").class_names[0] == "banded" and len(load("dtd").val) == 47
    assert load("food101").class_names[0] == "apple pie" and len(load("food101").test) == 202
    cars = load("cars")
    assert cars.class_names[195] == "Maker Model 195 2012" and cars.test.labels.tolist() == list(
        range(196)
    )
    for name in ("cars", "dtd", "sun397", "food101"):
        assert set(load(name).train.labels.tolist()) == set(range(CLASSES[name]))


def test_fmow_follows_its_dates_and_scores_the_worst_named_region(load):
    task = load("fmow")
    shift = task.shifts["ood"]
    assert [len(task.train), len(task.val), len(task.test), len(shift)] == [62, 62, 62, 6]
    zoo = task.class_names.index("zoo")
    assert (
        shift.score(torch.tensor([zoo, zoo, zoo, 0, 0, 0])).accuracy == 0.5
    )  # Kosovo has no region there
    assert shift.select([0, 1, 2, 4]).score(torch.tensor([zoo, 0, zoo, 0])).accuracy == 0.5
    assert (
        "rgb_img_188.png" in shift.images.paths[0]
    )  # the number is that of the row in the whole table


def test_iwildcam_reads_its_splits_and_reports_macro_f1(load):
    task = load("iwildcam")
    assert task.class_names[:2] == ("empty", "white-lipped peccary")
    assert [len(s) for s in (task.train, task.val, task.test, task.shifts["ood"])] == [4, 1, 2, 3]
    score = task.shifts["ood"].score(torch.tensor([0, 0, 0]))
    assert score.accuracy == pytest.approx(0.4)  # F1 of 4/5 and of 0
    assert 0 <= score.low < 0.4 < score.high <= 1


def damage(name):
    """The data set, the file or folder that is broken, how, and what the error must name."""

    def cut(path):
        path.write_bytes(path.read_bytes()[:-40])

    remove = lambda path: shutil.rmtree(path) if path.is_dir() else path.unlink()  # noqa: E731
    return {
        "batch": (
            "cifar10",
            "cifar-10-batches-bin/data_batch_3.bin",
            cut,
            "data_batch_3.bin",
        ),
        "names": ("cifar100", "cifar-100-binary/fine_label_names.txt", cut, "fine_label_names.txt"),
        "npy": ("cifar10", "CIFAR-10.1/cifar10.1_v6_data.npy", cut, "v6_data.npy"),
        "npz": ("cifar10", "CIFAR-10.2/cifar102_test.npz", cut, "cifar102_test.npz"),
        "corruption": ("cifar10-c", "CIFAR-10-C/fog.npy", remove, "fog.npy"),
        "mat": ("cars", "stanford_cars/devkit/cars_meta.mat", cut, "cars_meta.mat"),
        "image": (
            "food101",
            "food-101/images/apple_pie/1001.jpg",
            remove,
            "apple_pie/1001.jpg",
        ),
        "list": (
            "dtd",
            "dtd/dtd/labels/val1.txt",
            remove,
            "val1.txt .*data_scripts",
        ),
        "partition": (
            "sun397",
            "SUN397/Partitions/Training_01.txt",
            remove,
            "Training_01.txt",
        ),
        "table": ("fmow", "fmow_v1.1/rgb_metadata.csv", remove, "rgb_metadata.csv"),
        "last": (
            "iwildcam",
            "iwildcam_v2.0/train/test2.jpg",
            remove,
            "test2.jpg",
        ),
    }[name]


@pytest.mark.parametrize(
    "what",
    [
        "batch",
        "names",
        "npy",
        "npz",
        "corruption",
        "mat",
        "image",
        "list",
        "partition",
        "table",
        "last",
    ],
)
def test_a_damaged_file_is_named(root, tmp_path, what):
    name, file, break_it, message = damage(what)
    tops = (
        {file.split("/")[0], "cifar-10-batches-bin"}
        if name.startswith("cifar10")
        else {file.split("/")[0]}
    )
    for top in tops:
        shutil.copytree(root / top, tmp_path / top)
    break_it(tmp_path / file)
    with warnings.catch_warnings(), pytest.raises(UserError, match=message) as error:
        warnings.simplefilter("ignore")  # the other shift of CIFAR-10 is not there
        load_task(name, tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_missing_from_r_and_a_wrong_layout_of_v2(root, tmp_path):
    from wiseft_lite.tasks.published import imagenet

    number = {wnid: k for k, wnid in enumerate(imagenet_classes()[0])}
    ids = [folder.name for folder in (root / "imagenet-r").iterdir() if folder.is_dir()]
    shutil.copytree(root / "imagenet-r", tmp_path / "r")
    shutil.rmtree(next(p for p in (tmp_path / "r").iterdir() if p.is_dir()))
    with pytest.raises(UserError, match="199 .*200"):
        imagenet.from_folders("r", tmp_path / "r", {wnid: number[wnid] for wnid in ids})
    with pytest.raises(UserError, match="class folder of v2"):
        imagenet.from_folders("v2", tmp_path / "r", {str(k): k for k in range(1000)})
    with pytest.raises(UserError, match="class folder of a"):
        imagenet.from_folders(
            "a", root / "imagenet-r", {imagenet_classes()[0][k]: k for k in PUBLISHED["imagenet_a"]}
        )
    with pytest.raises(UserError, match="get_imagenet.py"):
        imagenet.load(tmp_path)
    shutil.copytree(root / "objectnet-1.0", tmp_path / "objectnet-1.0")
    shutil.rmtree(tmp_path / "objectnet-1.0" / "images" / "banana")
    with pytest.raises(UserError, match="'banana'"):
        imagenet.objectnet(tmp_path)
    path = tmp_path / "objectnet-1.0" / "mappings" / "objectnet_to_imagenet_1k.json"
    path.write_text(json.dumps(dict(list(json.loads(path.read_text()).items())[:-1])))
    with pytest.raises(UserError, match="112 .*113"):
        imagenet.objectnet_classes(tmp_path)


def test_a_pickle_is_never_opened(root, tmp_path):
    shutil.copytree(root / "cifar-10-batches-bin", tmp_path / "cifar-10-batches-bin")
    (tmp_path / "CIFAR-10.2").mkdir()
    np.save(tmp_path / "CIFAR-10.2" / "cifar102_test.npy", {"images": 1}, allow_pickle=True)
    with pytest.raises(UserError, match="cifar102_test.npy"):
        cifar.load(tmp_path)
    with pytest.raises(UserError, match="cifar102_test.npy"):
        images.load_array(tmp_path / "CIFAR-10.2" / "cifar102_test.npy")
