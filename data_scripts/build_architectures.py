"""Write the page of open_clip's architectures that work: python data_scripts/build_architectures.py

Each is built on the meta device and run on one image and one text, see
``wiseft_lite.interop.architectures``. The page depends only on the versions of open_clip and timm.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import arguments
from tqdm import tqdm

from wiseft_lite.encoders import library
from wiseft_lite.interop.architectures import Architecture, architecture

TARGET = Path(__file__).resolve().parent.parent / "book" / "appendix" / "architectures.md"
HEAD = """# Architectures

Which CLIP models can you use here? Every architecture that open_clip {open_clip} lists is in the table at the end:
{count} names, of which {works} work as they are and {needs} need the package `transformers` too{refused}.
Without it the library refuses these before anything is downloaded, and states the reason.

**Works** means the whole method: zero-shot head, fine-tuning, interpolation, saving, loading and export. The test
`tests/unit/test_architectures.py` does all of this with the smallest architecture of each family, on random weights,
and compares the exported model's logits in open_clip alone. For the other members of a family the page rests on less:
their encoders were built and gave one embedding of the right length for an image and for a text. Nothing here says how
accurate a model is. What needs `transformers` is tested with a stand-in for its tokenizers; each kind of text encoder
was tried once with transformers 5.24.0, at a small size.

An architecture is used by its name and the name of pre-trained weights, such as `--model ViT-B-32/openai`; the column
*weights* counts those that open_clip lists. `ViT-B-32/none` has random weights, always the same ones.

**Hugging Face.** SigLIP, CLIPA and the *worldwide* models take their tokenizer from Hugging Face, a few models their whole text encoder.
`pip install 'wiseft-lite[huggingface]'` adds what they need, and what they name there is downloaded when the model is
first used. An export takes the tokenizer's files along. A saved checkpoint needs none of this: it holds the
image encoder and the head. Prompt learning (`wiseft_lite.finetuning.prompts`) needs CLIP's own tokenizer and refuses these models.

**SigLIP's bias.** SigLIP was trained with a sigmoid for each pair and adds a bias to its logits. The bias is one number
for all classes, so that neither the predicted class nor the softmax depends on it. The zero-shot head leaves it out,
and fine-tuning uses cross-entropy over the classes as for every other model.

**CoCa** embeds images and texts like CLIP and writes captions too. Only its embeddings are used here; the caption
decoder goes along unchanged into an export.

**Image size.** The column is the size that the architecture is built for, and images are resized to it. open_clip's
configuration of `ViTamin-XL-384` has 256 pixels in spite of its name.

This page is made by `data_scripts/build_architectures.py` (open_clip {open_clip}, timm {timm}), in a minute and a
half of CPU time. No weights are made, so that it needs less than 1 GB of memory, whatever the size of the
architectures.

## Families
"""


def status(arch: Architecture) -> str:
    """Return the last cell of an architecture's row."""
    if arch.refused:
        return f"refused: {arch.refused}"
    return f"needs `{arch.needs}`" if arch.needs else "works"


def smallest(family: Sequence[Architecture]) -> Architecture:
    """Return the architecture with the fewest parameters; of equals, the first name."""
    return min(family, key=lambda arch: (arch.image_parameters + arch.text_parameters, arch.name))


def page(architectures: Sequence[Architecture]) -> str:
    """Return the page."""
    refused = sum(bool(arch.refused) for arch in architectures)
    needs = sum(bool(arch.needs) and not arch.refused for arch in architectures)
    lines = [
        HEAD.format(
            open_clip=version("open_clip_torch"),
            timm=version("timm"),
            count=len(architectures),
            works=len(architectures) - refused - needs,
            needs=needs,
            refused=f"; {refused} cannot be used" if refused else "",
        )
    ]
    lines += [
        "*Table: families of architectures, with the smallest of each and whether it works here.*",
        "",
        "| family | architectures | smallest | |",
        "|---|---|---|---|",
    ]
    families = {
        arch.family: [a for a in architectures if a.family == arch.family] for arch in architectures
    }
    for name, family in sorted(families.items()):
        lines.append(
            f"| {name} | {len(family)} | {smallest(family).name} | {status(smallest(family))} |"
        )
    lines += [
        "",
        "## All architectures",
        "",
        "Parameters are in millions (M): of the image encoder, which is fine-tuned, and of the text encoder, which",
        "only writes the zero-shot head. Those of an encoder of Hugging Face are not counted.",
        "",
        "*Table: open_clip's architectures, with the size of both encoders and the number of published weights.*",
        "",
        "| name | family | image encoder | text encoder | pixels | weights | |",
        "|---|---|---|---|--:|--:|---|",
    ]
    for arch in architectures:
        image = f"{arch.image_encoder} ({arch.image_parameters / 1e6:.1f} M)"
        text = arch.text_encoder
        if arch.text_parameters:
            text += f" ({arch.text_parameters / 1e6:.1f} M)"
        lines.append(
            f"| {arch.name} | {arch.family} | {image} | {text} | {arch.image_size} | {arch.pretrained} | "
            f"{status(arch)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    arguments.parser(__doc__).parse_args()
    TARGET.write_text(
        page([architecture(name) for name in tqdm(library().list_models(), unit="architecture")])
    )
    print(
        f"written: {TARGET}, in {time.process_time() / 60:.1f} minutes of CPU time and "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
    )
