"""What each command of ``wiseft-lite`` does; ``cli`` reads the words and calls these."""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from wiseft_lite.errors import UserError
from wiseft_lite.results import read_results, show_table, write_results


def check_new(path: Path, overwrite: bool) -> None:
    """Refuse a file, or a folder with something in it, before any work is done."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())) and not overwrite:
        raise UserError(f"{path} exists; choose another --out or pass --overwrite")


def _alphas(text: str) -> tuple[float, ...]:
    try:
        alphas = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--alphas {text!r} is no list of numbers; write for example 0,0.5,1") from None
    return alphas


def recipe_of(args: argparse.Namespace, base):
    """The recipe ``base`` with what the command line says otherwise."""
    given = {f.name: getattr(args, f.name) for f in fields(base) if getattr(args, f.name, None) is not None}
    return replace(base, **given)


def demo(args: argparse.Namespace) -> None:
    import time

    from wiseft_lite import encoders, sweeps, tasks, training, zeroshot
    from wiseft_lite.figures import frontier

    check_new(args.out, args.overwrite)
    started = time.time()
    task = tasks.load_task("iconshift")
    theta_0 = zeroshot.zero_shot_classifier(encoders.load_clip(args.model), task)
    print(f"IconShift: {len(task.class_names)} classes, {len(task.train)} training images; "
          f"zero-shot model {args.model}")
    tuned = {"probe": training.linear_probe(theta_0, task, progress=True),
             "end-to-end": training.finetune(theta_0, task, training.Recipe(seed=args.seed), progress=True)}
    tables = {}
    for kind, theta_1 in tuned.items():
        tables[kind] = sweeps.sweep(theta_0, theta_1, task.evaluation, progress=True)
        print(f"\n{kind}: accuracy in % at each alpha (0 zero-shot, 1 fine-tuned)")
        show_table(tables[kind])
    table = pd.concat([t.assign(kind=kind) for kind, t in tables.items()], ignore_index=True)
    write_results(table[["kind", "alpha", "split", "accuracy", "n", "low", "high"]], args.out / "results.jsonl")
    _save_figure(frontier(tables, title="IconShift, IconCLIP"), args.out)
    print(f"\n{time.time() - started:.0f} s; written: {args.out}/results.jsonl, frontier.png, frontier.svg")


def _save_figure(figure, folder: Path) -> None:
    for ending in ("png", "svg"):
        figure.savefig(folder / f"frontier.{ending}", metadata={"Date": None} if ending == "svg" else None)


def list_tasks(args: argparse.Namespace) -> None:
    from wiseft_lite import tasks

    for name in tasks.task_names():
        task = tasks.load_task(name)
        sizes = {"train": task.train, "val": task.val, **task.evaluation}
        print(f"{name:10} {len(task.class_names):4} classes; "
              + ", ".join(f"{split} {len(images)}" for split, images in sizes.items()))


def report(classifier, task) -> dict:
    """Print the accuracy on the reference and each shift, with n and interval; return the shares."""
    from wiseft_lite.features import predict
    from wiseft_lite.metrics import accuracy

    metrics = {}
    for name, split in task.evaluation.items():
        result = accuracy(predict(classifier, split), split.labels, split.classes)
        metrics[name] = result.accuracy
        print(f"{name:17} {100 * result.accuracy:5.1f} %   "
              f"[{100 * result.low:.1f}, {100 * result.high:.1f}]   n={result.n}")
    return metrics


def train(args: argparse.Namespace) -> None:
    """zeroshot, probe and finetune: make a classifier, measure it, save it."""
    from wiseft_lite import checkpoints, encoders, tasks, training, zeroshot

    trainer, base = {"zeroshot": (None, None), "probe": (training.linear_probe, training.PROBE),
                     "finetune": (training.finetune, training.Recipe())}[args.command]
    recipe = recipe_of(args, base) if base else None
    check_new(args.out, args.overwrite)
    task = tasks.load_task(args.task)
    classifier = zeroshot.zero_shot_classifier(encoders.load_clip(args.model), task)
    states = args.out.with_name(f"{args.out.name}.states")
    if trainer:
        classifier = trainer(classifier, task, recipe, progress=True, folder=states, resume=args.resume)
    metrics = report(classifier, task)
    checkpoints.save(classifier, args.out, recipe=recipe, metrics=metrics, overwrite=args.overwrite)
    shutil.rmtree(states, ignore_errors=True)
    print(f"written: {args.out}")


def import_file(args: argparse.Namespace) -> None:
    """A file with a head becomes a checkpoint, a whole CLIP a folder in open_clip's layout."""
    from wiseft_lite import checkpoints, interchange

    check_new(args.out, args.overwrite)
    how = {"architecture": args.architecture, "sha256": args.sha256}
    if args.classes is None:
        interchange.import_clip(args.file, args.out, **how, overwrite=args.overwrite)
        print(f"written: {args.out}; use it with --model local-dir:{args.out}")
        return
    try:
        names = [line.strip() for line in args.classes.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"--classes {args.classes} cannot be read ({error}); give a text file, one name a "
                        "line") from None
    classifier = interchange.import_checkpoint(args.file, names, **how)
    checkpoints.save(classifier, args.out, overwrite=args.overwrite)
    print(f"written: {args.out} ({classifier.encoder_name}, {len(names)} classes)")


