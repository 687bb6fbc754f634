"""Exercises of chapter 15, The line and its descendants."""

from __future__ import annotations

import itertools
from functools import partial

import torch
import torch.nn.functional as F
from torch.func import functional_call

from wiseft_lite.book.checks import Choice, Code
from wiseft_lite.book.checks.draw import labels, normal
from wiseft_lite.finetuning.flyp import class_contrastive_loss, published_loss
from wiseft_lite.losses import contrastive_loss
from wiseft_lite.merging.arithmetic import dare, model_stock, stock_ratios, ties
from wiseft_lite.merging.fisher import diagonal_fisher, fisher_average

_SHAPES = {"w": (2, 2), "b": (3,)}


def _state_dict(generator):
    return {name: normal(generator, *shape) for name, shape in _SHAPES.items()}


def _networks(generator):
    """A network, models of it, images, labels for each model, and a floor that some Fishers reach."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    thetas = [
        {name: normal(generator, *tensor.shape) for name, tensor in network.state_dict().items()}
        for _ in range(int(generator.integers(2, 4)))
    ]
    network.load_state_dict({name: normal(generator, *t.shape) for name, t in thetas[0].items()})
    n = int(generator.integers(4, 7))
    drawn = [labels(generator, n, 3) for _ in thetas]
    return network, thetas, normal(generator, n, 3), drawn, float(generator.uniform(0.02, 0.06))


def _gradients(network, theta, images, labels):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in theta.items()}
    loss = F.cross_entropy(functional_call(network, leaves, (images,)), labels)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def _fisher(network, theta, images, labels, power=2):
    """The mean over images of each gradient's square, or of another power of its magnitude."""
    each = [
        _gradients(network, theta, image[None], label[None])
        for image, label in zip(images, labels, strict=True)
    ]
    return {name: sum(g[name].abs() ** power for g in each) / len(images) for name in theta}


def _fisher_of_the_batch(network, theta, images, labels):
    gradients = _gradients(network, theta, images, labels)
    return {name: gradient.square() for name, gradient in gradients.items()}


def _summed_fisher(network, theta, images, labels):
    fisher = _fisher(network, theta, images, labels)
    return {name: len(images) * f for name, f in fisher.items()}


def _clamped(fisher, floor):
    return fisher.clamp(min=floor)


def _fraction(above, below, k):
    return above / below


def _merged(
    network, thetas, images, labels, floor, fisher=_fisher, floored=_clamped, divided=_fraction
):
    fishers = [
        {name: floored(f, floor) for name, f in fisher(network, theta, images, own).items()}
        for theta, own in zip(thetas, labels, strict=True)
    ]
    merged = {}
    for name in thetas[0]:
        above = sum(f[name] * t[name] for t, f in zip(thetas, fishers, strict=True))
        merged[name] = divided(above, sum(f[name] for f in fishers), len(thetas))
    return merged


def _merged_with(**setting):
    return lambda *inputs: _merged(*inputs, **setting)


def _at_the_networks_own(network, theta, images, labels):
    return _fisher(network, network.state_dict(), images, labels)


fisher = Code(
    "15.1",
    _merged,
    [_networks],
    [
        (
            _merged_with(divided=lambda above, below, k: above / k),
            "you divide by the number of models; the weights are the Fishers, so divide by their sum.",
        ),
        (
            _merged_with(divided=lambda above, below, k: above),
            "that is the numerator alone; divide it by the sum of the Fishers.",
        ),
        (
            _merged_with(fisher=_fisher_of_the_batch),
            "you square the gradient of the mean loss, in which gradients of different images cancel; square the "
            "gradient of each image, then take the mean.",
        ),
        (
            _merged_with(fisher=partial(_fisher, power=1)),
            "the Fisher is a mean of *squared* gradients; yours is one of their magnitudes.",
        ),
        (
            _merged_with(fisher=_summed_fisher),
            "the Fisher is a mean over the images, and yours a sum: the floor then holds for fewer weights.",
        ),
        (
            _merged_with(floored=lambda f, floor: f.mean().clamp(min=floor) * torch.ones_like(f)),
            "one weight for a whole tensor is not enough: each entry has a Fisher of its own.",
        ),
        (
            _merged_with(floored=lambda f, floor: torch.ones_like(f)),
            "your answer is the plain mean: the Fishers are not used.",
        ),
        (
            _merged_with(floored=lambda f, floor: 1 / f.clamp(min=floor)),
            "the weighting is inverted: a *large* Fisher means that the predictions depend on this weight, so it must "
            "count more.",
        ),
        (
            _merged_with(floored=lambda f, floor: f),
            "the floor is missing: a weight that no prediction depends on would be 0 / 0.",
        ),
        (
            _merged_with(floored=lambda f, floor: f + floor),
            "you add the floor to each Fisher; it replaces those that are smaller.",
        ),
        (
            _merged_with(fisher=_at_the_networks_own),
            "you take the Fisher of the network's own weights for all models; take it at the weights of each.",
        ),
        (
            lambda network, thetas, images, labels, floor: _merged(
                network, thetas, images, [labels[0]] * len(thetas), floor
            ),
            "you use the labels of the first model for all; each model has its own.",
        ),
    ],
    library=[fisher_average, diagonal_fisher],
    draws=3,
)


