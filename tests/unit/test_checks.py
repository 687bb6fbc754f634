"""The checks themselves: what is certain is reported, and a misconception only if its formula fits."""

import linecache
import re

import numpy as np
import pandas as pd
import pytest
import torch

from wiseft_lite.book.checks import Choice, Code, Number, draw
from wiseft_lite.book.checks.values import agree, converted, describe, show


def pair(generator):
    return [round(x, 3) for x in generator.uniform(1, 9, size=3)], float(generator.uniform(1, 2))


def scaled(values, factor):
    return [factor * value for value in values]


FORGOTTEN = "you forgot the factor."
TWICE = "you multiply twice."
times = Code(
    "0.1",
    scaled,
    [pair],
    [
        (lambda values, factor: values, FORGOTTEN),
        (lambda values, factor: [factor**2 * value for value in values], TWICE),
    ],
)


def written(source):
    """A function of source code, as a notebook's cell has it."""
    name = f"<cell {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space = {}
    exec(compile(source, name, "exec"), space)
    return space["f"]


@pytest.mark.parametrize(
    "right",
    [
        lambda values, factor: np.array(values) * factor,
        lambda values, factor: torch.tensor(values, dtype=torch.float64) * factor,
        lambda values, factor: torch.tensor(values) * factor,
        lambda values, factor: torch.tensor(values, dtype=torch.float16) * factor,
        lambda values, factor: tuple(np.float32(x) * np.float32(factor) for x in values),
        lambda values, factor: pd.Series(values) * factor,
        lambda values, factor: [torch.tensor(x) * factor for x in values],
    ],
)
def test_values_of_any_type_and_precision_are_right(right):
    assert times.verdict(right) is None


def test_an_exception_is_reported_with_its_line_and_without_a_misconception():
    f = written(
        "def f(values, factor):\n    scaled = [factor * v for v in value]\n    return scaled"
    )
    message = times.verdict(f)
    assert "NameError: name 'value' is not defined" in message
    assert "line 2: scaled = [factor * v for v in value]" in message
    assert "factor." not in message


def test_an_exception_in_a_function_that_it_calls_names_the_students_line():
    f = written(
        "def f(values, factor):\n    import torch\n    return torch.ones(2) @ torch.ones(3)"
    )
    assert "line 3: return torch.ones(2) @" in times.verdict(f)


def test_a_wrong_number_of_parameters_is_an_exception():
    assert "TypeError" in times.verdict(lambda values: values)


def test_a_forgotten_return_is_told():
    def forgets(values, factor):
        [factor * value for value in values]

    assert "a return missing" in times.verdict(forgets)


def test_a_changed_argument_is_told_and_spoils_nothing():
    def in_place(values, factor):
        for k in range(len(values)):
            values[k] *= factor
        return values

    for _ in range(3):
        message = times.verdict(in_place)
        assert "changes its argument values" in message and FORGOTTEN[1:] not in message
    assert times.verdict(lambda values, factor: scaled(values, factor)[:]) is not None
    assert times.verdict(lambda values, factor: [value * factor for value in values]) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda values, factor: values[0], "a number instead of a list of 3 items"),
        (lambda values, factor: values[:2], "a list of 2 items instead of a list of 3"),
        (lambda values, factor: {"a": 1}, "a dictionary of 1 item"),
        (lambda values, factor: "many", "the text 'many'"),
        (lambda values, factor: torch.zeros(3, 1), "a tensor [3, 1]"),
        (lambda values, factor: torch.ones(()), "a tensor of one number"),
    ],
)
def test_another_type_or_shape_is_told(answer, words):
    assert words in times.verdict(answer)


def test_the_evidence_is_one_input_with_both_values_and_it_can_be_repeated():
    message = times.verdict(lambda values, factor: [x + 1 for x in values], seed=77)
    assert message == times.verdict(lambda values, factor: [x + 1 for x in values], seed=77)
    lines = message.splitlines()
    assert "(seed 77)" in lines[0] and lines[1].startswith("  values = [")
    assert lines[3].startswith("  expected  [") and lines[4].startswith("  yours     [")
    assert len(lines) == 5, "no misconception without its formula"


