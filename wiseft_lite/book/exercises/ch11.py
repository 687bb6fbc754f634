"""Exercises of chapter 11, A little data, many tasks."""

from __future__ import annotations

import torch

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.book.checks.draw import distinct, names, normal, table, unit

separate = Choice(
    "11.1",
    "C",
    {
        "A": "a model fine-tuned on ImageNet has no reason to know car models; its accuracy on Cars would fall, not rise.",
        "B": "one model for seven lists of classes needs a different kind of training; the paper does not do that here.",
        "D": "averaging seven fine-tuned models is a method of its own (task arithmetic); this table has one line per task.",
    },
)


def _gain(generator):
    before, after = sorted(distinct(generator, 2, 40, 99))
    return before, after


def _loss(generator):
    before, after = _gain(generator)
    return after, before


def _cut(before, after):
    return 100 * (after - before) / (100 - before)


cut = Code(
    "11.2",
    _cut,
    [_gain, _loss],
    [
        (
            lambda before, after: after - before,
            "that is a difference in points. It does not depend on how many errors there were to begin with.",
        ),
        (
            lambda before, after: 100 * (after - before) / before,
            "you divide by the accuracy; divide by the errors that were left, 100 minus the accuracy.",
        ),
        (
            lambda before, after: 100 * (after - before) / (100 - after),
            "you divide by the errors *after*; divide by the errors before.",
        ),
        (
            lambda before, after: -_cut(before, after),
            "fewer errors are a positive cut; yours has the other sign.",
        ),
        (
            lambda before, after: _cut(before, after) / 100,
            "that is a fraction; state it in percent.",
        ),
        (
            lambda before, after: abs(_cut(before, after)),
            "when accuracy falls, errors are added: the cut is negative. Do not take the absolute value.",
        ),
        (
            lambda before, after: max(_cut(before, after), 0),
            "when accuracy falls, errors are added: the cut is negative, not 0.",
        ),
        (
            lambda before, after: 100 * (100 - after) / (100 - before),
            "that is the fraction of the errors that is left; the question asks for those that went away.",
        ),
    ],
)


def _ends(generator):
    n = int(generator.integers(3, 6))
    ends = table(generator, n, ["zero_shot", "half", "fine_tuned"])
    ends.insert(0, "task", names(generator, n))
    return (ends,)


def _over(end):
    """The gain over one end, task by task."""
    return lambda table: table["half"] - end(table)


def _better(table):
    return table[["zero_shot", "fine_tuned"]].max(axis=1)


def _better_on_average(table):
    means = table[["zero_shot", "half", "fine_tuned"]].mean()
    return means["half"] - max(means["zero_shot"], means["fine_tuned"])


def _only_where_it_helps(table):
    gains = _over(_better)(table)
    return gains[gains > 0].mean() if (gains > 0).any() else 0.0


better = Code(
    "11.3",
    lambda table: float(_over(_better)(table).mean()),
    [_ends],
    [
        (
            _better_on_average,
            "you choose the better end by the mean over tasks. Each task has its own better end: compare task by task, "
            "then average.",
        ),
        (
            lambda table: _over(lambda t: t["zero_shot"])(table).mean(),
            "you compare with zero-shot only; where the fine-tuned model is better, it is the one to beat.",
        ),
        (
            lambda table: _over(lambda t: t["fine_tuned"])(table).mean(),
            "you compare with the fine-tuned model only; where zero-shot is better, it is the one to beat.",
        ),
        (
            _only_where_it_helps,
            "you left out the tasks where the middle loses; they belong to the mean.",
        ),
        (
            lambda table: _over(lambda t: t[["zero_shot", "fine_tuned"]].mean(axis=1))(
                table
            ).mean(),
            "you compare with the mean of the two ends; the better one is to be beaten.",
        ),
        (
            lambda table: _over(lambda t: t[["zero_shot", "fine_tuned"]].min(axis=1))(table).mean(),
            "you compare with the worse end of each task; the better one is to be beaten.",
        ),
        (
            lambda table: _over(_better)(table).sum(),
            "that is the sum over the tasks; return the mean.",
        ),
        (
            lambda table: _over(_better)(table).clip(lower=0).mean(),
            "where the middle loses the gain is negative, not 0.",
        ),
    ],
    starter=_better_on_average,
    draws=8,
)


def _frozen(generator):
    """Two heads of different scale, and labels that either of them often gets."""
    features = unit(generator, 30, 5)
    first, second = (scale * normal(generator, 4, 5) for scale in (3, 9))
    either = torch.as_tensor(generator.random(30) < 0.5)
    predicted = [(features @ weight.T).argmax(-1) for weight in (first, second)]
    alpha = float(generator.choice([0.1, 0.2, 0.3, 0.4]))
    return features, first, second, torch.where(either, *predicted), alpha


def _end(generator):
    *inputs, _ = _frozen(generator)
    return *inputs, float(generator.integers(2))


def _percent_right(scores, labels):
    return 100 * float((scores.argmax(-1) == labels).double().mean())


def _mixture(features, weight_0, weight_1, labels, alpha):
    return _percent_right(features @ ((1 - alpha) * weight_0 + alpha * weight_1).T, labels)


def _straight(features, weight_0, weight_1, labels, alpha):
    ends = (_percent_right(features @ weight.T, labels) for weight in (weight_0, weight_1))
    return sum(a * end for a, end in zip((1 - alpha, alpha), ends, strict=True))


def _probabilities(features, weight_0, weight_1, labels, alpha):
    both = ((features @ weight.T).softmax(-1) for weight in (weight_0, weight_1))
    return _percent_right(sum(a * p for a, p in zip((1 - alpha, alpha), both, strict=True)), labels)


mixture = Code(
    "11.5",
    _mixture,
    [_frozen, _end],
    [
        (
            lambda x, w0, w1, y, alpha: _mixture(x, w0, w1, y, 1 - alpha),
            "alpha = 0 must give the zero-shot head; yours runs the other way.",
        ),
        (
            _straight,
            "you mix two accuracies, so your curve is a straight line between the ends. Mix what comes before the argmax.",
        ),
        (
            _probabilities,
            "you mix probabilities. Weights mix *logits*; a softmax of each head first changes the result.",
        ),
        (lambda *inputs: _mixture(*inputs) / 100, "return a percentage, not a fraction."),
        (
            lambda x, w0, w1, y, alpha: _mixture(x, w0, w1, y, 0.5),
            "you take the middle whatever alpha is.",
        ),
        (
            lambda x, w0, w1, y, alpha: _mixture(x, w0, w1, y, float(alpha == 1)),
            "you take one of the two heads; mix their logits.",
        ),
        (
            lambda *inputs: len(inputs[0]) * _mixture(*inputs) / 100,
            "that is the number of right images; return a percentage.",
        ),
    ],
    draws=6,
)

oracle = Choice(
    "11.4",
    "B",
    {
        "A": "that is a claim about the model, but the number would look the same for a model that gained nothing.",
        "C": "the sign has nothing to do with seeds: it holds for every single run.",
        "D": "val was not used; the oracle picks alpha on the test images themselves.",
    },
)

ALL = [separate, cut, better, oracle, mixture]
