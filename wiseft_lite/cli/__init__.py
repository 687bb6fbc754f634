"""The command ``wiseft-lite``. Each file holds the options of its commands and what they do.

``run``: demo, run. ``train``: zeroshot, probe, finetune. ``evaluate``: evaluate, sweep, plot.
``combine``: interpolate, soup. ``convert``: import, export. ``embed``: embed. ``info``: tasks,
doctor, ledger. ``options`` holds what several commands take; ``main`` puts all together.

Every command keeps to one order: compute, save, print, draw. A model is on disk before it is
evaluated, and a result before it is printed.
"""

from wiseft_lite.cli.main import main

__all__ = ["main"]
