from collections import defaultdict

import numpy as np
import pandas as pd
import torch


def macro_by_loop(predicted, labels):
    predicted, labels, scores = predicted.tolist(), labels.tolist(), []
    for c in set(labels):
        hits = sum(p == c == y for p, y in zip(predicted, labels, strict=True))
        scores.append(hits / (0.5 * (predicted.count(c) + labels.count(c))))
    return np.mean(scores)


def macro_by_bincount(predicted, labels):
    n = int(max(predicted.max(), labels.max())) + 1
    true, positive = torch.bincount(labels, minlength=n), torch.bincount(predicted, minlength=n)
    hits = torch.bincount(labels[labels == predicted], minlength=n)
    f1 = 2 * hits / (true + positive).clamp(min=1)
    return f1[true > 0].mean()


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


def worst_by_pandas(right, regions):
    frame = pd.DataFrame({"right": right, "region": regions})
    return frame.groupby("region")["right"].mean().min()


def worst_by_defaultdict(right, regions):
    hits, count = defaultdict(int), defaultdict(int)
    for good, region in zip(right, regions, strict=True):
        if region is None:
            continue
        hits[region] += good
        count[region] += 1
    return min(hits[region] / count[region] for region in count)


def worst_in_numpy(right, regions):
    right, regions = np.array(right), np.array([str(r) for r in regions])
    names = [name for name in np.unique(regions) if name != "None"]
    return np.min([right[regions == name].mean() for name in names])


def pm_by_sets(right, clips, offsets, k):
    everything = set(clips)
    lost = {c for r, c, o in zip(right, clips, offsets, strict=True) if not r and -k <= o <= k}
    return len(everything - lost) / len(everything)


def pm_by_pandas(right, clips, offsets, k):
    frame = pd.DataFrame({"right": right, "clip": clips, "offset": offsets})
    near = frame[frame["offset"].abs() <= k]
    return near.groupby("clip")["right"].all().mean()


def pm_by_all(right, clips, offsets, k):
    names = list(dict.fromkeys(clips))
    frames = list(zip(right, clips, offsets, strict=True))
    good = [all(r for r, c, o in frames if c == name and abs(o) <= k) for name in names]
    return torch.tensor(good).float().mean()


RIGHT = {
    "18.2": [macro_by_loop, macro_by_bincount, macro_with_care],
    "18.3": [worst_by_pandas, worst_by_defaultdict, worst_in_numpy],
    "18.6": [pm_by_sets, pm_by_pandas, pm_by_all],
}

WRONG = {
    "18.2": [
        lambda predicted, labels: 1 - macro_by_loop(predicted, labels),
        lambda predicted, labels: macro_by_loop(predicted, labels) ** 2,
    ],
    "18.3": [
        lambda right, regions: 100 * worst_by_defaultdict(right, regions),
        lambda right, regions: worst_by_defaultdict(right[::-1], regions),
    ],
    "18.6": [
        lambda right, clips, offsets, k: 1 - pm_by_sets(right, clips, offsets, k),
        lambda right, clips, offsets, k: 100 * pm_by_sets(right, clips, offsets, k),
    ],
}
