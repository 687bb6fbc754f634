import math
import statistics

import numpy as np
import torch

from wiseft_lite.book.claims import FAILS, HOLDS, UNDECIDED


def judge_by_cases(low, high):
    if low <= 0 <= high:
        verdict = UNDECIDED
    elif high < 0:
        verdict = FAILS
    else:
        verdict = HOLDS
    return verdict


def seeds_in_numpy(values):
    x = np.array(values)
    return x.mean() + np.array([-1, 1]) * 2.132 * x.std(ddof=1) / np.sqrt(len(x))


def seeds_by_hand(values):
    mean = sum(values) / 5
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / 4 / 5)
    return [mean - 2.132 * error, mean + 2.132 * error]


def seeds_in_torch(values):
    x = torch.tensor(values)
    half = 2.132 * x.std() / 5**0.5
    return x.mean() - half, x.mean() + half


def half_width_of_values(won, lost, n):
    """The standard error of the single differences, which are 1, -1 and 0."""
    values = [1] * won + [-1] * lost + [0] * (n - won - lost)
    return 196 * statistics.pstdev(values) / n**0.5


RIGHT = {
    "12.1": [
        judge_by_cases,
        lambda low, high: HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED,
        lambda low, high: {(True, True): HOLDS, (False, False): FAILS}.get(
            (low > 0, high > 0), UNDECIDED
        ),
    ],
    "12.2": [seeds_in_numpy, seeds_by_hand, seeds_in_torch],
    "12.3": [
        half_width_of_values,
        lambda won, lost, n: 1.96 * 100 * np.sqrt(((won + lost) / n - ((won - lost) / n) ** 2) / n),
        lambda won, lost, n: 196 / n * (won + lost - (won - lost) ** 2 / n) ** 0.5,
    ],
}

WRONG = {
    "12.1": [
        lambda low, high: low > 0,
        lambda low, high: "yes" if low > 0 else "no",
    ],
    "12.2": [
        lambda values: seeds_by_hand(values)[::-1],
        lambda values: [0.0, 2 * seeds_by_hand(values)[1]],
    ],
    "12.3": [
        lambda won, lost, n: 196 * (won / n / n) ** 0.5,
        lambda won, lost, n: 196 * ((won + lost) / n) / n**0.5,
    ],
}
