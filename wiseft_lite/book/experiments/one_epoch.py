"""Fine-tune IconCLIP for one epoch and print the seconds: what a launcher starts for the benchmark."""

from __future__ import annotations

import time

import torch

from wiseft_lite._runtime import distributed
from wiseft_lite.encoders import load_clip
from wiseft_lite.tasks import load_task
from wiseft_lite.training import Recipe, finetune
from wiseft_lite.zeroshot import zero_shot_classifier


def main() -> None:
    torch.set_num_threads(1)  # one core for each process
    distributed.start("cpu")
    task = load_task("iconshift")
    zero_shot = zero_shot_classifier(load_clip("iconclip"), task)
    started = time.perf_counter()
    finetune(zero_shot, task, Recipe(epochs=1))
    if distributed.is_main():
        print(time.perf_counter() - started)
    distributed.stop()


if __name__ == "__main__":
    main()
