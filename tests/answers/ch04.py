import math

import numpy as np
import torch


def schedule_by_min(step, total, warmup, peak):
    rise = min(1, (step + 1) / warmup)
    way = max(0, step - warmup) / (total - warmup)
    return peak * rise * (1 + math.cos(math.pi * way)) / 2


def schedule_in_torch(step, total, warmup, peak):
    if step < warmup:
        return torch.tensor(peak * (step + 1) / warmup)
    way = torch.tensor((step - warmup) / (total - warmup))
    return peak * torch.cos(0.5 * torch.pi * way) ** 2


def schedule_with_else(step, total, warmup, peak):
    if step >= warmup:
        fraction = (step - warmup) / (total - warmup)
        rate = 0.5 * peak * (1 + np.cos(np.pi * fraction))
    else:
        rate = (step + 1) * (peak / warmup)
    return rate


def train_with_a_scheduler(model, batches, lr, weight_decay, warmup, clip_norm, dtype):
    total = len(batches)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule_by_min(step, total, warmup, 1.0)
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


def train_with_two_branches(model, batches, lr, weight_decay, warmup, clip_norm, dtype=None):
    model = model.train()
    opt = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    for k in range(len(batches)):
        x, y = batches[k]
        opt.param_groups[0]["lr"] = schedule_with_else(k, len(batches), warmup, lr)
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


def train_with_clipping_by_hand(model, batches, lr, weight_decay, warmup, clip_norm, dtype):
    model.train(True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=weight_decay)
    for step, (inputs, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group.update(lr=schedule_by_min(step, len(batches), warmup, lr))
        with torch.autocast(device_type="cpu", dtype=dtype, enabled=bool(dtype)):
            logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum(g.double().square().sum() for g in gradients).sqrt().item()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * min(1.0, clip_norm / (norm + 1e-6))
        optimizer.step()
    return model.eval()


def forgotten_by_loop(table):
    losses = []
    for _, row in table.iterrows():
        losses.append(row["before"] - row["after"])
    return sum(losses) / len(losses)


RIGHT = {
    "4.4": [schedule_by_min, schedule_in_torch, schedule_with_else],
    "4.5": [train_with_a_scheduler, train_with_two_branches, train_with_clipping_by_hand],
    "4.6": [
        forgotten_by_loop,
        lambda table: table["before"].mean() - table["after"].mean(),
        lambda table: np.mean(table.before.to_numpy() - table.after.to_numpy()),
    ],
}

WRONG = {
    "4.4": [
        lambda step, total, warmup, peak: peak,
        lambda step, total, warmup, peak: schedule_by_min(step, total, warmup, peak) ** 2,
        lambda step, total, warmup, peak: schedule_by_min(total - step, total, warmup, peak),
    ],
    "4.5": [
        lambda model, *rest: model,
        lambda model, *rest: train_with_two_branches(model, *rest).state_dict(),
        lambda model, batches, *rest: train_with_two_branches(model, batches[:1], *rest),
        lambda model, batches, *rest: train_with_two_branches(model, batches[::-1], *rest),
    ],
    "4.6": [
        lambda table: table["before"] - table["after"],
        lambda table: table["after"].mean(),
    ],
}
