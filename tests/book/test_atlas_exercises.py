"""The misconceptions of the exercises on the atlas differ from the right answer on inputs drawn anew."""

import numpy as np
import pytest

from wiseft_lite.book.exercises import atlas

INPUTS = {
    "2.6": lambda generator: (*atlas._models(generator), float(generator.uniform(0.85, 0.97))),
    "2.7": atlas._clusters,
    "2.8": atlas._with_an_error,
    "5.6": atlas._three_columns,
    "13.6": atlas._two_models,
}
CODE = [exercise for exercise in atlas.ALL if callable(exercise.solution)]
each = pytest.mark.parametrize("exercise", CODE, ids=lambda e: e.name)


def test_all_are_here():
    assert {exercise.name for exercise in CODE} == set(INPUTS) and len(atlas.ALL) >= 6


@each
@pytest.mark.parametrize("seed", [1, 2])
def test_a_wrong_answer_is_wrong_on_inputs_drawn_anew(exercise, seed):
    generator = np.random.default_rng(seed)
    drawn = [INPUTS[exercise.name](generator) for _ in range(60)]
    formulas = [exercise.solution, *(formula for formula, _ in exercise.wrong)]
    for k, one in enumerate(formulas):
        for other in formulas[:k]:
            apart = sum(not atlas._same(one(*inputs), other(*inputs)) for inputs in drawn)
            assert apart >= 3, (exercise.name, one, other)


@each
def test_no_argument_is_changed(exercise):
    inputs = INPUTS[exercise.name](np.random.default_rng(3))
    before = repr(inputs)
    exercise.solution(*inputs)
    assert repr(inputs) == before
