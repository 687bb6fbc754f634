"""The formulas of memory need against real image encoders."""

import pytest
import torch

from wiseft_lite import UserError, load_clip
from wiseft_lite.book.memory import PER_TOKEN, memory_table, need, parameters
from wiseft_lite.interop.architectures import VisionShape
from wiseft_lite.losses import checkpointed, cross_entropy
from wiseft_lite.models import Head, ImageClassifier

SHAPE = VisionShape(layers=4, width=64, patch=8, image_size=64, embedding=32)


def image_encoder():
    from open_clip.model import CLIP

    vision = {
        "image_size": SHAPE.image_size,
        "patch_size": SHAPE.patch,
        "width": SHAPE.width,
        "layers": SHAPE.layers,
        "head_width": 16,
    }
    text = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
    return CLIP(SHAPE.embedding, vision, text, quick_gelu=True).visual


def test_the_formula_counts_every_weight():
    assert sum(p.numel() for p in image_encoder().parameters()) == parameters(SHAPE)


def test_what_autograd_keeps_is_what_the_table_says():
    model, kept = image_encoder(), {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(3, 3, 64, 64))
    bytes_kept = sum(
        t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights
    )
    expected = 3 * 4 * SHAPE.tokens * SHAPE.layers * PER_TOKEN * SHAPE.width
    assert bytes_kept == pytest.approx(expected, rel=0.15)


def test_checkpointing_gives_the_same_gradient_and_keeps_what_need_says():
    head = Head(torch.randn(5, SHAPE.embedding, generator=torch.Generator().manual_seed(0)))
    classifier = ImageClassifier(image_encoder(), head, None, tuple("abcde"), "x")
    weights = {p.untyped_storage().data_ptr() for p in classifier.parameters()}
    images, labels = (
        torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)),
        torch.arange(3),
    )
    grads, sizes = [], []
    for objective in (cross_entropy, checkpointed(cross_entropy)):
        kept = {}

        def keep(tensor, kept=kept):
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        classifier.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = objective(classifier, images, labels)
        sizes.append(
            sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)
        )
        loss.backward()
        grads.append({name: p.grad.clone() for name, p in classifier.named_parameters()})
    for name, gradient in grads[0].items():
        assert torch.equal(gradient, grads[1][name]), name
    blocks = 3 * 4 * SHAPE.tokens * SHAPE.layers * SHAPE.width
    assert blocks <= sizes[1] < blocks + 0.2 * sizes[0]
    assert not classifier.encoder.transformer.grad_checkpointing
    assert need("ViT-B-32").checkpointed == 50 * 768 * 4 * (12 + PER_TOKEN)
    with pytest.raises(UserError, match="checkpointing"):
        checkpointed(cross_entropy)(torch.nn.Identity(), images, labels)


def test_the_table_grows_with_the_model_and_refuses_what_it_does_not_know():
    rows = memory_table(memory=16)
    assert (
        rows["MiB an image"].is_monotonic_increasing
        and rows["largest batch"].is_monotonic_decreasing
    )
    assert need("ViT-L-14").training(8) > need("ViT-L-14").state
    for arch in ("ViT-Z-1", "RN50"):
        with pytest.raises(UserError, match=arch):
            need(arch)
    with pytest.raises(UserError, match="memory"):
        memory_table(memory=0)


@pytest.mark.parametrize(
    "name, quick",
    [
        ("ViT-B-32/openai", True),
        ("ViT-B-32/metaclip_400m", True),
        ("ViT-L-14-336/openai", True),
        ("ViT-B-32/laion2b_s34b_b79k", False),
    ],
)
def test_weights_get_the_gelu_that_they_were_trained_with(name, quick, monkeypatch):
    import open_clip

    class Seen(Exception):
        pass

    def create(*_, **options):
        raise Seen(options["force_quick_gelu"])

    monkeypatch.setattr(open_clip, "create_model", create)
    with pytest.raises(UserError) as error:
        load_clip(name)
    assert error.value.__cause__.args == (quick,)
