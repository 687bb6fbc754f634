"""Exercises of chapter 14, One embedding for everything."""

from __future__ import annotations

import math

import pandas as pd
import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import distinct, labels, names, normal
from wiseft_lite.retrieval.search import nearest
from wiseft_lite.retrieval.universal import disjoint_splits


def _results(generator, n_relevant):
    """Five results, of which at most ``n_relevant`` can be relevant."""
    label, *others = names(generator, 4)
    hits = int(generator.integers(1, min(n_relevant, 4) + 1))
    found = [label] * hits + [str(generator.choice(others)) for _ in range(5 - hits)]
    return [str(name) for name in generator.permutation(found)], label, n_relevant


def _few_relevant(generator):
    return _results(generator, int(generator.integers(1, 5)))


def _many_relevant(generator):
    return _results(generator, int(generator.integers(6, 20)))


def _precision(found, label, n_relevant):
    judged = min(n_relevant, 5)
    return sum(name == label for name in found[:judged]) / judged


precision = Code(
    "14.1",
    _precision,
    [_few_relevant, _many_relevant],
    [
        (
            lambda found, label, n: found.count(label) / 5,
            "you always divide by five; a query with two relevant images could then never score more than 2/5.",
        ),
        (
            lambda found, label, n: found.count(label) / min(n, 5),
            "you look at all five results; a query with two relevant images is judged by its first two.",
        ),
        (
            lambda found, label, n: found[: min(n, 5)].count(label) / n,
            "you divide by all relevant images; with nine of them a perfect list of five would score 5/9.",
        ),
        (
            lambda found, label, n: float(label in found[: min(n, 5)]),
            "you only check whether there is any hit: that is recall.",
        ),
        (
            lambda found, label, n: float(label in found),
            "you only check whether there is any hit among all five: that is recall@5.",
        ),
        (
            lambda found, label, n: 1 / (1 + found.index(label)),
            "that is one over the rank of the first hit, the reciprocal rank.",
        ),
        (
            lambda found, label, n: found[: min(n, 5)].count(label),
            "that is the number of hits; divide it by how many results are judged.",
        ),
    ],
    draws=10,
)


def _vectors(generator):
    """Embeddings of different lengths."""
    n = int(generator.integers(5, 8))
    lengths = torch.as_tensor(generator.uniform(0.2, 5, size=(n, 1))).float()
    return normal(generator, n, 3) * lengths, int(generator.integers(1, 4))


def _twins(generator):
    """Embeddings of which two are equal."""
    embeddings, k = _vectors(generator)
    first, second = generator.permutation(len(embeddings))[:2].tolist()
    embeddings[second] = embeddings[first]
    return embeddings, k


def _rows_of(neighbours, embeddings, k):
    """Indices, with -1 for the query itself; of two equal embeddings the smaller index."""
    found = torch.as_tensor(neighbours(embeddings, k))
    first = (embeddings[:, None] == embeddings[None]).all(-1).int().argmax(1)
    itself = torch.arange(len(embeddings))[:, None]
    return torch.where(found == itself, -1, first[found])


def _similarity(embeddings, own=None):
    similarity = embeddings @ embeddings.T
    return similarity if own is None else similarity.fill_diagonal_(own)


def _unit(embeddings):
    return F.normalize(embeddings, dim=1)


def _neighbours(embeddings, k):
    return _similarity(_unit(embeddings), own=-2).topk(k).indices


def _all_but_the_first(embeddings, k):
    order = _similarity(_unit(embeddings)).sort(dim=1, descending=True, stable=True).indices
    return order[:, 1 : k + 1]


def _both_faults(embeddings, k):
    similarity = embeddings @ embeddings.T
    return similarity.topk(k).indices


