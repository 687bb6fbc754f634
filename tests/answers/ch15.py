import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap


def fisher_by_vmap(network, thetas, images, labels, floor):
    def loss(theta, image, label):
        return F.cross_entropy(functional_call(network, theta, image[None]), label[None])

    fishers = []
    for theta, own in zip(thetas, labels, strict=True):
        each = vmap(grad(loss), (None, 0, 0))(theta, images, own)
        fishers.append({n: g.square().mean(0).clamp(min=floor) for n, g in each.items()})
    mean = {}
    for name in thetas[0]:
        f = torch.stack([fisher[name] for fisher in fishers])
        mean[name] = (f * torch.stack([theta[name] for theta in thetas])).sum(0) / f.sum(0)
    return mean


def fisher_with_the_network_itself(network, thetas, images, labels, floor):
    """Load each model, and leave the network as it was."""
    before = {n: t.clone() for n, t in network.state_dict().items()}
    above = {n: torch.zeros_like(t) for n, t in before.items()}
    below = {n: torch.zeros_like(t) for n, t in before.items()}
    for theta, own in zip(thetas, labels, strict=True):
        network.load_state_dict(theta)
        fisher = {n: torch.zeros_like(t) for n, t in before.items()}
        for k in range(len(images)):
            network.zero_grad()
            F.cross_entropy(network(images[k : k + 1]), own[k : k + 1]).backward()
            for n, p in network.named_parameters():
                fisher[n] += p.grad**2
        for n in fisher:
            f = torch.clamp(fisher[n] / len(images), min=floor)
            above[n] += f * theta[n]
            below[n] += f
    network.load_state_dict(before)
    return {n: above[n] / below[n] for n in above}


def fisher_in_double_precision(network, thetas, images, labels, floor):
    numerators, denominators = {}, {}
    for theta, own in zip(thetas, labels, strict=True):
        theta = {n: t.double() for n, t in theta.items()}
        leaves = {n: t.clone().requires_grad_() for n, t in theta.items()}
        log_p = functional_call(network, leaves, (images.double(),)).log_softmax(1)
        for name, leaf in leaves.items():
            f = torch.zeros_like(theta[name])
            for k in range(len(images)):
                (g,) = torch.autograd.grad(log_p[k, own[k]], leaf, retain_graph=True)
                f += g * g / len(images)
            f = f.clamp(min=floor)
            numerators[name] = numerators.get(name, 0) + f * theta[name]
            denominators[name] = denominators.get(name, 0) + f
    return {n: (numerators[n] / denominators[n]).numpy() for n in numerators}


def ties_in_numpy(theta_0, thetas, density):
    names = list(theta_0)
    zero = np.concatenate([theta_0[n].numpy().ravel() for n in names])
    taus = np.stack([np.concatenate([t[n].numpy().ravel() for n in names]) for t in thetas]) - zero
    for tau in taus:
        tau[np.abs(tau) < np.sort(np.abs(tau))[::-1][round(density * tau.size) - 1]] = 0
    agrees = (np.sign(taus) == np.sign(taus.sum(0))) & (taus != 0)
    merged = zero + (taus * agrees).sum(0) / np.maximum(agrees.sum(0), 1)
    parts = np.split(merged, np.cumsum([theta_0[n].numel() for n in names])[:-1])
    return {n: part.reshape(theta_0[n].shape) for n, part in zip(names, parts, strict=True)}


def ties_by_loops(theta_0, thetas, density):
    """One weight after the other."""
    vectors = [
        [x for n in theta_0 for x in (theta[n] - theta_0[n]).flatten().tolist()] for theta in thetas
    ]
    keep = round(density * len(vectors[0]))
    for vector in vectors:
        least = sorted(map(abs, vector), reverse=True)[keep - 1]
        vector[:] = [x if abs(x) >= least else 0.0 for x in vector]
    moves = []
    for entries in zip(*vectors, strict=True):
        total = sum(entries)
        same = [x for x in entries if x * total > 0]
        moves.append(sum(same) / len(same) if same else 0.0)
    parts = torch.tensor(moves).split([t.numel() for t in theta_0.values()])
    return {n: t + m.reshape(t.shape) for (n, t), m in zip(theta_0.items(), parts, strict=True)}


