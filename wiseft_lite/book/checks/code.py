"""Exercises that are answered by a function, which is compared with our own on random inputs."""

from __future__ import annotations

import functools
import inspect
import itertools
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wiseft_lite.book.checks.calls import Outcome, blank, codes, run, unchanged
from wiseft_lite.book.checks.exercise import Exercise
from wiseft_lite.book.checks.values import (
    WrongForm,
    agree,
    converted,
    cut,
    describe,
    listed,
    same,
    show,
)

Inputs = Callable[[np.random.Generator], tuple]
SEEDS = 1_000_000  # a seed that a student may type has six digits
MOST_FAULTS = 4  # that are looked for together


def _as_it_is(function: Callable, *inputs: Any) -> Any:
    return function(*inputs)


@dataclass(frozen=True)
class Trial:
    """One input, what our solution makes of it, and what the student's function does."""

    inputs: Mapping[str, Any]
    ours: Outcome
    theirs: Outcome


class Code(Exercise):
    """An exercise that is answered by a function.

    The student's function and the solution are called on the same inputs: one draw of each kind
    that is the same at every check, and ``draws`` that are new. Each call gets copies. The function
    is right if it returns the solution's values, changes no argument, and is written by the student.

    A message says first what is certain: an exception with its line, a missing return, a changed
    argument, a wrong type or shape, a value that is always the same. It names a misconception only
    if the formula of that misconception gives the student's values on all inputs, and several
    faults only if no single one does and they do together. Last comes the smallest input that went
    wrong, with those of the values that differ.

    Args:
        name: on the page.
        solution: our own function; its parameters, or those of ``call``, name the inputs.
        inputs: functions of a random generator, each returning one kind of inputs as a tuple.
        wrong: wrong answers, each a function with the sentence that names its misconception.
        faults: faults that may occur together, each as keyword arguments of the solution with the
            sentence that names it. Each of them alone is one of the wrong answers too.
        starter: the function that the notebook starts from, if it is not blank but has a fault.
        library: functions that solve the exercise, which the student's should not call.
        call: ``call(function, *inputs)`` returns what is compared, if that is not what the
            function returns. If many answers are right, it is a dictionary of properties.
        may_change: names of inputs that the function is allowed to change.
        tolerance: see ``values.same``.
        draws: new inputs of each kind.

    Example:
        >>> def pair(generator):
        ...     return tuple(generator.normal(size=2).tolist())
        >>> mean = Code("0.1", lambda a, b: (a + b) / 2, [pair],
        ...             [(lambda a, b: a + b, "you forgot to divide by two.")])
        >>> mean.verdict(lambda x, y: 0.5 * x + 0.5 * y) is None
        True
        >>> print(mean.verdict(lambda x, y: y + x, seed=1))
        You forgot to divide by two.
        On this input it goes wrong (seed 1):
          a = 2.041
          b = -2.556
          expected  -0.2574
          yours     -0.5147
    """

    noun = "function"

    def __init__(
        self,
        name: str,
        solution: Callable,
        inputs: Sequence[Inputs],
        wrong: Sequence[tuple[Callable, str]] = (),
        *,
        faults: Sequence[tuple[Mapping[str, Any], str]] = (),
        starter: Callable | None = None,
        library: Collection[Callable] = (),
        call: Callable = _as_it_is,
        may_change: Collection[str] = (),
        tolerance: float = 1e-4,
        draws: int = 5,
    ):
        self.name, self.solution, self.inputs = name, solution, inputs
        alone = [(functools.partial(solution, **setting), text) for setting, text in faults]
        self.wrong: list[tuple[Callable, str]] = [*alone, *wrong]
        self.faults = faults
        self.starter, self.library, self.call = starter, library, call
        self.may_change, self.tolerance, self.draws = may_change, tolerance, draws
        self._last: tuple[int, int] | None = (
            None  # seed and draws of the last check, whose pairs are kept
        )
        self._pairs: list[tuple[dict[str, Any], Outcome]] = []
        self._wrong_outcomes: dict[tuple[int, int], Outcome] = {}  # by formula and inputs

    def untouched(self, answer: Any) -> str | None:
        """Return "still blank" or "unchanged" for a starter; see :class:`Exercise`."""
        if answer is None or answer is ... or blank(answer):
            return "still blank"
        if self.starter is not None and unchanged(answer, self.starter):
            return "the function is unchanged"
        return None

    def verdict(self, answer: Any, seed: int | None = None) -> str | None:
        """Return None for a right function, else a message; see :class:`Exercise`."""
        if not callable(answer):
            return f"Pass the function itself, without calling it; yours is {describe(answer)}."
        if answer is self.solution:
            return "This is our solution. Run the cell that defines your function, then check it."
        seed = self.new_seed() if seed is None else seed
        trials = self.trials(answer, seed)
        if self.passed(trials):
            return _borrowed(trials)
        shown = min((t for t in trials if not self._agrees(t)), key=_plainness)
        facts = _facts(trials, shown, self.tolerance)
        return "\n".join([*facts, *self.misconceptions(trials), self._evidence(shown, seed)])

    def new_seed(self) -> int:
        """Return a seed for the inputs of a check; see :class:`Exercise`."""
        return random.SystemRandom().randrange(SEEDS)

    def usable(self, answer: Callable) -> Callable:
        """Return a right function; one that returns another type than ours, with a conversion."""
        trial = self.trials(answer, seed=0)[0]
        like = trial.ours.returned[0]
        if type(trial.theirs.returned[0]) is type(like):
            return answer

        @functools.wraps(answer)
        def convert(*args: Any, **kwargs: Any) -> Any:
            return converted(answer(*args, **kwargs), like)

        return convert

    def drawn(self, seed: int) -> list[dict[str, Any]]:
        """Return the inputs of one check, by the names of the solution's parameters."""
        generators = [np.random.default_rng(0)]  # the same at every check
        generators += [np.random.default_rng(seed + k) for k in range(self.draws)]
        described = self.solution if self.call is _as_it_is else functools.partial(self.call, None)
        names = list(inspect.signature(described).parameters)
        return [
            dict(zip(names, kind(generator), strict=False))
            for kind in self.inputs
            for generator in generators
        ]

    def trials(self, answer: Callable, seed: int) -> list[Trial]:
        """Call the solution and an answer on the inputs of one check."""
        watched = codes([self.solution, *self.library])
        return [
            Trial(inputs, ours, self._run(answer, inputs, watched, k))
            for k, (inputs, ours) in enumerate(self._expected(seed))
        ]

    def _expected(self, seed: int) -> list[tuple[dict[str, Any], Outcome]]:
        """Return the inputs of one check with the solution's outcomes, computed once for each seed."""
        if self._last != (seed, self.draws):
            self._pairs = [
                (inputs, self._run(self.solution, inputs)) for inputs in self.drawn(seed)
            ]
            self._last, self._wrong_outcomes = (seed, self.draws), {}
        return self._pairs

    def passed(self, trials: Sequence[Trial]) -> bool:
        """Return whether an answer gave the solution's values on all inputs."""
        return all(self._agrees(trial) for trial in trials)

    def misconceptions(self, trials: Sequence[Trial]) -> list[str]:
        """Return the sentences of those wrong answers that give the values of an answer that did not
        pass, on all inputs; if there are none, those of several faults that do so together."""
        alone = [_sentence(text) for formula, text in self.wrong if self._explains(formula, trials)]
        return alone or self._together(trials)

    def _together(self, trials: Sequence[Trial]) -> list[str]:
        """Return the faults that give an answer's values together, as few as possible.

        If other faults, as many, give the same values, only those that are always among them are named.
        """
        for size in range(2, min(len(self.faults), MOST_FAULTS) + 1):
            found = [
                {text for _, text in faults}
                for faults in itertools.combinations(self.faults, size)
                if self._explain(faults, trials)
            ]
            if found:
                texts = [text for _, text in self.faults if text in set.intersection(*found)]
                named = [f"{k}. {_sentence(text)}" for k, text in enumerate(texts, 1)]
                among = "" if len(texts) == size else ", among them"
                return [f"At least {size} faults are left{among}:", *named]
        return []

    def _explain(self, faults: Collection[tuple[Mapping, str]], trials: Sequence[Trial]) -> bool:
        """Whether faults that do not exclude each other give an answer's values on all inputs."""
        settings: dict[str, Any] = {}
        for setting, _ in faults:
            if settings.keys() & setting.keys():
                return False
            settings |= setting
        together: Callable = functools.partial(self.solution, **settings)
        return all(self._alike(t.theirs, self._run(together, t.inputs)) for t in trials)

    def _run(self, function: Callable, inputs: Mapping, watched: Mapping | None = None, k: int = 1):
        return run(function, inputs, self.call, self.may_change, watched, quiet=k > 0)

    def _agrees(self, trial: Trial) -> bool:
        if trial.ours.kind is not None:
            raise RuntimeError(f"the solution of {self.name} failed: {trial.ours.kind}")
        fine = trial.theirs.kind is None and not trial.theirs.changed
        return fine and agree(trial.theirs.value, trial.ours.value, self.tolerance)

    def _explains(self, formula: Callable, trials: Sequence[Trial]) -> bool:
        return all(self._alike(t.theirs, self._of_wrong(formula, t.inputs)) for t in trials)

    def _of_wrong(self, formula: Callable, inputs: Mapping[str, Any]) -> Outcome:
        """Return what a formula makes of the inputs of this check, computed once."""
        key = id(formula), id(inputs)
        if key not in self._wrong_outcomes:
            self._wrong_outcomes[key] = self._run(formula, inputs)
        return self._wrong_outcomes[key]

    def _alike(self, a: Outcome, b: Outcome) -> bool:
        if a.kind is not None or b.kind is not None:
            return a.kind == b.kind
        return bool(a.changed) == bool(b.changed) and agree(a.value, b.value, self.tolerance)

    def _evidence(self, trial: Trial, seed: int) -> str:
        lines = [f"On this input it goes wrong (seed {seed}):", _inputs(trial)]
        if trial.theirs.kind is None and not agree(
            trial.theirs.value, trial.ours.value, self.tolerance
        ):
            lines += _difference(trial.theirs.value, trial.ours.value, self.tolerance)
        return "\n".join(lines)


