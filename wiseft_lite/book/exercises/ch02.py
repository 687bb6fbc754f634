"""Exercises of chapter 2, Same classes, other images."""

from __future__ import annotations

import math

import numpy as np
import torch

from wiseft_lite.analysis.robustness import Baseline, effective_robustness, logit
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.metrics import predictions


def _subset(generator, move=0.0):
    """Logits over nine classes, of which the shift has four; the label's is often the largest."""
    classes = tuple(generator.permutation(9)[:4].tolist())
    labels = torch.as_tensor(generator.choice(classes, size=12))
    logits = normal(generator, 12, 9)
    logits[torch.arange(12), labels] += 1
    return logits + move, labels, classes


def _negative_logits(generator):
    return _subset(generator, move=-6.0)


def _positive_logits(generator):
    return _subset(generator, move=6.0)


def _fraction(predicted, labels):
    return float((predicted == labels).float().mean())


def _own(logits, labels, classes):
    return _fraction(predictions(logits, classes), labels)


def _zeroed(logits, labels, classes):
    mask = torch.zeros(logits.shape[1])
    mask[list(classes)] = 1
    return _fraction((logits * mask).argmax(-1), labels)


own = Code(
    "2.1",
    _own,
    [_subset, _negative_logits, _positive_logits],
    [
        (
            lambda logits, labels, classes: _fraction(logits.argmax(-1), labels),
            "the model may still predict a class that the shift does not have; leave those columns out.",
        ),
        (
            lambda logits, labels, classes: _fraction(logits[:, list(classes)].argmax(-1), labels),
            "argmax over some columns gives an index into them; turn it back into the class with classes[index].",
        ),
        (
            _zeroed,
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus "
            "infinity.",
        ),
        (lambda *inputs: 100 * _own(*inputs), "that is in percent; return a fraction."),
        (
            lambda logits, labels, classes: len(labels) * _own(logits, labels, classes),
            "that is the number of right images; divide it by how many there are.",
        ),
        (
            lambda *inputs: 1 - _own(*inputs),
            "that is the error; return the fraction that is right.",
        ),
    ],
    library=[predictions],
)

images = Number(
    "2.2",
    800,
    [
        (
            1067,
            "that is the number for an accuracy of 50 %, the worst case; at 75 % fewer are enough.",
        ),
        (
            33,
            "the error falls with the square root of n: to halve it takes four times the images.",
        ),
        (208, "1.96 standard errors must be 3 points, not one standard error."),
        (3201, "3 points to either side; yours is the number for 1.5 to either side."),
        (1600, "the error is sqrt(p (1 - p) / n), for one model."),
    ],
    tolerance=100,
)


def _a_probability(generator):
    return (float(generator.uniform(0.02, 0.98)),)


def _near_the_ends(generator):
    p = float(generator.uniform(0.001, 0.02))
    return (p if generator.integers(2) else 1 - p,)


to_logit = Code(
    "2.4",
    logit,
    [_a_probability, _near_the_ends],
    [
        (
            lambda p: math.log(p),
            "that is log(p): an accuracy of 50 % must give 0, so compare p with 1 - p.",
        ),
        (
            lambda p: math.log10(p / (1 - p)),
            "use the natural logarithm; base 10 leaves slopes unchanged but makes every value smaller.",
        ),
        (
            lambda p: math.log2(p / (1 - p)),
            "use the natural logarithm; base 2 leaves slopes unchanged but makes every value larger.",
        ),
        (
            lambda p: math.log((1 - p) / p),
            "a higher accuracy must have a higher logit; yours has the opposite sign.",
        ),
        (lambda p: p / (1 - p), "those are the odds; the logit is their logarithm."),
        (
            lambda p: 1 / (1 + math.exp(-p)),
            "that is the inverse, which turns logits into accuracies.",
        ),
        (lambda p: p - 0.5, "that is a straight line; the logit stretches both ends."),
    ],
)


def _model(generator):
    line = Baseline(float(generator.uniform(0.6, 1.2)), float(generator.uniform(-1.5, 0.5)))
    reference, shift = generator.uniform(0.3, 0.95, size=2).tolist()
    return reference, shift, line


rho = Code(
    "2.5",
    effective_robustness,
    [_model],
    [
        (
            lambda reference, shift, line: shift - reference,
            "that is the plain gap between reference and shift; compare with what the baseline predicts instead.",
        ),
        (
            lambda reference, shift, line: reference - shift,
            "that is the plain gap, the drop; compare with what the baseline predicts instead.",
        ),
        (
            lambda reference, shift, line: line(reference) - shift,
            "the sign is reversed: a model above the line has positive effective robustness.",
        ),
        (
            lambda reference, shift, line: shift - line(shift),
            "the baseline takes the accuracy on the reference, not the one under shift.",
        ),
        (
            lambda reference, shift, line: line(reference),
            "that is what the baseline predicts; subtract it from the accuracy under shift.",
        ),
        (
            lambda reference, shift, line: reference - line(reference),
            "you subtract from the accuracy on the reference; subtract from the one under shift.",
        ),
        (
            lambda reference, shift, line: logit(shift) - logit(line(reference)),
            "that is the distance in logits; subtract the accuracies themselves.",
        ),
        (
            lambda reference, shift, line: 100 * (shift - line(reference)),
            "that is in points; here return a fraction.",
        ),
        (
            lambda reference, shift, line: np.abs(shift - line(reference)),
            "below the line it is negative: take no absolute value.",
        ),
    ],
)

overlap = Choice(
    "2.3",
    "C",
    {
        "A": "two intervals that overlap can still belong to different accuracies; overlap is not a test.",
        "B": "a higher number on other images may be chance: look at the intervals before you rank.",
        "D": "the size of the interval comes from n and p; more epochs do not narrow it.",
    },
)

ALL = [own, images, overlap, to_logit, rho]
