"""Models drawn among those of the atlas."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from wiseft_lite import UserError
from wiseft_lite.analysis import atlas, atlas_figure
from wiseft_lite.figures import among

OURS = pd.DataFrame({"imagenet": [0.77, 0.8, 0.82], "v2": [0.7, 0.72, 0.71], "r": [0.8, 0.8, 0.7]})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_panel_has_the_measured_models_the_lines_and_the_curves():
    panel = atlas_figure.panel("v2", {"ours": OURS}, ("standard", "zero-shot"))
    table = atlas.models()
    drawn = table[(table["imagenet"] >= atlas_figure.LOWEST) & (table["v2"] > 0)]
    assert len(panel.models) == drawn["kind"].isin(list(atlas_figure.COLOURS)).sum() > 1000
    assert list(panel.lines) == ["line of standard models", "line of zero-shot CLIP"]
    line = panel.lines["line of standard models"]
    fitted = atlas.line_through("standard", "v2")
    assert line["predicted"].tolist() == pytest.approx([fitted(x) for x in line["reference"]])
    assert (line["low"] < line["predicted"]).all() and (line["predicted"] < line["high"]).all()
    assert panel.curves["ours"]["shift"].tolist() == OURS["v2"].tolist()


def test_the_mean_of_the_shifts_is_that_of_the_five_or_a_column_of_its_own():
    five = pd.DataFrame({"imagenet": [0.8]} | {s: [0.1 * k] for k, s in enumerate(atlas.SHIFTS, 3)})
    mean = pd.DataFrame({"imagenet": [0.8], "shifts": [0.6]})
    panel = atlas_figure.panel("shifts", {"five": five, "mean": mean})
    assert panel.curves["five"]["shift"].item() == pytest.approx(0.5)
    assert panel.curves["mean"]["shift"].item() == 0.6
    measured = atlas.models()[list(atlas.SHIFTS)].notna().all(axis=1).sum()
    assert len(panel.models) <= measured


def test_a_weak_model_of_ones_own_brings_the_weak_ones_of_others():
    weak = pd.DataFrame({"imagenet": [0.3], "v2": [0.2]})
    panel = atlas_figure.panel("v2", {"weak": weak})
    assert panel.models["reference"].min() < 0.4
    assert panel.lines["line of standard models"]["reference"].min() <= 0.3


def test_kinds_can_be_chosen():
    panel = atlas_figure.panel("v2", {}, kinds=("zero-shot CLIP",))
    assert set(panel.models["kind"]) == {"zero-shot CLIP"}


def test_a_curve_without_the_shift_is_named():
    with pytest.raises(UserError, match="none of the models has an accuracy on sketch"):
        atlas_figure.panel("sketch", {"ours": OURS})


def test_the_figure_has_a_panel_for_each_shift_on_logit_axes():
    figure = atlas_figure.draw(["v2", "r"], {"ours": OURS})
    axes = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in axes] == ["ImageNetV2", "ImageNet-R"]
    assert {ax.get_xscale() for ax in axes} | {ax.get_yscale() for ax in axes} == {"logit"}
    for ax, column in zip(axes, ("v2", "r"), strict=True):
        assert any(list(line.get_ydata()) == OURS[column].tolist() for line in ax.lines)
        low, high = ax.get_xlim()
        assert low < 0.77 and high > 0.82


def test_the_legend_names_each_thing_once_over_all_panels():
    panels = [
        atlas_figure.panel("v2", {"ours": OURS}),
        atlas_figure.panel("r", {"ours": OURS}, ("zero-shot",)),
    ]
    figure = among(panels, atlas_figure.COLOURS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) == len(set(names))
    assert {"ours", "zero-shot CLIP", "line of standard models", "line of zero-shot CLIP"} <= set(
        names
    )


def test_every_kind_but_the_weak_has_a_colour_and_every_line_a_label():
    assert set(atlas.KINDS) - set(atlas_figure.COLOURS) == {
        "part of ImageNet",
        "linear probe of CLIP",
    }
    assert set(atlas_figure.LABELS) == set(atlas.GROUPS)
