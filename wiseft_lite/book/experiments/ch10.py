"""Chapter 10: other ways to keep the shifts, each compared with the line."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from wiseft_lite.analysis.calibration import calibrated, fit_temperature
from wiseft_lite.book import ledger
from wiseft_lite.book.experiments.ch03 import Frozen
from wiseft_lite.book.experiments.ch06 import wide
from wiseft_lite.book.experiments.common import n_shifts, percents
from wiseft_lite.book.ledger import Record
from wiseft_lite.book.runs import trained
from wiseft_lite.callbacks import Callback
from wiseft_lite.encoders import Clip, load_clip
from wiseft_lite.features import predict
from wiseft_lite.finetuning.prompts import COOP, learn_prompt
from wiseft_lite.losses import cross_entropy, distillation, l2_to
from wiseft_lite.merging.moving_averages import MovingAverages
from wiseft_lite.models import Head, ImageClassifier, freeze, last_blocks
from wiseft_lite.results import best_alpha
from wiseft_lite.sweeps import ALPHAS, sweep
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.training import PROBE, Recipe, finetune, fit, linear_probe
from wiseft_lite.weights import interpolate
from wiseft_lite.zeroshot import zero_shot_classifier

DECAYS = (0.9, 0.99, 0.997, 0.999)
# Times a squared distance of about 75: 0.08 and 0.8, beside a cross-entropy below 1.
STRENGTHS = (1e-3, 1e-2)
DISTILLATION_WEIGHTS = (0.3, 0.7)
BLOCKS, SHOTS = 2, 16
ON_TOP = ("EMA 0.99", "LP-FT", "strong augmentation")  # controls that get a line of their own
FEW_ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
PROBE_STRENGTHS, PROBE_DISTILLATION_WEIGHTS = (
    (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    (0.2, 0.4, 0.6, 0.8, 1.0),
)


def with_spring(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    callbacks: Sequence[Callback] = (),
    strength: float,
) -> ImageClassifier:
    """Fine-tune with an L2 penalty on the distance to the weights of ``classifier``."""
    return finetune(
        classifier,
        task,
        recipe,
        objective=l2_to(classifier.state_dict(), strength),
        callbacks=callbacks,
    )


def with_teacher(
    classifier: ImageClassifier,
    task: Task,
    recipe: Recipe,
    *,
    callbacks: Sequence[Callback] = (),
    weight: float,
) -> ImageClassifier:
    """Fine-tune with distillation from ``classifier``, weighted by ``weight``."""
    return finetune(
        classifier,
        task,
        recipe,
        objective=distillation(classifier, weight),
        callbacks=callbacks,
    )


def averaged(
    zero_shot: ImageClassifier,
    task: Task,
    recipe: Recipe,
    decays: Sequence[float] = DECAYS,
) -> tuple[ImageClassifier, MovingAverages]:
    """Fine-tune once and keep the moving averages of the run."""
    averages = MovingAverages(decays)
    return finetune(zero_shot, task, recipe, callbacks=[averages]), averages


def controls(
    clip: Clip, zero_shot: ImageClassifier, task: Task, recipe: Recipe
) -> Iterator[tuple[str, ImageClassifier]]:
    """Train and yield, by name, every control that chapters 4 and 5 do not have."""
    _, averages = averaged(zero_shot, task, recipe)
    for decay in averages.decays:
        yield f"EMA {decay:g}", zero_shot.with_weights(averages.debiased(decay))
        from_start = averages.started_at(zero_shot.state_dict(), decay)
        yield f"EMA {decay:g} from zero-shot", zero_shot.with_weights(from_start)
    for strength in STRENGTHS:
        yield (
            f"L2 {strength:g}",
            trained(zero_shot, task, recipe, partial(with_spring, strength=strength)),
        )
    for weight in DISTILLATION_WEIGHTS:
        yield (
            f"distillation {weight:g}",
            trained(zero_shot, task, recipe, partial(with_teacher, weight=weight)),
        )
    probe = linear_probe(zero_shot, task, replace(PROBE, seed=recipe.seed))
    yield "LP-FT", trained(probe, task, recipe)
    yield "last blocks", trained(freeze(zero_shot, last_blocks(zero_shot, BLOCKS)), task, recipe)
    yield (
        "encoder only",
        trained(freeze(zero_shot, lambda name: not name.startswith("head.")), task, recipe),
    )
    yield "strong augmentation", trained(zero_shot, task, replace(recipe, augment="strong"))
    yield (
        "CoOp",
        learn_prompt(clip, task.few_shot(SHOTS, recipe.seed), replace(COOP, seed=recipe.seed)),
    )


def recorded() -> pd.DataFrame:
    """Return the controls of earlier chapters: early stopping, learning rates, epochs, no crops."""
    curves, grid = ledger.table("ch04_curve"), ledger.table("ch05_grid")
    epochs = curves[curves["epoch"] > 0].reset_index(drop=True)
    stopped = epochs.loc[epochs.groupby("seed")["val"].idxmax()].assign(control="early stopping")
    others = grid[grid["setting"] != f"lr {Recipe().lr:g}"].rename(columns={"setting": "control"})
    both = pd.concat([stopped, others], ignore_index=True)
    return both.drop(columns=["epoch", "distance", "lr", "epochs", "augment"])


def between(line: pd.DataFrame) -> pd.DataFrame:
    """Interpolate a line linearly at 101 alphas."""
    alphas = np.linspace(line.index.min(), line.index.max(), 101)
    return pd.DataFrame(
        {column: np.interp(alphas, line.index, line[column]) for column in ("test", "shifts")},
        alphas,
    )


def offered(line: pd.DataFrame, reference: float) -> float:
    """Return the alpha that is best on the shifts with at least this accuracy on the reference.

    If no alpha reaches it, take the one with the highest accuracy on the reference.

    Args:
        line: a row for each alpha, its index; columns ``test`` and ``shifts`` in percent.
        reference: accuracy on the reference in percent.
    """
    return best_alpha(line.loc[line["test"] >= min(reference, line["test"].max()), "shifts"])


def gaps(part: pd.DataFrame, lines: Mapping[int, pd.DataFrame]) -> list[float]:
    """Return how far a control lies above the line on the shifts, in points, for each seed.

    ``offered`` gives one alpha, for the mean of the lines and the control's mean accuracy on the
    reference. Each run is compared with the line of its own seed at that alpha.

    Args:
        part: rows of one control, one for each seed.
        lines: a line for each seed.
    """
    fine = {seed: between(line) for seed, line in lines.items()}
    alpha = offered(sum(fine.values()) / len(fine), part["test"].mean())
    return [row.shifts - fine[row.seed].loc[alpha, "shifts"] for row in part.itertuples()]


def half_width(values: Sequence[float]) -> float:
    """Return half of the 95 % t-interval of the mean of a few values, such as one for each seed."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