def ties_by_masks(theta_0, thetas, density):
    flat = torch.nn.utils.parameters_to_vector
    zero = flat(theta_0.values())
    taus = torch.stack([flat(theta[n] for n in theta_0) - zero for theta in thetas])
    least = taus.abs().topk(round(density * len(zero)), dim=1).values[:, -1:]
    taus = torch.where(taus.abs() >= least, taus, 0)
    agree = taus * taus.sum(0) > 0
    merged = zero + (taus * agree).sum(0) / agree.sum(0).clamp(min=1)
    out, place = {}, 0
    for name, tensor in theta_0.items():
        out[name] = merged[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()
    return out


def dare_by_where(theta_0, theta_1, drop, kept):
    out = {}
    for name, start in theta_0.items():
        step = (theta_1[name] - start) / (1 - drop)
        out[name] = torch.where(kept[name], start + step, start)
    return out


def dare_by_index(theta_0, theta_1, drop, kept):
    out = {name: start.clone() for name, start in theta_0.items()}
    for name, mask in kept.items():
        out[name][mask] += (theta_1[name][mask] - theta_0[name][mask]) / (1 - drop)
    return out


def stock_by_units(theta_0, thetas):
    out, n = {}, len(thetas)
    for name, zero in theta_0.items():
        moves = torch.stack([(theta[name] - zero).flatten() for theta in thetas])
        units = F.normalize(moves, dim=1)
        gram = units @ units.T
        c = ((gram.sum() - gram.trace()) / (n * (n - 1))).clamp(min=0)
        t = n * c / (1 + (n - 1) * c)
        out[name] = zero + t * moves.mean(0).view(zero.shape)
    return out


def stock_in_numpy(theta_0, thetas):
    out = {}
    for name in theta_0:
        zero = theta_0[name].double().numpy()
        moves = [theta[name].double().numpy() - zero for theta in thetas]
        pairs = [
            np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in itertools.combinations(moves, 2)
        ]
        c, n = max(np.mean(pairs), 0.0), len(moves)
        t = n * c / (1 + (n - 1) * c)
        out[name] = (1 - t) * zero + t * np.mean([theta[name].numpy() for theta in thetas], axis=0)
    return out


def stock_by_loops(theta_0, thetas):
    merged = dict(theta_0)
    for name in merged:
        total = pairs = 0
        for i in range(len(thetas)):
            for j in range(i):
                a = (thetas[i][name] - theta_0[name]).flatten()
                b = (thetas[j][name] - theta_0[name]).flatten()
                total += (a.dot(b) / (a.norm() * b.norm())).item()
                pairs += 1
        cosine = total / pairs
        if cosine <= 0:
            continue
        t = len(thetas) * cosine / (1 + (len(thetas) - 1) * cosine)
        mean = sum(theta[name] for theta in thetas) / len(thetas)
        merged[name] = torch.lerp(theta_0[name], mean, t)
    return merged


def flyp_with_sgd(model, images, tokens, labels, lr, shared):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x = F.normalize(model.encode_image(images), dim=-1)
    y = F.normalize(model.encode_text(tokens), dim=-1)
    logits = model.logit_scale.exp() * x @ y.T
    if shared:
        targets = (labels[:, None] == labels).float()
        targets /= targets.sum(1, keepdim=True)
    else:
        targets = torch.arange(len(images))
    loss = 0.5 * F.cross_entropy(logits, targets) + 0.5 * F.cross_entropy(logits.T, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def flyp_by_log_softmax(model, images, tokens, labels, lr, shared):
    a, b = model.encode_image(images), model.encode_text(tokens)
    cosines = (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T
    logits = torch.exp(model.logit_scale) * cosines
    positive = labels[:, None] == labels if shared else torch.eye(len(labels), dtype=torch.bool)
    counts = positive.sum(1)
    rows = -(logits.log_softmax(1) * positive).sum(1) / counts
    columns = -(logits.log_softmax(0) * positive).sum(0) / counts
    loss = (rows.mean() + columns.mean()) / 2
    weights = list(model.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= lr * gradient
    return loss.detach()


def flyp_by_loops(model, images, tokens, labels, lr, shared):
    optimizer = torch.optim.SGD([{"params": list(model.parameters())}], lr)
    optimizer.zero_grad(set_to_none=True)
    images = F.normalize(model.encode_image(images), dim=1)
    texts = F.normalize(model.encode_text(tokens), dim=1)
    logits, losses = torch.einsum("id,jd->ij", images, texts) * model.logit_scale.exp(), []
    for i, label in enumerate(labels.tolist()):
        right = [
            j for j, other in enumerate(labels.tolist()) if (other == label if shared else j == i)
        ]
        losses.append(logits[i].logsumexp(0) - logits[i, right].mean())
        losses.append(logits[:, i].logsumexp(0) - logits[right, i].mean())
    loss = sum(losses) / len(losses)
    loss.backward()
    optimizer.step()
    return loss.item()


RIGHT = {
    "15.1": [fisher_by_vmap, fisher_with_the_network_itself, fisher_in_double_precision],
    "15.2": [ties_in_numpy, ties_by_loops, ties_by_masks],
    "15.3": [
        dare_by_where,
        dare_by_index,
        lambda theta_0, theta_1, drop, kept: {
            n: theta_0[n] + kept[n].double() / (1 - drop) * (theta_1[n] - theta_0[n]).double()
            for n in theta_0
        },
    ],
    "15.4": [stock_by_units, stock_in_numpy, stock_by_loops],
    "15.6": [flyp_with_sgd, flyp_by_log_softmax, flyp_by_loops],
}

WRONG = {
    "15.1": [
        lambda network, thetas, images, labels, floor: thetas[0],
        lambda *inputs: fisher_by_vmap(*inputs)["0.weight"],
        lambda network, thetas, images, labels, floor: fisher_by_vmap(
            network, thetas, images, [(y + 1) % 3 for y in labels], floor
        ),
    ],
    "15.2": [
        lambda theta_0, thetas, density: ties_by_masks(theta_0, thetas[:1], density),
        lambda theta_0, thetas, density: list(ties_by_masks(theta_0, thetas, density).values()),
        lambda theta_0, thetas, density: {
            n: 2 * theta_0[n] - t for n, t in ties_by_masks(theta_0, thetas, density).items()
        },
    ],
    "15.3": [
        lambda theta_0, theta_1, drop, kept: theta_1,
        lambda theta_0, theta_1, drop, kept: dare_by_where(theta_1, theta_0, drop, kept),
    ],
    "15.4": [
        lambda theta_0, thetas: theta_0,
        lambda theta_0, thetas: stock_by_units(theta_0, thetas[:2]),
        lambda theta_0, thetas: list(stock_by_units(theta_0, thetas).values()),
    ],
    "15.6": [
        lambda model, *rest: 0.0,
        lambda model, images, tokens, labels, lr, shared: flyp_with_sgd(
            model, images, tokens.flip(0), labels, lr, shared
        ),
        lambda model, images, tokens, labels, lr, shared: flyp_with_sgd(
            model, images, tokens, labels, 2 * lr, shared
        ),
    ],
}
