"""Exercises of chapter 15, The line and its descendants."""

from __future__ import annotations

import torch

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels, normal
from wiseft_lite.merging.arithmetic import dare
from wiseft_lite.merging.fisher import fisher_average

_SHAPES = {"w": (2, 2), "b": (3,)}


def _state_dict(generator):
    return {name: normal(generator, *shape) for name, shape in _SHAPES.items()}


def _models(generator):
    """Two or three models, with Fishers from nearly nothing to a lot."""
    n = int(generator.integers(2, 4))
    fishers = [
        {name: (3 * normal(generator, *shape)).square() + 0.01 for name, shape in _SHAPES.items()}
        for _ in range(n)
    ]
    return [_state_dict(generator) for _ in range(n)], fishers


def _equal_fishers(generator):
    thetas, fishers = _models(generator)
    return thetas, [{name: f.clone() for name, f in fishers[0].items()} for _ in fishers]


def _weighted(thetas, fishers):
    return {
        name: sum(f[name] * t[name] for t, f in zip(thetas, fishers, strict=True))
        / sum(f[name] for f in fishers)
        for name in thetas[0]
    }


def _each(fishers, of_tensor):
    return [{name: of_tensor(f) for name, f in fisher.items()} for fisher in fishers]


def _times(mean, factor):
    """A mean of models, times a factor for each name."""
    return lambda thetas, fishers: {
        name: tensor * factor(name, thetas, fishers)
        for name, tensor in mean(thetas, fishers).items()
    }


def _total(name, thetas, fishers):
    return sum(f[name] for f in fishers)


fisher = Code(
    "15.1",
    _weighted,
    [_models, _equal_fishers],
    [
        (
            _times(_weighted, lambda *inputs: _total(*inputs) / len(inputs[1])),
            "you divide by the number of models; the weights are the Fishers, so divide by their sum.",
        ),
        (
            _times(_weighted, _total),
            "that is the numerator alone; divide it by the sum of the Fishers.",
        ),
        (
            lambda thetas, fishers: _weighted(thetas, _each(fishers, lambda f: f.mean())),
            "one weight for a whole tensor is not enough: each entry has a Fisher of its own.",
        ),
        (
            lambda thetas, fishers: _weighted(thetas, _each(fishers, torch.ones_like)),
            "your answer is the plain mean: the Fishers are not used.",
        ),
        (
            lambda thetas, fishers: _weighted(thetas, _each(fishers, torch.reciprocal)),
            "the weighting is inverted: a *large* Fisher means that the predictions depend on this weight, so it must count more.",
        ),
        (
            lambda thetas, fishers: _weighted(thetas, _each(fishers, torch.sqrt)),
            "the weights are the Fishers themselves, without a root.",
        ),
    ],
    library=[fisher_average],
)


ends = Choice(
    "15.2",
    "C",
    {
        "A": "the head is the deepest layer and gets the *last* number, here 0.3; it is not left out.",
        "B": "that is the other order, 0.3 first and 1.0 last. Read the arguments again: first, last.",
        "D": "at equal ends LiNeS is the line. These ends differ.",
    },
)


elected = Number(
    "15.3",
    (-4.0, -1.5, 1.25),
    [
        (
            (-0.5, -1.5, 1.25),
            "that is the plain mean of the two vectors. Where two changes disagree, TIES keeps only one sign.",
        ),
        ((-1.0, -3.0, 2.5), "those are the sums. They elect the signs; the value is a mean."),
        (
            (-2.0, -1.5, 1.25),
            "divide by the number of changes that agree, not by the number of models: in the first weight it is one.",
        ),
        (
            (3.0, -1.5, 1.25),
            "the sign goes to the larger *sum*: 3 - 4 is negative, so the first weight moves down.",
        ),
        (
            (-4.0, -3.0, 2.5),
            "the first is right. Where both changes agree, take their mean, not their sum.",
        ),
        (
            (-4.0, -2.0, 2.0),
            "the first is right. Where both changes agree, take their mean, not the larger one.",
        ),
    ],
)


def _dropped(generator):
    """Two models, a fraction that is dropped, and masks of what is kept."""
    kept = {n: torch.as_tensor(generator.random(shape) < 0.5) for n, shape in _SHAPES.items()}
    drop = float(generator.choice([0.2, 0.4, 0.7, 0.75, 0.9]))
    return _state_dict(generator), _state_dict(generator), drop, kept


def _thinned(times):
    """DARE with ``times(drop)`` in front of what is kept."""
    return lambda theta_0, theta_1, drop, kept: {
        name: theta_0[name] + kept[name] * (theta_1[name] - theta_0[name]) * times(drop)
        for name in theta_0
    }


def _too_short(theta_0, theta_1, drop, kept):
    return {name: theta_0[name] + kept[name] * (theta_1[name] - theta_0[name]) for name in theta_0}


_rescaled = _thinned(lambda drop: 1 / (1 - drop))

