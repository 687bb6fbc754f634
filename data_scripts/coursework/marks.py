"""The results of grading: a table of marks, and a page of feedback per student."""

from __future__ import annotations

import csv
import html
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Assignment:
    """The tests and questions of an assignment.

    Args:
        name: such as ``"a1"``.
        tests: sources of otter's test files, by question.
        questions: points, title and whether marked by hand, by question.
    """

    name: str
    tests: Mapping[str, str]
    questions: Mapping[str, dict]


@dataclass
class Result:
    """The result for one file.

    Args:
        status: graded, timed out, crashed, not a notebook, or another assignment.
        student: the number in the notebook.
        points: by question.
        remarks: by question, whether each test passed, and its feedback.
        errors: by index of the code cell.
    """

    file: str
    status: str
    note: str = ""
    student: object = ""
    points: dict[str, float] = field(default_factory=dict)
    remarks: dict[str, list[tuple[bool, str]]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


def table(results: list[Result], assignment: Assignment) -> list[dict]:
    """Return the rows of marks: one per file, sorted by name."""
    by_machine = [q for q, about in assignment.questions.items() if not about["manual"]]
    by_hand = [q for q, about in assignment.questions.items() if about["manual"]]
    numbers = Counter(r.student for r in results if isinstance(r.student, int) and r.student > 0)
    rows = []
    for result in sorted(results, key=lambda r: r.file):
        note = result.note
        if numbers[result.student] > 1:
            note = "; ".join(
                filter(
                    None, [note, f"{numbers[result.student]} submissions have this student number"]
                )
            )
        rows.append(
            {
                "file": result.file,
                "student": result.student,
                "assignment": assignment.name,
                "status": result.status,
                "points": sum(result.points.values()),
                "out_of": sum(assignment.questions[q]["points"] for q in by_machine),
                **{q: result.points.get(q, 0) for q in by_machine},
                **{f"{q} (by hand)": "" for q in by_hand},
                "seconds": round(result.seconds),
                "note": note,
            }
        )
    return rows


def feedback(result: Result, assignment: Assignment) -> str:
    """Return the page of feedback for one file."""
    escape = html.escape
    lines = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>{escape(result.file)}</title><style>body{{font:1rem/1.5 sans-serif;max-width:45rem;margin:2rem auto;"
        "padding:0 1rem}li{margin:.3rem 0;white-space:pre-wrap}</style>",
        f"<h1>{escape(assignment.name.upper())}: {escape(result.file)}</h1><p>Status: <b>{escape(result.status)}</b>. "
        f"{escape(result.note)}</p>",
    ]
    for name, about in assignment.questions.items():
        title = escape(about["title"].partition(" (")[0])
        if about["manual"]:
            lines.append(f"<h2>{title}</h2><p>{about['points']} points, marked by hand.</p>")
            continue
        lines.append(f"<h2>{title}: {result.points.get(name, 0):g} of {about['points']:g}</h2><ul>")
        lines += [
            f"<li>{'✓' if passed else '✗'} {escape(text)}</li>"
            for passed, text in result.remarks.get(name, [])
        ]
        lines.append("</ul>")
    if result.errors:
        lines.append(
            "<h2>Cells that stopped</h2><p>Run your notebook from the top before you hand it in.</p><ul>"
        )
        lines += [
            f"<li>code cell {k + 1}: {escape(text)}</li>"
            for k, text in sorted(result.errors.items())
        ]
        lines.append("</ul>")
    return "\n".join(lines) + "\n</html>\n"


def write(results: list[Result], assignment: Assignment, out: Path) -> None:
    """Write the table of the results so far, atomically."""
    rows = table(results, assignment)
    rows = [
        {k: "'" + v if isinstance(v, str) and v[:1] in "=+-@" and v else v for k, v in row.items()}
        for row in rows
    ]
    part = out.with_name(out.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    os.replace(part, out)
