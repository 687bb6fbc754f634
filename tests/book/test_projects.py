"""The page of projects: its form, and the first step of each project, which must run as it stands."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch

from wiseft_lite import accuracy, predict
from wiseft_lite.analysis import atlas
from wiseft_lite.book import claims
from wiseft_lite.interop.published import published_names

PAGE = Path(__file__).resolve().parent.parent.parent / "book" / "projects.md"
PROJECTS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def first_step(project):
    """Run the code of a project; return what it prints and its variables."""
    (code,) = BLOCK.findall(PROJECTS[project])
    space, printed = {"__name__": "projects"}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, project, "exec"), space)
    return printed.getvalue(), space


def percentages(printed):
    return [float(number) for number in re.findall(r"(\d+\.\d) %", printed)]


def test_each_project_has_its_parts_and_a_rubric_of_four_lines_and_twenty_points():
    assert len(PROJECTS) == 6
    for name, text in PROJECTS.items():
        parts = re.findall(r"^\*\*(.+?)\*\*", text, re.M)
        assert parts == ["Question.", "Data.", "First step.", "How it is judged", "Read."], name
        points = [int(n) for n in re.findall(r"^- \*.+?\* \((\d+)\):", text, re.M)]
        assert len(points) == 4 and sum(points) == 20, name
        assert "?" in text.partition("**Data.**")[0], name


def test_the_table_links_to_each_project():
    head = PAGE.read_text().partition("\n## ")[0]
    links = dict(re.findall(r"^\| \[(.+?)\]\(#(.+?)\)", head, re.M))
    assert set(links) == set(PROJECTS)
    for name, anchor in links.items():
        assert anchor == re.sub(r"[^a-z -]", "", name.lower()).replace(" ", "-")


def test_code_fits_a_phone():
    for code in BLOCK.findall(PAGE.read_text()):
        assert all(len(line) <= 80 for line in code.splitlines())


@pytest.mark.slow
def test_a_shift_of_your_own_changes_nothing_at_strength_0():
    printed, space = first_step("A shift of your own")
    test = space["test"]
    plain = accuracy(predict(space["zero_shot"], test), test.labels, test.classes).accuracy
    found = percentages(printed)
    assert len(found) == 4 and found[0] == round(100 * plain, 1)
    untouched = space["tilted"](0)
    assert all(untouched[k][0].tobytes() == test[k][0].tobytes() for k in range(len(test)))
    assert space["tilted"](45)[0][0].tobytes() != test[0][0].tobytes()


@pytest.mark.slow
def test_a_claim_that_did_not_hold_lists_those_of_chapter_12():
    printed, _ = first_step("A claim that did not hold")
    listed = {int(n): text for n, text in re.findall(r"^(\d+)\. (.+) \(\w+\)$", printed, re.M)}
    known = {claim.number: claim.statement for claim in claims.CLAIMS}
    assert listed and all(known[number] == text for number, text in listed.items())
    intervals = re.findall(r": ([+-][\d.]+) to ([+-][\d.]+)$", printed, re.M)
    assert len(intervals) >= len(listed)
    assert all(float(low) <= float(high) for low, high in intervals)


@pytest.mark.slow
def test_the_median_rule_passes_the_three_tests_that_the_page_asks_for():
    printed, space = first_step("A merging rule in thirty lines")
    assert len(percentages(printed)) == 3
    rule, zero, runs = space["median_rule"], space["theta_0"], space["runs"]
    alike = rule(zero, [runs[0]] * 3)
    assert all(torch.allclose(alike[n], runs[0][n], atol=1e-6) for n in zero)
    assert all(torch.equal(t, rule(zero, runs[::-1])[n]) for n, t in rule(zero, runs).items())
    unharmed = rule(zero, [runs[0], runs[0], zero])
    assert all(torch.allclose(unharmed[n], runs[0][n], atol=1e-6) for n in zero)


@pytest.mark.slow
def test_an_alpha_for_each_image_is_an_upper_bound():
    printed, space = first_step("An alpha for each image")
    zero, single, each = percentages(printed)
    assert zero <= single <= each
    emoji = space["emoji"]
    logits = predict(space["zero_shot"], emoji)
    plain = accuracy(logits, emoji.labels, emoji.classes).accuracy
    assert abs(zero - 100 * plain) <= 100 / len(emoji) + 0.05  # at most one image differs


def test_a_soup_across_learning_rates_names_models_that_can_be_loaded():
    printed, space = first_step("A soup across learning rates, at real scale")
    thirds = space["thirds"]
    assert sum(map(len, thirds.values())) == len(atlas.finetunings())
    ends = [(part.lr.min(), part.lr.max()) for part in thirds.values()]
    assert all(a[1] <= b[0] for a, b in zip(ends, ends[1:], strict=False))
    assert len(space["names"]) == 24 and set(space["names"]) <= set(published_names())
    assert len(percentages(printed)) == 6


def test_photographs_of_your_own_are_a_task_with_a_shift(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed, space = first_step("Photographs of your own")
    task = space["task"]
    assert task.class_names == ("blue mug", "red key") and list(task.shifts) == ["night"]
    counts = [int(n) for n in re.findall(r"(\d+) images", printed)]
    assert counts == [18, 2, 20, 20]
