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
from torch import Tensor
from torch.utils.data import DataLoader

from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.cache import entry
from wiseft_lite._runtime.digest import digest
from wiseft_lite.encoders import Clip
from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split

HELD = 2**30  # bytes of preprocessed images that may be held in memory at once
DECODED = 256  # images that one process decodes in turn
WORKERS = 4  # processes; each holds two batches ready


class LazyImages:
    """The preprocessed images of a split, decoded again each time they are asked for: memory stays
    flat.

    It answers to what training and sweeps ask of a tensor ``[n, 3, h, w]``: ``shape``, ``len``,
    rows and ``split``.

    Args:
        preprocess: shards a PIL image into a tensor ``[3, h, w]``.
        split: the images.
        ahead: decode in other processes, for a GPU that would wait.
    """

    def __init__(
        self, preprocess: Callable[[Image.Image], Tensor], split: Split, ahead: bool = False
    ):
        self.preprocess, self.images, self.ahead = preprocess, split, ahead
        self._first: Tensor | None = None
        self._first = self._row(0)  # kept, so that asking for the shape decodes nothing twice
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
                "mend or remove the file"
            ) from error

    def __getitem__(self, rows: Tensor) -> Tensor:
        return torch.stack([self._row(i) for i in rows.tolist()])

    def batches(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images at each of these groups of places in turn."""
        workers = min(WORKERS, os.cpu_count() or 1) if self.ahead else 0
        loader = DataLoader(
            self,
            sampler=rows,
            batch_size=None,
            num_workers=workers,
            pin_memory=torch.cuda.is_available() and self.ahead,
            generator=torch.Generator(),
        )  # or training's dice would be thrown
        try:
            yield from loader
        except UserError as error:  # from another process it comes with its traceback
            raise UserError(str(error).rpartition("UserError: ")[2]) from None

    def split(self, size: int) -> Iterator[Tensor]:
        """Batches of ``size`` images in order."""
        return self.batches(torch.arange(len(self)).split(size))


def pixels(classifier: ImageClassifier | Clip, split: Split) -> Tensor | LazyImages:
    """Every image of a split, preprocessed: float32 ``[n, 3, h, w]``.

    Up to ``HELD`` bytes they are decoded once and held in memory; beyond that the answer is
    ``LazyImages``.

    Raises:
        UserError: an image that cannot be decoded, named by its file or its place in the split.
    """
    decoded = LazyImages(classifier.preprocess, split, ahead=next(classifier.parameters()).is_cuda)
    if 4 * math.prod(decoded.shape) > HELD:
        return decoded
    return torch.cat(list(decoded.split(DECODED)))


def batches(inputs: Tensor | LazyImages, groups: Sequence[Tensor]) -> Iterator[Tensor]:
    """The inputs at each of these groups of places in turn; what is decoded, is decoded ahead."""
    return (
        inputs.batches(groups)
        if isinstance(inputs, LazyImages)
        else (inputs[rows] for rows in groups)
    )


def pieces(inputs: Tensor | LazyImages, batch_size: int) -> Iterator[Tensor]:
    """The inputs in turn, in whole batches and as many at a time as may be held in memory."""
    most = max(HELD // (4 * math.prod(inputs.shape[1:]) * batch_size), 1)
    held: list[Tensor] = []
    for batch in inputs.split(batch_size):
        held.append(batch)
        if len(held) == most:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)


@torch.inference_mode()
def _run(
    classifier: ImageClassifier,
    function,
    split: Split,
    images: Tensor | LazyImages | None,
    batch_size: int,
) -> Tensor:
    """What a function makes of every image; several processes take their shards, each decoding its
    own images."""
    shards = distributed.Shards(len(split), batch_size)
    if images is None or distributed.world_size() > 1:
        images = pixels(classifier, shards.shard(split))
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    parts = [function(batch.to(device)).float().cpu() for batch in images.split(batch_size)]
    classifier.train(was_training)
    return shards.gather(torch.cat(parts))


def encode(
    classifier: ImageClassifier,
    split: Split,
    batch_size: int = 256,
    images: Tensor | LazyImages | None = None,
) -> tuple[Tensor, Tensor]:
    """Return L2-normalised features ``[n, d]`` and labels ``[n]``, in eval mode, without
    augmentation.

    Features are kept in ``cache.cache_folder`` under a name that hashes the encoder's weights, the
    preprocessing and the pictures, so the same ones are encoded once on a machine; they come back
    mapped into memory, bit for bit. A source of images that can name its ``content``, as those of
    the shipped tasks can, is then not even decoded.

    Args:
        classifier: its head plays no part.
        split: the images.
        batch_size: images a forward pass.
        images: what ``pixels`` returned for them, if they are decoded already.
    """

    def named() -> str:
        nonlocal images
        content, encoder = split.content(), classifier.encoder
        if content is None and images is None:
            images = pixels(classifier, split)
        pictures = (content, classifier.preprocess)
        if content is None:
            pictures = tuple(digest(piece) for piece in pieces(images, batch_size))
        device = next(classifier.parameters()).device.type
        return digest(
            ImageClassifier.encode,
            repr(encoder),
            encoder.state_dict(),
            pictures,
            batch_size,
            device,
            torch.__version__,
        )

    with entry(f"features-{distributed.broadcast_object(named)}.safetensors") as path:
        features = _read(path)
        if not distributed.all_true(features is not None):
            features = _run(
                classifier, classifier.encode, split, images, batch_size
            ).clone()  # no inference tensor: it trains
            if distributed.is_main():
                _write(path, features)
    return features, split.labels


def _read(path: Path) -> Tensor | None:
    """The features in a file, mapped into memory; None if it is not there or not what was
    written."""
    try:
        with safe_open(path, framework="pt") as file:
            features, written = file.get_tensor("features"), file.metadata()["digest"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return features if digest(features) == written else None


def _write(path: Path, features: Tensor) -> None:
    """Put features into a file that appears whole or not at all; a full disk costs the next run its
    time, no more."""
    part = path.with_suffix(".part")
    try:
        save_file({"features": features}, part, metadata={"digest": digest(features)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        warnings.warn(
            f"{path} cannot be written ({error}), so these features will be made again; make room there, or "
            "set WISEFT_CACHE to a folder elsewhere",
            stacklevel=3,
        )


def predict(classifier: ImageClassifier, split: Split, batch_size: int = 256) -> Tensor:
    """Return logits ``[n, C]`` on the CPU, in eval mode, without augmentation."""
    return _run(classifier, classifier, split, None, batch_size)
