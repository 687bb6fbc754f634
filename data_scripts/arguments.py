"""The command line of a script that has no options, or few: ``--help`` prints its docstring."""

from __future__ import annotations

import argparse


def parser(docstring: str) -> argparse.ArgumentParser:
    """A parser that prints a script's docstring as it is."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )
