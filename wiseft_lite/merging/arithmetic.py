"""Merge a zero-shot model with models fine-tuned from it: task vectors, TIES, DARE, Model Stock, LiNeS.

Each function takes state dicts and returns a new one. PAINT (Ilharco et al. 2022) is
``interpolate`` after fine-tuning with
``freeze(classifier, lambda name: not name.startswith("head."))``.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.weights import Weights, average, check_alike, difference, interpolate

_BLOCK = re.compile(r"\.resblocks\.(\d+)\.")


def layerwise(
    theta_0: Weights, theta_1: Weights, alpha: Callable[[str], float]
) -> dict[str, Tensor]:
    """Interpolate with an alpha for each tensor.

    ``theta_l = (1 - alpha_l) theta_0,l + alpha_l theta_1,l``

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.
        alpha: given a tensor's name such as ``"head.weight"``, its mixing coefficient.

    Raises:
        UserError: the keys or shapes of the two differ, or an alpha is not finite.

    Source: the line of Wortsman et al. 2022, equation 1, is the case of one alpha for all names.

    Example:
        >>> zero, one = {"a": torch.zeros(1), "b": torch.zeros(1)}, {"a": torch.ones(1), "b": torch.ones(1)}
        >>> layerwise(zero, one, {"a": 0.25, "b": 1.0}.get)
        {'a': tensor([0.2500]), 'b': tensor([1.])}
    """
    check_alike([theta_0, theta_1])
    return {
        key: interpolate({key: theta_0[key]}, {key: theta_1[key]}, alpha(key))[key]
        for key in theta_0
    }


def lines(theta_0: Weights, theta_1: Weights, first: float, last: float) -> dict[str, Tensor]:
    """Merge by LiNeS: alpha grows linearly with depth, so early layers stay near zero-shot.

    ``alpha_l = first + (last - first) l / (L - 1)`` in block ``l = 0 ... L - 1`` of the encoder's
    transformer. As in the authors' code all tensors outside the blocks get ``first``, except that
    the head, the deepest layer, which they freeze, gets ``last``.

    Args:
        theta_0: state dict of the zero-shot classifier.
        theta_1: state dict of the fine-tuned classifier.
        first: alpha of the first block.
        last: alpha of the last block and of the head.

    Raises:
        UserError: the keys or shapes of the two differ, or the model has fewer than two blocks.

    Source: Wang et al. 2025, "LiNeS: post-training layer scaling prevents forgetting and enhances
    model merging", whose ``alpha + beta (l - 1) / (L - 1)`` counts blocks from 1.

    Example:
        >>> names = [f"encoder.transformer.resblocks.{l}.w" for l in range(3)]
        >>> zero, one = {n: torch.zeros(1) for n in names}, {n: torch.ones(1) for n in names}
        >>> [mixed.item() for mixed in lines(zero, one, 0.5, 1.0).values()]
        [0.5, 0.75, 1.0]
    """
    blocks = {name: int(match[1]) for name in theta_0 if (match := _BLOCK.search(name))}
    deepest = max(blocks.values(), default=0)
    if deepest < 1:
        raise UserError(
            "LiNeS needs a transformer with at least two blocks (names with .resblocks.0. and so on); "
            "use interpolate or layerwise"
        )

    def alpha(name: str) -> float:
        depth = blocks[name] / deepest if name in blocks else float(name.startswith("head."))
        return (1 - depth) * first + depth * last

    return layerwise(theta_0, theta_1, alpha)


def task_arithmetic(
    theta_0: Weights, thetas: Sequence[Weights], scales: Sequence[float]
) -> dict[str, Tensor]:
    """Add scaled task vectors to the zero-shot model: ``theta_0 + sum_t scale_t (theta_t - theta_0)``.

    It is a weighted mean in which ``theta_0`` has the weight ``1 - sum_t scale_t``. With one model
    it is WiSE-FT's line; a negative scale forgets a task; scales (1, 1, -1) are task analogies.

    Args:
        theta_0: state dict that all models were fine-tuned from.
        thetas: fine-tuned state dicts.
        scales: one number per model.

    Raises:
        UserError: the numbers of models and scales, or the models' keys or shapes, differ.

    Source: Ilharco et al. 2023, "Editing models with task arithmetic", section 2.

    Example:
        >>> zero, a, b = ({"w": torch.tensor([x])} for x in (1.0, 3.0, 0.0))
        >>> task_arithmetic(zero, [a, b], [0.5, 1.0])
        {'w': tensor([1.])}
    """
    if len(scales) != len(thetas):
        raise UserError(
            f"{len(thetas)} fine-tuned models but {len(scales)} scales; give one scale per model"
        )
    return average([theta_0, *thetas], [1 - math.fsum(scales), *scales])


def _add_scaled(theta_0: Weights, delta: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """``theta_0 + scale * delta`` in the types of ``theta_0``; ``delta`` as from ``difference``."""
    return {
        key: (t + scale * delta[key]).to(t.dtype) if key in delta else t.clone()
        for key, t in theta_0.items()
    }


def ties(
    theta_0: Weights, thetas: Sequence[Weights], density: float = 0.2, scale: float = 1.0
) -> dict[str, Tensor]:
    """Merge by TIES: trim each task vector, elect a sign per weight, average the agreeing entries.

    ``tau_t`` keeps the ``density`` of its entries that are largest in magnitude, over the whole
    model; ``gamma = sign(sum_t tau_t)``; ``theta = theta_0 + scale * mean of the tau_t != 0 with
    sign gamma``. A weight whose sum is exactly 0 keeps its zero-shot value.

    Of ``n`` entries those are kept whose magnitude is at least the ``k``-th largest, with
    ``k = max(1, round(density * n))``. Entries tied at this threshold are all kept, so the result
    does not depend on how a sort breaks ties.

    Args:
        theta_0: state dict that all models were fine-tuned from.
        thetas: fine-tuned state dicts.
        density: fraction of entries to keep, above 0 and at most 1; the paper keeps 20 %.
        scale: lambda of the paper.

    Raises:
        UserError: no models, differing keys or shapes, or a density outside 0..1.

    Source: Yadav et al. 2023, "TIES-Merging", algorithm 1, which leaves ties open. The authors'
    code keeps all entries at the threshold too, and sets it at the entry of rank
    ``int(density * n) + 1``.

    Example:
        >>> zero, a, b = ({"w": torch.tensor(x)} for x in ([0.0, 0.0, 0.0], [4.0, 3.0, 1.0], [2.0, -5.0, 1.0]))
        >>> ties(zero, [a, b], density=2 / 3)
        {'w': tensor([ 3., -5.,  0.])}
    """
    if not thetas or not 0 < density <= 1:
        raise UserError(
            f"TIES got {len(thetas)} models and density {density}; give at least one model, and a density "
            "above 0 and at most 1"
        )
    deltas = [difference(theta, theta_0) for theta in thetas]
    taus = torch.stack([torch.cat([d.flatten() for d in delta.values()]) for delta in deltas])
    keep = max(1, round(density * taus.shape[1]))
    magnitude = taus.abs()
    threshold = magnitude.kthvalue(magnitude.shape[1] - keep + 1, dim=1, keepdim=True).values
    trimmed = taus * (magnitude >= threshold)
    sign = trimmed.sum(0).sign()
    agrees = (trimmed.sign() == sign) & (trimmed != 0)
    merged = (trimmed * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    parts = merged.split([d.numel() for d in deltas[0].values()])
    return _add_scaled(
        theta_0,
        {key: part.view(d.shape) for (key, d), part in zip(deltas[0].items(), parts, strict=True)},
        scale,
    )


def dare(theta_0: Weights, theta_1: Weights, drop: float, seed: int = 0) -> dict[str, Tensor]:
    """Apply DARE: drop a random fraction of the fine-tuning update and rescale the rest.

    ``theta = theta_0 + m * (theta_1 - theta_0) / (1 - drop)``, where each entry of ``m`` is 0 with
    probability ``drop``, else 1. The expected value is ``theta_1``. Merge the results of several
    models with ``task_arithmetic`` or ``ties``.

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.
        drop: probability, from 0 to below 1.
        seed: of the random generator.

    Raises:
        UserError: the keys or shapes of the two differ, or ``drop`` is outside 0 to below 1.

    Source: Yu et al. 2024, "Language models are super Mario".

    Example:
        >>> zero, one = {"w": torch.zeros(4)}, {"w": torch.ones(4)}
        >>> dare(zero, one, drop=0.5)
        {'w': tensor([0., 2., 0., 0.])}
    """
    if not 0 <= drop < 1:
        raise UserError(f"drop is {drop}; give a fraction from 0 to below 1")
    generator = torch.Generator().manual_seed(seed)
    kept = {
        key: d * (torch.rand(d.shape, generator=generator) >= drop).to(d.device)
        for key, d in difference(theta_1, theta_0).items()
    }
    return _add_scaled(theta_0, kept, 1 / (1 - drop))


def stock_ratios(theta_0: Weights, thetas: Sequence[Weights]) -> dict[str, float]:
    """Return Model Stock's interpolation ratio between ``theta_0`` and the mean of N runs, per tensor.

    ``t = N c / (1 + (N - 1) c)`` with ``c`` the cosine between ``theta_i - theta_0`` and ``theta_j
    - theta_0``, averaged over pairs: ``t`` is 1 for equal runs, 0 for orthogonal ones. A negative
    ``c`` counts as 0; the paper leaves this case open.

    Raises:
        UserError: fewer than two runs, or their keys or shapes differ.

    Source: Jang et al. 2024, "Model Stock", the ratio for N models; the mean over pairs is
    mergekit's.
    """
    if len(thetas) < 2:
        raise UserError(
            f"Model Stock needs the angle between runs, but got {len(thetas)}; give two or more"
        )
    deltas = [difference(theta, theta_0) for theta in thetas]
    n = len(deltas)
    ratios = {}
    for key in deltas[0]:
        units = [d[key].flatten() / d[key].norm().clamp(min=1e-12) for d in deltas]
        pairs = [float(a @ b) for a, b in itertools.combinations(units, 2)]
        cosine = min(max(math.fsum(pairs) / len(pairs), 0.0), 1.0)
        ratios[key] = n * cosine / (1 + (n - 1) * cosine)
    return ratios


def model_stock(theta_0: Weights, thetas: Sequence[Weights]) -> dict[str, Tensor]:
    """Merge by Model Stock: ``t mean_i theta_i + (1 - t) theta_0``, with a ratio ``t`` per tensor.

    ``t`` is ``stock_ratios(theta_0, thetas)``, whose errors it raises.

    Source: Jang et al. 2024, "Model Stock: all we need is just a few fine-tuned models".

    Example:
        >>> zero, a, b = ({"w": torch.tensor(x)} for x in ([0.0, 0.0], [2.0, 0.0], [1.0, 3.0 ** 0.5]))
        >>> model_stock(zero, [a, b])["w"]  # 60 degrees: t is 2/3
        tensor([1.0000, 0.5774])
    """
    ratios = stock_ratios(theta_0, thetas)
    return layerwise(theta_0, average(thetas), lambda key: ratios.get(key, 1.0))
