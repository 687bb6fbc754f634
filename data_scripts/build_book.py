"""Run every notebook once on a copy of the sources, then build the site: ``make book``.

The notebooks in ``book/`` stay without outputs; the site is ``_build/html``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY, SITE = ROOT / "build" / "book", ROOT / "_build" / "html"


def pages() -> list[str]:
    """The pages that the table of contents promises."""
    toc = (ROOT / "_toc.yml").read_text()
    return re.findall(r"(?:root|file):\s*(\S+)", toc)


def main() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    shutil.copytree(ROOT / "book", COPY / "book", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy2(ROOT / name, COPY)
    run = [sys.executable, "-m"]
    subprocess.run([*run, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(COPY), "-c", "/dev/null",
                    "--nbmake", "--overwrite", "--nbmake-timeout=900", "-n", "2", str(COPY / "book")],
                   cwd=COPY, check=True)
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
