"""Exercises of chapter 4, Moving every weight."""

from __future__ import annotations

import copy
import math
from functools import partial

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Code, Number
from wiseft_lite.book.checks.draw import labels, names, normal, unit
from wiseft_lite.schedules import learning_rate
from wiseft_lite.training import fit
from wiseft_lite.weights import distance, relative_distance

copied = Number(
    "4.1",
    46,
    [
        (
            45.8,
            "in the last step, k = 229, the rise has come to (k + 1)/500: steps are counted from 0.",
        ),
        (
            45.97,
            "that is a fraction of a step. The last batch of an epoch is smaller, but it is a step: round up.",
        ),
        (0.46, "the question asks for a percentage, not for a fraction."),
        (
            44,
            "the last batch of an epoch is smaller, but it is a step too: 23 steps an epoch, not 22.",
        ),
        (4.6, "that is one epoch; there are ten."),
        (
            100,
            "the peak is reached after 500 steps. How many steps has this run?",
        ),
        (
            0,
            "the fall to 0 begins when the warm-up is over, and in this run it never is.",
        ),
        (217, "that is the peak over the learning rate reached; turn the fraction over."),
        (230, "that is the number of steps; how far is the rise after so many of 500?"),
    ],
    tolerance=0.02,
)


def _counts(generator):
    """Images, batch size and epochs; the last batch of an epoch is smaller."""
    batch_size = int(generator.integers(3, 9))
    n = batch_size * int(generator.integers(2, 5)) + int(generator.integers(1, batch_size))
    return n, batch_size, int(generator.integers(2, 5))


def _steps(n, batch_size, epochs):
    return epochs * math.ceil(n / batch_size)


def _warmup_in_steps(generator):
    counts = _counts(generator)
    return *counts, int(generator.integers(2, 5)), float(generator.uniform(0.5, 3))


def _warmup_as_a_fraction(generator):
    counts = _counts(generator)
    steps = int(generator.integers(2, 5)) + generator.uniform(-0.3, 0.3)
    return *counts, float(steps / _steps(*counts)), float(generator.uniform(0.5, 3))


def _small_rate(generator):
    *counts, peak = _warmup_as_a_fraction(generator)
    return *counts, peak * 1e-2


def _no_warmup(generator):
    return *_counts(generator), 0, float(generator.uniform(0.5, 3))


def _risen(step, warmup, peak):
    return peak * (step + 1) / warmup


def _cosine(fraction):
    return 0.5 * (1 + math.cos(math.pi * fraction))


def _fallen(step, total, warmup):
    return _cosine((step - warmup) / (total - warmup))


def _rates(
    n,
    batch_size,
    epochs,
    warmup,
    peak,
    count=_steps,
    rise=_risen,
    fall=_fallen,
    whole=round,
    longer=0,
):
    total = count(n, batch_size, epochs)
    w = whole(warmup * total) if isinstance(warmup, float) else warmup
    return [
        rise(step, w, peak) if step < w + longer else peak * fall(step, total, w)
        for step in range(total)
    ]


def _no_rise(n, batch_size, epochs, warmup, peak):
    return _rates(n, batch_size, epochs, 0, peak)


def _fraction_as_steps(n, batch_size, epochs, warmup, peak):
    total = _steps(n, batch_size, epochs)
    return [
        _risen(step, warmup, peak) if step < warmup else peak * _fallen(step, total, warmup)
        for step in range(total)
    ]