def _runs(generator):
    """A start, runs from it, and the fraction of entries to keep."""
    zero = _state_dict(generator)
    thetas = [
        {name: tensor + normal(generator, *tensor.shape) for name, tensor in zero.items()}
        for _ in range(int(generator.integers(2, 5)))
    ]
    return zero, thetas, (int(generator.integers(2, 6)) + float(generator.choice([-0.2, 0.2]))) / 7


def _runs_with_ties(generator):
    """Moves of a few sizes, so that entries tie at the threshold, and some sums are exactly 0."""
    zero, thetas, density = _runs(generator)
    zero = {name: tensor.round() for name, tensor in zero.items()}
    moved = [
        {
            name: tensor + torch.as_tensor(generator.integers(-2, 3, tensor.shape)) / 4
            for name, tensor in zero.items()
        }
        for _ in thetas
    ]
    return zero, moved, density


def _moves(theta_0, theta):
    return torch.cat([(theta[name] - theta_0[name]).flatten() for name in theta_0])


def _trimmed(tau, density, whole=round):
    """Keep entries whose magnitude is at least the k-th largest."""
    least = tau.abs().sort(descending=True).values[whole(density * len(tau)) - 1]
    return tau * (tau.abs() >= least)


def _trimmed_to_exactly_k(tau, density):
    kept = tau.abs().sort(descending=True, stable=True).indices[: round(density * len(tau))]
    return tau * torch.zeros(len(tau)).scatter(0, kept, 1)


def _trimmed_by_value(tau, density):
    return tau * (tau >= tau.sort(descending=True).values[round(density * len(tau)) - 1])


def _smallest_kept(tau, density):
    return tau * (tau.abs() <= tau.abs().sort().values[round(density * len(tau)) - 1])


def _trimmed_by_tensor(tau, density):
    parts = tau.split([torch.Size(shape).numel() for shape in _SHAPES.values()])
    return torch.cat(
        [_trimmed(part, density) if round(density * len(part)) else 0 * part for part in parts]
    )


def _elected(taus, trimmed):
    return sum(trimmed).sign()


def _mean_of_those_that_agree(taus, sign):
    agree = [tau * (tau.sign() == sign) for tau in taus]
    return sum(agree) / sum((tau != 0).int() for tau in agree).clamp(min=1)


def _ties(
    theta_0,
    thetas,
    density,
    trim=_trimmed,
    elect=_elected,
    merge=_mean_of_those_that_agree,
    start=1,
):
    taus = [_moves(theta_0, theta) for theta in thetas]
    trimmed = [trim(tau, density) for tau in taus]
    moves = merge(trimmed, elect(taus, trimmed))
    parts = moves.split([tensor.numel() for tensor in theta_0.values()])
    return {
        name: start * tensor + part.view_as(tensor)
        for (name, tensor), part in zip(theta_0.items(), parts, strict=True)
    }


def _ties_with(**setting):
    return lambda *inputs: _ties(*inputs, **setting)


