"""Every descendant of the line on one seed's runs; settings are chosen on ``val`` from five
candidates each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wiseft_lite.analysis.calibration import fit_temperature
from wiseft_lite.analysis.dynamic_alpha import entropy_weights, failure_weights
from wiseft_lite.analysis.ensembles import output_ensemble, softmax_ensemble
from wiseft_lite.book.experiments.ch13 import Kitchen
from wiseft_lite.features import pixels
from wiseft_lite.merging.arithmetic import dare, lines, model_stock, task_arithmetic, ties
from wiseft_lite.merging.fisher import diagonal_fisher, fisher_average
from wiseft_lite.merging.learned_soups import learned_soup
from wiseft_lite.models import ImageClassifier
from wiseft_lite.results import best_alpha
from wiseft_lite.sweeps import batched
from wiseft_lite.tasks import Task
from wiseft_lite.weights import Weights, interpolate

HALF, LINE, TWO = (
    "line, half way",
    "line, alpha on val",
    "two runs",
)  # the second is what all are compared with
SHARES = (
    0.1,
    0.3,
    0.5,
    0.7,
    0.9,
)  # five candidates for every method with a number to choose, the line first of all
SCALES = (
    0.4,
    0.7,
    1.0,
    1.3,
    1.6,
)  # of TIES, around the 1 of its authors: what is trimmed to a fifth is short
CENTRES = (0.3, 0.6, 0.9, 1.2, 1.5)  # of VRF, up to the 1.5 of its authors
WIDTH, DENSITY, DROP, FISHER_IMAGES = 0.2, 0.2, 0.5, 256


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the seconds of processor time that it took; on one thread, of one
    core."""
    began = time.process_time()
    return make(), time.process_time() - began


@torch.no_grad()
def features(model: ImageClassifier, images: Tensor) -> Tensor:
    """Normalised features ``[n, d]``."""
    return torch.cat([model.encode(batch) for batch in images.split(256)])


class Sheet:
    """One seed's rows of the table: whatever a method has to choose, it chooses on ``val``.

    Args:
        kitchen: measures.
    """

    def __init__(self, kitchen: Kitchen):
        self.kitchen = kitchen
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
        settings: Sequence = SHARES,
        before: float = 0.0,
    ) -> None:
        """Measure a method that makes one model; ``before`` are the seconds spent before its
        weights are mixed."""
        setting = self._choose(
            method,
            settings,
            lambda s: self.kitchen.score("val", self.kitchen.logits(weights(s), "val")["val"]),
        )
        theta, seconds = timed(lambda: weights(setting))
        self._note(method, setting, before + seconds, self.kitchen.logits(theta))

    def mix(
        self,
        method: str,
        answers: Callable[[Any, str], Tensor],
        settings: Sequence = SHARES,
        before: float = 0.0,
    ) -> None:
        """Measure a method that mixes the answers of several models, given its setting and the name
        of a split."""
        setting = self._choose(
            method, settings, lambda s: self.kitchen.score("val", answers(s, "val"))
        )
        self._note(
            method, setting, before, {name: answers(setting, name) for name in self.kitchen.splits}
        )

    def _note(
        self, method: str, setting: Any, seconds: float, logits: Mapping[str, Tensor]
    ) -> None:
        self.rows.append(
            {
                "method": method,
                "setting": setting,
                "seconds": seconds,
                **self.kitchen.scores(logits),
            }
        )


def by_weights(
    sheet: Sheet, zero_shot: ImageClassifier, first: ImageClassifier, second: ImageClassifier
) -> None:
    """Add every method that makes one model of the start and one run, or two."""
    task, theta_0, theta_1 = sheet.kitchen.task, zero_shot.state_dict(), first.state_dict()
    both = [theta_1, second.state_dict()]
    images = sheet.kitchen.images["val"][
        :FISHER_IMAGES
    ]  # on training images the fine-tuned model is too sure
    fishers, before = timed(
        lambda: [diagonal_fisher(model, images) for model in (zero_shot, first)]
    )
    sheet.merge(HALF, lambda a: interpolate(theta_0, theta_1, a), [0.5])
    sheet.merge(LINE, lambda a: interpolate(theta_0, theta_1, a))
    sheet.merge("LiNeS", lambda a: lines(theta_0, theta_1, a, 1.0))
    sheet.merge(
        "layer-wise",
        lambda _: learned_soup(zero_shot, [theta_0, theta_1], task.val, per_tensor=True).cooked(),
        [None],
    )
    sheet.merge(
        "Fisher, floor 1e-6",  # measured before the default was wise-ft's 1e-8; the name says so
        lambda a: fisher_average([theta_0, theta_1], fishers, [1 - a, a], floor=1e-6),
        before=before,
    )
    sheet.merge("DARE", lambda a: interpolate(theta_0, dare(theta_0, theta_1, DROP), a))
    sheet.merge(TWO, lambda a: task_arithmetic(theta_0, both, [a / 2, a / 2]))
    sheet.merge("TIES", lambda scale: ties(theta_0, both, DENSITY, scale), SCALES)
    sheet.merge("Model Stock", lambda _: model_stock(theta_0, both), [None])


@torch.no_grad()
def by_outputs(sheet: Sheet, zero_shot: ImageClassifier, first: ImageClassifier) -> None:
    """Add every method that mixes the answers of the two ends, or picks a model for each
    picture."""
    kitchen, task, ends = sheet.kitchen, sheet.kitchen.task, (zero_shot, first)
    seen = [
        {name: features(model, images) for name, images in kitchen.images.items()} for model in ends
    ]
    zero, one = (
        {name: model.head(x) for name, x in part.items()}
        for model, part in zip(ends, seen, strict=True)
    )
    (t_0, t_1), fitting = timed(
        lambda: [fit_temperature(part["val"], task.val.labels) for part in (zero, one)]
    )
    shares = {name: entropy_weights(zero[name] / t_0, one[name] / t_1) for name in zero}
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
        lambda _, name: output_ensemble(zero[name], one[name], shares[name]),
        [None],
        fitting,
    )
    sheet.mix(
        "DaWin, weights",
        lambda _, name: picked(kitchen, zero_shot, first, name, shares[name]),
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
    """Features ``[m, d]`` of the training pictures that zero-shot gets wrong and the fine-tuned
    model right."""
    images = pixels(zero_shot, task.train)
    seen = [features(model, images) for model in (zero_shot, tuned)]
    right = [
        model.head(x).argmax(1) == task.train.labels
        for model, x in zip((zero_shot, tuned), seen, strict=True)
    ]
    return seen[1][~right[0] & right[1]]


def picked(
    kitchen: Kitchen, zero_shot: ImageClassifier, tuned: ImageClassifier, name: str, shares: Tensor
) -> Tensor:
    """Logits of a split, each picture through that of the line's five models whose alpha is nearest
    to its own."""
    nearest = (shares - torch.tensor(SHARES)).abs().argmin(1)
    answers = torch.empty(len(nearest), len(zero_shot.class_names))
    for place, alpha in enumerate(SHARES):
        rows = (nearest == place).nonzero().flatten()
        if len(rows):
            model = zero_shot.with_weights(
                interpolate(zero_shot.state_dict(), tuned.state_dict(), alpha)
            )
            answers[rows] = batched(model, kitchen.images[name][rows], 256)
    return answers
