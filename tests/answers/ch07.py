import numpy as np
import pandas as pd
import torch


def rules_by_sort(table, shifts):
    ordered = table.sort_index()
    mean = ordered[shifts].mean(axis=1)
    chosen = {
        "half": 0.5,
        "val": ordered["val"].idxmax(),
        "one oracle": (ordered["test"] + mean).idxmax(),
    }
    found = {rule: [a, ordered["test"][a], mean[a]] for rule, a in chosen.items()}
    found["own oracle"] = [float("nan"), ordered["test"].max(), mean.max()]
    return found


def rules_by_loop(table, shifts):
    rows = {}
    for alpha, row in table.iterrows():
        rows[alpha] = (row["val"], row["test"], sum(row[s] for s in shifts) / len(shifts))
    val = min(a for a in rows if rows[a][0] == max(r[0] for r in rows.values()))
    one = max(rows, key=lambda a: rows[a][1] + rows[a][2])
    return {
        "half": (0.5, *rows[0.5][1:]),
        "val": (val, *rows[val][1:]),
        "one oracle": (one, *rows[one][1:]),
        "own oracle": (np.nan, max(r[1] for r in rows.values()), max(r[2] for r in rows.values())),
    }


def rules_in_numpy(table, shifts):
    alphas, order = table.index.to_numpy(), np.argsort(table.index.to_numpy())
    values = table[["val", "test", *shifts]].to_numpy()[order]
    alphas, val, test, mean = alphas[order], values[:, 0], values[:, 1], values[:, 2:].mean(axis=1)
    rows = {"half": np.flatnonzero(alphas == 0.5)[0], "val": val.argmax()}
    rows["one oracle"] = (0.5 * test + 0.5 * mean).argmax()
    found = {rule: np.array([alphas[k], test[k], mean[k]]) for rule, k in rows.items()}
    return {**found, "own oracle": np.array([np.nan, test.max(), mean.max()])}


def optima_by_loop(right, halves):
    best, honest = [], []
    for shift, rows in right.items():
        best.append(max(row.mean() for row in rows))
        for half in halves[shift]:
            for chooser, reader in ((half, ~half), (~half, half)):
                scores = [row[chooser].sum() for row in rows]
                honest.append(rows[scores.index(max(scores))][reader].mean())
    means = [np.mean([rows[k].mean() for rows in right.values()]) for k in range(len(rows))]
    return [np.mean(best), max(means), np.mean(honest)]


def optima_in_torch(right, halves):
    tables = {s: torch.tensor(rows, dtype=torch.float64) for s, rows in right.items()}
    curves = torch.stack([rows.mean(1) for rows in tables.values()])
    read = []
    for shift, rows in tables.items():
        of_shift = []
        for half in halves[shift]:
            mask = torch.tensor(half)
            first, second = rows[:, mask].mean(1), rows[:, ~mask].mean(1)
            of_shift += [second[first.argmax()], first[second.argmax()]]
        read.append(sum(of_shift) / len(of_shift))
    return torch.stack([curves.amax(1).mean(), curves.mean(0).max(), torch.stack(read).mean()])


def optima_by_tables(right, halves):
    curves = pd.DataFrame({shift: rows.mean(axis=1) for shift, rows in right.items()})
    honest = pd.Series(dtype=float)
    for shift in curves:
        values = []
        for half in halves[shift]:
            for sign in (True, False):
                part = right[shift][:, half == sign]
                values.append(right[shift][part.sum(1).argmax()][half != sign].mean())
        honest[shift] = np.mean(values)
    return curves.max().mean(), curves.mean(axis=1).max(), honest.mean()


def redrawn_at_once(right, alphas, size, draws, generator):
    order = np.argsort(alphas)
    drawn = generator.integers(right.shape[1], size=(draws, size))
    scores = right[order][:, drawn].sum(axis=-1)
    return np.array(alphas)[order][scores.argmax(axis=0)]


