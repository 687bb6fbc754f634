"""Exercises of chapter 16, From icons to photographs."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.draw import labels, normal
from wiseft_lite.tasks.published import cifar


def _numbers(generator):
    return (2 * normal(generator, 6),)


def _matrix(generator):
    return (3 * normal(generator, 2, 3, dtype=torch.float64),)


def _quick(x):
    return x * torch.sigmoid(1.702 * x)


quick_gelu = Code(
    "16.1",
    _quick,
    [_numbers, _matrix],
    [
        (
            lambda x: F.gelu(x),
            "this is the exact GELU, with the error function. OpenAI's weights were trained with a quick approximation.",
        ),
        (
            lambda x: F.gelu(x, approximate="tanh"),
            "this is another approximation of the GELU, with the tanh; the quick one has a sigmoid.",
        ),
        (
            lambda x: F.silu(x),
            "the gate has no slope of 1.702; without it this is the SiLU.",
        ),
        (
            lambda x: torch.sigmoid(1.702 * x),
            "a gate alone lies between 0 and 1; it is multiplied with x.",
        ),
        (
            lambda x: 1.702 * x * torch.sigmoid(x),
            "1.702 is the slope within the sigmoid; yours multiplies the result.",
        ),
        (
            lambda x: x * torch.sigmoid(x / 1.702),
            "you divide by 1.702 within the sigmoid; multiply.",
        ),
    ],
    tolerance=1e-5,
)

reloaded = Choice(
    "16.2",
    "B",
    {
        "A": "an activation has no weights, so every key of the file fits both models.",
        "C": "nearly equal is not equal: all weights were trained with the other function, and some predictions change.",
    },
)

_PLACES = {  # transformers' names of an image encoder's parts, and open_clip's
    "embeddings.patch_embedding": "conv1",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
}
_IN_A_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_LAYERS, _BLOCKS = "encoder.layers.", "transformer.resblocks."


def in_transformers_layout(visual):
    """The image encoder of an open_clip model under the names that transformers gives it."""
    theirs = {}
    for key, tensor in visual.items():
        if key.startswith(_BLOCKS):
            number, _, rest = key.removeprefix(_BLOCKS).partition(".")
            begin = f"{_LAYERS}{number}."
            if "in_proj_" in rest:
                kind = rest.rpartition("_")[2]
                q, k, v = tensor.chunk(3)
                parts = {"k": k, "v": v, "q": q}  # their order
                theirs |= {f"{begin}self_attn.{x}_proj.{kind}": t for x, t in parts.items()}
            else:
                part, _, kind = rest.rpartition(".")
                name = next(a for a, b in _IN_A_BLOCK.items() if b == part)
                theirs[f"{begin}{name}.{kind}"] = tensor
        elif key == "class_embedding":
            theirs["embeddings.class_embedding"] = tensor
        elif key == "positional_embedding":
            theirs["embeddings.position_embedding.weight"] = tensor
        elif key != "proj":
            part, _, kind = key.rpartition(".")
            theirs[f"{next(a for a, b in _PLACES.items() if b == part)}.{kind}"] = tensor
    theirs = {f"vision_model.{key}": tensor for key, tensor in theirs.items()}
    return {**theirs, "visual_projection.weight": visual["proj"].T}


def _foreign(generator, act, dtype=torch.float32):
    """A checkpoint of transformers at a tiny size: both encoders, a buffer, and its configuration."""
    width, blocks = 4, int(generator.integers(1, 4))
    shapes = {
        "class_embedding": (width,),
        "positional_embedding": (5, width),
        "proj": (width, 3),
        "conv1.weight": (width, 3, 2, 2),
    }
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for k in range(blocks):
        begin = f"{_BLOCKS}{k}."
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{begin}{norm}.{kind}": (width,) for kind in ("weight", "bias")}
        shapes |= {
            f"{begin}attn.in_proj_weight": (3 * width, width),
            f"{begin}attn.in_proj_bias": (3 * width,),
            f"{begin}attn.out_proj.weight": (width, width),
            f"{begin}attn.out_proj.bias": (width,),
            f"{begin}mlp.c_fc.weight": (2 * width, width),
            f"{begin}mlp.c_fc.bias": (2 * width,),
            f"{begin}mlp.c_proj.weight": (width, 2 * width),
            f"{begin}mlp.c_proj.bias": (width,),
        }
    visual = {key: normal(generator, *shape, dtype=dtype) for key, shape in shapes.items()}
    text = {
        "text_model.encoder.layers.0.layer_norm1.weight": normal(generator, 2, dtype=dtype),
        "text_projection.weight": normal(generator, 3, 2, dtype=dtype),
        "logit_scale": normal(generator, 1, dtype=dtype)[0],
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
    }
    weights = {**text, **in_transformers_layout(visual)}
    names = sorted(weights) if generator.integers(2) else list(weights)
    # the text encoder's activation is that of the image encoder in real files, here the other one
    other = {"gelu": "quick_gelu", "quick_gelu": "gelu"}[act]
    config = {"text_config": {"hidden_act": other}, "vision_config": {"hidden_act": act}}
    return {name: weights[name] for name in names}, config


def _with_quick_gelu(generator):
    return _foreign(generator, "quick_gelu")


def _with_gelu(generator):
    return _foreign(generator, "gelu")


def _in_half_precision(generator):
    return _foreign(generator, "quick_gelu", torch.float16)


def _of_the_image_encoder(weights, config):
    return config["vision_config"]["hidden_act"] == "quick_gelu"


def _converted(
    weights,
    config,
    stacked=lambda found: [found[x] for x in "qkv"],
    proj=lambda tensor: tensor.T,
    quick=_of_the_image_encoder,
    in_a_block=_IN_A_BLOCK,
    places=_PLACES,
    skip=("position_ids",),
    begin="",
):
    visual, thirds = {}, {}
    embeddings = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.position_embedding.weight": "positional_embedding",
    }
    for key, tensor in weights.items():
        if key == "visual_projection.weight":
            visual["proj"] = proj(tensor)
        if not key.startswith("vision_model.") or key.endswith(skip):
            continue
        name = key.removeprefix("vision_model.")
        part, _, kind = name.rpartition(".")
        if name in embeddings:
            visual[embeddings[name]] = tensor
        elif name.startswith(_LAYERS):
            number, _, inside = part.removeprefix(_LAYERS).partition(".")
            block = f"{_BLOCKS}{number}."
            if inside in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                place = f"{block}attn.in_proj_{kind}"
                thirds.setdefault(place, {})[inside[len("self_attn.")]] = tensor
            else:
                visual[f"{block}{in_a_block[inside]}.{kind}"] = tensor
        else:
            visual[f"{places.get(part, part)}.{kind}"] = tensor
    visual |= {place: torch.cat(stacked(found)) for place, found in thirds.items()}
    return {begin + key: tensor for key, tensor in visual.items()}, quick(weights, config)


converted = Code(
    "16.3",
    _converted,
    [_with_quick_gelu, _with_gelu, _in_half_precision],
    [
        (
            partial(_converted, stacked=lambda found: list(found.values())),
            "you stack queries, keys and values in the order of the file. open_clip has q, then k, then v, whatever the order.",
        ),
        (
            partial(_converted, stacked=lambda found: [found[x] for x in "kvq"]),
            "you stack keys, values, queries; open_clip has queries, keys, values.",
        ),
        (
            partial(_converted, proj=lambda tensor: tensor),
            "the projection is a Linear there, [d, width], and a plain matrix here, [width, d]: transpose it.",
        ),
        (
            partial(_converted, quick=lambda weights, config: True),
            "you take QuickGELU for granted. Only OpenAI's weights and a few others have it; the configuration says which.",
        ),
        (
            partial(_converted, quick=lambda weights, config: False),
            "you never report QuickGELU; hidden_act of the configuration says 'quick_gelu' where it belongs.",
        ),
        (
            partial(
                _converted,
                quick=lambda weights, config: config["text_config"]["hidden_act"] == "quick_gelu",
            ),
            "that is the activation of the text encoder; the image encoder's is in vision_config.",
        ),
        (
            partial(
                _converted,
                in_a_block={**_IN_A_BLOCK, "layer_norm1": "ln_2", "layer_norm2": "ln_1"},
            ),
            "the two norms of a block are exchanged: layer_norm1 is ln_1. The shapes are equal, so nothing complains.",
        ),
        (
            partial(
                _converted,
                places={**_PLACES, "pre_layrnorm": "ln_post", "post_layernorm": "ln_pre"},
            ),
            "the norms before and after the blocks are exchanged. The shapes are equal, so nothing complains.",
        ),
        (
            partial(_converted, begin="visual."),
            "these are the names within a whole CLIP; the state dict of the image encoder alone has no 'visual.' before them.",
        ),
        (
            partial(_converted, skip=()),
            "position_ids is no weight but a list of places: leave it out.",
        ),
    ],
    draws=3,
)


def _batches(generator, label_bytes):
    """Files of records: label bytes, then 3072 bytes of pixels, plane by plane."""
    files = [
        np.concatenate(
            [
                generator.integers(10, size=(n, label_bytes)),
                generator.integers(256, size=(n, 3072)),
            ],
            axis=1,
        ).astype(np.uint8)
        for n in generator.permutation([1, 2, 3])[:2]
    ]
    return files, label_bytes


def _cifar_10(generator):
    return _batches(generator, 1)


def _cifar_100(generator):
    return _batches(generator, 2)


def _from_files(read_batches, files, label_bytes):
    """Write the records into files and read them; then cut the last file short and try again."""
    with tempfile.TemporaryDirectory() as folder:
        paths = tuple(Path(folder) / f"data_batch_{k}.bin" for k in range(len(files)))
        for path, records in zip(paths, files, strict=True):
            path.write_bytes(records.tobytes())
        images, found = read_batches(paths, label_bytes)
        paths[-1].write_bytes(files[-1].tobytes()[:-100])
        try:
            read_batches(paths, label_bytes)
            cut_short = "no error"
        except Exception as error:
            cut_short = type(error).__name__
    return {"images": images, "labels": found, "a file that is cut short": cut_short}


def _planes(pixels):
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _read_batches(
    paths, label_bytes, arrange=_planes, label=-1, keep=lambda parts: parts, strict=True
):
    size, images, found = label_bytes + 3072, [], []
    for path in paths:
        data = np.fromfile(path, dtype=np.uint8)
        if strict and (len(data) == 0 or len(data) % size):
            raise ValueError(f"{path} is cut short")
        records = data[: len(data) // size * size].reshape(-1, size)
        images.append(arrange(records[:, label_bytes:]))
        found.append(records[:, label_bytes + label if label < 0 else label])
    return np.concatenate(keep(images)), np.concatenate(keep(found)).tolist()


read_batches = Code(
    "16.4",
    _read_batches,
    [_cifar_10, _cifar_100],
    [
        (
            partial(_read_batches, arrange=lambda pixels: pixels.reshape(-1, 32, 32, 3)),
            "the file has all reds of an image, then all greens, then all blues. Shape it [n, 3, 32, 32] first, then move the colours to the end.",
        ),
        (
            partial(
                _read_batches,
                arrange=lambda pixels: pixels.reshape(-1, 3, 32, 32).transpose(0, 3, 2, 1),
            ),
            "rows and columns are exchanged: your images lie on their side.",
        ),
        (
            partial(_read_batches, arrange=lambda pixels: pixels.reshape(-1, 3, 32, 32)),
            "the colours are still in front; the shape is [n, 32, 32, 3].",
        ),
        (
            partial(_read_batches, arrange=lambda pixels: _planes(pixels)[..., ::-1]),
            "the planes are red, green, blue in this order; yours are reversed.",
        ),
        (
            partial(_read_batches, label=0),
            "of two label bytes the first is the coarse class of CIFAR-100; the last one is the class.",
        ),
        (
            partial(_read_batches, keep=lambda parts: parts[-1:]),
            "only the last file is left: collect the images of all files.",
        ),
        (
            partial(_read_batches, strict=False),
            "a file that is cut short passes without an error: raise a ValueError if its bytes are no whole number of records.",
        ),
    ],
    call=_from_files,
    library=[cifar._binary],
    draws=3,
)

longer = Number(
    "16.5",
    1.55,
    [
        (19 / 45, "an image of the sweep goes through the model once for every alpha, not once."),
        (
            19 / (3 * 45),
            "the three passes of training are right; the sweep sends each image through the model for every alpha.",
        ),
        (
            19 * 11 / 45,
            "training on an image costs three forward passes, one for the loss and two for the gradients.",
        ),
        (
            45 * 3 / (19 * 11),
            "this is the epoch in sweeps; the question is the sweep in epochs.",
        ),
        (11, "that is the number of alphas; an epoch has other images, and costs more for each."),
    ],
    tolerance=0.06,
)


_STEPS = 9


def _training(generator):
    """A small network and its batches; after how many steps to save, and where the machine is lost."""
    shapes = {"0.weight": (8, 4), "0.bias": (8,), "3.weight": (3, 8), "3.bias": (3,)}
    theta = {name: normal(generator, *shape) for name, shape in shapes.items()}
    data = [(normal(generator, 6, 4), labels(generator, 6, 3)) for _ in range(_STEPS)]
    every = int(generator.integers(2, 4))
    breaks = [int(generator.integers(every + 1, 2 * every)), _STEPS - 1]
    return theta, data, every, breaks


class _Lost(Exception):
    """The runtime is gone."""


def _small_rate(step):
    return 0.02 / (1 + step)


def _survived(train, theta, data, every, breaks):
    """Train; begin again in a new process wherever the machine is lost."""
    asked, left = [], list(breaks)

    def batches(step):
        if left and step == left[0]:
            left.pop(0)
            raise _Lost
        asked.append(int(step))
        return data[step]

    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        for process in range(len(breaks) + 1):
            torch.manual_seed(process)  # a new process has another state of the generator
            model = torch.nn.Sequential(
                torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(8, 3)
            )
            model.load_state_dict(theta)
            torch.manual_seed(process)
            optimizer = torch.optim.AdamW(model.parameters())
            try:
                model = train(
                    model, optimizer, batches, _STEPS, _small_rate, Path(folder) / "run.pt", every
                )
                break
            except _Lost:
                continue
    return {
        "batches": asked,
        "weights": {name: tensor.detach() for name, tensor in model.named_parameters()},
        "training mode": model.training,
    }


def _train(
    model,
    optimizer,
    batches,
    steps,
    rate,
    path,
    every,
    keep=("model", "optimizer", "random", "step"),
    ahead=1,
    due=lambda step, every: (step + 1) % every == 0,
    rate_of=lambda rate, step, first: rate(step),
):
    first = 0
    if keep and path.exists():
        state = torch.load(path)
        for name, part in (("model", model), ("optimizer", optimizer)):
            if name in keep:
                part.load_state_dict(state[name])
        if "random" in keep:
            torch.set_rng_state(state["random"])
        first = state["step"] if "step" in keep else 0
    model.train()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_of(rate, step, first)
        inputs, classes = batches(step)
        loss = F.cross_entropy(model(inputs), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if due(step, every):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"random": torch.get_rng_state(), "step": step + ahead}
            torch.save(state, path)
    return model.eval()


train = Code(
    "16.6",
    _train,
    [_training],
    [
        (
            partial(_train, keep=()),
            "after an interruption the training begins at step 0: read the file if it exists.",
        ),
        (
            partial(_train, keep=("model", "optimizer", "random")),
            "the weights come back, but the steps are counted from 0: save the step too.",
        ),
        (
            partial(_train, keep=("model", "random", "step")),
            "AdamW's averages are lost: save and load the state of the optimizer.",
        ),
        (
            partial(_train, keep=("model", "optimizer", "step")),
            "dropout drops other units after the interruption: save the state of the random generator.",
        ),
        (
            partial(_train, keep=("optimizer", "random", "step")),
            "the weights begin anew: load the state of the model.",
        ),
        (
            partial(_train, ahead=0),
            "the step that was saved is trained on again: the first step to do is the one after it.",
        ),
        (
            partial(_train, due=lambda step, every: step % every == 0),
            "you save after steps 0, every, 2 every; after as many steps as 'every' says is (step + 1) % every == 0.",
        ),
        (
            partial(_train, due=lambda step, every: True),
            "you save after each step; a large model takes seconds to write. Save after every so many steps.",
        ),
        (
            partial(_train, rate_of=lambda rate, step, first: rate(step - first)),
            "the schedule begins anew after the interruption: the learning rate belongs to the step of the whole run.",
        ),
    ],
    call=_survived,
    draws=3,
)

ALL = [quick_gelu, reloaded, converted, read_batches, longer, train]
