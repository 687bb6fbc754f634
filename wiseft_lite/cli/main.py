"""The command ``wiseft-lite``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from wiseft_lite import __version__
from wiseft_lite._runtime.console import failsafe_output
from wiseft_lite._runtime.outputs import check_file, check_folder
from wiseft_lite.cli import commands
from wiseft_lite.cli import embed as embed_command
from wiseft_lite.cli import soup as soup_command
from wiseft_lite.errors import UserError

DIVIDED = (
    commands.run,
    commands.train,
    commands.evaluate,
    commands.sweep,
)  # by several processes; others run in one


def steps_or_share(text: str) -> int | float:
    """Warm-up as ``Recipe`` has it: 500 are steps, 0.1 is a share of the run."""
    return int(text) if text.isdigit() else float(text)


def parser() -> argparse.ArgumentParser:
    main = _Parser(
        prog="wiseft-lite",
        description="Robust fine-tuning by interpolating weights.",
        epilog="Several GPUs: accelerate launch -m wiseft_lite COMMAND ...",
    )
    main.add_argument("--version", action="version", version=__version__)
    known = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str,
        run: Callable,
        text: str,
        out: str | None,
        check: Callable[[Path, bool], None] = check_folder,
    ) -> argparse.ArgumentParser:
        """A command; ``check`` refuses an ``--out`` that could not be written at the end."""
        sub = known.add_parser(name, help=text, description=text, formatter_class=_Help)
        sub.set_defaults(run=run, check=check)
        if out:
            sub.add_argument("--out", type=Path, default=Path(out), help="where the result goes")
            sub.add_argument("--overwrite", action="store_true", help="replace what is there")
        return sub

    def takes_model(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--model",
            default="iconclip",
            help="iconclip, a name of open_clip such as ViT-B-32/openai, or local-dir:PATH",
        )
        takes_device(sub)

    def takes_device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--device", choices=("cpu", "cuda"), help="a GPU if there is one, if not given"
        )

    def takes_recipe(sub: argparse.ArgumentParser) -> None:
        for option, kind in (
            ("epochs", int),
            ("lr", float),
            ("weight_decay", float),
            ("batch_size", int),
            ("warmup", steps_or_share),
            ("seed", int),
        ):
            sub.add_argument(
                f"--{option.replace('_', '-')}", type=kind, help="the recipe's own if not given"
            )
        sub.add_argument(
            "--resume",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="go on from where this very command was cut short, as it does if not given",
        )

    def fine_tunes(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--augment", help="none, crop or strong; the recipe's own if not given")
        sub.add_argument(
            "--micro-batch-size",
            type=int,
            metavar="N",
            help="hold N images of a batch at a time: the same gradient with less of a GPU's memory",
        )
        sub.add_argument(
            "--checkpointing",
            action="store_true",
            help="keep less of each image and compute it again: the same gradient with less of a GPU's memory",
        )

    def takes_splits(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--splits", help="comma-separated; test and every shift if not given")

    def takes_task(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--task",
            default="iconshift",
            help="a name of 'wiseft-lite tasks', or a folder or .csv file of your own images",
        )
        takes_data(sub)

    def takes_data(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--data", type=Path, help="where data sets are; WISEFT_DATA or ~/data if not given"
        )

    sub = command(
        "demo",
        commands.run,
        "the whole method with IconCLIP on IconShift: 'run' with nothing to choose",
        "results/demo",
    )
    takes_model(sub)
    sub.add_argument("--seed", type=int, default=0, help="seed of the fine-tuning")
    sub.set_defaults(
        task="iconshift",
        data=None,
        kinds=None,
        resume=True,
        micro_batch_size=None,
        checkpointing=False,
    )
    sub = command(
        "run",
        commands.run,
        "the whole method on a task: zero-shot, probe and fine-tuning, the line "
        "between them, figure and checkpoints",
        "results/run",
    )
    takes_model(sub)
    takes_task(sub)
    takes_recipe(sub)
    fine_tunes(sub)
    sub.add_argument(
        "--kinds",
        help="probe, end-to-end, or both with a comma between them; both if not given; the "
        "options of the recipe are for end-to-end",
    )
    command(
        "tasks",
        commands.show,
        "list the tasks that ship with the package, and those to download",
        None,
    )
    sub = command(
        "doctor",
        commands.show,
        "report what is installed, where a model would run, and what is missing; "
        "with --task, check the names and every image of a task",
        None,
    )
    sub.add_argument(
        "--task",
        help="check this data: a name of 'wiseft-lite tasks', or a folder or .csv file of your "
        "own images",
    )
    takes_data(sub)
    for name, text in (
        ("zeroshot", "write and measure a zero-shot classifier"),
        ("probe", "train the head alone, on features encoded once"),
        ("finetune", "train every weight, starting from the zero-shot classifier"),
    ):
        sub = command(name, commands.train, text, f"results/{name}")
        takes_model(sub)
        takes_task(sub)
        if name != "zeroshot":
            takes_recipe(sub)
            sub.set_defaults(micro_batch_size=None, checkpointing=False)
    fine_tunes(sub)
    sub = command(
        "evaluate",
        commands.evaluate,
        "measure a checkpoint on the splits of a task",
        "results/evaluate.jsonl",
        check_file,
    )
    sub.add_argument("checkpoint", type=Path, help="a checkpoint of this library")
    takes_task(sub)
    takes_splits(sub)
    takes_device(sub)
    sub = command(
        "sweep",
        commands.sweep,
        "measure the models on the line between two checkpoints",
        "results/sweep.jsonl",
        check_file,
    )
    sub.add_argument("zero_shot", type=Path, help="checkpoint at alpha 0")
    sub.add_argument("fine_tuned", type=Path, help="checkpoint at alpha 1")
    takes_task(sub)
    takes_splits(sub)
    takes_device(sub)
    sub.add_argument(
        "--alphas", default="0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1", help="comma-separated"
    )
    sub.add_argument(
        "--passes",
        type=int,
        metavar="K",
        help="an odd number such as 5: run K models only and interpolate their logits",
    )
    sub = command(
        "interpolate",
        soup_command.interpolate,
        "write the model at one alpha as a checkpoint",
        "results/interpolated",
    )
    sub.add_argument("zero_shot", type=Path, help="checkpoint at alpha 0")
    sub.add_argument("fine_tuned", type=Path, help="checkpoint at alpha 1")
    sub.add_argument(
        "--alpha", type=float, default=0.5, help="share of the way from zero-shot to fine-tuned"
    )
    sub = command(
        "import",
        commands.import_file,
        "read a checkpoint of wise-ft, model-soups, OpenAI or open_clip",
        "results/imported",
    )
    sub.add_argument("file", type=Path, help="the file; nothing in it is run")
    sub.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="class names, one a line, in the order of the file's head; leave it out for a whole CLIP",
    )
    sub.add_argument(
        "--architecture",
        metavar="ARCH",
        help="open_clip's name for it; found from the shapes and from clues if not given",
    )
    sub.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="where the file was trained at another image size than its architecture's: that size keeps it "
        "as it is, another resizes its positional embeddings",
    )
    sub.add_argument(
        "--prefix",
        default="",
        help="beginning of the keys of the wanted model, where a file holds several",
    )
    sub.add_argument(
        "--text-encoder",
        metavar="MODEL",
        help="as --model elsewhere: take its text encoder, for a file that holds an image encoder alone",
    )
    sub.add_argument("--sha256", help="what the file must hash to")
    sub = command(
        "export",
        commands.export,
        "write a checkpoint as a folder that open_clip alone can use",
        "results/exported",
    )
    sub.add_argument("checkpoint", type=Path, help="a checkpoint of this library")
    sub.add_argument(
        "--text-encoder",
        metavar="MODEL",
        help="as --model elsewhere: the model that holds the text encoder, if it is no longer where it was",
    )
    sub = command(
        "soup",
        soup_command.soup,
        "average fine-tuned checkpoints: all of them, or from the best down",
        "results/soup",
    )
    sub.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="fine-tuned from one start"
    )
    sub.add_argument(
        "--greedy",
        action="store_true",
        help="keep a model only if the accuracy on val does not fall",
    )
    takes_task(sub)
    takes_device(sub)
    sub = command(
        "embed",
        embed_command.embed,
        "one embedding for many tasks, alpha chosen on retrieval",
        "results/embed",
    )
    takes_model(sub)
    sub.add_argument(
        "--tasks",
        help="comma-separated: names of 'wiseft-lite tasks', folders or .csv files of your own "
        "images; all that ship with the package if not given",
    )
    takes_data(sub)
    sub.add_argument("--dimensions", type=int, default=64, help="of the embedding")
    sub.add_argument(
        "--tower",
        type=float,
        metavar="SHARE",
        help="the embedder's share of the rate, which is that of the centres; the recipe's own if not given",
    )
    for option, kind in (("epochs", int), ("lr", float), ("batch_size", int), ("seed", int)):
        sub.add_argument(
            f"--{option.replace('_', '-')}", type=kind, help="the recipe's own if not given"
        )
    sub = command(
        "plot",
        commands.plot,
        "draw the frontier of a results file, of each run in it",
        "results/frontier.png",
        commands.check_figure,
    )
    sub.add_argument("results", type=Path, help="a results.jsonl of demo or sweep")
    sub = command(
        "ledger", commands.ledger, "show the book's numbers, or run an experiment again", None
    )
    sub.add_argument(
        "keys", nargs="+", metavar="KEY", help="an experiment such as ch06, or one of its numbers"
    )
    sub.add_argument(
        "--run", dest="run_again", action="store_true", help="measure again and write the ledger"
    )
    sub.add_argument(
        "--seeds",
        type=int,
        default=5,
        help="number of seeds for what is trained, of repeats for bench",
    )
    return main


class _Parser(argparse.ArgumentParser):
    """Its mistakes are those of the user: one line, as all others."""

    def error(self, message: str):
        raise UserError(f"{message}; see '{self.prog} --help'")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names the default of an option, where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or isinstance(action.default, bool):
            return action.help
        return super()._get_help_string(action)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 for a mistake that the user can
    fix."""
    with failsafe_output() as out:
        code = _main(arguments)
        out.flush()
        if out.error and not code:
            print(
                f"wiseft-lite: not everything could be printed ({out.error.strerror or out.error}); a result that has "
                "an --out is there, whole",
                file=sys.stderr,
            )
            code = 2
    return code


