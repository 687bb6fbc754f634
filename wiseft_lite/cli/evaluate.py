"""``wiseft-lite evaluate``, ``sweep`` and ``plot``: accuracies of checkpoints, and their figure."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite._runtime.outputs import check_file
from wiseft_lite.cli.options import (
    CHECKPOINT,
    add_command,
    add_compute,
    add_device,
    add_splits,
    add_task,
    compute_of,
    device_of,
    splits_of,
)
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Compute

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd

    from wiseft_lite.models import ImageClassifier
    from wiseft_lite.tasks import Split

FIGURES = (".png", ".svg", ".pdf")


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "evaluate",
        evaluate,
        "evaluate a checkpoint on the splits of a task",
        out="results/evaluate.jsonl",
        check=check_file,
        distributed=True,
    )
    parser.add_argument("checkpoint", help=CHECKPOINT)
    add_task(parser)
    add_splits(parser)
    add_device(parser)
    add_compute(parser, trains=False)
    _add_sweep(commands)
    parser = add_command(
        commands,
        "plot",
        plot,
        "draw reference accuracy against accuracy under shift, for each run in a results file",
        out="results/frontier.png",
        check=check_figure,
    )
    parser.add_argument("results", type=Path, help="a results.jsonl of demo, run or sweep")


def _add_sweep(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "sweep",
        sweep,
        "evaluate the models interpolated between two checkpoints",
        out="results/sweep.jsonl",
        check=check_file,
        distributed=True,
    )
    parser.add_argument("zero_shot", help=f"at alpha 0: {CHECKPOINT}")
    parser.add_argument("fine_tuned", help="at alpha 1: likewise")
    add_task(parser)
    add_splits(parser)
    add_device(parser)
    add_compute(parser, trains=False)
    add_alphas(parser)


def add_alphas(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sweep: where on the line, and with how many forward passes."""
    parser.add_argument(
        "--alphas", default="0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1", help="comma-separated"
    )
    parser.add_argument(
        "--passes",
        type=passes_in,
        metavar="K",
        help="an odd number such as 5: run only K models and interpolate their logits; or adaptive: "
        "three, and more on images whose predicted class is in doubt (default: run every alpha)",
    )


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint; a results file is written once every split has been evaluated."""
    from wiseft_lite import checkpoints, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite._runtime.precision import precision_name
    from wiseft_lite.interop import published, reported
    from wiseft_lite.results import write_results

    device, compute = device_of(args), compute_of(args)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = splits_of(args, task)
        folder = published.checkpoint_folder(args.checkpoint)
        classifier = checkpoints.load(folder, device, task.class_names)
    table = evaluate_splits(classifier, splits, compute).assign(
        model=str(args.checkpoint),
        task=task.name,
        precision=precision_name(device, compute.precision),
    )
    distributed.main_only(lambda: write_results(table, args.out))
    reported.show(table, reported.name_of(folder), task.name)
    print(f"written: {args.out}")


def evaluate_splits(
    classifier: ImageClassifier, splits: Mapping[str, Split], compute: Compute = Compute()
) -> pd.DataFrame:
    """Evaluate splits one after the other and print each result as soon as it is known.

    Returns:
        One row for each split: ``split``, the fields of ``Estimate`` and ``classes``.

    Raises:
        UserError: a split cannot be evaluated; the message names it.
    """
    import pandas as pd

    from wiseft_lite.features import predict

    rows = []
    for name, split in splits.items():
        try:
            result = split.score(split.predicted(predict(classifier, split, compute=compute)))
        except UserError as error:
            raise UserError(f"split {name!r}: {error}") from error
        classes = split.count_classes(len(classifier.class_names))
        rows.append({"split": name, **asdict(result), "classes": classes})
        print(
            f"{name:17} {100 * result.accuracy:5.1f} %   "
            f"[{100 * result.low:.1f}, {100 * result.high:.1f}]   n={result.n}",
            flush=True,
        )
    return pd.DataFrame(rows)


def metrics_of(table: pd.DataFrame) -> dict[str, float]:
    """The accuracies of ``evaluate_splits`` as the card of a checkpoint stores them."""
    return dict(table[["split", "accuracy"]].itertuples(index=False))


@contextmanager
def evaluating(
    what: str, command: str, *words: object, task: str, data: Path | None
) -> Iterator[None]:
    """Add to an error where the trained model is saved, and the command that evaluates it.

    Args:
        what: the statement that it is saved.
        command: that evaluates it, with its ``words``.
        task: its task.
        data: its folder of data sets.
    """
    try:
        yield
    except UserError as error:
        options = ("--task", task) if data is None else ("--task", task, "--data", data)
        again = shlex.join(map(str, ("wiseft-lite", command, *words, *options)))
        raise UserError(
            f"{error}; {what}, but not evaluated: fix that, then type: {again}"
        ) from error


def sweep(args: argparse.Namespace) -> None:
    """Evaluate every alpha, and warn if the two checkpoints are not connected."""
    from wiseft_lite import checkpoints, sweeps, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite._runtime.precision import precision_name
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.interop import published
    from wiseft_lite.results import show_table, write_results
    from wiseft_lite.weights import relative_distance

    alphas, device, compute = alphas_in(args.alphas), device_of(args), compute_of(args)
    if args.passes is not None:
        sweeps.pass_nodes(args.passes, alphas)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = splits_of(args, task)
        folders = [published.checkpoint_folder(s) for s in (args.zero_shot, args.fine_tuned)]
        zero_shot, fine_tuned = (
            checkpoints.load(folder, device, task.class_names) for folder in folders
        )
    checkpoints.check_same_start({str(args.zero_shot): zero_shot, str(args.fine_tuned): fine_tuned})
    distance = relative_distance(zero_shot.state_dict(), fine_tuned.state_dict())
    free = connectivity.MIDPOINT if args.passes is not None else ()  # passes run there anyway
    evaluated = sorted({*alphas, *free})
    has_midpoint = {*connectivity.MIDPOINT} <= {*evaluated}
    if not has_midpoint:
        held = next(iter(splits.values())) if task.val is None else task.val
        connectivity.midpoint_barrier(zero_shot, fine_tuned, held)
    curve = sweeps.sweep(
        zero_shot,
        fine_tuned,
        splits,
        evaluated,
        progress=True,
        passes=args.passes,
        compute=compute,
    )
    table = curve[curve["alpha"].isin(alphas)].reset_index(drop=True)
    labelled = table.assign(
        model=str(args.fine_tuned),
        task=task.name,
        precision=precision_name(device, compute.precision),
    )
    distributed.main_only(lambda: write_results(labelled, args.out))
    if not distributed.is_main():
        return
    if has_midpoint:
        connectivity.midpoint_barrier_of_sweep(curve, distance)
    show_table(table)
    _show_published(table, folders, task.name)
    print(f"written: {args.out}")


def _show_published(table: pd.DataFrame, ends: list[Path], task: str) -> None:
    """Print published accuracies of models on the line between two checkpoints beside ours."""
    from wiseft_lite.interop import reported

    zero_shot, fine_tuned = map(reported.name_of, ends)
    for alpha, rows in table.groupby("alpha"):
        reported.show(rows, reported.point_on_line(zero_shot, fine_tuned, float(alpha)), task)


def alphas_in(text: str) -> list[float]:
    """The alphas of ``--alphas`` in rising order, each once.

    Raises:
        UserError: one is no finite number.

    Example:
        >>> alphas_in("1, 0.5, 0.5")
        [0.5, 1.0]
    """
    try:
        alphas = sorted({float(part) + 0.0 for part in text.split(",")})
    except ValueError:
        alphas = []
    if not alphas or not all(map(math.isfinite, alphas)):
        raise UserError(f"--alphas {text!r} is no list of numbers; write for example 0,0.5,1")
    return alphas


def passes_in(text: str) -> int | str:
    """The number of ``--passes``, or ``"adaptive"``.

    Raises:
        ArgumentTypeError: it is neither.

    Example:
        >>> passes_in("5"), passes_in("adaptive")
        (5, 'adaptive')
    """
    if text == "adaptive":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'adaptive'") from None


def check_figure(path: Path, overwrite: bool) -> None:
    """Raise if a figure could not be written to ``path``."""
    if path.suffix.lower() not in FIGURES:
        raise UserError(f"--out {path} must end in {', '.join(FIGURES)}")
    check_file(path, overwrite)


def plot(args: argparse.Namespace) -> None:
    """Draw the frontier of a results file."""
    from wiseft_lite.results import read_runs

    runs = read_runs(args.results)
    from wiseft_lite.figures import frontier, save

    try:
        save(frontier(runs), args.out)
    except UserError:
        raise
    except Exception as error:  # matplotlib's may be of any type
        raise UserError(
            f"the figure cannot be drawn ({type(error).__name__}: {error}); rename what it shows, "
            f"or draw from {args.results} yourself"
        ) from error
    print(f"written: {args.out}")
