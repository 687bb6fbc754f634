"""The command ``wiseft-lite``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from wiseft_lite import __version__, commands, embed_command, soup_command
from wiseft_lite.errors import UserError


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="wiseft-lite", description="Robust fine-tuning by interpolating weights.")
    main.add_argument("--version", action="version", version=__version__)
    known = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str, out: str | None) -> argparse.ArgumentParser:
        sub = known.add_parser(name, help=text, description=text,
                               formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        sub.set_defaults(run=run)
        if out:
            sub.add_argument("--out", type=Path, default=Path(out), help="where the result goes")
            sub.add_argument("--overwrite", action="store_true", help="replace what is there")
        return sub

    def trains(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--model", default="iconclip", help="iconclip, ARCH/pretrained or local-dir:PATH")
        sub.add_argument("--task", default="iconshift", help="see 'wiseft-lite tasks'")

    sub = command("demo", commands.demo, "zero-shot, probe, fine-tuning and the line between them on IconShift",
                  "results/demo")
    sub.add_argument("--model", default="iconclip", help="iconclip, ARCH/pretrained or local-dir:PATH")
    sub.add_argument("--seed", type=int, default=0, help="seed of the fine-tuning")
    command("tasks", commands.list_tasks, "list the tasks that ship with the package", None)
    trains(command("zeroshot", commands.train, "write and measure a zero-shot classifier", "results/zeroshot"))
    for name, text in (("probe", "train the head alone, on features encoded once"),
                       ("finetune", "train every weight, starting from the zero-shot classifier")):
        sub = command(name, commands.train, text, f"results/{name}")
        trains(sub)
        for option, kind in (("epochs", int), ("lr", float), ("weight_decay", float), ("batch_size", int),
                             ("seed", int)):
            sub.add_argument(f"--{option.replace('_', '-')}", type=kind, help="the recipe's own if not given")
        sub.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                         help="go on from where this very command was cut short")
    sub.add_argument("--augment", help="none, crop or strong; the recipe's own if not given")
    sub = command("sweep", commands.sweep, "measure the models on the line between two checkpoints",
                  "results/sweep.jsonl")
    sub.add_argument("zero_shot", type=Path, help="checkpoint at alpha 0")
    sub.add_argument("fine_tuned", type=Path, help="checkpoint at alpha 1")
    sub.add_argument("--task", default="iconshift", help="see 'wiseft-lite tasks'")
    sub.add_argument("--splits", help="comma-separated; test and every shift if not given")
    sub.add_argument("--alphas", default="0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
                     help="comma-separated")
    sub.add_argument("--passes", type=int, metavar="K",
                     help="an odd number such as 5: run K models only and interpolate their logits")
    sub = command("import", commands.import_file, "read a checkpoint of wise-ft, model-soups, OpenAI or open_clip",
                  "results/imported")
    sub.add_argument("file", type=Path, help="the file; nothing in it is run")
    sub.add_argument("--classes", type=Path, metavar="FILE",
                     help="class names, one a line, in the order of the file's head; leave it out for a whole CLIP")
    sub.add_argument("--architecture", metavar="ARCH",
                     help="open_clip's name for it; found from the shapes if not given")
    sub.add_argument("--sha256", help="what the file must hash to")
    sub = command("export", commands.export, "write a checkpoint as a folder that open_clip alone can use",
                  "results/exported")
    sub.add_argument("checkpoint", type=Path, help="a checkpoint of this library")
    sub = command("soup", soup_command.soup, "average fine-tuned checkpoints: all of them, or from the best down",
                  "results/soup")
    sub.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="fine-tuned from one start")
    sub.add_argument("--greedy", action="store_true", help="keep a model only if the accuracy on val does not fall")
    sub.add_argument("--task", default="iconshift", help="see 'wiseft-lite tasks'")
    sub = command("embed", embed_command.embed, "one embedding for many tasks, alpha chosen on retrieval",
                  "results/embed")
    sub.add_argument("--model", default="iconclip", help="iconclip, ARCH/pretrained or local-dir:PATH")
    sub.add_argument("--tasks", help="comma-separated, see 'wiseft-lite tasks'; all if not given")
    sub.add_argument("--dimensions", type=int, default=64, help="of the embedding")
    for option, kind in (("epochs", int), ("lr", float), ("seed", int)):
        sub.add_argument(f"--{option}", type=kind, help="the recipe's own if not given")
    sub = command("plot", commands.plot, "draw the frontier of a results file", "results/frontier.png")
    sub.add_argument("results", type=Path, help="a results.jsonl of demo or sweep")
    sub = command("ledger", commands.ledger, "show the book's numbers, or run an experiment again", None)
    sub.add_argument("keys", nargs="+", metavar="KEY", help="an experiment such as ch06, or one of its numbers")
    sub.add_argument("--run", dest="run_again", action="store_true", help="measure again and write the ledger")
    sub.add_argument("--seeds", type=int, default=5, help="number of seeds for what is trained")
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 for a mistake that the user can mend."""
    args = parser().parse_args(arguments)
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MPLBACKEND", "agg")
    try:
        args.run(args)
    except UserError as error:
        print(f"wiseft-lite: {error}", file=sys.stderr)
        return 2
    return 0
