import copy

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta

from wiseft_lite.metrics import accuracy, clopper_pearson


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


def line_into_a_shallow_copy(theta_0, theta_1, alpha):
    mixed = dict(theta_0)
    for name in mixed:
        mixed[name] *= 1 - alpha
        mixed[name] += alpha * theta_1[name]
    return mixed


def sweep_as_a_table(network, theta_0, theta_1, splits, alphas):
    rows = []
    for name, (images, labels, classes) in splits.items():
        for alpha in alphas:
            logits = network(line_by_lerp(theta_0, theta_1, alpha), images)
            if classes is not None:
                allowed = torch.full((logits.shape[1],), -torch.inf)
                allowed[list(classes)] = 0
                logits = logits + allowed
            k, n = (logits.argmax(1) == labels).sum().item(), len(labels)
            rows.append((alpha, name, k / n, *clopper_pearson(k, n)))
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "low", "high"])


def sweep_by_the_metric(network, theta_0, theta_1, splits, alphas):
    rows = []
    for alpha in alphas:
        theta = line_by_lerp(theta_0, theta_1, alpha)
        for split, (x, y, classes) in splits.items():
            found = accuracy(network(theta, x), y, classes)
            rows.append(
                {
                    "alpha": alpha,
                    "split": split,
                    "accuracy": found.accuracy,
                    "low": found.low,
                    "high": found.high,
                }
            )
    return rows


def sweep_by_loops(network, theta_0, theta_1, splits, alphas):
    """One image at a time, with the interval from scipy."""
    rows = []
    for alpha in alphas:
        theta = line_by_lerp(theta_0, theta_1, alpha)
        for split in splits:
            images, labels, classes = splits[split]
            k, n = 0, len(images)
            for image, label in zip(images, labels.tolist(), strict=True):
                logits = network(theta, image[None])[0].tolist()
                own = range(len(logits)) if classes is None else classes
                k += max(own, key=lambda c, row=logits: row[c]) == label
            low = beta.ppf(0.025, k, n - k + 1) if k else 0.0
            high = beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
            row = {"alpha": alpha, "split": split, "accuracy": np.float64(k / n)}
            rows.append({**row, "low": low, "high": high})
    return rows


def sweep_with_a_tuple_as_index(network, theta_0, theta_1, splits, alphas):
    for images, _, classes in splits.values():
        logits = network(line_by_lerp(theta_0, theta_1, alphas[0]), images)
        if classes is not None:
            classes[logits[:, classes].argmax(-1)]


def sweep_cut_off(network, theta_0, theta_1, splits, alphas):
    """The number of correct predictions as the whole part of a product in Python's own floats."""
    rows = []
    for row in sweep_by_loops(network, theta_0, theta_1, splits, alphas):
        n = len(splits[row["split"]][1])
        low, high = clopper_pearson(int(float(row["accuracy"]) * n), n)
        rows.append({**row, "low": low, "high": high})
    return rows


def sweep_rounded(network, theta_0, theta_1, splits, alphas):
    rows = []
    for row in sweep_by_loops(network, theta_0, theta_1, splits, alphas):
        n = len(splits[row["split"]][1])
        low, high = clopper_pearson(round(row["accuracy"] * n), n)
        rows.append({**row, "low": low, "high": high})
    return rows


def gain_in_percent_first(curve):
    percent = 100 * curve
    return percent.loc[0.5] - percent.loc[[0.0, 1.0]].max()


RIGHT = {
    "6.1": [line_by_lerp, line_from_a_copy, line_in_numpy],
    "6.2": [sweep_as_a_table, sweep_by_the_metric, sweep_by_loops, sweep_rounded],
    "6.3": [
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
        line_into_a_shallow_copy,
    ],
    "6.2": [
        lambda f, zero, one, splits, alphas: sweep_by_loops(f, zero, one, splits, alphas[:1]),
        lambda f, zero, one, splits, alphas: [
            row["accuracy"] for row in sweep_by_loops(f, zero, one, splits, alphas)
        ],
        lambda f, zero, one, splits, alphas: sweep_by_loops(
            f, zero, one, {"test": splits["test"]}, alphas
        ),
        # the keys of another table, and a function that returns after the first alpha
        lambda f, zero, one, splits, alphas: [
            {
                **{k: row[k] for k in ("alpha", "split", "accuracy")},
                "lo": row["low"],
                "hi": row["high"],
            }
            for row in sweep_by_loops(f, zero, one, splits, alphas)
        ],
        lambda f, zero, one, splits, alphas: sweep_by_loops(
            f, zero, one, splits, [k / 10 for k in range(11)]
        ),
        sweep_with_a_tuple_as_index,
        sweep_cut_off,
    ],
    "6.3": [
        lambda curve: 100 * curve.max(),
        lambda curve: 100 * (curve.loc[0.5] - pd.Series(curve).mean()),
    ],
}
