"""Put questions into the built pages that a reader answers there, without Python.

Exercises that are answered by a letter or by a number need nothing that a notebook computes. For each
of them the page gets an empty element, and ``book/_static/questions.js`` makes a form of it. What
the element holds comes from the exercise that the cell names: which answers are right, how far off
they may be, and what its check reports about every other answer.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import nbformat
import numpy as np

from wiseft_lite.book.checks import Choice, Number
from wiseft_lite.book.checks.exercise import CORRECT, NOT_YET
from wiseft_lite.book.checks.plain import COMMA, KNOWN, MALFORMED, UNKNOWN, allowed_error
from wiseft_lite.book.checks.values import describe

IMPORT = re.compile(r"^from (wiseft_lite\.book\.exercises) import (\w+)(?: as (\w+))?", re.M)
CHECK = re.compile(r"^\w+ = (\w+)\.(\w+)\.check\(\w+\)", re.M)
SCRIPT = '<script defer src="../_static/questions.js"></script>'


def of_choice(exercise: Choice) -> dict[str, Any]:
    """Return the right letter of an exercise and the report on every letter."""
    reports = {
        letter: NOT_YET.format(name=exercise.name, message=exercise.verdict(letter))
        for letter in exercise.wrong
    }
    reports[exercise.solution] = CORRECT.format(name=exercise.name)
    return {"right": exercise.solution, "reports": dict(sorted(reports.items()))}


def of_number(exercise: Number) -> dict[str, Any]:
    """Return the numbers that the check of an exercise knows, and its reports.

    A number is a list with one pair per part, the value and how far an answer may be from it. The
    words in braces in a report are for the page to fill in.
    """

    def right(value: Any) -> list[tuple[float, float]]:
        values = np.asarray(value, dtype=np.float64).ravel().tolist()
        return [(part, allowed_error(part, exercise.tolerance)) for part in values]

    def wrong(value: Any) -> list[tuple[float, float]]:
        return list(zip(np.ravel(value).tolist(), exercise.margins(value), strict=True))

    def not_yet(message: str) -> str:
        return NOT_YET.format(name=exercise.name, message=message)

    any_text = describe("?").replace("'?'", "{given}")
    return {
        "right": right(exercise.solution),
        "wrong": [(wrong(value), reason) for value, reason in exercise.wrong],
        "reports": {
            "correct": CORRECT.format(name=exercise.name),
            "known": not_yet(KNOWN),
            "unknown": not_yet(UNKNOWN),
            "comma": not_yet(COMMA),
            # The page has one field for each number.
            "malformed": not_yet(MALFORMED.format(what="a number", given=any_text)),
        },
    }


def question_of(exercise: Choice | Number) -> dict[str, Any]:
    """Return what a page needs to judge an answer as the exercise's check does."""
    kind, rest = (
        ("choice", of_choice(exercise))
        if isinstance(exercise, Choice)
        else ("number", of_number(exercise))
    )
    return {"name": exercise.name, "kind": kind, **rest}


def element(question: dict[str, Any]) -> str:
    """Return the element that the script turns into a form.

    Base64 keeps a reader who looks at the page's source from seeing the answer before thinking about
    it. It is no secret: the solution is on the same page.
    """
    hidden = base64.b64encode(json.dumps(question).encode()).decode()
    return f'<div class="question" data-question="{hidden}"></div>'


def with_element(text: str, question: dict[str, Any], html: str) -> str:
    """Insert an element below the question in a cell's text, and above its first hint.

    Raises:
        ValueError: the text has no heading of this exercise.
    """
    before, heading, after = text.rpartition(f"### Exercise {question['name']} ")
    if not heading:
        raise ValueError(
            f"the cell above the check of exercise {question['name']} must have its heading"
        )
    asked, hint, rest = after.partition("\n<details")
    return f"{before}{heading}{asked.rstrip()}\n\n{html}\n{hint}{rest}"


def asked(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, Choice | Number]]:
    """Yield the exercises of a notebook that are answered by a letter or a number, each with the
    place of the cell that checks it."""
    modules = {}
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        for package, module, alias in IMPORT.findall(cell.source):
            modules[alias or module] = importlib.import_module(f"{package}.{module}")
        for module, name in CHECK.findall(cell.source):
            exercise = getattr(modules[module], name)
            if isinstance(exercise, (Choice, Number)):
                yield place, exercise


def add_questions(notebook: nbformat.NotebookNode) -> None:
    """Insert the questions of a notebook, and the script if there are any."""
    script = f"\n{SCRIPT}"
    for place, exercise in asked(notebook):
        question, above = question_of(exercise), notebook.cells[place - 1]
        above.source = with_element(above.source, question, element(question) + script)
        script = ""
