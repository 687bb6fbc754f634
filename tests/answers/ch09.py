import numpy as np
import torch
import torch.nn.functional as F


def ways_by_linear(zero, one, features, alpha):
    mixed = [torch.lerp(zero[n], one[n], alpha) for n in ("weight", "bias")]
    first, second = (F.linear(features, head["weight"], head["bias"]) for head in (zero, one))
    return F.linear(features, *mixed), torch.lerp(first, second, alpha)


def ways_in_numpy(zero, one, features, alpha):
    x = features.numpy()
    heads = [{n: t.numpy() for n, t in head.items()} for head in (zero, one)]
    w, b = (sum(s * h[n] for s, h in zip((1 - alpha, alpha), heads, strict=True)) for n in heads[0])
    before = x @ w.T + b
    after = [x @ h["weight"].T + h["bias"] for h in heads]
    return [before, (1 - alpha) * after[0] + alpha * after[1]]


def ways_by_loops(zero, one, features, alpha):
    rows = []
    for x in features:
        logits_0 = (zero["weight"] * x).sum(1) + zero["bias"]
        logits_1 = (one["weight"] * x).sum(1) + one["bias"]
        rows.append(logits_0 + alpha * (logits_1 - logits_0))
    return torch.stack(rows), torch.stack(rows)


def agreement_by_loop(logits, other):
    same = 0
    for a, b in zip(logits.tolist(), other.tolist(), strict=True):
        same += a.index(max(a)) == b.index(max(b))
    return 100 * same / len(logits)


def through_by_polyfit(nodes, values, alpha):
    return np.polyval(np.polyfit(nodes, values, len(nodes) - 1), alpha)


def through_by_neville(nodes, values, alpha):
    p = list(values)
    for step in range(1, len(nodes)):
        for i in range(len(nodes) - step):
            gap = nodes[i] - nodes[i + step]
            p[i] = ((alpha - nodes[i + step]) * p[i] + (nodes[i] - alpha) * p[i + 1]) / gap
    return p[0]


def through_in_torch(nodes, values, alpha):
    x = torch.tensor(nodes, dtype=torch.float64)
    share = torch.ones_like(x)
    for j in range(len(x)):
        others = torch.arange(len(x)) != j
        share[j] = ((alpha - x[others]) / (x[j] - x[others])).prod()
    return share @ torch.tensor(values, dtype=torch.float64)


RIGHT = {
    "9.1": [ways_by_linear, ways_in_numpy, ways_by_loops],
    "9.2": [
        agreement_by_loop,
        lambda logits, other: logits.argmax(1).eq(other.argmax(1)).float().mean() * 100,
        lambda logits, other: (
            100 * np.mean(np.argmax(logits.numpy(), 1) == np.argmax(other.numpy(), 1))
        ),
    ],
    "9.4": [
        lambda a, b, alpha: torch.lerp(a.softmax(-1), b.softmax(-1), alpha),
        lambda a, b, alpha: (1 - alpha) * F.softmax(a, dim=1) + alpha * F.softmax(b, dim=1),
        lambda a, b, alpha: sum(
            s * (x - x.logsumexp(-1, keepdim=True)).exp() for s, x in ((1 - alpha, a), (alpha, b))
        ),
    ],
    "9.5": [through_by_polyfit, through_by_neville, through_in_torch],
}

WRONG = {
    "9.1": [
        lambda zero, one, features, alpha: ways_by_linear(zero, one, features, alpha)[0],
        lambda zero, one, features, alpha: ways_by_linear(zero, one, features, alpha**2),
    ],
    "9.2": [
        lambda logits, other: 100.0,
        lambda logits, other: float((logits.argmax(-1) == other.argmin(-1)).float().mean()),
    ],
    "9.4": [
        lambda a, b, alpha: (1 - alpha) * a.sigmoid() + alpha * b.sigmoid(),
        lambda a, b, alpha: a.softmax(-1) + b.softmax(-1),
    ],
    "9.5": [
        lambda nodes, values, alpha: through_by_neville(nodes, values[::-1], alpha),
        lambda nodes, values, alpha: -through_by_neville(nodes, values, alpha),
    ],
}
