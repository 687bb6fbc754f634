import copy

import pandas as pd
import torch


def line_by_lerp(theta_0, theta_1, alpha):
    return {name: torch.lerp(tensor, theta_1[name], alpha) for name, tensor in theta_0.items()}


def line_from_a_copy(theta_0, theta_1, alpha):
    mixed = copy.deepcopy(theta_0)
    for name in mixed:
        mixed[name] += alpha * (theta_1[name] - mixed[name])
    return mixed


def line_in_numpy(theta_0, theta_1, alpha):
    pairs = zip(theta_0.items(), theta_1.values(), strict=True)
    return {n: ((1 - alpha) * x.double() + alpha * y.double()).numpy() for (n, x), y in pairs}


def choose_by_loop(table):
    best_alpha, best = None, -1
    for alpha, split, accuracy in table[["alpha", "split", "accuracy"]].to_numpy().tolist():
        if split == "val" and accuracy > best:
            best_alpha, best = alpha, accuracy
    return best_alpha


def gain_in_percent_first(curve):
    percent = 100 * curve
    return percent.loc[0.5] - percent.loc[[0.0, 1.0]].max()


RIGHT = {
    "6.1": [line_by_lerp, line_from_a_copy, line_in_numpy],
    "6.3": [
        choose_by_loop,
        lambda table: table.query("split == 'val'").nlargest(1, "accuracy")["alpha"].item(),
        lambda table: table.pivot(index="alpha", columns="split", values="accuracy").val.idxmax(),
    ],
    "6.4": [
        gain_in_percent_first,
        lambda curve: min(100 * (curve[0.5] - curve[0.0]), 100 * (curve[0.5] - curve[1.0])),
        lambda curve: (curve.to_dict()[0.5] - max(curve.iloc[0], curve.iloc[-1])) * 100.0,
    ],
}

WRONG = {
    "6.1": [
        lambda zero, one, alpha: {n: alpha * zero[n] * one[n] for n in zero},
        lambda zero, one, alpha: list(line_by_lerp(zero, one, alpha).values()),
        lambda zero, one, alpha: {
            n: x for n, x in line_by_lerp(zero, one, alpha).items() if n != "head.weight"
        },
        lambda zero, one, alpha: line_by_lerp(zero, one, alpha**2),
    ],
    "6.3": [
        lambda table: 0.5,
        lambda table: table[table.split == "val"].alpha.max(),
        lambda table: table[table.split == "val"].accuracy.idxmax(),
    ],
    "6.4": [
        lambda curve: 100 * curve.max(),
        lambda curve: 100 * (curve.loc[0.5] - pd.Series(curve).mean()),
    ],
}
