"""Exercises of chapter 14, One embedding for everything."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels, names, normal
from wiseft_lite.retrieval.arcface import SubCentres, arcface
from wiseft_lite.retrieval.search import nearest, query_scores, retrieval_scores
from wiseft_lite.retrieval.universal import disjoint_splits


def _retrieved(generator):
    """Lists of other images, nearest first, and classes of all images; one class has one image."""
    n, k = int(generator.integers(9, 13)), int(generator.integers(3, 6))
    classes = labels(generator, n, 3)
    classes[int(generator.integers(n))] = 3
    found = [
        generator.permutation([i for i in range(n) if i != query])[: k + 2].tolist()
        for query in range(n)
    ]
    return torch.tensor(found), classes, k


def _large_classes(generator):
    """Each query has more relevant images than results."""
    n, k = int(generator.integers(14, 18)), int(generator.integers(3, 6))
    classes = (torch.arange(n) % 2)[torch.as_tensor(generator.permutation(n))]
    found = [
        generator.permutation([i for i in range(n) if i != query])[:k].tolist()
        for query in range(n)
    ]
    return torch.tensor(found), classes, k


def _scored(found, labels, k, precision=None, average=None, alone=False):
    """mP@k and mAP@k, with other definitions of one query's score than those of the text."""
    precisions, averages = [], []
    for query, row in enumerate(found.tolist()):
        relevant = int((labels == labels[query]).sum()) - 1
        if relevant == 0:
            precisions += [0.0] * alone
            averages += [0.0] * alone
            continue
        hits = [int(labels[i] == labels[query]) for i in row[:k]]
        precisions.append((precision or _precision)(hits, relevant, k))
        averages.append((average or _average)(hits, relevant, k))
    return sum(precisions) / len(precisions), sum(averages) / len(averages)


def _precision(hits, relevant, k):
    judged = min(relevant, k)
    return sum(hits[:judged]) / judged


def _ranks(hits):
    return [sum(hits[: j + 1]) / (j + 1) * hit for j, hit in enumerate(hits)]


def _average(hits, relevant, k):
    return sum(_ranks(hits)) / min(relevant, k)


def _scored_with(**setting):
    return lambda found, labels, k: _scored(found, labels, k, **setting)


scores = Code(
    "14.1",
    _scored,
    [_retrieved, _large_classes],
    [
        (
            _scored_with(precision=lambda hits, relevant, k: sum(hits) / k),
            "mP@k always divides by k; a query with two relevant images could then never score more than 2/k.",
        ),
        (
            _scored_with(precision=lambda hits, relevant, k: sum(hits) / min(relevant, k)),
            "mP@k looks at all k results; a query with two relevant images is judged by its first two.",
        ),
        (
            _scored_with(precision=lambda hits, relevant, k: sum(hits[:relevant]) / relevant),
            "mP@k divides by all relevant images; with nine of them a perfect list of five would score 5/9.",
        ),
        (
            _scored_with(average=lambda hits, relevant, k: sum(_ranks(hits)) / k),
            "your mAP@k has k below the line; divide by the number of hits that a perfect list has, min(n_q, k).",
        ),
        (
            _scored_with(average=lambda hits, relevant, k: sum(_ranks(hits)) / relevant),
            "your mAP@k has all relevant images below the line: with nine of them a perfect list of five would score 5/9.",
        ),
        (
            _scored_with(
                average=lambda hits, relevant, k: (
                    sum(_ranks(hits)) / sum(hits) if any(hits) else 0.0
                )
            ),
            "mAP@k divides by the hits that were found; a list with one hit, the first, would then be perfect.",
        ),
        (
            _scored_with(
                average=lambda hits, relevant, k: (
                    sum(sum(hits[: j + 1]) / (j + 1) for j in range(len(hits))) / min(relevant, k)
                )
            ),
            "mAP@k adds up the precision at every place; only the places of hits count.",
        ),
        (
            _scored_with(alone=True),
            "a query without another image of its class scores 0 whatever the embedding does: leave it out.",
        ),
        (
            lambda found, labels, k: _scored(found, labels, k)[::-1],
            "the two are in the wrong order: mP@k first.",
        ),
    ],
    library=[retrieval_scores, query_scores],
    draws=8,
)


def _chunked(generator, lengths):
    """Embeddings, and chunks whose last one is smaller than k or than the others."""
    k, size = int(generator.integers(3, 6)), int(generator.integers(2, 9))
    n = int(generator.integers(5, 8)) * size + int(generator.integers(1, size))
    scale = torch.as_tensor(generator.uniform(*lengths, size=(n, 1))).float()
    return normal(generator, n, 4) * scale, k, size


def _vectors(generator):
    """Embeddings of different lengths."""
    return _chunked(generator, (0.2, 5))


def _twins(generator):
    """Embeddings of which two are equal."""
    embeddings, k, size = _chunked(generator, (1, 1))
    first, second = generator.permutation(len(embeddings))[:2].tolist()
    embeddings[second] = embeddings[first]
    return embeddings, k, size


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that is computed."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


