"""What all kinds of exercises have in common: a name, a solution, and a check in a notebook's cell."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from typing import Any

WIDTH = 72  # characters that fit beside a figure, and on a phone held sideways
CORRECT = "Exercise {name}: correct."
NOT_YET = "Exercise {name}: not yet. {message}"


class Exercise(ABC):
    """An exercise with a check.

    Args:
        name: on the page, such as ``"6.2"``.
        solution: our own answer, with which a notebook goes on if the student's is not right.
    """

    name: str
    solution: Any

    @abstractmethod
    def verdict(self, answer: Any, seed: int | None = None) -> str | None:
        """Return None if an answer is right, else a message that says what is wrong with it.

        Args:
            answer: the student's.
            seed: draws the inputs of a check again that reported this seed (default: a new one).
        """

    @abstractmethod
    def untouched(self, answer: Any) -> str | None:
        """Return how to call an answer that nobody has worked on yet; None for any other."""

    def usable(self, answer: Any) -> Any:
        """Return a right answer as the rest of the notebook uses it."""
        return answer

    def check(self, answer: Any, seed: int | None = None) -> Any:
        """Print the verdict; return the answer if it is right, and the solution if not."""
        idle = self.untouched(answer)
        if idle is not None:
            print(f"Exercise {self.name}: {idle}, so ours is used.")
            return self.solution
        message = self.verdict(answer, seed)
        if message is None:
            print(CORRECT.format(name=self.name))
            return self.usable(answer)
        print(wrapped(NOT_YET.format(name=self.name, message=message)))
        return self.solution


def wrapped(text: str) -> str:
    """Break the paragraphs of a message to the page's width; indented lines stay as they are."""
    lines = []
    for line in text.split("\n"):
        if line.startswith(" "):
            lines.append(line)
        else:
            lines += textwrap.wrap(line, WIDTH, break_on_hyphens=False) or [""]
    return "\n".join(lines)