def verdict(gaps: Sequence[float]) -> str:
    """Return ``"below"``, ``"above"``, or ``"on"`` if the interval of the gaps contains 0."""
    mean, half = float(np.mean(gaps)), half_width(gaps)
    if mean - half > 0:
        return "above"
    return "below" if mean + half < 0 else "on"


def scored(name: str, model: ImageClassifier, task: Task, seed: int) -> dict:
    """Return a row of the table of controls: accuracy in percent by split, and ``shifts``."""
    scores = percents(model, {"val": task.val, **task.evaluation})
    return {"control": name, "seed": seed, **scores, "shifts": scores[list(task.shifts)].mean()}


def probes(frozen: Frozen, seed: int) -> pd.DataFrame:
    """Compute the paper's figure 13 for heads on frozen features: line, L2, distillation."""
    start, (features, labels) = frozen.zero_shot.head, frozen.features["train"]

    def trained_head(objective=cross_entropy) -> Head:
        return fit(
            copy.deepcopy(start), features, labels, replace(PROBE, seed=seed), objective=objective
        )

    plain = trained_head()
    heads = []
    for alpha in ALPHAS:
        head = copy.deepcopy(start)
        head.load_state_dict(interpolate(start.state_dict(), plain.state_dict(), alpha))
        heads.append(("line", alpha, head))
    heads += [("L2", s, trained_head(l2_to(start.state_dict(), s))) for s in PROBE_STRENGTHS]
    heads += [
        ("distillation", s, trained_head(distillation(start, s)))
        for s in PROBE_DISTILLATION_WEIGHTS
    ]
    return pd.DataFrame(
        [
            {"kind": kind, "setting": setting, "seed": seed, **frozen.scores(head)}
            for kind, setting, head in heads
        ]
    )


