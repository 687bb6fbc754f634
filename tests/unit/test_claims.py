"""How claims are judged, and the paper's numbers that they are laid beside."""

import json
import re

import pytest
from scipy import stats

from wiseft_lite import UserError
from wiseft_lite.book import ledger, paper
from wiseft_lite.book.claims import history
from wiseft_lite.book.claims.page import claims_table, measured, verdicts
from wiseft_lite.book.claims.rules import (
    CANNOT,
    FAILS,
    HOLDS,
    LEVEL,
    POWER,
    SCALE,
    UNDECIDED,
    Claim,
    Derived,
    EveryFit,
    Evidence,
    IntervalEstimate,
    Values,
    detectable_effect,
    holm,
    interval,
    judge,
    p_value,
)
from wiseft_lite.book.ledger import Record


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


def test_the_interval_is_students_and_its_ends_are_those_of_the_tests():
    values = [2.0, 3.0, 4.0, 3.5, 2.5]
    low, high = interval(values, 0.95)
    known = stats.t.interval(0.95, 4, loc=3.0, scale=stats.sem(values))
    assert (low, high) == pytest.approx(known)
    low, high = interval(values)
    assert p_value(values, low) == pytest.approx(LEVEL) and Values(tuple(values), "", 1).p_below(
        high
    ) == pytest.approx(LEVEL)
    assert interval([1.5]) == (1.5, 1.5)
    with pytest.raises(UserError, match="values"):
        interval([])


@pytest.mark.parametrize("bound, side", [(0, "greater"), (4, "less")])
def test_the_p_values_are_those_of_one_sided_t_tests(bound, side):
    found = Values((2.0, 3.0, 4.0, 3.5, 2.5), "points", 10)
    p = found.p_above(bound) if side == "greater" else found.p_below(bound)
    assert p == pytest.approx(stats.ttest_1samp(found.values, bound, alternative=side).pvalue)
    assert found.p_above(bound) + found.p_below(bound) == pytest.approx(1)


def test_values_without_spread_are_certain():
    assert p_value([1.0, 1.0, 1.0]) == 0 and p_value([-1.0, -1.0]) == 1


def normal(mean, error):
    return IntervalEstimate(
        mean, lambda level: tuple(stats.norm.interval(level, mean, error)), "points", 10, 5
    )


@pytest.mark.parametrize("bound", [0.0, 1.5, 2.0, 2.5, 9.0])
def test_an_estimate_has_the_p_value_at_which_its_interval_touches_the_bound(bound):
    found = normal(2.0, 0.8)
    assert found.p_above(bound) == pytest.approx(stats.norm.sf((2.0 - bound) / 0.8), rel=2e-3)
    assert found.p_below(bound) == pytest.approx(stats.norm.cdf((2.0 - bound) / 0.8), rel=2e-3)


def test_of_several_fits_only_what_all_of_them_say_counts():
    below, above = normal(-3.0, 1.0), normal(2.0, 0.5)
    both = EveryFit({"one": below, "other": above})
    assert both.estimates == (-3.0, 2.0) and both.interval() == (
        below.interval()[0],
        above.interval()[1],
    )
    assert both.p_above(0) == below.p_above(0) > 0.99 and both.p_below(0) == above.p_below(0) > 0.99
    piece = Evidence("sign", Derived(lambda: both), above=0).judged()
    assert piece.verdict == UNDECIDED
    assert Evidence("sign", Derived(lambda: EveryFit({"one": above})), above=0).verdict() == HOLDS


def test_what_could_be_seen_is_seen_in_four_of_five_experiments():
    """Simulated: means that lie this far above the bound pass the test about as often as asked."""
    import numpy as np

    generator = np.random.default_rng(0)
    distance = detectable_effect(normal(0.0, 1.0), above=True)
    seen = sum(normal(x, 1.0).p_above(0) <= LEVEL for x in generator.normal(distance, 1.0, 400))
    assert abs(seen / 400 - POWER) < 0.06
    found = Values(tuple(generator.normal(0, 1, 5)), "points", 10)
    half = {
        level: found.interval(level)[1] - found.estimates[0]
        for level in (1 - 2 * LEVEL, 1 - 2 * (1 - POWER))
    }
    assert detectable_effect(found, above=False) == pytest.approx(sum(half.values()))


def test_holm_stops_at_the_first_that_fails_and_keeps_the_order():
    assert holm([0.2, 0.001, 0.03, 0.012]) == [False, True, False, True]
    assert holm([0.03, 0.04, 0.001]) == [False, False, True]  # 0.03 > 0.05 / 2, so 0.04 fails too
    assert holm([]) == []