def redrawn_by_counts(right, alphas, size, draws, generator):
    n = right.shape[1]
    counts = generator.multinomial(size, np.full(n, 1 / n), size=draws)
    scores = counts @ right.T
    best = scores == scores.max(axis=1, keepdims=True)
    return np.where(best, np.asarray(alphas), np.inf).min(axis=1).tolist()


def redrawn_by_loop(right, alphas, size, draws, generator):
    chosen = []
    for _ in range(draws):
        images = generator.choice(right.shape[1], size)
        score = {alpha: right[k, images].sum() for k, alpha in enumerate(alphas)}
        chosen.append(min(a for a in alphas if score[a] == max(score.values())))
    return torch.tensor(chosen, dtype=torch.float64)


def lend_by_tables(right, alphas, draws):
    def gains(redraw):
        scores = pd.DataFrame(
            {s: rows[:, redraw[s]].mean(axis=1) for s, rows in right.items()}, index=alphas
        )
        lent = pd.Series(
            {s: scores[s][scores.drop(columns=s).mean(axis=1).idxmax()] for s in scores}
        )
        lent -= scores.loc[0.5]
        lent["mean"] = lent.mean()
        return 100 * lent

    whole = gains({s: slice(None) for s in right})
    drawn = pd.DataFrame([gains(draw) for draw in draws])
    low, high = drawn.quantile(0.025), drawn.quantile(0.975)
    return {name: (whole[name], low[name], high[name]) for name in whole.index}


def lend_in_numpy(right, alphas, draws):
    names, half = list(right), alphas.index(0.5)

    def gains(redraw):
        scores = np.stack([right[s][:, redraw[s]].mean(axis=1) for s in names])
        found = []
        for k in range(len(names)):
            row = np.delete(scores, k, axis=0).mean(axis=0).argmax()
            found.append(scores[k, row] - scores[k, half])
        return 100 * np.array([*found, np.mean(found)])

    whole = gains({s: np.arange(right[s].shape[1]) for s in names})
    ends = np.percentile([gains(draw) for draw in draws], [2.5, 97.5], axis=0)
    return {s: [whole[k], ends[0, k], ends[1, k]] for k, s in enumerate([*names, "mean"])}


def lend_by_loop(right, alphas, draws):
    everything = {s: list(range(rows.shape[1])) for s, rows in right.items()}
    history = {s: [] for s in [*right, "mean"]}
    for images in [everything, *draws]:
        score = {s: [row[images[s]].mean() for row in rows] for s, rows in right.items()}
        total = 0
        for away in right:
            others = [s for s in right if s != away]
            mean = [sum(score[s][k] for s in others) for k in range(len(alphas))]
            gain = score[away][mean.index(max(mean))] - score[away][list(alphas).index(0.5)]
            history[away].append(100 * gain)
            total += 100 * gain
        history["mean"].append(total / len(right))
    found = {}
    for name, (whole, *drawn) in history.items():
        found[name] = torch.tensor([whole, *np.quantile(drawn, [0.025, 0.975])])
    return found


RIGHT = {
    "7.2": [rules_by_sort, rules_by_loop, rules_in_numpy],
    "7.3": [optima_by_loop, optima_in_torch, optima_by_tables],
    "7.4": [redrawn_at_once, redrawn_by_counts, redrawn_by_loop],
    "7.5": [lend_by_tables, lend_in_numpy, lend_by_loop],
}

WRONG = {
    "7.2": [
        lambda table, shifts: {rule: row[1:] for rule, row in rules_by_loop(table, shifts).items()},
        lambda table, shifts: rules_by_loop(table, shifts[:1]),
    ],
    "7.3": [
        lambda right, halves: optima_by_loop(right, halves)[:2],
        lambda right, halves: optima_by_loop({s: ~r for s, r in right.items()}, halves),
    ],
    "7.4": [
        lambda right, alphas, size, draws, generator: [
            alphas[int(generator.integers(len(alphas)))] for _ in range(draws)
        ],
    ],
    "7.5": [
        lambda right, alphas, draws: {
            s: found[0] for s, found in lend_in_numpy(right, alphas, draws).items()
        },
        lambda right, alphas, draws: lend_in_numpy(right, alphas, draws[:3]),
    ],
}
