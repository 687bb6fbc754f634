"""The checks are tested with answers: right ones pass, wrong ones are refused for the right reason."""

import contextlib
import copy
import functools
import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest
import torch
import typed

import wiseft_lite.book.exercises
from wiseft_lite.book.checks import Choice, Code, Number
from wiseft_lite.book.checks.plain import allowed_error
from wiseft_lite.book.checks.values import describe

CHAPTERS = [module.name for module in pkgutil.iter_modules(wiseft_lite.book.exercises.__path__)]
EXERCISES = [
    exercise
    for chapter in CHAPTERS
    for exercise in importlib.import_module(f"wiseft_lite.book.exercises.{chapter}").ALL
    if isinstance(exercise, (Choice, Code, Number))
]


def _collected(kind):
    found = {}
    for chapter in CHAPTERS:
        with contextlib.suppress(ModuleNotFoundError):
            found |= getattr(importlib.import_module(f"answers.{chapter}"), kind)
    return found


RIGHT, WRONG = _collected("RIGHT"), _collected("WRONG")


def of(kind):
    chosen = [exercise for exercise in EXERCISES if isinstance(exercise, kind)]
    return pytest.mark.parametrize("exercise", chosen, ids=lambda exercise: exercise.name)


each, each_code, each_number, each_choice = of(object), of(Code), of(Number), of(Choice)


@functools.cache
def briefly(exercise):
    """Return an exercise that draws one new input of each kind, where the number does not matter."""
    brief = copy.copy(exercise)
    brief.draws = 1
    return brief


@functools.cache
def named(exercise, answer, seed=1):
    """Which misconceptions a check names, by their places in the exercise; None if it passes."""
    trials = exercise.trials(answer, seed)
    if exercise.passed(trials):
        return None
    explained = exercise.misconceptions(trials)
    return [k for k, (_, text) in enumerate(exercise.wrong) if text[1:] in " ".join(explained)]


@each_code
def test_right_functions_in_several_styles_pass(exercise):
    styles = RIGHT[exercise.name]
    assert len(styles) >= 3
    for style in styles:
        for seed in (1, 2):
            assert exercise.verdict(style, seed) is None, (style, exercise.verdict(style, seed))


@each_code
def test_each_misconception_is_named_for_its_own_formula_only(exercise):
    assert len(exercise.wrong) >= 2
    for k, (formula, text) in enumerate(exercise.wrong):
        assert named(exercise, formula) == [k], text


def test_each_misconception_of_exercise_8_4_is_named_whatever_is_drawn():
    """Its barriers are often 0, where several formulas agree; so one seed would not notice a missing input."""
    walls = next(exercise for exercise in EXERCISES if exercise.name == "8.4")
    wrong = [
        (seed, k, found)
        for seed in range(20)
        for k, (formula, _) in enumerate(walls.wrong)
        if (found := named.__wrapped__(walls, formula, seed)) != [k]
    ]
    assert not wrong


@each_code
def test_other_wrong_functions_are_refused_without_a_guess(exercise):
    others = WRONG.get(exercise.name, [])
    assert len(exercise.wrong) + len(others) >= 5
    for place, answer in enumerate(others):
        assert named(exercise, answer) == [], place


LEFT = {  # of the starter of 4.4: which faults a student has not fixed, and the sentences for them
    ("inside", False, "inside", False): ["removes that of", "count the same", "what the last part"],
    ("before", False, "inside", False): ["count the same", "clip after each", "what the last part"],
    ("never", False, "inside", False): [
        "of the step before are still",
        "count the same",
        "clip after each",
        "what the last part",
    ],
    ("before", False, "after", False): ["count the same", "what the last part"],
    ("before", True, "inside", False): ["clip after each", "what the last part"],
    ("before", True, "after", False): ["what the last part"],
}