rescaled = Code(
    "15.4",
    _rescaled,
    [_dropped],
    [
        (
            _too_short,
            "the change is too short: when a fraction of it is dropped, scale up the rest.",
        ),
        (
            _thinned(lambda drop: 1 - drop),
            "you make the rest still shorter; divide by 1 - drop where you multiply.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: kept[name] * theta_1[name] / (1 - drop) for name in theta_0
            },
            "the *change* is thinned, not the weights: a dropped entry goes back to theta_0, not to 0.",
        ),
        (
            _thinned(lambda drop: 1 / drop),
            "drop is the fraction that is lost. Divide by the fraction that is kept.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: _rescaled(
                theta_0, theta_1, drop, {name: ~mask for name, mask in kept.items()}
            ),
            "the mask is True where an entry *survives*; you keep the others.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: kept[name] * (theta_1[name] - theta_0[name]) / (1 - drop) for name in theta_0
            },
            "that is the thinned change alone; add it to theta_0.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: _too_short(theta_0, theta_1, drop, kept)[name] / (1 - drop)
                for name in theta_0
            },
            "you scale the start too; only the change is divided.",
        ),
    ],
    starter=_too_short,
    library=[dare],
)


ratios = Number(
    "15.5",
    (1.0, 2 / 3),
    [
        (
            (0.0, 2 / 3),
            "identical runs agree in every direction, so there is no noise to remove: the first number is wrong.",
        ),
        (
            (0.5, 2 / 3),
            "the second is right. For identical runs c is 1; put it into 2c / (1 + c).",
        ),
        ((1.0, 0.5), "the second is the cosine of 60 degrees itself; put it into 2c / (1 + c)."),
        ((1.0, 0.928), "the second is that of its sine; the cosine of 60 degrees is 1/2."),
        ((1.0, 1.0), "runs at 60 degrees agree in part only, so the second is below 1."),
        ((2 / 3, 1.0), "the two numbers are in the wrong order: identical runs first."),
    ],
    tolerance=0.01,
)


temperature = Choice(
    "15.6",
    "B",
    {
        "A": "no label was used, true, but the images were. A number was fitted to the very set that is then scored.",
        "C": "an entropy does depend on the temperature: dividing logits makes a model less sure, which changes its mixing weight.",
        "D": "what DaWin computes for an image needs that image alone. The problem is a number that depends on all of them.",
    },
)


def _batch(generator):
    return (labels(generator, int(generator.integers(4, 8)), 4),)


def _targets(labels):
    same = (labels[:, None] == labels[None, :]).float()
    return same / same.sum(1, keepdim=True)


targets = Code(
    "15.7",
    _targets,
    [_batch],
    [
        (
            lambda labels: torch.eye(len(labels)),
            "that is CLIP's own target: the second image of a class counts the first one's caption as wrong.",
        ),
        (
            lambda labels: (labels[:, None] == labels[None, :]).float(),
            "each row must sum to 1: an image with two right captions gives each a half.",
        ),
        (
            lambda labels: torch.full((len(labels), len(labels)), 1 / len(labels)),
            "a caption of another class has a weight; compare labels, labels[:, None] == labels[None, :].",
        ),
        (
            lambda labels: (labels[:, None] == labels[None, :]).float().softmax(1),
            "a softmax leaves a weight for captions of other classes; divide each row by its sum.",
        ),
        (
            lambda labels: (labels[:, None] == labels[None, :]).float() / len(labels),
            "you divide by the size of the batch; divide each row by its own sum.",
        ),
        (
            lambda labels: (labels[:, None] != labels[None, :]).float(),
            "those are the captions of *other* classes.",
        ),
    ],
    draws=8,
)


def _two_methods(generator):
    """Five runs of two methods, whose runs of one seed rise and fall together."""
    runs = generator.normal(size=5) * 2 + 65
    better = generator.normal(size=5) * generator.uniform(0.1, 0.6) + generator.normal()
    return (runs + better).round(2).tolist(), runs.round(2).tolist()


def _mean_and_sd(values):
    mean = sum(values) / len(values)
    return mean, (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5


def _around_the_mean(mean, half):
    return mean - half, mean + half


def _paired(ours, theirs, quantile=2.776, root=True):
    mean, sd = _mean_and_sd([a - b for a, b in zip(ours, theirs, strict=True)])
    return _around_the_mean(mean, quantile * sd / (len(ours) ** 0.5 if root else 1))


def _unpaired(ours, theirs):
    (a, sa), (b, sb) = _mean_and_sd(ours), _mean_and_sd(theirs)
    return _around_the_mean(a - b, 2.776 * ((sa**2 + sb**2) / len(ours)) ** 0.5)


paired = Code(
    "15.8",
    lambda ours, theirs: _paired(ours, theirs),
    [_two_methods],
    [
        (
            lambda ours, theirs: _paired(theirs, ours),
            "the sign is reversed: ours minus theirs.",
        ),
        (
            _unpaired,
            "you treat the ten runs as independent. Seed by seed the two methods use the same run: take the difference first.",
        ),
        (
            lambda ours, theirs: _paired(ours, theirs, root=False),
            "that is where single differences lie; the mean of five lies closer, by the square root of 5.",
        ),
        (
            lambda ours, theirs: _paired(ours, theirs, quantile=1.96),
            "1.96 is for a spread that is known. With five differences it is estimated: take Student's 2.776.",
        ),
        (
            lambda ours, theirs: _paired(ours, theirs, quantile=2.132),
            "2.132 is for an interval of 90 %; for 95 % it is 2.776.",
        ),
        (
            lambda ours, theirs: _paired(ours, theirs, quantile=2.776 * 0.8**0.5),
            "your standard deviation divides the squares by 5; divide by 4, since the mean was fitted to the same five.",
        ),
    ],
    tolerance=1e-3,
)

ALL = [fisher, ends, elected, rescaled, ratios, temperature, targets, paired]
