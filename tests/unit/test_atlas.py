"""The atlas: the table that ships, the line through its models, and what is placed above it."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from wiseft_lite import UserError
from wiseft_lite.analysis import atlas
from wiseft_lite.analysis.correlation import partial_correlation
from wiseft_lite.metrics import clopper_pearson


def clustered(generator, slope=0.9, intercept=-0.4, families=20, size=4, shared=0.15, own=0.05):
    """Models in families: two of one family have much of their distance from the line in common."""
    centre = generator.normal(1.0, 0.6, families)
    x = (centre[:, None] + generator.normal(0, 0.2, (families, size))).ravel()
    apart = np.repeat(generator.normal(0, shared, families), size)
    y = intercept + slope * x + apart + generator.normal(0, own, families * size)
    names = np.repeat([f"family {k}" for k in range(families)], size)
    return special.expit(x), special.expit(y), names


# The table that ships.


def test_the_table_is_typed_complete_and_small():
    table = atlas.models()
    assert len(table) > 2000 and not table.duplicated(["model", "size", "source"]).any()
    assert table["kind"].notna().all() and table["source"].notna().all()
    accuracies = table[list(atlas.ACCURACIES)]
    assert set(accuracies.dtypes) == {np.dtype(float)}
    assert accuracies.min().min() >= 0 and accuracies.max().max() <= 1
    assert accuracies["imagenet"].notna().all()
    assert (table[["model", "family"]] != "").all(axis=None)
    assert sum(path.stat().st_size for path in atlas.DATA.iterdir()) < 300_000
    assert set(table["kind"].cat.categories) == set(table["kind"])


def test_what_a_caller_does_to_the_table_stays_with_the_caller():
    table = atlas.models()
    table["imagenet"] = 0.0
    assert (atlas.models()["imagenet"] > 0).any()


def test_published_numbers_are_in_the_table():
    """Accuracies of the sources' own papers: ResNet-50 of torchvision, CLIP ViT-L/14@336px, a soup."""
    table = atlas.models().set_index("model")
    assert table.loc["resnet50", "imagenet"] == pytest.approx(0.7613, abs=5e-4)
    assert table.loc["ViT-L-14-336, openai", "imagenet"] == pytest.approx(0.766, abs=5e-4)
    assert table.loc["ViT-B-32, model-soups uniform_soup", "imagenet"] == pytest.approx(
        0.7997, abs=1e-4
    )
    tuned = atlas.finetunings()
    assert len(tuned) == 71 and tuned["model"].is_unique and (tuned["lr"] > 0).all()
    assert tuned["augmentation"].between(0, 40).all() and (tuned["augmentation"] > 0).any()


def test_no_line_is_fitted_through_the_same_weights_twice():
    table = atlas.models()
    assert (table["duplicate_of"] != "").sum() > 50
    for fit in atlas.FITS:
        members = atlas.members(fit)
        assert (members["duplicate_of"] == "").all()
    assert set(atlas.members("standard")["kind"]) == {"ImageNet alone"}
    assert (
        len(atlas.members("standard")) < len(atlas.members("all")) < len(atlas.members("with-weak"))
    )


# The line.


def test_a_fitted_line_is_that_of_scipy():
    x, y, families = clustered(np.random.default_rng(1))
    line = atlas.fit_line(x, y, families)
    (slope, intercept), _ = optimize.curve_fit(
        lambda u, a, b: a * u + b, special.logit(x), special.logit(y), xtol=1e-14, ftol=1e-14
    )
    assert line.baseline.slope == pytest.approx(slope, abs=1e-6)
    assert line.baseline.intercept == pytest.approx(intercept, abs=1e-6)
    known = stats.linregress(special.logit(x), special.logit(y))
    assert line.r == pytest.approx(known.rvalue, abs=1e-9)
    left = special.logit(y) - known.slope * special.logit(x) - known.intercept
    assert line.baseline.scatter.noise == pytest.approx(
        math.sqrt((left**2).sum() / (len(x) - 2)), abs=1e-9
    )


@pytest.mark.parametrize("shift", [*atlas.SHIFTS, "shifts"])
def test_the_real_line_is_that_of_scipy_too(shift):
    parts = list(atlas.SHIFTS) if shift == "shifts" else [shift]
    rows = atlas.members()[["imagenet", *parts]].dropna()
    half = [0.5 / atlas.IMAGES[part] for part in parts]
    y = rows[parts].clip(half, [1 - h for h in half], axis=1).mean(axis=1)
    known = stats.linregress(special.logit(rows["imagenet"]), special.logit(y))
    line = atlas.line_through("standard", shift)
    assert (line.baseline.slope, line.baseline.intercept, line.n) == pytest.approx(
        (known.slope, known.intercept, len(rows)), abs=1e-6
    )


