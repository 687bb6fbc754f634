"""Exercises of chapter 7, Choosing alpha without peeking."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pandas as pd

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import table
from wiseft_lite.book.experiments import ch07 as measured
from wiseft_lite.results import best_alpha

images = Number(
    "7.1",
    1,
    [
        (0.3, "that is the gap in points; a point is one image in a hundred."),
        (92, "0.3 points are not a fraction of 0.3: divide by 100 first."),
        (3, "a whole point would be three images; this is a third of a point."),
        (0, "0.3 % of 307 images is 0.92: round it to whole images."),
        (102, "0.3 points of 307 images: multiply, do not divide."),
    ],
    tolerance=0.1,
)


_ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0]


def _mean_of_both(scores, shifts):
    return (scores["test"] + scores[shifts].mean(axis=1)) / 2


def _scores(generator, tied=False):
    """Accuracies by alpha, not in order; the columns do not agree on the best. No two alphas have the
    same mean of reference and shifts, and none the same ``val`` unless ``tied``."""
    n, shifts = int(generator.integers(4, 7)), ["emoji", "pixel", "sketch"]
    while True:
        scores = table(generator, n + 1, ["val", "test", *shifts])
        if _mean_of_both(scores, shifts).round(6).is_unique:
            break
    alphas = generator.permutation([0.5, *generator.permutation(_ALPHAS)[:n]])
    scores.index = pd.Index(alphas.tolist(), name="alpha")
    if tied:
        best = generator.permutation(n + 1)[:3]
        scores.iloc[best, 0] = 95.0
    return scores, [str(shift) for shift in generator.permutation(shifts)]


def _tied(generator):
    return _scores(generator, tied=True)


def _smallest(column):
    return float(column.index[column == column.max()].min())


def _largest(column):
    return float(column.index[column == column.max()].max())


def _nearest_to_half(column):
    return float(min(column.index[column == column.max()], key=lambda a: abs(a - 0.5)))


def _of_reference_and_shifts(scores, shifts):
    return _smallest(_mean_of_both(scores, shifts))


def _rules(
    table,
    shifts,
    val=lambda table, shifts: _smallest(table["val"]),
    oracle=_of_reference_and_shifts,
    own=lambda table, shifts: table[shifts].mean(axis=1).max(),
    report=lambda table, shifts: table[shifts].mean(axis=1),
):
    mean = report(table, shifts)
    taken = {"half": 0.5, "val": val(table, shifts), "one oracle": oracle(table, shifts)}
    rows = {rule: (alpha, table["test"][alpha], mean[alpha]) for rule, alpha in taken.items()}
    return {**rows, "own oracle": (np.nan, table["test"].max(), own(table, shifts))}


rules = Code(
    "7.2",
    _rules,
    [_scores, _tied],
    [
        (
            partial(_rules, val=lambda table, shifts: _smallest(table["test"])),
            "the rule val chooses on the test images of the reference, and then reports on the same images.",
        ),
        (
            partial(_rules, val=lambda table, shifts: _smallest(table[shifts].mean(axis=1))),
            "the rule val chooses on the shifts; in practice there are no labels from a future shift.",
        ),
        (
            partial(_rules, val=lambda table, shifts: _largest(table["val"])),
            "of several that are equally good on val, take the smallest, the one nearest to zero-shot; yours is the largest.",
        ),
        (
            partial(_rules, val=lambda table, shifts: _nearest_to_half(table["val"])),
            "of several that are equally good on val, take the smallest; yours is the one nearest to 0.5.",
        ),
        (
            partial(_rules, val=lambda table, shifts: float(table["val"].idxmax())),
            "of several that are equally good on val, take the smallest; yours is the first in the table.",
        ),
        (
            partial(
                _rules,
                oracle=lambda table, shifts: _smallest(table[["test", *shifts]].mean(axis=1)),
            ),
            "the one oracle counts every shift as much as the reference; take the mean over the shifts first, then the "
            "mean of that and the reference.",
        ),
        (
            partial(_rules, oracle=lambda table, shifts: _smallest(table[shifts].mean(axis=1))),
            "the one oracle looks at the shifts alone; it is best for the mean of reference and shifts.",
        ),
        (
            partial(_rules, own=lambda table, shifts: table[shifts].max().mean()),
            "the own oracle takes the best of each shift; here it has one alpha for the mean of the shifts. The other "
            "meaning comes in the next section.",
        ),
        (
            partial(
                _rules, own=lambda table, shifts: table.loc[table["test"].idxmax(), shifts].mean()
            ),
            "the own oracle reads the shifts at the alpha that is best for the reference; it has another alpha for each "
            "of the two columns.",
        ),
        (
            partial(
                _rules, report=lambda table, shifts: table.drop(columns=["val", "test"]).max(axis=1)
            ),
            "you report the best shift at each alpha; report the mean over the shifts.",
        ),
    ],
    library=[best_alpha, measured.rules],
)

_SIZES = (23, 29, 31, 37)  # primes: two means over several shifts are equal only if all counts are


def _right_by_shift(generator, n_alphas):
    """Which alphas are right on which images of four shifts, whose best alphas differ."""
    names = ["emoji", "pixel", "sketch", "colour"]
    right = {}
    for k, n in enumerate(generator.permutation(_SIZES)):
        height = 0.35 + 0.3 * generator.random(n_alphas)
        right[names[k]] = generator.random((n_alphas, n)) < height[:, None]
    return right


def _halves(generator):
    right = _right_by_shift(generator, int(generator.integers(4, 7)))
    return right, {
        shift: [generator.permutation(rows.shape[1]) < rows.shape[1] // 2 for _ in range(3)]
        for shift, rows in right.items()
    }


def _other_half(rows, chooser):
    """The alpha that is best on one half, read on the other."""
    return rows[rows[:, chooser].mean(axis=1).argmax(), ~chooser].mean()


def _same_half(rows, chooser):
    return rows[:, chooser].mean(axis=1).max()


def _all_images(rows, chooser):
    return rows[rows[:, chooser].mean(axis=1).argmax()].mean()


def _optima(right, halves, read=_other_half, both_ways=True, order=(0, 1, 2)):
    curves = np.stack([rows.mean(axis=1) for rows in right.values()])
    honest = [
        np.mean(
            [
                read(rows, chooser)
                for half in halves[shift]
                for chooser in ([half, ~half] if both_ways else [half])
            ]
        )
        for shift, rows in right.items()
    ]
    found = curves.max(axis=1).mean(), curves.mean(axis=0).max(), np.mean(honest)
    return tuple(float(found[k]) for k in order)


def _pooled(right, halves):
    """Images of all shifts in one heap."""
    _, _, honest = _optima(right, halves)
    n = sum(rows.shape[1] for rows in right.values())
    best = sum(rows.sum(axis=1).max() for rows in right.values()) / n
    return best, sum(rows.sum(axis=1) for rows in right.values()).max() / n, honest


optima = Code(
    "7.3",
    _optima,
    [_halves],
    [
        (
            partial(_optima, order=(1, 0, 2)),
            "the first two are in the wrong order: first the mean of the best values, then the best value of the mean.",
        ),
        (
            partial(_optima, read=_same_half),
            "the third number is measured on the images that chose, so it is too high by chance; measure on the other half.",
        ),
        (
            partial(_optima, read=_all_images),
            "the third number is measured on all images, half of which chose; measure on the other half alone.",
        ),
        (
            partial(_optima, both_ways=False),
            "only one half chooses in yours: let the other half choose too, and take the mean.",
        ),
        (
            _pooled,
            "you put the images of all shifts together, so a large shift counts more; take the mean over the shifts.",
        ),
        (
            lambda right, halves: (_optima(right, halves)[0],) * 2 + (_optima(right, halves)[2],),
            "both of the first two are the mean of the best values; for the second, take the mean over the shifts first.",
        ),
        (
            lambda right, halves: tuple(100 * x for x in _optima(right, halves)),
            "those are percentages; all three are fractions.",
        ),
    ],
    library=[measured.optima],
)


def _val(generator, part, smaller):
    """Which alphas are right on which images: one is right wherever another is, and once more. They tie
    unless that image is drawn; the row of the ``smaller`` alpha of the two comes after the other."""
    n = int(generator.integers(28, 40))
    weaker = generator.permutation(n) < 0.6 * n
    stronger = weaker.copy()
    stronger[np.flatnonzero(~weaker)[0]] = True
    poor = generator.permutation(n) < 0.2 * n
    rows = {"weaker": weaker, "stronger": stronger}
    first = rows.pop(smaller)
    right, alphas = [*rows.values(), first], [0.7, 0.2]
    place = int(generator.integers(3))
    right.insert(place, poor)
    alphas.insert(place, float(generator.choice([0.0, 0.9])))
    size = max(round(part * n), 5)
    return np.stack(right), alphas, size, DRAWS, int(generator.integers(10**6))


DRAWS = 600


def _tie_to_the_weaker(generator):
    return _val(generator, 1.0, "weaker")


def _tie_to_the_stronger(generator):
    return _val(generator, 1.0, "stronger")


def _small_sets(generator):
    return _val(generator, 0.2, "weaker")


def _how_often(redrawn, right, alphas, size, draws, seed):
    """How often each alpha is chosen, and anything else; the last number is the sum, which sets the
    scale of what may be chance."""
    generator = np.random.default_rng(seed)
    before = generator.bit_generator.state
    chosen = redrawn(right, alphas, size, draws, generator)
    wins = Counter(round(float(alpha), 6) for alpha in chosen)
    often = [wins.pop(alpha, 0) / draws for alpha in alphas]
    return {
        "how often each alpha wins, others, in sum": [
            *often,
            sum(wins.values()) / draws,
            len(chosen) / draws,
        ],
        "uses the generator": generator.bit_generator.state != before,
    }


def _redrawn(
    right,
    alphas,
    size,
    draws,
    generator,
    replace=True,
    size_of=lambda size, n: size,
    apart=False,
    ordered=True,
    rows=False,
    of=lambda right: right,
    once=False,
):
    alphas = np.asarray(alphas)
    order = np.argsort(alphas) if ordered else np.arange(len(alphas))
    n, chosen = right.shape[1], []
    for k in range(draws):
        if k == 0 or not once:
            drawn = [
                generator.choice(n, size=size_of(size, n), replace=replace)
                for _ in range(len(alphas) if apart else 1)
            ]
        scores = [of(right)[j, drawn[i if apart else 0]].mean() for i, j in enumerate(order)]
        row = order[int(np.argmax(scores))]
        chosen.append(row if rows else alphas[row])
    return chosen


def _own_generator(right, alphas, size, draws, generator):
    return _redrawn(right, alphas, size, draws, np.random.default_rng(0))


redrawn = Code(
    "7.4",
    _redrawn,
    [_tie_to_the_weaker, _tie_to_the_stronger, _small_sets],
    [
        (
            partial(_redrawn, apart=True),
            "each alpha is evaluated on its own draw, so a model can lose to one that is never better. "
            "Draw once and evaluate all alphas on the same images.",
        ),
        (
            partial(_redrawn, replace=False),
            "you draw without replacement, so a full set is always the same set: some images must be drawn twice and "
            "others not at all.",
        ),
        (
            partial(_redrawn, size_of=lambda size, n: n),
            "you draw as many images as there are; 'size' says how many the new set has.",
        ),
        (
            partial(_redrawn, once=True),
            "you draw once and repeat that choice; draw new images each time.",
        ),
        (
            partial(_redrawn, ordered=False),
            "of alphas that are equally good on a draw the smallest wins; yours is the first row, and the rows are not in "
            "the order of alpha.",
        ),
        (
            partial(_redrawn, rows=True),
            "you return row numbers; return the alphas of the rows.",
        ),
        (
            partial(_redrawn, of=lambda right: ~right),
            "that is the row with the most mistakes; the one that is right most often wins.",
        ),
        (
            _own_generator,
            "you make a generator of your own at each call, so another seed changes nothing: use the one that is given.",
        ),
    ],
    library=[measured.choices],
    call=_how_often,
    tolerance=0.13,
    draws=2,
)


def _chosen(accuracies, shift):
    """The row that is best for the mean of the other shifts."""
    return int(np.mean([v for s, v in accuracies.items() if s != shift], axis=0).argmax())


def _clear(accuracies):
    """Whether every choice, with one shift away or with none, has one winner, and not by a hair."""
    for away in (None, *accuracies):
        mean = np.mean([v for s, v in accuracies.items() if s != away], axis=0)
        second, first = np.sort(mean)[-2:]
        if first - second < 1e-6:
            return False
    return True


def _redrawn_shifts(generator):
    n_alphas = int(generator.integers(4, 6))
    alphas = generator.permutation([0.5, *generator.permutation(_ALPHAS)[: n_alphas - 1]]).tolist()
    right = _right_by_shift(generator, n_alphas)
    draws = []
    while len(draws) < 12:
        draw = {s: generator.integers(r.shape[1], size=r.shape[1]) for s, r in right.items()}
        if _clear(_accuracies(right, draw)):
            draws.append(draw)
    if not _clear(_accuracies(right)):
        return _redrawn_shifts(generator)
    return right, alphas, draws


def _accuracies(right, draw=None):
    return {s: (r if draw is None else r[:, draw[s]]).mean(axis=1) for s, r in right.items()}


def _gains(accuracies, half, choose=_chosen, base=None):
    base = accuracies if base is None else base
    gains = {s: v[choose(accuracies, s)] - base[s][half] for s, v in accuracies.items()}
    return {**gains, "mean": np.mean(list(gains.values()))}


def _percentiles(values, level=95):
    return np.percentile(values, [50 - level / 2, 50 + level / 2])


def _held_out_gains(
    right,
    alphas,
    draws,
    choose=_chosen,
    base=0.5,
    fixed_choice=False,
    fixed_base=False,
    middle=None,
    ends=_percentiles,
    scale=100,
):
    half, whole = list(alphas).index(base), _accuracies(right)
    gain = _gains(whole, half, choose)
    if fixed_choice:
        rows = {s: choose(whole, s) for s in right}
        choose = lambda accuracies, shift: rows[shift]  # noqa: E731
    drawn = [
        _gains(_accuracies(right, draw), half, choose, whole if fixed_base else None)
        for draw in draws
    ]
    found = {}
    for name in gain:
        values = scale * np.array([d[name] for d in drawn])
        centre = scale * gain[name] if middle is None else middle(values)
        found[name] = (centre, *ends(values))
    return found


def _pooled_gains(right, alphas, draws):
    """The others' images count, not the others' shifts."""
    sizes = {s: r.shape[1] for s, r in right.items()}

    def choose(accuracies, shift):
        return int(sum(sizes[s] * v for s, v in accuracies.items() if s != shift).argmax())

    return _held_out_gains(right, alphas, draws, choose)


def _mean_of_ends(right, alphas, draws):
    found = _held_out_gains(right, alphas, draws)
    return {**found, "mean": tuple(np.mean([found[s] for s in right], axis=0))}


held_out_gains = Code(
    "7.5",
    _held_out_gains,
    [_redrawn_shifts],
    [
        (
            partial(
                _held_out_gains, choose=lambda accuracies, shift: int(accuracies[shift].argmax())
            ),
            "each shift gets the alpha that is best for itself: that is the oracle again.",
        ),
        (
            partial(
                _held_out_gains,
                choose=lambda accuracies, shift: int(
                    np.mean(list(accuracies.values()), axis=0).argmax()
                ),
            ),
            "the shift takes part in choosing its own alpha: leave it out of the mean.",
        ),
        (
            _pooled_gains,
            "you put the images of the other shifts together, so a large shift counts more; take the mean of their "
            "accuracies.",
        ),
        (
            partial(_held_out_gains, fixed_choice=True),
            "you choose alpha once, on all images, and keep it in every draw. The choice is a part of what varies: choose "
            "again in each draw.",
        ),
        (
            partial(_held_out_gains, fixed_base=True),
            "the accuracy at 0.5 is that of all images in every draw; read both on the same redrawn images.",
        ),
        (
            partial(_held_out_gains, middle=lambda values: float(values.mean())),
            "the gain is that of the images as they are; the draws show only how far it may be off.",
        ),
        (
            partial(_held_out_gains, ends=partial(_percentiles, level=90)),
            "those are the 5th and 95th percentile, an interval of 90 %; take the 2.5th and the 97.5th.",
        ),
        (
            partial(
                _held_out_gains,
                ends=lambda values: np.mean(values) + 1.96 * np.std(values) * np.array([-1, 1]),
            ),
            "those are 1.96 standard deviations to either side; take the percentiles of the draws.",
        ),
        (
            _mean_of_ends,
            "the ends of the mean are not the mean of the ends, for the errors of the shifts partly cancel: average the "
            "gains in each draw, then take percentiles.",
        ),
        (
            partial(_held_out_gains, scale=1),
            "those are fractions; gains are stated in points.",
        ),
    ],
    library=[measured.leave_one_out],
    draws=3,
)

beyond = Choice(
    "7.6",
    "C",
    {
        "A": "the distance from zero-shot is |alpha| times that between the two models, so at -0.5 it is half of it.",
        "B": "the coefficients are 1.5 and -0.5, and at alpha = 0.5 they are 0.5 and 0.5: not the same with the opposite sign.",
        "D": "moving away from the fine-tuned weights is not the inverse of training: beyond zero-shot no model has ever "
        "been trained, and only a measurement shows how good it is.",
    },
)

ALL = [images, rules, optima, redrawn, held_out_gains, beyond]
