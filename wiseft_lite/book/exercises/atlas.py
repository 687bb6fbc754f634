"""Exercises on the atlas, in chapters 2, 5, 12 and 13.

The accuracies are drawn at random, as they are in the atlas: near a line in logit space.
"""

from __future__ import annotations

import math

import numpy as np

from wiseft_lite.book.checks import Choice, Code


def _logit(p):
    return np.log(np.asarray(p) / (1 - np.asarray(p)))


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def _models(generator, n=12, noise=0.1):
    """Reference and shift accuracies of models near a line in logit space."""
    x = generator.uniform(0.0, 2.0, n)
    y = generator.uniform(0.7, 1.2) * x - generator.uniform(0.3, 0.8)
    return _sigmoid(x).tolist(), _sigmoid(y + generator.normal(0, noise, n)).tolist()


def _fitted(reference, shift, at):
    slope, intercept = np.polyfit(_logit(reference), _logit(shift), 1)
    return float(_sigmoid(slope * _logit(at) + intercept))


def _straight(reference, shift, at):
    slope, intercept = np.polyfit(reference, shift, 1)
    return float(slope * at + intercept)


def _turned(reference, shift, at):
    slope, intercept = np.polyfit(_logit(shift), _logit(reference), 1)
    return float(_sigmoid((_logit(at) - intercept) / slope))


def _still_a_logit(reference, shift, at):
    return float(_logit(_fitted(reference, shift, at)))


def _one_axis(reference, shift, at):
    slope, intercept = np.polyfit(_logit(reference), shift, 1)
    return float(slope * _logit(at) + intercept)


line = Code(
    "2.6",
    _fitted,
    [lambda generator: (*_models(generator), float(generator.uniform(0.85, 0.97)))],
    [
        (
            _straight,
            "that is a line through the accuracies themselves: beyond the models it can leave 0 to 100 %, and they do "
            "not lie on it. Fit it to the logits.",
        ),
        (
            _one_axis,
            "only the reference is a logit in your fit; put the accuracies under shift through the logit too.",
        ),
        (
            _still_a_logit,
            "your prediction is a logit; turn it back into an accuracy with 1 / (1 + exp(-y)).",
        ),
        (
            _turned,
            "you fitted the reference from the shift. Least squares is not the same in both directions: predict the "
            "shift.",
        ),
    ],
)


def _slope(rows, x, y):
    return float(np.polyfit(np.asarray(x)[rows], np.asarray(y)[rows], 1)[0])


def _rows_of(families, drawn):
    return [k for name in drawn for k, family in enumerate(families) if family == name]


def _resampled(x, y, families, draws):
    return [_slope(_rows_of(families, drawn), x, y) for drawn in draws]


def _once(x, y, families, draws):
    return [_slope(_rows_of(families, sorted(set(drawn))), x, y) for drawn in draws]


def _family_means(x, y, families, draws):
    means = {
        name: (np.mean(np.asarray(x)[rows]), np.mean(np.asarray(y)[rows]))
        for name in set(families)
        for rows in [_rows_of(families, [name])]
    }
    return [
        float(np.polyfit(*zip(*(means[name] for name in drawn), strict=True), 1)[0])
        for drawn in draws
    ]


def _never_resampled(x, y, families, draws):
    return [_slope(list(range(len(x))), x, y)] * len(draws)


def _mean_slope(x, y, families, draws):
    return [
        float(np.mean([_slope(_rows_of(families, [name]), x, y) for name in drawn]))
        for drawn in draws
    ]


def _clusters(generator):
    names, size = list("abcdef"), 3
    families = [name for name in names for _ in range(size)]
    x = np.repeat(generator.normal(0, 1, len(names)), size) + generator.normal(
        0, 0.4, len(families)
    )
    y = 0.9 * x + np.repeat(generator.normal(0, 0.3, len(names)), size)
    y += generator.normal(0, 0.1, len(families))
    draws = [generator.choice(names, len(names)).tolist() for _ in range(3)]
    for drawn in draws:
        drawn[1] = drawn[0]  # one family twice, always
        drawn[2] = "f" if drawn[0] != "f" else "a"
    return x.tolist(), y.tolist(), families, draws


