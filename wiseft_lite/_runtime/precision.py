"""The number format of forward and backward passes."""

from __future__ import annotations

import torch


def autocast_dtype(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """Return the 16-bit type for ``torch.autocast`` on a device; None for float32.

    ``"auto"`` is bfloat16 on GPUs of compute capability 8.0 and above, float16 on 7.0 and 7.5
    (V100, T4), where bfloat16 is emulated and slow, and float32 elsewhere. float16 cannot represent
    numbers below 6e-8, so in training the loss must be scaled; see ``training.fit``.

    Args:
        device: what computes.
        precision: one of ``recipes.PRECISIONS``.

    Source: Micikevicius et al. 2018, "Mixed precision training".

    Example:
        >>> cpu = torch.device("cpu")
        >>> autocast_dtype(cpu), autocast_dtype(cpu, "bfloat16")
        (None, torch.bfloat16)
    """
    if precision != "auto":
        return None if precision == "float32" else getattr(torch, precision)
    if device.type != "cuda":
        return None
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return torch.bfloat16
    return torch.float16 if capability >= (7, 0) else None


def precision_name(device: str | torch.device, precision: str = "auto") -> str:
    """Return the name of the number format that a device uses for a precision.

    Example:
        >>> precision_name("cpu")
        'float32'
    """
    dtype = autocast_dtype(torch.device(device), precision)
    return "float32" if dtype is None else str(dtype).removeprefix("torch.")
