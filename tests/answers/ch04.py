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


def forgotten_by_loop(table):
    losses = []
    for _, row in table.iterrows():
        losses.append(row["before"] - row["after"])
    return sum(losses) / len(losses)


RIGHT = {
    "4.4": [schedule_by_min, schedule_in_torch, schedule_with_else],
    "4.5": [
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
        lambda table: table["before"] - table["after"],
        lambda table: table["after"].mean(),
    ],
}