neighbours = Code(
    "14.2",
    _neighbours,
    [_vectors, _twins],
    [
        (
            _both_faults,
            "both faults are still there: the query can be its own result, and long vectors win.",
        ),
        (
            lambda e, k: _similarity(_unit(e)).topk(k).indices,
            "the nearest image that you return is the query itself (here -1), so recall@1 is 100 % for any embedding.",
        ),
        (
            _all_but_the_first,
            "you drop the first result and assume that it is the query; two images with one embedding can come in "
            "either order. Exclude the query by its index.",
        ),
        (
            lambda e, k: _similarity(e, -torch.inf).topk(k).indices,
            "long vectors win everywhere: without length 1 a product measures length as well as direction.",
        ),
        (
            lambda e, k: _similarity(_unit(e), 2).topk(k, largest=False).indices,
            "those are the images that are furthest away; the nearest has the largest similarity.",
        ),
        (
            lambda e, k: _neighbours(e, k).flip(1),
            "the order is reversed: the nearest comes first.",
        ),
    ],
    starter=_both_faults,
    library=[nearest],
    call=_rows_of,
)

_SEEDS = range(40)


def _tasks(generator):
    """Two tasks of five classes that share two, and a fraction of their eight names."""
    words = names(generator, 8)
    second = [str(name) for name in generator.permutation(words[3:])]
    return {"objects": words[:5], "weather": second}, float(generator.integers(2, 7) / 8)


def _properties(divided, tasks, share):
    parts = [tuple(map(set, divided(tasks, share, seed))) for seed in _SEEDS]
    all_names = {name for of_task in tasks.values() for name in of_task}
    again = [tuple(map(set, divided(tasks, share, seed))) for seed in _SEEDS[:3]]
    return {
        "classes in both parts": max(len(train & test) for train, test in parts),
        "classes in neither part": max(len(all_names - train - test) for train, test in parts),
        "classes to train on": sorted({len(train) for train, _ in parts}),
        "always on one side": sorted(
            name for name in all_names if len({name in train for train, _ in parts}) == 1
        ),
        "same seed, same classes": again == parts[:3],
    }


def draw(names, share, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(names), generator=generator).tolist()
    cut = round(share * len(names))
    return {names[i] for i in order[:cut]}, {names[i] for i in order[cut:]}


def _names(tasks):
    return sorted({name for names in tasks.values() for name in names})


def _divided(tasks, share, seed):
    return draw(_names(tasks), share, seed)


def _each_task_apart(tasks, share, seed):
    parts = [draw(names, share, seed) for names in tasks.values()]
    return (
        set().union(*(part[0] for part in parts)),
        set().union(*(part[1] for part in parts)),
    )


def _shared_names_moved(tasks, share, seed):
    train, _ = _each_task_apart(tasks, share, seed)
    return train, set(_names(tasks)) - train


divided = Code(
    "14.3",
    _divided,
    [_tasks],
    [
        (
            _each_task_apart,
            "a class is in both parts. The two shared names belong to two tasks: drawn for each task separately, they "
            "train in one and are tested in the other.",
        ),
        (
            lambda tasks, share, seed: draw(_names(tasks), share, 0),
            "another seed gives the same classes; draw them at random with the seed.",
        ),
        (
            lambda tasks, share, seed: draw(_names(tasks), 0.5, seed),
            "you always take half of the classes; 'share' of them are to train on.",
        ),
        (
            _shared_names_moved,
            "the number of classes to train on varies with the seed: removing the shared names from one side adds them "
            "to the other.",
        ),
        (
            lambda tasks, share, seed: draw(next(iter(tasks.values())), share, seed),
            "you draw from the first task only; the classes of the others are in neither part.",
        ),
        (
            lambda tasks, share, seed: _divided(tasks, share, seed)[::-1],
            "the two sets are in the wrong order: first the classes to train on.",
        ),
        (
            lambda tasks, share, seed: draw(sorted(sum(tasks.values(), [])), share, seed),
            "the shared names are drawn twice, since they are in your list twice.",
        ),
    ],
    starter=_each_task_apart,
    library=[disjoint_splits],
    call=_properties,
    draws=4,
)


def _cosines(generator):
    n_classes = int(generator.integers(3, 5))
    cosines = torch.as_tensor(generator.uniform(-0.9, 0.95, size=(3, n_classes))).float()
    return cosines, labels(generator, 3, n_classes), float(generator.uniform(0.1, 0.6))


def _own(cosines, labels):
    return F.one_hot(labels, cosines.shape[1]).bool()


def _rotated(cosines, margin):
    return (cosines.clamp(-1, 1).arccos() + margin).cos()


