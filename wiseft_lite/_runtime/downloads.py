"""Files at addresses: downloaded to a temporary folder, verified, and deleted after use."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wiseft_lite._runtime.digest import file_sha256
from wiseft_lite.errors import UserError

SCHEMES = ("https", "http", "hf", "file")


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
        try:
            path = _download(place, Path(folder))
        except UserError:
            raise
        except Exception as error:  # of any type, of several libraries
            raise UserError(
                f"{address} cannot be downloaded ({type(error).__name__}: {error}); check the "
                f"address, the network and the room in {tempfile.gettempdir()}"
            ) from error
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
        return Path(hf_hub_download(repository, name, revision=revision, local_dir=folder))
    from torch.hub import download_url_to_file

    name = unquote(urlsplit(place).path).rpartition("/")[2]
    if not name:
        raise UserError(f"{place} names no file; give the address of a file")
    download_url_to_file(place, str(folder / name))
    return folder / name
