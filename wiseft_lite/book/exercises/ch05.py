"""Exercises of chapter 5, What the reference cannot see."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pandas as pd
import torch

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.training import parameter_groups

published = Choice(
    "5.1",
    "A",
    {
        "B": "0.32 is positive: a higher accuracy on the reference goes, weakly, with a higher one under shift.",
        "C": "a correlation of 0.32 explains a tenth of the variance (0.32 squared), not a third.",
        "D": "a weak correlation between the two accuracies does not mean that every run is equally robust.",
    },
)


def _runs(generator):
    """Runs of seven settings, unequally many of each, in any order. How far a mean lies below the best is
    never near one standard error, whether of n - 1 or of n, nor near the spread itself."""
    counts = generator.permutation([3, 4, 4, 5, 5, 6, 6])
    counts[0] = 5  # of the best
    noise = [generator.normal(0, 1, count) for count in counts]
    noise = [(v - v.mean()) / v.std(ddof=1) for v in noise]
    spread = float(generator.uniform(0.8, 1.5))
    spreads = spread * np.array([1, 2.5, 0.2, 3, 0.3, 1, 1])
    below = spread * np.array([0, 0.2, 0.36, 0.7, 0.53, 1.6, 3])  # one standard error is 0.447
    rows = [
        {"setting": f"lr {k + 1}e-4", "seed": seed, "val": 85 - below[k] + spreads[k] * x}
        for k, values in enumerate(noise)
        for seed, x in enumerate(values)
    ]
    runs = pd.DataFrame(rows)
    runs["setting"] = runs["setting"].map(
        dict(zip(runs["setting"].unique(), generator.permutation(list("abcdefg")), strict=True))
    )
    for column, low in (("test", 82), ("shifts", 60)):
        height = runs["setting"].map(
            dict(zip("abcdefg", low + 4 * generator.permutation(7), strict=True))
        )
        runs[column] = height + generator.normal(0, 0.5, len(runs))
    return (runs.iloc[generator.permutation(len(runs))].reset_index(drop=True),)


def _one_error(values):
    return values.std() / len(values) ** 0.5


def _near_best(table, error=_one_error, of_each=False, column="val", report="shifts", answer=None):
    groups = table.groupby("setting")
    means = groups[column].mean()
    best = means.idxmax()
    errors = groups[column].agg(error)
    near = means[means >= means[best] - (errors if of_each else errors[best])].index
    found = groups[report].mean()[near]
    return set(near), found.max() - found.min()


def _pooled(table):
    """The standard error of all settings' runs together."""
    means = table.groupby("setting")["val"].transform("mean")
    pooled = (table["val"] - means).std()
    return _near_best(table, error=lambda values: pooled / len(values) ** 0.5)


def _single_runs(table):
    near, _ = _near_best(table)
    shifts = table[table["setting"].isin(near)]["shifts"]
    return near, shifts.max() - shifts.min()


def _best_run(table):
    """Settings compared by their luckiest run."""
    top = table.groupby("setting")["val"].max()
    best = top.idxmax()
    error = _one_error(table[table["setting"] == best]["val"])
    near = top[top >= top[best] - error].index
    found = table.groupby("setting")["shifts"].mean()[near]
    return set(near), found.max() - found.min()


near_best = Code(
    "5.2",
    _near_best,
    [_runs],
    [
        (
            partial(_near_best, error=lambda values: values.std()),
            "that is the standard deviation of single runs; the error of a mean is smaller by the root of the number of "
            "runs.",
        ),
        (
            partial(_near_best, of_each=True),
            "you use the standard error of each setting; one yardstick for all is that of the best one.",
        ),
        (
            _pooled,
            "you use a spread of all settings together; take that of the best setting's own runs.",
        ),
        (
            partial(_near_best, column="test"),
            "you compare on the test images; a setting is chosen on 'val'.",
        ),
        (
            partial(_near_best, column="shifts"),
            "you compare on the shifts; their labels are not available when you choose. Compare on 'val'.",
        ),
        (
            partial(_near_best, report="val"),
            "you return the range on 'val' itself; the question asks about the shifts.",
        ),
        (
            partial(_near_best, report="test"),
            "you return the range on the reference; the question asks about the shifts.",
        ),
        (
            _single_runs,
            "you take the range over single runs, which contains their noise; first average each setting over its runs.",
        ),
        (
            _best_run,
            "you compare settings by their best run, which rewards luck and many runs; compare means.",
        ),
    ],
)


