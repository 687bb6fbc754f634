"""Fine-tuned models that their authors published, by name: downloaded, checked and cached.

``model-soups/vit-l14-zeroshot`` and ``model-soups/vit-l14-finetuned`` are the two ends of a line of
WiSE-FT. ``model-soups/b32/0`` to ``model-soups/b32/71`` are 72 ViT-B/32: 0 is a linear probe, from
which the others were fine-tuned on ImageNet, each with its own hyperparameters (see ``reported``).

A file is downloaded once, imported without running its pickle, and kept in the cache as a checkpoint
of this library. Its hash is remembered: later downloads must have the same one.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from wiseft_lite import checkpoints
from wiseft_lite._runtime.cache import cache_folder, locked
from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite._runtime.downloads import download
from wiseft_lite._runtime.outputs import new_file
from wiseft_lite.errors import UserError
from wiseft_lite.interop.interchange import import_checkpoint
from wiseft_lite.models import ImageClassifier
from wiseft_lite.tasks.published.imagenet import imagenet_classes

RELEASES = "https://github.com/mlfoundations/model-soups/releases/download"
B32 = tuple(f"model-soups/b32/{i}" for i in range(72))
ADDRESSES = {
    "model-soups/vit-l14-zeroshot": f"{RELEASES}/v0.0.3/zero-shot-vit-l14.pt",
    "model-soups/vit-l14-finetuned": f"{RELEASES}/v0.0.3/checkpoint-4-vit-l14.pt",
    **{name: f"{RELEASES}/v0.0.2/model_{i}.pt" for i, name in enumerate(B32)},
}


@dataclass(frozen=True)
class PublishedRecipe:
    """Where a published model is from, for its card."""

    published: str
    address: str
    sha256: str


def published_names(pattern: str = "*") -> list[str]:
    """Return the names of published models that match a pattern, in their authors' order.

    Args:
        pattern: with ``*``, ``?`` and ``[...]`` as in a shell.

    Raises:
        UserError: none does; the message names similar ones.

    Example:
        >>> published_names("model-soups/b32/[0-2]")
        ['model-soups/b32/0', 'model-soups/b32/1', 'model-soups/b32/2']
    """
    found = [name for name in ADDRESSES if fnmatchcase(name, pattern)]
    if not found:
        near = difflib.get_close_matches(pattern, ADDRESSES, n=3, cutoff=0)
        raise UserError(f"no published model matches {pattern!r}; did you mean {', '.join(near)}?")
    return found


def is_published(source: str | Path) -> bool:
    """Return whether a source is the name of a published model."""
    return str(source) in ADDRESSES


def expand(sources: Sequence[str]) -> list[str]:
    """Return sources with each pattern of published names replaced by the names."""
    owners = {name.partition("/")[0] for name in ADDRESSES}
    names: list[str] = []
    for source in sources:
        if source.partition("/")[0] in owners and not Path(source).exists():
            names += published_names(source)
        else:
            names.append(source)
    return names


def load_published(name: str, device: str | torch.device = "cpu") -> ImageClassifier:
    """Return a fine-tuned model that its authors published, with a head for ImageNet's classes.

    The first call downloads it; later ones read the checkpoint in the cache.

    Args:
        name: one of ``published_names()``, such as ``"model-soups/b32/43"``.
        device: device of the weights.

    Raises:
        UserError: an unknown name, a download that fails, or a file with another hash than at the
            first download.

    Source: Wortsman et al. 2022, "Model soups", github.com/mlfoundations/model-soups.
    """
    return checkpoints.load(checkpoint_folder(published_names(name)[0]), device)


def checkpoint_folder(source: str | Path) -> Path:
    """Return the folder of a checkpoint; that of a published model is downloaded if need be.

    Args:
        source: the name of a published model, or a folder, which is returned as it is.

    Raises:
        UserError: as ``load_published``.
    """
    name = expand([str(source)])[0]
    if not is_published(name):
        return Path(source)
    folder = _place(name)
    with locked(folder):
        if not folder.exists():
            classifier, sha256 = _imported(name, copies=2)
            recipe = PublishedRecipe(name, ADDRESSES[name], sha256)
            checkpoints.save(classifier, folder, recipe=recipe)
            _file(name).unlink()
    return folder


def is_cached(name: str) -> bool:
    """Return whether a published model is in the cache."""
    return _place(name).exists()


def read_published(name: str) -> ImageClassifier:
    """Return a published model and keep nothing of a download, unlike ``load_published``.

    Raises:
        UserError: as ``load_published``.
    """
    if is_cached(name):
        return checkpoints.load(_place(name))
    with locked(_place(name)):
        classifier, _ = _imported(name)
        _file(name).unlink()
    return classifier


def _place(name: str) -> Path:
    return cache_folder() / "published" / name


def _file(name: str) -> Path:
    """The authors' file, until it is imported."""
    return _place(name).with_name(f"{_place(name).name}.pt")


def _imported(name: str, copies: int = 1) -> tuple[ImageClassifier, str]:
    """Download and import a model; return it with the hash of its file, which stays."""
    file = _file(name)
    if not file.exists():
        download(ADDRESSES[name], file, copies)
    sha256 = file_sha256(file)
    _compare(name, sha256)
    try:
        classifier = import_checkpoint(file, imagenet_classes()[1])
    except UserError as error:
        file.unlink()
        reason = str(error).replace(str(file), ADDRESSES[name])
        raise UserError(f"{reason}; the file was removed, so run this again") from error
    _remember(name, sha256)
    return classifier, sha256


# Hashes of first downloads


def _hashes() -> Path:
    return cache_folder() / "published" / "hashes.json"


def _known() -> dict[str, str]:
    try:
        return json.loads(_hashes().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{_hashes()} is damaged ({error}); remove it") from error


def _compare(name: str, sha256: str) -> None:
    known = _known().get(ADDRESSES[name])
    if known not in (None, sha256):
        raise UserError(
            f"{_file(name)}, from {ADDRESSES[name]}, has the hash {sha256}, and the first download "
            f"had {known}; remove the file to download it again, or that line in {_hashes()} if you "
            "trust the new file"
        )


def _remember(name: str, sha256: str) -> None:
    with locked(_hashes()):
        known = _known() | {ADDRESSES[name]: sha256}
        with new_file(_hashes(), overwrite=True) as part:
            part.write_text(json.dumps(known, indent=1) + "\n")
