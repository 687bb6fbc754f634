"""``wiseft-lite interpolate`` and ``soup``: several checkpoints become one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite.cli.evaluate import evaluate_splits, evaluating, metrics_of
from wiseft_lite.cli.options import add_command, add_device, add_task, device_of
from wiseft_lite.errors import UserError

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "interpolate",
        interpolate,
        "write the model at one alpha as a checkpoint",
        out="results/interpolated",
    )
    parser.add_argument("zero_shot", type=Path, help="checkpoint at alpha 0")
    parser.add_argument("fine_tuned", type=Path, help="checkpoint at alpha 1")
    parser.add_argument(
        "--alpha", type=float, default=0.5, help="weight of the fine-tuned checkpoint"
    )
    parser = add_command(
        commands,
        "soup",
        soup,
        "average fine-tuned checkpoints, all of them or a greedy choice",
        out="results/soup",
    )
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="fine-tuned from the same zero-shot model",
    )
    parser.add_argument(
        "--greedy",
        action="store_true",
        help="from the best model down, add a model only if the accuracy on val does not fall",
    )
    parser.add_argument(
        "--greedy-rule",
        choices=("paper", "code"),
        help="with --greedy, where two accuracies are equal: paper adds the model, as the paper's "
        "text does; code leaves it out, as the authors' code does (default: paper)",
    )
    add_task(parser)
    add_device(parser)


@dataclass(frozen=True)
class InterpolationRecipe:
    """How an interpolated model was made, for its card."""

    zero_shot: str
    fine_tuned: str
    alpha: float


def interpolate(args: argparse.Namespace) -> None:
    """Write the model at one alpha."""
    from wiseft_lite import checkpoints, weights

    folders = (args.zero_shot, args.fine_tuned)
    checkpoints.check_same_start({str(folder): folder for folder in folders})
    zero_shot, fine_tuned = map(checkpoints.load, folders)
    theta = weights.interpolate(zero_shot.state_dict(), fine_tuned.state_dict(), args.alpha)
    recipe = InterpolationRecipe(str(args.zero_shot), str(args.fine_tuned), args.alpha)
    checkpoints.save(
        zero_shot.with_weights(theta), args.out, recipe=recipe, overwrite=args.overwrite
    )
    print(f"written: {args.out}, the model at alpha {args.alpha:g}")


@dataclass(frozen=True)
class SoupRecipe:
    """How a soup was made, for its card."""

    ingredients: tuple[str, ...]
    chosen_on: str | None
    greedy_rule: str | None


def soup(args: argparse.Namespace) -> None:
    """Average checkpoints, save the soup, then evaluate it."""
    from wiseft_lite import checkpoints, tasks
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.merging import soups

    if args.greedy_rule is not None and not args.greedy:
        raise UserError("--greedy-rule has no effect on a plain average; pass --greedy with it")
    rule = (args.greedy_rule or "paper") if args.greedy else None
    task, folders = tasks.load_task(args.task, args.data), args.checkpoints
    checkpoints.check_same_start({str(folder): folder for folder in folders})
    classifier = checkpoints.load(folders[0], device_of(args), task.class_names)
    for folder in folders[1:]:
        other = checkpoints.load(folder, device_of(args))
        names = f"{folders[0]} and {folder}"
        connectivity.midpoint_barrier(classifier, other, task.val, names=names)
    stored, kept = soups.Stored(folders), folders
    if rule is None:
        theta = soups.uniform_soup(stored)
    else:
        score = soups.held_out_accuracy(classifier, task.val)
        theta, trace = soups.greedy_soup(stored, score, rule)
        kept = [folders[i] for i in trace["model"][trace["kept"]]]
    classifier = classifier.with_weights(theta)
    recipe = SoupRecipe(tuple(map(str, kept)), "val" if rule else None, rule)
    checkpoints.save(classifier, args.out, recipe=recipe, overwrite=args.overwrite)
    if rule is not None:
        _show(trace, folders, len(task.val))
    print(f"soup of {len(kept)} models")
    with evaluating(
        f"the soup is saved in {args.out}", "evaluate", args.out, task=args.task, data=args.data
    ):
        metrics = metrics_of(evaluate_splits(classifier, task.evaluation))
    checkpoints.add_metrics(args.out, metrics)
    print(f"written: {args.out}")


def _show(trace: pd.DataFrame, folders: list[Path], n: int) -> None:
    """Print what the greedy soup tried and kept."""
    print(f"accuracy on 'val' in %, n={n}\nalone   with it  in the soup")
    for row in trace.itertuples():
        print(
            f"{100 * row.alone:5.1f}   {100 * row.with_it:5.1f}    "
            f"{'yes' if row.kept else 'no ':3}  {folders[row.model]}"
        )
