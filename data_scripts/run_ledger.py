"""Make the ledger's entries again: python data_scripts/run_ledger.py [--seeds 5]

Each finished seed is kept in ``build/ledger``, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path

import pandas as pd

from wiseft_lite import Recipe, accuracy, finetune, linear_probe, load_clip, load_task, predict, sweep, task_names
from wiseft_lite import ledger, zero_shot_classifier
from wiseft_lite.encoders import ICONCLIP
from wiseft_lite.results import read_results, write_results

ROOT = Path(__file__).resolve().parent.parent
LEDGER, CACHE = ROOT / "book" / "ledger.json", ROOT / "build" / "ledger"
ALPHAS = tuple(k / 10 for k in range(11))
MADE_BY = "data_scripts/run_ledger.py"


def curve(kind: str, seed: int, theta_0, task) -> pd.DataFrame:
    """The sweep of one seed, from the cache if the same weights and recipe were run before."""
    recipe = Recipe(seed=seed)
    weights = hashlib.sha256((ICONCLIP / "open_clip_model.safetensors").read_bytes()).hexdigest()
    key = hashlib.sha256(f"{kind}{recipe}{weights}".encode()).hexdigest()[:16]
    path = CACHE / f"{kind}-{seed}-{key}.jsonl"
    if not path.exists():
        theta_1 = finetune(theta_0, task, recipe, True) if kind == "end-to-end" else linear_probe(theta_0, task)
        write_results(sweep(theta_0, theta_1, {"val": task.val, **task.evaluation}, ALPHAS, progress=True), path)
    return read_results(path)


def wide(table: pd.DataFrame, shifts: list[str]) -> pd.DataFrame:
    """Accuracy in percent, a row for each alpha, a column for each split and the mean over shifts."""
    result = 100 * table.pivot(index="alpha", columns="split", values="accuracy")
    return result.assign(shifts=result[shifts].mean(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = list(range(parser.parse_args().seeds))
    clip, entries = load_clip("iconclip"), {}

    for name in task_names():
        task = load_task(name)
        classifier = zero_shot_classifier(clip, task)
        scores = {}
        for split_name, split in task.evaluation.items():
            scores[split_name] = 100 * accuracy(predict(classifier, split), split.labels, split.classes).accuracy
            entries[f"zero_shot.{name}.{split_name}"] = ledger.entry(
                [scores[split_name]], "percent", [0], len(split), None, MADE_BY)
        if task.shifts:
            mean = sum(scores[s] for s in task.shifts) / len(task.shifts)
            total = sum(len(s) for s in task.shifts.values())
            entries[f"zero_shot.{name}.shifts"] = ledger.entry([mean], "percent", [0], total, None, MADE_BY)

    task = load_task("iconshift")
    theta_0 = zero_shot_classifier(clip, task)
    shifts = list(task.shifts)
    n = {name: len(split) for name, split in task.evaluation.items()}
    n["shifts"] = sum(n[s] for s in shifts)
    recipe = {k: v for k, v in dataclasses.asdict(Recipe()).items() if k != "seed"}
    runs = [wide(curve("end-to-end", seed, theta_0, task), shifts) for seed in seeds]

    def add(key: str, of, unit: str, images: int) -> None:
        entries[f"ch06.{key}"] = ledger.entry([of(run) for run in runs], unit, seeds, images, recipe, MADE_BY)

    for split in n:
        for alpha in ALPHAS:
            add(f"{split}.alpha_{alpha:g}", lambda r, a=alpha, s=split: r.loc[a, s], "percent", n[split])
        add(f"{split}.change", lambda r, s=split: r.loc[1.0, s] - r.loc[0.0, s], "points", n[split])
    add("half_over_zero_shot", lambda r: r.loc[0.5, "shifts"] - r.loc[0.0, "shifts"], "points", n["shifts"])
    add("half_over_fine_tuned", lambda r: r.loc[0.5, "shifts"] - r.loc[1.0, "shifts"], "points", n["shifts"])
    add("half_on_reference", lambda r: r.loc[0.5, "test"] - r.loc[1.0, "test"], "points", n["test"])
    probe = wide(curve("probe", 0, theta_0, task), shifts)
    for split in n:
        for alpha in (0.0, 0.5, 1.0):
            entries[f"ch06.probe.{split}.alpha_{alpha:g}"] = ledger.entry(
                [probe.loc[alpha, split]], "percent", [0], n[split], None, MADE_BY)
    ledger.write(LEDGER, entries)

    mean = sum(runs) / len(runs)
    print(mean.round(1).to_string())
    ends = mean.loc[[0.0, 1.0]].max()
    both = [a for a in ALPHAS if (mean.loc[a, ["test", "shifts"]] > ends[["test", "shifts"]]).all()]
    print("alphas that beat both ends on the reference and on the mean of the shifts:", both)
    for key in ("test.change", *[f"{s}.change" for s in shifts], "half_over_zero_shot", "half_over_fine_tuned"):
        print(f"{key:26} {entries['ch06.' + key]['value']:+.1f} +- {entries['ch06.' + key]['spread']:.1f}")


if __name__ == "__main__":
    main()
