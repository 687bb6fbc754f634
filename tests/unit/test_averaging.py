"""Moving averages against the recursion written out, and their identity with WiSE-FT;
calibration."""

import math

import pytest
import torch
from torch import nn

from wiseft_lite import Recipe, UserError, finetune, interpolate, predict
from wiseft_lite.analysis.calibration import calibrated, fit_temperature
from wiseft_lite.callbacks import Callback
from wiseft_lite.merging.moving_averages import MovingAverages

DECAYS = (0.0, 0.9, 0.999, 1 - 1e-6)
RECIPE = Recipe(epochs=2, lr=1e-2, batch_size=16)


class Path(Callback):
    """Every state of a run, in float64, to average by hand."""

    def __init__(self, averages):
        self.averages, self.thetas = averages, []

    def after_step(self, run):
        self.thetas.append({k: v.double().clone() for k, v in run.model.state_dict().items()})
        self.averages.update(run.model)

    def recursion(self, start, decay):
        mean = {k: v.double() for k, v in start.items()}
        for theta in self.thetas:
            mean = {k: decay * mean[k] + (1 - decay) * theta[k] for k in mean}
        return mean


@pytest.fixture(scope="module")
def path(theta_0, task):
    path = Path(MovingAverages(DECAYS))
    finetune(theta_0, task, RECIPE, callbacks=[path])
    return path


def near(a, b, atol=2e-6):
    return a.keys() == b.keys() and all(
        torch.allclose(a[k].double(), b[k].double(), atol=atol) for k in a
    )


@pytest.mark.parametrize("decay", DECAYS)
def test_both_variants_are_the_recursion_written_out(path, theta_0, decay):
    zeros = {k: torch.zeros_like(v) for k, v in theta_0.state_dict().items()}
    total = 1 - decay ** len(path.thetas)
    debiased = {k: v / total for k, v in path.recursion(zeros, decay).items()}
    assert path.averages.steps == len(path.thetas) == 8
    assert near(path.averages.debiased(decay), debiased)
    assert near(
        path.averages.started_at(theta_0.state_dict(), decay),
        path.recursion(theta_0.state_dict(), decay),
    )


@pytest.mark.parametrize("decay", DECAYS)
def test_an_average_started_at_zero_shot_is_wise_ft_on_the_debiased_one(path, theta_0, decay):
    start = theta_0.state_dict()
    on_the_line = interpolate(start, path.averages.debiased(decay), 1 - decay**path.averages.steps)
    assert near(path.recursion(start, decay), on_the_line)


def test_no_decay_is_the_last_step_and_a_decay_near_one_the_plain_mean(path):
    assert near(path.averages.debiased(0.0), path.thetas[-1])
    mean = {k: torch.stack([theta[k] for theta in path.thetas]).mean(0) for k in path.thetas[0]}
    assert near(path.averages.debiased(1 - 1e-6), mean, atol=2e-5)


def test_averaging_changes_neither_the_run_nor_what_it_gave(path, theta_0, task):
    plain = finetune(theta_0, task, RECIPE).state_dict()
    assert all(torch.equal(plain[k].double(), path.thetas[-1][k]) for k in plain)
    first = path.averages.debiased(0.9)
    for tensor in first.values():
        tensor.add_(1)
    assert not near(first, path.averages.debiased(0.9))


def test_half_precision_is_summed_in_float32_and_integers_are_the_last():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=torch.float16))
            self.register_buffer("seen", torch.tensor(0))

    averages, model = MovingAverages([0.9999]), Model()
    for step in range(1, 2001):
        model.seen.fill_(step)
        averages.update(model)
    mean = averages.debiased(0.9999)
    assert mean["weight"].dtype == torch.float16 and mean["weight"].item() == pytest.approx(
        1, abs=1e-3
    )
    assert mean["seen"].item() == 2000


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda: MovingAverages([]), "at least one"),
        (lambda: MovingAverages([0.9, 1.0]), "decay is 1.0"),
        (lambda: MovingAverages([0.9]).debiased(0.9), "no steps to average"),
        (
            lambda: MovingAverages([0.9, 0.99]).debiased(0.5),
            "unknown decay 0.5; choose one of: 0.9, 0.99",
        ),
    ],
)
def test_averages_that_cannot_be_had_say_why(use, words):
    with pytest.raises(UserError, match=words):
        use()


def test_a_temperature_finds_the_odds_again():
    generator = torch.Generator().manual_seed(0)
    honest = 3 * torch.randn(20_000, 5, generator=generator)
    labels = torch.multinomial(honest.softmax(-1), 1, generator=generator).flatten()
    assert fit_temperature(honest, labels) == pytest.approx(1, abs=0.05)
    assert fit_temperature(4 * honest, labels) == pytest.approx(
        4 * fit_temperature(honest, labels), rel=1e-3
    )


def test_a_fitted_temperature_is_a_minimum():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(500, 5, generator=generator)
    labels = torch.multinomial((logits / 2).softmax(-1), 1, generator=generator).flatten()

    def loss(temperature):
        return nn.functional.cross_entropy(logits / temperature, labels).item()

    best = fit_temperature(logits, labels)
    assert loss(best) < min(loss(best * 1.05), loss(best / 1.05))


def test_a_calibrated_classifier_gives_divided_logits_and_leaves_the_old_one_alone(tuned, task):
    before = predict(tuned, task.test)
    half = calibrated(tuned, 2.0)
    assert tuned.head.bias.abs().max() > 0
    assert torch.allclose(predict(half, task.test), before / 2, atol=1e-5)
    assert torch.equal(predict(tuned, task.test), before)


@pytest.mark.parametrize(
    "use, words",
    [
        (lambda c: fit_temperature(torch.eye(3), torch.arange(3)), "no temperature"),
        (
            lambda c: fit_temperature(torch.eye(3), torch.arange(3).flip(0).roll(1)),
            "no better than chance",
        ),
        (lambda c: fit_temperature(torch.eye(3), torch.arange(2)), "3 rows of logits but 2 labels"),
        (lambda c: calibrated(c, 0.0), "temperature is 0.0"),
        (lambda c: calibrated(c, math.nan), "temperature is nan"),
    ],
)
def test_a_temperature_that_makes_no_sense_says_why(tuned, use, words):
    with pytest.raises(UserError, match=words):
        use(tuned)