def _with_margin(cosines, labels, margin):
    return torch.where(_own(cosines, labels), _rotated(cosines, margin), cosines)


with_margin = Code(
    "14.6",
    _with_margin,
    [_cosines],
    [
        (
            lambda cosines, labels, margin: _rotated(cosines, margin),
            "you rotate every class alike, so the margin makes no class harder than another.",
        ),
        (
            lambda cosines, labels, margin: torch.where(
                _own(cosines, labels), cosines, _rotated(cosines, margin)
            ),
            "you rotate the other classes away from the image and leave its own: that *gives* it a margin instead of "
            "requiring one.",
        ),
        (
            lambda cosines, labels, margin: _with_margin(cosines, cosines.argmax(1), margin),
            "you rotate the class that the image is nearest to; the label decides which class is its own.",
        ),
        (
            lambda cosines, labels, margin: _with_margin(cosines, labels, -margin),
            "the image's own class came nearer: a larger angle has a smaller cosine.",
        ),
        (
            lambda cosines, labels, margin: cosines - margin * _own(cosines, labels),
            "you subtract the margin from the cosine; ArcFace adds it to the angle.",
        ),
        (
            lambda cosines, labels, margin: _with_margin(cosines, labels, math.radians(margin)),
            "the margin is in radians already; do not convert it.",
        ),
        (
            lambda cosines, labels, margin: torch.where(
                _own(cosines, labels), cosines.arccos() + margin, cosines
            ),
            "that is the angle; the loss compares cosines, so take the cosine of it.",
        ),
    ],
)

angle = Number(
    "14.5",
    round(50 - math.degrees(0.5), 2),
    [
        (50, "that is where the two logits are equal without a margin."),
        (
            50 + math.degrees(0.5),
            "the margin makes it harder, not easier: the image must be *nearer* to its own class.",
        ),
        (49.5, "0.5 is in radians: half a radian is 28.6 degrees."),
        (
            28.65,
            "that is the margin in degrees; with it the angle to the own centre must be 50.",
        ),
        (
            50.5,
            "0.5 is in radians, and the image must be *nearer* to its own class than to the other.",
        ),
    ],
    tolerance=0.4,
)


def _scores(generator):
    """Alphas in any order, with two scores on two splits."""
    n = int(generator.integers(4, 7))
    alphas = (generator.permutation(21)[:n] / 20).tolist()
    table = pd.DataFrame(
        {
            "alpha": alphas * 2,
            "split": ["val"] * n + ["test"] * n,
            "mp_5": [x / 100 for x in distinct(generator, 2 * n)],
            "recall_1": [x / 100 for x in distinct(generator, 2 * n)],
        }
    )
    return (table.iloc[generator.permutation(2 * n)],)


def _pick(table, split="val", metric="mp_5"):
    part = table[table["split"] == split]
    return float(part.loc[part[metric].idxmax(), "alpha"])


alpha = Code(
    "14.7",
    lambda table: _pick(table),
    [_scores],
    [
        (
            lambda table: _pick(table, "test"),
            "that alpha is the best on test: you looked at the classes that you report on.",
        ),
        (
            lambda table: _pick(table, metric="recall_1"),
            "choose by the metric that you report, mP@5; recall@1 looks at one result only.",
        ),
        (
            lambda table: float(table.loc[table["mp_5"].idxmax(), "alpha"]),
            "you look at the rows of both splits; only those of val may choose.",
        ),
        (
            lambda table: float(table.loc[table["split"] == "val", "mp_5"].max()),
            "that is the best score; return the alpha that belongs to it.",
        ),
        (
            lambda table: int(table.loc[table["split"] == "val", "mp_5"].idxmax()),
            "that is the name of the best row; return the alpha in it.",
        ),
    ],
    draws=12,
)

directions = Choice(
    "14.4",
    "C",
    {
        "A": "these names are known before any test. A class is new to the model as long as its own name and images are.",
        "B": "these images may be used for anything: they are there to train on.",
        "D": "a list of words from elsewhere does not depend on the test images. The fourth-placed team used such lists.",
    },
)

ALL = [precision, neighbours, divided, directions, angle, with_margin, alpha]