@pytest.mark.parametrize(
    "key, bounds, verdict",
    [
        ("ch00.clear", {"above": 0}, HOLDS),
        ("ch00.clear", {"below": 0}, FAILS),
        ("ch00.clear", {"above": 2.8}, UNDECIDED),
        ("ch00.negative", {"above": 0}, FAILS),
        ("ch00.doubtful", {"above": 0}, UNDECIDED),
        ("ch00.clear", {"above": 1, "below": 5}, HOLDS),
        ("ch00.clear", {"above": -1, "below": 1}, FAILS),
        ("ch00.clear", {"above": 1, "below": 3}, UNDECIDED),
        ("ch00.doubtful", {"above": -9}, HOLDS),
    ],
)
def test_a_verdict_needs_the_whole_interval(entries, key, bounds, verdict):
    assert Evidence("gain", key, **bounds).verdict() == verdict


def test_two_bounds_hold_by_the_weaker_test_and_fail_by_the_stronger_one_corrected(entries):
    piece = Evidence("gain", "ch00.clear", above=1, below=4).judged()
    found = piece.measured
    assert piece.p_holds == max(found.p_above(1), found.p_below(4))
    assert piece.p_fails == min(1, 2 * min(found.p_below(1), found.p_above(4)))


def test_a_bound_may_be_a_fraction_of_a_gain_measured_on_the_same_seeds(entries):
    """clear is 2, 3, 4, 3, 2 and the gain twice that: a half of the gain is exactly the
    quantity."""
    double = Derived(lambda: Values((4.0, 6.0, 8.0, 6.0, 4.0), "points", 100))
    piece = Evidence("gain", "ch00.clear", above=1 / 3, below=2 / 3, gain=double).judged()
    assert [side.limit for side in piece.sides] == pytest.approx([5.6 / 3, 2 * 5.6 / 3])
    assert piece.sides[0].p_holds == pytest.approx(p_value([v / 3 for v in (2, 3, 4, 3, 2)]))
    assert (
        piece.verdict == HOLDS
        and Evidence("gain", "ch00.clear", above=0.6, gain=double).verdict() == FAILS
    )
    with pytest.raises(UserError, match="seeds"):
        Evidence("odd", "ch00.three", above=-1, gain=double).verdict()


def test_two_keys_are_subtracted_seed_by_seed(entries):
    gain = Evidence("gain", "ch00.after", "ch00.before", above=0).measured()
    assert gain == Values((2.0, 3.0, 4.0, 3.0, 2.0), "points", 100)
    assert Evidence("nothing", "ch00.after", "ch00.after").measured().values == (0.0,) * 5
    with pytest.raises(UserError, match="seeds"):
        Evidence("odd", "ch00.clear", "ch00.three").measured()
    with pytest.raises(UserError, match="'ch00.x'.*ledger ch00 --run"):
        Evidence("odd", "ch00.x").measured()


def test_one_value_is_judged_as_it_is(entries):
    identity = Evidence("rounding", "ch00.rounding", below=1e-3, exact=True)
    assert identity.verdict() == HOLDS and identity.judged().p_holds is None
    assert Evidence("rounding", "ch00.rounding", below=1e-4, exact=True).verdict() == FAILS


@pytest.fixture
def four(entries):
    clear, doubtful, negative = (
        Evidence(k, f"ch00.{k}", above=0) for k in ("clear", "doubtful", "negative")
    )
    return (
        Claim(1, "One <b> & one", "Table 1", "1 to 2 %", (clear, clear), "06_interpolate"),
        Claim(2, "Two", "Table 1", "2", (clear, doubtful), "06_interpolate"),
        Claim(3, "Three", "Table 1", "3", (doubtful, negative, clear), "06_interpolate"),
        Claim(4, "Four", "Table 1", "4", needs="photographs"),
    )


def test_a_claim_holds_only_if_all_its_evidence_does(four):
    found = judge(four)
    assert [judgement.before for judgement in found] == [HOLDS, UNDECIDED, FAILS, SCALE]
    assert found[1].p_holds == found[1].pieces[1].p_holds > found[0].p_holds
    assert found[3].p_holds is None and found[3].p_fails is None
    assert verdicts(found)["verdict"].tolist() == [HOLDS, UNDECIDED, FAILS, SCALE]


def test_a_claim_fails_by_its_worst_piece_times_the_number_of_pieces(four):
    judgement = judge(four)[2]
    assert judgement.p_fails == pytest.approx(3 * judgement.pieces[1].p_fails)


def from_values(*rows):
    return [
        Claim(
            k,
            f"{k}",
            "Table 1",
            "1",
            tuple(
                Evidence("gain", Derived(lambda v=v: Values(v, "points", 10)), above=0) for v in row
            ),
        )
        for k, row in enumerate(rows, 1)
    ]