def _rows_of(nearest_by_chunks, embeddings, k, size):
    """Rows, with -1 for the query itself; of two equal embeddings the smaller one."""
    with _Largest() as seen:
        found = nearest_by_chunks(embeddings, k, size)
    found = torch.as_tensor(found)
    n = len(embeddings)
    first = (embeddings[:, None] == embeddings[None]).all(-1).int().argmax(1)
    itself = torch.arange(n)[:, None]
    return {
        "found": torch.where(found == itself, -1, first[found]),
        "all similarities at once": seen.numbers >= n * n,
    }


def _unit(embeddings):
    return F.normalize(embeddings, dim=1)


def _all_at_once(embeddings, k):
    similarity = _unit(embeddings) @ _unit(embeddings).T
    return similarity.fill_diagonal_(-2).topk(k).indices


def _searched(embeddings, k, size, unit=_unit, exclude=True, largest=True, offset=True, keep=True):
    units = unit(embeddings)
    n = len(units)
    best, found = torch.empty(n, 0), torch.empty(n, 0, dtype=torch.int64)
    for start in range(0, n, size):
        places = torch.arange(start, min(start + size, n))
        similarity = units @ units[places].T
        if exclude:
            worst = -torch.inf if largest else torch.inf
            similarity = similarity.masked_fill(torch.arange(n)[:, None] == places, worst)
        if not offset:
            places = places - start
        if keep:
            similarity = torch.cat([best, similarity], 1)
        rows = places.expand(n, -1)
        rows = torch.cat([found, rows], 1) if keep else rows
        best, order = similarity.topk(min(k, similarity.shape[1]), largest=largest)
        found = rows.gather(1, order)
    return found


def _searched_with(**setting):
    return lambda embeddings, k, size: _searched(embeddings, k, size, **setting)


