import statistics

import numpy as np
from scipy import stats
from scipy.special import expit, logit


def predicted_by_scipy(reference, shift, at):
    line = stats.linregress(logit(reference), logit(shift))
    return expit(line.slope * logit(at) + line.intercept)


def predicted_by_hand(reference, shift, at):
    x = [np.log(p / (1 - p)) for p in reference]
    y = [np.log(p / (1 - p)) for p in shift]
    slope = statistics.covariance(x, y) / statistics.variance(x)
    z = statistics.mean(y) + slope * (np.log(at / (1 - at)) - statistics.mean(x))
    return 1 / (1 + np.exp(-z))


def predicted_by_matrix(reference, shift, at):
    x = logit(np.array(reference))
    design = np.stack([x, np.ones_like(x)], axis=1)
    slope, intercept = np.linalg.solve(design.T @ design, design.T @ logit(np.array(shift)))
    return expit(slope * logit(at) + intercept)


def slopes_by_mask(x, y, families, draws):
    x, y, families = np.array(x), np.array(y), np.array(families)
    slopes = []
    for drawn in draws:
        rows = np.concatenate([np.flatnonzero(families == name) for name in drawn])
        slopes.append(stats.linregress(x[rows], y[rows]).slope)
    return slopes


def slopes_by_lists(x, y, families, draws):
    slopes = []
    for drawn in draws:
        points = []
        for name in drawn:
            points += [
                (a, b) for a, b, family in zip(x, y, families, strict=True) if family == name
            ]
        a, b = zip(*points, strict=True)
        slopes.append(statistics.covariance(a, b) / statistics.variance(a))
    return slopes


def slopes_by_weights(x, y, families, draws):
    """A family that was drawn twice has twice the weight."""
    slopes = []
    for drawn in draws:
        weight = np.array([drawn.count(family) for family in families], dtype=float)
        u = np.array(x) - np.average(x, weights=weight)
        v = np.array(y) - np.average(y, weights=weight)
        slopes.append((weight * u * v).sum() / (weight * u * u).sum())
    return np.array(slopes)


def suspect_by_deletion(reference, shift):
    x, y = logit(reference), logit(shift)
    far = []
    for k in range(len(x)):
        others = [i for i in range(len(x)) if i != k]
        line = stats.linregress(x[others], y[others])
        far.append(abs(y[k] - line.slope * x[k] - line.intercept))
    return far.index(max(far))


def suspect_by_leverage(reference, shift):
    """The residual of a left-out point is its residual over one minus its leverage."""
    x, y = logit(np.array(reference)), logit(np.array(shift))
    design = np.stack([x, np.ones_like(x)], axis=1)
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    return np.abs((y - hat @ y) / (1 - np.diag(hat))).argmax()


def suspect_by_loop(reference, shift):
    best, worst = None, -1.0
    for k in range(len(reference)):
        rest_x = [logit(p) for i, p in enumerate(reference) if i != k]
        rest_y = [logit(p) for i, p in enumerate(shift) if i != k]
        slope, intercept = np.polyfit(rest_x, rest_y, 1)
        distance = abs(logit(shift[k]) - (slope * logit(reference[k]) + intercept))
        if distance > worst:
            best, worst = k, distance
    return best


def partial_by_formula(x, y, given):
    xy, xz, yz = (np.corrcoef(a, b)[0, 1] for a, b in ((x, y), (x, given), (y, given)))
    return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))


def partial_by_residuals(x, y, given):
    left = []
    for values in (x, y):
        line = stats.linregress(given, values)
        left.append(values - line.slope * np.array(given) - line.intercept)
    return stats.pearsonr(*left)[0]


def partial_by_inverse(x, y, given):
    precision = np.linalg.inv(np.cov([x, y, given]))
    return -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])


def interval(first, second, share, n):
    weights = np.array([1 - share, share])
    first, second, n = np.array(first), np.array(second), np.array(n)
    gap = weights @ (first - second)
    variance = weights**2 @ ((first * (1 - first) + second * (1 - second)) / n)
    return gap - 1.96 * np.sqrt(variance), gap + 1.96 * np.sqrt(variance)


def ship_by_intervals(first, second, shares, n):
    ends = [interval(first, second, share, n) for share in shares]
    if all(low > 0 for low, _ in ends):
        return "first"
    if all(high < 0 for _, high in ends):
        return "second"
    return "unsure"


def ship_by_names(first, second, shares, n):
    names = set()
    for share in shares:
        low, high = interval(first, second, share, n)
        names.add("first" if low > 0 else "second" if high < 0 else "unsure")
    return names.pop() if len(names) == 1 else "unsure"


def ship_by_signs(first, second, shares, n):
    signs = np.sign([interval(first, second, share, n) for share in shares])
    return {4: "first", -4: "second"}.get(int(signs.sum()), "unsure")


RIGHT = {
    "2.6": [predicted_by_scipy, predicted_by_hand, predicted_by_matrix],
    "2.7": [slopes_by_mask, slopes_by_lists, slopes_by_weights],
    "2.8": [suspect_by_deletion, suspect_by_leverage, suspect_by_loop],
    "5.6": [partial_by_formula, partial_by_residuals, partial_by_inverse],
    "13.6": [ship_by_intervals, ship_by_names, ship_by_signs],
}

WRONG = {
    "2.6": [lambda reference, shift, at: at - np.mean(np.array(reference) - np.array(shift))],
    "2.7": [lambda x, y, families, draws: [len(set(drawn)) for drawn in draws]],
    "2.8": [lambda reference, shift: int(np.argmin(shift))],
    "5.6": [lambda x, y, given: partial_by_formula(x, y, given) ** 2],
    "13.6": [lambda first, second, shares, n: "first" if first[0] > second[0] else "second"],
}
