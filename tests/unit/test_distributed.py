"""The same batch on one process and on two: launched for real, on the CPU."""

import json
import os
import shutil
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pandas as pd
import patience
import pytest
import torch
from safetensors.torch import load_file

from wiseft_lite import UserError
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.distributed import Shards, local_slice
from wiseft_lite.cli import doctor
from wiseft_lite.cli.main import main
from wiseft_lite.recipes import AUGMENTS

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
LAUNCH = {
    "accelerate": [
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
        "--mixed_precision=no",
        "--dynamo_backend=no",
        "--main_process_port=0",
    ],
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node=2"],
}


def launch(launcher, *program, processes=2, **variables):
    command = (
        [sys.executable, "-m", *LAUNCH[launcher], *map(str, program)]
        if processes == 2
        else [sys.executable, *map(str, program)]
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent.parent),
        "OMP_NUM_THREADS": "1",
    } | variables
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def ended(process):
    try:
        out, err = process.communicate(timeout=patience.SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # the launcher then ends its processes
        raise
    return process.returncode, out, err


@pytest.fixture(scope="module")
def worked(clip_folder, tmp_path_factory):
    """What processes.py wrote: by one process, and by each of two."""
    out = tmp_path_factory.mktemp("worked")
    runs = [
        launch("torchrun", HERE / "processes.py", clip_folder, out / str(n), processes=n)
        for n in (1, 2)
    ]
    for run in runs:
        code, _, err = ended(run)
        assert code == 0, err[-3000:]
    places = [out / "1" / "0", out / "2" / "0", out / "2" / "1"]
    return [
        (load_file(f"{place}.safetensors"), json.loads(Path(f"{place}.json").read_text()))
        for place in places
    ]


def of(weights, run):
    return {
        key.partition("/")[2]: value for key, value in weights.items() if key.startswith(f"{run}/")
    }


def test_both_processes_end_with_the_same_bits(worked):
    (_, _), (first, one), (second, other) = worked
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]
    assert one["table"] == other["table"]