families = Code(
    "2.7",
    _resampled,
    [_clusters],
    [
        (
            _once,
            "a family that was drawn twice must count twice; yours counts once, and so the draws vary too little.",
        ),
        (
            _family_means,
            "you fit the line to one mean for each family. Families are drawn whole, with all their models.",
        ),
        (
            _mean_slope,
            "that is the mean of the families' own slopes; put the models of all drawn families together and fit one "
            "line.",
        ),
        (_never_resampled, "your slopes are all the same: fit each to the models of its own draw."),
    ],
)


def _left_out(reference, shift):
    x, y = _logit(reference), _logit(shift)
    distances = []
    for k in range(len(x)):
        slope, intercept = np.polyfit(np.delete(x, k), np.delete(y, k), 1)
        distances.append(abs(y[k] - slope * x[k] - intercept))
    return int(np.argmax(distances))


def _residuals(reference, shift):
    x, y = _logit(reference), _logit(shift)
    slope, intercept = np.polyfit(x, y, 1)
    return y - slope * x - intercept


def _masked(reference, shift):
    return int(np.argmax(np.abs(_residuals(reference, shift))))


def _in_points(reference, shift):
    predicted = [
        _fitted(np.delete(reference, k), np.delete(shift, k), reference[k])
        for k in range(len(reference))
    ]
    return int(np.argmax(np.abs(np.asarray(shift) - predicted)))


def _only_above(reference, shift):
    x, y = _logit(reference), _logit(shift)
    heights = []
    for k in range(len(x)):
        slope, intercept = np.polyfit(np.delete(x, k), np.delete(y, k), 1)
        heights.append(y[k] - slope * x[k] - intercept)
    return int(np.argmax(heights))


def _largest_drop(reference, shift):
    return int(np.argmax(np.asarray(reference) - np.asarray(shift)))


def _with_an_error(generator):
    """Models on a line, and three that lie off it: one far out, with a wrong number that pulls the line
    towards itself; one that is off by fewer logits; and one in the middle, where a logit is many points."""
    x = np.concatenate([generator.uniform(0.0, 0.8, 9), [3.8, 1.2, 0.2]])
    y = 0.9 * x - 0.5 + generator.normal(0, 0.03, 12)
    y[9:] += generator.choice([-1.0, 1.0], 3) * [generator.uniform(1.5, 1.7), 1.3, 0.7]
    order = generator.permutation(12)
    return _sigmoid(x[order]).tolist(), _sigmoid(y[order]).tolist()


suspect = Code(
    "2.8",
    _left_out,
    [_with_an_error],
    [
        (
            _masked,
            "the line that you measure from was fitted with the wrong number in it, and was pulled towards it. Leave the "
            "model out, fit the others, and then look how far it lies.",
        ),
        (
            _in_points,
            "you compare distances in points. Near 0 and 100 % a point is much, in the middle it is little: compare "
            "logits.",
        ),
        (
            _only_above,
            "a wrong number can be too low as well as too high: take the absolute distance.",
        ),
        (
            _largest_drop,
            "every model drops under shift. The suspect is the one that drops differently from the others of its "
            "accuracy.",
        ),
    ],
)

subset = Choice(
    "2.9",
    "C",
    {
        "A": "1,000 classes on one axis and 200 on the other: part of the difference is then that 200 are easier to tell "
        "apart.",
        "B": "accuracy on 200 classes is not 200 / 1,000 of anything; it has to be measured.",
        "D": "the images of ImageNet-A were chosen because a ResNet-50 fails on them; that is the shift, and no reason "
        "to leave ImageNet out.",
    },
)


def _left(values, given):
    design = np.column_stack([np.ones(len(given)), given])
    return values - design @ np.linalg.lstsq(design, np.asarray(values), rcond=None)[0]


def _correlation(x, y):
    return float(np.corrcoef(x, y)[0, 1])


def _partial(x, y, given):
    return _correlation(_left(x, given), _left(y, given))


def _three_columns(generator):
    given = generator.normal(0, 1, 20)
    x = 0.8 * given + generator.normal(0, 1, 20)
    y = -0.5 * x + 1.2 * given + generator.normal(0, 0.7, 20) + 3
    return x + 2, y, given + 5


