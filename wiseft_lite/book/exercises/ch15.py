"""Exercises of chapter 15, The line and its descendants."""

from __future__ import annotations

from functools import partial

import torch

from wiseft_lite.book.teaching import Exercise, choice


def _near(a, b, tolerance: float = 1e-4) -> bool:
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    return bool((a - b).abs().max() < tolerance)


def _two():
    return [
        {"w": torch.tensor([0.0, 0.0]), "b": torch.tensor([2.0])},
        {"w": torch.tensor([4.0, 4.0]), "b": torch.tensor([6.0])},
    ]


def _fishers():
    return [
        {"w": torch.tensor([3.0, 1.0]), "b": torch.tensor([2.0])},
        {"w": torch.tensor([1.0, 3.0]), "b": torch.tensor([2.0])},
    ]


def _weighted(thetas, fishers):
    return {
        name: sum(f[name] * t[name] for t, f in zip(thetas, fishers, strict=True))
        / sum(f[name] for f in fishers)
        for name in thetas[0]
    }


def _by_count(thetas, fishers):
    return {
        name: sum(f[name] * t[name] for t, f in zip(thetas, fishers, strict=True)) / len(thetas)
        for name in thetas[0]
    }


def _by_tensor(thetas, fishers):
    return _weighted(thetas, [{name: f[name].mean() for name in f} for f in fishers])


def _uneven(f):
    ones = {"w": torch.ones(2), "b": torch.ones(1)}
    return f(_two(), [{**ones, "w": torch.tensor([9.0, 1.0])}, ones])["w"]


fisher = Exercise(
    "15.1",
    claims=[
        (
            "you divide by the number of models; the weights are the Fishers, so divide by their sum.",
            lambda f: not _near(f(_two(), _fishers())["w"], [2.0, 6.0]),
        ),
        (
            "one weight for a whole tensor is not enough: each entry has a Fisher of its own.",
            lambda f: not _near(_uneven(f), [4 / 6, 4 / 6]),
        ),
        (
            "your answer is the plain mean: the Fishers are not used.",
            lambda f: not _near(f(_two(), _fishers())["w"], [2.0, 2.0]),
        ),
        (
            "the weighting is inverted: a *large* Fisher means that the predictions depend on this weight, so it must count more.",
            lambda f: not _near(f(_two(), _fishers())["w"], [3.0, 1.0]),
        ),
        (
            "with Fishers (3, 1) and (1, 3) the weights 0 and 4 give 1 and 3, and equal Fishers give the plain mean.",
            lambda f: (
                _near(f(_two(), _fishers())["w"], [1.0, 3.0])
                and _near(f(_two(), _fishers())["b"], [4.0])
            ),
        ),
    ],
    solution=_weighted,
    wrong=[
        (_by_count, "number of models"),
        (_by_tensor, "whole tensor"),
        (lambda thetas, fishers: _weighted(thetas, fishers[:1] * 2), "plain mean"),
        (lambda thetas, fishers: _weighted(thetas, fishers[::-1]), "weighting is inverted"),
        (lambda thetas, fishers: thetas[0], "give 1 and 3"),
    ],
)


ends = choice(
    "15.2",
    "C",
    {
        "A": "the head is the deepest layer and gets the *last* number, here 0.3; it is not left out.",
        "B": "that is the other order, 0.3 first and 1.0 last. Read the arguments again: first, last.",
        "D": "at equal ends LiNeS is the line. These ends differ.",
    },
)


