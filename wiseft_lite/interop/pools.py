"""Pools of classifiers to merge: checkpoints, files of other libraries, addresses of such files, and
published models by name.

One at a time is read, downloaded if need be, and deleted again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from wiseft_lite import checkpoints
from wiseft_lite._runtime import distributed
from wiseft_lite._runtime.digest import digest, file_sha256
from wiseft_lite._runtime.downloads import downloaded, is_address
from wiseft_lite.checkpoints import Description
from wiseft_lite.errors import UserError
from wiseft_lite.interop import published
from wiseft_lite.interop.interchange import import_checkpoint
from wiseft_lite.models import ImageClassifier


def read_classifier(source: str, class_names: Sequence[str], **layout: Any) -> ImageClassifier:
    """Return the classifier in a checkpoint, a file of another library, or a file at an address.

    Args:
        source: a folder that ``save`` wrote; a file for ``import_checkpoint``; an address, see
            ``downloads.downloaded``, of such a file, which is deleted after it is read; or the name
            of a published model, see ``published``, which is deleted too unless it was kept before.
        class_names: the class names it must have; those of a file, which contains none.
        layout: ``architecture``, ``image_size`` or ``prefix`` of files, see ``import_checkpoint``.

    Raises:
        UserError: it cannot be read or downloaded, or has other classes.
    """
    if published.is_published(source):
        classifier = published.read_published(source)
        if tuple(class_names) != classifier.class_names:
            raise UserError(f"{source} has ImageNet's classes; give one of ImageNet's tasks")
        return classifier
    with _local(source) as path:
        if path.is_file():
            return import_checkpoint(path, class_names, **layout)
        return checkpoints.load(path, class_names=class_names)


def keep_first(
    source: str,
    class_names: Sequence[str],
    folder: str | Path,
    *,
    resume: bool = True,
    keep: bool = False,
    **layout: Any,
) -> str:
    """Return a local place of the first classifier of a pool, with which the others are compared.

    Of several processes (see ``distributed``) the main one downloads it.

    Args:
        source, class_names, layout: as of ``read_classifier``.
        folder: where a classifier that is downloaded is kept, as a checkpoint ``first-HASH``, so
            that an interrupted soup need not download it again.
        resume: False discards what was kept.
        keep: a published model stays in the cache, and is read there.

    Raises:
        UserError: as ``read_classifier``.
    """
    if not _is_remote(source):
        return source
    if _stays(source, keep):
        return _in_cache(source)
    kept = Path(folder) / f"first-{digest(source, tuple(class_names), layout)}"

    def download() -> None:
        if not (resume and kept.exists()):
            classifier = read_classifier(source, class_names, **layout)
            checkpoints.save(classifier, kept, overwrite=True)

    distributed.main_only(download)
    return str(kept)


class Pool(Sequence):
    """Fine-tuned classifiers as a sequence of state dicts, each read anew whenever it is accessed.

    Of several processes (see ``distributed``) the main one reads and downloads, and sends the
    weights to the others. Access is therefore collective: all must read the same model.

    Args:
        sources: as of ``read_classifier``, of one architecture and with the same classes.
        first: the classifier in the first of them, or its description; no weights of it are kept.
        first_place: where the first is read from, see ``keep_first``; its source if not given.
        keep: published models stay in the cache.
        layout: as of ``read_classifier``.

    Raises:
        UserError: a checkpoint is none, or differs from the first. A file or address is checked
            when it is read.
    """

    def __init__(
        self,
        sources: Sequence[str],
        first: ImageClassifier | Description,
        first_place: str | None = None,
        keep: bool = False,
        **layout: Any,
    ):
        self.sources, self.layout, self.keep = list(sources), layout, keep
        self.first = checkpoints.describe(first)
        self._places = [first_place or self.sources[0], *self.sources[1:]]
        here = [name for name in self.sources[1:] if not _is_file(name)]
        checkpoints.check_same_start({self.sources[0]: self.first, **{name: name for name in here}})

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        place = self._places[index]
        return distributed.broadcast_tensors(lambda: self._read(place))

    def _read(self, source: str) -> dict[str, Tensor]:
        if _stays(source, self.keep):
            source = str(published.checkpoint_folder(source))
        if _is_file(source):
            classifier = read_classifier(source, self.first.class_names, **self.layout)
            checkpoints.check_same_start({self.sources[0]: self.first, source: classifier})
            return classifier.state_dict()
        checkpoints.check_same_start({self.sources[0]: self.first, source: source})
        return checkpoints.read_weights(source)

    def hashes(self) -> list[str]:
        """Return a hash of what each model depends on; of a file that is downloaded, its address."""
        how = self.first.class_names, self.layout
        return [digest(_content(source), *how) for source in self.sources]


def _stays(source: str, keep: bool) -> bool:
    """Whether a source is a published model that is in the cache, or shall be."""
    return published.is_published(source) and (keep or published.is_cached(source))


def _in_cache(source: str) -> str:
    return distributed.broadcast_object(lambda: str(published.checkpoint_folder(source)))


def _is_remote(source: str) -> bool:
    return is_address(source) or published.is_published(source)


def _is_file(source: str) -> bool:
    return _is_remote(source) or os.path.isfile(source)


def _content(source: str) -> str:
    if _is_remote(source):
        return source
    if os.path.isfile(source):
        return file_sha256(source)
    return checkpoints.read_card(source)["sha256"]


@contextmanager
def _local(source: str) -> Iterator[Path]:
    """Yield the path of a source; errors name the source, not the temporary file it is in."""
    if not is_address(source):
        yield Path(source)
        return
    with downloaded(source) as path:
        try:
            yield path
        except UserError as error:
            raise UserError(str(error).replace(str(path), source)) from error
