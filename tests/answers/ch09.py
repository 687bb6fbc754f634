import numpy as np
import pandas as pd
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


def mixtures_with_infinity(logits_0, logits_1, labels, classes, alphas, numbers):
    absent = torch.zeros(logits_0.shape[1], dtype=logits_0.dtype)
    if classes is not None:
        absent += -torch.inf
        absent[list(classes)] = 0
    found = {"outputs": [], "softmax": [], "random": []}
    for alpha in alphas:
        probabilities = (1 - alpha) * F.softmax(logits_0, 1) + alpha * F.softmax(logits_1, 1)
        scores = {
            "outputs": torch.lerp(logits_0, logits_1, alpha),
            "softmax": probabilities.log(),
            "random": torch.where((numbers < alpha).unsqueeze(1), logits_1, logits_0),
        }
        for name, values in scores.items():
            right = (values + absent).argmax(1) == labels
            found[name].append(right.float().mean().item() * 100)
    return found


def mixtures_in_numpy(logits_0, logits_1, labels, classes, alphas, numbers):
    a, b, y = logits_0.numpy(), logits_1.numpy(), labels.numpy()
    own = np.arange(a.shape[1]) if classes is None else np.array(classes)
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (a, b))
    asked = [numbers.numpy() < alpha for alpha in alphas]

    def percents(curve):
        return [100 * np.mean(own[scores[:, own].argmax(1)] == y) for scores in curve]

    return {
        "random": percents(np.where(m[:, None], b, a) for m in asked),
        "outputs": percents((1 - alpha) * a + alpha * b for alpha in alphas),
        "softmax": percents((1 - alpha) * p + alpha * q for alpha in alphas),
    }


def mixtures_by_loops(logits_0, logits_1, labels, classes, alphas, numbers):
    own = list(classes or range(logits_0.shape[1]))
    found = {"outputs": [], "softmax": [], "random": []}
    for alpha in alphas:
        right = dict.fromkeys(found, 0)
        for a, b, y, number in zip(logits_0, logits_1, labels, numbers, strict=True):
            scores = {
                "outputs": a + alpha * (b - a),
                "softmax": (1 - alpha) * a.softmax(0) + alpha * b.softmax(0),
                "random": b if number < alpha else a,
            }
            for name, row in scores.items():
                right[name] += max(own, key=lambda c, row=row: row[c]) == y
        for name in found:
            found[name].append(100 * right[name] / len(labels))
    return found


def departures_by_autograd(network, theta_0, theta_1, images, alphas):
    """The derivative with respect to alpha, by autograd's own function."""

    def at(alpha):
        return network({n: torch.lerp(theta_0[n], theta_1[n], alpha) for n in theta_0}, images)

    zero = torch.zeros((), dtype=images.dtype)
    start, slope = torch.autograd.functional.jvp(at, zero, torch.ones_like(zero))
    way = at(zero + 1) - start
    off = {"first order": slope, "outputs": way}
    return {
        name: [100 * (start + a * speed - at(zero + a)).norm() / way.norm() for a in alphas]
        for name, speed in off.items()
    }


def departures_by_small_steps(network, theta_0, theta_1, images, alphas, h=1e-4):
    def at(alpha):
        return network(
            {n: (1 - alpha) * theta_0[n] + alpha * theta_1[n] for n in theta_0}, images
        ).numpy()

    slope = (at(h) - at(-h)) / (2 * h)
    whole = np.sqrt(((at(1) - at(0)) ** 2).sum())
    first = [np.sqrt(((at(0) + a * slope - at(a)) ** 2).sum()) / whole for a in alphas]
    both = [np.sqrt((((1 - a) * at(0) + a * at(1) - at(a)) ** 2).sum()) / whole for a in alphas]
    return {"first order": 100 * np.array(first), "outputs": 100 * np.array(both)}


def departures_by_vmap(network, theta_0, theta_1, images, alphas):
    """The slope by forward mode through alpha, and all alphas at once."""

    def at(alpha):
        return network({n: theta_0[n] + alpha * (theta_1[n] - theta_0[n]) for n in theta_0}, images)

    alphas = torch.tensor(alphas, dtype=images.dtype)
    slope = torch.func.jacfwd(at)(torch.zeros((), dtype=images.dtype))
    exact, whole = torch.stack([at(a) for a in alphas]), (at(1.0) - at(0.0)).norm()
    steps = alphas[:, None, None]
    line, chord = at(0.0) + steps * slope, at(0.0) + steps * (at(1.0) - at(0.0))
    return {
        name: 100 * (model - exact).flatten(1).norm(dim=1) / whole
        for name, model in (("first order", line), ("outputs", chord))
    }


def _nodes(k):
    return (1 - np.cos(np.pi * np.arange(k) / (k - 1))) / 2