def export(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, interchange

    check_new(args.out, args.overwrite)
    interchange.export_open_clip(checkpoints.load(args.checkpoint), args.out, overwrite=args.overwrite)
    print(f"written: {args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")


@contextmanager
def _doubts() -> Iterator[None]:
    """Say warnings in one line each, without the place in the code."""
    with warnings.catch_warnings(record=True) as doubts:
        yield
    for doubt in doubts:
        print(f"wiseft-lite: {doubt.message}", file=sys.stderr)


def sweep(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, connectivity, sweeps, tasks

    check_new(args.out, args.overwrite)
    alphas = _alphas(args.alphas)
    task = tasks.load_task(args.task)
    names = args.splits.split(",") if args.splits else list(task.evaluation)
    splits = {name: task.split(name) for name in names}
    zero_shot, fine_tuned = checkpoints.load(args.zero_shot), checkpoints.load(args.fine_tuned)
    with _doubts():
        connectivity.connected(zero_shot, fine_tuned, task.val)
    with _doubts():
        table = sweeps.sweep(zero_shot, fine_tuned, splits, alphas, progress=True, passes=args.passes)
    show_table(table)
    write_results(table, args.out)
    print(f"written: {args.out}")


def plot(args: argparse.Namespace) -> None:
    from wiseft_lite.figures import frontier

    check_new(args.out, args.overwrite)
    table = read_results(args.results)
    kinds = dict(tuple(table.groupby("kind", sort=False))) if "kind" in table else {"fine-tuned": table}
    if args.out.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(f"--out {args.out} must end in .png, .svg or .pdf")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    frontier(kinds).savefig(args.out)
    print(f"written: {args.out}")


def ledger(args: argparse.Namespace) -> None:
    from wiseft_lite import experiments
    from wiseft_lite import ledger as book

    for key in args.keys if args.run_again else ():
        record = experiments.run(key, range(args.seeds))
        book.write(record)
        print(f"{key}: {len(record.numbers)} numbers measured and written to {book.LEDGER}")
    entries = book.read()
    for key in args.keys:
        found = {k: v for k, v in entries.items() if k == key or k.startswith(f"{key}.")}
        if not found:
            raise UserError(f"the ledger has no entry {key!r}; 'wiseft-lite ledger {key} --run' may make it")
        for name, known in found.items():
            spread = "" if known["spread"] is None else f" +- {known['spread']:.2f}"
            print(f"{name:32} {known['value']:8.2f}{spread} {known['unit']}, n={known['n']}, "
                  f"{len(known['seeds'])} seeds, {known['code']}, {known['made_by']}")