neighbours = Code(
    "14.2",
    _searched,
    [_vectors, _twins],
    [
        (
            _searched_with(exclude=False),
            "the nearest image that you return is the query itself (here -1), so recall@1 is 100 % for any embedding.",
        ),
        (
            lambda e, k, size: _searched(e, k + 1, size, exclude=False)[:, 1:],
            "you drop the first result and assume that it is the query; two images with one embedding can come in "
            "either order. Exclude the query by its row.",
        ),
        (
            _searched_with(unit=lambda embeddings: embeddings),
            "long vectors win everywhere: without length 1 a product measures length as well as direction.",
        ),
        (
            _searched_with(largest=False),
            "those are the images that are furthest away; the nearest has the largest similarity.",
        ),
        (
            _searched_with(offset=False),
            "those are places within a chunk; add the place where the chunk begins.",
        ),
        (
            _searched_with(keep=False),
            "those are the nearest of the last chunk alone; keep the best of all chunks so far.",
        ),
        (
            lambda e, k, size: _all_at_once(e, k),
            "the nearest are right, but you computed all similarities at once: with a million images that is a tensor of "
            "4 terabytes.",
        ),
        (
            lambda e, k, size: _searched(e, k, size).flip(1),
            "the order is reversed: the nearest comes first.",
        ),
        (
            lambda e, k, size: _searched(e, k, size).sort(1).values,
            "the right images, in the order of the index; sort them by similarity, the nearest first.",
        ),
    ],
    library=[nearest],
    call=_rows_of,
    draws=8,
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


class _Embedder(torch.nn.Module):
    """A small network whose outputs have length 1."""

    def __init__(self, generator, dimensions):
        super().__init__()
        self.linear = torch.nn.Linear(5, dimensions)
        for parameter in self.parameters():
            parameter.data = normal(generator, *parameter.shape)

    def forward(self, images):
        return F.normalize(self.linear(images), dim=-1)


def _step_inputs(generator):
    """An embedder, centres and a batch in which no angle with its margin reaches 180 degrees."""
    classes, sub_centres = int(generator.integers(3, 6)), int(generator.integers(2, 4))
    while True:
        embedder, centres = _Embedder(generator, 4), normal(generator, classes, sub_centres, 4)
        images, own = normal(generator, 8, 5), labels(generator, 8, classes)
        cosines = _cosines(embedder(images), centres).detach()
        if cosines.max() < 0.98 and cosines[torch.arange(8), own].min() > -0.5:
            break
    margins = torch.as_tensor(generator.uniform(0.2, 0.6, size=classes)).float()
    lr = float(generator.uniform(0.02, 0.04))
    return embedder, torch.nn.Parameter(centres), images, own, margins, lr, lr / 10


def _cosines(embeddings, centres):
    return torch.einsum("bd,ckd->bck", embeddings, F.normalize(centres, dim=-1)).amax(-1)


def _of_mean_centre(embeddings, centres):
    return embeddings @ F.normalize(centres, dim=-1).mean(1).T


def _two_steps(arcface_step, embedder, centres, images, labels, margins, lr, encoder_lr):
    """Two steps on one batch: what the first leaves behind must not disturb the second."""
    batch = images.clone(), labels.clone(), margins.clone()
    losses = [
        float(arcface_step(embedder, centres, *inputs, lr, encoder_lr))
        for inputs in ((images, labels, margins), batch)
    ]
    return {
        "losses": losses,
        "embedder": {name: tensor.clone() for name, tensor in embedder.state_dict().items()},
        "centres": centres.detach().clone(),
    }


def _own_rotated(cosines, labels, margins, sign=1):
    own = F.one_hot(labels, cosines.shape[1]).bool()
    return torch.where(own, (cosines.arccos() + sign * margins).cos(), cosines)


def _all_rotated(cosines, labels, margins):
    return (cosines.arccos() + margins).cos()


def _own_lowered(cosines, labels, margins):
    return cosines - margins * F.one_hot(labels, cosines.shape[1])


def _step(
    embedder,
    centres,
    images,
    labels,
    margins,
    lr,
    encoder_lr,
    cosines_of=_cosines,
    with_margin=_own_rotated,
    scale=30.0,
    reduction="mean",
    zero_grad=True,
):
    groups = [
        {"params": [centres], "lr": lr},
        {"params": list(embedder.parameters()), "lr": encoder_lr},
    ]
    optimizer = torch.optim.SGD(groups)
    cosines = with_margin(cosines_of(embedder(images), centres), labels, margins)
    loss = F.cross_entropy(scale * cosines, labels, reduction=reduction)
    if zero_grad:
        optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _step_with(**setting):
    return lambda *inputs: _step(*inputs, **setting)


def _step_at(rates):
    """A step at other learning rates; ``rates(lr, encoder_lr)`` are those of centres and embedder."""
    return lambda *inputs: _step(*inputs[:5], *rates(*inputs[5:]))


step = Code(
    "14.6",
    _step,
    [_step_inputs],
    [
        (
            _step_with(with_margin=lambda cosines, labels, margins: cosines),
            "there is no margin: the loss is content as soon as the image is a little nearer to its own class.",
        ),
        (
            _step_with(with_margin=_all_rotated),
            "you rotate every class, so the margin makes no class harder than another: only the image's own.",
        ),
        (
            _step_with(with_margin=partial(_own_rotated, sign=-1)),
            "the image's own class came nearer: a larger angle has a smaller cosine, so add the margin.",
        ),
        (
            _step_with(with_margin=_own_lowered),
            "you subtract the margin from the cosine; ArcFace adds it to the angle.",
        ),
        (
            _step_with(
                with_margin=lambda cosines, labels, margins: _own_rotated(
                    cosines, labels, torch.deg2rad(margins)
                )
            ),
            "the margins are in radians already; do not convert them.",
        ),
        (
            _step_with(
                with_margin=lambda cosines, labels, margins: _own_rotated(
                    cosines, labels, margins.mean()
                )
            ),
            "you use one margin for all; each class has its own, margins[labels].",
        ),
        (
            _step_with(cosines_of=_of_mean_centre),
            "you take the mean of a class's centres; the nearest one counts, the largest cosine.",
        ),
        (
            _step_with(cosines_of=lambda e, centres: _cosines(e, centres[:, :1])),
            "you use the first centre of each class alone; the nearest one counts, the largest cosine.",
        ),
        (
            _step_with(cosines_of=lambda e, c: torch.einsum("bd,ckd->bck", e, c).amax(-1)),
            "the centres do not have length 1, so a product with them is no cosine: normalise them.",
        ),
        (
            _step_with(scale=1.0),
            "the scale is missing: cosines lie between -1 and 1, and a softmax of them is nearly flat.",
        ),
        (
            _step_with(reduction="sum"),
            "the loss is a sum over the batch, so the step is as many times too long; take the mean.",
        ),
        (
            _step_at(lambda lr, encoder_lr: (lr, 0.0)),
            "the embedder has not moved: its embeddings were computed without a gradient, or it is missing in the "
            "optimizer.",
        ),
        (
            _step_at(lambda lr, encoder_lr: (0.0, encoder_lr)),
            "the centres have not moved: they are weights too, and the optimizer must know them.",
        ),
        (
            _step_at(lambda lr, encoder_lr: (lr, lr)),
            "the embedder took a step at the centres' learning rate; it has its own, encoder_lr.",
        ),
        (
            _step_at(lambda lr, encoder_lr: (encoder_lr, lr)),
            "the two learning rates are swapped: lr is that of the centres.",
        ),
        (
            _step_with(zero_grad=False),
            "in a second step the gradients of the first are still there: remove them before backward().",
        ),
    ],
    library=[arcface, SubCentres.forward],
    call=_two_steps,
    may_change=["embedder", "centres"],
    tolerance=1e-3,
    draws=3,
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


directions = Choice(
    "14.4",
    "C",
    {
        "A": "these names are known before any test. A class is new to the model as long as its own name and images are.",
        "B": "these images may be used for anything: they are there to train on.",
        "D": "a list of words from elsewhere does not depend on the test images. The fourth-placed team used such lists.",
    },
)

ALL = [scores, neighbours, divided, directions, angle, step]