def test_each_resampled_line_is_fitted_to_whole_families():
    """Two draws of a bootstrap, made by hand from the same random numbers."""
    x, y, families = clustered(np.random.default_rng(2), families=6)
    line = atlas.fit_line(x, y, families, draws=2)
    counts = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=2)
    for drawn, (slope, intercept, r) in zip(counts, line.draws, strict=True):
        rows = np.concatenate([np.repeat(k * 4 + np.arange(4), drawn[k]) for k in range(6)])
        known = stats.linregress(special.logit(x[rows]), special.logit(y[rows]))
        assert (slope, intercept, r) == pytest.approx((known.slope, known.intercept, known.rvalue))


def test_the_interval_of_the_line_covers_the_truth_about_as_often_as_promised():
    """Simulated: families of models that share their distance from a known line."""
    generator, at = np.random.default_rng(3), 0.85
    truth = special.expit(0.9 * special.logit(at) - 0.4)
    hit = naive = 0
    for _ in range(300):
        x, y, families = clustered(generator)
        low, high = atlas.fit_line(x, y, families, draws=300).interval(at)
        hit += low <= truth <= high
        alone = [f"model {k}" for k in range(len(x))]
        low, high = atlas.fit_line(x, y, alone, draws=300).interval(at)
        naive += low <= truth <= high
    assert 0.90 <= hit / 300 <= 0.98
    assert naive / 300 < 0.85  # as if models of one family were independent


def test_effective_robustness_covers_the_truth_with_test_images_that_vary(monkeypatch):
    """Simulated: a model of known height over a known line, measured on 2,000 images."""
    generator, covered = np.random.default_rng(4), 0
    truth = special.expit(0.9 * special.logit(0.8) - 0.4)
    for _ in range(200):
        x, y, families = clustered(generator)
        fitted = atlas.fit_line(x, y, families, ("v2",), draws=300)
        monkeypatch.setattr(atlas, "_fitted", lambda *_, line=fitted: line)
        seen = generator.binomial(2000, truth + 0.1) / 2000
        table = pd.DataFrame({"imagenet": [0.8], "v2": [seen]})
        row = atlas.effective_robustness(table, images={"v2": 2000}).iloc[0]
        covered += row["low"] <= 0.1 <= row["high"]
    assert 0.91 <= covered / 200 <= 0.99


def test_explained_variance_has_an_interval_that_holds_it():
    line = atlas.line_through("standard", "v2")
    found, low, high = line.explained()
    assert found == pytest.approx(line.r**2) and low < found < high <= 1
    wide = line.explained(0.999)
    assert wide[1] < low and high < wide[2]


def test_an_interval_reaches_as_far_as_students_t_for_the_number_of_families():
    line = atlas.fit_line(*clustered(np.random.default_rng(7), families=8))
    error = line.resampled(0.8).std(ddof=1)
    low, high = (special.logit(v) for v in line.interval(0.8, 0.9))
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.95, 6) * error)


def test_few_families_have_no_line():
    with pytest.raises(UserError, match="at least 5 families, not 2"):
        atlas.fit_line([0.4, 0.5, 0.6], [0.3, 0.4, 0.5], ["a", "a", "b"])


def test_a_warning_says_where_models_do_not_lie_on_a_line():
    with pytest.warns(UserWarning, match=r"^a: .*87 models.*r = 0\.\d+.*own_classes=True"):
        atlas.baseline("a")
    with pytest.warns(UserWarning, match="^a: ") as found:
        atlas.baseline("a", own_classes=True)
    assert "own_classes" not in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert atlas.baseline("v2").reference == "imagenet"
        assert atlas.baseline("objectnet", own_classes=True).reference == "imagenet_on_objectnet"


# What is placed above it.


def accuracies(**columns):
    return pd.DataFrame({name: [value] for name, value in columns.items()}, index=["mine"])


def test_effective_robustness_is_the_distance_to_the_line_with_both_errors():
    table = accuracies(imagenet=0.76, v2=0.70)
    row = atlas.effective_robustness(table).iloc[0]
    line = atlas.line_through("standard", "v2")
    assert (row["row"], row["shift"]) == ("mine", "v2")
    assert row["robustness"] == pytest.approx(0.70 - line(0.76))
    low, high = clopper_pearson(7000, 10_000)
    under, over = line.interval(0.76)
    assert row["low"] == pytest.approx(
        row["robustness"] - math.hypot(0.70 - low, over - line(0.76))
    )
    assert row["high"] == pytest.approx(
        row["robustness"] + math.hypot(high - 0.70, line(0.76) - under)
    )
    fewer = atlas.effective_robustness(table, images={"v2": 100}).iloc[0]
    assert fewer["low"] < row["low"] and fewer["high"] > row["high"]


def test_a_model_on_the_line_has_no_effective_robustness():
    line = atlas.line_through("all", "sketch")
    row = atlas.effective_robustness(accuracies(imagenet=0.8, sketch=line(0.8)), fit="all").iloc[0]
    assert row["robustness"] == pytest.approx(0, abs=1e-12) and row["low"] < 0 < row["high"]


