"""Prompt learning: the words in front of the class names are trained, both towers stay as they
are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiseft_lite.encoders import Clip
from wiseft_lite.features import encode
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Task
from wiseft_lite.training import Recipe, fit
from wiseft_lite.zeroshot import zero_shot_classifier

COOP = Recipe(
    epochs=20, lr=0.5, weight_decay=0.0, batch_size=128, augment="none"
)  # chosen on IconShift's val


class PromptHead(nn.Module):
    """A head whose rows the text tower writes anew from ``M`` vectors that all classes share.

    ``w_c = s * normalise(h(v_1 ... v_M name_c .))`` with ``s`` CLIP's logit scale. What is trained
    is how far ``v`` moves from its start, in units of the start's own spread: so one learning rate
    serves every CLIP.

    Args:
        clip: its text tower; it is not changed.
        class_names: ``C`` names.
        start: where the vectors start, ``[M, width]``, such as ``clip.token_embeddings("an icon of
            a")``.
    """

    def __init__(self, clip: Clip, class_names: Sequence[str], start: Tensor):
        super().__init__()
        self.clip = clip
        self.texts = [f"{name}." for name in class_names]
        self.register_buffer("start", start.detach().clone())
        self.moved = nn.Parameter(torch.zeros_like(start))

    def weight(self) -> Tensor:
        """The rows ``[C, d]`` that the vectors now give."""
        context = self.start + self.start.std() * self.moved
        return self.clip.logit_scale * self.clip.encode_with_context(context, self.texts)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``[b, C]`` of L2-normalised features ``[b, d]``."""
        return F.linear(features, self.weight())


def learn_prompt(
    clip: Clip,
    task: Task,
    recipe: Recipe = COOP,
    start: str = "an icon of a",
    *,
    progress: bool = False,
) -> ImageClassifier:
    """Return the zero-shot classifier of a task with a head that a learned prompt wrote.

    Pictures are encoded once; each step runs the text tower on all class names.

    Args:
        clip: both towers; neither is changed.
        task: gives the class names and the training split; ``task.few_shot(16)`` for the usual 16
            shots.
        recipe: how to train the ``M`` vectors.
        start: words that the vectors start from; ``M`` is the number of their tokens.
        progress: show a bar.

    Raises:
        UserError: the start and a class name do not fit into the text tower together.

    Source: Zhou et al. 2022, "Learning to prompt for vision-language models", section 3.2 (CoOp,
    unified context, class name last); compared in the paper's appendix C.3.4.
    """
    classifier = zero_shot_classifier(clip, task)
    features, labels = encode(classifier, task.train)
    prompt = PromptHead(clip, task.class_names, clip.token_embeddings(start))
    fit(prompt, features, labels, recipe, progress=progress)
    with torch.no_grad():
        head = Head(prompt.weight())
    return ImageClassifier(
        classifier.encoder, head, clip.preprocess, task.class_names, clip.name
    ).eval()
