"""Tools for notebooks: readers' guesses, live source, comparison with the ledger."""

from __future__ import annotations

import difflib
import inspect
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

from wiseft_lite import __version__
from wiseft_lite.book import ledger
from wiseft_lite.book.colab import use_drive
from wiseft_lite.errors import UserError

_guesses: dict[str, float] = {}
_folders: list[tempfile.TemporaryDirectory] = []  # of stand-ins; removed when the process ends


def guess(name: str, value: float | None) -> float | None:
    """Store the reader's guess; ``None`` removes it.

    Example:
        >>> guess("gain", 3)
        Stored: 3 for gain. It is shown below.
        3.0
    """
    if value is None:
        _guesses.pop(name, None)
        print(f"No guess for {name} yet.\nReplace None with a number and run again.")
        return None
    _guesses[name] = float(value)
    print(f"Stored: {value:g} for {name}. It is shown below.")
    return _guesses[name]


def guessed(name: str) -> float | None:
    """Return the stored guess, or None."""
    return _guesses.get(name)


def show(function: Callable) -> None:
    """Print the library's own source of a function, without its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    doc = inspect.getdoc(function)
    if doc and '"""' in source:
        start = source.index('"""')
        end = source.index('"""', start + 3) + 3
        source = source[:start].rstrip() + "\n" + source[end:].lstrip("\n")
    print(source.rstrip())


def expect(key: str, value: float) -> None:
    """Print your number beside the ledger's: mean, spread, seeds, images, device.

    Raises:
        UserError: the ledger does not have the key.
    """
    entries = ledger.read()
    if key not in entries:
        near = difflib.get_close_matches(key, entries, n=3, cutoff=0)
        raise UserError(f"the ledger has no entry {key!r}; did you mean {', '.join(near)}?")
    known = entries[key]
    spread, unit = known["spread"], {"percent": "%"}.get(known["unit"], known["unit"])
    ours = f"{known['value']:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")
    images = "" if known["n"] is None else f", n={known['n']}"
    seeds = f"{len(known['seeds'])} seed{'s' if len(known['seeds']) > 1 else ''}"
    print(
        f"{key}: yours {value:.1f}\n   ours {ours} {unit} ({seeds}{images})"
    )  # two lines fit a phone
    if abs(value - known["value"]) > max(4 * (spread or 0), 2.0):
        print(f"   Far from ours ({known['device']}).\n   Check recipe, model name and eval mode.")


def _sharp_figures() -> None:
    """In a notebook, draw figures with twice the resolution at the same size."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell).figure_formats = {"retina"}


def ready(drive: bool = False, version: str = __version__) -> None:
    """Print versions and device on one line, advise on old packages, and make figures sharp.

    Args:
        drive: in Google Colab, keep models on Google Drive; see ``colab.use_drive``.
        version: of the package that the notebook was written for.

    Raises:
        UserError: as ``colab.use_drive``, with ``drive``.
    """
    import os

    import torch

    _sharp_figures()
    if drive:
        print(f"Models, features and training states are kept in {use_drive()}.")
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    )
    print(f"wiseft_lite {__version__}, torch {torch.__version__.split('+')[0]}, {device}")
    if version != __version__:
        print(
            f"This notebook is of version {version}; for the same package:\n"
            f"%pip install wiseft-lite=={version}, then restart the kernel."
        )
    if (major, minor) < (2, 4):
        print(
            "torch is too old, 2.4 or later is needed: python -m pip install -U torch torchvision"
        )


def stand_in(*names: str) -> Path:
    """Make stand-ins of data sets in a new folder, in their real layouts, and print a warning.

    Args:
        names: see ``tasks.published.standins``.

    Returns:
        The folder, for ``load_task(name, folder)`` or ``--data``.

    Raises:
        UserError: a data set without a stand-in.

    Example:
        >>> from wiseft_lite import load_task
        >>> folder = stand_in("cifar10")
        YOU ARE ON THE SMALL STAND-IN, NOT ON REAL DATA (cifar10): flat colours
        in the real layout. The code runs; the numbers mean nothing.
        >>> len(load_task("cifar10", folder).test)
        10
    """
    from wiseft_lite.tasks.published import standins

    _folders.append(tempfile.TemporaryDirectory(prefix="stand-in-"))
    folder = Path(_folders[-1].name)
    standins.build(folder, names)
    print(
        textwrap.fill(
            f"YOU ARE ON THE SMALL STAND-IN, NOT ON REAL DATA ({', '.join(names)}): flat colours in the "
            "real layout. The code runs; the numbers mean nothing.",
            72,
        )
    )
    return folder


def stand_in_models(folder: Path, count: int = 3) -> list[Path]:
    """Write checkpoints with heads for ImageNet's classes, in place of the authors' models.

    They are IconCLIP's encoder with a random head, and the same weights moved a little: enough to
    try the commands, and no result.

    Args:
        folder: where to write them.
        count: how many.

    Returns:
        The folders of the checkpoints; all lie on lines from the first one.
    """
    import torch

    from wiseft_lite import Head, ImageClassifier, checkpoints, load_clip
    from wiseft_lite.tasks.published.imagenet import imagenet_classes

    clip, names = load_clip("iconclip"), imagenet_classes()[1]
    generator = torch.Generator().manual_seed(0)
    head = Head(torch.randn(len(names), clip.image_encoder().output_dim, generator=generator))
    start = ImageClassifier(clip.image_encoder(), head, clip.preprocess, names, clip.name)
    written = []
    for k in range(count):
        moved = {
            key: tensor + 0.01 * k * torch.randn(tensor.shape, generator=generator)
            if tensor.is_floating_point()
            else tensor
            for key, tensor in start.state_dict().items()
        }
        place = folder / "models" / f"{k}"
        written.append(checkpoints.save(start.with_weights(moved), place))
    return written
