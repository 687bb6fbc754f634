"""The atlas: what others measured on some 2,000 real models, and the line of effective robustness
through those that saw ImageNet alone.

Accuracies are fractions in 0 to 1, columns of one table. The line is fitted in logit space. Its
interval comes from a bootstrap over *families* of architectures: two ResNets have much of their
distance from the line in common, so counting each as an independent model would understate it.
Which models the line is fitted to is a choice, one of ``FITS``; state it, and show the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from wiseft_lite.analysis.robustness import (
    Baseline,
    difference_interval,
    fit_baseline,
    logit,
    mean_accuracy,
)
from wiseft_lite.errors import UserError, unknown
from wiseft_lite.metrics import Estimate, clopper_pearson

DATA = Path(__file__).resolve().parents[1] / "assets" / "atlas"
KINDS = (
    "ImageNet alone",
    "part of ImageNet",
    "more data",
    "robustness intervention",
    "zero-shot CLIP",
    "linear probe of CLIP",
    "fine-tuned CLIP",
    "soup",
)
SHIFTS = ("v2", "r", "sketch", "objectnet", "a")  # the paper's five
VIDEOS = ("vid_pm0", "vid_pm10", "ytbb_pm0", "ytbb_pm10")
TITLES = {
    "imagenet": "ImageNet",
    "v2": "ImageNetV2",
    "r": "ImageNet-R",
    "sketch": "ImageNet-Sketch",
    "objectnet": "ObjectNet",
    "a": "ImageNet-A",
    "vid_pm0": "ImageNet-Vid-Robust, pm-0",
    "vid_pm10": "ImageNet-Vid-Robust, pm-10",
    "ytbb_pm0": "YTBB-Robust, pm-0",
    "ytbb_pm10": "YTBB-Robust, pm-10",
}
IMAGES = {  # in each test set; of videos, the anchor frames
    "imagenet": 50_000,
    "v2": 10_000,
    "r": 30_000,
    "sketch": 50_889,
    "objectnet": 18_574,
    "a": 7_500,
    "vid_pm0": 1_109,
    "vid_pm10": 1_109,
    "ytbb_pm0": 2_169,
    "ytbb_pm10": 2_169,
}
OWN_CLASSES = {  # ImageNet's accuracy on the classes of a shift, where the test bed has it
    "r": "imagenet_on_r",
    "objectnet": "imagenet_on_objectnet",
    "a": "imagenet_on_a",
    "vid_pm0": "imagenet_on_vid",
    "vid_pm10": "imagenet_on_vid",
    "ytbb_pm0": "imagenet_on_ytbb",
    "ytbb_pm10": "imagenet_on_ytbb",
}
ACCURACIES = ("imagenet", *SHIFTS, *VIDEOS, *dict.fromkeys(OWN_CLASSES.values()))


@dataclass(frozen=True)
class Source:
    """Where rows of the atlas come from: a public repository at a fixed commit."""

    title: str
    repository: str
    commit: str
    licence: str


SOURCES = {
    "test bed": Source(
        "ImageNet test bed, Taori et al. 2020",
        "modestyachts/imagenet-testbed",
        "0170eec658d664289d9f61de8f90f967f49abca0",
        "MIT",
    ),
    "open_clip": Source(
        "open_clip, zero-shot results",
        "mlfoundations/open_clip",
        "89fb801f1e6087880e951fc8354b8a2077b79c6d",
        "MIT",
    ),
    "timm": Source(
        "timm, results on ImageNet and its shifts",
        "huggingface/pytorch-image-models",
        "aa4b5850c1543fa488abf260f18390eda46cf85d",
        "Apache-2.0",
    ),
    "model-soups": Source(
        "Model soups, Wortsman et al. 2022",
        "mlfoundations/model-soups",
        "d5398f181ea51c5cd9d95ebacc6ea7132bb108ec",
        "MIT",
    ),
}
FITS = {  # kinds and sources of the models that carry a line
    "standard": (("ImageNet alone",), ("test bed",)),  # as in the paper
    "all": (("ImageNet alone",), tuple(SOURCES)),
    "with-weak": (("ImageNet alone", "part of ImageNet"), tuple(SOURCES)),
}
ZERO_SHOT = "zero-shot"  # a line too, but no baseline
GROUPS = {**FITS, ZERO_SHOT: (("zero-shot CLIP",), ("open_clip",))}
DRAWS = 2000
FEWEST_FAMILIES = 5
STRAIGHT = 0.9  # a correlation in logit space below this is no line


@lru_cache(maxsize=1)
def _models() -> pd.DataFrame:
    table = pd.read_csv(DATA / "models.csv")
    text = ["model", "family", "pretraining", "duplicate_of"]
    table[text] = table[text].fillna("").astype(str)
    table["kind"] = pd.Categorical(table["kind"], KINDS)
    table["source"] = pd.Categorical(table["source"], list(SOURCES))
    table[list(ACCURACIES)] = table[list(ACCURACIES)].astype(float) / 100
    return table


def models() -> pd.DataFrame:
    """Return the atlas: a row per measured model.

    Returns:
        ``model, family, kind`` (one of ``KINDS``), ``pretraining`` (its data, where known),
        ``params`` in millions, ``size`` in pixels, the accuracies of ``ACCURACIES`` as fractions,
        not a number where nobody measured, ``source`` (a key of ``SOURCES``), and
        ``duplicate_of``, the test bed's name of the same weights.

    Source: the repositories in ``SOURCES``; the rules of the kinds are in
        ``data_scripts/atlas_kinds.py``.

    Example:
        >>> row = models().set_index("model").loc["ViT-L-14-336, openai"]
        >>> row["kind"], row["source"], round(float(row["a"]), 3)
        ('zero-shot CLIP', 'open_clip', 0.775)
    """
    return _models().copy()


def finetunings() -> pd.DataFrame:
    """Return 71 fine-tunings of one CLIP ViT-B/32 on ImageNet with their hyperparameters.

    Returns:
        ``model, lr, wd, epochs, aug`` (RandAugment's setting, empty without), ``mixup, smoothing``;
        accuracies as fractions: ``minival`` (held-out images of ImageNet's training set),
        ``imagenet``, the five shifts, and ``shifts``, their mean; and ``augmentation``,
        RandAugment's operations per image times their magnitude.

    Source: Wortsman et al. 2022, "Model soups", and its repository.

    Example:
        >>> table = finetunings()
        >>> len(table), round(float(table["imagenet"].max()), 3)
        (71, 0.804)
    """
    table = pd.read_csv(DATA / "finetunings.csv").fillna({"aug": ""})
    columns = ["minival", "imagenet", *SHIFTS]
    table[columns] = table[columns] / 100
    setting = table["aug"].str.extract(r"rand-m(\d+)-n(\d+)").astype(float).fillna(0.0)
    return table.assign(
        shifts=table[list(SHIFTS)].mean(axis=1), augmentation=setting[0] * setting[1]
    )


def members(fit: str = "standard") -> pd.DataFrame:
    """Return the models that a line is fitted to, each once.

    Args:
        fit: a key of ``FITS``, or ``ZERO_SHOT`` for open_clip's zero-shot models.

    Raises:
        UserError: no such fit.
    """
    if fit not in GROUPS:
        raise unknown("choice of baseline models", fit, GROUPS)
    kinds, sources = GROUPS[fit]
    table = _models()
    chosen = table["kind"].isin(kinds) & table["source"].isin(sources)
    return table[chosen & (table["duplicate_of"] == "")]


@dataclass(frozen=True)
class Line:
    """A baseline with the bootstrap over its families.

    Args:
        shifts: on y, one or the mean of several.
        reference: the column on x.
        baseline: the line; its ``scatter.noise`` is the residual spread in logits.
        r: correlation of the models in logit space.
        families: number of families of architectures.
        reach: lowest and highest reference accuracy of a model.
        draws: slope, intercept and correlation through resampled families, ``[draws, 3]``.
    """

    shifts: tuple[str, ...]
    reference: str
    baseline: Baseline
    r: float
    families: int
    reach: tuple[float, float]
    draws: np.ndarray

    def __call__(self, reference: float) -> float:
        return self.baseline(reference)

    @property
    def n(self) -> int:
        """The number of models."""
        return self.baseline.scatter.n if self.baseline.scatter else 2

    def resampled(self, reference: float) -> np.ndarray:
        """Return the predictions of the resampled lines in logits, ``[draws]``."""
        return self.draws[:, :2] @ np.array([logit(reference), 1.0])

    def interval(self, reference: float, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the line's prediction.

        In logit space: the prediction plus and minus ``t`` bootstrap standard errors, ``t`` with
        two degrees of freedom less than there are families.

        Args:
            reference: an accuracy, taken as known.
            level: of the interval.
        """
        from scipy.special import expit

        middle = self.baseline.slope * logit(reference) + self.baseline.intercept
        half = self.errors(level) * self.resampled(reference).std(ddof=1)
        return float(expit(middle - half)), float(expit(middle + half))

    def errors(self, level: float) -> float:
        """Return how many bootstrap standard errors an interval reaches to either side."""
        from scipy.stats import t

        return float(t.ppf((1 + level) / 2, self.families - 2))

    def explained(self, level: float = 0.95) -> tuple[float, float, float]:
        """Return the fraction of the variance in logits that the line explains, ``r^2``, with its interval.

        The interval is that of ``artanh(r)``, by the bootstrap over families.
        """
        middle = np.arctanh(self.r)
        half = self.errors(level) * np.arctanh(self.draws[:, 2]).std(ddof=1)
        low, high = np.tanh([max(0.0, middle - half), middle + half])
        return self.r**2, float(low**2), float(high**2)


def fit_line(
    reference: Sequence[float],
    shift: Sequence[float],
    families: Sequence[str],
    shifts: tuple[str, ...] = (),
    column: str = "imagenet",
    draws: int = DRAWS,
) -> Line:
    """Fit a line in logit space with an interval from a bootstrap over families.

    Args:
        reference: accuracies on the reference, one per model.
        shift: accuracies of the same models under shift.
        families: the family of each model; whole families are resampled.
        shifts: names of what is on y.
        column: name of what is on x.
        draws: bootstrap samples.

    Raises:
        UserError: fewer than five families, or as ``robustness.fit_baseline``.

    Source: Taori et al. 2020, section 3, for the line; Field and Welsh 2007, "Bootstrapping
        clustered data", for the bootstrap.

    Example:
        >>> x = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
        >>> line = fit_line(x, [0.2, 0.3, 0.38, 0.5, 0.57, 0.7], list("abcdef"))
        >>> round(line(0.5), 2), line.families
        (0.38, 6)
    """
    number, family = np.unique(np.asarray(families), return_inverse=True)
    if len(number) < FEWEST_FAMILIES:
        raise UserError(
            f"a line with an interval needs models of at least {FEWEST_FAMILIES} families, not {len(number)}"
        )
    baseline = fit_baseline(list(reference), list(shift))
    x, y = (np.array([logit(v) for v in values]) for values in (reference, shift))
    return Line(
        shifts,
        column,
        baseline,
        float(np.corrcoef(x, y)[0, 1]),
        len(number),
        (float(min(reference)), float(max(reference))),
        _resampled_lines(x, y, family, draws),
    )


def _resampled_lines(x: np.ndarray, y: np.ndarray, family: np.ndarray, draws: int) -> np.ndarray:
    """Return slope, intercept and correlation for each draw of as many families as there are.

    They need six sums, and these are sums over families.
    """
    families = int(family.max()) + 1
    x_0, y_0 = x.mean(), y.mean()
    u, v = x - x_0, y - y_0
    terms = (np.ones_like(u), u, v, u * u, u * v, v * v)
    sums = np.stack([np.bincount(family, term) for term in terms], axis=1)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(families, np.full(families, 1 / families), size=draws)
    n, of_u, of_v, of_uu, of_uv, of_vv = (counts @ sums).T
    xx, xy, yy = of_uu - of_u**2 / n, of_uv - of_u * of_v / n, of_vv - of_v**2 / n
    kept = (xx > 1e-9 * xx.max()) & (yy > 1e-9 * yy.max())  # a draw of one model has no line
    slope = xy[kept] / xx[kept]
    intercept = (of_v[kept] - slope * of_u[kept]) / n[kept] + y_0 - slope * x_0
    return np.stack([slope, intercept, xy[kept] / np.sqrt(xx[kept] * yy[kept])], axis=1)


def _inside(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Move accuracies of 0 and 1 by half an image, as they have no finite logit."""
    edges = pd.Series({name: 0.5 / IMAGES.get(name, IMAGES["imagenet"]) for name in accuracies})
    return accuracies.clip(edges, 1 - edges, axis=1)


@lru_cache(maxsize=128)
def _fitted(shifts: tuple[str, ...], fit: str, column: str) -> Line:
    table = members(fit)
    inside = _inside(table[[column, *shifts]]).dropna()
    families = table.loc[inside.index, "family"]
    return fit_line(inside[column], inside[list(shifts)].mean(axis=1), families, shifts, column)


def _shifts(shift: str | Iterable[str]) -> tuple[str, ...]:
    if shift == "shifts":
        return SHIFTS
    names = (shift,) if isinstance(shift, str) else tuple(shift)
    for name in names:
        if name not in (*SHIFTS, *VIDEOS):
            raise unknown("shift", name, ("shifts", *SHIFTS, *VIDEOS))
    return names


def reference_column(shift: str | Iterable[str], own_classes: bool) -> str:
    """Return what belongs on x: ImageNet, or ImageNet's accuracy on the shift's own classes."""
    names = _shifts(shift)
    return OWN_CLASSES.get(names[0], "imagenet") if own_classes and len(names) == 1 else "imagenet"


def line_through(
    fit: str, shift: str | Iterable[str] = "shifts", own_classes: bool = False
) -> Line:
    """Return the line through real models that were trained on ImageNet alone.

    ``logit(shift) = slope logit(ImageNet) + intercept``, by least squares.

    Args:
        fit: the models, a key of ``FITS``, or ``ZERO_SHOT`` for the line of zero-shot models.
        shift: one of ``SHIFTS`` or ``VIDEOS``, several of them for their mean, or ``"shifts"`` for
            the mean of the paper's five.
        own_classes: put ImageNet's accuracy on the classes of the shift on x, where it has classes
            of its own and the test bed measured it.

    Raises:
        UserError: an unknown shift or fit.

    Source: Taori et al. 2020, section 3; the WiSE-FT paper, figure 1.

    Example:
        >>> line = line_through("standard", "v2")
        >>> round(line(0.766), 3), [round(end, 3) for end in line.interval(0.766)]
        (0.645, [0.644, 0.646])
    """
    return _fitted(_shifts(shift), fit, reference_column(shift, own_classes))


def baseline(
    shift: str | Iterable[str] = "shifts", fit: str = "standard", own_classes: bool = False
) -> Line:
    """Return ``line_through``, with a warning where the models do not lie on a line.

    Args:
        shift: as in ``line_through``.
        fit: a key of ``FITS``.
        own_classes: as in ``line_through``.

    Returns:
        The line. The warning comes where the correlation of the models is below 0.9.

    Raises:
        UserError: an unknown shift or fit.
    """
    line = line_through(fit, shift, own_classes)
    if line.r < STRAIGHT:
        helps = line.reference == "imagenet" and reference_column(shift, True) != "imagenet"
        advice = "; own_classes=True compares the same classes on both axes" if helps else ""
        warnings.warn(
            f"{', '.join(line.shifts)}: the {line.n} models of {fit!r} hardly lie on a line (r = {line.r:.2f}), so "
            f"effective robustness means little here{advice}",
            stacklevel=2,
        )
    return line


def estimate(
    name: str, accuracy: float, images: int | None = None, level: float = 0.95
) -> Estimate:
    """Return an accuracy with its Clopper-Pearson interval on a test set.

    Args:
        name: of the test set, a key of ``IMAGES``.
        accuracy: a fraction.
        images: that it was measured on (default: all of the test set).
        level: of the interval.

    Raises:
        UserError: the accuracy is not in 0 to 1.

    Example:
        >>> round(estimate("a", 0.5).high, 3)
        0.511
    """
    if not 0 <= accuracy <= 1:
        raise UserError(
            f"an accuracy of {accuracy:g} on {TITLES[name]} is impossible; give a fraction in 0 to 1"
        )
    n = images or IMAGES[name]
    return Estimate(accuracy, n, *clopper_pearson(round(accuracy * n), n, level))


def effective_robustness(
    table: pd.DataFrame,
    shifts: Sequence[str] | None = None,
    fit: str = "standard",
    own_classes: bool = False,
    images: Mapping[str, int] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Place accuracies above or below the line of models that saw ImageNet alone.

    ``rho = shift - beta(ImageNet)``. The interval combines that of the shift's test images with
    that of the line; the reference accuracy is taken as known.

    Args:
        table: a row per model, accuracies as fractions: ``imagenet`` and at least one shift; the
            index names the rows. An accuracy that is not a number is left out.
        shifts: that count (default: all that the table has, and their mean if it has the five).
        fit: a key of ``FITS``.
        own_classes: as ``baseline``; needs its column in the table.
        images: in each test set, if not all of them.
        level: of the intervals.

    Returns:
        A row per row of the table and shift: ``row, shift, reference, accuracy, predicted,
        predicted_low, predicted_high, robustness, low, high``, and ``extrapolated``, whether no
        model that carries the line reaches this reference accuracy.

    Raises:
        UserError: no reference accuracy, no shift, an impossible accuracy.

    Source: Taori et al. 2020, equation 1; Zou and Donner 2008 for the interval.

    Example:
        >>> mine = pd.DataFrame({"imagenet": [0.766], "v2": [0.709]}, index=["mine"])
        >>> found = effective_robustness(mine).iloc[0]
        >>> found["row"], [round(float(found[c]), 3) for c in ("low", "robustness", "high")]
        ('mine', [0.055, 0.064, 0.073])
    """
    if "imagenet" not in table:
        raise UserError("no accuracy on ImageNet; effective robustness is measured against it")
    names = list(shifts or _measured_shifts(table))
    if not names:
        raise UserError(f"no accuracy on a shift; give at least one of {', '.join(SHIFTS)}")
    rows = []
    for name in names:
        parts = _shifts(name)
        line = baseline(name, fit, own_classes)
        for row, accuracies in table[[line.reference, *parts]].dropna().iterrows():
            reference = accuracies[line.reference]
            estimate("imagenet", reference)
            found = mean_accuracy(
                [
                    estimate(part, accuracies[part], (images or {}).get(part), level)
                    for part in parts
                ]
            )
            rows.append({"row": row, "shift": name, **_beyond(line, reference, found, level)})
    return pd.DataFrame(rows)


def _measured_shifts(table: pd.DataFrame) -> list[str]:
    found = [name for name in (*SHIFTS, *VIDEOS) if name in table and table[name].notna().any()]
    return [*found, "shifts"] if set(SHIFTS) <= set(found) else found


def _beyond(line: Line, reference: float, found: Estimate, level: float) -> dict:
    """Return one row of ``effective_robustness``."""
    edge = 0.5 / IMAGES["imagenet"]
    x = min(max(reference, edge), 1 - edge)
    predicted, bounds = line(x), line.interval(x, level)
    low, high = difference_interval(found, predicted, bounds)
    return {
        "reference": reference,
        "accuracy": found.accuracy,
        "predicted": predicted,
        "predicted_low": bounds[0],
        "predicted_high": bounds[1],
        "robustness": found.accuracy - predicted,
        "low": low,
        "high": high,
        "extrapolated": not line.reach[0] <= reference <= line.reach[1],
    }


def heights(shift: str, fit: str = "standard") -> pd.Series:
    """Return the effective robustness of every model of the atlas on one shift, a fraction.

    Args:
        shift: one of ``SHIFTS`` or ``VIDEOS``, or ``"shifts"``.
        fit: a key of ``FITS``.

    Returns:
        By the index of ``models()``, without the models that were not measured on it.
    """
    from scipy.special import expit
    from scipy.special import logit as logits

    parts = list(_shifts(shift))
    line = _fitted(tuple(parts), fit, "imagenet")
    inside = _inside(_models()[["imagenet", *parts]]).dropna()
    predicted = expit(line.baseline.slope * logits(inside["imagenet"]) + line.baseline.intercept)
    return inside[parts].mean(axis=1) - predicted


def percentile(value: float, shift: str, kind: str, fit: str = "standard") -> float | None:
    """Return the percentage of a kind's models whose effective robustness is below a value.

    Args:
        value: an effective robustness, a fraction.
        shift: as in ``heights``.
        kind: one of ``KINDS``.
        fit: a key of ``FITS``.

    Returns:
        In 0 to 100; None if no model of the kind was measured on the shift.

    Raises:
        UserError: no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind of model", kind, KINDS)
    found = heights(shift, fit)
    of_kind = found[_models().loc[found.index, "kind"] == kind]
    return None if of_kind.empty else float(100 * (of_kind < value).mean())


def nearest(accuracies: Mapping[str, float], most: int = 5) -> pd.DataFrame:
    """Return the models of the atlas that are most like one, by their accuracies.

    The distance is the root of the mean squared difference in logits, over all accuracies that are
    given; a model that lacks one of them is left out.

    Args:
        accuracies: fractions, by the names of ``IMAGES``.
        most: models to return.

    Returns:
        Rows of ``models()``, the nearest first, with the column ``distance`` in logits.

    Example:
        >>> nearest({"imagenet": 0.766, "v2": 0.709, "r": 0.891}, most=1)["model"].item()
        'ViT-L-14-336, openai'
    """
    from scipy.special import logit as logits

    names = list(accuracies)
    own = _inside(pd.DataFrame([accuracies], columns=names)).iloc[0]
    inside = _inside(_models()[names]).dropna()
    distance = (((logits(inside) - logits(own)) ** 2).mean(axis=1) ** 0.5).sort_values(
        kind="stable"
    )
    chosen = distance.index[:most]
    return _models().loc[chosen].assign(distance=distance[chosen])