@pytest.mark.parametrize(
    "run", [*AUGMENTS, "workers", "last batch of one", "l2", "micro-batches", "averages"]
)
def test_weights_agree_within_rounding(worked, run):
    alone, together = of(worked[0][0], run), of(worked[1][0], run)
    assert alone and alone.keys() == together.keys()
    for key, value in alone.items():
        torch.testing.assert_close(
            value, together[key], rtol=1e-9, atol=1e-10, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert any(
        not torch.equal(value, together[key]) for key, value in alone.items()
    )  # the batch was divided


@pytest.mark.parametrize("run", ["flyp", "probe"])
def test_what_is_not_divided_is_the_same_bits(worked, run):
    alone, together = of(worked[0][0], run), of(worked[1][0], run)
    assert alone and all(torch.equal(value, together[key]) for key, value in alone.items())


def test_a_run_that_was_cut_or_kept_or_decoded_by_workers_ends_with_the_same_bits(worked):
    for weights, _ in worked:
        for run in ("resumed", "kept", "found", "workers"):
            assert of(weights, run) and all(
                torch.equal(v, of(weights, "crop")[k]) for k, v in of(weights, run).items()
            )


def test_adaptive_tables_are_the_same_bits(worked):
    """Neither the number of processes nor that of batches in memory changes which images get more
    passes, or their logits."""
    (_, one), (_, two), (_, other) = worked
    rows = one["adaptive"]
    assert rows == two["adaptive"] == other["adaptive"]
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert rows[0]["passes"] > 3 and rows[0]["split"] == "odd"


def test_logits_features_and_tables_are_the_same_bits(worked):
    (alone, one), (together, two), _ = worked
    names = [key for key in alone if key.startswith(("predict", "encode"))]
    assert len(names) == 10 and all(torch.equal(alone[key], together[key]) for key in names)
    assert torch.equal(alone["encode"], together["encode again"])
    assert one["table"] == two["table"] and {row["model"] for row in one["table"]} == {
        "end",
        "probe",
    }


@pytest.mark.parametrize("how", ["divided", "not divided"])
def test_random_weights_of_which_each_process_draws_others_are_those_of_the_main_one(worked, how):
    alone, first, second = (of(weights, f"from random, {how}") for weights, _ in worked)
    assert alone.keys() == first.keys() and len(alone) >= 4
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(value, first[key], rtol=1e-9, atol=1e-10)


def test_an_architecture_without_weights_is_the_same_in_every_process(worked):
    assert len({report["made"] for _, report in worked}) == 1


def test_every_image_is_decoded_by_one_process_and_counted_once(worked):
    for key, alone in worked[0][1]["decoded"].items():
        first, second = (report["decoded"][key] for _, report in worked[1:])
        assert alone == sorted(set(alone))
        if len(alone) > 4:
            assert sorted(first + second) == alone and abs(len(first) - len(second)) <= 4
        else:  # one batch for two processes: the second takes an image to learn the output's shape
            assert first == alone and second == [0]


def test_peak_memory_stays_flat_in_every_process(worked):
    for _, report in worked[1:]:
        few, many = report["memory"]
        assert many - few < 200  # MiB; 700 images of 224 x 224 are 400


def test_batch_norm_is_refused_by_two_processes_on_cpus_and_dropout_is_not(worked):
    assert worked[0][1]["refused"] == ["", ""]
    for _, report in worked[1:]:
        norm, dropout = report["refused"]
        assert "encoder.1 is batch norm" in norm and dropout == ""


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    from conftest import picture

    folder = tmp_path_factory.mktemp("own")
    for split, n in (("train", 9), ("test", 5), ("night", 3)):
        for label, name in enumerate(("disc", "square", "bar")):
            (folder / split / name).mkdir(parents=True)
            for k in range(n):
                picture(label, k).save(folder / split / name / f"{k}.png")
    return folder


RUN = [
    "--kinds",
    "end-to-end",
    "--epochs",
    "1",
    "--batch-size",
    "7",
    "--lr",
    "0.001",
    "--augment",
    "strong",
]


@pytest.fixture(scope="module")
def launched(image_folder, clip_folder, tmp_path_factory):
    """``run`` by one process and, through accelerate, by two; then the other commands by two, on
    what it wrote."""
    out = tmp_path_factory.mktemp("launched")
    common = ["--model", f"local-dir:{clip_folder}", "--task", str(image_folder)]
    two = launch("accelerate", "-m", "wiseft_lite", "run", *common, *RUN, "--out", out / "two")
    assert main(["run", *common, *RUN, "--out", str(out / "one")]) == 0
    code, printed, err = ended(two)
    assert code == 0, err[-3000:]
    rest = [
        ["zeroshot", *common, "--out", str(out / "zs")],
        ["probe", *common, "--epochs", "1", "--out", str(out / "lp")],
        [
            "finetune",
            *common,
            "--epochs",
            "1",
            "--out",
            str(out / "ft"),
            "--gradient-checkpointing",
            "--micro-batch-size",
            "2",
        ],
        ["evaluate", str(out / "ft"), "--task", str(image_folder), "--out", str(out / "e.jsonl")],
        [
            "sweep",
            str(out / "zs"),
            str(out / "ft"),
            "--task",
            str(image_folder),
            "--out",
            str(out / "s.jsonl"),
        ],
        ["plot", str(out / "s.jsonl"), "--out", str(out / "f.svg")],
        ["finetune", *common, "--out", str(out / "ft")],
    ]
    (out / "rest.py").write_text(f"""if True:
        import os, sys
        from wiseft_lite._runtime import distributed
        from wiseft_lite.cli.main import main

        sys.stderr = open({str(out)!r} + "/err" + os.environ["RANK"], "w")
        distributed.start()
        distributed.start = distributed.stop = lambda *_: None  # one group for all commands
        sys.exit(max([main(arguments) for arguments in {rest!r}]))""")
    return out, printed, err, ended(launch("torchrun", out / "rest.py"))


def test_run_by_two_processes_measures_the_same(launched):
    out, _, _, _ = launched
    one, two = (pd.read_json(out / name / "results.jsonl", lines=True) for name in ("one", "two"))
    assert one.equals(two)
    ends = [load_file(out / name / "end-to-end" / "model.safetensors") for name in ("one", "two")]
    for key, value in ends[0].items():
        torch.testing.assert_close(
            value, ends[1][key], rtol=0, atol=1e-3
        )  # one epoch of AdamW in float32
    assert sorted(p.name for p in out.iterdir() if p.name.startswith(("one", "two"))) == [
        "one",
        "two",
    ]


def test_only_the_main_process_prints_and_draws_bars(launched):
    out, printed, _, _ = launched
    assert printed.count("end-to-end: accuracy in %") == printed.count("; written to") == 1
    main_one, other = ((out / name).read_text() for name in ("err0", "err1"))
    assert "training: 100%" in main_one and "sweep: 100%" in main_one
    assert (
        other.startswith(f"wiseft-lite, process 1: {out / 'ft'} exists") and other.count("\n") == 1
    )


def test_every_command_works_with_two_processes_and_a_mistake_is_reported(launched):
    out, _, _, (code, printed, _) = launched
    assert code == 1  # torchrun's, for our 2
    assert printed.count("written: ") == 6 and all(
        (out / name).exists() for name in ("zs", "lp", "ft", "f.svg")
    )
    table = pd.read_json(out / "s.jsonl", lines=True)
    end = table[table["alpha"] == 1].set_index("split")["accuracy"]
    assert (
        end.to_dict()
        == pd.read_json(out / "e.jsonl", lines=True).set_index("split")["accuracy"].to_dict()
    )
    assert f"wiseft-lite: {out / 'ft'} exists" in (out / "err0").read_text()


@pytest.fixture(scope="module")
def merged(launched, image_folder, clip_folder, tmp_path_factory):
    """``soup`` and ``embed`` by one process and by two, in small batches; the second may neither
    read a model of a pool nor write."""
    pool = [str(launched[0] / name) for name in ("zs", "ft", "lp")]
    out = tmp_path_factory.mktemp("merged")
    other = tmp_path_factory.mktemp("images") / "other"
    shutil.copytree(image_folder, other)
    for folder in list(other.glob("*/*")):  # other classes
        folder.rename(folder.with_name(f"{folder.name} again"))
    task = ["--task", str(image_folder)]
    embed = ["--model", f"local-dir:{clip_folder}", "--tasks", f"{image_folder},{other}"]
    commands = [
        ["soup", *pool, *task, "--out", "uniform"],
        ["soup", *pool, *task, "--greedy", "--out", "greedy"],
        ["embed", *embed, "--epochs", "1", "--dimensions", "3", "--out", "embed"],
    ]
    (out / "merge.py").write_text(f"""if True:
        import os, sys
        from pathlib import Path
        from wiseft_lite import checkpoints, results
        from wiseft_lite._runtime import distributed
        from wiseft_lite._runtime.progress import Progress
        from wiseft_lite.cli.main import main
        from wiseft_lite.interop.pools import Pool
        from wiseft_lite.merging.soups import HeldOutAccuracy
        from wiseft_lite.retrieval import embedders, universal

        def refused(*_, **__):
            raise AssertionError("the second process does what only the main one may")

        HeldOutAccuracy.__init__.__defaults__ = (2, *HeldOutAccuracy.__init__.__defaults__[1:])
        universal.BATCH_SIZE = 4
        images = []
        pixels = universal.pixels
        universal.pixels = lambda clip, split: images.append(len(split)) or pixels(clip, split)
        distributed.start()
        distributed.start = distributed.stop = lambda *_: None  # one group for all commands
        out = Path(sys.argv[1])
        out.mkdir(exist_ok=True)
        os.chdir(out)
        if distributed.rank():
            checkpoints.save = checkpoints.add_metrics = results.write_results = refused
            embedders.save_embedder = Pool._read = Progress._write = refused
        codes = [main(arguments) for arguments in {commands!r}]
        (out / f"images{{distributed.rank()}}").write_text(str(images))
        assert codes == [0, 0, 0], codes""")
    runs = [
        launch(
            "torchrun", out / "merge.py", out / str(n), processes=n, WISEFT_CACHE=str(out / f"c{n}")
        )
        for n in (1, 2)
    ]
    printed = []
    for run in runs:
        code, text, err = ended(run)
        assert code == 0, err[-3000:]
        printed.append(text)
    return out, printed


@pytest.mark.parametrize("name", ["uniform", "greedy", "embed"])
def test_soups_and_embedders_are_the_same_bits(merged, name):
    alone, together = (load_file(merged[0] / n / name / "model.safetensors") for n in "12")
    assert alone.keys() == together.keys()
    assert all(torch.equal(value, together[key]) for key, value in alone.items())
    cards = [json.loads((merged[0] / n / name / "card.json").read_text()) for n in "12"]
    assert cards[0] == cards[1]


def test_soups_and_embedders_are_scored_and_reported_once_and_alike(merged):
    out, (alone, together) = merged
    assert together == alone and alone.count("written: ") == 3
    tables = [(out / n / "embed" / "retrieval.jsonl").read_text() for n in "12"]
    assert tables[0] == tables[1] and tables[0].count("\n") > 20


def test_images_for_retrieval_are_divided(merged):
    out, _ = merged
    alone, first, second = (
        json.loads((out / name).read_text()) for name in ("1/images0", "2/images0", "2/images1")
    )
    assert len(alone) == 2  # val and test
    for whole, *parts in zip(alone, first, second, strict=True):
        assert sum(parts) == whole and min(parts) > 0


def test_where_the_main_process_cannot_save_the_others_end_with_it(
    image_folder, clip_folder, tmp_path
):
    """Two processes without a launcher, which would end the second when the first has failed."""
    words = ["zeroshot", "--model", f"local-dir:{clip_folder}", "--task", str(image_folder)]
    (tmp_path / "two.py").write_text(f"""if True:
        import os, sys
        from wiseft_lite import UserError, checkpoints
        from wiseft_lite.cli.main import main

        def full(*_, **__):
            assert os.environ["RANK"] == "0"
            raise UserError("no space left on the disk")

        checkpoints.save = full
        sys.exit(main({[*words, "--out", str(tmp_path / "zs")]!r}))""")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        launch("none", tmp_path / "two.py", processes=1, **where, RANK=k, LOCAL_RANK=k)
        for k in ("0", "1")
    ]
    for (code, _, err), name in zip(
        map(ended, both), ("wiseft-lite", "wiseft-lite, process 1"), strict=True
    ):
        assert code == 2 and f"{name}: no space left on the disk" in err, err[-3000:]
        assert "Traceback" not in err


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_slices_and_shards_cover_everything_once(processes, n, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    parts, rows = [], []
    for k in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda k=k: k)
        parts.append(local_slice(n))
        shards = Shards(n, 3)
        assert len(shards.rows) > 0
        rows += shards._rows[k].tolist()
    assert sorted(rows) == list(range(n))
    assert sum(weight for _, weight in parts) == pytest.approx(1)
    counted = [range(n)[part] for part, weight in parts if weight]
    assert list(chain(*counted)) == list(range(n)) and all(len(range(n)[part]) for part, _ in parts)


def test_more_processes_than_gpus_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="process 1 has no GPU: this machine has 1"):
        distributed.start()


def test_the_doctor_reports_what_a_launch_would_use(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def line_for(gpus):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        return next(line for line in doctor.report() if line.startswith("processes"))

    assert line_for(4).endswith(
        "uses 4 GPUs, one process each"
    ) and "accelerate launch -m wiseft_lite" in line_for(4)
    assert "there is one GPU" in line_for(1) and "torchrun --nproc-per-node 2" in line_for(0)

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    assert "pip install 'wiseft-lite[gpu]'" in line_for(4)


def test_one_process_alone_imports_nothing_new():
    code = (
        "import sys; from wiseft_lite.cli.main import main; import wiseft_lite.training, wiseft_lite.sweeps; "
        "print([m for m in ('accelerate', 'open_clip', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
