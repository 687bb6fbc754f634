import copy
import random
from collections import defaultdict

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import stats


def gains_by_loops(curves):
    by_task = defaultdict(lambda: defaultdict(list))
    for task in curves["task"].unique():
        for seed in curves.loc[curves["task"] == task, "seed"].unique():
            part = curves[(curves["task"] == task) & (curves["seed"] == seed)]
            test = dict(zip(part["alpha"], part["test"], strict=True))
            val = dict(zip(part["alpha"], part["val"], strict=True))
            better = max(test[0], test[1])
            by_task[task]["half"].append(test[0.5] - better)
            by_task[task]["chosen"].append(test[max(val, key=val.get)] - better)
            by_task[task]["oracle"].append(max(test.values()) - better)
    found = {}
    for name in ("half", "chosen", "oracle"):
        means = [np.mean(runs[name]) for runs in by_task.values()]
        found[name] = (np.mean(means), np.std(means, ddof=1))
    return found


def gains_by_pivot(curves):
    test, val = (
        curves.pivot(index=["task", "seed"], columns="alpha", values=column)
        for column in ("test", "val")
    )
    better = np.maximum(test[0.0], test[1.0])
    chosen = pd.Series({run: test.loc[run, val.loc[run].idxmax()] for run in test.index})
    rows = {"half": test[0.5] - better, "oracle": test.max(axis=1) - better}
    rows["chosen"] = pd.Series(chosen.to_numpy() - better.to_numpy(), index=test.index)
    means = pd.DataFrame(rows).groupby(level=0).mean()
    return {name: [means[name].mean(), means[name].std()] for name in means}


def gains_by_apply(curves):
    def one(part):
        test = part.set_index("alpha")["test"]
        best = part.loc[part["val"].idxmax(), "test"]
        return pd.Series({"half": test[0.5], "chosen": best, "oracle": test.max()}) - max(
            test[0.0], test[1.0]
        )

    runs = pd.DataFrame(
        {key: one(part) for key, part in curves.groupby(["task", "seed"])}
    ).T.rename_axis(["task", "seed"])
    table = runs.groupby("task").mean().agg(["mean", "std"])
    return {name: tuple(table[name]) for name in table}


def nested_by_class(labels, ks, generator):
    orders = []
    for label in labels.unique():
        rows = torch.where(labels == label)[0]
        orders.append(rows[torch.randperm(len(rows), generator=generator)])
    return [torch.cat([rows[:k] for rows in orders]) for k in ks]


def nested_by_random_keys(labels, ks, generator):
    keys = torch.rand(len(labels), generator=generator).tolist()
    ranks = [
        sum(1 for other, key in enumerate(keys) if labels[other] == labels[row] and key < keys[row])
        for row in range(len(labels))
    ]
    return [[row for row, rank in enumerate(ranks) if rank < k] for k in ks]


def nested_by_shuffle(labels, ks, generator):
    python = random.Random(int(torch.randint(10**9, (1,), generator=generator)))
    groups = defaultdict(list)
    for row, label in enumerate(labels.tolist()):
        groups[label].append(row)
    for rows in groups.values():
        python.shuffle(rows)
    return [np.concatenate([rows[:k] for rows in groups.values()]) for k in ks]


def learning_curve_by_linear(weight_0, train, test, draws, lr, steps):
    found = {}
    for k in draws:
        tuned, half = [], []
        for rows in draws[k]:
            head = torch.nn.Linear(weight_0.shape[1], weight_0.shape[0], bias=False)
            head.weight.data = weight_0.clone()
            optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0)
            for _ in range(steps):
                optimizer.zero_grad()
                F.cross_entropy(head(train[0][rows]), train[1][rows]).backward()
                optimizer.step()
            for accuracies, weight in ((tuned, head.weight), (half, (head.weight + weight_0) / 2)):
                right = F.linear(test[0], weight).argmax(1).eq(test[1])
                accuracies.append(100 * right.float().mean().item())
        found[k] = {"fine_tuned": _mean_and_half(tuned), "half": _mean_and_half(half)}
    return found


def _mean_and_half(values):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    if np.isnan(low):  # all values are equal
        return np.mean(values), 0.0
    return (low + high) / 2, (high - low) / 2


def learning_curve_by_hand(weight_0, train, test, draws, lr, steps):
    """AdamW without weight decay is Adam, here written out, with the gradient of a formula."""

    def fitted(x, y):
        w, m, v = weight_0.double(), 0.0, 0.0
        for t in range(1, steps + 1):
            error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))
            gradient = error.T @ x / len(x)
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            w = w - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        return w

    rows = {}
    for k, of_k in draws.items():
        heads = [fitted(train[0][r].double(), train[1][r]) for r in of_k]
        kinds = {"fine_tuned": heads, "half": [(w + weight_0) / 2 for w in heads]}
        rows[k] = {}
        for name, weights in kinds.items():
            logits = test[0].double() @ torch.stack(weights).mT
            percent = 100 * (logits.argmax(-1) == test[1]).double().mean(-1)
            half = stats.t.ppf(0.975, len(percent) - 1) * percent.std() / len(percent) ** 0.5
            rows[k][name] = [percent.mean(), half]
    return rows