def test_both_directions_are_corrected_over_all_claims():
    """Twenty claims of which none is sure enough for a family: alone the first holds and the second
    does not."""
    middling = (1.0, 2.0, 3.0, 0.5, 2.5)
    open_ones = [[(-1.0, 1.0, 0.5, -0.5, 0.1)]] * 18
    alone = judge(from_values([middling]))[0]
    assert alone.verdict == HOLDS and LEVEL / 20 < alone.p_holds < LEVEL
    found = judge(from_values([middling], [tuple(-v for v in middling)], *open_ones))
    assert [j.before for j in found[:2]] == [HOLDS, FAILS] and {j.verdict for j in found} == {
        UNDECIDED
    }
    sure = tuple(10 + v / 100 for v in middling)
    found = judge(from_values([sure], [tuple(-v for v in sure)], *open_ones))
    assert [j.verdict for j in found[:2]] == [HOLDS, FAILS]


def test_noise_alone_gives_hardly_a_verdict():
    """Of 40 lists of 30 claims about nothing, at most a few have any verdict: 5 % are expected in
    each direction."""
    import numpy as np

    generator = np.random.default_rng(3)
    wrong = sum(
        any(
            j.verdict in (HOLDS, FAILS)
            for j in judge(from_values(*[[tuple(generator.normal(0, 1, 5))] for _ in range(30)]))
        )
        for _ in range(40)
    )
    assert wrong <= 9


def test_a_margin_below_what_the_seeds_can_detect_cannot_be_tested():
    noisy = (0.3, -0.4, 0.2, -0.1, 0.05)

    def verdict(margin):
        evidence = Evidence(
            "gain", Derived(lambda: Values(noisy, "points", 10)), above=-margin, below=margin
        )
        return judge([Claim(1, "1.", "Table 1", "1", (evidence,))])[0].verdict

    assert [verdict(m) for m in (0.01, 0.2, 2.0)] == [CANNOT, CANNOT, HOLDS]
    assert (
        judge(from_values([noisy]))[0].verdict == UNDECIDED
    )  # a bound at 0 allows no difference: no margin


def test_the_table_says_what_was_measured_on_how_much(four):
    found = judge(four)
    clear = found[0].pieces[0]
    assert (
        measured(clear)
        == "clear: +2.8 points [+2.0, +3.6], p\u00a0=\u00a09e-4, 5\u00a0seeds, n\u00a0=\u00a0100"
    )
    html = claims_table(found)
    assert html.count("<tr data-verdict=") == 4 and 'data-verdict="does not hold here"' in html
    assert "One &lt;b&gt; &amp; one" in html and "<b>" not in html
    assert 'href="06_interpolate.html"' in html and "photographs" in html
    assert "all 4" in html and f"{HOLDS} 1" in html
    assert "<details" not in html and html.count("<ul>") == 3
    for label in ("Paper", "Rule", "Here", "Detectable effect"):
        assert html.count(f'data-label="{label}"') == 4, label
    assert (
        html.count("before correction: ") == 3
        and "above 0, each of 2" in html
        and "of 2026-11-2" in html
    )
    clear, doubtful, negative = four[0].evidence[0], *four[2].evidence[:2]
    many = claims_table(
        judge([Claim(5, "Five", "Table 1", "5", (clear, doubtful, negative, clear))])
    )
    assert "<summary>holds for 2, not for 1, undecided for 1 of 4</summary>" in many
    assert "✗ negative: −2.8 points" in many
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//|@import|url\(", html)


