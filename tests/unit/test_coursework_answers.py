"""The hidden tests of the coursework tell right answers from wrong ones, and report the reason."""

import functools

import nbformat
import pytest
import torch
import yaml
from coursework import build
from submissions import (
    CONSTANTS,
    IMPORTS,
    NUMBERS,
    STYLES,
    WRONG,
    borrowing,
    changing,
    crashing,
    named,
)

NAMES = [path.stem for path in build.masters()]
QUESTIONS = [(name, k) for name in NAMES for k in (1, 2, 3)]
each = pytest.mark.parametrize(("name", "k"), QUESTIONS, ids=lambda value: str(value))


@functools.cache
def cells(name):
    return [c["source"] for c in nbformat.read(build.MASTERS / f"{name}.ipynb", 4)["cells"]]


@functools.cache
def hidden_tests(name, k):
    """The hidden tests of a question: points and function."""
    sources = cells(name)
    begin = next(i for i, s in enumerate(sources) if s.strip().endswith(f"name: {name}_q{k}"))
    found = []
    for source in sources[begin : sources.index("# END QUESTION", begin)]:
        if "hidden: true" in source:
            names = {}
            exec(source, names)
            config = yaml.safe_load(source.split('"""')[1].split("\n", 1)[1])
            function = next(value for key, value in names.items() if key.startswith("test_"))
            found.append((config["points"], function))
    return found


@functools.cache
def solution(name, k):
    source = next(s for s in cells(name) if f"def {named(CONSTANTS[name][k - 1])}(" in s)
    return source.replace("    # BEGIN SOLUTION\n", "").replace("    # END SOLUTION", "")


def environment(name, *answers):
    """What a notebook defines, without its data."""
    names = {}
    given = [source for source in cells(name) if source.startswith("def network")]
    for source in (IMPORTS, *given, *answers):
        exec(source, names)
    return names


def graded(name, k, answer):
    """The points for an answer to a question, and why each hidden test failed."""
    before = [solution(name, 1)] if (name, k) == ("a3", 2) else []  # line_curve may use mix
    names, points, reasons = environment(name, *before, answer), 0, []
    for worth, test in hidden_tests(name, k):
        try:
            test(names)
            points += worth
        except AssertionError as error:
            reasons.append(str(error))
    return points, reasons


def all_points(name, k):
    return sum(points for points, _ in hidden_tests(name, k))


@each
def test_the_solution_and_three_other_styles_earn_every_point_whatever_is_drawn(name, k):
    styles = STYLES[name][k - 1]
    assert len(styles) >= 3
    for answer in (solution(name, k), *styles):
        for _ in range(2):
            assert graded(name, k, answer) == (all_points(name, k), []), answer


@each
def test_three_wrong_answers_earn_what_is_right_in_them_and_are_told_the_reason(name, k):
    wrong = [(row[k - 1], row[3][k - 1]) for row in WRONG[name]]
    assert len(wrong) >= 3
    for answer, deserved in wrong:
        points, reasons = graded(name, k, answer)
        assert points == deserved < all_points(name, k), answer
        assert all("Your function" in r or "On this input it goes wrong" in r for r in reasons)


@each
def test_a_value_that_is_always_the_same_earns_nothing(name, k):
    """A constant, and what the first call of the solution returned, which a student may copy."""
    assert graded(name, k, CONSTANTS[name][k - 1])[0] == 0
    function = named(solution(name, k))
    copied = (
        f"{solution(name, k)}\nright, seen = {function}, []\n"
        f"def {function}(*inputs):\n"
        "    seen.append(right(*inputs))\n    return seen[0]"
    )
    assert graded(name, k, copied)[0] == 0


@each
def test_a_right_answer_that_changes_what_it_is_given_earns_nothing(name, k):
    points, reasons = graded(name, k, changing(solution(name, k)))
    assert points == 0 and all("changes its argument" in reason for reason in reasons)


@each
def test_a_crash_and_a_forgotten_return_earn_nothing_and_are_named(name, k):
    points, reasons = graded(name, k, crashing(solution(name, k)))
    assert points == 0 and all("raised NameError: name 'missing'" in r for r in reasons)
    head = solution(name, k).split("\n")[0]
    points, reasons = graded(name, k, f"{head}\n    pass")
    assert points == 0 and all("returns None: is a return missing" in r for r in reasons)


@pytest.mark.parametrize(
    ("name", "k", "answer"),
    [
        ("a3", 1, borrowing(solution("a3", 1))),
        (
            "a4",
            2,
            "from wiseft_lite.analysis.robustness import fit_baseline\n"
            "def fit_line(x, y):\n    line = fit_baseline(x, y)\n    return line.slope, line.intercept",
        ),
        (
            "a4",
            3,
            "from wiseft_lite.analysis.robustness import Baseline, effective_robustness\n"
            "def redrawn_rho(a, b, slope, intercept, draws):\n"
            "    line = Baseline(slope, intercept)\n"
            "    return [100 * effective_robustness(a[d].double().mean().item(), b[d].double().mean().item(), line)\n"
            "            for d in draws]",
        ),
    ],
)
def test_a_function_of_the_library_is_recognised(name, k, answer):
    points, reasons = graded(name, k, answer)
    assert points == 0 and any("come from our own" in reason for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_were_not_measured_earn_nothing(name):
    names = environment(name, solution(name, 1), f"STUDENT = 3\nresult = {NUMBERS[name]}")
    for _, test in hidden_tests(name, 4):
        with pytest.raises(AssertionError):
            test(names)


def test_new_inputs_are_drawn_at_each_grading():
    """A table of right answers for inputs seen at an earlier grading is of no use at the next."""
    seen, right = {}, environment("a1", solution("a1", 2))["recall"]
    key = lambda *inputs: tuple(map(str, inputs))  # noqa: E731

    def noting(*inputs):
        seen[key(*inputs)] = right(*inputs)
        return seen[key(*inputs)]

    for _, test in hidden_tests("a1", 2):
        test({"recall": noting})
    for _, test in hidden_tests("a1", 2):
        with pytest.raises(AssertionError):
            test({"recall": lambda p, y, n: seen.get(key(p, y, n), torch.zeros(n))})
    assert len(seen) == 12
