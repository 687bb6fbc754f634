"""Leave out of the built pages what they do not use, so that they open on a slow connection, and make
their theme work without JavaScript and without storage.

Left out are Thebe, whose scripts ask the network; Font Awesome, 1.5 MB for a dozen icons (ours are in
``_static/icons.css``); maps for the theme's developers; and every rule of a style sheet whose classes
no page and no script mentions, which are three quarters of the theme's.
"""

import re
import shutil
from pathlib import Path

import tinycss2

FONT_AWESOME = re.compile(r"<(script|link)\b[^>]*fontawesome[^>]*>(?:</script>)?\s*")
NAME = re.compile(r"[A-Za-z_][\w-]*")
AUTO = re.compile(r'(<html\b[^>]*\bdata-theme=)"auto"')  # which no style sheet knows
SET_THEME = re.compile(r'<script data-cfasync="false">.*?</script>', re.DOTALL)
# In place of the theme's own script, which needs a storage. The theme's other scripts need one too: they get one that
# lasts as long as the page where the browser refuses its own.
OUR_SET_THEME = """<script>
  {
    for (const name of ["localStorage", "sessionStorage"]) {
      try {
        window[name].setItem("wiseft", "");
        window[name].removeItem("wiseft");
      } catch {
        const kept = new Map();
        Object.defineProperty(window, name, {value: {
          getItem: (key) => kept.get(key) ?? null,
          setItem: (key, text) => { kept.set(key, text); },
          removeItem: (key) => { kept.delete(key); },
        }});
      }
    }
    const {dataset} = document.documentElement, device = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    dataset.mode = localStorage.getItem("mode") || "auto";
    dataset.theme = dataset.mode === "auto" ? device : dataset.mode;
  }
</script>"""
IMAGE = re.compile(r"<img (?![^>]*\bloading=)")
ARGUMENTS = re.compile(r":[\w-]+\([^()]*\)|\[[^\]]*\]")  # of :not(), :is() and others; attributes


def without_thebe(app, page, template, context, doctree):
    """Jupyter Book adds Thebe's scripts to every page."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            f
            for f in context.get(kind, [])
            if "thebe" not in str(getattr(f, "filename", f) or "").lower()
            and "thebe" not in str(getattr(f, "attributes", {}).get("body", "")).lower()
        ]


def lighter_pages(app, error):
    """Take Font Awesome out of the head of every page, set its theme, and let figures below the
    screen wait."""
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for page in site.rglob("*.html"):
        text = FONT_AWESOME.sub("", page.read_text(encoding="utf-8"))
        text = SET_THEME.sub(OUR_SET_THEME, AUTO.sub(r'\1"light"', text))
        page.write_text(IMAGE.sub('<img loading="lazy" ', text), encoding="utf-8")
    shutil.rmtree(site / "_static" / "vendor" / "fontawesome", ignore_errors=True)
    for path in (site / "_static").rglob("*"):
        if path.suffix == ".map" or path.name.startswith("fontawesome."):
            path.unlink()


def used(selector: str, names: set[str]) -> bool:
    """Whether all classes and ids of a selector are among ``names``; those in parentheses
    and in attributes do not count.

    >>> used("details.hide > .summary:not(.open)", {"hide", "summary"}), used(".carousel", {"hide"})
    (True, False)
    """
    while ARGUMENTS.search(selector):
        selector = ARGUMENTS.sub("", selector)
    return all(name in names for name in re.findall(r"[.#]((?:[\w-]|\\.)+)", selector))


def selectors(prelude: list) -> list[str]:
    """Return the selectors of a rule, which commas separate."""
    found = [""]
    for token in prelude:
        if token == ",":
            found.append("")
        else:
            found[-1] += token.serialize()
    return found


def pruned(rules: list, names: set[str]) -> str:
    """Return a style sheet without rules that nothing can match.

    Args:
        rules: as tinycss2 parses them.
        names: classes and ids that occur.
    """
    parts = []
    for rule in rules:
        if rule.type == "qualified-rule":
            kept = [s for s in selectors(rule.prelude) if used(s, names)]
            if kept:
                parts.append(f"{','.join(kept)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            body = pruned(inner, names)
            if body:
                parts.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{body}}}")
        elif rule.type == "at-rule" and "Font Awesome" not in rule.serialize().replace("\\", ""):
            parts.append(rule.serialize())
    return "".join(parts)


def without_unused_rules(app, error):
    """Prune every style sheet of the site."""
    if error is not None or app.builder.format != "html":
        return
    site, names = Path(app.outdir), set()
    for path in (*site.rglob("*.html"), *site.rglob("*.js")):
        names.update(NAME.findall(path.read_text(encoding="utf-8")))
    for path in (site / "_static").rglob("*.css"):
        rules = tinycss2.parse_stylesheet(
            path.read_text(encoding="utf-8"), skip_comments=True, skip_whitespace=True
        )
        path.write_text(pruned(rules, names), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("build-finished", lighter_pages)
    app.connect("build-finished", without_unused_rules, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
