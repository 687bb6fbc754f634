import math

import numpy as np
import torch
from scipy import stats

from wiseft_lite.book.claims import FAILS, HOLDS, UNDECIDED
from wiseft_lite.book.claims.rules import CANNOT


def judge_by_cases(low, high):
    if low <= 0 <= high:
        verdict = UNDECIDED
    elif high < 0:
        verdict = FAILS
    else:
        verdict = HOLDS
    return verdict


def seeds_in_numpy(values):
    x = np.array(values)
    t = stats.t.ppf([0.05, 0.95], len(x) - 1)
    return x.mean() + t * x.std(ddof=1) / np.sqrt(len(x))


def seeds_by_hand(values):
    n = len(values)
    mean = sum(values) / n
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    t = stats.t.isf(0.05, n - 1)
    return [mean - t * error, mean + t * error]


def seeds_in_scipy(values):
    x = torch.tensor(values)
    error = float(x.std()) / len(x) ** 0.5
    return stats.t.interval(0.9, len(x) - 1, loc=float(x.mean()), scale=error)


def redrawn_by_loops(first, second, images, runs):
    gains = second.int() - first.int()
    found = {"both": [], "seeds": [], "images": []}
    for image, run in zip(images.tolist(), runs.tolist(), strict=True):
        found["images"].append(100 * gains[:, image].double().mean().item())
        found["seeds"].append(100 * gains[run].double().mean().item())
        found["both"].append(100 * gains[run][:, image].double().mean().item())
    return {name: np.percentile(values, (2.5, 97.5)) for name, values in found.items()}


def redrawn_in_numpy(first, second, images, runs):
    gains = 100.0 * (second.numpy().astype(float) - first.numpy())
    both = gains[runs.numpy()[:, :, None], images.numpy()[:, None, :]].mean((1, 2))
    draws = {
        "images": gains[:, images.numpy()].mean((0, 2)),
        "seeds": gains[runs.numpy()].mean((1, 2)),
        "both": both,
    }
    return {k: (np.quantile(v, 0.025), np.quantile(v, 0.975)) for k, v in draws.items()}


def redrawn_by_counts(first, second, images, runs):
    """How often each image and each run was drawn are the weights of a mean."""
    seeds, n = first.shape
    gains = 100 * (second.double() - first.double())
    w = torch.stack([image.bincount(minlength=n) for image in images]).double() / n
    v = torch.stack([run.bincount(minlength=seeds) for run in runs]).double() / seeds
    draws = {
        "images": w @ gains.mean(0),
        "seeds": v @ gains.mean(1),
        "both": ((v @ gains) * w).sum(1),
    }
    level = torch.tensor([0.025, 0.975], dtype=torch.float64)
    return {name: values.quantile(level) for name, values in draws.items()}


def adjusted_in_numpy(p_values):
    p = np.array(p_values)
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return raised[np.argsort(order)]


def adjusted_by_definition(p_values):
    """The largest product over all tests that are not larger."""
    n = len(p_values)
    found = []
    for p in p_values:
        smaller = [q for q in p_values if q <= p]
        products = [(n - sum(r < q for r in p_values)) * q for q in smaller]
        found.append(min(1.0, max(products)))
    return found


def adjusted_by_pairs(p_values):
    found, largest, left = {}, 0, len(p_values)
    for place, p in sorted(enumerate(p_values), key=lambda pair: pair[1]):
        largest = max(largest, p * left)
        left -= 1
        found[place] = largest if largest < 1 else 1
    return torch.tensor([found[place] for place in range(len(p_values))])


