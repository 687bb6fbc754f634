"""Interpolate between two models and measure every split at each alpha."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.chebyshev import interpolated, lobatto_nodes
from wiseft_lite.adaptive_passes import adaptive_curve
from wiseft_lite.checkpoints import check_same_start
from wiseft_lite.data import LazyImages
from wiseft_lite.errors import UserError
from wiseft_lite.features import chunks, encode, pixels, run_in_batches
from wiseft_lite.models import ImageClassifier
from wiseft_lite.recipes import Compute
from wiseft_lite.tasks import Split
from wiseft_lite.weights import interpolate_

ALPHAS = tuple(k / 10 for k in range(11))
MAX_CHANGED = 0.05  # fraction of predictions that may depend on every second pass without a warning
Measure = Callable[[Tensor, Split], float]  # of logits [n, C] on a split


def same_encoder(first: ImageClassifier, second: ImageClassifier) -> bool:
    """Whether two classifiers have equal encoders, as the zero-shot model and its probe have."""
    a, b = first.encoder.state_dict(), second.encoder.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def logits_along(
    first: nn.Module,
    last: nn.Module,
    inputs: Tensor,
    alphas: Sequence[float],
    batch_size: int = 256,
    start: Tensor | None = None,
    precision: str = "float32",
) -> Iterator[Tensor]:
    """Yield the logits ``[n, C]`` of the interpolated model at each alpha in turn, on the CPU.

    ``f(x, (1 - alpha) theta_0 + alpha theta_1)``. The weights are interpolated on the first model's
    device in one working copy, so three models are in memory, however many alphas there are.

    Args:
        first: ``theta_0``, a classifier, or a head alone.
        last: ``theta_1``, of the same kind.
        inputs: preprocessed images ``[n, 3, h, w]`` (see ``features.pixels``), or features for
            heads.
        alphas: mixing coefficients.
        batch_size: inputs per forward pass.
        start: the logits at alpha 0, if they are known: no model runs for them again.
        precision: of the forward passes, see ``recipes.Compute``.

    Raises:
        UserError: the two do not fit together.

    Example:
        >>> zero, one = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        >>> for head, weight in ((zero, 0.0), (one, 4.0)):
        ...     _ = torch.nn.init.constant_(head.weight, weight)
        >>> [logits.item() for logits in logits_along(zero, one, torch.ones(1, 1), [0, 0.25, 1])]
        [0.0, 1.0, 4.0]
    """
    model_at = _interpolation(first, last)
    for alpha in alphas:
        if alpha == 0 and start is not None:
            yield start
        else:
            yield run_in_batches(model_at(alpha), inputs, batch_size, precision=precision)


def _interpolation(first: nn.Module, last: nn.Module) -> Callable[[float], nn.Module]:
    """Return a function from alpha to the interpolated model, in one working copy of the weights."""
    theta_0, theta_1 = first.state_dict(), last.state_dict()
    model = copy.deepcopy(first).eval()

    def model_at(alpha: float) -> nn.Module:
        interpolate_(model.state_dict(), theta_0, theta_1, alpha)
        return model

    return model_at


def sweep(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier | Mapping[str, ImageClassifier],
    splits: Mapping[str, Split],
    alphas: Sequence[float] = ALPHAS,
    batch_size: int = 256,
    progress: bool = False,
    passes: int | Literal["adaptive"] | None = None,
    measures: Mapping[str, Measure] | None = None,
    compute: Compute = Compute(),
) -> pd.DataFrame:
    """Return the accuracy of every interpolated model on every split.

    When only the head differs, as for a linear probe, logits are a straight line in alpha,
    ``f_alpha(x) = (1 - alpha) f_0(x) + alpha f_1(x)``: each image is encoded once on a machine (see
    ``features.encode``), and further alphas cost no forward pass. Otherwise the interpolated model
    runs at every alpha, or, with ``passes``, only at that many Chebyshev-Lobatto nodes, and the
    logits at each alpha are those of the polynomial through the nodes. Each image is decoded once
    for all alphas, models and measures, by one of the processes if several were launched (see
    ``distributed``), and ``data.MEMORY_LIMIT`` bounds what is held in memory.

    With ``passes="adaptive"`` three models run on every image, and further ones only on images
    whose predicted class is in doubt at some alpha; see ``adaptive_passes.adaptive_curve``. Batches are
    judged one by one, so that neither memory nor the number of processes changes the result.

    Args:
        zero_shot: ``theta_0``.
        fine_tuned: ``theta_1``, with the same classes and architecture; or several, by name.
        splits: what to measure, by name.
        alphas: mixing coefficients; 0 is ``zero_shot``.
        batch_size: images per forward pass.
        progress: whether to show a bar.
        passes: an odd number of nodes, such as 5, for all images; ``"adaptive"``, as many as each
            image needs; None runs the model at every alpha.
        measures: further columns, each a function of logits ``[n, C]`` and the split.
        compute: how to compute them.

    Returns:
        One row for each split and alpha: ``alpha, split, accuracy, n, low, high, classes``: what
        the split reports, as a rule accuracy, and its 95 % interval as fractions in 0..1, and how
        many classes a prediction can take (all of the task's, unless the data set restricts them;
        see ``Split``); then the measures. With several models the first column is ``model``. With
        a number of passes the last is ``changed``, the fraction of predictions that change when
        every second pass is left out: as a rule far more than ``passes`` gets wrong. Where it is
        large there is a warning. With ``"adaptive"`` the last is ``passes``, the mean number of
        forward passes per image of the split, both ends included.

    Raises:
        UserError: the models do not fit together, no models or splits, an alpha is not finite, or
            with ``passes`` lies outside 0..1.

    Source: the paper, equation 1 and figure 1.
    """
    from tqdm import tqdm

    several = isinstance(fine_tuned, Mapping)
    models = fine_tuned if isinstance(fine_tuned, Mapping) else {"": fine_tuned}
    _check(zero_shot, models, splits, alphas)
    nodes = None if passes is None else pass_nodes(passes, alphas)
    adaptive = passes == "adaptive"
    frozen = {name: model for name, model in models.items() if same_encoder(zero_shot, model)}
    tuned = {name: model for name, model in models.items() if name not in frozen}
    shards = {name: distributed.Shards(len(split), batch_size) for name, split in splits.items()}
    runs = 2 * len(frozen) + len(nodes or alphas) * len(tuned)
    rows = []
    with tqdm(
        total=runs * sum(len(shard.rows) for shard in shards.values()),
        desc="sweep",
        unit="image",
        disable=not (progress and distributed.is_main()),
    ) as bar:
        count = len(zero_shot.class_names)
        settings = _Settings(
            alphas, nodes, adaptive, batch_size, measures or {}, count, compute, bar
        )
        for name, split in splits.items():
            curves = _curves(zero_shot, frozen, tuned, split, shards[name], settings)
            for label in models:
                scored = _score(curves[label], name, split, shards[name], settings)
                rows += [{"model": label} | row if several else row for row in scored]
    table = pd.DataFrame(rows)
    if isinstance(passes, int):
        _warn_if_in_doubt(table, passes)
    return table


@dataclass(frozen=True)
class _Settings:
    """How a sweep runs, the same for all models and splits."""

    alphas: Sequence[float]
    nodes: Sequence[float] | None  # where models run on all images; None for every alpha
    adaptive: bool  # whether they run at more nodes on some
    batch_size: int
    measures: Mapping[str, Measure]
    class_count: int
    compute: Compute
    bar: Any  # tqdm


@dataclass(frozen=True)
class _Predictions:
    """What one interpolated model predicts for a chunk of ``n`` images at ``A`` alphas."""

    classes: Tensor  # [A, n]
    logits: list[Tensor]  # [n, C] at each alpha; empty if nothing measures them
    averaged: dict[str, Tensor]  # [A, n], by the name of the table's column with the mean


def _check(
    zero_shot: ImageClassifier,
    models: Mapping[str, ImageClassifier],
    splits: Mapping[str, Split],
    alphas: Sequence[float],
) -> None:
    """Refuse models that do not fit together, an alpha that is not finite, or nothing to measure."""
    named = {name or "the fine-tuned model": model for name, model in models.items()}
    check_same_start({"the zero-shot model": zero_shot, **named})
    for alpha in alphas:
        if not math.isfinite(alpha):
            raise UserError(f"alpha {alpha} is not finite; give a number such as 0.5")
    if not len(alphas) or not splits or not models:
        raise UserError("give at least one alpha, one split and one model")


def _curves(
    zero_shot: ImageClassifier,
    frozen: Mapping[str, ImageClassifier],
    tuned: Mapping[str, ImageClassifier],
    split: Split,
    shards: distributed.Shards,
    settings: _Settings,
) -> dict[str, list[_Predictions]]:
    """Return the predictions of all models on this process's shard of a split, chunk by chunk."""
    curves: dict[str, list[_Predictions]] = {name: [] for name in (*frozen, *tuned)}
    part = shards.shard(split)
    images = pixels(zero_shot, part, settings.compute) if tuned else None
    if frozen:
        decoded = images if part is split else None
        features, _ = encode(zero_shot, split, settings.batch_size, decoded, settings.compute)
        for name, predictions in _frozen_curves(
            zero_shot, frozen, shards.shard(features), split, settings
        ):
            curves[name].append(predictions)
    if images is not None:
        for name, predictions in _tuned_curves(zero_shot, tuned, images, split, settings):
            curves[name].append(predictions)
    return curves