def test_the_mean_of_the_five_shifts_comes_by_itself():
    five = accuracies(imagenet=0.766, v2=0.709, r=0.891, sketch=0.61, objectnet=0.69, a=0.775)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = atlas.effective_robustness(five).set_index("shift")
        four = atlas.effective_robustness(five.drop(columns="a"))
    assert list(found.index) == [*atlas.SHIFTS, "shifts"]
    assert found.loc["shifts", "accuracy"] == pytest.approx(
        (0.709 + 0.891 + 0.61 + 0.69 + 0.775) / 5
    )
    assert "shifts" not in set(four["shift"])


def test_a_line_that_is_prolonged_says_so():
    beyond = atlas.effective_robustness(accuracies(imagenet=0.95, v2=0.9)).iloc[0]
    inside = atlas.effective_robustness(accuracies(imagenet=0.75, v2=0.6)).iloc[0]
    assert beyond["extrapolated"] and not inside["extrapolated"]


@pytest.mark.parametrize(
    "columns, words",
    [
        ({"v2": 0.7}, "no accuracy on ImageNet"),
        ({"imagenet": 0.7}, "no accuracy on a shift"),
        ({"imagenet": 0.7, "v2": 120.0}, "120 on ImageNetV2 is impossible"),
        ({"imagenet": 76.2, "v2": 0.7}, "76.2 on ImageNet is impossible"),
    ],
)
def test_nonsense_is_refused(columns, words):
    with pytest.raises(UserError, match=words):
        atlas.effective_robustness(accuracies(**columns))


def test_unknown_names_are_listed():
    with pytest.raises(UserError, match="unknown shift 'imagenet-c'; choose one of: shifts, v2"):
        atlas.baseline("imagenet-c")
    with pytest.raises(UserError, match="unknown choice of baseline models 'best'"):
        atlas.members("best")
    with pytest.raises(UserError, match="unknown kind of model 'clip'"):
        atlas.percentile(0.1, "v2", "clip")


def test_a_model_of_the_atlas_is_its_own_nearest():
    table = atlas.models().set_index("model")
    mine = table.loc["ViT-L-14, openai", ["imagenet", *atlas.SHIFTS]].astype(float)
    found = atlas.nearest(mine.to_dict(), 3)
    assert found.iloc[0]["model"] == "ViT-L-14, openai" and found.iloc[0]["distance"] == 0
    assert found["distance"].is_monotonic_increasing and len(found) == 3


def test_a_percentile_counts_the_models_below():
    heights = atlas.heights("v2")
    kinds = atlas.models().loc[heights.index, "kind"]
    of_kind = heights[kinds == "zero-shot CLIP"]
    assert atlas.percentile(float(of_kind.max()) + 1, "v2", "zero-shot CLIP") == 100
    assert atlas.percentile(float(of_kind.min()), "v2", "zero-shot CLIP") == 0
    assert atlas.percentile(float(of_kind.median()), "v2", "zero-shot CLIP") == pytest.approx(
        50, abs=1
    )
    assert atlas.percentile(0.1, "vid_pm0", "fine-tuned CLIP") is None


def test_heights_are_those_of_effective_robustness():
    rows = atlas.models().iloc[:20]
    heights = atlas.heights("v2")
    found = atlas.effective_robustness(rows[["imagenet", "v2"]])
    assert found["robustness"].tolist() == pytest.approx(heights[found["row"]].tolist(), abs=1e-4)


# Partial correlations.


def test_a_partial_correlation_is_that_of_the_inverse_covariance():
    generator = np.random.default_rng(5)
    a, b = generator.normal(size=(2, 50))
    x = a + 0.5 * b + generator.normal(size=50)
    y = -a + b + generator.normal(size=50)
    inverse = np.linalg.inv(np.cov([x, y, a, b]))
    known = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
    found = partial_correlation(x, y, [a, b])
    assert found.r == pytest.approx(known, abs=1e-9) and (found.n, found.fixed) == (50, 2)
    assert partial_correlation(x, y).r == pytest.approx(stats.pearsonr(x, y).statistic)


def test_the_interval_of_a_correlation_is_fishers():
    generator = np.random.default_rng(6)
    x, y = generator.normal(size=(2, 40))
    known = stats.pearsonr(x, y).confidence_interval(0.95)
    assert partial_correlation(x, y).interval() == pytest.approx((known.low, known.high))


@pytest.mark.parametrize(
    "x, y, given, words",
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], [], "unequal numbers"),
        ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0], [], "3 points are too few"),
        (
            [1.0, 2.0, 4.0, 3.0, 7.0],
            [1.0, 3.0, 2.0, 5.0, 4.0],
            [[2.0, 4.0, 8.0, 6.0, 14.0]],
            "fixed",
        ),
    ],
)
def test_a_correlation_that_cannot_be_is_refused(x, y, given, words):
    with pytest.raises(UserError, match=words):
        partial_correlation(x, y, given)
