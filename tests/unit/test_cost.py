"""Hours on paper: the arithmetic is torch's own count, and the hours follow from it."""

import pytest
import torch
from test_memory import SHAPE, image_encoder
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wiseft_lite import UserError
from wiseft_lite.book.cost import flops, hours_table, training_speed
from wiseft_lite.interop.architectures import vision_shape


def test_the_formula_counts_what_torch_counts_forward_and_back():
    model, images = image_encoder(), torch.zeros(3, 3, 64, 64)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as there:
        out = model(images)
    with FlopCounterMode(display=False) as back:
        out.sum().backward()
    assert there.get_total_flops() == 3 * flops(SHAPE)
    assert back.get_total_flops() == pytest.approx(
        2 * 3 * flops(SHAPE), rel=0.03
    )  # the images need no gradient


def test_hours_follow_from_arithmetic_until_images_come_too_slowly():
    shape = vision_shape("ViT-B-16")
    row = hours_table(
        ["ViT-B-16"],
        gpus=2,
        peak=1e14,
        utilisation=0.5,
        images=1000,
        epochs=3,
        evaluated=500,
        alphas=4,
    ).iloc[0]
    assert row["images a second"] == pytest.approx(1e14 / (3 * flops(shape)))
    assert row["hours to fine-tune"] * 3600 == pytest.approx(3000 * 3 * flops(shape) / 1e14)
    assert row["hours to sweep"] * 3600 == pytest.approx(4 * 500 * flops(shape) / 1e14)
    slow = hours_table(
        ["ViT-B-16"],
        gpus=2,
        peak=1e14,
        utilisation=0.5,
        images=1000,
        epochs=3,
        evaluated=500,
        delivered=10,
    ).iloc[0]
    assert slow["hours to fine-tune"] * 3600 == pytest.approx(300) and slow[
        "hours to sweep"
    ] * 3600 == pytest.approx(50)
    assert training_speed(shape, 1e14, recompute=True) == pytest.approx(
        0.75 * training_speed(shape, 1e14)
    )
    for wrong in ({"utilisation": 0}, {"utilisation": 30}, {"gpus": 0}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            hours_table(**wrong)