def _frozen_curves(
    zero_shot: ImageClassifier,
    models: Mapping[str, ImageClassifier],
    features: Tensor,
    split: Split,
    settings: _Settings,
) -> Iterator[tuple[str, _Predictions]]:
    """Yield the predictions of models that share the zero-shot model's encoder.

    ``f_alpha(x) = (1 - alpha) f_0(x) + alpha f_1(x)``: the line through the logits of both heads.
    """
    for chunk in chunks(features, settings.batch_size):
        start = run_in_batches(zero_shot.head, chunk, settings.batch_size)
        for name, model in models.items():
            end = run_in_batches(model.head, chunk, settings.batch_size)
            settings.bar.update(2 * len(chunk))
            line = interpolated(torch.stack([start, end]), [0.0, 1.0], settings.alphas)
            yield name, _predict(line, split, settings, 2)


def _tuned_curves(
    zero_shot: ImageClassifier,
    models: Mapping[str, ImageClassifier],
    images: Tensor | LazyImages,
    split: Split,
    settings: _Settings,
) -> Iterator[tuple[str, _Predictions]]:
    """Yield the predictions of models whose encoder was trained too: the interpolated models run.

    The zero-shot model, where all lines start, runs once for all of them.
    """
    nodes = settings.alphas if settings.nodes is None else settings.nodes
    size, precision = settings.batch_size, settings.compute.precision
    for chunk in chunks(images, size):
        start = None
        if 0 in nodes:
            start = run_in_batches(zero_shot, chunk, size, precision=precision)
        for name, model in models.items():
            curve = logits_along(zero_shot, model, chunk, nodes, size, start, precision)
            curve = _counted(curve, settings.bar)
            if settings.nodes is None:
                yield name, _predict(curve, split, settings)
            elif settings.adaptive:
                model_at = _interpolation(zero_shot, model)
                at_three = torch.stack(list(curve)).split(size, 1)
                for batch, logits in zip(chunk.split(size), at_three, strict=True):
                    run = _run_rows(model_at, batch, settings)
                    logits, passes = adaptive_curve(logits, run, settings.alphas, split)
                    yield name, _predict(logits, split, settings, passes)
            else:
                yield name, _predict_between(torch.stack(list(curve)), nodes, split, settings)


