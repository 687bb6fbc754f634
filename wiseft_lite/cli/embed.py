"""What ``wiseft-lite embed`` does."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from wiseft_lite.cli.commands import device_of, listed, recipe_of

if TYPE_CHECKING:
    import pandas as pd


def embed(args: argparse.Namespace) -> None:
    from wiseft_lite import encoders, tasks
    from wiseft_lite.results import write_results
    from wiseft_lite.retrieval import embedders, universal
    from wiseft_lite.weights import interpolate

    recipe, tower = universal.default_recipe(args.model)
    recipe, tower = recipe_of(args, recipe), tower if args.tower is None else args.tower
    names = tasks.task_names() if args.tasks is None else listed(args.tasks, "--tasks")
    known = [tasks.load_task(name, args.data) for name in names]
    clip = encoders.load_clip(args.model, device_of(args))
    world = universal.disjoint_splits(clip, known, recipe.seed)
    print(
        f"{len(names)} tasks; trains on {len(world.train.labels)} pictures of {len(world.prompts)} classes, chooses "
        f"alpha on {len(world.val.labels)} and tests on {len(world.test.labels)} of classes never trained on"
    )
    theta_0 = universal.zero_shot_embedder(clip, world.prompts, args.dimensions)
    theta_1 = universal.finetune_embedder(
        theta_0, world.train, recipe, lr_multiplier=tower, progress=True
    )
    table = universal.sweep_embedders(theta_0, theta_1, {"val": world.val, "test": world.test})
    alpha = universal.choose_alpha(table)
    mixed = universal.zero_shot_embedder(clip, world.prompts, args.dimensions)
    mixed.load_state_dict(interpolate(theta_0.state_dict(), theta_1.state_dict(), alpha))
    card = {
        "tasks": names,
        "alpha": alpha,
        "dimensions": args.dimensions,
        "recipe": dataclasses.asdict(recipe),
        "tower": tower,
    }
    embedders.save_embedder(mixed, clip, args.out, card, args.overwrite)
    write_results(table, args.out / "retrieval.jsonl")
    _show(table, alpha)
    print(f"written: {args.out}: the embedding at alpha {alpha:g}, and retrieval.jsonl")


def _show(table: pd.DataFrame, alpha: float) -> None:
    """Print the scores along the line, then those of each task at its ends and at the chosen
    alpha."""
    from wiseft_lite.retrieval.universal import ALL

    total = table[table["task"] == ALL]
    print("alpha  val mP@5  test mP@5  recall@1  recall@5  MRR@5   in %")
    for value, rows in total.groupby("alpha"):
        val, test = (rows[rows["split"] == name].iloc[0] for name in ("val", "test"))
        scores = (val.mp_5, test.mp_5, test.recall_1, test.recall_5, test.mrr_5)
        mark = "  chosen on val" if value == alpha else ""
        print(
            f"{value:<5g}"
            + "".join(
                f"{100 * score:{width}.1f}"
                for score, width in zip(scores, (10, 11, 10, 10, 7), strict=True)
            )
            + mark
        )
    print(f"test mP@5 of each task in %: names alone, alpha {alpha:g}, fine-tuned")
    for task, rows in table[(table["split"] == "test") & (table["task"] != ALL)].groupby(
        "task", sort=False
    ):
        at = rows.set_index("alpha")
        print(
            f"{task:16}"
            + "".join(f"{100 * at.mp_5[point]:7.1f}" for point in (0, alpha, 1))
            + f"   n={at.n[0]}"
        )
