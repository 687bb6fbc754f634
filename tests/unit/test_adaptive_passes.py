"""Sweeps with as many passes as each image needs."""

import math

import pytest
import torch
from PIL import Image
from torch import nn

from wiseft_lite import (
    Head,
    ImageClassifier,
    Recipe,
    Split,
    UserError,
    finetune,
    linear_probe,
    sweep,
)
from wiseft_lite._runtime.chebyshev import error_shape, lobatto_nodes
from wiseft_lite.adaptive_passes import adaptive_curve

ALPHAS = [k / 20 for k in range(21)]
GREYS = range(5, 252, 8)  # none of them is a multiple of 255 / 20: no ties at an alpha


class Alpha(nn.Module):
    """An encoder whose one weight is alpha: 0 in the zero-shot model, 1 in the fine-tuned one."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))


class Curve(ImageClassifier):
    """A model whose logits are any functions of alpha and of an image's grey level in 0..1.

    It counts the images that run at each alpha.
    """

    def __init__(self, alpha, *logits):
        names = [str(k) for k in range(len(logits))]
        super().__init__(Alpha(alpha), Head(torch.zeros(len(names), 1)), self.read, names, "curve")
        self.logits, self.seen = logits, []

    @staticmethod
    def read(image):
        return torch.full((3, 1, 1), image.getpixel((0, 0))[0] / 255)

    def forward(self, images):
        alpha, grey = self.encoder.alpha.item(), images[:, 0, 0, 0]
        self.seen.append((round(alpha, 6), len(images)))
        return torch.stack([grey * 0 + logit(alpha, grey) for logit in self.logits], 1)

    def __deepcopy__(self, memo):
        copied = Curve(self.encoder.alpha.item(), *self.logits)
        copied.seen = self.seen
        return copied


def curves(*logits):
    """Both ends of a line; all models between them count in one list."""
    first, last = Curve(0, *logits), Curve(1, *logits)
    last.seen = first.seen
    return first, last


def greys(**more):
    images = [Image.new("RGB", (1, 1), (grey, grey, grey)) for grey in GREYS]
    return Split("greys", images, torch.tensor([k % 2 for k in range(len(images))]), **more)


def grey_level(alpha, grey):
    return grey


def straight(alpha, grey):
    return alpha


def smooth(alpha, grey):
    """At alpha 0.25 it is 0.27, but the parabola through three nodes is 0.22."""
    return 0.3 * math.sin(math.pi * alpha) + 0.06 * math.sin(2 * math.pi * alpha)


def cubic(alpha, grey):
    return alpha**3


def wavy(alpha, grey):
    """No polynomial through nine nodes comes near."""
    return 0.5 + 0.4 * math.sin(16 * alpha + 2)


def logits_at(function, alpha):
    grey = torch.tensor(GREYS) / 255
    return torch.stack([torch.full_like(grey, function(alpha, None)), grey], 1)


def both(ends, split, **more):
    exact, adaptive = (
        sweep(*ends, {"greys": split}, ALPHAS, passes=passes, **more)
        for passes in (None, "adaptive")
    )
    return exact, adaptive


def test_a_straight_line_takes_three_passes():
    exact, adaptive = both(curves(straight, grey_level), greys())
    assert list(adaptive.columns) == [*exact.columns, "passes"]
    assert adaptive["passes"].eq(3).all()
    assert adaptive["accuracy"].tolist() == exact["accuracy"].tolist()


@pytest.mark.filterwarnings("ignore:3 passes")
def test_a_crossing_hidden_between_three_nodes_is_caught():
    ends, split = curves(smooth, grey_level), greys()
    exact, adaptive = both(ends, split)
    three = sweep(*ends, {"greys": split}, ALPHAS, passes=3)
    assert three["accuracy"].tolist() != exact["accuracy"].tolist()
    assert adaptive["accuracy"].tolist() == exact["accuracy"].tolist()
    assert 3 < adaptive["passes"].iloc[0] < 6


def test_only_images_in_doubt_get_further_passes_and_all_are_reported():
    ends = curves(cubic, grey_level)
    table = sweep(*ends, {"greys": greys()}, ALPHAS, passes="adaptive")
    n, seen = len(GREYS), ends[0].seen
    assert sum(count for _, count in seen) == pytest.approx(n * table["passes"].iloc[0])
    by_alpha = {alpha: sum(c for a, c in seen if a == alpha) for alpha, _ in seen}
    five, nine = ({round(x, 6) for x in lobatto_nodes(k)} for k in (5, 9))
    assert all(by_alpha[alpha] == n for alpha in (0, 0.5, 1))
    first, then = (
        {by_alpha.get(x, 0) for x in fine - coarse}
        for fine, coarse in ((five, {0, 0.5, 1}), (nine, five))
    )
    assert len(first) == len(then) == 1 and n > first.pop() > then.pop()


def test_where_no_polynomial_fits_the_model_runs_at_the_alphas_in_doubt():
    ends = curves(wavy, grey_level)
    exact, adaptive = both(ends, greys())
    assert ((adaptive.accuracy - exact.accuracy).abs() * exact.n <= 1 + 1e-9).all()
    assert adaptive["passes"].iloc[0] > 9


def test_alphas_that_are_nodes_are_never_in_doubt():
    table = sweep(*curves(wavy, grey_level), {"greys": greys()}, [0, 0.5, 1], passes="adaptive")
    assert table["passes"].eq(3).all()


def test_only_classes_that_can_be_predicted_cause_doubt():
    ends = curves(
        straight, grey_level, lambda alpha, grey: grey + 0.1 * (smooth(alpha, grey) - 0.2)
    )
    passes = {
        name: sweep(*ends, {"greys": greys(**split)}, ALPHAS, passes="adaptive")["passes"].iloc[0]
        for name, split in {
            "all": {},
            "restricted": {"classes": (0, 1)},
            "merged": {"merged": {2: 1}},
        }.items()
    }
    assert passes["restricted"] == 3 < passes["merged"] < passes["all"]


def test_measures_are_of_the_logits_that_predict():
    def first_logit(logits, split):
        return float(logits[:, 0].double().mean())

    exact, adaptive = both(curves(straight, grey_level), greys(), measures={"mean": first_logit})
    assert adaptive["mean"].tolist() == pytest.approx(exact["mean"].tolist(), abs=1e-6)
    assert list(adaptive.columns)[-2:] == ["mean", "passes"]


def test_where_nine_nodes_leave_doubt_the_logits_are_those_of_the_model():
    truth = torch.stack([logits_at(wavy, alpha) for alpha in ALPHAS])
    ran = []

    def run(alpha, rows):
        ran.append((alpha, rows))
        return logits_at(wavy, alpha)[rows]

    at_three = torch.stack([logits_at(wavy, alpha) for alpha in (0, 0.5, 1)])
    curve, _ = adaptive_curve(at_three, run, ALPHAS, greys())
    last = [(ALPHAS.index(alpha), rows) for alpha, rows in ran if alpha in ALPHAS]
    assert last and all(torch.equal(curve[i, rows], truth[i, rows]) for i, rows in last)
    assert torch.equal(curve.argmax(-1), truth.argmax(-1)) and not torch.equal(curve, truth)


def test_several_models_share_the_pass_at_zero_shot(theta_0, tuned, task):
    first, last = curves(smooth, grey_level)
    models = {"one": last, "other": last}
    table = sweep(first, models, {"greys": greys()}, ALPHAS, passes="adaptive")
    assert sum(count for alpha, count in first.seen if alpha == 0) == len(GREYS)
    one, other = (table[table["model"] == name].drop(columns="model") for name in models)
    assert one.to_dict("list") == other.to_dict("list")
    probe = linear_probe(theta_0, task)
    mixed = sweep(
        theta_0, {"probe": probe, "tuned": tuned}, task.evaluation, ALPHAS, passes="adaptive"
    )
    passes = mixed.groupby("model")["passes"].max()
    assert passes["probe"] == 2 and passes["tuned"] > 3


def test_whatever_is_in_memory_the_table_is_the_same(theta_0, tuned, task, monkeypatch):
    def swept():
        measures = {"sum": lambda logits, split: float(logits.double().sum())}
        return sweep(
            theta_0, tuned, task.evaluation, ALPHAS, 8, passes="adaptive", measures=measures
        )

    one = swept()
    monkeypatch.setattr("wiseft_lite.data.MEMORY_LIMIT", 1)
    assert one.to_dict("list") == swept().to_dict("list") and one["passes"].gt(3).all()


def test_a_crooked_line_is_still_within_one_image(theta_0, tuned, task):
    exact, adaptive = (
        sweep(theta_0, tuned, task.evaluation, ALPHAS, passes=passes)
        for passes in (None, "adaptive")
    )
    assert ((adaptive.accuracy - exact.accuracy).abs() * exact.n <= 1 + 1e-9).all()


@pytest.mark.slow
def test_on_iconshift_the_error_is_at_most_one_image():
    from wiseft_lite import load_clip, load_task, zero_shot_classifier

    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    fine_tuned = finetune(zero_shot, task.few_shot(2), Recipe(epochs=2, augment="none"))
    exact, adaptive = (
        sweep(zero_shot, fine_tuned, {"val": task.val}, ALPHAS, passes=passes)
        for passes in (None, "adaptive")
    )
    assert ((adaptive.accuracy - exact.accuracy).abs() * exact.n <= 1 + 1e-9).all()
    assert adaptive["passes"].lt(4.5).all()


def test_another_word_is_refused(theta_0, tuned, task):
    with pytest.raises(UserError, match="passes is 'few'"):
        sweep(theta_0, tuned, task.evaluation, passes="few")
    with pytest.raises(UserError, match="alpha 1.5 lies outside"):
        sweep(theta_0, tuned, task.evaluation, [0, 1.5], passes="adaptive")


@pytest.mark.parametrize("k", [3, 5, 9])
def test_the_shape_of_the_error_is_zero_at_nodes_and_at_most_one(k):
    nodes, alphas = lobatto_nodes(k), torch.linspace(0, 1, 501, dtype=torch.float64)
    shape = error_shape(nodes, alphas.tolist())
    t = torch.acos(1 - 2 * alphas)
    torch.testing.assert_close(shape, (t.sin() * ((k - 1) * t).sin()).abs(), rtol=0, atol=1e-7)
    assert error_shape(nodes, nodes).eq(0).all() and 0.7 < shape.max() <= 1


def test_margins_count_merged_classes_once_and_excluded_ones_never():
    logits = torch.tensor([[4.0, 3.0, 1.0, 9.0], [1.0, 0.0, 3.5, 3.0]])
    assert greys().margins(logits).tolist() == [5.0, 0.5]
    assert greys(classes=(2, 0)).margins(logits).tolist() == [3.0, 2.5]
    assert greys(classes=(0, 1, 2), merged={1: 0}).margins(logits).tolist() == [3.0, 2.5]
    assert greys(merged={0: 3, 1: 3, 2: 3}).margins(logits).isinf().all()