merge_by_sign = Code(
    "15.2",
    _ties,
    [_runs, _runs_with_ties],
    [
        (
            _ties_with(trim=lambda tau, density: tau),
            "nothing was trimmed: only the largest entries of each task vector take part.",
        ),
        (
            _ties_with(trim=_trimmed_by_tensor),
            "you trim each tensor by itself; the largest entries are those of the whole model.",
        ),
        (
            _ties_with(trim=_trimmed_by_value),
            "you trim by value, so large moves downwards are lost; their magnitude decides.",
        ),
        (_ties_with(trim=_smallest_kept), "you keep the smallest entries; keep the largest."),
        (
            _ties_with(trim=partial(_trimmed, whole=int)),
            "`int` cuts off what is behind the decimal point, so an entry too few is kept: use `round`.",
        ),
        (
            _ties_with(trim=_trimmed_to_exactly_k),
            "of entries that tie at the threshold you keep some; here all of them stay.",
        ),
        (
            _ties_with(elect=lambda taus, trimmed: sum(tau.sign() for tau in trimmed).sign()),
            "you count models for each sign; the sign is that of the sum, in which a large move counts more.",
        ),
        (
            _ties_with(elect=lambda taus, trimmed: sum(taus).sign()),
            "you elect the signs before the trimming; trim first.",
        ),
        (
            _ties_with(merge=lambda taus, sign: sum(taus) / len(taus)),
            "that is the plain mean of what is left. Where two moves disagree, TIES keeps only one sign.",
        ),
        (
            _ties_with(
                merge=lambda taus, sign: sum(t * (t.sign() == sign) for t in taus) / len(taus)
            ),
            "divide by the number of moves that agree, not by the number of models.",
        ),
        (
            _ties_with(merge=lambda taus, sign: sum(t * (t.sign() == sign) for t in taus)),
            "that is the sum of the moves that agree; take their mean.",
        ),
        (_ties_with(start=0), "those are the moves alone; add them to theta_0."),
    ],
    library=[ties],
    draws=6,
)


def _dropped(generator):
    """Two models, a fraction that is dropped, and masks of what is kept."""
    kept = {n: torch.as_tensor(generator.random(shape) < 0.5) for n, shape in _SHAPES.items()}
    drop = float(generator.choice([0.2, 0.4, 0.7, 0.75, 0.9]))
    return _state_dict(generator), _state_dict(generator), drop, kept


def _drop_then_scale(times):
    """DARE with ``times(drop)`` in front of what is kept."""
    return lambda theta_0, theta_1, drop, kept: {
        name: theta_0[name] + kept[name] * (theta_1[name] - theta_0[name]) * times(drop)
        for name in theta_0
    }


def _too_short(theta_0, theta_1, drop, kept):
    return {name: theta_0[name] + kept[name] * (theta_1[name] - theta_0[name]) for name in theta_0}


_thinned = _drop_then_scale(lambda drop: 1 / (1 - drop))

thinned = Code(
    "15.3",
    _thinned,
    [_dropped],
    [
        (
            _too_short,
            "the change is too short: when a fraction of it is dropped, scale up the rest.",
        ),
        (
            _drop_then_scale(lambda drop: 1 - drop),
            "you make the rest still shorter; divide by 1 - drop where you multiply.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: kept[name] * theta_1[name] / (1 - drop) for name in theta_0
            },
            "the *change* is thinned, not the weights: a dropped entry goes back to theta_0, not to 0.",
        ),
        (
            _drop_then_scale(lambda drop: 1 / drop),
            "drop is the fraction that is lost. Divide by the fraction that is kept.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: _thinned(
                theta_0, theta_1, drop, {name: ~mask for name, mask in kept.items()}
            ),
            "the mask is True where an entry *survives*; you keep the others.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: kept[name] * (theta_1[name] - theta_0[name]) / (1 - drop) for name in theta_0
            },
            "that is the thinned change alone; add it to theta_0.",
        ),
        (
            lambda theta_0, theta_1, drop, kept: {
                name: _too_short(theta_0, theta_1, drop, kept)[name] / (1 - drop)
                for name in theta_0
            },
            "you scale the start too; only the change is divided.",
        ),
    ],
    starter=_too_short,
    library=[dare],
)


def _related_runs(generator):
    """A start and runs that agree in part; in a few tensors they point apart."""
    shapes = {"a": (3, 4), "b": (6,), "c": (2, 2, 3)}
    zero = {name: normal(generator, *shape) for name, shape in shapes.items()}
    task = {name: normal(generator, *shape) for name, shape in shapes.items()}
    n, apart = int(generator.integers(2, 5)), str(generator.choice(list(shapes)))
    thetas = []
    for k in range(n):
        sign = {name: -1 if name == apart and k == 0 else 1 for name in shapes}
        thetas.append(
            {
                name: zero[name] + sign[name] * task[name] + 0.6 * normal(generator, *shape)
                for name, shape in shapes.items()
            }
        )
    return zero, thetas


