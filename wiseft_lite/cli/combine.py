"""``wiseft-lite interpolate`` and ``soup``: several checkpoints become one."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite.cli.evaluate import evaluate_splits, evaluating, metrics_of
from wiseft_lite.cli.options import (
    add_command,
    add_compute,
    add_device,
    add_layout,
    add_resume,
    add_task,
    compute_of,
    device_of,
    layout_of,
)
from wiseft_lite.cli.train import StatesFolder
from wiseft_lite.errors import UserError

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd

    from wiseft_lite.models import ImageClassifier
    from wiseft_lite.recipes import Compute
    from wiseft_lite.tasks import Task
    from wiseft_lite.weights import Weights


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
        "average fine-tuned checkpoints, all of them or a greedy choice, one in memory at a time",
        out="results/soup",
        distributed=True,
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="fine-tuned from the same zero-shot model: a checkpoint of this library; a file as for "
        "'wiseft-lite import', with the classes of the task; or the address of such a file, "
        "https://... or hf://OWNER/REPOSITORY[@REVISION]/FILE, with #sha256=HASH at its end to "
        "verify it. A download is deleted once it is read; a greedy soup reads each twice",
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
    add_resume(parser)
    add_task(parser)
    add_device(parser)
    add_compute(parser, trains=False)
    add_layout(parser.add_argument_group("files of other libraries"))


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
    from wiseft_lite._runtime import distributed

    if args.greedy_rule is not None and not args.greedy:
        raise UserError("--greedy-rule has no effect on a plain average; pass --greedy with it")
    rule = (args.greedy_rule or "paper") if args.greedy else None
    states = StatesFolder(args.out)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
    compute = compute_of(args)
    classifier, kept = _average(args, task, rule, states.path, compute)
    recipe = SoupRecipe(tuple(kept), "val" if rule else None, rule)
    distributed.main_only(
        lambda: checkpoints.save(classifier, args.out, recipe=recipe, overwrite=args.overwrite)
    )
    if distributed.is_main():
        for first in states.path.glob("first-*"):
            shutil.rmtree(first)
        states.remove()
    print(f"soup of {len(kept)} models")
    with evaluating(
        f"the soup is saved in {args.out}", "evaluate", args.out, task=args.task, data=args.data
    ):
        metrics = metrics_of(evaluate_splits(classifier, task.evaluation, compute))
    distributed.main_only(lambda: checkpoints.add_metrics(args.out, metrics))
    print(f"written: {args.out}")


def _average(
    args: argparse.Namespace, task: Task, rule: str | None, folder: Path, compute: Compute
) -> tuple[ImageClassifier, list[str]]:
    """Return the soup and its members.

    Args:
        args: the options.
        task: its ``val`` split scores the models of a greedy soup.
        rule: of the greedy soup; None averages all models.
        folder: for the progress.
        compute: how to compute the scores.
    """
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.interop import pools
    from wiseft_lite.merging import soups

    names, layout = args.checkpoints, layout_of(args)
    first = pools.read_first(names[0], task.class_names, folder, resume=args.resume, **layout).to(
        device_of(args)
    )
    pool = pools.Pool(names, first, **layout)

    def check(i: int, theta: Weights) -> None:
        if i and task.val is not None:
            both = f"{names[0]} and {names[i]}"
            connectivity.midpoint_barrier(first, first.with_weights(theta), task.val, names=both)

    how = {"folder": folder, "resume": args.resume, "check": check}
    if rule is None:
        return first.with_weights(soups.uniform_soup(pool, **how)), names
    held = task.split("val")
    score = soups.HeldOutAccuracy(first, held, compute=compute)
    theta, trace = soups.greedy_soup(pool, score, rule, **how)
    _show(trace, names, len(held))
    return first.with_weights(theta), [names[i] for i in trace["model"][trace["kept"]]]


def _show(trace: pd.DataFrame, names: list[str], n: int) -> None:
    """Print what the greedy soup tried and kept."""
    print(f"accuracy on 'val' in %, n={n}\nalone   with it  in the soup")
    for row in trace.itertuples():
        print(
            f"{100 * row.alone:5.1f}   {100 * row.with_it:5.1f}    "
            f"{'yes' if row.kept else 'no ':3}  {names[row.model]}"
        )
