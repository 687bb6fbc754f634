"""Faults, each at a seeded place: one clear error or a right result; nothing is lost, nothing is
executed."""

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import patience
import peers
import pytest
import torch
import victims
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from wiseft_lite import (
    Recipe,
    Split,
    Task,
    UserError,
    difference,
    export_open_clip,
    finetune,
    import_checkpoint,
    import_clip,
    interpolate,
    linear_probe,
    load,
    predict,
    relative_distance,
    save,
    sweep,
)
from wiseft_lite._runtime.cache import cache_folder
from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite.book.runs import trained
from wiseft_lite.cli.main import main
from wiseft_lite.results import read_results, write_results
from wiseft_lite.tasks import icons
from wiseft_lite.training import fit

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    peers.register(tmp_path_factory.mktemp("configs"))


# Files that were shortened or changed on their way


def shorten(data, rng):
    return data[: rng.randrange(len(data))]


def flip(data, rng):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def flip_early(
    data, rng
):  # headers, names, instructions: most of a small model's file is plain numbers
    place = rng.randrange(min(600, len(data)))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


HARMS = {"shortened": shorten, "bit": flip, "early bit": flip_early}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    save_file(
        {k: v.clone() for k, v in peers.model_soups_weights().items()}, folder / "soup.safetensors"
    )
    return {
        "wise-ft pickle": peers.wise_ft(folder / "wise.pt"),
        "torch.save": peers.model_soups(folder / "soup.pt"),
        "old torch.save": peers.wise_ft(folder / "old.pt", "old torch.save"),
        "safetensors": folder / "soup.safetensors",
        "TorchScript": peers.openai(folder / "openai.pt"),
    }


def imported(path, kind, tmp_path, **how):
    if kind == "TorchScript":
        return import_clip(path, tmp_path / "clip", **how).model.state_dict()
    return import_checkpoint(path, peers.CLASSES, **how).state_dict()


