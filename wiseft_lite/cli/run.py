"""``wiseft-lite demo`` and ``run``: the whole method on one task."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite._runtime.outputs import new_folder
from wiseft_lite.cli.evaluate import add_alphas, alphas_in, evaluating
from wiseft_lite.cli.options import (
    add_command,
    add_compute,
    add_model,
    add_recipe,
    add_resume,
    add_splits,
    add_task,
    compute_of,
    device_of,
    limited,
    names_in,
    recipe_of,
    splits_of,
)
from wiseft_lite.cli.train import StatesFolder
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Recipe, recipes_for

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd

    from wiseft_lite.models import ImageClassifier


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "demo",
        demo,
        "the whole method with IconCLIP on IconShift: 'run' with its defaults",
        out="results/demo",
        distributed=True,
    )
    add_model(parser)
    add_recipe(parser, _end_to_end, title="recipe of fine-tuning", only=["seed"])
    add_compute(parser, trains=True)
    parser.set_defaults(splits=None, limit=None, alphas=None, passes=None)
    parser = add_command(
        commands,
        "run",
        run,
        "the whole method on a task: zero-shot, probe and fine-tuning, the models interpolated "
        "between them, a figure and the checkpoints",
        out="results/run",
        distributed=True,
    )
    add_model(parser)
    add_task(parser)
    add_splits(parser)
    add_alphas(parser)
    parser.add_argument(
        "--kinds", help="probe, end-to-end, or both with a comma in between (default: both)"
    )
    add_resume(parser)
    add_recipe(parser, _end_to_end, title="recipe of end-to-end fine-tuning")
    add_compute(parser, trains=True)


def _end_to_end(model: str) -> Recipe:
    return recipes_for(model)["end-to-end"]


def demo(args: argparse.Namespace) -> None:
    """Run the whole method on IconShift."""
    recipes = recipes_for(args.model)
    recipes["end-to-end"] = recipe_of(args, recipes["end-to-end"])
    _run(args, "iconshift", None, recipes)


def run(args: argparse.Namespace) -> None:
    """Run the whole method on a task."""
    from wiseft_lite import pipeline

    recipes = recipes_for(args.model)
    kinds = list(recipes) if args.kinds is None else names_in(args.kinds, "--kinds")
    pipeline.check_kinds(kinds)
    if "end-to-end" in kinds:
        recipes["end-to-end"] = recipe_of(args, recipes["end-to-end"])
    recipes = {kind: recipes[kind] for kind in kinds}
    _run(args, args.task, args.data, recipes, args.resume)


def _run(
    args: argparse.Namespace,
    task_name: str,
    data: Path | None,
    recipes: Mapping[str, Recipe],
    resume: bool = True,
) -> None:
    """Train, save, evaluate every alpha, print the tables and draw the figure.

    Args:
        args: options that demo and run both have.
        task_name: as ``load_task`` takes it.
        data: folder of the data sets.
        recipes: how to train, by kind.
        resume: False discards saved states.
    """
    from wiseft_lite import encoders, pipeline, sweeps, tasks, zeroshot
    from wiseft_lite._runtime import distributed
    from wiseft_lite._runtime.precision import precision_name
    from wiseft_lite.results import write_results

    started, states, device = time.time(), StatesFolder(args.out), device_of(args)
    compute = compute_of(args)
    alphas = sweeps.ALPHAS if args.alphas is None else alphas_in(args.alphas)
    if args.passes is not None:
        sweeps.pass_nodes(args.passes, alphas)
    with distributed.main_first():
        task = tasks.load_task(task_name, data)
        train = task.split("train")
        needed = {name: limited(args, task.split(name)) for name in ("val", "test")}
        splits = needed | splits_of(args, task)
        zero_shot = zeroshot.zero_shot_classifier(encoders.load_clip(args.model, device), task)
    print(
        f"{task.name}: {len(task.class_names)} classes, {len(train)} training images; "
        f"zero-shot model {args.model} on {device}"
    )
    models = pipeline.train(
        zero_shot,
        task,
        recipes,
        compute=compute,
        progress=True,
        folder=states.path,
        resume=resume,
    )
    distributed.main_only(lambda: _save(args, zero_shot, models, recipes))
    if distributed.is_main():
        states.remove()
    last = args.out / list(recipes)[-1]
    with evaluating(
        f"the models are saved in {args.out}",
        *("sweep", args.out / "zero-shot", last),
        task=task_name,
        data=data,
    ):
        table = pipeline.measure(
            zero_shot,
            models,
            task,
            True,
            compute,
            splits=splits,
            alphas=alphas,
            passes=args.passes,
        )
    labelled = table.assign(
        model=args.model, task=task.name, precision=precision_name(device, compute.precision)
    )
    distributed.main_only(lambda: write_results(labelled, args.out / "results.jsonl"))
    if not distributed.is_main():
        return
    _show(table, zero_shot, models)
    _draw(table, f"{task.name}, {args.model}", args.out)
    written = ", ".join(sorted(path.name for path in args.out.iterdir()))
    print(f"\n{time.time() - started:.0f} s; written to {args.out}: {written}")


def _save(
    args: argparse.Namespace,
    zero_shot: ImageClassifier,
    models: Mapping[str, ImageClassifier],
    recipes: Mapping[str, Recipe],
) -> None:
    """Write all checkpoints of a run into its folder."""
    from wiseft_lite import checkpoints

    with new_folder(args.out, args.overwrite) as folder:
        for name, model in {"zero-shot": zero_shot, **models}.items():
            checkpoints.save(model, folder / name, recipe=recipes.get(name))


def _show(
    table: pd.DataFrame, zero_shot: ImageClassifier, models: Mapping[str, ImageClassifier]
) -> None:
    """Print accuracy at each alpha and the alphas chosen; warn of a barrier between two models."""
    from wiseft_lite import pipeline
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.results import show_choices, show_table
    from wiseft_lite.weights import relative_distance

    for kind, part in table.groupby("kind", sort=False):
        distance = relative_distance(zero_shot.state_dict(), models[kind].state_dict())
        connectivity.midpoint_barrier_of_sweep(part, distance)
        print(f"\n{kind}: accuracy in % at each alpha (0 zero-shot, 1 fine-tuned)")
        show_table(part)
    print(
        "\nalpha chosen without a test image (half: the paper's advice; val: the best on val), "
        "accuracy in %"
    )
    show_choices(pipeline.choices(table))


def _draw(table: pd.DataFrame, title: str, folder: Path) -> None:
    """Draw the figures of a run into its folder, where everything else is already.

    Raises:
        UserError: a figure cannot be drawn, whatever the reason.
    """
    try:
        from wiseft_lite import figures, pipeline

        for name, figure in pipeline.draw(table, title).items():
            figures.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
    except Exception as error:  # matplotlib's may be of any type; the results are saved already
        again = shlex.join(["wiseft-lite", "plot", str(folder / "results.jsonl")])
        raise UserError(
            f"models and results are in {folder}, but the figure cannot be drawn "
            f"({type(error).__name__}: {error}); fix that, then type: {again}"
        ) from error