def measured(
    clip: Clip,
    zero_shot: ImageClassifier,
    task: Task,
    first: ImageClassifier,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and score one seed's controls, and sweep the lines of some of them.

    Args:
        clip: for CoOp.
        zero_shot: where the controls start.
        task: gives the splits.
        first: the calibrated zero-shot model, the start of the line ``"calibrated"``.
        seed: of the training runs.

    Returns:
        ``scored`` of each control, and the sweeps.
    """
    recipe = Recipe(seed=seed)
    rows, ends = [], {"calibrated": (first, trained(zero_shot, task, recipe))}
    for name, model in controls(clip, zero_shot, task, recipe):
        rows.append(scored(name, model, task, seed))
        print(
            f"seed {seed}, {name}: test {rows[-1]['test']:.1f}, shifts {rows[-1]['shifts']:.1f}",
            flush=True,
        )
        if name in ON_TOP:
            ends[name] = zero_shot, model
    lines = [
        wide(sweep(start, end, task.evaluation, FEW_ALPHAS), task)
        .reset_index()
        .assign(control=name, seed=seed)
        for name, (start, end) in ends.items()
    ]
    return pd.DataFrame(rows), pd.concat(lines)


def run(record: Record, seeds: list[int]) -> None:
    task, clip = load_task("iconshift"), load_clip("iconclip")
    zero_shot = zero_shot_classifier(clip, task)
    n = {"test": len(task.test), "shifts": n_shifts(task), "emoji": len(task.shifts["emoji"])}
    whole = ledger.table("ch06_curves").query("kind == 'end-to-end'")
    line = {seed: wide(whole[whole["seed"] == seed], task) for seed in seeds}
    temperature = fit_temperature(predict(zero_shot, task.train), task.train.labels)
    frozen = Frozen(zero_shot, task)
    rows, lines, heads = [], [], []
    for seed in seeds:
        first = calibrated(zero_shot, temperature)
        scores, sweeps = measured(clip, zero_shot, task, first, seed)
        rows.append(scores)
        lines.append(sweeps)
        heads.append(probes(frozen, seed))
    table = pd.concat([*rows, recorded().query("seed in @seeds")], ignore_index=True)
    for _, part in table.groupby("control"):
        table.loc[part.index, "gap"] = gaps(part, line)
    record.tables |= {
        "ch10_controls": table,
        "ch10_lines": pd.concat(lines),
        "ch10_probes": pd.concat(heads),
    }

    def add(
        key: str, values: Sequence[float], unit: str, images: int, recipe: Recipe = Recipe()
    ) -> None:
        record.number(f"ch10.{key.replace(' ', '_')}", list(values), unit, images, seeds, recipe)

    for name, part in table.groupby("control", sort=False):
        for column, images in n.items():
            add(f"{name}.{column}", part[column], "percent", images)
        add(f"{name}.gap", part["gap"], "points", n["shifts"])
    middle = {
        column: np.array([line[s].loc[0.5, column] for s in seeds]) for column in ("test", "shifts")
    }
    for name, part in record.tables["ch10_lines"].groupby("control", sort=False):
        on_top_numbers(name, part, middle, n, add)
    own = {
        seed: part[part["kind"] == "line"].set_index("setting")
        for seed, part in zip(seeds, heads, strict=True)
    }
    for (kind, setting), part in record.tables["ch10_probes"].groupby(
        ["kind", "setting"], sort=False
    ):
        add(f"probe.{kind}.{setting:g}.gap", gaps(part, own), "points", n["shifts"], PROBE)
    record.number("ch10.temperature", temperature, "temperature", len(task.train))


def on_top_numbers(
    name: str,
    part: pd.DataFrame,
    middle: Mapping[str, np.ndarray],
    n: Mapping[str, int],
    add: Callable[..., None],
) -> None:
    """Record half way of a control's own line, over its end and over the plain line's middle."""
    for column in ("test", "shifts"):
        half, end = (part[part["alpha"] == alpha][column].to_numpy() for alpha in (0.5, 1.0))
        add(f"on_top.{name}.{column}", half, "percent", n[column])
        add(f"on_top.{name}.{column}.gain", half - end, "points", n[column])
        add(f"on_top.{name}.{column}.over_line", half - middle[column], "points", n[column])
