"""Start a headless Chromium: the one of this machine, or else the one that Playwright installs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")  # Makefile looks for the same commands


def launch_chromium(tools: Playwright, **settings: Any) -> Browser:
    """Start a Chromium.

    Args:
        tools: Playwright, as ``sync_playwright`` gives it.
        settings: of Playwright's ``launch``, such as ``timeout``.

    Raises:
        playwright.sync_api.Error: there is none, or it does not start.
    """
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    return tools.chromium.launch(executable_path=installed, args=["--no-sandbox"], **settings)