def _two_opposed(generator):
    """Two runs whose task vectors point in opposite directions in one tensor."""
    zero, thetas = _related_runs(generator)
    first = thetas[0]
    against = normal(generator, 6) * 0.3 - (first["b"] - zero["b"])
    return zero, [first, {**thetas[1], "b": zero["b"] + against}]


def _cosine(a, b):
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0)


def _ratio(c, n):
    c = max(c, 0)
    return n * c / (1 + (n - 1) * c)


def _mean_cosine(moves):
    return sum(_cosine(a, b) for a, b in itertools.combinations(moves, 2)) / (
        len(moves) * (len(moves) - 1) / 2
    )


def _stock(theta_0, thetas, cosine=_mean_cosine, ratio=_ratio, of_moves=True):
    merged = {}
    for name, start in theta_0.items():
        moves = [theta[name] - start for theta in thetas]
        tensors = moves if of_moves else [theta[name] for theta in thetas]
        t = ratio(float(cosine(tensors)), len(thetas))
        merged[name] = start + t * sum(moves) / len(moves)
    return merged


def _stock_with(**setting):
    return lambda *inputs: _stock(*inputs, **setting)


def _one_ratio(theta_0, thetas):
    c = _mean_cosine([_moves(theta_0, theta) for theta in thetas])
    return _stock(theta_0, thetas, cosine=lambda moves: c)


stock = Code(
    "15.4",
    _stock,
    [_related_runs, _two_opposed],
    [
        (
            _stock_with(ratio=lambda c, n: _ratio(c, 2)),
            "2c / (1 + c) is for two runs; with N of them it is N c / (1 + (N - 1) c).",
        ),
        (
            _stock_with(ratio=lambda c, n: n * c / (1 + (n - 1) * c)),
            "a negative cosine makes a step away from the runs, or a very long one; count it as 0.",
        ),
        (
            _stock_with(ratio=lambda c, n: max(c, 0)),
            "the fraction is not the cosine itself; put it into the formula.",
        ),
        (
            _stock_with(ratio=lambda c, n: 1),
            "that is the plain mean of the runs; go only a fraction t of the way to it.",
        ),
        (
            _stock_with(ratio=lambda c, n: 1 - _ratio(c, n)),
            "the ends are swapped: runs that agree go all the way to their mean, not back to theta_0.",
        ),
        (_one_ratio, "you take one angle over the whole model; each tensor has its own."),
        (
            _stock_with(of_moves=False),
            "that is the cosine of the weights; the angle is between the task vectors, theta_i - theta_0.",
        ),
        (
            _stock_with(cosine=lambda moves: _cosine(moves[0], moves[1])),
            "you use the first two runs alone; take the mean of the cosines of all pairs.",
        ),
        (
            lambda theta_0, thetas: {
                name: tensor - theta_0[name] for name, tensor in _stock(theta_0, thetas).items()
            },
            "that is the way from theta_0 alone; add it to theta_0.",
        ),
    ],
    library=[model_stock, stock_ratios],
    draws=6,
)

temperature = Choice(
    "15.5",
    "B",
    {
        "A": "no label was used, true, but the images were. A number was fitted to the very set that is then scored.",
        "C": "an entropy does depend on the temperature: dividing logits makes a model less sure, which changes its mixing weight.",
        "D": "what DaWin computes for an image needs that image alone. The problem is a number that depends on all of them.",
    },
)


class _TinyClip(torch.nn.Module):
    """Two small encoders and the logarithm of a scale."""

    def __init__(self, generator):
        super().__init__()
        self.image = torch.nn.Linear(5, 4)
        self.word = torch.nn.Embedding(9, 6)
        self.text = torch.nn.Linear(6, 4)
        for parameter in self.parameters():
            parameter.data = normal(generator, *parameter.shape)
        self.logit_scale = torch.nn.Parameter(torch.tensor(float(generator.uniform(1.2, 1.8))))

    def encode_image(self, images):
        return self.image(images)

    def encode_text(self, tokens):
        return self.text(self.word(tokens).mean(1).tanh())


