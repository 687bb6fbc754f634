"""Download an archive, resume it, check it, unpack it; then compare the data set with its published
counts."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wiseft_lite import Task, UserError, load_task
from wiseft_lite.tasks.published.catalogue import data_folder

CHUNK = 2**20


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Args:
        url: where it is.
        digest: ``md5:...``, or ``git:...``, the name that git gives the file (SHA-1 of its size and
            content); empty if the authors publish none: then only the counts are checked.
        goes_to: the file, below the data folder.
        makes: what unpacking creates, below the data folder; empty for a file that stays as it is.
        inside: what in the archive that is; ``"."`` for an archive without a folder of its own.
    """

    url: str
    digest: str
    goes_to: str
    makes: str = ""
    inside: str = "."


def digest(path: Path, kind: str) -> str:
    """The checksum of a file: ``md5`` or ``git``."""
    if kind == "md5":
        state = hashlib.md5(usedforsecurity=False)
    else:
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            state.update(block)
    return state.hexdigest()


def download(remote: Remote, path: Path) -> None:
    """Download to ``path``; what an earlier run left in ``path.part`` is kept and continued.

    Raises:
        UserError: the server cannot be reached, stopped early, or sent something with another
            checksum.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(
        remote.url, headers={"Range": f"bytes={have}-"} if have else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            resumed = getattr(answer, "status", 200) == 206
            total = int(answer.headers.get("Content-Length") or 0) + (have if resumed else 0)
            with part.open("ab" if resumed else "wb") as file:
                print(
                    f"{remote.url}: {total / 1e9:.2f} GB"
                    + (f", going on at {have / 1e9:.2f}" if resumed else "")
                )
                shutil.copyfileobj(answer, file, CHUNK)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already whole
            raise UserError(
                f"{remote.url} answers {error.code}; see the data set's page for a new address"
            ) from error
        total = have
    except OSError as error:
        raise UserError(
            f"{remote.url} stopped ({error}); run this again, it goes on where it stopped"
        ) from error
    if part.stat().st_size < total:
        raise UserError(
            f"{part} was cut short ({part.stat().st_size} of {total} bytes); run this again, it goes on "
            "where it stopped"
        )
    kind, _, known = remote.digest.partition(":")
    if known and digest(part, kind) != known:
        part.unlink()
        raise UserError(
            f"{remote.url} has another checksum than the published one ({remote.digest}) and was removed; "
            "run this again"
        )
    part.replace(path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive; nothing is written outside the folder.

    Raises:
        UserError: the archive is cut short or is none.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError(
            "this Python unpacks archives without a check; install its newest patch version"
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
    """Download and unpack what is not there yet.

    An archive is unpacked beside its place and moved when it is whole, so a folder that is there is
    a whole one.
    """
    path, made = root / remote.goes_to, root / (remote.makes or remote.goes_to)
    if made.exists():
        print(f"{made}: there already")
        return
    if not path.exists():
        download(remote, path)
    if remote.makes:
        place = path.with_name(f"{path.name}.unpacking")
        shutil.rmtree(place, ignore_errors=True)
        unpack(path, place)
        if not (place / remote.inside).exists():
            raise UserError(
                f"{path} holds no {remote.inside!r}; it is another archive: remove it and run this again"
            )
        made.parent.mkdir(parents=True, exist_ok=True)
        (place / remote.inside).replace(made)
        shutil.rmtree(place, ignore_errors=True)
        path.unlink()
        print(f"{made}: unpacked")


def absent(task: Task) -> list[str]:
    """Files that the lists of a task name and that are not there; an archive that was cut short
    lacks its last ones."""
    splits = (task.train, task.val, task.test, *task.shifts.values())
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
    """Load a data set, look for every file that it lists, and compare its numbers of images with
    the published ones.

    ``train+val`` counts the two together, where ``val`` was held out of ``train``.

    Raises:
        UserError: a missing file, or another number; the message names every split that differs.
    """
    task = load_task(name, root)
    lost = absent(task)
    if lost:
        raise UserError(
            f"{name}: {lost[0]} is listed but does not exist, and {len(lost) - 1} more; the archive was cut "
            "short: download it again"
        )
    sizes = {part: len(task.split(part)) for part in ("train", "val", "test", *task.shifts)}
    sizes["train+val"] = sizes["train"] + sizes["val"]
    wrong = [
        f"{part} has {sizes[part]} images, published are {count}"
        for part, count in published.items()
        if part in sizes and sizes[part] != count
    ]
    for part, size in sizes.items():
        print(
            f"{name} {part}: {size}"
            + (f", published {published[part]}" if part in published else "")
        )
    for part in published.keys() - sizes.keys():
        print(f"{name} {part}: not there")
    if wrong:
        raise UserError(f"{name}: {'; '.join(wrong)}; download it again")


def main(description: str, run, names: Sequence[str] = ()) -> int:
    """The command line of a data script: ``--data FOLDER``, and ``run(folder)``.

    Where a script gets several data sets, ``names`` says which: then there is ``--only NAME``, and
    it is ``run(folder, names)``, with all of them if none was asked for.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="where to; WISEFT_DATA or ~/data if not given")
    if names:
        parser.add_argument(
            "--only", choices=names, action="append", help="one of them; may be given again"
        )
    args = parser.parse_args()
    root = data_folder(args.data)
    try:
        run(root, args.only or list(names)) if names else run(root)
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    return 0
