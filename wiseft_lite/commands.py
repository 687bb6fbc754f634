"""What each command of ``wiseft-lite`` does; ``cli`` reads the words and calls these."""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import pandas as pd

from wiseft_lite.errors import UserError
from wiseft_lite.results import read_results, show_choices, show_table, write_results


def check_new(path: Path, overwrite: bool) -> None:
    """Refuse a file, or a folder with something in it, before any work is done."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())) and not overwrite:
        raise UserError(f"{path} exists; choose another --out or pass --overwrite")


def _alphas(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--alphas {text!r} is no list of numbers; write for example 0,0.5,1") from None


def recipe_of(args: argparse.Namespace, base):
    """The recipe ``base`` with what the command line says otherwise."""
    given = {f.name: getattr(args, f.name) for f in fields(base) if getattr(args, f.name, None) is not None}
    return replace(base, **given)


def run(args: argparse.Namespace) -> None:
    """demo and run: the whole method on one task, with a table, a figure and the checkpoints."""
    from wiseft_lite import checkpoints, connectivity, distributed, encoders, pipeline, tasks, zeroshot
    from wiseft_lite.figures import save

    check_new(args.out, args.overwrite)
    started = time.time()
    recipes = pipeline.recipes_for(args.model)
    kinds = args.kinds.split(",") if args.kinds else list(recipes)
    recipes = {kind: recipe_of(args, recipes[kind]) if kind == "end-to-end" else recipes.get(kind) for kind in kinds}
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        zero_shot = zeroshot.zero_shot_classifier(encoders.load_clip(args.model, device_of(args)), task)
    print(f"{task.name}: {len(task.class_names)} classes, {len(task.train)} training images; zero-shot model "
          f"{args.model} on {device_of(args)}")
    states = args.out.with_name(f"{args.out.name}.states")
    models, table = pipeline.walk(zero_shot, task, recipes, folder=states, resume=args.resume, progress=True,
                                  pieces=args.pieces, checkpointing=args.checkpointing)
    for kind, part in table.groupby("kind", sort=False):
        connectivity.connected(zero_shot, models[kind], task.val)
        print(f"\n{kind}: accuracy in % at each alpha (0 zero-shot, 1 fine-tuned)")
        show_table(part)
    print("\nalpha chosen without a test image (half: the paper's advice; val: the best on val), accuracy in %")
    show_choices(pipeline.choices(table))
    if not distributed.is_main():
        return
    with checkpoints.new_folder(args.out, args.overwrite, mark="results.jsonl") as folder:
        write_results(table.assign(model=args.model, task=task.name), folder / "results.jsonl")
        for name, figure in pipeline.draw(table, f"{task.name}, {args.model}").items():
            save(figure, folder / f"{name}.png", folder / f"{name}.svg")
        for name, model in {"zero-shot": zero_shot, **models}.items():
            checkpoints.save(model, folder / name, recipe=recipes.get(name))
    shutil.rmtree(states, ignore_errors=True)
    print(f"\n{time.time() - started:.0f} s; written to {args.out}: "
          f"{', '.join(sorted(path.name for path in args.out.iterdir()))}")


def device_of(args: argparse.Namespace) -> str:
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda, but torch finds no GPU; see 'wiseft-lite doctor', or take --device cpu")
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")


def show(args: argparse.Namespace) -> None:
    """tasks and doctor: what there is, and what is missing."""
    from wiseft_lite import doctor

    print("\n".join(doctor.tasks() if args.command == "tasks" else doctor.report(args.data)))


def report(classifier, splits) -> pd.DataFrame:
    """Measure the splits one after the other and say each as soon as it is known."""
    from wiseft_lite.features import predict

    rows = []
    for name, split in splits.items():
        result = split.score(split.predicted(predict(classifier, split)))
        rows.append({"split": name, **asdict(result)})
        print(f"{name:17} {100 * result.accuracy:5.1f} %   "
              f"[{100 * result.low:.1f}, {100 * result.high:.1f}]   n={result.n}", flush=True)
    return pd.DataFrame(rows)


def _splits(args: argparse.Namespace, task) -> dict:
    names = args.splits.split(",") if args.splits else list(task.evaluation)
    return {name: task.split(name) for name in names}


def evaluate(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, distributed, tasks

    check_new(args.out, args.overwrite)
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
    """zeroshot, probe and finetune: make a classifier, measure it, save it."""
    from wiseft_lite import checkpoints, distributed, encoders, pipeline, tasks, zeroshot

    kind = {"zeroshot": None, "probe": "probe", "finetune": "end-to-end"}[args.command]
    recipe = recipe_of(args, pipeline.recipes_for(args.model)[kind]) if kind else None
    check_new(args.out, args.overwrite)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        classifier = zeroshot.zero_shot_classifier(encoders.load_clip(args.model, device_of(args)), task)
    states = args.out.with_name(f"{args.out.name}.states")
    if kind:
        objective = pipeline.objective(kind, args.pieces, args.checkpointing)
        classifier = pipeline.TRAINERS[kind](classifier, task, recipe, objective=objective, progress=True, folder=states,
                                             resume=args.resume)
    metrics = dict(report(classifier, task.evaluation)[["split", "accuracy"]].itertuples(index=False))
    if not distributed.is_main():
        return
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


def sweep(args: argparse.Namespace) -> None:
    from wiseft_lite import checkpoints, connectivity, distributed, sweeps, tasks

    check_new(args.out, args.overwrite)
    alphas = _alphas(args.alphas)
    with distributed.main_first():
        task = tasks.load_task(args.task, args.data)
        splits = _splits(args, task)
        zero_shot, fine_tuned = (checkpoints.load(folder, device_of(args), task.class_names)
                                 for folder in (args.zero_shot, args.fine_tuned))
    checkpoints.check_same_start({str(args.zero_shot): zero_shot, str(args.fine_tuned): fine_tuned})
    connectivity.connected(zero_shot, fine_tuned, task.val)
    table = sweeps.sweep(zero_shot, fine_tuned, splits, alphas, progress=True, passes=args.passes)
    show_table(table)
    if not distributed.is_main():
        return
    write_results(table.assign(task=task.name), args.out)
    print(f"written: {args.out}")


def plot(args: argparse.Namespace) -> None:
    from wiseft_lite.figures import frontier, save

    check_new(args.out, args.overwrite)
    table = read_results(args.results)
    kinds = dict(tuple(table.groupby("kind", sort=False))) if "kind" in table else {"fine-tuned": table}
    if args.out.suffix not in (".png", ".svg", ".pdf"):
        raise UserError(f"--out {args.out} must end in .png, .svg or .pdf")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(frontier(kinds), args.out)
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
