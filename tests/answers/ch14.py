import math
import random
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F


def precision_by_loop(found, label, n_relevant):
    judged = n_relevant if n_relevant < 5 else 5
    hits = 0
    for k in range(judged):
        if found[k] == label:
            hits += 1
    return hits / judged


def neighbours_in_numpy(embeddings, k):
    e = embeddings.numpy().astype(np.float64)
    e = e / np.linalg.norm(e, axis=1, keepdims=True)
    similarity = e @ e.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


def neighbours_by_loops(embeddings, k):
    found = []
    for i, query in enumerate(embeddings):
        others = [j for j in range(len(embeddings)) if j != i]
        closeness = {j: F.cosine_similarity(query, embeddings[j], dim=0).item() for j in others}
        found.append(sorted(others, key=lambda j: -closeness[j])[:k])
    return found


def neighbours_by_mask(embeddings, k):
    e = embeddings / embeddings.norm(dim=1, keepdim=True)
    own = torch.eye(len(e), dtype=torch.bool)
    return (e @ e.T).masked_fill(own, float("-inf")).argsort(dim=1, descending=True)[:, :k]


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


def margin_by_index(cosines, labels, margin):
    out, rows = cosines.clone(), torch.arange(len(labels))
    out[rows, labels] = torch.cos(torch.arccos(cosines[rows, labels]) + margin)
    return out


def margin_by_addition_theorem(cosines, labels, margin):
    sines = (1 - cosines**2).sqrt()
    rotated = cosines * math.cos(margin) - sines * math.sin(margin)
    own = F.one_hot(labels, cosines.shape[1])
    return own * rotated + (1 - own) * cosines


def margin_by_loops(cosines, labels, margin):
    rows = cosines.tolist()
    for row, label in zip(rows, labels.tolist(), strict=True):
        row[label] = math.cos(math.acos(row[label]) + margin)
    return rows


def choose_by_sorting(table):
    val = table.query("split == 'val'").sort_values("mp_5")
    return val["alpha"].iloc[-1]


def choose_by_loop(table):
    best = None
    for row in table.itertuples():
        if row.split == "val" and (best is None or row.mp_5 > best.mp_5):
            best = row
    return best.alpha


RIGHT = {
    "14.1": [
        precision_by_loop,
        lambda found, label, n: Counter(found[: min(n, 5)])[label] / min(n, 5),
        lambda found, label, n: np.mean([name == label for name in found[: min(n, 5)]]),
    ],
    "14.2": [neighbours_in_numpy, neighbours_by_loops, neighbours_by_mask],
    "14.3": [divided_by_shuffle, divided_by_numpy, divided_by_order],
    "14.6": [margin_by_index, margin_by_addition_theorem, margin_by_loops],
    "14.7": [
        choose_by_sorting,
        choose_by_loop,
        lambda table: table[table.split == "val"].set_index("alpha")["mp_5"].idxmax(),
    ],
}

WRONG = {
    "14.1": [
        lambda found, label, n: 100 * precision_by_loop(found, label, n),
        lambda found, label, n: precision_by_loop(found[::-1], label, n),
    ],
    "14.2": [
        lambda e, k: neighbours_in_numpy(e, k).T,
        lambda e, k: (
            (F.normalize(e, dim=0) @ F.normalize(e, dim=0).T).fill_diagonal_(-2).topk(k)[1]
        ),
        lambda e, k: torch.arange(k).repeat(len(e), 1),
    ],
    "14.3": [
        lambda tasks, share, seed: divided_by_shuffle(tasks, share, random.randrange(10**6)),
        lambda tasks, share, seed: (sorted(set().union(*tasks.values())), []),
        lambda tasks, share, seed: tuple(map(len, divided_by_shuffle(tasks, share, seed))),
    ],
    "14.5": [0.37, 25.0],
    "14.6": [
        lambda c, y, m: margin_by_index(c, y, m)[torch.arange(len(y)), y],
        lambda c, y, m: margin_by_index(c, (y + 1) % c.shape[1], m),
        lambda c, y, m: torch.cos(c + m * F.one_hot(y, c.shape[1])),
    ],
    "14.7": [
        lambda table: table.loc[table["split"] == "val", "alpha"].max(),
        lambda table: 0.5,
        lambda table: table[table.split == "val"].groupby("alpha")["mp_5"].mean().idxmin(),
        lambda table: table[table.split == "val"]["mp_5"].argmax(),
    ],
}
