"""Run a classifier over a split: pixels in, features or logits out."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.cache import entry
from wiseft_lite._runtime.digest import digest
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split

MEMORY_LIMIT = 2**30  # bytes of preprocessed images held in memory at once
DECODE_BATCH = 256  # images decoded at a time
WORKERS = 4  # decoding processes; each prefetches two batches


class LazyImages:
    """The preprocessed images of a split, decoded each time they are read, so that memory stays flat.

    Training and sweeps use it in place of a tensor ``[n, 3, h, w]``: it has ``shape``, ``len``,
    indexing by rows, and ``split``.

    Args:
        preprocess: turns a PIL image into a tensor ``[3, h, w]``.
        split: the images.
        ahead: whether to decode in other processes, so that a GPU need not wait.
    """

    def __init__(
        self, preprocess: Callable[[Image.Image], Tensor], split: Split, ahead: bool = False
    ):
        self.preprocess, self.images, self.ahead = preprocess, split, ahead
        self._first: Tensor | None = None
        self._first = self._row(0)  # kept, so that the shape costs no second decoding
        self.shape = (len(split), *self._first.shape)

    def __len__(self) -> int:
        return len(self.images)

    def _row(self, i: int) -> Tensor:
        if i == 0 and self._first is not None:
            return self._first
        try:
            return self.preprocess(self.images[i][0])
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"image {i} of split {self.images.name!r} cannot be read ({error}); "
                "fix or remove the file"
            ) from error

    def __getitem__(self, rows: Tensor) -> Tensor:
        return torch.stack([self._row(i) for i in rows.tolist()])

    def batches(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of these groups of rows."""
        workers = min(WORKERS, os.cpu_count() or 1) if self.ahead else 0
        loader = DataLoader(
            self,
            sampler=rows,
            batch_size=None,
            num_workers=workers,
            pin_memory=torch.cuda.is_available() and self.ahead,
            generator=torch.Generator(),  # of its own: training's random state stays as it is
        )
        try:
            yield from loader
        except UserError as error:  # another process sends its traceback along
            raise UserError(str(error).rpartition("UserError: ")[2]) from None

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield batches of ``size`` images in order."""
        return self.batches(torch.arange(len(self)).split(size))


def pixels(classifier: ImageClassifier | Clip, split: Split) -> Tensor | LazyImages:
    """Preprocess every image of a split: float32 ``[n, 3, h, w]``.

    Up to ``MEMORY_LIMIT`` bytes they are decoded once and held in memory; beyond that
    ``LazyImages`` are returned.

    Raises:
        UserError: an image cannot be decoded; the message names its file or its index in the split.
    """
    decoded = LazyImages(classifier.preprocess, split, ahead=next(classifier.parameters()).is_cuda)
    if 4 * math.prod(decoded.shape) > MEMORY_LIMIT:
        return decoded
    return torch.cat(list(decoded.split(DECODE_BATCH)))


def batches(inputs: Tensor | LazyImages, groups: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the inputs at each of these groups of rows; ``LazyImages`` are decoded ahead."""
    if isinstance(inputs, LazyImages):
        return inputs.batches(groups)
    return (inputs[rows] for rows in groups)


def chunks(inputs: Tensor | LazyImages, batch_size: int) -> Iterator[Tensor]:
    """Yield the inputs in order, each time as many whole batches as ``MEMORY_LIMIT`` allows."""
    batch_bytes = 4 * math.prod(inputs.shape[1:]) * batch_size
    size = max(MEMORY_LIMIT // batch_bytes, 1)
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
) -> Tensor:
    """Return a model's outputs for all inputs, ``batch_size`` at a time, in eval mode.

    Args:
        model: decides the device; afterwards it is in the mode that it was in.
        inputs: ``[n, ...]``, such as images ``[n, 3, h, w]``, or features for a head.
        batch_size: inputs per forward pass.
        function: what to run, such as ``model.encode``; the model itself if not given.

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
) -> Tensor:
    """Run over a split; of several processes each decodes and runs its own shard."""
    shards = distributed.Shards(len(split), batch_size)
    if images is None or distributed.world_size() > 1:
        images = pixels(classifier, shards.shard(split))
    return shards.gather(run_in_batches(classifier, images, batch_size, function))


def encode(
    classifier: ImageClassifier,
    split: Split,
    batch_size: int = 256,
    images: Tensor | LazyImages | None = None,
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
    """

    def cache_key() -> str:
        nonlocal images
        content, encoder = split.content(), classifier.encoder
        if content is None and images is None:
            images = pixels(classifier, split)
        source: tuple = (content, classifier.preprocess)
        if images is not None and content is None:
            source = tuple(digest(chunk) for chunk in chunks(images, batch_size))
        device = next(classifier.parameters()).device.type
        return digest(
            ImageClassifier.encode,
            repr(encoder),
            encoder.state_dict(),
            source,
            batch_size,
            device,
            torch.__version__,
        )

    with entry(f"features-{distributed.broadcast_object(cache_key)}.safetensors") as path:
        features = _read(path)
        if not distributed.all_true(features is not None):
            features = _run_split(classifier, classifier.encode, split, images, batch_size)
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


def predict(classifier: ImageClassifier, split: Split, batch_size: int = 256) -> Tensor:
    """Return logits ``[n, C]`` on the CPU, in eval mode, without augmentation."""
    return _run_split(classifier, None, split, None, batch_size)
