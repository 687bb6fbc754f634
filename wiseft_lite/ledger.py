"""The file of record: every number that the book states, with its spread and how it was made."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from wiseft_lite.errors import UserError


def find(start: Path | None = None) -> Path | None:
    """Return the ``ledger.json`` of the book, looked for from ``start`` upwards, or None."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        for path in (folder / "ledger.json", folder / "book" / "ledger.json"):
            if path.is_file():
                return path
    return None


def read(path: str | Path) -> dict[str, dict]:
    """Return all entries by key.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"ledger {path} cannot be read ({error}); restore it from the repository") from error


def entry(values: Sequence[float], unit: str, seeds: Sequence[int], n: int, recipe: Mapping | None,
          made_by: str) -> dict:
    """Return one entry: mean and sample standard deviation over seeds, and what made it.

    Example:
        >>> entry([1.0, 3.0], "points", [0, 1], 100, None, "example")["value"]
        2.0
    """
    import torch

    return {
        "value": round(statistics.fmean(values), 4),
        "spread": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        "values": [round(v, 4) for v in values], "unit": unit, "seeds": list(seeds), "n": n,
        "recipe": dict(recipe) if recipe else None, "device": f"CPU, {platform.machine()}",
        "torch": torch.__version__.split("+")[0], "made_by": made_by,
    }


def write(path: str | Path, entries: Mapping[str, dict]) -> None:
    """Add or replace entries; the others stay, and the file is replaced whole."""
    path = Path(path)
    everything = {**(read(path) if path.exists() else {}), **entries}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(everything.items())), indent=1, sort_keys=True) + "\n")
    os.replace(part, path)
