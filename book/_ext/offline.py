"""Leave out what the pages do not need: Thebe, which asks the network, and Font Awesome's 1.5 MB of icons.

The few icons in use are in ``_static/icons.css``.
"""

import re
from pathlib import Path

FONT_AWESOME = re.compile(r"<(script|link)\b[^>]*fontawesome[^>]*>(?:</script>)?\s*")


def without_thebe(app, page, template, context, doctree):
    """Jupyter Book adds Thebe's scripts, which ask a CDN, to every page."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            f
            for f in context.get(kind, [])
            if "thebe" not in str(getattr(f, "filename", f) or "").lower()
            and "thebe" not in str(getattr(f, "attributes", {}).get("body", "")).lower()
        ]


def without_font_awesome(app, error):
    """Its script stands in a template of the theme, in the head of every page."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        page.write_text(FONT_AWESOME.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (Path(app.outdir) / "_static").rglob("*"):
        if path.suffix == ".map" or path.name.startswith("fontawesome"):
            path.unlink()


def setup(app):
    app.connect("build-finished", without_font_awesome)
    app.connect("html-page-context", without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
