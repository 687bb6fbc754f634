import math

import numpy as np
import torch
import torch.nn.functional as F


def loss_by_log_softmax(images, texts, scale):
    table = scale * images @ texts.T
    rows, columns = table.log_softmax(1).diagonal(), table.log_softmax(0).diagonal()
    return -(rows.mean() + columns.mean()) / 2


def loss_in_numpy(images, texts, scale):
    table = scale * images.numpy().astype(np.float64) @ texts.numpy().T.astype(np.float64)
    total = 0
    for t in (table, table.T):
        total += (np.log(np.exp(t).sum(1)) - t.diagonal()).mean()
    return total / 2


def loss_by_loops(images, texts, scale):
    n, total = len(images), 0.0
    for i in range(n):
        row = [math.exp(scale * float(images[i] @ texts[j])) for j in range(n)]
        column = [math.exp(scale * float(images[j] @ texts[i])) for j in range(n)]
        total -= math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))
    return total / (2 * n)


def head_by_loops(embeddings, scale):
    rows = []
    for prompts in embeddings:
        mean = sum(p / p.norm() for p in prompts) / len(prompts)
        rows.append(scale * mean / mean.norm())
    return torch.stack(rows)


def head_in_numpy(embeddings, scale):
    e = embeddings.double().numpy()
    e = e / np.linalg.norm(e, axis=-1, keepdims=True)
    total = e.sum(1)
    return scale * total / np.linalg.norm(total, axis=-1, keepdims=True)


def head_as_lists(embeddings, scale):
    return head_by_loops(embeddings.double(), scale).tolist()


def rows_by_dictionary(labels, folders, names):
    row_of = {name: row for row, name in enumerate(names)}
    return torch.tensor([row_of[folders[label]] for label in labels])


def rows_by_loop(labels, folders, names):
    rows = []
    for label in labels:
        for row, name in enumerate(names):
            if name == folders[label]:
                rows.append(row)
    return tuple(rows)


def block_by_torch(theta, name, x, heads):
    """The attention of PyTorch, with the tensors of the state dict."""
    width = x.shape[-1]
    own = {key[len(name) + 1 :]: tensor for key, tensor in theta.items() if key.startswith(name)}
    norms = [torch.nn.LayerNorm(width) for _ in range(2)]
    attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)
    mlp = torch.nn.Sequential(
        torch.nn.Linear(width, 2 * width), torch.nn.GELU(), torch.nn.Linear(2 * width, width)
    )
    for k, norm in enumerate(norms, 1):
        norm.load_state_dict({part: own[f"ln_{k}.{part}"] for part in ("weight", "bias")})
    attention.load_state_dict({k[5:]: t for k, t in own.items() if k.startswith("attn.")})
    mlp[0].load_state_dict({part: own[f"mlp.c_fc.{part}"] for part in ("weight", "bias")})
    mlp[2].load_state_dict({part: own[f"mlp.c_proj.{part}"] for part in ("weight", "bias")})
    y = norms[0](x)
    x = x + attention(y, y, y, need_weights=False)[0]
    return x + mlp(norms[1](x))


def block_by_loops(theta, name, x, heads):
    def norm(x, part):
        mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        scaled = (x - mean) / (var + 1e-5).sqrt()
        return scaled * theta[f"{name}.{part}.weight"] + theta[f"{name}.{part}.bias"]

    y = norm(x, "ln_1")
    joint = y @ theta[f"{name}.attn.in_proj_weight"].T + theta[f"{name}.attn.in_proj_bias"]
    width = x.shape[-1]
    d, columns = width // heads, []
    for h in range(heads):
        q, k, v = (joint[..., s + h * d : s + (h + 1) * d] for s in (0, width, 2 * width))
        weights = torch.einsum("nid,njd->nij", q, k).div(math.sqrt(d)).softmax(2)
        columns.append(torch.einsum("nij,njd->nid", weights, v))
    mixed = torch.cat(columns, -1)
    x = x + mixed @ theta[f"{name}.attn.out_proj.weight"].T + theta[f"{name}.attn.out_proj.bias"]
    z = norm(x, "ln_2") @ theta[f"{name}.mlp.c_fc.weight"].T + theta[f"{name}.mlp.c_fc.bias"]
    z = 0.5 * z * (1 + torch.erf(z / math.sqrt(2)))
    return x + z @ theta[f"{name}.mlp.c_proj.weight"].T + theta[f"{name}.mlp.c_proj.bias"]


