"""Chapter 12: what is computed from recorded tables, the list of claims, the page, the coverage of the paper."""

import json
import re
from pathlib import Path

import build_coverage
import pandas as pd
import pytest

from wiseft_lite import ledger, load_task, paper
from wiseft_lite.claims import CLAIMS, derived
from wiseft_lite.claims.page import claims_table, curve_data, verdicts
from wiseft_lite.claims.rules import FAILS, SCALE, UNDECIDED
from wiseft_lite.robustness import fit_baseline

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOK = ROOT / "book" / "12_claims.ipynb"


def curve_rows(kind, seed, reference, shifts):
    """A recorded sweep in which all shifts are alike."""
    alphas, reference, shifts = [0.0, 0.5, 1.0, 1.5], [*reference, 0.9], [*shifts, 0.9]
    return [{"alpha": a, "split": split, "accuracy": values[k], "n": n, "kind": kind, "seed": seed}
            for k, a in enumerate(alphas)
            for split, values, n in [("val", reference, 50), ("test", reference, 100),
                                     *((shift, shifts, 10) for shift in derived.SHIFTS)]]


@pytest.fixture
def tables(monkeypatch):
    """Two seeds: the middle wins 10 and 4 points over the better end under shift, and 5 and 1 on the reference."""
    rows = [*curve_rows("end-to-end", 0, [0.6, 0.75, 0.7], [0.5, 0.6, 0.4]),
            *curve_rows("end-to-end", 1, [0.6, 0.71, 0.7], [0.5, 0.54, 0.3]),
            *curve_rows("probe", 0, [0.6, 0.62, 0.64], [0.5, 0.5, 0.5])]
    probes = [{"start": start, "shots": shots, "seed": seed, "test": 64.0 + seed - gap, "shifts": 50.0 - gap}
              for start, shots, gap in [("zero-shot", 1000, 0), ("zero-shot", 4, 3), ("random", 1000, 9)]
              for seed in (0, 1)]
    grid = [{"setting": f"lr {lr:g}", "lr": lr, "seed": 0, "val": val, "test": test, "shifts": shifts}
            for lr, val, test, shifts in [(1e-4, 80, 81, 60), (1e-3, 80.5, 80, 52), (1e-2, 70, 60, 10)]]
    geometry = [{"pair": pair, "split": split, "seed": seed, "cka_complement": value}
                for pair, split, seed, value in [("probe", "emoji", 0, 0.05), ("halves", "emoji", 0, 0.02),
                                                 ("probe", "emoji", 1, 0.01), ("halves", "emoji", 1, 0.02),
                                                 ("two_runs", "emoji", 1, 0.9), ("probe", "pixel", 0, 0.5)]]
    baselines = [{"seed": seed, "test": t, "shifts": s} for seed in (0, 1) for t, s in [(20, 10), (50, 25), (60, 30)]]
    averages = [{"control": f"EMA {d:g} from zero-shot", "seed": s, "test": 70.0 - s, "shifts": 40.0}
                for d in (0.9, 0.999) for s in (0, 1)]
    found = {"ch10_controls": averages, "ch07_curves": rows, "ch03_shots": probes, "ch05_grid": grid, "ch08_diversity": geometry,
             "ch02_baselines": baselines}
    monkeypatch.setattr(ledger, "table", lambda name: pd.DataFrame(found[name]))


def test_the_shifts_are_the_tasks():
    assert derived.SHIFTS == tuple(load_task("iconshift").shifts)


def test_images_of_all_shifts_are_counted_once(tables):
    assert derived.images("test") == 100 and derived.images("shifts") == 10 * len(derived.SHIFTS)


def test_the_mean_of_the_shifts_leaves_val_and_test_out(tables):
    assert derived.curves()[0].loc[0.5].to_dict() == pytest.approx(
        {**{s: 60 for s in derived.SHIFTS}, "val": 75, "test": 75, "shifts": 60})
    assert list(derived.curves("probe")) == [0]


def test_alpha_is_chosen_between_the_ends_on_other_seeds(tables, monkeypatch):
    assert derived.over_better_end("shifts")().values == pytest.approx((10, 4))
    runs = {0: pd.DataFrame({"a": [50.0, 90, 10, 40]}, index=[0.0, 0.3, 0.6, 1.0]),
            1: pd.DataFrame({"a": [50.0, 20, 80, 99]}, index=[0.0, 0.3, 0.6, 1.0])}
    monkeypatch.setattr(derived, "curves", lambda: runs)
    monkeypatch.setattr(derived, "images", lambda split: 1)
    assert derived.over_better_end("a")().values == (10 - 50, 20 - 99)


def test_end_to_end_is_compared_with_the_whole_probe_of_its_seed(tables):
    assert derived.over_probe("test")().values == pytest.approx((75 - 64, 71 - 65))
    assert derived.over_probe("shifts", 1.0)().values == pytest.approx((-10, -20))


def test_effective_robustness_changes_by_the_height_over_the_line(tables):
    line = fit_baseline([0.2, 0.5, 0.6], [0.1, 0.25, 0.3])  # it promises more to a better reference
    rises = [100 * (line(half) - line(0.7)) for half in (0.75, 0.71)]
    assert rises[0] > rises[1] > 0
    assert derived.robustness_change(1.0, 0.5)().values == pytest.approx((20 - rises[0], 24 - rises[1]))


def test_only_rates_that_val_cannot_tell_apart_are_twins(tables):
    assert derived.twins_apart(1.0)().values == (8 - 1,)


