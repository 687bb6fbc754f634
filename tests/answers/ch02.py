import math

import numpy as np
import torch
from scipy import optimize, stats


def exact_by_beta(right, n):
    low = stats.beta.ppf(0.025, right, n - right + 1) if right else 0
    high = stats.beta.ppf(0.975, right + 1, n - right) if right < n else 1
    return low, high


def score_by_infinity(logits, labels, classes):
    masked = torch.full_like(logits, -torch.inf)
    masked[:, classes] = logits[:, classes]
    right = int((masked.argmax(1) == labels).sum())
    return [right / len(labels), *exact_by_beta(right, len(labels))]


def score_by_loop(logits, labels, classes):
    right, n = 0, len(labels)
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        right += max(classes, key=lambda c, row=row: row[c]) == label

    def at_most(k, p):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))

    low = high = None
    if right:
        low = optimize.brentq(lambda p: 1 - at_most(right - 1, p) - 0.025, 0, 1)
    if right < n:
        high = optimize.brentq(lambda p: at_most(right, p) - 0.025, 0, 1)
    return right / n, 0.0 if low is None else low, 1.0 if high is None else high


def score_on_a_grid(logits, labels, classes):
    place = logits.numpy()[:, list(classes)].argmax(axis=1)
    right, n = int((np.array(classes)[place] == labels.numpy()).sum()), len(labels)
    p = np.linspace(0, 1, 200_001)  # finer than the tolerance
    fits = (stats.binom.sf(right - 1, n, p) >= 0.025) & (stats.binom.cdf(right, n, p) >= 0.025)
    return np.array([right / n, p[fits].min(), p[fits].max()])


def rho_by_scipy(references, shifts, reference, shift):
    x, y = (np.log(p) - np.log1p(-p) for p in (np.array(references), np.array(shifts)))
    line = stats.linregress(x, y)
    at = line.slope * math.log(reference / (1 - reference)) + line.intercept
    return shift - 1 / (1 + math.exp(-at))


def rho_by_sums(references, shifts, reference, shift):
    x = [math.log(p / (1 - p)) for p in references]
    y = [math.log(p / (1 - p)) for p in shifts]
    n, sx, sy = len(x), sum(x), sum(y)
    slope = (n * sum(a * b for a, b in zip(x, y, strict=True)) - sx * sy) / (
        n * sum(a * a for a in x) - sx * sx
    )
    odds = math.exp(slope * math.log(reference / (1 - reference)) + (sy - slope * sx) / n)
    return shift - odds / (1 + odds)


def rho_in_torch(references, shifts, reference, shift):
    x, y = (torch.logit(torch.tensor(v, dtype=torch.float64)) for v in (references, shifts))
    design = torch.stack([x, torch.ones_like(x)], 1)
    slope, intercept = torch.linalg.lstsq(design, y[:, None]).solution.flatten()
    at = torch.logit(torch.tensor(reference, dtype=torch.float64))
    return shift - torch.sigmoid(slope * at + intercept)


def score_cut_off(logits, labels, classes):
    """The number of right predictions as the whole part of a product in Python's own floats."""
    accuracy = score_by_infinity(logits, labels, classes)[0]
    return accuracy, *exact_by_beta(int(accuracy * len(labels)), len(labels))


def score_rounded(logits, labels, classes):
    accuracy = score_by_infinity(logits, labels, classes)[0]
    return accuracy, *exact_by_beta(round(accuracy * len(labels)), len(labels))


RIGHT = {
    "2.2": [score_by_infinity, score_by_loop, score_on_a_grid, score_rounded],
    "2.3": [rho_by_scipy, rho_by_sums, rho_in_torch],
}

WRONG = {
    "2.1": [80, 267, 8000],
    "2.2": [
        lambda logits, labels, classes: score_by_infinity(-logits, labels, classes),
        lambda logits, labels, classes: score_by_infinity(logits, labels, classes)[0],
        score_cut_off,
    ],
    "2.3": [
        lambda references, shifts, reference, shift: shift / reference,
        lambda references, shifts, reference, shift: shift - np.mean(shifts),
    ],
}
