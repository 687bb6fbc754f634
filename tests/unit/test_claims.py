"""How claims are judged, and the paper's numbers that they are laid beside."""

import json
import math
import re

import pytest
from scipy import stats

from wiseft_lite import UserError, ledger, paper
from wiseft_lite.claims import rules
from wiseft_lite.claims.page import claims_table, measured, verdicts
from wiseft_lite.claims.rules import FAILS, HOLDS, SCALE, UNDECIDED, Claim, Evidence, Values, holm, interval, p_value
from wiseft_lite.ledger import Record


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """A ledger with gains that are clear, doubtful and negative, and one that was measured once."""
    record, seeds = Record("a test"), [0, 1, 2, 3, 4]
    record.number("ch00.clear", [2.0, 3.0, 4.0, 3.0, 2.0], "points", 100, seeds)
    record.number("ch00.doubtful", [-2.0, 3.0, 4.0, -1.0, 2.0], "points", 100, seeds)
    record.number("ch00.negative", [-2.0, -3.0, -4.0, -3.0, -2.0], "points", 100, seeds)
    record.number("ch00.after", [62.0, 63.0, 64.0, 63.0, 62.0], "percent", 100, seeds)
    record.number("ch00.before", 60.0, "percent", 100)
    record.number("ch00.three", [1.0, 2.0, 3.0], "points", 100, seeds[:3])
    record.number("ch00.rounding", 0.0003, "logits", None)
    ledger.write(record, tmp_path)
    monkeypatch.setattr(ledger, "read", lambda: json.loads((tmp_path / "ledger.json").read_text()))


def test_the_interval_is_students():
    values = [2.0, 3.0, 4.0, 3.5, 2.5]
    low, high = interval(values)
    known = stats.t.interval(0.95, 4, loc=3.0, scale=stats.sem(values))
    assert (low, high) == pytest.approx(known)
    assert interval([1.5]) == (1.5, 1.5)
    with pytest.raises(UserError, match="no values"):
        interval([])


@pytest.mark.parametrize("above, below, side", [(0, math.inf, "greater"), (-math.inf, 4, "less")])
def test_the_p_value_is_that_of_a_one_sided_t_test(above, below, side):
    values, bound = [2.0, 3.0, 4.0, 3.5, 2.5], above if side == "greater" else below
    assert p_value(values, above, below) == pytest.approx(stats.ttest_1samp(values, bound, alternative=side).pvalue)


def test_two_bounds_give_the_larger_p_value():
    values = [0.5, 1.0, 0.2, 0.9, 0.4]
    assert p_value(values, -1, 2) == max(p_value(values, above=-1), p_value(values, below=2))


def test_values_without_spread_are_certain():
    assert p_value([1.0, 1.0, 1.0], above=0) == 0 and p_value([-1.0, -1.0], above=0) == 1


def test_holm_stops_at_the_first_that_fails_and_keeps_the_order():
    assert holm([0.2, 0.001, 0.03, 0.012]) == [False, True, False, True]
    assert holm([0.03, 0.04, 0.001]) == [False, False, True]  # 0.03 > 0.05 / 2, so 0.04 fails too
    assert holm([]) == []


@pytest.mark.parametrize("key, bounds, verdict", [
    ("ch00.clear", {"above": 0}, HOLDS), ("ch00.clear", {"below": 0}, FAILS), ("ch00.clear", {"above": 2.8}, UNDECIDED),
    ("ch00.negative", {"above": 0}, FAILS), ("ch00.doubtful", {"above": 0}, UNDECIDED),
    ("ch00.clear", {"above": 1, "below": 5}, HOLDS), ("ch00.clear", {"above": -1, "below": 1}, FAILS),
    ("ch00.clear", {"above": 1, "below": 3}, UNDECIDED), ("ch00.doubtful", {"above": -9}, HOLDS)])
def test_a_verdict_needs_the_whole_interval(entries, key, bounds, verdict):
    assert Evidence("gain", key, **bounds).verdict() == verdict


def test_two_keys_are_subtracted_seed_by_seed(entries):
    gain = Evidence("gain", "ch00.after", "ch00.before", above=0).measured()
    assert gain == Values((2.0, 3.0, 4.0, 3.0, 2.0), "points", 100)
    assert Evidence("nothing", "ch00.after", "ch00.after").measured().values == (0.0,) * 5
    with pytest.raises(UserError, match="not the same seeds"):
        Evidence("odd", "ch00.clear", "ch00.three").measured()
    with pytest.raises(UserError, match="no entry 'ch00.x'; 'wiseft-lite ledger ch00 --run' makes it"):
        Evidence("odd", "ch00.x").measured()