partial = Code(
    "5.6",
    _partial,
    [_three_columns],
    [
        (
            lambda x, y, given: _correlation(x, y),
            "that is the plain correlation: nothing is held fixed.",
        ),
        (
            lambda x, y, given: _correlation(_left(x, given), y),
            "you removed 'given' from x alone. What it explains of y is still in y: remove it from both.",
        ),
        (
            lambda x, y, given: _correlation(
                np.asarray(x) - np.asarray(given), np.asarray(y) - np.asarray(given)
            ),
            "you subtract 'given' itself. How much of it to subtract must be fitted, for x and for y.",
        ),
        (
            lambda x, y, given: (
                _correlation(x, y) - _correlation(x, given) * _correlation(y, given)
            ),
            "the numerator is right; a correlation is divided by the spread of what is left, "
            "sqrt((1 - r_xz^2) (1 - r_yz^2)).",
        ),
    ],
)

second_witness = Choice(
    "12.7",
    "B",
    {
        "A": "neither witness tests the paper's own models and recipe; a claim about them is not refuted by others.",
        "C": "a verdict that depends on the recipe is a finding about the recipe, not a mistake of measurement.",
        "D": "ten pairs give a 90 % interval from +0.3 to +3.1 points: that says something, if not enough for a list of "
        "many claims.",
    },
)

_Z = 1.96


def _gap(first, second, share):
    """Accuracy of the first minus that of the second where a share of the images is shifted."""
    return (1 - share) * (first[0] - second[0]) + share * (first[1] - second[1])


def _half(first, second, share, n):
    of_reference = sum(p * (1 - p) for p in (first[0], second[0])) / n[0]
    of_shift = sum(p * (1 - p) for p in (first[1], second[1])) / n[1]
    return _Z * math.sqrt((1 - share) ** 2 * of_reference + share**2 * of_shift)


def _decide(low, high):
    if low > 0:
        return "first"
    return "second" if high < 0 else "unsure"


def _ship(first, second, shares, n):
    ends = [
        (
            _gap(first, second, s) - _half(first, second, s, n),
            _gap(first, second, s) + _half(first, second, s, n),
        )
        for s in shares
    ]
    return _decide(min(low for low, _ in ends), max(high for _, high in ends))


def _no_interval(first, second, shares, n):
    gaps = [_gap(first, second, share) for share in shares]
    return _decide(min(gaps), max(gaps))


def _middle_share(first, second, shares, n):
    share = sum(shares) / 2
    gap, half = _gap(first, second, share), _half(first, second, share, n)
    return _decide(gap - half, gap + half)


def _plain_mean(first, second, shares, n):
    gap, half = _gap(first, second, 0.5), _half(first, second, 0.5, n)
    return _decide(gap - half, gap + half)


def _shift_alone(first, second, shares, n):
    gap, half = _gap(first, second, 1.0), _half(first, second, 1.0, n)
    return _decide(gap - half, gap + half)


_CASES = (  # which inputs tell the formulas apart, one kind after the other
    ((0.86, 0.69), (0.83, 0.72), (0.05, 0.15), (50_000, 20_000)),  # first, whatever the share
    ((0.80, 0.48), (0.80, 0.51), (0.6, 0.9), (50_000, 20_000)),  # second
    ((0.84, 0.48), (0.78, 0.54), (0.1, 0.7), (50_000, 20_000)),  # depends on the share
    ((0.84, 0.60), (0.83, 0.59), (0.2, 0.6), (400, 400)),  # too few images
)


def _near(case):
    """Return a function that draws inputs near a case."""

    def inputs(generator):
        first, second, shares, n = case
        nudge = generator.uniform(-0.002, 0.002, 4)
        return (
            (first[0] + nudge[0], first[1] + nudge[1]),
            (second[0] + nudge[2], second[1] + nudge[3]),
            shares,
            n,
        )

    return inputs


ship = Code(
    "13.6",
    _ship,
    [_near(case) for case in _CASES],
    [
        (
            _no_interval,
            "you take the accuracies as exact. With a few hundred images a point may be chance: the interval of the "
            "difference must lie on one side.",
        ),
        (
            _middle_share,
            "you decide at the middle of the shares. The share is not known: a model is chosen only if it wins at both "
            "ends.",
        ),
        (
            _plain_mean,
            "you weigh reference and shift alike. Weigh them by how often each is met: 1 - share and share.",
        ),
        (_shift_alone, "you compare under shift alone; most images may come from the reference."),
    ],
)

ALL = [line, families, suspect, subset, partial, second_witness, ship]
