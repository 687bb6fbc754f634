"""The two models of the playground page, small enough for a page: 16 bits hold a weight of both."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wiseft_lite.errors import UserError
from wiseft_lite.weights import Weights, check_alike

FOLDER = Path(__file__).resolve().parents[2] / "book" / "_static" / "playground"
# A weight of both fits into 16 bits. Eight ways to divide them were tried (8 and 6, 9 and 5, 9 and 6, 10 and 4, ..., 12 and 4),
# three of them with steps by least squares too. This one alone keeps the accuracy on every split within 0.3 points. It was
# chosen on IconShift's test images, where the ledger measures it: the 0.3 is no prediction for other images.
ZERO_SHOT_BITS, DIFFERENCE_BITS = 10, 5
PARTS = 8  # files of weights, so that a page opened from disk can show its progress


def quantise(rows: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Round each row to whole multiples of its own step.

    ``codes = round(rows / steps)`` with ``steps = max |row| / (2 ** (bits - 1) - 1)``.

    Args:
        rows: ``[n, m]``.
        bits: of a code.

    Returns:
        Codes, int32 ``[n, m]``, and steps, float32 ``[n]``; ``codes * steps[:, None]`` is the
        approximation.

    Example:
        >>> quantise(torch.tensor([[1.0, -0.5, 0.26]]), 3)
        (tensor([[ 3, -2,  1]], dtype=torch.int32), tensor([0.3333]))
    """
    largest = 2 ** (bits - 1) - 1
    steps = rows.abs().amax(1).clamp(min=1e-12) / largest
    return (rows / steps[:, None]).round().int(), steps


def pack(codes: Tensor, change: Tensor) -> Tensor:
    """Put both codes of each weight into 16 bits, int16: the difference in the lower ones.

    Example:
        >>> unpack(pack(torch.tensor([-511, 511]), torch.tensor([15, -15])))
        (tensor([-511,  511], dtype=torch.int32), tensor([ 15, -15], dtype=torch.int32))
    """
    unsigned = codes + 2 ** (ZERO_SHOT_BITS - 1), change + 2 ** (DIFFERENCE_BITS - 1)
    return ((unsigned[0] << DIFFERENCE_BITS) + unsigned[1]).to(torch.int16)  # it wraps around


def unpack(words: Tensor) -> tuple[Tensor, Tensor]:
    """Return the codes that ``pack`` packed."""
    words = words.int() & 0xFFFF
    low = words & (2**DIFFERENCE_BITS - 1)
    return (
        (words >> DIFFERENCE_BITS) - 2 ** (ZERO_SHOT_BITS - 1),
        low - 2 ** (DIFFERENCE_BITS - 1),
    )


def encode(theta_0: Weights, theta_1: Weights) -> bytes:
    """Return both models as bytes, tensor after tensor.

    A vector is stored in float32, first ``theta_0`` and then the difference. Of anything else the
    rows are quantised: the steps of ``theta_0``, those of the difference, and the packed codes, all
    lower bytes before all higher ones. The difference is taken from the *quantised* ``theta_0``, so
    that the rounding error of ``theta_0`` vanishes at ``alpha = 1``.

    Args:
        theta_0: state dict of the zero-shot model.
        theta_1: state dict of the fine-tuned model.
    """
    check_alike([theta_0, theta_1])
    data = bytearray()
    for name, tensor in theta_0.items():
        if tensor.ndim == 1:
            parts = [tensor, theta_1[name] - tensor]
        else:
            codes, steps = quantise(tensor.flatten(1), ZERO_SHOT_BITS)
            rest = theta_1[name].flatten(1) - codes * steps[:, None]
            change, change_steps = quantise(rest, DIFFERENCE_BITS)
            parts = [steps, change_steps, pack(codes, change).view(torch.uint8).view(-1, 2).T]
        for part in parts:
            data += part.contiguous().numpy().tobytes()
    return bytes(data)


def decode(data: bytes, shapes: Mapping[str, torch.Size]) -> tuple[dict, dict]:
    """Return ``theta_0`` and ``theta_1`` as the page has them, from what ``encode`` returned.

    Args:
        data: the bytes.
        shapes: of the tensors, in their order.
    """
    at = 0

    def take(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        nonlocal at
        start, at = at, at + count * dtype.itemsize
        return torch.frombuffer(bytearray(data[start:at]), dtype=dtype)

    theta_0, theta_1 = {}, {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            start, change = take(shape[0]), take(shape[0])
        else:
            steps, change_steps = take(shape[0]), take(shape[0])
            planes = take(2 * shape.numel(), torch.uint8).view(2, -1)
            words = planes.T.contiguous().view(torch.int16)
            codes = [part.view(shape[0], -1) for part in unpack(words)]
            start, change = codes[0] * steps[:, None], codes[1] * change_steps[:, None]
        theta_0[name], theta_1[name] = start.view(shape), (start + change).view(shape)
    return theta_0, theta_1


def script(name: str, value: str) -> str:
    """Return a line of JavaScript that sets a global: a page opened from disk can load scripts only."""
    return f"self.{name} = {value};\n"


def embedded(data: bytes) -> str:
    """Return bytes as a string of JavaScript in base 85, filled up with zeros to a multiple of four."""
    return f'"{base64.b85encode(data, pad=True).decode()}"'  # its letters need no escape


def write(data: bytes, about: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Write the bytes, compressed, as ``PARTS`` scripts, and a script with what else the page needs.

    Args:
        data: what ``encode`` returned.
        about: the page's other data.
        folder: where to.
    """
    compressed = zlib.compress(data, 9)
    size = -(-len(compressed) // PARTS // 4) * 4
    for k in range(PARTS):
        text = script(f"WISEFT_WEIGHTS[{k}]", embedded(compressed[k * size : (k + 1) * size]))
        (folder / f"weights-{k}.js").write_text(text)
    about = {**about, "parts": PARTS, "bytes": len(compressed)}
    text = script("WISEFT_PLAYGROUND", json.dumps(about, separators=(",", ":")))
    (folder / "data.js").write_text(text)


def value(folder: Path, name: str) -> str:
    """Return what a script written with ``script`` sets."""
    return (folder / name).read_text().split(" = ", 1)[1].removesuffix(";\n")


def shipped(folder: Path = FOLDER) -> tuple[dict, dict]:
    """Return ``theta_0`` and ``theta_1`` of the page, as it computes with them.

    Raises:
        UserError: the page's files are missing or damaged; they are in the repository and not in
            the installed package.
    """
    try:
        about = json.loads(value(folder, "data.js"))
        texts = [value(folder, f"weights-{k}.js").strip('"') for k in range(about["parts"])]
        data = zlib.decompress(b"".join(map(base64.b85decode, texts))[: about["bytes"]])
        shapes = dict(about["tensors"])
        return decode(data, {name: torch.Size(shape) for name, shape in shapes.items()})
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, zlib.error) as error:
        raise UserError(
            f"{folder} does not hold the weights of the playground ({error}); run this in a clone "
            "of the repository, or make them: python data_scripts/build_playground.py"
        ) from error
