import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment


def differences_in_numpy(first, second, labels, classes):
    own = np.arange(first.shape[1]) if classes is None else np.array(classes)
    f, g = (logits.numpy()[:, own] for logits in (first, second))
    right = [own[logits.argmax(1)] == labels.numpy() for logits in (f, g)]
    f, g = f - f.mean(0), g - g.mean(0)
    norm = np.linalg.norm
    cka = norm(g.T @ f) ** 2 / (norm(f.T @ f) * norm(g.T @ g))
    return {"diversity": 100 * np.mean(right[0] ^ right[1]), "cka": 1 - cka}


def differences_by_kernels(first, second, labels, classes):
    """The alignment from matrices of image by image, which are centred on both sides."""
    absent = torch.zeros(first.shape[1], dtype=first.dtype)
    if classes is not None:
        absent[[c for c in range(first.shape[1]) if c not in classes]] = -torch.inf
    right = [(logits + absent).argmax(1) == labels for logits in (first, second)]
    n = len(labels)
    centre = torch.eye(n, dtype=first.dtype) - 1 / n
    columns = slice(None) if classes is None else list(classes)
    k, m = (centre @ x[:, columns] @ x[:, columns].T @ centre for x in (first, second))
    cka = (k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt()
    return {"cka": 1 - cka, "diversity": right[0].ne(right[1]).float().mean() * 100}


def differences_by_loops(first, second, labels, classes):
    own = list(range(first.shape[1])) if classes is None else list(classes)
    count = 0
    for a, b, y in zip(first.tolist(), second.tolist(), labels.tolist(), strict=True):
        said = [max(own, key=lambda c, row=row: row[c]) for row in (a, b)]
        count += said.count(y) == 1
    f, g = (x[:, own] - x[:, own].mean(0, keepdim=True) for x in (first, second))

    def shared(a, b):
        return sum(float(x @ y) ** 2 for x in a.T for y in b.T)

    cka = shared(f, g) / (shared(f, f) * shared(g, g)) ** 0.5
    return {"diversity": count / len(labels) * 100, "cka": 1.0 - cka}


def wins_by_loop(zero_shot, fine_tuned, mixture):
    triples = zip(zero_shot, fine_tuned, mixture, strict=True)
    return sum(1 for zero, tuned, mixed in triples if zero != tuned and mixed == zero)


def walls_by_loops(network, theta_0, theta_1, splits, alphas):
    found = {}
    for name, (images, labels, classes) in splits.items():
        own = list(classes or range(theta_0["head.bias"].numel()))
        targets = torch.tensor([own.index(y) for y in labels.tolist()])
        curves = {}
        for alpha in [0, *alphas, 1]:
            theta = {n: torch.lerp(theta_0[n], theta_1[n], float(alpha)) for n in theta_0}
            logits = network(theta, images)[:, own]
            right = (logits.argmax(1) == targets).double().mean().item()
            curves[alpha] = (100 * right, F.cross_entropy(logits, targets).item())
        drop = rise = 0.0
        for alpha in alphas:
            lines = [(1 - alpha) * a + alpha * b for a, b in zip(curves[0], curves[1], strict=True)]
            drop = max(drop, lines[0] - curves[alpha][0])
            rise = max(rise, curves[alpha][1] - lines[1])
        found[name] = {"accuracy": drop, "loss": rise}
    return found


def walls_with_infinity(network, theta_0, theta_1, splits, alphas):
    """All splits for a model at a time; absent classes have a logit of minus infinity."""
    grid = sorted({0.0, 1.0, *alphas})
    rows = []
    for a in grid:
        theta = {n: (1 - a) * theta_0[n] + a * theta_1[n] for n in theta_1}
        for images, labels, classes in splits.values():
            logits = network(theta, images)
            if classes is not None:
                absent = torch.full_like(logits, -torch.inf)
                absent[:, classes] = 0
                logits = logits + absent
            loss = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
            rows.append([(logits.argmax(1) == labels).float().mean() * 100, -loss])
    values = np.array(rows, dtype=np.float64).reshape(len(grid), len(splits), 2)
    at = np.array(grid)[:, None, None]
    height = ((1 - at) * values[0] + at * values[-1] - values).max(0)
    return {
        name: {"accuracy": row[0], "loss": row[1]} for name, row in zip(splits, height, strict=True)
    }


def walls_by_interp(network, theta_0, theta_1, splits, alphas):
    def measured(alpha, images, labels, classes):
        mixed = {n: theta_0[n] + alpha * (theta_1[n] - theta_0[n]) for n in theta_0}
        logits = network(mixed, images)
        own = torch.arange(logits.shape[1]) if classes is None else torch.tensor(classes)
        logits = logits[:, own]
        nll = logits.logsumexp(1) - logits[labels[:, None] == own]
        return np.array(
            [100 * float((own[logits.argmax(1)] == labels).double().mean()), nll.mean()]
        )

    found = {}
    for name, part in splits.items():
        ends = np.array([measured(a, *part) for a in (0, 1)])
        curve = np.array([measured(a, *part) for a in alphas])
        lines = np.array([np.interp(alphas, [0, 1], column) for column in ends.T]).T
        drops = (lines - curve) * [1, -1]
        found[name] = dict(zip(("accuracy", "loss"), drops.max(0).clip(min=0), strict=True))
    return found


def _vector(theta):
    return torch.cat([tensor.flatten() for tensor in theta.values()])


def _model(vector, like):
    parts = vector.split([tensor.numel() for tensor in like.values()])
    return {n: p.reshape(t.shape) for (n, t), p in zip(like.items(), parts, strict=True)}


def ground_by_basis(network, thetas, images, labels, xs, ys):
    """Two unit vectors of the plane, by Gram and Schmidt; a point is a sum of steps along them."""
    origin, second, third = map(_vector, thetas)
    e_x = (second - origin) / (second - origin).norm()
    up = (third - origin) - ((third - origin) @ e_x) * e_x
    e_y = up / up.norm()
    table = torch.zeros(len(ys), len(xs))
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            theta = _model(origin + x * e_x + y * e_y, thetas[0])
            table[i, j] = 100 * (network(theta, images).argmax(1) == labels).float().mean()
    return table


def ground_by_solving(network, thetas, images, labels, xs, ys):
    """Corners from the law of cosines; shares from three linear equations."""
    a, b, c = (v.numpy() for v in map(_vector, thetas))
    base, side, across = (np.linalg.norm(d) for d in (b - a, c - a, c - b))
    cosine = (base**2 + side**2 - across**2) / (2 * base * side)
    corners = [[0, base, side * cosine], [0, 0, side * np.sqrt(1 - cosine**2)], [1, 1, 1]]
    rows = []
    for y in ys:
        rows.append([])
        for x in xs:
            shares = np.linalg.solve(corners, [x, y, 1])
            theta = {
                n: sum(s * theta[n] for s, theta in zip(shares.tolist(), thetas, strict=True))
                for n in thetas[0]
            }
            right = network(theta, images).argmax(-1).eq(labels)
            rows[-1].append(right.double().mean().item() * 100)
    return rows


def ground_tensor_by_tensor(network, thetas, images, labels, xs, ys):
    zero, one, two = thetas

    def product(a, b, c, d):
        return sum(((a[n] - b[n]) * (c[n] - d[n])).sum() for n in a)

    base = product(one, zero, one, zero).sqrt()
    x_3 = product(two, zero, one, zero) / base
    y_3 = (product(two, zero, two, zero) - x_3**2).sqrt()
    found = []
    for y in ys:
        third = y / y_3
        for x in xs:
            second = (x - third * x_3) / base
            theta = {
                n: zero[n] + second * (one[n] - zero[n]) + third * (two[n] - zero[n]) for n in zero
            }
            found.append(100 * np.mean((network(theta, images).argmax(1) == labels).numpy()))
    return np.reshape(found, (len(ys), len(xs)))


def realigned_by_distances(theta, reference, mlps):
    new = {name: tensor.clone() for name, tensor in theta.items()}
    for first, bias, second in mlps:
        units = [
            torch.cat([t[first], t[bias].unsqueeze(1), t[second].T], dim=1)
            for t in (reference, theta)
        ]
        rows, order = linear_sum_assignment(torch.cdist(*units).square())
        new[first], new[bias] = theta[first][order], theta[bias][order]
        new[second] = theta[second][:, order]
    return new


def realigned_in_numpy(theta, reference, mlps):
    found = {name: tensor.numpy().copy() for name, tensor in theta.items()}
    for first, bias, second in mlps:
        like = reference[first].numpy() @ found[first].T
        like += np.outer(reference[bias], found[bias]) + reference[second].numpy().T @ found[second]
        order = linear_sum_assignment(like, maximize=True)[1]
        for name, axis in ((first, 0), (bias, 0), (second, 1)):
            found[name] = np.take(found[name], order, axis)
    return found


def realigned_by_matrices(theta, reference, mlps):
    """With permutation matrices in place of indices."""
    found = dict(theta)
    for first, bias, second in mlps:
        like = torch.einsum("ik,jk->ij", reference[first], theta[first])
        like = like + reference[bias][:, None] * theta[bias][None]
        like = like + torch.einsum("ki,kj->ij", reference[second], theta[second])
        permutation = torch.zeros_like(like)
        permutation[linear_sum_assignment(-like)] = 1
        found[first], found[bias] = permutation @ theta[first], permutation @ theta[bias]
        found[second] = theta[second] @ permutation.T
    return found


RIGHT = {
    "8.2": [differences_in_numpy, differences_by_kernels, differences_by_loops],
    "8.3": [
        wins_by_loop,
        lambda zero, tuned, mixed: (zero.ne(tuned) & mixed.eq(zero)).sum(),
        lambda zero, tuned, mixed: len(mixed[(zero != tuned) & (mixed == zero)]),
    ],
    "8.4": [walls_by_loops, walls_with_infinity, walls_by_interp],
    "8.5": [ground_by_basis, ground_by_solving, ground_tensor_by_tensor],
    "8.6": [realigned_by_distances, realigned_in_numpy, realigned_by_matrices],
}

WRONG = {
    "8.2": [
        lambda *inputs: {**differences_in_numpy(*inputs), "cka": 0.0},
        lambda first, second, labels, classes: differences_in_numpy(
            first, second, labels.flip(0), classes
        ),
    ],
    "8.3": [
        lambda zero, tuned, mixed: wins_by_loop(tuned, mixed, zero),
        lambda zero, tuned, mixed: wins_by_loop(zero, tuned, mixed) + 1,
    ],
    "8.4": [
        lambda f, zero, one, splits, alphas: walls_by_loops(f, zero, one, splits, alphas[:2]),
        lambda f, zero, one, splits, alphas: {
            name: walls["accuracy"]
            for name, walls in walls_by_loops(f, zero, one, splits, alphas).items()
        },
    ],
    "8.5": [
        lambda f, thetas, images, labels, xs, ys: ground_by_basis(
            f, thetas, images, labels, xs, [-y for y in ys]
        ),
        lambda f, thetas, images, labels, xs, ys: ground_by_basis(
            f, thetas, images, labels, sorted(xs), sorted(ys)
        ),
    ],
    "8.6": [
        lambda theta, reference, mlps: theta,
        lambda theta, reference, mlps: {
            **realigned_in_numpy(theta, reference, mlps),
            "head.weight": reference["head.weight"],
        },
    ],
}
