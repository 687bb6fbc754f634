"""The formula of operations against a count of torch's own, and hours by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wiseft_lite import UserError, cost
from wiseft_lite.architectures import VisionShape

SHAPE = VisionShape(layers=3, width=64, patch=8, picture=64, embedding=32)


def test_the_formula_counts_what_torch_counts():
    from open_clip.model import CLIP

    vision = {"image_size": SHAPE.picture, "patch_size": SHAPE.patch, "width": SHAPE.width, "layers": SHAPE.layers,
              "head_width": 16}
    text = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
    with torch.device("meta"):
        tower = CLIP(SHAPE.embedding, vision, text).visual
        with FlopCounterMode(display=False) as counted:
            tower(torch.zeros(2, 3, 64, 64))
    assert counted.get_total_flops() == 2 * cost.operations(SHAPE)


def test_smaller_patches_cost_more():
    assert cost.forward("ViT-B-16") > 3 * cost.forward("ViT-B-32")


def test_hours_by_hand():
    gpu = cost.Gpu("x", 1e12, 4e12, 16)
    found = cost.hours("ViT-B-32", gpu, train=1000, epochs=2, measured=500, alphas=11, share=0.5)
    one = cost.forward("ViT-B-32")
    assert found.training == pytest.approx(3 * 2000 * one / 2e12 / 3600)
    assert found.sweep == pytest.approx(11 * 500 * one / 0.5e12 / 3600)
    assert found.total == found.training + found.sweep


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_that_no_gpu_reaches_is_refused(share):
    with pytest.raises(UserError, match="cannot be reached"):
        cost.hours("ViT-B-32", cost.T4, train=1, epochs=1, measured=1, share=share)
