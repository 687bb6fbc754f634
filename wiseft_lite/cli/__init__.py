"""The command ``wiseft-lite``."""

from wiseft_lite.cli.main import main

__all__ = ["main"]
