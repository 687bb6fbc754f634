"""Files at addresses: downloaded with a bar, continued where a download stopped, verified."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.errors import UserError

SCHEMES = ("https", "http", "hf", "file")
CHUNK = 2**20  # bytes read at a time
PATIENCE = 60  # seconds without a byte after which a connection counts as broken


def is_address(text: str) -> bool:
    """Return whether a text is the address of a file, not a path.

    Example:
        >>> is_address("hf://org/repo/model.safetensors"), is_address("results/model.safetensors")
        (True, False)
    """
    return text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


@contextmanager
def downloaded(address: str) -> Iterator[Path]:
    """Download a file into a temporary folder and yield its path; it is deleted at the end.

    Args:
        address: ``https://...``, or ``hf://OWNER/REPOSITORY/FILE`` on the Hugging Face Hub, where
            ``REPOSITORY@REVISION`` is a branch, tag or commit. If ``#sha256=HASH`` follows, the
            file must have that hash.

    Raises:
        UserError: the address is not well formed, the file cannot be downloaded, or it has another
            hash.
    """
    place, _, fragment = address.partition("#")
    expected = fragment.removeprefix("sha256=").lower()
    if fragment and not re.fullmatch("[0-9a-f]{64}", expected):
        raise UserError(
            f"{address}: {fragment!r} is no hash; end the address with #sha256= and 64 hexadecimal "
            "digits, or with the file's name"
        )
    with tempfile.TemporaryDirectory(prefix="wiseft-") as folder:
        path = _download(place, Path(folder))
        if expected and file_sha256(path) != expected:
            raise UserError(
                f"{address} has another hash, {file_sha256(path)}; use the file only if you trust "
                "it, and then give this hash"
            )
        yield path


def _download(place: str, folder: Path) -> Path:
    """Download from an address without its hash; return the path, which keeps the file's suffix."""
    if place.startswith("hf://"):
        from huggingface_hub import hf_hub_download

        parts = re.fullmatch(r"hf://([^/@]+/[^/@]+)(?:@([^/]+))?/(.+)", place)
        if parts is None:
            raise UserError(f"{place} is no file on the Hub; write hf://OWNER/REPOSITORY/FILE")
        repository, revision, name = parts.groups()
        try:
            return Path(hf_hub_download(repository, name, revision=revision, local_dir=folder))
        except Exception as error:  # of any type, of several libraries
            raise failed(place, error) from error
    name = unquote(urlsplit(place).path).rpartition("/")[2]
    if not name:
        raise UserError(f"{place} names no file; give the address of a file")
    download(place, folder / name)
    return folder / name


def download(address: str, path: Path, copies: int = 1) -> None:
    """Download a file, or continue its download; it appears under its name when it is complete.

    What has arrived is kept in ``NAME.part``. A connection that breaks is opened again as long as
    each one brings more of the file.

    Args:
        address: ``https://...`` or ``file://...``.
        path: the file to write.
        copies: how many files of its size the disk must have room for, such as 2 for a file that is
            converted.

    Raises:
        UserError: the server cannot be reached, stops early or sends a web page instead, or the
            disk has no room for the rest of the file, which is asked before it is downloaded.
    """
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    missing = True
    while missing:
        before = _size(part)
        error = None
        try:
            missing = _continue(address, part, copies)
        except urllib.error.HTTPError as refusal:
            raise failed(address, refusal) from refusal
        except (OSError, HTTPException) as stop:
            error = stop
        if missing and _size(part) <= before:
            reason = error or ConnectionError("the connection ended")
            raise failed(address, reason, part if part.exists() else None) from error
    os.replace(part, path)


def _continue(address: str, part: Path, copies: int) -> bool:
    """Download into a file as far as the connection holds; return whether some is missing."""
    have = _size(part)
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            have = have if getattr(answer, "status", None) == 206 else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            _refuse_page(address, answer)
            check_room(part.parent, copies * total - have)
            with open(part, "ab" if have else "wb") as file:
                _copy(answer, file, part.name.removesuffix(".part"), have, total)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing lies beyond what we have
            raise
        total = int(str(error.headers.get("Content-Range", "")).rpartition("/")[2] or have)
        if total != have:  # another file than the one that was begun
            part.unlink()
            return True
    return _size(part) < total


def _copy(answer: Any, file: Any, name: str, have: int, total: int) -> None:
    from tqdm import tqdm

    with tqdm(
        desc=name,
        initial=have,
        total=total or None,
        unit="B",
        unit_scale=True,
        leave=False,
        delay=1,
    ) as bar:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _refuse_page(address: str, answer: Any) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise UserError(
            f"{address} cannot be downloaded: the answer is a web page in place of the file; open "
            f"the address in a browser to see whether a network asks for a login{proxy_advice()}"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def failed(address: str, error: Exception, part: Path | None = None) -> UserError:
    """Return the error for a download that failed, with what is kept and how to go on."""
    reason = str(error).strip().partition("\n")[0]
    kept = "" if part is None else f"; {part} has {_size(part)} bytes of it and is continued"
    return UserError(
        f"{address} cannot be downloaded ({type(error).__name__}: {reason}){kept}; check the "
        f"address and the network{proxy_advice()}, and run this again"
    )


def proxy_advice() -> str:
    """Return what to know of proxies, as the end of a sentence."""
    proxy = urllib.request.getproxies().get("https")
    if proxy is None:
        return ", and behind a proxy set HTTPS_PROXY"
    return f", and the proxy {urlsplit(proxy).hostname or proxy} of HTTPS_PROXY"


def gigabytes(size: float) -> str:
    """Return a size in GB, or in MB below a tenth of that.

    Example:
        >>> gigabytes(1.71e9), gigabytes(25e6)
        ('1.7 GB', '25 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def check_room(folder: Path, needed: float) -> None:
    """Raise unless a disk has room for so many bytes.

    Args:
        folder: on the disk; it may not exist yet.
        needed: bytes.

    Raises:
        UserError: there is less.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{folder} has {gigabytes(free)} of room, and {gigabytes(needed)} are needed; make room, "
            "or choose a folder on another disk (WISEFT_DATA for data sets, WISEFT_CACHE for models)"
        )
