"""What all kinds of exercises have in common: a name, a solution, and a check in a notebook's cell."""

from __future__ import annotations

import inspect
import linecache
import re
import textwrap
from abc import ABC, abstractmethod
from types import FrameType
from typing import Any

WIDTH = 72  # characters that fit beside a figure, and on a phone held sideways
CORRECT = "Exercise {name}: correct."
NOT_YET = "Exercise {name}: not yet. {message}"
OURS = "From here on {name} is the book's {noun}."
KEEP = "To keep yours, and to check it on the same inputs again, end the cell with"
AGAIN = "To check it on the same inputs again:"

CALL = re.compile(
    r"(?:^\s*(?P<name>\w+)\s*=\s*)?(?P<check>[A-Za-z_][\w.]*\.check)\((?P<answer>[^,()]*)[,)]"
)


class Exercise(ABC):
    """An exercise with a check.

    Args:
        name: on the page, such as ``"6.2"``.
        solution: our own answer, with which a notebook goes on if the student's is not right.
    """

    name: str
    solution: Any
    noun = "answer"

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

    def new_seed(self) -> int | None:
        """Return a seed for the inputs of a check; None if nothing is drawn."""
        return None

    def check(self, answer: Any, seed: int | None = None) -> Any:
        """Print the verdict; return the answer if it is right, and the solution if not.

        A notebook goes on with what is returned, so it always runs to its end. A student who wants
        to go on with a function that is not right leaves out the assignment.
        """
        idle = self.untouched(answer)
        if idle is not None:
            print(f"Exercise {self.name}: {idle}, so ours is used.")
            return self.solution
        seed = self.new_seed() if seed is None else seed
        message = self.verdict(answer, seed)
        if message is None:
            print(CORRECT.format(name=self.name))
            return self.usable(answer)
        frame = inspect.currentframe()
        further = self._further(_line_of(frame.f_back if frame else None), message, seed)
        print(wrapped("\n".join([NOT_YET.format(name=self.name, message=message), *further])))
        return self.solution

    def _further(self, line: str, message: str, seed: int | None) -> list[str]:
        """Say what the name holds after the check, and which call repeats it on the same inputs."""
        call = CALL.search(line)
        name = call["name"] if call else None
        lines = [OURS.format(name=name, noun=self.noun)] if name else []
        if f"(seed {seed})" in message:
            check, answer = (call["check"], call["answer"].strip()) if call else ("check", "...")
            lines = [" ".join([*lines, KEEP if name else AGAIN])]
            lines.append(f"  {check}({answer}, seed={seed})")
        return lines


def _line_of(frame: FrameType | None) -> str:
    """Return the line of source that a frame is at; an empty one if there is no source."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno) if frame else ""


def wrapped(text: str) -> str:
    """Break the paragraphs of a message to the page's width; indented lines stay as they are."""
    lines = []
    for line in text.split("\n"):
        if line.startswith(" "):
            lines.append(line)
        else:
            lines += textwrap.wrap(line, WIDTH, break_on_hyphens=False) or [""]
    return "\n".join(lines)
