from collections import defaultdict

import numpy as np
import pandas as pd
import torch


def with_draws(score):
    """Add the interval to a function of predictions and labels."""

    def macro(predicted, labels, draws):
        scores = [float(score(predicted[rows], labels[rows])) for rows in draws]
        low, high = np.quantile(scores, [0.025, 0.975])
        return float(score(predicted, labels)), low, high

    return macro


@with_draws
def macro_by_loop(predicted, labels):
    predicted, labels, scores = predicted.tolist(), labels.tolist(), []
    for c in set(labels):
        hits = sum(p == c == y for p, y in zip(predicted, labels, strict=True))
        scores.append(hits / (0.5 * (predicted.count(c) + labels.count(c))))
    return np.mean(scores)


@with_draws
def macro_with_care(predicted, labels):
    scores = []
    for c in labels.unique():
        tp = ((predicted == c) & (labels == c)).sum().item()
        if tp == 0:
            scores.append(0.0)
            continue
        precision, recall = tp / (predicted == c).sum().item(), tp / (labels == c).sum().item()
        scores.append(2 / (1 / precision + 1 / recall))
    return sum(scores) / len(scores)


def macro_by_counts(predicted, labels, draws):
    """All draws at once; the images in their own order are one draw more."""
    n = int(max(predicted.max(), labels.max())) + 1
    rows = torch.cat([torch.arange(len(labels))[None], draws])
    truth = torch.nn.functional.one_hot(labels, n)[rows].double()
    guess = torch.nn.functional.one_hot(predicted, n)[rows].double()
    hits, both = (truth * guess).sum(1), (truth + guess).sum(1)
    f1 = torch.where(truth.sum(1) > 0, 2 * hits / both.clamp(min=1), torch.nan)
    scores = f1.nanmean(1)
    ends = torch.quantile(scores[1:], torch.tensor([0.025, 0.975], dtype=torch.float64))
    return [scores[0].item(), *ends.tolist()]


def worst_by_pandas(right, regions, orders):
    frame = pd.DataFrame({"right": right, "region": regions}).dropna()
    goods = frame["right"].to_numpy(dtype=float)

    def lowest(goods):
        grouped = pd.Series(goods).groupby(frame["region"].to_numpy())
        return (grouped.sum() / grouped.count()).min()

    return lowest(goods), np.mean([lowest(goods[order]) <= lowest(goods) for order in orders])


def worst_by_defaultdict(right, regions, orders):
    pairs = [pair for pair in zip(right, regions, strict=True) if pair[1] is not None]

    def lowest(goods):
        hits, count = defaultdict(int), defaultdict(int)
        for good, (_, region) in zip(goods, pairs, strict=True):
            hits[region] += good
            count[region] += 1
        return min(hits[region] / count[region] for region in count)

    goods = [good for good, _ in pairs]
    observed, chance = lowest(goods), 0
    for order in orders:
        chance += lowest([goods[k] for k in order]) <= observed
    return observed, chance / len(orders)


def worst_in_numpy(right, regions, orders):
    inside = np.array([region is not None for region in regions])
    goods = np.array(right, dtype=np.float64)[inside]
    names = np.array([str(region) for region in regions])[inside]
    table = np.stack([goods, *(goods[order] for order in orders)])
    lows = np.min([table[:, names == name].mean(1) for name in np.unique(names)], axis=0)
    return lows[0], (lows[1:] <= lows[0] + 1e-9).mean()


def frame_number(path):
    return int(path.split("/")[-1].split(".")[0])


def pm_by_loop(predicted, labels, sets, k):
    survived = 0
    for anchor in sets:
        good = predicted[anchor] in labels[anchor]
        for path in sets[anchor]:
            if abs(frame_number(path) - frame_number(anchor)) > k:
                continue
            good = good and predicted[path] in labels[path]
        survived += good
    return survived / len(sets)


def pm_by_losses(predicted, labels, sets, k):
    wrong = {path for path, guess in predicted.items() if guess not in set(labels[path])}
    lost = 0
    for anchor, others in sets.items():
        here = frame_number(anchor)
        reach = {anchor} | {p for p in others if here - k <= frame_number(p) <= here + k}
        lost += bool(reach & wrong)
    return 1 - lost / len(sets)


def pm_by_pandas(predicted, labels, sets, k):
    rows = [(a, path) for a, others in sets.items() for path in [a, *others]]
    frame = pd.DataFrame(rows, columns=["anchor", "path"])
    frame["right"] = [predicted[path] in labels[path] for path in frame["path"]]
    away = frame["path"].map(frame_number) - frame["anchor"].map(frame_number)
    return frame[away.abs() <= k].groupby("anchor")["right"].all().mean()


RIGHT = {
    "18.2": [macro_by_loop, macro_with_care, macro_by_counts],
    "18.3": [worst_by_pandas, worst_by_defaultdict, worst_in_numpy],
    "18.6": [pm_by_loop, pm_by_losses, pm_by_pandas],
}

WRONG = {
    "18.2": [
        lambda predicted, labels, draws: macro_by_loop(predicted, labels, draws)[::-1],
        lambda predicted, labels, draws: macro_by_loop(predicted, labels, draws)[0],
    ],
    "18.3": [
        lambda right, regions, orders: worst_by_defaultdict(right, regions, orders)[::-1],
        lambda right, regions, orders: worst_by_defaultdict(right[::-1], regions, orders),
    ],
    "18.6": [
        lambda predicted, labels, sets, k: 1 - pm_by_loop(predicted, labels, sets, k),
        lambda predicted, labels, sets, k: pm_by_loop(predicted, labels, sets, 0),
    ],
}
