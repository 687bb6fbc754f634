"""Pre-train IconCLIP, the small CLIP that ships with the book, on icons that no task holds out.

    python data_scripts/pretrain_iconclip.py WORK

After an interruption, run it again: it resumes from ``WORK/pretrain/state.pt`` with the same
batches. The log is ``WORK/pretrain/log.jsonl``; the result is written to
``wiseft_lite/assets/iconclip`` in open_clip's layout.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import arguments
import corpus
import iconify
import numpy as np
import open_clip
import rules
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock
from safetensors.torch import save_file

CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 48, "patch_size": 12, "width": 192, "layers": 6, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
BATCH, DECAY, CLIP_NORM = 512, 0.1, 1.0
# Piecewise linear learning rate: (step, learning rate). The second rise is a short second run from
# the end of the first. The model card explains why a long one, to 7,200 steps, is not used.
LEARNING_RATES = [(-1, 0.0), (199, 1e-3), (3080, 1e-3), (4400, 0.0), (4430, 3e-4), (4700, 0.0)]
STEPS = LEARNING_RATES[-1][0]
BROAD_STEPS = 1500  # then common nouns come more often
CLEAN_STEPS = 2400  # then some images are bent or coarse
TEMPLATES = [
    "an icon of a {}.",
    "a {} icon.",
    "a drawing of a {}.",
    "a simple {} symbol.",
    "a small picture of a {}.",
    "{}",
    "{}",
    "{} icon",
]
PACKAGE = Path(__file__).resolve().parent.parent / "wiseft_lite" / "assets" / "iconclip"


class Pairs:
    """Batches of augmented images, tokens and noun indices; batch k is the same in every run."""

    def __init__(self, path: Path, sets: dict[str, dict]):
        with np.load(path, allow_pickle=False) as file:
            self.images = torch.from_numpy(file["images"])
            captions, nouns, origin = (file[k].tolist() for k in ("captions", "nouns", "sets"))
        self.captions, self.nouns = captions, nouns
        numbers: dict[str, int] = {}
        self.noun = torch.tensor([numbers.setdefault(n, len(numbers)) for n in nouns])
        flat = self.images[:, ::4, ::4].int()
        self.mono = (flat.amax(-1) - flat.amin(-1)).amax((1, 2)) < 24
        # Variants of a drawing by one artist weigh n ** -0.5 each; brand marks count a third.
        groups: dict[tuple, int] = {}
        keys = [(rules.family(s), n) for s, n in zip(origin, nouns, strict=True)]
        for key in keys:
            groups[key] = groups.get(key, 0) + 1
        weight = torch.tensor([groups[key] ** -0.5 for key in keys], dtype=torch.float64)
        brands = torch.tensor([sets[s]["category"] == "Logos" for s in origin])
        self.broad = torch.where(brands, weight / 3, weight)
        # Later, nouns of many artists are drawn more often than those of one artist.
        artists: dict[str, set] = {}
        for artist, n in groups:
            artists.setdefault(n, set()).add(artist)
        self.shared = self.broad * torch.tensor([len(artists[n]) ** 0.5 for n in nouns])
        self.tokenizer = open_clip.SimpleTokenizer(
            context_length=CONFIG["text_cfg"]["context_length"]
        )

    def batch(self, step: int):
        rng = torch.Generator().manual_seed(1_000_003 * step + 7)
        weight = self.broad if step < BROAD_STEPS else self.shared
        pick = torch.multinomial(weight, BATCH, replacement=False, generator=rng)
        template = torch.randint(len(TEMPLATES), (BATCH,), generator=rng).tolist()
        styled = (torch.rand(BATCH, generator=rng) < 0.25).tolist()
        texts = [
            TEMPLATES[t].format(self.captions[i] if s else self.nouns[i])
            for i, t, s in zip(pick.tolist(), template, styled, strict=True)
        ]
        images = self.images[pick].permute(0, 3, 1, 2).float() / 255
        return (
            augment(images, self.mono[pick], rng, rough=step >= CLEAN_STEPS),
            self.tokenizer(texts),
            self.noun[pick],
        )


def augment(
    images: torch.Tensor, mono: torch.Tensor, rng: torch.Generator, rough: bool
) -> torch.Tensor:
    """Shift, scale and slightly rotate images; vary strokes and colours of one-colour icons.

    ``rough`` also bends some images like an unsteady hand, and draws some on a coarse grid. Nothing
    is flipped: an arrow to the left is not an arrow to the right.
    """
    n = len(images)
    draw = lambda *size: torch.rand(*size, generator=rng)  # noqa: E731
    stroke = draw(n)
    thick, thin = mono & (stroke < 0.15), mono & (stroke > 0.9)
    images[thick] = -F.max_pool2d(-images[thick], 3, 1, 1)
    images[thin] = (
        F.avg_pool2d(images[thin], 3, 1, 1, count_include_pad=False).clamp(0.3, 1).sub(0.3).div(0.7)
    )
    angle = (draw(n) - 0.5) * 0.35
    scale = 0.85 + 0.4 * draw(n)
    stretch = 0.93 + 0.14 * draw(n)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * stretch * angle.cos(), -scale * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin(), scale / stretch * angle.cos()
    matrix[:, :, 2] = (draw(n, 2) - 0.5) * 0.25
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    if rough:
        bend = F.interpolate(draw(n, 2, 5, 5) - 0.5, images.shape[-2:], mode="bicubic")
        grid = grid + 0.16 * (draw(n, 1, 1, 1) < 0.25) * bend.permute(0, 2, 3, 1)
    ink = F.grid_sample(1 - images, grid, align_corners=False)
    if rough:
        coarse = draw(n) < 0.08
        cells = F.interpolate(ink[coarse], (24, 24), mode="area")
        cells = torch.where(mono[coarse].view(-1, 1, 1, 1), (cells > 0.45).float(), cells)
        ink[coarse] = F.interpolate(cells, images.shape[-2:], mode="nearest")
    repaint = (mono & (draw(n) < 0.5)).view(-1, 1, 1, 1)
    paper, colour = 0.5 + 0.5 * draw(n, 3, 1, 1), 0.6 * draw(n, 3, 1, 1)
    swap = (draw(n) < 0.3).view(-1, 1, 1, 1)
    paper, colour = torch.where(swap, colour, paper), torch.where(swap, paper, colour)
    painted = paper + (colour - paper) * ink
    return (torch.where(repaint, painted, 1 - ink) - 0.5) / 0.5


def contrastive_loss(image, text, scale, noun):
    """Symmetric cross-entropy; another pair with the same noun is neither positive nor negative."""
    logits = scale * image @ text.T
    same = (noun[:, None] == noun[None]) & ~torch.eye(len(noun), dtype=torch.bool)
    logits = logits.float().masked_fill(same, -torch.inf)
    target = torch.arange(len(noun))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def attention(block, q_x, k_x=None, v_x=None, attn_mask=None):
    """open_clip's self-attention in two plain products: on a CPU in bfloat16 twice as fast as the
    fused kernel, whose backward pass falls back on slow code for a head this small."""
    layer, (n, length, width) = block.attn, q_x.shape
    heads = layer.num_heads
    qkv = F.linear(q_x, layer.in_proj_weight, layer.in_proj_bias)
    q, k, v = qkv.view(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-2, -1)) * (width // heads) ** -0.5
    if attn_mask is not None:
        scores = scores + attn_mask.to(scores.dtype)
    return layer.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width))


def learning_rate(step: int) -> float:
    return float(np.interp(step, *zip(*LEARNING_RATES, strict=True)))


def optimizer_for(model: CLIP) -> torch.optim.AdamW:
    decays = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [{"params": decays, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def save_atomic(value, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(value, part)
    os.replace(part, path)


@torch.no_grad()
def grow_residual_stream(text: dict[str, torch.Tensor], factor: float) -> None:
    """Multiply the text encoder's residual stream by ``factor``; layer norms undo it.

    It brings the small token embeddings into the range of 8-bit floats.
    """
    for name, tensor in text.items():
        if name.startswith("visual."):
            continue
        if (
            name in ("token_embedding.weight", "positional_embedding")
            or ".out_proj." in name
            or ".c_proj." in name
        ):
            tensor.mul_(factor)


def export(model: CLIP, folder: Path) -> None:
    """Write open_clip's ``local-dir`` layout: config and half-precision safetensors.

    The token table, two thirds of all weights, is stored in 8 bits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_cfg": CONFIG,
        "preprocess_cfg": {
            "mean": MEAN,
            "std": STD,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {k: v.clone() for k, v in model.state_dict().items() if k != "attn_mask"}
    grow_residual_stream(weights, 64.0)
    weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    table = weights["token_embedding.weight"].float()
    weights["token_embedding.weight"] = table.to(torch.float8_e4m3fn)
    save_file(
        {k: v.contiguous() for k, v in weights.items()},
        folder / "open_clip_model.safetensors",
        metadata={"format": "pt"},
    )


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--save-every", type=int, default=250)
    args = parser.parse_args()
    folder = args.work / "pretrain"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = Pairs(corpus.build(args.work), iconify.collections(iconify.fetch(args.work)))
    torch.manual_seed(0)
    model = CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"])
    optimizer, first = optimizer_for(model), 0
    state = folder / "state.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    print(f"{len(pairs.images)} pairs; from step {first} of {STEPS}", flush=True)
    ResidualAttentionBlock.attention = attention
    compiled = torch.compile(model)
    started, total = time.time(), 0.0
    for step in range(first, STEPS):
        images, tokens, noun = pairs.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        with torch.autocast("cpu", torch.bfloat16):
            image, text, scale = compiled(images, tokens)[:3]
        loss = contrastive_loss(image.float(), text.float(), scale, noun)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        total += loss.item()
        if (step + 1) % 50 == 0:
            line = {
                "step": step + 1,
                "loss": round(total / 50, 4),
                "lr": learning_rate(step),
                "scale": round(model.logit_scale.exp().item(), 2),
                "pairs_per_second": round(50 * BATCH / (time.time() - started), 1),
            }
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            print(line, flush=True)
            started, total = time.time(), 0.0
        if (step + 1) % args.save_every == 0 or step + 1 == STEPS:
            save_atomic(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                },
                state,
            )
    export(model, PACKAGE)


if __name__ == "__main__":
    main()
