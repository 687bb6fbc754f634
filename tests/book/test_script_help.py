"""Every script of data_scripts that one can run answers --help, and runs on no arguments that it does not know."""

import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "data_scripts"
SCRIPTS = [
    p for p in sorted(FOLDER.rglob("*.py")) if '\nif __name__ == "__main__":' in p.read_text()
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_explains_itself_and_refuses_unknown_arguments(path, monkeypatch, capsys):
    source = path.read_text()
    parses = re.search(r"\.parse_args\(|\bmain\(__doc__", source)
    assert parses, "it has no argparse; so it is not run here, for it would start its work"
    for argument, code in (("--help", 0), ("--unknown", 2)):
        monkeypatch.setattr("sys.argv", [str(path), argument])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(path), run_name="__main__")
        assert stop.value.code == code
        shown = capsys.readouterr()
        if argument == "--help":
            first = re.search(r'"""([^:.]+)', source)[1]
            assert " ".join(first.split()) in " ".join(shown.out.split())
        else:
            assert "usage:" in shown.err
