"""Chapter 1: contrastive training in miniature; prompts, their ensemble, the temperature."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from wiseft_lite.book.ledger import Record
from wiseft_lite.encoders import Clip, load_clip
from wiseft_lite.features import predict
from wiseft_lite.losses import contrastive_loss
from wiseft_lite.metrics import accuracy
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.tasks import Task, load_task
from wiseft_lite.zeroshot import zero_shot_classifier, zero_shot_head

WORDS, STEPS = 20, 300


def small_images(split, words: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ink ``[n, 256]`` (16 x 16 cells) and word indices ``[n]`` of the images of ``words``."""
    from torchvision.transforms.v2.functional import pil_to_tensor

    rows = [i for i, label in enumerate(split.labels.tolist()) if label in words]
    ink = torch.stack(
        [1 - pil_to_tensor(split[i][0].convert("L").resize((16, 16))).float() / 255 for i in rows]
    )
    return ink.flatten(1), torch.tensor([words.index(int(split.labels[i])) for i in rows])


def miniature(
    task: Task, seed: int = 0, steps: int = STEPS
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Train an image encoder (one matrix) and a vector for each of 20 words with CLIP's loss.

    Returns:
        Similarities of words and test images before and after training, each ``[n, 20]``, and the
        words' numbers ``[n]``.
    """
    words = torch.bincount(task.train.labels).topk(WORDS).indices.tolist()
    images, labels = small_images(task.train, words)
    test, test_labels = small_images(task.test, words)
    generator = torch.Generator().manual_seed(seed)
    image_encoder = (torch.randn(256, 32, generator=generator) / 16).requires_grad_()
    vectors = torch.randn(WORDS, 32, generator=generator).requires_grad_()

    def similarity(ink):
        return F.normalize(ink @ image_encoder, dim=-1) @ F.normalize(vectors, dim=-1).T

    before = similarity(test).detach()
    optimizer = torch.optim.Adam([image_encoder, vectors], lr=1e-2)
    for _ in range(steps):
        order = torch.randperm(len(labels), generator=generator)
        one_each = torch.stack([order[labels[order] == word][0] for word in range(WORDS)])
        loss = contrastive_loss(
            F.normalize(images[one_each] @ image_encoder, dim=-1),
            F.normalize(vectors, dim=-1),
            10.0,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return before, similarity(test).detach(), test_labels


def averaged(clip: Clip, task: Task, each: bool, mean: bool) -> Head:
    """Return the zero-shot head with either normalisation left out."""
    prompts = [t.replace("{}", name) for name in task.class_names for t in task.templates]
    with torch.inference_mode():
        embeddings = clip.model.encode_text(clip.tokenizer(prompts)).clone()
    embeddings = F.normalize(embeddings, dim=-1) if each else embeddings
    rows = embeddings.view(len(task.class_names), len(task.templates), -1).mean(1)
    return Head(clip.logit_scale * (F.normalize(rows, dim=-1) if mean else rows))


def run(record: Record, seeds: list[int]) -> None:
    task, clip = load_task("iconshift"), load_clip("iconclip")
    zero_shot, n = zero_shot_classifier(clip, task), len(task.test)

    def score(head: Head) -> float:
        model = ImageClassifier(
            zero_shot.encoder, head, clip.preprocess, task.class_names, clip.name
        )
        return 100 * accuracy(predict(model, task.test), task.test.labels).accuracy

    before, after, labels = zip(*(miniature(task, seed) for seed in seeds), strict=True)
    for name, similarity in (("before", before), ("after", after)):
        values = [100 * accuracy(s, y).accuracy for s, y in zip(similarity, labels, strict=True)]
        record.number(f"ch01.mini_{name}", values, "percent", len(labels[0]), seeds)
    record.number("ch01.ensemble", score(zero_shot.head), "percent", n)
    alone = [score(zero_shot_head(clip, task.class_names, [t])) for t in task.templates]
    record.number("ch01.prompt_worst", min(alone), "percent", n)
    record.number("ch01.prompt_best", max(alone), "percent", n)
    record.number("ch01.prompt_mean", sum(alone) / len(alone), "percent", n)
    record.number(
        "ch01.photo",
        score(zero_shot_head(clip, task.class_names, ["a photo of a {}."])),
        "percent",
        n,
    )
    record.number("ch01.not_each", score(averaged(clip, task, False, True)), "percent", n)
    record.number("ch01.not_mean", score(averaged(clip, task, True, False)), "percent", n)
    sorted_names = zero_shot_head(clip, sorted(task.class_names), task.templates)
    record.number("ch01.sorted_names", score(sorted_names), "percent", n)
    logits, labels = predict(zero_shot, task.test), task.test.labels
    for name, values in (("scaled", logits), ("unscaled", logits / clip.logit_scale)):
        record.number(f"ch01.loss_{name}", F.cross_entropy(values, labels).item(), "nats", n)
        record.number(
            f"ch01.confidence_{name}", 100 * values.softmax(-1).amax(-1).mean().item(), "percent", n
        )
        record.number(
            f"ch01.accuracy_{name}", 100 * accuracy(values, labels).accuracy, "percent", n
        )
    record.number("ch01.scale", clip.logit_scale, "inverse temperature", None)
