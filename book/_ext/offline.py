"""Make the built pages work without a network: formulas from a local MathJax, no Thebe."""

from importlib.util import find_spec
from pathlib import Path

from sphinx.util.fileutil import copy_asset_file

MATHJAX = (
    Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"
)


def copy_mathjax(app, error):
    """One self-contained file of 2 MB; the package's own extension would copy 24 MB."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "mathjax"
        target.mkdir(parents=True, exist_ok=True)
        copy_asset_file(str(MATHJAX), str(target))


def without_thebe(app, page, template, context, doctree):
    """Jupyter Book adds Thebe's scripts, which ask a CDN, to every page."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            f
            for f in context.get(kind, [])
            if "thebe" not in str(getattr(f, "filename", f) or "").lower()
            and "thebe" not in str(getattr(f, "attributes", {}).get("body", "")).lower()
        ]


def setup(app):
    app.connect("build-finished", copy_mathjax)
    app.connect("html-page-context", without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
