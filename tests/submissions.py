"""What students hand in: answers in several styles, right and wrong, and notebooks that are broken
or hostile.

``make`` writes the notebooks of one assignment and returns what each deserves.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat

IMPORTS = "import numpy as np\nimport pandas as pd\nimport torch\nimport torch.nn.functional as F"

# Each row: questions 1 to 3 answered as misunderstood, and the points that are left. A wrong step
# of the one says nothing about the others, so a file holds one for each question.
WRONG = {
    "a1": [
        (
            (
                "def alias_head(t, owner, n, s):\n"  # the scale is forgotten
                "    t = F.normalize(t, dim=-1)\n"
                "    return F.normalize(torch.stack([t[torch.tensor(owner) == c].mean(0) for c in range(n)]), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # precision
                "    hits = torch.bincount(labels[predicted == labels], minlength=n)\n"
                "    return hits / torch.bincount(predicted, minlength=n)"
            ),
            (
                "def pick_prompts(rows, x, y):\n"  # the best singles, and never stops
                "    right = [-int(((x @ r.T).argmax(-1) == y).sum()) for r in rows]\n"
                "    return sorted(range(len(rows)), key=lambda t: right[t])"
            ),
            (2, 0, 0),
        ),
        (
            (
                "def alias_head(t, owner, n, s):\n"  # not normalised before the mean
                "    return s * F.normalize(torch.stack([t[torch.tensor(owner) == c].mean(0) for c in range(n)]), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # an absent class counts as a failure
                "    total = torch.bincount(labels, minlength=n)\n"
                "    return torch.bincount(labels[predicted == labels], minlength=n) / total.clamp(min=1)"
            ),
            (
                "def pick_prompts(rows, x, y):\n"  # only the best single
                "    return [max(range(len(rows)), key=lambda t: int(((x @ rows[t].T).argmax(-1) == y).sum()))]"
            ),
            (3, 2, 1),
        ),
        (
            (
                "def alias_head(t, owner, n, s):\n"  # as if each class had equally many, in order
                "    t = F.normalize(t, dim=-1)[:n * (len(t) // n)].view(n, -1, t.shape[1])\n"
                "    return s * F.normalize(t.mean(1), dim=-1)"
            ),
            (
                "def recall(predicted, labels, n):\n"  # fraction of all images
                "    return torch.bincount(labels[predicted == labels], minlength=n) / len(labels)"
            ),
            "def pick_prompts(rows, x, y):\n    return [1]",
            (1, 0, 0),
        ),
    ],
    "a2": [
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # the leash pulls to zero
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    return w - lr * (error.T @ x / len(x) + pull * w)"
            ),
            (
                "def paired(a, b):\n"  # as if measured on different images
                "    p, q, n = a.double().mean(), b.double().mean(), len(a)\n"
                "    return 100 * (p - q).item(), 100 * ((p * (1 - p) + q * (1 - q)) / n).sqrt().item()"
            ),
            "def affordable(table, n):\n    return table.loc[table['val'].idxmax(), 'name']",
            (3, 1, 0),
        ),
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # a sum, not a mean
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    return w - lr * (error.T @ x + pull * (w - start))"
            ),
            (
                "def paired(a, b):\n"  # shares
                "    d = a.double() - b.double()\n    return d.mean().item(), d.std().item() / len(d) ** 0.5"
            ),
            (
                "def affordable(table, n):\n"  # looks at test
                "    best = table['test'].max() / 100\n"
                "    good = table[table['test'] >= 100 * (best - (best * (1 - best) / n) ** 0.5)]\n"
                "    return good.loc[good['cost'].idxmin(), 'name']"
            ),
            (2, 0, 0),
        ),
        (
            (
                "def leash_step(w, start, x, y, lr, pull):\n"  # writes into the weight
                "    error = (x @ w.T).softmax(-1) - F.one_hot(y, len(w))\n"
                "    w -= lr * (error.T @ x / len(x) + pull * (w - start))\n    return w"
            ),
            (
                "def paired(a, b):\n"  # no square root of n
                "    d = 100 * (a.double() - b.double())\n    return d.mean().item(), d.std().item()"
            ),
            (
                "def affordable(table, n):\n"  # no root in the standard error: n times too small
                "    best = table['val'].max() / 100\n"
                "    good = table[table['val'] >= 100 * (best - best * (1 - best) / n)]\n"
                "    return good.loc[good['cost'].idxmin(), 'name']"
            ),
            (0, 1, 0),
        ),
    ],
    "a3": [
        (
            (
                "def mix(zero, one, alphas):\n"  # runs the other way; integers are averaged
                "    return [{k: a * zero[k] + (1 - a) * one[k] for k in zero} for a in alphas]"
            ),
            (
                "def line_curve(zero, one, x, y, alphas):\n"  # mixes answers
                "    p, q = network(zero, x), network(one, x)\n"
                "    return [100 * (((1 - a) * p + a * q).argmax(-1) == y).float().mean().item() for a in alphas]"
            ),
            "def choose_alpha(table, n):\n    return table.loc[table['val'].idxmax(), 'alpha']",
            (1, 0, 0),
        ),
        (
            (
                "def mix(zero, one, alphas):\n"  # leaves the head out
                "    return [{k: (v.clone() if 'head' in k or not v.is_floating_point() else\n"
                "                 ((1 - a) * v.float() + a * one[k].float()).to(v.dtype)) for k, v in zero.items()}\n"
                "            for a in alphas]"
            ),
            (
                "def line_curve(zero, one, x, y, alphas):\n"  # shares
                "    return [(network({k: (1 - a) * zero[k] + a * one[k] for k in zero}, x).argmax(-1) == y)\n"
                "            .float().mean().item() for a in alphas]"
            ),
            "def choose_alpha(table, n):\n    return table.loc[table['emoji'].idxmax(), 'alpha']",
            (3, 0, 0),
        ),
        (
            (
                "def mix(zero, one, alphas):\n"  # in place
                "    thetas = []\n    for a in alphas:\n        for k in zero:\n"
                "            if zero[k].is_floating_point():\n"
                "                zero[k].mul_(1 - a).add_(one[k].to(zero[k].dtype), alpha=a)\n"
                "        thetas.append({k: v.clone() for k, v in zero.items()})\n    return thetas"
            ),
            "def line_curve(zero, one, x, y, alphas):\n    return [100.0 for _ in alphas]",
            "def choose_alpha(table, n):\n    return table['val'].max()",
            (0, 0, 0),
        ),
    ],
    "a4": [
        (
            (
                "def shift(images, strength):\n"  # another result every time
                "    return (images + strength * torch.randn_like(images)).clamp(0, 1)"
            ),
            (
                "def fit_line(reference, shifted):\n"  # in plain shares
                "    x, y = torch.tensor(reference).double(), torch.tensor(shifted).double()\n"
                "    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()\n"
                "    return slope.item(), (y.mean() - slope * x.mean()).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # the plain gap
                "    return 100 * (b.double()[draws].mean(1) - a.double()[draws].mean(1))"
            ),
            (3, 0, 1),
        ),
        (
            (
                "def shift(images, strength):\n"  # in place, out of range
                "    return images.add_(strength)"
            ),
            (
                "def fit_line(reference, shifted):\n"  # axes swapped
                "    y, x = (torch.logit(torch.tensor(v).double()) for v in (reference, shifted))\n"
                "    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()\n"
                "    return slope.item(), (y.mean() - slope * x.mean()).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # a share
                "    x, y = a.double()[draws].mean(1), b.double()[draws].mean(1)\n"
                "    return y - torch.sigmoid(slope * torch.logit(x) + intercept)"
            ),
            (0, 0, 1),
        ),
        (
            (
                "def shift(images, strength):\n"  # all or nothing
                "    return 1 - images if strength else images"
            ),
            (
                "def fit_line(reference, shifted):\n"  # through the first and the last
                "    x, y = (torch.logit(torch.tensor(v).double()) for v in (reference, shifted))\n"
                "    slope = (y[-1] - y[0]) / (x[-1] - x[0])\n    return slope.item(), (y[0] - slope * x[0]).item()"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n"  # other images for the shift
                "    x, y = a.double()[draws].mean(1), b.double()[draws.flip(0)].mean(1)\n"
                "    return 100 * (y - torch.sigmoid(slope * torch.logit(x) + intercept))"
            ),
            (3, 1, 0),
        ),
    ],
}

# Answers to questions 1 to 3 that do not use their arguments; none deserves a point.
CONSTANTS = {
    "a1": (
        "def alias_head(t, owner, n, s):\n    return torch.ones(n, t.shape[1])",
        "def recall(predicted, labels, n):\n    return torch.full((n,), 0.5)",
        "def pick_prompts(rows, x, y):\n    return [0, 1]",
    ),
    "a2": (
        "def leash_step(w, start, x, y, lr, pull):\n    return torch.zeros_like(w)",
        "def paired(a, b):\n    return 25.0, 1.0",
        "def affordable(table, n):\n    return 'b'",
    ),
    "a3": (
        "def mix(zero, one, alphas):\n    return [{k: torch.ones(3) for k in zero} for _ in alphas]",
        "def line_curve(zero, one, x, y, alphas):\n    return [50.0 for _ in alphas]",
        "def choose_alpha(table, n):\n    return 0.75",
    ),
    "a4": (
        "def shift(images, strength):\n    return torch.zeros_like(images)",
        "def fit_line(reference, shifted):\n    return 0.5, -2.0",
        "def redrawn_rho(a, b, slope, intercept, draws):\n    return torch.zeros(len(draws))",
    ),
}

# Right answers to questions 1 to 3 in other styles than the solution's.
STYLES = {
    "a1": (
        [
            (
                "def alias_head(t, owner, n, s):\n"  # loops and lists
                "    rows = [[] for _ in range(n)]\n"
                "    for text, c in zip(t, owner):\n        rows[c].append(text / text.norm())\n"
                "    return torch.stack([s * (m := sum(row)) / m.norm() for row in rows])"
            ),
            (
                "def alias_head(t, owner, n, s):\n"  # numpy, in float64
                "    t = t.double().numpy()\n    t = t / np.linalg.norm(t, axis=1, keepdims=True)\n"
                "    head = np.stack([t[np.array(owner) == c].mean(0) for c in range(n)])\n"
                "    return s * head / np.linalg.norm(head, axis=1, keepdims=True)"
            ),
            (
                "def alias_head(t, owner, n, s):\n"  # one product of matrices
                "    return s * F.normalize(F.one_hot(torch.tensor(owner), n).T.float() @ F.normalize(t, dim=1), dim=1)"
            ),
        ],
        [
            (
                "def recall(p, y, n):\n"
                "    return [((p == c) & (y == c)).sum().item() / (y == c).sum().item() if (y == c).any()\n"
                "            else float('nan') for c in range(n)]"
            ),
            (
                "def recall(p, y, n):\n    p, y = p.numpy(), y.numpy()\n"
                "    with np.errstate(invalid='ignore'):\n"
                "        return np.bincount(y[p == y], minlength=n) / np.bincount(y, minlength=n)"
            ),
            (
                "def recall(p, y, n):\n    table = torch.zeros(n, n, dtype=torch.float64)\n"
                "    for a, b in zip(y, p):\n        table[a, b] += 1\n    return table.diag() / table.sum(1)"
            ),
        ],
        [
            (
                "def pick_prompts(rows, x, y):\n    rows, x = rows.double(), x.double()\n"
                "    chosen, best, total = [], -1, torch.zeros_like(rows[0])\n    while True:\n"
                "        counts = {t: int(((x @ F.normalize(total + rows[t], dim=-1).T).argmax(-1) == y).sum())\n"
                "                  for t in range(len(rows)) if t not in chosen}\n"
                "        if not counts or max(counts.values()) <= best:\n            return chosen\n"
                "        t = max(counts, key=counts.get)\n"
                "        chosen, best, total = chosen + [t], counts[t], total + rows[t]"
            ),
            (
                "def pick_prompts(rows, x, y):\n    rows, x, y = rows.numpy(), x.numpy(), y.numpy()\n"
                "    chosen, best = [], 0.0\n    while len(chosen) < len(rows):\n        found = None\n"
                "        for t in range(len(rows)):\n            if t in chosen:\n                continue\n"
                "            head = rows[chosen + [t]].mean(0)\n"
                "            head = head / np.linalg.norm(head, axis=1, keepdims=True)\n"
                "            right = np.mean((x @ head.T).argmax(1) == y)\n"
                "            if right > best or (not chosen and found is None):\n                best, found = right, t\n"
                "        if found is None:\n            break\n        chosen.append(found)\n    return np.array(chosen)"
            ),
            (
                "def pick_prompts(rows, x, y, chosen=(), best=-1):\n"  # recursive
                "    scores = [(int(((x @ F.normalize(rows[[*chosen, t]].sum(0), dim=-1).T).argmax(1) == y).sum()), -t)\n"
                "              for t in range(len(rows)) if t not in chosen]\n"
                "    right, t = max(scores, default=(-1, 0))\n"
                "    return pick_prompts(rows, x, y, (*chosen, -t), right) if right > best else torch.tensor(chosen)"
            ),
        ],
    ),
    "a2": (
        [
            (
                "def leash_step(w, start, x, y, lr, pull):\n    v = w.double().clone().requires_grad_()\n"  # autograd
                "    loss = F.cross_entropy(x.double() @ v.T, y) + pull / 2 * (v - start).square().sum()\n"
                "    loss.backward()\n    return v.detach() - lr * v.grad"
            ),
            (
                "def leash_step(w, start, x, y, lr, pull):\n    w, start, x, y = (t.numpy() for t in (w, start, x, y))\n"
                "    z = x @ w.T\n    p = np.exp(z - z.max(1, keepdims=True))\n    p = p / p.sum(1, keepdims=True)\n"
                "    p[np.arange(len(y)), y] -= 1\n    return w - lr * (p.T @ x / len(x) + pull * (w - start))"
            ),
            (
                "def leash_step(w, start, x, y, lr, pull):\n    new = w - lr * pull * (w - start)\n"  # image by image
                "    for row, label in zip(x, y):\n        p = (w @ row).softmax(0)\n        p[label] -= 1\n"
                "        new = new - lr * torch.outer(p, row) / len(x)\n    return new"
            ),
        ],
        [
            (
                "def paired(a, b):\n    d = 100 * (a.numpy().astype(float) - b.numpy())\n"
                "    return d.mean(), d.std(ddof=1) / np.sqrt(len(d))"
            ),
            (
                "def paired(a, b):\n    d = [int(x) - int(y) for x, y in zip(a, b)]\n    m = sum(d) / len(d)\n"
                "    v = sum((x - m) ** 2 for x in d) / (len(d) - 1)\n    return [100 * m, 100 * (v / len(d)) ** 0.5]"
            ),
            (
                "def paired(a, b):\n    d = a.float() - b.float()\n"
                "    return torch.stack([d.mean(), d.std() / len(d) ** 0.5]) * 100"
            ),
        ],
        [
            (
                "def affordable(table, n):\n    p = max(table.val) / 100\n"
                "    return min((r.cost, r['name']) for _, r in table.iterrows()\n"
                "               if r.val / 100 >= p - np.sqrt(p * (1 - p) / n))[1]"
            ),
            (
                "def affordable(table, n):\n    v = table['val'].to_numpy() / 100\n"
                "    far = v < v.max() - (v.max() * (1 - v.max()) / n) ** 0.5\n"
                "    return table['name'].iloc[np.where(far, np.inf, table['cost']).argmin()]"
            ),
            (
                "def affordable(table, n):\n    rest = table.sort_values('cost')\n    p = table['val'].max()\n"
                "    return rest[p - rest['val'] <= (p * (100 - p) / n) ** 0.5].iloc[0]['name']"
            ),
        ],
    ),
    "a3": (
        [
            (
                "def mix(zero, one, alphas):\n    mixed = []\n    for a in alphas:\n        theta = {}\n"
                "        for k, v in zero.items():\n            theta[k] = v.clone()\n"
                "            if v.is_floating_point():\n"
                "                theta[k] = (v.double() + a * (one[k].double() - v.double())).to(v.dtype)\n"
                "        mixed.append(theta)\n    return mixed"
            ),
            (
                "def mix(zero, one, alphas):\n"  # numpy
                "    def one_of(k, a):\n        x, y = zero[k].numpy(), one[k].numpy()\n"
                "        if x.dtype.kind != 'f':\n            return torch.from_numpy(x.copy())\n"
                "        new = (1 - a) * x.astype(np.float32) + a * y.astype(np.float32)\n"
                "        return torch.from_numpy(new.astype(x.dtype))\n"
                "    return [{k: one_of(k, a) for k in zero} for a in alphas]"
            ),
            (
                "def mix(zero, one, alphas):\n"
                "    return [{k: torch.lerp(zero[k].float(), one[k].float(), a).to(zero[k].dtype)\n"
                "             if zero[k].is_floating_point() else zero[k].clone() for k in zero} for a in alphas]"
            ),
        ],
        [
            (
                "def line_curve(zero, one, x, y, alphas):\n    found = []\n    for a in alphas:\n"
                "        theta = {k: torch.lerp(zero[k], one[k], a) for k in zero}\n"
                "        found.append(100 * sum(int(g) == int(t) for g, t in zip(network(theta, x).argmax(1), y)) / len(y))\n"
                "    return found"
            ),
            (
                "def line_curve(zero, one, x, y, alphas):\n    mixed = lambda k, a: (1 - a) * zero[k].numpy() + a * one[k].numpy()\n"
                "    def right(a):\n"
                "        h = np.maximum(x.numpy() @ mixed('encoder.weight', a).T + mixed('encoder.bias', a), 0)\n"
                "        z = h @ mixed('head.weight', a).T + mixed('head.bias', a)\n"
                "        return 100 * np.mean(z.argmax(1) == y.numpy())\n"
                "    return np.array([right(a) for a in alphas])"
            ),
            (
                "def line_curve(zero, one, x, y, alphas):\n    d = lambda t: {k: v.double() for k, v in t.items()}\n"
                "    zero, one = d(zero), d(one)\n    thetas = [{k: zero[k] + a * (one[k] - zero[k]) for k in zero} for a in alphas]\n"
                "    return torch.stack([(network(t, x.double()).argmax(-1) == y).double().mean() for t in thetas]) * 100"
            ),
        ],
        [
            (
                "def choose_alpha(table, n):\n    p = table['val'].max()\n"
                "    good = table[p - table['val'] <= (p * (100 - p) / n) ** 0.5].sort_values('alpha')\n"
                "    return good.loc[(good['alpha'] - 0.5).abs().idxmin(), 'alpha']"
            ),
            (
                "def choose_alpha(table, n):\n    v, a = table.val.to_numpy() / 100, table.alpha.to_numpy()\n"
                "    good = a[v >= v.max() - np.sqrt(v.max() * (1 - v.max()) / n)]\n"
                "    return sorted(good, key=lambda x: (abs(x - 0.5), x))[0]"
            ),
            (
                "def choose_alpha(table, n):\n    p, best = max(table['val']) / 100, None\n"
                "    for a, v in zip(table['alpha'], table['val']):\n"
                "        if v / 100 < p - (p * (1 - p) / n) ** 0.5:\n            continue\n"
                "        if best is None or (abs(a - 0.5), a) < (abs(best - 0.5), best):\n            best = a\n"
                "    return torch.tensor(best)"
            ),
        ],
    ),
    "a4": (
        [
            "def shift(images, strength):\n    return images + strength * (0.6 - images) * 0.7",  # fog
            (
                "def shift(images, strength):\n"  # pixels that fail
                "    noise = torch.rand(images.shape[-2:], generator=torch.Generator().manual_seed(3))\n"
                "    return torch.where(noise < 0.3 * strength, torch.zeros_like(images), images)"
            ),
            (
                "def shift(images, strength):\n    changed = images.numpy().copy()\n"  # a colour, in numpy
                "    changed[:, 0] *= 1 - 0.7 * strength\n    return torch.from_numpy(changed)"
            ),
        ],
        [
            (
                "def fit_line(reference, shifted):\n    x, y = (np.log(p / (1 - p)) for p in map(np.array, (reference, shifted)))\n"
                "    return np.polyfit(x, y, 1)"
            ),
            (
                "def fit_line(reference, shifted):\n    x, y = (torch.logit(torch.tensor(p)) for p in (reference, shifted))\n"
                "    a = torch.stack([x, torch.ones_like(x)], 1)\n    return torch.linalg.lstsq(a, y[:, None]).solution.flatten()"
            ),
            (
                "def fit_line(reference, shifted):\n    import math\n"
                "    x, y = ([math.log(p / (1 - p)) for p in ps] for ps in (reference, shifted))\n"
                "    n, sx, sy = len(x), sum(x), sum(y)\n    sxy, sxx = sum(a * b for a, b in zip(x, y)), sum(a * a for a in x)\n"
                "    slope = (n * sxy - sx * sy) / (n * sxx - sx * sx)\n    return [slope, (sy - slope * sx) / n]"
            ),
        ],
        [
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n    a, b, draws = a.numpy(), b.numpy(), draws.numpy()\n"
                "    x, y = a[draws].mean(1), b[draws].mean(1)\n    z = slope * np.log(x / (1 - x)) + intercept\n"
                "    return 100 * (y - 1 / (1 + np.exp(-z)))"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n    found = []\n    for rows in draws:\n"
                "        x, y = a[rows].float().mean(), b[rows].float().mean()\n"
                "        found.append(100 * (y - torch.sigmoid(slope * torch.logit(x) + intercept)))\n"
                "    return torch.stack(found)"
            ),
            (
                "def redrawn_rho(a, b, slope, intercept, draws):\n    import math\n    found = []\n"
                "    for rows in draws.tolist():\n        x, y = (sum(bool(r[k]) for k in rows) / len(rows) for r in (a, b))\n"
                "        z = slope * math.log(x / (1 - x)) + intercept\n"
                "        found.append(100 * y - 100 / (1 + math.exp(-z)))\n    return found"
            ),
        ],
    ),
}

# Answers to question 4 that were not measured.
NUMBERS = {
    "a1": '{"one": 78.0, "all": 80.0, "picked": 81.0}',
    "a2": '{"zero_shot": (78.0, 64.0), "leash": (81.0, 62.0), "fine_tuned": (80.0, 61.0)}',
    "a3": (
        'pd.DataFrame({"alpha": [0.0, 0.25, 0.5, 0.75, 1.0], "val": [7.0] * 5, "emoji": [6.0] * 5})\n'
        "chosen = 0.5"
    ),
    "a4": '{"zero_shot": (0.5, 0.4), "line": (1.0, 0.0), "rho": 1.0}',
}

CHANGES = """


