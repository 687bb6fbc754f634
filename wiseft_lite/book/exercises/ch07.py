"""Exercises of chapter 7, Choosing alpha without peeking."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.results import best_alpha


def _near(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return abs(float(a) - float(b)) < tolerance


images = Exercise(
    "7.1",
    claims=[
        (
            "that is the gap in points; a point is one image in a hundred.",
            lambda x: not _near(x, 0.3),
        ),
        ("0.3 points are not a fraction of 0.3: divide by 100 first.", lambda x: not 90 <= x <= 95),
        (
            "a whole point would be three images; this is a third of a point.",
            lambda x: not _near(x, 3, 0.2),
        ),
        (
            "0.3 % of 307 images is 0.92: round it to whole images.",
            lambda x: 0.9 <= x <= 1.1,
        ),
    ],
    solution=1,
    wrong=[(0.3, "gap in points"), (92, "divide by 100"), (3, "third of a point"), (0, "0.92")],
)

SHIFTS = ["a", "b", "c"]


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {"test": [70.0, 80, 88], "a": [60.0, 45, 30], "b": [40.0, 60, 70], "c": [50.0, 56, 44]},
        index=pd.Index([0.0, 0.5, 1.0], name="alpha"),
    )  # means of a, b, c: 50, 53.7, 48


def _two_means(table, shifts):
    return table[shifts].max().mean(), table[shifts].mean(axis=1).max()


def _over_alphas(table, shifts):
    return table[shifts].mean().max(), table[shifts].mean().max()


def _at_reference(table, shifts):
    alpha = table["test"].idxmax()
    return table[shifts].max().mean(), table.loc[alpha, shifts].mean()


two_means = Exercise(
    "7.2",
    claims=[
        (
            "you average over the alphas; average over the shifts, and take the best over the alphas.",
            lambda f: not _near(f(_table(), SHIFTS)[0], _over_alphas(_table(), SHIFTS)[0]),
        ),
        (
            "you return alphas; the two numbers are accuracies.",
            lambda f: min(f(_table(), SHIFTS)) > 1,
        ),
        (
            "the two are in the wrong order: first the mean of the best values, then the best value of the mean.",
            lambda f: not _near(f(_table(), SHIFTS)[0], _two_means(_table(), SHIFTS)[1]),
        ),
        (
            "the second number takes the alpha that is best for the *mean of the shifts*, not for the reference.",
            lambda f: not _near(f(_table(), SHIFTS)[1], _at_reference(_table(), SHIFTS)[1]),
        ),
        (
            "for the small table the answer is (62, 53.67): each shift at its own alpha, then all at one.",
            lambda f: np.allclose(f(_table(), SHIFTS), _two_means(_table(), SHIFTS)),
        ),
    ],
    solution=_two_means,
    wrong=[
        (_over_alphas, "average over the alphas"),
        (lambda t, s: (0.5, 0.5), "you return alphas"),
        (lambda t, s: _two_means(t, s)[::-1], "wrong order"),
        (_at_reference, "not for the reference"),
        (lambda t, s: (t[s].max().max(), t[s].mean(axis=1).max()), "(62, 53.67)"),
    ],
)

_FIRST = np.arange(40) < 20
_SECOND = _FIRST | (np.arange(40) == 30)  # right wherever _FIRST is, and once more


def _redraw(right, generator):
    rows = generator.integers(right.shape[1], size=right.shape[1])
    return int(right[:, rows].mean(axis=1).argmax())


def _apart(right, generator):
    n = right.shape[1]
    return int(np.argmax([row[generator.integers(n, size=n)].mean() for row in right]))


def _shuffled(right, generator):
    return int(right[:, generator.permutation(right.shape[1])].mean(axis=1).argmax())


def _over_rows(right, generator):
    return int(
        right[:, generator.integers(right.shape[1], size=right.shape[1])].mean(axis=0).argmax()
    )


def _ten(right, generator):
    return int(right[:, generator.integers(right.shape[1], size=10)].mean(axis=1).argmax())


def _draws(redraw, *rows, n=400):
    generator = np.random.default_rng(0)
    return [redraw(np.stack(rows), generator) for _ in range(n)]


redraw = Exercise(
    "7.3",
    claims=[
        (
            "the answer is the index of an alpha, a row of 'right': average over the images, axis 1.",
            lambda f: max(_draws(f, _SECOND, _FIRST)) < 2,
        ),
        (
            "each alpha is evaluated on its own draw, so a model can lose to one that is never better. "
            "Draw once and evaluate all alphas on the same images.",
            lambda f: max(_draws(f, _SECOND, _FIRST)) == 0,
        ),
        (
            "every draw gives the same answer: draw with replacement, so that some images are drawn twice and others "
            "not at all.",
            lambda f: len(set(_draws(f, _FIRST, _SECOND))) == 2,
        ),
        (
            "draw as many images as there are: the question is how much the choice varies for a set of *this* size.",
            lambda f: _near(np.mean(_draws(f, _FIRST, _SECOND)), 1 - (39 / 40) ** 40, 0.08),
        ),
    ],
    solution=_redraw,
    wrong=[
        (_over_rows, "index of an alpha"),
        (_apart, "on its own draw"),
        (_shuffled, "with replacement"),
        (_ten, "as many images"),
    ],
)


def _leave_one_out(table, shifts):
    return {
        shift: table[shift][best_alpha(table[[s for s in shifts if s != shift]].mean(axis=1))]
        for shift in shifts
    }


def _peek(table, shifts):
    return table[shifts].max().to_dict()


def _with_itself(table, shifts):
    return table.loc[best_alpha(table[shifts].mean(axis=1)), shifts].to_dict()


def _alphas_of_others(table, shifts):
    return {
        shift: best_alpha(table[[s for s in shifts if s != shift]].mean(axis=1)) for shift in shifts
    }


def _best_on_reference(table, shifts):
    return table.loc[best_alpha(table["test"]), shifts].to_dict()


def _same(f, reference) -> bool:
    ours, theirs = dict(f(_table(), SHIFTS)), reference(_table(), SHIFTS)
    return ours.keys() == theirs.keys() and all(_near(ours[s], theirs[s]) for s in theirs)


leave_one_out = Exercise(
    "7.4",
    claims=[
        (
            "each shift gets the alpha that is best for itself: that is the oracle again.",
            lambda f: not _same(f, _peek),
        ),
        (
            "the shift takes part in choosing its own alpha: leave its column out of the mean.",
            lambda f: not _same(f, _with_itself),
        ),
        (
            "you return the alphas; return the accuracy of each shift at the alpha that the other shifts choose.",
            lambda f: not _same(f, _alphas_of_others),
        ),
        (
            "you choose on the reference; here the *other shifts* choose.",
            lambda f: not _same(f, _best_on_reference),
        ),
        (
            "for the small table: b and c choose 0.5 for a, which gets 45; b gets 40, c gets 56.",
            lambda f: _same(f, _leave_one_out),
        ),
    ],
    solution=_leave_one_out,
    wrong=[
        (_peek, "oracle again"),
        (_with_itself, "leave its column out"),
        (_alphas_of_others, "return the alphas"),
        (_best_on_reference, "choose on the reference"),
        (lambda t, s: t.loc[0.0, s].to_dict(), "small table"),
    ],
)

beyond = choice(
    "7.5",
    "C",
    {
        "A": "the formula is defined for any number; only the reading of alpha as a *fraction* ends at 0 and 1.",
        "B": "the zero-shot weights are still there: at alpha = -0.5 their coefficient is 1.5, that of the fine-tuned ones -0.5.",
        "D": "moving away from the fine-tuned weights is not the inverse of training: beyond zero-shot no model has ever "
        "been trained, and only a measurement shows how good it is.",
    },
)

ALL = [images, two_means, redraw, leave_one_out, beyond]