class _Learner(torch.nn.Module):
    """A model that only counts its epochs: its weights are where it is on a given curve."""

    def __init__(self):
        super().__init__()
        self.register_buffer("epoch", torch.zeros(1, dtype=torch.int64))


def _curve(generator, val):
    return [60.0 + float(v) for v in val], int(generator.integers(1, 4)), len(val)


def _any_curve(generator):
    return _curve(generator, generator.permutation(9))


def _falls_at_once(generator):
    return _curve(generator, -np.cumsum(generator.integers(1, 4, size=7)))


def _rises_to_the_end(generator):
    """To the end of the epochs that are allowed, and the curve would go on."""
    curve, patience, n = _curve(generator, np.cumsum(generator.integers(1, 4, size=8)))
    return curve, patience, n - 2


def _second_rise(generator):
    """Falls for longer than any patience, then rises above its first peak."""
    return _curve(generator, np.array([2, 6, 3, 5, 4, 1, 0, 8, 9]) + generator.uniform(0, 0.9))


def _short_falls(generator):
    """A new best after each fall; the falls together are longer than any patience."""
    rises = np.arange(10) // 2 * 3 - 2 * (np.arange(10) % 2)
    curve, _, n = _curve(generator, rises)
    return curve, int(generator.integers(2, 4)), n


def _with_ties(generator):
    return _curve(generator, generator.integers(0, 4, size=9))


def _replay(train_until, curve, patience, epochs):
    """Let a function train a model along a known curve."""
    trained = []

    def train_epoch(model):
        model.epoch += 1
        trained.append(int(model.epoch))

    def evaluate(model):
        return curve[int(model.epoch) - 1]

    model = train_until(_Learner(), train_epoch, evaluate, patience, epochs)
    return {"the model's epoch": int(model.epoch), "epochs trained": len(trained)}


def _train_until(
    model,
    train_epoch,
    evaluate,
    patience,
    epochs,
    is_new_best=np.greater,
    resets=True,
    keep=copy.deepcopy,
    restore=True,
):
    best, state, waited = -np.inf, None, 0
    for _ in range(epochs):
        train_epoch(model)
        accuracy = evaluate(model)
        if is_new_best(accuracy, best):
            best, state = accuracy, keep(model.state_dict())
            waited = 0 if resets else waited
        else:
            waited += 1
        if waited >= patience:
            break
    if restore:
        model.load_state_dict(state)
    return model


def _to_the_end(model, train_epoch, evaluate, patience, epochs):
    return _train_until(model, train_epoch, evaluate, epochs + 1, epochs)


def _waiting(more):
    return lambda model, train_epoch, evaluate, patience, epochs: _train_until(
        model, train_epoch, evaluate, patience + more, epochs
    )


def _at_the_first_fall(model, train_epoch, evaluate, patience, epochs):
    return _train_until(model, train_epoch, evaluate, 1, epochs)


def _against_the_last(model, train_epoch, evaluate, patience, epochs):
    """Waits for epochs that are no better than the one before."""
    best, last, state, waited = -np.inf, -np.inf, None, 0
    for _ in range(epochs):
        train_epoch(model)
        accuracy = evaluate(model)
        waited = 0 if accuracy > last else waited + 1
        last = accuracy
        if accuracy > best:
            best, state = accuracy, copy.deepcopy(model.state_dict())
        if waited >= patience:
            break
    model.load_state_dict(state)
    return model


train_until = Code(
    "5.3",
    _train_until,
    [_any_curve, _falls_at_once, _rises_to_the_end, _second_rise, _short_falls, _with_ties],
    [
        (
            partial(_train_until, keep=lambda state: state),
            "your kept weights go on training: state_dict() holds the model's own tensors. Keep a copy, with "
            "copy.deepcopy.",
        ),
        (
            _to_the_end,
            "you train all epochs and then take the best one; the point is to stop before.",
        ),
        (
            _at_the_first_fall,
            "you stop at the first epoch without a new best; wait for 'patience' of them.",
        ),
        (
            _waiting(1),
            "you wait for one epoch more than 'patience'.",
        ),
        (
            partial(_train_until, resets=False),
            "a new best resets the count: 'patience' epochs in a row must bring none.",
        ),
        (
            partial(_train_until, is_new_best=np.greater_equal),
            "an epoch that equals the best is no new best.",
        ),
        (
            _against_the_last,
            "you compare with the epoch before; compare with the best so far.",
        ),
    ],
    call=_replay,
    draws=4,
)


