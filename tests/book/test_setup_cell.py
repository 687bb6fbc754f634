"""The setup cell as Colab would run it: pip gets only what is missing, Drive is mounted only when
asked."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wiseft_lite import UserError
from wiseft_lite.book import colab

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = json.loads((ROOT / "book" / "01_zero_shot_head.ipynb").read_text())
SETUP = "".join(next(c for c in NOTEBOOK["cells"] if c["cell_type"] == "code")["source"])
PINS = dict(
    re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "tests" / "colab" / "constraints.txt").read_text(), re.M
    )
)

# Runs a cell in IPython on a machine without the package. Instead of a shell there is a list of
# what it was told, and instead of google.colab a module that notes what is mounted.
COLAB = """
import importlib.abc, json, os, pathlib, sys, types
from IPython.core.interactiveshell import InteractiveShell
cell, here, pip_finds_it, mount = json.loads(sys.argv[1])
told, mounted = [], []

class NotInstalled(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "wiseft_lite":
            raise ModuleNotFoundError("No module named 'wiseft_lite'", name=name)

missing = NotInstalled()
if not here:
    sys.meta_path.insert(0, missing)

def system(command):
    told.append(command)
    if pip_finds_it:
        sys.meta_path.remove(missing)

google, colab, drive = (types.ModuleType(n) for n in ("google", "google.colab", "google.colab.drive"))
google.colab, colab.drive, drive.mount = colab, drive, mounted.append
sys.modules |= {m.__name__: m for m in (google, colab, drive)}
shell = InteractiveShell.instance()
shell.system = system
code = cell.replace("drive=False", "drive=True") if mount else cell
if mount:
    code = f"import pathlib; from wiseft_lite.book import colab; colab.MOUNT = pathlib.Path({mount!r})\\n" + code
result = shell.run_cell(code)
print(json.dumps([told, mounted, os.environ.get("WISEFT_CACHE"), repr(result.error_in_exec)]))
"""


def in_colab(tmp_path, here=False, pip_finds_it=True, mount=None, **environment):
    """What the shell was told, what was mounted, the cache folder afterwards, and the error."""
    keep = {k: v for k, v in os.environ.items() if k not in ("WISEFT_SOURCE", "WISEFT_CACHE")}
    run = subprocess.run(
        [sys.executable, "-c", COLAB, json.dumps([SETUP, here, pip_finds_it, mount])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **keep,
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            **environment,
        },
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_only_the_missing_package_is_installed(tmp_path):
    told, mounted, cache, error = in_colab(tmp_path)
    assert len(told) == 1 and mounted == [] and cache is None and error == "None"
    asked = re.search(r"-m pip install (.*?) \|\|", told[0])[1]
    assert asked == '-q "wiseft-lite"'


def test_what_is_there_is_left_alone(tmp_path):
    assert in_colab(tmp_path, here=True) == [[], [], None, "None"]


def test_before_a_release_the_repository_is_the_source(tmp_path):
    told, _, _, error = in_colab(tmp_path, WISEFT_SOURCE="git+https://example.org/a/b")
    assert '-q "git+https://example.org/a/b" ||' in told[0] and error == "None"


def test_where_pip_finds_nothing_a_line_says_what_to_do(tmp_path):
    told, _, _, error = in_colab(tmp_path, pip_finds_it=False)
    assert "No module named 'wiseft_lite'" in error
    said = subprocess.run(
        f"false || {told[0].partition('||')[2]}", shell=True, capture_output=True, text=True
    ).stdout
    assert said == "First: %env WISEFT_SOURCE=git+https://ADDRESS-OF-THE-REPOSITORY\n"


def test_drive_is_mounted_when_asked(tmp_path):
    _, mounted, cache, error = in_colab(tmp_path, here=True, mount=str(tmp_path / "drive"))
    assert error == "None" and mounted == [str(tmp_path / "drive")]
    assert (
        cache == str(tmp_path / "drive" / "MyDrive" / "wiseft" / "cache")
        and Path(cache).parent.is_dir()
    )


def test_drive_elsewhere_and_a_refusal_get_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(UserError, match="drive=True.*Colab"):
        colab.use_drive()
    module = type(sys)("google.colab")
    module.drive = type(sys)("drive")

    def refuse(_):
        raise ValueError("mount failed")

    module.drive.mount = refuse
    monkeypatch.setitem(sys.modules, "google", type(sys)("google"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    with pytest.raises(UserError, match=r"not mounted \(mount failed\)"):
        colab.use_drive()


def demands(lines):
    """The requirements that hold for everybody, by their names; extras are left out."""
    parsed = [Requirement(line) for line in lines]
    return {
        canonicalize_name(r.name): r
        for r in parsed
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }


def test_colabs_versions_satisfy_what_the_package_and_open_clip_ask_for():
    """So pip has no reason to touch one of them."""
    own = re.search(
        r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )[1]
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    asked = [
        *demands(re.findall(r'"([^"]+)"', own)).items(),
        *demands(requires("open_clip_torch")).items(),
    ]
    met = {name for name, requirement in asked if name in pins}
    assert {"torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "timm"} <= met
    too_old = [
        str(r)
        for name, r in asked
        if name in pins and not r.specifier.contains(pins[name].partition("+")[0])
    ]
    assert not too_old, too_old
