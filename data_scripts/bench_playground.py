"""Time the playground in a headless Chromium: python data_scripts/bench_playground.py (after make book)

Opens the built page from disk, chooses each example in turn, and prints medians: seconds by the
clock, which grow with whatever else the machine computes, and seconds of processor time of the
browser, which hardly do.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import arguments
import psutil
from browsers import launch_chromium
from playwright.sync_api import sync_playwright

PAGE = Path(__file__).resolve().parent.parent / "_build" / "html" / "book" / "playground.html"
REPEATS = 20
MEASURE = """async (k) => {
  const at = (id) => new Promise((done) => {
    const seen = new MutationObserver(() => { seen.disconnect(); done(performance.now()); });
    seen.observe(document.getElementById(`playground-${id}`), {childList: true, subtree: true});
  });
  const start = performance.now(), bars = at("mixed"), curve = at("plot");
  document.querySelectorAll("#playground-examples button")[k].click();
  return [await bars - start, await curve - start];
}"""  # bars: three models; curve: eleven alphas, the three among them


def processor_seconds() -> float:
    """Return the processor time that the browser's processes have used so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        if "chrom" in process.name():
            times = process.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    arguments.parser(__doc__).parse_args()
    with sync_playwright() as tools:
        browser = launch_chromium(tools)
        page = browser.new_page()
        page.set_default_timeout(600_000)
        used, start = processor_seconds(), time.perf_counter()
        page.goto(PAGE.as_uri())
        page.locator("#playground-examples button").first.click()
        page.wait_for_selector("#playground-mixed li")
        first = time.perf_counter() - start, processor_seconds() - used
        still = "#playground[data-state=still]"
        page.wait_for_selector(still)
        found, processor = [], []
        for k in range(REPEATS):
            used = processor_seconds()
            found.append(page.evaluate(MEASURE, k % 16))
            processor.append(processor_seconds() - used)
            page.wait_for_selector(still)
        browser.close()
    bars, curve = (statistics.median(column) / 1000 for column in zip(*found, strict=True))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}; medians of {REPEATS}")
    print(f"page opened to first prediction: {first[0]:.2f} s, processor {first[1]:.2f} s")
    print(f"new prediction, three models:    {bars:.3f} s")
    print(
        f"curve of 11 alphas:              {curve:.2f} s, processor {statistics.median(processor):.2f} s"
    )


if __name__ == "__main__":
    main()