def _stack(generator, depth):
    """A small model with the names of a vision transformer, and the numbers of a recipe."""
    model = torch.nn.Module()
    model.head = torch.nn.Linear(2, 3)
    encoder = model.encoder = torch.nn.Module()
    encoder.proj = torch.nn.Parameter(torch.ones(2, 2))
    encoder.ln_post = torch.nn.LayerNorm(2)
    encoder.transformer = torch.nn.Module()
    encoder.transformer.resblocks = torch.nn.ModuleList(
        torch.nn.ModuleDict({"ln_1": torch.nn.LayerNorm(2), "mlp": torch.nn.Linear(2, 2)})
        for _ in range(depth)
    )
    encoder.ln_pre = torch.nn.LayerNorm(2)
    encoder.class_embedding = torch.nn.Parameter(torch.ones(2))
    encoder.conv1 = torch.nn.Conv2d(3, 2, 2, bias=False)
    lr, decay, weight_decay = (float(generator.uniform(low, 2 * low)) for low in (5e-4, 0.45, 0.1))
    return model, lr, decay, weight_decay


def _shallow(generator):
    return _stack(generator, int(generator.integers(2, 5)))


def _deep(generator):
    return _stack(generator, int(generator.integers(11, 14)))


_TOP = ("head.", "encoder.proj", "encoder.ln_post.")
_BLOCK = "encoder.transformer.resblocks."


def _depth_of(name, depth, number=lambda rest: int(rest.split(".")[0])):
    """How many steps a parameter is below the head: 0 for the top, then from the last block down."""
    if name.startswith(_BLOCK):
        return depth - number(name.removeprefix(_BLOCK))
    return 0 if name.startswith(_TOP) else depth + 1


def _settings(groups, model, lr, decay, weight_decay):
    """What an optimizer would do with each parameter, by its name."""
    found = groups(model, lr, decay, weight_decay)
    optimizer = torch.optim.AdamW(found)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[p]: (1e4 * group["lr"], 1e4 * group["weight_decay"] * (group["lr"] > 0))
        for group in optimizer.param_groups
        for p in group["params"]
    }


def _groups(
    model, lr, decay, weight_decay, depth_of=_depth_of, decays=lambda p: p.ndim > 1, power=1
):
    depth = len(model.encoder.transformer.resblocks)
    return [
        {
            "params": [p],
            "lr": lr * decay ** (power * depth_of(name, depth)),
            "weight_decay": weight_decay if decays(p) else 0.0,
        }
        for name, p in model.named_parameters()
    ]


def _upside_down(name, depth):
    below = _depth_of(name, depth)
    return depth + 1 - below if name.startswith(_BLOCK) else below


def _one_higher(name, depth):
    return max(_depth_of(name, depth) - 1, 0)


def _stem_on_top(name, depth):
    return _depth_of(name, depth) if name.startswith(_BLOCK) else 0


def _only_the_head_on_top(name, depth):
    return _depth_of(name, depth) if name.startswith((_BLOCK, "head.")) else depth + 1


layers = Code(
    "5.4",
    _groups,
    [_shallow, _deep],
    [
        (
            partial(_groups, depth_of=_upside_down),
            "the last block is the one beside the head, and learns fastest; yours has the smallest learning rate.",
        ),
        (
            partial(_groups, depth_of=_one_higher),
            "the last block has the head's learning rate; it is one step below the head.",
        ),
        (
            partial(_groups, depth_of=_stem_on_top),
            "what comes before the blocks has the learning rate of the head; it is the farthest from it and learns most "
            "slowly.",
        ),
        (
            partial(_groups, depth_of=_only_the_head_on_top),
            "the last norm and the projection come after all blocks: they learn like the head.",
        ),
        (
            partial(_groups, depth_of=partial(_depth_of, number=lambda rest: int(rest[0]))),
            "you read one digit of the block's number; block 10 is not block 1. Split the name at its dots.",
        ),
        (
            partial(_groups, decays=lambda p: True),
            "weight decay is for matrices; biases and the weights of a norm, which have one dimension, get none.",
        ),
        (
            partial(_groups, decays=lambda p: False),
            "the weight decay is missing for the matrices.",
        ),
        (
            partial(_groups, power=0),
            "all parts have the same learning rate.",
        ),
        (
            partial(_groups, power=-1),
            "your learning rates grow with the distance from the head: multiply by decay, do not divide.",
        ),
    ],
    library=[parameter_groups],
    call=_settings,
    draws=3,
)

ALL = [published, near_best, train_until, layers]
