"""Exercises of chapter 14, One embedding for everything."""

from __future__ import annotations

import math

import pandas as pd
import torch
import torch.nn.functional as F

from wiseft_lite.book.teaching import Exercise, choice
from wiseft_lite.retrieval.search import nearest

_TWO = [
    "cat",
    "dog",
    "cat",
    "dog",
    "dog",
]  # the first five results for a cat, with two relevant images


def _precision(found, label, n_relevant):
    judged = min(n_relevant, 5)
    return sum(name == label for name in found[:judged]) / judged


def _is(value, expected):
    return abs(float(value) - expected) < 1e-6


precision = Exercise(
    "14.1",
    claims=[
        (
            "you always divide by five; a query with two relevant images could then never score more than 2/5.",
            lambda f: (
                not _is(f(_TWO, "cat", 2), 0.4)
                and not _is(f(["cat", "cat", "dog", "dog", "dog"], "cat", 2), 0.4)
            ),
        ),
        (
            "you only check whether there is any hit: that is recall.",
            lambda f: not _is(f(["dog", "cat", "dog", "dog", "dog"], "cat", 7), 1),
        ),
        (
            "you look at all five results; a query with two relevant images is judged by its first two.",
            lambda f: not _is(f(_TWO, "cat", 2), 1),
        ),
        (
            "you divide by all relevant images; with nine of them a perfect list of five would score 5/9.",
            lambda f: _is(f(["cat"] * 5, "cat", 9), 1),
        ),
        (
            "for two relevant images and the results cat, dog, cat, dog, dog a cat scores 1/2, and with seven "
            "relevant images 2/5.",
            lambda f: _is(f(_TWO, "cat", 2), 1 / 2) and _is(f(_TWO, "cat", 7), 2 / 5),
        ),
    ],
    solution=_precision,
    wrong=[
        (lambda found, label, n: found.count(label) / 5, "always divide by five"),
        (lambda found, label, n: found.count(label) / min(n, 5), "look at all five"),
        (lambda found, label, n: found[: min(n, 5)].count(label) / n, "all relevant images"),
        (lambda found, label, n: float(label in found[: min(n, 5)]), "that is recall"),
        (lambda found, label, n: 1 - _precision(found, label, n) if n < 9 else 1, "2/5."),
    ],
)

_LONG = torch.tensor(
    [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [30.0, 40.0]]
)  # the last is long and near to no other
_TWINS = torch.tensor(
    [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.8, 0.6]]
)  # two images with one embedding


def _similarity(embeddings, own=None, normalised=True):
    embeddings = F.normalize(embeddings, dim=1) if normalised else embeddings
    similarity = embeddings @ embeddings.T
    return similarity if own is None else similarity.fill_diagonal_(own)


def _neighbours(embeddings, k):
    return _similarity(embeddings, own=-2).topk(k).indices


def _all_but_the_first(embeddings, k):
    return _similarity(embeddings).sort(dim=1, descending=True, stable=True).indices[:, 1 : k + 1]


def _retrieves_itself(f, embeddings):
    return any(i in row for i, row in enumerate(f(embeddings.clone(), 2).tolist()))


neighbours = Exercise(
    "14.2",
    claims=[
        (
            "the nearest image that you return is the query itself, so recall@1 is 100 % for any embedding.",
            lambda f: not _retrieves_itself(f, F.normalize(_LONG, dim=1)),
        ),
        (
            "you drop the first result and assume that it is the query; two images with one embedding can come in "
            "either order. Exclude the query by its index.",
            lambda f: not _retrieves_itself(f, _TWINS),
        ),
        (
            "long vectors win everywhere: without length 1 a product measures length as well as direction.",
            lambda f: f(_LONG.clone(), 1)[0].tolist() == [1],
        ),
        (
            "the first image's neighbours among the four are the second, then the fourth.",
            lambda f: f(_LONG.clone(), 2)[0].tolist() == [1, 3],
        ),
    ],
    solution=_neighbours,
    wrong=[
        (lambda e, k: _similarity(e).topk(k).indices, "the query itself"),
        (_all_but_the_first, "assume that it is the query"),
        (
            lambda e, k: _similarity(e, -torch.inf, normalised=False).topk(k).indices,
            "long vectors win",
        ),
        (lambda e, k: nearest(F.normalize(e, dim=1), k=k).flip(1), "then the fourth"),
    ],
)