def test_an_average_is_laid_beside_the_line_at_its_own_alpha(tables):
    assert derived.beside_own_alpha(0.9, "test")().values == pytest.approx((70 - 70, 69 - 70))  # alpha 1
    steps = 10 * -(-len(load_task("iconshift").train) // 64)
    alpha = round(1 - 0.999**steps, 2)
    assert 0.1 < alpha < 0.4
    assert derived.beside_own_alpha(0.999, "shifts")().values == pytest.approx((40 - 50 - 20 * alpha, 40 - 50 - 8 * alpha))


def test_the_geometry_of_zero_shot_and_probe_is_compared_with_that_of_two_probes(tables):
    assert derived.cka_lead("emoji")().values == pytest.approx((0.03, -0.01))


# The list.

def test_claims_are_numbered_and_say_where_they_come_from():
    assert [claim.number for claim in CLAIMS] == list(range(1, len(CLAIMS) + 1)) and len(CLAIMS) >= 30
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert re.search(r"[Ff]igure|[Tt]able|[Ss]ection|[Aa]ppendix|[Aa]bstract|Proposition", claim.place), claim
        assert claim.says.endswith(".") and claim.paper, claim
        assert bool(claim.evidence) != bool(claim.needs), claim
        assert not claim.chapter or (ROOT / "book" / f"{claim.chapter}.ipynb").exists(), claim
        assert claim.chapter or not claim.evidence, claim


def test_every_claim_about_training_has_five_seeds_and_a_side():
    for claim in CLAIMS:
        for piece in claim.evidence:
            found = piece.measured()
            assert piece.above > float("-inf") or piece.below < float("inf"), claim
            assert piece.exact or len(found.values) >= 5, (claim.number, piece.what)


def test_numbers_that_claims_cite_from_tables_stand_in_them():
    """Each accuracy in the paper's text of a claim that cites tables is one of their cells, or a difference of two."""
    cells = pd.concat([ledger.table("paper_tables").rename(columns={"table": "source"})[["source", "value"]],
                       ledger.table("paper_curves").rename(columns={"accuracy": "value"})[["source", "value"]]])
    looked_up = 0
    for claim in CLAIMS:
        cited = {f"Table {n}" for part in re.findall(r"[Tt]ables? ([\d, and]+)", f"{claim.place}; {claim.paper}")
                 for n in re.findall(r"\d+", part)}
        known = cells[cells["source"].str.findall(r"\d+").map(lambda ns: any(f"Table {n}" in cited for n in ns))]
        values = known["value"].unique()
        for number in re.findall(r"(?<![\d.+\u2212-])\d\d\.\d+(?! points?)", claim.paper) if len(values) else ():
            assert (abs(values - float(number)) < 1e-6).any(), (claim.number, number, cited)
            looked_up += 1
    assert looked_up >= 20


# The page.

def html():
    return claims_table(CLAIMS)


def test_the_table_has_a_row_for_each_claim():
    assert html().count("<tr data-verdict=") == len(CLAIMS)


def test_the_curves_of_the_figure_are_those_of_paper_and_ledger():
    data = curve_data()
    assert len(data["paper"]) == 8 and set(data["ours"]) == {"end-to-end", "probe"}
    first = data["paper"][0]
    assert first["splits"]["shifts"][0] == paper.curve("ViT-L/14@336px")["shifts"].tolist()
    for curve in (*data["paper"], *data["ours"].values()):
        assert set(curve["splits"]) <= set(curve["names"]) and curve["reference"] in curve["splits"]
        assert all(len(run) == 11 for runs in curve["splits"].values() for run in runs)
    entries, ours = ledger.read(), data["ours"]["end-to-end"]["splits"]
    mean = [sum(column) / len(column) for column in zip(*ours["shifts"])]
    assert mean[5] == pytest.approx(entries["ch06.shifts.alpha_0.5"]["value"], abs=0.01)


def prose():
    return "\n".join("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]
                     if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("heading, verdict", [
    ("What does not hold", FAILS), ("What is undecided", UNDECIDED), ("What needs real scale", SCALE)])
def test_the_prose_speaks_of_exactly_these_claims(heading, verdict):
    section = re.split(r"\n## ", prose().partition(f"## {heading}")[2])[0]
    said = {int(n) for part in re.findall(r"\*\*Claims? ([\d, and]+)", section) for n in re.findall(r"\d+", part)}
    assert said == set(verdicts(CLAIMS).query("verdict == @verdict").index), (said, verdict)


# The coverage of the paper.

def test_the_page_of_coverage_is_up_to_date():
    assert build_coverage.TARGET.read_text() == build_coverage.page(), "run: python data_scripts/build_coverage.py"


def test_every_figure_and_table_of_the_paper_is_covered():
    said = " ".join(item.name for item in build_coverage.ITEMS)
    for kind, last in (("Figure", 30), ("Table", 13)):
        assert all(re.search(rf"\b{kind} {n}\b", said) for n in range(1, last + 1))


@pytest.mark.parametrize("item, words", [
    (dict(functions=("sweeps.nothing",)), "sweeps.nothing"), (dict(keys=("ch06.nothing",)), "ch06.nothing"),
    (dict(chapters=("99_nothing",)), "99_nothing"), (dict(tables=("ch99_nothing",)), "ch99_nothing"),
    (dict(), "neither")])
def test_the_coverage_never_claims_what_is_not_there(item, words):
    with pytest.raises(SystemExit, match=words):
        build_coverage.check(build_coverage.Item("Figure 0", "nothing", **item))
