"""Figures in the pages of the book: files beside the page, one for each width and theme."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import nbformat

TYPE = "application/x-wiseft-figure+json"  # of what screen_figures.versions returns
NARROW = "(max-width: 720px)"  # of a screen; a wider one has room for the wide version


def place(notebook: nbformat.NotebookNode, folder: Path, address: str) -> list[str]:
    """Put the versions of each figure of a notebook into its page.

    Args:
        notebook: run in kernels where ``screen_figures.register`` was called; its outputs are changed.
        folder: gets the files.
        address: of the folder, as the page links it.

    Returns:
        The ids of cells with a figure that has no versions.
    """
    without = []
    for cell in notebook.cells:
        outputs = [output for output in cell.get("outputs", []) if "data" in output]
        if any(is_figure(output) and TYPE not in output.data for output in outputs):
            without.append(cell.id)
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        figures = [output for output in outputs if TYPE in output.data]
        for k, output in enumerate(figures):
            name = f"{cell.id}-{k}" if k else cell.id
            files = written(output.data[TYPE], folder, name)
            output.data = {"text/html": html(output.data[TYPE], files, address, alt)}
            output.metadata = {}
    return without


def is_figure(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a figure of matplotlib."""
    return str(output.data.get("text/plain", "")).startswith("<Figure size")


def written(versions: dict[str, Any], folder: Path, name: str) -> dict[str, str]:
    """Write the files of a figure; return their names, such as that of ``wide-dark``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for width in ("wide", "narrow"):
        for theme, version in versions[width].items():
            file = files[f"{width}-{theme}"] = f"{name}-{width}-{theme}.{version['kind']}"
            content = version["content"]
            binary = content.encode() if version["kind"] == "svg" else base64.b64decode(content)
            (folder / file).write_bytes(binary)
    if versions["data"]:
        files["data"] = f"{name}.csv"
        (folder / files["data"]).write_text(versions["data"], encoding="utf-8")
    return files


def html(versions: dict[str, Any], files: dict[str, str], address: str, alt: str) -> str:
    """Return a figure as a link to its file; ``_static/figures.js`` opens it in a dialog.

    The theme shows one of the two images. ``data-text`` is the height of the smallest letters in px, if
    the image is as wide as its ``width``.
    """

    def attributes(kind: str, width: str, theme: str) -> str:
        version = versions[width][theme]
        size = "".join(f' {key}="{version[key]}"' for key in ("width", "height"))
        return f'{kind}="{address}/{files[f"{width}-{theme}"]}"{size} data-text="{version["text"]}"'

    pictures = "".join(
        f'<picture><source media="{NARROW}" {attributes("srcset", "narrow", theme)}>'
        f'<img class="only-{theme}" {attributes("src", "wide", theme)} alt="{escape(alt)}" loading="lazy">'
        "</picture>"
        for theme in ("light", "dark")
    )
    data = f' data-csv="{address}/{files["data"]}"' if "data" in files else ""
    return (
        f'<a class="figure-link" href="{address}/{files["wide-light"]}" aria-haspopup="dialog"{data}>'
        f"{pictures}</a>"
    )
