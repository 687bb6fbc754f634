"""What ``wiseft-lite interpolate`` and ``wiseft-lite soup`` do: several checkpoints become one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from wiseft_lite.cli.commands import device_of, metrics_of, report, saved


@dataclass(frozen=True)
class Line:
    """What the card of a model between two others says in place of a training recipe."""

    zero_shot: str
    fine_tuned: str
    alpha: float


def interpolate(args: argparse.Namespace) -> None:
    """The model at one alpha, as a checkpoint."""
    from wiseft_lite import checkpoints
    from wiseft_lite.weights import interpolate as mixed

    checkpoints.check_same_start(
        {str(folder): folder for folder in (args.zero_shot, args.fine_tuned)}
    )
    zero_shot, fine_tuned = (
        checkpoints.load(folder) for folder in (args.zero_shot, args.fine_tuned)
    )
    theta = mixed(zero_shot.state_dict(), fine_tuned.state_dict(), args.alpha)
    recipe = Line(str(args.zero_shot), str(args.fine_tuned), args.alpha)
    checkpoints.save(
        zero_shot.with_weights(theta), args.out, recipe=recipe, overwrite=args.overwrite
    )
    print(f"written: {args.out}, the model at alpha {args.alpha:g}")


@dataclass(frozen=True)
class SoupRecipe:
    """What a soup's card says in place of a training recipe."""

    ingredients: tuple[str, ...]
    chosen_on: str | None


def soup(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, tasks
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.merging import soups

    task = tasks.load_task(args.task, args.data)
    checkpoints.check_same_start({str(folder): folder for folder in args.checkpoints})
    stored, kept = soups.Stored(args.checkpoints), args.checkpoints
    classifier = checkpoints.load(args.checkpoints[0], device_of(args), task.class_names)
    for folder in args.checkpoints[1:]:
        other = checkpoints.load(folder, device_of(args))
        connectivity.midpoint_barrier(
            classifier, other, task.val, names=f"{args.checkpoints[0]} and {folder}"
        )
    if args.greedy:
        theta, trace = soups.greedy_soup(stored, soups.held_out_accuracy(classifier, task.val))
        kept = [args.checkpoints[i] for i in trace["model"][trace["kept"]]]
    else:
        theta = soups.uniform_soup(stored)
    classifier = classifier.with_weights(theta)
    recipe = SoupRecipe(tuple(map(str, kept)), "val" if args.greedy else None)
    checkpoints.save(classifier, args.out, recipe=recipe, overwrite=args.overwrite)
    if args.greedy:
        print(f"accuracy on 'val' in %, n={len(task.val)}\nalone   with it  in the soup")
        for row in trace.itertuples():
            print(
                f"{100 * row.alone:5.1f}   {100 * row.with_it:5.1f}    {'yes' if row.kept else 'no ':3}  "
                f"{args.checkpoints[row.model]}"
            )
    print(f"soup of {len(kept)} models")
    with saved(f"the soup is saved in {args.out}", "evaluate", args.out, args=args):
        metrics = metrics_of(report(classifier, task.evaluation))
    checkpoints.add_metrics(args.out, metrics)
    print(f"written: {args.out}")
