"""``wiseft-lite interpolate`` and ``soup``: several checkpoints become one."""

from __future__ import annotations

import argparse
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite.cli.evaluate import evaluate_splits, evaluating, metrics_of
from wiseft_lite.cli.options import (
    CHECKPOINT,
    add_command,
    add_compute,
    add_device,
    add_layout,
    add_resume,
    add_splits,
    add_task,
    compute_of,
    device_of,
    layout_of,
    limited,
    splits_of,
)
from wiseft_lite.cli.train import StatesFolder
from wiseft_lite.errors import UserError

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd

    from wiseft_lite.interop.pools import Pool
    from wiseft_lite.models import ImageClassifier
    from wiseft_lite.recipes import Compute
    from wiseft_lite.tasks import Split, Task
    from wiseft_lite.weights import Weights


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "interpolate",
        interpolate,
        "write the model at one alpha as a checkpoint",
        out="results/interpolated",
    )
    parser.add_argument("zero_shot", help=f"at alpha 0: {CHECKPOINT}")
    parser.add_argument("fine_tuned", help="at alpha 1: likewise")
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
        "'wiseft-lite import', with the classes of the task; the address of such a file, "
        "https://... or hf://OWNER/REPOSITORY[@REVISION]/FILE, with #sha256=HASH at its end to "
        'verify it; or published models, "model-soups/b32/*" for all 72. A download is deleted '
        "once it is read; a greedy soup reads each twice, and published models once",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep published models in the cache, some 0.5 GB for each ViT-B/32",
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
    parser.add_argument(
        "--rank",
        choices=("published", "val"),
        help="with --greedy, what models are ranked by: their published accuracies on held-out "
        "images, or the split that chooses (default: published if that is known of all, else val)",
    )
    parser.add_argument(
        "--choose-on",
        metavar="SPLIT",
        default="val",
        help="with --greedy, the split that chooses; its accuracy is then no test of the soup",
    )
    add_resume(parser)
    add_task(parser)
    add_splits(parser)
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
    from wiseft_lite.interop import published

    folders = [published.checkpoint_folder(s) for s in (args.zero_shot, args.fine_tuned)]
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
    from wiseft_lite.interop import published, reported

    if args.greedy_rule is not None and not args.greedy:
        raise UserError("--greedy-rule has no effect on a plain average; pass --greedy with it")
    names = published.expand(args.checkpoints)
    states, compute = StatesFolder(args.out), compute_of(args)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = splits_of(args, task)
        held = limited(args, task.split(args.choose_on)) if args.greedy else None
    if held is None:
        classifier, kept = _uniform(args, names, task, states.path), names
    else:
        _warn_if_trained_on(names, task, held)
        classifier, kept = _greedy(args, names, task, held, states.path, compute)
    recipe = SoupRecipe(
        tuple(kept),
        args.choose_on if args.greedy else None,
        (args.greedy_rule or "paper") if args.greedy else None,
    )
    distributed.main_only(
        lambda: checkpoints.save(classifier, args.out, recipe=recipe, overwrite=args.overwrite)
    )
    if distributed.is_main():
        for first in states.path.glob("first-*"):
            shutil.rmtree(first)
        states.remove()
    print(f"soup of {len(kept)} models")
    classifier = classifier.to(device_of(args))
    with evaluating(
        f"the soup is saved in {args.out}", "evaluate", args.out, task=args.task, data=args.data
    ):
        table = evaluate_splits(classifier, splits, compute)
    distributed.main_only(lambda: checkpoints.add_metrics(args.out, metrics_of(table)))
    reported.show(table, reported.soup_of(names, args.greedy), task.name)
    print(f"written: {args.out}")


def _pool(args: argparse.Namespace, names: list[str], task: Task, folder: Path) -> tuple[str, Pool]:
    """The place of the first model, and the pool of all."""
    from wiseft_lite.interop import pools

    layout = layout_of(args)
    place = pools.keep_first(
        names[0], task.class_names, folder, resume=args.resume, keep=args.keep, **layout
    )
    first = pools.read_classifier(place, task.class_names, **layout)
    return place, pools.Pool(names, first, place, args.keep, **layout)


def _uniform(
    args: argparse.Namespace, names: list[str], task: Task, folder: Path
) -> ImageClassifier:
    """Return the mean of all models, in the memory of two of them.

    Where the task has a ``val`` split, they are checked for a barrier on it, in that of three more.
    """
    from wiseft_lite.interop import pools
    from wiseft_lite.merging import soups

    place, pool = _pool(args, names, task, folder)
    check = None
    if task.val is not None:
        first = pools.read_classifier(place, task.class_names, **layout_of(args))
        check = _barrier_check(names, first.to(device_of(args)), task.val)
    mean = soups.uniform_soup(pool, folder=folder, resume=args.resume, check=check)
    return pool.first.with_weights(mean)


def _greedy(
    args: argparse.Namespace,
    names: list[str],
    task: Task,
    held: Split,
    folder: Path,
    compute: Compute,
) -> tuple[ImageClassifier, list[str]]:
    """Return the greedy soup and its members; models of known rank are tried in its order."""
    from wiseft_lite.interop import pools, reported
    from wiseft_lite.merging import soups

    place, pool = _pool(args, names, task, folder)
    first = pools.read_classifier(place, task.class_names, **layout_of(args)).to(device_of(args))
    score = soups.HeldOutAccuracy(first, held, compute=compute)
    by_published = args.rank == "published" or args.rank is None and reported.are_ranked(names)
    rank = reported.ranks(names) if by_published else None
    theta, trace = soups.greedy_soup(
        pool,
        score,
        args.greedy_rule or "paper",
        rank=rank,
        folder=folder,
        resume=args.resume,
        check=_barrier_check(names, first, held),
    )
    _show(trace, names, held, rank is not None)
    return first.with_weights(theta), [names[i] for i in trace["model"][trace["kept"]]]


def _warn_if_trained_on(names: list[str], task: Task, held: Split) -> None:
    """Warn if published models choose on images that they were trained on."""
    from wiseft_lite.interop import published

    if held.name == "val" and task.name == "imagenet" and any(map(published.is_published, names)):
        warnings.warn(
            "'val' of the task imagenet is drawn from its training images, and published models were "
            "trained on most of these; choose on other images with --choose-on, such as v2, and do not "
            "report on those",
            stacklevel=2,
        )


def _barrier_check(
    names: list[str], first: ImageClassifier, held: Split
) -> Callable[[int, Weights], None]:
    """A function that warns of a model which the first is not connected to."""
    from wiseft_lite.analysis import connectivity

    def check(i: int, theta: Weights) -> None:
        if i:
            both = f"{names[0]} and {names[i]}"
            connectivity.midpoint_barrier(first, first.with_weights(theta), held, names=both)

    return check


def _show(trace: pd.DataFrame, names: list[str], held: Split, published: bool) -> None:
    """Print what the greedy soup tried and kept."""
    print(
        f"accuracy on {held.name!r} in %, n={len(held)}"
        + (", alone: published, on the authors' own held-out images" if published else "")
    )
    print("alone   with it  in the soup")
    for row in trace.itertuples():
        print(
            f"{100 * row.alone:5.1f}   {100 * row.with_it:5.1f}    "
            f"{'yes' if row.kept else 'no ':3}  {names[row.model]}"
        )
