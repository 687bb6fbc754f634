"""Exercises of chapter 2, Same classes, other images."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch

from wiseft_lite.analysis.robustness import effective_robustness, fit_baseline, logit
from wiseft_lite.book.checks import Code, Number
from wiseft_lite.book.checks.draw import normal
from wiseft_lite.metrics import accuracy, clopper_pearson, predictions, proportion

images = Number(
    "2.1",
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


def _subset(generator, move=0.0, of_labels=1.0, n=None):
    """Logits over nine classes, of which the shift has four; the label's is often the largest."""
    classes = tuple(generator.permutation(9)[:4].tolist())
    n = n or int(generator.integers(10, 25))
    labels = torch.as_tensor(generator.choice(classes, size=n))
    logits = normal(generator, len(labels), 9)
    logits[torch.arange(len(labels)), labels] += of_labels
    return logits + move, labels, classes


def _negative_logits(generator):
    return _subset(generator, move=-6.0)


def _positive_logits(generator):
    return _subset(generator, move=6.0)


def _all_right(generator):
    return _subset(generator, of_labels=20.0)


def _none_right(generator):
    return _subset(generator, of_labels=-20.0)


def _without_the_count(right, n):
    """The ends that "more than" and "fewer than" the observed count give."""
    return (
        clopper_pearson(right + 1, n)[0] if right < n else 1.0,
        clopper_pearson(right - 1, n)[1] if right else 0.0,
    )


def _wald(right, n):
    p = right / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def _zeroed(logits, classes):
    mask = torch.zeros(logits.shape[1])
    mask[list(classes)] = 1
    return (logits * mask).argmax(-1)


def _score(logits, labels, classes, predict=predictions, interval=clopper_pearson, scale=1):
    right, n = int((predict(logits, classes) == labels).sum()), len(labels)
    return tuple(scale * x for x in (right / n, *interval(right, n)))


def _cut_off(right, n):
    """The interval of a count that is the whole part of a mean of float32, times the images."""
    return clopper_pearson(int(torch.tensor(right / n, dtype=torch.float32).item() * n), n)


score = Code(
    "2.2",
    _score,
    # Of 97 or 107 images, the number that is right is often not what accuracy * n is cut off to.
    [
        *(_subset, partial(_subset, n=97), partial(_subset, n=107)),
        *(_negative_logits, _positive_logits, _all_right, _none_right),
    ],
    [
        (
            partial(_score, predict=lambda logits, classes: logits.argmax(-1)),
            "the model may still predict a class that the shift does not have; leave those columns out.",
        ),
        (
            partial(_score, predict=lambda logits, classes: logits[:, list(classes)].argmax(-1)),
            "argmax over some columns gives an index into them; turn it back into the class with classes[index].",
        ),
        (
            partial(_score, predict=_zeroed),
            "a logit of 0 is not small: it beats every negative one. Leave the other columns out, or set them to minus "
            "infinity.",
        ),
        (
            partial(_score, interval=_wald),
            "that is the approximation 1.96 sqrt(p (1 - p) / n); it can leave 0 to 1, and it has no width when all "
            "images are right. Search for the two probabilities.",
        ),
        (
            partial(_score, interval=partial(clopper_pearson, level=0.9)),
            "you leave 5 % on each side, which is an interval of 90 %; leave 2.5 % on each.",
        ),
        (
            partial(_score, interval=_without_the_count),
            "the observed count belongs to both tails: 'this many or more' is binom.sf(right - 1, n, p), "
            "'this many or fewer' binom.cdf(right, n, p).",
        ),
        (partial(_score, scale=100), "those are percentages; all three are fractions."),
        (
            partial(_score, interval=_cut_off),
            "`int` cuts off what is behind the decimal point, and 6.9999 becomes 6. Count the right predictions: "
            "(predicted == labels).sum().",
        ),
    ],
    library=[predictions, accuracy, proportion, clopper_pearson],
)


def _models(generator):
    """Models near a line in logit space, and one far from it, beyond the best of them."""
    n = int(generator.integers(5, 10))
    x = generator.uniform(-1.0, 0.8, n)
    slope, intercept = float(generator.uniform(0.7, 1.2)), -float(generator.uniform(0.6, 1.2))
    y = slope * x + intercept + generator.normal(0, 0.3, n)
    references, shifts = (1 / (1 + np.exp(-z)) for z in (x, y))
    reference = float(generator.uniform(0.85, 0.96))
    return references.tolist(), shifts.tolist(), reference, float(generator.uniform(0.2, 0.95))


def _below(generator):
    references, shifts, reference, _ = _models(generator)
    return references, shifts, reference, float(generator.uniform(0.05, 0.3))


def _promised(references, shifts, reference):
    return fit_baseline(references, shifts)(reference)


def _rho(references, shifts, reference, shift):
    return shift - _promised(references, shifts, reference)


def _straight(references, shifts, reference, shift):
    return float(shift - np.polyval(np.polyfit(references, shifts, 1), reference))


def _one_axis(references, shifts, reference, shift):
    x = [logit(p) for p in references]
    return float(shift - np.polyval(np.polyfit(x, shifts, 1), logit(reference)))


def _turned(references, shifts, reference, shift):
    x, y = ([logit(p) for p in values] for values in (references, shifts))
    slope, intercept = np.polyfit(y, x, 1)
    return float(shift - 1 / (1 + math.exp(-(logit(reference) - intercept) / slope)))


rho = Code(
    "2.3",
    _rho,
    [_models, _below],
    [
        (
            lambda references, shifts, reference, shift: shift - reference,
            "that is the plain gap between reference and shift; compare with what the line predicts instead.",
        ),
        (
            lambda references, shifts, reference, shift: reference - shift,
            "that is the plain gap, the drop; compare with what the line predicts instead.",
        ),
        (
            lambda *inputs: -_rho(*inputs),
            "the sign is reversed: a model above the line has positive effective robustness.",
        ),
        (
            lambda *inputs: abs(_rho(*inputs)),
            "below the line it is negative: take no absolute value.",
        ),
        (
            lambda references, shifts, reference, shift: _promised(references, shifts, reference),
            "that is what the line predicts; subtract it from the accuracy under shift.",
        ),
        (
            lambda references, shifts, reference, shift: (
                shift - _promised(references, shifts, shift)
            ),
            "the line takes the accuracy on the reference, not the one under shift.",
        ),
        (
            _straight,
            "that is a line through the accuracies themselves: beyond the models it can leave 0 to 100 %. Fit it to the "
            "logits.",
        ),
        (
            _one_axis,
            "only the reference is a logit in your fit; put the accuracies under shift through the logit too.",
        ),
        (
            _turned,
            "you fitted the reference from the shift. Least squares is not the same in both directions: predict the "
            "shift.",
        ),
        (
            lambda references, shifts, reference, shift: (
                logit(shift) - logit(_promised(references, shifts, reference))
            ),
            "that is the distance in logits; turn the prediction back into an accuracy before you subtract.",
        ),
        (lambda *inputs: 100 * _rho(*inputs), "that is in points; here return a fraction."),
    ],
    library=[fit_baseline, effective_robustness],
)

ALL = [images, score, rho]
