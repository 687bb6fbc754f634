"""The formulas of memory need against real towers."""

import pytest
import torch

from wiseft_lite import UserError, load_clip
from wiseft_lite.architectures import VisionShape
from wiseft_lite.memory import PER_TOKEN, need, parameters, table

SHAPE = VisionShape(layers=4, width=64, patch=8, picture=64, embedding=32)


def tower():
    from open_clip.model import CLIP

    vision = {"image_size": SHAPE.picture, "patch_size": SHAPE.patch, "width": SHAPE.width, "layers": SHAPE.layers,
              "head_width": 16}
    text = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
    return CLIP(SHAPE.embedding, vision, text, quick_gelu=True).visual


def test_the_formula_counts_every_weight():
    assert sum(p.numel() for p in tower().parameters()) == parameters(SHAPE)


def test_what_autograd_keeps_is_what_the_table_says():
    model, kept = tower(), {}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(3, 3, 64, 64))
    bytes_kept = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)
    expected = 3 * 4 * SHAPE.tokens * SHAPE.layers * PER_TOKEN * SHAPE.width
    assert bytes_kept == pytest.approx(expected, rel=0.15)


def test_the_table_grows_with_the_model_and_refuses_what_it_does_not_know():
    rows = table(memory=16)
    assert rows["MiB an image"].is_monotonic_increasing and rows["largest batch"].is_monotonic_decreasing
    assert need("ViT-L-14").training(8) > need("ViT-L-14").state
    for arch, message in (("ViT-Z-1", "unknown architecture"), ("RN50", "no plain vision transformer")):
        with pytest.raises(UserError, match=message):
            need(arch)
    with pytest.raises(UserError, match="does not exist"):
        table(memory=0)


@pytest.mark.parametrize("name, quick", [("ViT-B-32/openai", True), ("ViT-B-32/metaclip_400m", True),
                                         ("ViT-L-14-336/openai", True), ("ViT-B-32/laion2b_s34b_b79k", False),
                                         ("ViT-B-16/none", False)])
def test_weights_get_the_gelu_that_they_were_trained_with(name, quick, monkeypatch):
    import open_clip

    class Seen(Exception):
        pass

    def create(*_, **options):
        raise Seen(options.get("force_quick_gelu", False))

    monkeypatch.setattr(open_clip, "create_model_and_transforms", create)
    with pytest.raises(UserError) as error:
        load_clip(name)
    assert error.value.__cause__.args == (quick,)