def _predict(
    curve: Iterable[Tensor], split: Split, settings: _Settings, passes: Tensor | int = 0
) -> _Predictions:
    """Turn logits at each alpha into predictions; logits are kept only if they are measured.

    ``passes``, of each image, are reported only by an adaptive sweep.
    """
    classes, kept = [], []
    for logits in curve:
        classes.append(split.predicted(logits))
        if settings.measures:
            kept.append(logits)
    predicted = torch.stack(classes)
    averaged = {}
    if settings.adaptive:
        averaged["passes"] = torch.zeros_like(predicted) + passes
    elif settings.nodes is not None:
        averaged["changed"] = torch.zeros_like(predicted)
    return _Predictions(predicted, kept, averaged)


def _predict_between(
    at_nodes: Tensor, nodes: Sequence[float], split: Split, settings: _Settings
) -> _Predictions:
    """Predict along the polynomial through logits ``[K, n, C]`` at the nodes, and see what changes
    when every second node is left out."""
    predictions = _predict(interpolated(at_nodes, nodes, settings.alphas), split, settings)
    coarse = interpolated(at_nodes[::2], nodes[::2], settings.alphas)
    coarse_classes = torch.stack([split.predicted(logits) for logits in coarse])
    changed = predictions.classes != coarse_classes
    return dataclasses.replace(predictions, averaged={"changed": changed})


