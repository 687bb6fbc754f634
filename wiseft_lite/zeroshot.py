"""Zero-shot classifiers: a linear head from class names and prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from wiseft_lite.encoders import Clip, text_digest
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Task


def prompt(template: str, name: str) -> str:
    """Return the text of a template for one class name.

    ``{}`` is replaced by the name, ``{a}`` by the name with its article and with spaces instead of
    underscores: "an" before a, e, i, o and u, "a" before everything else.

    Source: wise-ft's templates for FMoW, which use both.

    Example:
        >>> prompt("a photo of a {}.", "airport_hangar"), prompt("a photo of {a}.", "airport_hangar")
        ('a photo of a airport_hangar.', 'a photo of an airport hangar.')
    """
    words = name.replace("_", " ")
    article = "an" if words[:1].lower() in "aeiou" else "a"
    fills = {"{}": name, "{a}": f"{article} {words}"}
    return re.sub(r"\{a?\}", lambda match: fills[match.group()], template)


def zero_shot_head(clip: Clip, class_names: Sequence[str], templates: Sequence[str]) -> Head:
    """Return the head whose rows are text embeddings of the class names.

    ``w_c = s * normalise(mean_t normalise(h(template_t(c))))`` with ``s`` CLIP's logit scale.
    The scale is part of the head, so that the head can be fine-tuned and interpolated directly.

    Args:
        clip: the model.
        class_names: ``C`` names.
        templates: prompts with ``{}`` in place of the name; see ``prompt``.

    Returns:
        A head with weight ``[C, d]`` and bias zero.

    Source: Radford et al. 2021, section 3.1.4; the WiSE-FT paper, section 2 and appendix D.2.

    Example:
        >>> from wiseft_lite.encoders import load_clip
        >>> zero_shot_head(load_clip("iconclip"), ["cat", "dog"], ["an icon of a {}."]).weight.shape
        torch.Size([2, 128])
    """
    prompts = [prompt(template, name) for name in class_names for template in templates]
    embeddings = clip.encode_text(prompts).view(len(class_names), len(templates), -1)
    weight = clip.logit_scale * F.normalize(embeddings.mean(1), dim=-1)
    return Head(torch.clone(weight))


def zero_shot_classifier(clip: Clip, task: Task) -> ImageClassifier:
    """Return the zero-shot classifier of a task, ``theta_0`` of the paper.

    The encoder is copied, so fine-tuning the classifier does not change ``clip``.
    """
    head = zero_shot_head(clip, task.class_names, task.templates)
    encoder = clip.image_encoder()
    # FLYP trains the text encoder too: an export needs the one that made this head.
    encoder.origin = replace(clip.origin, text_encoder=text_digest(clip.name, clip.model))
    return ImageClassifier(encoder, head, clip.preprocess, task.class_names, clip.name).eval()
