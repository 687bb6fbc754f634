"""Measure every descendant of the line on one seed's runs; ``val`` chooses the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wiseft_lite.analysis.calibration import fit_temperature
from wiseft_lite.analysis.dynamic_alpha import entropy_weights, failure_weights
from wiseft_lite.analysis.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.book.experiments.ch13 import Evaluator
from wiseft_lite.features import pixels, run_in_batches
from wiseft_lite.merging.arithmetic import dare, lines, model_stock, task_arithmetic, ties
from wiseft_lite.merging.fisher import diagonal_fisher, fisher_average
from wiseft_lite.merging.learned_soups import learned_soup
from wiseft_lite.models import ImageClassifier
from wiseft_lite.results import best_alpha
from wiseft_lite.tasks import Task
from wiseft_lite.weights import Weights, interpolate

# All methods are compared with the second.
HALF, LINE, TWO = "line, half way", "line, alpha on val", "two runs"
# Five candidates for every method with a number to choose, the line first of all.
ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9)
# Of TIES, around the 1 of its authors: trimming to a fifth shortens the change.
SCALES = (0.4, 0.7, 1.0, 1.3, 1.6)
CENTRES = (0.3, 0.6, 0.9, 1.2, 1.5)  # of VRF, up to the 1.5 of its authors
WIDTH, DENSITY, DROP, FISHER_IMAGES = 0.2, 0.2, 0.5, 256


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return a function's result and the processor seconds that it took."""
    began = time.process_time()
    return make(), time.process_time() - began


class Sheet:
    """Collect one seed's rows of the table; every choice is made on ``val``.

    Args:
        evaluator: of the task.
    """

    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator
        self.choices: list[dict] = []  # each candidate and its accuracy on val
        self.rows: list[dict] = []  # each method with the setting that was chosen, or learned

    def _choose(self, method: str, settings: Sequence, score: Callable[[Any], float]) -> Any:
        if len(settings) == 1:
            return settings[0]
        val = {setting: score(setting) for setting in settings}
        self.choices += [
            {"method": method, "setting": setting, "val": v} for setting, v in val.items()
        ]
        return best_alpha(val)

    def merge(
        self,
        method: str,
        weights: Callable[[Any], Weights],
        settings: Sequence = ALPHAS,
        before: float = 0.0,
    ) -> None:
        """Measure a method that makes one model; ``before`` are seconds spent before merging."""
        setting = self._choose(
            method,
            settings,
            lambda s: self.evaluator.score("val", self.evaluator.logits(weights(s), "val")["val"]),
        )
        theta, seconds = timed(lambda: weights(setting))
        self._add_row(method, setting, before + seconds, self.evaluator.logits(theta))

    def mix(
        self,
        method: str,
        logits: Callable[[Any, str], Tensor],
        settings: Sequence = ALPHAS,
        before: float = 0.0,
    ) -> None:
        """Measure a method that mixes outputs, given its setting and the name of a split."""
        setting = self._choose(
            method, settings, lambda s: self.evaluator.score("val", logits(s, "val"))
        )
        self._add_row(
            method, setting, before, {name: logits(setting, name) for name in self.evaluator.splits}
        )

    def _add_row(
        self, method: str, setting: Any, seconds: float, logits: Mapping[str, Tensor]
    ) -> None:
        self.rows.append(
            {
                "method": method,
                "setting": setting,
                "seconds": seconds,
                **self.evaluator.scores(logits),
            }
        )


