"""Set every tagged number in the book's prose to the ledger's: python data_scripts/fill_numbers.py

A tag is an HTML comment after a number: ``4.3 %<!-- ledger: ch06.emoji.change -->``. The key may be
followed by ``sd`` for the spread over seeds, ``n`` for the number of images, ``seeds`` for the
number of seeds, or ``detectable`` for the smallest true value that so many seeds with such a spread
could have told from zero. The number keeps its decimals and its plus sign; a number without a sign
in the text stays without one.

``0.6 GB<!-- size: ViT-B-32 -->`` is the size of a download, and ``1<!-- size: ViT-B-32 minutes -->``
how long it takes; see ``wiseft_lite.book.sizes``.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import arguments
from scipy import stats

from wiseft_lite.book import ledger
from wiseft_lite.book.sizes import SIZES

ROOT = Path(__file__).resolve().parent.parent
TAG = re.compile(
    r"([+\-\u2212]?)([\d,]+(?:\.\d+)?)((?:\s?%| points?)?<!-- ledger: ([\w.\-]+)(?: (sd|n|seeds|detectable))? -->)"
)

SIZE = re.compile(
    r"([\d,]+(?:\.\d+)?)((?:\s?([MG]B|minutes?))?<!-- size: ([\w ./\-]+?)( minutes)? -->)"
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
        "detectable": detectable(entry),
    }[what]
    if value is None:
        raise KeyError(f"{key} has no {what}")
    return value


def detectable(entry: dict) -> float | None:
    """Return what a two-sided t-test at 5 % over the seeds of an entry finds 80 times in 100.

    Close to Cohen 1988, section 2.4, without tables of the noncentral t distribution: the quantiles
    at 0.975 and 0.8, added, times the standard error of the mean.
    """
    if entry["spread"] is None:
        return None
    runs = len(entry["seeds"])
    quantiles = stats.t.ppf([0.975, 0.8], runs - 1).sum()
    return float(quantiles * entry["spread"] / math.sqrt(runs))


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


def sized(text: str) -> str:
    """Return the text with every tagged size, and every time of a download, replaced."""

    def number(match: re.Match) -> str:
        digits, rest, unit, name, minutes = match.groups()
        size, decimals = SIZES[name], len(digits.partition(".")[2])
        value = size.minutes if minutes else size.gigabytes * (1000 if unit == "MB" else 1)
        return f"{value:,.{decimals}f}{rest}"

    return SIZE.sub(number, text)


def read(path: Path) -> str:
    """Read a page; a notebook without JSON's escapes of characters."""
    text = path.read_text()
    return (
        json.dumps(json.loads(text), ensure_ascii=False, indent=1) + "\n"
        if path.suffix == ".ipynb"
        else text
    )


def main() -> None:
    arguments.parser(__doc__).parse_args()
    entries = ledger.read()
    for path in sources():
        text = read(path)
        if text.count("<!-- ledger:") != len(TAG.findall(text)):
            raise SystemExit(f"{path.name}: a tag has no number before it; write one")
        if text.count("<!-- size:") != len(SIZE.findall(text)):
            raise SystemExit(f"{path.name}: a tag of a size has no number before it; write one")
        new = sized(filled(text, entries))
        if new != text:
            path.write_text(new)
            print(f"{path.relative_to(ROOT)}: numbers set")


if __name__ == "__main__":
    main()