def _plainness(trial: Trial) -> tuple:
    """Sorts what went wrong: exceptions first, then changed arguments, then small inputs."""
    return trial.theirs.kind is None, not trial.theirs.changed, len(_inputs(trial))


def _inputs(trial: Trial) -> str:
    return "\n".join(f"  {name} = {show(value)}" for name, value in trial.inputs.items())


def _difference(value: Any, expected: Any, tolerance: float) -> list[str]:
    """Both values, cut to what differs in them."""
    theirs, ours, names, n = cut(value, expected, tolerance)
    lines = [f"  expected  {show(ours)}", f"  yours     {show(theirs)}"]
    if names:
        lines.insert(0, f"  differ    {listed(names, f'{len(names)} of {n} values')}")
    return lines


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _borrowed(trials: Sequence[Trial]) -> str | None:
    """The message for a function whose values are right because it calls ours."""
    names = sorted({t.theirs.borrowed for t in trials if t.theirs.borrowed is not None})
    if not names:
        return None
    return f"The values are right, but they come from our own {names[0]}. Write it yourself."


def _facts(trials: Sequence[Trial], shown: Trial, tolerance: float) -> list[str]:
    """What is certain about a function that fails, without a guess at the reason."""
    ours, theirs = shown.ours, shown.theirs
    if theirs.error is not None:
        return [_sentence(theirs.error)]
    if theirs.changed:
        names = " and ".join(theirs.changed)
        changed = [shown.inputs[name] for name in theirs.changed]
        text = f"Your function changes its argument {names}, which the caller still needs. "
        return [text + ("Make new values." + _DEEP if any(map(_deep, changed)) else _COPY)]
    returned = _form(theirs.returned, ours.returned, tolerance)
    if theirs.unusable is not None:
        form = returned or [f"What your function returns cannot be used here ({theirs.unusable})."]
    else:
        form = _form([theirs.value], [ours.value], tolerance)
        if form and not _is_returned(theirs):
            form = returned or [form[0].replace("Your function returns", "Its result is read as")]
    return form + _constant(trials)


