"""Chapter 11: is half way worse than fine-tuned on the small tasks because their training is short?

The explanation that is tested: a short training moves the weights so little that the model half way has not even
learned its training images. It predicts that half way catches up when the path is longer.

The rule, written before any run of 30 epochs on these tasks was made (2026-11-28): ``gain`` is alpha 0.5 minus
fine-tuned on the test images, mean over the six small tasks. Training for 30 epochs instead of 10, at the same learning
rate, changes it by ``change``, seed by seed. The explanation is

- supported, if the 95 % t interval of ``change`` over five seeds lies above 0 and its mean is at least half of the loss
  at 10 epochs;
- a part of the story, if the interval lies above 0 and the mean is smaller than that;
- not supported otherwise.
"""

from __future__ import annotations

import pandas as pd

from wiseft_lite.encoders import load_clip
from wiseft_lite.ledger import Record
from wiseft_lite.runs import trained
from wiseft_lite.sweeps import sweep
from wiseft_lite.tasks import load_task, task_names
from wiseft_lite.training import Recipe
from wiseft_lite.zeroshot import zero_shot_classifier

EPOCHS = (10, 30)
ALPHAS = (0.0, 0.5, 1.0)


def run(record: Record, seeds: list[int]) -> None:
    clip = load_clip("iconclip")
    tasks = {name: load_task(name) for name in task_names() if name != "iconshift"}
    rows = []
    for name, task in tasks.items():
        zero_shot = zero_shot_classifier(clip, task)
        for epochs in EPOCHS:
            for seed in seeds:
                model = trained(zero_shot, task, Recipe(epochs=epochs, seed=seed))
                table = sweep(zero_shot, model, {"train": task.train, "test": task.test}, ALPHAS)
                wide = 100 * table.pivot(index="alpha", columns="split", values="accuracy")
                rows += [{"task": name, "epochs": epochs, "seed": seed, "alpha": alpha, "train": wide.loc[alpha, "train"],
                          "test": wide.loc[alpha, "test"]} for alpha in ALPHAS]
    table = record.tables["ch11_steps"] = pd.DataFrame(rows)
    n = {part: sum(len(task.split(part)) for task in tasks.values()) for part in ("train", "test")}
    means = table.groupby(["epochs", "alpha", "seed"])[["train", "test"]].mean()  # over the tasks
    gains = {}
    for epochs in EPOCHS:
        recipe = Recipe(epochs=epochs)
        for part in ("train", "test"):
            for key, alpha in (("half", 0.5), ("fine_tuned", 1.0)):
                record.number(f"ch11_steps.epochs_{epochs}.{part}_{key}", means.loc[epochs, alpha][part].tolist(),
                              "percent", n[part], seeds, recipe)
        gains[epochs] = means.loc[epochs, 0.5]["test"] - means.loc[epochs, 1.0]["test"]
        record.number(f"ch11_steps.epochs_{epochs}.gain", gains[epochs].tolist(), "points", n["test"], seeds, recipe)
    record.number("ch11_steps.change", (gains[30] - gains[10]).tolist(), "points", n["test"], seeds)
    print(table.groupby(["task", "epochs", "alpha"])[["train", "test"]].mean().round(1).to_string())
