import statistics

import numpy as np
from scipy import stats
from scipy.special import expit, logit


def placed_by_mask(reference, shift, families, draws, at, measured):
    x, y, families = logit(reference), logit(shift), np.array(families)
    drawn = []
    for names in draws:
        rows = np.concatenate([np.flatnonzero(families == name) for name in names])
        line = stats.linregress(x[rows], y[rows])
        drawn.append(line.slope * logit(at) + line.intercept)
    line = stats.linregress(x, y)
    middle = line.slope * logit(at) + line.intercept
    half = stats.t(len(np.unique(families)) - 2).ppf(0.975) * np.std(drawn, ddof=1)
    low, predicted, high = expit([middle - half, middle, middle + half])
    s, least, most = measured
    rho = s - predicted
    below = np.sqrt((s - least) ** 2 + (high - predicted) ** 2)
    above = np.sqrt((most - s) ** 2 + (predicted - low) ** 2)
    return np.array([rho, rho - below, rho + above])


def placed_by_lists(reference, shift, families, draws, at, measured):
    points = [
        (np.log(a / (1 - a)), np.log(b / (1 - b)), f)
        for a, b, f in zip(reference, shift, families, strict=True)
    ]
    to = np.log(at / (1 - at))

    def at_line(chosen):
        a, b = [p[0] for p in chosen], [p[1] for p in chosen]
        slope = statistics.covariance(a, b) / statistics.variance(a)
        return statistics.mean(b) + slope * (to - statistics.mean(a))

    heights = [at_line([p for name in names for p in points if p[2] == name]) for names in draws]
    half = stats.t.ppf(0.975, len(set(families)) - 2) * statistics.stdev(heights)
    ends = [1 / (1 + np.exp(-(at_line(points) + k * half))) for k in (-1, 0, 1)]
    rho = measured[0] - ends[1]
    return (
        rho,
        rho - np.hypot(measured[0] - measured[1], ends[2] - ends[1]),
        rho + np.hypot(measured[2] - measured[0], ends[1] - ends[0]),
    )


def placed_by_weights(reference, shift, families, draws, at, measured):
    """A family that was drawn twice has twice the weight."""
    x, y, to = logit(reference), logit(shift), logit(at)

    def predict(weight):
        u, v = np.average(x, weights=weight), np.average(y, weights=weight)
        return v + (to - u) * (weight * (x - u) * (y - v)).sum() / (weight * (x - u) ** 2).sum()

    drawn = [predict(np.array([names.count(f) for f in families], dtype=float)) for names in draws]
    middle = predict(np.ones(len(x)))
    half = stats.t.isf(0.025, df=len({*families}) - 2) * np.array(drawn).std(ddof=1)
    b = expit(np.array([middle - half, middle, middle + half]))
    accuracy, least, most = measured
    low = accuracy - b[1] - ((accuracy - least) ** 2 + (b[2] - b[1]) ** 2) ** 0.5
    high = accuracy - b[1] + ((most - accuracy) ** 2 + (b[1] - b[0]) ** 2) ** 0.5
    return [accuracy - b[1], low, high]


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


def fixed_by_inverse(x, y, given):
    precision = np.linalg.inv(np.cov(np.column_stack([x, y, given]).T))
    r = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    half = 1.96 / np.sqrt(len(x) - 3 - given.shape[1])
    return r, np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)


def fixed_by_normal_equations(x, y, given):
    n, k = np.shape(given)
    design = np.hstack([np.ones((n, 1)), given])
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    u, v = x - hat @ x, y - hat @ y
    r = (u @ v) / np.sqrt((u @ u) * (v @ v))
    z, half = 0.5 * np.log((1 + r) / (1 - r)), stats.norm.ppf(0.975) / (n - 3 - k) ** 0.5
    return [(np.exp(2 * w) - 1) / (np.exp(2 * w) + 1) for w in (z, z - half, z + half)]


def fixed_one_by_one(x, y, given):
    """Each column is removed from all that come after it, then from x and y."""
    rest = [*np.transpose(given), x, y]
    while len(rest) > 2:
        first, *rest = rest
        first = first - first.mean()
        rest = [v - v.mean() - first * (first @ v) / (first @ first) for v in rest]
    r = stats.pearsonr(*rest)[0]
    half = 1.96 / (len(x) - 3 - len(given[0])) ** 0.5
    return np.array([r, *np.tanh(np.arctanh(r) + np.array([-half, half]))])


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
    "2.4": [placed_by_mask, placed_by_lists, placed_by_weights],
    "2.5": [suspect_by_deletion, suspect_by_leverage, suspect_by_loop],
    "5.5": [fixed_by_inverse, fixed_by_normal_equations, fixed_one_by_one],
    "13.6": [ship_by_intervals, ship_by_names, ship_by_signs],
}

WRONG = {
    "2.4": [
        lambda reference, shift, families, draws, at, measured: measured,
        lambda *inputs: placed_by_mask(*inputs)[::-1],
    ],
    "2.5": [lambda reference, shift: int(np.argmin(shift))],
    "5.5": [
        lambda x, y, given: fixed_by_inverse(x, y, given)[0],
        lambda x, y, given: np.square(fixed_by_inverse(x, y, given)),
    ],
    "13.6": [lambda first, second, shares, n: "first" if first[0] > second[0] else "second"],
}