_COPY = "Work on a copy, or make new values."
_DEEP = (
    " A copy of the dictionary or list alone does not help: it holds the same tensors, and *= or += "
    "writes into them."
)


def _deep(value: Any) -> bool:
    """Whether a value holds tensors or arrays, which a copy of it shares."""
    parts = value.values() if isinstance(value, Mapping) else value
    held = isinstance(value, (Mapping, list, tuple))
    return held and any(isinstance(part, (torch.Tensor, np.ndarray)) for part in parts)


def _is_returned(outcome: Outcome) -> bool:
    """Whether the value that is compared is what the function itself returned."""
    return any(outcome.value is value for value in outcome.returned)


def _form(values: Sequence[Any], expected: Sequence[Any], tolerance: float) -> list[str]:
    """Say what is wrong with the type or shape of the first value that does not have the expected one."""
    for value, wanted in zip(values, expected, strict=False):
        try:
            same(value, wanted, tolerance)
        except WrongForm as form:
            return [f"Your function returns {form}."]
    return []


def _constant(trials: Sequence[Trial]) -> list[str]:
    """Say so if a function returns one value for all inputs, though the solution does not."""
    theirs = [value for trial in trials for value in trial.theirs.returned]
    ours = [value for trial in trials for value in trial.ours.returned]
    if not theirs or not all(agree(value, theirs[0]) for value in theirs):
        return []
    if all(agree(value, ours[0]) for value in ours):
        return []
    text = f"Your function returns the same value, {show(theirs[0])}, whatever the input is."
    if any(agree(theirs[0], value) for value in ours):
        text += " It is right for some inputs only."
    return [text]
