"""One rule for equal alphas, wherever an alpha is chosen."""

import numpy as np
import pandas as pd
import pytest

from wiseft_lite import UserError
from wiseft_lite.book.experiments import ch07, ch10, ch11
from wiseft_lite.book.experiments.family import Sheet
from wiseft_lite.pipeline import choices
from wiseft_lite.results import best_alpha, show_table
from wiseft_lite.retrieval.universal import ALL, choose_alpha

VAL = {
    0.0: 0.7,
    0.3: 0.9,
    0.5: 0.8,
    0.6: 0.9,
    1.0: 0.9,
}  # 0.3, 0.6 and 1.0 are equal; 0.6 is the nearest to 0.5


def test_of_equally_good_alphas_the_smallest_is_chosen_in_whatever_order_they_come():
    curve = pd.Series(VAL)
    assert best_alpha(VAL) == best_alpha(curve) == best_alpha(curve.iloc[::-1]) == 0.3
    assert best_alpha(curve.sample(frac=1, random_state=0)) == 0.3
    assert best_alpha({0.5: 0.1, 0.2: 0.2}) == 0.2 and isinstance(best_alpha(VAL), float)


def test_the_order_in_which_a_mean_was_added_up_does_not_choose():
    assert 0.1 + 0.2 > 0.3  # in the last bit
    assert best_alpha({0.2: 0.3, 0.8: 0.1 + 0.2}) == best_alpha({0.2: 0.1 + 0.2, 0.8: 0.3}) == 0.2
    assert best_alpha({0.2: 0.3, 0.8: 0.3 + 1e-6}) == 0.8


@pytest.mark.parametrize("curve", [{}, {0.5: np.nan}])
def test_nothing_to_choose_from_is_refused(curve):
    with pytest.raises(UserError, match="no accuracies"):
        best_alpha(curve)
    assert best_alpha({0.2: np.nan, 0.7: 0.1}) == 0.7


def by_pipeline():
    rows = [
        ("probe", alpha, split, value)
        for alpha, value in VAL.items()
        for split in ("val", "test", "shift")
    ]
    table = choices(pd.DataFrame(rows, columns=["kind", "alpha", "split", "accuracy"]))
    return table.set_index("rule").loc["val", "alpha"]


def by_chapter_7():
    table = pd.DataFrame(dict.fromkeys(("val", "test", "shifts", "both"), VAL))
    assert ch07.rules(table).loc["one oracle", "alpha"] == 0.3
    right = np.tile(np.array([alpha in (0.3, 0.6, 1.0) for alpha in VAL])[:, None], 5)
    assert set(ch07.choices(right, list(VAL), resamples=3)) == {0.3}
    return ch07.rules(table).loc["val", "alpha"]


def by_chapter_10():
    return ch10.offered(pd.DataFrame({"test": dict.fromkeys(VAL, 0.9), "shifts": VAL}), 0.5)


def by_chapter_11():
    curve = ch11.points(pd.DataFrame({"val": VAL, "test": VAL}))
    assert curve["oracle_alpha"] == 0.3
    return curve["chosen_alpha"]


def by_chapter_14():
    return choose_alpha(
        pd.DataFrame({"alpha": VAL.keys(), "mp_5": VAL.values(), "split": "val", "task": ALL})
    )


def by_chapter_15():
    return Sheet(None)._choose("LiNeS", list(VAL), VAL.get)


@pytest.mark.parametrize(
    "choose",
    [by_pipeline, by_chapter_7, by_chapter_10, by_chapter_11, by_chapter_14, by_chapter_15],
)
def test_every_place_that_chooses_an_alpha_takes_the_same_of_equal_ones(choose):
    assert choose() == 0.3


def test_the_star_of_a_printed_table_is_at_the_same_alpha(capsys):
    rows = [
        {"alpha": a, "split": "test", "accuracy": v, "n": 10, "low": 0, "high": 1}
        for a, v in VAL.items()
    ]
    show_table(pd.DataFrame(rows))
    starred = [line for line in capsys.readouterr().out.splitlines() if line.endswith("*")]
    assert [line.split()[0] for line in starred] == ["0.3"]
