"""``wiseft-lite zeroshot``, ``probe`` and ``finetune``: make a classifier, save it, evaluate it."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from wiseft_lite.cli.evaluate import evaluate_splits, evaluating, metrics_of
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
    recipe_of,
    splits_of,
)
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Recipe, recipes_for

STATE = re.compile(  # as ``resume`` and ``progress`` name them
    r"[0-9a-f]+-\d{9}-[0-9a-f]{16}\.safetensors|[0-9a-f]{16}\.json|[0-9a-f]+-\d+\.part"
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    for name, run, text in (
        ("zeroshot", zeroshot, "make a zero-shot classifier from prompts"),
        ("probe", probe, "train the head alone, on features encoded once"),
        ("finetune", finetune, "train every weight, starting from the zero-shot classifier"),
    ):
        parser = add_command(commands, name, run, text, out=f"results/{name}", distributed=True)
        add_model(parser)
        add_task(parser)
        add_splits(parser)
        if run is zeroshot:
            parser.add_argument(
                "--prompts",
                type=int,
                metavar="N",
                help="use N of the task's prompts, for a quick look without a GPU (default: all)",
            )
        if run is probe:
            add_resume(parser)
            add_recipe(parser, lambda model: recipes_for(model)["probe"], without=["augment"])
        if run is finetune:
            add_resume(parser)
            add_recipe(parser, lambda model: recipes_for(model)["end-to-end"])
        add_compute(parser, trains=run is finetune)


def zeroshot(args: argparse.Namespace) -> None:
    """Make a zero-shot classifier."""
    _make(args)


def probe(args: argparse.Namespace) -> None:
    """Train a linear probe."""
    _make(args, "probe", recipe_of(args, recipes_for(args.model)["probe"]))


def finetune(args: argparse.Namespace) -> None:
    """Fine-tune end to end."""
    _make(args, "end-to-end", recipe_of(args, recipes_for(args.model)["end-to-end"]))


@dataclass(frozen=True)
class ZeroShotRecipe:
    """How a zero-shot classifier was made, for its card."""

    zero_shot_model: str
    prompts: int


def _make(args: argparse.Namespace, kind: str | None = None, recipe: Recipe | None = None) -> None:
    """Make the zero-shot classifier, train it if a kind is given, save it, then evaluate it."""
    from wiseft_lite import checkpoints, encoders, pipeline, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite.callbacks import Checkpoints, Progress
    from wiseft_lite.interop import reported
    from wiseft_lite.zeroshot import zero_shot_classifier

    states, compute = StatesFolder(args.out), compute_of(args)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = splits_of(args, task)
        if kind is None and args.prompts is not None:
            task = task.with_prompts(args.prompts)
        if kind is not None:
            task.split("train")  # before the prompts are encoded
        model = zero_shot_classifier(encoders.load_clip(args.model, device_of(args)), task)
    if kind is not None and recipe is not None:
        model = pipeline.TRAINERS[kind](
            model,
            task,
            recipe,
            compute=compute,
            callbacks=[Progress(), Checkpoints(states.path, args.resume)],
        )
    distributed.main_only(
        lambda: checkpoints.save(
            model,
            args.out,
            recipe=recipe or ZeroShotRecipe(args.model, len(task.templates)),
            overwrite=args.overwrite,
        )
    )
    if distributed.is_main():
        states.remove()
    with evaluating(
        f"the model is saved in {args.out}", "evaluate", args.out, task=args.task, data=args.data
    ):
        table = evaluate_splits(model, splits, compute)
    distributed.main_only(lambda: checkpoints.add_metrics(args.out, metrics_of(table)))
    reported.show(table, args.model if kind is None else "", task.name)
    print(f"written: {args.out}")


class StatesFolder:
    """The folder beside ``--out`` that holds the states of a run until its model is saved.

    Raises:
        UserError: a file has its name.
    """

    def __init__(self, out: Path):
        self.path = out.with_name(f"{out.name}.states")
        if self.path.exists() and not self.path.is_dir():
            raise UserError(
                f"{self.path} is a file, and this command needs a folder of that name for its "
                "states; choose another --out"
            )

    def remove(self) -> None:
        """Remove the states, and the folders that are then empty; other files stay."""
        for path in self.path.rglob("*"):
            if STATE.fullmatch(path.name):
                path.unlink(missing_ok=True)
        for folder in (*self.path.glob("*/"), self.path):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
