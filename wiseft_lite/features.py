"""Run a classifier over a split: pixels in, features or logits out."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wiseft_lite.cache import entry
from wiseft_lite.digest import digest
from wiseft_lite.errors import UserError
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks import Split


def pixels(classifier: ImageClassifier, split: Split) -> Tensor:
    """Every image of a split, preprocessed: float32 ``[n, 3, h, w]``.

    Raises:
        UserError: an image that cannot be decoded, named by its place in the split.
    """
    rows = []
    for i in range(len(split)):
        try:
            rows.append(classifier.preprocess(split[i][0]))
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"image {i} of split {split.name!r} cannot be read ({error}); "
                            "mend or remove the file") from error
    return torch.stack(rows)


@torch.inference_mode()
def _run(classifier: ImageClassifier, function, images: Tensor, batch_size: int) -> Tensor:
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    parts = [function(batch.to(device)).float().cpu() for batch in images.split(batch_size)]
    classifier.train(was_training)
    return torch.cat(parts)


def encode(classifier: ImageClassifier, split: Split, batch_size: int = 256,
           images: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return L2-normalised features ``[n, d]`` and labels ``[n]``, in eval mode, without augmentation.

    Features are kept in ``cache.cache_folder`` under a name that hashes the encoder's weights, the preprocessing and
    the pictures, so the same ones are encoded once on a machine; they come back mapped into memory, bit for bit. A
    source of images that can name its ``content``, as those of the shipped tasks can, is then not even decoded.

    Args:
        classifier: its head plays no part.
        split: the images.
        batch_size: images a forward pass.
        images: what ``pixels`` returned for them, if they are decoded already.
    """
    content, encoder = split.content(), classifier.encoder
    if content is None and images is None:
        images = pixels(classifier, split)
    pictures = (content, classifier.preprocess) if content is not None else (images,)
    device = next(classifier.parameters()).device.type
    name = digest(ImageClassifier.encode, repr(encoder), encoder.state_dict(), pictures, batch_size, device,
                  torch.__version__)
    with entry(f"features-{name}.safetensors") as path:
        features = _read(path)
        if features is None:
            images = pixels(classifier, split) if images is None else images
            features = _run(classifier, classifier.encode, images, batch_size).clone()  # no inference tensor: it trains
            _write(path, features)
    return features, split.labels


def _read(path: Path) -> Tensor | None:
    """The features in a file, mapped into memory; None if it is not there or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            features, written = file.get_tensor("features"), file.metadata()["digest"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return features if digest(features) == written else None


def _write(path: Path, features: Tensor) -> None:
    """Put features into a file that appears whole or not at all; a full disk costs the next run its time, no more."""
    part = path.with_suffix(".part")
    try:
        save_file({"features": features}, part, metadata={"digest": digest(features)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        warnings.warn(f"{path} cannot be written ({error}), so these features will be made again; make room there, or "
                      "set WISEFT_CACHE to a folder elsewhere", stacklevel=3)


def predict(classifier: ImageClassifier, split: Split, batch_size: int = 256) -> Tensor:
    """Return logits ``[n, C]`` on the CPU, in eval mode, without augmentation."""
    return _run(classifier, classifier, pixels(classifier, split), batch_size)
