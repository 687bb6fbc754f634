"""Write the page that locates each item of the paper in the book: python
data_scripts/build_coverage.py

It stops if an item names a chapter, a function, a ledger key or a table that does not exist.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import arguments
from coverage_items import SECTIONS, Item

from wiseft_lite.book import ledger

BOOK = Path(__file__).resolve().parent.parent / "book"
TARGET = BOOK / "appendix" / "coverage.md"
ITEMS = [item for items in SECTIONS.values() for item in items]
HEAD = """# The paper, item by item

Every figure and table of Wortsman et al. (2022), with the place where this book reproduces it on its small benchmark, or
the reason why it does not. Names in `code` are in `wiseft_lite`. Numbers are in the ledger under the keys given:
`wiseft-lite ledger KEY` prints them, and `--run` measures them again. This page is made by
`data_scripts/build_coverage.py`, which stops if a name on it does not exist.
"""


def check(item: Item) -> None:
    """Stop at a chapter, function, key or table that does not exist."""
    entries = ledger.read()
    wrong = [chapter for chapter in item.chapters if not (BOOK / f"{chapter}.ipynb").exists()]
    wrong += [name for name in item.functions if not exists(name)]
    wrong += [
        key for key in item.keys if not any(k == key or k.startswith(f"{key}.") for k in entries)
    ]
    wrong += [name for name in item.tables if not (ledger.RECORD / f"{name}.csv").exists()]
    if wrong:
        raise SystemExit(
            f"{item.name}: {', '.join(wrong)} does not exist; correct coverage_items.py"
        )
    if not item.chapters and not item.missing:
        raise SystemExit(f"{item.name} has neither chapters nor a reason in missing; add one")


def exists(name: str) -> bool:
    """Whether ``wiseft_lite`` has ``module.name``."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(import_module(f"wiseft_lite.{module}"), attribute)
    except ModuleNotFoundError:
        return False


def where(item: Item) -> str:
    """Return the last cell of an item's row."""
    links = ", ".join(
        f"[chapter {int(chapter[:2])}](../{chapter}.ipynb)" for chapter in item.chapters
    )
    parts = [f"In {links}." if links else "Not in this book."]
    parts += [item.note] if item.note else []
    names = [
        *(f"`{name}`" for name in item.functions),
        *(f"`{name}.csv`" for name in item.tables),
        *(f"`{key}`" for key in item.keys),
    ]
    parts += [", ".join(names) + "."] if names else []
    parts += [f"**Needs real scale.** {item.missing}"] if item.missing else []
    return " ".join(parts)


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    for (heading, part), items in SECTIONS.items():
        lines += [
            f"## {heading}",
            "",
            f"*Table: items of the paper's {part}, and where this book has them.*",
            "",
            "| item | what it shows | where |",
            "|---|---|---|",
        ]
        for item in items:
            check(item)
            lines.append(f"| {item.name} | {item.what} | {where(item)} |")
        lines.append("")
    whole = sum(bool(item.chapters) and not item.missing for item in ITEMS)
    partly = sum(bool(item.chapters and item.missing) for item in ITEMS)
    lines.append(
        f"Of {len(ITEMS)} rows {whole} are reproduced here, {partly} in part, and {len(ITEMS) - whole - partly} not at all."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    arguments.parser(__doc__).parse_args()
    TARGET.write_text(page())
    print(f"{len(ITEMS)} items: {TARGET.relative_to(BOOK.parent)}")