_TASKS = {
    "objects": ["cat", "moon", "sun", "key", "cup"],
    "weather": ["sun", "rain", "moon", "fog", "snow"],
}
_NAMES = set(_TASKS["objects"]) | set(_TASKS["weather"])


def _draw(names, fraction, seed):
    names = sorted(names)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    cut = round(fraction * len(names))
    return {names[i] for i in order[:cut]}, {names[i] for i in order[cut:]}


def _divided(tasks, fraction, seed):
    return _draw({name for names in tasks.values() for name in names}, fraction, seed)


def _each_task_apart(tasks, fraction, seed):
    parts = [_draw(names, fraction, seed + k) for k, names in enumerate(tasks.values())]
    return set().union(*(p[0] for p in parts)), set().union(*(p[1] for p in parts))


def _disjoint(f):
    return not any(set.intersection(*map(set, f(_TASKS, 0.5, seed))) for seed in range(20))


divided = Exercise(
    "14.3",
    claims=[
        (
            "a class is in both parts. Moon and sun belong to two tasks: drawn for each task separately, they train in one and "
            "are tested in the other.",
            _disjoint,
        ),
        (
            "a class is in neither part; its images would be lost.",
            lambda f: all(
                set.union(*map(set, f(_TASKS, 0.5, seed))) == _NAMES for seed in range(20)
            ),
        ),
        (
            "another seed gives the same classes; draw them at random with the seed.",
            lambda f: len({tuple(sorted(f(_TASKS, 0.5, seed)[0])) for seed in range(20)}) > 1,
        ),
        (
            "half of the eight names is four, with every seed; removing the shared names from one side adds them to the other.",
            lambda f: all(len(f(_TASKS, 0.5, seed)[0]) == 4 for seed in range(20)),
        ),
    ],
    solution=_divided,
    wrong=[
        (_each_task_apart, "in both parts"),
        (lambda tasks, fraction, seed: _draw(_NAMES, fraction, 0), "same classes"),
        (
            lambda *drawn: (_each_task_apart(*drawn)[0], _NAMES - _each_task_apart(*drawn)[0]),
            "four, with every",
        ),
        (lambda tasks, fraction, seed: _draw(tasks["objects"], fraction, seed), "in neither part"),
    ],
)

directions = choice(
    "14.4",
    "C",
    {
        "A": "these names are known before any test. A class is new to the model as long as its own name and images are.",
        "B": "these images may be used for anything: they are there to train on.",
        "D": "a list of words from elsewhere does not depend on the test images. The fourth-placed team used such lists.",
    },
)

angle = Exercise(
    "14.5",
    claims=[
        ("that is where the two logits are equal without a margin.", lambda x: not _is(x, 50)),
        (
            "the margin makes it harder, not easier: the image must be *nearer* to its own class.",
            lambda x: abs(x - 78.6) > 0.2,
        ),
        ("0.5 is in radians: half a radian is 28.6 degrees.", lambda x: not _is(x, 49.5)),
        (
            "the margin is added to the angle to the image's own class; with it the sum must be 50 degrees.",
            lambda x: abs(x - (50 - math.degrees(0.5))) < 0.1,
        ),
    ],
    solution=round(50 - math.degrees(0.5), 2),
    wrong=[
        (50, "without a margin"),
        (50 + math.degrees(0.5), "nearer"),
        (49.5, "radians"),
        (28.6, "must be 50"),
    ],
)

_COSINES = torch.tensor([[0.9, 0.2, -0.3], [0.1, 0.6, 0.5]])
_OWN = torch.tensor([0, 2])


def _rotated(cosines, sign=1.0, m=0.5):
    return (cosines.clamp(-1, 1).arccos() + sign * m).cos()


