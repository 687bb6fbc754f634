"""Every exercise: the solution passes, a blank is skipped, each wrong answer gets its own message."""

import importlib
import pkgutil

import pytest

import wiseft_lite.book.exercises

EXERCISES = [
    exercise
    for module in pkgutil.iter_modules(wiseft_lite.book.exercises.__path__)
    for exercise in importlib.import_module(f"wiseft_lite.book.exercises.{module.name}").ALL
]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)


@each
def test_the_solution_passes(exercise, capsys):
    assert exercise.verdict(exercise.solution) is None
    assert exercise.check(exercise.solution) is exercise.solution
    assert "correct" in capsys.readouterr().out


@each
def test_each_wrong_answer_gets_its_own_message(exercise, capsys):
    assert len(exercise.wrong) >= 2
    for answer, words in exercise.wrong:
        message = exercise.verdict(answer)
        assert message is not None and words in message, (exercise.name, words, message)
        assert exercise.check(answer) is exercise.solution
        assert message.split() == capsys.readouterr().out.split()[-len(message.split()) :]
    messages = [words for _, words in exercise.wrong]
    assert len(set(messages)) == len(messages)


def blank(*_): ...


@each
@pytest.mark.parametrize("answer", [None, ..., blank], ids=["None", "dots", "function"])
def test_a_blank_goes_on_with_the_reference(exercise, answer, capsys):
    assert exercise.check(answer) is exercise.solution
    assert "still blank" in capsys.readouterr().out


def test_an_answer_that_raises_is_no_crash():
    def broken(*_):
        raise KeyError("head")

    for exercise in EXERCISES:
        assert "KeyError" in exercise.verdict(broken) or not callable(exercise.solution)
