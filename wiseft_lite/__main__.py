"""``python -m wiseft_lite`` is ``wiseft-lite``."""

import sys

from wiseft_lite.cli import main

sys.exit(main())