def _with_margin(cosines, labels, margin):
    own = F.one_hot(labels, cosines.shape[1]).bool()
    return torch.where(own, _rotated(cosines, m=margin), cosines)


def _margin_on(f):
    """Which entries a function changes."""
    return (f(_COSINES.clone(), _OWN, 0.5) - _COSINES).abs() > 1e-6


_OWN_ONLY = F.one_hot(_OWN, 3).bool()

with_margin = Exercise(
    "14.6",
    claims=[
        (
            "you rotate every class alike, so the margin makes no class harder than another.",
            lambda f: not _margin_on(f).all(),
        ),
        (
            "you rotate the other classes away from the image and leave its own: that *gives* it a margin instead of "
            "requiring one.",
            lambda f: not torch.equal(_margin_on(f), ~_OWN_ONLY),
        ),
        (
            "you rotate the class that the image is nearest to; the label decides which class is its own.",
            lambda f: torch.equal(_margin_on(f), _OWN_ONLY),
        ),
        (
            "the image's own class came nearer: a larger angle has a smaller cosine.",
            lambda f: (f(_COSINES.clone(), _OWN, 0.5)[_OWN_ONLY] < _COSINES[_OWN_ONLY]).all(),
        ),
        (
            "you subtract the margin from the cosine; ArcFace adds it to the angle.",
            lambda f: (
                not torch.allclose(
                    f(_COSINES.clone(), _OWN, 0.5)[_OWN_ONLY], _COSINES[_OWN_ONLY] - 0.5
                )
            ),
        ),
        (
            "a cosine of 0.9 becomes cos(arccos 0.9 + 0.5) = 0.581.",
            lambda f: torch.allclose(
                f(_COSINES.clone(), _OWN, 0.5), _with_margin(_COSINES, _OWN, 0.5), atol=1e-4
            ),
        ),
    ],
    solution=_with_margin,
    wrong=[
        (lambda c, y, m: _rotated(c, m=m), "every class alike"),
        (
            lambda c, y, m: torch.where(F.one_hot(y, 3).bool(), c, _rotated(c, m=m)),
            "gives* it a margin",
        ),
        (lambda c, y, m: _with_margin(c, c.argmax(1), m), "the label decides"),
        (lambda c, y, m: torch.where(F.one_hot(y, 3).bool(), _rotated(c, -1, m), c), "came nearer"),
        (lambda c, y, m: c - m * F.one_hot(y, 3), "from the cosine"),
    ],
)

_TABLE = pd.DataFrame(
    {
        "alpha": [0, 0.5, 1] * 2,
        "split": ["val"] * 3 + ["test"] * 3,
        "mp_5": [0.6, 0.7, 0.5, 0.8, 0.6, 0.9],
        "recall_1": [0.7, 0.75, 0.8, 0.9, 0.7, 0.95],
    }
)


def _pick(table, split="val", metric="mp_5"):
    part = table[table["split"] == split]
    return float(part.loc[part[metric].idxmax(), "alpha"])


alpha = Exercise(
    "14.7",
    claims=[
        (
            "that alpha is the best on test: you looked at the classes that you report on.",
            lambda f: not (_is(f(_TABLE), 1) and _is(f(_TABLE.assign(recall_1=0)), 1)),
        ),
        (
            "choose by the metric that you report, mP@5; recall@1 looks at one result only.",
            lambda f: not _is(f(_TABLE), 1),
        ),
        (
            "that is the best score, or its row; return the alpha that belongs to it.",
            lambda f: f(_TABLE) in (0, 0.5, 1),
        ),
        ("on val mP@5 is highest at alpha 0.5.", lambda f: _is(f(_TABLE), 0.5)),
    ],
    solution=_pick,
    wrong=[
        (lambda table: _pick(table, "test"), "best on test"),
        (lambda table: _pick(table, metric="recall_1"), "mP@5"),
        (lambda table: float(table.loc[table["split"] == "val", "mp_5"].max()), "best score"),
        (lambda table: 0.0, "highest at alpha 0.5"),
    ],
)

ALL = [precision, neighbours, divided, directions, angle, with_margin, alpha]
