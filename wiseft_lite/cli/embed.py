"""``wiseft-lite embed``: one embedding for the images of many tasks, alpha chosen on retrieval."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from wiseft_lite.cli.options import (
    OTHER,
    OWN,
    add_command,
    add_compute,
    add_data,
    add_model,
    add_recipe,
    compute_of,
    device_of,
    names_in,
    recipe_of,
)
from wiseft_lite.retrieval.recipes import default_recipe

if TYPE_CHECKING:  # slow to import, and --help does not need it
    import pandas as pd


def add_commands(commands: argparse._SubParsersAction) -> None:
    parser = add_command(
        commands,
        "embed",
        embed,
        "train one embedding for many tasks, alpha chosen on retrieval",
        out="results/embed",
        distributed=True,
    )
    add_model(parser)
    parser.add_argument(
        "--tasks",
        help="comma-separated: names listed by 'wiseft-lite tasks', folders or .csv files of your "
        "own images (default: all that ship with the package)",
    )
    add_data(parser)
    parser.add_argument("--dimensions", type=int, default=64, help="of the embedding")
    own, other = (f"{default_recipe(model)[1]:.3g}" for model in (OWN, OTHER))
    parser.add_argument(
        "--encoder-lr-multiplier",
        type=float,
        metavar="X",
        help="learning rate of the image encoder and its projection, as a multiple of --lr "
        f"(default: {own} for iconclip, {other} for other models)",
    )
    add_recipe(parser, lambda model: default_recipe(model)[0])
    add_compute(parser, trains=False)


def embed(args: argparse.Namespace) -> None:
    """Train an embedding, choose alpha on val, save the embedding and its scores."""
    from wiseft_lite import encoders, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite._runtime.precision import precision_name
    from wiseft_lite.callbacks import Progress
    from wiseft_lite.results import write_results
    from wiseft_lite.retrieval import embedders, universal
    from wiseft_lite.weights import interpolate

    compute = compute_of(args)
    recipe, multiplier = default_recipe(args.model)
    recipe = recipe_of(args, recipe)
    if args.encoder_lr_multiplier is not None:
        multiplier = args.encoder_lr_multiplier
    names = tasks.task_names() if args.tasks is None else names_in(args.tasks, "--tasks")
    with distributed.main_first():
        loaded = [tasks.load_task(name, args.data) for name in names]
        clip = encoders.load_clip(args.model, device_of(args))
    benchmark = universal.disjoint_splits(clip, loaded, recipe.seed)
    print(
        f"{len(names)} tasks; trains on {len(benchmark.train.labels)} images of {len(benchmark.prompts)} "
        f"classes, chooses alpha on {len(benchmark.val.labels)} and tests on {len(benchmark.test.labels)} "
        "of classes never trained on"
    )
    theta_0 = universal.zero_shot_embedder(clip, benchmark.prompts, args.dimensions)
    theta_1 = universal.finetune_embedder(
        theta_0,
        benchmark.train,
        recipe,
        encoder_lr_multiplier=multiplier,
        compute=compute,
        callbacks=[Progress()],
    )
    splits = {"val": benchmark.val, "test": benchmark.test}
    table = universal.sweep_embedders(theta_0, theta_1, splits, compute=compute)
    alpha = universal.choose_alpha(table)
    mixed = universal.zero_shot_embedder(clip, benchmark.prompts, args.dimensions)
    mixed.load_state_dict(interpolate(theta_0.state_dict(), theta_1.state_dict(), alpha))
    card = {
        "tasks": names,
        "alpha": alpha,
        "dimensions": args.dimensions,
        "recipe": dataclasses.asdict(recipe),
        "encoder_lr_multiplier": multiplier,
        "precision": precision_name(device_of(args), compute.precision),
    }

    def write() -> None:
        embedders.save_embedder(mixed, clip, args.out, card, args.overwrite)
        write_results(table, args.out / "retrieval.jsonl")

    distributed.main_only(write)
    _show(table, alpha)
    print(f"written: {args.out}: the embedding at alpha {alpha:g}, and retrieval.jsonl")


def _show(table: pd.DataFrame, alpha: float) -> None:
    """Print the scores at each alpha, then those of each task at 0, the chosen alpha and 1."""
    from wiseft_lite.retrieval.universal import ALL

    widths = (10, 11, 10, 10, 7)
    print("alpha  val mP@5  test mP@5  recall@1  recall@5  MRR@5   in %")
    for value, rows in table[table["task"] == ALL].groupby("alpha"):
        val, test = (rows[rows["split"] == name].iloc[0] for name in ("val", "test"))
        scores = (val.mp_5, test.mp_5, test.recall_1, test.recall_5, test.mrr_5)
        cells = [f"{100 * score:{w}.1f}" for score, w in zip(scores, widths, strict=True)]
        print(f"{value:<5g}{''.join(cells)}{'  chosen on val' if value == alpha else ''}")
    print(f"test mP@5 of each task in %: names alone, alpha {alpha:g}, fine-tuned")
    by_task = table[(table["split"] == "test") & (table["task"] != ALL)]
    for task, rows in by_task.groupby("task", sort=False):
        at = rows.set_index("alpha")
        cells = [f"{100 * at.mp_5[point]:7.1f}" for point in (0, alpha, 1)]
        print(f"{task:16}{''.join(cells)}   n={at.n[0]}")
