"""Google Colab: what is kept on Drive, so that a lost runtime costs minutes and not the run."""

from __future__ import annotations

import os
from pathlib import Path

from wiseft_lite.errors import UserError

MOUNT = Path("/content/drive")


def use_drive(folder: str = "wiseft") -> Path:
    """Mount Google Drive and keep trained models, features and the states of runs there from now
    on.

    ``WISEFT_CACHE`` becomes the folder's ``cache``, for this notebook and for every command that it
    starts. Colab asks for permission the first time.

    Args:
        folder: below *My Drive*; it is made if it is not there.

    Returns:
        The folder.

    Raises:
        UserError: this is not Colab, or Drive was not mounted.
    """
    try:
        from google.colab import drive
    except ImportError:
        raise UserError(
            "drive=True is for Google Colab; on another machine set WISEFT_CACHE to a folder that "
            "stays"
        ) from None
    try:
        drive.mount(str(MOUNT))
        place = MOUNT / "MyDrive" / folder
        place.mkdir(parents=True, exist_ok=True)
    except (
        OSError,
        ValueError,
    ) as error:  # ValueError: Colab's own, for a permission that was not given
        raise UserError(
            f"Google Drive was not mounted ({error}); allow it in the window that opens, or take "
            "drive=False"
        ) from error
    os.environ["WISEFT_CACHE"] = str(place / "cache")
    return place