rates = Code(
    "4.2",
    _rates,
    [_warmup_as_a_fraction, _warmup_in_steps, _small_rate, _no_warmup],
    [
        (
            partial(_rates, count=lambda n, batch_size, epochs: epochs * (n // batch_size)),
            "the last batch of an epoch is smaller, but it is a step too: round up, not down.",
        ),
        (
            partial(_rates, count=lambda n, batch_size, epochs: math.ceil(n * epochs / batch_size)),
            "each epoch ends with a batch of its own; round up the steps of one epoch, then multiply.",
        ),
        (
            partial(_rates, count=lambda n, batch_size, epochs: math.ceil(n / batch_size)),
            "those are the steps of one epoch; there are several.",
        ),
        (
            _fraction_as_steps,
            "a warm-up that is a float is a fraction of all steps: multiply it by their number, and round.",
        ),
        (
            _no_rise,
            "there is no warm-up: the first step already uses the full learning rate.",
        ),
        (
            partial(_rates, fall=lambda step, total, w: _cosine(step / total)),
            "the learning rate drops abruptly when the warm-up ends; start the cosine there, not at step 0.",
        ),
        (
            partial(_rates, fall=lambda step, total, w: (total - step) / (total - w)),
            "after the warm-up the learning rate falls linearly; a cosine stays high longer, then falls faster.",
        ),
        (
            partial(_rates, fall=lambda step, total, w: 1),
            "after the warm-up the learning rate stays at its peak; it must fall.",
        ),
        (
            partial(_rates, fall=lambda *steps: 2 * _fallen(*steps)),
            "the factor one half is missing: at the end of the warm-up the cosine is 1, so 1 + 1 is twice the peak.",
        ),
        (
            partial(_rates, fall=lambda step, total, w: _cosine((step - w) / total)),
            "the cosine does not reach 0 at the end: it has total - warmup steps for its fall.",
        ),
        (
            partial(_rates, rise=lambda step, w, peak: peak * step / w),
            "the first step has a learning rate of 0 and is lost: the rise is (step + 1) / warmup.",
        ),
        (
            partial(_rates, fall=lambda step, total, w: _cosine((step - w) / (total - 1 - w))),
            "your cosine reaches 0 in the last step, which is then lost; divide by total - w.",
        ),
        (
            partial(_rates, whole=int),
            "`int` cuts off what is behind the decimal point: 2.8 steps of warm-up are 3. Use `round`.",
        ),
        (
            partial(_rates, whole=math.ceil),
            "you round the steps of the warm-up up: 2.2 steps are 2. Use `round`.",
        ),
        (
            partial(_rates, longer=1),
            "step w belongs to the cosine already, also if w = 0: the warm-up has the steps below w.",
        ),
    ],
    library=[learning_rate],
)


def _network(generator, *between):
    """A small network whose weights are drawn."""
    layers = torch.nn.Sequential(
        torch.nn.Linear(4, 6, bias=False), *between, torch.nn.ReLU(), torch.nn.Linear(6, 3)
    )
    for parameter in layers.parameters():
        parameter.data = normal(generator, *parameter.shape)
    return layers.eval()


def _training(generator, dtype=None):
    """With a batch norm, which behaves differently in training mode."""
    steps = int(generator.integers(5, 8))
    batches = [(normal(generator, 8, 4), labels(generator, 8, 3)) for _ in range(steps)]
    lr, weight_decay = float(generator.uniform(0.02, 0.1)), float(generator.uniform(0.1, 0.5))
    network = _network(generator, torch.nn.BatchNorm1d(6))
    rates = _rates(8 * steps, 8, 1, 2, lr)
    return network, batches, rates, weight_decay, float(generator.uniform(1, 4)), dtype


def _in_16_bits(generator):
    return _training(generator, torch.bfloat16)


def _state(train, model, batches, rates, weight_decay, clip_norm, dtype):
    trained = train(model, batches, rates, weight_decay, clip_norm, dtype)
    weights = trained.state_dict()
    return {
        "weights": {name: tensor.clone() for name, tensor in weights.items()},
        "in training mode": trained.training,
        "the model itself is trained": all(
            torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items()
        ),
    }


def _train(
    model,
    batches,
    rates,
    weight_decay,
    clip_norm,
    dtype=None,
    optimizer=torch.optim.AdamW,
    mode=True,
    zero_grad=True,
    zero_early=False,
    loss_of=F.cross_entropy,
    loss_outside=False,
    clip=None,
    parameters=list,
    anew=False,
):
    model.train(mode)
    clip = clip or torch.nn.utils.clip_grad_norm_
    make = partial(optimizer, weight_decay=weight_decay)
    optimizer = make(parameters(model.parameters()))
    for (inputs, targets), rate in zip(batches, rates, strict=True):
        if anew:
            optimizer = make(parameters(model.parameters()))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            logits = model(inputs)
            loss = loss_of(logits, targets)
        if loss_outside:
            loss = loss_of(logits, targets)
        loss.backward()
        if zero_early:
            optimizer.zero_grad()
        clip(list(model.parameters()), clip_norm)
        optimizer.step()
        if zero_grad:
            optimizer.zero_grad()
    return model.eval()


def _with(**setting):
    """The loop with one of the arguments that it is given replaced."""
    return lambda model, batches, rates, weight_decay, clip_norm, dtype: _train(
        model,
        batches,
        **{
            "rates": rates,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "dtype": dtype,
            **setting,
        },
    )


def _with_rates(change):
    return lambda model, batches, rates, *rest: _train(model, batches, change(rates), *rest)


def _in_16_bits_always(model, batches, rates, weight_decay, clip_norm, dtype):
    return _train(model, batches, rates, weight_decay, clip_norm, dtype or torch.bfloat16)


def _each_alone(parameters, clip_norm):
    for parameter in parameters:
        torch.nn.utils.clip_grad_norm_([parameter], clip_norm)


def _all_pairs(model, batches, rates, *rest):
    """Two nested loops: each batch is trained once at each learning rate."""
    pairs = [(batch, rate) for rate in rates for batch in batches]
    return _train(model, [batch for batch, _ in pairs], [rate for _, rate in pairs], *rest)


loop = Code(
    "4.3",
    _train,
    [_training, _in_16_bits],
    [
        (
            _with(zero_grad=False),
            "gradients add up from step to step: remove the old ones before the next backward pass.",
        ),
        (
            _with(clip_norm=1e9),
            "the gradients are not clipped when the step is taken: clip after backward(), which makes them, and before "
            "optimizer.step(), which uses them.",
        ),
        (
            _with(zero_early=True),
            "you remove the gradients between backward() and step(), so the optimizer has none to use.",
        ),
        (
            _in_16_bits_always,
            "with `None`, torch.autocast takes its own 16-bit type: pass enabled=dtype is not None as well.",
        ),
        (
            _with(loss_outside=True),
            "the loss is computed outside autocast, in 16 bits: it belongs under it, with the model.",
        ),
        (
            _with(clip_norm=1.0),
            "you clip to 1.0, whatever `clip_norm` is.",
        ),
        (
            _with(clip=torch.nn.utils.clip_grad_value_),
            "that clips each number of the gradients by itself; clip_grad_norm_ scales them all together.",
        ),
        (
            _with(clip=_each_alone),
            "you clip each tensor's gradient by itself; the norm is that of all gradients together.",
        ),
        (
            _with(loss_of=lambda logits, targets: F.cross_entropy(logits.softmax(-1), targets)),
            "cross_entropy takes logits: it has a softmax of its own.",
        ),
        (
            _with(anew=True),
            "a new optimizer in each step forgets AdamW's running averages: make it once, before the loop.",
        ),
        (
            _with(parameters=lambda parameters: list(parameters)[-2:]),
            "only the last layer is trained; the optimizer needs all parameters.",
        ),
        (
            _with_rates(lambda rates: rates[:1] * len(rates)),
            "the first learning rate of the list is used in all steps; set that of the step before each.",
        ),
        (
            _with_rates(lambda rates: [1e-3, *rates[:-1]]),
            "the learning rate is set after the step: the first step has AdamW's 0.001, every other one that of the step "
            "before.",
        ),
        (
            _all_pairs,
            "you train each batch once for every learning rate; each batch has one: zip the two lists.",
        ),
        (
            lambda model, *rest: _train(copy.deepcopy(model), *rest),
            "you train a copy: the model that is passed keeps its old weights. Train that one.",
        ),
        (
            _with(optimizer=torch.optim.SGD),
            "that is SGD, whose steps are as long as the gradients; the exercise asks for AdamW.",
        ),
        (
            _with_rates(lambda rates: [max(rates)] * len(rates)),
            "the learning rate is the largest of the list in all steps; set that of the step before each.",
        ),
        (
            _with_rates(lambda rates: [1e-3] * len(rates)),
            "the optimizer uses its own learning rate of 0.001 in all steps; set the one of the list before each.",
        ),
        (
            _with_rates(lambda rates: [*rates[1:], rates[-1]]),
            "the learning rates are one step ahead: the first step has the first of the list.",
        ),
        (
            _with_rates(lambda rates: [rates[0], *rates[:-1]]),
            "the learning rates are one step behind: set the rate before the step, not after it.",
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
            _with(loss_of=partial(F.cross_entropy, reduction="sum")),
            "the loss is a sum over the batch; the clipping then bites far more often. Take the mean.",
        ),
    ],
    library=[fit],
    call=_state,
    may_change=["model"],
    tolerance=1e-3,
    draws=2,
)


def _batches_that_do_not_fit(generator):
    """Two batches, the size of the parts, and a norm that clips; the last part is smaller."""
    size = int(generator.integers(3, 6))
    n = 2 * size + int(generator.integers(1, size))
    batches = [(2 * normal(generator, n, 4), labels(generator, n, 3)) for _ in range(2)]
    return _network(generator), batches, size, float(generator.uniform(0.2, 0.5))


def _large_norm(generator):
    network, batches, size, _ = _batches_that_do_not_fit(generator)
    return network, batches, size, 1e3


def _two_steps(update, model, batches, size, clip_norm):
    """Two steps; the first begins with gradients of a step before."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    seen = []
    hook = model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    losses = [
        float(update(model, optimizer, inputs, targets, size, clip_norm))
        for inputs, targets in batches
    ]
    hook.remove()
    return {
        "losses": losses,
        "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "images of the largest part": max(seen),
    }


def _of_all(part, n, parts, size):
    return part / n


def _total(losses, means):
    return sum(losses)


def _update(
    model,
    optimizer,
    inputs,
    targets,
    size,
    clip_norm,
    weight=_of_all,
    report=_total,
    zero_each=False,
    zero_first=True,
    clip_each=False,
    clip_last=True,
    step_each=False,
    zero_last=False,
    only_full=False,
):
    starts = range(0, len(inputs), size)
    starts = starts[: len(inputs) // size] if only_full else starts
    means, losses = [], []
    if zero_first:
        optimizer.zero_grad()
    for start in starts:
        if zero_each:
            optimizer.zero_grad()
        x, y = inputs[start : start + size], targets[start : start + size]
        mean = F.cross_entropy(model(x), y)
        loss = weight(len(x), len(inputs), len(starts), size) * mean
        loss.backward()
        means.append(mean.item())
        losses.append(loss.item())
        if clip_each:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        if step_each:
            optimizer.step()
    if clip_last:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    if not step_each:
        optimizer.step()
    if zero_last:
        optimizer.zero_grad()
    return report(losses, means)


def _faulty(model, optimizer, inputs, labels, size, clip_norm):
    starts = range(0, len(inputs), size)
    for start in starts:
        optimizer.zero_grad()
        x, y = inputs[start : start + size], labels[start : start + size]
        loss = F.cross_entropy(model(x), y) / len(starts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.item()


_FAULTS = [
    (
        {"zero_each": True},
        "the gradient of each part removes that of the parts before: remove old gradients once, before the "
        "first part.",
    ),
    (
        {"zero_first": False},
        "the gradients of the step before are still there: remove them before the first part.",
    ),
    (
        {"zero_first": False, "zero_last": True},
        "you remove the gradients after the step only. Before the first part, those of an earlier step may still be "
        "there: remove them then.",
    ),
    (
        {"weight": lambda part, n, parts, size: 1 / parts},
        "all parts count the same, but the last one has fewer images: weigh each mean by its images over those of "
        "the batch.",
    ),
    (
        {"weight": lambda part, n, parts, size: size / n},
        "the last part counts as if it were a full one: weigh it by the images that it has.",
    ),
    (
        {"weight": lambda part, n, parts, size: 1},
        "you add the mean losses of the parts, so the gradient is as many times too long as there are parts.",
    ),
    (
        {"weight": lambda part, n, parts, size: part},
        "you add the losses of all images and do not divide by their number in the batch.",
    ),
    (
        {"clip_each": True},
        "you clip after each part. The norm to be clipped is that of the whole gradient: clip once, before the step.",
    ),
    (
        {"clip_last": False},
        "the gradient is not clipped, or only after the step.",
    ),
    (
        {"report": lambda losses, means: losses[-1]},
        "you return what the last part adds to the loss; return the loss of the whole batch, the sum over the parts.",
    ),
    (
        {"report": lambda losses, means: means[-1]},
        "you return the mean loss of the last part; return that of the whole batch.",
    ),
    (
        {"report": lambda losses, means: sum(means)},
        "you return the sum of the parts' mean losses; the mean of the batch weighs each by its images.",
    ),
    (
        {"report": lambda losses, means: sum(means) / len(means)},
        "you return the mean of the parts' mean losses; the last part has fewer images and counts less.",
    ),
    (
        {"report": lambda losses, means: sum(losses) / len(losses)},
        "you divide the returned loss by the number of parts, though each part is weighed already.",
    ),
    (
        {"step_each": True},
        "`optimizer.step()` is in the loop: the parts belong to one step.",
    ),
]

update = Code(
    "4.4",
    _update,
    [_batches_that_do_not_fit, _large_norm],
    [
        (
            partial(_update, step_each=True, clip_each=True),
            "you clip and take a step after each part; the parts belong to one step.",
        ),
        (
            partial(_update, step_each=True, clip_each=True, zero_each=True),
            "each part takes a step of its own; the parts belong to one step.",
        ),
        (
            partial(_update, only_full=True),
            "the images of the last, smaller part are left out.",
        ),
        (
            lambda model, optimizer, inputs, targets, size, clip_norm: _update(
                model, optimizer, inputs, targets, len(inputs), clip_norm
            ),
            "the whole batch goes through the model at once, and needs the memory that it was to save.",
        ),
    ],
    faults=_FAULTS,
    starter=_faulty,
    call=_two_steps,
    may_change=["model"],
    draws=3,
)


def _part(name):
    return name.split(".")[0]


def _weights(generator, dtype=torch.float32, scale=1.0):
    """Two state dicts with parts of unequal size, whose tensors are mixed up."""
    shapes = {"body.0.weight": (3, 2), "head.weight": (2, 3), "body.0.bias": (3,), "stem": (4,)}
    shapes |= {"head.bias": (2,), "body.1.weight": (5,)}
    before = {name: scale * normal(generator, *shape) for name, shape in shapes.items()}
    moved = {
        name: tensor
        + scale * float(generator.uniform(0.05, 0.4)) * normal(generator, *shapes[name])
        for name, tensor in before.items()
    }
    return tuple({n: w.to(dtype) for n, w in theta.items()} for theta in (before, moved))


def _half_precision(generator):
    return _weights(generator, torch.float16, 300.0)


def _by_part(moved, before, after):
    return moved(before, after, _part)


def _moved(
    before,
    after,
    part_of,
    old=lambda before, after: before,
    one=None,
    root=0.5,
    convert=torch.Tensor.double,
    scale=1,
):
    squares, sizes = {}, {}
    for name in before:
        part = part_of(name)
        a, b = convert(before[name]), convert(after[name])
        squares[part] = squares.get(part, 0.0) + float((b - a).square().sum())
        sizes[part] = sizes.get(part, 0.0) + float(old(a, b).square().sum())
    return {
        part: scale * (squares[part] / (sizes[part] if one is None else one)) ** root
        for part in sizes
    }


def _mean_of_tensors(before, after, part_of):
    found = {}
    for name in before:
        a, b = before[name].double(), after[name].double()
        found.setdefault(part_of(name), []).append(float((b - a).norm() / a.norm()))
    return {part: sum(values) / len(values) for part, values in found.items()}


def _last_tensor(before, after, part_of):
    return {
        part_of(name): float((after[name].double() - a.double()).norm() / a.double().norm())
        for name, a in before.items()
    }


def _sum_of_norms(before, after, part_of):
    far, size = {}, {}
    for name in before:
        part, a, b = part_of(name), before[name].double(), after[name].double()
        far[part] = far.get(part, 0.0) + float((b - a).norm())
        size[part] = size.get(part, 0.0) + float(a.norm())
    return {part: far[part] / size[part] for part in far}


moved = Code(
    "4.5",
    _moved,
    [_weights, _half_precision],
    [
        (
            partial(_moved, one=1.0),
            "that is the distance itself; divide by the length of the part before training.",
        ),
        (
            partial(_moved, root=1),
            "those are squares: take the root of their ratio.",
        ),
        (
            partial(_moved, old=lambda a, b: b),
            "you divide by the length after training; the start is the yardstick.",
        ),
        (
            _mean_of_tensors,
            "you average over the tensors of a part. Put all their weights together: add squares, then take one root.",
        ),
        (
            _sum_of_norms,
            "lengths do not add up, their squares do: add squares, then take one root.",
        ),
        (
            _last_tensor,
            "each tensor overwrites those of its part that came before: add up their squares.",
        ),
        (
            partial(_moved, convert=lambda tensor: tensor),
            "you square 16-bit floats: the squares overflow to infinity, and what is divided by it is 0. Convert both "
            "tensors first, with .double().",
        ),
        (partial(_moved, scale=100), "those are percentages; the relative distance is a fraction."),
    ],
    library=[distance, relative_distance],
    call=_by_part,
    tolerance=1e-3,
)


def _other_tasks(generator):
    """Two encoders that mostly agree, and tasks of unequal size; on some the second is better."""
    weight = normal(generator, 5, 8)
    noise = 0.5 * normal(generator, 5, 8)

    def before(images):
        return F.normalize(images @ weight, dim=-1)

    def after(images):
        return F.normalize(images @ (weight + noise), dim=-1)

    tasks = {}
    for name, n, better in zip(
        names(generator, 3), (40, 25, 30), generator.permutation([0, 0, 1]), strict=True
    ):
        images, head = normal(generator, n, 5), 20 * unit(generator, 4, 8)
        likely = ((after if better else before)(images) @ head.T).argmax(-1)
        right = torch.as_tensor(generator.random(n)) < 0.8
        tasks[name] = (images, torch.where(right, likely, labels(generator, n, 4)), head)
    return before, after, tasks


def _changes(before, after, images, labels, head):
    old, new = (((encode(images) @ head.T).argmax(-1) == labels) for encode in (before, after))
    return old.double(), new.double()


def _paired(old, new):
    change = old - new
    return float(change.mean()), 1.96 * float(change.std()) / len(change) ** 0.5


def _forgotten(before, after, tasks, interval=_paired, scale=100):
    found = {}
    for name, task in tasks.items():
        lost, half = interval(*_changes(before, after, *task))
        found[name] = (scale * lost, scale * half)
    return found


def _as_two_samples(old, new):
    n = len(old)
    spread = (old.var() + new.var()) / n
    return _paired(old, new)[0], 1.96 * float(spread) ** 0.5


def _with_loss(change):
    """The loss changed, the interval as it is."""

    def interval(old, new):
        lost, half = _paired(old, new)
        return change(old, new, lost), half

    return interval


forgotten = Code(
    "4.6",
    _forgotten,
    [_other_tasks],
    [
        (
            partial(_forgotten, interval=_with_loss(lambda old, new, lost: -lost)),
            "the sign is reversed: forgetting is what was lost, before minus after.",
        ),
        (
            partial(_forgotten, scale=1),
            "those are fractions; the book states losses in points.",
        ),
        (
            partial(_forgotten, interval=_with_loss(lambda old, new, lost: abs(lost))),
            "a task that gains has a negative loss: take no absolute value.",
        ),
        (
            partial(
                _forgotten,
                interval=_with_loss(lambda old, new, lost: lost / float(old.mean())),
            ),
            "you divide by the accuracy before; the book states losses in points.",
        ),
        (
            partial(_forgotten, interval=_as_two_samples),
            "you treat the two accuracies as if they came from different images. Both models see the same ones: take the "
            "difference image by image, then its standard error.",
        ),
        (
            partial(
                _forgotten,
                interval=lambda old, new: (
                    _paired(old, new)[0],
                    _paired(old, new)[1] * len(old) ** 0.5,
                ),
            ),
            "that is the spread of single images; the error of their mean is smaller by the root of their number.",
        ),
        (
            partial(
                _forgotten,
                interval=lambda old, new: (_paired(old, new)[0], _paired(old, new)[1] / 1.96),
            ),
            "that is one standard error; the interval of 95 % reaches 1.96 of them to either side.",
        ),
    ],
)

ALL = [copied, rates, loop, update, moved, forgotten]
