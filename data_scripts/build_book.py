"""Run every notebook once on a copy of the sources, then build the site: ``make book``.

The notebooks in ``book/`` stay without outputs; the site is ``_build/html``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY, SITE = ROOT / "build" / "book", ROOT / "_build" / "html"


def pages() -> list[str]:
    """The pages that the table of contents promises."""
    toc = (ROOT / "_toc.yml").read_text()
    return re.findall(r"(?:root|file):\s*(\S+)", toc)


def runtimes(report: Path) -> str:
    """The page of run times, from pytest's report of this very run."""
    import torch

    lines = ["# Run times", "", "Measured when this site was built, each notebook once, two at a time, from an empty cache of",
             f"trained models, on {os.cpu_count()} CPU cores ({platform.system()}, {platform.machine()}, Python "
             f"{platform.python_version()}, torch {torch.__version__.split('+')[0]}). Two at a time share the cores, so each",
             "takes longer than alone; the *Time* at the head of a chapter is for a notebook that runs alone.",
             "", "| notebook | seconds |", "|---|--:|"]
    cases = sorted(ET.parse(report).iter("testcase"), key=lambda case: case.get("name", ""))
    for case in cases:
        lines.append(f"| {Path(case.get('name', '')).stem} | {float(case.get('time', 0)):.0f} |")
    return "\n".join(lines) + "\n"


def repository() -> str | None:
    """The GitHub address that this clone came from: forks get Colab buttons of their own."""
    url = os.environ.get("BOOK_REPOSITORY")
    if url is None:
        asked = subprocess.run(["git", "config", "--get", "remote.origin.url"], cwd=ROOT, capture_output=True, text=True)
        url = asked.stdout.strip()
    found = re.fullmatch(r"(?:https://github\.com/|git@github\.com:)([\w.-]+/[\w.-]+?)(?:\.git)?/?", url)
    return f"https://github.com/{found[1]}" if found else None


def address(folder: Path, url: str) -> None:
    """Put the address of the clone where the pages leave it open."""
    for page in (*folder.rglob("*.ipynb"), *folder.rglob("*.md")):
        page.write_text(page.read_text().replace("https://ADDRESS-OF-THE-REPOSITORY", url))


def main() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    shutil.copytree(ROOT / "book", COPY / "book", ignore=shutil.ignore_patterns(
        "__pycache__", ".*", "a[0-9].ipynb"))  # the masters of the coursework hold solutions
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(ROOT / name, COPY)
    url = repository()
    if url:
        with (COPY / "_config.yml").open("a") as config:
            config.write(f"repository: {{url: {url}, branch: main, path_to_book: ''}}\n"
                         "launch_buttons: {colab_url: https://colab.research.google.com}\n")
        address(COPY / "book", url)
    else:
        print("This clone has no GitHub remote: the pages get no Colab button (or set BOOK_REPOSITORY).")
    threads = str(max(1, (os.cpu_count() or 2) // 2))  # two notebooks at once must not fight for the cores
    run, report, cache = [sys.executable, "-m"], COPY / "report.xml", COPY / "cache"
    subprocess.run([*run, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(COPY), "-c", "/dev/null",
                    "--nbmake", "--overwrite", "--nbmake-timeout=900", "-n", "2", f"--junitxml={report}",
                    *map(str, sorted((COPY / "book").glob("*.ipynb")))],
                   cwd=COPY, check=True, env={**os.environ, "WISEFT_CACHE": str(cache), "OMP_NUM_THREADS": threads})
    shutil.rmtree(cache)
    (COPY / "book" / "appendix" / "runtimes.md").write_text(runtimes(report))
    built = COPY / "_build" / "html"
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    subprocess.run([str(jupyter_book), "build", "-W", "-n", "--keep-going", str(COPY)], check=True)
    missing = [page for page in pages() if not (built / f"{page}.html").exists()]
    if missing:
        raise SystemExit(f"pages of the table of contents were not built: {', '.join(missing)}")
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(built, SITE)
    print(f"open {(SITE / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(map(str, error.cmd[1:4]))} failed with exit code {error.returncode}")
