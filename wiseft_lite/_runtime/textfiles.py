"""Small text files that people write by hand or export from a spreadsheet: lists and tables, in any
usual encoding."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from wiseft_lite.errors import UserError

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # UTF-32's begins with UTF-16's, so it is first
SEPARATORS = ",;\t|"


def clean(text: str) -> str:
    """A name as it is compared and used everywhere: without blanks around it, accents in one form
    (Unicode NFC).

    Example:
        >>> clean(" cafe\u0301 ") == clean("caf\u00e9")
        True
    """
    return unicodedata.normalize("NFC", text).strip()


def read_text(path: str | Path, needed: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 if it begins with a byte-order mark; the
    mark is left out.

    Without a mark nothing tells one 8-bit encoding from another, so a file that is not UTF-8 is
    refused: a guess would turn *café* into *cafÃ©*, another name.

    Args:
        path: the file.
        needed: what it should be, for the error message: "a table with the columns
            path,class,split".

    Raises:
        UserError: it cannot be read, or is in another encoding; the message names the line.
    """
    try:
        data = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give {needed}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give {needed}") from error
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        place = f", line {data[: error.start].count(10) + 1}," if encoding == "utf-8" else ""
        raise UserError(
            f"{path}{place} is not {encoding.upper()} text; save the file in the encoding UTF-8 (in Excel: "
            "CSV UTF-8)"
        ) from None
    if "\0" in text:
        raise UserError(
            f"{path} is not text (it holds zero bytes, as UTF-16 without a byte-order mark does); save the "
            "file in the encoding UTF-8"
        )
    return text


def read_lines(path: str | Path, needed: str) -> list[str]:
    """The lines of a text file, clean and without the empty ones; see ``read_text``."""
    return [line for line in map(clean, read_text(path, needed).splitlines()) if line]


def read_table(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table, each with the line that it begins on: ``(line, {column: cell})``.

    The separator is a comma, semicolon, tab or vertical bar, whichever splits the first line into
    the columns asked for; their case does not matter. Blanks around a cell, blank lines, empty
    cells at the end of a line and further columns do not count. A cell in double quotes may hold
    separators and line breaks.

    Args:
        path: a text file; see ``read_text``.
        columns: those that it must have.

    Raises:
        UserError: a missing, doubled or empty column, a row longer or shorter than the first line,
            an open quote.
    """
    needed = f"a table with the columns {','.join(columns)}"
    text = read_text(path, needed)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda mark: len(set(columns) & set(_cells(first.split(mark)))))
    rows = _rows(path, text, separator)
    if not rows:
        raise UserError(f"{path} is no table, it is empty; give {needed}")
    header = [clean(name).lower() for name in rows[0][1]]
    for column in columns:
        if header.count(column) != 1:
            what = "has no" if column not in header else "has more than one"
            raise UserError(
                f"{path} {what} column {column!r} (it has {', '.join(header)}); its first line must name "
                f"the columns {','.join(columns)}"
            )
    table = []
    for line, cells in rows[1:]:
        if len(cells) > len(header):
            raise UserError(
                f"{path}, line {line}, has {len(cells)} cells, the first line has {len(header)}; put a "
                f"cell that holds {separator!r} into double quotes"
            )
        row = dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True))
        empty = [column for column in columns if not row[column]]
        if empty:
            raise UserError(f"{path}, line {line}: {empty[0]} is empty; fill it or remove the line")
        table.append((line, row))
    if not table:
        raise UserError(f"{path} has no rows below its first line; give {needed}")
    return table


def _cells(row: Sequence[str]) -> list[str]:
    """The cells of a row, clean and in lower case, without quotes: as good as needed to recognise a
    header."""
    return [clean(cell).strip('"').strip().lower() for cell in row]


def _rows(path: str | Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Every row that is not blank, with its line; empty cells at its end are left out."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    rows, line = [], 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if cells:
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}, is no row of a table ({error}); close the double quotes, and double one "
            "that is part of a cell"
        ) from None
    return rows
