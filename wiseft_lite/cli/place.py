"""``wiseft-lite place``: a model, or a curve of alpha, among the models of the atlas."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite._runtime.outputs import check_file, new_file
from wiseft_lite.cli.evaluate import check_figure
from wiseft_lite.cli.options import add_command
from wiseft_lite.errors import UserError

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd

SETS = (  # as in analysis.atlas
    "imagenet",
    "v2",
    "r",
    "sketch",
    "objectnet",
    "a",
    "vid_pm0",
    "vid_pm10",
    "ytbb_pm0",
    "ytbb_pm10",
)
SPLITS = {  # of the tasks whose results can be placed, by the name of the set
    "imagenet": {"test": "imagenet", **{name: name for name in SETS[1:6]}},
    "vid-robust": {"test": "imagenet", "pm-0": "vid_pm0", "pm-10": "vid_pm10"},
    "ytbb-robust": {"test": "imagenet", "pm-0": "ytbb_pm0", "pm-10": "ytbb_pm10"},
}
SPLITS["imagenet-shifts"] = SPLITS["imagenet"]
ROW = ("accuracy", "predicted", "predicted_low", "predicted_high", "robustness", "low", "high")


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "place",
        place,
        "place a model, or a curve of alpha, among some 2,000 published models: effective robustness "
        "on each shift with its interval, a figure and a row of JSON",
        out="results/placed.png",
        check=check_both,
    )
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        help="results of 'evaluate' or 'sweep' on the task imagenet, imagenet-shifts, vid-robust or "
        "ytbb-robust; or give accuracies below",
    )
    for name in SETS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, metavar="PERCENT", help=f"accuracy on {name}"
        )
    parser.add_argument("--name", default="yours", help="of the model, if accuracies are given")
    parser.add_argument(
        "--kind",
        help="kind of models among which the percentile counts (default: zero-shot CLIP at alpha 0 of "
        "a curve, else fine-tuned CLIP)",
    )
    parser.add_argument(
        "--baseline",
        choices=("standard", "all", "with-weak"),
        default="standard",
        help="models that carry the line: standard ones of the test bed, all that saw ImageNet alone, "
        "or those and weak ones",
    )


def check_both(path: Path, overwrite: bool) -> None:
    """Raise if the figure, or the row of JSON beside it, could not be written."""
    check_figure(path, overwrite)
    check_file(path.with_suffix(".jsonl"), overwrite)


def place(args: argparse.Namespace) -> None:
    """Print where each model stands, and write the rows of JSON and the figure."""
    from wiseft_lite.analysis import atlas

    if args.kind is not None and args.kind not in atlas.KINDS:
        raise UserError(f"--kind {args.kind!r} is unknown; choose one of: {', '.join(atlas.KINDS)}")
    models, images = own_models(args)
    if "imagenet" not in models:
        raise UserError(
            "no accuracy on ImageNet, against which effective robustness is measured; give --imagenet, or "
            "measure the split test"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = atlas.effective_robustness(models, fit=args.baseline, images=images)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        warnings.warn(text, stacklevel=2)
    rows = [_row(models.loc[label], found[found["row"] == label], args) for label in models.index]
    for row in rows:
        _show(row)
    target = args.out.with_suffix(".jsonl")
    with new_file(target, overwrite=True) as part:
        part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _draw(models, args)
    print(f"written: {target} and {args.out}")


def own_models(args: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the models to place, a row each, and the number of images of each set.

    Returns:
        Columns ``run, alpha`` and the accuracies as fractions; and the images by set.

    Raises:
        UserError: nothing was given, an accuracy is impossible, or a results file is of other data.
    """
    import pandas as pd

    given = _given(args)
    if args.results is None:
        if not given:
            raise UserError("nothing to place; give a results file, or --imagenet and a shift")
        return pd.DataFrame([{"run": args.name, "alpha": None, **given}]), {}
    models, images = _from_results(args.results)
    twice = [name for name in given if name in models]
    if twice:
        raise UserError(f"{args.results} and --{twice[0]} both give that accuracy; leave one out")
    if given and len(models) > 1:
        raise UserError(
            f"{args.results} has {len(models)} models, and --{next(iter(given))} is that of one; measure it "
            "in the same sweep"
        )
    return models.assign(**given), images


def _given(args: argparse.Namespace) -> dict[str, float]:
    """Return the accuracies of the command line as fractions."""
    given = {name: getattr(args, name) for name in SETS if getattr(args, name) is not None}
    for name, percent in given.items():
        if not 0 <= percent <= 100:
            raise UserError(
                f"--{name.replace('_', '-')} {percent:g} is no accuracy; give a percentage from 0 to 100"
            )
    if given and max(given.values()) <= 1:
        raise UserError(
            "all accuracies are at most 1, so they look like fractions; give percentages such as 76.2"
        )
    return {name: percent / 100 for name, percent in given.items()}


