"""CoOp, prompt learning: train the context vectors before the class names; both encoders stay frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.callbacks import Callback
from wiseft_lite.encoders import Clip
from wiseft_lite.features import encode
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, fit
from wiseft_lite.zeroshot import zero_shot_classifier

# chosen on IconShift's val
COOP = Recipe(epochs=20, lr=0.5, weight_decay=0.0, batch_size=128, augment="none")


class PromptHead(nn.Module):
    """A head whose rows the text encoder computes from ``M`` context vectors common to all classes.

    ``w_c = s * normalise(h(v_1 ... v_M name_c .))`` with ``s`` CLIP's logit scale. The trained
    parameter is the offset of ``v`` from its start, in units of the start's standard deviation, so
    that one learning rate suits every CLIP.

    Args:
        clip: the model whose text encoder is used; not modified.
        class_names: ``C`` names.
        start: initial vectors ``[M, width]``, such as ``clip.token_embeddings("an icon of a")``.
    """

    start: Tensor

    def __init__(self, clip: Clip, class_names: Sequence[str], start: Tensor):
        super().__init__()
        self.clip = clip
        self.texts = [f"{name}." for name in class_names]
        self.register_buffer("start", start.detach().clone())
        self.offset = nn.Parameter(torch.zeros_like(start))

    def weight(self) -> Tensor:
        """Compute the rows ``[C, d]`` from the current context vectors."""
        context = self.start + self.start.std() * self.offset
        return self.clip.logit_scale * self.clip.encode_with_context(context, self.texts)

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits ``[b, C]`` of L2-normalised features ``[b, d]``."""
        return F.linear(features, self.weight())


def learn_prompt(
    clip: Clip,
    task: Task,
    recipe: Recipe = COOP,
    start: str = "an icon of a",
    *,
    callbacks: Sequence[Callback] = (),
) -> ImageClassifier:
    """Return the zero-shot classifier of a task with the head of a learned prompt.

    Images are encoded once; each step runs the text encoder on all class names.

    Args:
        clip: image encoder and text encoder; neither is modified.
        task: class names and training split; ``task.few_shot(16)`` for the usual 16 shots.
        recipe: how to train the ``M`` vectors.
        start: words that the vectors start from; ``M`` is the number of their tokens.
        callbacks: as for ``fit``.

    Raises:
        UserError: the start and a class name exceed the text encoder's context length.

    Source: Zhou et al. 2022, "Learning to prompt for vision-language models", section 3.2 (CoOp,
    unified context, class name last); compared in the paper's appendix C.3.4.
    """
    classifier = zero_shot_classifier(clip, task)
    features, labels = encode(classifier, task.split("train"))
    prompt = PromptHead(clip, task.class_names, clip.token_embeddings(start))
    fit(prompt, features, labels, recipe, callbacks=callbacks)
    with torch.no_grad():
        head = Head(prompt.weight())
    return ImageClassifier(
        classifier.encoder, head, clip.preprocess, task.class_names, clip.name
    ).eval()
