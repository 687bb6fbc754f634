"""Adds ``WISEFT_SEED_OFFSET`` to the seed of every training, in any Python that has this folder on
its path.

``data_scripts/machines.py`` puts it there, so that notebooks train with another seed than the one
that they name, and the library knows nothing of it. Python imports a module of this name when it
starts. Trainings seed torch's global random state with ``torch.manual_seed``; the draws of a data
set have generators of their own and stay as they are.
"""

import importlib.machinery
import os
import sys

OFFSET = int(os.environ.get("WISEFT_SEED_OFFSET", "0"))


class Shift:
    """Waits for torch to be imported, and is not in the way before: what does not need torch starts
    without it."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torch.random":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            seeded = module.manual_seed
            module.manual_seed = lambda seed: seeded(seed + OFFSET)

        spec.loader.exec_module = exec_module
        return spec


if OFFSET:
    sys.meta_path.insert(0, Shift)
