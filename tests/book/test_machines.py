"""``make test-machines``: every condition comes up, another seed is another training, and a failure
is named."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import machines
import pytest

DRAW = (
    "import sys; before = 'torch' in sys.modules; import torch; torch.manual_seed(3); first = torch.rand(3); "
    "torch.random.manual_seed(3); again = torch.rand(3); own = torch.Generator().manual_seed(3); "
    "print(before, first.tolist() == again.tolist(), first.tolist(), torch.rand(3, generator=own).tolist())"
)


def drawn(offset):
    env = {
        **os.environ,
        "PYTHONPATH": str(machines.HERE / "other_seed"),
        "WISEFT_SEED_OFFSET": offset,
    }
    done = subprocess.run(
        [sys.executable, "-c", DRAW], capture_output=True, text=True, check=True, env=env
    )
    before, alike, values = done.stdout.strip().split(" ", 2)
    assert (before, alike) == ("False", "True"), (
        "torch is loaded late, and both its names are shifted"
    )
    return values.replace("]", "[").split("[")[1::2]


def test_the_offset_moves_the_global_seed_and_no_generator():
    (plain, own), (shifted, same) = drawn("0"), drawn("5")
    assert plain == own == same != shifted


def covered(conditions):
    return {(name, value) for one in conditions for name, value in one.settings.items()}


def test_the_quick_half_meets_every_condition_that_the_whole_crosses():
    quick, whole = machines.QUICK, list(machines.full())
    assert covered(quick) == covered(whole) - set(
        machines.OLD_MKL.items()
    )  # those take more than twice as long
    for conditions in (quick, whole):
        assert any(one.busy for one in conditions) and any(not one.busy for one in conditions)
        caches = [one.cache for one in conditions]
        assert len(set(caches)) < len(caches), "a cache that an earlier condition filled"
        assert len({one.name for one in conditions}) == len(conditions)
    for one in (
        *quick,
        *whole,
    ):  # models of one seed are none of another, and a cache knows no seeds
        seeds = {
            other.settings.get("WISEFT_SEED_OFFSET")
            for other in (*quick, *whole)
            if other.cache == one.cache
        }
        assert len(seeds) == 1
        assert list((machines.ROOT / "book").glob(one.notebooks))
        assert all((machines.ROOT / path).exists() for path in one.tests)


def test_kernels_that_a_processor_does_not_have_are_left_out(monkeypatch):
    settings = {**machines.OLD, "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(machines.platform, "machine", lambda: "x86_64")
    assert machines.known(settings) == settings
    monkeypatch.setattr(machines.platform, "machine", lambda: "aarch64")
    assert machines.known(settings) == {"OMP_NUM_THREADS": "1"}


def test_kernels_are_what_their_condition_says(tmp_path):
    for condition, expected in ((machines.QUICK[0], "DEFAULT"), (machines.QUICK[1], "AVX2")):
        code = (
            "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=machines.environment(condition, tmp_path),
        )
        kernels, threads = done.stdout.split()
        assert threads == condition.settings["OMP_NUM_THREADS"]
        if not condition.settings.keys() - machines.known(condition.settings).keys():
            assert kernels == expected


def test_busy_cores_are_free_again_after_an_error():
    import psutil

    mine = psutil.Process()
    before = set(mine.children())
    with pytest.raises(ZeroDivisionError), machines.busy(True):
        spinning = set(mine.children()) - before
        assert len(spinning) == os.cpu_count()
        raise ZeroDivisionError
    assert not any(one.is_running() for one in spinning)
    with machines.busy(False):
        assert not set(mine.children()) - before


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A checkout of one notebook that needs its seed, and one test that needs one thread."""
    (tmp_path / "book").mkdir()
    cell = "import torch; torch.manual_seed(0); assert torch.initial_seed() == 0"
    from test_build_book import notebook

    notebook(tmp_path / "book" / "01_seeds.ipynb", "Seeds", cell)
    (tmp_path / "test_threads.py").write_text(
        f"{cell}\ndef test_threads():\n    assert torch.get_num_threads() == 1\n"
    )
    monkeypatch.setattr(machines, "ROOT", tmp_path)
    plain = machines.Condition("plain", "one", {"OMP_NUM_THREADS": "1"}, tests=("test_threads.py",))
    monkeypatch.setattr(
        machines,
        "QUICK",
        (
            plain,
            replace(
                plain,
                name="another",
                cache="two",
                settings={**machines.OTHER_SEED, "OMP_NUM_THREADS": "2"},
            ),
        ),
    )
    return tmp_path


def test_a_failure_is_named_with_its_condition_and_fails_the_command(small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["machines.py"])
    assert machines.main() == 1
    table, _, names = capsys.readouterr().out.partition("|--:|\n")[2].partition("\n\n")
    rows = [[cell.strip() for cell in row.split("|")[1:4]] for row in table.splitlines()]
    assert rows == [
        ["plain", "1 notebooks", "passed"],
        ["plain", "tests", "passed"],
        ["another", "1 notebooks", "1 FAILED"],
        ["another", "tests", "1 FAILED"],
    ]
    assert names.splitlines() == ["01_seeds.ipynb (another)", "test_threads (another)"]
    assert not any(Path(small, "book").glob("*.xml")), "the checkout stays as it is"


def test_only_the_conditions_that_are_asked_for_are_attempted(monkeypatch, capsys):
    """What passes and what fails is decided here; the processes are those of the test above."""
    attempted = []

    def attempt(condition, folder):
        attempted.append(condition)
        yield "tests", [], 0.1

    monkeypatch.setattr(machines, "attempt", attempt)
    name = machines.QUICK[1].name
    monkeypatch.setattr(sys, "argv", ["machines.py", "--only", name])
    assert machines.main() == 0 and attempted == [machines.QUICK[1]]
    assert f"| {name} | tests | passed |" in capsys.readouterr().out
