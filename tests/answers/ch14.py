import random
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F


def scores_by_tensors(found, labels, k):
    hits = (labels[found[:, :k]] == labels[:, None]).double()
    relevant = (labels == labels[:, None]).sum(1) - 1
    hits, judged = hits[relevant > 0], relevant[relevant > 0].clamp(max=k)
    place = torch.arange(1, k + 1)
    precision = (hits * (place <= judged[:, None])).sum(1) / judged
    average = (hits * hits.cumsum(1) / place).sum(1) / judged
    return precision.mean(), average.mean()


def scores_by_loops(found, labels, k):
    labels, p, ap = labels.tolist(), [], []
    for query, row in enumerate(found.tolist()):
        other = Counter(labels)[labels[query]] - 1
        if other > 0:
            judged, right, total, first = min(other, k), 0, 0.0, 0
            for place in range(1, k + 1):
                if labels[row[place - 1]] == labels[query]:
                    right += 1
                    total += right / place
                    first += place <= judged
            p.append(first / judged)
            ap.append(total / judged)
    return [sum(p) / len(p), sum(ap) / len(ap)]


def scores_in_numpy(found, labels, k):
    found, labels = found.numpy(), labels.numpy()
    of_queries = []
    for query in range(len(labels)):
        n = np.count_nonzero(labels == labels[query]) - 1
        if n == 0:
            continue
        hits = labels[found[query]][:k] == labels[query]
        precisions = np.cumsum(hits) / np.arange(1, k + 1)
        of_queries.append((hits[: min(n, k)].mean(), precisions[hits].sum() / min(n, k)))
    return np.mean(of_queries, axis=0)


def nearest_in_numpy(embeddings, k, size):
    e = embeddings.numpy().astype(np.float64)
    e = e / np.linalg.norm(e, axis=1, keepdims=True)
    rows, best, found = np.arange(len(e)), np.zeros((len(e), 0)), np.zeros((len(e), 0), int)
    for start in range(0, len(e), size):
        places = rows[start : start + size]
        similarity = np.where(rows[:, None] == places, -np.inf, e @ e[places].T)
        best = np.concatenate([best, similarity], 1)
        found = np.concatenate([found, np.tile(places, (len(e), 1))], 1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(best, order, 1)
        found = np.take_along_axis(found, order, 1)
    return found


def nearest_by_queries(embeddings, k, size):
    """Each query by itself, with the best of all chunks in a Python list."""
    units, found = F.normalize(embeddings, dim=-1), []
    for i, query in enumerate(units):
        best = []
        for start in range(0, len(units), size):
            chunk = (units[start : start + size] @ query).tolist()
            best += [(-s, start + j) for j, s in enumerate(chunk) if start + j != i]
            best = sorted(best)[:k]
        found.append([place for _, place in best])
    return torch.tensor(found)


def nearest_by_diagonals(embeddings, k, size):
    units = embeddings / embeddings.norm(dim=1, keepdim=True)
    best = torch.full((len(units), k), -torch.inf)
    places = torch.full((len(units), k), -1)
    for start, chunk in zip(range(0, len(units), size), units.split(size), strict=True):
        similarity = units @ chunk.T
        similarity[start : start + len(chunk)].fill_diagonal_(-torch.inf)
        columns = start + torch.arange(len(chunk)).repeat(len(units), 1)
        best = torch.hstack([best, similarity])
        places = torch.hstack([places, columns])
        best, order = best.sort(dim=1, descending=True)
        best, places = best[:, :k], places.gather(1, order)[:, :k]
    return places


def divided_by_shuffle(tasks, share, seed):
    names = sorted(set().union(*tasks.values()))
    random.Random(seed).shuffle(names)
    cut = int(share * len(names))
    return names[:cut], names[cut:]


def divided_by_numpy(tasks, share, seed):
    names = []
    for of_task in tasks.values():
        names += [name for name in of_task if name not in names]
    chosen = np.random.default_rng(seed).choice(names, round(share * len(names)), replace=False)
    return set(chosen.tolist()), set(names) - set(chosen.tolist())


def divided_by_order(tasks, share, seed):
    names = np.array(sorted({name for names in tasks.values() for name in names}))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).numpy()
    cut = round(share * len(names))
    return frozenset(names[order[:cut]]), frozenset(names[order[cut:]])