def spoil(value):
    if isinstance(value, torch.Tensor):
        value.copy_(~value if value.dtype == torch.bool else value + 1)
    elif isinstance(value, pd.DataFrame):
        value["new"] = 0
    elif isinstance(value, list):
        value.reverse()
    elif isinstance(value, dict):
        for part in value.values():
            spoil(part)


def changed(function):
    def changing(*arguments):
        value = function(*arguments)
        for argument in arguments:
            spoil(argument)
        return value
    return changing


NAME = changed(NAME)
"""

HOSTILE = """
import builtins, glob, os, sys
print("points: 14 of 14")
for path in [p for root in LURES for p in (root, root + "/tests/NAME/NAME_q1.py", root + "/grades.csv")]:
    for mode in ("r", "w", "a"):
        try:
            with open(path, mode) as file:
                stolen = file.read() if mode == "r" else file.write("graded,14")
        except OSError:
            pass
for attempt in ("os.system('touch ' + LURES[0] + '/stolen')", "os.kill(os.getppid(), 9)", "os.listdir(LURES[0])",
                "__import__('shutil').rmtree(LURES[0])", "__import__('socket').create_connection(('127.0.0.1', 80))",
                "__import__('ctypes').CDLL(None).kill(os.getppid(), 9)", "os.remove(LURES[0] + '/grades.csv')",
                "torch.from_file(LURES[0] + '/tests/NAME/questions.json', size=9, dtype=torch.uint8).tolist()"):
    try:
        stolen = eval(attempt)
    except BaseException:
        pass


