"""Exercises on the atlas, in chapters 2, 5, 12 and 13.

The accuracies are drawn at random, as they are in the atlas: near a line in logit space.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy.stats import t

from wiseft_lite.analysis import atlas
from wiseft_lite.analysis.correlation import partial_correlation
from wiseft_lite.analysis.robustness import difference_interval, fit_baseline
from wiseft_lite.book.checks import Choice, Code


def _logit(p):
    return np.log(np.asarray(p) / (1 - np.asarray(p)))


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def _slope_and_intercept(x, y):
    return np.polyfit(x, y, 1)


def _rows_of(families, drawn):
    return [k for name in drawn for k, family in enumerate(families) if family == name]


def _once(families, drawn):
    return _rows_of(families, sorted(set(drawn)))


def _newcombe(measured, predicted, low, high):
    accuracy, least, most = measured
    rho = accuracy - predicted
    return (
        rho,
        rho - math.hypot(accuracy - least, high - predicted),
        rho + math.hypot(most - accuracy, predicted - low),
    )


def _same_sides(measured, predicted, low, high):
    return _newcombe(measured, predicted, 2 * predicted - high, 2 * predicted - low)


def _added(measured, predicted, low, high):
    accuracy, least, most = measured
    return accuracy - predicted, least - high, most - low


def _of_shift_alone(measured, predicted, low, high):
    return _newcombe(measured, predicted, predicted, predicted)


def _of_line_alone(measured, predicted, low, high):
    return _newcombe((measured[0],) * 3, predicted, low, high)


def _placed(
    reference,
    shift,
    families,
    draws,
    at,
    measured,
    rows_of=_rows_of,
    combine=_newcombe,
    factor=lambda families, draws: t.ppf(0.975, len(set(families)) - 2),
    scale=_sigmoid,
    centre=lambda middle, drawn: middle,
):
    x, y, at = _logit(reference), _logit(shift), _logit(at)
    drawn = []
    for names in draws:
        rows = rows_of(families, names)
        drawn.append(float(np.polyval(_slope_and_intercept(x[rows], y[rows]), at)))
    middle = centre(float(np.polyval(_slope_and_intercept(x, y), at)), drawn)
    half = factor(families, draws) * np.std(drawn, ddof=1)
    ends = middle, middle - half, middle + half
    return combine(measured, *map(float, map(scale, ends)))


def _symmetric(reference, shift, families, draws, at, measured):
    """The line's error in accuracies instead of logits."""
    x, y, at = _logit(reference), _logit(shift), _logit(at)
    drawn = [
        float(_sigmoid(np.polyval(_slope_and_intercept(x[rows], y[rows]), at)))
        for rows in (_rows_of(families, names) for names in draws)
    ]
    predicted = float(_sigmoid(np.polyval(_slope_and_intercept(x, y), at)))
    half = t.ppf(0.975, len(set(families)) - 2) * np.std(drawn, ddof=1)
    return _newcombe(measured, predicted, predicted - half, predicted + half)


def _clusters(generator):
    """Models of six families of unequal size near a line, and one beyond all of them."""
    names, sizes = list("abcdef"), generator.permutation([2, 3, 3, 4, 5, 6])
    families = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    x = np.repeat(generator.normal(0, 1, len(names)), sizes)
    x += generator.normal(0, 0.4, len(families))
    y = 0.9 * x - 0.5 + np.repeat(generator.normal(0, 0.3, len(names)), sizes)
    y += generator.normal(0, 0.1, len(families))
    draws = [generator.choice(names, len(names)).tolist() for _ in range(8)]
    for drawn in draws:
        drawn[1] = drawn[0]  # one family twice, always
        drawn[2] = "f" if drawn[0] != "f" else "a"
    order = generator.permutation(len(families))
    accuracy = float(generator.uniform(0.35, 0.9))
    measured = (
        accuracy,
        accuracy - float(generator.uniform(0.03, 0.06)),
        accuracy + float(generator.uniform(0.01, 0.025)),
    )
    return (
        _sigmoid(x[order]).tolist(),
        _sigmoid(y[order]).tolist(),
        [families[k] for k in order],
        draws,
        float(generator.uniform(0.85, 0.95)),
        measured,
    )