def block_by_sdpa(theta, name, x, heads):
    def get(part):
        return theta[f"{name}.{part}"]

    b, t, w = x.shape
    y = F.layer_norm(x, (w,), get("ln_1.weight"), get("ln_1.bias"))
    qkv = F.linear(y, get("attn.in_proj_weight"), get("attn.in_proj_bias"))
    q, k, v = qkv.reshape(b, t, 3, heads, w // heads).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v).permute(0, 2, 1, 3).flatten(2)
    x = x + F.linear(y, get("attn.out_proj.weight"), get("attn.out_proj.bias"))
    y = F.layer_norm(x, (w,), get("ln_2.weight"), get("ln_2.bias"))
    y = F.gelu(F.linear(y, get("mlp.c_fc.weight"), get("mlp.c_fc.bias")))
    return x + F.linear(y, get("mlp.c_proj.weight"), get("mlp.c_proj.bias"))


def encode_by_unfold(theta, images, heads, block=block_by_loops):
    kernel = theta["conv1.weight"]
    p = kernel.shape[-1]
    squares = F.unfold(images, p, stride=p).transpose(1, 2)
    tokens = squares @ kernel.flatten(1).T
    first = theta["class_embedding"].repeat(len(images), 1, 1)
    x = torch.cat((first, tokens), 1) + theta["positional_embedding"][None]
    width = x.shape[-1]
    x = F.layer_norm(x, [width], theta["ln_pre.weight"], theta["ln_pre.bias"])
    names = sorted({key.rsplit(".ln_1", 1)[0] for key in theta if ".ln_1" in key})
    for name in names:
        x = block(theta, name, x, heads)
    x = F.layer_norm(x[:, 0], [width], theta["ln_post.weight"], theta["ln_post.bias"])
    x = x @ theta["proj"]
    return x / x.norm(dim=-1, keepdim=True)


def encode_square_by_square(theta, images, heads):
    kernel, n = theta["conv1.weight"], len(images)
    p, width = kernel.shape[-1], kernel.shape[0]
    tokens = [theta["class_embedding"].expand(n, width)]
    for top in range(0, images.shape[2], p):
        for left in range(0, images.shape[3], p):
            square = images[:, :, top : top + p, left : left + p]
            tokens.append(torch.einsum("nchw,kchw->nk", square, kernel))
    x = torch.stack(tokens, dim=1) + theta["positional_embedding"]
    x = F.layer_norm(x, (width,), theta["ln_pre.weight"], theta["ln_pre.bias"])
    for k in range(99):
        if f"transformer.resblocks.{k}.ln_1.weight" not in theta:
            break
        x = block_by_sdpa(theta, f"transformer.resblocks.{k}", x, heads)
    x = F.layer_norm(x, (width,), theta["ln_post.weight"], theta["ln_post.bias"])[:, 0]
    return F.normalize(x @ theta["proj"], dim=1)


RIGHT = {
    "1.6": [block_by_torch, block_by_loops, block_by_sdpa],
    "1.7": [
        encode_by_unfold,
        encode_square_by_square,
        lambda theta, images, heads: encode_by_unfold(theta, images, heads, block_by_sdpa).numpy(),
    ],
    "1.2": [loss_by_log_softmax, loss_in_numpy, loss_by_loops],
    "1.3": [head_by_loops, head_in_numpy, head_as_lists],
    "1.5": [
        rows_by_dictionary,
        rows_by_loop,
        lambda labels, folders, names: np.array([names.index(f) for f in folders])[labels],
    ],
}

WRONG = {
    "1.6": [
        lambda theta, name, x, heads: x,
        lambda theta, name, x, heads: block_by_loops(theta, name, x, heads)[:, 0],
        lambda theta, name, x, heads: block_by_loops(theta, name, x, heads) + x,
    ],
    "1.7": [
        lambda theta, images, heads: encode_by_unfold(theta, images.flip(3), heads),
        lambda theta, images, heads: encode_by_unfold(theta, images, heads).mean(0),
    ],
    "1.1": [0.5, 1.0, 8.2, 12.2],
    "1.2": [
        lambda i, t, s: F.cross_entropy(s * i @ i.T, torch.arange(len(i))),
        lambda i, t, s: ((i - t) ** 2).mean(),
        lambda i, t, s: -(s * i @ t.T).diagonal().mean(),
        lambda i, t, s: loss_by_log_softmax(i, t, s) * len(i),
        lambda i, t, s: -loss_by_log_softmax(i, t, s),
    ],
    "1.3": [
        lambda e, s: s * F.normalize(F.normalize(e, dim=1).mean(1), dim=-1),
        lambda e, s: s * F.normalize(F.normalize(e, dim=-1)[:, 0], dim=-1),
        lambda e, s: s * F.normalize(F.normalize(e, dim=-1).max(1).values, dim=-1),
        lambda e, s: s * F.normalize(F.normalize(e, dim=-1).mean(1), dim=0),
    ],
    "1.5": [
        lambda labels, folders, names: [names.index(folders[0]) for _ in labels],
        lambda labels, folders, names: sorted(names.index(folders[k]) for k in labels),
        lambda labels, folders, names: [names.index(f) for f in folders],
    ],
}
