import math

import numpy as np
import torch
import torch.nn.functional as F


def rates_by_min(n, batch_size, epochs, warmup, peak):
    total = epochs * (-(-n // batch_size))
    if type(warmup) is float:
        warmup = int(warmup * total + 0.5)
    found = []
    for step in range(total):
        rise = min(1, (step + 1) / warmup) if warmup else 1
        way = max(0, step - warmup) / (total - warmup)
        found.append(peak * rise * (1 + math.cos(math.pi * way)) / 2)
    return found


def rates_in_torch(n, batch_size, epochs, warmup, peak):
    total = len(torch.arange(n).split(batch_size)) * epochs
    warmup = warmup if isinstance(warmup, int) else round(total * warmup)
    rise = torch.arange(1, warmup + 1) / max(warmup, 1)
    way = torch.arange(total - warmup) / (total - warmup)
    return peak * torch.cat([rise, torch.cos(0.5 * torch.pi * way) ** 2])


def rates_in_numpy(n, batch_size, epochs, warmup, peak):
    steps = np.arange(epochs * int(np.ceil(n / batch_size)))
    w = warmup
    if w != int(w) or isinstance(w, float):
        w = int(np.rint(w * len(steps)))
    fall = 0.5 * (1 + np.cos(np.pi * (steps - w) / (len(steps) - w)))
    return np.where(steps < w, peak * (steps + 1) / max(w, 1), peak * fall)


def train_with_a_scheduler(model, batches, rates, weight_decay, clip_norm, dtype):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rates[min(step, len(rates) - 1)]
    )
    for inputs, labels in batches:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            loss = torch.nn.CrossEntropyLoss()(model(inputs), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        scheduler.step()
    model.eval()
    return model


def train_with_two_branches(model, batches, rates, weight_decay, clip_norm, dtype=None):
    model = model.train()
    opt = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    for k in range(len(batches)):
        x, y = batches[k]
        opt.param_groups[0]["lr"] = rates[k]
        if dtype is None:
            loss = torch.nn.functional.cross_entropy(model(x), y)
        else:
            with torch.autocast("cpu", dtype=dtype):
                loss = torch.nn.functional.cross_entropy(model(x), y)
        for p in model.parameters():
            p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        opt.step()
    return model.eval()


def train_with_clipping_by_hand(model, batches, rates, weight_decay, clip_norm, dtype):
    model.train(True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, rates[0], weight_decay=weight_decay)
    for step, (inputs, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group.update(lr=rates[step])
        with torch.autocast(device_type="cpu", dtype=dtype, enabled=bool(dtype)):
            logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum(g.double().square().sum() for g in gradients).sqrt().item()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * min(1.0, clip_norm / (norm + 1e-6))
        optimizer.step()
    return model.eval()


def train_with_backward_under_autocast(model, batches, rates, weight_decay, clip_norm, dtype):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    for (inputs, labels), optimizer.param_groups[0]["lr"] in zip(batches, rates, strict=True):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
    return model.eval()


def train_with_one_rate_for_each_batch(model, batches, rates, *rest):
    """Two nested loops."""
    for rate in rates:
        train_with_a_scheduler(model, batches, [rate] * len(batches), *rest)
    return model


def update_that_removes_gradients_before_and_after(
    model, optimizer, inputs, labels, size, clip_norm
):
    optimizer.zero_grad()
    total = update_with_sums(model, optimizer, inputs, labels, size, clip_norm)
    optimizer.zero_grad()
    return total


def update_by_parts_of_the_starter(zero, weigh, clip, total):
    """What is left of the starter's faults when a student has fixed some of them."""

    def update(model, optimizer, inputs, labels, size, clip_norm):
        starts, losses = range(0, len(inputs), size), []
        if zero == "before":
            optimizer.zero_grad()
        for start in starts:
            if zero == "inside":
                optimizer.zero_grad()
            x, y = inputs[start : start + size], labels[start : start + size]
            loss = F.cross_entropy(model(x), y) * (
                len(x) / len(inputs) if weigh else 1 / len(starts)
            )
            loss.backward()
            if clip == "inside":
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            losses.append(loss.item())
        if clip == "after":
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        return sum(losses) if total else losses[-1]

    return update


def update_with_sums(model, optimizer, inputs, labels, size, clip_norm):
    optimizer.zero_grad()
    n, total = len(labels), 0.0
    for x, y in zip(inputs.split(size), labels.split(size), strict=True):
        loss = F.cross_entropy(model(x), y, reduction="sum") / n
        loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return total


def update_scaled_at_the_end(model, optimizer, inputs, labels, size, clip_norm):
    model.zero_grad()
    total = 0
    for start in range(0, len(inputs), size):
        x, y = inputs[start : start + size], labels[start : start + size]
        loss = torch.nn.CrossEntropyLoss(reduction="sum")(model(x), y)
        loss.backward()
        total += loss.item()
    for p in model.parameters():
        p.grad /= len(inputs)
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return total / len(inputs)


def update_by_autograd(model, optimizer, inputs, labels, size, clip_norm):
    parameters = list(model.parameters())
    total, gradients = 0.0, [torch.zeros_like(p) for p in parameters]
    for k in range(math.ceil(len(inputs) / size)):
        part = slice(k * size, (k + 1) * size)
        loss = F.cross_entropy(model(inputs[part]), labels[part])
        fraction = len(labels[part]) / len(labels)
        for mine, g in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
            mine += fraction * g
        total += fraction * loss.item()
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g * (clip_norm / norm).clamp(max=1)
    optimizer.step()
    return total


def moved_by_vectors(before, after, part_of):
    found = {}
    for part in {part_of(name) for name in before}:
        own = [name for name in before if part_of(name) == part]
        a, b = (torch.cat([w[n].double().flatten() for n in own]) for w in (before, after))
        found[part] = torch.dist(a, b) / a.norm()
    return found


def moved_in_numpy(before, after, part_of):
    parts = {}
    for name, tensor in before.items():
        a, b = tensor.numpy().astype(np.float64), after[name].numpy().astype(np.float64)
        parts.setdefault(part_of(name), []).append((((b - a) ** 2).sum(), (a**2).sum()))
    return {part: np.sqrt(np.divide(*np.sum(rows, axis=0))) for part, rows in parts.items()}


def moved_by_loop(before, after, part_of):
    top, bottom = {}, {}
    for name in sorted(before):
        part = part_of(name)
        for a, b in zip(
            before[name].flatten().tolist(), after[name].flatten().tolist(), strict=True
        ):
            top[part] = top.get(part, 0) + (a - b) ** 2
            bottom[part] = bottom.get(part, 0) + a * a
    return {part: math.sqrt(top[part] / bottom[part]) for part in top}


def forgotten_by_counts(before, after, tasks):
    found = {}
    for name, (images, labels, head) in tasks.items():
        old = (before(images) @ head.T).argmax(1) == labels
        new = (after(images) @ head.T).argmax(1) == labels
        n, lost, won = len(labels), int((old & ~new).sum()), int((new & ~old).sum())
        variance = (lost + won - (lost - won) ** 2 / n) / (n - 1)
        found[name] = (100 * (lost - won) / n, 196 * math.sqrt(variance / n))
    return found


def forgotten_in_numpy(before, after, tasks):
    found = {}
    for name in tasks:
        images, labels, head = tasks[name]
        hits = [
            (encode(images).numpy() @ head.numpy().T).argmax(axis=1) == labels.numpy()
            for encode in (before, after)
        ]
        change = 100.0 * (hits[0].astype(float) - hits[1])
        found[name] = [change.mean(), 1.96 * change.std(ddof=1) / np.sqrt(change.size)]
    return found


def forgotten_by_loop(before, after, tasks):
    found = {}
    for name, (images, labels, head) in tasks.items():
        changes = []
        for old, new, label in zip(
            (before(images) @ head.T).tolist(),
            (after(images) @ head.T).tolist(),
            labels.tolist(),
            strict=True,
        ):
            changes.append((old.index(max(old)) == label) - (new.index(max(new)) == label))
        n = len(changes)
        mean = sum(changes) / n
        error = (sum((c - mean) ** 2 for c in changes) / (n - 1) / n) ** 0.5
        found[name] = torch.tensor([100 * mean, 196 * error], dtype=torch.float64)
    return found


RIGHT = {
    "4.2": [rates_by_min, rates_in_torch, rates_in_numpy],
    "4.3": [
        train_with_a_scheduler,
        train_with_two_branches,
        train_with_clipping_by_hand,
        train_with_backward_under_autocast,
    ],
    "4.4": [
        update_with_sums,
        update_scaled_at_the_end,
        update_by_autograd,
        update_that_removes_gradients_before_and_after,
    ],
    "4.5": [moved_by_vectors, moved_in_numpy, moved_by_loop],
    "4.6": [forgotten_by_counts, forgotten_in_numpy, forgotten_by_loop],
}

WRONG = {
    "4.1": [50, 22, 2.3, 46.3],
    "4.2": [
        lambda n, batch_size, epochs, warmup, peak: [peak] * n,
        lambda *inputs: rates_by_min(*inputs)[::-1],
        lambda *inputs: [rate**2 for rate in rates_by_min(*inputs)],
    ],
    "4.3": [
        lambda model, *rest: model,
        lambda model, *rest: train_with_two_branches(model, *rest).state_dict(),
        lambda model, batches, *rest: train_with_two_branches(model, batches[:1], *rest),
        lambda model, batches, *rest: train_with_two_branches(model, batches[::-1], *rest),
        train_with_one_rate_for_each_batch,
    ],
    "4.4": [
        lambda model, optimizer, inputs, labels, size, clip_norm: F.cross_entropy(
            model(inputs[:size]), labels[:size]
        ).item(),
        lambda model, optimizer, inputs, labels, size, clip_norm: update_with_sums(
            model, optimizer, inputs[: 2 * size], labels[: 2 * size], size, clip_norm
        ),
    ],
    "4.5": [
        lambda before, after, part_of: moved_by_vectors(before, after, lambda name: name),
        lambda before, after, part_of: moved_by_vectors(
            {n: w.half() * 1e4 for n, w in before.items()}, after, part_of
        ),
    ],
    "4.6": [
        lambda before, after, tasks: forgotten_by_counts(before, before, tasks),
        lambda before, after, tasks: {
            name: lost for name, (lost, _) in forgotten_by_counts(before, after, tasks).items()
        },
    ],
}