def by_weights(
    sheet: Sheet, zero_shot: ImageClassifier, first: ImageClassifier, second: ImageClassifier
) -> None:
    """Add every method that makes one model of zero-shot and one run, or two."""
    task, theta_0, theta_1 = sheet.evaluator.task, zero_shot.state_dict(), first.state_dict()
    both = [theta_1, second.state_dict()]
    # The fine-tuned model is too confident on training images.
    images = sheet.evaluator.images["val"][:FISHER_IMAGES]
    fishers, before = timed(
        lambda: [diagonal_fisher(model, images) for model in (zero_shot, first)]
    )
    sheet.merge(HALF, lambda a: interpolate(theta_0, theta_1, a), [0.5])
    sheet.merge(LINE, lambda a: interpolate(theta_0, theta_1, a))
    sheet.merge("LiNeS", lambda a: lines(theta_0, theta_1, a, 1.0))
    sheet.merge(
        "layer-wise",
        lambda _: learned_soup(zero_shot, [theta_0, theta_1], task.val, per_tensor=True).soup(),
        [None],
    )
    sheet.merge(
        "Fisher",
        lambda a: fisher_average([theta_0, theta_1], fishers, [1 - a, a]),
        before=before,
    )
    sheet.merge("DARE", lambda a: interpolate(theta_0, dare(theta_0, theta_1, DROP), a))
    sheet.merge(TWO, lambda a: task_arithmetic(theta_0, both, [a / 2, a / 2]))
    sheet.merge("TIES", lambda scale: ties(theta_0, both, DENSITY, scale), SCALES)
    sheet.merge("Model Stock", lambda _: model_stock(theta_0, both), [None])


@torch.no_grad()
def by_outputs(sheet: Sheet, zero_shot: ImageClassifier, first: ImageClassifier) -> None:
    """Add every method that mixes the outputs of both ends, or chooses a model for each image."""
    evaluator, task, ends = sheet.evaluator, sheet.evaluator.task, (zero_shot, first)
    seen = [
        {
            name: run_in_batches(model, images, function=model.encode)
            for name, images in evaluator.images.items()
        }
        for model in ends
    ]
    zero, one = (
        {name: model.head(x) for name, x in part.items()}
        for model, part in zip(ends, seen, strict=True)
    )
    (t_0, t_1), fitting = timed(
        lambda: [fit_temperature(part["val"], task.val.labels) for part in (zero, one)]
    )
    alphas = {name: entropy_weights(zero[name] / t_0, one[name] / t_1) for name in zero}
    failures, finding = timed(lambda: missed(zero_shot, first, task))
    sheet.mix("outputs", lambda a, name: output_ensemble(zero[name], one[name], a))
    sheet.mix(
        "calibrated outputs",
        lambda _, name: softmax_ensemble(zero[name] / t_0, one[name] / t_1, 0.5),
        [None],
        fitting,
    )
    sheet.mix(
        "DaWin, outputs",
        lambda _, name: output_ensemble(zero[name], one[name], alphas[name]),
        [None],
        fitting,
    )
    sheet.mix(
        "DaWin, weights",
        lambda _, name: picked(evaluator, zero_shot, first, name, alphas[name]),
        [None],
        fitting,
    )
    sheet.mix(
        "VRF",
        lambda centre, name: softmax_ensemble(
            zero[name] / t_0,
            one[name] / t_1,
            failure_weights(seen[1][name], failures, centre=centre, width=WIDTH),
        ),
        CENTRES,
        fitting + finding,
    )


@torch.no_grad()
def missed(zero_shot: ImageClassifier, tuned: ImageClassifier, task: Task) -> Tensor:
    """Return features ``[m, d]`` of training images that only the fine-tuned model gets right."""
    images = pixels(zero_shot, task.train)
    seen = [run_in_batches(model, images, function=model.encode) for model in (zero_shot, tuned)]
    right = [
        model.head(x).argmax(1) == task.train.labels
        for model, x in zip((zero_shot, tuned), seen, strict=True)
    ]
    return seen[1][~right[0] & right[1]]


def picked(
    evaluator: Evaluator,
    zero_shot: ImageClassifier,
    tuned: ImageClassifier,
    name: str,
    alphas: Tensor,
) -> Tensor:
    """Return logits of a split, each image from the model with the nearest of five alphas."""
    nearest = (alphas - torch.tensor(ALPHAS)).abs().argmin(1)
    logits = torch.empty(len(nearest), len(zero_shot.class_names))
    for place, alpha in enumerate(ALPHAS):
        rows = (nearest == place).nonzero().flatten()
        if len(rows):
            model = zero_shot.with_weights(
                interpolate(zero_shot.state_dict(), tuned.state_dict(), alpha)
            )
            logits[rows] = run_in_batches(model, evaluator.images[name][rows], 256)
    return logits
