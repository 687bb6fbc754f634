"""Write the pages of the reference and the page "Where is what": python data_scripts/build_reference.py

What functions do is in their docstrings, which Sphinx reads when the site is built. This script
writes what Sphinx cannot know: which modules a page holds, the order of modules and of what is in
them, the options of every command, and the figure of the packages. It stops at a module that has no place.
"""

from __future__ import annotations

import argparse
import ast
import re
import textwrap
from importlib import import_module
from pathlib import Path

import arguments
from drawing import WIDTH as PAGE
from drawing import Sheet

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "wiseft_lite"
APPENDIX = ROOT / "book" / "appendix"
FIGURE = ROOT / "book" / "_static" / "packages.svg"

# The modules of the method, in reading order. Tasks import those of BASIS; those of METHOD import tasks.
BASIS = ("weights", "models", "encoders", "metrics")
METHOD = (
    *("zeroshot", "features", "data", "augmentation", "losses", "recipes", "schedules", "probes"),
    *("training", "callbacks"),
    *("sweeps", "adaptive_passes", "results", "figures", "checkpoints", "pipeline"),
)
FIRST = {  # of a package's modules, those to read first; the others follow in alphabetical order
    "tasks": ("own", "types", "images"),
    "merging": ("soups", "arithmetic"),
    "finetuning": ("lora", "prompts"),
    "analysis": ("robustness", "baselines", "diversity", "connectivity"),
    "retrieval": ("universal", "search"),
    "interop": ("interchange",),
}
# Of a module, what readers look for first. Then come its other names that ``wiseft_lite`` exports, and
# then the rest, both in the order of the source.
LEADING = {
    "weights": ("interpolate", "interpolate_", "average"),
    "pipeline": ("run_wise_ft",),
}
TITLES = {
    "tasks": "Tasks",
    "merging": "Merging",
    "finetuning": "Fine-tuning",
    "analysis": "Analysis",
    "retrieval": "Retrieval",
    "interop": "Interop",
}
GROUPS = {"basis": BASIS, "method": METHOD}
ROWS = (  # of the figure, from the top; a box without a neighbour is as wide as the page
    ("cli",),
    ("book",),
    ("merging", "analysis", "finetuning", "interop", "retrieval"),
    ("method",),
    ("tasks",),
    ("basis",),
    ("_runtime",),
    ("errors",),
)
LABELS = {"basis": "the method: models, metrics", "method": "the method: training, sweeps"}


def modules_of(package: str) -> list[str]:
    """The modules below a package, as dotted names after ``wiseft_lite.``, in reading order."""
    folder = PACKAGE / package
    paths = [p.relative_to(PACKAGE).with_suffix("") for p in folder.rglob("*.py")]
    names = [".".join(p.parts) for p in paths if not p.name.startswith("_")]
    first = [f"{package}.{name}" for name in FIRST.get(package, ())]
    missing = set(first) - set(names)
    if missing:
        raise SystemExit(f"FIRST names modules that do not exist: {', '.join(sorted(missing))}")
    return first + sorted(set(names) - set(first), key=lambda name: (name.count("."), name))


def packages() -> list[str]:
    """The packages of ``wiseft_lite``, without the one that holds data files only."""
    return sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))


def check_places() -> None:
    """Stop at a module or package of ``wiseft_lite`` that the lists above do not name, and at a name
    in them that is none."""
    top = {p.stem for p in PACKAGE.glob("*.py") if not p.stem.startswith("__")}
    modules = top.union(*map(modules_of, packages()))
    boxes = {name for row in ROWS for name in row if name}
    for what, there, listed in (
        ("modules in BASIS and METHOD", top, {*BASIS, *METHOD, "errors"}),
        ("boxes in ROWS", {*packages(), *GROUPS, "errors"}, boxes),
        ("pages in TITLES", set(packages()) - {"_runtime", "book", "cli"}, set(TITLES)),
        ("packages in FIRST", FIRST.keys() & packages(), FIRST.keys()),
        ("modules in LEADING", LEADING.keys() & modules, LEADING.keys()),
    ):
        if there != listed:
            odd = ", ".join(sorted(there ^ listed))
            raise SystemExit(f"data_scripts/build_reference.py: correct the {what}: {odd}")


