"""The second witness: rules by which public measurements of real models decide claims.

The measurements are those of ``analysis.atlas``. The rules were committed before any of the
quantities below was computed; ``seen`` states what was known of them all the same, from the
sources' own papers or from other chapters. They are judged like the rules on IconShift, as a list
of their own. A "seed" is a model, or a pair of models, here.

A rule about effective robustness must hold under each choice of baseline models, ``atlas.FITS``.
Its interval includes the uncertainty of the line, from a bootstrap over families of architectures.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from wiseft_lite.analysis import atlas
from wiseft_lite.analysis.correlation import partial_correlation
from wiseft_lite.analysis.robustness import difference_interval, mean_accuracy
from wiseft_lite.book import paper
from wiseft_lite.book.claims.derived import derived
from wiseft_lite.book.claims.rules import (
    EveryFit,
    Evidence,
    IntervalEstimate,
    Values,
    interval,
)
from wiseft_lite.book.experiments.atlas import PAIRS, TIMM_SHIFTS

# OpenAI's models, each with the activation that it was trained with.
OPENAI = (
    "RN50-quickgelu",
    "RN101-quickgelu",
    "RN50x4",
    "RN50x16",
    "RN50x64",
    "ViT-B-32-quickgelu",
    "ViT-B-16",
    "ViT-L-14",
    "ViT-L-14-336",
)
OTHERS = (  # pre-training data of at least three zero-shot models
    "LAION-400M",
    "LAION-2B",
    "LAION-2B and COYO",
    "LAION-Aesthetic",
    "CommonPool",
    "DataComp",
    "DFN",
    "MetaCLIP",
    "WebLI",
    "YFCC-15M",
    "NLLB-CLIP",
)
START = "ViT-B-32, model-soups model_0"  # a linear probe, from which all 71 were fine-tuned
LINE = 0.9  # of the variance in logits that must lie on a line to call it one


@dataclass(frozen=True)
class PublicRule:
    """A rule that decides a claim by public measurements.

    Args:
        number: of the claim.
        words: the rule in a sentence.
        evidence: for the claim to hold, all of it must hold; if one piece fails, it fails.
        source: tables that it reads.
        seen: what was known of these numbers when the rule was written; empty if nothing was.
    """

    number: int
    words: str
    evidence: tuple[Evidence, ...]
    source: str
    seen: str = ""


@cache
def _accuracies(model: str) -> dict[str, float]:
    """Return the accuracies of a model of the atlas by the name of the test set."""
    table = atlas.models()
    rows = table[table["model"] == model]
    assert len(rows) == 1, model
    return rows.iloc[0][list(atlas.ACCURACIES)].astype(float).to_dict()


def _mean(model: str, shifts: Sequence[str]) -> float:
    return statistics.fmean(_accuracies(model)[shift] for shift in shifts)


def _images(shifts: Sequence[str]) -> int:
    return sum(atlas.IMAGES[shift] for shift in shifts)


def _under_every_fit(estimate: Callable[[str], IntervalEstimate]) -> EveryFit:
    return EveryFit({fit: estimate(fit) for fit in atlas.FITS})


def _t_interval(estimate: float, error: float, freedom: int, level: float) -> tuple[float, float]:
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, freedom)) * error
    return estimate - half, estimate + half


@derived("atlas")
def zero_shot_robustness(model: str, shift: str, own_classes: bool = False) -> EveryFit:
    """Effective robustness of one model in points: test images and line."""
    shifts = atlas.SHIFTS if shift == "shifts" else (shift,)
    accuracies = _accuracies(model)

    def under(fit: str) -> IntervalEstimate:
        line = atlas.line_through(fit, shift, own_classes)
        x = accuracies[line.reference]

        def bounds(level: float) -> tuple[float, float]:
            found = mean_accuracy(
                [atlas.estimate(name, accuracies[name], level=level) for name in shifts]
            )
            low, high = difference_interval(found, line(x), line.interval(x, level))
            return 100 * low, 100 * high

        rho = 100 * (_mean(model, shifts) - line(x))
        return IntervalEstimate(rho, bounds, "points", _images(shifts), 1)

    return _under_every_fit(under)


@derived("atlas")
def pretrained_robustness(data: str) -> EveryFit:
    """Mean effective robustness, on the mean of the shifts, of all zero-shot models with one
    pre-training data set, in points: spread over the models, and line."""
    from scipy.special import expit

    table = atlas.models()
    chosen = table[(table["pretraining"] == data) & (table["source"] == "open_clip")]
    xs = chosen["imagenet"].tolist()
    ys = chosen[list(atlas.SHIFTS)].mean(axis=1).tolist()

    def under(fit: str) -> IntervalEstimate:
        line = atlas.line_through(fit, "shifts")
        heights = [100 * (y - line(x)) for x, y in zip(xs, ys, strict=True)]
        mean = statistics.fmean(heights)
        error = 100 * np.mean([expit(line.resampled(x)) for x in xs], axis=0).std(ddof=1)

        def bounds(level: float) -> tuple[float, float]:
            spread = interval(heights, level)[1] - mean
            half = math.hypot(spread, line.errors(level) * error)
            return mean - half, mean + half

        return IntervalEstimate(mean, bounds, "points", _images(atlas.SHIFTS), len(heights))

    return _under_every_fit(under)


@derived("atlas")
def straightness(shift: str, own_classes: bool = False) -> EveryFit:
    """Fraction of the variance in logits that the line through the models explains."""

    def under(fit: str) -> IntervalEstimate:
        line = atlas.line_through(fit, shift, own_classes)
        return IntervalEstimate(
            line.r**2, lambda level: line.explained(level)[1:], "fraction", None, line.n
        )

    return _under_every_fit(under)


@derived("atlas")
def fine_tuned_change(pairs: Sequence[tuple[str, str]], *shifts: str) -> Values:
    """Fine-tuned minus zero-shot, a value for each pair of models, in points, mean of the sets."""
    changes = [100 * (_mean(after, shifts) - _mean(before, shifts)) for after, before in pairs]
    return Values(tuple(changes), "points", _images(shifts))


def _robustness_change(
    pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]], shifts: Sequence[str]
) -> EveryFit:
    """Mean change of effective robustness over pairs of (reference, shift) after and before."""
    from scipy.special import expit

    def under(fit: str) -> IntervalEstimate:
        line = atlas.line_through(fit, shifts)
        changes = [
            100 * ((after[1] - line(after[0])) - (before[1] - line(before[0])))
            for after, before in pairs
        ]
        rises = [
            expit(line.resampled(after[0])) - expit(line.resampled(before[0]))
            for after, before in pairs
        ]
        mean, error = statistics.fmean(changes), 100 * np.mean(rises, axis=0).std(ddof=1)

        def bounds(level: float) -> tuple[float, float]:
            spread = interval(changes, level)[1] - mean
            half = math.hypot(spread, line.errors(level) * error)
            return mean - half, mean + half

        return IntervalEstimate(mean, bounds, "points", _images(shifts), len(changes))

    return _under_every_fit(under)


@derived("atlas")
def pairs_robustness_change(pairs: Sequence[tuple[str, str]], *shifts: str) -> EveryFit:
    """Change of effective robustness by fine-tuning, mean over pairs of models, mean of the sets."""
    found = [tuple((_accuracies(m)["imagenet"], _mean(m, shifts)) for m in pair) for pair in pairs]
    return _robustness_change(found, shifts)


@derived("atlas")
def finetunings_robustness_change(start_of_all: str) -> EveryFit:
    """Effective robustness of the 71 fine-tunings minus that of their start, on the five shifts."""
    table = atlas.finetunings()
    start = (_accuracies(start_of_all)["imagenet"], _mean(start_of_all, atlas.SHIFTS))
    pairs = [((x, y), start) for x, y in zip(table["imagenet"], table["shifts"], strict=True)]
    return _robustness_change(pairs, atlas.SHIFTS)


@derived("atlas")
def twins_spread(within: float) -> IntervalEstimate:
    """Standard deviation on the shifts minus that on ImageNet, in points, of the fine-tunings within
    ``within`` points of the best on held-out images; bootstrap over the runs."""
    table = atlas.finetunings()
    near = table[table["minival"] >= table["minival"].max() - within / 100]
    values = 100 * near[["shifts", "imagenet"]].to_numpy()
    rows = np.random.default_rng(0).integers(len(values), size=(atlas.DRAWS, len(values)))
    drawn = values[rows].std(axis=1, ddof=1)
    error = float((drawn[:, 0] - drawn[:, 1]).std(ddof=1))
    sizes = values.std(axis=0, ddof=1)
    found = float(sizes[0] - sizes[1])
    return IntervalEstimate(
        found,
        lambda level: _t_interval(found, error, len(values) - 1, level),
        "points",
        _images(atlas.SHIFTS),
        len(values),
    )


@derived("atlas")
def hyperparameter_correlation(name: str, column: str, *given: str) -> IntervalEstimate:
    """Partial correlation of a hyperparameter with an accuracy over the 71 fine-tunings.

    ``lr`` and ``wd`` count by their logarithms.
    """
    table = atlas.finetunings()
    table = table.assign(lr=np.log10(table["lr"]), wd=np.log10(table["wd"]))
    found = partial_correlation(table[name], table[column], [table[other] for other in given])
    return IntervalEstimate(
        found.r, found.interval, "correlation", _images(atlas.SHIFTS), len(table)
    )


@derived("atlas")
def own_names_gain(model: str, in_paper: str) -> IntervalEstimate:
    """Zero-shot accuracy on ObjectNet by its own class names (open_clip) minus by ImageNet's (the
    paper), in points; the intervals of both, as if they were measured on different images."""
    own = _accuracies(model)["objectnet"]
    theirs = float(paper.curve(in_paper).loc[0.0, "ObjectNet"]) / 100

    def bounds(level: float) -> tuple[float, float]:
        other = atlas.estimate("objectnet", theirs, level=level)
        found = atlas.estimate("objectnet", own, level=level)
        low, high = difference_interval(found, theirs, (other.low, other.high))
        return 100 * low, 100 * high

    return IntervalEstimate(100 * (own - theirs), bounds, "points", atlas.IMAGES["objectnet"], 1)


@derived("atlas")
def soup_over_best_run(soup: str, *shifts: str) -> IntervalEstimate:
    """A soup minus the fine-tuning that is best on held-out images, in points; the intervals of
    both, as if they were measured on different images."""
    runs = atlas.finetunings()
    best = runs.loc[runs["minival"].idxmax()]
    own = _accuracies(f"ViT-B-32, model-soups {soup}")

    def bounds(level: float) -> tuple[float, float]:
        ours, other = (
            mean_accuracy([atlas.estimate(s, which[s], level=level) for s in shifts])
            for which in (own, best)
        )
        low, high = difference_interval(ours, other.accuracy, (other.low, other.high))
        return 100 * low, 100 * high

    found = 100 * statistics.fmean(own[s] - best[s] for s in shifts)
    return IntervalEstimate(found, bounds, "points", _images(shifts), 1)


@derived("atlas")
def soup_robustness_gain(soup: str) -> EveryFit:
    """Effective robustness of a soup minus that of each of the 71 fine-tunings, mean, five shifts."""
    table, name = atlas.finetunings(), f"ViT-B-32, model-soups {soup}"
    own = (_accuracies(name)["imagenet"], _mean(name, atlas.SHIFTS))
    pairs = [(own, (x, y)) for x, y in zip(table["imagenet"], table["shifts"], strict=True)]
    return _robustness_change(pairs, atlas.SHIFTS)


_PAIRED = (
    "timm and open_clip, ten CLIPs fine-tuned on ImageNet beside the same image encoder zero-shot"
)
_TUNED = "model-soups, 71 fine-tunings of one CLIP ViT-B/32"
_ZERO = "open_clip; baseline: test bed and timm"
_VIDEO = ("vid_pm0", "vid_pm10", "ytbb_pm0", "ytbb_pm10")

PUBLIC = (
    PublicRule(
        1,
        "Each of OpenAI's nine CLIP models lies above the line on the mean of the five shifts.",
        tuple(
            Evidence(f"{m}, over the line", zero_shot_robustness(f"{m}, openai", "shifts"), above=0)
            for m in OPENAI
        ),
        _ZERO,
        "for ViT-L/14@336px, effective robustness on each shift under two baselines",
    ),
    PublicRule(
        2,
        "Each of the nine lies above the line on each of the five shifts.",
        tuple(
            Evidence(
                f"{m}, {atlas.TITLES[s]}, over the line",
                zero_shot_robustness(f"{m}, openai", s),
                above=0,
            )
            for m in OPENAI
            for s in atlas.SHIFTS
        ),
        _ZERO,
        "for ViT-L/14@336px, as for claim 1",
    ),
    PublicRule(
        5,
        "Fine-tuned minus zero-shot, ImageNet, above 0 on average over ten pairs.",
        (
            Evidence(
                "fine-tuned minus zero-shot, ImageNet",
                fine_tuned_change(PAIRS, "imagenet"),
                above=0,
            ),
        ),
        _PAIRED,
        "the zero-shot numbers of four of OpenAI's models, none of a fine-tuned one",
    ),
    PublicRule(
        7,
        "Fine-tuned minus zero-shot, mean of V2, R, Sketch and A, below 0 on average over ten pairs.",
        (
            Evidence(
                "fine-tuned minus zero-shot, mean of four shifts",
                fine_tuned_change(PAIRS, *TIMM_SHIFTS),
                below=0,
            ),
        ),
        _PAIRED,
        "as for claim 5",
    ),
    PublicRule(
        9,
        "Fine-tuned minus zero-shot, ImageNetV2, above 0 on average over ten pairs.",
        (
            Evidence(
                "fine-tuned minus zero-shot, ImageNetV2", fine_tuned_change(PAIRS, "v2"), above=0
            ),
        ),
        _PAIRED,
        "as for claim 5",
    ),
    PublicRule(
        10,
        "Fine-tuned minus zero-shot, below 0 on R and on A, which the paper names.",
        tuple(
            Evidence(
                f"fine-tuned minus zero-shot, {atlas.TITLES[s]}",
                fine_tuned_change(PAIRS, s),
                below=0,
            )
            for s in ("r", "a")
        ),
        _PAIRED,
        "as for claim 5",
    ),
    PublicRule(
        11,
        "Fine-tuned minus zero-shot, below 0 on R, Sketch and A; ObjectNet was not measured.",
        tuple(
            Evidence(
                f"fine-tuned minus zero-shot, {atlas.TITLES[s]}",
                fine_tuned_change(PAIRS, s),
                below=0,
            )
            for s in ("r", "sketch", "a")
        ),
        _PAIRED,
        "as for claim 5",
    ),
    PublicRule(
        12,
        "Effective robustness falls from zero-shot to fine-tuned over ten pairs, and from a linear probe to 71 "
        "fine-tunings that start at it.",
        (
            Evidence(
                "fine-tuned minus zero-shot, height over the baseline, ten pairs",
                pairs_robustness_change(PAIRS, *TIMM_SHIFTS),
                below=0,
            ),
            Evidence(
                "fine-tuned minus the probe that it starts from, height, 71 runs",
                finetunings_robustness_change(START),
                below=0,
            ),
        ),
        f"{_PAIRED}; {_TUNED}",
        "the accuracies of the probe and of three of the runs",
    ),
    PublicRule(
        13,
        "Of fine-tunings within a point of the best on held-out images, the standard deviation on the mean of the "
        "shifts is larger than that on ImageNet.",
        (
            Evidence(
                "standard deviation on the shifts minus that on ImageNet",
                twins_spread(1.0),
                above=0,
            ),
        ),
        _TUNED,
        "the correlation of both accuracies over all 71 runs (chapter 5)",
    ),
    PublicRule(
        14,
        "Partial correlation of the mean of the shifts with log10 of the learning rate at equal ImageNet accuracy, "
        "below 0.",
        (
            Evidence(
                "learning rate and shifts, at equal ImageNet accuracy",
                hyperparameter_correlation("lr", "shifts", "imagenet"),
                below=0,
            ),
        ),
        _TUNED,
        "the correlations without ImageNet held fixed (chapters 5 and 13), from which this follows",
    ),
    PublicRule(
        15,
        "Partial correlation of the mean of the shifts with the number of epochs at equal learning rate, below 0.",
        (
            Evidence(
                "epochs and shifts, at equal learning rate",
                hyperparameter_correlation("epochs", "shifts", "lr"),
                below=0,
            ),
        ),
        _TUNED,
    ),
    PublicRule(
        63,
        "Zero-shot accuracy on ObjectNet is higher by its own class names than by ImageNet's, for each of the two "
        "models of which both were published.",
        (
            Evidence(
                "own names minus ImageNet's, ViT-L/14@336px",
                own_names_gain("ViT-L-14-336, openai", "ViT-L/14@336px"),
                above=0,
            ),
            Evidence(
                "own names minus ImageNet's, ViT-B/16",
                own_names_gain("ViT-B-16, openai", "ViT-B/16"),
                above=0,
            ),
        ),
        "open_clip, and the paper's tables 4 and 5",
        "all of them",
    ),
    PublicRule(
        65,
        "Under each choice of models the line explains more than nine tenths of the variance in logits.",
        (Evidence("variance explained, mean of the shifts", straightness("shifts"), above=LINE),),
        "test bed",
    ),
    PublicRule(
        66,
        "The same on each of the five shifts.",
        tuple(
            Evidence(f"variance explained, {atlas.TITLES[s]}", straightness(s), above=LINE)
            for s in atlas.SHIFTS
        ),
        "test bed and timm",
        "the correlations of two other choices of models",
    ),
    PublicRule(
        67,
        "The same on both video data sets, pm-0 and pm-10, with ImageNet's accuracy on the same classes on x.",
        tuple(
            Evidence(f"variance explained, {atlas.TITLES[s]}", straightness(s, True), above=LINE)
            for s in _VIDEO
        ),
        "test bed",
    ),
    PublicRule(
        68,
        "Both CLIP models of the test bed lie above the line on both video data sets, pm-0 and pm-10, with ImageNet's "
        "accuracy on the same classes on x.",
        tuple(
            Evidence(f"{words}, {atlas.TITLES[s]}", zero_shot_robustness(model, s, True), above=0)
            for model, words in (
                ("resnet50_clip_zeroshot", "RN50"),
                ("vit_b_32_clip_zeroshot", "ViT-B/32"),
            )
            for s in _VIDEO
        ),
        "test bed",
    ),
    PublicRule(
        69,
        "For each pre-training data set of at least three models, their mean lies above the line on the mean of the "
        "five shifts.",
        tuple(
            Evidence(f"{data}, mean height over the line", pretrained_robustness(data), above=0)
            for data in OTHERS
        ),
        _ZERO,
    ),
    PublicRule(
        70,
        "Uniform and greedy soup cost less than a point of ImageNet and win under shift against the run that is best "
        "on held-out images; and the uniform soup lies higher above the line than the runs do on average.",
        (
            *(
                Evidence(
                    f"{soup} soup minus the best run, {words}",
                    soup_over_best_run(f"{soup}_soup", *sets),
                    above=bound,
                )
                for soup in ("uniform", "greedy")
                for words, sets, bound in (
                    ("ImageNet", ("imagenet",), -1),
                    ("mean of the shifts", atlas.SHIFTS, 0),
                )
            ),
            Evidence(
                "uniform soup minus the runs, height over the line",
                soup_robustness_gain("uniform_soup"),
                above=0,
            ),
        ),
        _TUNED,
        "the accuracies of the soups and of the best run, from their paper; not the last number",
    ),
)
