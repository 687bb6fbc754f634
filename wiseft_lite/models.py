"""The classifier of the paper: an image encoder, then a linear head on normalised features."""

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
        weight: ``[C, d]``, one row for each class.
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
        return F.linear(features, self.weight, self.bias)


class ImageClassifier(nn.Module):
    """``f(x) = head(g(x) / |g(x)|)``, with all that is needed to use it on an image.

    Args:
        encoder: image encoder, ``[b, 3, h, w] -> [b, d]``.
        head: linear classifier on the normalised features.
        preprocess: turns a PIL image into a tensor ``[3, h, w]`` for the encoder.
        class_names: one for each row of the head.
        encoder_name: the name that ``load_clip`` knows it by.

    Raises:
        UserError: the head has not one row for each class name.

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
                "class names; give one row each"
            )
        self.encoder, self.head = encoder, head
        self.preprocess = preprocess
        self.class_names = tuple(class_names)
        self.encoder_name = encoder_name

    def encode(self, images: Tensor) -> Tensor:
        """L2-normalised features ``[b, d]`` of images ``[b, 3, h, w]``."""
        return F.normalize(self.encoder(images), dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[b, C]`` of images ``[b, 3, h, w]``."""
        return self.head(self.encode(images))

    def train(self, mode: bool = True) -> ImageClassifier:
        """Set the mode; frozen layers stay in eval mode, so that their buffers do not move either.

        A layer is frozen if it, or a module that it belongs to, has parameters and none of them
        needs a gradient. In train mode its batch norm would go on updating running statistics.
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
        """A new classifier of the same kind with other weights; this one is left alone."""
        other = copy.deepcopy(self)
        other.load_state_dict(dict(theta))
        return other


def freeze(classifier: ImageClassifier, trains: Callable[[str], bool]) -> ImageClassifier:
    """Return a copy in which only the parameters whose name passes ``trains`` can change.

    All others are frozen: they need no gradient, and buffers of layers that are frozen whole, such
    as the running statistics of batch norm, stay as they are, see ``ImageClassifier.train``. Copies
    are frozen too. A checkpoint
    does not keep it: what was saved and loaded trains whole, until it is frozen again.

    Args:
        classifier: it is left alone.
        trains: given a name such as ``"head.weight"``; see ``last_blocks``.

    Raises:
        UserError: nothing is left to train.
    """
    other = copy.deepcopy(classifier)
    for name, parameter in other.named_parameters():
        parameter.requires_grad_(trains(name))
    if not any(p.requires_grad for p in other.parameters()):
        raise UserError("every parameter is frozen; leave something to train, such as the head")
    return other.train(other.training)


def last_blocks(classifier: ImageClassifier, k: int) -> Callable[[str], bool]:
    """Return the test for names of the last ``k`` transformer blocks and all that follows them.

    Args:
        classifier: its encoder is one of open_clip's own vision transformers, CoCa's among them;
            not timm's.
        k: 0 leaves the final norm and pooling, the projection and the head.

    Raises:
        UserError: the encoder has no such blocks, or fewer than ``k``.
    """
    number = re.compile(r"encoder\.transformer\.resblocks\.(\d+)\.")
    found = {int(match[1]) for name in classifier.state_dict() if (match := number.match(name))}
    if not found:
        raise UserError(
            f"the encoder of {classifier.encoder_name} is no vision transformer of open_clip, so its last "
            "blocks are not known; give freeze a test of your own"
        )
    if not 0 <= k <= len(found):
        raise UserError(
            f"{k} blocks, but the encoder has {len(found)}; give a number between 0 and that"
        )

    def trains(name: str) -> bool:
        match = number.match(name)
        if match:
            return int(match[1]) >= len(found) - k
        return name.startswith(("head.", "encoder.ln_post.", "encoder.attn_pool", "encoder.proj"))

    return trains
