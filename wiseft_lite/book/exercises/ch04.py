"""Exercises of chapter 4, Moving every weight."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels, names, normal, table
from wiseft_lite.training import fit


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


def _network(generator):
    """A small network with a batch norm, which behaves differently in training mode."""
    first = torch.nn.Linear(4, 6, bias=False)  # a bias before a batch norm has no gradient
    layers = torch.nn.Sequential(
        first, torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    )
    for parameter in layers.parameters():
        parameter.data = normal(generator, *parameter.shape)
    return layers.eval()


def _training(generator, dtype=None):
    steps = int(generator.integers(5, 8))
    batches = [(normal(generator, 8, 4), labels(generator, 8, 3)) for _ in range(steps)]
    lr, weight_decay = float(generator.uniform(0.02, 0.1)), float(generator.uniform(0.1, 0.5))
    clip_norm = float(generator.uniform(1, 4))
    return _network(generator), batches, lr, weight_decay, 2, clip_norm, dtype


def _in_16_bits(generator):
    return _training(generator, torch.bfloat16)


def _state(train, model, batches, lr, weight_decay, warmup, clip_norm, dtype):
    trained = train(model, batches, lr, weight_decay, warmup, clip_norm, dtype)
    return {
        "weights": {name: tensor.clone() for name, tensor in trained.state_dict().items()},
        "in training mode": trained.training,
    }


def _train(
    model,
    batches,
    lr,
    weight_decay,
    warmup,
    clip_norm,
    dtype=None,
    optimizer=torch.optim.AdamW,
    rate=_schedule,
    mode=True,
    zero_grad=True,
    reduction="mean",
):
    model.train(mode)
    optimizer = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    for step, (inputs, targets) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, len(batches), warmup, lr)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            loss = F.cross_entropy(model(inputs), targets, reduction=reduction)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if zero_grad:
            optimizer.zero_grad()
    return model.eval()


def _with(**setting):
    """The loop with one of the arguments that it is given replaced."""
    return lambda model, batches, lr, weight_decay, warmup, clip_norm, dtype: _train(
        model,
        batches,
        **{
            "lr": lr,
            "weight_decay": weight_decay,
            "warmup": warmup,
            "clip_norm": clip_norm,
            "dtype": dtype,
            **setting,
        },
    )


loop = Code(
    "4.5",
    _train,
    [_training, _in_16_bits],
    [
        (
            _with(zero_grad=False),
            "gradients add up from step to step: remove the old ones before the next backward pass.",
        ),
        (
            _with(clip_norm=1e9),
            "the gradients are not clipped, or only after the step has been taken.",
        ),
        (
            _with(rate=lambda step, total, warmup, lr: lr),
            "the learning rate is the same in all steps; set that of the schedule before each.",
        ),
        (
            _with(rate=lambda step, *rest: _schedule(step + 1, *rest)),
            "the schedule is one step ahead: the first step has the rate of step 0.",
        ),
        (
            _with(rate=lambda step, *rest: _schedule(max(step - 1, 0), *rest)),
            "the schedule is one step behind: set the rate before the step, not after it.",
        ),
        (
            _with(optimizer=torch.optim.Adam),
            "Adam adds the weight decay to the gradient; AdamW shrinks the weights by themselves.",
        ),
        (
            _with(weight_decay=0.0),
            "the weight decay is not passed to the optimizer.",
        ),
        (
            _with(weight_decay=0.01),
            "the optimizer uses its own weight decay of 0.01, not the one that is given.",
        ),
        (
            _with(mode=False),
            "the model is in evaluation mode while it trains, so its batch norm does not use the batch: model.train().",
        ),
        (
            lambda *inputs: _train(*inputs).train(),
            "you return the model in training mode; model.eval() makes it ready to be used.",
        ),
        (_with(dtype=None), "dtype is not used: model and loss belong under autocast."),
        (
            _with(reduction="sum"),
            "the loss is a sum over the batch; the clipping then bites far more often. Take the mean.",
        ),
    ],
    library=[fit],
    call=_state,
    may_change=["model"],
    tolerance=1e-3,
    draws=2,
)


def _tasks(generator):
    n = int(generator.integers(3, 6))
    losses = table(generator, n, ["before", "after"])
    losses.insert(0, "task", names(generator, n))
    return (losses,)


def _lost(table):
    return table["before"] - table["after"]


forgotten = Code(
    "4.6",
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

ALL = [notation, steps, warmup, schedule, loop, forgotten]
