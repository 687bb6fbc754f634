"""The exercise cells of every notebook: blank, unchanged, solved, and with a crash.

Only functions, imports and checks of the cells are run, so that a notebook takes no second.
"""

import ast
import contextlib
import importlib
import linecache
import re

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from test_chapters import CHAPTERS, cells

from wiseft_lite.book.checks import Code
from wiseft_lite.book.exercises import atlas

CHECK = re.compile(r"^(\w+) = (ch\d+|on_atlas)\.(\w+)\.check\((\w+)\)", re.M)
each = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)


def module_of(path):
    return importlib.import_module(f"wiseft_lite.book.exercises.ch{path.stem[:2]}")


def checked_in(found, path):
    """The exercise that a cell checks: one of its chapter, or one on the atlas."""
    return getattr(atlas if found[2] == "on_atlas" else module_of(path), found[3])


def exercise_cells(path):
    """Code cells with a check or a solution, in order, as their source."""
    for _, source in cells(path, "code"):
        if CHECK.search(source) or source.startswith("#@title Solution"):
            yield source


def essential(source):
    """The functions, imports, checks, constants and assertions of a cell; of a solution, all
    assignments."""
    kinds = (ast.FunctionDef, ast.Import, ast.ImportFrom, ast.Assert)
    solution = source.startswith("#@title")
    return [
        node
        for node in ast.parse(source).body
        if isinstance(node, kinds)
        or (
            isinstance(node, ast.Assign)
            and (solution or CHECK.match(ast.unparse(node)) or isinstance(node.value, ast.Constant))
        )
    ]


def run(nodes, space):
    """Run statements; an assignment that needs the rest of the notebook is left out."""
    for node in nodes:
        source = ast.unparse(node)
        optional = isinstance(node, ast.Assign) and not CHECK.match(source)
        with contextlib.suppress(*[NameError] * optional):
            exec(compiled(source), space)


def compiled(source):
    """Code whose source a function can be asked for, as in a notebook."""
    name = f"<cell {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec")


def with_crash(nodes, name):
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            node.body = ast.parse("raise RuntimeError('a crash')").body
    return nodes


@pytest.fixture
def space(request):
    path = request.node.callspec.params["path"]
    chapter = module_of(path)
    return {
        "torch": torch,
        "F": F,
        "np": np,
        "pd": pd,
        chapter.__name__.rpartition(".")[2]: chapter,
    }


@each
def test_every_exercise_is_checked_once_on_the_variable_that_the_student_writes(path):
    checked = [match for source in exercise_cells(path) for match in CHECK.finditer(source)]
    number = f"{int(path.stem[:2])}."
    expected = [*module_of(path).ALL, *(e for e in atlas.ALL if e.name.startswith(number))]
    assert sorted(checked_in(match, path).name for match in checked) == sorted(
        exercise.name for exercise in expected
    )
    for match in checked:
        assert match[1] == match[4], match[0]  # never check(None): the student's work would be lost


@each
def test_blank_and_unchanged_cells_say_so_and_the_notebook_goes_on(path, space, capsys):
    for source in exercise_cells(path):
        run(essential(source), space)
        found = CHECK.search(source)
        if found:
            exercise = checked_in(found, path)
            starter = getattr(exercise, "starter", None)
            words = "still blank" if starter is None else "is unchanged"
            out = capsys.readouterr().out
            assert f"Exercise {exercise.name}: " in out and words in out, (source, out)
            assert space[found[1]] is exercise.solution


@each
def test_a_crash_is_reported_and_not_fatal(path, space, capsys):
    for source in exercise_cells(path):
        found = CHECK.search(source)
        exercise = checked_in(found, path) if found else None
        nodes = essential(source)
        if isinstance(exercise, Code):
            nodes = with_crash(nodes, found[1])
        run(nodes, space)
        if isinstance(exercise, Code):
            assert "raised RuntimeError: a crash" in capsys.readouterr().out.replace("\n", " ")
            assert space[found[1]] is exercise.solution
