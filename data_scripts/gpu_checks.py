"""Check training and evaluation on a GPU, and measure them, in less than ten minutes.

``python data_scripts/gpu_checks.py --out gpu.json`` needs one GPU; ``--device cpu`` runs the same
checks on small models, without a meaning for the measurements. Weights are random and images are
noise, so nothing is downloaded. It stops with exit code 1 if a check fails.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wiseft_lite import callbacks
from wiseft_lite._runtime.precision import autocast_dtype, precision_name
from wiseft_lite.book.memory import need
from wiseft_lite.callbacks import Callback, Checkpoints
from wiseft_lite.data import ShuffledBatches, load
from wiseft_lite.encoders import load_clip
from wiseft_lite.features import predict
from wiseft_lite.losses import cross_entropy
from wiseft_lite.models import ImageClassifier
from wiseft_lite.recipes import Compute
from wiseft_lite.schedules import learning_rate
from wiseft_lite.sweeps import sweep
from wiseft_lite.tasks import Split, Task, load_task
from wiseft_lite.tasks.images import Arrays
from wiseft_lite.training import BatchLoss, Recipe, finetune, training_images
from wiseft_lite.zeroshot import zero_shot_classifier

AGREEMENT = 0.995  # of predictions in 16 bits with those in float32
ACCURACY = 0.002  # largest difference of an accuracy
FLOAT32 = Compute(precision="float32")


@dataclass(frozen=True)
class Size:
    """What is timed: a model, its batch and the number of images of an epoch and of a sweep."""

    model: str
    batch_size: int
    images: int


SIZES = {
    "cuda": (Size("ViT-B-32/none", 128, 2048), Size("ViT-L-14/none", 32, 384)),
    "cpu": (Size("ViT-S-32-alt/none", 8, 32),),
}


class Interrupt(Callback):
    """Interrupts a run after some steps, as a cluster would."""

    stateless = True

    def __init__(self, steps: int):
        self.steps = steps

    def before_step(self, run: callbacks.Run) -> None:
        if run.step == self.steps:
            raise KeyboardInterrupt


def noise(n: int, classes: int) -> Task:
    """Return a task of random images of 256 x 256."""
    generator = np.random.default_rng(0)
    names = tuple(f"class {k}" for k in range(classes))

    def split(name: str, size: int) -> Split:
        pixels = generator.integers(0, 256, (size, 256, 256, 3), dtype=np.uint8)
        return Split(name, Arrays(pixels), torch.arange(size) % classes)

    splits = [split(name, size) for name, size in (("train", n), ("val", classes), ("test", n))]
    return Task("noise", names, ("a photo of a {}.",), *splits, {})


def check_16_bits(start: ImageClassifier, tuned: ImageClassifier, task: Task) -> dict:
    """Compare evaluation in 16 bits with float32, on every split of IconShift."""
    device = next(start.parameters()).device
    fast = "auto" if autocast_dtype(device) is not None else "bfloat16"
    same, apart = [], []
    for model in (start, tuned):
        for split in task.evaluation.values():
            exact, quick = (
                split.predicted(predict(model, split, compute=Compute(precision=precision)))
                for precision in ("float32", fast)
            )
            same.append(exact == quick)
            apart.append(abs(split.score(exact).accuracy - split.score(quick).accuracy))
    agree = torch.cat(same).double().mean().item()
    assert agree >= AGREEMENT, f"only {agree:.4f} of the predictions agree"
    assert max(apart) <= ACCURACY, f"an accuracy differs by {max(apart):.4f}"
    return {"precision": precision_name(device, fast), "agree": agree, "apart": max(apart)}


def check_resume(start: ImageClassifier, task: Task, recipe: Recipe, folder: Path) -> dict:
    """Interrupt a run, resume it, and compare with one that was not interrupted."""
    callbacks.SAVE_INTERVAL, interval = 0, callbacks.SAVE_INTERVAL
    whole = finetune(start, task, recipe, compute=FLOAT32)
    states = Checkpoints(folder)
    try:
        finetune(start, task, recipe, compute=FLOAT32, callbacks=[states, Interrupt(12)])
        raise AssertionError("the run was not interrupted")
    except KeyboardInterrupt:
        resumed = finetune(start, task, recipe, compute=FLOAT32, callbacks=[states])
    callbacks.SAVE_INTERVAL = interval
    off = max(
        (a - b).abs().max().item()
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    assert off <= 1e-3, f"weights differ by {off:g}"  # kernels of a GPU need not repeat their bits
    return {"largest difference of a weight": off}


def check_overflow(start: ImageClassifier, task: Task) -> dict:
    """Train with a loss that overflows float16 at first: the scale falls, and weights stay finite."""

    def steep(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        return 300 * cross_entropy(model, inputs, labels)

    class Scales(Callback):
        stateless = True
        seen: list[float] = []

        def after_step(self, run: callbacks.Run) -> None:
            self.seen.append(run.scaler.get_scale())

    scales = Scales()
    compute = Compute(precision="float16")
    finetune(start, task, Recipe(epochs=1), objective=steep, compute=compute, callbacks=[scales])
    assert scales.seen[-1] < 2**16, "the loss scale never fell"
    return {"scales": sorted(set(scales.seen), reverse=True)}


def check_ddp(start: ImageClassifier, task: Task) -> dict:
    """Compare the gradient under ``DistributedDataParallel``, in one process, with the plain one."""
    device = next(start.parameters()).device
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=address, world_size=1, rank=0)
    try:
        images = torch.stack([start.preprocess(task.train[i][0]) for i in range(32)]).to(device)
        labels, gradients = task.train.labels[:32].to(device), []
        for wrap in (lambda module: module, DistributedDataParallel):
            model = copy.deepcopy(start).train()
            wrap(BatchLoss(model, cross_entropy))(images, labels).backward()
            gradients.append([p.grad for p in model.parameters() if p.grad is not None])
        for plain, averaged in zip(*gradients, strict=True):
            torch.testing.assert_close(averaged, plain, rtol=1e-4, atol=1e-6)
    finally:
        dist.destroy_process_group()
    return {"backend": backend, "tensors": len(gradients[0])}


def bare_epoch(start: ImageClassifier, task: Task, recipe: Recipe, workers: int) -> None:
    """Fine-tune in a plain PyTorch loop, as ``fit`` does: same loader, autocast, fused AdamW."""
    device = next(start.parameters()).device
    dtype = autocast_dtype(device)
    model = copy.deepcopy(start).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=0.1, fused=device.type == "cuda"
    )
    images = training_images(start, task.train, recipe)
    order = ShuffledBatches(len(images), recipe)
    for step, (keys, batch) in enumerate(zip(order, load(images, order, workers), strict=True)):
        labels = task.train.labels[[i for _, i in keys]].to(device, non_blocking=True)
        optimizer.param_groups[0]["lr"] = learning_rate(step, len(order), recipe)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = nn.functional.cross_entropy(model(batch.to(device, non_blocking=True)), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()


def seconds(job: Callable[[], object], device: torch.device, repeats: int = 2) -> float:
    """Return the shortest time of a job, with the GPU's work done."""
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - started)
    return min(took)


