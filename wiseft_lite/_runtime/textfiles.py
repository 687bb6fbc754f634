"""Read lists and tables written by hand or exported from a spreadsheet, in the usual encodings."""

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
}  # UTF-32 first: its byte-order mark begins with that of UTF-16
SEPARATORS = ",;\t|"


def clean(text: str) -> str:
    """Normalise a name: strip surrounding white space, compose accents (Unicode NFC).

    Example:
        >>> clean(" cafe\u0301 ") == clean("caf\u00e9")
        True
    """
    return unicodedata.normalize("NFC", text).strip()


def read_text(path: str | Path, needed: str) -> str:
    """Read a file in UTF-8, or in UTF-16 or UTF-32 if it begins with a byte-order mark.

    Without a mark 8-bit encodings cannot be told apart, so a file that is not UTF-8 is refused: a
    guess could turn *café* into *cafÃ©*, another name.

    Args:
        path: the file.
        needed: what it should be, for the error message, such as ``"a table with the columns
            path,class,split"``.

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
    """Read the lines of a text file, each ``clean``, without empty ones; see ``read_text``."""
    return [line for line in map(clean, read_text(path, needed).splitlines()) if line]


def read_table(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a table, each with the number of its first line: ``(line, {column: cell})``.

    The separator is the comma, semicolon, tab or vertical bar that splits the first line into the
    required columns, whose case does not matter. White space around a cell, blank lines, empty
    cells at the end of a line and other columns are ignored. A cell in double quotes may contain
    separators and line breaks.

    Args:
        path: a text file; see ``read_text``.
        columns: the required columns.

    Raises:
        UserError: a missing, repeated or empty column, a row longer than the first line, or an
            unclosed quote.
    """
    needed = f"a table with the columns {','.join(columns)}"
    text = read_text(path, needed)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda mark: len(set(columns) & set(_cells(first.split(mark)))))
    rows = _rows(path, text, separator)
    if not rows:
        raise UserError(f"{path} is empty; give {needed}")
    header = [clean(name).lower() for name in rows[0][1]]
    for column in columns:
        if header.count(column) != 1:
            problem = "has no" if column not in header else "has more than one"
            raise UserError(
                f"{path} {problem} column {column!r} (it has {', '.join(header)}); its first line must name "
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
    """The cells of a row in lower case, without quotes: enough to recognise a header."""
    return [clean(cell).strip('"').strip().lower() for cell in row]


def _rows(path: str | Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with its line; empty cells at the end are removed."""
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
            f"{path}, line {line}, is not a row of a table ({error}); close the double quotes, and write one "
            "that is part of a cell twice"
        ) from None
    return rows
