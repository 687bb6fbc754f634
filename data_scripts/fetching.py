"""Download, check and unpack archives, and compare data sets with their published counts."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import arguments

from wiseft_lite import Task, UserError, load_task
from wiseft_lite._runtime import downloads
from wiseft_lite.tasks.published.catalogue import data_folder

CHUNK = 2**20


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Args:
        url: its address.
        digest: ``md5:...``, or ``git:...``, the file's name in git (SHA-1 of its size and content);
            empty if the authors publish none: then only the counts are checked.
        goes_to: the file, below the data folder.
        makes: the result of unpacking, below the data folder; empty for a file that is not
            unpacked.
        inside: its place in the archive; ``"."`` for an archive without a top folder.
    """

    url: str
    digest: str
    goes_to: str
    makes: str = ""
    inside: str = "."


def digest(path: Path, kind: str) -> str:
    """Return the checksum of a file: ``md5`` or ``git``."""
    if kind == "md5":
        state = hashlib.md5(usedforsecurity=False)
    else:
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            state.update(block)
    return state.hexdigest()


def download(remote: Remote, path: Path) -> None:
    """Download to ``path`` and compare the checksum; see ``downloads.download``.

    Raises:
        UserError: the file cannot be downloaded, or has another checksum, and is removed.
    """
    downloads.download(remote.url, path)
    kind, _, known = remote.digest.partition(":")
    if known and digest(path, kind) != known:
        path.unlink()
        raise UserError(
            f"{remote.url}: the checksum differs from the published one ({remote.digest}), and the file was "
            "removed; run this again"
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive; nothing is written outside the folder.

    Raises:
        UserError: the archive is truncated, or is not one.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError(
            "this Python cannot unpack archives safely; install its newest patch version"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder)
        else:
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(
            f"{archive} cannot be unpacked ({error}); remove it and run this again"
        ) from error


def get(remote: Remote, root: Path) -> None:
    """Download and unpack what is missing.

    An archive is unpacked beside its place and moved when it is complete, so a folder that exists
    is complete.
    """
    path, made = root / remote.goes_to, root / (remote.makes or remote.goes_to)
    if made.exists():
        print(f"{made}: exists")
        return
    if not path.exists():
        download(remote, path)
    if remote.makes:
        place = path.with_name(f"{path.name}.unpacking")
        shutil.rmtree(place, ignore_errors=True)
        unpack(path, place)
        if not (place / remote.inside).exists():
            raise UserError(
                f"{path} does not contain {remote.inside!r}; remove this archive and run this again"
            )
        made.parent.mkdir(parents=True, exist_ok=True)
        (place / remote.inside).replace(made)
        shutil.rmtree(place, ignore_errors=True)
        path.unlink()
        print(f"{made}: unpacked")


def absent(task: Task) -> list[str]:
    """Return the files that a task lists but that do not exist, as after a truncated archive."""
    splits = task.splits.values()
    sources = {
        id(source): source for source in (getattr(s.images, "images", s.images) for s in splits)
    }
    return sorted(
        {
            path
            for source in sources.values()
            for path in getattr(source, "paths", ())
            if not Path(path).is_file()
        }
    )


def verify(name: str, root: Path, published: dict[str, int]) -> None:
    """Load a data set, check that its files exist, and compare its sizes with the published ones.

    ``train+val`` is the sum of the two, where ``val`` is held out of ``train``.

    Raises:
        UserError: a missing file, or another size; the message names every split that differs.
    """
    task = load_task(name, root)
    lost = absent(task)
    if lost:
        raise UserError(
            f"{name}: {lost[0]} is listed but does not exist, and {len(lost) - 1} more; the archive is "
            "truncated: download it again"
        )
    sizes = {part: len(split) for part, split in task.splits.items()}
    if "train" in sizes:
        sizes["train+val"] = sizes["train"] + sizes.get("val", 0)
    wrong = [
        f"{part} has {sizes[part]} images, not {count}"
        for part, count in published.items()
        if part in sizes and sizes[part] != count
    ]
    for part, size in sizes.items():
        print(
            f"{name} {part}: {size}"
            + (f", published {published[part]}" if part in published else "")
        )
    for part in published.keys() - sizes.keys():
        print(f"{name} {part}: missing")
    if wrong:
        raise UserError(f"{name}: {'; '.join(wrong)}; download it again")


def main(description: str, run, names: Sequence[str] = ()) -> int:
    """Run the command line of a data script: ``--data FOLDER``, then ``run(folder)``.

    A script for several data sets gives their ``names``: it gets the option ``--only NAME``, and
    ``run(folder, names)`` is called with the chosen names (default: all).
    """
    parser = arguments.parser(description)
    parser.add_argument(
        "--data", type=Path, help="target folder (default: WISEFT_DATA, else ~/data)"
    )
    if names:
        parser.add_argument(
            "--only",
            choices=names,
            action="append",
            help="a data set; may be repeated (default: all)",
        )
    args = parser.parse_args()
    root = data_folder(args.data)
    try:
        run(root, args.only or list(names)) if names else run(root)
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    return 0
