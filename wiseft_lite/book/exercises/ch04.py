"""Exercises of chapter 4, Moving every weight."""

from __future__ import annotations

import math

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import names, table


def _run(generator):
    warmup = int(generator.integers(2, 5))
    return int(generator.integers(2, 6)) + 2 * warmup, warmup, float(generator.uniform(0.5, 3))


def _small_rate(generator):
    total, warmup, peak = _run(generator)
    return total, warmup, peak * 1e-2


def _every_step(f, total, warmup, peak):
    return [f(step, total, warmup, peak) for step in range(total + 1)]


def _risen(step, warmup, peak):
    return peak * (step + 1) / warmup


def _cosine(fraction):
    return 0.5 * (1 + math.cos(math.pi * fraction))


def _schedule(step, total, warmup, peak):
    if step < warmup:
        return _risen(step, warmup, peak)
    return peak * _cosine((step - warmup) / (total - warmup))


def _falling(fall):
    """The rise, and then another way to fall."""

    def schedule(step, total, warmup, peak):
        rising = step < warmup
        return _risen(step, warmup, peak) if rising else peak * fall(step, total, warmup)

    return schedule


schedule = Code(
    "4.4",
    _schedule,
    [_run, _small_rate],
    [
        (
            lambda step, total, warmup, peak: peak * _cosine(step / total),
            "there is no warm-up: the first step already uses the full learning rate.",
        ),
        (
            _falling(lambda step, total, warmup: _cosine(step / total)),
            "the learning rate drops abruptly when the warm-up ends; start the cosine there, not at step 0.",
        ),
        (
            _falling(lambda step, total, warmup: (total - step) / (total - warmup)),
            "after the warm-up the learning rate falls linearly; a cosine stays high longer, then falls faster.",
        ),
        (
            _falling(lambda step, total, warmup: 1),
            "after the warm-up the learning rate stays at its peak; it must fall to 0.",
        ),
        (
            _falling(lambda step, total, warmup: 2 * _cosine((step - warmup) / (total - warmup))),
            "the factor one half is missing: at the end of the warm-up the cosine is 1, so 1 + 1 is twice the peak.",
        ),
        (
            _falling(lambda step, total, warmup: _cosine((step - warmup) / total)),
            "the cosine does not reach 0 at the end: it has total - warmup steps for its fall.",
        ),
        (
            lambda step, total, warmup, peak: (
                peak * step / warmup if step < warmup else _schedule(step, total, warmup, peak)
            ),
            "the first step has a learning rate of 0 and is lost: the rise is (step + 1) / warmup.",
        ),
        (
            lambda step, total, warmup, peak: _schedule(step, total, warmup, 1.0),
            "the peak is missing: it multiplies both parts.",
        ),
        (
            lambda step, total, warmup, peak: (
                _risen(step, warmup, peak)
                * (1 if step < warmup else _cosine((step - warmup) / (total - warmup)))
            ),
            "the rise goes on beyond the peak while the cosine falls; after the warm-up it is the peak itself.",
        ),
    ],
    call=_every_step,
)

steps = Number(
    "4.2",
    230,
    [
        (220, "the last batch of an epoch is smaller, but it is a step too: round up, not down."),
        (23, "that is one epoch; there are ten."),
        (22, "that is one epoch, without its last, smaller batch; and there are ten epochs."),
        (1471, "that counts images; one step takes 64 of them at once."),
        (14_710, "that counts images, ten times each; one step takes 64 of them at once."),
        (
            229.84,
            "there is no part of a step: the last batch of an epoch is smaller, but it is a step too.",
        ),
    ],
    tolerance=0.1,
)

warmup = Number(
    "4.3",
    23,
    [
        (500, "500 steps of warm-up in a run of 230: the learning rate never reaches its peak."),
        (
            0,
            "no warm-up at all: the first steps are the largest, taken with AdamW's averages still empty.",
        ),
        (115, "half of the run would be warm-up; the paper's 500 of about 25,000 steps are 2 %."),
        (230, "all of the run would be warm-up: it ends when the peak is reached."),
        (0.02, "that is a fraction of the run; give a number of steps."),
    ],
    tolerance=21,
)


def _tasks(generator):
    n = int(generator.integers(3, 6))
    losses = table(generator, n, ["before", "after"])
    losses.insert(0, "task", names(generator, n))
    return (losses,)


def _lost(table):
    return table["before"] - table["after"]


forgotten = Code(
    "4.5",
    lambda table: _lost(table).mean(),
    [_tasks],
    [
        (
            lambda table: -_lost(table).mean(),
            "the sign is reversed: forgetting is what was lost, before minus after.",
        ),
        (
            lambda table: 100 * (_lost(table) / table["before"]).mean(),
            "you divide by the accuracy before; the book states losses in points.",
        ),
        (
            lambda table: (_lost(table) / table["before"]).mean(),
            "you divide by the accuracy before, which makes a fraction; the book states losses in points.",
        ),
        (
            lambda table: _lost(table).max(),
            "you return the worst task; the question asks for the mean over the tasks.",
        ),
        (
            lambda table: _lost(table).sum(),
            "that is the sum over the tasks; the question asks for the mean.",
        ),
        (
            lambda table: _lost(table).abs().mean(),
            "a task that gains counts against the loss: take no absolute value.",
        ),
        (
            lambda table: _lost(table).clip(lower=0).mean(),
            "a task that gains counts too, with a negative loss.",
        ),
        (
            lambda table: _lost(table)[_lost(table) > 0].mean(),
            "you average over the tasks that lost only; the others belong to the mean.",
        ),
        (
            lambda table: _lost(table).median(),
            "that is the median; the question asks for the mean.",
        ),
    ],
)

notation = Choice(
    "4.1",
    "B",
    {
        "A": "10e-5 is 10 times 0.00001; the 10 in front is part of the number.",
        "C": "the exponent is the same in both; only the number in front differs.",
        "D": "try it: print(10e-5 / 1e-5).",
    },
)

ALL = [notation, steps, warmup, schedule, forgotten]
