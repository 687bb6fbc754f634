import os

import numpy as np
import torch
import torch.nn.functional as F

WORDS = {
    "vision_model.": "",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding": "conv1",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "encoder.layers": "transformer.resblocks",
    "layer_norm": "ln_",
    "self_attn": "attn",
    "fc1": "c_fc",
    "fc2": "c_proj",
}


def is_quick(config):
    return config["vision_config"]["hidden_act"] == "quick_gelu"


def convert_by_words(weights, config):
    visual = {"proj": weights["visual_projection.weight"].t()}
    for key in weights:
        if not key.startswith("vision_model.") or "position_ids" in key:
            continue
        if "k_proj" in key or "v_proj" in key:
            continue
        tensor, new = weights[key], key
        if "q_proj" in key:
            tensor = torch.cat([weights[key.replace("q_proj", f"{x}_proj")] for x in "qkv"])
            new = key.replace("q_proj.", "in_proj_")
        for old, word in WORDS.items():
            new = new.replace(old, word)
        visual[new] = tensor
    return visual, is_quick(config)


def convert_from_our_names(weights, config):
    """Look every name of ours up in theirs."""

    def of(name):
        return weights[f"vision_model.{name}"]

    visual = {
        "class_embedding": of("embeddings.class_embedding"),
        "positional_embedding": of("embeddings.position_embedding.weight"),
        "conv1.weight": of("embeddings.patch_embedding.weight"),
        "proj": weights["visual_projection.weight"].permute(1, 0),
    }
    for ours, theirs in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        for kind in ("weight", "bias"):
            visual[f"{ours}.{kind}"] = of(f"{theirs}.{kind}")
    k = 0
    while f"vision_model.encoder.layers.{k}.mlp.fc1.bias" in weights:
        for kind in ("weight", "bias"):
            here, there = f"transformer.resblocks.{k}", f"encoder.layers.{k}"
            three = [of(f"{there}.self_attn.{x}_proj.{kind}") for x in ("q", "k", "v")]
            visual[f"{here}.attn.in_proj_{kind}"] = (
                torch.vstack(three) if three[0].ndim > 1 else (torch.hstack(three))
            )
            visual[f"{here}.attn.out_proj.{kind}"] = of(f"{there}.self_attn.out_proj.{kind}")
            for ours, theirs in (
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                visual[f"{here}.{ours}.{kind}"] = of(f"{there}.{theirs}.{kind}")
        k += 1
    return visual, is_quick(config)


def convert_in_numpy(weights, config):
    visual, quick = convert_by_words(weights, config)
    return {key: tensor.numpy().copy() for key, tensor in visual.items()}, np.bool_(quick)


def read_with_frombuffer(paths, label_bytes):
    images, labels, size = [], [], label_bytes + 3072
    for path in paths:
        data = path.read_bytes()
        if len(data) % size:
            raise ValueError("not a whole number of records")
        for start in range(0, len(data), size):
            record = np.frombuffer(data[start : start + size], np.uint8)
            labels.append(record[label_bytes - 1])
            planes = record[label_bytes:].reshape(3, 32, 32)
            images.append(np.stack([planes[0], planes[1], planes[2]], axis=-1))
    return np.array(images), np.array(labels)


def read_by_reshape(paths, label_bytes):
    """A file that is cut short cannot be reshaped, which is a ValueError of numpy's."""
    records = np.concatenate(
        [np.fromfile(path, np.uint8).reshape(-1, label_bytes + 3072) for path in paths]
    )
    pixels = np.moveaxis(records[:, label_bytes:].reshape(-1, 3, 32, 32), 1, -1)
    return pixels, torch.from_numpy(records[:, label_bytes - 1].astype(np.int64))


def read_in_torch(paths, label_bytes):
    images, labels = [], []
    for path in paths:
        data = torch.tensor(list(path.read_bytes()), dtype=torch.uint8)
        if data.numel() % (label_bytes + 3072) != 0:
            raise ValueError(path)
        records = data.view(-1, label_bytes + 3072)
        images.append(records[:, label_bytes:].view(-1, 3, 32, 32).permute(0, 2, 3, 1))
        labels.extend(records[:, label_bytes - 1].tolist())
    return torch.cat(images), labels


def train_by_while(model, optimizer, batches, steps, rate, path, every):
    step = 0
    if os.path.isfile(path):
        saved = torch.load(path, weights_only=True)
        step = saved.pop("next")
        torch.random.set_rng_state(saved.pop("rng"))
        optimizer.load_state_dict(saved.pop("adam"))
        model.load_state_dict(saved)
    model.train()
    while step < steps:
        optimizer.param_groups[0]["lr"] = rate(step)
        x, y = batches(step)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        step += 1
        if step % every == 0:
            parts = {"next": step, "rng": torch.random.get_rng_state()}
            torch.save({**model.state_dict(), "adam": optimizer.state_dict(), **parts}, path)
    model.eval()
    return model


def train_in_pieces(model, optimizer, batches, steps, rate, path, every):
    begin = 0
    if path.exists():
        weights, adam, random, begin = torch.load(path)
        model.load_state_dict(weights)
        optimizer.load_state_dict(adam)
        torch.set_rng_state(random)
    for start in range(begin, steps, every):
        for step in range(start, min(start + every, steps)):
            model.train()
            for group in optimizer.param_groups:
                group.update(lr=rate(step))
            inputs, classes = batches(step)
            loss = torch.nn.CrossEntropyLoss()(model(inputs), classes)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if start + every <= steps:
            state = model.state_dict(), optimizer.state_dict(), torch.get_rng_state(), start + every
            torch.save(state, path)
    return model.eval()


def train_safely(model, optimizer, batches, steps, rate, path, every):
    """Write beside the file and rename, so that a lost machine leaves the old state whole."""
    state = torch.load(path) if path.exists() else None
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
    model.train()
    for step in range(steps):
        if state and step <= state["last"]:
            continue
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        inputs, classes = batches(step)
        optimizer.zero_grad()
        F.nll_loss(model(inputs).log_softmax(-1), classes).backward()
        optimizer.step()
        if not (step + 1) % every:
            beside = path.with_suffix(".new")
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random": torch.get_rng_state(),
                    "last": step,
                },
                beside,
            )
            beside.replace(path)
    return model.eval()


RIGHT = {
    "16.1": [
        lambda x: x / (1 + torch.exp(-1.702 * x)),
        lambda x: torch.nn.functional.silu(1.702 * x) / 1.702,
        lambda x: x.numpy() / (1 + np.exp(-1.702 * x.numpy())),
    ],
    "16.3": [convert_by_words, convert_from_our_names, convert_in_numpy],
    "16.4": [read_with_frombuffer, read_by_reshape, read_in_torch],
    "16.6": [train_by_while, train_in_pieces, train_safely],
}

WRONG = {
    "16.1": [lambda x: x * (x > 0), lambda x: x * torch.tanh(1.702 * x)],
    "16.3": [
        lambda weights, config: (dict(weights), is_quick(config)),
        lambda weights, config: convert_by_words(weights, config)[0],
    ],
    "16.4": [
        lambda paths, label_bytes: read_by_reshape(paths, label_bytes)[::-1],
        lambda paths, label_bytes: (read_by_reshape(paths, label_bytes)[0] / 255, [0]),
    ],
    "16.6": [
        lambda model, *_: model.eval(),
        lambda model, optimizer, batches, steps, rate, path, every: train_by_while(
            model, optimizer, batches, steps, lambda step: 10 * rate(step), path, every
        ),
    ],
}
