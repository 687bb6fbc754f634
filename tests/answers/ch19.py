import random

import numpy as np
import torch


def held_out_by_sample(groups, share, seed):
    names = list(dict.fromkeys(groups))
    k = int(share * len(names) + 0.5)
    drawn = random.Random(seed).sample(names, max(k, 1))
    return [group in drawn for group in groups]


def held_out_in_numpy(groups, share, seed):
    np.random.seed(seed)
    names, place = np.unique(groups, return_inverse=True)
    chosen = np.random.choice(len(names), max(1, round(share * len(names))), replace=False)
    return np.isin(place, chosen)


def held_out_in_torch(groups, share, seed):
    names = sorted(set(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    drawn = {names[i] for i in order[: max(1, round(share * len(names)))]}
    return torch.tensor([group in drawn for group in groups])


RIGHT = {"19.2": [held_out_by_sample, held_out_in_numpy, held_out_in_torch]}

WRONG = {
    "19.2": [
        lambda groups, share, seed: held_out_by_sample(groups, share, random.randrange(10**6)),
        lambda groups, share, seed: [False] * len(groups),
        lambda groups, share, seed: np.flatnonzero(held_out_in_numpy(groups, share, seed)),
        lambda groups, share, seed: sorted(set(groups))[: round(share * len(set(groups)))],
    ],
}
