"""The page on several GPUs: its tables are the library's, and its SLURM script runs."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import patience

from wiseft_lite import load_task
from wiseft_lite.book import ledger
from wiseft_lite.book.cost import flops, hours_table
from wiseft_lite.encoders import open_clip_config
from wiseft_lite.interop.architectures import VisionShape

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "book" / "appendix" / "cluster.md"
A100, T4 = {"peak": 312e12}, {"peak": 65e12}


def figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def sizes() -> list[str]:
    return [
        f"| {row['model']} | " + " | ".join(map(figures, row.iloc[[1, 5, 6, 7]])) + " |"
        for _, row in hours_table().iterrows()
    ]


def hours() -> list[str]:
    three = [hours_table(**kind, gpus=gpus) for kind, gpus in ((T4, 1), (A100, 1), (A100, 8))]
    lines = []
    for i, model in enumerate(three[0]["model"]):
        cells = [t[f"hours to {what}"][i] for what in ("fine-tune", "sweep") for t in three]
        lines.append(
            f"| {model} | "
            + " | ".join(map(figures, [*cells, three[2]["images a second"][i]]))
            + " |"
        )
    return lines


def measured() -> float:
    """GFLOP/s of an epoch of IconShift."""
    config = open_clip_config("iconclip")["model_cfg"]
    vision = config["vision_cfg"]
    shape = VisionShape(
        vision["layers"],
        vision["width"],
        vision["patch_size"],
        vision["image_size"],
        config["embed_dim"],
    )
    seconds = ledger.read()["bench.seconds.training.finetune"]["value"]
    return 3 * flops(shape) * len(load_task("iconshift").train) / seconds / 1e9


def test_the_tables_are_what_the_library_computes():
    text = PAGE.read_text()
    for line in (*sizes(), *hours()):
        assert line in text, line
    assert float(re.search(r"that is\s+(\d+) GFLOP/s", text)[1]) == round(measured())


SRUN = """#!/bin/bash
shift  # --kill-on-bad-exit=1
for node in 0 1; do SLURM_NODEID=$node "$@" & done
wait -n && wait -n
"""


def test_the_slurm_script_runs_on_two_nodes_that_are_this_one(tmp_path, clip_folder):
    """With stand-ins for SLURM's commands, and a small model and task in place of the large
    ones."""
    script = re.search(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(), re.S)[1]
    for old, new in (
        ("/shared/$USER", str(tmp_path)),
        ("ViT-L-14/openai", f"local-dir:{clip_folder}"),
        ("--task imagenet", "--task arrows --kinds end-to-end"),
        ("--epochs 10", "--epochs 1"),
    ):
        assert script.count(old) == 1, old
        script = script.replace(old, new)
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    for name, text in (
        ("srun", SRUN),
        ("scontrol", "#!/bin/bash\necho localhost\n"),
        ("activate", ""),
        (
            "accelerate",
            f'#!/bin/bash\nshift\nexec "{sys.executable}" -m accelerate.commands.launch "$@"\n',
        ),
    ):
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755 | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "USER": "x",
        "SLURM_JOB_NODELIST": "a[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "1",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": str(os.getpid()),
    }
    for _ in range(2):  # the second time it is done already
        run = subprocess.run(
            ["bash", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=patience.SECONDS,
        )
        assert run.returncode == 0, run.stderr[-2000:]
    assert (tmp_path / "results" / "l14" / "results.jsonl").exists()
