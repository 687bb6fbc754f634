import numpy as np
import pandas as pd


def two_means_by_loops(table, shifts):
    best = [max(table[shift]) for shift in shifts]
    means = [sum(row[s] for s in shifts) / len(shifts) for _, row in table.iterrows()]
    return [sum(best) / len(best), max(means)]


def two_means_in_numpy(table, shifts):
    values = table[shifts].to_numpy()
    return np.array([values.max(axis=0).mean(), values.mean(axis=1).max()])


def redraw_by_choice(right, generator):
    n = right.shape[1]
    return np.argmax(right[:, generator.choice(n, n)].sum(axis=1))


def redraw_by_counts(right, generator):
    n = right.shape[1]
    times = np.bincount(generator.integers(0, n, n), minlength=n)
    return int((right @ times).argmax())


def redraw_by_loop(right, generator):
    n = right.shape[1]
    hits = [0] * len(right)
    for _ in range(n):
        image = generator.integers(n)
        for k in range(len(right)):
            hits[k] += bool(right[k, image])
    return hits.index(max(hits))


def lend_by_drop(table, shifts):
    only = table[shifts]
    alphas = {s: only.drop(columns=s).mean(axis=1).idxmax() for s in shifts}
    return pd.Series({s: only.loc[alphas[s], s] for s in shifts})


def lend_by_sums(table, shifts):
    total = sum(table[s] for s in shifts)
    return {s: float(table.loc[(total - table[s]).idxmax(), s]) for s in shifts}


def lend_in_numpy(table, shifts):
    values, lent = table[shifts].to_numpy(), {}
    for k, shift in enumerate(shifts):
        row = np.delete(values, k, axis=1).mean(axis=1).argmax()
        lent[shift] = values[row, k]
    return lent


def choose_by_sort(table):
    rows = table.query("split == 'val'").sort_values("alpha")
    return rows.loc[rows["accuracy"].idxmax(), "alpha"]


def choose_by_loop(table):
    best_alpha, best = 2, -1
    for row in table.itertuples():
        if row.split != "val":
            continue
        if row.accuracy > best or (row.accuracy == best and row.alpha < best_alpha):
            best_alpha, best = row.alpha, row.accuracy
    return best_alpha


RIGHT = {
    "7.2": [
        choose_by_sort,
        choose_by_loop,
        lambda table: (
            table[table["split"] == "val"]
            .sort_values(["accuracy", "alpha"], ascending=[False, True])["alpha"]
            .iloc[0]
        ),
    ],
    "7.3": [
        two_means_by_loops,
        two_means_in_numpy,
        lambda table, shifts: (np.mean(table[shifts].max()), table[shifts].T.mean().max()),
    ],
    "7.4": [redraw_by_choice, redraw_by_counts, redraw_by_loop],
    "7.5": [lend_by_drop, lend_by_sums, lend_in_numpy],
}

WRONG = {
    "7.2": [
        lambda table: 0.5,
        lambda table: table[table["split"] == "val"]["alpha"].min(),
        lambda table: table["accuracy"].idxmax(),
    ],
    "7.3": [
        lambda table, shifts: table[shifts].max().mean(),
        lambda table, shifts: (table[shifts].min().mean(), table[shifts].mean(axis=1).max()),
    ],
    "7.4": [
        lambda right, generator: int(right.mean(axis=1).argmin()),
    ],
    "7.5": [
        lambda table, shifts: list(lend_by_sums(table, shifts).values()),
        lambda table, shifts: float(lend_by_drop(table, shifts).mean()),
        lambda table, shifts: {s: table[s].mean() for s in shifts},
    ],
}