def _rows(logits, splits, alphas):
    """One row for each split and alpha, from logits ``[A, n, C]`` by split."""
    rows = []
    for name, (_, labels, classes) in splits.items():
        own = torch.arange(logits[name].shape[-1]) if classes is None else torch.tensor(classes)
        right = own[logits[name][..., own].argmax(-1)] == labels
        for alpha, part in zip(alphas, right.double().mean(1), strict=True):
            rows.append({"split": name, "alpha": alpha, "accuracy": part})
    return rows


def short_curve_by_vandermonde(network, theta_0, theta_1, splits, passes, alphas):
    nodes = _nodes(passes)
    matrix = np.vander(alphas, passes) @ np.linalg.inv(np.vander(nodes, passes))
    curves = {}
    for name, (images, _, _) in splits.items():
        thetas = [{n: (1 - x) * theta_0[n] + x * theta_1[n] for n in theta_0} for x in nodes]
        values = torch.stack([network(theta, images) for theta in thetas])
        curves[name] = torch.einsum("ak,knc->anc", torch.tensor(matrix), values)
    return _rows(curves, splits, alphas)


def short_curve_by_lagrange(network, theta_0, theta_1, splits, passes, alphas):
    """Models in the outer loop; the polynomial as products, for one alpha at a time."""
    nodes, seen = _nodes(passes), {name: [] for name in splits}
    for x in nodes:
        theta = {n: torch.lerp(theta_0[n], theta_1[n], float(x)) for n in theta_0}
        for name, (images, _, _) in splits.items():
            seen[name].append(network(theta, images).float())
    curves = {name: [] for name in splits}
    for alpha in alphas:
        for name, values in seen.items():
            others = [np.delete(nodes, j) for j in range(passes)]
            weights = [np.prod((alpha - o) / (x - o)) for x, o in zip(nodes, others, strict=True)]
            curves[name].append(sum(s * v for s, v in zip(weights, values, strict=True)))
    return _rows({name: torch.stack(c) for name, c in curves.items()}, splits, alphas)


def short_curve_by_polyfit(network, theta_0, theta_1, splits, passes, alphas):
    rows = []
    for name, (images, labels, classes) in splits.items():
        nodes = _nodes(passes)
        values = torch.stack(
            [network({n: torch.lerp(theta_0[n], theta_1[n], x) for n in theta_0}, images)
             for x in nodes.tolist()]
        )  # fmt: skip
        coefficients = np.polyfit(nodes, values.reshape(passes, -1).numpy(), passes - 1)
        for alpha in alphas:
            powers = alpha ** np.arange(passes)[::-1]
            logits = torch.tensor((powers @ coefficients).reshape(values.shape[1:]))
            if classes is not None:
                for c in set(range(logits.shape[1])) - set(classes):
                    logits[:, c] = -torch.inf
            k = int((logits.argmax(1) == labels).sum())
            rows.append({"alpha": alpha, "split": name, "accuracy": k / len(labels)})
    return pd.DataFrame(rows)


RIGHT = {
    "9.1": [ways_by_linear, ways_in_numpy, ways_by_loops],
    "9.3": [mixtures_with_infinity, mixtures_in_numpy, mixtures_by_loops],
    "9.4": [departures_by_autograd, departures_by_small_steps, departures_by_vmap],
    "9.5": [through_by_polyfit, through_by_neville, through_in_torch],
    "9.6": [short_curve_by_vandermonde, short_curve_by_lagrange, short_curve_by_polyfit],
}

WRONG = {
    "9.1": [
        lambda zero, one, features, alpha: ways_by_linear(zero, one, features, alpha)[0],
        lambda zero, one, features, alpha: ways_by_linear(zero, one, features, alpha**2),
    ],
    "9.3": [
        lambda a, b, labels, *rest: mixtures_by_loops(a, b, labels.flip(0), *rest),
        lambda *inputs: {**mixtures_in_numpy(*inputs), "random": [50.0, 50.0, 50.0]},
        lambda *inputs: list(mixtures_in_numpy(*inputs).values()),
    ],
    "9.4": [
        lambda *inputs: {n: list(v)[::-1] for n, v in departures_by_autograd(*inputs).items()},
        lambda *inputs: departures_by_autograd(*inputs)["outputs"],
    ],
    "9.5": [
        lambda nodes, values, alpha: through_by_neville(nodes, values[::-1], alpha),
        lambda nodes, values, alpha: -through_by_neville(nodes, values, alpha),
    ],
    "9.6": [
        lambda f, zero, one, splits, passes, alphas: short_curve_by_lagrange(
            f, zero, one, splits, passes, sorted(alphas)
        )[:3],
        lambda f, zero, one, splits, passes, alphas: short_curve_by_lagrange(
            f, zero, one, splits, passes + 1, alphas
        ),
    ],
}
