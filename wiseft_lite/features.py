"""Run a classifier over a split: pixels in, features or logits out."""

from __future__ import annotations

import torch
from torch import Tensor

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
def _run(classifier: ImageClassifier, function, split: Split, batch_size: int) -> Tensor:
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    images = pixels(classifier, split)
    parts = [function(batch.to(device)).float().cpu() for batch in images.split(batch_size)]
    classifier.train(was_training)
    return torch.cat(parts)


def encode(classifier: ImageClassifier, split: Split, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """Return L2-normalised features ``[n, d]`` and labels ``[n]``, in eval mode, without augmentation."""
    return _run(classifier, classifier.encode, split, batch_size), split.labels


def predict(classifier: ImageClassifier, split: Split, batch_size: int = 256) -> Tensor:
    """Return logits ``[n, C]`` on the CPU, in eval mode, without augmentation."""
    return _run(classifier, classifier, split, batch_size)
