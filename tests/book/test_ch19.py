"""Chapter 19: the folder is made as the page makes it, and the command on the page works as it
stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
CELLS = [
    "".join(cell["source"])
    for cell in json.loads((ROOT / "book" / "19_your_own_data.ipynb").read_text())["cells"]
    if cell["cell_type"] == "code"
]


def test_from_nothing_to_a_figure_with_the_command_on_the_page(tmp_path, monkeypatch):
    making = next(source for source in CELLS if "mkdtemp" in source)
    monkeypatch.chdir(tmp_path)
    exec(making.replace("tempfile.mkdtemp()", repr(str(tmp_path))), {})
    assert sorted(path.name for path in (tmp_path / "my_images").iterdir()) == [
        "color",
        "emoji",
        "test",
        "train",
    ]
    command = re.search('command = "(.*)"', "\n".join(CELLS))[1]
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "wiseft-lite"  # as pip installs it
    script.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m wiseft_lite "$@"\n'  # its path may hold a space
    )
    script.chmod(0o755)
    path = {
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    run = subprocess.run(
        command, shell=True, env={**os.environ, **path}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "my_run" / "frontier.png").stat().st_size > 5000
    table = pd.read_json(tmp_path / "my_run" / "results.jsonl", lines=True)
    assert set(table["split"]) == {"val", "test", "emoji", "color"} and len(table) == 2 * 11 * 4