def shown_by_intervals(values, margin):
    n, mean, error = len(values), np.mean(values), stats.sem(values)
    low, high = stats.t.interval(0.90, n - 1, loc=mean, scale=error)
    wide_low, wide_high = stats.t.interval(0.95, n - 1, loc=mean, scale=error)
    s = np.std(values, ddof=1)

    def least(k):
        return (stats.t.ppf(0.95, k - 1) + stats.t.ppf(0.8, k - 1)) * s / np.sqrt(k)

    verdict = UNDECIDED if least(n) <= margin else CANNOT
    if low > -margin and high < margin:
        verdict = HOLDS
    if wide_low > margin or wide_high < -margin:
        verdict = FAILS
    seeds = next(k for k in range(2, 10_000) if least(k) < margin)
    return {"verdict": verdict, "detectable": least(n), "seeds": seeds}


def shown_by_p_values(values, margin):
    """Two one-sided tests, as the library does it."""

    def below(x, bound):
        return stats.ttest_1samp(x, bound, alternative="less").pvalue

    x = np.array(values)
    inside = max(below(x, margin), below(-x, margin))
    outside = 2 * min(below(-x, -margin), below(x, -margin))
    t = lambda n: sum(stats.t(n - 1).ppf([0.95, 0.8])) / n**0.5
    seeds = 2
    while t(seeds) * x.std(ddof=1) >= margin:
        seeds = seeds + 1
    word = HOLDS if inside <= 0.05 else FAILS if outside <= 0.05 else None
    effect = t(len(x)) * x.std(ddof=1)
    if word is None:
        word = CANNOT if effect > margin else UNDECIDED
    return {"seeds": seeds, "detectable": effect, "verdict": word}


def shown_in_torch(values, margin):
    x = torch.tensor(values, dtype=torch.float64)
    n, error = len(x), x.std() / len(x) ** 0.5
    quantiles = {level: stats.t.ppf(level, n - 1) for level in (0.8, 0.95, 0.975)}
    detectable = (quantiles[0.8] + quantiles[0.95]) * error
    counts = np.arange(2, 3000)
    effects = stats.t.ppf([[0.95], [0.8]], counts - 1).sum(0) * float(x.std()) / counts**0.5
    mean = x.mean().abs()
    if mean + quantiles[0.95] * error < margin:
        verdict = HOLDS
    elif mean - quantiles[0.975] * error > margin:
        verdict = FAILS
    elif detectable > margin:
        verdict = CANNOT
    else:
        verdict = UNDECIDED
    return {"verdict": verdict, "detectable": detectable, "seeds": counts[effects < margin][0]}


RIGHT = {
    "12.1": [
        judge_by_cases,
        lambda low, high: HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED,
        lambda low, high: {(True, True): HOLDS, (False, False): FAILS}.get(
            (low > 0, high > 0), UNDECIDED
        ),
    ],
    "12.2": [seeds_in_numpy, seeds_by_hand, seeds_in_scipy],
    "12.3": [redrawn_by_loops, redrawn_in_numpy, redrawn_by_counts],
    "12.5": [adjusted_in_numpy, adjusted_by_definition, adjusted_by_pairs],
    "12.6": [shown_by_intervals, shown_by_p_values, shown_in_torch],
}

WRONG = {
    "12.1": [
        lambda low, high: low > 0,
        lambda low, high: "yes" if low > 0 else "no",
    ],
    "12.2": [
        lambda values: seeds_by_hand(values)[::-1],
        lambda values: [0.0, 2 * seeds_by_hand(values)[1]],
    ],
    "12.3": [
        lambda first, second, images, runs: redrawn_by_loops(first, second, images[:30], runs[:30]),
        lambda first, second, images, runs: {
            **redrawn_by_counts(first, second, images, runs),
            "both": (-10.0, 10.0),
        },
    ],
    "12.5": [
        lambda p_values: [p <= 0.05 for p in adjusted_in_numpy(p_values)],
        lambda p_values: [2 * p for p in adjusted_in_numpy(p_values)],
    ],
    "12.6": [
        lambda values, margin: {**shown_by_intervals(values, margin), "seeds": len(values)},
        lambda values, margin: shown_by_intervals(values, 2 * margin),
    ],
}