# The history of rules.


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A list of changes that a test may write; it returns the writer."""

    def write(*changes):
        (tmp_path / "history.json").write_text(
            json.dumps({"first_rules": "2026-11-25", "changes": changes})
        )

    monkeypatch.setattr(history, "HISTORY", tmp_path / "history.json")
    write()
    return write


def change(claim, date, hashes=()):
    return {
        "claims": [claim.number],
        "date": date,
        "commit": "",
        "was": "a",
        "now": "b",
        "reason": "c",
        "numbers_known": True,
        "hashes": dict(hashes),
    }


def claim(**bounds):
    return Claim(
        7,
        "Seven.",
        "Table 1",
        "7",
        (Evidence("gain", "ch06.gain", "ch04.gain", **bounds),),
        "06_interpolate",
    )


def test_a_changed_rule_that_is_not_listed_is_named(tmp_path, listed):
    before, after, record = claim(above=0), claim(above=-1), tmp_path / "rules.json"
    assert history.experiments(before) == ("ch04", "ch06")
    for experiment in ("ch04", "ch06"):
        history.stamp(experiment, history.in_force([before], experiment), record)
    assert history.unlisted([before], record) == []
    assert (
        len(history.unlisted([after], record)) == 2
        and "claim 7" in history.unlisted([after], record)[0]
    )
    listed(change(after, "2026-12-01"))  # a date alone lists no rule
    assert len(history.unlisted([after], record)) == 2
    listed(change(after, "2026-12-01", {"7": history.rule_hash(after)}))
    assert history.unlisted([after], record) == [] and history.rule_date(7) == "2026-12-01"
    assert history.unlisted([claim(above=-2)], record), "another change needs a listing of its own"


def test_a_rule_without_a_recorded_hash_is_named(tmp_path, listed):
    record = tmp_path / "rules.json"
    history.stamp("ch04", history.in_force([claim(above=0)], "ch04"), record)
    assert ["ch06" in line for line in history.unlisted([claim(above=0)], record)] == [True]


def test_words_do_not_change_a_rule_and_what_a_machine_reads_does():
    rule = history.rule_hash(claim(above=0))
    reworded = Claim(
        7,
        "Other words.",
        "Table 2",
        "8",
        (Evidence("other", "ch06.gain", "ch04.gain", above=0),),
        "07_x",
    )
    assert history.rule_hash(reworded) == rule
    source = Derived(lambda: None, ("emoji",))
    others = [
        claim(below=0),
        claim(above=0, exact=True),
        claim(above=0, gain="ch06.gain"),
        Claim(7, "Seven.", "Table 1", "7", (Evidence("gain", source, above=0),)),
    ]
    assert len({rule, *map(history.rule_hash, others)}) == 5


def test_the_ledger_command_records_the_rules_in_force_before_it_runs(
    tmp_path, monkeypatch, capsys
):
    from wiseft_lite.book import experiments
    from wiseft_lite.book.claims import CLAIMS
    from wiseft_lite.cli.main import main

    record = Record("a test")
    record.number("ch06.gain", 1.0, "points", 10)
    monkeypatch.setattr(experiments, "run", lambda key, seeds: record)
    monkeypatch.setattr(ledger, "write", lambda record: None)
    monkeypatch.setattr(ledger, "read", lambda: record.numbers)
    stamped = []
    monkeypatch.setattr(history, "stamp", lambda *args: stamped.append(args))
    main(["ledger", "ch06.gain", "--run"])
    assert stamped == [("ch06", history.in_force(CLAIMS, "ch06"))] and stamped[0][1]


# The paper's numbers: typed once, so they must agree with each other.


def test_each_curve_has_eleven_points_and_its_mean_is_the_mean():
    table = ledger.table("paper_curves")
    assert set(table["model"]) == {
        "ViT-L/14@336px",
        "ViT-B/16",
        "ALIGN",
        "JFT ViT-H/14",
        "BASIC-M",
        "BASIC-L",
    }
    for (model, kind), rows in table.groupby(["model", "kind"]):
        curve = paper.curve(model, kind)
        assert curve.index.tolist() == [k / 10 for k in range(11)]
        if len(rows) > 22:
            assert (curve[list(paper.SHIFTS)].mean(axis=1) - curve["shifts"]).abs().max() < 0.11


@pytest.mark.parametrize(
    "model, number",
    [
        ("ViT-L/14@336px", 1),
        ("ViT-B/16", 8),
        ("ALIGN", 8),
        ("JFT ViT-H/14", 8),
        ("BASIC-M", 8),
        ("BASIC-L", 8),
    ],
)
def test_curves_and_tables_of_the_paper_agree(model, number):
    curve, rows = paper.curve(model), paper.published_table(number, model)
    for alpha, row in ((0.5, "end-to-end, alpha 0.5"), (1.0, "fine-tuned"), (0.0, "zero-shot")):
        for column in curve:
            # table 1's zero-shot row is that of the probes; table 4's curve starts a little
            # elsewhere
            assert abs(curve.loc[alpha, column] - rows.loc[row, column]) < (
                0.7 if (alpha, number) == (0.0, 1) else 0.06
            )


def test_the_means_in_the_papers_tables_are_means():
    for number, model in (
        (1, None),
        (8, "ViT-B/16"),
        (8, "ALIGN"),
        (8, "JFT ViT-H/14"),
        (8, "BASIC-M"),
        (8, "BASIC-L"),
    ):
        rows = paper.published_table(number, model)
        fixed = rows[~rows.index.str.contains("best")]  # a best alpha is another one in each column
        assert (fixed[list(paper.SHIFTS)].mean(axis=1) - fixed["shifts"]).abs().max() < 0.11
        both = (fixed["ImageNet"] + fixed["shifts"]) / 2
        assert (both - fixed["reference and shifts"]).abs().max() < 0.11


def test_what_the_paper_does_not_have_is_refused():
    with pytest.raises(
        UserError,
        match="'ALIGN, probe'.*ViT-L/14@336px, end",
    ):
        paper.curve("ALIGN", "probe")
    with pytest.raises(UserError, match="table .* 5"):
        paper.published_table(5)
    with pytest.raises(UserError, match="table 8 None.*ViT-B/16, ALIGN"):
        paper.published_table(8)
