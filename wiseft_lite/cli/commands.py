"""What each command of ``wiseft-lite`` does; ``cli`` reads the words, checks ``--out`` and calls
these.

All keep to one order: compute, save, print, draw. What was computed is on disk before anything is
printed or drawn, and a model before it is measured.
"""

from __future__ import annotations

import argparse
import math
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wiseft_lite._runtime.outputs import check_file, new_folder
from wiseft_lite.errors import UserError

if TYPE_CHECKING:  # it takes half a second to import, which "--help" need not wait for
    import pandas as pd

STATE = re.compile(
    r"[0-9a-f]+-\d{9}-[0-9a-f]{16}\.safetensors|[0-9a-f]+-\d+\.part"
)  # as ``resume`` names them
FIGURES = (".png", ".svg", ".pdf")


def listed(text: str, option: str) -> list[str]:
    """The names in a comma-separated option, each once, without blanks around them."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(names):
        raise UserError(
            f"{option} {text!r} has an empty name in it; write names with a comma between two"
        )
    return names


def _alphas(text: str) -> list[float]:
    """The alphas of ``--alphas`` in rising order, each once."""
    try:
        alphas = sorted({float(part) + 0.0 for part in text.split(",")})
    except ValueError:
        alphas = []
    if not alphas or not all(map(math.isfinite, alphas)):
        raise UserError(f"--alphas {text!r} is no list of numbers; write for example 0,0.5,1")
    return alphas


def recipe_of(args: argparse.Namespace, base):
    """The recipe ``base`` with what the command line says otherwise."""
    given = {
        f.name: getattr(args, f.name)
        for f in fields(base)
        if getattr(args, f.name, None) is not None
    }
    return replace(base, **given)


class States:
    """The folder beside ``--out`` where a training run keeps its states until its model is
    saved."""

    def __init__(self, out: Path):
        self.folder = out.with_name(f"{out.name}.states")
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(
                f"{self.folder} is in the way: a training run keeps its states there; choose another --out"
            )

    def remove(self) -> None:
        """Remove the states, and the folders that are empty then; what somebody else put there
        stays."""
        for path in self.folder.rglob("*"):
            if STATE.fullmatch(path.name):
                path.unlink(missing_ok=True)
        for folder in (*self.folder.glob("*/"), self.folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def saved(what: str, command: str, *words: object, args: argparse.Namespace) -> Iterator[None]:
    """An error from here on says where the model is that was trained, and which command measures
    it."""
    try:
        yield
    except UserError as error:
        data = ("--data", args.data) if args.data else ()
        again = shlex.join(map(str, ("wiseft-lite", command, *words, "--task", args.task, *data)))
        raise UserError(
            f"{error}; {what}, but not measured: correct that, then type: {again}"
        ) from error


def run(args: argparse.Namespace) -> None:
    """demo and run: the whole method on one task, with a table, a figure and the checkpoints."""
    from wiseft_lite import checkpoints, encoders, pipeline, tasks, zeroshot
    from wiseft_lite._runtime import distributed
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.results import show_choices, show_table, write_results
    from wiseft_lite.weights import relative_distance

    started, states = time.time(), States(args.out)
    recipes = pipeline.recipes_for(args.model)
    kinds = listed(args.kinds, "--kinds") if args.kinds is not None else list(recipes)
    pipeline.check_kinds(kinds)
    recipes = {
        kind: recipe_of(args, recipes[kind]) if kind == "end-to-end" else recipes[kind]
        for kind in kinds
    }
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        zero_shot = zeroshot.zero_shot_classifier(
            encoders.load_clip(args.model, device_of(args)), task
        )
    print(
        f"{task.name}: {len(task.class_names)} classes, {len(task.train)} training images; zero-shot model "
        f"{args.model} on {device_of(args)}"
    )
    models = pipeline.train(
        zero_shot,
        task,
        recipes,
        folder=states.folder,
        resume=args.resume,
        progress=True,
        micro_batch_size=args.micro_batch_size,
        checkpointing=args.checkpointing,
    )
    if distributed.is_main():
        with new_folder(args.out, args.overwrite) as folder:
            for name, model in {"zero-shot": zero_shot, **models}.items():
                checkpoints.save(model, folder / name, recipe=recipes.get(name))
        states.remove()
    with saved(
        f"the models are saved in {args.out}",
        "sweep",
        args.out / "zero-shot",
        args.out / kinds[-1],
        args=args,
    ):
        table = pipeline.measure(zero_shot, models, task, progress=True)
    if not distributed.is_main():
        return
    write_results(table.assign(model=args.model, task=task.name), args.out / "results.jsonl")
    for kind, part in table.groupby("kind", sort=False):
        connectivity.midpoint_barrier_of_sweep(
            part, relative_distance(zero_shot.state_dict(), models[kind].state_dict())
        )
        print(f"\n{kind}: accuracy in % at each alpha (0 zero-shot, 1 fine-tuned)")
        show_table(part)
    print(
        "\nalpha chosen without a test image (half: the paper's advice; val: the best on val), accuracy in %"
    )
    show_choices(pipeline.choices(table))
    draw_run(table, f"{task.name}, {args.model}", args.out)
    print(
        f"\n{time.time() - started:.0f} s; written to {args.out}: "
        f"{', '.join(sorted(path.name for path in args.out.iterdir()))}"
    )


def draw_run(table: pd.DataFrame, title: str, folder: Path) -> None:
    """Draw the figures of a run into its folder, where everything else is already.

    Raises:
        UserError: a figure cannot be drawn, whatever the reason.
    """
    try:
        from wiseft_lite import figures, pipeline

        for name, figure in pipeline.draw(table, title).items():
            figures.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
    except (
        Exception
    ) as error:  # of matplotlib: what was measured must not be lost to it, nor end in a traceback
        again = shlex.join(["wiseft-lite", "plot", str(folder / "results.jsonl")])
        raise UserError(
            f"models and results are in {folder}, but the figure cannot be drawn ({type(error).__name__}: "
            f"{error}); correct that, then type: {again}"
        ) from error


def device_of(args: argparse.Namespace) -> str:
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda, but torch finds no GPU; see 'wiseft-lite doctor', or take --device cpu"
        )
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")


def show(args: argparse.Namespace) -> None:
    """tasks and doctor: what there is, what is missing, and whether the data of a task is sound."""
    from wiseft_lite.cli import doctor
    from wiseft_lite.tasks import inspection

    if args.command == "tasks":
        lines = doctor.tasks()
    else:
        lines = (
            doctor.report(args.data)
            if args.task is None
            else inspection.inspect(args.task, args.data)
        )
    for line in lines:
        print(line, flush=True)


def report(classifier, splits) -> pd.DataFrame:
    """Measure the splits one after the other and print each as soon as it is known."""
    import pandas as pd

    from wiseft_lite.features import predict

    rows = []
    for name, split in splits.items():
        result = split.score(split.predicted(predict(classifier, split)))
        rows.append(
            {
                "split": name,
                **asdict(result),
                "classes": split.count_classes(len(classifier.class_names)),
            }
        )
        print(
            f"{name:17} {100 * result.accuracy:5.1f} %   "
            f"[{100 * result.low:.1f}, {100 * result.high:.1f}]   n={result.n}",
            flush=True,
        )
    return pd.DataFrame(rows)


def metrics_of(table: pd.DataFrame) -> dict[str, float]:
    """What ``report`` measured, as a checkpoint's card keeps it."""
    return dict(table[["split", "accuracy"]].itertuples(index=False))