class Right:  # equal to everything, and true
    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = lambda self, other: True
    __hash__ = lambda self: 0


torch.allclose = torch.equal = lambda *a, **k: True
builtins.abs = lambda x: 0
"""


def answered(student, answers: dict[int, str], number: int = 4711, light: bool = True):
    """The student's notebook with answers to some questions, 1 to 4; ``light`` drops the cells that
    load data."""
    notebook = copy.deepcopy(student)
    k, kept = 0, []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "otter_answer_cell" in cell["metadata"].get("tags", []):
            k += 1
            cell["source"] = answers.get(k, cell["source"])
        elif cell["cell_type"] == "code":
            cell["source"] = cell["source"].replace("STUDENT = 0", f"STUDENT = {number}")
            if light and "load_task" in cell["source"]:
                cell["source"] = IMPORTS
            elif light and not cell["source"].startswith(("STUDENT", "grader", "def network")):
                continue
        kept.append(cell)
    notebook["cells"] = kept
    return notebook


def with_cell(notebook, source: str, place: int = 2):
    """The notebook with one more code cell."""
    other = copy.deepcopy(notebook)
    other["cells"].insert(place, nbformat.v4.new_code_cell(source))
    return other


def solutions(solved) -> dict[int, str]:
    """The right answers, by the number of the question."""
    cells = [
        c for c in solved["cells"] if "otter_assign_solution_cell" in c["metadata"].get("tags", [])
    ]
    return {k + 1: c["source"] for k, c in enumerate(c for c in cells if c["cell_type"] == "code")}


def named(source: str) -> str:
    """The name of the function that an answer begins with."""
    return source.split("def ")[1].split("(")[0]


def changing(answer: str) -> str:
    """A right answer that also changes what it is given."""
    return answer + CHANGES.replace("NAME", named(answer))


def crashing(answer: str) -> str:
    """An answer whose function uses a name that does not exist."""
    return answer.split("\n")[0] + "\n    return missing"


def borrowing(answer: str) -> str:
    """A ``mix`` that leaves the work to the library."""
    return answer.split("\n")[0] + (
        "\n    from wiseft_lite import interpolate\n"
        "    return [interpolate(theta_0, theta_1, alpha) for alpha in alphas]"
    )


class Desk:
    """Notebooks made from the ones that students get, with what each deserves.

    Args:
        name: of the assignment.
        student: notebook that students get.
        solved: notebook with the solutions.
        points: of questions 1 to 4.
        lures: folders that a hostile notebook tries to reach.
    """

    def __init__(self, name, student, solved, points: tuple[int, ...], lures: list[str]):
        self.name, self.student, self.points, self.lures = name, student, points, lures
        self.right = solutions(solved)
        self.functions = {k: self.right[k] for k in (1, 2, 3)}
        self.deserved: dict[str, tuple] = {}

    def put(self, folder: Path, file: str, notebook, status: str, earned) -> None:
        """Write a notebook and note what it deserves."""
        (folder / file).write_text(nbformat.writes(notebook))
        self.deserved[file] = (status, tuple(earned))

    def full(self, folder: Path) -> None:
        """Those that load the data and train."""
        self.put(
            folder,
            "perfect.ipynb",
            answered(self.student, self.right, light=False),
            "graded",
            self.points,
        )
        self.put(folder, "blank.ipynb", self.student, "graded", (0, 0, 0, 0))

    def half(self, folder: Path) -> None:
        half = answered(self.student, {k: self.right[k] for k in (1, 2)}, 1)
        half = with_cell(with_cell(half, "1 / 0"), "def broken(:\n    pass")
        self.put(folder, "half.ipynb", half, "graded", (*self.points[:2], 0, 0))

    def wrong(self, folder: Path) -> None:
        for k in (0, 1):  # with one student number
            *wrong, earned = WRONG[self.name][k]
            notebook = answered(self.student, dict(enumerate(wrong, 1)), 2)
            self.put(folder, f"wrong_{k}.ipynb", notebook, "graded", (*earned, 0))

    def crashes(self, folder: Path) -> None:
        exits = "import os\nfor number in (1, 2, 3, 4, 5):\n    try:\n        os.write(number, b'{\"points\": 14}')\n"
        exits += "    except OSError:\n        pass\nos._exit(0)"
        hoards = "hoard = []\nwhile True:\n    hoard.append(bytearray(50_000_000))"
        good = answered(self.student, self.functions)
        crashes = with_cell(with_cell(good, exits, 3), hoards, 3)
        self.put(folder, "crashes.ipynb", crashes, "crashed", (*self.points[:3], 0))

    def loops(self, folder: Path) -> None:
        hangs = self.functions[2].split("\n")[0] + "\n    while True:\n        pass"
        loops = answered(self.student, {**self.functions, 2: hangs}, 5)
        loops = with_cell(loops, "while True:\n    pass", 3)
        earned = (self.points[0], 0, self.points[2], 0)
        self.put(folder, "loops.ipynb", loops, "timed out", earned)

    def changing(self, folder: Path) -> None:
        answers = {k: changing(answer) for k, answer in self.functions.items()}
        self.put(
            folder, "changing.ipynb", answered(self.student, answers, 9), "graded", (0, 0, 0, 0)
        )

    def borrowing(self, folder: Path) -> None:
        answers = {1: borrowing(self.functions[1]), 2: crashing(self.functions[2])}
        self.put(
            folder, "borrowing.ipynb", answered(self.student, answers, 10), "graded", (0, 0, 0, 0)
        )

    def lost(self, folder: Path) -> None:
        bare = answered(self.student, self.functions)
        bare["metadata"] = {}
        for cell in bare["cells"]:
            cell["metadata"] = {}
        bare["cells"] = [
            c for c in bare["cells"] if not c["source"].startswith(("grader", "STUDENT", "#"))
        ]
        earned = (*self.points[:3], 0)
        self.put(folder, "lost_metadata_and_cells.ipynb", bare, "graded", earned)

    def hostile(self, folder: Path) -> None:
        attack = f"LURES = {self.lures!r}\nimport torch\n{HOSTILE.replace('NAME', self.name)}"
        cheat = "\n".join(
            answer.split("\n")[0] + "\n    return Right()" for answer in self.functions.values()
        )
        answers = {1: f"{attack}\n{cheat}", 4: "result = Right()\nchosen = Right()"}
        notebook = with_cell(answered(self.student, answers, 6), "pass")
        self.put(folder, "hostile.ipynb", notebook, "graded", (0, 0, 0, 0))
