"""Google Colab: keep models and training states on Drive, so that a lost runtime loses minutes."""

from __future__ import annotations

import os
from pathlib import Path

from wiseft_lite.errors import UserError

MOUNT = Path("/content/drive")


def use_drive(folder: str = "wiseft") -> Path:
    """Mount Google Drive, and from now on keep trained models, features and training states there.

    ``WISEFT_CACHE`` is set to the folder's ``cache``, for this notebook and every command that it
    starts, and ``results_folder`` is below the folder. Colab asks for permission the first time.

    Args:
        folder: below *My Drive*; created if it does not exist.

    Returns:
        The folder.

    Raises:
        UserError: this is not Colab, or Drive cannot be mounted.
    """
    try:
        from google.colab import drive
    except ImportError:
        raise UserError(
            "drive=True works in Google Colab only; elsewhere, set WISEFT_CACHE to a permanent folder"
        ) from None
    try:
        drive.mount(str(MOUNT))
        place = MOUNT / "MyDrive" / folder
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # Colab raises ValueError if permission is refused
        raise UserError(
            f"Google Drive was not mounted ({error}); allow access in the window that opens, or use "
            "drive=False"
        ) from error
    os.environ["WISEFT_CACHE"] = str(place / "cache")
    os.environ["WISEFT_RESULTS"] = str(place)
    return place


def results_folder(name: str) -> Path:
    """Return where a chapter writes its results: on Drive after ``use_drive``, else in this folder.

    Example:
        >>> results_folder("cifar10_run").name
        'cifar10_run'
    """
    return Path(os.environ.get("WISEFT_RESULTS", ".")) / name
