import numpy as np
import torch


def better_by_loop(table):
    gains = []
    for row in table.to_dict("records"):
        gains.append(row["half"] - max(row["zero_shot"], row["fine_tuned"]))
    return sum(gains) / len(gains)


def mixture_in_numpy(features, weight_0, weight_1, labels, alpha):
    x, w0, w1 = (t.double().numpy() for t in (features, weight_0, weight_1))
    predicted = ((1 - alpha) * (x @ w0.T) + alpha * (x @ w1.T)).argmax(1)
    return 100 * np.mean(predicted == labels.numpy())


def mixture_by_loop(features, weight_0, weight_1, labels, alpha):
    weight, right = weight_0 + alpha * (weight_1 - weight_0), 0
    for x, y in zip(features, labels, strict=True):
        right += int((weight @ x).argmax() == y)
    return right / len(labels) * 100


RIGHT = {
    "11.2": [
        lambda before, after: ((100 - before) - (100 - after)) / (100 - before) * 100,
        lambda before, after: 100 * (1 - (100 - after) / (100 - before)),
        lambda before, after: np.float64(after - before) / (1 - before / 100),
    ],
    "11.3": [
        better_by_loop,
        lambda table: (table.half - np.maximum(table.zero_shot, table.fine_tuned)).mean(),
        lambda table: np.mean(
            [min(r.half - r.zero_shot, r.half - r.fine_tuned) for r in table.itertuples()]
        ),
    ],
    "11.5": [
        mixture_in_numpy,
        mixture_by_loop,
        lambda x, w0, w1, y, alpha: (
            100 * torch.lerp(x @ w0.T, x @ w1.T, alpha).argmax(1).eq(y).float().mean()
        ),
    ],
}

WRONG = {
    "11.2": [
        lambda before, after: 100 * after / before,
        lambda before, after: 100 - after,
    ],
    "11.3": [
        lambda table: table["half"].mean(),
        lambda table: -better_by_loop(table),
    ],
    "11.5": [
        lambda x, w0, w1, y, alpha: mixture_in_numpy(x, w0, w1, y.flip(0), alpha),
        lambda x, w0, w1, y, alpha: (x @ w0.T).argmax(1).eq(y),
    ],
}
