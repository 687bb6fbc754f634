"""A server of the built site, and a browser that opens it."""

import functools
import http.server
import threading

import patience
import pytest
from browsers import launch_chromium

from .built_site import SITE, opened


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    why = "browser tests need 'make test-site'"
    playwright = pytest.importorskip("playwright.sync_api", reason=why)
    with playwright.sync_playwright() as tools:
        try:
            chromium = launch_chromium(tools, timeout=patience.PAGE)
        except Exception as error:
            pytest.skip(
                f"no Chromium ({str(error).splitlines()[0]}); run 'python -m playwright install chromium'"
            )
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser, address):
    """A page that remembers what went wrong while it was open."""
    page = opened(browser, viewport={"width": 1280, "height": 900})
    page.wrong, page.outside = [], []
    page.on(
        "console",
        lambda message: page.wrong.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("response", lambda reply: page.wrong.append(reply.url) if reply.status >= 400 else None)
    page.on(
        "request",
        lambda ask: (
            None
            if ask.url.startswith((address, "data:", "blob:"))
            else page.outside.append(ask.url)
        ),
    )
    yield page
    page.close()