@pytest.fixture(scope="module")
def contents(originals, tmp_path_factory):
    return {
        kind: imported(path, kind, tmp_path_factory.mktemp("whole"))
        for kind, path in originals.items()
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    "kind", ["wise-ft pickle", "torch.save", "old torch.save", "safetensors", "TorchScript"]
)
def test_a_damaged_file_is_refused_or_gives_a_model_of_the_right_shapes(
    originals, contents, kind, harm, seed, tmp_path
):
    """Pickles and safetensors hold no checksum, so a bit of a weight may change unseen; archives
    hold one."""
    path = tmp_path / originals[kind].name
    data = originals[kind].read_bytes()
    path.write_bytes(HARMS[harm](data, random.Random(f"{kind} {harm} {seed}")))
    try:
        weights = imported(path, kind, tmp_path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        assert not (tmp_path / "clip").exists()
    else:
        assert harm != "shortened"
        assert {k: v.shape for k, v in weights.items()} == {
            k: v.shape for k, v in contents[kind].items()
        }
        if kind in ("torch.save", "TorchScript"):
            assert digest(weights) == digest(contents[kind])
    with pytest.raises(
        UserError, match="another hash"
    ):  # with its hash at hand any change is noticed
        imported(path, kind, tmp_path / "again", sha256=file_sha256(originals[kind]))


@pytest.fixture(scope="module")
def checkpoint(theta_0, tmp_path_factory):
    return save(
        theta_0, tmp_path_factory.mktemp("ours") / "a", recipe=Recipe(), metrics={"test": 0.5}
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("member", ["model.safetensors", "card.json"])
def test_a_damaged_checkpoint_is_refused_or_right(
    theta_0, checkpoint, member, harm, seed, tmp_path
):
    folder = shutil.copytree(checkpoint, tmp_path / "a")
    path = folder / member
    path.write_bytes(HARMS[harm](path.read_bytes(), random.Random(f"{member} {harm} {seed}")))
    try:
        classifier = load(folder)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert member == "card.json"
        assert all(
            torch.equal(v, theta_0.state_dict()[k]) for k, v in classifier.state_dict().items()
        )


@pytest.mark.parametrize(
    "card",
    [
        "[]",
        "null",
        "3",
        '"card"',
        "{}",
        '{"schema": "one", "encoder": "iconclip", "class_names": ["a"], "sha256": "x"}',
        '{"schema": 1, "encoder": 3, "class_names": ["a"], "sha256": "x"}',
        '{"schema": 1, "encoder": "iconclip", "class_names": 3, "sha256": "x"}',
        '{"schema": 1, "encoder": "iconclip", "class_names": ["a"], "sha256": null}',
    ],
)
def test_a_card_of_another_kind_is_refused(checkpoint, card, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "a")
    (folder / "card.json").write_text(card)
    with pytest.raises(UserError, match="card.json|model.safetensors"):
        load(folder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_results_file_is_refused_or_read(harm, seed, tmp_path):
    import pandas as pd

    path = tmp_path / "results.jsonl"
    rows = [
        {"alpha": a / 2, "split": "test", "accuracy": 0.5, "n": 9, "low": 0.4, "high": 0.6}
        for a in range(3)
    ]
    write_results(pd.DataFrame(rows), path)
    path.write_bytes(HARMS[harm](path.read_bytes(), random.Random(f"{harm} {seed}")))
    try:
        assert len(read_results(path)) <= 3
    except UserError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    "lines", ["", "3", "null", "[1, 2]", '"x"', '{"alpha": 0}\n3', '{"alpha": 0}\nnull']
)
def test_a_results_file_of_another_kind_is_refused(lines, tmp_path):
    (tmp_path / "results.jsonl").write_text(lines)
    with pytest.raises(UserError, match="results.jsonl lacks"):
        read_results(tmp_path / "results.jsonl")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("harm", ["shortened", "early bit"])
@pytest.mark.parametrize("member", ["train.webp", "index.csv", "task.json"])
def test_a_damaged_task_is_refused_or_read(member, harm, seed, tmp_path):
    data = shutil.copytree(small_task(tmp_path), tmp_path / "harmed")
    path = data / "mini" / member
    path.write_bytes(HARMS[harm](path.read_bytes(), random.Random(f"{member} {harm} {seed}")))
    try:
        task = icons.load("mini", data)
        assert task.train[0][0].size == (48, 48)
    except UserError as error:
        assert "\n" not in str(error)


def small_task(tmp_path):
    folder = tmp_path / "data" / "mini"
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(
        json.dumps(
            {"name": "mini", "class_names": ["disc", "bar"], "templates": ["a {}."], "shifts": []}
        )
    )
    rows = [f"{split},{name}" for split in ("train", "val", "test") for name in ("disc", "bar")]
    (folder / "index.csv").write_text("split,class\n" + "\n".join(rows) + "\n")
    for split in ("train", "val", "test"):
        Image.effect_noise((icons.COLUMNS * icons.TILE, icons.TILE), 60).convert("RGB").save(
            folder / f"{split}.webp"
        )
    return tmp_path / "data"


# Checkpoints of others, wrapped and changed at random: the right model, or one line that says why
# not


def wrapped(weights, rng):
    """Up to three wrappers, one in another."""
    for _ in range(rng.randrange(4)):
        kind = rng.choice(["module.", "_orig_mod.", "model.", "net.", "dictionary", "trainer"])
        if kind == "dictionary":
            weights = {rng.choice(["state_dict", "model", "module", "weights"]): weights}
        elif kind == "trainer" and not any(isinstance(value, dict) for value in weights.values()):
            weights = {
                "epoch": 3,
                "model": weights,
                "optimizer": {"exp_avg": torch.full((2,), torch.nan)},
            }
        elif kind[-1] == ".":
            weights = {f"{kind}{key}": value for key, value in weights.items()}
    return weights


CHANGES = {
    "nothing": lambda weights, rng: weights,
    "no head": lambda weights, rng: {
        k: v for k, v in weights.items() if "classification_head" not in k
    },
    "no bias": lambda weights, rng: {
        k: v for k, v in weights.items() if k != "classification_head.bias"
    },
    "a tensor lost": lambda weights, rng: {
        k: v
        for k, v in weights.items()
        if k != rng.choice([key for key in weights if ".visual." in key])
    },
    "a tensor of another shape": lambda weights, rng: {
        **weights,
        rng.choice([key for key in weights if ".visual." in key]): torch.ones(
            rng.randrange(1, 5), 3
        ),
    },
    "not finite": lambda weights, rng: {
        k: v * rng.choice([torch.nan, torch.inf]) if k.endswith("conv1.weight") else v
        for k, v in weights.items()
    },
    "half precision": lambda weights, rng: {k: v.half() for k, v in weights.items()},
    "a second model": lambda weights, rng: {"a": weights, "b": dict(weights)},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("change", CHANGES)
def test_an_odd_checkpoint_is_imported_right_or_refused_in_one_line(change, seed, tmp_path):
    rng = random.Random(f"{change} {seed}")
    quick, authors = rng.random() < 0.5, rng.random() < 0.5
    model = peers.clip_model(quick)
    weights = {
        f"model.{key}": value
        for key, value in model.state_dict().items()
        if not (authors and key.startswith("transformer."))
    }
    weights |= {f"classification_head.{key}": value for key, value in peers.head_of().items()}
    torch.save(wrapped(CHANGES[change](weights, rng), rng), tmp_path / "file.pt")
    architecture = rng.choice([None, "tiny-quickgelu" if quick else "tiny"])
    images = torch.randn(2, 3, 24, 24)
    known = (
        architecture is not None or authors and quick
    )  # the layout alone tells only of OpenAI's models
    if not known and authors:
        return  # LAION's weights in the layout of OpenAI's models: nothing in the file tells it
    try:
        classifier = import_checkpoint(
            tmp_path / "file.pt", peers.CLASSES, architecture=architecture
        )
    except UserError as error:
        assert str(tmp_path / "file.pt") in str(error) and "\n" not in str(error)
        assert not known or change not in ("nothing", "no bias", "half precision")
    else:
        assert known and change in ("nothing", "no bias", "half precision")
        head = peers.head_of() | ({"bias": 0} if change == "no bias" else {})
        tolerance = {"atol": 0.1, "rtol": 0.1} if change == "half precision" else {}
        torch.testing.assert_close(
            classifier(images), peers.logits(model, head, images), **tolerance
        )


# Hostile files


def archive(path, *members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data, how in members:
            file.writestr(name, data, how)


def tensor_pickle(key="0", numel=4, size=(4,), stride=(1,), offset=0, kind="FloatStorage"):
    """The pickle of ``{"visual.x": tensor}`` with any numbers in it."""

    class Saved:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Kept(), offset, size, stride, False, {})

    class Kept:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (
                ("storage", getattr(torch, kind), key, "cpu", numel)
                if isinstance(value, Kept)
                else None
            )

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump({"visual.x": Saved()})
    return stream.getvalue()


@pytest.mark.parametrize(
    "case, message",
    {
        "climbing path": (
            [("a/data.pkl", tensor_pickle("../../../up"), 0), ("a/data/../../../up", bytes(16), 0)],
            "no classification head",
        ),
        "absolute path": (
            [("/tmp/data.pkl", tensor_pickle(), 0), ("/tmp/data/0", bytes(16), 0)],
            "no classification head",
        ),
        "no storage": ([("a/data.pkl", tensor_pickle(), 0)], "no item named"),
        "storage too short": (
            [("a/data.pkl", tensor_pickle(), 0), ("a/data/0", bytes(12), 0)],
            "the file has 12",
        ),
        "storage beyond the file": (
            [("a/data.pkl", tensor_pickle(numel=10**15), 0), ("a/data/0", bytes(16), 0)],
            "bytes",
        ),
        "size beyond the storage": (
            [("a/data.pkl", tensor_pickle(size=(9,)), 0), ("a/data/0", bytes(16), 0)],
            "storage of 4",
        ),
        "a tensor that grows": (
            [
                ("a/data.pkl", tensor_pickle(size=(10**9, 10**9), stride=(0, 0)), 0),
                ("a/data/0", bytes(16), 0),
            ],
            "storage of 4",
        ),
        "offset outside": (
            [("a/data.pkl", tensor_pickle(offset=10**6), 0), ("a/data/0", bytes(16), 0)],
            "file.pt",
        ),
        "negative offset": (
            [("a/data.pkl", tensor_pickle(offset=-4), 0), ("a/data/0", bytes(16), 0)],
            "file.pt",
        ),
        "negative stride": (
            [("a/data.pkl", tensor_pickle(stride=(-1,)), 0), ("a/data/0", bytes(16), 0)],
            "file.pt",
        ),
        "negative numel": (
            [("a/data.pkl", tensor_pickle(numel=-4), 0), ("a/data/0", bytes(16), 0)],
            "file.pt",
        ),
        "compressed": (
            [("a/data.pkl", tensor_pickle(), 0), ("a/data/0", bytes(16), zipfile.ZIP_DEFLATED)],
            "compressed",
        ),
        "two pickles": (
            [("a/data.pkl", tensor_pickle(), 0), ("b/data.pkl", tensor_pickle(), 0)],
            "2 members",
        ),
        "no pickle": ([("a/other", b"", 0)], "0 members"),
        "empty pickle": ([("a/data.pkl", b"", 0)], "exhausted"),
    }.values(),
    ids=lambda value: None,
)
def test_a_hostile_archive_is_refused_and_unpacks_nothing(case, message, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    archive(tmp_path / "deep" / "er" / "file.pt", *case)
    with pytest.raises(UserError, match=message):
        import_checkpoint(tmp_path / "deep" / "er" / "file.pt", peers.CLASSES)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["file.pt"]


class Calls:
    """Unpickled, it calls any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


PROOF = "executed"
PAYLOADS = {
    "os.system": lambda: Calls(os.system, f"touch {PROOF}"),
    "eval": lambda: Calls(eval, f"open({PROOF!r}, 'w')"),
    "exec": lambda: Calls(exec, f"open({PROOF!r}, 'w')"),
    "open": lambda: Calls(open, PROOF, "w"),
    "mkdir": lambda: Calls(os.mkdir, PROOF),
    "subprocess": lambda: Calls(subprocess.call, ["touch", PROOF]),
    "torch.save": lambda: Calls(torch.save, 1, PROOF),
    "in a key": lambda: {Calls(os.system, f"touch {PROOF}"): 1},
    "in a list": lambda: [1, (Calls(os.system, f"touch {PROOF}"),)],
    "nested": lambda: Calls(getattr, Calls(os.system, f"touch {PROOF}"), "x"),
    "loads in loads": lambda: Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {PROOF}"))),
    "torch.load in it": lambda: Calls(
        torch.storage._load_from_bytes, torch_bytes(Calls(os.system, f"touch {PROOF}"))
    ),
}


def torch_bytes(value):
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_is_executed(payload, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file.pt").write_bytes(pickle.dumps({"visual.x": PAYLOADS[payload]()}, protocol=protocol))
    with pytest.raises(UserError):
        import_checkpoint("file.pt", peers.CLASSES)
    assert not Path(PROOF).exists()
    if payload != "torch.load in it":  # the payload is sharp
        with contextlib.suppress(AttributeError):
            pickle.loads(Path("file.pt").read_bytes())
        assert Path(PROOF).exists()


# Wrong shapes and numbers


@pytest.mark.parametrize("change", ["missing", "more", "longer", "integer", "nan", "inf"])
def test_state_dicts_that_do_not_fit_are_refused(theta_0, change):
    a, b = theta_0.state_dict(), {k: v.clone() for k, v in theta_0.state_dict().items()}
    if change == "missing":
        del b["head.bias"]
    elif change == "more":
        b["head.more"] = torch.ones(1)
    elif change == "longer":
        b["head.bias"] = torch.ones(4)
    elif change == "integer":
        a["n"], b["n"] = torch.tensor(1), torch.tensor(2)
    else:
        b["encoder.proj"][0, 0] = float(change)
    checks = [relative_distance, difference, lambda a, b: interpolate(a, b, 0.5)]
    for check in checks[:1] if change in ("nan", "inf") else checks:
        with pytest.raises(
            UserError,
            match="different keys|different shapes|integer buffers|not finite: encoder.proj",
        ):
            check(a, b)


@pytest.mark.parametrize("seed", range(6))
def test_a_loss_or_a_weight_that_is_not_finite_is_one_error(seed):
    rng = random.Random(seed)
    at, value = rng.randrange(1, 9), rng.choice([torch.nan, torch.inf, -torch.inf])
    calls = []

    def objective(model, inputs, labels):
        calls.append(1)
        return model(inputs).sum() * (value if len(calls) == at else 1.0)

    with pytest.raises(UserError, match=f"at step {at} of 8; lower the learning rate"):
        fit(
            nn.Linear(2, 2),
            torch.randn(16, 2),
            torch.zeros(16, dtype=torch.int64),
            Recipe(epochs=2, batch_size=4),
            objective=objective,
        )


def test_weights_that_the_last_step_ruined_are_one_error():
    def objective(model, inputs, labels):
        loss = model(inputs).sum()
        loss.register_hook(lambda gradient: gradient * torch.nan)
        return loss

    with pytest.raises(UserError, match="the last step gave weights that are not finite"):
        fit(
            nn.Linear(2, 2),
            torch.randn(4, 2),
            torch.zeros(4, dtype=torch.int64),
            Recipe(epochs=1, batch_size=4),
            objective=objective,
        )


# Data that is not as it should be


def split(labels, images=None):
    from conftest import picture

    return Split(
        "odd", images or [picture(int(y), i) for i, y in enumerate(labels)], torch.tensor(labels)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("label", [0, 1, 2])
def test_one_class_alone_trains_and_is_measured(theta_0, task, label, seed):
    one = Task(
        task.name,
        task.class_names,
        task.templates,
        split([label] * 5),
        task.val,
        split([label] * 3),
        {},
    )
    recipe = Recipe(epochs=1, lr=1e-3, batch_size=4, seed=seed)
    for train in (finetune, linear_probe):
        table = sweep(theta_0, train(theta_0, one, recipe), one.evaluation, [0, 1])
        assert table.n.tolist() == [3, 3] and table.classes.tolist() == [
            3,
            3,
        ]  # predictions over all classes
        predicted = predict(theta_0, one.test).argmax(1)
        assert table.accuracy[0] == pytest.approx(
            (predicted == one.test.labels).double().mean().item()
        )


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda t: split([]), "no images"),
        (lambda t: Split("odd", t.test.images[:3], torch.tensor([0, 1])), "3 images but"),
        (
            lambda t: Task("t", ("a", "a"), ("{}",), t.train, t.val, t.test, {}),
            "duplicate class names: a;",
        ),
        (
            lambda t: Task("t", ("a", "b", "a", "b"), ("{}",), t.train, t.val, t.test, {}),
            "duplicate class names: a, b;",
        ),
        (
            lambda t: Task("t", ("a", "", "b"), ("{}",), t.train, t.val, t.test, {}),
            "class names are missing",
        ),
        (lambda t: Task("t", (), ("{}",), t.train, t.val, t.test, {}), "class names are missing"),
        (
            lambda t: Task("t", ("a", "b"), ("{}",), t.train, t.val, t.test, {}),
            "label 2",
        ),
        (
            lambda t: Task("t", ("a", "b", "c"), ("{}",), split([-1]), t.val, t.test, {}),
            "label -1",
        ),
        (lambda t: t.few_shot(0), "too few"),
    ],
)
def test_splits_and_names_that_cannot_be_meant_are_refused(task, make, message):
    with pytest.raises(UserError, match=message):
        make(task)


class Files(list):
    """Encoded pictures that are decoded when asked for."""

    def __getitem__(self, i):
        return Image.open(io.BytesIO(super().__getitem__(i))).convert("RGB")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("harm", ["shortened", "early bit", "empty", "text"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_that_does_not_decode_is_named(theta_0, kind, harm, seed):
    files = Files()
    for i in range(3):
        stream = io.BytesIO()
        Image.effect_noise((24, 24), 50 + i).convert("RGB").save(stream, kind)
        files.append(stream.getvalue())
    rng = random.Random(f"{kind} {harm} {seed}")
    harmed = (
        {"empty": b"", "text": b"no picture"}.get(harm)
        if harm in ("empty", "text")
        else (HARMS[harm](list.__getitem__(files, 1), rng))
    )
    files[1] = harmed
    try:
        logits = predict(theta_0, Split("odd", files, torch.tensor([0, 1, 2])))
    except UserError as error:
        assert "image 1 of split 'odd' cannot be read" in str(error)
    else:
        assert harm not in ("empty", "text") and torch.isfinite(logits).all()


# Disks that are full, processes that come together or are killed


def full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "broken",
    ["safetensors.torch.save_file", "pathlib.Path.write_text", "os.replace", "tempfile.mkdtemp"],
)
@pytest.mark.parametrize("what", ["save", "export"])
def test_a_write_that_fails_keeps_what_was_there(
    theta_0, tuned, what, broken, tmp_path, monkeypatch
):
    write = save if what == "save" else export_open_clip
    folder = write(theta_0, tmp_path / "a")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with monkeypatch.context() as disk, pytest.raises(UserError, match="No space left"):
        disk.setattr(broken, full)
        write(tuned, folder, overwrite=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle_of_a_file_is_one_error(
    theta_0, checkpoint, seed, tmp_path
):
    folder = save(theta_0, tmp_path / "a")
    room = random.Random(seed).randrange((folder / "model.safetensors").stat().st_size)
    assert victims.exit_code(victims.save_with_little_room, checkpoint, folder, room) == 7
    assert torch.equal(load(folder).head.weight, theta_0.head.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


KILLS = 30


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    assert victims.exit_code(victims.killed_run, folder, -1) == 0
    return victims.whole_run(), int((folder / "events").read_text())


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_killed_at_a_random_point_resumes_to_the_same_bits(uninterrupted, seed, tmp_path):
    bits, events = uninterrupted
    at = sorted(random.Random(0).sample(range(1, events + 1), KILLS))[seed]
    assert victims.exit_code(victims.killed_run, tmp_path, at) == -signal.SIGKILL
    assert victims.whole_run(tmp_path) == bits
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_from_outside_again_and_again_ends_with_the_same_bits(
    uninterrupted, seed, tmp_path
):
    rng = random.Random(seed)
    for _ in range(3):
        begins = victims.CONTEXT.Event()
        child = victims.CONTEXT.Process(target=victims.killed_run, args=(tmp_path, -1, begins))
        child.start()
        assert begins.wait(patience.SECONDS)
        time.sleep(rng.uniform(0.0, 0.2))
        child.kill()
        child.join()
    assert victims.whole_run(tmp_path) == uninterrupted[0]


@pytest.fixture(scope="module")
def soup_events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soup")
    assert victims.exit_code(victims.killed_soup, folder, -1) == 0
    return int((folder / "events").read_text())


@pytest.mark.parametrize("seed", range(8))
def test_a_soup_killed_at_a_random_point_resumes_to_the_same_bits(soup_events, seed, tmp_path):
    at = sorted(random.Random(0).sample(range(1, soup_events + 1), 8))[seed]
    assert victims.exit_code(victims.killed_soup, tmp_path, at) == -signal.SIGKILL
    assert victims.whole_soup(tmp_path) == victims.whole_soup()
    assert not list(tmp_path.glob("*.part")) and len(list(tmp_path.glob("*.safetensors"))) == 1


ONE_EPOCH = Recipe(epochs=1, lr=1e-2, batch_size=16)


@pytest.mark.parametrize("seed", range(3))
def test_two_processes_on_one_cache_train_once_and_agree(
    checkpoint, task, seed, tmp_path, monkeypatch
):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    ready, result = victims.CONTEXT.Barrier(2), victims.CONTEXT.Queue()
    arguments = (checkpoint, task, ONE_EPOCH, tmp_path, ready, result)
    children = [
        victims.CONTEXT.Process(target=victims.train_when_both_are_ready, args=arguments)
        for _ in range(2)
    ]
    for child in children:
        child.start()
    bits, said = zip(*[result.get(timeout=patience.SECONDS) for _ in children], strict=True)
    for child in children:
        child.join()
    assert len(set(bits)) == 1 and "".join(said).count("Training (finetune") == 1
    assert len([p for p in cache_folder().iterdir() if p.is_dir()]) == 1


def test_a_killed_process_leaves_the_cache_usable(theta_0, checkpoint, task, tmp_path, monkeypatch):
    monkeypatch.setenv("WISEFT_CACHE", str(tmp_path))
    assert (
        victims.exit_code(victims.die_while_saving, checkpoint, task, ONE_EPOCH, tmp_path)
        == -signal.SIGKILL
    )
    expected = finetune(theta_0, task, ONE_EPOCH)
    assert digest(trained(theta_0, task, ONE_EPOCH, progress=False).state_dict()) == digest(
        expected.state_dict()
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "nowhere.pt"],
        ["import", ".", "--classes", "c"],
        ["import", "empty.pt"],
        ["import", "text.pt"],
        ["import", "empty.safetensors"],
        ["import", "text.safetensors"],
        ["import", "text.pt", "--sha256", "0" * 64],
        ["export", "nowhere"],
        ["export", "text.pt"],
        ["sweep", "text.pt", "text.pt"],
        ["plot", "text.pt"],
        ["plot", "empty.pt"],
    ],
)
def test_the_command_answers_every_bad_file_with_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for ending in ("pt", "safetensors"):
        Path(f"text.{ending}").write_text("no checkpoint at all")
        Path(f"empty.{ending}").write_bytes(b"")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert len([line for line in error.splitlines() if line.startswith("wiseft-lite:")]) == 1
    assert "Traceback" not in error
