"""The reference from docstrings: what napoleon does not read as we write it, and links from code in
a sentence to what it names."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

PAGES = ("book/appendix/where", "book/appendix/reference/")
EXPORTS = "book/appendix/reference/method"  # lists what the package itself exports
NAME = re.compile(r"[A-Za-z_][\w.]*(?=(?:\(.*\))?$)")


def broken(line: str) -> str:
    """A line broken before the word that ends in its first colon: napoleon takes what is before a
    colon, on the first line of a result or a property, for a type."""
    indent = line[: len(line) - len(line.lstrip())]
    return re.sub(r"^(\s*[^:]*\s)(\S*:\s)", rf"\1\n{indent}\2", line)


def tidy(app, what, name, obj, options, lines: list[str]) -> None:
    """Set ``Source:`` in bold, with the lines that go on with it, which are indented, as one
    paragraph; and keep napoleon from reading types where there are none. The "Alias for field number 0"
    that Python gives the fields of a named tuple says nothing."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()
    fixed: list[str] = []
    in_source = False
    for k, line in enumerate(lines):
        first = what in ("attribute", "property") if k == 0 else lines[k - 1].strip() == "Returns:"
        in_source = line.startswith(("Source: ", "Sources: ")) or in_source and bool(line.strip())
        if in_source:
            line = re.sub(r"^(Sources?): ", r"**\1:** ", line.strip())
        fixed += (broken(line) if first else line).split("\n")
    lines[:] = fixed


def show_factories(app, what, name, obj, options, signature: str | None, returns: str | None):
    """A field of a dataclass whose default is made anew each time: ``...`` in a signature."""
    return signature and signature.replace("<factory>", "..."), returns


def unique_endings(names: Iterable[str]) -> dict[str, str]:
    """The full name by each ending of it that no other name has; the ending of a module at the top
    of the package is always its own.

    Example:
        >>> unique_endings(["p.a.f", "p.b.f", "p.a"])["a.f"]
        'p.a.f'
    """
    full: dict[str, set[str]] = {}
    for name in names:
        parts = name.split(".")
        for k in range(len(parts)):
            full.setdefault(".".join(parts[k:]), set()).add(name)
    shortest = {ending: min(found, key=lambda n: n.count(".")) for ending, found in full.items()}
    return {
        ending: name
        for ending, name in shortest.items()
        if len(full[ending]) == 1 or name.count(".") == 1
    }


@functools.cache
def exported() -> dict[str, str]:
    """The full name of each name that ``wiseft_lite`` itself exports, from its stub."""
    package = find_spec("wiseft_lite")
    assert package is not None and package.origin is not None
    stub = ast.parse(Path(package.origin).with_suffix(".pyi").read_text())
    return imported_by(stub, "wiseft_lite.")


def imported_by(code: ast.AST, prefix: str = "") -> dict[str, str]:
    """The full name of each name that a piece of code imports with ``from``."""
    return {
        alias.asname or alias.name: f"{prefix}{node.module}.{alias.name}"
        for node in ast.walk(code)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def other_meanings(code: ast.AST) -> set[str]:
    """What a piece of code itself gives a meaning: names that it defines or assigns, parameters, and
    strings, such as the columns of a table."""
    found: set[str] = set()
    for node in ast.walk(code):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.arg, ast.keyword)):
            found.add(node.arg or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def code_of(doctree: nodes.document) -> ast.Module:
    """The code of a page that Python can read, as one module."""
    body: list[ast.stmt] = []
    for block in doctree.findall(nodes.literal_block):
        try:
            body += ast.parse(block.astext()).body
        except (SyntaxError, ValueError):
            continue
    return ast.Module(body, [])


def names_on(doctree: nodes.document, objects: Iterable[str]) -> dict[str, str]:
    """The full name by each name that can mean only that in the sentences of a page: what
    ``wiseft_lite`` exports or the page's code imports, unless that code has another meaning for it, and
    dotted names that no other name ends in.

    Args:
        doctree: the page.
        objects: the full names in the reference.
    """
    code, known = code_of(doctree), set(objects)
    dotted = {ending: name for ending, name in unique_endings(known).items() if "." in ending}
    taken, short = other_meanings(code), {}
    for name, full in {**exported(), **imported_by(code)}.items():
        full = exported().get(full.removeprefix("wiseft_lite."), full)
        if full in known and name not in taken:
            short[name] = full
    return dotted | short


def linked_or_title(node: nodes.Node) -> bool:
    """Whether a node is within a link, where a second one would make the first empty, or a title."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, (nodes.reference, nodes.title)):
            return True
    return False


def link_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link code in a sentence to the object of the library that it names, if there is only one."""
    objects = app.env.get_domain("py").objects
    in_reference = page.startswith(PAGES)
    known = unique_endings(objects) if in_reference else names_on(doctree, objects)
    if page == EXPORTS:
        known |= {name: full for name, full in exported().items() if full in objects}
    for literal in list(doctree.findall(nodes.literal)):
        found = NAME.match(literal.astext())
        name = known.get(found[0]) if found else None
        if name is None or linked_or_title(literal):
            continue
        entry = objects[name]
        link = make_refnode(
            app.builder, page, entry.docname, entry.node_id, literal.deepcopy(), name
        )
        literal.replace_self(link)


def parameters_without_list(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Give the parameter list of a long signature the role ``presentation``: Sphinx writes a definition
    list that defines nothing."""
    body = context.get("body", "")
    for tag in ("<dl>\n<dd>", "<dd>"):
        body = body.replace(
            f'{tag}<em class="sig-param">',
            tag.replace(">", ' role="presentation">') + '<em class="sig-param">',
        )
    if body:
        context["body"] = body


def setup(app: Sphinx):
    app.connect("autodoc-process-docstring", tidy, priority=400)  # before napoleon, at 500
    app.connect("autodoc-process-signature", show_factories)
    app.connect("doctree-resolved", link_names)
    app.connect("html-page-context", parameters_without_list)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
