"""Exercises of chapter 1, Words become weights."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import names, normal, unit
from wiseft_lite.losses import contrastive_loss

chance = Number(
    "1.1",
    100 / 122,
    [
        (50, "that is the chance for two classes; here there are 122."),
        (1 / 122, "that is a fraction; the question asks for percent."),
        (1.22, "that is 122 / 100; turn the fraction round."),
        (122, "that is the number of classes; one of them is right."),
    ],
    tolerance=0.03,
)


def _pairs(generator):
    n, d = generator.integers(3, 7, size=2)
    return unit(generator, n, d), unit(generator, n, d), float(generator.uniform(2, 20))


def _targets(images):
    return torch.arange(len(images))


def _one_way(images, texts, scale):
    return F.cross_entropy(scale * images @ texts.T, _targets(images))


def _other_way(images, texts, scale):
    return _one_way(texts, images, scale)


def _no_scale(images, texts, scale):
    return contrastive_loss(images, texts, 1.0)


def _divided(images, texts, scale):
    return contrastive_loss(images, texts, 1 / scale)


def _summed(images, texts, scale):
    return 2 * contrastive_loss(images, texts, scale)


def _two_softmaxes(images, texts, scale):
    similarity, targets = scale * images @ texts.T, _targets(images)
    ways = similarity.softmax(-1), similarity.T.softmax(-1)
    return sum(F.cross_entropy(way, targets) for way in ways) / 2


def _first_caption(images, texts, scale):
    similarity, targets = scale * images @ texts.T, torch.zeros_like(_targets(images))
    return (F.cross_entropy(similarity, targets) + F.cross_entropy(similarity.T, targets)) / 2


loss = Code(
    "1.2",
    contrastive_loss,
    [_pairs],
    [
        (
            _one_way,
            "you classify captions given an image only; the loss also classifies images given a caption.",
        ),
        (
            _other_way,
            "you classify images given a caption only; the loss also classifies captions given an image.",
        ),
        (
            _no_scale,
            "the scale is missing: without it the softmax is nearly flat and nothing is learned.",
        ),
        (_divided, "you divide by the scale; it multiplies the similarities."),
        (_summed, "you add the two directions; the loss is their mean."),
        (
            _two_softmaxes,
            "F.cross_entropy applies the softmax itself: pass it the logits, not probabilities.",
        ),
        (
            _first_caption,
            "the right caption for image i is caption i: the targets are 0, 1, 2, and so on.",
        ),
    ],
)


def _embeddings(generator):
    """Prompts of very different lengths, in directions that disagree."""
    n_classes, n_prompts, d = generator.integers(2, 5, size=3)
    lengths = torch.as_tensor(generator.uniform(0.2, 5, size=(n_classes, n_prompts, 1)))
    return normal(generator, n_classes, n_prompts, d) * lengths.float(), float(
        generator.uniform(2, 20)
    )


def _rows(embeddings, scale):
    return scale * F.normalize(F.normalize(embeddings, dim=-1).mean(1), dim=-1)


def _not_each(embeddings, scale):
    return scale * F.normalize(embeddings.mean(1), dim=-1)


def _not_the_mean(embeddings, scale):
    return scale * F.normalize(embeddings, dim=-1).mean(1)


rows = Code(
    "1.3",
    _rows,
    [_embeddings],
    [
        (
            lambda embeddings, scale: _rows(embeddings, 1.0),
            "the rows have length 1: multiply them by the scale, as the formula says.",
        ),
        (
            _not_the_mean,
            "the mean of unit vectors is shorter than 1; normalise it once more, or classes whose prompts "
            "disagree get smaller logits.",
        ),
        (
            _not_each,
            "normalise each prompt's embedding before the mean, or long embeddings dominate the mean.",
        ),
        (
            lambda embeddings, scale: scale * embeddings.mean(1),
            "nothing is normalised: neither each prompt's embedding before the mean nor the mean itself.",
        ),
        (
            lambda embeddings, scale: _rows(embeddings.transpose(0, 1), scale),
            "average over the prompts, dimension 1: one row for each class.",
        ),
    ],
)


def _folders(generator):
    folders = names(generator, generator.integers(4, 7))
    labels = generator.integers(len(folders), size=8).tolist()
    return labels, folders, [str(name) for name in generator.permutation(folders)]


def _labels_for_rows(labels, folders, names):
    return [names.index(folders[label]) for label in labels]


def _starter(labels, folders, names):
    return [folders.index(names[label]) for label in labels]


order = Code(
    "1.5",
    _labels_for_rows,
    [_folders],
    [
        (
            lambda labels, folders, names: labels,
            "the numbers are unchanged: label 0 still means the first folder, but row 0 of the head is another class.",
        ),
        (
            _starter,
            "that is the inverse map: it turns a row of the head into a folder, not a folder into a row.",
        ),
        (
            lambda labels, folders, names: [folders[label] for label in labels],
            "those are the names of the folders; return the rows of the head that they belong to.",
        ),
        (
            lambda labels, folders, names: [
                sorted(names).index(folders[label]) for label in labels
            ],
            "the head's rows are in the order of 'names', which is not sorted.",
        ),
    ],
    starter=_starter,
)


def _block_theta(generator, name, width):
    shapes = {
        **{f"ln_{k}.{part}": (width,) for k in (1, 2) for part in ("weight", "bias")},
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "mlp.c_fc.weight": (2 * width, width),
        "mlp.c_fc.bias": (2 * width,),
        "mlp.c_proj.weight": (width, 2 * width),
        "mlp.c_proj.bias": (width,),
    }
    return {f"{name}.{part}": normal(generator, *shape) for part, shape in shapes.items()}


def _tokens(generator):
    heads = int(generator.choice([2, 3]))
    width, n, tokens = 2 * heads, int(generator.integers(2, 4)), int(generator.integers(3, 6))
    name = f"transformer.resblocks.{generator.integers(5)}"
    return _block_theta(generator, name, width), name, normal(generator, n, tokens, width), heads


def _norm(theta, name, x):
    return F.layer_norm(x, x.shape[-1:], theta[f"{name}.weight"], theta[f"{name}.bias"])


def _linear(theta, name, x):
    return F.linear(x, theta[f"{name}.weight"], theta[f"{name}.bias"])


def _split(part, heads):
    n, tokens, width = part.shape
    return part.view(n, tokens, heads, width // heads).transpose(1, 2)


def _interleaved(part, heads):
    n, tokens, width = part.shape
    return part.view(n, tokens, width // heads, heads).permute(0, 3, 1, 2)


def _block(
    theta,
    name,
    x,
    heads,
    order=(0, 1, 2),
    split=_split,
    scaled=True,
    softmax=-1,
    residual=1,
    pre_norm=True,
    gelu=F.gelu,
):
    def norm(x, part):
        return _norm(theta, f"{name}.{part}", x) if pre_norm else x

    n, tokens, width = x.shape
    joint = F.linear(
        norm(x, "ln_1"), theta[f"{name}.attn.in_proj_weight"], theta[f"{name}.attn.in_proj_bias"]
    )
    parts = [split(part, heads) for part in joint.chunk(3, dim=-1)]
    q, k, v = (parts[k] for k in order)
    scale = (width // heads) ** 0.5 if scaled else 1
    mixed = (q @ k.transpose(-1, -2) / scale).softmax(softmax) @ v
    mixed = mixed.transpose(1, 2).reshape(n, tokens, width)
    x = residual * x + _linear(theta, f"{name}.attn.out_proj", mixed)
    hidden = gelu(_linear(theta, f"{name}.mlp.c_fc", norm(x, "ln_2")))
    return residual * x + _linear(theta, f"{name}.mlp.c_proj", hidden)


block = Code(
    "1.6",
    _block,
    [_tokens],
    [
        (
            partial(_block, residual=0),
            "the residual is missing: the block adds to its input, in both lines.",
        ),
        (
            partial(_block, pre_norm=False),
            "the layer norms are missing: attention and the MLP get LN(x), not x.",
        ),
        (
            partial(_block, scaled=False),
            "the products of queries and keys are not divided by the root of width // heads.",
        ),
        (
            lambda theta, name, x, heads: _block(theta, name, x, 1),
            "you use one head; each head mixes its own part of the values.",
        ),
        (
            partial(_block, split=_interleaved),
            "a head owns neighbouring numbers: view as (heads, width // heads), in this order.",
        ),
        (
            partial(_block, softmax=-2),
            "the softmax runs over the queries; each query's weights over the keys must sum to 1.",
        ),
        (
            partial(_block, order=(1, 0, 2)),
            "queries and keys are swapped: in_proj makes queries first, then keys, then values.",
        ),
        (
            partial(_block, gelu=lambda x: x * torch.sigmoid(1.702 * x)),
            "that is the quick approximation of the GELU; IconCLIP has the exact one, F.gelu.",
        ),
        (
            partial(_block, gelu=torch.relu),
            "the activation of the MLP is the GELU, not the ReLU.",
        ),
    ],
)


def _state_and_images(generator):
    """A vision transformer of one to three blocks, and images of two by three patches."""
    heads, n_blocks = int(generator.choice([1, 2])), int(generator.integers(1, 4))
    width, patch = 2 * heads + 2 * (heads == 1), 2
    theta = {
        "conv1.weight": normal(generator, width, 3, patch, patch),
        "class_embedding": normal(generator, width),
        "positional_embedding": normal(generator, 7, width),
        "proj": normal(generator, width, 3),
    }
    for name in ("ln_pre", "ln_post"):
        theta |= {f"{name}.{part}": normal(generator, width) for part in ("weight", "bias")}
    for k in range(n_blocks):
        theta |= _block_theta(generator, f"transformer.resblocks.{k}", width)
    return theta, normal(generator, 2, 3, 4, 6), heads


def _class_token(x):
    return x[:, 0]


def _encoder(
    theta,
    images,
    heads,
    flatten=lambda x: x.flatten(2),
    place=0,
    positions=1,
    pre=True,
    post=True,
    pool=_class_token,
    blocks=None,
    normalise=True,
):
    kernel = theta["conv1.weight"]
    tokens = flatten(F.conv2d(images, kernel, stride=kernel.shape[-1])).transpose(1, 2)
    first = theta["class_embedding"].expand(len(images), 1, -1)
    x = torch.cat([first, tokens] if place == 0 else [tokens, first], dim=1)
    x = x + positions * theta["positional_embedding"]
    x = _norm(theta, "ln_pre", x) if pre else x
    found = sum(key.endswith(".ln_1.weight") for key in theta)
    for k in range(found if blocks is None else blocks):
        x = _block(theta, f"transformer.resblocks.{k}", x, heads)
    x = pool(x)
    x = (_norm(theta, "ln_post", x) if post else x) @ theta["proj"]
    return F.normalize(x, dim=-1) if normalise else x


encoder = Code(
    "1.7",
    _encoder,
    [_state_and_images],
    [
        (
            partial(_encoder, normalise=False),
            "the embeddings do not have length 1: normalise them at the end.",
        ),
        (
            partial(_encoder, positions=0),
            "the positional embedding is not added, so the encoder cannot know where a square was.",
        ),
        (
            partial(_encoder, place=-1),
            "the class token comes first, before the tokens of the squares.",
        ),
        (
            partial(_encoder, pool=lambda x: x[:, 1:].mean(1)),
            "you average the squares' tokens; CLIP takes the class token.",
        ),
        (
            partial(_encoder, pool=lambda x: x.mean(1)),
            "you average all tokens; CLIP takes the class token alone.",
        ),
        (partial(_encoder, pre=False), "the layer norm ln_pre, before the blocks, is missing."),
        (partial(_encoder, post=False), "the layer norm ln_post, after the blocks, is missing."),
        (
            partial(_encoder, blocks=1),
            "you run the first block only; run as many as the dictionary has.",
        ),
        (
            partial(_encoder, flatten=lambda x: x.transpose(2, 3).flatten(2)),
            "your tokens go through the image column by column; they go row by row.",
        ),
    ],
    draws=6,
)


temperature = Choice(
    "1.4",
    "B",
    {
        "A": "dividing all logits by one number keeps their order, so every prediction stays the same.",
        "C": "the predictions stay, but the probabilities do not: a flatter softmax gives a different loss.",
        "D": "training follows the gradient of the loss, so a head with the wrong temperature trains differently.",
    },
)

ALL = [chance, loss, rows, temperature, order, block, encoder]
