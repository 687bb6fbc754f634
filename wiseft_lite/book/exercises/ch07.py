"""Exercises of chapter 7, Choosing alpha without peeking."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, table
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


def _results(generator, n, on_val=None):
    """Accuracies by alpha and split, in any order, without ties unless ``on_val`` has them."""
    alphas = (generator.permutation(11)[:n] / 10).tolist()
    drawn = [x / 100 for x in distinct(generator, 4 * n)]
    splits = {name: drawn[k::4] for k, name in enumerate(("val", "test", "emoji", "pixel"))}
    wide = pd.DataFrame({"alpha": alphas, **splits})
    wide["val"] = wide["val"] if on_val is None else on_val
    table = wide.melt("alpha", var_name="split", value_name="accuracy")
    return (table.iloc[generator.permutation(len(table))],)


def _clear(generator):
    return _results(generator, int(generator.integers(4, 7)))


def _tied(generator):
    return _results(generator, 6, [0.97, 0.97, 0.97, 0.97, 0.93, 0.92])


def _best_on(*splits, of_several=min):
    def choose(table):
        part = table[table["split"].isin(splits)].groupby("alpha")["accuracy"].mean()
        return float(of_several(part[part == part.max()].index))

    return choose


def _first_of(split):
    def choose(table):
        rows = table[table["split"] == split]
        return float(rows.loc[rows["accuracy"].idxmax(), "alpha"])

    return choose


def _two_faults(table):
    rows = table[table["split"] == "test"]
    return float(rows.loc[rows["accuracy"].idxmax(), "alpha"])


choose = Code(
    "7.2",
    _best_on("val"),
    [_clear, _tied],
    [
        (
            _two_faults,
            "you choose alpha on the test images of the reference, then report on the same images.",
        ),
        (
            _best_on("emoji", "pixel"),
            "you choose on the shifts; in practice there are no labels from a future shift.",
        ),
        (
            _best_on("val", "test", "emoji", "pixel"),
            "you choose on all splits together; only val was set aside for choosing.",
        ),
        (
            lambda table: float(table.loc[table["accuracy"].idxmax(), "alpha"]),
            "you take the largest accuracy of the whole table, whatever its split.",
        ),
        (
            _best_on("val", of_several=max),
            "of several that are equally good on val, take the smallest, the one nearest to zero-shot; yours is the largest.",
        ),
        (
            _best_on("val", of_several=lambda alphas: min(alphas, key=lambda a: abs(a - 0.5))),
            "of several that are equally good on val, take the smallest; yours is the one nearest to 0.5.",
        ),
        (
            _first_of("val"),
            "of several that are equally good on val, take the smallest; yours is the first in the table.",
        ),
        (
            lambda table: table.loc[table["split"] == "val", "accuracy"].max(),
            "that is the accuracy; return the alpha that has it.",
        ),
    ],
    starter=_two_faults,
    library=[best_alpha],
)


def _scores(generator):
    """Accuracies by alpha, not in order and without 0.5; the columns do not agree on the best."""
    n = int(generator.integers(4, 7))
    shifts = ["emoji", "pixel", "sketch"]
    scores = table(generator, n, ["val", "test", *shifts])
    alphas = generator.permutation([0.0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.9, 1.0])[:n]
    scores.index = pd.Index(alphas.tolist(), name="alpha")
    return scores, [str(shift) for shift in generator.permutation(shifts)]


def _two_means(table, shifts):
    return table[shifts].max().mean(), table[shifts].mean(axis=1).max()


def _at_reference(table, shifts):
    return table[shifts].max().mean(), table.loc[table["test"].idxmax(), shifts].mean()


def _alphas(table, shifts):
    return table[shifts].idxmax().mean(), table[shifts].mean(axis=1).idxmax()


two_means = Code(
    "7.3",
    _two_means,
    [_scores],
    [
        (
            lambda table, shifts: (table[shifts].mean().max(),) * 2,
            "you average over the alphas; average over the shifts, and take the best over the alphas.",
        ),
        (_alphas, "you return alphas; the two numbers are accuracies."),
        (
            lambda table, shifts: _two_means(table, shifts)[::-1],
            "the two are in the wrong order: first the mean of the best values, then the best value of the mean.",
        ),
        (
            _at_reference,
            "the second number takes the alpha that is best for the *mean of the shifts*, not for the reference.",
        ),
        (
            lambda table, shifts: (table[shifts].max().max(), table[shifts].mean(axis=1).max()),
            "the first number is the largest accuracy of all; take the mean of each shift's best.",
        ),
        (
            lambda table, shifts: _two_means(table, list(table)),
            "you take all columns of the table; 'shifts' says which ones count.",
        ),
        (
            lambda table, shifts: (table[shifts].max().mean(),) * 2,
            "both numbers are the mean of the best values; for the second, take the mean first.",
        ),
        (
            lambda table, shifts: (table[shifts].mean(axis=1).max(),) * 2,
            "both numbers are the best value of the mean; for the first, take each shift's best first.",
        ),
    ],
)


def _right(generator):
    """Which alphas are right on which images: one is right wherever the other is, and once more."""
    n = int(generator.integers(20, 40))
    weaker = generator.permutation(n) < 0.6 * n
    stronger = weaker.copy()
    stronger[np.flatnonzero(~weaker)[0]] = True
    poor = generator.permutation(n) < 0.2 * n
    order = generator.permutation(2)
    return np.stack([*np.stack([weaker, stronger])[order], poor]), int(generator.integers(10**6))


DRAWS = 600


def _how_often(redraw, right, seed):
    """How often each row wins, out of many draws."""
    generator = np.random.default_rng(seed)
    before = generator.bit_generator.state
    wins = Counter(int(redraw(right, generator)) for _ in range(DRAWS))
    often = {f"row {k} wins": wins.pop(k, 0) / DRAWS for k in range(len(right))}
    used = generator.bit_generator.state != before
    return {**often, "no row of right": sum(wins.values()) / DRAWS, "uses the generator": used}


def _mean_over(right, rows, axis=1):
    return int(right[:, rows].mean(axis=axis).argmax())


def _draw(size=None, replace=True):
    """Redraw ``size`` images, or as many as there are."""

    def redraw(right, generator):
        n = right.shape[1]
        return _mean_over(right, generator.choice(n, size=size or n, replace=replace))

    return redraw


def _apart(right, generator):
    n = right.shape[1]
    scores = [row[generator.integers(n, size=n)].mean() for row in right]
    return int(np.argmax(scores))


def _over_rows(right, generator):
    n = right.shape[1]
    return _mean_over(right, generator.integers(n, size=n), axis=0)


redraw = Code(
    "7.4",
    _draw(),
    [_right],
    [
        (
            _over_rows,
            "the answer is the index of an alpha, a row of 'right': average over the images, axis 1.",
        ),
        (
            _apart,
            "each alpha is evaluated on its own draw, so a model can lose to one that is never better. "
            "Draw once and evaluate all alphas on the same images.",
        ),
        (
            _draw(replace=False),
            "every draw gives the same answer: draw with replacement, so that some images are drawn twice and others "
            "not at all.",
        ),
        (
            _draw(size=8),
            "draw as many images as there are: the question is how much the choice varies for a set of *this* size.",
        ),
        (
            lambda right, generator: _draw()(right, np.random.default_rng(0)),
            "you make a generator of your own at each call, so every draw is the same: use the one that is given.",
        ),
        (
            lambda right, generator: int(generator.integers(len(right))),
            "you draw a row at random; draw images, and take the row that wins on them.",
        ),
        (
            lambda right, generator: _mean_over(
                ~right, generator.integers(right.shape[1], size=right.shape[1])
            ),
            "that is the row with the most mistakes; the one that is right most often wins.",
        ),
    ],
    starter=_apart,
    call=_how_often,
    tolerance=0.13,
    draws=2,
)


def _others(shift, shifts):
    return [other for other in shifts if other != shift]


def _leave_one_out(table, shifts):
    return {
        shift: table[shift][best_alpha(table[_others(shift, shifts)].mean(axis=1))]
        for shift in shifts
    }


def _at(choose):
    """The accuracy of each shift at the alpha that is chosen for it."""
    return lambda table, shifts: {s: table[s][choose(table, s, shifts)] for s in shifts}


leave_one_out = Code(
    "7.5",
    _leave_one_out,
    [_scores],
    [
        (
            lambda table, shifts: table[shifts].max().to_dict(),
            "each shift gets the alpha that is best for itself: that is the oracle again.",
        ),
        (
            _at(lambda table, shift, shifts: table[shifts].mean(axis=1).idxmax()),
            "the shift takes part in choosing its own alpha: leave its column out of the mean.",
        ),
        (
            lambda table, shifts: {
                shift: best_alpha(table[_others(shift, shifts)].mean(axis=1)) for shift in shifts
            },
            "you return the alphas; return the accuracy of each shift at the alpha that the other shifts choose.",
        ),
        (
            _at(lambda table, shift, shifts: table["test"].idxmax()),
            "you choose on the reference; here the *other shifts* choose.",
        ),
        (
            _at(lambda table, shift, shifts: table["val"].idxmax()),
            "you choose on val; here the *other shifts* choose.",
        ),
        (
            lambda table, shifts: {
                shift: table[_others(shift, shifts)].mean(axis=1).max() for shift in shifts
            },
            "that is the accuracy of the other shifts; return that of the shift that was away.",
        ),
        (
            _at(
                lambda table, shift, shifts: table.drop(columns=shift).mean(axis=1).idxmax(),
            ),
            "the reference or val takes part in choosing; only the other shifts do.",
        ),
    ],
)

beyond = Choice(
    "7.6",
    "C",
    {
        "A": "the formula is defined for any number; only the reading of alpha as a *fraction* ends at 0 and 1.",
        "B": "the zero-shot weights are still there: at alpha = -0.5 their coefficient is 1.5, that of the fine-tuned ones -0.5.",
        "D": "moving away from the fine-tuned weights is not the inverse of training: beyond zero-shot no model has ever "
        "been trained, and only a measurement shows how good it is.",
    },
)

ALL = [images, choose, two_means, redraw, leave_one_out, beyond]