def measure(size: Size, device: torch.device) -> dict:
    """Measure throughput of ``finetune``, of a bare loop and of ``sweep``, and the peak memory."""
    task = noise(size.images, classes=10)
    start = zero_shot_classifier(load_clip(size.model, device), task)
    recipe = Recipe(epochs=1, lr=1e-5, batch_size=size.batch_size)
    workers = min(8, os.cpu_count() or 1) if device.type == "cuda" else 0
    compute = Compute(workers=workers)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ours = seconds(lambda: finetune(start, task, recipe, compute=compute), device)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    bare = seconds(lambda: bare_epoch(start, task, recipe, workers), device)
    other = start.with_weights({k: v * 1.01 for k, v in start.state_dict().items()})
    swept = seconds(
        lambda: sweep(start, other, {"test": task.test}, [0, 0.5, 1], compute=compute), device, 1
    )
    return {
        **asdict(size),
        "precision": precision_name(device),
        "fine-tuning, images per second": size.images / ours,
        "bare loop, images per second": size.images / bare,
        "bare loop's time over ours": bare / ours,
        "sweep, images and alphas per second": 3 * size.images / swept,
        "peak bytes": peak,
        "bytes by the book's formula, float32": need(size.model.split("/")[0]).training(
            size.batch_size
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no GPU; --device cpu runs the checks on small models", file=sys.stderr)
        return 2
    device, task = torch.device(options.device), load_task("iconshift")
    recipe = Recipe(epochs=2 if options.device == "cuda" else 1)
    start = zero_shot_classifier(load_clip("iconclip", device), task)
    tuned = finetune(start, task, recipe)
    report: dict = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
        "torch": torch.__version__,
    }
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        checks = {
            "16 bits": lambda: check_16_bits(start, tuned, task),
            "overflow": lambda: check_overflow(start, task),
            "resume": lambda: check_resume(start, task, recipe, Path(folder)),
            "DDP": lambda: check_ddp(start, task),
            **{s.model: lambda s=s: measure(s, device) for s in SIZES[options.device]},
        }
        for name, check in checks.items():
            began = time.perf_counter()
            try:
                report[name] = check()
            except Exception as error:  # the other checks still run
                report[name] = {"failed": f"{type(error).__name__}: {error}"}
                failed.append(name)
            report[name]["seconds"] = round(time.perf_counter() - began, 1)
            print(name, json.dumps(report[name]), flush=True)
            options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
