"""Checked exercises: functions, numbers and choices, each compared with our own solution.

An exercise declares its solution, how its inputs are drawn, and wrong answers as formulas, each with
the sentence that names the misconception. A function is correct if it equals the solution on inputs
that are drawn anew at each check. A misconception is named only if its formula gives the student's
values on all of these inputs.
"""

from wiseft_lite.book.checks.code import Code
from wiseft_lite.book.checks.plain import Choice, Number

__all__ = ["Choice", "Code", "Number"]