def learning_curve_by_lerp(weight_0, train, test, draws, lr, steps):
    found = {}
    for k, of_k in draws.items():
        values = {0.5: [], 1.0: []}
        for rows in of_k:
            weight = copy.deepcopy(weight_0)
            weight.requires_grad = True
            optimizer = torch.optim.Adam([weight], lr)
            for _ in range(steps):
                loss = F.nll_loss((train[0][rows] @ weight.T).log_softmax(1), train[1][rows])
                (weight.grad,) = torch.autograd.grad(loss, weight)
                optimizer.step()
            for alpha, of_alpha in values.items():
                logits = torch.lerp(test[0] @ weight_0.T, test[0] @ weight.detach().T, alpha)
                of_alpha.append(np.mean((logits.argmax(1) == test[1]).numpy()) * 100)
        found[k] = {"half": _mean_and_half(values[0.5]), "fine_tuned": _mean_and_half(values[1.0])}
    return found


def searches_by_loops(table):
    probes = table[table["alpha"] == 1].set_index(["task", "k", "seed", "rate"])
    halves = table[table["alpha"] == 0.5].set_index(["task", "k", "seed", "rate"])
    gain = halves["test"] - probes["test"]
    largest = max(table["k"])
    means = {
        rate: probes["val"].xs((largest, rate), level=("k", "rate")).mean()
        for rate in table["rate"].unique()
    }
    one = max(means, key=means.get)
    found = {"searched": defaultdict(list), "one rate": defaultdict(list)}
    for (task, k, seed), part in probes.groupby(level=[0, 1, 2]):
        rate = part["val"].idxmax()[-1]
        found["searched"][k].append(gain[task, k, seed, rate])
        found["one rate"][k].append(gain[task, k, seed, one])
    return {name: {k: np.mean(v) for k, v in gains.items()} for name, gains in found.items()}


def searches_by_sorting(table):
    wide = table.pivot(index=["task", "k", "seed", "rate"], columns="alpha")
    frame = pd.DataFrame(
        {"val": wide["val"][1.0], "gain": wide["test"][0.5] - wide["test"][1.0]}
    ).reset_index()
    best = frame.sort_values("val").groupby(["task", "k", "seed"]).tail(1)
    rate = frame[frame.k == frame.k.max()].groupby("rate").val.mean().idxmax()
    return {
        "searched": best.groupby("k").gain.mean(),
        "one rate": frame[frame.rate == rate].groupby("k").gain.mean(),
    }


def searches_in_numpy(table):
    keys = ["task", "k", "seed", "rate", "alpha"]
    table = table.sort_values(keys)
    shape = [table[key].nunique() for key in keys]
    val, test = (table[column].to_numpy().reshape(shape) for column in ("val", "test"))
    gain = test[..., 1] - test[..., 2]  # [task, k, seed, rate]
    own = val[..., 2].argmax(-1)[..., None]
    searched = np.take_along_axis(gain, own, -1)[..., 0].mean((0, 2))
    one = gain[..., val[:, -1, :, :, 2].mean((0, 1)).argmax()].mean((0, 2))
    ks = sorted(table["k"].unique())
    return {
        "searched": dict(zip(ks, searched, strict=True)),
        "one rate": dict(zip(ks, one, strict=True)),
    }


RIGHT = {
    "11.2": [gains_by_loops, gains_by_pivot, gains_by_apply],
    "11.4": [nested_by_class, nested_by_random_keys, nested_by_shuffle],
    "11.5": [learning_curve_by_linear, learning_curve_by_hand, learning_curve_by_lerp],
    "11.6": [searches_by_loops, searches_by_sorting, searches_in_numpy],
}


WRONG = {
    "11.2": [
        lambda curves: {name: mean for name, (mean, _) in gains_by_loops(curves).items()},
        lambda curves: {
            name: (spread, mean) for name, (mean, spread) in gains_by_loops(curves).items()
        },
    ],
    "11.4": [
        lambda labels, ks, generator: nested_by_class(labels, [k + 1 for k in ks], generator),
        lambda labels, ks, generator: [
            torch.randperm(len(labels), generator=generator)[: 5 * k].tolist() for k in ks
        ],
        lambda labels, ks, generator: [rows[1:] for rows in nested_by_class(labels, ks, generator)],
    ],
    "11.5": [
        lambda w, train, test, draws, lr, steps: learning_curve_by_hand(
            w, train, test, draws, lr, steps - 3
        ),
        lambda w, train, test, draws, lr, steps: learning_curve_by_hand(
            w, train, test, draws, lr / 10, steps
        ),
    ],
    "11.6": [
        lambda table: searches_by_loops(table)["searched"],
        lambda table: dict(
            zip(("one rate", "searched"), searches_by_loops(table).values(), strict=True)
        ),
    ],
}