elected = Exercise(
    "15.3",
    claims=[
        (
            "that is the plain mean of the two vectors. Where two changes disagree, TIES keeps only one sign.",
            lambda x: not _near(x, [-0.5, -1.5, 1.25]),
        ),
        (
            "those are the sums. They elect the signs; the value is a mean.",
            lambda x: not _near(x, [-1.0, -3.0, 2.5]),
        ),
        (
            "divide by the number of changes that agree, not by the number of models: in the first weight it is one.",
            lambda x: not _near(x, [-2.0, -1.5, 1.25]),
        ),
        (
            "the sign goes to the larger *sum*: 3 - 4 is negative, so the first weight moves down.",
            lambda x: not _near(x, [3.0, -1.5, 1.25]),
        ),
        (
            "only -4 has the elected sign in the first weight, both changes have it in the others.",
            lambda x: _near(x, [-4.0, -1.5, 1.25]),
        ),
    ],
    solution=[-4.0, -1.5, 1.25],
    wrong=[
        ([-0.5, -1.5, 1.25], "plain mean"),
        ([-1.0, -3.0, 2.5], "those are the sums"),
        ([-2.0, -1.5, 1.25], "not by the number of models"),
        ([3.0, -1.5, 1.25], "larger *sum*"),
        ([-4.0, -2.0, 2.0], "only -4 has"),
    ],
)


def _thinned(times):
    """DARE with ``times(drop)`` in front of what is kept."""
    return lambda theta_0, theta_1, drop, kept: {
        name: theta_0[name] + kept[name] * (theta_1[name] - theta_0[name]) * times(drop)
        for name in theta_0
    }


def _weights_rescaled(theta_0, theta_1, drop, kept):
    return {name: kept[name] * theta_1[name] / (1 - drop) for name in theta_0}


def _given(f):
    zero, one = {"w": torch.full((4,), 10.0)}, {"w": torch.full((4,), 12.0)}
    return f(zero, one, 0.75, {"w": torch.tensor([True, False, True, False])})["w"].double()


rescaled = Exercise(
    "15.4",
    claims=[
        (
            "the change is too short: when a fraction of it is dropped, scale up the rest.",
            lambda f: not _near(_given(f), [12.0, 10.0, 12.0, 10.0]),
        ),
        (
            "you make the rest still shorter; divide by 1 - drop where you multiply.",
            lambda f: not _near(_given(f), [10.5, 10.0, 10.5, 10.0]),
        ),
        (
            "the *change* is thinned, not the weights: a dropped entry goes back to theta_0, not to 0.",
            lambda f: _near(_given(f)[1], 10.0),
        ),
        (
            "drop is the fraction that is lost. Divide by the fraction that is kept.",
            lambda f: not _near(_given(f), [10 + 2 / 0.75, 10.0, 10 + 2 / 0.75, 10.0]),
        ),
        (
            "from 10 towards 12, with three quarters dropped, a kept entry goes to 18 and a dropped one stays at 10.",
            lambda f: _near(_given(f), [18.0, 10.0, 18.0, 10.0]),
        ),
    ],
    solution=_thinned(lambda drop: 1 / (1 - drop)),
    wrong=[
        (_thinned(lambda drop: 1), "too short"),
        (_thinned(lambda drop: 1 - drop), "still shorter"),
        (_weights_rescaled, "not to 0"),
        (_thinned(lambda drop: 1 / drop), "fraction that is kept"),
        (lambda zero, one, drop, kept: zero, "goes to 18"),
    ],
)


ratios = Exercise(
    "15.5",
    claims=[
        (
            "identical runs agree in every direction, so there is no noise to remove: go all the way to their mean, t = 1.",
            lambda x: _near(x[0], 1.0),
        ),
        (
            "that is the cosine of 60 degrees itself; put it into 2c / (1 + c).",
            lambda x: not _near(x[1], 0.5, 1e-2),
        ),
        (
            "that is its sine; the cosine of 60 degrees is 1/2.",
            lambda x: not _near(x[1], 0.928, 1e-2),
        ),
        (
            "at 60 degrees c is 1/2, and t = 2c / (1 + c) is 2/3.",
            lambda x: _near(x[1], 2 / 3, 1e-2),
        ),
    ],
    solution=(1.0, 2 / 3),
    wrong=[
        ((0.0, 2 / 3), "identical runs"),
        ((1.0, 0.5), "cosine of 60 degrees itself"),
        ((1.0, 0.928), "sine; the"),
        ((1.0, 1.0), "is 2/3"),
    ],
)


