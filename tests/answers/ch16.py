import numpy as np
import torch


def choose_by_sort(table):
    val = table.query("split == 'val'").sort_values("alpha")
    return val.loc[val["accuracy"].idxmax(), "alpha"]


def choose_by_loop(table):
    best_alpha, best = 2, -1
    for row in table.itertuples():
        if row.split != "val":
            continue
        if row.accuracy > best or (row.accuracy == best and row.alpha < best_alpha):
            best_alpha, best = row.alpha, row.accuracy
    return best_alpha


RIGHT = {
    "16.1": [
        lambda x: x / (1 + torch.exp(-1.702 * x)),
        lambda x: torch.nn.functional.silu(1.702 * x) / 1.702,
        lambda x: x.numpy() / (1 + np.exp(-1.702 * x.numpy())),
    ],
    "16.5": [
        choose_by_sort,
        choose_by_loop,
        lambda table: (lambda val: val[val.accuracy == val.accuracy.max()].alpha.min())(
            table[table.split == "val"]
        ),
    ],
}

WRONG = {
    "16.1": [lambda x: x * (x > 0), lambda x: x * torch.tanh(1.702 * x)],
    "16.5": [lambda table: 0.5, lambda table: table["accuracy"].idxmax()],
}
