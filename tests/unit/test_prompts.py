"""The text encoder on vectors in place of words, and prompts learned through it."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from wiseft_lite import Recipe, UserError, encode, load_clip, zero_shot_head
from wiseft_lite.finetuning.prompts import PromptHead, learn_prompt

START = "an icon of a"
FAST = Recipe(epochs=10, lr=0.3, weight_decay=0.0, batch_size=64, augment="none")


@pytest.fixture(scope="module")
def apart(clip):
    """The same tokenizer, and a text encoder in open_clip's other layout, ``model.text``."""
    from open_clip.model import CustomTextCLIP

    vision = {"image_size": 24, "patch_size": 12, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    torch.manual_seed(0)
    return replace(clip, model=CustomTextCLIP(16, vision, text).eval().requires_grad_(False))


@pytest.mark.parametrize("kind", ["clip", "apart", "iconclip"])
def test_the_vectors_of_real_words_give_the_embeddings_of_the_real_prompt(kind, clip, apart):
    model = {"clip": clip, "apart": apart}.get(kind) or load_clip(kind)
    names = ["cat", "shopping cart", "t-shirt", "e-mail"]
    vectors = model.token_embeddings(START)
    assert len(vectors) == 4
    ours = model.encode_with_context(vectors, [f"{n}." for n in names])
    assert torch.allclose(ours, model.encode_text([f"{START} {n}." for n in names]), atol=1e-6)
    assert not torch.allclose(
        model.encode_with_context(vectors.flip(0), ["cat."]), ours[:1], atol=1e-4
    )


def test_the_tower_reads_words_again_afterwards(clip):
    before = clip.encode_text(["a cat."])
    with pytest.raises(RuntimeError):
        clip.encode_with_context(torch.zeros(2, 5), ["cat."])  # vectors of another width
    assert torch.equal(clip.encode_text(["a cat."]), before)


def test_the_gradient_flows_to_the_vectors_alone(clip):
    vectors = clip.token_embeddings(START).requires_grad_()
    clip.encode_with_context(vectors, ["cat.", "dog."])[0, 0].backward()
    assert (vectors.grad.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for parameter in clip.model.parameters())


def test_vectors_and_a_name_that_do_not_fit_say_so(clip):
    width = clip.token_embeddings("a").shape[1]
    clip.encode_with_context(torch.zeros(12, width), ["cat."])  # 16 tokens with start and end
    for m in (13, 20):
        with pytest.raises(
            UserError, match=rf"{m} vectors and 'cat\.' do not fit into the 16 tokens"
        ):
            clip.encode_with_context(torch.zeros(m, width), ["cat."])
    with pytest.raises(UserError, match="'a large cat with a hat.' do not fit"):
        clip.encode_with_context(torch.zeros(8, width), ["cat.", "a large cat with a hat."])


def test_a_text_tower_of_another_library_says_so(clip):
    with pytest.raises(UserError, match="cannot be replaced"):
        replace(clip, model=torch.nn.Linear(2, 2)).token_embeddings("a cat")


def test_a_prompt_starts_as_the_head_of_its_words(clip, task):
    start = PromptHead(clip, task.class_names, clip.token_embeddings(START))
    words = zero_shot_head(clip, task.class_names, [START + " {}."])
    assert torch.allclose(start.weight(), words.weight, atol=1e-4)
    assert [name for name, _ in start.named_parameters()] == ["offset"]


def test_learning_lowers_the_loss_and_moves_the_head_alone(clip, task, theta_0):
    before = {name: tensor.clone() for name, tensor in clip.model.state_dict().items()}
    learned = learn_prompt(clip, task, FAST, START)
    features, labels = encode(theta_0, task.train)
    words = zero_shot_head(clip, task.class_names, [START + " {}."])
    with torch.no_grad():
        after, at_start = (
            F.cross_entropy(head(features), labels) for head in (learned.head, words)
        )
    assert after < 0.9 * at_start
    assert torch.allclose(
        learned.head.weight.norm(dim=1), torch.full((3,), clip.logit_scale), atol=1e-3
    )
    assert not learned.training and not learned.head.bias.any()
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in clip.model.state_dict().items()
    )
    same = theta_0.encoder.state_dict()
    assert all(
        torch.equal(tensor, same[name]) for name, tensor in learned.encoder.state_dict().items()
    )


def test_one_seed_learns_one_prompt(clip, task):
    first, same, other = (
        learn_prompt(clip, task, replace(FAST, epochs=2, batch_size=16, seed=s)).head.weight
        for s in (0, 0, 1)
    )
    assert torch.equal(first, same) and not torch.equal(first, other)
