"""What a release is made of: workflows whose commands exist, one version everywhere, pages without places to fill in."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import release
import yaml
from fill_numbers import sources

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"]


@each_workflow
def test_every_command_of_a_workflow_is_a_target_of_make(path):
    """So what runs there can be run here; only the release page itself needs a tool of the host."""
    commands = [
        step["run"] for job in jobs(path).values() for step in job["steps"] if "run" in step
    ]
    for command in commands:
        if not command.startswith("gh release create"):
            words = command.split()
            assert words[0] == "make" and words[1] in TARGETS, command
            assert all("=" in word for word in words[2:]), command
    assert commands or path.stem == "site"


@each_workflow
def test_a_workflow_gets_no_more_rights_and_time_than_it_needs(path):
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        assert job["timeout-minutes"] <= 120, name
        writing = {right for right, kind in job.get("permissions", {}).items() if kind == "write"}
        assert not writing or not any("make" in step.get("run", "") for step in job["steps"]), name


def test_the_matrix_has_the_oldest_and_the_newest_python_of_every_system():
    fast = jobs(ROOT / ".github" / "workflows" / "checks.yml")["fast"]["strategy"]["matrix"]
    project = (ROOT / "pyproject.toml").read_text()
    oldest = re.search(r'requires-python = ">=([\d.]+)"', project)[1]
    newest = re.search(r"<= \(3, (\d+)\)", (ROOT / "Makefile").read_text())[1]
    assert fast["python"] == [oldest, f"3.{newest}"]
    assert {name.partition("-")[0] for name in fast["os"]} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")))
def test_forms_for_issues_ask_for_something(path):
    form = yaml.safe_load(path.read_text())
    if path.stem != "config":
        assert form["name"] and form["description"]
        assert any(field.get("validations", {}).get("required") for field in form["body"])
        names = [field["id"] for field in form["body"]]
        assert len(set(names)) == len(names)


def test_no_page_has_a_place_to_fill_in():
    pages = [*sources(), *ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / ".zenodo.json"]
    for path in pages:
        found = re.findall(
            r"TODO|FIXME|XXX|github\.com/OWNER|example\.(?:com|org)/|lorem", path.read_text()
        )
        assert not found, f"{path.name}: {found}"


def test_no_file_is_a_link_for_systems_that_have_none():
    listed = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert listed == "" or not re.findall(r"^120000.*", listed, re.M)


def test_what_is_archived_is_described():
    described = json.loads((ROOT / ".zenodo.json").read_text())
    assert described["license"] == "MIT" and described["creators"]


# The script.


@pytest.fixture
def ready(monkeypatch):
    """Everything as it must be for a release of 1.2.3, as far as files say so."""
    files = {
        "pyproject.toml": 'version = "1.2.3"\n',
        "CITATION.cff": "version: 1.2.3\n",
        "CHANGELOG.md": "# Changelog\n\n## 1.2.3, 2027-01-31\n",
    }
    monkeypatch.setattr(release, "read", files.get)
    monkeypatch.setattr(release.wiseft_lite, "__version__", "1.2.3")
    monkeypatch.setattr(release, "git", lambda *_: "")
    monkeypatch.setattr(release.setup_cell, "repository", lambda: "https://github.com/o/n")
    entries = {"a": {"code": "1.2.2+c"}, "b": {"code": "1.2.3+c"}}
    monkeypatch.setattr(release.ledger, "read", lambda: entries)
    monkeypatch.setattr(release.ledger, "code_version", lambda: "1.2.3+c")
    return files


def test_nothing_stands_in_the_way_of_what_is_ready(ready):
    assert list(release.obstacles("1.2.3")) == []


@pytest.mark.parametrize(
    "name, text, named",
    [
        ("CHANGELOG.md", "## 1.2.3, unreleased\n", "unreleased"),
        ("CHANGELOG.md", "## 1.2.2, 2027-01-01\n", "heading"),
        ("pyproject.toml", 'version = "1.2.2"\n', "pyproject.toml"),
        ("CITATION.cff", "version: 1.2.2\n", "CITATION.cff"),
    ],
)
def test_each_file_that_has_another_version_is_named(ready, name, text, named):
    ready[name] = text
    (found,) = release.obstacles("1.2.3")
    assert named in found


@pytest.mark.parametrize(
    "printed, named", [(" M README.md", "commit"), ("v1.2.3", "tag"), ("", None)]
)
def test_changes_and_an_older_tag_stand_in_the_way(ready, monkeypatch, printed, named):
    asked = {
        "status": printed if named == "commit" else "",
        "tag": printed if named == "tag" else "",
    }
    monkeypatch.setattr(release, "git", lambda command, *_: asked[command])
    assert [named in line for line in release.obstacles("1.2.3")] == [True] * bool(named)


def test_an_unknown_address_does_too(ready, monkeypatch):
    monkeypatch.setattr(release.setup_cell, "repository", lambda: None)
    (address,) = release.obstacles("1.2.3")
    assert "_config.yml" in address


@pytest.mark.parametrize("codes", [("1.2.3+c", "1.2.3+d"), ("1.2.3+d", "1.2.3+d")])
def test_so_do_numbers_that_other_code_measured(ready, monkeypatch, codes):
    entries = {key: {"code": code} for key, code in zip("ab", codes, strict=True)}
    monkeypatch.setattr(release.ledger, "read", lambda: entries)
    (found,) = release.obstacles("1.2.3")
    assert "make ledger" in found


def test_without_a_dry_run_nothing_is_built_while_something_stands_in_the_way(ready, monkeypatch):
    monkeypatch.setattr(release, "run", lambda *_, **__: pytest.fail("something was run"))
    ready["CHANGELOG.md"] = ""
    with pytest.raises(SystemExit, match="no release yet"):
        release.release("1.2.3", dry=False, pythons=[])


def test_links_of_the_front_page_lead_to_the_version():
    readme = (ROOT / "README.md").read_text()
    text = release.absolute(readme, "https://github.com/o/n", "1.2.3")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5 and all(re.match("https?://|#", link) for link in links)
    for link in links:
        found = re.match(r"https://github.com/o/n/(?:blob|raw)/v1.2.3/([^#]+)", link)
        assert found is None or (ROOT / found[1]).exists(), link
    assert release.absolute(text, "https://github.com/o/n", "1.2.3") == text
