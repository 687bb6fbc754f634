"""What test_distributed does in one process and in two: processes.py CLIP_FOLDER OUT."""

import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from conftest import make_split  # noqa: E402

from wiseft_lite import (  # noqa: E402
    Recipe,
    Task,
    UserError,
    callbacks,
    data,
    encode,
    finetune,
    linear_probe,
    load_clip,
    predict,
    sweep,
    zero_shot_classifier,
)
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest  # noqa: E402
from wiseft_lite.book import runs as kept  # noqa: E402
from wiseft_lite.book.runs import trained  # noqa: E402
from wiseft_lite.callbacks import AfterEpoch, Checkpoints  # noqa: E402
from wiseft_lite.finetuning.flyp import flyp  # noqa: E402
from wiseft_lite.losses import l2_to  # noqa: E402
from wiseft_lite.merging.moving_averages import MovingAverages  # noqa: E402
from wiseft_lite.models import Head, ImageClassifier  # noqa: E402
from wiseft_lite.recipes import AUGMENTS  # noqa: E402
from wiseft_lite.tasks import Split  # noqa: E402
from wiseft_lite.tasks.images import Arrays  # noqa: E402
from wiseft_lite.training import Compute, fit  # noqa: E402

RECIPE = Recipe(epochs=2, lr=3e-3, batch_size=16)


class Counted:
    """A split's images, which count how often each is decoded."""

    def __init__(self, images):
        self.images, self.decoded = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.decoded.append(index)
        return self.images[index]


def task_of(train: int, test: int) -> Task:
    return Task(
        "shapes",
        ("disc", "square", "bar"),
        ("a {}.", "a drawing of a {}."),
        make_split("train", train),
        make_split("val", 12),
        make_split("test", test),
        {"two": make_split("two", 20, labels=(0, 2))},
    )


class Cut(Exception):
    """Represents a run killed by a scheduler."""


def train_all(clip, out: Path) -> dict:
    """Every way to train, in float64, because AdamW amplifies rounding errors of
    gradients near zero.

    Returns the weights by name of the run.
    """
    torch.set_default_dtype(torch.float64)  # of the images too
    exact = replace(clip, model=clip.model.double())
    task = task_of(61, 30)  # batches of 16, 16, 16 and 13
    zero_shot, runs = zero_shot_classifier(exact, task).double(), {}
    for kind in AUGMENTS:
        runs[kind] = finetune(zero_shot, task, replace(RECIPE, augment=kind))
    runs["last batch of one"] = finetune(zero_shot, task_of(33, 3), RECIPE)
    start = {
        key: value + 0.01 for key, value in zero_shot.state_dict().items()
    }  # so that the penalty is not 0
    averages = MovingAverages([0.9])
    runs["l2"] = finetune(
        zero_shot, task, RECIPE, objective=l2_to(start, 0.1), callbacks=[averages]
    )
    small = Compute(micro_batch_size=3, gradient_checkpointing=True)
    runs["micro-batches"] = finetune(zero_shot, task, RECIPE, compute=small)
    runs["workers"] = finetune(zero_shot, task, RECIPE, compute=Compute(workers=2))
    runs["flyp"] = flyp(exact, task, RECIPE).model
    callbacks.SAVE_INTERVAL = 0  # a state before every step

    def stop(epoch, model):
        raise Cut

    states = Checkpoints(out / "states")
    try:
        finetune(zero_shot, task, RECIPE, callbacks=[AfterEpoch(stop), states])
    except Cut:
        distributed.all_true(True)
    runs["resumed"] = finetune(zero_shot, task, RECIPE, callbacks=[states])
    runs["kept"] = trained(zero_shot, task, RECIPE, progress=False)
    kept.save = None  # it is not trained again
    runs["found"] = trained(zero_shot, task, RECIPE, progress=False)
    clip.model.float()
    torch.set_default_dtype(torch.float32)
    weights = {
        f"{name}/{key}": value
        for name, model in runs.items()
        for key, value in model.state_dict().items()
    }
    return weights | {f"averages/{key}": value for key, value in averages.debiased(0.9).items()}


def measure_all(zero_shot, tuned) -> dict:
    """Return logits, features and tables, from images in memory and from images decoded as needed."""
    report = {"tensors": {}, "decoded": {}}
    for name, n in (("even", 24), ("odd", 29), ("few", 3), ("one", 1)):
        for held in (2**30, 4 * 4 * 3 * 24 * 24):
            data.MEMORY_LIMIT = held
            images = Counted(make_split(name, n).images)
            split = Split(name, images, torch.arange(n) % 3)
            key = f"{name}, {held}"
            report["tensors"][f"predict {key}"] = predict(tuned, split, batch_size=4)
            report["decoded"][f"predict {key}"] = images.decoded
    data.MEMORY_LIMIT = 2**30
    split = make_split("odd", 29)
    report["tensors"]["encode"] = encode(zero_shot, split, 4)[0].clone()
    report["tensors"]["encode again"] = encode(zero_shot, split, 4)[0].clone()
    probe = linear_probe(zero_shot, task_of(30, 3), replace(RECIPE, augment="none"))
    report["tensors"] |= {f"probe/{key}": value for key, value in probe.state_dict().items()}
    images = Counted(split.images)
    both = {"odd": Split("odd", images, split.labels), "one": make_split("one", 1)}
    table = sweep(
        zero_shot,
        {"end": tuned, "probe": probe},
        both,
        (0, 0.3, 1),
        batch_size=4,
        passes=3,
        measures={
            "mean": lambda logits, split: float((logits * torch.arange(len(logits))[:, None]).sum())
        },
    )
    report["table"] = table.to_dict("records")
    report["adaptive"] = adaptive_tables(zero_shot, tuned, both)
    return report


