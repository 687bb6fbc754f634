"""WiSE-FT in plain sight: zero-shot heads, fine-tuning and the line between two models.

``from wiseft_lite import X`` works for every public name, and loads what it needs then: ``import
wiseft_lite`` alone stays quick. The names are listed in ``__init__.pyi``, where editors find them
too.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
