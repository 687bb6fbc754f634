"""What the book takes from the atlas, against the tables and the ledger."""

import numpy as np
import pytest

from wiseft_lite.analysis import atlas
from wiseft_lite.book import ledger, paper
from wiseft_lite.book.experiments import atlas as experiment
from wiseft_lite.book.ledger import Record


@pytest.fixture(scope="module")
def record():
    record = Record("a test")
    experiment.run(record, [0])
    return record.numbers


def test_the_ledger_has_these_numbers(record):
    entries = {k: v for k, v in ledger.read().items() if k.startswith("atlas.")}
    entries.pop("atlas.minutes")  # how long the whole took, which the command adds
    assert set(entries) == set(record)
    for key, found in record.items():
        assert found["values"] == pytest.approx(entries[key]["values"], abs=2e-3), key
        assert (found["n"], found["unit"]) == (entries[key]["n"], entries[key]["unit"])


def test_kinds_and_sources_add_up(record):
    for column in ("kind", "source"):
        parts = [v["value"] for k, v in record.items() if k.startswith(f"atlas.{column}.")]
        assert sum(parts) == record["atlas.models"]["value"] == len(atlas.models())


def test_correlations_hold_the_other_hyperparameters_fixed(record):
    """By regression: the coefficient of a partial correlation has the same t as the correlation."""
    table = experiment.hyperparameters()
    others = [name for name in experiment.HYPERPARAMETERS if name != "lr"]
    design = np.column_stack([np.ones(len(table)), table["lr"], table[others]])
    y = table["r"].to_numpy()
    beta, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    freedom = len(y) - design.shape[1]
    error = np.sqrt(rest[0] / freedom * np.linalg.inv(design.T @ design)[1, 1])
    t = beta[1] / error
    assert record["atlas.tuned.lr.r"]["value"] == pytest.approx(
        t / np.sqrt(t**2 + freedom), abs=1e-4
    )
    assert experiment.correlation("lr", "r", at_equal_reference=True).fixed == 6


def test_twins_are_within_a_point_of_the_best_on_held_out_images(record):
    near = experiment.twins()
    assert near["minival"].max() - near["minival"].min() <= 0.01
    assert record["atlas.twins.models"]["value"] == len(near)
    spread = near["shifts"].max() - near["shifts"].min()
    assert record["atlas.twins.shifts.range"]["value"] == pytest.approx(100 * spread, abs=1e-3)


def test_heights_of_the_papers_curve_are_those_over_the_line(record):
    curve, line = paper.curve("ViT-B/16") / 100, atlas.line_through("with-weak")
    height = 100 * (curve.loc[0.5, "shifts"] - line(curve.loc[0.5, "ImageNet"]))
    assert record["atlas.rho.vit-b_16.alpha_0.5.with-weak"]["value"] == pytest.approx(
        height, abs=1e-3
    )


def test_our_own_panel_is_the_recorded_curve():
    curve, entries = experiment.icon_panel().curves["IconCLIP"], ledger.read()
    for alpha in (0.0, 0.5, 1.0):
        row = curve.loc[alpha]
        assert 100 * row["reference"] == pytest.approx(
            entries[f"ch06.test.alpha_{alpha:g}"]["value"], abs=0.01
        )
        assert 100 * row["shift"] == pytest.approx(
            entries[f"ch06.shifts.alpha_{alpha:g}"]["value"], abs=0.01
        )


def test_the_papers_curves_have_the_names_of_the_atlas():
    curves = experiment.paper_curves()
    assert all({"imagenet", *atlas.SHIFTS} <= set(table) for table in curves.values())
    assert float(curves["ViT-L/14@336px"].loc[0.0, "imagenet"]) == pytest.approx(0.766)
    assert list(experiment.paper_curves("ALIGN")["ALIGN"]) == ["imagenet", "shifts"]


def test_pairs_gain_on_imagenet_and_their_values_are_differences(record):
    after, before = experiment.PAIRS[0]
    table = atlas.models().set_index("model")
    gap = 100 * (table.loc[after, "r"] - table.loc[before, "r"])
    assert record["atlas.pairs.r"]["values"][0] == pytest.approx(gap, abs=1e-3)
    assert len(record["atlas.pairs.imagenet"]["values"]) == len(experiment.PAIRS) >= 10