def adaptive_tables(zero_shot, tuned, splits) -> list[dict]:
    """Rows of adaptive sweeps, with images in memory and with one batch in memory at a time."""
    rows = []
    for held in (2**30, 4 * 4 * 3 * 24 * 24):
        data.MEMORY_LIMIT = held
        rows += sweep(
            zero_shot,
            tuned,
            splits,
            [k / 10 for k in range(11)],
            batch_size=4,
            passes="adaptive",
            measures={
                "mean": lambda logits, split: float(
                    (logits * torch.arange(len(logits))[:, None]).sum()
                )
            },
        ).to_dict("records")
    data.MEMORY_LIMIT = 2**30
    return rows


def refusals() -> list[str]:
    """The errors of models that cannot be divided, and that dropout can."""
    images, labels, messages = torch.randn(8, 3, 4, 4), torch.arange(8) % 2, []
    torch.manual_seed(0)
    for layer in (nn.BatchNorm1d(48), nn.Dropout(0.5)):
        encoder = nn.Sequential(nn.Flatten(), layer)
        model = ImageClassifier(encoder, Head(torch.randn(2, 48)), None, ("a", "b"), "x")
        try:
            fit(model, images, labels, Recipe(epochs=1, batch_size=4), data_parallel=True)
            messages.append("")
        except UserError as error:
            messages.append(str(error))
    return messages


def from_random_weights() -> tuple[dict, str]:
    """Weights after training that starts from random ones, which differ between processes;
    and of ARCH/none."""
    torch.manual_seed(7)
    images, labels, runs = torch.randn(8, 3, 4, 4, dtype=torch.float64), torch.arange(8) % 2, {}
    for name, divided in (("divided", True), ("not divided", False)):
        torch.manual_seed(distributed.rank())
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
        model = ImageClassifier(encoder, Head(torch.randn(2, 5)), None, ("a", "b"), "x").double()
        if (
            name == "divided"
        ):  # a layer that is frozen does not look at the other images of its batch
            encoder.append(nn.BatchNorm1d(5).double().requires_grad_(False))
        runs[f"from random, {name}"] = fit(
            model, images, labels, Recipe(epochs=1, batch_size=4), data_parallel=divided
        )
    torch.manual_seed(distributed.rank())
    made = digest(load_clip("ViT-S-32-alt/none").model.state_dict())
    return {
        f"{run}/{key}": value
        for run, model in runs.items()
        for key, value in model.state_dict().items()
    }, made


def memory(n: int) -> int:
    """Return the peak MiB after predictions and a sweep of n large images."""
    held, data.MEMORY_LIMIT = data.MEMORY_LIMIT, 2**24
    first, last = (
        ImageClassifier(
            nn.Sequential(nn.AvgPool2d(112), nn.Flatten(), nn.Linear(12, 12)),
            Head(torch.ones(2, 12)),
            lambda image: torch.ones(3, 224, 224),
            "ab",
            "x",
        )
        for _ in range(2)
    )
    split = Split(
        "a", Arrays(np.broadcast_to(np.zeros((), np.uint8), (n, 8, 8, 3))), torch.arange(n) % 2
    )
    predict(first, split, 16)
    sweep(first, last, {"a": split}, [0, 1], 16)
    data.MEMORY_LIMIT = held
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (
        2**20 if sys.platform == "darwin" else 2**10
    )


def work(clip_folder: str, out: Path) -> None:
    """Run everything and write the results to ``out/RANK.*``."""
    out.mkdir(parents=True, exist_ok=True)
    os.environ["WISEFT_CACHE"] = str(out / "cache")
    clip = load_clip(f"local-dir:{clip_folder}")
    tensors = train_all(clip, out)
    zero_shot = zero_shot_classifier(clip, task_of(61, 30))
    turned = zero_shot.with_weights(
        {key: value.roll(1) for key, value in zero_shot.state_dict().items()}
    ).eval()
    report = measure_all(zero_shot, turned)
    tensors |= report.pop("tensors")
    random, made = from_random_weights()
    tensors |= random
    report |= {"made": made, "refused": refusals(), "memory": [memory(n) for n in (100, 800)]}
    kept = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    save_file(kept, out / f"{distributed.rank()}.safetensors")
    (out / f"{distributed.rank()}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.start()
    work(sys.argv[1], Path(sys.argv[2]))
    distributed.stop()
