"""Images as PyTorch datasets: decoded, transformed and batched, here or in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from wiseft_lite._runtime import distributed
from wiseft_lite.errors import UserError
from wiseft_lite.recipes import Recipe
from wiseft_lite.tasks import Split
from wiseft_lite.tasks.images import Arrays

MEMORY_LIMIT = 2**30  # bytes of images held in memory at once
MOST_WORKERS = 8  # default for a GPU; each worker prefetches two batches
SAMPLE = 32  # images from which the size of a data set is estimated

Transform = Callable[[Image.Image], Tensor]
Key = int | tuple[int, int]  # an image, or an epoch and an image
ORDER, IMAGE, STEP = range(3)  # independent streams of random numbers of a training run


def stream_seed(seed: int, *stream: int) -> int:
    """Return the seed of one stream of random numbers of a run, such as those of one image.

    Different streams are independent, and each is known without drawing the others, so that a run
    does not depend on which process draws what, or on where it was interrupted.

    Args:
        seed: of the run.
        stream: its kind, ``ORDER``, ``IMAGE`` or ``STEP``, and its numbers, such as the epoch and
            the image.

    Source: ``numpy.random.SeedSequence``, whose ``spawn_key`` this is.

    Example:
        >>> stream_seed(0, IMAGE, 2, 7) == stream_seed(0, IMAGE, 2, 7) != stream_seed(0, IMAGE, 2, 8)
        True
    """
    sequence = np.random.SeedSequence(seed, spawn_key=stream)
    return int(sequence.generate_state(1, np.uint64)[0])


class ImageDataset(Dataset):
    """The images of a split, decoded and transformed when they are read.

    ``dataset[i]`` is the transformed image ``i``, and ``dataset[epoch, i]`` the same with random
    numbers that depend on the seed, the epoch and ``i`` alone: neither on the number of workers and
    processes, nor on what was read before. The global random state stays as it is.

    Args:
        split: the images.
        transform: turns a PIL image into a tensor ``[3, h, w]``: a classifier's ``preprocess``, or
            one of ``augmentation.training_transform``.
        seed: of the random numbers of ``transform``; None if it draws none.

    Raises:
        UserError: when an image is read that cannot be decoded; the message names its file or its
            index in the split.
    """

    def __init__(self, split: Split, transform: Transform, seed: int | None = None):
        self.split, self.transform, self.seed = split, transform, seed
        self._first: Tensor | None = None

    def shape(self) -> tuple[int, ...]:
        """Return ``(n, 3, h, w)``; the first image is kept, so that it is not decoded twice."""
        first = self[0]
        if self.seed is None:
            self._first = first
        return len(self), *first.shape

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, key: Key) -> Tensor:
        epoch, i = key if isinstance(key, tuple) else (0, key)
        if i == 0 and self._first is not None:
            return self._first
        try:
            image = self.split[i][0]
            if self.seed is None:
                return self.transform(image)
            with torch.random.fork_rng(devices=[]):
                seed = stream_seed(self.seed, IMAGE, epoch, i)
                torch.default_generator.manual_seed(seed)  # transforms draw on the CPU
                return self.transform(image)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"image {i} of split {self.split.name!r} cannot be read ({error}); "
                "fix or remove the file"
            ) from error


def default_workers(device: torch.device) -> int:
    """Return how many processes decode images for a device: none for a CPU, which computes itself.

    For a GPU each process of a launch gets its part of the cores, at most ``MOST_WORKERS``.

    Example:
        >>> default_workers(torch.device("cpu"))
        0
    """
    if device.type == "cpu":
        return 0
    return min(MOST_WORKERS, max((os.cpu_count() or 1) // distributed.world_size(), 1))


def load(
    dataset: ImageDataset, batches: Iterable[Sequence[Key]], workers: int = 0
) -> Iterator[Tensor]:
    """Yield a tensor ``[b, 3, h, w]`` for each batch of keys, in order.

    Args:
        dataset: the images.
        batches: the keys of each batch.
        workers: processes that decode and transform ahead; 0 does both when a batch is asked for.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=workers > 0 and torch.cuda.is_available(),
        generator=torch.Generator(),  # of its own: the global random state stays as it is
    )
    try:
        yield from loader
    except UserError as error:  # another process sends its traceback along
        raise UserError(str(error).rpartition("UserError: ")[2]) from None


class LazyImages:
    """The transformed images of a dataset in place of a tensor ``[n, 3, h, w]`` too large to hold.

    It has ``shape``, ``len`` and ``split``; images are decoded each time they are read.

    Args:
        dataset: the images.
        workers: processes that decode ahead.
    """

    def __init__(self, dataset: ImageDataset, workers: int = 0):
        self.dataset, self.workers = dataset, workers
        self.shape = dataset.shape()

    def __len__(self) -> int:
        return len(self.dataset)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield batches of ``size`` images in order."""
        groups = [rows.tolist() for rows in torch.arange(len(self)).split(size)]
        return load(self.dataset, groups, self.workers)


def held_in_memory(split: Split) -> Split:
    """Return the split with its images decoded once and kept as uint8, if they fit into memory.

    A split that needs more than ``MEMORY_LIMIT`` bytes, estimated from some of its images, is
    returned as it is.
    """
    n = len(split)
    sample = range(0, n, max(n // SAMPLE, 1))
    if n * sum(np.asarray(split[i][0]).nbytes for i in sample) / len(sample) > MEMORY_LIMIT:
        return split
    return replace(split, images=Arrays([np.asarray(split[i][0]) for i in range(n)]))


class ShuffledBatches(Sampler[list[tuple[int, int]]]):
    """The keys ``(epoch, image)`` of each step's batch; every epoch has a new random order.

    The order depends on the recipe's seed and the epoch alone, so that a run resumes at any step.

    Args:
        n: images.
        recipe: its epochs, batch size and seed.
        start: steps that are done already.
        shard: this process gets its part of each batch, see ``distributed.local_slice``; otherwise
            all of it.

    Example:
        >>> batches = list(ShuffledBatches(3, Recipe(epochs=2, batch_size=2)))
        >>> [[epoch for epoch, _ in batch] for batch in batches]
        [[0, 0], [0], [1, 1], [1]]
        >>> sorted(batches[0] + batches[1])
        [(0, 0), (0, 1), (0, 2)]
    """

    def __init__(self, n: int, recipe: Recipe, start: int = 0, shard: bool = False):
        self.n, self.recipe, self.start, self.shard = n, recipe, start, shard

    def __len__(self) -> int:
        return self.recipe.epochs * steps_per_epoch(self.n, self.recipe) - self.start

    def size(self, step: int) -> int:
        """Return the number of images in the batch of a step, over all processes."""
        done = step % steps_per_epoch(self.n, self.recipe) * self.recipe.batch_size
        return min(self.recipe.batch_size, self.n - done)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        steps = steps_per_epoch(self.n, self.recipe)
        for epoch in range(self.start // steps, self.recipe.epochs):
            generator = torch.Generator().manual_seed(stream_seed(self.recipe.seed, ORDER, epoch))
            groups = torch.randperm(self.n, generator=generator).split(self.recipe.batch_size)
            for group in groups[max(self.start - epoch * steps, 0) :]:
                own = group[distributed.local_slice(len(group))[0]] if self.shard else group
                yield [(epoch, i) for i in own.tolist()]


def steps_per_epoch(n: int, recipe: Recipe) -> int:
    """Return the number of batches that ``n`` inputs make; the last may be smaller.

    Example:
        >>> steps_per_epoch(130, Recipe(batch_size=64))
        3
    """
    return -(-n // recipe.batch_size)