temperature = choice(
    "15.6",
    "B",
    {
        "A": "no label was used, true, but the images were. A number was fitted to the very set that is then scored.",
        "C": "an entropy does depend on the temperature: dividing logits makes a model less sure, which changes its mixing weight.",
        "D": "what DaWin computes for an image needs that image alone. The problem is a number that depends on all of them.",
    },
)


def _targets(labels):
    same = (labels[:, None] == labels[None, :]).float()
    return same / same.sum(1, keepdim=True)


targets = Exercise(
    "15.7",
    claims=[
        (
            "that is CLIP's own target: the second image of a class counts the first one's caption as wrong.",
            lambda f: not _near(f(torch.tensor([5, 7, 5])), torch.eye(3)),
        ),
        (
            "each row must sum to 1: an image with two right captions gives each a half.",
            lambda f: _near(torch.as_tensor(f(torch.tensor([5, 7, 5]))).sum(1), [1.0, 1.0, 1.0]),
        ),
        (
            "a caption of another class has a weight; compare labels, labels[:, None] == labels[None, :].",
            lambda f: _near(f(torch.tensor([5, 7, 5]))[0][1], 0.0),
        ),
        (
            "for labels 5, 7, 5 the first row is 1/2, 0, 1/2 and the second 0, 1, 0.",
            lambda f: _near(f(torch.tensor([5, 7, 5])), [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]),
        ),
    ],
    solution=_targets,
    wrong=[
        (lambda labels: torch.eye(len(labels)), "CLIP's own target"),
        (lambda labels: (labels[:, None] == labels[None, :]).float(), "sum to 1"),
        (lambda labels: torch.full((len(labels),) * 2, 1 / len(labels)), "another class"),
        (lambda labels: _targets(labels).flip(0)[[0, 0, 2]], "first row is 1/2"),
    ],
)


def _stats(values):
    mean = sum(values) / len(values)
    return mean, (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def _paired(ours, theirs, quantile=2.776, of_the_mean=True):
    mean, sd = _stats([a - b for a, b in zip(ours, theirs, strict=True)])
    half = quantile * sd / (len(ours) ** 0.5 if of_the_mean else 1)
    return mean - half, mean + half


def _unpaired(ours, theirs):
    (a, sa), (b, sb) = _stats(ours), _stats(theirs)
    half = 2.776 * ((sa**2 + sb**2) / len(ours)) ** 0.5
    return a - b - half, a - b + half


_spread, _normal = partial(_paired, of_the_mean=False), partial(_paired, quantile=1.96)
_OURS, _THEIRS = [67.0, 66.0, 69.0, 68.0, 65.0], [66.6, 65.7, 68.4, 67.6, 64.7]


def _ends(f):
    return [float(x) for x in f(_OURS, _THEIRS)]


paired = Exercise(
    "15.8",
    claims=[
        ("the sign is reversed: ours minus theirs.", lambda f: sum(_ends(f)) > 0),
        (
            "you treat the ten runs as independent. Seed by seed the two methods use the same run: take the difference first.",
            lambda f: _ends(f)[1] - _ends(f)[0] < 2,
        ),
        (
            "that is where single differences lie; the mean of five lies closer, by the square root of 5.",
            lambda f: not _near(_ends(f), _spread(_OURS, _THEIRS), 2e-3),
        ),
        (
            "1.96 is for a spread that is known. With five differences it is estimated: take Student's 2.776.",
            lambda f: not _near(_ends(f), _normal(_OURS, _THEIRS), 2e-3),
        ),
        (
            "for differences 0.4, 0.3, 0.6, 0.4 and 0.3 the interval goes from 0.25 to 0.55.",
            lambda f: _near(_ends(f), _paired(_OURS, _THEIRS), 2e-3),
        ),
    ],
    solution=_paired,
    wrong=[
        (lambda ours, theirs: _paired(theirs, ours), "sign is reversed"),
        (_unpaired, "as independent"),
        (_spread, "square root of 5"),
        (_normal, "2.776"),
        (lambda ours, theirs: (0.3, 0.6), "from 0.25 to 0.55"),
    ],
)

ALL = [fisher, ends, elected, rescaled, ratios, temperature, targets, paired]
