"""The history of the rules: when each was made and changed, and which applied to a measurement.

``history.json`` lists every change of a rule with its date and reason. ``record/rules.json`` has,
for each experiment, the hashes of the rules that depend on it, written by ``wiseft-lite ledger chNN
--run``. A rule whose hash differs from the recorded one must be listed; ``unlisted`` returns those
that are not. The rules for public measurements are in the same two files, as those of the
experiment ``atlas``.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wiseft_lite.book import ledger
from wiseft_lite.book.claims.rules import PROCEDURE, Derived, Ruled, Source
from wiseft_lite.errors import UserError

HISTORY = Path(__file__).with_name("history.json")
RECORD = ledger.RECORD / "rules.json"


@dataclass(frozen=True)
class Change:
    """A change of a rule.

    Args:
        claims: their numbers.
        date: of the change.
        commit: that made it, if it had one when the list was written.
        was: the rule before.
        now: the rule after.
        reason: for the change.
        numbers_known: whether the numbers that the rule judges had already been measured.
        hashes: of the rules after the change, by claim.
        public: whether it is the rule for public measurements, and not that for IconShift.
    """

    claims: tuple[int, ...]
    date: str
    commit: str
    was: str
    now: str
    reason: str
    numbers_known: bool
    hashes: dict[str, str]
    public: bool = False


def _load(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); restore it from the repository"
        ) from error


def changes() -> tuple[Change, ...]:
    """Return all changes of rules, the oldest first."""
    return tuple(
        Change(**{**entry, "claims": tuple(entry["claims"])}) for entry in _load(HISTORY)["changes"]
    )


def rule_date(number: int, public: bool = False) -> str:
    """Return the date of a claim's present rule: of its last change, or of the first list.

    Args:
        number: of the claim.
        public: the rule for public measurements, and not that for IconShift.
    """
    first = _load(HISTORY)["first_public_rules" if public else "first_rules"]
    return max([first, *(c.date for c in changes() if number in c.claims and c.public == public)])


def _named(source: Source | None) -> object:
    if not isinstance(source, Derived):
        return source
    return [source.function.__name__, list(source.args), _statements(source.function)]


def _statements(function: Callable) -> str:
    """Return the source of a function without its docstring and without blanks.

    The docstring is located in the source: ``__doc__`` has other indents from Python 3.13 on.
    """
    source = textwrap.dedent(inspect.getsource(function))
    definition = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(definition, ast.FunctionDef) and ast.get_docstring(definition) is not None:
        docstring = definition.body[0]
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    return re.sub(r"\s+", "", "".join(lines))


def rule_hash(claim: Ruled) -> str:
    """Return a hash of a rule's quantities, bounds and correction, without its words.

    Example:
        >>> from wiseft_lite.book.claims import CLAIMS
        >>> rule_hash(CLAIMS[0]) == rule_hash(CLAIMS[0]) != rule_hash(CLAIMS[1])
        True
    """
    pieces = [
        {
            "of": _named(e.of),
            "minus": e.minus,
            "above": repr(e.above),
            "below": repr(e.below),
            "gain": _named(e.gain),
            "exact": e.exact,
        }
        for e in claim.evidence
    ]
    return hashlib.sha256(json.dumps([pieces, PROCEDURE], sort_keys=True).encode()).hexdigest()[:12]


def experiments(claim: Ruled) -> tuple[str, ...]:
    """Return the experiments whose keys and tables a claim uses, such as ``ch06``."""
    sources = [
        source for e in claim.evidence for source in (e.of, e.minus, e.gain) if source is not None
    ]
    found = [
        source.experiments if isinstance(source, Derived) else (source.partition(".")[0],)
        for source in sources
    ]
    return tuple(sorted({name for names in found for name in names}))


def in_force(claims: Sequence[Ruled], experiment: str) -> dict[str, str]:
    """Return the hashes of the rules that use an experiment, by the number of their claim."""
    return {
        str(claim.number): rule_hash(claim) for claim in claims if experiment in experiments(claim)
    }


def stamp(experiment: str, hashes: dict[str, str], path: Path = RECORD) -> None:
    """Record the rules in force at the start of an experiment, with the date.

    Args:
        experiment: such as ``"ch06"``.
        hashes: of the rules, from ``in_force`` before the run.
        path: of the record.
    """
    known = _load(path) if path.exists() else {}
    known[experiment] = {"measured": datetime.date.today().isoformat(), "rules": hashes}
    path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def unlisted(claims: Sequence[Ruled], path: Path = RECORD) -> list[str]:
    """Return a line for each change of a rule that is missing from ``history.json``."""
    record = _load(path)
    listed = {(number, known) for change in changes() for number, known in change.hashes.items()}
    wrong = []
    for claim in claims:
        number, now = str(claim.number), rule_hash(claim)
        for experiment in experiments(claim):
            before = record.get(experiment, {}).get("rules", {}).get(number)
            if before != now and (number, now) not in listed:
                wrong.append(
                    f"claim {number}: its rule on {experiment} was {before} when that was measured, now it is {now}; "
                    f'add the change to history.json with date, reason and "hashes": {{"{number}": "{now}"}}'
                )
    return wrong
