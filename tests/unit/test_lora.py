"""Low-rank fine-tuning, and that scaling its update is the line."""

import pytest
import torch

from wiseft_lite import Recipe, UserError, finetune, interpolate
from wiseft_lite.features import pixels
from wiseft_lite.finetuning.lora import LowRank, in_blocks, merge_lora, with_lora


@pytest.fixture(scope="module")
def adapted(theta_0, task):
    return finetune(with_lora(theta_0, rank=2), task, Recipe(epochs=2, lr=3e-2, batch_size=16))


@pytest.fixture(scope="module")
def images(theta_0, task):
    return pixels(theta_0, task.test)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def test_an_update_by_hand():
    update = LowRank(torch.zeros(2, 3), 1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        update.a.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        update.b.copy_(torch.tensor([[1.0], [-1.0]]))
        assert update(torch.ones(2, 3)).tolist() == [[2, 3, 4], [0, -1, -2]]


def test_at_first_it_answers_the_same_and_only_the_updates_train(theta_0, images):
    before = {k: v.clone() for k, v in theta_0.state_dict().items()}
    start = with_lora(theta_0, rank=2)
    with torch.no_grad():
        torch.testing.assert_close(start(images), theta_0(images))
    assert same(theta_0.state_dict(), before) and same(merge_lora(start), before)
    names = [name for name, p in start.named_parameters() if p.requires_grad]
    assert len(names) == 2 * 4 and all(name.endswith((".a", ".b")) for name in names)
    assert all(p.requires_grad for p in theta_0.parameters())


def test_training_moves_the_chosen_matrices_by_the_rank_and_nothing_else(theta_0, adapted):
    zero, one = theta_0.state_dict(), merge_lora(adapted)
    assert one.keys() == zero.keys()
    for name, tensor in one.items():
        moved = tensor - zero[name]
        if in_blocks(name) and tensor.dim() == 2:
            size = torch.linalg.svdvals(moved)
            assert size[1] > 1e-5 and size[2:].max() < 1e-4 * size[0], name
        else:
            assert not moved.any(), name


def test_merged_weights_answer_like_the_adapted_model(theta_0, adapted, images):
    with torch.no_grad():
        torch.testing.assert_close(
            theta_0.with_weights(merge_lora(adapted))(images), adapted(images), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 1.5])
def test_to_scale_the_update_is_to_walk_the_line(theta_0, adapted, alpha):
    on_the_line = interpolate(theta_0.state_dict(), merge_lora(adapted), alpha)
    scaled = with_lora(theta_0, rank=2)
    scaled.load_state_dict(
        {k: alpha * v if k.endswith(".b") else v for k, v in adapted.state_dict().items()}
    )
    for name, tensor in merge_lora(scaled).items():
        torch.testing.assert_close(tensor, on_the_line[name], atol=1e-5, rtol=1e-5)


def test_mistakes(theta_0):
    with pytest.raises(UserError, match="rank is 0"):
        with_lora(theta_0, rank=0)
    with pytest.raises(UserError, match="adapts selects no matrix"):
        with_lora(theta_0, adapts=lambda name: name == "nothing")