placed = Code(
    "2.4",
    _placed,
    [_clusters],
    [
        (
            partial(_placed, rows_of=_once),
            "a family that was drawn twice must count twice; yours counts once, and so the draws vary too little.",
        ),
        (
            partial(_placed, factor=lambda families, draws: 1.96),
            "1.96 is for many families; take the quantile of Student's t with two degrees of freedom less than there "
            "are families.",
        ),
        (
            partial(_placed, factor=lambda families, draws: t.ppf(0.975, len(families) - 2)),
            "you count models for the degrees of freedom; families were drawn, so count families.",
        ),
        (
            partial(
                _placed,
                factor=lambda families, draws: (
                    t.ppf(0.975, len(set(families)) - 2) / math.sqrt(len(draws))
                ),
            ),
            "the standard deviation over the draws is the line's standard error already; more draws measure it more "
            "exactly and do not make it smaller.",
        ),
        (
            partial(_placed, centre=lambda middle, drawn: float(np.mean(drawn))),
            "the prediction is that of the line through all models; the draws say only how far it may be off.",
        ),
        (
            _symmetric,
            "you measure the line's error in accuracies; do it in logits, and turn both ends back, so that they stay "
            "between 0 and 1.",
        ),
        (
            partial(_placed, combine=_same_sides),
            "the difference is smallest where the line is at its high end: combine the lower half of the one with the "
            "upper half of the other.",
        ),
        (
            partial(_placed, combine=_added),
            "you add the two errors; they are independent, so add their squares and take the root.",
        ),
        (
            partial(_placed, combine=_of_shift_alone),
            "the line's own error is missing: your interval is that of the accuracy under shift.",
        ),
        (
            partial(_placed, combine=_of_line_alone),
            "the error of the accuracy under shift is missing: your interval is that of the line.",
        ),
    ],
    library=[atlas.fit_line, atlas.effective_robustness, difference_interval, fit_baseline],
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
        _sigmoid(
            np.polyval(
                np.polyfit(_logit(np.delete(reference, k)), _logit(np.delete(shift, k)), 1),
                _logit(reference[k]),
            )
        )
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
    "2.5",
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
    "2.6",
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


def _both(x, y, given):
    return _correlation(_left(x, given), _left(y, given))


def _x_alone(x, y, given):
    return _correlation(_left(x, given), y)


def _first_column(x, y, given):
    return _both(x, y, given[:, :1])


def _through_zero(x, y, given):
    left = [v - given @ np.linalg.lstsq(given, v, rcond=None)[0] for v in (x, y)]
    return _correlation(*left)


def _with_interval(x, y, given, correlate=_both, used=3, fixed=True, z=1.96, fisher=True):
    r = correlate(x, y, given)
    half = z / math.sqrt(len(x) - used - fixed * given.shape[1])
    if not fisher:
        return r, r - half, r + half
    return r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _columns(generator):
    """Two quantities that both depend on others, which vary by unequal amounts around 5."""
    n, k = int(generator.integers(18, 30)), int(generator.integers(2, 4))
    given = generator.normal(0, 1, (n, k)) * [1, 2, 0.5][:k]
    x = given @ [0.8, 0.5, -0.6][:k] + generator.normal(0, 1, n)
    y = -0.5 * x + given @ [1.2, -0.6, 0.9][:k] + generator.normal(0, 0.7, n) + 3
    return x + 2, y, given + 5


held_fixed = Code(
    "5.5",
    _with_interval,
    [_columns],
    [
        (
            partial(_with_interval, correlate=lambda x, y, given: _correlation(x, y)),
            "that is the plain correlation: nothing is held fixed.",
        ),
        (
            partial(_with_interval, correlate=_x_alone),
            "you removed 'given' from x alone. What it explains of y is still in y: remove it from both.",
        ),
        (
            partial(_with_interval, correlate=_first_column),
            "you hold the first column fixed; hold all of them, with one fit in all columns at once.",
        ),
        (
            partial(_with_interval, correlate=_through_zero),
            "your fit goes through zero: it needs a column of ones for the intercept.",
        ),
        (
            partial(_with_interval, fisher=False),
            "that is an interval around r itself, which can leave -1 to 1; it is symmetric in artanh(r).",
        ),
        (
            partial(_with_interval, fixed=False),
            "each quantity that is held fixed costs a degree of freedom: n - 3 - k.",
        ),
        (
            partial(_with_interval, used=0),
            "the root is of n - 3 - k, where k is the number of columns that are held fixed.",
        ),
    ],
    library=[partial_correlation],
    tolerance=1e-3,
)

second_witness = Choice(
    "12.7",
    "B",
    {
        "A": "neither of the two tests the paper's own models and recipe; a claim about them is not refuted by others.",
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

ALL = [placed, suspect, subset, held_fixed, second_witness, ship]
