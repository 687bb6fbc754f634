"""Exercises of chapter 11, A little data, many tasks."""

from __future__ import annotations

import pandas as pd
import torch

from wiseft_lite.book.teaching import Exercise, choice


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


separate = choice(
    "11.1",
    "C",
    {
        "A": "a model fine-tuned on ImageNet has no reason to know car models; its accuracy on Cars would fall, not rise.",
        "B": "one model for seven lists of classes needs a different kind of training; the paper does not do that here.",
        "D": "averaging seven fine-tuned models is a method of its own (task arithmetic); this table has one line per task.",
    },
)


def _cut(before: float, after: float) -> float:
    return 100 * (after - before) / (100 - before)


cut = Exercise(
    "11.2",
    claims=[
        (
            "that is a difference in points. It does not depend on how many errors there were to begin with.",
            lambda f: not _near(f(98.0, 99.0), 1),
        ),
        (
            "you divide by the accuracy; divide by the errors that were left, 100 minus the accuracy.",
            lambda f: not _near(f(98.0, 99.0), 100 / 98),
        ),
        (
            "you divide by the errors *after*; divide by the errors before.",
            lambda f: not _near(f(98.0, 99.0), 100),
        ),
        (
            "fewer errors are a positive cut; yours has the other sign.",
            lambda f: not _near(f(98.0, 99.0), -50),
        ),
        (
            "state it in percent: from 98 to 99 %, half of the errors are gone.",
            lambda f: _near(f(98.0, 99.0), 50),
        ),
        (
            "when accuracy falls, errors are added: the cut is negative. Do not take the absolute value.",
            lambda f: _near(f(90.0, 88.0), -20),
        ),
    ],
    solution=_cut,
    wrong=[
        (lambda b, a: a - b, "difference in points"),
        (lambda b, a: 100 * (a - b) / b, "divide by the accuracy"),
        (lambda b, a: 100 * (a - b) / (100 - a), "errors *after*"),
        (lambda b, a: -_cut(b, a), "other sign"),
        (lambda b, a: _cut(b, a) / 100, "in percent"),
        (lambda b, a: abs(_cut(b, a)), "absolute value"),
    ],
)


def _ends(glyphs: float = 40.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": ["arrows", "glyphs", "flags"],
            "zero_shot": [90.0, glyphs, 60.0],
            "half": [92.0, 60.0, 73.0],
            "fine_tuned": [80.0, 75.0, 70.0],
        }
    )


def _over_better(table: pd.DataFrame) -> float:
    return float((table["half"] - table[["zero_shot", "fine_tuned"]].max(axis=1)).mean())


def _better_on_average(table: pd.DataFrame) -> float:
    return table["half"].mean() - max(table["zero_shot"].mean(), table["fine_tuned"].mean())


def _only_where_it_helps(table: pd.DataFrame) -> float:
    gains = table["half"] - table[["zero_shot", "fine_tuned"]].max(axis=1)
    return gains[gains > 0].mean()


better = Exercise(
    "11.3",
    claims=[
        (
            "you choose the better end by the mean over tasks. Each task has its own better end: compare task by task, "
            "then average.",
            lambda f: (
                not all(_near(f(t), _better_on_average(t)) for t in (_ends(), _ends(glyphs=76.0)))
            ),
        ),
        (
            "you compare with zero-shot only; on glyphs the fine-tuned model is the one to beat.",
            lambda f: not _near(f(_ends()), (_ends()["half"] - _ends()["zero_shot"]).mean()),
        ),
        (
            "you compare with the fine-tuned model only; on arrows zero-shot is the one to beat.",
            lambda f: not _near(f(_ends()), (_ends()["half"] - _ends()["fine_tuned"]).mean()),
        ),
        (
            "you left out the tasks where the middle loses; they belong to the mean.",
            lambda f: not _near(f(_ends()), _only_where_it_helps(_ends())),
        ),
        (
            "the gains over the better end are 2, -15 and 3 points; return their mean.",
            lambda f: _near(f(_ends()), -10 / 3),
        ),
    ],
    solution=_over_better,
    wrong=[
        (_better_on_average, "task by task"),
        (lambda t: (t["half"] - t["zero_shot"]).mean(), "zero-shot only"),
        (lambda t: (t["half"] - t["fine_tuned"]).mean(), "fine-tuned model only"),
        (_only_where_it_helps, "they belong to the mean"),
        (lambda t: _over_better(t) / 100, "return their mean"),
    ],
)


def _frozen():
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(40, 6, generator=generator), dim=-1)
    first, second = (size * torch.randn(5, 6, generator=generator) for size in (3, 9))
    return features, first, second, torch.randint(5, (40,), generator=generator)


def _mixed(features, weight_0, weight_1, labels, alpha):
    logits = (1 - alpha) * features @ weight_0.T + alpha * features @ weight_1.T
    return 100 * float((logits.argmax(-1) == labels).float().mean())


def _swapped(features, weight_0, weight_1, labels, alpha):
    return _mixed(features, weight_0, weight_1, labels, 1 - alpha)


def _straight(features, weight_0, weight_1, labels, alpha):
    return (1 - alpha) * _mixed(features, weight_0, weight_1, labels, 0) + alpha * _mixed(
        features, weight_0, weight_1, labels, 1
    )


def _probabilities(features, weight_0, weight_1, labels, alpha):
    mixed = (1 - alpha) * (features @ weight_0.T).softmax(-1) + alpha * (
        features @ weight_1.T
    ).softmax(-1)
    return 100 * float((mixed.argmax(-1) == labels).float().mean())


def _curve(f):
    return [f(*_frozen(), alpha) for alpha in (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)]


def _same(f, g) -> bool:
    return all(_near(a, b, 1e-3) for a, b in zip(_curve(f), _curve(g), strict=True))


mixture = Exercise(
    "11.5",
    claims=[
        (
            "alpha = 0 must give the zero-shot head; yours runs the other way.",
            lambda f: not _same(f, _swapped),
        ),
        (
            "you mix two accuracies, so your curve is a straight line between the ends. Mix what comes before the argmax.",
            lambda f: not _same(f, _straight),
        ),
        (
            "you mix probabilities. Weights mix *logits*; a softmax of each head first changes the result.",
            lambda f: not _same(f, _probabilities),
        ),
        (
            "return a percentage, not a fraction.",
            lambda f: _near(f(*_frozen(), 0.0), _mixed(*_frozen(), 0.0), 1e-3),
        ),
        (
            "the logits at alpha are (1 - alpha) x W0 + alpha x W1; take the largest and count.",
            lambda f: _same(f, _mixed),
        ),
    ],
    solution=_mixed,
    wrong=[
        (_swapped, "other way"),
        (_straight, "straight line"),
        (_probabilities, "mix *logits*"),
        (lambda *inputs: _mixed(*inputs) / 100, "not a fraction"),
        (lambda x, w0, w1, y, alpha: _mixed(x, w0, w1, y, round(alpha)), "take the largest"),
    ],
)

oracle = choice(
    "11.4",
    "B",
    {
        "A": "that is a claim about the model, but the number would look the same for a model that gained nothing.",
        "C": "the sign has nothing to do with seeds: it holds for every single run.",
        "D": "val was not used; the oracle picks alpha on the test images themselves.",
    },
)

ALL = [separate, cut, better, oracle, mixture]
