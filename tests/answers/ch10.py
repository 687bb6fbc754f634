import copy

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats


def averages_with_lerp(model, batches, lr, decays):
    """Running means that are divided at every step, so that they are always unbiased."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    means = {decay: copy.deepcopy(model.state_dict()) for decay in decays}
    for step, (inputs, targets) in enumerate(batches, 1):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        for decay, mean in means.items():
            new = (1 - decay) / (1 - decay**step)
            for name, theta in model.state_dict().items():
                if theta.is_floating_point():
                    mean[name].lerp_(theta, new)
                else:
                    mean[name].copy_(theta)
    return means


def averages_of_kept_iterates(model, batches, lr, decays):
    optimizer, kept = torch.optim.AdamW(model.parameters(), lr=lr), []
    for inputs, targets in batches:
        loss = F.cross_entropy(model.train()(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept.append({k: v.double().clone().numpy() for k, v in model.state_dict().items()})
    found = {}
    for decay in decays:
        weights = decay ** np.arange(len(kept))[::-1]
        found[decay] = {
            k: np.tensordot(weights / weights.sum(), [theta[k] for theta in kept], 1)
            if model.state_dict()[k].is_floating_point()
            else kept[-1][k]
            for k in kept[0]
        }
    return found


class Averages:
    """An object for each decay."""

    def __init__(self, decay):
        self.decay, self.total, self.weight = decay, {}, 0.0

    def update(self, state):
        self.weight = self.decay * self.weight + 1 - self.decay
        for name, theta in state.items():
            if theta.dtype == torch.int64:
                self.total[name] = theta.clone()
            else:
                old = self.total.get(name, 0.0)
                self.total[name] = self.decay * old + (1 - self.decay) * theta.detach()

    def result(self):
        return {n: t if t.dtype == torch.int64 else t / self.weight for n, t in self.total.items()}


def averages_by_objects(model, batches, lr, decays):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    objects = [Averages(decay) for decay in decays]
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        for each in objects:
            each.update(model.state_dict())
    return {each.decay: each.result() for each in objects}


def as_line_by_recursion(iterates, decay):
    """The running mean from theta_0; the end is what is left when theta_0 is taken off."""
    point = {name: tensor.double() for name, tensor in iterates[0].items()}
    for theta in iterates[1:]:
        point = {n: decay * point[n] + (1 - decay) * theta[n] for n in point}
    left = decay ** (len(iterates) - 1)
    end = {n: (point[n] - left * iterates[0][n]) / (1 - left) for n in point}
    return {"alpha": 1 - left, "end": end, "point": point}


def as_line_in_numpy(iterates, decay):
    steps = len(iterates) - 1
    weights = np.array([(1 - decay) * decay ** (steps - t) for t in range(1, steps + 1)])
    alpha = weights.sum()
    end = {
        n: sum(w * theta[n].numpy() for w, theta in zip(weights, iterates[1:], strict=True)) / alpha
        for n in iterates[0]
    }
    point = {n: decay**steps * iterates[0][n].numpy() + alpha * end[n] for n in end}
    return {"point": point, "end": end, "alpha": alpha}


def as_line_stacked(iterates, decay):
    theta_0, *later = iterates
    weights = torch.tensor([decay**k for k in range(len(later))]).flip(0)
    weights = weights / weights.sum()
    end = {n: torch.einsum("t,t...->...", weights, torch.stack([x[n] for x in later]))
           for n in theta_0}  # fmt: skip
    alpha = torch.tensor(1 - decay ** len(later))
    return {
        "alpha": alpha,
        "end": end,
        "point": {n: torch.lerp(theta_0[n], end[n], alpha) for n in end},
    }


def held_by_kl(model, batches, lr, strength, weight):
    """The teacher's part as a divergence, whose gradient is that of the cross-entropy."""
    teacher, optimizer = copy.deepcopy(model).eval(), torch.optim.AdamW(model.parameters(), lr=lr)
    for x, y in batches:
        logits = model(x)
        with torch.no_grad():
            wanted = teacher(x).log_softmax(-1)
        loss = (1 - weight) * F.cross_entropy(logits, y) + weight * F.kl_div(
            logits.log_softmax(-1), wanted, log_target=True, reduction="batchmean"
        )
        for own, other in zip(model.parameters(), teacher.parameters(), strict=True):
            loss = loss + strength * F.mse_loss(own, other.detach(), reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def held_with_answers_before(model, batches, lr, strength, weight):
    with torch.no_grad():
        wanted = [model(x).softmax(-1) for x, _ in batches]
    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for (x, y), soft in zip(batches, wanted, strict=True):
        optimizer.zero_grad()
        labels = F.one_hot(y, soft.shape[1])
        loss = F.cross_entropy(model(x), (1 - weight) * labels + weight * soft)
        now = torch.nn.utils.parameters_to_vector(model.parameters())
        (loss + strength * (now - start).dot(now - start)).backward()
        optimizer.step()
    return model


def held_by_gradients(model, batches, lr, strength, weight):
    """The spring is added to the gradient, not to the loss."""
    start = [p.detach().clone() for p in model.parameters()]
    teacher = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for x, y in batches:
        optimizer.zero_grad()
        logs = model(x).log_softmax(-1)
        taught = -(teacher(x).softmax(-1) * logs).sum(-1).mean()
        (weight * taught + (1 - weight) * F.nll_loss(logs, y)).backward()
        for p, origin in zip(model.parameters(), start, strict=True):
            p.grad += 2 * strength * (p.detach() - origin)
        optimizer.step()
    return model


def judged_in_numpy(control, lines):
    mean = sum(lines.values()) / len(lines)
    reached = mean[mean.test >= min(control.test.mean(), mean.test.max())]
    alpha = reached.shifts.idxmax()
    gaps = control.shifts.to_numpy() - [lines[s].shifts[alpha] for s in control.seed]
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    verdict = "above" if gaps.mean() > 0 else "below"
    if abs(gaps.mean()) <= half:
        verdict = "undecided"
    return {"gap": gaps.mean(), "half": half, "verdict": verdict}


def judged_by_interval(control, lines):
    tests = {a: np.mean([line.test[a] for line in lines.values()]) for a in lines_index(lines)}
    shifts = {a: np.mean([line.shifts[a] for line in lines.values()]) for a in tests}
    wanted = min(control.test.mean(), max(tests.values()))
    alpha = max((a for a in tests if tests[a] >= wanted), key=shifts.get)
    gaps = [row["shifts"] - lines[row["seed"]].loc[alpha, "shifts"]
            for row in control.to_dict("records")]  # fmt: skip
    low, high = stats.t.interval(0.95, len(gaps) - 1, loc=np.mean(gaps), scale=stats.sem(gaps))
    word = "undecided"
    if low > 0:
        word = "above"
    elif high < 0:
        word = "below"
    return {"verdict": word, "gap": (low + high) / 2, "half": (high - low) / 2}


def lines_index(lines):
    return next(iter(lines.values())).index


def judged_by_sorting(control, lines):
    mean = sum(lines.values()) / len(lines)
    rows = mean.sort_values("shifts", ascending=False)
    enough = rows[rows["test"] >= control["test"].mean()]
    alpha = enough.index[0] if len(enough) else mean["test"].idxmax()
    own = control["seed"].map(lambda seed: lines[seed].loc[alpha, "shifts"])
    gaps = control["shifts"] - own
    half = gaps.sem() * stats.t(len(gaps) - 1).ppf(0.975)
    signs = np.sign([gaps.mean() - half, gaps.mean() + half]).sum()
    return {
        "gap": gaps.mean(),
        "half": half,
        "verdict": {2: "above", -2: "below"}.get(signs, "undecided"),
    }


RIGHT = {
    "10.1": [averages_with_lerp, averages_of_kept_iterates, averages_by_objects],
    "10.3": [as_line_by_recursion, as_line_in_numpy, as_line_stacked],
    "10.4": [held_by_kl, held_with_answers_before, held_by_gradients],
    "10.6": [judged_in_numpy, judged_by_interval, judged_by_sorting],
}

WRONG = {
    "10.1": [
        lambda model, batches, lr, decays: averages_by_objects(model, batches[:-1], lr, decays),
        lambda model, batches, lr, decays: averages_by_objects(model, batches, lr / 2, decays),
        lambda model, batches, lr, decays: {
            decay: dict(model.named_parameters()) for decay in decays
        },
    ],
    "10.3": [
        lambda iterates, decay: as_line_by_recursion(iterates[::-1], decay),
        lambda iterates, decay: as_line_by_recursion(iterates, decay)["point"],
    ],
    "10.4": [
        lambda model, batches, lr, strength, weight: held_by_kl(model, batches, lr, 0.5, weight),
        lambda model, batches, lr, strength, weight: held_by_kl(
            model, batches, lr, strength / 2, weight
        ),
    ],
    "10.6": [
        lambda control, lines: {**judged_in_numpy(control, lines), "verdict": "undecided"},
        lambda control, lines: judged_in_numpy(control.iloc[:2], lines),
    ],
}
