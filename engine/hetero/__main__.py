"""``python -m hetero VERB ...`` is the command ``hetero VERB ...``."""

import sys

from hetero.cli import main

sys.exit(main())