def _main(arguments: list[str] | None) -> int:
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MPLBACKEND", "agg")
    name, number = (
        "wiseft-lite",
        int(os.environ.get("RANK", 0)),
    )  # a launcher sets it in each of its processes
    try:
        with warnings.catch_warnings(), ExitStack() as silence:
            warnings.showwarning = lambda message, *_, **__: print(
                f"wiseft-lite: {message}", file=sys.stderr
            )
            args = parser().parse_args(arguments)
            if number:  # what all processes would print, the main one prints
                name = f"wiseft-lite, process {number}"
                warnings.simplefilter("ignore")
                silence.enter_context(redirect_stdout(silence.enter_context(open(os.devnull, "w"))))
            if args.run in DIVIDED:
                from wiseft_lite._runtime import distributed

                distributed.start(args.device)
                _check_out(args, distributed.broadcast_object)
                args.run(args)
                distributed.stop()
            elif not number:
                _check_out(args)
                args.run(args)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's; it may not even be imported
            raise
        print(
            f"{name}: the memory of the GPU is full; hold fewer images at a time with --micro-batch-size 16, keep less of each "
            "with --checkpointing, or take a smaller model",
            file=sys.stderr,
        )
        return 2
    return 0


def _check_out(
    args: argparse.Namespace, looking: Callable[[Callable], str | None] = lambda look: look()
) -> None:
    """Refuse an ``--out`` that could not be written, before any work; of several processes the main
    one looks."""

    def refusal() -> str | None:
        try:
            args.check(args.out, args.overwrite)
        except UserError as error:
            return str(error)
        return None

    message = looking(refusal) if "out" in args else None
    if message is not None:
        raise UserError(message)