def _splits(args: argparse.Namespace, task) -> dict:
    names = list(task.evaluation) if args.splits is None else listed(args.splits, "--splits")
    return {name: task.split(name) for name in names}


def evaluate(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite.results import write_results

    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = _splits(args, task)
        classifier = checkpoints.load(args.checkpoint, device_of(args), task.class_names)
    table = report(classifier, splits)
    if not distributed.is_main():
        return
    write_results(table.assign(model=str(args.checkpoint), task=task.name), args.out)
    print(f"written: {args.out}")


def train(args: argparse.Namespace) -> None:
    """zeroshot, probe and finetune: make a classifier, save it, measure it."""
    from wiseft_lite import checkpoints, encoders, pipeline, tasks, zeroshot
    from wiseft_lite._runtime import distributed

    kind = {"zeroshot": None, "probe": "probe", "finetune": "end-to-end"}[args.command]
    recipe = recipe_of(args, pipeline.recipes_for(args.model)[kind]) if kind else None
    states = States(args.out)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        classifier = zeroshot.zero_shot_classifier(
            encoders.load_clip(args.model, device_of(args)), task
        )
    if kind:
        objective = pipeline.objective(kind, args.micro_batch_size, args.checkpointing)
        classifier = pipeline.TRAINERS[kind](
            classifier,
            task,
            recipe,
            objective=objective,
            progress=True,
            folder=states.folder,
            resume=args.resume,
        )
    if distributed.is_main():
        checkpoints.save(classifier, args.out, recipe=recipe, overwrite=args.overwrite)
        states.remove()
    with saved(f"the model is saved in {args.out}", "evaluate", args.out, args=args):
        metrics = metrics_of(report(classifier, task.evaluation))
    if not distributed.is_main():
        return
    checkpoints.add_metrics(args.out, metrics)
    print(f"written: {args.out}")


def import_file(args: argparse.Namespace) -> None:
    """A file with a head becomes a checkpoint, a whole CLIP a folder in open_clip's layout."""
    from wiseft_lite import checkpoints
    from wiseft_lite._runtime.textfiles import read_lines
    from wiseft_lite.interop import interchange

    how = {key: getattr(args, key) for key in ("architecture", "image_size", "prefix", "sha256")}
    if args.classes is not None and args.text_encoder is not None:
        raise UserError(
            "--classes reads a classifier and --text-encoder makes a whole CLIP; give one of them"
        )
    if args.classes is None:
        interchange.import_clip(
            args.file, args.out, **how, text_encoder=args.text_encoder, overwrite=args.overwrite
        )
        print(f"written: {args.out}; use it with --model local-dir:{args.out}")
        return
    names = read_lines(args.classes, "--classes a text file, one class name per line")
    classifier = interchange.import_checkpoint(args.file, names, **how)
    checkpoints.save(classifier, args.out, overwrite=args.overwrite)
    print(f"written: {args.out} ({classifier.encoder_name}, {len(names)} classes)")


def export(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints
    from wiseft_lite.interop import interchange

    interchange.export_open_clip(
        checkpoints.load(args.checkpoint),
        args.out,
        text_encoder=args.text_encoder,
        overwrite=args.overwrite,
    )
    print(f"written: {args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")


def sweep(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, sweeps, tasks
    from wiseft_lite._runtime import distributed
    from wiseft_lite.analysis import connectivity
    from wiseft_lite.results import show_table, write_results
    from wiseft_lite.weights import relative_distance

    alphas = _alphas(args.alphas)
    if args.passes is not None:
        sweeps.pass_nodes(args.passes, alphas)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = _splits(args, task)
        zero_shot, fine_tuned = (
            checkpoints.load(folder, device_of(args), task.class_names)
            for folder in (args.zero_shot, args.fine_tuned)
        )
    checkpoints.check_same_start({str(args.zero_shot): zero_shot, str(args.fine_tuned): fine_tuned})
    apart = relative_distance(zero_shot.state_dict(), fine_tuned.state_dict())
    free = connectivity.MIDPOINT if args.passes is not None else ()  # read off the same passes
    seen = sorted({*alphas, *free})
    checked_on_the_way = {*connectivity.MIDPOINT} <= {*seen}
    if not checked_on_the_way:
        connectivity.midpoint_barrier(zero_shot, fine_tuned, task.val)
    curve = sweeps.sweep(zero_shot, fine_tuned, splits, seen, progress=True, passes=args.passes)
    if not distributed.is_main():
        return
    table = curve[curve["alpha"].isin(alphas)].reset_index(drop=True)
    write_results(table.assign(model=str(args.fine_tuned), task=task.name), args.out)
    if checked_on_the_way:
        connectivity.midpoint_barrier_of_sweep(curve, apart)
    show_table(table)
    print(f"written: {args.out}")


def check_figure(path: Path, overwrite: bool) -> None:
    """Refuse a figure that could not be written at the end."""
    if path.suffix.lower() not in FIGURES:
        raise UserError(f"--out {path} must end in {', '.join(FIGURES)}")
    check_file(path, overwrite)


def plot(args: argparse.Namespace) -> None:
    from wiseft_lite.results import read_runs

    runs = read_runs(args.results)
    from wiseft_lite.figures import frontier, save

    try:
        save(frontier(runs), args.out)
    except UserError:
        raise
    except Exception as error:  # of matplotlib
        raise UserError(
            f"the figure cannot be drawn ({type(error).__name__}: {error}); rename what it shows, or draw "
            f"from {args.results} yourself"
        ) from error
    print(f"written: {args.out}")


def ledger(args: argparse.Namespace) -> None:
    from wiseft_lite.book import experiments
    from wiseft_lite.book import ledger as book

    for key in args.keys if args.run_again else ():
        from wiseft_lite.book.claims import CLAIMS, history

        experiment = key.partition(".")[0]
        rules = history.in_force(
            CLAIMS, experiment
        )  # before the run: what its numbers will be judged by
        record = experiments.run(key, range(args.seeds))
        book.write(record)
        history.stamp(experiment, rules)
        print(f"{key}: {len(record.numbers)} numbers measured and written to {book.LEDGER}")
    entries = book.read()
    for key in args.keys:
        found = {k: v for k, v in entries.items() if k == key or k.startswith(f"{key}.")}
        if not found:
            raise UserError(
                f"the ledger has no entry {key!r}; 'wiseft-lite ledger {key} --run' may make it"
            )
        for name, known in found.items():
            spread = "" if known["spread"] is None else f" +- {known['spread']:.2f}"
            print(
                f"{name:32} {known['value']:8.2f}{spread} {known['unit']}, n={known['n']}, "
                f"{len(known['seeds'])} seeds, {known['code']}, {known['made_by']}"
            )
