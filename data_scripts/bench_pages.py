"""Measure how long each chapter takes to open on a slow connection: python data_scripts/bench_pages.py
(after make book).

Serves the built site without compression and opens every chapter once in a headless Chromium with an
empty cache, whose network the developer tools slow down. Writes ``book/appendix/page_load.csv``,
which the page of run times shows.
"""

from __future__ import annotations

import csv
import functools
import http.server
import threading
from pathlib import Path

import arguments
from browsers import launch_chromium
from playwright.sync_api import Browser, sync_playwright
from slow_connection import BYTES_PER_SECOND, DELAY

ROOT = Path(__file__).resolve().parent.parent
SITE, RECORD = ROOT / "_build" / "html", ROOT / "book" / "appendix" / "page_load.csv"
NETWORK = {
    "offline": False,
    "downloadThroughput": BYTES_PER_SECOND,
    "uploadThroughput": 0.75e6 / 8,
    "latency": DELAY,
}
MEASURE = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const bytes = [page, ...performance.getEntriesByType("resource")].reduce((sum, e) => sum + e.encodedBodySize, 0);
  return [bytes, performance.getEntriesByName("first-contentful-paint")[0].startTime, page.loadEventEnd];
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # several files over one connection, as every host does

    def log_message(self, *_) -> None:
        pass


def measured(browser: Browser, address: str) -> tuple[float, float, float]:
    """Return megabytes, and seconds until the first text shows and until all is loaded."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(600_000)
    tools = context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.send("Network.emulateNetworkConditions", NETWORK)
    page.goto(address, wait_until="load")
    page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
    size, paint, load = page.evaluate(MEASURE)
    context.close()
    return size / 1e6, paint / 1000, load / 1000


def main() -> None:
    arguments.parser(__doc__).parse_args()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = []
    with sync_playwright() as tools:
        browser = launch_chromium(tools)
        for path in sorted((SITE / "book").glob("[0-9]*.html")):
            size, paint, load = measured(
                browser, f"http://127.0.0.1:{server.server_port}/book/{path.name}"
            )
            rows.append([path.stem, f"{size:.2f}", f"{paint:.1f}", f"{load:.1f}"])
            print(*rows[-1], flush=True)
        browser.close()
    server.shutdown()
    with RECORD.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["page", "megabytes", "first_paint_s", "loaded_s"], *rows]
        )


if __name__ == "__main__":
    main()
