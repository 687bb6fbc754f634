import copy
import math
import re
import statistics
from collections import defaultdict

import numpy as np
import torch


def twins_by_query(table):
    means = table.groupby("setting")[["val", "shifts"]].mean()
    runs = table.groupby("setting")["val"]
    best = means["val"].idxmax()
    limit = means["val"][best] - runs.sem()[best]  # noqa: F841
    kept = means.query("val >= @limit")
    return kept.index.tolist(), np.ptp(kept["shifts"].to_numpy())


def twins_by_loop(table):
    val, shifts = defaultdict(list), defaultdict(list)
    for row in table.itertuples():
        val[row.setting].append(row.val)
        shifts[row.setting].append(row.shifts)
    best = max(val, key=lambda name: statistics.mean(val[name]))
    error = statistics.stdev(val[best]) / math.sqrt(len(val[best]))
    limit = statistics.mean(val[best]) - error
    near = {name for name in val if statistics.mean(val[name]) >= limit}
    heights = [statistics.mean(shifts[name]) for name in near]
    return near, max(heights) - min(heights)


def twins_in_numpy(table):
    names = np.unique(table["setting"])
    parts = [table[table["setting"] == name] for name in names]
    means = np.array([part["val"].mean() for part in parts])
    top = means.argmax()
    n = len(parts[top])
    error = np.sqrt(((parts[top]["val"] - means[top]) ** 2).sum() / (n - 1) / n)
    near = np.flatnonzero(means >= means[top] - error)
    shifts = sorted(parts[k]["shifts"].mean() for k in near)
    return names[near], torch.tensor(shifts[-1] - shifts[0])


def until_by_index(model, train_epoch, evaluate, patience, epochs):
    history, states = [], []
    for _ in range(epochs):
        train_epoch(model)
        history.append(evaluate(model))
        states.append({k: v.clone() for k, v in model.state_dict().items()})
        best = history.index(max(history))
        if len(history) - 1 - best >= patience:
            break
    model.load_state_dict(states[best])
    return model


def until_by_copy(model, train_epoch, evaluate, patience, epochs):
    best, kept, left, epoch = float("-inf"), None, patience, 0
    while left > 0 and epoch < epochs:
        train_epoch(model)
        epoch += 1
        val = evaluate(model)
        left -= 1
        if val > best:
            best, kept, left = val, copy.deepcopy(model), patience
    return kept


class Stopper:
    """The state of early stopping as an object."""

    def __init__(self, patience):
        self.patience, self.best, self.waited, self.state = patience, None, 0, None

    def stops(self, model, accuracy):
        if self.best is None or accuracy > self.best:
            self.best, self.waited = accuracy, 0
            self.state = copy.deepcopy(model.state_dict())
        else:
            self.waited += 1
        return self.waited == self.patience


def until_with_an_object(model, train_epoch, evaluate, patience, epochs):
    stopper = Stopper(patience)
    for _ in range(epochs):
        train_epoch(model)
        if stopper.stops(model, evaluate(model)):
            break
    model.load_state_dict(stopper.state)
    return model


def layers_by_place(model, lr, decay, weight_decay):
    depth = 1 + max(
        int(name.split(".")[3]) for name, _ in model.named_parameters() if "resblocks" in name
    )
    found = []
    for name, p in model.named_parameters():
        words = name.split(".")
        if "resblocks" in words:
            below = depth - int(words[3])
        elif words[0] == "head" or words[1] in ("proj", "ln_post"):
            below = 0
        else:
            below = depth + 1
        found.append(
            {"params": [p], "lr": lr * decay**below, "weight_decay": weight_decay * (p.ndim >= 2)}
        )
    return found


def layers_by_modules(model, lr, decay, weight_decay):
    encoder = model.encoder
    parts = [[*model.head.parameters(), *encoder.ln_post.parameters(), encoder.proj]]
    parts += [[*block.parameters()] for block in reversed(encoder.transformer.resblocks)]
    known = {id(p) for part in parts for p in part}
    parts.append([p for p in model.parameters() if id(p) not in known])
    found = []
    for below, parameters in enumerate(parts):
        rate = lr * decay**below
        matrices = [p for p in parameters if p.dim() > 1]
        vectors = [p for p in parameters if p.dim() <= 1]
        found.append({"params": matrices, "lr": rate, "weight_decay": weight_decay})
        found.append({"params": vectors, "lr": rate, "weight_decay": 0})
    return found


def layers_by_rate(model, lr, decay, weight_decay):
    grouped, depth = defaultdict(list), len(model.encoder.transformer.resblocks)
    for name, p in model.named_parameters():
        block = re.search(r"resblocks\.(\d+)\.", name)
        if block:
            rate = lr * math.pow(decay, depth - int(block[1]))
        else:
            rate = (
                lr if re.match(r"head|encoder\.(proj|ln_post)", name) else lr * decay ** (depth + 1)
            )
        grouped[rate, weight_decay if len(p.shape) > 1 else 0.0].append(p)
    return [{"params": ps, "lr": a, "weight_decay": b} for (a, b), ps in grouped.items()]


RIGHT = {
    "5.2": [twins_by_query, twins_by_loop, twins_in_numpy],
    "5.3": [until_by_index, until_by_copy, until_with_an_object],
    "5.4": [layers_by_place, layers_by_modules, layers_by_rate],
}

WRONG = {
    "5.2": [
        lambda table: twins_by_loop(table)[::-1],
        lambda table: (set(table["setting"]), twins_by_loop(table)[1]),
    ],
    "5.3": [
        lambda model, train_epoch, evaluate, patience, epochs: model,
        lambda model, train_epoch, evaluate, patience, epochs: until_by_copy(
            model, train_epoch, evaluate, patience + 2, epochs
        ),
        lambda *inputs: until_by_copy(*inputs).state_dict(),
    ],
    "5.4": [
        lambda model, lr, decay, weight_decay: model.parameters(),
        lambda model, lr, decay, weight_decay: layers_by_place(model, decay, lr, weight_decay),
        lambda model, lr, decay, weight_decay: layers_by_place(model.eval(), lr, 1.0, 0.0),
    ],
}
