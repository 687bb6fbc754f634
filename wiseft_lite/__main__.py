"""``python -m wiseft_lite`` is ``wiseft-lite``."""

import sys

from wiseft_lite.cli.main import main

sys.exit(main())
