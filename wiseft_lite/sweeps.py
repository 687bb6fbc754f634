"""Walk along the line between two models and measure every split on the way."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.chebyshev import interpolated, lobatto_nodes
from wiseft_lite.checkpoints import check_same_start
from wiseft_lite.errors import UserError
from wiseft_lite.features import encode, pieces, pixels
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split
from wiseft_lite.weights import interpolate_

ALPHAS = tuple(k / 10 for k in range(11))
TOO_MANY = 0.05  # share of changed predictions from which a curve from few passes is in doubt


def same_encoder(first: ImageClassifier, second: ImageClassifier) -> bool:
    """Whether two classifiers have equal encoders, as the zero-shot model and its probe have."""
    a, b = first.encoder.state_dict(), second.encoder.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@torch.inference_mode()
def batched(model: torch.nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    """Logits ``[n, C]`` of inputs ``[n, ...]`` on the CPU, without gradients, ``batch_size`` inputs
    a pass."""
    device = next(model.parameters()).device
    return torch.cat([model(batch.to(device)).float().cpu() for batch in inputs.split(batch_size)])


def logits_along(
    first: torch.nn.Module,
    last: torch.nn.Module,
    inputs: Tensor,
    alphas: Sequence[float],
    batch_size: int = 256,
) -> Iterator[Tensor]:
    """Yield the logits ``[n, C]`` of the interpolated model at each alpha in turn, on the CPU.

    The weights are mixed where the first model lives, in one working copy, and nothing is written
    to disk: three models are held in memory, the two ends and that copy, however many alphas there
    are.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: preprocessed images ``[n, 3, h, w]`` (see ``features.pixels``), or features for
            heads.
        alphas: mixing coefficients.
        batch_size: inputs a forward pass.

    Raises:
        UserError: the two do not fit together.

    Example:
        >>> zero, one = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> for head, weight in ((zero, 0.0), (one, 4.0)):
        ...     _ = torch.nn.init.constant_(head.weight, weight)
        >>> [logits.item() for logits in logits_along(zero, one, torch.ones(1, 1), [0, 0.25, 1])]
        [0.0, 1.0, 4.0]
    """
    theta_0, theta_1 = first.state_dict(), last.state_dict()
    model = copy.deepcopy(first).eval()
    for alpha in alphas:
        interpolate_(model.state_dict(), theta_0, theta_1, alpha)
        yield batched(model, inputs, batch_size)


def sweep(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier | Mapping[str, ImageClassifier],
    splits: Mapping[str, Split],
    alphas: Sequence[float] = ALPHAS,
    batch_size: int = 256,
    progress: bool = False,
    passes: int | None = None,
    measures: Mapping[str, Callable[[Tensor, Split], float]] = {},
) -> pd.DataFrame:
    """Return the accuracy of every interpolated model on every split.

    Each image is decoded once for all alphas, models and measures, by one of the processes if
    several were launched (see ``distributed``), and no more are held in memory than
    ``features.HELD`` allows. When only the head differs, as for a linear probe, the logits are a
    straight line in alpha, ``f_alpha(x) = (1 - alpha) f_0(x) + alpha f_1(x)``: each image is
    encoded once on a machine (see ``features.encode``), and any number of alphas costs no forward
    pass more. Otherwise ``passes`` runs the models at that many Chebyshev-Lobatto nodes only, and
    each logit at every alpha is read off the polynomial through its values there. What a split
    reports is up to it: accuracy, or macro-F1, worst region, pm-k.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture; or several, by name.
        splits: what to measure, by name.
        alphas: mixing coefficients; 0 is ``zero_shot``.
        batch_size: images a forward pass.
        progress: show a bar.
        passes: None measures every alpha itself; an odd number such as 5 measures that many.
        measures: further columns, each a function of logits ``[n, C]`` and the split.

    Returns:
        One row for each split and alpha: ``alpha, split, accuracy, n, low, high, classes``: the
        accuracy and its 95 % Clopper-Pearson interval as fractions in 0..1, and how many classes a
        prediction can take (all of the task's, unless the data set restricts them; see ``Split``);
        then the measures. Several models are told apart by a first column ``model``. With
        ``passes`` also ``changed``, the share of images whose prediction would change if every
        second pass were left out. As a rule it is far above the share that ``passes`` gets wrong;
        when it is large there is a warning.

    Raises:
        UserError: the models do not fit together, no models or splits, an alpha that is no finite
            number, or with ``passes`` one outside 0..1.

    Source: the paper, equation 1 and figure 1.
    """
    from tqdm import tqdm

    models = fine_tuned if isinstance(fine_tuned, Mapping) else {"": fine_tuned}
    check_same_start(
        {
            "the zero-shot model": zero_shot,
            **{label or "the fine-tuned model": model for label, model in models.items()},
        }
    )
    bad = [a for a in alphas if not math.isfinite(a)]
    if bad or not len(alphas) or not splits or not models:
        raise UserError(
            f"alpha {bad[0]} is not finite"
            if bad
            else "give at least one alpha, one split and one model"
        )
    points = alphas if passes is None else pass_nodes(passes, alphas)
    frozen = {label: same_encoder(zero_shot, model) for label, model in models.items()}
    runs = sum(2 if heads_only else len(points) for heads_only in frozen.values())
    rows = []
    shards = {name: distributed.Shards(len(split), batch_size) for name, split in splits.items()}
    with tqdm(
        total=runs * sum(len(mine.rows) for mine in shards.values()),
        desc="sweep",
        unit="image",
        disable=not (progress and distributed.is_main()),
    ) as bar:
        for name, split in splits.items():
            mine, part = shards[name], shards[name].shard(split)
            images = None if all(frozen.values()) else pixels(zero_shot, part)
            decoded = images if part is split else None
            features = (
                mine.shard(encode(zero_shot, split, batch_size, decoded)[0])
                if any(frozen.values())
                else None
            )
            said, doubted, kept = (
                defaultdict(list),
                defaultdict(list),
                defaultdict(list),
            )  # one entry for each piece
            for inputs, group in (
                (features, [m for m in models if frozen[m]]),
                (images, [m for m in models if not frozen[m]]),
            ):
                for piece in pieces(inputs, batch_size) if group else ():
                    start: list[Tensor] = []  # logits at alpha 0, the same for every model
                    for label in group:
                        first, last = zero_shot, models[label]
                        ends, nodes = (
                            ((first.head, last.head), [0.0, 1.0])
                            if frozen[label]
                            else ((first, last), points)
                        )
                        curve = _counted(_from(start, *ends, piece, nodes, batch_size), bar)
                        if nodes is not alphas:
                            measured = torch.stack(list(curve))
                            curve = interpolated(measured, nodes, alphas)
                            doubted[label].append(
                                _changed(measured, nodes, alphas, split)
                                if not frozen[label]
                                else torch.zeros(len(alphas), len(piece))
                            )
                        curve = (
                            list(curve) if measures else curve
                        )  # predictions are kept, logits only to be measured
                        said[label].append(
                            torch.stack([split.predicted(logits) for logits in curve])
                        )
                        kept[label].append(curve if measures else [])
            for label in models:
                changed = (
                    mine.gather(torch.cat(doubted[label], 1).double().T).mean(0).tolist()
                    if doubted[label]
                    else alphas
                )
                for i, predicted in enumerate(mine.gather(torch.cat(said[label], 1).T).T):
                    row = {"model": label, "alpha": float(alphas[i]), "split": name}
                    row |= dataclasses.asdict(split.score(predicted))
                    row["classes"] = split.count_classes(len(zero_shot.class_names))
                    logits = (
                        mine.gather(torch.cat([piece[i] for piece in kept[label]]))
                        if measures
                        else None
                    )
                    row |= {key: float(measure(logits, split)) for key, measure in measures.items()}
                    rows.append(row | {"changed": changed[i]})
    unasked = [
        *(["changed"] if passes is None else []),
        *(["model"] if models is not fine_tuned else []),
    ]
    table = pd.DataFrame(rows).drop(columns=unasked)
    if passes is not None:
        _warn_if_in_doubt(table, passes)
    return table


def _from(
    start: list[Tensor],
    first: torch.nn.Module,
    last: torch.nn.Module,
    inputs: Tensor,
    alphas: Sequence[float],
    batch_size: int,
) -> Iterator[Tensor]:
    """As ``logits_along``, but the logits at alpha 0 are taken from ``start``, or put there by the
    first model."""
    known = bool(start)
    rest = logits_along(
        first, last, inputs, [alpha for alpha in alphas if alpha or not known], batch_size
    )
    for alpha in alphas:
        if alpha or not known:
            logits = next(rest)
            start += [logits] if alpha == 0 else []
        yield logits if alpha or not known else start[0]


def _counted(curve: Iterator[Tensor], bar) -> Iterator[Tensor]:
    for logits in curve:
        bar.update(len(logits))
        yield logits


def pass_nodes(passes: int, alphas: Sequence[float]) -> list[float]:
    """Return the alphas at which ``passes`` models run, so that a curve can be read off at
    ``alphas``.

    0, 0.5 and 1 are always among them.

    Raises:
        UserError: not an odd number of at least 3, or an alpha outside 0..1.

    Example:
        >>> pass_nodes(3, [0.1])
        [0.0, 0.5, 1.0]
    """
    if passes < 3 or passes % 2 == 0:
        raise UserError(
            f"passes is {passes}; give an odd number such as 5: a curve through every second pass "
            "is the check"
        )
    outside = [a for a in alphas if not 0 <= a <= 1]
    if outside:
        raise UserError(
            f"alpha {outside[0]:g} lies outside 0..1, where no pass holds the curve; leave passes out"
        )
    return lobatto_nodes(passes)


def _changed(
    measured: Tensor, nodes: Sequence[float], alphas: Sequence[float], split: Split
) -> Tensor:
    """Bool ``[alphas, n]``: which predictions change when every second node is left out."""
    pairs = zip(
        interpolated(measured, nodes, alphas),
        interpolated(measured[::2], nodes[::2], alphas),
        strict=True,
    )
    return torch.stack([split.predicted(fine) != split.predicted(coarse) for fine, coarse in pairs])


def _warn_if_in_doubt(table: pd.DataFrame, passes: int) -> None:
    worst = table.loc[table["changed"].idxmax()]
    if worst["changed"] > TOO_MANY:
        warnings.warn(
            f"{passes} passes may be too few: without every second one, {100 * worst['changed']:.0f} % of "
            f"the predictions on {worst['split']!r} change at alpha {worst['alpha']:g}; take "
            f"{2 * passes - 1}, or measure every alpha",
            stacklevel=3,
        )