def _run_rows(
    model_at: Callable[[float], nn.Module], images: Tensor, settings: _Settings
) -> Callable[[float, Tensor], Tensor]:
    """Return a function of alpha and rows: the interpolated model's logits ``[m, C]`` on these images."""

    def run(alpha: float, rows: Tensor) -> Tensor:
        settings.bar.total += len(rows)
        settings.bar.update(len(rows))
        precision = settings.compute.precision
        return run_in_batches(model_at(alpha), images[rows], len(rows), precision=precision)

    return run


def _counted(curve: Iterator[Tensor], bar: Any) -> Iterator[Tensor]:
    """Yield a curve's logits, and move the progress bar by each."""
    for logits in curve:
        bar.update(len(logits))
        yield logits


def _score(
    curve: Sequence[_Predictions],
    name: str,
    split: Split,
    shards: distributed.Shards,
    settings: _Settings,
) -> Iterator[dict[str, Any]]:
    """Yield a row of the table for each alpha, from the shards of all processes."""
    averaged = {
        column: shards.gather(
            torch.cat([chunk.averaged[column] for chunk in curve], 1).double().T
        ).mean(0)
        for column in curve[0].averaged
    }
    classes = shards.gather(torch.cat([chunk.classes for chunk in curve], 1).T).T
    for i, alpha in enumerate(settings.alphas):
        row = {"alpha": float(alpha), "split": name, **dataclasses.asdict(split.score(classes[i]))}
        row["classes"] = split.count_classes(settings.class_count)
        if settings.measures:
            logits = shards.gather(torch.cat([chunk.logits[i] for chunk in curve]))
            for column, measure in settings.measures.items():
                row[column] = float(measure(logits, split))
        row.update({column: float(means[i]) for column, means in averaged.items()})
        yield row


def pass_nodes(passes: int | Literal["adaptive"], alphas: Sequence[float]) -> list[float]:
    """Return the alphas at which models run on all images, so that a curve covers ``alphas``.

    0, 0.5 and 1 are always among them.

    Args:
        passes: their number, or ``"adaptive"``.
        alphas: where the curve is evaluated.

    Raises:
        UserError: neither an odd number of at least 3 nor ``"adaptive"``, or an alpha outside 0..1.

    Example:
        >>> pass_nodes(3, [0.1])
        [0.0, 0.5, 1.0]
    """
    count = 3 if passes == "adaptive" else passes
    if not isinstance(count, int) or count < 3 or count % 2 == 0:
        raise UserError(
            f"passes is {passes!r}; give an odd number such as 5, so that the curve is checked against "
            "the one through every second pass, or 'adaptive'"
        )
    outside = [a for a in alphas if not 0 <= a <= 1]
    if outside:
        raise UserError(
            f"alpha {outside[0]:g} lies outside 0..1, beyond all passes; leave passes out"
        )
    return lobatto_nodes(count)


def _warn_if_in_doubt(table: pd.DataFrame, passes: int) -> None:
    worst = table.loc[table["changed"].idxmax()]
    if worst["changed"] > MAX_CHANGED:
        warnings.warn(
            f"{passes} passes may be too few: without every second one, {100 * worst['changed']:.0f} % of "
            f"the predictions on {worst['split']!r} change at alpha {worst['alpha']:g}; use "
            f"{2 * passes - 1}, or measure every alpha",
            stacklevel=3,
        )