def _batch(generator, shared):
    """A batch in which classes repeat, with captions that vary within a class."""
    own = labels(generator, 8, 4)
    own[1], own[2], own[3] = own[0], (own[0] + 1) % 4, (own[0] + 1) % 4
    captions = torch.as_tensor(generator.integers(4, 9, size=(8, 3)))
    captions[:, 0] = own
    lr = float(generator.uniform(0.03, 0.06))
    return _TinyClip(generator), normal(generator, 8, 5), captions, own, lr, shared


def _published(generator):
    return _batch(generator, False)


def _shared(generator):
    return _batch(generator, True)


def _two_steps(flyp_step, model, images, tokens, labels, lr, shared):
    """Two steps on one batch: what the first leaves behind must not disturb the second."""
    batch = images.clone(), tokens.clone(), labels.clone()
    losses = [
        float(flyp_step(model, *inputs, lr, shared)) for inputs in ((images, tokens, labels), batch)
    ]
    return {"losses": losses, "weights": {n: t.clone() for n, t in model.state_dict().items()}}


def _positives(labels, shared):
    if not shared:
        return torch.eye(len(labels))
    same = (labels[:, None] == labels[None, :]).float()
    return same / same.sum(1, keepdim=True)


def _unit(embeddings):
    return F.normalize(embeddings, dim=-1)


def _both_ways(logits, targets):
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def _flyp(
    model,
    images,
    tokens,
    labels,
    lr,
    shared,
    unit=_unit,
    scale=torch.exp,
    loss_of=_both_ways,
    positives=_positives,
    frozen=(),
    zero_grad=True,
):
    logits = unit(model.encode_image(images)) @ unit(model.encode_text(tokens)).T
    loss = loss_of(scale(model.logit_scale) * logits, positives(labels, shared))
    if zero_grad:
        model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not name.startswith(tuple(frozen)):
                parameter -= lr * parameter.grad
    return loss.item()


def _flyp_with(**setting):
    return lambda *inputs: _flyp(*inputs, **setting)


flyp_step = Code(
    "15.6",
    _flyp,
    [_published, _shared],
    [
        (
            _flyp_with(loss_of=F.cross_entropy),
            "that is one direction; each caption must also find its image: the mean of both.",
        ),
        (
            _flyp_with(loss_of=lambda logits, targets: F.cross_entropy(logits.T, targets)),
            "that is the direction from captions to images alone; take the mean of both.",
        ),
        (
            _flyp_with(loss_of=lambda logits, targets: 2 * _both_ways(logits, targets)),
            "that is the sum of the two directions; take their mean.",
        ),
        (
            _flyp_with(unit=lambda embeddings: embeddings),
            "the embeddings do not have length 1, so their product is no cosine: normalise both.",
        ),
        (
            _flyp_with(scale=lambda log: log),
            "logit_scale is a logarithm: the scale is its exponential.",
        ),
        (
            _flyp_with(scale=lambda log: log.exp().detach()),
            "the scale is a weight too, and must be trained with the encoders.",
        ),
        (
            _flyp_with(scale=lambda log: 1),
            "the scale is missing: cosines lie between -1 and 1, and a softmax of them is nearly flat.",
        ),
        (
            _flyp_with(frozen=("word", "text")),
            "the text encoder has not moved, and with it stands the head that it writes: its embeddings were computed "
            "without a gradient, or the optimizer does not know it.",
        ),
        (
            _flyp_with(frozen=("image",)),
            "the image encoder has not moved: its embeddings were computed without a gradient, or the optimizer does "
            "not know it.",
        ),
        (
            _flyp_with(positives=lambda labels, shared: _positives(labels, False)),
            "with shared, every caption of an image's class is right, not its own alone.",
        ),
        (
            _flyp_with(positives=lambda labels, shared: _positives(labels, True)),
            "without shared, an image has one right caption, its own, as in the published loss.",
        ),
        (
            _flyp_with(
                positives=lambda labels, shared: (
                    (labels[:, None] == labels).float() if shared else torch.eye(len(labels))
                )
            ),
            "each row of the targets must sum to 1: an image with two right captions gives each a half.",
        ),
        (
            _flyp_with(zero_grad=False),
            "in a second step the gradients of the first are still there: remove them before backward().",
        ),
    ],
    library=[published_loss, class_contrastive_loss, contrastive_loss],
    call=_two_steps,
    may_change=["model"],
    tolerance=1e-3,
    draws=3,
)

ALL = [fisher, merge_by_sign, thinned, stock, temperature, flyp_step]
