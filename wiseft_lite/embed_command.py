"""What ``wiseft-lite embed`` does."""

from __future__ import annotations

import argparse
import dataclasses

from wiseft_lite.commands import check_new, recipe_of
from wiseft_lite.results import write_results


def embed(args: argparse.Namespace) -> None:
    from wiseft_lite import encoders, tasks, universal
    from wiseft_lite.weights import interpolate

    check_new(args.out, args.overwrite)
    recipe = recipe_of(args, universal.EMBED)
    clip = encoders.load_clip(args.model)
    names = args.tasks.split(",") if args.tasks else tasks.task_names()
    world = universal.universe(clip, [tasks.load_task(name) for name in names], recipe.seed)
    print(f"{len(names)} tasks; trains on {len(world.train.labels)} pictures of {len(world.prompts)} classes, chooses "
          f"alpha on {len(world.val.labels)} and tests on {len(world.test.labels)} of classes never trained on")
    theta_0 = universal.from_text(clip, world.prompts, args.dimensions)
    theta_1 = universal.finetuned(theta_0, world.train, recipe, progress=True)
    table = universal.line(theta_0, theta_1, {"val": world.val, "test": world.test})
    alpha = universal.chosen(table)
    print("alpha  val mP@5  test mP@5  recall@1  recall@5  MRR@5   in %")
    for value, rows in table.groupby("alpha"):
        val, test = (rows[rows["split"] == name].iloc[0] for name in ("val", "test"))
        scores = (val.mp_5, test.mp_5, test.recall_1, test.recall_5, test.mrr_5)
        mark = "  chosen on val" if value == alpha else ""
        print(f"{value:<5g}" + "".join(f"{100 * score:{width}.1f}" for score, width in zip(scores, (10, 11, 10, 10, 7)))
              + mark)
    mixed = universal.from_text(clip, world.prompts, args.dimensions)
    mixed.load_state_dict(interpolate(theta_0.state_dict(), theta_1.state_dict(), alpha))
    card = {"tasks": names, "alpha": alpha, "dimensions": args.dimensions, "recipe": dataclasses.asdict(recipe)}
    universal.save_embedder(mixed, clip, args.out, card, args.overwrite)
    write_results(table, args.out / "retrieval.jsonl")
    print(f"written: {args.out}: the embedding at alpha {alpha:g}, and retrieval.jsonl")