def source_of(module: str) -> ast.Module:
    """The source of a module or package."""
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text())


def docstring(module: str) -> str:
    """The docstring of a module or package."""
    return ast.get_docstring(source_of(module)) or ""


def summary(module: str) -> str:
    """The first paragraph of a module's docstring, on one line and with Markdown's code."""
    paragraph = re.split(r"\n\s*\n", docstring(module))[0]
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(paragraph.split()))


def short_names() -> dict[str, list[str]]:
    """For each module the names that ``wiseft_lite`` itself exports, from its stub."""
    found: dict[str, list[str]] = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.setdefault(node.module, []).extend(alias.name for alias in node.names)
    return found


def kind_of(value: object) -> str:
    """Sphinx's word for the kind of a function or class."""
    if not isinstance(value, type):
        return "function"
    return "exception" if issubclass(value, BaseException) else "class"


def members(module: str) -> dict[str, str]:
    """The public functions and classes of a module that have a docstring, and Sphinx's word for the
    kind of each, in the order of the page."""
    kinds, here = {}, import_module(f"wiseft_lite.{module}")
    for node in source_of(module).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node):
            kinds[node.name] = kind_of(getattr(here, node.name))
    leading = LEADING.get(module, ())
    missing = set(leading) - set(kinds)
    if missing:
        raise SystemExit(f"LEADING names what {module} does not have: {', '.join(sorted(missing))}")
    short = short_names().get(module, [])
    exported = [name for name in kinds if name in short]
    return {name: kinds[name] for name in dict.fromkeys([*leading, *exported, *kinds])}


def body(module: str) -> list[str]:
    """The lines of a page of the reference on one module."""
    names = ", ".join(f"`{name}`" for name in short_names().get(module, []))
    return [
        *([f"Importable from `wiseft_lite`: {names}.", ""] if names else []),
        "```{eval-rst}",
        f".. automodule:: wiseft_lite.{module}",
        "   :no-members:",
        "",
        *(f".. auto{kind}:: wiseft_lite.{module}.{name}" for name, kind in members(module).items()),
        "```",
    ]


def module_page(module: str) -> str:
    """The page of one module of the method."""
    return "\n".join([f"# `{module}`", "", *body(module)]) + "\n"


def package_page(package: str) -> str:
    """The page of a package, with a section for each module."""
    lines = [f"# {TITLES[package]}", "", summary(package)]
    own = [package] if short_names().get(package) else []
    for module in own + modules_of(package):
        lines += ["", f"## `{module}`", "", *body(module)]
    return "\n".join(lines) + "\n"


def method_page() -> str:
    """The page above those of the method's modules."""
    lines = [
        *("# The method", ""),
        "What can be imported from `wiseft_lite` itself, by the module of the method that defines it. A dash: nothing;",
        "import from the module, as in `from wiseft_lite.losses import l2_to`.",
        *("", "*Table: names that `wiseft_lite` exports, by module.*", ""),
        *("| module | names |", "|---|---|"),
    ]
    for module in (*BASIS, *METHOD, "errors"):
        names = ", ".join(f"`{name}`" for name in short_names().get(module, []))
        lines.append(f"| [`{module}`]({module}.md) | {names or '–'} |")
    return "\n".join(lines) + "\n"


def typed(action: argparse.Action) -> str:
    """How an option or argument is typed: what stays in code, what to replace in italics."""
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"*{value}* ..." if action.nargs == "+" else f"*{value}*"
    flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
    return flags if action.nargs == 0 else f"{flags} *{value}*"


def default_of(action: argparse.Action) -> str:
    """The default of an option, unless its help text has the place for it or there is none."""
    text = action.help or ""
    unsaid = action.default in (None, argparse.SUPPRESS, "") or isinstance(action.default, bool)
    return (
        ""
        if unsaid or "default" in text or not action.option_strings
        else f" (default: {action.default})"
    )