def step_by_index(embedder, centres, images, labels, margins, lr, encoder_lr):
    units = F.normalize(centres, dim=2)
    embeddings, rows = embedder(images), torch.arange(len(labels))
    cosines = torch.stack([embeddings @ units[:, k].T for k in range(units.shape[1])]).max(0)[0]
    logits = cosines.clone()
    logits[rows, labels] = torch.cos(torch.acos(cosines[rows, labels]) + margins[labels])
    loss = torch.nn.CrossEntropyLoss()(30 * logits, labels)
    weights = [*embedder.parameters(), centres]
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= (lr if weight is centres else encoder_lr) * gradient
    return loss


def step_by_addition_theorem(embedder, centres, images, labels, margins, lr, encoder_lr):
    optimizer = torch.optim.SGD(embedder.parameters(), lr=encoder_lr)
    optimizer.add_param_group({"params": centres, "lr": lr})
    optimizer.zero_grad()
    units = centres / centres.norm(dim=-1, keepdim=True)
    flat = embedder(images) @ units.flatten(0, 1).T
    cosines = flat.view(len(images), *units.shape[:2]).max(-1).values
    own = cosines.gather(1, labels[:, None])
    m = margins[labels][:, None]
    rotated = own * m.cos() - (1 - own**2).sqrt() * m.sin()
    logits = 30.0 * cosines.scatter(1, labels[:, None], rotated)
    loss = (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).mean()
    loss.backward()
    optimizer.step()
    return loss.detach()


def step_with_two_optimizers(embedder, centres, images, labels, margins, lr, encoder_lr):
    first = torch.optim.SGD([centres], lr)
    second = torch.optim.SGD(embedder.parameters(), encoder_lr)
    e, w = embedder(images), F.normalize(centres, dim=-1)
    cosines = F.cosine_similarity(e[:, None, None], w[None], dim=-1).amax(2)
    angles = cosines.arccos() + margins * F.one_hot(labels, len(centres))
    loss = F.cross_entropy(30 * angles.cos(), labels)
    for optimizer in (first, second):
        optimizer.zero_grad()
    loss.backward()
    for optimizer in (first, second):
        optimizer.step()
    return float(loss)


RIGHT = {
    "14.1": [scores_by_tensors, scores_by_loops, scores_in_numpy],
    "14.2": [nearest_in_numpy, nearest_by_queries, nearest_by_diagonals],
    "14.3": [divided_by_shuffle, divided_by_numpy, divided_by_order],
    "14.6": [step_by_index, step_by_addition_theorem, step_with_two_optimizers],
}

WRONG = {
    "14.1": [
        lambda found, labels, k: [100 * x for x in scores_by_loops(found, labels, k)],
        lambda found, labels, k: scores_by_tensors(found.flip(1), labels, k),
        lambda found, labels, k: scores_by_loops(found, labels, k)[0],
        lambda found, labels, k: scores_by_loops(found, labels, 1),
    ],
    "14.2": [
        lambda e, k, size: nearest_in_numpy(e, k, size).T,
        lambda e, k, size: nearest_in_numpy(F.normalize(e, dim=0) + 1, k, size),
        lambda e, k, size: torch.arange(k).repeat(len(e), 1),
        lambda e, k, size: nearest_in_numpy(e[:size], k, size),
    ],
    "14.3": [
        lambda tasks, share, seed: divided_by_shuffle(tasks, share, random.randrange(10**6)),
        lambda tasks, share, seed: (sorted(set().union(*tasks.values())), []),
        lambda tasks, share, seed: tuple(map(len, divided_by_shuffle(tasks, share, seed))),
    ],
    "14.5": [0.37, 25.0],
    "14.6": [
        lambda embedder, centres, *rest: 0.0,
        lambda embedder, centres, images, labels, *rest: step_by_index(
            embedder, centres, images, (labels + 1) % len(centres), *rest
        ),
        lambda *inputs: float(step_by_index(*inputs)) + 1,
        lambda *inputs: [step_by_index(*inputs), step_by_index(*inputs)][1],
    ],
}
