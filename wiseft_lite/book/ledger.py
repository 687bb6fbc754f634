"""The ledger: every number in the book, with its spread over seeds and how it was measured."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import io
import json
import os
import platform
import statistics
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from wiseft_lite import __version__
from wiseft_lite.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
RECORD = PACKAGE / "book" / "record"  # in the package, so that a notebook needs no other file
LEDGER = RECORD / "ledger.json"
# A change of these measures no number anew: the commands, how a figure looks, other people's files,
# and of the book all but its experiments.
NOT_MEASURED = ("cli/", "book/", "figures.py", "interop/")
MEASURED = ("book/experiments/", "book/runs.py")


def read(path: str | Path = LEDGER) -> dict[str, dict]:
    """Return all entries by key.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"ledger {path} cannot be read ({error}); restore it from the repository"
        ) from error


def table(name: str, folder: Path = RECORD) -> pd.DataFrame:
    """Return a recorded table of results, such as a grid of runs, by its name.

    Raises:
        UserError: no table has that name.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        known = sorted(p.stem for p in folder.glob("*.csv"))
        raise UserError(f"no recorded table {name!r}; choose one of: {', '.join(known)}")
    return pd.read_csv(path)


def code_version(package: Path = PACKAGE) -> str:
    """Return the library's version and a hash of what measures, to recognise outdated numbers.

    Modules of sub-packages count too, each with its name; the command line, figures, exercises and
    claims do not, because no number comes out of them. Nor do docstrings, comments and blank lines.

    Args:
        package: its folder.
    """
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py")):
        if name.startswith(MEASURED) or not name.startswith(NOT_MEASURED):
            digest.update(f"{name}\n{_statements((package / name).read_text())}".encode())
    return f"{__version__}+{digest.hexdigest()[:8]}"


def _statements(source: str) -> str:
    """Return the lines of a module without docstrings, comments and blank lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            for row in range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


@dataclass
class Record:
    """The results of one experiment: numbers by key, and tables by name.

    Example:
        >>> record = Record("python example.py")
        >>> record.number("ch00.gain", [1.0, 3.0], "points", n=100, seeds=[0, 1])
        >>> record.numbers["ch00.gain"]["value"]
        2.0
    """

    made_by: str
    numbers: dict[str, dict] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    code: str = field(default_factory=code_version)  # at the start, even if files change meanwhile

    def number(
        self,
        key: str,
        values: Sequence[float] | float,
        unit: str,
        n: int | None,
        seeds: Sequence[int] = (0,),
        recipe: Any = None,
    ) -> None:
        """Add a number: its mean and sample standard deviation over seeds, and how it was measured.

        Args:
            key: chapter, dot, name.
            values: one per seed.
            unit: ``"percent"``, ``"points"`` or another word.
            n: images that each value was measured on; None for what is not a fraction of images.
            seeds: of the runs.
            recipe: the dataclass that the models were trained with; its seed is left out.

        Raises:
            UserError: the numbers of values and seeds differ.
        """
        import torch

        values = [float(v) for v in (values if isinstance(values, Sequence) else [values])]
        if len(values) != len(seeds):
            raise UserError(
                f"{key}: {len(values)} values for {len(seeds)} seeds; give one value per seed"
            )
        settings = (
            {k: v for k, v in dataclasses.asdict(recipe).items() if k != "seed"} if recipe else None
        )
        self.numbers[key] = {
            "value": round(statistics.fmean(values), 4),
            "spread": round(statistics.stdev(values), 4) if len(values) > 1 else None,
            "values": [round(v, 4) for v in values],
            "unit": unit,
            "seeds": [int(s) for s in seeds],
            "n": n,
            "recipe": settings,
            "device": f"CPU, {platform.machine()}, threads: {torch.get_num_threads()}",
            "torch": torch.__version__.split("+")[0],
            "code": self.code,
            "made_by": self.made_by,
        }


def write(record: Record, folder: Path = RECORD) -> None:
    """Write a record to the ledger: it replaces its experiment's numbers and keeps all others."""
    path = folder / LEDGER.name
    chapters = {key.partition(".")[0] for key in record.numbers}
    old = read(path) if path.exists() else {}
    kept: Mapping[str, dict] = {k: v for k, v in old.items() if k.partition(".")[0] not in chapters}
    _replace(
        path,
        json.dumps(dict(sorted({**kept, **record.numbers}.items())), indent=1, sort_keys=True)
        + "\n",
    )
    for name, rows in record.tables.items():
        _replace(folder / f"{name}.csv", rows.to_csv(index=False, float_format="%.5g"))


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)