def marked(text: str) -> str:
    """A help text with its options and commands set as code."""
    text = re.sub(r"'(wiseft-lite [a-z ]+)'", r"`\1`", text)
    text = re.sub(r"\baccelerate launch .*", r"`\g<0>`", text)
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", text)


def options(parser: argparse.ArgumentParser) -> list[str]:
    """A table of a command's arguments and options."""
    rows = ["| option | what it does |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        text = (action.help or "") % {**vars(action), "prog": parser.prog}
        rows.append(f"| {typed(action)} | {marked(text)}{default_of(action)} |")
    return rows


def command_page() -> str:
    """The page of the commands, from their parsers."""
    from wiseft_lite.cli.main import parser

    main = parser()
    (commands,) = [a for a in main._actions if isinstance(a, argparse._SubParsersAction)]
    lines = [
        *("# Command line", ""),
        f"{main.description} `wiseft-lite COMMAND --help` prints what is here. {marked(main.epilog or '')}".strip(),
    ]
    for name, command in commands.choices.items():
        text = (command.description or "").strip()
        lines += [
            "",
            f"## `wiseft-lite {name}`",
            "",
            f"{marked(text[:1].upper() + text[1:].rstrip('.'))}.",
        ]
        table = options(command)
        caption = f"*Table: arguments and options of `{command.prog}`.*"
        lines += ["", caption, "", *table] if len(table) > 2 else ["", "It has no options."]
    return "\n".join(lines) + "\n"


def group_of(module: str) -> str | None:
    """The box of the figure that a module belongs to."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return None
    return next((name for name, members in GROUPS.items() if parts[1] in members), parts[1])


def reachable(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    """The boxes that arrows lead to from one box, directly or over others."""
    found, open_ = set(), [start]
    while open_:
        here = open_.pop()
        for _, there in (arrow for arrow in arrows if arrow[0] == here):
            if there not in found:
                found.add(there)
                open_.append(there)
    return found


def arrows() -> list[tuple[str, str]]:
    """The imports between boxes, without those that follow from others."""
    import grimp

    graph = grimp.build_graph("wiseft_lite", cache_dir=None)
    every = set()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            every.add((group_of(module), group_of(other)))
    every = {(a, b) for a, b in every if a and b and a != b}
    rank = {name: k for k, row in enumerate(ROWS) for name in row if name}
    up = [f"{a} imports {b}" for a, b in sorted(every) if rank[a] >= rank[b]]
    if up:
        raise SystemExit(
            f"data_scripts/build_reference.py: ROWS has a box too low: {'; '.join(up)}"
        )
    return [
        (a, b)
        for a, b in sorted(every)
        if not any(b in reachable(c, every) for d, c in every if d == a and c != b)
    ]


EDGE, GAP, PAD, TITLE, LINE, SMALL, SPACE = 1, 4, 7, 12, 11.5, 9.5, 20
WIDTH = PAGE - 2 * EDGE


def names_in(box: str, wide: bool) -> list[str]:
    """The lines of module names in a box."""
    if box in ("errors", "_runtime"):
        return []
    prefix = f"{box}."
    names = list(GROUPS.get(box) or (name.removeprefix(prefix) for name in modules_of(box)))
    names = [name for name in names if "." not in name]
    names += sorted(p.parent.name for p in (PACKAGE / box).glob("*/__init__.py"))
    if wide:
        return textwrap.wrap(", ".join(names), 66)
    return [part for name in names for part in parts(name)]


def parts(name: str) -> list[str]:
    """A module's name, in two lines if one is too long for a box with another beside it.

    >>> parts("soups"), parts("moving_averages")
    (['soups'], ['moving_', 'averages'])
    """
    return [name] if len(name) <= 12 else re.split(r"(?<=_)", name, maxsplit=1)


def boxes() -> dict[str, tuple[float, float, float, float, list[str]]]:
    """Left, top, width, height and lines of each box; boxes side by side are as wide as their
    longest words need."""
    placed: dict[str, tuple[float, float, float, float, list[str]]] = {}
    top = float(EDGE)
    for row in ROWS:
        lines = {name: names_in(name, len(row) == 1) for name in row}
        needs = {name: max([1.4 * len(name), *map(len, lines[name])]) + 2 for name in row}
        left, room = float(EDGE), WIDTH - GAP * (len(row) - 1)
        for name in row:
            width = room * needs[name] / sum(needs.values())
            height = 2 * PAD + TITLE + LINE * len(lines[name])
            placed[name] = (round(left, 1), top, round(width, 1), height, lines[name])
            left += width + GAP
        top = max(placed[name][1] + placed[name][3] for name in row) + SPACE
    return placed


def figure() -> str:
    """The packages and the arrows between them, as SVG."""
    placed = boxes()
    sheet = Sheet(max(top + tall for _, top, _, tall, _ in placed.values()) + EDGE, alt_text())
    for a, b in arrows():
        upper, lower = placed[a], placed[b]
        narrow = min(upper, lower, key=lambda box: box[2])
        x = narrow[0] + narrow[2] / 2
        sheet.arrow((x, upper[1] + upper[3]), (x, lower[1] - 1))
    for name, (left, top, width, tall, lines) in placed.items():
        method = {"fill": "sky", "edge": "blue"} if name in GROUPS else {}
        sheet.box(left, top, width, tall, **method)
        x, y = left + width / 2, top + PAD + TITLE - 2
        sheet.text(x, y, LABELS.get(name, name), bold=True)
        for k, line in enumerate(lines, 1):
            sheet.text(x, y + k * LINE + 1, line, size=SMALL)
    return sheet.svg()


def alt_text() -> str:
    """The figure in words."""
    below = {name: [b for a, b in arrows() if a == name] for row in ROWS for name in row if name}
    name = {
        "basis": "the method's models and metrics",
        "method": "the method's training and sweeps",
    }
    sentences = [
        f"{name.get(box, box)} import{'' if box in name else 's'} {' and '.join(name.get(b, b) for b in found)}"
        for box, found in below.items()
        if found
    ]
    return "Packages from top to bottom: " + "; ".join(sentences) + "."


WHERE = """# Where is what

The folder `wiseft_lite` on one page. The modules at its top are the method; each package adds one subject. The lines
are the first of the docstrings, and the arrows are the imports: `data_scripts/build_reference.py` makes this page.

## The method

*Table: modules of the method, and what each holds.*

| module | what it holds |
|---|---|
{method}

## The packages

*Table: packages, and what each holds.*

| package | what it holds |
|---|---|
{packages}

## Who imports whom

![{alt}](../_static/packages.svg)

Each box is a package with its modules; the modules of the method are two boxes, for `tasks` imports the lower one and is
imported by the upper one. An arrow goes from the package that imports to the one that is imported. Arrows that follow from
others are left out. All arrows point down, so a box can be read without those above it; `make lint` checks this.
"""


def linked(name: str) -> str:
    """The name of a module or package, with a link to its page if it has one."""
    page = "command_line" if name == "cli" else name
    return f"`{name}`" if name in ("book", "_runtime") else f"[`{name}`](reference/{page}.md)"


def where_page() -> str:
    """The page "Where is what"."""
    method = "\n".join(
        f"| {linked(name)} | {summary(name)} |" for name in (*BASIS, *METHOD, "errors")
    )
    rest = "\n".join(f"| {linked(name)} | {summary(name)} |" for name in packages())
    return WHERE.format(method=method, packages=rest, alt=alt_text())


def pages() -> dict[Path, str]:
    """Every file that this script writes, with its text."""
    check_places()
    reference = APPENDIX / "reference"
    return {
        APPENDIX / "where.md": where_page(),
        FIGURE: figure(),
        reference / "method.md": method_page(),
        **{reference / f"{name}.md": module_page(name) for name in (*BASIS, *METHOD, "errors")},
        **{reference / f"{name}.md": package_page(name) for name in TITLES},
        reference / "command_line.md": command_page(),
    }


def main() -> None:
    arguments.parser(__doc__).parse_args()
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