def test_a_failure_says_what_the_name_holds_and_how_to_repeat_the_call(capsys):
    scaled_twice = lambda values, factor: scaled(values, factor**2)
    assert times.check(scaled_twice, seed=77) is scaled
    assert capsys.readouterr().out.endswith(
        "To check it on the same inputs again:\n  times.check(scaled_twice, seed=77)\n"
    )
    answer = scaled_twice
    answer = times.check(answer)
    seed = re.search(r"\(seed (\d+)\)", out := capsys.readouterr().out)[1]
    assert "From here on answer is the book's function." in out and "end the cell with" in out
    assert out.endswith(f"\n  times.check(answer, seed={seed})\n") and answer is scaled
    exec(
        compile("check(answer, seed=7)", "<no source>", "exec"),
        {"check": times.check, "answer": sum},
    )
    assert capsys.readouterr().out.endswith("\n  check(..., seed=7)\n")
    half = Number("0.7", 50, [(0.5, "that is a fraction.")])
    percent = 7
    percent = half.check(percent)
    out = capsys.readouterr().out
    assert (
        out
        == "Exercise 0.7: not yet. 7 is not right.\nFrom here on percent is the book's number.\n"
    )


def test_only_what_differs_is_shown_and_named():
    def state(generator):
        return ({name: draw.normal(generator, 6, 4) for name in "abcde"},)

    def without_last(theta):
        return {"theta": {**theta, "e": theta["e"] + 1}, "steps": 3}

    kept = Code("0.9", lambda theta: {"theta": dict(theta), "steps": 3}, [state])
    lines = kept.verdict(without_last, seed=1).splitlines()
    assert lines[2] == "  differ    'theta' 'e' (1 of 6 values)"
    assert re.fullmatch(
        r"  yours     \{'theta': \{'e': a tensor \[6, 4\] with .* at \[\d, \d\]\}\}", lines[4]
    )
    many = kept.verdict(lambda theta: {"theta": {n: 2 * w for n, w in theta.items()}, "steps": 4})
    assert "differ    'theta' 'a', 'theta' 'b'" in many and "'steps' (6 of 6 values)" in many


def test_a_copy_of_a_dictionary_is_told_to_share_its_tensors():
    def shallow(theta):
        copied = dict(theta)
        copied["w"] *= 2
        return copied

    double = Code(
        "0.9", lambda theta: {"w": 2 * theta["w"]}, [lambda g: ({"w": draw.normal(g, 3)},)]
    )
    assert "holds the same tensors" in double.verdict(shallow)


def test_what_is_read_from_a_value_is_not_called_the_value():
    def rows(generator):
        return ([(name, generator.random()) for name in "abc"],)

    def by_name(f, pairs):
        return {f"{row['name']}, twice": row["value"] for row in f(pairs)}

    def right(pairs):
        return [{"name": name, "value": 2 * x} for name, x in pairs]

    twice = Code("0.9", right, [rows], call=by_name)
    assert "returns a list of 1 item instead of a list of 3 items" in twice.verdict(
        lambda pairs: right(pairs)[:1]
    )
    renamed = lambda pairs: [{"name": n, "values": 2 * x} for n, x in pairs]
    message = twice.verdict(renamed)
    assert "a list whose item 0 is a dictionary with other keys" in message
    assert "missing: 'value'; surplus: 'values'." in message
    swapped = twice.verdict(lambda pairs: [{**row, "name": "d"} for row in right(pairs)])
    assert "Its result is read as a dictionary with other keys than expected; missing:" in swapped
    assert "'a, twice', 'b, twice', 'c, twice'; surplus: 'd, twice'." in swapped


def test_inputs_are_new_at_each_check():
    seen = []

    def remembers(values, factor):
        seen.append(tuple(values))
        return [value * factor for value in values]

    times.verdict(remembers)
    first = set(seen)
    times.verdict(remembers)
    assert len(first) == 6 and len(set(seen)) == 11, "one is the same at every check"


def shared(values, factor, start=0, power=1, end=0):
    return [start + factor**power * value + end for value in values]


FAULTS = [
    ({"start": 1}, "the sum does not start at zero."),
    ({"power": 2}, "the factor is squared."),
    ({"power": 0}, "there is no factor."),
    ({"end": 3}, "something is added at the end."),
]


