"""Run a classifier over a split: pixels in, features or logits out."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from wiseft_lite import data
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.cache import entry
from wiseft_lite._runtime.digest import digest
from wiseft_lite._runtime.precision import autocast_dtype
from wiseft_lite.data import ImageDataset, LazyImages, default_workers
from wiseft_lite.encoders import Clip
from wiseft_lite.models import ImageClassifier
from wiseft_lite.recipes import Compute
from wiseft_lite.tasks import Split

DECODE_BATCH = 256  # images decoded at a time


def pixels(
    classifier: ImageClassifier | Clip, split: Split, compute: Compute = Compute()
) -> Tensor | LazyImages:
    """Preprocess every image of a split: float32 ``[n, 3, h, w]``.

    Up to ``data.MEMORY_LIMIT`` bytes they are decoded once and held in memory; beyond that
    ``LazyImages`` are returned.

    Args:
        classifier: its ``preprocess`` is used, and its device decides the number of workers.
        split: the images.
        compute: its ``workers`` decode.

    Raises:
        UserError: an image cannot be decoded; the message names its file or its index in the split.
    """
    device = next(classifier.parameters()).device
    workers = default_workers(device) if compute.workers is None else compute.workers
    images = LazyImages(ImageDataset(split, classifier.preprocess), workers)
    if 4 * math.prod(images.shape) > data.MEMORY_LIMIT:
        return images
    return torch.cat(list(images.split(DECODE_BATCH)))


def chunks(inputs: Tensor | LazyImages, batch_size: int) -> Iterator[Tensor]:
    """Yield the inputs in order, each time as many whole batches as ``data.MEMORY_LIMIT`` allows."""
    batch_bytes = 4 * math.prod(inputs.shape[1:]) * batch_size
    size = max(data.MEMORY_LIMIT // batch_bytes, 1)
    chunk: list[Tensor] = []
    for batch in inputs.split(batch_size):
        chunk.append(batch)
        if len(chunk) == size:
            yield torch.cat(chunk)
            chunk = []
    if chunk:
        yield torch.cat(chunk)


@torch.inference_mode()
def run_in_batches(
    model: nn.Module,
    inputs: Tensor | LazyImages,
    batch_size: int = 256,
    function: Callable[[Tensor], Tensor] | None = None,
    precision: str = "float32",
) -> Tensor:
    """Return a model's outputs for all inputs, ``batch_size`` at a time, in eval mode.

    Args:
        model: decides the device; afterwards it is in the mode that it was in.
        inputs: ``[n, ...]``, such as images ``[n, 3, h, w]``, or features for a head.
        batch_size: inputs per forward pass.
        function: what to run, such as ``model.encode``; the model itself if not given.
        precision: of the forward pass, see ``recipes.Compute``.

    Returns:
        Float32 ``[n, ...]`` on the CPU, without gradients.

    Example:
        >>> run_in_batches(torch.nn.Linear(2, 4), torch.ones(3, 2), batch_size=2).shape
        torch.Size([3, 4])
    """
    run = model if function is None else function
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    dtype = autocast_dtype(device, precision)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        outputs = [run(batch.to(device)).float().cpu() for batch in inputs.split(batch_size)]
    model.train(was_training)
    return torch.cat(outputs)


@torch.inference_mode()
def _run_split(
    classifier: ImageClassifier,
    function: Callable[[Tensor], Tensor] | None,
    split: Split,
    images: Tensor | LazyImages | None,
    batch_size: int,
    compute: Compute,
) -> Tensor:
    """Run over a split; of several processes each decodes and runs its own shard."""
    shards = distributed.Shards(len(split), batch_size)
    if images is None or distributed.world_size() > 1:
        images = pixels(classifier, shards.shard(split), compute)
    outputs = run_in_batches(classifier, images, batch_size, function, compute.precision)
    return shards.gather(outputs)


def encode(
    classifier: ImageClassifier,
    split: Split,
    batch_size: int = 256,
    images: Tensor | LazyImages | None = None,
    compute: Compute = Compute(),
) -> tuple[Tensor, Tensor]:
    """Return L2-normalised features ``[n, d]`` and labels ``[n]``, in eval mode, without
    augmentation.

    Features are cached in ``cache.cache_folder`` under a hash of the encoder's weights, the
    preprocessing and the images, so that a machine encodes the same images once; later they are
    mapped into memory, bit for bit. Images whose source has a ``content``, as those of the shipped
    tasks do, are not even decoded then.

    Args:
        classifier: its head is not used.
        split: the images.
        batch_size: images per forward pass.
        images: what ``pixels`` returned for them, if they are decoded already.
        compute: how to compute them; its precision is part of the hash.
    """

    def cache_key() -> str:
        nonlocal images
        content, encoder = split.content(), classifier.encoder
        if content is None and images is None:
            images = pixels(classifier, split, compute)
        source: tuple = (content, classifier.preprocess)
        if images is not None and content is None:
            source = tuple(digest(chunk) for chunk in chunks(images, batch_size))
        device = next(classifier.parameters()).device
        return digest(
            ImageClassifier.encode,
            repr(encoder),
            encoder.state_dict(),
            source,
            batch_size,
            device.type,
            autocast_dtype(device, compute.precision),
            torch.__version__,
        )

    with entry(f"features-{distributed.broadcast_object(cache_key)}.safetensors") as path:
        features = _read(path)
        if not distributed.all_true(features is not None):
            features = _run_split(classifier, classifier.encode, split, images, batch_size, compute)
            features = features.clone()  # outside inference mode, so that a head can train on it
            if distributed.is_main():
                _write(path, features)
    return features, split.labels


def _read(path: Path) -> Tensor | None:
    """Map the features in a file into memory; None if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            features, written = file.get_tensor("features"), file.metadata()["digest"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return features if digest(features) == written else None


def _write(path: Path, features: Tensor) -> None:
    """Write features, whole or not at all; if that fails, warn, and they are computed again."""
    part = path.with_suffix(".part")
    try:
        save_file({"features": features}, part, metadata={"digest": digest(features)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        warnings.warn(
            f"{path} cannot be written ({error}), so these features will be computed again; "
            "make room there, or set WISEFT_CACHE to a folder elsewhere",
            stacklevel=3,
        )


def predict(
    classifier: ImageClassifier, split: Split, batch_size: int = 256, compute: Compute = Compute()
) -> Tensor:
    """Return logits ``[n, C]`` on the CPU, in eval mode, without augmentation."""
    return _run_split(classifier, None, split, None, batch_size, compute)
