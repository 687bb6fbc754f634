"""Set every tagged number in the book's prose to the ledger's: python data_scripts/fill_numbers.py

A tag is an HTML comment after a number: ``4.3 %<!-- ledger: ch06.emoji.change -->``. The key may be
followed by ``sd`` for the spread over seeds, ``n`` for the number of images, or ``seeds`` for the
number of seeds. The number keeps its decimals and its plus sign; a number without a sign in the
text stays without one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAG = re.compile(
    r"([+\-\u2212]?)([\d,]+(?:\.\d+)?)((?:\s?%| points?)?<!-- ledger: ([\w.\-]+)(?: (sd|n|seeds))? -->)"
)


def sources() -> list[Path]:
    """Return every page whose numbers are checked."""
    book = ROOT / "book"
    return [*sorted(book.glob("*.ipynb")), *sorted(book.rglob("*.md")), ROOT / "README.md"]


def value_of(entries: dict, key: str, what: str) -> float:
    """Return the ledger's number for a tag.

    Raises:
        KeyError: no such entry, or it has no spread.
    """
    entry = entries[key]
    value = {
        "": entry["value"],
        "sd": entry["spread"],
        "n": entry["n"],
        "seeds": len(entry["seeds"]),
    }[what]
    if value is None:
        raise KeyError(f"{key} has no {what}")
    return value


def filled(text: str, entries: dict) -> str:
    """Return the text with every tagged number replaced."""

    def number(match: re.Match) -> str:
        sign, digits, rest, key, what = match.groups()
        value, decimals = value_of(entries, key, what or ""), len(digits.partition(".")[2])
        size = f"{abs(value):,.{decimals}f}"
        if not sign:
            return size + rest
        return ("\u2212" if value < 0 else "+") + size + rest

    return TAG.sub(number, text)


def read(path: Path) -> str:
    """Read a page; a notebook without JSON's escapes of characters."""
    text = path.read_text()
    return (
        json.dumps(json.loads(text), ensure_ascii=False, indent=1) + "\n"
        if path.suffix == ".ipynb"
        else text
    )


def main() -> None:
    entries = json.loads((ROOT / "book" / "ledger.json").read_text())
    for path in sources():
        text = read(path)
        if text.count("<!-- ledger:") != len(TAG.findall(text)):
            raise SystemExit(f"{path.name}: a tag has no number before it; write one")
        new = filled(text, entries)
        if new != text:
            path.write_text(new)
            print(f"{path.relative_to(ROOT)}: numbers set")


if __name__ == "__main__":
    main()