@pytest.mark.parametrize("left", LEFT, ids=str)
def test_the_faults_that_are_left_in_a_starter_are_named_together(left):
    update = next(exercise for exercise in EXERCISES if exercise.name == "4.4")
    answer = importlib.import_module("answers.ch04").update_by_parts_of_the_starter(*left)
    named_now = update.misconceptions(update.trials(answer, 1))
    words = LEFT[left]
    if len(words) > 1:
        assert named_now.pop(0) == f"At least {len(words)} faults are left:"
    assert len(named_now) == len(words)
    assert all(word in text for word, text in zip(words, named_now, strict=True)), named_now


@each_code
def test_a_crash_is_reported_with_its_line(exercise):
    exercise = briefly(exercise)

    def crashing(*_):
        return undefined_name  # noqa: F821

    message = exercise.verdict(crashing)
    assert message.startswith("Your function raised NameError") and "undefined_name" in message
    assert "line " in message and named(exercise, crashing) == []


@torch.no_grad()
def spoil(value):
    """Change a value in place; return whether that is possible."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        value[...] = 1 - value.int() if value.dtype == torch.bool else value + 1
        return True
    if isinstance(value, pd.DataFrame):
        value["new"] = 0
        return True
    if isinstance(value, pd.Series):
        value.iloc[0] += 1
        return True
    if isinstance(value, list):
        return bool(value) and (spoil(value[0]) or value.append(value[0]) is None)
    if isinstance(value, dict):
        return any(spoil(part) for part in value.values())
    return False


@each_code
def test_a_changed_argument_is_reported(exercise):
    exercise = briefly(exercise)
    right = RIGHT[exercise.name][0]
    spoilt = []

    def spoiling(*args):
        value = right(*args)
        spoilt.append([spoil(arg) for arg in args])
        return value

    trials = exercise.trials(spoiling, 1)
    changeable = set(trials[0].inputs) - set(exercise.may_change)
    if any(map(any, spoilt)) and changeable:
        message = exercise.verdict(spoiling, 1)
        assert "changes its argument" in message
    else:
        assert exercise.verdict(spoiling, 1) is None


@each_code
def test_a_constant_is_told_so(exercise):
    trials = exercise.trials(RIGHT[exercise.name][0], 1)
    for trial in (trials[0], trials[-1]):
        message = exercise.verdict(lambda *_, value=trial.theirs.returned[-1]: value, 1)
        assert "returns the same value" in message


@each_code
def test_a_function_of_ours_is_recognised(exercise):
    exercise = briefly(exercise)
    message = exercise.verdict(lambda *args: exercise.solution(*args), 1)
    assert "come from our own" in message
    assert "our solution" in exercise.verdict(exercise.solution)


@each_number
def test_numbers(exercise):
    right, other = exercise.solution, WRONG.get(exercise.name, [])
    as_array = np.array(right, dtype=np.float64)
    styles = [
        right,
        as_array,
        torch.tensor(right),
        np.float64(right) if as_array.ndim == 0 else list(right),
    ]
    for style in styles:
        assert exercise.verdict(style) is None
    assert len(exercise.wrong) >= 2 and len(exercise.wrong) + len(other) >= 5
    for value, text in exercise.wrong:
        assert exercise.verdict(value).endswith(text)
        assert sum(text in exercise.verdict(value) for _, text in exercise.wrong) == 1
    for value in other:
        assert exercise.verdict(value).endswith("is not right."), value
        assert outside(exercise, value), value
    for value in ("many", [right, right, right], True, lambda: right, float("nan")):
        assert exercise.verdict(value) is not None


def outside(exercise, value):
    """Whether a wrong number is refused as well if it is typed with four digits, and by a margin."""
    typed = [float(f"{part:.4g}") for part in np.ravel(value)]
    gaps = np.abs(np.ravel(value) - np.ravel(exercise.solution))
    allowed = [allowed_error(part, exercise.tolerance) for part in np.ravel(exercise.solution)]
    near = not (gaps > 1.25 * np.array(allowed)).any()
    return not near and exercise.verdict(typed if len(typed) > 1 else typed[0]) is not None


@each_choice
def test_choices(exercise):
    right = exercise.solution
    for style in (right, right.lower(), f" {right}) ", f"{right}."):
        assert exercise.verdict(style) is None
    letters = sorted([right, *exercise.wrong])
    assert letters == list("ABCDEF"[: len(letters)]) and len(letters) >= 3
    for letter, text in exercise.wrong.items():
        assert exercise.verdict(letter).endswith(text)
    for answer in ("F", "AB", "", 1, True, ["A"], lambda: right):
        assert "one of the letters" in exercise.verdict(answer)


def dots(*_): ...


def documented(*_):
    """A docstring only."""


@each
@pytest.mark.parametrize(
    "answer", [None, ..., dots, documented], ids=["None", "...", "dots", "doc"]
)
def test_a_blank_goes_on_with_the_solution(exercise, answer, capsys):
    if callable(answer) and not isinstance(exercise, Code):
        return
    assert exercise.check(answer) is exercise.solution
    assert "still blank" in capsys.readouterr().out


@each
def test_a_check_goes_on_with_what_is_right(exercise, capsys):
    exercise = briefly(exercise)
    styles = RIGHT[exercise.name] if isinstance(exercise, Code) else [exercise.solution]
    for style in styles:
        used = exercise.check(style)
        assert "correct" in capsys.readouterr().out
        if isinstance(exercise, Code):
            assert used is style or type(form(exercise, used)) is type(
                form(exercise, exercise.solution)
            )
        else:
            assert used == style
    assert exercise.check(object()) is exercise.solution
    assert "not yet" in capsys.readouterr().out


def form(exercise, function):
    return describe(exercise.trials(function, 1)[0].theirs.returned[0])


def test_there_is_no_answer_without_an_exercise():
    names = [exercise.name for exercise in EXERCISES]
    assert len(set(names)) == len(names) and not (RIGHT.keys() | WRONG.keys()) - set(names)


def test_the_example_for_contributors_passes_what_every_exercise_must(monkeypatch, capsys):
    blocks = [
        b.text for b in typed.blocks(typed.ROOT / "CONTRIBUTING.md") if b.language == "python"
    ]
    space = {"Code": Code, "np": np, "torch": torch}
    for block in blocks:
        exec(block, space)
    exercise = space["disagreement"]
    for kind, answers in (("RIGHT", RIGHT), ("WRONG", WRONG)):
        assert exercise.name not in answers
        monkeypatch.setitem(answers, exercise.name, space[kind][exercise.name])
    test_right_functions_in_several_styles_pass(exercise)
    test_each_misconception_is_named_for_its_own_formula_only(exercise)
    test_other_wrong_functions_are_refused_without_a_guess(exercise)
    test_a_crash_is_reported_with_its_line(exercise)
    test_a_changed_argument_is_reported(exercise)
    test_a_constant_is_told_so(exercise)
    test_a_function_of_ours_is_recognised(exercise)
    test_a_check_goes_on_with_what_is_right(exercise, capsys)


def test_the_confusion_matrix_is_diagonal(capsys):
    rows = []
    for exercise in EXERCISES:
        if isinstance(exercise, Code):
            found = [named(exercise, formula) or [] for formula, _ in exercise.wrong]
            own = sum(k in places for k, places in enumerate(found))
            rows.append((exercise.name, len(found), own, sum(map(len, found)) - own))
    table = pd.DataFrame(rows, columns=["exercise", "formulas", "named", "of others"])
    with capsys.disabled():
        print(
            f"\nmisconceptions: {table.formulas.sum()} formulas, {table.named.sum()} named for "
            f"their own, {table['of others'].sum()} for another's"
        )
    assert (table.formulas == table.named).all() and (table["of others"] == 0).all(), table
