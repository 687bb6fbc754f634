"""The tool that sets numbers in prose."""

import numpy as np
import pytest
from fill_numbers import filled, value_of
from scipy import stats

ENTRIES = {
    "ch00.a": {"value": -2.345, "spread": 0.5, "n": 1471, "seeds": [0, 1, 2]},
    "ch00.b": {"value": 61.0, "spread": None, "n": 10, "seeds": [0]},
}


@pytest.mark.parametrize(
    "text, result",
    [
        ("0.0<!-- ledger: ch00.a -->", "2.3<!-- ledger: ch00.a -->"),
        ("+0.0 points<!-- ledger: ch00.a -->", "\u22122.3 points<!-- ledger: ch00.a -->"),
        ("0.00 %<!-- ledger: ch00.b -->", "61.00 %<!-- ledger: ch00.b -->"),
        ("-1.0<!-- ledger: ch00.b -->", "+61.0<!-- ledger: ch00.b -->"),
        (
            "9<!-- ledger: ch00.a n -->, 9.9<!-- ledger: ch00.a sd -->, 1<!-- ledger: ch00.a seeds -->",
            "1,471<!-- ledger: ch00.a n -->, 0.5<!-- ledger: ch00.a sd -->, 3<!-- ledger: ch00.a seeds -->",
        ),
        ("alpha = 0.5 stays", "alpha = 0.5 stays"),
    ],
)
def test_tagged_numbers_are_set_and_others_stay(text, result):
    assert filled(text, ENTRIES) == result
    assert filled(result, ENTRIES) == result


def test_the_smallest_detectable_difference_is_found_four_times_in_five():
    """Drawn anew: runs whose mean is that large pass a two-sided t-test at 5 % in 80 of 100 draws."""
    runs, spread = 10, 1.5
    smallest = value_of(
        {"ch00.a": {"value": 0, "spread": spread, "n": 1, "seeds": list(range(runs))}},
        "ch00.a",
        "detectable",
    )
    draws = np.random.default_rng(0).normal(smallest, spread, (20_000, runs))
    assert np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(
        0.8, abs=0.02
    )


def test_a_missing_entry_or_spread_is_an_error():
    for tag in ("ch00.c", "ch00.b sd", "ch00.b detectable"):
        with pytest.raises(KeyError):
            filled(f"1.0<!-- ledger: {tag} -->", ENTRIES)
