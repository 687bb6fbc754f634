"""The claims of the paper, each with the rule that decides it here: chapter 12."""

from wiseft_lite.book.claims import controls, data, line, scale, start, why
from wiseft_lite.book.claims.public import PUBLIC, PublicRule
from wiseft_lite.book.claims.rules import (
    CANNOT,
    FAILS,
    HOLDS,
    SCALE,
    UNDECIDED,
    VERDICTS,
    Claim,
    Derived,
    EveryFit,
    Evidence,
    IntervalEstimate,
    Judgement,
    Piece,
    Values,
    judge,
)

CLAIMS = (*start.CLAIMS, *line.CLAIMS, *why.CLAIMS, *controls.CLAIMS, *data.CLAIMS, *scale.CLAIMS)
__all__ = [
    "CANNOT",
    "CLAIMS",
    "FAILS",
    "HOLDS",
    "PUBLIC",
    "SCALE",
    "UNDECIDED",
    "VERDICTS",
    "Claim",
    "Derived",
    "IntervalEstimate",
    "Evidence",
    "EveryFit",
    "Judgement",
    "Piece",
    "PublicRule",
    "Values",
    "judge",
]