def test_one_value_is_judged_as_it_is(entries):
    identity = Evidence("rounding", "ch00.rounding", below=1e-3, exact=True)
    assert identity.verdict() == HOLDS and identity.p_value() is None
    assert Evidence("rounding", "ch00.rounding", below=1e-4, exact=True).verdict() == FAILS


@pytest.fixture
def four(entries):
    clear, doubtful, negative = (Evidence(k, f"ch00.{k}", above=0) for k in ("clear", "doubtful", "negative"))
    return (Claim(1, "One <b> & one", "Table 1", "1 to 2 %", (clear, clear), "06_interpolate"),
            Claim(2, "Two", "Table 1", "2", (clear, doubtful), "06_interpolate"),
            Claim(3, "Three", "Table 1", "3", (doubtful, negative, clear), "06_interpolate"),
            Claim(4, "Four", "Table 1", "4", needs="photographs"))


def test_a_claim_holds_only_if_all_its_evidence_does(four):
    assert [claim.verdict() for claim in four] == [HOLDS, UNDECIDED, FAILS, SCALE]
    assert four[1].p_value() == four[1].evidence[1].p_value() > four[0].p_value()
    assert four[3].p_value() is None
    assert verdicts(four)["verdict"].tolist() == [HOLDS, UNDECIDED, FAILS, SCALE]


def test_the_table_says_what_was_measured_on_how_much(four):
    assert measured(four[0].evidence[0]) == "clear: +2.8 points [+1.8, +3.8], 5\u00a0seeds, n\u00a0=\u00a0100"
    html = claims_table(four)
    assert html.count("<tr data-verdict=") == 4 and 'data-verdict="does not hold here"' in html
    assert "One &lt;b&gt; &amp; one" in html and "<b>" not in html
    assert 'href="06_interpolate.html"' in html and "photographs" in html
    assert "all 4" in html and f"{HOLDS} 1" in html
    assert "<details" not in html and html.count("<ul>") == 3
    clear, doubtful, negative = four[0].evidence[0], *four[2].evidence[:2]
    many = claims_table([Claim(5, "Five", "Table 1", "5", (clear, doubtful, negative, clear))])
    assert "<summary>holds for 2, not for 1, undecided for 1 of 4</summary>" in many
    assert "✗ negative: −2.8 points" in many
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//|@import|url\(", html)


# The paper's numbers: typed once, so they must agree with each other.

def test_each_curve_has_eleven_points_and_its_mean_is_the_mean():
    table = ledger.table("paper_curves")
    assert set(table["model"]) == {"ViT-L/14@336px", "ViT-B/16", "ALIGN", "JFT ViT-H/14", "BASIC-M", "BASIC-L"}
    for (model, kind), rows in table.groupby(["model", "kind"]):
        curve = paper.curve(model, kind)
        assert curve.index.tolist() == [k / 10 for k in range(11)]
        if len(rows) > 22:
            assert (curve[list(paper.SHIFTS)].mean(axis=1) - curve["shifts"]).abs().max() < 0.11


@pytest.mark.parametrize("model, number", [
    ("ViT-L/14@336px", 1), ("ViT-B/16", 8), ("ALIGN", 8), ("JFT ViT-H/14", 8), ("BASIC-M", 8), ("BASIC-L", 8)])
def test_curves_and_tables_of_the_paper_agree(model, number):
    curve, rows = paper.curve(model), paper.table(number, model)
    for alpha, row in ((0.5, "end-to-end, alpha 0.5"), (1.0, "fine-tuned"), (0.0, "zero-shot")):
        for column in curve:
            # table 1's zero-shot row is that of the probes; table 4's curve starts a little elsewhere
            assert abs(curve.loc[alpha, column] - rows.loc[row, column]) < (0.7 if (alpha, number) == (0.0, 1) else 0.06)


def test_the_means_in_the_papers_tables_are_means():
    for number, model in ((1, None), (8, "ViT-B/16"), (8, "ALIGN"), (8, "JFT ViT-H/14"), (8, "BASIC-M"), (8, "BASIC-L")):
        rows = paper.table(number, model)
        fixed = rows[~rows.index.str.contains("best")]  # a best alpha is another one in each column
        assert (fixed[list(paper.SHIFTS)].mean(axis=1) - fixed["shifts"]).abs().max() < 0.11
        both = (fixed["ImageNet"] + fixed["shifts"]) / 2
        assert (both - fixed["reference and shifts"]).abs().max() < 0.11


def test_what_the_paper_does_not_have_is_refused():
    with pytest.raises(UserError, match="unknown curve of the paper 'ALIGN, probe'; choose one of: ViT-L/14@336px, end"):
        paper.curve("ALIGN", "probe")
    with pytest.raises(UserError, match="unknown table of the paper 5"):
        paper.table(5)
    with pytest.raises(UserError, match="unknown model of table 8 None; choose one of: ViT-B/16, ALIGN"):
        paper.table(8)
