"""The paper's classifier: an image encoder and a linear head on normalised features."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.errors import UserError


class Head(nn.Module):
    """Linear classifier, ``logits = features @ weight.T + bias``.

    Args:
        weight: ``[C, d]``, one row per class.
        bias: ``[C]``; zeros if not given.

    Example:
        >>> Head(torch.eye(2))(torch.tensor([[0.0, 1.0]])).argmax().item()
        1
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(
            torch.zeros(len(weight)) if bias is None else bias.detach().clone()
        )

    def forward(self, features: Tensor) -> Tensor:
        # not in 16 bits: logits of about 30 would be rounded to eighths, and it is the cheapest layer
        with torch.autocast(features.device.type, enabled=False):
            return F.linear(features.to(self.weight.dtype), self.weight, self.bias)


class ImageClassifier(nn.Module):
    """``f(x) = head(g(x) / |g(x)|)``, with its preprocessing and class names.

    Args:
        encoder: image encoder, ``[b, 3, h, w] -> [b, d]``.
        head: linear classifier on the normalised features.
        preprocess: turns a PIL image into a tensor ``[3, h, w]`` for the encoder.
        class_names: one per row of the head.
        encoder_name: its name for ``load_clip``.

    Raises:
        UserError: the numbers of rows and class names differ.

    Source: the paper, section 2; features stay normalised in fine-tuning (appendix D.2).
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: Head,
        preprocess: Callable,
        class_names: Sequence[str],
        encoder_name: str,
    ):
        super().__init__()
        if len(head.weight) != len(class_names):
            raise UserError(
                f"the head has {len(head.weight)} rows but there are {len(class_names)} "
                "class names; give one row per class"
            )
        self.encoder, self.head = encoder, head
        self.preprocess = preprocess
        self.class_names = tuple(class_names)
        self.encoder_name = encoder_name

    def encode(self, images: Tensor) -> Tensor:
        """L2-normalised features ``[b, d]`` of images ``[b, 3, h, w]``."""
        return F.normalize(self.encoder(images).to(self.head.weight.dtype), dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b, C]`` of images ``[b, 3, h, w]``."""
        return self.head(self.encode(images))

    def train(self, mode: bool = True) -> ImageClassifier:
        """Set the mode; frozen layers stay in eval mode, so that their buffers do not change.

        A layer is frozen if it, or a module that contains it, has parameters and none of them
        needs a gradient. In train mode its batch norm would update the running statistics.
        """
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                for layer in module.modules():
                    if next(layer.buffers(recurse=False), None) is not None:
                        layer.training = False
        return self

    def with_weights(self, theta: Mapping[str, Tensor]) -> ImageClassifier:
        """Return a copy of this classifier with other weights."""
        other = copy.deepcopy(self)
        other.load_state_dict(dict(theta))
        return other


def freeze(classifier: ImageClassifier, trains: Callable[[str], bool]) -> ImageClassifier:
    """Return a copy in which only the parameters whose name passes ``trains`` are trained.

    The others need no gradient, and the buffers of layers without trained parameters, such as the
    running statistics of batch norm, do not change, see ``ImageClassifier.train``. Copies are
    frozen too. A checkpoint does not store it: freeze the classifier again after ``load``.

    Args:
        classifier: it is not changed.
        trains: whether to train a parameter, given its name, such as ``"head.weight"``; see
            ``last_blocks``.

    Raises:
        UserError: no parameter is left to train.
    """
    other = copy.deepcopy(classifier)
    for name, parameter in other.named_parameters():
        parameter.requires_grad_(trains(name))
    if not any(p.requires_grad for p in other.parameters()):
        raise UserError("every parameter is frozen; leave something to train, such as the head")
    return other.train(other.training)


def last_blocks(classifier: ImageClassifier, k: int) -> Callable[[str], bool]:
    """Return whether a parameter is in the last ``k`` transformer blocks or after them, by name.

    Args:
        classifier: its encoder is one of open_clip's own vision transformers, including CoCa's, but
            not timm's.
        k: 0 leaves the final norm and pooling, the projection and the head.

    Raises:
        UserError: the encoder has no such blocks, or fewer than ``k``.
    """
    number = re.compile(r"encoder\.transformer\.resblocks\.(\d+)\.")
    found = {int(match[1]) for name in classifier.state_dict() if (match := number.match(name))}
    if not found:
        raise UserError(
            f"the encoder of {classifier.encoder_name} is no vision transformer of open_clip, so "
            "its last blocks are unknown; give freeze your own function of a parameter's name"
        )
    if not 0 <= k <= len(found):
        raise UserError(
            f"{k} blocks, but the encoder has {len(found)}; give a number from 0 to {len(found)}"
        )

    def trains(name: str) -> bool:
        match = number.match(name)
        if match:
            return int(match[1]) >= len(found) - k
        return name.startswith(("head.", "encoder.ln_post.", "encoder.attn_pool", "encoder.proj"))

    return trains