def _from_results(path: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a row per run and alpha of a results file, and the images of each set."""
    import pandas as pd

    from wiseft_lite.results import read_runs

    parts, images = [], {}
    for label, run in read_runs(path, alpha=1.0).items():
        task = str(run["task"].iloc[0]) if "task" in run else "imagenet"
        names = _names(path, task, run)
        known = run[run["split"].isin(list(names))]
        for split, n in known.groupby("split")["n"].min().items():
            images[names[split]] = int(n)
        wide = known.pivot(index="alpha", columns="split", values="accuracy").rename(columns=names)
        alphas = wide.index if len(wide) > 1 else [None]
        parts.append(wide.reset_index(drop=True).assign(run=label, alpha=alphas))
    return pd.concat(parts, ignore_index=True), images


def _names(path: Path, task: str, table: pd.DataFrame) -> dict[str, str]:
    """Return the sets of the atlas that a task measured, by the name of the split.

    Raises:
        UserError: the atlas does not know the task, or none of the splits.
    """
    if task not in SPLITS:
        raise UserError(
            f"{path} has results of the task {task!r}, which the atlas does not know; it knows "
            f"{', '.join(SPLITS)}"
        )
    splits = set(table["split"])
    names = {split: name for split, name in SPLITS[task].items() if split in splits}
    if set(names) <= {"test"}:
        raise UserError(
            f"{path} has no shift of ImageNet but {', '.join(sorted(splits))}; the atlas knows "
            f"{', '.join(SPLITS[task])}"
        )
    left = sorted(splits - set(names) - {"val"})
    if left:
        warnings.warn(f"{path}: {', '.join(left)} not placed; the atlas lacks it", stacklevel=4)
    return names


def _row(model: pd.Series, found: pd.DataFrame, args: argparse.Namespace) -> dict:
    """Return the JSON of one model."""
    from wiseft_lite.analysis import atlas

    measured = {
        name: float(model[name]) for name in SETS if name in model and model[name] == model[name]
    }
    alpha = model["alpha"]
    alpha = None if alpha is None or alpha != alpha else float(alpha)
    kind = args.kind or ("zero-shot CLIP" if alpha == 0 else "fine-tuned CLIP")
    shifts = {}
    for _, row in found.iterrows():
        shifts[row["shift"]] = {
            **{name: round(float(row[name]), 5) for name in ROW},
            "extrapolated": bool(row["extrapolated"]),
            "percentile": atlas.percentile(row["robustness"], row["shift"], kind, args.baseline),
        }
    near = atlas.nearest(measured)
    return {
        "name": str(model["run"]),
        "alpha": alpha,
        "kind": kind,
        "baseline": args.baseline,
        **{name: round(value, 5) for name, value in measured.items()},
        "shifts": shifts,
        "nearest": [
            {"model": m, "kind": str(k), "source": str(s), "distance": round(float(d), 4)}
            for m, k, s, d in zip(
                near["model"], near["kind"], near["source"], near["distance"], strict=True
            )
        ],
    }


def _show(row: dict) -> None:
    """Print where one model stands."""
    at = "" if row["alpha"] is None else f", alpha {row['alpha']:g}"
    print(f"{row['name']}{at}: {100 * row['imagenet']:.1f} % on ImageNet")
    for shift, found in row["shifts"].items():
        among = found["percentile"]
        rank = f"above {among:.0f} % of {row['kind']}" if among is not None else ""
        far = ", beyond the models of the line" if found["extrapolated"] else ""
        print(
            f"  {shift:10} {100 * found['accuracy']:5.1f} %, line {100 * found['predicted']:5.1f} %: "
            f"{100 * found['robustness']:+6.1f} points [{100 * found['low']:+.1f}, "
            f"{100 * found['high']:+.1f}]   {rank}{far}"
        )
    names = "; ".join(f"{near['model']} ({near['kind']})" for near in row["nearest"][:3])
    print(f"  nearest: {names or 'no model was measured on all of these'}")


def _draw(models: pd.DataFrame, args: argparse.Namespace) -> None:
    """Write the figure: one panel for each shift, and the mean of the five if all were measured."""
    from wiseft_lite.analysis import atlas, atlas_figure
    from wiseft_lite.figures import save

    shifts = [name for name in SETS[1:] if name in models and models[name].notna().any()]
    if set(atlas.SHIFTS) <= set(shifts):
        shifts.append("shifts")
    curves = {
        str(label): rows.sort_values("alpha") for label, rows in models.groupby("run", sort=False)
    }
    figure = atlas_figure.draw(
        shifts, curves, (args.baseline,), columns=1 if len(shifts) == 1 else 2
    )
    save(figure, args.out)
