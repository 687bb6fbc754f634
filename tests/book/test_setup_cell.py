"""The setup cell as a reader runs it: in a clone, beside a package index, with the repository's
address alone, and with none of these; Drive is mounted only when asked."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
import setup_cell
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wiseft_lite import UserError
from wiseft_lite.book import colab, teaching

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "book").rglob("*.ipynb"))
PINS = dict(
    re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "tests" / "colab" / "constraints.txt").read_text(), re.M
    )
)

# Runs a cell on a machine without the package. ``pip`` is what the reader's is, or a list of what it
# was told; google.colab is a module that notes what is mounted.
READER = """
import importlib.util, json, os, pathlib, subprocess, sys, types

cell, real_pip, found, mount = json.loads(sys.argv[1])
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
sys.path = [p for p in sys.path if not (pathlib.Path(p) / "wiseft_lite").is_dir()]
if os.environ.get("PIP_TARGET"):
    sys.path.append(os.environ["PIP_TARGET"])
told, mounted = [], []

def run(command, **how):
    told.append(command[command.index("-q") + 1 :])
    good = command[-1] == found or found in command
    if good:
        sys.path.append(os.environ["REPOSITORY_ROOT"])
    return types.SimpleNamespace(returncode=0 if good else 1, stderr="ERROR: not found")

if not real_pip:
    subprocess.run = run
google, colab, drive = (types.ModuleType(n) for n in ("google", "google.colab", "google.colab.drive"))
google.colab, colab.drive, drive.mount = colab, drive, mounted.append
sys.modules |= {m.__name__: m for m in (google, colab, drive)}
if mount:
    cell = cell.replace("drive=False", "drive=True")
    code = f"from wiseft_lite.book import colab; colab.MOUNT = pathlib.Path({mount!r})"
    sys.path.append(os.environ["REPOSITORY_ROOT"])
    exec(code)
error = None
try:
    exec(compile(cell, "setup", "exec"), {})
except Exception as problem:
    error = repr(problem)
place = getattr(sys.modules.get("wiseft_lite"), "__file__", None)
print(json.dumps([told, mounted, os.environ.get("WISEFT_CACHE"), error, place]))
"""


def read(folder, cell, real_pip=False, found="", mount=None, **environment):
    """Run a cell in a folder; return what pip was told, what was mounted, the cache folder, the error,
    where the package is from, and what was printed."""
    dropped = ("WISEFT_SOURCE", "WISEFT_CACHE", "PYTHONPATH")
    keep = {key: value for key, value in os.environ.items() if key not in dropped}
    done = subprocess.run(
        [sys.executable, "-c", READER, json.dumps([cell, real_pip, found, mount])],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**keep, "REPOSITORY_ROOT": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return [*json.loads(done.stdout.splitlines()[-1]), done.stdout]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What a clone has of the package and of two notebooks."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pyproject.toml", "README.md", "LICENSE", "ATTRIBUTION.md"):
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(
        ROOT / "wiseft_lite", folder / "wiseft_lite", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "book" / "coursework").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_cell_of_this_version(path):
    found = json.loads(path.read_text())["cells"]
    first = "".join(next(cell for cell in found if cell["cell_type"] == "code")["source"])
    assert first == setup_cell.cell_for(path.stem, setup_cell.written_url())
    assert "ADDRESS" not in path.read_text()


@pytest.mark.parametrize("name", ["01_zero_shot_head", "a1"])
def test_in_a_clone_its_own_package_is_used(name, clone):
    folder = clone / "book" / ("coursework" if name == "a1" else "")
    told, _, _, error, place, _ = read(folder, setup_cell.cell_for(name))
    assert told == [] and error is None
    assert Path(place) == clone / "wiseft_lite" / "__init__.py"


@pytest.fixture(scope="module")
def index(clone, tmp_path_factory):
    """A folder with the wheel, as a package index that needs no network."""
    folder = tmp_path_factory.mktemp("index")
    source = tmp_path_factory.mktemp("source") / "copy"
    shutil.copytree(clone, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", str(folder), str(source)], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01_zero_shot_head", "a1"])
def test_without_a_clone_the_package_index_has_it(name, index, tmp_path):
    cell = setup_cell.cell_for(name).replace('        pip += ["otter-grader==7.0.0"]\n', "")
    for folder in ("empty", "installed"):
        (tmp_path / folder).mkdir()
    pip = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_NO_DEPS": "1",
        "PIP_TARGET": str(tmp_path / "installed"),
    }
    _, _, _, error, place, _ = read(tmp_path / "empty", cell, real_pip=True, **pip)
    assert error is None and Path(place).parents[1] == tmp_path / "installed"


@pytest.mark.slow
def test_in_neither_a_line_says_what_to_do_and_shows_no_address(tmp_path):
    cell = setup_cell.cell_for("01_zero_shot_head")
    pip = {"PIP_NO_INDEX": "1", "PIP_TARGET": str(tmp_path / "installed")}
    _, _, _, error, _, printed = read(tmp_path, cell, real_pip=True, **pip)
    assert "No module named 'wiseft_lite'" in error
    assert "not from wiseft-lite==" in printed and "No matching distribution" in printed
    assert "%env WISEFT_SOURCE=" in printed and "http" not in printed


def test_the_index_comes_before_the_repository(tmp_path):
    url = "https://example.org/a/b"
    cell = setup_cell.cell_for("01_zero_shot_head", url)
    version = re.search(r'VERSION, REPOSITORY = "(.*?)"', cell)[1]
    told, _, _, error, _, _ = read(tmp_path, cell, found=f"git+{url}")
    assert error is None
    assert told == [[f"wiseft-lite=={version}"], [f"git+{url}@v{version}"], [f"git+{url}"]]
    told, _, _, error, _, _ = read(tmp_path, cell, found=f"wiseft-lite=={version}")
    assert error is None and told == [[f"wiseft-lite=={version}"]]


def test_a_source_that_is_given_is_the_only_one(tmp_path):
    cell, given = setup_cell.cell_for("a2"), "git+https://example.org/a/b"
    told, _, _, error, _, _ = read(tmp_path, cell, found=given, WISEFT_SOURCE=given)
    assert error is None and told == [[given, "otter-grader==7.0.0"]]


def test_another_version_is_mentioned(capsys):
    teaching.ready(version="9.9")
    assert "of version 9.9" in capsys.readouterr().out
    teaching.ready()
    assert "of version" not in capsys.readouterr().out


def test_drive_is_mounted_when_asked(tmp_path):
    cell = setup_cell.cell_for("01_zero_shot_head")
    _, mounted, cache, error, _, _ = read(tmp_path, cell, mount=str(tmp_path / "drive"))
    assert error is None and mounted == [str(tmp_path / "drive")]
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