def test_several_faults_are_named_if_they_give_all_values_together():
    faulty = Code("0.9", shared, [pair], faults=FAULTS)
    one = faulty.verdict(lambda values, factor: shared(values, factor, start=1))
    assert one.startswith("The sum does not start at zero.\nOn this")
    both = faulty.verdict(lambda values, factor: shared(values, factor, start=1, power=0))
    assert both.startswith(
        "At least 2 faults are left:\n1. The sum does not start at zero.\n"
        "2. There is no factor.\nOn this"
    )
    three = faulty.verdict(lambda values, factor: shared(values, factor, 1, 2, 3))
    assert (
        three.startswith("At least 3 faults are left:") and three.count("\n2. The factor is") == 1
    )
    assert faulty.verdict(lambda values, factor: shared(values, factor, 5)).startswith("On this")


def test_of_faults_that_others_could_replace_only_the_certain_ones_are_named():
    alike = [*FAULTS, ({"begin": 3}, "something is added at the beginning.")]
    solution = lambda *inputs, begin=0, **setting: [begin + x for x in shared(*inputs, **setting)]
    faulty = Code(
        "0.9", solution, [pair], faults=alike, call=lambda f, values, factor: f(values, factor)
    )
    message = faulty.verdict(lambda values, factor: shared(values, factor, power=2, end=3))
    assert "2 faults are left, among them:\n1. The factor is squared.\nOn this" in message


def test_a_misconception_is_named_only_if_its_formula_gives_all_values():
    message = times.verdict(lambda values, factor: list(values))
    assert message.startswith(f"Y{FORGOTTEN[1:]}\nOn this input"), "the numbers come last"

    def sometimes(values, factor):
        return list(values) if factor < 1.1 else [x + 1 for x in values]

    for seed in range(20):
        assert FORGOTTEN[1:] not in times.verdict(sometimes, seed)


def test_an_exception_can_be_a_misconception():
    def by_index(values, factor):
        return [factor * values["first"] for _ in values]

    strict = Code("0.2", scaled, [pair], [(by_index, "a list has no names.")])
    message = strict.verdict(lambda v, f: [f * v["first"] for _ in v])
    assert message.startswith("Your function raised TypeError") and "no names." in message
    other = strict.verdict(lambda v, f: v + f)
    assert (
        "no names."
        not in other.partition("On this input")[0].partition("line ")[2].partition("\n")[2]
    )


def test_a_constant_and_an_answer_to_one_input_are_told():
    values, factor = times.drawn(0)[0].values()
    copied = times.verdict(lambda *_: scaled(values, factor))
    assert "the same value" in copied and "right for some inputs only" in copied
    assert "the same value" in times.verdict(lambda *_: [1, 2, 3])


def test_the_solution_in_disguise_is_recognised():
    def library(values, factor):
        return [value * factor for value in values]

    strict = Code("0.3", scaled, [pair], [], library=[library])
    for answer in (lambda v, f: scaled(v, f), lambda v, f: tuple(library(v, f)), library):
        assert "our own" in strict.verdict(answer)
    assert "our solution" in strict.verdict(scaled)


def test_what_a_function_prints_is_shown_once(capsys):
    def prints(values, factor):
        print("here")
        return [value * factor for value in values]

    assert times.verdict(prints) is None
    assert capsys.readouterr().out == "here\n"


def test_a_starter_is_recognised_by_its_source(capsys):
    faulty = written("def f(values, factor):\n    return [factor + v for v in values]")
    fix = Code("0.4", scaled, [pair], [], starter=faulty)
    same = "def f(values, factor):  # a comment\n    '''And a docstring.'''\n\n"
    assert fix.check(written(same + "    return [factor + v for v in values]")) is scaled
    assert "unchanged" in capsys.readouterr().out
    assert fix.check(written("def f(values, factor):\n    return [factor - v for v in values]"))
    assert "not yet" in capsys.readouterr().out
    assert fix.check(written("def f(values, factor): ...")) is scaled
    assert "still blank" in capsys.readouterr().out


def test_a_value_that_the_comparison_cannot_use_is_described():
    def total(f, values, factor):
        return sum(f(values, factor)[:3])

    strict = Code("0.5", scaled, [pair], [], call=total)
    assert "a number instead of a list of 3 items" in strict.verdict(lambda values, factor: factor)
    assert strict.verdict(lambda values, factor: [value * factor for value in values]) is None


def test_a_right_function_of_another_type_is_converted_for_the_rest_of_the_notebook(capsys):
    used = times.check(lambda values, factor: np.array(values) * factor)
    assert used([1.0, 2.0], 3.0) == [3.0, 6.0]


def test_random_generators_and_iterators_go_through():
    def drawn(generator):
        return (generator.integers(9, size=4).tolist(), int(generator.integers(99)))

    def add(values, generator):
        return [value + generator.integers(9) for value in values]

    def call(f, values, seed):
        return f(iter(values), np.random.default_rng(seed))

    noisy = Code("0.6", add, [drawn], [], call=call)
    assert noisy.verdict(lambda v, g: [x + g.integers(9) for x in v]) is None
    assert "no len()" in noisy.verdict(lambda v, g: [len(v)])


def test_numbers_in_several_clothes():
    half = Number("0.7", 50, [(0.5, "that is a fraction.")], tolerance=0.5)
    for right in (50, 50.2, "50", "50 %", np.int64(50), torch.tensor(50.0)):
        assert half.verdict(right) is None, right
    assert half.verdict(0.5).endswith("that is a fraction.")
    assert half.verdict(7).endswith("is not right.") and "50" not in half.verdict(7)
    for no_number in ("half", True, [50, 50], None):
        assert "a number" in half.verdict(no_number)


def test_between_a_wrong_number_and_the_solution_no_misconception_is_named():
    close = Number("0.8", 46, [(45.8, "near."), (100, "far.")], tolerance=0.02)
    assert close.verdict(45.8).endswith("near.") and close.verdict(45.85).endswith("near.")
    assert close.verdict(46.2).endswith("is not right.") and close.verdict(100.9).endswith("far.")


def test_of_two_wrong_numbers_the_nearest_is_meant():
    close = Number("0.8", 10, [(100, "far."), (100.9, "near.")])
    assert close.verdict(100.8).endswith("near.") and close.verdict(100).endswith("far.")


def test_letters():
    letter = Choice("0.9", "B", {"A": "the first.", "C": "the third."})
    assert letter.verdict("b)") is None and letter.verdict("C").endswith("the third.")
    assert "A, B, C" in letter.verdict("D")


def test_a_table_is_shown_in_full_if_it_is_small():
    small, large = (pd.DataFrame({"alpha": range(n), "val": range(n)}) for n in (3, 99))
    assert "alpha  val" in show(small) and describe(large) == show(large)


def test_tensors_are_called_tensors_and_types_are_named():
    assert show([torch.arange(2), np.ones(1)]) == "[tensor([0, 1]), array([1])]"
    assert show(torch.bfloat16) == "torch.bfloat16" and show(torch.zeros(30)) == "a tensor [30]"
    batches = [(torch.zeros(8, 4), torch.arange(8))] * 7
    assert show(batches).endswith(
        "(a tensor [8, 4], tensor([0, 1, 2, 3, 4, 5, 6, 7])), … (7 in all)]"
    )


def test_half_precision_is_compared_coarsely_and_shapes_are_not_broadcast():
    third = torch.tensor([100 / 3, 1.0])
    assert agree(third.half(), third) and not agree(third + 1, third)
    assert agree(third, third.bfloat16()) and not agree(third[:, None], third)
    assert not agree(torch.zeros(3), torch.zeros(1))


def test_tables_with_names_are_compared_and_not_converted_to_nothing():
    table = pd.DataFrame({"name": ["a", "b"], "val": [1.0, 2.0]})
    assert agree(table.copy(), table) and not agree(table.assign(val=0.0), table)
    assert not agree([1, 2], table) and not agree("a", table) and not agree(None, table)
    assert converted(table, [1]) is table


def test_comparison_is_relative_to_the_largest_number():
    assert agree([1000.0, 0.001], [1000.0, 0.0]) and not agree(0.001, 0.0)
    assert not agree(float("nan"), 1.0) and agree(float("nan"), float("nan"))


@pytest.mark.parametrize("seed", range(20))
def test_no_two_rows_of_a_drawn_table_tie_in_a_mean(seed):
    rows = draw.table(np.random.default_rng(seed), 8, ["val", "test", "emoji", "sketch"])
    for columns in (["val"], ["emoji", "sketch"], ["test", "emoji", "sketch"], [*rows.columns]):
        assert not rows[columns].sum(axis=1).round(6).duplicated().any()
